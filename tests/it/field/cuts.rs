//! Answers that their length limit ends.

use serde_json::{Value, json};

use super::answers::{DONE, cast, chunk, ends, setup};
use crate::support::{Script, body_of, question};

const PATHS: [&str; 3] = ["/v1/chat/completions", "/api/chat", "/v1/responses"];

/// A tool call in these pieces.
fn call(index: u32, name: &str, pieces: &[&str]) -> String {
    let begins = json!({"index": index, "id": format!("call_{name}"), "type": "function",
        "function": {"name": name, "arguments": ""}});
    let more = pieces.iter().map(|piece| json!({"index": index, "function": {"arguments": piece}}));
    let frames = [begins].into_iter().chain(more);
    frames.map(|piece| chunk(json!({"index": 0, "delta": {"tool_calls": [piece]}}))).collect()
}

/// What an answer consists of, framed in whatever way.
fn objects(reply: &str) -> Vec<Value> {
    let frames = reply.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
    frames.filter_map(|frame| serde_json::from_str(frame).ok()).collect()
}

/// Why an answer ended, in any dialect.
fn reason(object: &Value) -> Option<&str> {
    let response = if object["response"].is_object() { &object["response"] } else { object };
    let reasons = [
        &object["choices"][0]["finish_reason"],
        &object["done_reason"],
        &response["incomplete_details"]["reason"],
    ];
    reasons.into_iter().find_map(Value::as_str)
}

/// A call that is sent as one to make: whole, in a whole answer or as an item that is completed.
fn whole_calls(object: &Value) -> Vec<String> {
    let response = if object["response"].is_object() { &object["response"] } else { object };
    let items = response["output"].as_array().into_iter().flatten();
    let items =
        items.filter(|item| item["type"] == "function_call" && item["status"] == "completed");
    let calls = [&object["choices"][0]["message"], &object["message"]];
    let calls = calls.into_iter().filter_map(|said| said["tool_calls"].as_array()).flatten();
    let of_items = items.map(|item| (&item["name"], &item["arguments"]));
    let of_calls = calls.map(|call| (&call["function"]["name"], &call["function"]["arguments"]));
    of_items
        .chain(of_calls)
        .map(|(name, arguments)| {
            let arguments = arguments.as_str().map_or(arguments.to_string(), str::to_owned);
            format!("{} {arguments}", name.as_str().unwrap_or_default())
        })
        .collect()
}

/// Half a call is never handed over as a whole one, and the answer ends as it did.
#[tokio::test]
async fn a_call_that_the_length_limit_cuts_is_not_passed_on_as_a_whole_one() {
    for half in [&["{\"city\":", "\"Os"][..], &["{"], &[]] {
        for first in [None, Some("weather {\"city\":\"Rome\"}")] {
            let whole = first.map(|_| call(0, "weather", &["{\"city\":", "\"Rome\"}"]));
            let index = u32::from(first.is_some());
            let answer =
                whole.unwrap_or_default() + &call(index, "cut", half) + &ends("length") + DONE;
            let upstream = cast(Script::sends("text/event-stream", answer.as_bytes())).await;
            let chorus = setup("openai").over(&upstream).await;
            for path in PATHS {
                for stream in [true, false] {
                    let mut body = match path {
                        "/v1/responses" => json!({"model": "m", "input": "hi", "stream": stream}),
                        _ => question(path, "m", "hi", stream),
                    };
                    let function = json!({"name": "weather", "parameters": {"type": "object"}});
                    let flat = json!([{"type": "function", "name": "weather",
                        "parameters": {"type": "object"}}]);
                    body["tools"] = match path {
                        "/v1/responses" => flat,
                        _ => json!([{"type": "function", "function": function}]),
                    };
                    let response = chorus.post(path, &body).await;
                    let shown = format!("{half:?} {first:?} {path} {stream}");
                    assert_eq!(response.status(), 200, "{shown}");
                    let objects = objects(&body_of(response).await.0);
                    let shown = format!("{shown}: {objects:?}");
                    assert!(objects.iter().all(|object| object["error"].is_null()), "{shown}");
                    let last = objects.iter().rev().find_map(reason);
                    let wanted =
                        if path == "/v1/responses" { "max_output_tokens" } else { "length" };
                    assert_eq!(last, Some(wanted), "{shown}");
                    let calls: Vec<String> = objects.iter().flat_map(whole_calls).collect();
                    // A stream of chat completions sends calls in pieces only.
                    let is_in_pieces = path == "/v1/chat/completions" && stream;
                    let want: Vec<&str> = first.into_iter().filter(|_| !is_in_pieces).collect();
                    assert_eq!(calls, want, "{shown}");
                    let is_done =
                        |object: &&Value| object["type"] == "response.function_call_arguments.done";
                    let done: Vec<&Value> = objects.iter().filter(is_done).collect();
                    let all = usize::from(first.is_some() && path == "/v1/responses" && stream);
                    assert_eq!(done.len(), all, "{shown}");
                    // Half a call is no turn either: no upstream takes its arguments.
                    let id =
                        objects.iter().rev().find_map(|object| object["response"]["id"].as_str());
                    if let Some(id) = id {
                        let on = json!({"model": "m", "input": "on", "previous_response_id": id});
                        assert_eq!(chorus.post(path, &on).await.status(), 200, "{shown}");
                        let seen = upstream.seen();
                        let said = seen.last().unwrap().body["messages"].to_string();
                        assert!(said.contains("\"on\"") && !said.contains("cut"), "{said}");
                    }
                }
            }
        }
    }
}
