//! What was measured, the ratios it comes to, and whether they are within their bounds.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Fault,
    stats::{median, percentile},
};

/// Every value, in the order of the rounds.
#[derive(Default)]
pub(crate) struct Book {
    series: IndexMap<&'static str, Series>,
}

struct Series {
    unit: &'static str,
    by_target: IndexMap<&'static str, Vec<f64>>,
}

/// What a ratio is made of.
enum Of {
    /// One target's value over another's, round by round.
    Over(&'static str, &'static str),
    /// What one adds to straight-to-mock, over what the other adds.
    AddedOver(&'static str, &'static str),
    /// What it adds to straight-to-mock.
    Added(&'static str),
    /// The value itself.
    Itself(&'static str),
}

/// Which direction is better.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    Lower,
    Higher,
}

struct Definition {
    name: &'static str,
    series: &'static str,
    of: Of,
    better: Better,
    bound: Option<f64>,
    /// Steady enough for the check that runs on shared machines.
    gate: bool,
}

const fn at_most(name: &'static str, series: &'static str, of: Of, bound: f64) -> Definition {
    Definition { name, series, of, better: Better::Lower, bound: Some(bound), gate: false }
}

const fn at_least(name: &'static str, series: &'static str, of: Of, bound: f64) -> Definition {
    Definition { name, series, of, better: Better::Higher, bound: Some(bound), gate: false }
}

const fn gated(definition: Definition) -> Definition {
    Definition { gate: true, ..definition }
}

const fn shown(definition: Definition) -> Definition {
    Definition { bound: None, ..definition }
}

const CHORUS: &str = "chorus";
const BARE: &str = "bare";

/// Ratio by ratio; the part of a name before the first dot is its scenario.
const DEFINITIONS: &[Definition] = &[
    at_most("start.listening_ms", "start.listening", Of::Itself(CHORUS), 50.0),
    at_most("start.binary_mb", "start.binary", Of::Itself(CHORUS), 15.0),
    at_most("start.idle_memory_mb", "start.idle_memory", Of::Itself(CHORUS), 15.0),
    gated(at_most("connections.opened", "connections.opened", Of::Itself(CHORUS), 128.0)),
    shown(at_most("s1.one.p50_added_bare", "s1.one.p50", Of::AddedOver(BARE, "nginx"), 0.0)),
    at_most("s1.one.p50_added", "s1.one.p50", Of::AddedOver(CHORUS, "nginx"), 3.0),
    shown(at_most("s1.one.p50", "s1.one.p50", Of::Over(CHORUS, "nginx"), 0.0)),
    gated(shown(at_most("s1.one.p50_to_bare", "s1.one.p50", Of::Over(CHORUS, BARE), 0.0))),
    shown(at_least("s1.64.rate_bare", "s1.64.rate", Of::Over(BARE, "nginx"), 0.0)),
    at_least("s1.64.rate", "s1.64.rate", Of::Over(CHORUS, "nginx"), 0.5),
    gated(shown(at_least("s1.64.rate_to_bare", "s1.64.rate", Of::Over(CHORUS, BARE), 0.0))),
    shown(at_most("s1.64.cpu_bare", "s1.64.cpu", Of::Over(BARE, "nginx"), 0.0)),
    at_most("s1.64.cpu", "s1.64.cpu", Of::Over(CHORUS, "nginx"), 2.5),
    gated(shown(at_most("s1.64.cpu_to_bare", "s1.64.cpu", Of::Over(CHORUS, BARE), 0.0))),
    at_most("s2.one.gap.first_added_ms", "s2.one.gap.first", Of::Added(CHORUS), 0.5),
    at_most("s2.one.ready.first_added_ms", "s2.one.ready.first", Of::Added(CHORUS), 0.5),
    at_most("s2.one.gap.latest_ms", "s2.one.gap.latest", Of::Added(CHORUS), 40.0),
    gated(shown(at_most("s2.one.gap.first", "s2.one.gap.first", Of::Over(CHORUS, "nginx"), 0.0))),
    shown(at_least("s2.200.ready.rate_bare", "s2.200.ready.rate", Of::Over(BARE, "nginx"), 0.0)),
    at_least("s2.200.ready.rate", "s2.200.ready.rate", Of::Over(CHORUS, "nginx"), 0.2),
    gated(shown(at_least(
        "s2.200.ready.rate_to_bare",
        "s2.200.ready.rate",
        Of::Over(CHORUS, BARE),
        0.0,
    ))),
    shown(at_most("s2.200.gap.total_bare", "s2.200.gap.total", Of::Over(BARE, "nginx"), 0.0)),
    gated(at_most("s2.200.gap.total", "s2.200.gap.total", Of::Over(CHORUS, "nginx"), 1.005)),
    shown(at_most("s3.1.first_bare", "s3.1.first", Of::Over(BARE, "ideal"), 0.0)),
    gated(at_most("s3.1.first", "s3.1.first", Of::Over(CHORUS, "ideal"), 1.01)),
    gated(at_most("s3.1.total", "s3.1.total", Of::Over(CHORUS, "ideal"), 1.01)),
    shown(at_most("s3.8.first_bare", "s3.8.first", Of::Over(BARE, "ideal"), 0.0)),
    gated(at_most("s3.8.first", "s3.8.first", Of::Over(CHORUS, "ideal"), 1.01)),
    gated(at_most("s3.8.total", "s3.8.total", Of::Over(CHORUS, "ideal"), 1.01)),
    gated(at_most("s3.free.1.first", "s3.free.1.first", Of::Over(CHORUS, "ideal"), 1.01)),
    gated(at_most("s3.free.1.total", "s3.free.1.total", Of::Over(CHORUS, "ideal"), 1.01)),
    gated(at_most("s3.free.8.first", "s3.free.8.first", Of::Over(CHORUS, "ideal"), 1.01)),
    gated(at_most("s3.free.8.total", "s3.free.8.total", Of::Over(CHORUS, "ideal"), 1.01)),
    at_least("s3.32.calls", "s3.32.calls", Of::Itself(CHORUS), 20_000.0),
    gated(at_least("s3.32.calls_to_bare", "s3.32.calls", Of::Over(CHORUS, BARE), 0.7)),
    gated(at_most("s4.64_to_1", "s4.total", Of::Over("64", "1"), 1.05)),
    shown(at_most("s4.64_to_1_ideal", "s4.total", Of::Over("64 ideal", "1 ideal"), 0.0)),
    at_most("s5.errors", "s5.errors", Of::Itself(CHORUS), 0.0),
    at_most("s5.late_p99_ms", "s5.late_p99", Of::Itself(CHORUS), 50.0),
    at_most("s5.peak_memory_mb", "s5.peak_memory", Of::Itself(CHORUS), 80.0),
    gated(shown(at_most("s5.memory_to_bare", "s5.peak_memory", Of::Over(CHORUS, BARE), 0.0))),
];

/// What a later check compares with.
#[derive(Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// Medians by name.
    pub(crate) ratios: IndexMap<String, f64>,
}

