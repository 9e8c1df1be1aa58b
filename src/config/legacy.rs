//! Forms that earlier versions wrote. Each is read as what it means now, with one notice.

use std::ops::Range;

use serde_json::{Value, json};

pub(crate) use super::file::wording::MILLISECONDS_FROM;
use super::{
    file::workflow::Integration,
    report::{FileSpan, Report},
    section::Section,
    tree::Spots,
};

/// `[model]` instead of `[[model]]`.
pub(super) fn single_model(report: &Report<'_>, span: &Range<usize>) {
    report.notice(report.place(span), "the single table [model] is read as one [[model]]");
}

/// Keys that named the stages' models before there was a plan in JSON.
pub(crate) const STAGE_KEYS: [&str; 4] =
    ["analyzer_model", "worker_models", "selector_model", "synthesizer_model"];

/// `analyzer_model = "a"`, `worker_models = ["b"]` and so on, as the plan's JSON, and where each of
/// its models is written; `None` when none of them is there.
pub(super) fn stage_keys(table: &Integration, at: &Section<'_, '_>) -> Option<(Value, Spots)> {
    if !STAGE_KEYS.iter().any(|key| at.has(key)) {
        return None;
    }
    let Integration { analyzer_model, worker_models, selector_model, synthesizer_model, .. } =
        table;
    let mut spots = Spots::default();
    let mut note = |path: &str, key: &str| {
        if let (true, Some(span)) = (at.has(key), at.span(key)) {
            spots.insert(path, span);
        }
    };
    let selector = if at.has("selector_model") { "selector_model" } else { "synthesizer_model" };
    note("analyzer", "analyzer_model");
    note("selector", selector);
    note("synthesizer", "synthesizer_model");
    for index in 0..worker_models.as_ref().map_or(0, Vec::len) {
        note(&format!("workers[{index}]"), &format!("worker_models[{index}]"));
    }
    let plan = stage_plan(
        analyzer_model.clone(),
        worker_models.clone(),
        selector_model.clone(),
        synthesizer_model.clone(),
    );
    let text = match selector_model {
        Some(_) => "`analyzer_model`, `worker_models` and the like are read as a workflow",
        None => {
            "`analyzer_model`, `worker_models` and the like are read as a workflow whose selector \
             is the synthesizer's model"
        }
    };
    at.report.notice(at.place(""), text);
    Some((plan, spots))
}

/// The plan that stage keys mean: without a selector, the synthesizer's model selects.
pub(crate) fn stage_plan(
    analyzer: Option<String>,
    workers: Option<Vec<String>>,
    selector: Option<String>,
    synthesizer: Option<String>,
) -> Value {
    let node = |model: String| json!({ "ref": model });
    let selector = selector.or_else(|| synthesizer.clone());
    let workers = workers.map(|all| all.into_iter().map(node).collect());
    let stages = [
        ("analyzer", analyzer.map(node)),
        ("workers", workers),
        ("selector", selector.map(node)),
        ("synthesizer", synthesizer.map(node)),
    ];
    let there = stages.into_iter().filter_map(|(key, stage)| Some((key.to_owned(), stage?)));
    Value::Object(there.collect())
}

/// Time limits that turned out to be milliseconds, gathered for one notice.
#[derive(Default)]
pub(super) struct Milliseconds {
    first: Option<FileSpan>,
    read: Vec<String>,
}

impl Milliseconds {
    /// The seconds a limit means.
    pub(super) fn seconds(&mut self, at: &Section<'_, '_>, key: &str, written: f64) -> f64 {
        if written < MILLISECONDS_FROM {
            return written;
        }
        let seconds = written / 1000.0;
        self.first.get_or_insert_with(|| at.place(key));
        self.read.push(format!("{} `{key} = {written}` as {seconds} s", at.label));
        seconds
    }

    pub(super) fn report(self, report: &Report<'_>) {
        if let Some(place) = self.first {
            let read = self.read.join(", ");
            let text = format!("time limits of 10000 and more are milliseconds: read {read}");
            report.notice(place, &text);
        }
    }
}

/// What old files lack. Leaving these out is fine in a new file, so only a file that is old in
/// another way is reported.
pub(super) fn absent(
    report: &Report<'_>,
    has_server: bool,
    has_timeouts: bool,
    has_temperature: bool,
) {
    let place = report.whole_file();
    if !has_server {
        report.notice(place.clone(), "no [server]: it listens on 127.0.0.1:11435");
    }
    if !has_timeouts {
        let text = "no [workflow.timeouts]: 30 s for the analyzer, 60 s for every other stage";
        report.notice(place.clone(), text);
    }
    if !has_temperature {
        let text = "no model sets `temperature` or `auto_temperature`: the plan, the request and \
                    the defaults of TEMPERATURE_CONFIG.md decide";
        report.notice(place, text);
    }
}
