//! What is logged of a request, and what becomes of one that goes wrong in us.

use std::{io::Write, sync::Mutex};

use tracing::instrument::WithSubscriber;
use tracing_subscriber::layer::SubscriberExt;

use super::*;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged while a request is answered, as JSON lines.
pub(super) async fn logged(app: &AppState, request: Request) -> Vec<Value> {
    let captured = Captured::default();
    let writer = captured.clone();
    let layer = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(move || writer.clone());
    let levels = tracing_subscriber::EnvFilter::new("chorus=trace");
    let subscriber = tracing_subscriber::registry().with(layer).with(levels);
    // See llm::tests::logs: a single dispatcher would let callsites be cached as unwanted.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    call(app, request).with_subscriber(subscriber).await;
    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_request_is_one_line_at_info() {
    let app = serving(|_| {});
    let body = r#"{"model":"gpt-x","messages":[{"role":"user","content":"a secret"}]}"#;
    let asked = request("POST", "/v1/chat/completions?key=secret", &[], body);
    let lines = logged(&app, asked).await;
    let info: Vec<&Value> = lines.iter().filter(|line| line["level"] != "DEBUG").collect();
    assert_eq!(info.len(), 1, "{info:?}");
    let line = info[0];
    assert_eq!(line["message"], "request");
    assert_eq!(line["request.id"].as_str().unwrap().len(), 36);
    assert_eq!(line["method"], "POST");
    assert_eq!(line["path"], "/v1/chat/completions");
    assert_eq!(line["model"], "gpt-x");
    assert_eq!((&line["status"], &line["code"]), (&404.into(), &"model_not_found".into()));
    assert!(line["total_ms"].is_u64());
    assert!(!format!("{lines:?}").contains("secret"), "{lines:?}");
}

#[tokio::test]
async fn the_line_names_the_session_and_no_person() {
    let app = serving(|_| {});
    let id = "3f1c6a52-7b0e-4c3a-9d55-0a8e2f6b7c11";
    let user = format!("user_secret_account_secret_session_{id}");
    let chat = r#"{"prompt_cache_key":"ann@secret.org\u001b[2J","messages":[{"role":"user","content":"hi"}]}"#;
    let messages = serde_json::json!({"messages": [{"role": "user", "content": "hi"}],
        "metadata": {"user_id": user}});
    let hash = "1dfd3bb8816be419";
    let claudes = [("x-claude-code-session-id", id), ("x-claude-code-agent-id", "secret")];
    for (path, headers, body, want, agent) in [
        ("/v1/chat/completions", &[][..], chat, Some(hash), None),
        (
            "/v1/responses",
            &[],
            r#"{"prompt_cache_key":"ann@secret.org\u001b[2J","input":"hi"}"#,
            Some(hash),
            None,
        ),
        ("/v1/messages", &[], &messages.to_string(), Some(id), None),
        ("/v1/messages", &claudes, r#"{"messages":[]}"#, Some(id), Some("2bb80d537b1da3e3")),
        ("/v1/embeddings", &[("session_id", id)], r#"{"input":"hi"}"#, Some(id), None),
        ("/api/chat", &[], r#"{"messages":[{"role":"user","content":"hi"}]}"#, None, None),
    ] {
        let lines = logged(&app, request("POST", path, headers, body)).await;
        let line = lines.iter().find(|line| line["message"] == "request").unwrap();
        assert_eq!(line.get("session").and_then(Value::as_str), want, "{path}");
        assert_eq!(line.get("agent").and_then(Value::as_str), agent, "{path}");
        assert!(!format!("{lines:?}").contains("secret"), "{lines:?}");
    }
}

#[tokio::test]
async fn a_failure_of_ours_is_one_error_line() {
    let app = serving(|_| {});
    app.app().lifecycle.drain();
    let lines = logged(&app, request("GET", "/api/tags", &[], "")).await;
    let levels: Vec<&str> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["ERROR"]);
    assert_eq!(lines[0]["code"], "overloaded");
    assert!(lines[0]["error"].is_string(), "{lines:?}");
}

#[tokio::test]
async fn whoever_only_looks_whether_it_is_there_leaves_no_line_at_info() {
    let app = serving(|_| {});
    for (method, path, level) in [
        ("GET", "/health", "DEBUG"),
        ("GET", "/health?verbose", "DEBUG"),
        ("GET", "/ready", "DEBUG"),
        ("GET", "/", "DEBUG"),
        ("HEAD", "/", "DEBUG"),
        ("HEAD", "/v1/models", "DEBUG"),
        ("GET", "/ollama/", "DEBUG"),
        ("GET", "/api/version", "DEBUG"),
        ("GET", "/ollama/api/version", "DEBUG"),
        ("GET", "/metrics", "DEBUG"),
        ("GET", "/v1/models", "INFO"),
        ("GET", "/api/tags", "INFO"),
        ("GET", "/healthy", "INFO"),
    ] {
        let lines = logged(&app, request(method, path, &[], "")).await;
        let line = lines.iter().find(|line| line["message"] == "request").unwrap();
        assert_eq!(line["level"], level, "{method} {path}");
    }
}

#[tokio::test]
async fn options_that_are_not_used_are_named_at_debug() {
    let app = serving(|_| {});
    let body = r#"{"options":{"temperature":1,"mirostat":2,"num_gpu":"secret"}}"#;
    let lines = logged(&app, request("POST", "/api/chat", &[], body)).await;
    let named: Vec<&Value> = lines.iter().filter_map(|line| line.get("options")).collect();
    assert_eq!(named, ["mirostat num_gpu(text 6) "]);
    assert!(!format!("{lines:?}").contains("secret"), "{lines:?}");
}

/// None is known; should there be one, its client gets an answer and the server goes on.
#[tokio::test]
async fn a_panic_is_an_internal_error_with_an_id() {
    async fn broken() -> &'static str {
        panic!("of a test: a secret")
    }
    let app = serving(|_| {});
    let mut front = Front::new(app, true, Arc::default());
    let broken = Router::new().route("/v1/broken", get(broken));
    front.routes = TowerToHyperService::new(broken);
    let response = front.answer(request("GET", "/v1/broken", &[], "")).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(response.headers().contains_key("x-request-id"));
    let body = to_bytes(Body::new(response.into_body()), 1 << 20).await.unwrap();
    insta::assert_snapshot!(text_of(body), @r#"{"error":{"message":"internal error: Chorus failed at this request; please report it","type":"api_error","param":null,"code":"internal_error"}}"#);
}
