//! Lines of progress, which clients send back as if a model had thought them. Every line that
//! Chorus writes into a reasoning channel ends in a mark, and what is read back is searched for it.

/// Behind the words of a line: U+2063, which shows nothing and no model writes.
const MARK: char = '\u{2063}';
/// The same with the line break.
const MARKED_END: &str = "\u{2063}\n";

/// What a line of a version without the mark begins with, and goes on with behind a name.
const STAGES: [&str; 5] = ["analyzer", "worker", "reranker", "selector", "synthesizer"];
const STATUSES: [&str; 6] = ["ok", "failed", "timeout", "skipped", "cut", "degraded"];

/// Words of Chorus' own, a line or several, marked as such and with their line break. Of several
/// lines the first says that more follow: marks inside would break a draft's code blocks.
#[must_use]
pub fn marked(words: &str) -> String {
    let words = words.trim_end();
    match words.split_once('\n') {
        None => [words, MARKED_END].concat(),
        Some((first, rest)) => format!("{first}{MARK}{MARK}\n{rest}\n{MARK}\n"),
    }
}

/// A chain of thought without Chorus' own words in it; empty when it was nothing else.
#[must_use]
pub fn without_progress(text: &str) -> String {
    if !text.contains(MARK) && !text.lines().any(is_progress) {
        return text.to_owned();
    }
    let (mut kept, mut inside) = (String::new(), false);
    for line in text.split_inclusive('\n') {
        match line.rsplit_once(MARK) {
            Some((own, thought)) => {
                inside = !inside && own.ends_with(MARK);
                // A client may have joined the line with what the model thought.
                kept.push_str(thought.strip_prefix('\n').unwrap_or(thought));
            }
            None if inside || is_progress(line) => {}
            None => kept.push_str(line),
        }
    }
    if kept.trim().is_empty() { String::new() } else { kept }
}

/// Whether a line is one of progress by its form: `worker qwen#1: ok (why), 2.0 s`.
fn is_progress(line: &str) -> bool {
    let line = line.trim_end();
    let begins =
        |stage: &&str| line.strip_prefix(*stage).is_some_and(|rest| rest.starts_with([' ', ':']));
    if !STAGES.iter().any(begins) {
        return false;
    }
    // A model's name may hold a colon itself.
    line.match_indices(": ").any(|(at, found)| {
        let rest = line.get(at.saturating_add(found.len())..).unwrap_or_default();
        let status = STATUSES.iter().find_map(|status| rest.strip_prefix(status));
        status.is_some_and(|tail| {
            tail.is_empty()
                || (tail.starts_with(" (") && tail.ends_with(')'))
                || ((tail.starts_with(" (") || tail.starts_with(", ")) && tail.ends_with(" s"))
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn own_lines_are_recognised_with_and_without_their_mark() {
        for line in [
            "worker qwen#1: ok, 2.0 s\n",
            "worker qwen3:8b: timeout (timeout), 60.0 s\n",
            "analyzer small: ok (code), 0.0 s\n",
            "selector: skipped (one candidate)\n",
        ] {
            assert_eq!(without_progress(line), "", "{line}");
            let text = format!("{line}I think.\n{line}So I do.");
            assert_eq!(without_progress(&text), "I think.\nSo I do.");
        }
        for thought in [
            "worker bees: ok, I see what is meant",
            "selector: the CSS one is needed",
            "The analyzer small: ok, 0.0 s",
            " \n",
            "",
        ] {
            assert_eq!(without_progress(thought), thought);
        }
    }

    #[test]
    fn a_draft_is_own_words_too() {
        let draft = marked("Draft of a:\n```rust\nfn f() {}\n```\n\nAnd so on.");
        assert!(draft.starts_with("Draft of a:") && draft.contains("\n```\n"), "{draft}");
        let text = format!("{}{draft}{}I think.", marked("worker a: ok"), marked("so"));
        assert_eq!(without_progress(&text), "I think.");
    }

    proptest! {
        #[test]
        fn whatever_a_line_says_its_mark_tells_it(
            line in "\\PC{0,40}", thought in "[a-z .\n]{0,40}",
        ) {
            let line = marked(&line);
            prop_assume!(!thought.trim().is_empty());
            prop_assert_eq!(without_progress(&line), "");
            let end = format!("{line}{thought}");
            prop_assert_eq!(without_progress(&end), thought.clone());
            let both = format!("{thought}\n{line}{line}{thought}");
            prop_assert_eq!(without_progress(&both), format!("{thought}\n{thought}"));
        }
    }
}
