//! What differs between two configs: whether they make the same server, and what a reload tells.
//!
//! Everything is taken apart here, so that a new field has to be placed too.

use indexmap::IndexMap;

use super::{Client, Config, Endpoint, Model, Server, Workflow};

impl Config {
    /// Whether both mean the same: every setting, key and plan is equal, and the models stand in the
    /// same order. Where they were read from, notices and warnings do not count.
    #[must_use]
    pub fn means_the_same(&self, other: &Self) -> bool {
        self.changes_to(other).is_empty()
    }

    /// What is different in the `next` config, a few words each and never a value; empty when both
    /// mean the same.
    #[must_use]
    pub fn changes_to(&self, next: &Self) -> Vec<String> {
        let Self {
            server,
            clients,
            models,
            workflow,
            profiles,
            aliases,
            timeouts,
            retry,
            health,
            transport,
            log_format,
            path: _,
            files: _,
            notices: _,
            warnings: _,
        } = self;
        let mut changes = Vec::new();
        let keys = server.changes_to(&next.server);
        if !keys.is_empty() {
            changes.push(format!("[server] {}", keys.join(", ")));
        }
        by_name("client", &clients_of(clients), &clients_of(&next.clients), &mut changes);
        // Clients see the order in the list of models.
        by_name("model", models, &next.models, &mut changes);
        for (differs, what) in [
            (*workflow != next.workflow, "the default workflow"),
            (*aliases != next.aliases, "the aliases"),
            (*timeouts != next.timeouts, "[workflow.timeouts] or [workflow.domains]"),
            (*retry != next.retry, "[workflow.retry]"),
            (*health != next.health, "[workflow.health]"),
            (*transport != next.transport, "[workflow.pool] or the proxies"),
            (*log_format != next.log_format, "[log] format"),
        ] {
            if differs {
                changes.push(what.to_owned());
            }
        }
        by_name::<Workflow>("workflow", profiles, &next.profiles, &mut changes);
        changes
    }

    /// Takes over from the `running` config what cannot change while it listens, and names the keys
    /// that a restart would change.
    pub fn keep_fixed(&mut self, running: &Self) -> Vec<&'static str> {
        let mut waiting = Vec::new();
        if self.server.host != running.server.host {
            self.server.host.clone_from(&running.server.host);
            waiting.push("[server] host");
        }
        if self.server.port != running.server.port {
            self.server.port = running.server.port;
            waiting.push("[server] port");
        }
        if self.log_format != running.log_format {
            self.log_format = running.log_format;
            waiting.push("[log] format");
        }
        waiting
    }
}

fn clients_of(clients: &[Client]) -> IndexMap<String, &Client> {
    clients.iter().map(|client| (client.name.clone(), client)).collect()
}

