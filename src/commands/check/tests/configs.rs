//! Parts of configs.

use std::path::Path;

use crate::config::{Config, ConfigError};

pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Some(Path::new("c.toml")), &|_| None)
}

/// Two models, `a` and `b`, on a local server.
pub(super) const MODELS: &str = r#"
[[model]]
name = "a"
api_base = "http://127.0.0.1:8080/v1"
[[model]]
name = "b"
api_base = "http://127.0.0.1:8080/v1"
"#;

pub(super) const PLAN: &str =
    "[workflow-integration]\njson = '{\"workers\":[\"a\"],\"selector\":\"a\"}'\n";

pub(super) fn with_plan(settings: &str, json: &str) -> String {
    format!("{MODELS}[workflow-integration]\n{settings}\njson = '''{json}'''\n")
}
