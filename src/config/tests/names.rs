//! Names of clients: aliases, what is listed, what is said of a wrong one.

use super::*;
use crate::config::Named;

const NAMED: &str = r#"
[[model]]
name = "qwen3:8b"
api_base = "http://127.0.0.1:1/v1"
[[model]]
name = "org/deep"
api_base = "https://api.example/v1"
[[model]]
name = "judge"
api_base = "http://127.0.0.1:1/v1"
listed = false
[[workflow-profile]]
name = "fast"
json = '{ "workers": ["judge"], "selector": "judge" }'
[workflow-integration]
json = '{ "workers": ["judge"], "selector": "judge" }'
"#;

const ALIASES: &str = r#"
[[alias]]
name = "gpt-4o"
model = "fast"
[[alias]]
name = "gpt-*"
model = "chorus"
note = "editors"
[[alias]]
name = "*/*haiku*"
model = "qwen3:8b"
[[alias]]
name = "o?"
model = "org/deep"
[[alias]]
name = "referee"
model = "judge"
"#;

fn parsed(more: &str) -> Config {
    Config::parse(&format!("{NAMED}{more}"), None, &|_| None).unwrap()
}

fn warned(config: &Config) -> String {
    config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_alias_is_looked_for_last_and_the_first_that_fits_counts() {
    let config = parsed(ALIASES);
    assert_eq!(warned(&config), "");
    for (asked, want) in [
        ("", Some("chorus")),
        ("chorus:latest", Some("chorus")),
        ("fast", Some("fast")),
        ("judge", Some("judge")),
        ("qwen3:8b", Some("qwen3:8b")),
        ("gpt-4o", Some("fast")),
        ("gpt-4o:latest", Some("fast")),
        ("gpt-4o-mini", Some("chorus")),
        ("gpt-", Some("chorus")),
        ("anthropic/claude-haiku-4:beta", Some("qwen3:8b")),
        ("claude-haiku", None),
        ("o3", Some("org/deep")),
        ("o3-mini", None),
        ("referee", Some("judge")),
        ("qwen3", None),
        ("GPT-4o", None),
    ] {
        let found = config.named(asked).map(|named| match named {
            Named::Workflow(workflow) => workflow.plan.name.as_str(),
            Named::Model(model) => model.name.as_str(),
        });
        assert_eq!(found, want, "{asked}");
    }
    assert!(config.named(&"g".repeat(10_000)).is_none());
}

#[test]
fn what_is_listed_is_what_can_be_asked_for_by_one_name() {
    let names = |config: &Config| config.listed_names().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&parsed("")), "chorus fast qwen3:8b org/deep");
    let config = parsed(ALIASES);
    assert_eq!(names(&config), "chorus fast qwen3:8b org/deep gpt-4o referee");
    assert!(config.listed_names().all(|name| config.named(name).is_some()));
}

#[test]
fn a_wrong_name_is_answered_with_the_right_one() {
    let config = parsed(ALIASES);
    for (asked, near) in [
        ("qwen3", Some("qwen3:8b")),
        ("Qwen3:8B", Some("qwen3:8b")),
        ("qwen3:8b-q4_K_M", Some("qwen3:8b")),
        ("fsat", Some("fast")),
        ("choruss", Some("chorus")),
        ("ollama/fast", Some("fast")),
        ("Deep", Some("org/deep")),
        ("qwen3:latest", Some("qwen3:8b")),
        ("claude-opus", None),
        ("judgee", None),
    ] {
        let message = about(&config, asked);
        let hint = near.map_or(";".to_owned(), |near| format!("; did you mean '{near}'?"));
        let names = "chorus, fast, qwen3:8b, org/deep, gpt-4o, referee";
        assert_eq!(message, format!("model '{asked}' not found{hint} there are: {names}"));
    }
    let message = about(&config, &format!("\n{}", "x".repeat(100_000)));
    assert!(message.len() < 1000 && !message.contains('\n'), "{}", message.len());
    let many: String =
        (0..30).map(|n| format!("[[alias]]\nname = \"name{n}\"\nmodel = \"fast\"\n")).collect();
    let message = about(&parsed(&many), "nobody");
    assert!(message.ends_with("name7 and 22 more, see GET /v1/models"), "{message}");
}

