//! The same things in spellings that no protocol has: ids, indices, thoughts, counts, failures, frames.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use super::answers::{
    CHAT, DONE, PROTOCOLS, asked, cast, chunk, ends, raw, reply, says, setup, text, trace,
};
use crate::support::{Beat, Script, Upstream};

/// Raw frames as an answer.
fn plays(frames: &[String]) -> Script {
    Script::plays(frames.iter().map(|frame| raw(frame)).chain([Beat::End]))
}

/// Two calls of `f` that both have the id `call_0`, as an upstream of this protocol sends them.
fn twin_calls(protocol: &str) -> Vec<String> {
    let arguments = [json!({"a": 1}), json!({"a": 2})];
    match protocol {
        "openai" => {
            let call = |(index, arguments): (usize, &Value)| {
                json!({"index": index, "id": "call_0", "type": "function",
                    "function": {"name": "f", "arguments": arguments.to_string()}})
            };
            let calls = arguments.iter().enumerate().map(call);
            let calls = calls.map(|call| chunk(json!({"delta": {"tool_calls": [call]}})));
            calls.chain([ends("tool_calls"), DONE.to_owned()]).collect()
        }
        "ollama" => {
            let call = |arguments: &Value| json!({"id": "call_0", "function": {"name": "f", "arguments": arguments}});
            let calls: Vec<Value> = arguments.iter().map(call).collect();
            let said = json!({"role": "assistant", "content": "", "tool_calls": calls});
            let done = json!({"message": said, "done": true, "done_reason": "stop"});
            vec![format!("{done}\n")]
        }
        "anthropic" => {
            let call = |(index, input): (usize, &Value)| {
                let block =
                    json!({"type": "tool_use", "id": "call_0", "name": "f", "input": input});
                json!({"type": "content_block_start", "index": index, "content_block": block})
            };
            let calls = arguments.iter().enumerate().map(call);
            let end = json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}});
            let events = calls.chain([end, json!({"type": "message_stop"})]);
            events.map(|event| format!("data: {event}\n\n")).collect()
        }
        _ => {
            let part = |args: &Value| {
                json!({"thoughtSignature": format!("signed {args}"),
                    "functionCall": {"id": "call_0", "name": "f", "args": args}})
            };
            let parts: Vec<Value> = arguments.iter().map(part).collect();
            let candidate = json!({"content": {"parts": parts}, "finishReason": "STOP"});
            vec![format!("data: {}\n\n", json!({"candidates": [candidate]}))]
        }
    }
}

/// A conversation that has a call `call_0` already, and its result.
fn after_a_call(path: &str, model: &str, stream: bool) -> Value {
    let parameters = json!({"type": "object"});
    if path == "/v1/responses" {
        return json!({"model": model, "stream": stream,
        "tools": [{"type": "function", "name": "f", "parameters": parameters}],
        "input": [
            {"role": "user", "content": "hi"},
            {"type": "function_call", "call_id": "call_0", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_0", "output": "one"},
        ]});
    }
    json!({"model": model, "stream": stream,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}],
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "call_0",
            "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_0", "content": "one"},
    ]})
}

/// The ids of the calls in an answer.
fn ids(objects: &[Value], path: &str) -> Vec<String> {
    let lists = objects.iter().flat_map(|object| match path {
        "/v1/responses" => object["output"].as_array().cloned().unwrap_or_default(),
        _ => {
            let choice = &object["choices"][0];
            let said = [&choice["delta"], &choice["message"]].into_iter().find(|it| it.is_object());
            said.and_then(|said| said["tool_calls"].as_array().cloned()).unwrap_or_default()
        }
    });
    let id = |call: Value| call["call_id"].as_str().or(call["id"].as_str()).map(str::to_owned);
    lists.filter_map(id).collect()
}

