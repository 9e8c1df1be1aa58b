//! The upstream protocols: each of them, chat and plain completion, streamed and whole.

use serde_json::{Value, json};

use crate::support::{
    Chorus, ENDPOINTS, Script, Seen, Upstream, four_stages, ms, question, text_of,
};

const CHAT: &str = "/v1/chat/completions";
const OLLAMA: &str = "protocol = \"ollama\"";
const ANTHROPIC: &str = "protocol = \"anthropic\"";
const GEMINI: &str = "protocol = \"gemini\"";
const COMPLETION: &str = "mode = \"completion\"";

/// How a model is spoken to: keys of its config, and the paths that begin so.
fn spoken() -> [(&'static str, String); 6] {
    [
        ("/v1/chat/completions", String::new()),
        ("/v1/completions", COMPLETION.to_owned()),
        ("/api/chat", OLLAMA.to_owned()),
        ("/api/generate", format!("{OLLAMA}\n{COMPLETION}")),
        ("/v1/messages", ANTHROPIC.to_owned()),
        ("/v1beta/models/", GEMINI.to_owned()),
    ]
}

/// The four protocols.
const PROTOCOLS: [(&str, &str); 4] =
    [("openai", ""), ("ollama", OLLAMA), ("anthropic", ANTHROPIC), ("gemini", GEMINI)];

/// What the request was authenticated with.
fn key_of(seen: &Seen) -> &str {
    let headers = ["x-api-key", "x-goog-api-key", "authorization"];
    let found = headers.iter().find_map(|name| seen.header(name)).unwrap_or_default();
    found.trim_start_matches("Bearer ")
}

#[tokio::test]
async fn each_protocol_and_mode_answers_alike() {
    for (spoken, keys) in spoken() {
        let sample = "你好，世界 👋";
        let upstream = Upstream::start([("m", Script::says(sample).split_everywhere())]).await;
        let setup = four_stages(&["m"]).model_keys("m", &keys);
        let chorus = setup.over(&upstream).await;
        for path in ENDPOINTS {
            for stream in [false, true] {
                let mut body = question(path, "m", "hi there", stream);
                body["stream_options"] = json!({"include_usage": true});
                let objects = chorus.objects(path, &body).await;
                let text: String = objects.iter().map(text_of).collect();
                assert_eq!(text, sample, "{spoken} {path} {stream}");
                let last = objects.last().unwrap();
                let used = match path {
                    CHAT => [&last["usage"]["prompt_tokens"], &last["usage"]["completion_tokens"]],
                    _ => [&last["prompt_eval_count"], &last["eval_count"]],
                };
                assert_eq!(used, [&json!(11), &json!(7)], "{spoken} {path} {stream}: {last}");
            }
        }
        for seen in upstream.seen() {
            assert!(seen.path.starts_with(spoken), "{}", seen.path);
            assert_eq!(key_of(&seen), "sk-key-of-m", "{spoken}");
            assert!(seen.header("user-agent").unwrap().starts_with("chorus/"));
            assert!(seen.text().contains("hi there"), "{spoken}: {}", seen.body);
        }
    }
}

#[tokio::test]
async fn all_four_stages_run_over_each() {
    for (spoken, keys) in spoken() {
        let upstream = Upstream::start([
            ("judge", Script::judges_for("two")),
            ("first", Script::says("draft one")),
            ("second", Script::says("draft two")),
            ("writer", Script::says("the fused answer")),
        ])
        .await;
        let mut setup = four_stages(&["first", "second"]);
        for model in ["judge", "first", "second", "writer"] {
            setup = setup.model_keys(model, &keys);
        }
        let chorus = setup.over(&upstream).await;
        let mut body = question(CHAT, "chorus", "hi there", false);
        body["include_workflow"] = json!(true);
        let (status, answer) = chorus.ask(CHAT, &body).await;
        assert_eq!((status, text_of(&answer)), (200, "the fused answer"), "{spoken}: {answer}");
        let trace = &answer["workflow"];
        assert_eq!(trace["status"], "ok", "{spoken}: {trace}");
        assert_eq!(trace["selector"]["selected_worker"], "second", "{spoken}: {trace}");
        assert_eq!(trace["analyzer"]["task_type"], "question", "{spoken}: {trace}");
        assert_eq!(answer["usage"]["total_tokens"], 18, "{spoken}: the answer's");
        let spent = &answer["chorus"]["total_usage"]["total_tokens"];
        assert_eq!(*spent, json!(5 * 18), "{spoken}: over all calls");
        assert!(trace["usage"].get("estimated").is_none(), "{spoken}: {trace}");
        assert!(upstream.seen().iter().all(|seen| seen.path.starts_with(spoken)));
    }
}

#[tokio::test]
async fn the_writer_is_shown_the_conversation_and_behind_it_the_drafts_best_first() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("two")),
        ("zaphod", Script::says("draft one")),
        ("trillian", Script::says("draft two")),
        ("writer", Script::says("the fused answer")),
    ])
    .await;
    let chorus = four_stages(&["zaphod", "trillian"]).over(&upstream).await;
    let body = json!({"model": "chorus", "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "an earlier question"},
        {"role": "assistant", "content": "an earlier answer"},
        {"role": "user", "content": "the question"},
    ]});
    let (status, answer) = chorus.ask(CHAT, &body).await;
    assert_eq!((status, text_of(&answer)), (200, "the fused answer"), "{answer}");
    let [writer] = &upstream.seen_by("writer")[..] else { panic!("one call of the writer") };
    assert_eq!(writer.drafts(), ["draft two", "draft one"]);
    let messages = writer.body["messages"].as_array().unwrap();
    assert_eq!(messages[0]["role"], "system");
    assert_eq!(messages[1..4], body["messages"].as_array().unwrap()[1..], "as the client sent it");
    let last = messages.last().unwrap();
    assert_eq!((messages.len(), &last["role"]), (5, &json!("system")));
    assert!(last["content"].as_str().unwrap().contains("draft two"), "{last}");
    assert!(writer.said_by("system").contains("Be brief."));
    for worker in ["zaphod", "trillian"] {
        let [call] = &upstream.seen_by(worker)[..] else { panic!("one call of {worker}") };
        assert_eq!(call.body["messages"], body["messages"], "as the client sent it");
    }
    for call in upstream.seen_by("judge") {
        for name in ["zaphod", "trillian"] {
            assert!(!call.text().contains(name), "the judge does not know the workers' names");
        }
    }
}

