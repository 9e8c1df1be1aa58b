//! Lines of progress, which clients send back as if a model had thought them. Every line that
//! Chorus writes into a reasoning channel ends in a mark, and what is read back is searched for it.

/// Marks the end of a line of progress: U+2063, which shows nothing and no model writes.
const MARK: char = '\u{2063}';
/// The mark with its line break.
const MARKED_END: &str = "\u{2063}\n";

/// What a line of a version without the mark begins with, and goes on with behind a name.
const STAGES: [&str; 5] = ["analyzer", "worker", "reranker", "selector", "synthesizer"];
const STATUSES: [&str; 7] = ["ok", "failed", "timeout", "skipped", "cut", "cancelled", "degraded"];
/// The stages' names in Chinese.
const CHINESE_STAGES: [&str; 5] = ["分析器", "worker", "重排器", "选择器", "合成器"];
const CHINESE_STATUSES: [&str; 6] = ["完成", "失败", "超时", "已停止", "已取消", "跳过"];

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
    // Without their marks, lines of what begins read like thoughts; they never come alone.
    let is_marked = text.lines().any(is_progress);
    if !text.contains(MARK) && !is_marked {
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
            None if inside || is_progress(line) || (is_marked && is_beginning(line)) => {}
            None => kept.push_str(line),
        }
    }
    if kept.trim().is_empty() { String::new() } else { kept }
}

/// Whether a line is one of progress by its form.
fn is_progress(line: &str) -> bool {
    let line = line.trim_end();
    is_end(line) || is_chinese_end(line) || is_remark(line)
}

/// `asking a, b` and its like: names without spaces behind words of Chorus.
fn is_beginning(line: &str) -> bool {
    const WORDS: [&str; 5] = [
        "analyzing with ",
        "asking ",
        "ranking the drafts with ",
        "comparing the drafts with ",
        "writing with ",
    ];
    const CHINESE: [&str; 4] = [" 分析问题", " 为草稿打分", " 比较草稿", " 撰写回答"];
    let line = line.trim();
    let names = WORDS.iter().find_map(|words| line.strip_prefix(words));
    let named = |names: &str| {
        names.split(", ").all(|name| !name.is_empty() && !name.contains(char::is_whitespace))
    };
    names.is_some_and(named)
        || line.starts_with("正在询问 ")
        || (line.starts_with("正在用 ") && CHINESE.iter().any(|end| line.ends_with(end)))
}

/// What stands between the two of these around a line.
fn between<'l>(line: &'l str, begins: &str, ends: &str) -> Option<&'l str> {
    line.strip_prefix(begins)?.strip_suffix(ends)
}

/// A line about a place in a queue, a pause, drafts that are cut or a writer that failed.
fn is_remark(line: &str) -> bool {
    let is_queued = [": queued, waiting for a free place", "：排队中，等待空闲名额"]
        .iter()
        .any(|end| line.ends_with(end));
    let stages = STAGES.iter().chain(&CHINESE_STAGES);
    let pause =
        [(", asked again in ", " s"), ("，", " 秒后再问")].into_iter().any(|(words, end)| {
            line.strip_suffix(end).and_then(|rest| rest.rsplit_once(words)).is_some_and(
                |(named, seconds)| named.contains([':', '：']) && seconds.parse::<u64>().is_ok(),
            )
        });
    let failed = between(line, "writer", " writes").or(between(line, "writer", " follows"));
    let chinese = between(line, "合成器 ", " 撰写").or(between(line, "合成器 ", " 的草稿"));
    (is_queued && stages.into_iter().any(|stage| line.starts_with(stage)))
        || pause
        || failed.is_some_and(|it| it.contains(" failed (") && it.contains("); "))
        || chinese.is_some_and(|it| it.contains(" 失败（"))
        || between(line, "the drafts do not fit the context of ", " KB are shown").is_some()
        || (line.starts_with("草稿超出 ") && line.contains(" KB 中只给出 "))
}

/// `分析器 small：完成（code），0.4 秒`
fn is_chinese_end(line: &str) -> bool {
    let begins =
        |stage: &&str| line.strip_prefix(*stage).is_some_and(|rest| rest.starts_with([' ', '：']));
    CHINESE_STAGES.iter().any(begins)
        && line.match_indices('：').any(|(at, colon)| {
            let rest = line.get(at.saturating_add(colon.len())..).unwrap_or_default();
            let status = CHINESE_STATUSES.iter().find_map(|status| rest.strip_prefix(status));
            status.is_some_and(|tail| {
                tail.is_empty()
                    || (tail.starts_with('（') && tail.ends_with('）'))
                    || (tail.starts_with(['（', '，']) && tail.ends_with(" 秒"))
            })
        })
}

/// `worker qwen#1: ok (why), 2.0 s`
fn is_end(line: &str) -> bool {
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
    fn lines_are_recognised_without_their_marks_by_their_wording() {
        for (line, ends) in [
            ("asking a, b\n", "worker a, b: cancelled, 2.0 s\n"),
            ("analyzing with small\n", "analyzer small: ok (code), 0.4 s\n"),
            ("writing with w\n", "worker a: queued, waiting for a free place\n"),
            ("正在询问 a、b\n", "worker a：完成，2.0 秒\n"),
            ("正在用 w 撰写回答\n", "合成器 w：失败（upstream_error），1.0 秒\n"),
            ("comparing the drafts with j\n", "m: rate_limited, asked again in 3 s\n"),
            ("", "writer w failed (timeout); v writes\n"),
            ("", "合成器 w 失败（timeout），下面是 a 的草稿\n"),
            ("", "the drafts do not fit the context of w (4096 tokens): 3 of 9 KB are shown\n"),
            ("", "草稿超出 w 的上下文（4096 个 token）：9 KB 中只给出 3 KB\n"),
            ("", "m：rate_limited，3 秒后再问\n"),
        ] {
            assert_eq!(without_progress(&format!("{line}{ends}")), "", "{line}{ends}");
            let text = format!("{line}{ends}I think.");
            assert_eq!(without_progress(&text), "I think.", "{line}{ends}");
            // Alone it may be a thought.
            assert_eq!(without_progress(line), line);
        }
        let ends = "worker a: ok, 2.0 s\n";
        for thought in [
            "asking for more would be rude",
            "writing with care, as I should",
            "the writer failed (twice) and writes",
            "worker：好的",
        ] {
            assert_eq!(without_progress(&format!("{ends}{thought}")), thought);
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
        fn whatever_a_line_says_its_mark_gives_it_away(
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
