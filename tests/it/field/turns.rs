//! What belongs to a turn survives it.

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Map, Value, json};

use crate::support::{Chorus, Script, Seen, Setup, Upstream, four_stages, text_of};

const CHAT: &str = "/v1/chat/completions";
const THOUGHT: &str = "first I look at the sky";
const PROTOCOLS: [&str; 4] = ["openai", "ollama", "anthropic", "gemini"];

fn of(protocol: &str) -> String {
    format!("protocol = \"{protocol}\"")
}

/// One model that drafts and writes.
fn alone() -> Setup {
    Setup::of(json!({"workers": [{"ref": "m"}], "synthesizer": {"ref": "m"}}))
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "sky", "parameters": {"type": "object"}}}])
}

/// Refuses, as DeepSeek does, a call without what was thought before it.
fn demands_thoughts(seen: &Seen) -> Option<String> {
    let messages = seen.body["messages"].as_array()?;
    let bare = messages.iter().any(|turn| {
        turn["tool_calls"].is_array() && turn["reasoning_content"].as_str() != Some(THOUGHT)
    });
    bare.then(|| {
        "The `reasoning_content` in the thinking mode must be passed back to the API.".to_owned()
    })
}

/// Calls a tool after a thought, and then demands that thought.
fn thinker() -> Script {
    let answers = Script::says("it is blue").objects(demands_thoughts);
    Script::calls_tool("sky", json!({"at": "noon"})).reasoning(THOUGHT).first(1, answers)
}

/// One answer of the endpoint, streamed or whole, as the client's next history: the model's turn and
/// the tool's. `keeps`: the client gives back what it was given.
async fn turn_of(chorus: &Chorus, path: &str, body: &Value, keeps: bool) -> Vec<Value> {
    let text = chorus.post(path, body).await.text().await.expect("a whole answer");
    let lines = text.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
    let objects: Vec<Value> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
    if path == "/v1/responses" {
        let last = objects.last().expect("a response");
        let output = last.get("response").unwrap_or(last)["output"].as_array().expect("items");
        let mut items: Vec<Value> =
            output.iter().filter(|item| keeps || item["type"] != "reasoning").cloned().collect();
        let id = items.last().expect("a call")["call_id"].clone();
        items.push(json!({"type": "function_call_output", "call_id": id, "output": "clear"}));
        return items;
    }
    let mut message = json!({"role": "assistant", "content": ""});
    let mut call = json!({"function": {"name": "", "arguments": ""}});
    for object in &objects {
        let choice = &object["choices"][0];
        let said = [&choice["delta"], &choice["message"], &object["message"]];
        let Some(said) = said.into_iter().find(|said| said.is_object()) else { continue };
        for name in ["reasoning_content", "thinking"] {
            if let (Some(more), true) = (said[name].as_str(), keeps) {
                message[name] = json!(message[name].as_str().unwrap_or_default().to_owned() + more);
            }
        }
        if let (Some(more), true) = (said["reasoning_details"].as_array(), keeps) {
            let mut all = message["reasoning_details"].as_array().cloned().unwrap_or_default();
            all.extend(more.iter().cloned());
            message["reasoning_details"] = json!(all);
        }
        for piece in said["tool_calls"].as_array().into_iter().flatten() {
            let names = if keeps { &["id", "type", "extra_content"][..] } else { &["id", "type"] };
            for name in names.iter().filter(|name| !piece[**name].is_null()) {
                call[*name] = piece[*name].clone();
            }
            let function = &piece["function"];
            if let Some(name) = function["name"].as_str() {
                call["function"]["name"] = json!(name);
            }
            match &function["arguments"] {
                Value::String(more) => {
                    let so_far = call["function"]["arguments"].as_str().unwrap_or_default();
                    call["function"]["arguments"] = json!(so_far.to_owned() + more);
                }
                Value::Object(whole) => call["function"]["arguments"] = json!(whole),
                _ => {}
            }
        }
    }
    assert_eq!(call["function"]["name"], "sky", "{objects:?}");
    let result = match path {
        CHAT => json!({"role": "tool", "tool_call_id": call["id"], "content": "clear"}),
        _ => json!({"role": "tool", "tool_name": "sky", "content": "clear"}),
    };
    if path != CHAT && !keeps {
        // As Ollama's own clients do, which know no ids.
        call.as_object_mut().expect("a call").remove("id");
    }
    message["tool_calls"] = json!([call]);
    vec![message, result]
}

