//! Lines of progress for the reasoning channel of a workflow's stream: which stages begin, how they
//! end, and what stands in for one that failed, in the language of the question. Pure; no prompt and
//! no key is in an event, and a draft only where it is to be shown.

mod words;

pub(super) use words::Language;

use crate::{
    config::Progress,
    types::marked,
    workflow::{Event, Fallback, StageKind, StageReport, StageStatus, Successor},
};

/// Gathers what happens at one time into as few lines as say it.
#[derive(Debug)]
pub(super) struct Reporter {
    mode: Progress,
    language: Language,
    waiting: Vec<Entry>,
}

/// What one line, or a draft, is about.
#[derive(Debug)]
enum Entry {
    Begins { stage: StageKind, names: Vec<String> },
    Queued { stage: StageKind, names: Vec<String> },
    Ended { report: StageReport, names: Vec<String> },
    Line(String),
}

impl Reporter {
    /// A reporter in the language the question seems to be in, until the analysis says more.
    pub(super) fn new(mode: Progress, language: Language) -> Self {
        Self { mode, language, waiting: Vec::new() }
    }

    /// Takes an event in; most are no progress.
    pub(super) fn take(&mut self, event: &Event) {
        if self.mode == Progress::Off {
            return;
        }
        match event {
            Event::StageStarted { stage, name } => self.begins(*stage, name),
            Event::StageQueued { stage, name } => self.queued(*stage, name),
            Event::StageFinished(report) => self.ended(report),
            Event::Fallback(fallback) => self.falls_back(fallback),
            Event::DraftsCut(cut) => self.waiting.push(Entry::Line(self.language.cut(cut))),
            Event::Draft { name, text } => {
                let heading = self.language.draft_of(name);
                self.waiting.push(Entry::Line(format!("{heading}\n{}", text.trim())));
            }
            Event::DraftBegun
            | Event::Waiting { .. }
            | Event::Delta(_)
            | Event::Finished(_)
            | Event::Failed(_) => {}
        }
    }

    /// Whether there are lines that wait.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The lines that wait, each with its line break, and marked, since clients send them back as if
    /// a model had thought them; nothing when there are none.
    pub(super) fn flush(&mut self) -> Option<String> {
        let lines = self.lines();
        (!lines.is_empty()).then(|| lines.iter().map(|line| marked(line)).collect())
    }

    /// The lines that wait, as they are.
    pub(super) fn lines(&mut self) -> Vec<String> {
        let worded = |entry| match entry {
            Entry::Begins { stage, names } => self.language.begins(stage, &names),
            Entry::Queued { stage, names } => self.language.queued(stage, &names),
            Entry::Ended { report, names } => self.language.ended(&report, &names),
            Entry::Line(line) => line,
        };
        std::mem::take(&mut self.waiting).into_iter().map(worded).collect()
    }

    fn begins(&mut self, stage: StageKind, name: &str) {
        if let Some(Entry::Begins { stage: last, names }) = self.waiting.last_mut()
            && *last == stage
        {
            names.push(name.to_owned());
            return;
        }
        self.waiting.push(Entry::Begins { stage, names: vec![name.to_owned()] });
    }

    fn queued(&mut self, stage: StageKind, name: &str) {
        if let Some(Entry::Queued { stage: last, names }) = self.waiting.last_mut()
            && *last == stage
        {
            names.push(name.to_owned());
            return;
        }
        self.waiting.push(Entry::Queued { stage, names: vec![name.to_owned()] });
    }

    /// Those that did not succeed for the same reason at the same time share a line.
    fn ended(&mut self, report: &StageReport) {
        if let Some(language) = &report.language {
            self.language = Language::named(language);
        }
        let alike = self.waiting.iter_mut().find_map(|entry| match entry {
            Entry::Ended { report: other, names }
                if report.status != StageStatus::Ok
                    && (other.stage, other.status) == (report.stage, report.status)
                    && other.detail == report.detail =>
            {
                other.duration_ms = other.duration_ms.max(report.duration_ms);
                Some(names)
            }
            Entry::Begins { .. } | Entry::Queued { .. } | Entry::Ended { .. } | Entry::Line(_) => {
                None
            }
        });
        match alike {
            Some(names) => names.push(report.name.clone()),
            None => {
                let names = vec![report.name.clone()];
                self.waiting.push(Entry::Ended { report: report.clone(), names });
            }
        }
    }