#[tokio::test]
async fn what_an_upstream_does_not_count_is_estimated_and_said_so() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("").without_usage()),
        ("only", Script::says("a draft of some length").without_usage()),
        ("writer", Script::fuses().without_usage()),
    ])
    .await;
    let chorus = four_stages(&["only"]).over(&upstream).await;
    let mut body = question(CHAT, "chorus", "hi there", false);
    body["include_workflow"] = json!(true);
    let (_, answer) = chorus.ask(CHAT, &body).await;
    assert_eq!(answer["workflow"]["usage"]["estimated"], true, "{answer}");
    assert!(answer["usage"]["completion_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn reasoning_and_tool_calls_pass_through() {
    let arguments = json!({"city": "罗马"});
    for (spoken, keys) in PROTOCOLS {
        let upstream = Upstream::start([
            ("thinker", Script::says("so it is").reasoning("let me see")),
            ("caller", Script::calls_tool("weather", arguments.clone())),
        ])
        .await;
        let setup = four_stages(&["thinker", "caller"]);
        let setup = setup.model_keys("thinker", keys).model_keys("caller", keys);
        let chorus = setup.over(&upstream).await;
        let (_, answer) = chorus.ask(CHAT, &question(CHAT, "thinker", "hi", false)).await;
        let message = &answer["choices"][0]["message"];
        assert_eq!(message["content"], "so it is", "{spoken}");
        assert_eq!(message["reasoning_content"], "let me see", "{spoken}");

        let mut body = question(CHAT, "caller", "what weather?", false);
        let function = json!({"name": "weather", "parameters": {"type": "object"}});
        body["tools"] = json!([{"type": "function", "function": function}]);
        let (_, answer) = chorus.ask(CHAT, &body).await;
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{spoken}: {answer}");
        let call = &choice["message"]["tool_calls"][0]["function"];
        assert_eq!(call["name"], "weather");
        let sent: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(sent, arguments, "{spoken}");
        assert!(upstream.seen_by("caller")[0].has("tools"), "{spoken}");
    }
}

/// The events of an answer, with what differs from run to run taken out.
async fn events(chorus: &Chorus, body: &Value) -> Vec<Value> {
    let mut objects = chorus.objects(CHAT, body).await;
    let mut names = Vec::new();
    for object in &mut objects {
        let id = object.pointer_mut("/choices/0/delta/tool_calls/0/id");
        if let Some(id) = id.filter(|id| id.is_string()) {
            assert!(!names.contains(id), "two calls of one id");
            names.push(id.take());
        }
        for field in ["id", "created", "created_at"] {
            object.as_object_mut().unwrap().remove(field);
        }
    }
    joined(&objects)
}

/// Neighbours of one kind joined: how finely an upstream cuts its answer is no difference.
fn joined(objects: &[Value]) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for object in objects {
        let delta = &object["choices"][0]["delta"];
        let piece = [("content", &delta["content"]), ("thought", &delta["reasoning_content"])]
            .into_iter()
            .chain([("arguments", &delta["tool_calls"][0]["function"]["arguments"])])
            .find_map(|(kind, text)| Some((kind, text.as_str()?)));
        if let Some(name) = delta["tool_calls"][0]["function"]["name"].as_str() {
            out.push(json!({"call": name}));
        }
        match piece {
            Some((_, "")) => {}
            Some((kind, text)) => match out.last_mut().filter(|last| last.get(kind).is_some()) {
                Some(last) => last[kind] = json!(last[kind].as_str().unwrap().to_owned() + text),
                None => out.push(json!({ kind: text })),
            },
            None => {}
        }
        if let Some(reason) = object["choices"][0]["finish_reason"].as_str() {
            out.push(json!({"finish": reason}));
        }
        if object["usage"].is_object() {
            let usage = &object["usage"];
            out.push(json!([usage["prompt_tokens"], usage["completion_tokens"]]));
        }
        if object["error"].is_object() {
            out.push(json!({"error": object["error"]["code"]}));
        }
    }
    out
}