fn asks(path: &str, model: &str, stream: bool, later: &[Value]) -> Value {
    let mut history = vec![json!({"role": "user", "content": "What colour is the sky?"})];
    history.extend(later.iter().cloned());
    let field = if path == "/v1/responses" { "input" } else { "messages" };
    json!({"model": model, "stream": stream, "tools": tools(), field: history})
}

/// Everybody but the model that thought must never see it.
fn kept_from_others(upstream: &Upstream, writer: &str) {
    for seen in upstream.seen().iter().filter(|seen| seen.model() != writer) {
        assert!(!seen.body.to_string().contains(THOUGHT), "{}: {}", seen.model(), seen.body);
    }
}

#[tokio::test]
async fn thoughts_go_back_to_the_model_that_wrote_them_and_to_no_other() {
    for path in [CHAT, "/api/chat", "/v1/responses"] {
        for (model, keeps, stream) in [
            ("writer", true, false),
            ("writer", false, true),
            ("chorus", true, true),
            ("chorus", false, false),
        ] {
            let upstream = Upstream::start([
                ("judge", Script::judges_for("blue")),
                ("writer", thinker()),
                ("a", Script::says("perhaps blue")),
                ("b", Script::says("blue it is")),
            ])
            .await;
            let chorus = four_stages(&["a", "b"]).over(&upstream).await;
            let turn = turn_of(&chorus, path, &asks(path, model, stream, &[]), keeps).await;
            let body = asks(path, model, false, &turn);
            let (status, answer) = chorus.ask(path, &body).await;
            let case = format!("{path} {model} {keeps} {stream}: {answer}");
            assert_eq!(status, 200, "{case}");
            let seen = upstream.seen_by("writer").pop().expect("a second call");
            let turns = seen.body["messages"].as_array().unwrap();
            let back = turns.iter().find(|turn| turn["tool_calls"].is_array()).expect("the turn");
            assert_eq!(back["reasoning_content"], THOUGHT, "{case}");
            assert!(!seen.body.to_string().contains("worker a"), "no progress: {}", seen.body);
            // Another model takes the conversation over.
            let (status, _) = chorus.ask(path, &asks(path, "b", false, &turn)).await;
            assert_eq!(status, 200);
            kept_from_others(&upstream, "writer");
        }
    }
}

#[tokio::test]
async fn a_turn_whose_thoughts_are_lost_is_sent_as_text_where_they_are_demanded() {
    let demanding = Script::says("it is blue").objects(demands_thoughts);
    let upstream = Upstream::start([("m", demanding)]).await;
    let chorus = alone().with_models(&["m"]).over(&upstream).await;
    let call = json!({"id": "call_of_another1", "type": "function",
        "function": {"name": "sky", "arguments": "{}"}});
    let turn = [
        json!({"role": "assistant", "content": null, "tool_calls": [call]}),
        json!({"role": "tool", "tool_call_id": "call_of_another1", "content": "clear"}),
    ];
    for round in 0..2 {
        let (status, answer) = chorus.ask(CHAT, &asks(CHAT, "m", false, &turn)).await;
        assert_eq!((status, text_of(&answer)), (200, "it is blue"), "{answer}");
        assert_eq!(upstream.seen().len(), 2 + round, "the refusal is remembered");
    }
    assert!(upstream.seen()[2].text().contains("clear"));
}

