//! What a text comes to, where it says so in a form that can be compared.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::Value;

use super::{
    json::json,
    last_number::{is_one_of_many, is_setting, stated},
    notation::{self, VERDICTS, bare, group},
    tokens::{cased_tokens, tokens},
};

/// A last line that is longer is a paragraph and no answer.
const LINE_LIMIT: usize = 120;
/// Most characters behind a marker that are an answer; more are an explanation.
const MARKED_LIMIT: usize = 120;

/// Words that an answer stands behind, in the languages Chorus knows of, lower-cased. With a colon
/// or with the verb.
const MARKERS: [&str; 30] = [
    "answer:",
    "answer is:",
    "answer is",
    "answer =",
    "答案:",
    "答案是:",
    "答案是",
    "答案为",
    "答案為",
    "答え:",
    "答えは",
    "정답:",
    "정답은",
    "답:",
    "antwort:",
    "antwort ist",
    "lautet:",
    "réponse:",
    "réponse :",
    "réponse est",
    "respuesta:",
    "respuesta es",
    "resposta:",
    "resposta é",
    "risposta:",
    "risposta è",
    "ответ:",
    HEADING,
    "result:",
    "结果:",
];

/// What finds them: most lines have none, and every draft of a panel is looked through.
static FINDERS: LazyLock<[Finder<'static>; MARKERS.len()]> =
    LazyLock::new(|| MARKERS.map(Finder::new));

/// What data sets of sums put before their answers; also a heading.
const HEADING: &str = "####";

/// Words before a marker which say that what stands behind it is not the answer.
const DENIALS: [&str; 11] =
    ["not", "never", "neither", "wrong", "false", "nicht", "kein", "pas", "не", "不", "没"];

/// Markers that are also the key of a setting.
const KEYS: [&str; 2] = ["answer =", "result:"];

/// What begins an answer in a box.
const BOXES: [&str; 2] = ["\\boxed{", "\\fbox{"];

/// Words by which an answer refers to another place: see above.
const REFERENCES: [&str; 26] = [
    "above",
    "below",
    "following",
    "follows",
    "attached",
    "aforementioned",
    "see",
    "shown",
    "here",
    "this",
    "these",
    "those",
    "siehe",
    "oben",
    "unten",
    "voir",
    "dessus",
    "dessous",
    "arriba",
    "abajo",
    "acima",
    "abaixo",
    "sopra",
    "sotto",
    "выше",
    "ниже",
];
/// The same, where words are not set apart.
const REFERENCES_INSIDE: [&str; 15] = [
    "如上", "上述", "上面", "以上", "见上", "見上", "上文", "如下", "下面", "以下", "下文", "上記",
    "下記", "위의", "아래",
];

/// The answer of a text that has one: what stands in `\boxed{}` or behind "answer:" or its like, a text that
/// is one JSON value, an option's letter, or the only number of a short last line that states it. Where
/// several are given, for several parts, all count. Prose has none.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::workflow) enum FinalAnswer {
    /// Equal when the values are, whatever the order of keys and the spaces. Numbers are texts.
    Json(Value),
    /// Compared token by token, without quotes around it and a full stop behind it. A break stands
    /// between the answers to several parts.
    Text(Vec<String>),
}

impl FinalAnswer {
    /// Reads a text's final answer.
    pub(in crate::workflow) fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(value) = json(text) {
            return Some(Self::Json(value));
        }
        let mut parts = boxed(text);
        parts.extend(marked(text)?);
        if parts.is_empty() { of_last_line(text) } else { Self::of_parts(parts) }
    }

    /// Whether the text is one JSON value.
    pub(super) fn is_json(&self) -> bool {
        matches!(self, Self::Json(_))
    }

    /// What is said twice counts once.
    fn of_parts(parts: Vec<Vec<String>>) -> Option<Self> {
        let mut seen: Vec<Vec<String>> = Vec::new();
        for part in parts {
            if !seen.contains(&part) {
                seen.push(part);
            }
        }
        let words = seen.join(&"\n".to_owned());
        (!words.is_empty()).then_some(Self::Text(words))
    }
}

