//! What a text comes to, where it says so in a form that can be compared.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::Value;

use super::{
    last_number,
    numbers::shortest,
    tokens::{Token, tokens},
};

/// A last line that is longer is a paragraph and no answer.
const LINE_LIMIT: usize = 120;
/// Behind a marker, more than this is an explanation.
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

/// With one of these before the marker, what stands behind it is not the answer.
const DENIALS: [&str; 11] =
    ["not", "never", "neither", "wrong", "false", "nicht", "kein", "pas", "не", "不", "没"];

/// A last line of one of these words alone is an answer.
const VERDICTS: [&str; 14] = [
    "yes", "no", "true", "false", "是", "否", "不是", "对", "错", "ja", "nein", "oui", "non", "sí",
];

/// The answer of a text that has one: the last `\boxed{}`, what stands behind "answer:" or its like,
/// a text that is one JSON value, an option's letter, or the only number of a short last line that
/// states it. Prose has none.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::workflow) enum FinalAnswer {
    /// Equal when the values are, whatever the order of keys and the spaces.
    Json(Json),
    /// Compared token by token, without case, quotes around it and a full stop behind it.
    Text(Vec<String>),
}

/// A JSON value, with its numbers as they were written: as floating-point numbers two long ones
/// may be equal that are not.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::workflow) struct Json {
    value: Value,
    numbers: Vec<String>,
}

impl FinalAnswer {
    /// Reads a text's final answer.
    pub(in crate::workflow) fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        boxed(text).or_else(|| marked(text)).or_else(|| json(text)).or_else(|| of_last_line(text))
    }

    /// Whether the text is one JSON value.
    pub(super) fn is_json(&self) -> bool {
        matches!(self, Self::Json(_))
    }

    fn text(text: &str) -> Option<Self> {
        let text = &plain(text);
        let mut is_amount = true;
        let of_token = |token: Token| {
            let word = token.text.to_lowercase();
            // Behind a name a number is no amount: Python 3.10.
            is_amount &= token.is_number() || !word.chars().any(char::is_alphabetic);
            if is_amount { shortest(&word) } else { word }
        };
        let mut words: Vec<String> = tokens(text).into_iter().map(of_token).collect();
        if words.is_empty() {
            // A filler alone is somebody's answer, too.
            let bare = text.trim_matches(|one: char| !one.is_alphanumeric()).to_lowercase();
            words.extend((!bare.is_empty()).then_some(bare));
        }
        (!words.is_empty()).then_some(Self::Text(words))
    }
}

/// An answer without what only sets it in type: `$…$`, `\text{…}`, and the verb that ends a sentence of
/// Japanese or Korean. A plain fraction is written with a stroke.
fn plain(text: &str) -> String {
    let is_end = |one: char| one.is_whitespace() || matches!(one, '.' | '。' | ',');
    let mut text = text.trim().trim_end_matches(is_end);
    for ending in ["です", "である", "だ", "입니다", "이다"] {
        text = text.strip_suffix(ending).unwrap_or(text).trim_end();
    }
    for (open, close) in [("\"", "\""), ("“", "”"), ("「", "」"), ("$$", "$$"), ("$", "$")] {
        let inside = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        text = inside
            .filter(|inside| !(inside.contains(open) || inside.contains(close)))
            .unwrap_or(text);
    }
    let mut out = without_label(text);
    for command in ["\\text{", "\\textbf{", "\\mathrm{", "\\mathbf{", "\\mathit{"] {
        while let Some((before, rest)) = out.split_once(command)
            && let Some((inside, after)) = group(rest)
        {
            out = format!("{before}{inside}{after}");
        }
    }
    for command in ["\\frac{", "\\dfrac{", "\\tfrac{"] {
        while let Some((before, rest)) = out.split_once(command)
            && let Some((over, rest)) = group(rest)
            && let Some((under, after)) = rest.strip_prefix('{').and_then(group)
        {
            let part = |part: &str| match part.chars().all(char::is_alphanumeric) {
                true => part.to_owned(),
                false => format!("({part})"),
            };
            out = format!("{before}{}/{}{after}", part(over), part(under));
        }
    }
    out
}

/// An option without what only sets its letter off: `(B)`, `B.`, `b)`.
fn without_label(text: &str) -> String {
    let bare = text.strip_prefix('(').unwrap_or(text);
    let mut rest = bare.chars();
    let letter = rest.next().filter(|one| one.is_alphanumeric());
    let ends: &[char] = if bare.len() < text.len() { &[')'] } else { &['.', ')'] };
    let rest = rest
        .as_str()
        .strip_prefix(ends)
        .filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
    match (letter, rest) {
        (Some(letter), Some(rest)) => format!("{letter}{rest}"),
        _ => text.to_owned(),
    }
}