    fn falls_back(&mut self, fallback: &Fallback) {
        let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
        for (model, code) in &fallback.failed {
            match reasons.iter_mut().find(|(known, _)| known == code) {
                Some((_, names)) => names.push(model.clone()),
                None => reasons.push((code, vec![model.clone()])),
            }
        }
        let line = match &fallback.to {
            Successor::Model(model) => self.language.written_by(&reasons, model),
            Successor::Draft(worker) => self.language.answered_by_draft(&reasons, worker),
        };
        self.waiting.push(Entry::Line(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{types::without_progress, workflow::DraftsCut};

    fn report(stage: StageKind, name: &str, status: StageStatus, ms: u64) -> StageReport {
        StageReport {
            stage,
            name: name.to_owned(),
            status,
            duration_ms: ms,
            detail: None,
            degrades: false,
            language: None,
        }
    }

    fn because(why: &str, report: StageReport) -> Event {
        Event::StageFinished(StageReport { detail: Some(why.to_owned()), ..report })
    }

    fn starts(stage: StageKind, name: &str) -> Event {
        Event::StageStarted { stage, name: name.to_owned() }
    }

    fn lines(language: Language, events: &[Event]) -> String {
        let mut reporter = Reporter::new(Progress::Drafts, language);
        events.iter().for_each(|event| reporter.take(event));
        let text = reporter.flush().unwrap_or_default();
        assert_eq!(without_progress(&text), "", "{text}");
        // What marks it shows nothing.
        text.replace("\n\u{2063}\n", "\n").replace('\u{2063}', "")
    }

    /// Every kind of line, in both languages.
    #[test]
    fn lines_say_what_begins_and_how_it_ended() {
        use StageKind::{Analyzer, Reranker, Selector, Synthesizer, Worker};
        use StageStatus::{Cut, Failed, Ok, Skipped, Timeout};
        let failed = |to| {
            let failed = vec![("qwen3:8b".to_owned(), "timeout"), ("w2".to_owned(), "timeout")];
            Event::Fallback(Fallback { failed, to })
        };
        let cut = DraftsCut {
            model: "writer".to_owned(),
            context_tokens: 8192,
            shown: 1381,
            whole: 18_394,
        };
        let events = [
            starts(Analyzer, "small"),
            starts(Worker, "qwen3:8b"),
            starts(Worker, "llama3.2:3b"),
            Event::StageQueued { stage: Worker, name: "qwen3:8b".to_owned() },
            Event::StageQueued { stage: Worker, name: "llama3.2:3b".to_owned() },
            because("code", report(Analyzer, "small", Ok, 49)),
            Event::StageFinished(report(Worker, "qwen#1", Ok, 1980)),
            because("timeout", report(Worker, "b", Timeout, 60_000)),
            because("timeout", report(Worker, "c", Timeout, 60_400)),
            because("upstream_error", report(Worker, "d", Failed, 100)),
            Event::StageFinished(report(Worker, "e", Cut, 1500)),
            starts(Reranker, "judge"),
            because("kept 2 of 4", report(Reranker, "judge", Ok, 700)),
            starts(Selector, "judge"),
            because("one candidate", report(Selector, "", Skipped, 0)),
            starts(Synthesizer, "writer"),
            Event::DraftsCut(cut),
            failed(Successor::Model("gemma3:4b".to_owned())),
            failed(Successor::Draft("gemma3:4b".to_owned())),
            Event::Draft { name: "qwen#1".to_owned(), text: "Because.\nYes.\n".to_owned() },
        ];
        insta::assert_snapshot!(lines(Language::English, &events), @r"
        analyzing with small
        asking qwen3:8b, llama3.2:3b
        worker qwen3:8b, llama3.2:3b: queued, waiting for a free place
        analyzer small: ok (code), 0.0 s
        worker qwen#1: ok, 2.0 s
        worker b, c: timeout (timeout), 60.4 s
        worker d: failed (upstream_error), 0.1 s
        worker e: cut, 1.5 s
        ranking the drafts with judge
        reranker judge: ok (kept 2 of 4), 0.7 s
        comparing the drafts with judge
        selector: skipped (one candidate)
        writing with writer
        the drafts do not fit the context of writer (8192 tokens): 2 of 19 KB are shown
        writers qwen3:8b, w2 failed (timeout); gemma3:4b writes
        writers qwen3:8b, w2 failed (timeout); the draft of gemma3:4b follows
        draft of qwen#1:
        Because.
        Yes.
        ");
        insta::assert_snapshot!(lines(Language::Chinese, &events), @r"
        正在用 small 分析问题
        正在询问 qwen3:8b、llama3.2:3b
        worker qwen3:8b、llama3.2:3b：排队中，等待空闲名额
        分析器 small：完成（code），0.0 秒
        worker qwen#1：完成，2.0 秒
        worker b、c：超时（timeout），60.4 秒
        worker d：失败（upstream_error），0.1 秒
        worker e：已停止，1.5 秒
        正在用 judge 为草稿打分
        重排器 judge：完成（kept 2 of 4），0.7 秒
        正在用 judge 比较草稿
        选择器：跳过（one candidate）
        正在用 writer 撰写回答
        草稿超出 writer 的上下文（8192 个 token）：19 KB 中只给出 2 KB
        合成器 qwen3:8b、w2 失败（timeout），改由 gemma3:4b 撰写
        合成器 qwen3:8b、w2 失败（timeout），下面是 gemma3:4b 的草稿
        qwen#1 的草稿：
        Because.
        Yes.
        ");
    }

    #[test]
    fn the_analysis_decides_the_language() {
        let analysed = |language: &str| {
            let report = report(StageKind::Analyzer, "small", StageStatus::Ok, 100);
            Event::StageFinished(StageReport { language: Some(language.to_owned()), ..report })
        };
        for (first, language, want) in [
            (Language::English, "zh-CN", "正在用 w 撰写回答\n"),
            (Language::English, "Chinese", "正在用 w 撰写回答\n"),
            (Language::Chinese, "en", "writing with w\n"),
            (Language::Chinese, "fr", "writing with w\n"),
        ] {
            let mut reporter = Reporter::new(Progress::Stages, first);
            reporter.take(&analysed(language));
            drop(reporter.flush());
            reporter.take(&starts(StageKind::Synthesizer, "w"));
            assert_eq!(reporter.flush(), Some(marked(want)), "{language}");
        }
    }

    #[test]
    fn nothing_is_said_when_nobody_wants_it() {
        let mut reporter = Reporter::new(Progress::Off, Language::English);
        reporter.take(&starts(StageKind::Worker, "a"));
        assert_eq!(reporter.flush(), None);
    }
}
