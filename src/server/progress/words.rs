//! The words of the lines, by language. Pure.

use std::{borrow::Cow, time::Duration};

use crate::{
    types::{Message, Role},
    workflow::{DraftsCut, StageKind, StageReport, StageStatus},
};

/// A language that lines of progress are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Language {
    /// And whatever else.
    English,
    /// Simplified.
    Chinese,
}

impl Language {
    /// What the last question seems to be written in, by its characters: Japanese, which has Chinese
    /// ones too, has others beside them.
    pub(in crate::server) fn of(messages: &[Message]) -> Self {
        let question = messages.iter().rfind(|message| message.role == Role::User);
        let question = question.map(Message::joined_text).unwrap_or_default();
        let han = |character: char| matches!(character, '\u{3400}'..='\u{9fff}');
        let kana = |character: char| matches!(character, '\u{3040}'..='\u{30ff}');
        match question.contains(han) && !question.contains(kana) {
            true => Self::Chinese,
            false => Self::English,
        }
    }

    /// The one that an analyzer names, in whatever way.
    pub(super) fn named(name: &str) -> Self {
        let name = name.trim().to_lowercase();
        let code = name.split(['-', '_', ' ']).next().unwrap_or_default();
        let is_code = matches!(code, "zh" | "cn" | "zho" | "chi" | "cmn" | "yue");
        let words = ["chinese", "mandarin", "中文", "汉语", "漢語", "普通话"];
        match is_code || words.iter().any(|word| name.contains(word)) {
            true => Self::Chinese,
            false => Self::English,
        }
    }

    /// A pause before a model is asked again.
    pub(in crate::server) fn waiting(self, model: &str, pause: Duration, code: &str) -> String {
        let seconds = pause.as_secs_f64().ceil();
        match self {
            Self::English => format!("{model}: {code}, asked again in {seconds} s\n"),
            Self::Chinese => format!("{model}：{code}，{seconds} 秒后再问\n"),
        }
    }

    fn names(self, names: &[String]) -> Cow<'_, str> {
        let separator = match self {
            Self::English => ", ",
            Self::Chinese => "、",
        };
        joined(names, separator)
    }

    pub(super) fn begins(self, stage: StageKind, names: &[String]) -> String {
        let (before, behind) = match (self, stage) {
            (Self::English, StageKind::Analyzer) => ("analyzing with ", ""),
            (Self::English, StageKind::Worker) => ("asking ", ""),
            (Self::English, StageKind::Reranker) => ("ranking the drafts with ", ""),
            (Self::English, StageKind::Selector) => ("comparing the drafts with ", ""),
            (Self::English, StageKind::Synthesizer) => ("writing with ", ""),
            (Self::Chinese, StageKind::Analyzer) => ("正在用 ", " 分析问题"),
            (Self::Chinese, StageKind::Worker) => ("正在询问 ", ""),
            (Self::Chinese, StageKind::Reranker) => ("正在用 ", " 为草稿打分"),
            (Self::Chinese, StageKind::Selector) => ("正在用 ", " 比较草稿"),
            (Self::Chinese, StageKind::Synthesizer) => ("正在用 ", " 撰写回答"),
        };
        [before, &self.names(names), behind].concat()
    }

    /// Waiting for the permits of a model, or of the request.
    pub(super) fn queued(self, stage: StageKind, names: &[String]) -> String {
        let names = self.names(names);
        match self {
            Self::English => {
                format!("{} {names}: queued, waiting for a free place", stage.as_str())
            }
            Self::Chinese => format!("{} {names}：排队中，等待空闲名额", chinese_stage(stage)),
        }
    }

    /// `worker qwen#1: ok, 2.0 s` and the like.
    pub(super) fn ended(self, report: &StageReport, names: &[String]) -> String {
        let StageReport { stage, status, duration_ms, detail, .. } = report;
        let names = self.names(names);
        let space = if names.is_empty() { "" } else { " " };
        let (stage, status_word, colon) = match self {
            Self::English => (stage.as_str(), status.as_str(), ": "),
            Self::Chinese => (chinese_stage(*stage), chinese_status(*status), "："),
        };
        let mut line = [stage, space, &names, colon, status_word].concat();
        if let Some(detail) = detail {
            line.push_str(&self.in_parentheses(detail));
        }
        if *status != StageStatus::Skipped {
            let (before, behind) = match self {
                Self::English => (", ", " s"),
                Self::Chinese => ("，", " 秒"),
            };
            line.extend([before, &seconds(*duration_ms), behind]);
        }
        line
    }

    fn in_parentheses(self, text: &str) -> String {
        match self {
            Self::English => [" (", text, ")"].concat(),
            Self::Chinese => ["（", text, "）"].concat(),
        }
    }

    /// The writers that failed, by reason, each reason once.
    fn failures(self, reasons: &[(&str, Vec<String>)]) -> String {
        let many = reasons.iter().map(|(_, names)| names.len()).sum::<usize>() > 1;
        let failed = reasons.iter().map(|(code, names)| {
            let names = self.names(names);
            let why = self.in_parentheses(code);
            match self {
                Self::English => format!("{names} failed{why}"),
                Self::Chinese => format!("{names} 失败{why}"),
            }
        });
        let failed: Vec<String> = failed.collect();
        match self {
            Self::English => {
                format!("writer{} {}", if many { "s" } else { "" }, failed.join(", "))
            }
            Self::Chinese => format!("合成器 {}", failed.join("，")),
        }
    }

    /// Another model writes.
    pub(super) fn written_by(self, reasons: &[(&str, Vec<String>)], model: &str) -> String {
        let failures = self.failures(reasons);
        match self {
            Self::English => format!("{failures}; {model} writes"),
            Self::Chinese => format!("{failures}，改由 {model} 撰写"),
        }
    }

    /// A draft is the answer.
    pub(super) fn answered_by_draft(self, reasons: &[(&str, Vec<String>)], worker: &str) -> String {
        let failures = self.failures(reasons);
        match self {
            Self::English => format!("{failures}; the draft of {worker} follows"),
            Self::Chinese => format!("{failures}，下面是 {worker} 的草稿"),
        }
    }

    pub(super) fn cut(self, cut: &DraftsCut) -> String {
        let DraftsCut { model, context_tokens, shown, whole } = cut;
        let (shown, whole) = (kilobytes(*shown), kilobytes(*whole));
        match self {
            Self::English => format!(
                "the drafts do not fit the context of {model} ({context_tokens} tokens): {shown} of \
                 {whole} KB are shown"
            ),
            Self::Chinese => format!(
                "草稿超出 {model} 的上下文（{context_tokens} 个 token）：{whole} KB 中只给出 {shown} KB"
            ),
        }
    }

    pub(super) fn draft_of(self, worker: &str) -> String {
        match self {
            Self::English => format!("draft of {worker}:"),
            Self::Chinese => format!("{worker} 的草稿："),
        }
    }
}