#[tokio::test]
async fn details_and_extra_content_are_shown_kept_and_given_back() {
    let chunk = |delta: Value, reason: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        format!("data: {}\n\n", json!({"object": "chat.completion.chunk", "choices": [choice]}))
    };
    let extra = json!({"google": {"thought_signature": "c2ln"}});
    let details = json!([{"type": "reasoning.encrypted", "data": "b3BhcXVl", "index": 0}]);
    let body = [
        chunk(json!({"role": "assistant", "reasoning_details": details}), Value::Null),
        chunk(
            json!({"tool_calls": [{"index": 0, "id": "call_0a1b2c3d4e", "type": "function",
                "extra_content": extra, "function": {"name": "sky", "arguments": "{\"at\":1}"}}]}),
            Value::Null,
        ),
        chunk(json!({}), json!("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    for (keeps, stream) in [(true, true), (true, false), (false, true), (false, false)] {
        for (model, writer) in [("m", "m"), ("chorus", "writer")] {
            let calls = || {
                Script::sends("text/event-stream", body.as_bytes()).first(1, Script::says("blue"))
            };
            let upstream = Upstream::start([
                ("judge", Script::judges_for("x")),
                ("m", calls()),
                ("writer", calls()),
                ("a", Script::says("x")),
            ])
            .await;
            let chorus = four_stages(&["a"]).with_models(&["m"]).over(&upstream).await;
            let turn = turn_of(&chorus, CHAT, &asks(CHAT, model, stream, &[]), keeps).await;
            if keeps {
                assert_eq!(turn[0]["tool_calls"][0]["extra_content"], extra, "{turn:?}");
                assert_eq!(turn[0]["reasoning_details"], details, "{turn:?}");
            }
            chorus.ask(CHAT, &asks(CHAT, model, false, &turn)).await;
            let seen = upstream.seen_by(writer).pop().expect("a second call").body;
            let turns = seen["messages"].as_array().unwrap();
            let back = turns.iter().find(|turn| turn["tool_calls"].is_array()).expect("the turn");
            assert_eq!(back["tool_calls"][0]["extra_content"], extra, "{seen}");
            assert_eq!(back["reasoning_details"], details, "{seen}");
        }
    }
}

/// Keys that nobody knows, at any depth.
fn unknown() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z ]{0,6}".prop_map(Value::from),
        Just(json!({"deep": [1, {"er": null}]})),
        Just(Value::Null),
    ];
    prop::collection::vec(("x_[a-z]{1,5}", leaf), 1..3).prop_map(|all| all.into_iter().collect())
}

fn add(value: &mut Value, more: &Map<String, Value>) {
    value.as_object_mut().expect("an object").extend(more.clone());
}

/// Whether `whole` holds all of `part`.
fn holds(whole: &Value, part: &Map<String, Value>) -> bool {
    part.iter().all(|(name, value)| whole.get(name) == Some(value))
}

#[test]
fn unknown_fields_reach_an_upstream_of_the_same_protocol_at_every_depth() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let upstream = runtime.block_on(Upstream::start([("m", Script::calls_tool("f", json!({})))]));
    let chorus = runtime.block_on(alone().with_models(&["m"]).over(&upstream));
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() };
    let mut runner = TestRunner::new(config);
    let tested = runner.run(&unknown(), |more| {
        let mut body = json!({"model": "m", "stream": false,
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "name": "bo", "content": [{"type": "text", "text": "a"},
                    {"type": "image_url", "image_url": {"url": "https://e.example/i"}}]},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "c",
                    "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": "r"},
                {"role": "user", "content": [{"type": "x_sound", "x_sound": {"data": "y"}}]},
                {"role": "assistant", "content": "I", "prefix": true},
            ],
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_schema", "json_schema":
                {"name": "n", "schema": {"type": "object"}}},
            "stream_options": {"include_usage": true}, "reasoning": {"max_tokens": 2000},
        });
        let places = [
            "",
            "/messages/0",
            "/messages/1",
            "/messages/1/content/0",
            "/messages/1/content/1",
            "/messages/1/content/1/image_url",
            "/messages/2",
            "/messages/2/tool_calls/0",
            "/messages/2/tool_calls/0/function",
            "/messages/3",
            "/messages/4/content/0",
            "/messages/5",
            "/tools/0",
            "/tools/0/function",
            "/tool_choice",
            "/tool_choice/function",
            "/response_format",
            "/response_format/json_schema",
            "/stream_options",
            "/reasoning",
        ];
        for place in places {
            add(body.pointer_mut(place).unwrap(), &more);
        }
        let (status, answer) = runtime.block_on(chorus.ask(CHAT, &body));
        prop_assert_eq!(status, 200, "{}", answer);
        let seen = upstream.seen().pop().unwrap().body;
        for place in places {
            let there = seen.pointer(place);
            prop_assert!(there.is_some_and(|it| holds(it, &more)), "{}: {}", place, seen);
        }
        prop_assert_eq!(&seen["messages"][1]["name"], "bo");
        prop_assert_eq!(&seen["messages"][5]["prefix"], true);
        prop_assert_eq!(&seen["reasoning"]["max_tokens"], 2000);
        prop_assert_eq!(&seen["messages"][4]["content"], &body["messages"][4]["content"]);
        Ok(())
    });
    tested.unwrap();
}

