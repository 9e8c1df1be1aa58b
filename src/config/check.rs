//! The file to a [`Config`]: every section read, then what spans sections. All problems are
//! gathered in the [`Report`]; a config comes out only when there are none.

mod alias;
mod client;
mod doubts;
mod hedges;
mod model;
mod secret;
mod server;
pub(super) mod source;
mod timing;
mod transport;
mod workflow;

use std::{path::Path, sync::Arc};

use super::{
    Config, ConfigError, Env, LogFormat, Overrides, Plan, Server, Transport,
    error::did_you_mean,
    legacy,
    raw::Table,
    report::{Remarks, Report},
};
use model::Models;
use secret::Secrets;
use source::Source;

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// Everything wrong with it, at once.
    pub fn load(path: &Path, env: Env<'_>) -> Result<Self, ConfigError> {
        Self::load_with(path, env, &Overrides::default())
    }

    /// [`Config::load`] with what the command line says instead of the file.
    ///
    /// # Errors
    /// Everything wrong with it, at once.
    pub fn load_with(
        path: &Path,
        env: Env<'_>,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        // It may hold keys.
        let bytes = super::read::config(path).map_err(|error| {
            let what = format!("the file cannot be read: {error}");
            ConfigError::single(&name, what, "name a readable file with --config")
        })?;
        let text = str::from_utf8(&bytes).map_err(|_| {
            ConfigError::single(&name, "the file is not UTF-8", "save it as UTF-8 text")
        })?;
        read(text, &Source { path: Some(path), env, overrides, on_disk: true })
    }

    /// Checks a config's text; `path` is for messages and relative files.
    ///
    /// # Errors
    /// Everything wrong with it, at once.
    pub fn parse(text: &str, path: Option<&Path>, env: Env<'_>) -> Result<Self, ConfigError> {
        let overrides = &Overrides::default();
        read(text, &Source { path, env, overrides, on_disk: false })
    }
}

/// Reads the whole file.
fn read(text: &str, source: &Source<'_>) -> Result<Config, ConfigError> {
    let report = Report::new(text, source.path);
    let config = Table::document(text, &report).and_then(|table| file(table, source));
    let (file, files) = (report.shown(&report.whole_file()), report.named_files());
    let Remarks { warnings, notices } = report.finish()?;
    match config {
        Some(config) => Ok(Config { files, warnings, notices, ..config }),
        // Whoever returns `None` has reported why; should one forget, a refusal is still right.
        None => Err(ConfigError::single(file, "the config is not complete", "see the example")),
    }
}

fn file(mut table: Table<'_, '_>, source: &Source<'_>) -> Option<Config> {
    let report = table.report;
    let secrets = Secrets::new(report, source);
    let server_table = table.table("server", "[server]");
    let has_server = server_table.is_some();
    let server = server::read(server_table, source.overrides, report);
    let clients = client::read(table.tables("client").0, &secrets);
    let (models, single) = table.tables("model");
    if let (true, Some(model)) = (single, models.first()) {
        legacy::single_model(report, &model.span);
    }
    let models = model::read(models, &secrets);
    let server = server.with(&models, report);
    models.refuse_own(&server, report);
    let mut workflow = table.table("workflow", "[workflow]");
    let has_timeouts = workflow.as_ref().is_some_and(|table| table.has("timeouts"));
    let timeouts = timing::read(workflow.as_mut(), report);
    let transport = transport::read(workflow.as_mut());
    if let Some(workflow) = workflow {
        workflow.finish();
    }
    let several = table.has("workflow-profile");
    let around = workflow::Around { models: &models, limits: &timeouts.limits, report, several };
    let integration = table.table("workflow-integration", "[workflow-integration]");
    let workflow = workflow::integration(integration, &around);
    let profile_tables = table.tables("workflow-profile").0;
    let written = profile_tables.len();
    let profiles = workflow::profiles(profile_tables, &around);
    let targets =
        alias::Targets { models: &models, profiles: &profiles, all: profiles.len() == written };
    let aliases = alias::read(table.tables("alias").0, &targets);
    let log_format = source.overrides.log_format.unwrap_or(log(&mut table));
    table.finish();

    exposed(&server, clients.is_empty(), report, source.overrides);
    let proxies = transport::proxies(&models, source.env, report);
    if report.is_old() {
        legacy::absent(report, has_server, has_timeouts, !models.without_temperature());
    }
    let plans: Vec<&Plan> =
        workflow.iter().chain(profiles.values()).map(|one| &*one.plan).collect();
    // Of a config with mistakes, what spans sections is only half known.
    if !report.is_broken() {
        unknown_domains(&timeouts, &models, report);
        hedges::idle(&plans, &models, &timeouts.limits, report);
    }
    let models = models.into_models();
    Some(Config {
        server,
        clients,
        models: models.into_iter().map(|model| (model.name.clone(), Arc::new(model))).collect(),
        workflow: workflow?,
        profiles,
        aliases,
        timeouts: timeouts.limits,
        retry: timeouts.retry,
        health: timeouts.health,
        transport: Transport { proxies, ..transport },
        log_format,
        path: source.path.map(Path::to_owned),
        files: Vec::new(),
        notices: Vec::new(),
        warnings: Vec::new(),
    })
}

fn log(table: &mut Table<'_, '_>) -> LogFormat {
    let Some(mut log) = table.table("log", "[log]") else { return LogFormat::Pretty };
    let formats = [("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];
    let format = log.choice("format", &formats);
    log.finish();
    format.map_or(LogFormat::Pretty, toml::Spanned::into_inner)
}

/// Refuses to serve strangers by accident.
fn exposed(server: &Server, open: bool, report: &Report<'_>, overrides: &Overrides) {
    if server.is_exposed(open) {
        let host = if overrides.host.is_some() { "--host" } else { "[server]: `host`" };
        report.problem_at(
            report.whole_file(),
            format!("{host} is reachable from other machines and there is no [[client]]"),
            "add a [[client]] with a key, listen on 127.0.0.1, or set \
             `allow_unauthenticated = true` in [server]",
        );
    }
}

fn unknown_domains(timeouts: &timing::Limits, models: &Models, report: &Report<'_>) {
    for (name, place) in &timeouts.places {
        if !models.has_host(name) {
            let what = format!("[workflow.domains.\"{name}\"] is the host of no model");
            let remedy = match did_you_mean(name, models.hosts().iter().map(String::as_str)) {
                Some(host) => format!("did you mean `{host}`?"),
                None => "correct the host, or take the section out".to_owned(),
            };
            report.warn(place.clone(), what, remedy);
        }
    }
}
