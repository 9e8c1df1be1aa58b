//! Every endpoint's bytes, from socket to socket: plain, streamed, with tools, failing and cut
//! short. Ids, times and durations are replaced; all else is what clients read.

use serde_json::{Value, json};

use crate::support::{Chorus, Script, Upstream, body_of, four_stages, question, soon};

/// Each form an answer has: its name, path and `Accept`.
const FORMS: [(&str, &str, &str); 10] = [
    ("chat_completions", "/v1/chat/completions", "*/*"),
    ("completions", "/v1/completions", "*/*"),
    ("responses", "/v1/responses", "*/*"),
    ("messages", "/v1/messages", "*/*"),
    ("gemini_sse", "/v1beta/models/MODEL:METHOD?alt=sse", "*/*"),
    ("gemini_array", "/v1/models/MODEL:METHOD", "*/*"),
    ("chat_for_ollama", "/api/chat", "application/json"),
    ("chat_for_scripts", "/api/chat", "text/event-stream"),
    ("generate_for_ollama", "/api/generate", "application/json"),
    ("generate_for_scripts", "/api/generate", "text/event-stream"),
];
/// Response headers a client acts on.
const HEADERS: [&str; 3] = ["content-type", "retry-after", "x-should-retry"];
/// What the random ids begin with.
const IDS: [&str; 6] = ["chatcmpl-", "cmpl-", "resp_", "msg_", "rs_", "fc_"];

async fn cast() -> (Upstream, Chorus) {
    let limited = Script::fails(429).with_header("retry-after", "7");
    let cast = [
        ("talks", Script::says("Hello.").reasoning("hm").in_deltas(2)),
        ("calls", Script::calls_tool("weather", json!({"city": "Rome"}))),
        ("fails", Script::fails(500)),
        ("limited", limited),
        ("breaks", Script::says("Hello.").in_deltas(2).errs_after(1, "out of memory")),
        ("cut", Script::says("Hello.").in_deltas(2).finishing_with("length")),
    ];
    let names = cast.each_ref().map(|(name, _)| *name);
    let upstream = Upstream::start(cast).await;
    let chorus = four_stages(&names).without_retries().over(&upstream).await;
    (upstream, chorus)
}

fn asked(path: &str, model: &str, stream: bool) -> Value {
    if path.contains("METHOD") {
        let mut body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "generationConfig": {"thinkingConfig": {"includeThoughts": true}}});
        if model == "calls" {
            body["tools"] = json!([{"functionDeclarations": [{"name": "weather"}]}]);
        }
        return body;
    }
    let mut body = match path {
        "/v1/responses" => json!({"model": model, "input": "hi", "stream": stream}),
        _ => question(path, model, "hi", stream),
    };
    if path == "/v1/messages" {
        body["thinking"] = json!({"type": "adaptive"});
    } else if stream && path != "/v1/responses" {
        body["stream_options"] = json!({"include_usage": true});
    }
    if model == "calls" {
        let function = json!({"name": "weather", "parameters": {"type": "object"}});
        body["tools"] = match path {
            "/v1/messages" => json!([{"name": "weather", "input_schema": {"type": "object"}}]),
            _ => json!([{"type": "function", "function": function}]),
        };
    }
    body
}

/// An id becomes its kind and its place among the ids of the answer, so that repeats show.
fn redact(key: &str, value: &mut Value, ids: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(key, it)| redact(key, it, ids)),
        Value::Array(list) => list.iter_mut().for_each(|it| redact(key, it, ids)),
        Value::Null => {}
        _ if matches!(key, "created" | "created_at" | "completed_at")
            || key.ends_with("_duration") && key != "load_duration" =>
        {
            *value = "[time]".into();
        }
        _ if matches!(key, "workflow_id" | "request_id" | "responseId") => *value = "[id]".into(),
        Value::String(id) if matches!(key, "id" | "item_id") => {
            let Some(kind) = IDS.iter().find(|kind| id.starts_with(**kind)) else { return };
            let place = ids.iter().position(|known| known == id).unwrap_or_else(|| {
                ids.push(id.clone());
                ids.len() - 1
            });
            *id = format!("{kind}{place}");
        }
        _ => {}
    }
}