fn asks(model: &str, messages: Value, more: Value) -> Value {
    let mut body = json!({"model": model, "messages": messages, "stream": true,
        "stream_options": {"include_usage": true}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

/// The cast of the one conversation that all four protocols hold.
async fn cast() -> Upstream {
    let overloaded = |status| Script::fails(status).first(1, Script::says("at last"));
    let limited = Script::fails(429).with_header("retry-after", "0.05");
    Upstream::start([
        ("talker", Script::says("你好，世界 👋").reasoning("let me see").split_everywhere()),
        ("seer", Script::says("a cat")),
        (
            "caller",
            Script::calls_tool("weather", json!({"city": "罗马"})).first(1, Script::says("sunny")),
        ),
        ("former", Script::says("{\"a\":1}")),
        ("long", Script::says("and so").finishing_with("length")),
        ("cut", Script::says("abc").in_deltas(3).cut_after(2)),
        ("ends", Script::says("abc").in_deltas(3).ends_after(2)),
        ("errs", Script::says("abc").in_deltas(3).errs_after(2, "the model fell over")),
        ("limited", limited.first(1, Script::says("at last"))),
        ("busy", overloaded(503)),
        ("overloaded", overloaded(529)),
        ("broke", Script::fails(402)),
        (
            "blind",
            Script::fails_saying(500, r#"{"error":{"message":"image input is not supported"}}"#),
        ),
    ])
    .await
}

const CAST: [&str; 13] = [
    "talker",
    "seer",
    "caller",
    "former",
    "long",
    "cut",
    "ends",
    "errs",
    "limited",
    "busy",
    "overloaded",
    "broke",
    "blind",
];

#[tokio::test]
async fn one_conversation_is_the_same_over_all_four_protocols() {
    let image = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}]}]);
    let tools = json!({"tools": [{"type": "function", "function": {"name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]});
    let result = json!([
        {"role": "user", "content": "what weather?"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "call_0", "type": "function",
            "function": {"name": "weather", "arguments": "{\"city\":\"罗马\"}"}}]},
        {"role": "tool", "tool_call_id": "call_0", "content": "sunny in Rome"},
    ]);
    let schema = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "out",
        "schema": {"type": "object", "properties": {"a": {"type": "integer"}},
            "required": ["a"], "additionalProperties": false}}}});
    let nothing = json!({});
    let used = json!([11, 7]);
    let (stop, error) = (json!({"finish": "stop"}), json!({"error": "upstream_error"}));
    let said = |text: &str| vec![json!({"content": text}), stop.clone(), used.clone()];
    let conversation = [
        (asks("talker", user("hi"), nothing.clone()), {
            let mut all = vec![json!({"thought": "let me see"})];
            all.extend(said("你好，世界 👋"));
            all
        }),
        (asks("seer", image.clone(), nothing.clone()), said("a cat")),
        (
            asks("caller", user("what weather?"), tools.clone()),
            vec![
                json!({"call": "weather"}),
                json!({"arguments": "{\"city\":\"罗马\"}"}),
                json!({"finish": "tool_calls"}),
                used.clone(),
            ],
        ),
        (asks("caller", result, tools), said("sunny")),
        (asks("former", user("give me a"), schema), said("{\"a\":1}")),
        (
            asks("long", user("go on"), json!({"max_tokens": 7})),
            vec![json!({"content": "and so"}), json!({"finish": "length"}), used.clone()],
        ),
        (asks("cut", user("hi"), nothing.clone()), vec![json!({"content": "ab"}), error.clone()]),
        (asks("ends", user("hi"), nothing.clone()), vec![json!({"content": "ab"}), error.clone()]),
        (asks("errs", user("hi"), nothing.clone()), vec![json!({"content": "ab"}), error.clone()]),
        (asks("limited", user("hi"), nothing.clone()), said("at last")),
        (asks("busy", user("hi"), nothing.clone()), said("at last")),
        (asks("overloaded", user("hi"), nothing.clone()), said("at last")),
        (asks("broke", user("hi"), nothing.clone()), vec![error.clone()]),
        (asks("blind", image, nothing), vec![json!({"error": "invalid_request"})]),
    ];
    for (protocol, keys) in PROTOCOLS {
        let upstream = cast().await;
        let mut setup = four_stages(&CAST).with("[workflow.retry]\nbase_delay_ms = 1");
        for model in CAST {
            setup = setup.model_keys(model, keys);
        }
        let chorus = setup.over(&upstream).await;
        for (body, want) in &conversation {
            let began = std::time::Instant::now();
            let got = events(&chorus, body).await;
            assert_eq!(&got, want, "{protocol}: {}", body["model"]);
            let waited = body["model"] != "limited" || began.elapsed() >= ms(50);
            assert!(waited, "{protocol}: Retry-After is obeyed");
        }
        arrived(protocol, &upstream);
    }
}

