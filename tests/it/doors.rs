//! One conversation through every door: the model behind is asked the same, and the same text comes
//! back, whole and streamed.

use serde_json::{Value, json};

use crate::support::{Chorus, Script, Upstream, four_stages};

const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const ANSWER: &str = "Mild: 蓝色.";

fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

/// The conversation as OpenAI's and Ollama's chats have it.
fn said(arguments: Value, last: Value) -> Value {
    json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How is it?"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [{"id": "c1",
            "type": "function", "function": {"name": "weather", "arguments": arguments}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "21 degrees"},
        last,
    ])
}

/// A path and its body, for each door.
fn doors(model: &str, stream: bool) -> Vec<(String, Value)> {
    let function = json!({"name": "weather", "description": "Tells it", "parameters": schema()});
    let nested = json!([{"type": "function", "function": function}]);
    let mut flat = function.clone();
    flat["type"] = json!("function");
    let url = format!("data:image/png;base64,{PICTURE}");
    let in_parts = json!({"role": "user", "content": [{"type": "text", "text": "And now?"},
        {"type": "image_url", "image_url": {"url": url}}]});
    let beside = json!({"role": "user", "content": "And now?", "images": [PICTURE]});
    let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    vec![
        (
            "/v1/chat/completions".to_owned(),
            json!({"model": model, "stream": stream, "temperature": 0.5, "max_tokens": 50,
                "stop": ["END"], "tools": nested,
                "messages": said(json!("{\"city\":\"Rome\"}"), in_parts)}),
        ),
        (
            "/api/chat?stream_format=ndjson".to_owned(),
            json!({"model": model, "stream": stream, "tools": nested,
                "options": {"temperature": 0.5, "num_predict": 50, "stop": ["END"]},
                "messages": said(json!({"city": "Rome"}), beside)}),
        ),
        (
            "/v1/responses".to_owned(),
            json!({"model": model, "stream": stream, "temperature": 0.5, "max_output_tokens": 50,
                "stop": ["END"], "tools": [flat], "instructions": "Be brief.", "input": [
                {"role": "user", "content": "How is it?"},
                {"role": "assistant", "content": "Let me see."},
                {"type": "function_call", "call_id": "c1", "name": "weather",
                    "arguments": "{\"city\":\"Rome\"}"},
                {"type": "function_call_output", "call_id": "c1", "output": "21 degrees"},
                {"role": "user", "content": [{"type": "input_text", "text": "And now?"},
                    {"type": "input_image", "image_url": url}]}]}),
        ),
        (
            "/v1/messages".to_owned(),
            json!({"model": model, "stream": stream, "temperature": 0.5, "max_tokens": 50,
                "stop_sequences": ["END"], "system": "Be brief.",
                "tools": [{"name": "weather", "description": "Tells it", "input_schema": schema()}],
                "messages": [
                {"role": "user", "content": "How is it?"},
                {"role": "assistant", "content": [{"type": "text", "text": "Let me see."},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "21 degrees"},
                    {"type": "text", "text": "And now?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png",
                        "data": PICTURE}}]}]}),
        ),
        (
            format!("/v1beta/models/{model}:{method}"),
            json!({"systemInstruction": {"parts": [{"text": "Be brief."}]},
                "generationConfig": {"temperature": 0.5, "maxOutputTokens": 50,
                    "stopSequences": ["END"]},
                "tools": [{"functionDeclarations": [function]}],
                "contents": [
                {"role": "user", "parts": [{"text": "How is it?"}]},
                {"role": "model", "parts": [{"text": "Let me see."},
                    {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Rome"}}}]},
                {"role": "user", "parts": [
                    {"functionResponse": {"id": "c1", "name": "weather",
                        "response": {"output": "21 degrees"}}},
                    {"text": "And now?"},
                    {"inlineData": {"mimeType": "image/png", "data": PICTURE}}]}]}),
        ),
    ]
}

/// The text of one object of any door; of a streamed response the deltas alone.
fn text_of(object: &Value) -> String {
    if object["type"] == "response.output_text.delta" {
        return object["delta"].as_str().unwrap_or_default().to_owned();
    }
    let part = |part: &Value| part["text"].as_str().unwrap_or_default().to_owned();
    let parts = [
        &object["content"],
        &object["output"][0]["content"],
        &object["candidates"][0]["content"]["parts"],
    ];
    if let Some(parts) = parts.into_iter().find_map(Value::as_array) {
        return parts.iter().map(part).collect();
    }
    let texts = [
        &object["choices"][0]["delta"]["content"],
        &object["choices"][0]["message"]["content"],
        &object["message"]["content"],
        &object["delta"]["text"],
    ];
    texts.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned()
}

async fn answer(chorus: &Chorus, path: &str, body: &Value) -> String {
    let response = chorus.post(path, body).await;
    assert_eq!(response.status(), 200, "{path}");
    let text = response.text().await.expect("a whole body");
    let data = text.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
    let objects = data.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    objects.map(|object| text_of(&object)).collect()
}

/// What a model is asked, without how it is to be sent.
fn asked(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|name, _| !name.starts_with("stream"));
    }
    body.sort_all_objects();
    body
}

#[tokio::test]
async fn every_door_asks_the_same_and_says_the_same() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("first", Script::says("draft")),
        ("writer", Script::says(ANSWER).in_deltas(3)),
    ])
    .await;
    let chorus = four_stages(&["first"]).over(&upstream).await;
    for model in ["writer", "chorus"] {
        for stream in [false, true] {
            let mut first = None;
            for (path, body) in doors(model, stream) {
                let before = upstream.seen_by("writer").len();
                assert_eq!(answer(&chorus, &path, &body).await, ANSWER, "{path} {stream}");
                let [call] = &upstream.seen_by("writer")[before..] else { panic!("one call") };
                let asked = asked(&call.body);
                assert!(asked.to_string().contains(PICTURE), "{path} {stream}");
                let known = first.get_or_insert_with(|| asked.clone());
                // The drafts stand in fences with marks of their own in each run.
                if model == "writer" {
                    assert_eq!(asked, *known, "{path} {stream}");
                } else {
                    let turns = |body: &Value| {
                        let messages = body["messages"].as_array().cloned().unwrap_or_default();
                        messages.into_iter().take(5).skip(1).collect::<Vec<_>>()
                    };
                    assert_eq!(turns(&asked), turns(known), "{path} {stream}");
                    assert_eq!(asked["tools"], known["tools"], "{path} {stream}");
                    assert_eq!(asked["max_tokens"], known["max_tokens"], "{path} {stream}");
                }
            }
        }
    }
}