fn about(config: &Config, asked: &str) -> String {
    Config::about_unknown(asked, &config.listed_names().collect::<Vec<_>>())
}

#[test]
fn an_alias_that_cannot_be_is_refused() {
    for (name, model, words) in [
        ("chorus", "fast", "the name is reserved"),
        ("chorus:latest", "fast", "the name is reserved"),
        (" x", "fast", "blanks around it"),
        ("a\\tb", "fast", "control characters"),
        ("", "fast", "`name` is empty"),
        ("x", "", "`model` is empty"),
        ("x", "fsat", "did you mean `fast`?"),
        ("x", "gpt-4o", "there is no workflow or model `gpt-4o`"),
        ("x", "nobody", "name one of `chorus`, `fast`, `judge`, `org/deep`, `qwen3:8b`"),
    ] {
        let more = format!("{ALIASES}[[alias]]\nname = \"{name}\"\nmodel = \"{model}\"\n");
        let error = Config::parse(&format!("{NAMED}{more}"), None, &|_| None).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(words) && error.count() == 1, "{name} {model}: {message}");
    }
}

#[test]
fn an_alias_that_nobody_can_reach_is_warned_of() {
    for (name, words) in [
        ("qwen3:8b", Some("a [[model]] has the name")),
        ("fast", Some("a workflow-profile has the name")),
        ("gpt-4o", Some("alias `gpt-4o` above")),
        ("gpt-5", Some("alias `gpt-*` above")),
        ("gpt-5*", Some("alias `gpt-*` above")),
        ("o1", Some("alias `o?` above")),
        ("o*", None),
        ("g*", None),
        ("x", None),
    ] {
        let config = parsed(&format!("{ALIASES}[[alias]]\nname = \"{name}\"\nmodel = \"fast\"\n"));
        let message = warned(&config);
        match words {
            Some(words) => {
                assert!(message.contains("never applies") && message.contains(words), "{message}")
            }
            None => assert_eq!(message, "", "{name}"),
        }
    }
}

#[test]
fn a_model_nearby_costs_nothing_until_somebody_says_so() {
    let config = |keys: &str| {
        let model = format!("[[model]]\nname = \"m\"\n{keys}\n");
        let plan = "[workflow-integration]\njson = '{ \"workers\": [\"m\"], \"selector\": \"m\" }'";
        Config::parse(&format!("{model}{plan}"), None, &|_| None).unwrap()
    };
    let price = "price = { input_per_mtok = 1, output_per_mtok = 2 }";
    for (keys, want) in [
        ("api_base = \"http://127.0.0.1:8080/v1\"", Some(0.0)),
        ("api_base = \"http://10.0.0.7:8000/v1\"", Some(0.0)),
        ("api_base = \"https://ollama.example\"\nprotocol = \"ollama\"", Some(0.0)),
        ("api_base = \"https://api.example/v1\"", None),
        (
            "api_base = \"http://127.0.0.1:8080/v1\"\n[[model.endpoint]]\napi_base = \"https://api.example/v1\"",
            None,
        ),
        (&format!("api_base = \"http://127.0.0.1:4000/v1\"\n{price}"), Some(1.0)),
    ] {
        let found = config(keys).models["m"].price.map(|price| price.input_per_mtok);
        assert_eq!(found, want, "{keys}");
    }
}

#[test]
fn a_version_that_clients_refuse_is_warned_of() {
    for (version, fine) in
        [("0.32.7", true), ("0.6.4", true), ("1.0", true), ("0.6.3", false), ("0.5.99", false)]
    {
        let config = parsed(&format!("[server]\nollama_version = \"{version}\"\n"));
        assert_eq!(config.warnings.is_empty(), fine, "{version}");
    }
}
