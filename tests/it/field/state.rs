//! What a model leaves on its turn for itself goes back to it, by the name it came by, and to no other.

use serde_json::{Map, Value, json};

use super::answers::CHAT;
use crate::support::{Chorus, Script, Upstream, four_stages};

const SIGNED: &str = "c2lnbmVkLWJ5LW1l";

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "sky", "parameters": {"type": "object"}}}])
}

fn frames(frames: &[Value]) -> Script {
    let body: String = frames.iter().map(|frame| format!("data: {frame}\n\n")).collect();
    Script::sends("text/event-stream", format!("{body}data: [DONE]\n\n").as_bytes())
}

/// Chunks of these deltas, and a call with these fields beside it.
fn calls(deltas: &[Value], beside: &Value) -> Script {
    let chunk = |delta: &Value, reason: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        json!({"object": "chat.completion.chunk", "choices": [choice]})
    };
    let mut call = json!({"index": 0, "id": "call_0a1b2c3d4e", "type": "function",
        "function": {"name": "sky", "arguments": "{\"at\":1}"}});
    let fields = beside.as_object().expect("fields").clone();
    call.as_object_mut().expect("a call").extend(fields);
    let mut all: Vec<Value> = deltas.iter().map(|delta| chunk(delta, Value::Null)).collect();
    all.push(chunk(&json!({"tool_calls": [call]}), Value::Null));
    all.push(chunk(&json!({}), json!("tool_calls")));
    frames(&all)
}

/// The turn as a client that knows no names puts it together: texts and lists go on. One that drops
/// what it does not know has nothing but text and calls.
async fn turn_of(chorus: &Chorus, body: &Value, keeps: bool) -> Value {
    let mut turn = Map::from_iter([("role".to_owned(), json!("assistant"))]);
    for object in chorus.objects(CHAT, body).await {
        let choice = &object["choices"][0];
        let said = choice.get("delta").or(choice.get("message")).and_then(Value::as_object);
        for (name, value) in said.into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            match (turn.get_mut(name), value) {
                (None, value) if keeps || ["content", "tool_calls"].contains(&name.as_str()) => {
                    drop(turn.insert(name.clone(), value.clone()));
                }
                (None, _) => {}
                (Some(_), _) if name == "role" || name == "tool_calls" => {}
                (Some(Value::String(text)), Value::String(more)) => text.push_str(more),
                (Some(Value::Array(list)), Value::Array(more)) => list.extend(more.clone()),
                (Some(there), value) => *there = value.clone(),
            }
        }
    }
    let call = turn["tool_calls"][0].as_object_mut().expect("a call");
    call.retain(|name, _| keeps || ["id", "type", "function"].contains(&name.as_str()));
    call["function"]["arguments"] = json!("{\"at\":1}");
    turn.into()
}

/// Asks, gives the turn and a result back, and returns what the writer was sent of its own turn.
async fn given_back(
    protocol: &str,
    script: Script,
    model: &str,
    keeps: bool,
    stream: bool,
) -> Value {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("x")),
        ("writer", script.first(1, Script::says("blue"))),
        ("a", Script::says("x")),
    ])
    .await;
    let keys = format!("protocol = \"{protocol}\"");
    let chorus = four_stages(&["a"]).model_keys("writer", &keys).over(&upstream).await;
    let person = json!({"role": "user", "content": "What colour is the sky?"});
    let body = |messages: Value| json!({"model": model, "stream": stream, "tools": tools(), "messages": messages});
    let turn = turn_of(&chorus, &body(json!([person])), keeps).await;
    if keeps {
        assert!(turn.to_string().contains(SIGNED), "shown: {turn}");
    }
    let id = turn["tool_calls"][0]["id"].clone();
    let result = json!({"role": "tool", "tool_call_id": id, "content": "clear"});
    let history = json!([person, turn, result]);
    let (status, answer) = chorus.ask(CHAT, &body(history.clone())).await;
    assert_eq!(status, 200, "{answer}");
    let seen = upstream.seen_by("writer").pop().expect("a second call").body;
    let mut other = body(history);
    other["model"] = json!("a");
    assert_eq!(chorus.ask(CHAT, &other).await.0, 200);
    for seen in upstream.seen_by("a") {
        assert!(!seen.body.to_string().contains(SIGNED), "{}", seen.body);
    }
    let turns = seen.get("messages").or(seen.get("contents")).and_then(Value::as_array);
    let own = |turn: &&Value| turn["role"] == "assistant" || turn["role"] == "model";
    turns.expect("turns").iter().find(own).expect("its turn").clone()
}