/// A ratio's values, one a round.
pub(crate) struct Ratio {
    definition: &'static Definition,
    values: Vec<f64>,
}

impl Book {
    /// Adds a round's value.
    pub(crate) fn add(
        &mut self,
        series: &'static str,
        unit: &'static str,
        target: &'static str,
        value: f64,
    ) {
        let fresh = || Series { unit, by_target: IndexMap::new() };
        let series = self.series.entry(series).or_insert_with(fresh);
        series.by_target.entry(target).or_default().push(value);
    }

    /// Every ratio whose parts were measured.
    pub(crate) fn ratios(&self) -> Vec<Ratio> {
        let with = |definition| {
            let values = self.values(definition)?;
            Some(Ratio { definition, values })
        };
        DEFINITIONS.iter().filter_map(with).collect()
    }

    fn values(&self, definition: &Definition) -> Option<Vec<f64>> {
        let targets = &self.series.get(definition.series)?.by_target;
        let pair = |one: &str, other: &str, of: fn(f64, f64) -> f64| {
            let (one, other) = (targets.get(one)?, targets.get(other)?);
            Some(one.iter().zip(other).map(|(one, other)| of(*one, *other)).collect::<Vec<_>>())
        };
        match definition.of {
            Of::Itself(target) => targets.get(target).cloned(),
            Of::Over(one, other) => pair(one, other, |one, other| one / other),
            Of::Added(target) => pair(target, "mock", |one, mock| one - mock),
            Of::AddedOver(one, other) => {
                let added = pair(one, "mock", |one, mock| one - mock)?;
                let yardstick = pair(other, "mock", |one, mock| one - mock)?;
                Some(added.iter().zip(yardstick).map(|(one, other)| one / other).collect())
            }
        }
    }

    /// Medians by target, as Markdown.
    pub(crate) fn table(&self) -> String {
        let mut lines = vec![
            "| measured | unit | median by target |".to_owned(),
            "| --- | --- | --- |".to_owned(),
        ];
        for (name, series) in &self.series {
            let shown = series.by_target.iter();
            let shown = shown.map(|(target, values)| format!("{target} {}", short(median(values))));
            let shown = shown.collect::<Vec<_>>().join(", ");
            lines.push(format!("| {name} | {} | {shown} |", series.unit));
        }
        lines.join("\n")
    }

