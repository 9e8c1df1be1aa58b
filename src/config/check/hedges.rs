//! `hedge_after_ms` that can do nothing.

use std::collections::HashSet;

use super::model::Models;
use crate::config::{LimitKind, Plan, Stage, TimeLimits, report::Report};

/// Warns of models that can never be asked a second time though they are told to be, and of those
/// that would be asked when nobody waits any more.
pub(super) fn idle(plans: &[&Plan], models: &Models, limits: &TimeLimits, report: &Report<'_>) {
    let stages: Vec<(LimitKind, &Stage)> =
        plans.iter().flat_map(|plan| plan.waiting_stages()).collect();
    let followed: HashSet<&str> = stages.iter().flat_map(|(_, stage)| followed(stage)).collect();
    for (model, place) in models.placed() {
        let Some(after) = model.hedge_after else { continue };
        let name = model.name.escape_debug();
        if !model.hedges_elsewhere() && !followed.contains(model.name.as_str()) {
            let what = format!(
                "model `{name}`: `hedge_after_ms` does nothing: the model has one endpoint, and no \
                 stage that waits for it has a `fallback` after it"
            );
            let remedy = "add a [[model.endpoint]] or a `fallback`, or take it out";
            report.warn(place.clone(), what, remedy);
            continue;
        }
        let waiting = stages.iter().filter(|(_, stage)| stage.names().any(|one| one == model.name));
        let limit =
            |(kind, stage): &(LimitKind, &Stage)| limits.of_model(*kind, model, stage.timeout);
        if let Some(longest) = waiting.map(limit).max().filter(|longest| after >= *longest) {
            let what = format!(
                "model `{name}`: `hedge_after_ms = {}` does nothing: no stage waits for it longer than \
                 {} s",
                after.as_millis(),
                longest.as_secs_f64()
            );
            let remedy = "write less than the time limit, or take it out";
            report.warn(place.clone(), what, remedy);
        }
    }
}

/// The models of a stage that have another one after them.
fn followed(stage: &Stage) -> Vec<&str> {
    let mut names: Vec<&str> = stage.names().collect();
    names.pop();
    names
}