/// What a picture costs, and whose result it is.
#[tokio::test]
async fn the_detail_of_a_picture_and_the_name_of_a_result_reach_the_same_protocol() {
    const PIXEL: &str = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=";
    let upstream = Upstream::start([("m", Script::says("ok")), ("o", Script::says("ok"))]).await;
    let setup = alone().with_models(&["m", "o"]).model_keys("o", &of("ollama"));
    let chorus = setup.over(&upstream).await;
    let picture = json!({"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}});
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let result = json!({"role": "tool", "tool_call_id": "c", "name": "f", "content": "42"});
    let messages = json!([{"role": "user", "content": [picture]},
        {"role": "assistant", "content": null, "tool_calls": [call]}, result]);
    for model in ["m", "o"] {
        let body = json!({"model": model, "messages": messages, "tools": tools()});
        let (status, answer) = chorus.ask(CHAT, &body).await;
        assert_eq!(status, 200, "{answer}");
    }
    let seen = upstream.seen_by("m").pop().unwrap().body;
    assert_eq!(seen["messages"][0]["content"], json!([picture]));
    assert_eq!(seen["messages"][2], result);
    let seen = upstream.seen_by("o").pop().unwrap().body;
    assert!(seen["messages"][2].get("name").is_none() && !seen.to_string().contains("detail"));
    assert_eq!(seen["messages"][2]["tool_name"], "f");
}

#[tokio::test]
async fn unknown_parts_are_refused_where_no_upstream_can_take_them() {
    let upstream = Upstream::start([("m", Script::says("ok")), ("own", Script::says("ok"))]).await;
    let chorus =
        alone().with_models(&["m", "own"]).model_keys("own", &of("ollama")).over(&upstream).await;
    let part = json!({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"},
        "cache_control": {"type": "ephemeral"}});
    for (model, want) in [("m", 200), ("own", 400), ("chorus", 400)] {
        for stream in [false, true] {
            let body = json!({"model": model, "stream": stream,
                "messages": [{"role": "user", "content": ["hear", part]}]});
            let response = chorus.post(CHAT, &body).await;
            assert_eq!(response.status(), want, "{model}");
            let text = response.text().await.unwrap();
            assert!(want == 200 || text.contains("messages[0].content[1].type"), "{text}");
        }
    }
    assert_eq!(upstream.seen().pop().unwrap().body["messages"][0]["content"][1], part);
    // Ollama's messages have fields of their own.
    let body = json!({"model": "own", "stream": false,
        "messages": [{"role": "user", "content": "hi", "x_field": [1]}]});
    assert_eq!(chorus.ask("/api/chat", &body).await.0, 200);
    assert_eq!(upstream.seen().pop().unwrap().body["messages"][0]["x_field"], json!([1]));
}

#[tokio::test]
async fn a_schema_is_enforced_wherever_it_stands() {
    let schema = json!({"type": "object", "properties": {"colour": {"type": "string"}}});
    let upstream = Upstream::start([
        ("judge", Script::judges_for("x")),
        ("writer", Script::says("{\"colour\":\"blue\"}")),
        ("a", Script::says("x")),
    ])
    .await;
    let chorus = four_stages(&["a"]).over(&upstream).await;
    let json_object = json!({"type": "json_object", "schema": schema});
    let litellm = json!({"type": "json_object", "response_schema": schema});
    let flat = json!({"type": "json_schema", "schema": schema});
    let nameless = json!({"type": "json_schema", "json_schema": {"schema": schema}});
    for (path, field, value) in [
        (CHAT, "response_format", json_object.clone()),
        (CHAT, "response_format", litellm),
        (CHAT, "response_format", flat.clone()),
        (CHAT, "response_format", nameless.clone()),
        (CHAT, "guided_json", schema.clone()),
        (CHAT, "structured_outputs", json!({"json": schema})),
        ("/v1/completions", "response_format", flat.clone()),
        ("/v1/responses", "text", json!({"format": json_object})),
        ("/v1/responses", "text", json!({"format": nameless})),
        ("/v1/responses", "response_format", flat.clone()),
        ("/api/chat", "format", schema.clone()),
        ("/api/chat", "format", json!(schema.to_string())),
        ("/api/chat", "format", flat.clone()),
        ("/api/generate", "format", json!(schema.to_string())),
        ("/api/generate", "response_format", flat.clone()),
    ] {
        for model in ["writer", "chorus"] {
            let mut body = json!({"model": model, "stream": false, "prompt": "sky?"});
            if path.ends_with("chat") || path == CHAT {
                body = json!({"model": model, "stream": false,
                    "messages": [{"role": "user", "content": "sky?"}]});
            }
            body[field] = value.clone();
            let (status, answer) = chorus.ask(path, &body).await;
            assert_eq!(status, 200, "{path} {field} {value}: {answer}");
            let seen = upstream.seen_by("writer").pop().unwrap().body;
            let nested = &seen["response_format"]["json_schema"]["schema"];
            let own = model == "writer" && seen[field] == value;
            assert!(*nested == schema || own, "{path} {field} {model}: {seen}");
        }
    }
}

/// Ollama's Python client writes a union of types as one text, which only Ollama takes.
#[tokio::test]
async fn a_union_of_types_is_a_list_for_every_upstream_but_ollama() {
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": {
        "type": "object", "properties": {"day": {"type": "integer, string"}}}}});
    for protocol in PROTOCOLS {
        let upstream = Upstream::start([("m", Script::says("ok"))]).await;
        let setup = alone().with_models(&["m"]);
        let chorus = setup.model_keys("m", &of(protocol)).over(&upstream).await;
        for path in [CHAT, "/api/chat"] {
            let body = json!({"model": "m", "stream": false, "tools": [tool],
                "messages": [{"role": "user", "content": "hi"}]});
            let (status, answer) = chorus.ask(path, &body).await;
            assert_eq!(status, 200, "{answer}");
            let seen = upstream.seen().pop().unwrap().body["tools"].to_string();
            let want = match protocol {
                "ollama" => r#"{"day":{"type":"integer, string"}}"#,
                _ => r#"{"day":{"type":["integer","string"]}}"#,
            };
            assert!(seen.contains(want), "{protocol} {path}: {seen}");
        }
    }
}