/// What was added, removed, changed, or only put in another order.
fn by_name<T: PartialEq>(
    kind: &str,
    before: &IndexMap<String, T>,
    after: &IndexMap<String, T>,
    changes: &mut Vec<String>,
) {
    let told = changes.len();
    for (name, it) in after {
        match before.get(name) {
            None => changes.push(format!("{kind} {name} added")),
            Some(former) if former != it => changes.push(format!("{kind} {name} changed")),
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    changes.extend(gone.map(|name| format!("{kind} {name} removed")));
    if changes.len() == told && !before.keys().eq(after.keys()) {
        changes.push(format!("the order of the {kind}s"));
    }
}

impl Server {
    /// The keys of `[server]` whose values differ.
    fn changes_to(&self, next: &Self) -> Vec<&'static str> {
        let Self {
            host,
            port,
            request_body_limit,
            max_in_flight,
            shutdown_grace,
            header_hold,
            heartbeat,
            unknown_model,
            plain_client_format,
            progress,
            usage,
            reasoning_field,
            task_model,
            ollama_version,
            allowed_hosts,
            cors_origins,
            allow_unauthenticated,
        } = self;
        let keys = [
            ("host", *host != next.host),
            ("port", *port != next.port),
            ("request_body_limit", *request_body_limit != next.request_body_limit),
            ("max_in_flight", *max_in_flight != next.max_in_flight),
            ("shutdown_grace_secs", *shutdown_grace != next.shutdown_grace),
            ("header_hold_secs", *header_hold != next.header_hold),
            ("heartbeat_secs", *heartbeat != next.heartbeat),
            ("unknown_model", *unknown_model != next.unknown_model),
            ("plain_client_format", *plain_client_format != next.plain_client_format),
            ("progress", *progress != next.progress),
            ("usage", *usage != next.usage),
            ("reasoning_field", *reasoning_field != next.reasoning_field),
            ("task_model", *task_model != next.task_model),
            ("ollama_version", *ollama_version != next.ollama_version),
            ("allowed_hosts", *allowed_hosts != next.allowed_hosts),
            ("cors_origins", *cors_origins != next.cors_origins),
            ("allow_unauthenticated", *allow_unauthenticated != next.allow_unauthenticated),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

impl Model {
    /// Whether its endpoints, where they have the same address, are the same upstream to it: what
    /// one config learnt of them holds in the other.
    #[must_use]
    pub fn is_reached_like(&self, other: &Self) -> bool {
        self.name == other.name
            && self.protocol == other.protocol
            && self.api_version == other.api_version
            && self.mode == other.mode
            && self.upstream_model == other.upstream_model
            && self.headers == other.headers
            && self.ca_cert == other.ca_cert
    }

    /// Whether the same call makes the same request, so that a refusal of one is a refusal of the
    /// other.
    #[must_use]
    pub fn asks_like(&self, other: &Self) -> bool {
        // Taken apart, so that a new field has to be placed here too.
        let Self {
            name: _,
            endpoints: _,
            protocol: _,
            api_version: _,
            mode: _,
            upstream_model: _,
            auto_temperature: _,
            temperature,
            max_temperature,
            send_temperature,
            structured_output,
            vision,
            tools,
            context_tokens,
            max_concurrency: _,
            price: _,
            headers: _,
            ca_cert: _,
            balance: _,
            sticky: _,
            hedge_after: _,
            warm_up: _,
            listed: _,
            gateway: _,
            thinking_forced_open: _,
        } = self;
        self.is_reached_like(other)
            && *temperature == other.temperature
            && *max_temperature == other.max_temperature
            && *send_temperature == other.send_temperature
            && *structured_output == other.structured_output
            && *vision == other.vision
            && *tools == other.tools
            && *context_tokens == other.context_tokens
    }
}

impl Endpoint {
    /// Whether it is the same address with the same key.
    #[must_use]
    pub fn is_reached_like(&self, other: &Self) -> bool {
        self.api_base == other.api_base && self.api_key == other.api_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[server]
port = 7
[[client]]
name = "x"
key = "one"
[[model]]
name = "a"
api_base = "http://127.0.0.1:1/v1"
api_key = "first"
headers = { "X-Org" = "hers" }
[[model]]
name = "b"
api_base = "http://127.0.0.1:1/v1"
[[alias]]
name = "gpt-*"
model = "a"
[workflow-integration]
json = '{ "workers": ["a", "b"], "selector": "a" }'
max_concurrency = 3
[workflow.timeouts]
worker_timeout_secs = 9
[workflow.domains."127.0.0.1"]
worker_timeout_secs = 10
[workflow.retry]
max_retries = 1
[workflow.health]
open_secs = 7
[workflow.pool]
idle_secs = 60
[[workflow-profile]]
name = "fast"
json = '{ "workers": ["b"], "selector": "b" }'
[log]
format = "json"
"#;

    fn parse(text: &str) -> Config {
        Config::parse(text, None, &|_| None).unwrap()
    }

    #[test]
    fn every_setting_counts_and_comments_do_not() {
        let config = parse(TEXT);
        assert!(config.means_the_same(&parse(&format!("# a comment\n{TEXT}"))));
        for (from, to) in [
            ("port = 7\n", "port = 2\n"),
            ("\"one\"", "\"two\""),
            ("\"first\"", "\"other\""),
            ("\"hers\"", "\"his\""),
            ("1:1/v1", "1:2/v1"),
            ("[\"a\", \"b\"]", "[\"b\", \"a\"]"),
            ("max_concurrency = 3", "max_concurrency = 4"),
            ("= 9", "= 8"),
            ("= 10", "= 11"),
            ("max_retries = 1", "max_retries = 2"),
            ("open_secs = 7", "open_secs = 8"),
            ("idle_secs = 60", "idle_secs = 61"),
            ("\"fast\"", "\"quick\""),
            ("\"gpt-*\"", "\"gpt-?\""),
            ("[\"b\"]", "[\"a\"]"),
            ("\"json\"", "\"pretty\""),
        ] {
            let changed = TEXT.replacen(from, to, 1);
            assert_ne!(changed, TEXT, "{from}");
            assert!(!config.means_the_same(&parse(&changed)), "{from} -> {to}");
        }
        let (first, rest) = TEXT.split_once("[[model]]\nname = \"a\"").unwrap();
        let (own, rest) = rest.split_once("[[model]]\nname = \"b\"").unwrap();
        let (base, rest) = rest.split_once("[workflow-integration]").unwrap();
        let swapped = format!(
            "{first}[[model]]\nname = \"b\"{base}[[model]]\nname = \"a\"{own}[workflow-integration]{rest}"
        );
        assert!(!config.means_the_same(&parse(&swapped)), "the order of models");
    }

    #[test]
    fn changes_are_told_without_values() {
        let config = parse(TEXT);
        let model_c = "[[model]]\nname = \"c\"\napi_base = \"http://127.0.0.1:1/v1\"\n";
        for (from, to, want) in [
            ("port = 7\n", "port = 2\nheartbeat_secs = 3\n", "[server] port, heartbeat_secs"),
            ("\"one\"", "\"two\"", "client x changed"),
            ("name = \"x\"", "name = \"y\"", "client y added; client x removed"),
            ("\"first\"", "\"other\"", "model a changed"),
            (
                "[workflow-integration]",
                &format!("{model_c}[workflow-integration]"),
                "model c added",
            ),
            ("[\"a\", \"b\"]", "[\"b\", \"a\"]", "the default workflow"),
            ("\"gpt-*\"", "\"o?\"", "the aliases"),
            ("\"fast\"", "\"quick\"", "workflow quick added; workflow fast removed"),
            ("= 10", "= 11", "[workflow.timeouts] or [workflow.domains]"),
        ] {
            let next = parse(&TEXT.replacen(from, to, 1));
            assert_eq!(config.changes_to(&next).join("; "), want, "{from} -> {to}");
        }
    }

    #[test]
    fn what_needs_a_restart_is_kept_and_named() {
        let running = parse(TEXT);
        for (from, to, want) in [
            ("port = 7\n", "port = 2\n", vec!["[server] port"]),
            ("port = 7\n", "port = 7\nhost = \"::1\"\n", vec!["[server] host"]),
            ("\"json\"", "\"pretty\"", vec!["[log] format"]),
            ("= 9", "= 8", vec![]),
        ] {
            let mut next = parse(&TEXT.replacen(from, to, 1));
            assert_eq!(next.keep_fixed(&running), want, "{to}");
            assert_eq!(next.means_the_same(&running), !want.is_empty(), "{to}");
        }
    }

    #[test]
    fn the_same_upstream_is_known_again() {
        let model = |change: fn(&mut Model)| {
            let mut model = Model::plain("m", "http://127.0.0.1:1/v1");
            change(&mut model);
            model
        };
        let plain = model(|_| {});
        for (changed, reached, asks) in [
            (model(|model| model.max_concurrency = Some(1)), true, true),
            (model(|model| model.sticky = true), true, true),
            (model(|model| model.vision = Some(true)), true, false),
            (model(|model| model.max_temperature = 1.0), true, false),
            (model(|model| model.name = "n".to_owned()), false, false),
            (model(|model| model.upstream_model = "n".to_owned()), false, false),
            (model(|model| model.api_version = Some("1".to_owned())), false, false),
        ] {
            assert_eq!(plain.is_reached_like(&changed), reached, "{changed:?}");
            assert_eq!(plain.asks_like(&changed), asks, "{changed:?}");
        }
        let endpoint = Endpoint::plain("http://127.0.0.1:1/v1");
        let heavy = Endpoint { weight: 3, priority: 2, ..endpoint.clone() };
        let keyed = Endpoint { api_key: crate::types::ApiKey::new("k"), ..endpoint.clone() };
        assert!(endpoint.is_reached_like(&heavy) && !endpoint.is_reached_like(&keyed));
    }
}
