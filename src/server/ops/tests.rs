use super::*;

/// Every place of a config that can hold a secret, holding one that says so.
const TEXT: &str = r#"
[server]
request_body_limit = "1MiB"
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
api_base = "https://eu.example/v1/sk-5ecre7-5ecre7"
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
    let shown = shown(&Config::parse(TEXT, None, &env).unwrap());
    let body = shown.to_string();
    assert!(!body.contains("SECRET") && !body.contains("5ecre7"), "{body}");
    for (pointer, want) in [
        ("/client/0/name", json!("laptop")),
        ("/client/0/key", json!("(set)")),
        ("/model/0/headers", json!({"X-Org": "(set)", "X-Env": "(set)"})),
        ("/model/0/temperature", json!(0.7)),
        ("/model/0/protocol", json!("openai")),
        ("/model/0/context_tokens", json!(32768)),
        ("/model/0/api_key", json!("(set)")),
        ("/model/0/endpoint/0/api_base", json!("https://eu.example/v1/***")),
        ("/model/0/endpoint/0/api_key", json!("(set)")),
        ("/model/0/endpoint/0/weight", json!(3)),
        ("/workflow-integration/plan/workers/0/system", json!("(13 characters)")),
        ("/workflow-integration/plan/workers/1/workers/0", json!("a")),
        ("/workflow/domains/eu.example/worker_timeout_secs", json!(1.5)),
        ("/workflow/timeouts/worker_timeout_secs", json!(60)),
        ("/workflow/pool/https_proxy/url", json!("http://proxy.example:3128")),
        ("/server/port", json!(11435)),
        ("/log/format", json!("pretty")),
    ] {
        assert_eq!(shown.pointer(pointer), Some(&want), "{pointer}: {shown:#}");
    }
}
