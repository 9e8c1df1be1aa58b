use proptest::prelude::*;

use super::{tag::PAIRS, *};

/// Reasoning and answer of a text fed in these pieces.
fn split(pieces: &[&str]) -> (String, String) {
    split_by(ThinkSplitter::new(), pieces)
}

fn split_by(mut splitter: ThinkSplitter, pieces: &[&str]) -> (String, String) {
    let mut all: Vec<Split> = pieces.iter().flat_map(|piece| splitter.push(piece)).collect();
    all.extend(splitter.finish());
    let (mut reasoning, mut text) = (String::new(), String::new());
    for one in all {
        match one {
            Split::Text(piece) => text.push_str(&piece),
            Split::Reasoning(piece) => reasoning.push_str(&piece),
        }
    }
    (reasoning, text)
}

#[test]
fn only_the_start_is_split_whatever_the_pieces() {
    for (input, reasoning, answer) in [
        ("hello", "", "hello"),
        ("<think>先想\n</think>\n\n好的", "先想\n", "好的"),
        ("\n<think>\na < b </thin</think>c", "a < b </thin", "c"),
        ("<think></think>hi", "", "hi"),
        ("</think>\nhi", "", "hi"),
        ("use <think>x</think> tags", "", "use <think>x</think> tags"),
        ("<think>a</think>b <think>c</think>", "a", "b <think>c</think>"),
        ("<think>a</think>\n\n<think>b</think>\nc", "ab", "c"),
        ("<think>a</think></think>c", "a", "c"),
        ("<thinking>a</think>b</thinking>c", "a</think>b", "c"),
        ("<thought>a</thought>c", "a", "c"),
        ("<think><think>a</think></think>c", "a", "c"),
        ("<think>\n<think>\na</think>\nc", "a", "c"),
        ("<think><thinking>a</thinking></think>c", "a", "c"),
        ("<think>a</thinking>c", "a", "c"),
        ("<thinking>a</think>\n\nc", "a", "c"),
        ("[THINK]a</think>c</thought>", "a", "c</thought>"),
        (
            "<think>not `</thinking>` nor </thinking></think>c",
            "not `</thinking>` nor </thinking>",
            "c",
        ),
        ("<think>a `</thinking>` b", "a `</thinking>` b", ""),
        (
            "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>c <d><|END_RESPONSE|>",
            "a",
            "c <d>",
        ),
        ("<|START_RESPONSE|>c<|END_RESPONSE|>", "", "c"),
        ("<|START_RESPONSE|>cut", "", "cut"),
        (
            "<|begin_of_thought|>a<|end_of_thought|>\n\n<|begin_of_solution|>c<|end_of_solution|>",
            "a",
            "c",
        ),
        ("<|inner_prefix|>a<|inner_suffix|>c", "a", "c"),
        ("<unused94>thought\na<unused95>c", "a", "c"),
        ("<think foo=\"b\">a</think>c", "a", "c"),
        ("<THINK>a</Think>\nc", "a", "c"),
        ("<think >a</think >c", "a", "c"),
        ("<think>a </thin> </think\n>c", "a </thin> ", "c"),
        ("<thinker>c", "", "<thinker>c"),
        ("<think a<b>c", "", "<think a<b>c"),
        ("<|START_THINKING|>a<|END_THINKING|>c", "a", "c"),
        ("[THINK]a[/THINK]c", "a", "c"),
        ("[1, 2]", "", "[1, 2]"),
        ("[1, 2]", "", "[1, 2]"),
        ("<seed:think>a</seed:think>c", "a", "c"),
        ("◁think▷想◁/think▷好", "想", "好"),
        ("<|channel>thought\na\n<channel|>c", "a\n", "c"),
        ("<|channel>thought\n<channel|>c", "", "c"),
        (
            "<|channel|>analysis<|message|>a < b<|end|><|start|>assistant<|channel|>final\
             <|message|>c <d><|return|>",
            "a < b",
            "c <d>",
        ),
        (
            "<|start|>assistant<|channel|>analysis<|message|>a<|end|><|start|>assistant\
             <|channel|>commentary<|message|>b<|end|><|channel|>final<|message|>c",
            "ab",
            "c",
        ),
        ("<|channel|>analysis<|message|>a", "a", ""),
        ("<|channel|>no header", "", "<|channel|>no header"),
        ("<thing>", "", "<thing>"),
        ("<", "", "<"),
        ("  \n", "", ""),
        ("<think>never closed", "never closed", ""),
        ("<think>a</think>  \n", "a", ""),
        ("  indented", "", "  indented"),
    ] {
        let want = (reasoning.to_owned(), answer.to_owned());
        assert_eq!(split(&[input]), want, "{input:?} whole");
        for (at, _) in input.char_indices() {
            let (head, tail) = input.split_at(at);
            assert_eq!(split(&[head, tail]), want, "{input:?} at {at}");
        }
        let letters: Vec<String> = input.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(split(&letters), want, "{input:?} by letter");
    }
}

