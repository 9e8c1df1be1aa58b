//! The same as one JSON object, for programs. A further section is a further field of [`Report`].

use std::{
    io::{self, Write},
    path::Path,
};

use serde::Serialize;

use super::{
    cost::{self, Cost, ModelCost},
    tree::{self, Node},
};
use crate::{
    config::{Config, ConfigError, Diagnostic, Model, Severity, Spending, Workflow},
    llm::endpoint::probe::Probed,
    types::{escaped_json, without_keys},
};

#[derive(Serialize)]
struct Report<'a> {
    file: String,
    ok: bool,
    errors: usize,
    warnings: usize,
    notices: usize,
    diagnostics: Vec<Found<'a>>,
    /// The programs that were run and the Vault that was read.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    asked_for_keys: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<Vec<ShownModel<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflows: Option<Vec<ShownWorkflow<'a>>>,
    /// What `--probe` found of each endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    probe: Option<&'a [Probed]>,
}

#[derive(Serialize)]
struct Found<'a> {
    severity: &'static str,
    file: &'a str,
    /// These are null for what is about the file as a whole.
    line: Option<usize>,
    column: Option<usize>,
    length: Option<usize>,
    message: &'a str,
    help: &'a str,
    /// The line without secrets, and the place in it: what is hidden has another length.
    source_line: Option<&'a str>,
    source_column: Option<usize>,
    source_length: Option<usize>,
}

#[derive(Serialize)]
struct ShownModel<'a> {
    name: &'a str,
    protocol: &'static str,
    upstream_model: &'a str,
    endpoints: Vec<ShownEndpoint>,
}

#[derive(Serialize)]
struct ShownEndpoint {
    api_base: String,
    has_key: bool,
    priority: u32,
    weight: u32,
}

#[derive(Serialize)]
struct ShownWorkflow<'a> {
    name: &'a str,
    workers: usize,
    tree: Vec<Node>,
    #[serde(flatten)]
    total: Spent,
    /// Models without a `price`; while there are any, `cost_usd` is null.
    missing_prices: Vec<String>,
    models: Vec<ModelSpent>,
}

#[derive(Serialize)]
struct ModelSpent {
    name: String,
    #[serde(flatten)]
    spent: Spent,
}

#[derive(Serialize)]
struct Spent {
    calls: u64,
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: Option<f64>,
}

/// Writes the report of a config, good or bad, on one line.
pub(super) fn show(
    path: &Path,
    loaded: Result<&Config, &ConfigError>,
    probe: Option<&[Probed]>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let config = loaded.ok();
    let diagnostics: Vec<&Diagnostic> = match loaded {
        Ok(config) => config.warnings.iter().chain(&config.notices).collect(),
        Err(error) => error.diagnostics().iter().collect(),
    };
    let count = |severity| diagnostics.iter().filter(|one| one.severity == severity).count();
    let report = Report {
        file: path.display().to_string(),
        ok: config.is_some(),
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        notices: count(Severity::Notice),
        asked_for_keys: config.map_or(&[], |config| &config.asked),
        models: config.map(|config| config.models.values().map(|one| model(one)).collect()),
        workflows: config
            .map(|config| config.workflows().map(|one| workflow(config, one)).collect()),
        diagnostics: diagnostics.into_iter().map(found).collect(),
        probe,
    };
    writeln!(out, "{}", escaped_json(&serde_json::to_string(&report)?))
}

fn found(diagnostic: &Diagnostic) -> Found<'_> {
    let spot = diagnostic.spot.as_ref();
    Found {
        severity: diagnostic.severity.as_str(),
        file: &diagnostic.file,
        line: spot.map(|spot| spot.line),
        column: spot.map(|spot| spot.column),
        length: spot.map(|spot| spot.length),
        message: &diagnostic.what,
        help: &diagnostic.remedy,
        source_line: spot.map(|spot| spot.source.text.as_str()),
        source_column: spot.map(|spot| spot.source.column),
        source_length: spot.map(|spot| spot.source.length),
    }
}

fn model(model: &Model) -> ShownModel<'_> {
    let endpoints = model.endpoints.iter().map(|endpoint| ShownEndpoint {
        api_base: without_keys(endpoint.api_base.as_str()),
        has_key: !endpoint.api_key.is_empty(),
        priority: endpoint.priority,
        weight: endpoint.weight,
    });
    ShownModel {
        name: &model.name,
        protocol: model.protocol.as_str(),
        upstream_model: &model.upstream_model,
        endpoints: endpoints.collect(),
    }
}

fn workflow<'a>(config: &Config, workflow: &'a Workflow) -> ShownWorkflow<'a> {
    let plan = &workflow.plan;
    let Cost { models, total, dollars, missing } = cost::of(config, plan);
    let model =
        |one: ModelCost| ModelSpent { name: one.name, spent: spent(one.spending, one.dollars) };
    ShownWorkflow {
        name: &plan.name,
        workers: plan.leaf_count(),
        tree: tree::stages(plan),
        total: spent(total, dollars),
        missing_prices: missing,
        models: models.into_iter().map(model).collect(),
    }
}

fn spent(spending: Spending, cost_usd: Option<f64>) -> Spent {
    let Spending { calls, input_tokens, output_tokens } = spending;
    Spent { calls, input_tokens, output_tokens, cost_usd }
}
