//! However the pieces of tool calls come, each call gets its own arguments, or there is a fault.

use proptest::prelude::*;

use super::*;

fn piece(index: Option<u64>, id: &str, name: &str, arguments: &str) -> ToolPiece {
    let some = |text: &str| Some(text.to_owned());
    ToolPiece {
        index,
        id: some(id),
        name: some(name),
        arguments: arguments.into(),
        begins: false,
        beside: None,
    }
}

/// `name arguments` of every call, from the deltas, and whether something was wrong.
fn fold(pieces: Vec<ToolPiece>) -> (Vec<String>, bool) {
    let (mut calls, mut out) = (ToolCalls::default(), VecDeque::new());
    pieces.into_iter().for_each(|piece| calls.take(piece, &mut out));
    calls.close(Some(FinishReason::ToolCalls), &mut out);
    let mut announced: Vec<(String, String)> = Vec::new();
    let mut ids = Vec::new();
    for delta in out {
        let Delta::ToolCall(delta) = delta else { continue };
        let at = delta.index as usize;
        if at == announced.len() {
            ids.push(delta.id.expect("the first piece carries the id"));
            announced.push((delta.name.expect("and the name"), String::new()));
        }
        announced[at].1.push_str(&delta.arguments);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), announced.len(), "ids tell calls apart");
    let announced = announced.into_iter().map(|(name, arguments)| format!("{name} {arguments}"));
    (announced.collect(), calls.fault(FinishReason::ToolCalls).is_some())
}