/// What is inside a group that has begun, and what stands behind its bracket.
fn group(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1_usize;
    let end = text.char_indices().find_map(|(at, one)| {
        match one {
            '{' => depth = depth.saturating_add(1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        (depth == 0).then_some(at)
    })?;
    Some((text.get(..end)?, text.get(end.saturating_add(1)..)?))
}

/// The last `\boxed{…}`, with the braces inside it.
fn boxed(text: &str) -> Option<FinalAnswer> {
    let (_, rest) = text.rsplit_once("\\boxed{").or_else(|| text.rsplit_once("\\fbox{"))?;
    FinalAnswer::text(group(rest)?.0)
}

/// What stands behind a marker in the last line, or in that line when the marker is all there is
/// before it. What is told further up may have been taken back since.
fn marked(text: &str) -> Option<FinalAnswer> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).rev();
    let (last, before) = (lines.next()?, lines.next());
    let behind = |line: &str| {
        let line = line.replace('：', ":").replace('*', "").to_lowercase();
        let known = MARKERS.iter().zip(FINDERS.iter());
        let known = known.filter(|(_, finder)| finder.find(line.as_bytes()).is_some());
        let found = known.filter_map(|(marker, _)| Some((line.rfind(marker)?, *marker)));
        let (at, marker) = found.max_by_key(|(at, marker)| at + marker.len())?;
        let (before, answer) = (line.get(..at)?, line.get(at + marker.len()..)?.trim());
        // A heading is none, unless it is the answer; and no answer is what somebody does not give.
        let is_heading =
            marker == HEADING && !answer.is_empty() && last_number::stated(answer, true).is_none();
        let is_denied = tokens(before).iter().any(|token| DENIALS.contains(&token.text.as_str()));
        (!is_heading && !is_denied).then(|| answer.to_owned())
    };
    let answer = match (behind(last), before.and_then(behind)) {
        (Some(answer), _) if !answer.is_empty() => answer,
        (_, Some(empty)) if empty.is_empty() => last.replace('*', ""),
        _ => return None,
    };
    let (answer, rest) = first_sentence(&answer);
    let takes_back = tokens(rest).iter().any(|token| token.is_verdict() || token.is_number());
    (answer.len() <= MARKED_LIMIT && !takes_back).then(|| FinalAnswer::text(answer))?
}

/// The first sentence, and the others. An option's letter with a full stop is none.
fn first_sentence(text: &str) -> (&str, &str) {
    let ends = text.match_indices(". ").map(|(at, end)| (at, end.len()));
    let ends = ends.chain(text.match_indices('。').map(|(at, end)| (at, end.len())));
    let first = ends.filter(|(at, _)| *at > 2).min();
    let split = first.and_then(|(at, len)| Some((text.get(..at)?, text.get(at + len..)?)));
    split.unwrap_or((text, ""))
}

/// A text that is one JSON object or array, in a fence or not.
fn json(text: &str) -> Option<FinalAnswer> {
    let bare = text.strip_prefix("```").and_then(|rest| {
        let (_, body) = rest.split_once('\n')?;
        body.trim_end().strip_suffix("```")
    });
    let bare = bare.unwrap_or(text).trim();
    if !bare.starts_with(['{', '[']) {
        return None;
    }
    let mut value: Value = serde_json::from_str(bare).ok()?;
    normalise(&mut value);
    let mut numbers: Vec<String> = bare
        .split(|one: char| !(one.is_ascii_digit() || matches!(one, '.' | '-' | '+' | 'e' | 'E')))
        .filter(|piece| piece.contains(|one: char| one.is_ascii_digit()))
        .map(shortest)
        .collect();
    numbers.sort_unstable();
    Some(FinalAnswer::Json(Json { value, numbers }))
}

/// Texts inside JSON are compared as texts are, and without case.
fn normalise(value: &mut Value) {
    match value {
        Value::String(text) => {
            let words: Vec<String> = tokens(without_exclamation(text))
                .into_iter()
                .map(|token| token.text.to_lowercase())
                .collect();
            if !words.is_empty() {
                *text = words.join(" ");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        Value::Object(fields) => fields.values_mut().for_each(normalise),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A sentence without its exclamation mark. Behind a name or a formula the mark is an operator.
fn without_exclamation(text: &str) -> &str {
    let is_word = |word: &str| {
        let word = word.trim_end_matches(',');
        word.len() > 1 && word.chars().all(char::is_alphabetic)
    };
    text.strip_suffix('!')
        .filter(|rest| rest.split(' ').count() > 2 && rest.split(' ').all(is_word))
        .unwrap_or(text)
}

/// An option's letter alone, or the only number, of a short last line.
fn of_last_line(text: &str) -> Option<FinalAnswer> {
    let line = text.lines().next_back()?.trim();
    if line.len() > LINE_LIMIT || line.starts_with("```") {
        return None;
    }
    let bare = line.trim_matches(|one: char| !one.is_alphanumeric());
    let option = ["option ", "choice ", "选项", "选"]
        .iter()
        .find_map(|word| bare.to_lowercase().strip_prefix(word).map(str::to_owned))
        .unwrap_or_else(|| bare.to_lowercase());
    // What is left of a list, its last item's label: `b)`.
    let is_label = line.ends_with(['.', ')']) && line.starts_with(|one: char| one.is_lowercase());
    let is_letter = option.len() == 1 && option.starts_with(|one: char| one.is_ascii_alphabetic());
    let is_number = option.len() < bare.len() && option.bytes().all(|one| one.is_ascii_digit());
    if (is_letter && !(is_label && option.len() == bare.len())) || is_number {
        return Some(FinalAnswer::Text(vec![option]));
    }
    if VERDICTS.contains(&option.as_str()) {
        return Some(FinalAnswer::Text(vec![option]));
    }
    last_number::stated(line, line == text.trim()).map(FinalAnswer::Text)
}
