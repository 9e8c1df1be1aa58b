//! What callers and operators learn of endpoints that are out of service.

use super::*;

#[tokio::test]
async fn with_no_endpoint_in_service_a_request_fails_at_once_and_says_why() {
    let a = Host::start("a").await;
    let b = Host::start("b").await;
    let chorus = over(&[(&a, ""), (&b, "")], "", FOR_GOOD).await;
    assert_eq!(chorus.get("/ready").await.status(), 200);
    a.answers(401);
    b.answers(401);
    let _ = chorus.ask(CHAT, &asking("hi")).await;
    let _ = chorus.ask(CHAT, &asking("hi")).await;
    let asked = (a.calls(), b.calls());
    let (status, body) = chorus.ask(CHAT, &asking("hi")).await;
    assert_eq!(status, 502);
    let words = body["error"]["message"].as_str().unwrap();
    let wanted = format!(
        "model 'm': no endpoint is in service: {} (upstream_unauthorized, tried again in 3600 s); \
         {} (upstream_unauthorized, tried again in 3600 s)",
        a.authority(),
        b.authority()
    );
    assert_eq!(words, wanted);
    assert_eq!(body["workflow"]["synthesizer"]["error"]["code"], "circuit_open");
    assert_eq!((a.calls(), b.calls()), asked, "nobody was asked");
    let ready = chorus.get("/ready").await;
    assert_eq!(ready.status(), 503);
    assert_eq!(ready.text().await.unwrap(), r#"{"status":"not_ready","models":["m"]}"#);
}

#[tokio::test]
async fn health_shows_strangers_nothing() {
    let a = Host::start("a").await;
    let client = "[[client]]\nname = \"me\"\nkey = \"sk-me\"\n";
    let chorus =
        over(&[(&a, "weight = 4\npriority = 2")], "", &format!("{FOR_GOOD}{client}")).await;
    let key = [("authorization", "Bearer sk-me")];
    let response = chorus.post_with(CHAT, &asking("hi"), &key).await;
    assert_eq!(response.status(), 200);
    a.answers(500);
    let _ = chorus.post_with(CHAT, &asking("hi"), &key).await.text().await;
    let get = async |path: &str, with_key: bool| {
        let request = chorus.request(reqwest::Method::GET, path);
        let request = if with_key { request.bearer_auth("sk-me") } else { request };
        let response = soon("health", request.send()).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let plain = format!(r#"{{"status":"ok","version":"{}"}}"#, env!("CARGO_PKG_VERSION"));
    assert_eq!(get("/health", false).await, (200, plain));
    assert_eq!(get("/health?verbose", false).await.0, 401);
    assert_eq!(get("/health?verbose=1", false).await.0, 401);
    let not_ready = |models: &str| (503, format!(r#"{{"status":"not_ready"{models}}}"#));
    assert_eq!(get("/ready", false).await, not_ready(""));
    assert_eq!(get("/ready", true).await, not_ready(r#","models":["m"]"#));
    let (status, body) = get("/health?verbose", true).await;
    assert_eq!(status, 200);
    assert!(!body.contains("sk-") && !body.contains("http"), "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["models"][0]["model"], "m");
    let mut endpoint = body["models"][0]["endpoints"][0].clone();
    for field in ["since", "next_try"] {
        let time = endpoint.as_object_mut().unwrap().remove(field).unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'), "{field}: {time}");
    }
    let first_token = endpoint.as_object_mut().unwrap().remove("first_token_ms").unwrap();
    assert!(first_token.as_f64().unwrap() > 0.0);
    assert_eq!(
        endpoint,
        json!({"endpoint": a.authority(), "priority": 2, "weight": 4, "state": "open",
            "why": "upstream_error", "in_flight": 0, "consecutive_failures": 1})
    );
}