#[tokio::test]
async fn arguments_in_the_history_are_json_for_every_upstream() {
    let broken = ["", " ", "null", "not JSON", "{\"a\":", "[1]", "\"{\\\"a\\\":1}\""];
    for protocol in PROTOCOLS {
        let upstream = Upstream::start([("m", Script::says("ok"))]).await;
        let setup = alone().with_models(&["m"]);
        let chorus = setup.model_keys("m", &of(protocol)).over(&upstream).await;
        for arguments in broken.map(Value::from).into_iter().chain([Value::Null, json!({"a": 1})]) {
            let call = json!({"id": "call_0a1b2c3d", "type": "function",
                "function": {"name": "sky", "arguments": arguments}});
            let turn = [
                json!({"role": "assistant", "content": null, "tool_calls": [call]}),
                json!({"role": "tool", "tool_call_id": "call_0a1b2c3d", "content": "clear"}),
            ];
            for path in [CHAT, "/api/chat", "/v1/responses"] {
                let turn = match path {
                    "/v1/responses" => vec![
                        json!({"type": "function_call", "call_id": "call_0a1b2c3d", "name": "sky",
                            "arguments": arguments}),
                        json!({"type": "function_call_output", "call_id": "call_0a1b2c3d",
                            "output": "clear"}),
                    ],
                    _ => turn.to_vec(),
                };
                let (status, answer) = chorus.ask(path, &asks(path, "m", false, &turn)).await;
                assert_eq!(status, 200, "{answer}");
                let seen = upstream.seen().pop().unwrap().body;
                let sent = [
                    "/messages/1/tool_calls/0/function/arguments",
                    "/messages/1/content/0/input",
                    "/contents/1/parts/0/functionCall/args",
                ];
                let sent = sent.into_iter().find_map(|at| seen.pointer(at)).expect("arguments");
                let object = match sent {
                    Value::String(text) => serde_json::from_str(text).expect("JSON"),
                    value => value.clone(),
                };
                assert!(object.is_object(), "{protocol} {path} {arguments}: {sent}");
                assert_eq!(sent.is_string(), protocol == "openai", "{protocol}: {sent}");
            }
        }
    }
}