/// A body with its framing, line by line.
fn redacted(body: &str) -> String {
    let mut ids = Vec::new();
    let lines = body.split('\n').map(|line| {
        // An element of an array begins with what stands before it.
        let prefix = ["data: ", "[", ","].into_iter().find(|prefix| line.starts_with(prefix));
        let prefix = prefix.unwrap_or_default();
        let object = &line[prefix.len()..];
        let Ok(mut object) = serde_json::from_str::<Value>(object) else { return line.to_owned() };
        redact("", &mut object, &mut ids);
        format!("{prefix}{object}")
    });
    lines.collect::<Vec<String>>().join("\n")
}

#[tokio::test]
async fn every_endpoint_answers_to_the_byte() {
    for (name, path, accept) in FORMS {
        // Anew each time: what fails too often is put out of service.
        let (_upstream, chorus) = cast().await;
        let mut transcript = String::new();
        for model in ["talks", "calls", "fails", "limited", "breaks", "cut"] {
            for stream in [false, true] {
                let body = asked(path, model, stream);
                let headers = [("accept", accept), ("user-agent", "golden")];
                let method = if stream { "streamGenerateContent" } else { "generateContent" };
                let path = path.replace("MODEL", model).replace("METHOD", method);
                let response = chorus.post_with(&path, &body, &headers).await;
                let way = if stream { "streamed" } else { "plain" };
                transcript
                    .push_str(&format!("== {model}, {way}: {}\n", response.status().as_u16()));
                for header in HEADERS {
                    if let Some(value) = response.headers().get(header) {
                        transcript.push_str(&format!("{header}: {}\n", value.to_str().unwrap()));
                    }
                }
                let begun = response.status() == 200;
                let (text, broken) = soon("the body", body_of(response)).await;
                // Only an error line of NDJSON has no end behind it.
                let ndjson = stream && accept == "application/json" && path.starts_with("/api/");
                let fails = text.lines().last().is_some_and(|line| line.starts_with("{\"error\""));
                assert_eq!(broken, ndjson && begun && fails, "{name} {model} {way}");
                // Untrimmed: a blank line at the end of NDJSON is one that clients fail on.
                transcript.push_str(&format!("\n{}\n", redacted(&text)));
            }
        }
        insta::assert_snapshot!(name, transcript);
    }
}

#[tokio::test]
async fn endpoints_that_ask_no_model_answer_to_the_byte() {
    let (upstream, chorus) = cast().await;
    let messages = json!([{"role": "user", "content": "How is the weather in Rome?"}]);
    let contents = json!([{"role": "user", "parts": [{"text": "How is the weather in Rome?"}]}]);
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let (messages_of, google) = ("/v1/messages/count_tokens", "/v1beta/models/talks:countTokens");
    let mut transcript = String::new();
    for (case, path, body) in [
        ("plain", messages_of, json!({"model": "talks", "messages": messages})),
        (
            "tools",
            messages_of,
            json!({"model": "talks", "messages": messages,
            "tools": [{"name": "weather", "input_schema": schema}]}),
        ),
        ("no such model", messages_of, json!({"model": "nobody", "messages": messages})),
        ("no messages", messages_of, json!({"model": "talks", "messages": []})),
        ("plain", google, json!({"contents": contents})),
        (
            "tools",
            google,
            json!({"generateContentRequest": {"contents": contents,
            "tools": [{"functionDeclarations": [{"name": "weather", "parameters": schema}]}]}}),
        ),
        ("no such model", "/v1beta/models/nobody:countTokens", json!({"contents": contents})),
        ("no contents", google, json!({})),
    ] {
        let response = chorus.post(path, &body).await;
        let status = response.status().as_u16();
        let (text, _) = soon("the body", body_of(response)).await;
        transcript.push_str(&format!("== {path}, {case}: {status}\n{}\n", redacted(&text)));
    }
    assert_eq!(upstream.seen().len(), 0);
    insta::assert_snapshot!("counts", transcript);
}