#[tokio::test]
async fn the_id_of_a_call_is_given_out_once_in_a_conversation() {
    for protocol in PROTOCOLS {
        let frames = twin_calls(protocol);
        let upstream = Upstream::start([
            ("judge", Script::judges_for("draft")),
            ("writer", plays(&frames)),
            ("m", plays(&frames)),
            ("d", Script::says("a draft")),
        ])
        .await;
        let chorus = setup(protocol)
            .model_keys("writer", &format!("protocol = \"{protocol}\""))
            .over(&upstream)
            .await;
        for (path, model, stream) in [
            (CHAT, "m", true),
            (CHAT, "m", false),
            ("/v1/responses", "m", false),
            (CHAT, "chorus", true),
            (CHAT, "chorus", false),
        ] {
            let body = after_a_call(path, model, stream);
            let reply = match path {
                CHAT => reply(&chorus, path, &body).await.all,
                _ => vec![chorus.ask(path, &body).await.1],
            };
            let given = ids(&reply, path);
            let different: HashSet<&String> = given.iter().collect();
            let shown = format!("{protocol} {path} {model} {stream}: {reply:?}");
            assert!(given.len() == 2 && different.len() == 2, "{given:?} {shown}");
            assert!(!given.iter().any(|id| id == "call_0"), "{given:?} {shown}");
        }
    }
}

#[tokio::test]
async fn what_came_beside_a_call_goes_back_by_the_id_that_was_given_out() {
    let upstream = cast(plays(&twin_calls("gemini"))).await;
    let chorus = setup("gemini").over(&upstream).await;
    for stream in [true, false] {
        let mut body = after_a_call(CHAT, "m", stream);
        let given = ids(&reply(&chorus, CHAT, &body).await.all, CHAT);
        let call = |(number, id): (usize, &String)| {
            let arguments = json!({"a": number + 1}).to_string();
            json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}})
        };
        let calls: Vec<Value> = given.iter().enumerate().map(call).collect();
        let turns = body["messages"].as_array_mut().unwrap();
        turns.push(json!({"role": "assistant", "content": null, "tool_calls": calls}));
        turns.extend(
            given.iter().map(|id| json!({"role": "tool", "tool_call_id": id, "content": "two"})),
        );
        reply(&chorus, CHAT, &body).await;
        let sent = upstream.seen().pop().unwrap().body.to_string();
        for arguments in ["{\\\"a\\\":1}", "{\\\"a\\\":2}"] {
            assert!(sent.contains(&format!("signed {arguments}")), "{stream} {arguments}: {sent}");
        }
    }
}