/// What the upstream was sent, in the protocol's own places.
fn arrived(protocol: &str, upstream: &Upstream) {
    let sent = |model: &str, number: usize| upstream.seen_by(model)[number].body.clone();
    let at = |body: &Value, path: &str| body.pointer(path).cloned().unwrap_or_default();
    let (image, system, call, result, schema, limit) = match protocol {
        "openai" => (
            "/messages/1/content/1/image_url/url",
            "/messages/0/content",
            "/messages/1/tool_calls/0/function/name",
            "/messages/2/content",
            "/response_format/json_schema/schema/required",
            "/max_tokens",
        ),
        "ollama" => (
            "/messages/1/images/0",
            "/messages/0/content",
            "/messages/1/tool_calls/0/function/name",
            "/messages/2/content",
            "/format/required",
            "/options/num_predict",
        ),
        "anthropic" => (
            "/messages/0/content/1/source/data",
            "/system",
            "/messages/1/content/0/name",
            "/messages/2/content/0/content/0/text",
            "/output_config/format/schema/required",
            "/max_tokens",
        ),
        _ => (
            "/contents/0/parts/1/inlineData/data",
            "/systemInstruction/parts/0/text",
            "/contents/1/parts/0/functionCall/name",
            "/contents/2/parts/0/functionResponse/response/output",
            "/generationConfig/responseJsonSchema/required",
            "/generationConfig/maxOutputTokens",
        ),
    };
    let seen = at(&sent("seer", 0), image);
    assert!(seen.as_str().unwrap().ends_with("QUJD"), "{protocol}: {seen}");
    assert_eq!(at(&sent("seer", 0), system), "Be brief.", "{protocol}");
    assert!(upstream.seen_by("caller")[0].has("tools"), "{protocol}");
    assert_eq!(at(&sent("caller", 1), call), "weather", "{protocol}");
    assert_eq!(at(&sent("caller", 1), result), "sunny in Rome", "{protocol}");
    assert_eq!(at(&sent("former", 0), schema), json!(["a"]), "{protocol}");
    assert_eq!(at(&sent("long", 0), limit), 7, "{protocol}");
    for (model, calls) in [("limited", 2), ("busy", 2), ("overloaded", 2), ("cut", 1), ("broke", 1)]
    {
        assert_eq!(upstream.seen_by(model).len(), calls, "{protocol}: {model}");
    }
}

