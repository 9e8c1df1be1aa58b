//! Whether two configs make the same server.

use super::Config;

impl Config {
    /// Whether both mean the same: every setting, key and plan is equal, and the models stand in the
    /// same order. Where they were read from, notices and warnings do not count.
    #[must_use]
    pub fn means_the_same(&self, other: &Self) -> bool {
        // Taken apart, so that a new field has to be placed here too.
        let Self {
            server,
            clients,
            models,
            workflow,
            profiles,
            timeouts,
            retry,
            health,
            transport,
            log_format,
            path: _,
            notices: _,
            warnings: _,
        } = self;
        *server == other.server
            && *clients == other.clients
            // Maps are equal whatever their order; clients see the order in the list of models.
            && models.iter().eq(&other.models)
            && *workflow == other.workflow
            && profiles.iter().eq(&other.profiles)
            && *timeouts == other.timeouts
            && *retry == other.retry
            && *health == other.health
            && *transport == other.transport
            && *log_format == other.log_format
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[server]
port = 1
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
            ("port = 1\n", "port = 2\n"),
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
}
