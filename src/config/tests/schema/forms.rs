//! What must have a form: hosts, addresses, names, workers.

use serde_json::json;

use super::{Editor, agree, leaves::leaves, read};

#[test]
fn quorums_count_or_are_a_share_to_both() {
    let editor = Editor::new();
    let leaf = leaves().into_iter().find(|leaf| leaf.key == "quorum").unwrap();
    for (quorum, fine) in [(0.5, true), (0.001, true), (0.0, false), (-1.0, false), (1.5, false)] {
        agree(&editor, &leaf, &json!(quorum), fine);
    }
    for (quorum, fine) in [(1, true), (2, true), (0, false)] {
        agree(&editor, &leaf, &json!(quorum), fine);
    }
}

#[test]
fn texts_have_the_same_form_to_both() {
    let editor = Editor::new();
    for (key, value, fine) in [
        ("host", "::1", true),
        ("host", "[::1]", true),
        ("host", "127.0.0.1:80", false),
        ("host", "", false),
        ("request_body_limit", "64 mib", true),
        ("request_body_limit", "2KB", true),
        ("request_body_limit", "0", false),
        ("request_body_limit", "64 parsecs", false),
        ("ollama_version", "0.13", true),
        ("ollama_version", "v1", false),
        ("name", "a b", true),
        ("name", " a", false),
        ("name", "chorus", false),
        ("name", "chorus:latest", false),
        ("api_base", "http://[::1]:8080", true),
        ("api_base", "https://h/v1/", true),
        ("api_base", "localhost:8080", false),
        ("api_base", "ftp://h/v1", false),
        ("api_base", "https://me@h/v1", false),
        ("api_base", "https://h/v1?key=1", false),
        ("api_base", "https://h/v1/chat/completions", false),
        ("api_base", "https://h/v1/chat/completions/", false),
        ("api_version", "v1beta", true),
        ("api_version", "../v1", false),
        ("api_version", "", false),
        ("key", "sha256:abc", false),
        ("ref", "", false),
        ("json", "{", false),
        ("json", "[]", false),
    ] {
        // Of the names, that of a model.
        let mut named = leaves().into_iter().filter(|leaf| leaf.key == key);
        let leaf = named.find(|leaf| key != "name" || leaf.place.definition == "Model").unwrap();
        agree(&editor, &leaf, &json!(value), fine);
    }
    let digest = format!("sha256:{}", "0f".repeat(32));
    let leaf = leaves().into_iter().find(|leaf| leaf.key == "key").unwrap();
    agree(&editor, &leaf, &json!(digest), true);
    for (key, value, fine) in [
        ("cors_origins", json!(["app://obsidian.md", "http://10.0.0.1:3000/"]), true),
        ("cors_origins", json!(["*"]), false),
        ("cors_origins", json!(["https://chat.example/path"]), false),
        ("allowed_hosts", json!(["chorus.lan"]), true),
        ("allowed_hosts", json!(["http://a"]), false),
        ("allowed_ips", json!(["127.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"]), true),
        ("allowed_ips", json!(["gpu.lan"]), false),
        ("trusted_proxies", json!(["10.0.0.1:80"]), false),
        ("headers", json!({ "X-Org": "env:ORG" }), true),
        ("headers", json!({ "X Org": "1" }), false),
        ("headers", json!({ "Content-TYPE": "1" }), false),
        ("headers", json!({ "X-Org": 1 }), false),
        ("domains", json!({ "api.example:8443": {} }), true),
        ("domains", json!({ "[::1]:443": {} }), true),
        ("domains", json!({ "https://h/": {} }), false),
        ("worker_models", json!([]), false),
        ("workers", json!([]), false),
        ("workers", json!(["a", { "name": "b" }, { "workers": ["a"] }]), true),
        ("workers", json!([{ "samples": 2 }]), false),
        ("workers", json!([{ "ref": "a", "selector": "a" }]), false),
        ("workers", json!([{ "workers": ["a"], "ref": "a" }]), false),
    ] {
        // Of the `workers`, those of a plan.
        let mut named = leaves().into_iter().filter(|leaf| leaf.key == key);
        let leaf =
            named.find(|leaf| leaf.place.definition != "Server" || key != "workers").unwrap();
        agree(&editor, &leaf, &value, fine);
    }
}

#[test]
fn a_plan_may_name_its_schema_at_its_top() {
    let editor = Editor::new();
    let config = |plan: &str| {
        let model = "[[model]]\nname = \"a\"\napi_base = \"http://127.0.0.1:1/v1\"\n";
        format!("{model}[workflow-integration]\njson = '{plan}'\n")
    };
    let plain = read(&config(r#"{"workers":["a"],"selector":"a"}"#)).unwrap();
    for (plan, fine) in [
        (r#"{"$schema":"./plan.schema.json","workers":["a"],"selector":"a"}"#, true),
        (r#"{"$schema":1,"workers":["a"],"selector":"a"}"#, false),
        (r#"{"workers":[{"$schema":"x","workers":["a"]}],"selector":"a"}"#, false),
        (r#"{"workers":[{"$schema":"x","ref":"a"}],"selector":"a"}"#, false),
    ] {
        let text = config(plan);
        assert_eq!(editor.check(&text).is_ok(), fine, "{plan}");
        let read = read(&text);
        assert_eq!(read.is_ok(), fine, "{plan}: {read:?}");
        assert!(read.is_err() || read.is_ok_and(|config| config.workflow == plain.workflow));
    }
}
