//! `[[model]]`.

mod address;
mod options;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use toml::Spanned;
use url::Url;

use super::secret::Secrets;
use crate::{
    config::{
        Balance, Endpoint, Gateway, Mode, Model, Price, Server, StructuredOutput,
        raw::Table,
        report::{Place, Report},
    },
    types::Protocol,
};
use address::Address;

/// Every `[[model]]`: also the names of those that have problems, so that a workflow naming one is
/// not reported on top.
#[derive(Default)]
pub(in crate::config) struct Models {
    names: HashMap<String, Place>,
    models: Vec<Model>,
    /// Every address, with the model it is of and where it is written.
    addresses: Vec<(String, Url, Place)>,
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
    pub(super) fn placed(&self) -> impl Iterator<Item = (&Model, &Place)> {
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

    pub(super) fn into_models(self) -> Vec<Model> {
        self.models
    }
}

pub(super) fn read(tables: Vec<Table<'_, '_>>, secrets: &Secrets<'_, '_>) -> Models {
    let mut models = Models::default();
    if tables.is_empty() {
        let remedy = "add a [[model]] with `name` and `api_base`, or try `chorus demo`";
        secrets.report.problem_at(secrets.report.whole_file(), "there is no [[model]]", remedy);
    }
    for mut table in tables {
        let span = table.span.clone();
        let name = table.required("name");
        if let Some(name) = &name {
            table.label = format!("model `{}`", name.get_ref().escape_debug());
            check_name(name, &table);
            let place = secrets.report.place(&span);
            if let Some(first) = models.names.insert(name.get_ref().clone(), place) {
                let first = secrets.report.shown(&first);
                let what = format!("{}: the name is taken, see {first}", table.label);
                secrets.report.problem(&name.span(), what, "give every [[model]] its own name");
            }
        }
        let model = one(table, name.map(Spanned::into_inner), secrets, &mut models.addresses);
        models.models.extend(model);
    }
    models
}

fn check_name(name: &Spanned<String>, table: &Table<'_, '_>) {
    let text = name.get_ref();
    if matches!(text.as_str(), "chorus" | "chorus:latest") {
        let what = format!("{}: the name is reserved for the default workflow", table.label);
        table.report.problem(&name.span(), what, "give the model another name");
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        let what = format!("{}: the name has blanks around it, or control characters", table.label);
        table.report.problem(&name.span(), what, "write a plain name");
    }
}

fn one(
    mut table: Table<'_, '_>,
    name: Option<String>,
    secrets: &Secrets<'_, '_>,
    addresses: &mut Vec<(String, Url, Place)>,
) -> Option<Model> {
    let Address { endpoints, places, protocol, api_version } = address::read(&mut table, secrets);
    let whereabouts = endpoints.iter().map(|endpoint| endpoint.api_base.clone()).zip(places);
    let whereabouts: Vec<(Url, Place)> = whereabouts.collect();
    let ollama = protocol == Some(Protocol::Ollama);
    let modes = [("chat", Mode::Chat), ("completion", Mode::Completion)];
    let mode = table.choice("mode", &modes);
    if let (Some(written), Some(protocol @ (Protocol::Anthropic | Protocol::Gemini))) =
        (mode.as_ref().filter(|mode| *mode.get_ref() == Mode::Completion), protocol)
    {
        let what = format!("{}: {} has no plain completion", table.label, protocol.as_str());
        table.report.problem(&written.span(), what, "take `mode` out");
    }
    let upstream_model = table.string("upstream_model").map(Spanned::into_inner);
    let temperature = options::temperature(&mut table, protocol, &endpoints);
    let send_temperature = table.boolean("send_temperature").unwrap_or(true);
    let outputs = [
        ("schema", StructuredOutput::Schema),
        ("json", StructuredOutput::Json),
        ("none", StructuredOutput::None),
    ];
    let structured_output = table.choice("structured_output", &outputs);
    let (vision, tools) = (table.boolean("vision"), table.boolean("tools"));
    let context_tokens = table.whole("context_tokens", 256..=i128::from(u32::MAX));
    let default_context = if ollama { 8_192 } else { 32_768 };
    let max_concurrency = table.whole("max_concurrency", 0..=1_000_000).map(Spanned::into_inner);
    let price = table.table("price", &format!("{}: `price`", table.label)).and_then(options::price);
    // Electricity aside.
    let free = ollama || endpoints.iter().all(Endpoint::is_nearby);
    let price = price.or(free.then_some(Price::NOTHING));
    let has_key = endpoints.iter().any(|endpoint| !endpoint.api_key.is_empty());
    let headers = options::headers(&mut table, secrets, has_key);
    for ((url, place), endpoint) in whereabouts.into_iter().zip(&endpoints) {
        if !endpoint.api_key.is_empty() || headers.keys().any(options::may_hold_a_key) {
            address::in_clear_text(&url, &place, &table);
        }
        addresses.push((table.label.clone(), url, place));
    }
    let ca_cert = options::ca_cert(&mut table);
    let balances = [
        ("weighted", Balance::Weighted),
        ("least-busy", Balance::LeastBusy),
        ("fastest", Balance::Fastest),
    ];
    let balance = table.choice("balance", &balances);
    let gateways = [("litellm", Gateway::LiteLlm), ("retrying", Gateway::Retrying)];
    let gateway = table.choice("gateway", &gateways).map(Spanned::into_inner);
    let sticky = table.boolean("sticky").unwrap_or(false);
    let hedge = table.whole("hedge_after_ms", 0..=86_400_000).map_or(0, Spanned::into_inner);
    let warm_up = table.boolean("warm_up").unwrap_or(false);
    let listed = table.boolean("listed").unwrap_or(true);
    let thinking_forced_open = table.boolean("thinking_forced_open").unwrap_or(false);
    table.finish();
    let name = name?;
    if endpoints.is_empty() {
        return None; // reported above
    }
    Some(Model {
        upstream_model: upstream_model.unwrap_or_else(|| name.clone()),
        name,
        endpoints,
        protocol: protocol?,
        api_version,
        mode: mode.map_or(Mode::Chat, Spanned::into_inner),
        auto_temperature: temperature.auto,
        temperature: temperature.own,
        max_temperature: temperature.max,
        send_temperature,
        structured_output: structured_output.map_or(StructuredOutput::Schema, Spanned::into_inner),
        vision,
        tools,
        context_tokens: context_tokens.map_or(default_context, Spanned::into_inner),
        max_concurrency: max_concurrency.filter(|limit| *limit > 0),
        price,
        headers,
        ca_cert,
        balance: balance.map_or(Balance::Weighted, Spanned::into_inner),
        sticky,
        hedge_after: (hedge > 0).then(|| Duration::from_millis(hedge)),
        warm_up,
        listed,
        gateway,
        thinking_forced_open,
    })
}