/// The words of one answer; `None` when it stands elsewhere.
fn words(text: &str) -> Option<Vec<String>> {
    let tokens = cased_tokens(&bare(text));
    let refers =
        tokens.iter().any(|token| REFERENCES.contains(&token.text.to_lowercase().as_str()));
    if tokens.is_empty() || refers || REFERENCES_INSIDE.iter().any(|word| text.contains(word)) {
        return None;
    }
    Some(notation::words(&tokens, text))
}

/// What is in every `\boxed{…}`, with the braces inside it.
fn boxed(text: &str) -> Vec<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(begun) =
        BOXES.iter().filter_map(|name| Some(rest.find(name)? + name.len())).min()
    {
        let Some((inside, after)) = rest.get(begun..).and_then(group) else { break };
        // Breaks of lines are none of a formula's.
        parts.extend(words(&inside.split_whitespace().collect::<Vec<_>>().join(" ")));
        rest = after;
    }
    parts
}

fn has_box(line: &str) -> bool {
    BOXES.iter().any(|name| line.contains(name))
}

/// What stands behind the markers of a text whose last line has one, or whose last line but one is
/// nothing else; none for others, since what is told further up may have been taken back.
/// `None` when what is marked cannot be compared.
fn marked(text: &str) -> Option<Vec<Vec<String>>> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut ends = lines.clone().rev();
    let (Some(last), before) = (ends.next(), ends.next()) else { return Some(Vec::new()) };
    let is_heading = |line| behind(line).is_some_and(|(_, answer)| answer.is_empty());
    let is_key = |marker| {
        KEYS.contains(&marker) && is_setting(last) && text.lines().rev().skip(1).any(is_setting)
    };
    let is_marked =
        behind(last).is_some_and(|(marker, answer)| !answer.is_empty() && !is_key(marker));
    if !(has_box(last) || is_marked || before.is_some_and(is_heading)) {
        return Some(Vec::new());
    }
    let mut parts = Vec::new();
    while let Some(line) = lines.next() {
        let Some((marker, mut answer)) = behind(line).filter(|_| !has_box(line)) else { continue };
        if answer.is_empty() {
            answer = match lines.clone().next() {
                Some(next) if !has_box(next) => next.to_owned(),
                _ => continue,
            };
            lines.next();
        }
        if lines.clone().next().is_none() || is_firm(marker, &answer) {
            parts.push(sentence(&answer)?);
        }
    }
    Some(parts)
}

/// Whether what stands behind a marker in the middle of a text is an answer: "the answer is" begins many
/// a sentence about it.
fn is_firm(marker: &str, answer: &str) -> bool {
    let tokens = tokens(answer);
    marker.ends_with([':', '='])
        || marker == HEADING
        || tokens.len() <= 3
        || tokens.iter().any(|token| token.is_number())
}

/// The answer that a sentence is; `None` for an explanation and for what is taken back.
fn sentence(answer: &str) -> Option<Vec<String>> {
    let (answer, rest) = first_sentence(answer);
    let takes_back = tokens(rest).iter().any(|token| token.is_verdict() || token.is_number());
    (answer.len() <= MARKED_LIMIT && !takes_back).then(|| words(answer))?
}