#[tokio::test]
async fn leading_system_messages_are_one_for_every_upstream() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start([("m", Script::says("ok"))]).await;
        let setup = alone().with_models(&["m"]);
        let chorus = setup.model_keys("m", &of(protocol)).over(&upstream).await;
        let said = |role: &str, text: &str| json!({"role": role, "content": text});
        let history = json!([said("system", "one"), said("developer", "two"), said("user", "hi")]);
        let rest = json!([said("developer", "two"), said("user", "hi")]);
        for (path, body) in [
            (CHAT, json!({"model": "m", "stream": false, "messages": history})),
            (CHAT, json!({"model": "chorus", "stream": false, "messages": history})),
            ("/api/chat", json!({"model": "m", "stream": false, "messages": history})),
            ("/v1/responses", json!({"model": "m", "instructions": "one", "input": rest})),
        ] {
            let (status, answer) = chorus.ask(path, &body).await;
            assert_eq!(status, 200, "{answer}");
            let seen = upstream.seen().pop().unwrap();
            let system = seen.said_by("system");
            assert!(system.contains("one") && system.contains("two"), "{}", seen.body);
            if let Some(messages) = seen.body["messages"].as_array() {
                let second = messages.get(1).map(|one| one["role"].clone());
                assert_ne!(second, Some(json!("system")), "{protocol} {path}: {}", seen.body);
            }
        }
    }
}