#[tokio::test]
async fn two_versions_of_an_api_run_side_by_side() {
    let upstream = Upstream::start([
        ("old", Script::says("from the old")),
        ("new", Script::says("from the new")),
        ("alpha", Script::says("from alpha")),
    ])
    .await;
    let version = |version: &str| format!("api_version = \"{version}\"");
    let chorus = four_stages(&["old", "new", "alpha"])
        .model_keys("old", ANTHROPIC)
        .model_keys("new", ANTHROPIC)
        .model_keys("new", &version("2027-01-01"))
        .model_keys("alpha", GEMINI)
        .model_keys("alpha", &version("v1alpha"))
        .over(&upstream)
        .await;
    for (model, text) in [("old", "from the old"), ("new", "from the new"), ("alpha", "from alpha")]
    {
        let (_, answer) = chorus.ask(CHAT, &question(CHAT, model, "hi", false)).await;
        assert_eq!(text_of(&answer), text);
    }
    let versions = upstream.seen();
    let version = |at: usize| versions[at].header("anthropic-version");
    assert_eq!((version(0), version(1)), (Some("2023-06-01"), Some("2027-01-01")));
    assert_eq!(versions[2].path, "/v1alpha/models/alpha:streamGenerateContent");
}

#[tokio::test]
async fn refused_parameters_are_repaired_over_each_protocol() {
    let fields = |protocol| match protocol {
        "openai" => ["temperature", "top_p", "response_format"],
        "anthropic" => ["temperature", "top_p", "output_config.format"],
        _ => [
            "generationConfig.temperature",
            "generationConfig.topP",
            "generationConfig.responseJsonSchema",
        ],
    };
    for (protocol, keys) in PROTOCOLS.into_iter().filter(|(protocol, _)| *protocol != "ollama") {
        let fields = fields(protocol);
        let script = fields.iter().fold(Script::says("{}"), |script, field| script.refuses(field));
        let upstream = Upstream::start([("m", script)]).await;
        let chorus = four_stages(&["m"]).model_keys("m", keys).over(&upstream).await;
        let mut body = question(CHAT, "m", "hi", false);
        let schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
        body["response_format"] =
            json!({"type": "json_schema", "json_schema": {"name": "o", "schema": schema}});
        (body["temperature"], body["top_p"]) = (json!(0.5), json!(0.9));
        // A schema steps down to some JSON, which is refused by the same name at OpenAI's.
        let first = if protocol == "openai" { 5 } else { 4 };
        for calls in [first, first + 1] {
            let (status, answer) = chorus.ask(CHAT, &body).await;
            assert_eq!((status, text_of(&answer)), (200, "{}"), "{protocol}: {answer}");
            assert_eq!(upstream.seen().len(), calls, "{protocol}: remembered");
        }
    }
}
