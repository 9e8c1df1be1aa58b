//! Thoughts in a text that is there to its end, whose opening tag stood in the prompt: everything up
//! to the closing tag. Pure.
//!
//! An answer may talk about the tag, too. It is taken for the end of a thought when nothing opened it
//! before, and when it stands neither in code (a fence, or behind an odd number of backticks in its
//! line), nor in quotes, nor in a text that is JSON as a whole.

use super::{
    FINAL, FIRST, HEAD_END, Split, ThinkSplitter,
    tag::{Found, PAIRS, find},
};

/// Thoughts and answer of a whole text; `None` where no tag stands alone.
#[must_use]
pub(crate) fn split_folded(text: &str) -> Option<(String, String)> {
    // Most texts have none.
    let [one, two, three] = FIRST;
    memchr::memchr3(one, two, three, text.as_bytes())?;
    let (thought, rest) = at_lone_tag(text)?;
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if is_json {
        return None;
    }
    let (mut reasoning, mut answer) = (thought.trim().to_owned(), String::new());
    let mut splitter = ThinkSplitter::new();
    let pieces = splitter.push(rest.trim_start());
    for piece in pieces.into_iter().chain(splitter.finish()) {
        match piece {
            Split::Text(text) => answer.push_str(&text),
            Split::Reasoning(text) => reasoning.push_str(&text),
        }
    }
    Some((reasoning, answer))
}

/// What stands before and behind the first tag that ends a thought.
fn at_lone_tag(text: &str) -> Option<(&str, &str)> {
    let opens = |before: &str, open: &str| matches!(find(before, open), Found::At(..));
    let lone = |(open, close): &(&str, &str)| {
        let mut from = 0;
        while let Found::At(at, length) = find(text.get(from..)?, close) {
            let (at, end) =
                (from.saturating_add(at), from.saturating_add(at).saturating_add(length));
            let (before, behind) = (text.get(..at)?, text.get(end..)?);
            if !opens(before, open) && !is_mention(before, behind) {
                return Some((at, end, at));
            }
            from = end;
        }
        None
    };
    // Harmony's answer behind a thought whose header stood in the prompt.
    let channel = text.find(FINAL).and_then(|at| {
        let head = text.get(at..)?;
        let end = at.checked_add(head.find(HEAD_END)?)?.checked_add(HEAD_END.len())?;
        let thought = text.get(..at)?;
        let thought = thought.strip_suffix("<|start|>assistant").unwrap_or(thought);
        let thought = thought.strip_suffix("<|end|>").unwrap_or(thought);
        (!is_mention(text.get(..at)?, text.get(end..)?)).then_some((at, end, thought.len()))
    });
    let (_, behind, before) = PAIRS.iter().filter_map(lone).chain(channel).min()?;
    Some((text.get(..before)?, text.get(behind..)?))
}

/// Whether a tag between these texts is spoken of, not used.
fn is_mention(before: &str, behind: &str) -> bool {
    let is_fence =
        |line: &&str| ["```", "~~~"].iter().any(|mark| line.trim_start().starts_with(mark));
    if before.lines().filter(is_fence).count() % 2 == 1 {
        return true;
    }
    let line = before.rsplit('\n').next().unwrap_or_default();
    let in_code = line.matches('`').count() % 2 == 1;
    const QUOTES: [(char, char); 5] =
        [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’'), ('「', '」')];
    let in_quotes =
        QUOTES.iter().any(|(left, right)| before.ends_with(*left) && behind.starts_with(*right));
    in_code || in_quotes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::decode::think::{HEADS, RESPONSES};

    #[test]
    fn no_tag_is_overlooked() {
        let tags = PAIRS
            .iter()
            .flat_map(|(open, close)| [*open, *close])
            .chain([FINAL])
            .chain(RESPONSES.map(|(open, _)| open))
            .chain(HEADS);
        for tag in tags {
            assert!(tag.bytes().next().is_some_and(|first| FIRST.contains(&first)), "{tag}");
        }
    }

    #[test]
    fn everything_up_to_a_lone_closing_tag_is_a_thought() {
        for (text, thought, answer) in [
            ("plan\n</think>\n\nanswer", "plan", "answer"),
            ("plan</think>answer", "plan", "answer"),
            ("plan</THINK >answer", "plan", "answer"),
            ("plan </think> {\"a\":1}", "plan", "{\"a\":1}"),
            ("plan</think>\n", "plan", ""),
            ("计划\n</think>\n答案", "计划", "答案"),
            ("plan\n</thinking>\nanswer", "plan", "answer"),
            ("plan[/THINK]answer", "plan", "answer"),
            ("plan</seed:think>answer", "plan", "answer"),
            ("plan\n<channel|>answer", "plan", "answer"),
            ("a</think><think>b</think>c", "ab", "c"),
            ("it's `code`\n```\nx\n```\n</think>answer", "it's `code`\n```\nx\n```", "answer"),
            ("plan<|end|><|start|>assistant<|channel|>final<|message|>answer", "plan", "answer"),
        ] {
            let want = Some((thought.to_owned(), answer.to_owned()));
            assert_eq!(split_folded(text), want, "{text:?}");
        }
    }

    #[test]
    fn an_answer_may_speak_of_the_tag() {
        for text in [
            "plain",
            "It ends with `</think>`, always.",
            "```\n</think>\n```",
            "~~~xml\n<a>\n</think>\n~~~\nthat is it",
            "They stand between <think> and </think>.",
            "the tag \"</think>\" ends it",
            "标签「</think>」",
            "{\"tag\": \"a </think> b\"}",
            "\"a </think> b\"",
            "",
        ] {
            assert_eq!(split_folded(text), None, "{text:?}");
        }
    }
}
