//! Nonsense at every endpoint, over an upstream that always answers: it is answered or refused with
//! a 4xx, never with a 5xx and never with silence.

use std::time::Duration;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Map, Value, json};

use crate::support::{Chorus, Client, Script, Upstream, four_stages};

/// Every endpoint that takes a body, and a body that it would answer.
fn endpoints() -> Vec<(&'static str, Value)> {
    let messages = json!([{"role": "user", "content": "hi"}]);
    vec![
        ("/v1/chat/completions", json!({"model": "m", "messages": messages})),
        ("/v1/completions", json!({"model": "m", "prompt": "hi"})),
        ("/v1/responses", json!({"model": "m", "input": "hi"})),
        ("/v1/messages", json!({"model": "m", "messages": messages})),
        ("/v1/messages/count_tokens", json!({"model": "m", "messages": messages})),
        ("/v1beta/models/m:generateContent", json!({"contents": [{"parts": [{"text": "hi"}]}]})),
        ("/v1/models/m:countTokens", json!({"contents": [{"parts": [{"text": "hi"}]}]})),
        ("/v1/embeddings", json!({"model": "embedder", "input": "hi"})),
        ("/api/chat", json!({"model": "m", "messages": messages})),
        ("/api/generate", json!({"model": "m", "prompt": "hi"})),
        ("/api/show", json!({"model": "m"})),
        ("/api/embed", json!({"model": "local", "input": "hi"})),
        ("/api/embeddings", json!({"model": "local", "prompt": "hi"})),
    ]
}

