//! What differs between two configs: whether they make the same server, and what a reload reports.

use indexmap::IndexMap;
use serde_json::Value;

use super::{Client, Config, Server, Workflow};

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
        let mut changes = Vec::new();
        if self.server != next.server {
            let keys = differing(self.shown.get("server"), next.shown.get("server"));
            if !keys.is_empty() {
                changes.push(format!("[server] {}", keys.join(", ")));
            }
        }
        by_name("client", &clients_of(&self.clients), &clients_of(&next.clients), &mut changes);
        // Clients see the order in the list of models.
        by_name("model", &self.models, &next.models, &mut changes);
        for (differs, what) in [
            (self.server.tls != next.server.tls, "the certificate of [server.tls]"),
            (self.workflow != next.workflow, "the default workflow"),
            (self.aliases != next.aliases, "the aliases"),
            (self.timeouts != next.timeouts, "[workflow.timeouts] or [workflow.domains]"),
            (self.retry != next.retry, "[workflow.retry]"),
            (self.health != next.health, "[workflow.health]"),
            (self.transport != next.transport, "[workflow.pool] or the proxies"),
            (self.memory_limit != next.memory_limit, "[limits] memory"),
            (self.log_format != next.log_format, "[log] format"),
            (self.audit != next.audit, "[audit]"),
            (self.runs != next.runs, "[runs]"),
        ] {
            if differs {
                changes.push(what.to_owned());
            }
        }
        by_name::<Workflow>("workflow", &self.profiles, &next.profiles, &mut changes);
        changes
    }

    /// Takes over from the `running` config what cannot change while it listens, and names the keys
    /// that a restart would change.
    pub fn keep_fixed(&mut self, running: &Self) -> Vec<&'static str> {
        let mut waiting = Vec::new();
        let Server { host, port, workers, unix_socket, unix_socket_mode, tls, data_dir, .. } =
            &running.server;
        let other_socket = self.server.unix_socket != *unix_socket
            || self.server.unix_socket_mode != *unix_socket_mode;
        let other_kind = self.server.tls.is_some() != tls.is_some();
        for (differs, what, key) in [
            (self.server.host != *host, "[server] host", "/server/host"),
            (self.server.port != *port, "[server] port", "/server/port"),
            (self.server.workers != *workers, "[server] workers", "/server/workers"),
            (other_socket, "[server] unix_socket", "/server/unix_socket"),
            (other_kind, "[server.tls]", "/server/tls"),
            (self.server.data_dir != *data_dir, "[server] data_dir", "/server/data_dir"),
            (self.log_format != running.log_format, "[log] format", "/log/format"),
        ] {
            if differs {
                waiting.push(what);
            }
            if let (Some(own), Some(kept)) =
                (self.shown.pointer_mut(key), running.shown.pointer(key))
            {
                own.clone_from(kept);
            }
        }
        self.server.host.clone_from(host);
        self.server.port = *port;
        self.server.workers = *workers;
        self.server.unix_socket.clone_from(unix_socket);
        self.server.unix_socket_mode = *unix_socket_mode;
        if other_kind {
            self.server.tls.clone_from(tls);
        }
        self.server.data_dir.clone_from(data_dir);
        self.log_format = running.log_format;
        waiting
    }
}

/// The keys of a section whose values differ.
fn differing(before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    let entries = |section: Option<&Value>| section.and_then(Value::as_object).cloned();
    let (before, after) = (entries(before).unwrap_or_default(), entries(after).unwrap_or_default());
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let new = after.iter().filter(|(key, value)| before.get(*key) != Some(*value));
    new.map(|(key, _)| key).chain(gone).cloned().collect()
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
    let known = changes.len();
    for (name, it) in after {
        match before.get(name) {
            None => changes.push(format!("{kind} {name} added")),
            Some(former) if former != it => changes.push(format!("{kind} {name} changed")),
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    changes.extend(gone.map(|name| format!("{kind} {name} removed")));
    if changes.len() == known && !before.keys().eq(after.keys()) {
        changes.push(format!("the order of the {kind}s"));
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
    fn changes_are_named_without_values() {
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
            ("port = 7\n", "port = 7\nunix_socket = \"/s\"\n", vec!["[server] unix_socket"]),
            ("port = 7\n", "port = 7\nhost = \"::1\"\n", vec!["[server] host"]),
            ("\"json\"", "\"pretty\"", vec!["[log] format"]),
            ("= 9", "= 8", vec![]),
        ] {
            let mut next = parse(&TEXT.replacen(from, to, 1));
            assert_eq!(next.keep_fixed(&running), want, "{to}");
            assert_eq!(next.means_the_same(&running), !want.is_empty(), "{to}");
        }
    }
}