#[test]
fn pieces_find_their_call_or_fail_the_answer() {
    let (one, two) = (r#"{"a":"1"}"#, r#"{"a":"2"}"#);
    for (kind, pieces, want) in [
        (
            "indices that rise from piece to piece",
            vec![
                piece(Some(0), "a", "f", ""),
                piece(Some(1), "", "", "{\"a\""),
                piece(Some(2), "", "", ":\"1\"}"),
            ],
            vec![format!("f {one}")],
        ),
        (
            "an index on later pieces only",
            vec![piece(None, "a", "f", ""), piece(Some(0), "", "", one)],
            vec![format!("f {one}")],
        ),
        (
            "no ids, and index 0 for all",
            vec![piece(Some(0), "", "f", one), piece(Some(0), "", "f", two)],
            vec![format!("f {one}"), format!("f {two}")],
        ),
        (
            "the same in one piece",
            vec![piece(Some(0), "", "f", &format!("{one}{two}"))],
            vec![format!("f {one}"), format!("f {two}")],
        ),
        (
            "the name on every piece",
            vec![
                piece(Some(0), "a", "f", "{\"a\""),
                piece(Some(0), "a", "f", ":\"1\"}"),
                piece(Some(0), "b", "f", "{\"a\""),
                piece(Some(0), "b", "f", ":\"2\"}"),
            ],
            vec![format!("f {one}"), format!("f {two}")],
        ),
        (
            "another id for every piece",
            vec![piece(Some(0), "a", "f", "{\"a\""), piece(Some(0), "b", "", ":\"1\"}")],
            vec![format!("f {one}")],
        ),
        (
            "the name and another id on every piece, the first of which is empty",
            vec![
                piece(Some(0), "a", "f", ""),
                piece(Some(0), "b", "f", "{\"a\""),
                piece(Some(0), "c", "f", ":\"1\"}"),
            ],
            vec![format!("f {one}")],
        ),
        (
            "the second call named before its arguments",
            vec![
                piece(Some(0), "a", "f", ""),
                piece(Some(0), "", "", one),
                piece(Some(0), "b", "f", ""),
                piece(Some(0), "", "", two),
            ],
            vec![format!("f {one}"), format!("f {two}")],
        ),
        (
            "two calls taking turns",
            vec![
                piece(Some(0), "a", "f", ""),
                piece(Some(1), "b", "g", ""),
                piece(Some(0), "", "", "{\"a\""),
                piece(Some(1), "", "", "{\"a\""),
                piece(Some(0), "", "", ":\"1\"}"),
                piece(Some(1), "", "", ":\"2\"}"),
            ],
            vec![format!("f {one}"), format!("g {two}")],
        ),
        (
            "one id for all calls",
            vec![piece(Some(0), "x", "f", one), piece(Some(1), "x", "f", two)],
            vec![format!("f {one}"), format!("f {two}")],
        ),
        (
            "another name at the same index",
            vec![piece(Some(0), "", "f", ""), piece(Some(0), "", "g", two)],
            vec!["f {}".to_owned(), format!("g {two}")],
        ),
        (
            "id, name and arguments apart",
            vec![
                piece(Some(0), "a", "", ""),
                piece(Some(0), "", "f", ""),
                piece(Some(0), "", "", one),
            ],
            vec![format!("f {one}")],
        ),
        ("no arguments", vec![piece(Some(0), "a", "f", "")], vec!["f {}".to_owned()]),
        (
            "a whole call said once more",
            vec![
                piece(Some(0), "a", "f", one),
                piece(Some(0), "a", "f", one),
                piece(Some(1), "b", "f", one),
                piece(Some(0), "a", "f", one),
            ],
            vec![format!("f {one}"), format!("f {one}")],
        ),
        (
            "all of it once more behind its pieces",
            vec![
                piece(Some(0), "a", "f", "{\"a\""),
                piece(Some(0), "", "", ":\"1\"}"),
                piece(None, "a", "f", one),
            ],
            vec![format!("f {one}")],
        ),
        (
            "an empty object in the place of what follows under the same name",
            vec![piece(Some(0), "a", "f", "{}"), piece(Some(0), "a", "f", one)],
            vec![format!("f {one}")],
        ),
        (
            "an empty object in the place of pieces",
            vec![
                piece(Some(0), "a", "f", " { }"),
                piece(Some(0), "", "", "{\"a\""),
                piece(Some(0), "", "", ":\"1\"}"),
            ],
            vec![format!("f {one}")],
        ),
        (
            "calls without arguments",
            vec![
                piece(Some(0), "a", "f", "{}"),
                piece(Some(0), "b", "f", "{}"),
                piece(Some(0), "", "g", "{}"),
                piece(Some(1), "", "g", "{}"),
                piece(Some(1), "", "h", two),
            ],
            vec!["f {}".into(), "f {}".into(), "g {}".into(), "g {}".into(), format!("h {two}")],
        ),
        (
            "one without arguments before another, both without ids",
            vec![piece(Some(0), "", "f", "{}"), piece(Some(0), "", "f", two)],
            vec!["f {}".to_owned(), format!("f {two}")],
        ),
    ] {
        assert_eq!(fold(pieces), (want, false), "{kind}");
    }
    for (kind, pieces) in [
        ("never named", vec![piece(Some(0), "a", "", one)]),
        (
            "arguments behind the end",
            vec![piece(Some(0), "a", "f", one), piece(Some(0), "", "", two)],
        ),
        ("arguments that end nowhere", vec![piece(Some(0), "a", "f", "{\"a\"")]),
        ("no JSON", vec![piece(Some(0), "a", "f", "{a}")]),
        ("words", vec![piece(Some(0), "a", "f", "what?")]),
        (
            "one name without an index under two ids, and nothing yet",
            vec![piece(None, "a", "f", ""), piece(None, "b", "f", "")],
        ),
        ("a name in pieces", vec![piece(Some(0), "a", "get_", ""), piece(Some(0), "", "it", one)]),
    ] {
        assert!(fold(pieces).1, "{kind}");
    }
}

#[test]
fn what_begins_a_call_is_one_of_its_own() {
    let whole = |id: &str| ToolPiece { begins: true, ..piece(None, id, "f", "") };
    assert_eq!(fold(vec![whole("a"), whole("b")]).0, ["f {}", "f {}"]);
}

#[test]
fn a_cut_at_the_length_limit_makes_no_arguments_up() {
    for arguments in ["", "{\"a\""] {
        let (mut calls, mut out) = (ToolCalls::default(), VecDeque::new());
        calls.take(piece(Some(0), "a", "f", arguments), &mut out);
        calls.close(Some(FinishReason::Length), &mut out);
        assert_eq!(calls.fault(FinishReason::Length), None, "the reason tells it: {arguments:?}");
        assert_eq!(out.len(), 1, "nothing was added");
    }
}

/// How a server marks the pieces of its calls.
#[derive(Clone, Copy, Debug)]
enum Index {
    Right,
    Zero,
    None,
    Rising,
    LaterOnly,
}

#[derive(Clone, Copy, Debug)]
enum Mark {
    First,
    Every,
    Never,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_split_under_any_marks_gives_the_calls_or_a_fault(
        calls in prop::collection::vec(
            ("[fg]", prop_oneof![
                Just("{}".to_owned()),
                "[a-z{}\\[\\] 你]{0,9}".prop_map(|text| serde_json::json!({"a": text}).to_string()),
                (0..99u8).prop_map(|number| format!("{{\"n\": [{{\"m\": {number}}}]}}")),
            ], prop::collection::vec(any::<prop::sample::Index>(), 0..4)),
            1..4,
        ),
        index in prop::sample::select(
            vec![Index::Right, Index::Zero, Index::None, Index::Rising, Index::LaterOnly]),
        ids in prop::sample::select(vec![Mark::First, Mark::Every, Mark::Never]),
        names in prop::sample::select(vec![Mark::First, Mark::Every]),
        head_is_empty: bool,
        turns in prop::collection::vec(any::<prop::sample::Index>(), 16),
    ) {
        let mut rising = 0;
        let mut queues: Vec<VecDeque<ToolPiece>> = Vec::new();
        for (number, (name, arguments, cuts)) in calls.iter().enumerate() {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(arguments.len() + 1))
                .filter(|at| arguments.is_char_boundary(*at)).collect();
            at.extend([0, arguments.len()]);
            at.sort_unstable();
            at.dedup();
            // A name without arguments under a new index, and nothing else: that is a call.
            let is_lone = matches!((index, ids, names), (Index::Rising, Mark::Never, Mark::Every));
            if head_is_empty && !is_lone {
                at.insert(0, 0);
            }
            let id = format!("call-{number}");
            let pieces = at.windows(2).enumerate().map(|(place, pair)| {
                let is_first = place == 0;
                let marked = |mark| match mark {
                    Mark::First => is_first,
                    Mark::Every => true,
                    Mark::Never => false,
                };
                let index = match index {
                    Index::Right => Some(number as u64),
                    Index::Zero => Some(0),
                    Index::None => None,
                    Index::Rising => { rising += 1; Some(rising) }
                    Index::LaterOnly => (!is_first).then_some(number as u64),
                };
                piece(
                    index,
                    if marked(ids) { &id } else { "" },
                    if marked(names) { name } else { "" },
                    arguments.get(pair[0]..pair[1]).expect("cut between characters"),
                )
            });
            queues.push(pieces.collect());
        }
        // Only with right indices calls may take turns; they begin in order.
        let takes_turns = matches!(index, Index::Right);
        let (mut pieces, mut begun) = (Vec::new(), 0);
        for turn in turns.iter().cycle() {
            let waiting: Vec<usize> = (0..queues.len())
                .filter(|at| !queues[*at].is_empty() && *at <= begun)
                .collect();
            let Some(first) = waiting.first() else { break };
            let at = if takes_turns { waiting[turn.index(waiting.len())] } else { *first };
            begun = begun.max(at + 1);
            pieces.extend(queues[at].pop_front());
        }
        let shown = format!("{pieces:?}");
        let want: Vec<String> =
            calls.iter().map(|(name, arguments, _)| format!("{name} {arguments}")).collect();
        let (got, is_fault) = fold(pieces);
        prop_assert!(is_fault || got == want, "{} {:?}", shown, got);
        let is_clear = matches!((index, ids), (Index::Right, _) | (_, Mark::Every))
            && matches!(names, Mark::First);
        prop_assert!(!is_clear || !is_fault, "{}", shown);
    }
}