fn chinese_stage(stage: StageKind) -> &'static str {
    match stage {
        StageKind::Analyzer => "分析器",
        StageKind::Worker => "worker",
        StageKind::Reranker => "重排器",
        StageKind::Selector => "选择器",
        StageKind::Synthesizer => "合成器",
    }
}

fn chinese_status(status: StageStatus) -> &'static str {
    match status {
        StageStatus::Ok => "完成",
        StageStatus::Failed => "失败",
        StageStatus::Timeout => "超时",
        StageStatus::Cut => "已停止",
        StageStatus::Cancelled => "已取消",
        StageStatus::Skipped => "跳过",
    }
}

/// Seconds with one decimal.
pub(in crate::server) fn seconds(milliseconds: u64) -> String {
    let tenths = milliseconds.saturating_add(50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Kilobytes, at least one.
pub(in crate::server) fn kilobytes(bytes: usize) -> usize {
    bytes.div_ceil(1000)
}

pub(in crate::server) fn joined<'n>(names: &'n [String], separator: &str) -> Cow<'n, str> {
    match names {
        [one] => Cow::Borrowed(one),
        many => Cow::Owned(many.join(separator)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_gives_its_language() {
        for (question, want) in [
            ("天空为什么是蓝色的？", Language::Chinese),
            ("translate 你好", Language::Chinese),
            ("why is the sky blue?", Language::English),
            ("空はなぜ青いのですか", Language::English),
            ("", Language::English),
        ] {
            let messages = [
                Message::text(Role::System, "你是助手"),
                Message::text(Role::User, question),
                Message::text(Role::Assistant, "好"),
            ];
            assert_eq!(Language::of(&messages), want, "{question}");
        }
        for (name, want) in [
            ("zh", Language::Chinese),
            ("ZH-hans", Language::Chinese),
            ("Chinese (Simplified)", Language::Chinese),
            ("中文", Language::Chinese),
            ("en", Language::English),
            ("ja", Language::English),
        ] {
            assert_eq!(Language::named(name), want, "{name}");
        }
    }
}
