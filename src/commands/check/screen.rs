//! A config that is fine, as people read it.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use super::{
    super::diagnostics::{self, Look},
    cost, tree,
};
use crate::{
    config::{
        Config, Endpoint, Model, Plan, Price,
        plan::{ANSWER_TOKENS, PROMPT_TOKENS},
    },
    types::{Protocol, without_keys},
};

/// Shows a config that is fine. `probing`: its endpoints are asked next.
///
/// # Errors
/// When `out` cannot be written to.
pub fn show(config: &Config, probing: bool, look: Look, out: &mut dyn Write) -> io::Result<()> {
    let path = config.path.as_deref().map_or("the config".into(), Path::to_string_lossy);
    let models = many(config.models.len(), "model");
    let workers: usize = config.workflows().map(|workflow| workflow.plan.leaf_count()).sum();
    let workers = many(workers, "worker");
    let remarks = match config.warnings.len() {
        0 => String::new(),
        count => format!(", {}", many(count, "warning")),
    };
    let workflows = match config.profiles.len() {
        0 => String::new(),
        more => format!(", {} workflows", more + 1),
    };
    let unasked = if probing { "" } else { "; no endpoint was asked (--probe does)" };
    writeln!(out, "{path} is fine{remarks}: {models}{workflows}, {workers}{unasked}")?;
    if !config.asked.is_empty() {
        writeln!(out, "Asked for keys: {}", config.asked.join(", "))?;
    }
    // First, since whoever reads that it is fine reads no further.
    if !config.warnings.is_empty() {
        writeln!(out)?;
        diagnostics::show(&config.warnings, look, out)?;
        writeln!(out, "{}", diagnostics::count(&config.warnings))?;
    }
    for workflow in config.workflows() {
        writeln!(out)?;
        tree::show(&workflow.plan, out)?;
    }
    writeln!(out)?;
    show_models(config, out)?;
    for workflow in config.workflows() {
        writeln!(out)?;
        show_cost(config, &workflow.plan, out)?;
    }
    writeln!(out)?;
    show_call_counts(config, out)?;
    show_free(config, out)?;
    if !config.notices.is_empty() {
        writeln!(out, "\nNotices\n")?;
        diagnostics::show(&config.notices, look, out)?;
        writeln!(out, "{}", diagnostics::count(&config.notices))?;
    }
    Ok(())
}

fn many(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn show_models(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Models")?;
    let width = config.models.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    for model in config.models.values() {
        let name = &model.name;
        writeln!(out, "  {name:width$}  {}", about(model))?;
    }
    Ok(())
}

fn about(model: &Model) -> String {
    let mut about = model.protocol.as_str().to_owned();
    for (index, endpoint) in model.endpoints.iter().enumerate() {
        about.push_str(if index == 0 { " at " } else { "; " });
        about.push_str(&without_keys(endpoint.api_base.as_str()));
        about.push_str(if endpoint.api_key.is_empty() { ", no key" } else { ", with a key" });
        if model.endpoints.len() > 1 {
            let Endpoint { weight, priority, .. } = endpoint;
            about.push_str(&format!(", priority {priority}, weight {weight}"));
        }
    }
    if model.upstream_model != model.name {
        about.push_str(&format!("; as {}", model.upstream_model));
    }
    if let Some(after) = model.hedge_after {
        about.push_str(&format!("; hedged after {} ms", after.as_millis()));
    }
    if model.warm_up {
        about.push_str("; kept warm");
    }
    about
}

/// What one request comes to by model, and whose price is missing.
fn show_cost(config: &Config, plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let cost = cost::of(config, plan);
    match config.profiles.is_empty() {
        true => writeln!(out, "Per request, at worst")?,
        false => writeln!(out, "Per request to {}, at worst", plan.name)?,
    }
    let rows = cost.rows();
    let priced = cost.missing.len() < cost.models.len();
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths = [0, 1, 2, 3, 4].map(widest);
    for [name, calls, input, output, dollars] in &rows {
        let [first, second, third, fourth, last] = widths;
        write!(out, "  {name:first$}  {calls:>second$}  {input:>third$}  {output:>fourth$}")?;
        match priced {
            true => writeln!(out, "  {dollars:>last$}")?,
            false => writeln!(out)?,
        }
    }
    if !cost.missing.is_empty() {
        writeln!(out, "  The cost is not known: no `price` for {}.", cost.missing.join(", "))?;
    }
    Ok(())
}

/// The models that a stage may ask a second time elsewhere, and when.
fn hedged(config: &Config) -> Option<String> {
    let plans = config.workflows().map(|workflow| &workflow.plan);
    let stages = plans.flat_map(|plan| plan.waiting_stages());
    let names: BTreeSet<&str> = stages.flat_map(|(_, stage)| stage.names()).collect();
    let models = names.into_iter().filter_map(|name| config.models.get(name));
    let late = |model: &Arc<Model>| {
        let after = model.hedge_after.filter(|_| model.hedges_elsewhere())?;
        Some(format!("{} after {} ms", model.name, after.as_millis()))
    };
    let all: Vec<String> = models.filter_map(late).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// How calls and tokens were counted.
fn show_call_counts(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "Counted: an analyzer and a worker once; a reranker and a synthesizer twice (again with \
         less when its context is too small); a selector three times (that, and to repair its \
         verdict); a fallback like what it stands in for."
    )?;
    if let Some(late) = hedged(config) {
        writeln!(out, "Counted too, since they hedge: a second call of {late}.")?;
    }
    writeln!(out, "Not counted: {}repairs of refused parameters.", further_attempts(config))?;
    if config.workflows().any(|workflow| workflow.plan.synthesizer.is_some()) {
        writeln!(
            out,
            "Nor counted, where tools may be called: one call of the best draft's model, which \
             writes when every writer has failed."
        )?;
    }
    writeln!(
        out,
        "Assumed: a prompt of {PROMPT_TOKENS} tokens; answers of {ANSWER_TOKENS}, or of `max_tokens` \
         where a stage has it; whoever judges or writes reads the prompt and all candidates, as far \
         as its `context_tokens` reach."
    )
}

/// The models that are free for where they are. A gateway there may pass them on to a provider who
/// wants money, which no name tells.
fn show_free(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let is_free = |model: &&Arc<Model>| {
        model.price == Some(Price::NOTHING) && model.protocol != Protocol::Ollama
    };
    let free = config.models.values().filter(is_free);
    let free: Vec<&str> = free.map(|model| model.name.as_str()).collect();
    if free.is_empty() {
        return Ok(());
    }
    let free = free.join(", ");
    writeln!(
        out,
        "Free, as what runs here is: {free}. A paid model behind a gateway needs a `price`."
    )
}

/// What a call that fails may cost besides.
fn further_attempts(config: &Config) -> String {
    let of = |model: &Model| config.retry.further_attempts(model.endpoints.len());
    let several = config.models.values().any(|model| model.endpoints.len() > 1);
    match config.models.values().map(|model| of(model)).max().unwrap_or_default() {
        0 => String::new(),
        most if several => format!(
            "up to {most} further attempts of each call that fails (retries and other endpoints of \
             its model together), and "
        ),
        most => format!("up to {most} retries of each call that fails, and "),
    }
}
