//! The router with all its middleware, without sockets and without upstreams.

mod discovery;
mod keys;
mod logs;
mod openapi;

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    http::{Method, StatusCode},
};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{test_support::*, *};
use crate::{
    config::{self, Client, Config},
    workflow::DEFAULT_WORKFLOW,
};

/// What came back.
struct Reply {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

fn serving(change: impl FnOnce(&mut Config)) -> AppState {
    let mut config = config(server(), Vec::new(), vec![model("a"), model("b/c:d")]);
    change(&mut config);
    app(config)
}

async fn call(app: &AppState, request: Request) -> Reply {
    let response = Front::new(app.clone(), true, Arc::default()).answer(request).await;
    let (parts, body) = response.into_parts();
    let body = to_bytes(Body::new(body), 1 << 20).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Reply { status: parts.status, headers: parts.headers, body }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut request = Request::builder().method(Method::try_from(method).unwrap()).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

async fn get_path(app: &AppState, path: &str) -> Reply {
    call(app, request("GET", path, &[], "")).await
}

#[tokio::test]
async fn the_routes_clients_look_at_first() {
    let app = serving(|_| {});
    let root = get_path(&app, "/").await;
    assert_eq!(root.body, "Ollama is running");
    assert_eq!(root.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(get_path(&app, "/api/version").await.body, r#"{"version":"0.32.7"}"#);
    assert_eq!(get_path(&app, "/health").await.json()["status"], "ok");

    let list = get_path(&app, "/v1/models").await.json();
    let ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["chorus", "a", "b/c:d"]);
    assert!(list["data"][0]["created"].is_u64());
    assert_eq!(list["object"], "list");

    for path in ["/", "/api/version", "/api/tags"] {
        let reply = call(&app, request("HEAD", path, &[], "")).await;
        assert_eq!((reply.status, reply.body.as_str()), (StatusCode::OK, ""), "{path}");
    }
}

#[tokio::test]
async fn tags_have_every_key_that_somebody_needs() {
    let app = serving(|config| {
        let mut blind = model("blind");
        (blind.vision, blind.tools) = (Some(false), Some(false));
        config.models.insert("blind".to_owned(), Arc::new(blind));
        config.server.progress = crate::config::Progress::Off;
    });
    let tags = get_path(&app, "/api/tags").await.json();
    let mut first = tags["models"][0].clone();
    let modified = first["modified_at"].take();
    assert!(modified.as_str().unwrap().parse::<Timestamp>().is_ok());
    insta::assert_snapshot!(first.to_string(), @r#"{"name":"chorus","model":"chorus","modified_at":null,"size":0,"digest":"ca6e99a67a7a8aa26bc06888370d71fb66f111b0cef45f80ec223f664bda8367","details":{"parent_model":"","format":"chorus","family":"chorus","families":["chorus"],"parameter_size":"","quantization_level":""},"capabilities":["completion","tools"]}"#);
    let capabilities: Vec<String> = tags["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["capabilities"].to_string())
        .collect();
    insta::assert_snapshot!(capabilities.join(" "), @r#"["completion","tools"] ["completion","tools","vision"] ["completion","tools","vision"] ["completion"]"#);
}

#[tokio::test]
async fn every_response_has_an_id_and_says_who_we_are() {
    let app = serving(|_| {});
    for path in ["/", "/v1/models", "/nowhere", "/api/chat"] {
        let (one, two) = (get_path(&app, path).await, get_path(&app, path).await);
        let id = one.header("x-request-id").unwrap();
        assert_eq!(id.len(), 36, "{path}");
        assert_ne!(Some(id), two.header("x-request-id"));
        assert!(one.header("server").unwrap().starts_with("chorus/"));
    }
}

#[tokio::test]
async fn errors_have_the_shape_of_the_path() {
    let app = serving(|_| {});
    for (method, path, body) in [
        (
            "GET",
            "/v1/nowhere",
            r#"{"error":{"message":"no such endpoint: GET /v1/nowhere","type":"not_found_error","param":null,"code":"not_found"}}"#,
        ),
        (
            "GET",
            "/api/nowhere",
            r#"{"error":"no such endpoint: GET /api/nowhere","code":"not_found"}"#,
        ),
        (
            "GET",
            "/nowhere",
            r#"{"error":{"message":"no such endpoint: GET /nowhere","code":"not_found"}}"#,
        ),
        (
            "PUT",
            "/v1/models",
            r#"{"error":{"message":"this endpoint does not take PUT","type":"invalid_request_error","param":null,"code":"method_not_allowed"}}"#,
        ),
        (
            "GET",
            "/api/chat",
            r#"{"error":"this endpoint does not take GET","code":"method_not_allowed"}"#,
        ),
        (
            "GET",
            "/api/generate",
            r#"{"error":{"message":"this endpoint does not take GET","code":"method_not_allowed"}}"#,
        ),
    ] {
        let reply = call(&app, request(method, path, &[], "")).await;
        // What is right instead stands behind.
        let (before, rest) = reply.body.split_once("; ").unwrap();
        let (hint, after) = rest.split_once('"').unwrap();
        assert_eq!(format!("{before}\"{after}"), body);
        assert!(!hint.is_empty());
        assert_eq!(reply.header("content-type"), Some("application/json"));
        let want = if reply.body.contains("not_found") { 404 } else { 405 };
        assert_eq!(reply.status.as_u16(), want, "{method} {path}");
    }
}

#[tokio::test]
async fn bad_bodies_are_reported_in_the_dialect_and_vary_is_said() {
    let app = serving(|config| config.server.request_body_limit = 64);
    let long = format!("{{\"prompt\":\"{}\"}}", "x".repeat(64));
    for (path, accept, body, status, start) in [
        (
            "/v1/chat/completions",
            "application/json",
            "",
            400,
            r#"{"error":{"message":"missing request body""#,
        ),
        (
            "/v1/chat/completions",
            "",
            r#"{"messages":[]}"#,
            400,
            r#"{"error":{"message":"messages: at"#,
        ),
        ("/api/chat", "application/json", "{", 400, r#"{"error":"malformed JSON"#),
        (
            "/api/chat",
            "text/event-stream",
            "[]",
            400,
            r#"{"error":{"message":"the request body must"#,
        ),
        (
            "/api/generate",
            "application/json",
            r#"{"suffix":"x"}"#,
            400,
            r#"{"error":"model 'chorus' does not"#,
        ),
        (
            "/api/generate",
            "application/json",
            long.as_str(),
            413,
            r#"{"error":"the request body is larger"#,
        ),
    ] {
        let form = ("content-type", "application/x-www-form-urlencoded");
        let reply = call(&app, request("POST", path, &[("accept", accept), form], body)).await;
        assert_eq!(reply.status.as_u16(), status, "{path} {body}");
        assert!(reply.body.starts_with(start), "{}", reply.body);
        let vary = path.starts_with("/api").then_some("Accept, User-Agent");
        assert_eq!(reply.header("vary"), vary);
    }
}

#[tokio::test]
async fn a_raw_prompt_needs_a_single_model_and_nothing_asked_is_answered_at_once() {
    let app = serving(|_| {});
    let post = |body: &'static str| {
        call(&app, request("POST", "/api/generate", &[("accept", "application/json")], body))
    };
    let refused = post(r#"{"model":"chorus","raw":true,"prompt":"x"}"#).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.body.contains("only a single model takes a raw prompt"));
    let loaded = post("{}").await;
    assert_eq!(loaded.header("content-type"), Some("application/json"));
    assert_eq!(loaded.json()["model"], "chorus");
    assert_eq!(loaded.json()["done_reason"], "load");
}

#[tokio::test]
async fn unknown_models_are_rejected() {
    let app = serving(|_| {});
    let body = r#"{"model":"gpt-x","messages":[{"role":"user","content":"hi"}]}"#;
    let reply = call(&app, request("POST", "/v1/chat/completions", &[], body)).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    insta::assert_snapshot!(reply.body, @r#"{"error":{"message":"model 'gpt-x' not found; there are: chorus, a, b/c:d","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#);
}

#[tokio::test]
async fn web_pages_and_strange_hosts_stay_outside() {
    let app = serving(|_| {});
    for (header, value, status) in [
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("origin", "http://localhost:3000", 200),
        ("host", "evil.example:11435", 403),
        ("host", "localhost:11435", 200),
    ] {
        for path in ["/", "/v1/models"] {
            let reply = call(&app, request("GET", path, &[(header, value)], "")).await;
            assert_eq!(reply.status.as_u16(), status, "{header}: {value} {path}");
            assert_eq!(reply.body.contains("forbidden"), status == 403);
            let readable = (header == "origin" && status == 200).then_some(value);
            assert_eq!(reply.header("access-control-allow-origin"), readable);
        }
    }
    let front = Front::new(app.clone(), false, Arc::default());
    let beyond = request("GET", "/v1/models", &[("host", "chorus.example")], "");
    assert_eq!(front.answer(beyond).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_key_is_needed_for_everything_but_the_probes() {
    let app = serving(|config| {
        config.clients = vec![Client::with_key("laptop", Sha256::digest("key").into())];
    });
    for (path, headers, status) in [
        ("/", vec![], 200),
        ("/health", vec![], 200),
        ("/v1/models", vec![], 401),
        ("/api/tags", vec![], 401),
        ("/nowhere", vec![], 401),
        ("/v1/models", vec![("authorization", "Bearer wrong")], 401),
        ("/v1/models", vec![("authorization", "Bearer key")], 200),
        ("/api/tags", vec![("x-api-key", "key")], 200),
    ] {
        let reply = call(&app, request("GET", path, &headers, "")).await;
        assert_eq!(reply.status.as_u16(), status, "{path} {headers:?}");
        assert_eq!(reply.body.contains("invalid_api_key"), status == 401);
    }
    // The page that is told so may read it, and whatever the refusal, its shape was negotiated.
    let origin = [("origin", "http://localhost:3000"), ("accept", "application/json")];
    for (path, vary) in
        [("/v1/models", vec!["Origin"]), ("/api/chat", vec!["Origin", "Accept, User-Agent"])]
    {
        let reply = call(&app, request("POST", path, &origin, "{}")).await;
        assert_eq!(reply.status.as_u16(), 401, "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("http://localhost:3000"));
        let said: Vec<_> = reply.headers.get_all("vary").iter().collect();
        assert_eq!(said, vary, "{path}");
    }
}

#[tokio::test]
async fn a_full_server_says_when_to_come_back_and_a_request_ends_with_its_body() {
    let app = serving(|config| config.server.max_in_flight = 1);
    let app = AppState::new(app.engine());
    let front = Front::new(app.clone(), true, Arc::default());
    let first = front.answer(request("GET", "/v1/models", &[], "")).await;
    let refused = get_path(&app, "/v1/models").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(refused.json()["error"]["code"], "overloaded");
    assert_eq!(get_path(&app, "/health").await.status, StatusCode::OK);
    drop(first);
    assert_eq!(get_path(&app, "/v1/models").await.status, StatusCode::OK);
}

#[tokio::test]
async fn slots_are_counted_over_a_reload_while_their_number_is_the_same() {
    for (most, want) in [(1, StatusCode::SERVICE_UNAVAILABLE), (2, StatusCode::OK)] {
        let app = serving(|config| config.server.max_in_flight = 1);
        let front = Front::new(app.clone(), true, Arc::default());
        let first = front.answer(request("GET", "/v1/models", &[], "")).await;
        let mut next = config(server(), Vec::new(), vec![model("a"), model("new")]);
        next.server.max_in_flight = most;
        app.replace(app.engine().successor(Arc::new(next)).unwrap());
        assert_eq!(get_path(&app, "/v1/models").await.status, want, "{most}");
        drop(first);
        let names = get_path(&app, "/v1/models").await.body;
        assert!(names.contains("new") && !names.contains("b/c:d"), "{names}");
    }
}

#[tokio::test]
async fn what_became_of_the_file_is_shown_to_operators() {
    let app = serving(|config| config.path = Some("/etc/chorus.toml".into()));
    let reported = async || get_path(&app, "/health?verbose").await.json()["config"].clone();
    assert_eq!(get_path(&app, "/health").await.json().get("config"), None);
    let first = reported().await;
    assert_eq!((&first["path"], &first["reloads"]), (&"/etc/chorus.toml".into(), &0.into()));
    assert!(first["loaded_at"].as_str().unwrap().parse::<Timestamp>().is_ok());
    app.refuse(vec!["config.toml:1: no; mend it".to_owned()]);
    let refused = reported().await;
    let error = &refused["last_error"];
    assert_eq!(error["problems"], serde_json::json!(["config.toml:1: no; mend it"]));
    assert!(error["at"].as_str().unwrap().parse::<Timestamp>().is_ok());
    app.refuse(vec!["config.toml:1: no; mend it".to_owned()]);
    assert_eq!(reported().await, refused, "the same again, and since when");
    app.confirm();
    assert_eq!(reported().await, first);
    app.refuse(vec!["no".to_owned()]);
    let next = config(server(), Vec::new(), vec![model("a")]);
    app.replace(app.engine().successor(Arc::new(next)).unwrap());
    let replaced = reported().await;
    assert_eq!((&replaced["reloads"], replaced.get("last_error")), (&1.into(), None));
    assert_eq!(get_path(&app, "/health").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_is_still_coming_does_not_hold_up_the_end() {
    let app = serving(|_| {});
    let never = futures::stream::pending::<Result<&str, std::io::Error>>();
    let request = Request::post("/api/chat").body(Body::from_stream(never)).unwrap();
    let (reply, ()) = tokio::join!(call(&app, request), async { app.app().lifecycle.end() });
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_draining_server_takes_nothing_new() {
    let app = serving(|_| {});
    app.app().lifecycle.drain();
    for path in ["/", "/health", "/api/tags"] {
        let reply = get_path(&app, path).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(reply.header("retry-after"), Some("5"));
    }
}

#[test]
fn the_workflows_capabilities_are_those_of_its_models() {
    let leaf = |name: &str| {
        config::Member::Leaf(config::Leaf { name: name.to_owned(), stage: stage(name), copy: 0 })
    };
    for (synthesizer, workers, want) in [
        (Some("blind"), vec!["a"], r#"["completion","vision","thinking"]"#),
        (Some("a"), vec!["blind"], r#"["completion","tools","vision","thinking"]"#),
        (None, vec!["blind"], r#"["completion","thinking"]"#),
        (Some("plain"), vec!["plain"], r#"["completion","thinking"]"#),
    ] {
        let mut blind = model("blind");
        (blind.vision, blind.tools) = (Some(false), Some(false));
        let mut plain = model("plain");
        plain.mode = config::Mode::Completion;
        let mut config = config(server(), Vec::new(), vec![model("a"), blind, plain]);
        let reported = ollama::capabilities(config.named("plain").unwrap(), &config);
        assert_eq!(reported, ["completion"]);
        let mut plan = (*config.workflow.plan).clone();
        plan.synthesizer = synthesizer.map(stage);
        plan.members = workers.into_iter().map(leaf).collect();
        config.workflow.plan = Arc::new(plan);
        let reported =
            Value::from(ollama::capabilities(config.named(DEFAULT_WORKFLOW).unwrap(), &config))
                .to_string();
        assert_eq!(reported, want);
    }
}

fn stage(model: &str) -> config::Stage {
    config::Stage {
        model: model.to_owned(),
        temperature: None,
        auto_temperature: None,
        max_tokens: None,
        system: None,
        timeout: None,
        fallback: Vec::new(),
    }
}
