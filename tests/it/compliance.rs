//! The requests of the Open Responses compliance suite that Chorus answers (its README lists the
//! others: files, compaction, WebSocket, hosted tools), each plain and streamed, checked against
//! the schema's field lists and by the suite's own words.

use serde_json::{Value, json};

use crate::support::{Chorus, Script, Upstream, four_stages, typed_events};

const PATH: &str = "/v1/responses";
/// A red pixel.
const PICTURE: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/// The response of a request, plain or as the last event has it.
async fn answered(chorus: &Chorus, body: &Value, stream: bool) -> Value {
    let mut body = body.clone();
    body["stream"] = json!(stream);
    if !stream {
        let (status, answer) = chorus.ask(PATH, &body).await;
        assert_eq!(status, 200, "{body}: {answer}");
        typed_events::check_resource(&answer).expect("by the schema");
        return answer;
    }
    let response = chorus.post(PATH, &body).await;
    assert_eq!(response.status(), 200, "{body}");
    let events = typed_events::read(&response.text().await.unwrap()).expect("well framed");
    typed_events::check(&events).expect("by the schema");
    events.last().unwrap()["response"].clone()
}

fn said(role: &str, content: Value) -> Value {
    json!({"type": "message", "role": role, "content": content})
}

fn weather() -> Value {
    json!({"type": "function", "name": "get_weather",
        "description": "Get the current weather for a location",
        "parameters": {"type": "object", "required": ["location"],
            "properties": {"location": {"type": "string"}}}})
}

async fn cast() -> (Upstream, Chorus) {
    let talks = || Script::says("Hello there.");
    let calls = || Script::calls_tool("get_weather", json!({"location": "Rome"}));
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("talks", talks()),
        ("calls", calls()),
        ("writer", talks()),
    ])
    .await;
    let chorus = four_stages(&["talks", "calls"]).over(&upstream).await;
    (upstream, chorus)
}

#[tokio::test]
async fn what_is_asked_for_text_is_answered_with_text() {
    let (_upstream, chorus) = cast().await;
    let hello = "Say hello in exactly 3 words.";
    let cases = [
        ("basic-response, streaming-response", json!([said("user", json!(hello))])),
        (
            "system-prompt",
            json!([
                said("system", json!("You are a pirate. Always respond in pirate speak.")),
                said("user", json!("Say hello.")),
            ]),
        ),
        (
            "image-input",
            json!([said(
                "user",
                json!([
                    {"type": "input_text", "text": "What do you see? One sentence."},
                    {"type": "input_image", "image_url": PICTURE},
                ]),
            )]),
        ),
        (
            "image-input, first revision",
            json!([said(
                "user",
                json!([{"type": "input_image", "image_url": "https://pictures.example/a.png"}]),
            )]),
        ),
        (
            "multi-turn",
            json!([
                said("user", json!("My name is Alice.")),
                said("assistant", json!("Hello Alice! How can I help you today?")),
                said("user", json!("What is my name?")),
            ]),
        ),
        (
            "assistant-phase",
            json!([
                said("user", json!("Count to two.")),
                {"type": "message", "role": "assistant", "phase": "commentary",
                 "content": [{"type": "output_text", "text": "Counting."}]},
                {"type": "message", "role": "assistant", "phase": "final_answer",
                 "content": [{"type": "output_text", "text": "One, two."}]},
                said("user", json!("And one more?")),
            ]),
        ),
    ];
    for model in ["talks", "chorus"] {
        for (case, input) in &cases {
            for stream in [false, true] {
                let body = json!({"model": model, "input": input});
                let response = answered(&chorus, &body, stream).await;
                assert_eq!(response["status"], "completed", "{case}");
                let last = response["output"].as_array().unwrap().last().expect("an output");
                assert_eq!(last["content"][0]["text"], "Hello there.", "{case} {model}");
            }
        }
    }
}

#[tokio::test]
async fn a_call_makes_a_round_trip() {
    let (upstream, chorus) = cast().await;
    for stream in [false, true] {
        // tool-calling, tool-calling-streaming
        let body = json!({"model": "calls", "tools": [weather()],
            "input": [said("user", json!("What's the weather like in San Francisco?"))]});
        let response = answered(&chorus, &body, stream).await;
        let call = response["output"][0].clone();
        assert_eq!(
            (&call["type"], &call["name"]),
            (&json!("function_call"), &json!("get_weather"))
        );

        // function-call-roundtrip: the choice is forced, the second turn goes on from the first.
        let choice = json!({"type": "function", "name": "get_weather"});
        let forced = json!({"model": "calls", "tools": [weather()], "tool_choice": choice,
            "input": [said("user", json!("And in Rome?"))]});
        let response = answered(&chorus, &forced, stream).await;
        assert_eq!(response["tool_choice"], choice);
        let sent = &upstream.seen_by("calls").pop().unwrap().body["tool_choice"];
        assert_eq!(sent["function"]["name"], "get_weather");
        let result = json!({"type": "function_call_output", "output": "{\"degrees\":22}",
            "call_id": response["output"][0]["call_id"]});
        let next = json!({"model": "talks", "previous_response_id": response["id"],
            "tools": [weather()], "input": [result]});
        let last = answered(&chorus, &next, stream).await;
        assert_eq!(
            (&last["status"], &last["previous_response_id"]),
            (&json!("completed"), &response["id"])
        );
        assert_eq!(last["output"][0]["content"][0]["text"], "Hello there.");

        // previous-response-id
        let next = json!({"model": "talks", "previous_response_id": last["id"],
            "input": [said("user", json!("Thanks. Once more?"))]});
        answered(&chorus, &next, stream).await;
        let seen = upstream.seen_by("talks").pop().unwrap();
        let roles: Vec<&str> = seen.body["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| message["role"].as_str().unwrap())
            .collect();
        assert_eq!(roles, ["user", "assistant", "tool", "assistant", "user"]);
    }
}

/// Not of the suite: a field that only older forms have, whose meaning is plain.
#[tokio::test]
async fn stop_is_honoured_although_the_reference_has_none() {
    let (upstream, chorus) = cast().await;
    for (stop, want) in [(json!("END"), json!(["END"])), (json!(["a", "b"]), json!(["a", "b"]))] {
        answered(&chorus, &json!({"model": "chorus", "input": "hi", "stop": stop}), false).await;
        assert_eq!(upstream.seen_by("writer").pop().unwrap().body["stop"], want);
        assert!(!upstream.seen_by("talks").pop().unwrap().has("stop"), "only who answers stops");
    }
}
