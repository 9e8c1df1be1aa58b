//! Forms that earlier versions wrote. Each is read as what it means now, with one notice.

use std::ops::Range;

use serde_json::{Value, json};
use toml::Spanned;

use super::{
    plan::Spots,
    raw::Table,
    report::{Place, Report},
};

/// Values of this and more under a `_secs` key are milliseconds.
pub(crate) const MILLISECONDS_FROM: f64 = 10_000.0;

/// `[model]` instead of `[[model]]`.
pub(super) fn single_model(report: &Report<'_>, span: &Range<usize>) {
    report.notice(report.place(span), "the single table [model] is read as one [[model]]");
}

/// Keys that named the stages' models before there was a plan in JSON.
pub(crate) const STAGE_KEYS: [&str; 4] =
    ["analyzer_model", "worker_models", "selector_model", "synthesizer_model"];

/// Whether any of them is there.
fn has_stage_keys(table: &Table<'_, '_>) -> bool {
    STAGE_KEYS.iter().any(|key| table.has(key))
}

/// `analyzer_model = "a"`, `worker_models = ["b"]` and so on, as the plan's JSON, and where each of
/// its models is written.
pub(super) fn stage_keys(table: &mut Table<'_, '_>) -> Option<(Value, Spots)> {
    if !has_stage_keys(table) {
        return None;
    }
    let report = table.report;
    let analyzer = table.string("analyzer_model");
    let workers = table.strings("worker_models");
    let selector = table.string("selector_model");
    let synthesizer = table.string("synthesizer_model");
    let mut spots = Spots::default();
    for (stage, model) in
        [("analyzer", &analyzer), ("selector", &selector), ("synthesizer", &synthesizer)]
    {
        model.iter().for_each(|model| spots.insert(stage, model.span()));
    }
    if let (None, Some(synthesizer)) = (&selector, &synthesizer) {
        spots.insert("selector", synthesizer.span());
    }
    for (index, worker) in workers.iter().flatten().enumerate() {
        spots.insert(format!("workers[{index}]"), worker.span());
    }
    let name = |model: &Option<Spanned<String>>| model.as_ref().map(|it| it.get_ref().clone());
    let workers = workers.map(|all| all.into_iter().map(Spanned::into_inner).collect());
    let plan = stage_plan(name(&analyzer), workers, name(&selector), name(&synthesizer));
    let text = match selector {
        Some(_) => "`analyzer_model`, `worker_models` and the like are read as a workflow",
        None => {
            "`analyzer_model`, `worker_models` and the like are read as a workflow whose selector \
             is the synthesizer's model"
        }
    };
    report.notice(report.place(&table.span), text);
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
    first: Option<Place>,
    read: Vec<String>,
}

impl Milliseconds {
    /// The seconds a limit means.
    pub(super) fn seconds(
        &mut self,
        table: &Table<'_, '_>,
        key: &str,
        value: &Spanned<f64>,
    ) -> f64 {
        let written = *value.get_ref();
        // Not NaN or infinity: those are out of range whatever the unit.
        if !written.is_finite() || written < MILLISECONDS_FROM {
            return written;
        }
        let seconds = written / 1000.0;
        self.first.get_or_insert_with(|| table.report.place(&value.span()));
        self.read.push(format!("{} `{key} = {written}` as {seconds} s", table.label));
        seconds
    }

    pub(super) fn tell(self, report: &Report<'_>) {
        if let Some(place) = self.first {
            let read = self.read.join(", ");
            let text = format!("time limits of 10000 and more are milliseconds: read {read}");
            report.notice(place, &text);
        }
    }
}

/// What old files lack. Leaving these out is fine in a new file, so only a file that is old in
/// another way is told.
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