#[tokio::test]
async fn what_a_template_refuses_of_a_conversation_is_mended_once_and_remembered() {
    let roles = |seen: &Seen| -> Vec<String> {
        let turns = seen.body["messages"].as_array().cloned().unwrap_or_default();
        turns.iter().map(|turn| turn["role"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let one_system = move |seen: &Seen| {
        let late = roles(seen).iter().skip(1).any(|role| role == "system");
        late.then(|| "System message must be at the beginning.".to_owned())
    };
    let alternating = move |seen: &Seen| {
        let spoken: Vec<String> = roles(seen).into_iter().filter(|one| one != "system").collect();
        let want = ["user", "assistant"].iter().cycle();
        let uneven = spoken.iter().zip(want).any(|(role, want)| role != want);
        uneven.then(|| {
            "Conversation roles must alternate user/assistant/user/assistant/...".to_owned()
        })
    };
    let said = |role: &str, text: &str| json!({"role": role, "content": text});
    let history = json!([
        said("system", "one"),
        said("user", "hi"),
        said("system", "two"),
        said("user", "and?")
    ]);
    for protocol in ["openai", "ollama"] {
        for model in ["m", "chorus"] {
            let picky = Script::says("ok").objects(one_system).objects(alternating);
            let upstream = Upstream::start([("m", picky)]).await;
            let setup = alone().with_models(&["m"]);
            let chorus =
                setup.model_keys("m", &of(protocol)).without_retries().over(&upstream).await;
            let mut asked = 0;
            for stream in [false, true] {
                let body = json!({"model": model, "stream": stream, "messages": history});
                let response = chorus.post(CHAT, &body).await;
                assert_eq!(response.status(), 200, "{protocol} {model}");
                response.text().await.unwrap();
                let calls = upstream.seen().len() - asked;
                asked += calls;
                let least = if model == "m" { 1 } else { 2 };
                let refused = if stream { 0 } else { 2 };
                assert_eq!(calls, least + refused, "{protocol} {model}: what is refused is known");
                let text = upstream.seen().pop().unwrap().text();
                for words in ["one", "two", "hi", "and?"] {
                    assert!(text.contains(words), "{text}");
                }
            }
        }
    }
}

#[tokio::test]
async fn tools_that_are_no_functions_reach_the_same_protocol_and_no_workflow() {
    let upstream = Upstream::start([("m", Script::says("ok")), ("o", Script::says("ok"))]).await;
    let setup = alone().with_models(&["m", "o"]).model_keys("o", &of("ollama"));
    let chorus = setup.over(&upstream).await;
    let search = json!({"type": "builtin_function", "function": {"name": "$web_search"}});
    let zhipu = json!({"type": "web_search", "web_search": {"enable": true}});
    let function = json!({"type": "function", "function": {"name": "f"}});
    for (tools, want) in
        [(json!([search]), json!([search])), (json!([zhipu, function]), json!([function, zhipu]))]
    {
        let body = |model: &str| {
            json!({"model": model, "tools": tools, "tool_choice": "auto",
                "messages": [{"role": "user", "content": "hi"}]})
        };
        let (status, answer) = chorus.ask(CHAT, &body("m")).await;
        assert_eq!(status, 200, "{answer}");
        let seen = upstream.seen().pop().unwrap().body;
        assert_eq!((&seen["tools"], &seen["tool_choice"]), (&want, &json!("auto")));
        let calls = upstream.seen().len();
        for model in ["o", "chorus"] {
            let (status, answer) = chorus.ask(CHAT, &body(model)).await;
            assert_eq!((status, &answer["error"]["param"]), (400, &json!("tools[0].type")));
        }
        assert_eq!(upstream.seen().len(), calls, "nobody is asked");
    }
}

/// A protocol that takes no empty conversation is not asked with one.
#[tokio::test]
async fn a_conversation_in_which_nothing_is_said_is_refused_where_no_model_takes_it() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start([("m", Script::says("ok"))]).await;
        let setup = alone().with_models(&["m"]).model_keys("m", &of(protocol));
        let chorus = setup.over(&upstream).await;
        for content in [json!(""), json!(" \n"), json!([{"type": "text", "text": ""}])] {
            let messages = json!([{"role": "user", "content": content}]);
            for model in ["m", "chorus"] {
                let (status, answer) =
                    chorus.ask(CHAT, &json!({"model": model, "messages": messages})).await;
                if ["openai", "ollama"].contains(&protocol) {
                    assert_eq!(status, 200, "{protocol} {model}: {answer}");
                } else {
                    assert!((400..500).contains(&status), "{protocol} {model}: {answer}");
                    let words = answer["error"]["message"].as_str().unwrap();
                    assert!(words.contains("nothing is said"), "{words}");
                    assert_eq!(upstream.seen().len(), 0);
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_empty_is_sent() {
    let upstream = Upstream::start([("m", Script::says("ok"))]).await;
    let chorus = alone().with_models(&["m"]).over(&upstream).await;
    let body = json!({"model": "m", "tools": [], "stop": [], "functions": [], "messages": [
        {"role": "system", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": [], "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": ""},
            {"type": "image_url", "image_url": {"url": "https://e.example/i"}}]},
    ]});
    let (status, answer) = chorus.ask(CHAT, &body).await;
    assert_eq!(status, 200, "{answer}");
    let seen = upstream.seen().pop().unwrap().body;
    assert!(seen.get("tools").is_none() && seen.get("stop").is_none(), "{seen}");
    let text = seen["messages"].to_string();
    assert!(!text.contains("[]") && !text.contains("\"text\":\"\""), "{text}");
    assert_eq!(seen["messages"].as_array().unwrap().len(), 2, "{text}");
    for (path, field) in [(CHAT, "max_tokens"), ("/v1/responses", "max_output_tokens")] {
        for tokens in [0, -5] {
            let mut body = json!({"model": "m", "input": "hi",
                "messages": [{"role": "user", "content": "hi"}]});
            body[field] = json!(tokens);
            let (status, answer) = chorus.ask(path, &body).await;
            assert_eq!(status, 400, "{answer}");
            assert_eq!(answer["error"]["param"], field);
        }
    }
}

#[tokio::test]
async fn responses_read_what_objects_hold() {
    let upstream = Upstream::start([("m", Script::says("ok"))]).await;
    let chorus = alone().with_models(&["m"]).over(&upstream).await;
    let user = json!({"role": "user", "content": "why?"});
    let part = json!({"type": "input_text", "text": "why?"});
    for input in [
        json!({"messages": [user]}),
        json!({"input": {"messages": [user]}}),
        json!({"input": "why?"}),
        json!([{"messages": [user]}]),
        json!({"parts": [part]}),
        json!({"parts": [{"text": "why?"}]}),
        json!({"input": {"parts": ["why?"]}}),
        json!({"role": "user", "parts": [{"text": "why?"}]}),
        json!({"content": [part]}),
        json!({"contents": [{"role": "user", "parts": [{"text": "why?"}]}]}),
        json!({"type": "message", "role": "user", "content": "why?"}),
        part.clone(),
    ] {
        for (model, stream) in [("m", false), ("chorus", true)] {
            let body = json!({"model": model, "stream": stream, "input": input});
            let response = chorus.post("/v1/responses", &body).await;
            let status = response.status();
            let text = response.text().await.unwrap();
            assert_eq!(status, 200, "{input}: {text}");
            let seen = upstream.seen().pop().unwrap();
            assert!(seen.text().contains("why?"), "{input}: {}", seen.body);
        }
    }
}