/// The marker of a line, and what stands behind it.
fn behind(line: &str) -> Option<(&'static str, String)> {
    // The end of an emphasis is put behind the colon.
    let line = line.replace('：', ":").replacen("**:", ":**", 1).replacen("*:", ":*", 1);
    let lower = lowered(&line);
    let known = MARKERS.iter().zip(FINDERS.iter());
    let known: Vec<&str> = known
        .filter(|(_, finder)| finder.find(lower.as_bytes()).is_some())
        .map(|(marker, _)| *marker)
        .collect();
    let place = |start: Option<usize>, marker: &'static str| Some((start?, marker));
    let places = || known.iter().copied();
    let last = places().filter_map(|marker| place(lower.rfind(marker), marker));
    let (last, marker) = last.max_by_key(|(at, marker)| (at + marker.len(), marker.len()))?;
    let first = places().filter_map(|marker| place(lower.find(marker), marker));
    let first = first.min_by_key(|(at, marker)| (*at, usize::MAX - marker.len()))?;
    // What stands between two markers is the answer to another part, or how the second one begins.
    let between = line.get(first.0 + first.1.len()..last);
    let (at, marker) = match between.is_some_and(|between| tokens(between).len() > 2) {
        true => first,
        false => (last, marker),
    };
    let before = line.get(..at)?;
    let answer = without_end_of_emphasis(before, line.get(at + marker.len()..)?.trim());
    // A heading is none, unless it is the answer; and no answer is what somebody does not give.
    let is_heading = marker == HEADING && !answer.is_empty() && stated(&answer, true).is_none();
    let is_denied =
        tokens(&lowered(before)).iter().any(|token| DENIALS.contains(&token.text.as_str()));
    (!is_heading && !is_denied).then_some((marker, answer))
}

/// The line in small letters, as far as those are as long: places stay the same.
fn lowered(line: &str) -> String {
    let small = |one: char| {
        let mut small = one.to_lowercase();
        small
            .next()
            .filter(|it| it.len_utf8() == one.len_utf8() && small.next().is_none())
            .unwrap_or(one)
    };
    line.chars().map(small).collect()
}

/// What stands behind a marker, without the end of an emphasis that has begun before it.
fn without_end_of_emphasis(before: &str, answer: &str) -> String {
    let mark = if before.matches("**").count() % 2 == 1 {
        "**"
    } else if before.replace("**", "").matches('*').count() % 2 == 1 {
        "*"
    } else {
        return answer.to_owned();
    };
    let whole = answer.strip_prefix(mark).or_else(|| answer.strip_suffix(mark));
    whole.map_or_else(|| answer.replacen(mark, "", 1), |rest| rest.trim().to_owned())
}

/// The first sentence, and the others. An option's letter with a full stop is none.
fn first_sentence(text: &str) -> (&str, &str) {
    let ends = text.match_indices(". ").map(|(at, end)| (at, end.len()));
    let ends = ends.chain(text.match_indices('。').map(|(at, end)| (at, end.len())));
    let first = ends.filter(|(at, _)| *at > 2).min();
    let split = first.and_then(|(at, len)| Some((text.get(..at)?, text.get(at + len..)?)));
    split.unwrap_or((text, ""))
}

/// An option's letter or a verdict alone, or the only number, of a short last line.
fn of_last_line(text: &str) -> Option<FinalAnswer> {
    let (before, line) = text.rsplit_once('\n').unwrap_or(("", text));
    let line = line.trim();
    if line.len() > LINE_LIMIT || line.starts_with("```") {
        return None;
    }
    if alone(line).is_some() {
        let parts = text.lines().filter_map(|line| alone(line.trim()));
        return FinalAnswer::of_parts(parts.map(|part| vec![part]).collect());
    }
    let stated = stated(line, line == text.trim())?;
    (!is_one_of_many(line, before)).then_some(FinalAnswer::Text(stated))
}

/// The option or the verdict that a line is.
fn alone(line: &str) -> Option<String> {
    let bare = line.trim_matches(|one: char| !one.is_alphanumeric());
    let lower = bare.to_lowercase();
    let named =
        ["option ", "choice ", "选项", "选"].iter().find_map(|word| lower.strip_prefix(word));
    let option = named.unwrap_or(&lower);
    // What is left of a list, its last item's label: `b)`.
    let is_label = line.ends_with(['.', ')']) && line.starts_with(|one: char| one.is_lowercase());
    let is_letter = option.len() == 1 && option.starts_with(|one: char| one.is_ascii_alphabetic());
    let is_number =
        named.is_some() && !option.is_empty() && option.bytes().all(|one| one.is_ascii_digit());
    if is_letter && !(is_label && named.is_none()) {
        let is_option = named.is_some() || line.contains([')', '）']);
        return Some(if is_option { option.to_uppercase() } else { bare.to_owned() });
    }
    (is_number || VERDICTS.contains(&option)).then(|| option.to_owned())
}