#[tokio::test]
async fn arguments_are_read_however_they_are_written() {
    let call = |call: Value| chunk(json!({"delta": {"tool_calls": [call]}}));
    let function = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
    let of = |index: Value, function: Value| json!({"index": index, "function": function});
    let one = ("f", "{\"a\":1}");
    let two = vec![one, ("g", "{\"b\":2}")];
    for (kind, protocol, frames, want) in [
        (
            "indices as texts",
            "openai",
            vec![
                call(json!({"index": "0", "id": "x", "function": function("f", json!(""))})),
                call(json!({"index": "1", "id": "y", "function": function("g", json!(""))})),
                call(of(json!("0"), json!({"arguments": "{\"a\":"}))),
                call(of(json!(1.0), json!({"arguments": "{\"b\":2}"}))),
                call(of(json!(0.0), json!({"arguments": "1}"}))),
            ],
            two.clone(),
        ),
        (
            "JSON twice",
            "openai",
            vec![call(of(json!(0), function("f", json!("\"{\\\"a\\\":1}\""))))],
            vec![one],
        ),
        (
            "null",
            "openai",
            vec![call(of(json!(0), function("f", json!("null"))))],
            vec![("f", "{}")],
        ),
        (
            "an empty object before the pieces",
            "openai",
            vec![
                call(of(json!(0), function("f", json!({})))),
                call(of(json!(0), json!({"arguments": one.1}))),
            ],
            vec![one],
        ),
        (
            "a text of an empty object before them, all of it under one name",
            "openai",
            vec![
                call(json!({"index": 0, "id": "x", "function": function("f", json!("{}"))})),
                call(json!({"index": 0, "id": "x", "function": function("f", json!(one.1))})),
            ],
            vec![one],
        ),
        (
            "a call that is said again",
            "openai",
            vec![
                call(json!({"index": 0, "id": "x", "function": function("f", json!(one.1))})),
                call(json!({"index": 0, "id": "x", "function": function("f", json!(one.1))})),
            ],
            vec![one],
        ),
        (
            "under another name",
            "openai",
            vec![call(
                json!({"index": 0, "id": "x", "function": {"name": "f", "parameters": {"a": 1}}}),
            )],
            vec![one],
        ),
        (
            "under another name",
            "ollama",
            vec![format!(
                "{}\n",
                json!({"message": {"content": "", "tool_calls": [
                    {"function": {"name": "f", "parameters": {"a": 1}}}]},
                    "done": true, "done_reason": "stop"})
            )],
            vec![one],
        ),
        (
            "beside a call that the upstream makes itself",
            "anthropic",
            vec![
                [
                    json!({"type": "content_block_start", "index": 0, "content_block":
                    {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}}),
                    json!({"type": "content_block_delta", "index": 0, "delta":
                    {"type": "input_json_delta", "partial_json": "{\"query\":\"x\"}"}}),
                    json!({"type": "content_block_start", "index": 1, "content_block":
                    {"type": "tool_use", "id": "x", "name": "f", "input": {}}}),
                    json!({"type": "content_block_delta", "index": 1, "delta":
                    {"type": "input_json_delta", "partial_json": one.1}}),
                    json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
                ]
                .map(|event| format!("data: {event}\n\n"))
                .concat(),
            ],
            vec![one],
        ),
        (
            "no function around",
            "openai",
            vec![call(json!({"index": 0, "id": "x", "name": "f", "arguments": one.1}))],
            vec![one],
        ),
        (
            "the field before the list",
            "openai",
            vec![
                chunk(json!({"delta": {"function_call": {"name": "f", "arguments": "{\"a\""}}})),
                chunk(json!({"delta": {"function_call": {"arguments": ":1}"}}})),
            ],
            vec![one],
        ),
        (
            "an input as text",
            "anthropic",
            vec![format!(
                "data: {}\n\ndata: {}\n\n",
                json!({"type": "content_block_start", "index": 0, "content_block":
                    {"type": "tool_use", "id": "x", "name": "f", "input": one.1}}),
                json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}})
            )],
            vec![one],
        ),
        (
            "names as in Python",
            "gemini",
            vec![format!(
                "data: {}\n\n",
                json!({"candidates": [{"finish_reason": "STOP",
                "content": {"parts": [{"function_call": {"name": "f", "args": one.1}}]}}]})
            )],
            vec![one],
        ),
    ] {
        let ending =
            if protocol == "openai" { vec![ends("tool_calls"), DONE.to_owned()] } else { vec![] };
        let frames: Vec<String> = frames.into_iter().chain(ending).collect();
        let upstream = cast(plays(&frames)).await;
        let chorus = setup(protocol).over(&upstream).await;
        for (path, stream) in [(CHAT, true), (CHAT, false), ("/api/chat", true)] {
            let mut body = crate::support::question(path, "m", "hi", stream);
            let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
            body["tools"] = json!([tool("f"), tool("g")]);
            let reply = reply(&chorus, path, &body).await;
            let calls: Vec<(&str, &str)> =
                reply.calls.iter().map(|(name, text)| (&**name, &**text)).collect();
            assert_eq!(calls, want, "{kind} {path} {stream}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn thoughts_are_recognised_in_any_spelling_of_their_tags() {
    for thought in [
        "<think foo=\"1\">plan</think>the draft",
        "<THINK>plan</THINK>\nthe draft",
        " \n<Think >plan</ Think>".replace("/ ", "/").as_str(),
        "<think>plan</think >the draft",
        "<reasoning>plan</reasoning>the draft",
        "<|START_THINKING|>plan<|END_THINKING|>the draft",
        "<|START_THINKING|>plan<|END_THINKING|><|START_RESPONSE|>the draft<|END_RESPONSE|>",
        "<think><think>plan</think></think>the draft",
        "<think>plan</thinking>the draft",
    ] {
        let thought = if thought.contains("draft") {
            thought.to_owned()
        } else {
            format!("{thought}the draft")
        };
        for protocol in PROTOCOLS {
            let letters: Vec<String> = thought.chars().map(String::from).collect();
            let beats = letters.iter().map(|letter| text(letter));
            let upstream =
                cast(Script::plays(beats.chain([Beat::Finish("stop"), Beat::End]))).await;
            let chorus = setup(protocol).over(&upstream).await;
            for (path, model, stream) in [
                (CHAT, "m", true),
                (CHAT, "m", false),
                ("/api/chat", "m", true),
                (CHAT, "chorus", false),
            ] {
                let reply = asked(&chorus, path, model, stream).await;
                let shown = format!("{protocol} {thought} {path} {model} {stream}: {reply:?}");
                assert!(
                    reply.text.contains("the draft") && !reply.text.contains("plan"),
                    "{shown}"
                );
                assert!(model != "m" || reply.text == "the draft", "{shown}");
                assert!(model != "m" || reply.thoughts == "plan", "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn counts_are_read_in_other_words() {
    let openai = |usage: Value| {
        format!("{}data: {}\n\n{DONE}", ends("stop"), json!({"choices": [], "usage": usage}))
    };
    let anthropic = |last: Value| {
        let end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}});
        format!("data: {end}\n\ndata: {last}\n\n")
    };
    let gemini = |name: &str, usage: Value| {
        format!("data: {}\n\n", json!({"candidates": [{"finishReason": "STOP"}], name: usage}))
    };
    let ollama = |mut end: Value| {
        end["message"] = json!({"content": ""});
        (end["done"], end["done_reason"]) = (json!(true), json!("stop"));
        format!("{end}\n")
    };
    for (protocol, end) in [
        ("openai", openai(json!({"prompt_tokens": "90", "completion_tokens": "40"}))),
        ("openai", openai(json!({"promptTokens": 90, "completionTokens": 40.0}))),
        ("openai", openai(json!([{"prompt_tokens": 90, "total_tokens": 130}]))),
        (
            "openai",
            chunk(
                json!({"delta": {"usage": {"prompt_tokens": 90, "completion_tokens": 40}}, "finish_reason": "stop"}),
            ),
        ),
        (
            "anthropic",
            anthropic(
                json!({"type": "message_stop", "usage": {"input_tokens": "90", "output_tokens": 40.0}}),
            ),
        ),
        (
            "anthropic",
            anthropic(
                json!({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 90, "outputTokenCount": 40}}),
            ),
        ),
        (
            "gemini",
            gemini("usageMetadata", json!({"promptTokenCount": 90.0, "totalTokenCount": 130})),
        ),
        (
            "gemini",
            gemini(
                "usage_metadata",
                json!({"prompt_token_count": 90, "candidates_token_count": "40"}),
            ),
        ),
        ("ollama", ollama(json!({"prompt_eval_count": 90.0, "eval_count": "40"}))),
        ("ollama", ollama(json!({"usage": {"prompt_tokens": 90, "completion_tokens": 40}}))),
    ] {
        let upstream = cast(Script::plays([text("hi"), raw(&end), Beat::End])).await;
        let chorus = setup(protocol).over(&upstream).await;
        for stream in [true, false] {
            let reply = asked(&chorus, CHAT, "m", stream).await;
            let got = ["prompt_tokens", "completion_tokens"].map(|name| reply.usage[name].as_u64());
            assert_eq!(got, [Some(90), Some(40)], "{protocol} {end} {stream}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_failure_by_another_name_fails_the_call() {
    for failure in [
        "event: error\ndata:\n\n",
        "event: exception\ndata: {\"message\":\"boom\"}\n\n",
        "data: {\"__type\":\"InternalServerException\",\"message\":\"boom\"}\n\n",
        "data: {\"throttlingException\":{\"message\":\"boom\"}}\n\n",
        "data: {\"Response\":{\"Error\":{\"Code\":\"InternalError\",\"Message\":\"boom\"}}}\n\n",
        "data: {\"choices\":[{\"delta\":{\"error\":{\"message\":\"boom\"}}}]}\n\n",
        "data: {\"fault\":{\"faultstring\":\"boom\"}}\n\n",
        "data: {\"status\":\"failed\",\"reason\":\"boom\"}\n\n",
        "<html><body>502 Bad Gateway</body></html>\n\n",
        "data: {\"message\":\"boom\",\"type\":\"server_error\",\"param\":\"\",\"code\":null}\n\n",
        "data: {\"message\":\"负载已饱和，请稍后再试\",\"type\":\"new_api_error\"}\n\n",
        "data: {\"errno\":110,\"errmsg\":\"boom\"}\n\n",
        "data: {\"ret_code\":-1,\"ret_msg\":\"boom\"}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"engine_overloaded\"}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":{\"type\":\"abort\"}}]}\n\n",
    ] {
        let upstream =
            cast(Script::plays([text("half"), raw(failure), raw(DONE), Beat::End])).await;
        let chorus = setup("openai").over(&upstream).await;
        for (path, model, stream) in [
            (CHAT, "m", true),
            (CHAT, "m", false),
            ("/api/chat", "m", true),
            (CHAT, "chorus", false),
        ] {
            let reply = asked(&chorus, path, model, stream).await;
            let shown = format!("{failure} {path} {model} {stream}: {reply:?}");
            if model == "chorus" {
                assert_eq!(trace(&reply)["workers"][0]["success"], false, "{shown}");
            } else {
                assert!(reply.error.is_some() && reply.reason.is_none(), "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn events_and_fields_of_other_names_are_read() {
    let plain = [says("one "), says("two"), ends("stop"), DONE.to_owned()].concat();
    for (kind, body) in [
        ("named signs of life", format!("event: ping\ndata: 2026-01-01T00:00:00Z\n\n{plain}")),
        ("a field in capitals", plain.replace("data:", "Data:")),
        ("indented fields", plain.replace("data:", " data:")),
        ("a delta that is a text", plain.replace("{\"content\":\"one \"}", "\"one \"")),
    ] {
        let upstream = cast(Script::plays([raw(&body), Beat::End])).await;
        let chorus = setup("openai").over(&upstream).await;
        for (path, stream) in [(CHAT, true), (CHAT, false), ("/api/generate", true)] {
            let reply = asked(&chorus, path, "m", stream).await;
            assert_eq!(
                (reply.text.as_str(), reply.error.as_ref()),
                ("one two", None),
                "{kind} {path}: {reply:?}"
            );
        }
    }
}

#[tokio::test]
async fn usage_between_texts_ends_nothing() {
    let usage = Beat::Usage(9, 4);
    let beats = [
        text("one "),
        Beat::Finish("stop"),
        usage.clone(),
        Beat::Wait(Duration::from_millis(800)),
        text("two"),
        Beat::Finish("stop"),
        usage,
        Beat::End,
    ];
    for protocol in ["openai", "anthropic", "gemini"] {
        let upstream = cast(Script::plays(beats.clone())).await;
        let chorus = setup(protocol).over(&upstream).await;
        for stream in [true, false] {
            let reply = asked(&chorus, CHAT, "m", stream).await;
            assert_eq!(reply.text, "one two", "{protocol} {stream}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn refusals_in_the_words_of_other_servers_are_understood() {
    for (status, body, want) in [
        (
            422,
            json!({"error": "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000"}),
            "context_length_exceeded",
        ),
        (
            422,
            json!({"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096"}),
            "context_length_exceeded",
        ),
        (
            400,
            json!({"message": "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"}),
            "context_length_exceeded",
        ),
        (
            400,
            json!({"error": "This model's maximum prompt length is 131072 but the request contains 537812 tokens."}),
            "context_length_exceeded",
        ),
        (
            400,
            json!({"error": {"message": "Range of input length should be [1, 129024]"}}),
            "context_length_exceeded",
        ),
        (
            400,
            json!({"error": {"message": "Your request exceeded model token limit: 131072"}}),
            "context_length_exceeded",
        ),
        (
            412,
            json!({"error": {"message": "Account suspended: monthly spending limit reached."}}),
            "quota or credit",
        ),
        (
            400,
            json!({"error": {"code": "Arrearage", "message": "Access denied."}}),
            "quota or credit",
        ),
        (498, json!({"error": "Invalid token"}), "configured key"),
        (498, json!({"error": {"message": "Flex tier capacity exceeded"}}), "failed (503"),
        (499, json!({}), "failed (499"),
        (400, json!({"message": "Invalid model: x", "type": "invalid_model"}), "no such model"),
        (400, json!({"error": {"message": "Content Exists Risk"}}), "content filter"),
    ] {
        let upstream = cast(Script::fails_saying(status, &body.to_string())).await;
        let chorus = setup("openai").over(&upstream).await;
        for stream in [true, false] {
            let reply = asked(&chorus, CHAT, "m", stream).await;
            let error = reply.error.clone().unwrap_or_default();
            let all = format!("{} {}", error["code"], error["message"]);
            assert!(all.contains(want), "{body} {stream}: {reply:?}");
            assert_eq!(
                reply.status,
                if want.starts_with("context") { 400 } else { 502 },
                "{body}: {reply:?}"
            );
        }
    }
}
