//! The file to a [`Config`]: every section read, then what spans sections. All problems are
//! gathered in the [`Report`]; a config comes out only when there are none.

mod alias;
mod audit;
mod client;
mod doubts;
mod hedges;
mod model;
mod network;
mod runs;
mod secret;
mod server;
pub(super) mod source;
mod timing;
mod tls;
mod transport;
mod workflow;

use std::{path::Path, sync::Arc};

use super::{
    Config, ConfigError, Env, Overrides, Plan, SecretStores, Server, Versions,
    error::{did_you_mean, other_name},
    file::File,
    grammar, legacy,
    report::{Remarks, Report},
    schema::Rule,
    shown, stored, syntax,
    tree::{Node, Spots, Value},
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
        Self::load_asking(path, env, overrides, &SecretStores::default())
    }

    /// [`Config::load_with`] with keys of stores that live longer than one load.
    ///
    /// # Errors
    /// Everything wrong with it, at once.
    pub fn load_asking(
        path: &Path,
        env: Env<'_>,
        overrides: &Overrides,
        stores: &SecretStores,
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
        read(text, &Source { path: Some(path), env, overrides, stores, on_disk: true })
    }

    /// Checks a config's text; `path` is for messages and relative files.
    ///
    /// # Errors
    /// Everything wrong with it, at once.
    pub fn parse(text: &str, path: Option<&Path>, env: Env<'_>) -> Result<Self, ConfigError> {
        Self::parse_asking(text, path, env, &SecretStores::default())
    }

    /// [`Config::parse`] with keys of these stores.
    ///
    /// # Errors
    /// Everything wrong with it, at once.
    pub fn parse_asking(
        text: &str,
        path: Option<&Path>,
        env: Env<'_>,
        stores: &SecretStores,
    ) -> Result<Self, ConfigError> {
        let overrides = &Overrides::default();
        read(text, &Source { path, env, overrides, stores, on_disk: false })
    }
}

/// Reads the whole file.
fn read(text: &str, source: &Source<'_>) -> Result<Config, ConfigError> {
    source.stores.begin();
    let report = Report::new(text, source.path);
    let file = syntax::document(text, &report).and_then(|node| sound(node, &report));
    let config = file.and_then(|file| checked(file, source, &report));
    let (file, files) = (report.shown(&report.whole_file()), report.named_files());
    let Remarks { warnings, notices } = report.finish()?;
    match config {
        Some(config) => {
            let stored = source.on_disk.then(|| stored::without_keys_of(text)).flatten();
            let stored = stored.map(String::into_boxed_str);
            let path = source.path.filter(|_| source.on_disk);
            let data_dir = config.server.data_dir.as_deref();
            let versions = path.zip(data_dir).and_then(|(path, dir)| Versions::within(dir, path));
            Ok(Config { files, warnings, notices, stored, versions, ..config })
        }
        // Whoever returns `None` has reported why; should one forget, a refusal is still right.
        None => Err(ConfigError::single(file, "the config is not complete", "see the example")),
    }
}

/// What of a file keys, kinds, words and bounds allow.
fn sound(mut node: Node, report: &Report<'_>) -> Option<File> {
    if let Some(Node { span, value: Value::Table(_) }) = node.get("model") {
        legacy::single_model(report, span);
    }
    grammar::lists(Rule::of_config(), &mut node);
    report.read(Spots::of(&node));
    grammar::config(node, report)
}

/// What its parts mean together.
fn checked(mut file: File, source: &Source<'_>, report: &Report<'_>) -> Option<Config> {
    let secrets = Secrets::new(report, source);
    let log_format = *source.overrides.log_format.as_ref().unwrap_or(&file.log.format);
    file.log.format = log_format;
    let server = server::read(&mut file.server, source.overrides, report, source.env);
    let memory_limit = server::memory(&file.limits, server.request_body_limit, report);
    let clients = client::read(&file.client, &server, &secrets);
    let models = model::read(file.model.as_deref_mut().unwrap_or_default(), &secrets);
    server::task_model(&server, &models, report);
    models.refuse_own(&server, report);
    let timeouts = timing::read(&mut file.workflow, report);
    let around = workflow::Around {
        models: &models,
        limits: &timeouts.limits,
        report,
        several: !file.workflow_profile.is_empty(),
    };
    let workflow = file.workflow_integration.as_mut();
    let workflow = workflow.and_then(|table| workflow::integration(table, &around));
    let profiles = workflow::profiles(&mut file.workflow_profile, &around);
    let all = profiles.len() == file.workflow_profile.len();
    let targets = alias::Targets { models: &models, profiles: &profiles, all };
    let aliases = alias::read(&file.alias, &targets, report);

    exposed(&server, clients.is_empty(), report, source.overrides);
    let proxies = transport::proxies(&models, source.env, report);
    if report.is_old() {
        let (server, timeouts) = ("server", "workflow.timeouts");
        let has = |path| report.spots().has(path);
        legacy::absent(report, has(server), has(timeouts), !models.without_temperature());
    }
    let plans: Vec<&Plan> =
        workflow.iter().chain(profiles.values()).map(|one| &*one.plan).collect();
    // Of a config with mistakes, what spans sections is only half known.
    if !report.is_broken() {
        unknown_domains(&timeouts, &models, report);
        hedges::idle(&plans, &models, &timeouts.limits, report);
    }
    client::unpriced(&clients, &models, report);
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
        transport: transport::of(&file.workflow.pool, proxies),
        memory_limit,
        log_format,
        audit: file.audit.as_ref().and_then(|written| audit::read(written, report)),
        runs: runs::read(&file.runs, report),
        asked: source.stores.names(),
        shown: shown::of(&file),
        stored: None,
        versions: None,
        path: source.path.map(Path::to_owned),
        files: Vec::new(),
        notices: Vec::new(),
        warnings: Vec::new(),
    })
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
            let hosts = models.hosts();
            let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
            let remedy = match did_you_mean(name, hosts.iter().copied()) {
                None => format!("{}, or take the section out", other_name(None, &hosts)),
                near => other_name(near, &hosts),
            };
            report.warn(place.clone(), what, remedy);
        }
    }
}
