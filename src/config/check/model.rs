//! `[[model]]`.

mod address;
mod options;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use url::Url;

use super::secret::Secrets;
use crate::{
    config::{
        Mode, Model, Server,
        file::model as file,
        names::is_reserved,
        report::{FileSpan, Report},
        section::Section,
    },
    types::Protocol,
};
use address::Address;

/// Every `[[model]]`: also the names of those that have problems, so that a workflow naming one is
/// not reported on top.
#[derive(Default)]
pub(in crate::config) struct Models {
    names: HashMap<String, FileSpan>,
    models: Vec<Model>,
    /// Every address, with the model it is of and where it is written.
    addresses: Vec<(String, Url, FileSpan)>,
}

impl Models {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name == name)
    }

    /// Each with where it stands.
    pub(super) fn placed(&self) -> impl Iterator<Item = (&Model, &FileSpan)> {
        self.models.iter().filter_map(|model| Some((model, self.names.get(&model.name)?)))
    }

    /// Refuses addresses that lead back to the listener.
    pub(super) fn refuse_own(&self, server: &Server, report: &Report<'_>) {
        for (label, url, place) in &self.addresses {
            if server.is_own(url) {
                let what = format!(
                    "{label}: `api_base` is Chorus' own address, port {}: it would ask itself",
                    server.port
                );
                let remedy = "write where the model server is (Ollama's port is 11434), or move Chorus to \
                              another `port`";
                report.problem_at(place.clone(), what, remedy);
            }
        }
    }

    /// Whether `host` or `host:port` is where one of them is.
    pub(super) fn has_host(&self, name: &str) -> bool {
        self.models.iter().flat_map(|model| &model.endpoints).any(|endpoint| {
            let url = &endpoint.api_base;
            let host = url.host_str().unwrap_or_default();
            let port = url.port_or_known_default().unwrap_or_default();
            name == host || name == format!("{host}:{port}")
        })
    }

    /// The hosts of all their endpoints, each once, in alphabetical order.
    pub(super) fn hosts(&self) -> BTreeSet<String> {
        let endpoints = self.models.iter().flat_map(|model| &model.endpoints);
        endpoints.filter_map(|one| one.api_base.host_str()).map(str::to_owned).collect()
    }

    /// The first that has an endpoint of this scheme on another machine.
    pub(super) fn first_beyond(&self, scheme: &str) -> Option<&str> {
        let beyond = |model: &&Model| {
            let mut endpoints = model.endpoints.iter();
            endpoints.any(|one| one.api_base.scheme() == scheme && !one.is_loopback())
        };
        self.models.iter().find(beyond).map(|model| model.name.as_str())
    }

    /// Whether none says anything of temperature.
    pub(in crate::config) fn without_temperature(&self) -> bool {
        self.models
            .iter()
            .all(|model| model.temperature.is_none() && model.auto_temperature.is_none())
    }

    /// The names of those whose calls have no price.
    pub(super) fn without_price(&self) -> Vec<String> {
        let unpriced = self.models.iter().filter(|model| model.price.is_none());
        unpriced.map(|model| model.name.escape_debug().to_string()).collect()
    }

    pub(super) fn into_models(self) -> Vec<Model> {
        self.models
    }
}

/// What each table means; `written` becomes what is in use.
pub(super) fn read(written: &mut [file::Model], secrets: &Secrets<'_, '_>) -> Models {
    let mut models = Models::default();
    for (index, table) in written.iter_mut().enumerate() {
        let at = Section::entry(secrets.report, "model", index, table.name.as_ref());
        if let Some(name) = &table.name {
            check_name(name, &at);
            if let Some(first) = models.names.insert(name.clone(), at.place("")) {
                let what = format!("the name is taken, see {}", secrets.report.shown(&first));
                at.problem("name", what, "give every [[model]] its own name");
            }
        }
        let model = one(table, &at, secrets, &mut models.addresses);
        models.models.extend(model);
    }
    models
}

fn check_name(name: &str, at: &Section<'_, '_>) {
    if is_reserved(name) {
        let what = "the name is reserved for the default workflow";
        at.problem("name", what, "give the model another name");
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        let what = "the name has blanks around it, or control characters";
        at.problem("name", what, "write a plain name");
    }
}

fn one(
    written: &mut file::Model,
    at: &Section<'_, '_>,
    secrets: &Secrets<'_, '_>,
    addresses: &mut Vec<(String, Url, FileSpan)>,
) -> Option<Model> {
    let Address { endpoints, places, protocol } = address::read(written, at, secrets);
    let whereabouts = endpoints.iter().map(|endpoint| endpoint.api_base.clone()).zip(places);
    let whereabouts: Vec<(Url, FileSpan)> = whereabouts.collect();
    let has_no_completion = matches!(protocol, Some(Protocol::Anthropic | Protocol::Gemini));
    if let (Mode::Completion, Some(protocol), true) = (written.mode, protocol, has_no_completion) {
        let what = format!("{} has no plain completion", protocol.as_str());
        at.problem("mode", what, "take `mode` out");
    }
    let max_temperature = options::max_temperature(written, at, protocol, &endpoints);
    let price = options::price(written, protocol, &endpoints);
    let has_key = endpoints.iter().any(|endpoint| !endpoint.api_key.is_empty());
    let headers = options::headers(&written.headers, at, secrets, has_key);
    for ((url, place), endpoint) in whereabouts.into_iter().zip(&endpoints) {
        if !endpoint.api_key.is_empty() || headers.keys().any(options::may_hold_a_key) {
            address::in_clear_text(&url, &place, at);
        }
        addresses.push((at.label.clone(), url, place));
    }
    let ca_cert = written.ca_cert.as_deref().and_then(|path| options::ca_cert(path, at));
    let name = written.name.clone()?;
    if endpoints.is_empty() {
        return None; // reported above
    }
    let default_context = if protocol == Some(Protocol::Ollama) { 8_192 } else { 32_768 };
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let temperature = written.temperature.map(|value| value as f32);
    Some(Model {
        upstream_model: written.upstream_model.get_or_insert_with(|| name.clone()).clone(),
        name,
        endpoints,
        protocol: protocol?,
        api_version: written.api_version.clone(),
        mode: written.mode,
        auto_temperature: written.auto_temperature,
        temperature,
        max_temperature,
        send_temperature: written.send_temperature,
        structured_output: written.structured_output,
        vision: written.vision,
        tools: written.tools,
        context_tokens: *written.context_tokens.get_or_insert(default_context),
        max_concurrency: Some(written.max_concurrency).filter(|limit| *limit > 0),
        price,
        headers,
        ca_cert,
        balance: written.balance,
        sticky: written.sticky,
        hedge_after: Some(written.hedge_after_ms)
            .filter(|after| *after > 0)
            .map(Duration::from_millis),
        warm_up: written.warm_up,
        listed: written.listed,
        gateway: written.gateway,
        thinking_forced_open: written.thinking_forced_open,
    })
}