const WAYS: [(&str, bool, bool); 4] = [
    ("writer", true, true),
    ("writer", false, false),
    ("chorus", true, false),
    ("chorus", false, true),
];

#[tokio::test]
async fn what_openai_like_servers_leave_goes_back_by_the_name_it_came_by() {
    let block = json!({"type": "thinking", "thinking": "the plan", "signature": SIGNED});
    let google = json!({"google": {"thought_signature": SIGNED}});
    for (deltas, beside, want) in [
        (
            vec![
                json!({"thinking_blocks": [{"type": "thinking", "thinking": "the "}]}),
                json!({"thinking_blocks": [{"type": "thinking", "thinking": "plan"}]}),
                json!({"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": SIGNED}]}),
            ],
            json!({}),
            json!({"thinking_blocks": [block]}),
        ),
        (
            vec![json!({"reasoning_text": "the plan"}), json!({"reasoning_opaque": SIGNED})],
            json!({}),
            json!({"reasoning_text": "the plan", "reasoning_opaque": SIGNED}),
        ),
        (
            vec![json!({"content": "hm", "extra_content": google})],
            json!({}),
            json!({"extra_content": google}),
        ),
        (
            vec![json!({"provider_specific_fields": {"thought_signatures": [SIGNED], "x": 1}})],
            json!({}),
            json!({"provider_specific_fields": {"thought_signatures": [SIGNED]}}),
        ),
        (vec![json!({"thinking": SIGNED})], json!({}), json!({"thinking": SIGNED})),
        (
            vec![json!({"content": [{"type": "thinking", "thinking": [
                {"type": "text", "text": SIGNED}]}]})],
            json!({}),
            json!({"content": [{"type": "thinking", "thinking": [
                {"type": "text", "text": SIGNED}]}]}),
        ),
        (
            vec![],
            json!({"provider_specific_fields": {"thought_signature": SIGNED}}),
            json!({"tool_calls": [{"id": "call_0a1b2c3d4e", "type": "function",
                "function": {"name": "sky", "arguments": "{\"at\":1}"},
                "provider_specific_fields": {"thought_signature": SIGNED}}]}),
        ),
    ] {
        for (model, keeps, stream) in WAYS {
            let back = given_back("openai", calls(&deltas, &beside), model, keeps, stream).await;
            for (name, value) in want.as_object().expect("fields") {
                assert_eq!(back[name], *value, "{model} {keeps} {stream}: {back}");
            }
        }
    }
}

#[tokio::test]
async fn the_signature_of_a_gemini_text_goes_back_with_it() {
    let part =
        |part: Value| json!({"candidates": [{"content": {"role": "model", "parts": [part]}}]});
    let last = json!({"candidates": [{"content": {"role": "model", "parts": [
        {"functionCall": {"name": "sky", "args": {"at": 1}}}]}, "finishReason": "STOP"}]});
    for (model, keeps, stream) in WAYS {
        let script = frames(&[
            part(json!({"text": "let me see"})),
            part(json!({"text": "", "thoughtSignature": SIGNED})),
            last.clone(),
        ]);
        let back = given_back("gemini", script, model, keeps, stream).await;
        let want = json!({"text": "let me see", "thoughtSignature": SIGNED});
        assert_eq!(back["parts"][0], want, "{model} {keeps} {stream}: {back}");
    }
}