/// The names that mean something at one of them.
const FIELDS: [&str; 70] = [
    "model",
    "messages",
    "prompt",
    "stream",
    "stream_options",
    "max_tokens",
    "temperature",
    "top_p",
    "stop",
    "n",
    "seed",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "response_format",
    "reasoning_effort",
    "reasoning",
    "include_workflow",
    "suffix",
    "echo",
    "best_of",
    "logprobs",
    "system",
    "template",
    "context",
    "raw",
    "images",
    "format",
    "options",
    "keep_alive",
    "think",
    "input",
    "name",
    "parallel_tool_calls",
    "presence_penalty",
    "frequency_penalty",
    "max_completion_tokens",
    "logit_bias",
    "user",
    "metadata",
    "store",
    "service_tier",
    "instructions",
    "previous_response_id",
    "max_output_tokens",
    "max_tool_calls",
    "text",
    "truncation",
    "include",
    "safety_identifier",
    "prompt_cache_key",
    "top_logprobs",
    "background",
    "conversation",
    "verbose",
    "truncate",
    "shift",
    "dimensions",
    "encoding_format",
    "tool_name",
    "stop_sequences",
    "top_k",
    "thinking",
    "output_config",
    "output_format",
    "contents",
    "systemInstruction",
    "toolConfig",
    "generationConfig",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop::sample::select(vec![
            "user",
            "m",
            "text",
            "function",
            "auto",
            "json",
            "5m",
            "image",
            "document",
            "tool_use",
            "tool_result",
            "thinking",
            "base64"
        ])
        .prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "function",
        "name",
        "arguments",
        "schema",
        "tool_calls",
        "id",
        "url",
        "include_usage",
        "effort",
        "num_predict",
        "stop",
        "source",
        "data",
        "tool_use_id",
        "parts",
        "inlineData",
        "functionCall",
        "functionResponse",
        "input",
        "thinking",
    ]);
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((names.clone(), inner), 0..4).prop_map(|fields| {
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

/// A good body with some of its fields replaced, or no such body at all.
fn bodies() -> impl Strategy<Value = (usize, Value)> {
    let count = endpoints().len();
    let fields = vec((prop::sample::select(FIELDS.to_vec()), any_json()), 0..4);
    let changed = (0..count, fields).prop_map(|(index, fields)| {
        let mut body = endpoints().swap_remove(index).1;
        for (name, value) in fields {
            body[name] = value;
        }
        (index, body)
    });
    prop_oneof![4 => changed, 1 => (0..count, any_json())]
}

async fn world() -> (Upstream, Chorus) {
    let vectors = br#"{"data":[],"embeddings":[],"model":"x"}"#;
    let vectors = || Script::sends("application/json", vectors);
    let upstream = Upstream::start([
        ("m", Script::says("fine")),
        ("judge", Script::judges_for("")),
        ("writer", Script::fuses()),
        ("embedder", vectors()),
        ("local", vectors()),
    ])
    .await;
    let setup = four_stages(&["m"])
        .with_models(&["embedder", "local"])
        .model_keys("local", "protocol = \"ollama\"")
        .with("[server]\nrequest_body_limit = \"64KiB\"");
    let chorus = setup.over(&upstream).await;
    (upstream, chorus)
}

/// Status and whole answer; a hang is an error of the client's.
async fn send(client: &Client, path: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
    let request = client
        .request(Method::POST, path)
        .header(CONTENT_TYPE, "application/json")
        .timeout(Duration::from_secs(20))
        .body(body);
    let response = request.send().await.expect("an answer in time");
    let status = response.status().as_u16();
    (status, response.text().await.expect("a whole answer"))
}

fn error_of(text: &str) -> String {
    let body: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"));
    let error = &body["error"];
    error.as_str().or(error["message"].as_str()).expect("an error has words").to_owned()
}

#[test]
fn no_json_at_any_endpoint_makes_a_fault_or_a_hang() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_upstream, chorus) = runtime.block_on(world());
    let mut runner =
        TestRunner::new(Config { cases: 256, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&bodies(), |(index, body)| {
        let path = endpoints()[index].0;
        let (status, text) = runtime.block_on(send(&chorus, path, body.to_string()));
        prop_assert!(matches!(status, 200 | 400 | 404), "{path}: {status} {body} {text}");
        if status != 200 {
            prop_assert!(!error_of(&text).is_empty());
        } else {
            // A response resource has an `error` that is null.
            let error = ["\"error\":{", "\"error\":\""].iter().any(|sign| text.contains(sign));
            prop_assert!(!error, "{path}: {body} {text}");
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn a_good_body_is_answered_by_every_endpoint() {
    let (_upstream, chorus) = world().await;
    for (path, body) in endpoints() {
        assert_eq!(send(&chorus, path, body.to_string()).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn bodies_that_are_too_much_are_refused_in_words() {
    let (_upstream, chorus) = world().await;
    let limit = 64 * 1024;
    for (path, good) in endpoints() {
        let text = good.to_string();
        let full = format!("{text}{}", " ".repeat(limit - text.len()));
        assert_eq!(send(&chorus, path, full.clone()).await.0, 200, "{path}: the limit itself");
        let (status, text) = send(&chorus, path, full + " ").await;
        assert_eq!(status, 413, "{path}");
        assert!(error_of(&text).contains("65536"), "{text}");

        let deep = format!(r#"{{"messages":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        let (status, text) = send(&chorus, path, deep).await;
        assert_eq!(status, 400, "{path}");
        // What is passed on unread is never taken apart so deep.
        if !path.contains("embed") {
            assert!(error_of(&text).contains("recursion limit"), "{text}");
        }

        for bytes in [&b"{\"model\":\"\xff\xfe\"}"[..], b"\xff", b"{\"model\":\"\\ud800\"}"] {
            let (status, text) = send(&chorus, path, bytes.to_vec()).await;
            assert_eq!(status, 400, "{path}");
            assert!(error_of(&text).starts_with("malformed JSON"), "{text}");
        }
        for body in ["", " ", "null", "[]", "5", "\"x\""] {
            let (status, text) = send(&chorus, path, body).await;
            assert_eq!(status, 400, "{path} {body}");
            assert!(error_of(&text).contains("request body"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named() {
    let (_upstream, chorus) = world().await;
    for (path, fields) in [
        (
            "/v1/chat/completions",
            "model messages stream stream_options max_tokens temperature stop n tools tool_choice \
             response_format reasoning_effort include_workflow",
        ),
        (
            "/v1/completions",
            "model prompt stream stream_options max_tokens temperature top_p stop suffix echo n \
             best_of seed include_workflow",
        ),
        (
            "/v1/responses",
            "model instructions messages input prompt stream previous_response_id store \
             max_output_tokens max_tokens temperature top_p presence_penalty frequency_penalty \
             stop tools tool_choice parallel_tool_calls max_tool_calls text reasoning metadata \
             user truncation safety_identifier prompt_cache_key top_logprobs background \
             conversation include_workflow",
        ),
        (
            "/api/chat",
            "model messages stream tools format options think keep_alive include_workflow",
        ),
        (
            "/api/generate",
            "model prompt system suffix template images stream format options think keep_alive \
             raw include_workflow",
        ),
        (
            "/v1/messages",
            "model messages system max_tokens stream stop_sequences temperature top_p top_k tools \
             tool_choice thinking output_config output_format include_workflow",
        ),
        ("/v1/messages/count_tokens", "model messages system tools tool_choice"),
        (
            "/v1beta/models/m:generateContent",
            "contents systemInstruction tools toolConfig generationConfig include_workflow",
        ),
        ("/v1/models/m:countTokens", "contents"),
        ("/v1/embeddings", "model include_workflow"),
        ("/api/embed", "model"),
        ("/api/embeddings", "model"),
        ("/api/show", "model name"),
    ] {
        for field in fields.split_whitespace() {
            // No field takes both of these.
            let mut refused = 0;
            for wrong in [json!({"a": [1]}), json!([[{"a": 1}]])] {
                let (_, mut body) =
                    endpoints().into_iter().find(|(known, _)| *known == path).unwrap();
                body[field] = wrong.clone();
                let (status, text) = send(&chorus, path, body.to_string()).await;
                assert!(matches!(status, 200 | 400), "{path} {field}: {status} {text}");
                if status == 400 {
                    refused += 1;
                    let words = error_of(&text);
                    assert!(words.starts_with(field), "{path} {field} {wrong}: {words}");
                }
            }
            assert!(refused > 0, "{path} takes anything as {field}");
        }
    }
}

/// Open WebUI and others send null for what they have no value for.
#[tokio::test]
async fn null_is_absent_in_every_field_of_every_endpoint() {
    let (_upstream, chorus) = world().await;
    for (path, good) in endpoints() {
        let mut body = good.clone();
        for field in FIELDS {
            // Both fields of `/api/show` mean the model.
            if good.get(field).is_none() {
                body[field] = Value::Null;
            }
        }
        let (status, text) = send(&chorus, path, body.to_string()).await;
        assert_eq!(status, 200, "{path}: {text}");
    }
}

/// No value of a client's is quoted back.
#[tokio::test]
async fn refusals_name_fields_and_quote_nothing() {
    let (_upstream, chorus) = world().await;
    for (path, good) in endpoints() {
        let fields: Map<String, Value> = FIELDS
            .iter()
            .map(|name| ((*name).to_owned(), json!({"sesame": "open sesame"})))
            .collect();
        let mut body = good;
        body.as_object_mut().unwrap().extend(fields);
        let (status, text) = send(&chorus, path, body.to_string()).await;
        assert_eq!(status, 400, "{path}");
        assert!(!text.contains("sesame"), "{path}: {text}");
    }
}

#[tokio::test]
async fn without_a_limit_of_its_own_a_config_takes_64_mib_and_no_byte_more() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("first", Script::says("one")),
        ("writer", Script::fuses()),
    ])
    .await;
    let chorus = four_stages(&["first"]).over(&upstream).await;
    let (path, good) = ("/api/chat", r#"{"messages":[],"model":"chorus"}"#);
    let full = format!("{good}{}", " ".repeat((64 << 20) - good.len()));
    assert_eq!(send(&chorus, path, full.clone()).await.0, 200);
    assert_eq!(send(&chorus, path, full + " ").await.0, 413);
}