    /// Everything, for programs.
    pub(crate) fn json(&self, machine: Value, rounds: usize, quick: bool) -> Value {
        let series = self.series.iter().map(|(name, series)| {
            let value = json!({ "unit": series.unit, "by_target": series.by_target });
            ((*name).to_owned(), value)
        });
        let ratios = self.ratios().into_iter().map(|ratio| {
            let value = json!({
                "min": ratio.share(0.0), "median": ratio.median(), "max": ratio.share(1.0),
                "bound": ratio.definition.bound, "held": ratio.held(),
                "better": if ratio.definition.better == Better::Lower { "lower" } else { "higher" }
            });
            (ratio.definition.name.to_owned(), value)
        });
        let series: serde_json::Map<_, _> = series.collect();
        let ratios: serde_json::Map<_, _> = ratios.collect();
        json!({
            "machine": machine, "rounds": rounds, "quick": quick,
            "series": series, "ratios": ratios
        })
    }
}

impl Ratio {
    fn median(&self) -> f64 {
        median(&self.values)
    }

    fn share(&self, share: f64) -> f64 {
        percentile(&self.values, share)
    }

    /// Whether the median is within the bound, if there is one.
    fn held(&self) -> Option<bool> {
        let bound = self.definition.bound?;
        Some(match self.definition.better {
            Better::Lower => self.median() <= bound,
            Better::Higher => self.median() >= bound,
        })
    }

    /// Whether the median is twice as bad as it was.
    fn is_twice_as_bad(&self, before: f64) -> bool {
        match self.definition.better {
            Better::Lower => self.median() > before * 2.0,
            Better::Higher => self.median() < before / 2.0,
        }
    }
}

/// The ratios as Markdown.
pub(crate) fn ratio_table(ratios: &[Ratio]) -> String {
    let mut lines = vec![
        "| ratio | min | median | max | bound | |".to_owned(),
        "| --- | --- | --- | --- | --- | --- |".to_owned(),
    ];
    for ratio in ratios {
        let sign = if ratio.definition.better == Better::Lower { "<=" } else { ">=" };
        let bound = ratio.definition.bound.map_or(String::new(), |bound| format!("{sign} {bound}"));
        let held = match ratio.held() {
            None => "",
            Some(true) => "held",
            Some(false) => "missed",
        };
        let [min, middle, max] = [ratio.share(0.0), ratio.median(), ratio.share(1.0)].map(short);
        let name = ratio.definition.name;
        lines.push(format!("| {name} | {min} | {middle} | {max} | {bound} | {held} |"));
    }
    lines.join("\n")
}

/// The ratios that a check compares, to be written as a baseline.
pub(crate) fn baseline(ratios: &[Ratio]) -> Baseline {
    let gated = ratios.iter().filter(|ratio| ratio.definition.gate);
    // Three digits are more than two measurements have in common.
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    let ratios = gated.map(|ratio| (ratio.definition.name.to_owned(), rounded(ratio.median())));
    Baseline { ratios: ratios.collect() }
}

/// Names of the ratios that are twice as bad as in the baseline, and in what way.
///
/// # Errors
/// When one that is gated has no place in the baseline: then nothing would ever fail on it.
pub(crate) fn worse(
    ratios: &[Ratio],
    baseline: &Baseline,
) -> Result<HashMap<&'static str, String>, Fault> {
    let mut found = HashMap::new();
    for ratio in ratios.iter().filter(|ratio| ratio.definition.gate) {
        let name = ratio.definition.name;
        let before = *baseline.ratios.get(name).ok_or_else(|| format!("{name} has no baseline"))?;
        if ratio.is_twice_as_bad(before) {
            found.insert(name, format!("{} instead of {}", short(ratio.median()), short(before)));
        }
    }
    Ok(found)
}

/// A number with as many digits as mean something.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(values: &[(&'static str, f64)]) -> Book {
        let mut book = Book::default();
        for (target, value) in values {
            book.add("s1.one.p50", "ms", target, *value);
        }
        book
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let values = [("mock", 1.0), ("nginx", 2.0), ("chorus", 4.0), ("bare", 2.5)];
        let ratios = book(&values).ratios();
        let median = |name: &str| {
            ratios.iter().find(|ratio| ratio.definition.name == name).unwrap().median()
        };
        assert_eq!(median("s1.one.p50_added"), 3.0);
        assert_eq!(median("s1.one.p50"), 2.0);
    }

    #[test]
    fn a_ratio_twice_as_bad_is_found_and_one_without_a_baseline_is_an_error() {
        let ratios = book(&[("bare", 1.0), ("chorus", 4.0)]).ratios();
        for (before, want) in [(1.9, 1), (2.1, 0)] {
            let baseline = Baseline {
                ratios: [("s1.one.p50_to_bare".to_owned(), before)].into_iter().collect(),
            };
            assert_eq!(worse(&ratios, &baseline).unwrap().len(), want);
        }
        assert!(worse(&ratios, &Baseline { ratios: IndexMap::new() }).is_err());
    }
}
