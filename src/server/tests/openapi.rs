//! The description of the API, against the router and what is really answered.

use std::{collections::BTreeSet, fs, path::Path};

use super::*;
use crate::server::openapi as description;

fn document() -> Value {
    serde_json::from_str(&description::text()).unwrap()
}

#[test]
fn the_committed_description_is_current() {
    let file = "docs/openapi.json";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let now = description::text();
    if std::env::var_os("CHORUS_WRITE_REFERENCE").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == now, "{file} is not current: run `cargo xtask reference` and commit it");
}

#[tokio::test]
async fn every_endpoint_is_described_and_nothing_else() {
    let document = document();
    let described: BTreeSet<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let routes: BTreeSet<String> =
        endpoints().into_iter().map(|(path, _)| path.replace("{*", "{")).collect();
    assert_eq!(described, routes.iter().map(String::as_str).collect());
    let app = serving(|_| {});
    for path in described {
        let id = if path.contains("models") { "b/c:d" } else { "resp_1" };
        let real =
            path.replace("{id}", id).replace("{digest}", "sha256:0").replace("{file}", "app.js");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            // It never ends, and is watched over a socket elsewhere.
            if (method, path) == ("GET", "/chorus/runs/live") {
                continue;
            }
            let reply = call(&app, request(method, &real, &[], "{}")).await;
            let operation = &document["paths"][path][method.to_lowercase()];
            let status = reply.status.as_u16();
            if operation.is_null() {
                assert!(matches!(status, 405 | 501), "{method} {path}: {status}");
            } else {
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.contains_key(&status.to_string()), "{method} {path}: {status}");
            }
        }
    }
}

/// A name that two types have would be numbered.
#[test]
fn every_part_has_one_name_and_is_there() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let numbered: Vec<&String> =
        schemas.keys().filter(|name| name.ends_with(|last: char| last.is_ascii_digit())).collect();
    assert_eq!(numbered, Vec::<&String>::new());
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100, "{}", found.len());
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let used: BTreeSet<&str> =
        found.iter().filter_map(|one| one.strip_prefix("#/components/schemas/")).collect();
    assert_eq!(schemas.keys().map(String::as_str).collect::<BTreeSet<_>>(), used);
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                match value {
                    Value::String(to) if name == "$ref" => found.push(to.clone()),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(entries) => entries.iter().for_each(|entry| references(entry, found)),
        _ => {}
    }
}

#[tokio::test]
async fn what_is_answered_is_as_described() {
    let document = document();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("http://api/openapi.json", document.clone()).unwrap();
    let mut schemas = boon::Schemas::new();
    let app = serving(|config| {
        config.clients = vec![Client::with_key("laptop", Sha256::digest("key").into())];
    });
    let key = ("x-api-key", "key");
    let sse = ("accept", "text/event-stream");
    let plain = ("accept", "application/json");
    for (method, path, query, headers, body, status) in [
        ("GET", "/health", "", vec![], "", 200),
        ("GET", "/health", "?verbose", vec![key], "", 200),
        ("GET", "/health", "?verbose", vec![], "", 401),
        ("GET", "/ready", "", vec![key], "", 200),
        ("GET", "/chorus/config", "", vec![], "", 401),
        ("GET", "/chorus/config", "", vec![key], "", 403),
        ("GET", "/chorus/clients", "", vec![key], "", 200),
        ("GET", "/openapi.json", "", vec![key], "", 200),
        ("GET", "/v1/models", "", vec![key], "", 200),
        ("GET", "/v1/models", "", vec![], "", 401),
        ("GET", "/v1/models", "", vec![("host", "evil.example")], "", 403),
        ("GET", "/api/tags", "", vec![key], "", 200),
        ("GET", "/api/ps", "", vec![key], "", 200),
        ("GET", "/api/version", "", vec![key], "", 200),
        ("GET", "/ollama/api/version", "", vec![key], "", 200),
        ("POST", "/api/show", "", vec![key], r#"{"model":"a"}"#, 200),
        ("POST", "/api/show", "", vec![key], r#"{"model":"z"}"#, 404),
        ("POST", "/api/chat", "", vec![key, plain], r#"{"model":"a","messages":1}"#, 400),
        ("POST", "/api/chat", "", vec![key, sse], r#"{"model":"a","messages":1}"#, 400),
        ("POST", "/api/chat", "", vec![key], r#"{"messages":[]}"#, 200),
        ("POST", "/api/generate", "", vec![key], r#"{"prompt":""}"#, 200),
        ("POST", "/api/pull", "", vec![key], "", 501),
        ("POST", "/v1/embeddings", "", vec![key], r#"{"model":"chorus"}"#, 400),
        ("POST", "/v1/chat/completions", "", vec![key], "", 400),
        ("POST", "/v1/responses", "", vec![key], r#"{"model":"z","input":"a"}"#, 404),
    ] {
        let asked = request(method, &format!("{path}{query}"), &headers, body);
        let reply = call(&app, asked).await;
        assert_eq!(reply.status.as_u16(), status, "{method} {path}{query}: {}", reply.body);
        let path_of = path.replace('/', "~1");
        let response = format!("/paths/{path_of}/{}/responses/{status}", method.to_lowercase());
        let response = match document.pointer(&response).unwrap()["$ref"].as_str() {
            Some(shared) => shared.trim_start_matches('#').to_owned(),
            None => response,
        };
        let pointer = format!("{response}/content/application~1json/schema");
        let schema =
            compiler.compile(&format!("http://api/openapi.json#{pointer}"), &mut schemas).unwrap();
        let answer = reply.json();
        let valid = schemas.validate(&answer, schema);
        assert!(valid.is_ok(), "{method} {path}: {:#}\n{}", valid.unwrap_err(), reply.body);
    }
}
