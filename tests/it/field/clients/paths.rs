//! Near-miss paths, methods, browsers, circles.

use reqwest::Method;
use serde_json::{Value, json};

use super::{FORMS, GOOGLES, asking, inner, objects_from, objects_of, path_of};
use crate::support::{Chorus, Script, Upstream, four_stages, soon};

async fn over() -> (Upstream, Chorus) {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("m", Script::says("Hello.")),
        ("writer", Script::says("fused")),
    ])
    .await;
    let chorus = four_stages(&["m"]).over(&upstream).await;
    (upstream, chorus)
}

#[tokio::test]
async fn a_path_that_can_only_mean_one_endpoint_is_served() {
    let (_upstream, chorus) = over().await;
    for (path, form) in [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("//v1//chat/completions", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/api/v1/chat/completions", "/v1/chat/completions"),
        ("/openai/v1/chat/completions", "/v1/chat/completions"),
        ("/completions", "/v1/completions"),
        ("/responses", "/v1/responses"),
        ("/anthropic/v1/messages", "/v1/messages"),
        ("//api/chat?stream_format=ndjson", "/api/chat"),
        ("/api/chat/", "/api/chat"),
        ("/v1/api/chat", "/api/chat"),
        ("/api/generate/", "/api/generate"),
        ("/API/Generate", "/api/generate"),
    ] {
        for stream in [false, true] {
            let (status, objects) =
                objects_from(&chorus, path, &asking(form, Some("m"), stream)).await;
            assert_eq!(status, 200, "{path}: {objects:?}");
            let text: String = objects.iter().map(Value::to_string).collect();
            assert!(text.contains("He"), "{path} {stream}: {text}");
        }
    }
    for path in ["/models", "/v1/v1/models", "/openai/v1/models", "/v1/models/", "/api/tags/"] {
        assert_eq!(chorus.get(path).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn any_other_path_and_method_is_shown_the_right_one() {
    let (_upstream, chorus) = over().await;
    for (path, words) in [
        ("/v1", "/v1/chat/completions"),
        ("/api", "/api/chat"),
        ("/v1/chat", "/v1/chat/completions"),
        ("/tags", "/api/tags"),
        ("/v1/message", "/v1/messages"),
    ] {
        let (status, object) = chorus.ask(path, &json!({})).await;
        assert_eq!(status, 404, "{path}: {object}");
        assert!(object["error"].to_string().contains(words), "{path}: {object}");
        assert!(object.to_string().contains("not_found"), "{path}: {object}");
    }
    // Behind a model's name a method is part of the name.
    for form in FORMS.into_iter().filter(|form| *form != GOOGLES) {
        let response = chorus.get(form).await;
        assert_eq!(response.status(), 405, "{form}");
        assert_eq!(response.headers()["allow"], "POST", "{form}");
        let objects = objects_of(response).await;
        assert!(objects[0].to_string().contains("it takes POST with a JSON body"), "{objects:?}");
    }
}

#[tokio::test]
async fn a_page_that_may_ask_may_send_whatever_headers_it_asks_for() {
    let (_upstream, chorus) = over().await;
    let wanted = "x-request-id, x-stainless-os, x-own-header, authorization";
    for (origin, allowed) in [
        ("http://localhost:3000", true),
        ("http://tauri.localhost", true),
        ("https://tauri.localhost", true),
        ("https://evil.example", false),
        ("http://tauri.localhost.evil.example", false),
    ] {
        let asked = chorus
            .request(Method::OPTIONS, "/v1/chat/completions")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", wanted);
        let response = soon("the preflight", asked.send()).await.expect("an answer");
        assert_eq!(response.status(), if allowed { 204 } else { 403 }, "{origin}");
        let headers = response.headers();
        assert_eq!(headers.contains_key("access-control-allow-origin"), allowed, "{origin}");
        if allowed {
            assert_eq!(headers["access-control-allow-headers"], wanted, "{origin}");
        }
        let body = asking(FORMS[0], Some("m"), false);
        let response = chorus.post_with(FORMS[0], &body, &[("origin", origin)]).await;
        assert_eq!(response.status(), if allowed { 200 } else { 403 }, "{origin}");
        if allowed {
            let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap();
            assert!(exposed.contains("x-request-id"), "{exposed}");
        }
    }
}

#[tokio::test]
async fn a_call_says_how_often_chorus_asked_chorus_and_a_circle_is_refused() {
    let (upstream, chorus) = over().await;
    for form in FORMS {
        for (model, stream) in [("m", false), ("m", true), ("chorus", false)] {
            let body = asking(form, Some(model), stream);
            let path = path_of(form, &body);
            for (header, want) in
                [(None, "1"), (Some("0"), "1"), (Some("3"), "4"), (Some("x"), "1")]
            {
                let before = upstream.seen().len();
                let headers: Vec<_> =
                    header.map(|hops| ("x-chorus-hops", hops)).into_iter().collect();
                let response = chorus.post_with(&path, &body, &headers).await;
                assert_eq!(response.status(), 200, "{form}");
                assert!(!response.headers().contains_key("x-chorus-hops"), "{form}");
                drop(objects_of(response).await);
                let seen = &upstream.seen()[before..];
                assert!(!seen.is_empty());
                assert!(
                    seen.iter().all(|seen| seen.header("x-chorus-hops") == Some(want)),
                    "{form}"
                );
            }
            let before = upstream.seen().len();
            let response = chorus.post_with(&path, &body, &[("x-chorus-hops", "4")]).await;
            assert_eq!(response.status(), 508, "{form}");
            assert_eq!(response.headers()["x-should-retry"], "false", "{form}");
            let objects = objects_of(response).await;
            let words = match form {
                "/v1/messages" => "api_error",
                GOOGLES => "508",
                _ => "loop_detected",
            };
            assert!(inner(&objects[0]).to_string().contains(words), "{objects:?}");
            assert_eq!(upstream.seen().len(), before, "{form}: nobody is asked");
        }
    }
}
