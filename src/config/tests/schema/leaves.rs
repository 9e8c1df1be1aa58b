//! Every key of the schema, and a config around it that is complete but for it.

use std::fmt;

use serde_json::{Map, Value, json};

use super::super::{MODELS, PLAN};
use crate::config::schema;

/// The place of a definition of the schema in a file.
#[derive(Clone, Copy)]
pub(super) struct Section {
    pub(super) definition: &'static str,
    /// Its header, and what must stand above it; of a part of a plan, its JSON pointer.
    header: &'static str,
    /// What it needs beside the key in question.
    beside: &'static str,
    /// Whether the models and the workflow stand elsewhere.
    whole: bool,
}

const fn place(definition: &'static str, header: &'static str, beside: &'static str) -> Section {
    Section { definition, header, beside, whole: false }
}

const BASE: &str = "api_base = \"http://127.0.0.1:9/v1\"";
const M: &str = "[[model]]\nname = \"m\"\n";

/// A plan whose `selector` and `workers` may be replaced; the policy is of a level with an analyzer.
const PLAN_AROUND: &str = r#"{ "analyzer": { "ref": "a" }, "reranker": { "ref": "a" },
    "workers": [{ "ref": "a" }, { "workers": ["a"] }], "selector": "a", "synthesizer": "a",
    "policy": {} }"#;

pub(super) const SECTIONS: [Section; 21] = [
    place("Server", "[server]", ""),
    place("Log", "[log]", ""),
    place("Client", "[[client]]", "name = \"x\"\nkey = \"k\""),
    place("Alias", "[[alias]]", "name = \"x\"\nmodel = \"chorus\""),
    place("Model", "[[model]]", "name = \"m\"\napi_base = \"http://127.0.0.1:9/v1\""),
    place("Price", "[model.price]", "input_per_mtok = 1\noutput_per_mtok = 1"),
    place("Endpoint", "[[model.endpoint]]", BASE),
    place("Workflow", "[workflow]", ""),
    place("Timeouts", "[workflow.timeouts]", ""),
    place("Domain", "[workflow.domains.\"127.0.0.1\"]", ""),
    place("Retry", "[workflow.retry]", "base_delay_ms = 1"),
    place("Health", "[workflow.health]", ""),
    place("Pool", "[workflow.pool]", ""),
    Section {
        definition: "Integration",
        header: "[workflow-integration]",
        beside: "max_workers = 65536\njson = '{\"workers\":[\"a\"],\"selector\":\"a\"}'",
        whole: true,
    },
    place(
        "Profile",
        "[[workflow-profile]]",
        "name = \"p\"\nmax_workers = 65536\njson = '{\"workers\":[\"a\"],\"selector\":\"a\"}'",
    ),
    place("Plan", "", ""),
    place("Stage", "/analyzer", ""),
    place("Reranker", "/reranker", ""),
    place("Leaf", "/workers/0", ""),
    place("Panel", "/workers/1", ""),
    place("Policy", "/policy", ""),
];

impl Section {
    fn is_plan(&self) -> bool {
        !self.header.starts_with('[')
    }

    /// A file with this key here, and all that it needs.
    pub(super) fn with(&self, key: &str, value: &Value) -> String {
        self.text(key, Some(value))
    }

    /// The same file without the key.
    pub(super) fn with_nothing(&self) -> String {
        self.text("", None)
    }

    fn text(&self, key: &str, value: Option<&Value>) -> String {
        if self.is_plan() {
            let mut plan: Value = serde_json::from_str(PLAN_AROUND).unwrap();
            if self.definition == "Leaf" {
                plan["workers"] = json!([{ "ref": "a" }]);
            }
            if let Some(value) = value {
                plan.pointer_mut(self.header).unwrap()[key] = value.clone();
            }
            // Those that the examples name.
            let models = ["small", "judge", "writer", "deepseek-chat"]
                .map(|name| format!("[[model]]\nname = \"{name}\"\n{BASE}\n"))
                .concat();
            return format!(
                "{MODELS}{models}[workflow-integration]\nmax_workers = 65536\njson = '''{plan}'''\n"
            );
        }
        let beside = match key {
            "analyzer_model" | "worker_models" | "selector_model" | "synthesizer_model" => {
                "worker_models = [\"a\"]\nsynthesizer_model = \"a\""
            }
            "json_file" => "name = \"p\"",
            _ => self.beside,
        };
        let beside = beside.lines().filter(|line| {
            let own = line.split(" = ").next().unwrap();
            own != key && (own != "name" || self.definition != "Integration")
        });
        let mut lines: Vec<String> = beside.map(str::to_owned).collect();
        if key == "api_version" {
            lines.push("protocol = \"anthropic\"".to_owned());
        }
        lines.extend(value.map(|value| format!("{key} = {}", toml(value))));
        let above = match self.definition {
            "Price" => format!("{M}{BASE}\n"),
            "Endpoint" => M.to_owned(),
            _ => String::new(),
        };
        let plan = if self.whole { "" } else { PLAN };
        format!("{above}{}\n{}\n{MODELS}{plan}", self.header, lines.join("\n"))
    }
}

/// JSON as TOML writes it on one line.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let each =
                entries.iter().map(|(key, value)| format!("{} = {}", json!(key), toml(value)));
            format!("{{ {} }}", each.collect::<Vec<_>>().join(", "))
        }
        Value::Array(entries) => {
            format!("[{}]", entries.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A key of a definition.
pub(super) struct Leaf {
    pub(super) place: Section,
    pub(super) key: String,
    /// What the schema says of it.
    pub(super) property: Value,
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.place.definition, self.key)
    }
}

impl Leaf {
    pub(super) fn with(&self, value: &Value) -> String {
        self.place.with(&self.key, value)
    }

    /// Its bounds, when it is a number and has both.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        let end = |key: &str| self.property.get(key).and_then(Value::as_f64);
        end("minimum").zip(end("maximum"))
    }

    /// A number as this key wants it written.
    pub(super) fn number(&self, value: f64) -> Value {
        if self.property["type"] == "number" { json!(value) } else { json!(value as i64) }
    }
}

/// Every key below every place, other tables left out.
pub(super) fn leaves() -> Vec<Leaf> {
    let schema = schema::config();
    let mut leaves = Vec::new();
    for place in SECTIONS {
        let properties: &Map<String, Value> =
            schema["$defs"][place.definition]["properties"].as_object().unwrap();
        let own = properties.iter().filter(|(key, property)| {
            let table = |property: &Value| {
                property.get("$ref").is_some() && property.get("examples").is_none()
            };
            !table(property) && key.as_str() != "endpoint" && key.as_str() != "$schema"
        });
        leaves.extend(own.map(|(key, property)| Leaf {
            place,
            key: key.clone(),
            property: property.clone(),
        }));
    }
    leaves
}
