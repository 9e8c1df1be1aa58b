use super::*;

/// Every place of a config that can hold a secret, holding one that says so.
const TEXT: &str = r#"
[[client]]
name = "laptop"
key = "SECRET-client"
[[model]]
name = "a"
api_base = "http://127.0.0.1:1/v1"
api_key = "SECRET-key"
headers = { "X-Org" = "SECRET-header", "X-Env" = "env:HEADER" }
temperature = 0.7
[[model.endpoint]]
api_base = "https://eu.example/v1"
api_key = "env:KEY"
weight = 3
[workflow-integration]
json = '''{ "workers": [{"ref": "a", "system": "SECRET-system"}, {"name": "panel", "workers": ["a"]}],
      "synthesizer": {"ref": "a", "system": "SECRET-too"} }'''
[workflow.domains."eu.example"]
worker_timeout_secs = 1.5
"#;

fn env(name: &str) -> Option<String> {
    let proxy = "http://SECRET-user:SECRET-password@proxy.example:3128/SECRET-path?SECRET=query";
    match name {
        "HEADER" => Some("SECRET-from-header-variable".to_owned()),
        "KEY" => Some("SECRET-from-key-variable".to_owned()),
        "HTTPS_PROXY" | "HTTP_PROXY" => Some(proxy.to_owned()),
        _ => None,
    }
}

#[test]
fn nothing_of_a_config_full_of_secrets_is_shown() {
    let mut config = Config::parse(TEXT, None, &env).unwrap();
    // A URL's own secrets are refused in a file; the answer would hide them all the same.
    let model = config.models.get_mut("a").and_then(std::sync::Arc::get_mut);
    if let Some(endpoint) = model.and_then(|model| model.endpoints.last_mut()) {
        endpoint.api_base = "https://SECRET:SECRET@eu.example/v1?SECRET#SECRET".parse().unwrap();
    }
    let body = shown(&config).to_string();
    assert!(!body.contains("SECRET"), "{body}");
    let told = shown(&config);
    for (pointer, want) in [
        ("/client/0", json!({"name": "laptop", "key": "(set)"})),
        ("/model/0/headers", json!({"x-org": "(set)", "x-env": "(set)"})),
        ("/model/0/temperature", json!(0.7)),
        ("/model/0/endpoint/1/api_base", json!("https://eu.example/v1")),
        ("/model/0/endpoint/1/api_key", json!("(set)")),
        ("/model/0/endpoint/1/weight", json!(3)),
        ("/workflow-integration/plan/workers/0/system", json!("(13 characters)")),
        ("/workflow-integration/plan/workers/1/workers/0/ref", json!("a")),
        ("/workflow/domains/eu.example/worker_timeout_secs", json!(1.5)),
        ("/workflow/timeouts/worker_timeout_secs", json!(60)),
        ("/workflow/pool/https_proxy/url", json!("http://proxy.example:3128")),
        ("/server/port", json!(11435)),
        ("/log/format", json!("pretty")),
    ] {
        assert_eq!(told.pointer(pointer), Some(&want), "{pointer}: {told:#}");
    }
}
