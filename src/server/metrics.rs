//! What requests, runs, stages and upstreams did, counted for Prometheus.
//!
//! A run is counted once, from its record, when it is over, so that nothing is counted in the way of an
//! answer. Every label's value is a name of the config or a word of ours: what clients make up adds no
//! series.

pub(super) mod names;

use std::{fmt, time::Duration};

use metrics::{Label, SharedString, counter, histogram, with_local_recorder};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::workflow::{
    RunStatus, RunSummary, StageKind, StageStatus, WorkflowExecutionDetails,
    trace::{CallRecord, LevelRecord},
};
use names::{DURATIONS, Kind, METRICS};

/// The metrics of the process; they outlive a config.
pub(super) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let buckets = || -> Result<PrometheusBuilder, BuildError> {
            METRICS.iter().filter(|one| one.kind == Kind::Histogram).try_fold(
                PrometheusBuilder::new(),
                |builder, one| {
                    let name = Matcher::Full(one.name.to_owned());
                    builder.set_buckets_for_metric(name, &DURATIONS)
                },
            )
        };
        // The buckets are ours, and not none.
        let recorder = buckets().unwrap_or_default().build_recorder();
        let handle = recorder.handle();
        with_local_recorder(&recorder, names::describe);
        Self { recorder, handle }
    }
}

/// A label.
pub(super) fn label(name: &'static str, value: impl Into<SharedString>) -> Label {
    Label::new(name, value)
}

pub(super) fn of(name: &str) -> SharedString {
    name.to_owned().into()
}

impl Metrics {
    /// A request is over.
    pub(super) fn request(
        &self,
        path: &'static str,
        status: Option<u16>,
        code: Option<&'static str>,
    ) {
        let status = status.map_or(SharedString::from("none"), |status| status.to_string().into());
        let labels = vec![
            label("path", path),
            label("status", status),
            label("code", code.unwrap_or_default()),
        ];
        with_local_recorder(&self.recorder, || {
            counter!(names::REQUESTS, labels).increment(1);
        });
    }

    /// A run is over.
    pub(super) fn run(&self, summary: &RunSummary, trace: &WorkflowExecutionDetails) {
        with_local_recorder(&self.recorder, || {
            let name = of(&summary.name);
            let status = summary.status.as_str();
            let labels = vec![
                label("workflow", name.clone()),
                label("mode", summary.mode),
                label("status", status),
            ];
            counter!(names::RUNS, labels).increment(1);
            let model = || label("gen_ai_request_model", name.clone());
            let labels = vec![model(), label("status", status)];
            histogram!(names::RUN_DURATION, labels).record(seconds(trace.level.total_ms));
            if let Some(ms) = summary.first_token_ms {
                histogram!(names::FIRST_TOKEN, vec![model()]).record(seconds(ms));
            }
            if summary.status != RunStatus::Cancelled {
                histogram!(names::OVERHEAD, vec![model()]).record(trace.overhead.as_secs_f64());
            }
            level(&trace.level);
        });
    }

    /// What has been counted since the last look is put into its buckets, which would else take memory
    /// for as long as nobody asks.
    pub(super) fn settle(&self) {
        self.handle.run_upkeep();
    }

    /// All of it, after `set` has set what is so just now.
    pub(super) fn text(&self, set: impl FnOnce()) -> String {
        with_local_recorder(&self.recorder, set);
        self.handle.render()
    }
}

/// The stages of a level and below.
fn level(record: &LevelRecord) {
    let workflow = || label("workflow", of(&record.name));
    if let Some(analyzer) = &record.analyzer {
        stage(StageKind::Analyzer, &analyzer.call);
    }
    for worker in &record.workers {
        let worker_label = || label("worker", of(&worker.name));
        let status = label("status", worker.call.status.as_str());
        counter!(names::DRAFTS, vec![workflow(), worker_label(), status]).increment(1);
        match &worker.nested {
            Some(nested) => level(nested),
            None => stage(StageKind::Worker, &worker.call),
        }
    }
    if let Some(reranker) = &record.reranker {
        stage(StageKind::Reranker, &reranker.call);
    }
    if let Some(selector) = &record.selector {
        stage(StageKind::Selector, &selector.call);
        if let Some(worker) = &selector.selected_worker {
            counter!(names::WINS, vec![workflow(), label("worker", of(worker))]).increment(1);
        }
    }
    if let Some(synthesizer) = &record.synthesizer {
        // A level whose drafts say the same needs no writer.
        let skipped = synthesizer.call.status == StageStatus::Skipped;
        if !record.workers.is_empty() {
            let agreed = label("agreed", if skipped { "true" } else { "false" });
            counter!(names::AGREEMENT, vec![workflow(), agreed]).increment(1);
        }
        if synthesizer.fallback {
            counter!(names::FALLBACKS, vec![workflow()]).increment(1);
        }
        stage(StageKind::Synthesizer, &synthesizer.call);
    }
}

/// A stage, and its calls.
fn stage(kind: StageKind, call: &CallRecord) {
    if call.attempts == 0 && call.calls.is_empty() && call.status == StageStatus::Skipped {
        return;
    }
    let model = || label("gen_ai_request_model", of(&call.model));
    let labels =
        vec![label("stage", kind.as_str()), model(), label("status", call.status.as_str())];
    histogram!(names::STAGE_DURATION, labels).record(seconds(call.duration_ms));
    for attempt in &call.calls {
        let labels = vec![
            model(),
            label("server_address", of(&attempt.endpoint)),
            label("outcome", attempt.outcome),
        ];
        histogram!(names::CALL_DURATION, labels).record(seconds(attempt.ms));
    }
    let further = call.calls.len().saturating_sub(1 + usize::from(call.hedged));
    if further > 0 {
        counter!(names::RETRIES, vec![model()]).increment(u64::try_from(further).unwrap_or(0));
    }
    if call.hedged {
        counter!(names::HEDGES, vec![model()]).increment(1);
    }
    let usage = &call.usage;
    for (kind, tokens) in [("input", usage.prompt_tokens), ("output", usage.completion_tokens)] {
        if tokens > 0 {
            let labels = vec![model(), label("gen_ai_token_type", kind)];
            counter!(names::TOKENS, labels).increment(tokens);
        }
    }
    if let Some(cost) = usage.cost_usd.filter(|cost| *cost > 0.0) {
        // A counter of whole numbers only: billionths of a dollar.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cost is small and not negative"
        )]
        counter!(names::COST, vec![model()]).increment((cost * 1e9).round() as u64);
    }
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_metric_is_described_once_and_named_by_the_conventions() {
        let mut seen = BTreeSet::new();
        for one in METRICS {
            assert!(seen.insert(one.name), "{}", one.name);
            let is_plain =
                |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit();
            assert!(one.name.bytes().all(is_plain), "{}", one.name);
            assert_eq!(one.name.ends_with("_total"), one.kind == Kind::Counter, "{}", one.name);
            assert_eq!(
                one.name.ends_with("_seconds"),
                one.kind == Kind::Histogram || one.name == names::STARTED,
                "{}",
                one.name
            );
            assert!(one.meaning.ends_with('.'), "{}", one.name);
        }
    }

    #[test]
    fn every_metric_is_in_the_manual_in_both_languages() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        for language in ["en", "zh"] {
            let page = root.join(format!("docs/{language}/src/operations/metrics.md"));
            let page = std::fs::read_to_string(page).unwrap();
            for one in METRICS {
                assert!(page.contains(&format!("`{}`", one.name)), "{language}: {}", one.name);
            }
        }
    }
}