#[test]
fn a_template_may_have_opened_the_thought() {
    for (input, reasoning, answer) in [
        ("plan\n</think>\n\nanswer", "plan\n", "answer"),
        ("<think>plan</think>answer", "plan", "answer"),
        ("plan[/THINK]answer </think>", "plan", "answer </think>"),
        ("never closed", "never closed", ""),
    ] {
        for (at, _) in input.char_indices() {
            let (head, tail) = input.split_at(at);
            let want = (reasoning.to_owned(), answer.to_owned());
            assert_eq!(split_by(ThinkSplitter::opened(), &[head, tail]), want, "{input:?} {at}");
        }
    }
    let mut splitter = ThinkSplitter::opened();
    splitter.note_separate_reasoning();
    assert_eq!(splitter.push("answer"), [Split::Text("answer".into())]);
}

#[test]
fn a_flood_of_white_space_is_not_held_back() {
    let mut splitter = ThinkSplitter::new();
    let shown: usize = (0..100).map(|_| splitter.push(&" ".repeat(1000)).len()).sum();
    assert!(shown > 0 && splitter.held.len() <= MOST_SPACE, "{shown}");
}

#[test]
fn an_answer_is_not_held_back() {
    let mut splitter = ThinkSplitter::new();
    assert_eq!(splitter.push("H"), [Split::Text("H".into())]);
    assert_eq!(splitter.push("<think>"), [Split::Text("<think>".into())]);
    let mut splitter = ThinkSplitter::verbatim();
    assert_eq!(splitter.push("<think>"), [Split::Text("<think>".into())]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Tags in any order, nested and mixed up: however a stream cuts them, thoughts and answer are
    /// those of the whole.
    #[test]
    fn any_split_reads_as_the_whole_does(
        pieces in prop::collection::vec(piece(), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        is_open in any::<bool>(),
    ) {
        let input = pieces.concat();
        let mut cuts: Vec<usize> =
            cuts.iter().map(|cut| input.floor_char_boundary(cut.index(input.len() + 1))).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let parts: Vec<&str> =
            cuts.windows(2).filter_map(|ends| input.get(ends[0]..ends[1])).collect();
        let new = || if is_open { ThinkSplitter::opened() } else { ThinkSplitter::new() };
        let want = split_by(new(), &[&input]);
        prop_assert_eq!(&split_by(new(), &parts), &want, "{:?}", parts);
        let letters: Vec<String> = input.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        prop_assert_eq!(&split_by(new(), &letters), &want);
    }
}

/// A tag, a half of one, or a text, which may be as long as what is held back.
fn piece() -> impl Strategy<Value = String> {
    let tags = PAIRS.iter().flat_map(|(open, close)| [*open, *close]);
    let others = [
        RESPONSES[0].0,
        RESPONSES[1].1,
        "<|start|>assistant",
        "<|channel|>final",
        HEAD_END,
        "</th",
    ];
    let texts = ["a", "\n", " ", "`", "想", "\"", "</think", ">", "<"].into_iter();
    let all: Vec<String> = tags.chain(others).chain(ENDS).chain(texts).map(String::from).collect();
    let spaces = (4000..4200_usize).prop_map(|n| " ".repeat(n));
    let letters = (900..1200_usize).prop_map(|n| "b".repeat(n));
    prop_oneof![16 => prop::sample::select(all), 2 => letters, 1 => spaces]
}
