//! `/v1/messages` over real sockets: what a turn of it looks like to its clients, and what the models
//! behind it are shown.

mod betas;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{Chorus, Gate, Script, Upstream, four_stages, message_events, ms};

const PATH: &str = "/v1/messages";
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

fn asking(model: &str, text: &str) -> Value {
    json!({"model": model, "max_tokens": 100, "thinking": {"type": "adaptive"},
        "messages": [{"role": "user", "content": text}]})
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.expect("a whole body")).expect("JSON")
}

/// The message that a stream is, checked against Anthropic's reference.
async fn streamed(chorus: &Chorus, body: &Value) -> Value {
    let mut body = body.clone();
    body["stream"] = json!(true);
    let response = chorus.post(PATH, &body).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["request-id"], response.headers()["x-request-id"]);
    let text = response.text().await.expect("a whole body");
    let events = message_events::read(&text).expect("well framed");
    message_events::check(&events).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// A plain answer, checked likewise.
async fn answered(chorus: &Chorus, body: &Value) -> Value {
    let (status, answer) = chorus.ask(PATH, body).await;
    assert_eq!(status, 200, "{answer}");
    message_events::check_message(&answer).expect("by the reference");
    answer
}

fn texts(message: &Value, kind: &str, field: &str) -> String {
    let blocks = message["content"].as_array().expect("blocks").iter();
    let blocks = blocks.filter(|block| block["type"] == kind);
    blocks.filter_map(|block| block[field].as_str()).collect()
}

async fn cast(writer: Script) -> Upstream {
    Upstream::start([
        ("judge", Script::judges_for("two")),
        ("first", Script::says("draft one")),
        ("second", Script::says("draft two")),
        ("writer", writer),
    ])
    .await
}

async fn four(upstream: &Upstream) -> Chorus {
    four_stages(&["first", "second"]).without_retries().over(upstream).await
}

#[tokio::test]
async fn a_workflow_answers_plain_and_streamed() {
    let sample = "你好，世界 👋";
    let upstream = cast(Script::says(sample).reasoning("let me see").split_everywhere()).await;
    let chorus = four(&upstream).await;
    let mut body = asking("chorus", "hi there");
    body["system"] = json!([{"type": "text", "text": "Be brief."}]);
    body["include_workflow"] = json!(true);
    let plain = answered(&chorus, &body).await;
    assert_eq!(texts(&plain, "text", "text"), sample);
    assert_eq!(texts(&plain, "thinking", "thinking"), "let me see");
    assert_eq!((&plain["model"], &plain["stop_reason"]), (&json!("chorus"), &json!("end_turn")));
    assert_eq!(plain["usage"]["input_tokens"], 11, "the answer's");
    assert_eq!(plain["chorus"]["total_usage"]["total_tokens"], 5 * 18, "over all calls");
    assert_eq!(plain["workflow"]["selector"]["selected_worker"], "second");
    for worker in upstream.seen_by("first") {
        assert_eq!(
            (worker.said_by("system"), worker.question()),
            ("Be brief.".into(), "hi there".into())
        );
    }
    let message = streamed(&chorus, &body).await;
    assert_eq!(texts(&message, "text", "text"), sample);
    assert_eq!(message["workflow"]["status"], "ok");
    let thinking = texts(&message, "thinking", "thinking");
    assert!(thinking.contains("worker first: ok") && thinking.contains("let me see"), "{thinking}");
    // What was shown comes back, and is no model's.
    body["messages"].as_array_mut().unwrap().extend([
        json!({"role": "assistant", "content": message["content"]}),
        json!({"role": "user", "content": "and then?"}),
    ]);
    answered(&chorus, &body).await;
    for seen in upstream.seen() {
        assert!(!seen.text().contains("worker first: ok"), "{}", seen.body);
    }
}

/// Careless clients read `content[0].text`.
#[tokio::test]
async fn who_asks_for_no_thoughts_gets_none() {
    let upstream = cast(Script::says("fused").reasoning("let me see")).await;
    let chorus = four(&upstream).await;
    for model in ["chorus", "writer"] {
        let mut body = asking(model, "hi");
        body.as_object_mut().unwrap().shift_remove("thinking");
        for message in [answered(&chorus, &body).await, streamed(&chorus, &body).await] {
            assert_eq!(message["content"].as_array().map(Vec::len), Some(1), "{message}");
            assert_eq!(message["content"][0]["text"], "fused");
        }
    }
}

#[tokio::test]
async fn a_tool_goes_there_and_back() {
    let calls = Script::calls_tool("weather", json!({"city": "Rome"}));
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("first", Script::says("draft one")),
        ("second", Script::says("draft two")),
        ("writer", calls),
    ])
    .await;
    let chorus = four(&upstream).await;
    for model in ["chorus", "writer"] {
        let mut body = asking(model, "how is it there?");
        body["tools"] = json!([{"name": "weather", "description": "Tells the weather",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}},
            {"type": "web_search_20250305", "name": "web_search"}]);
        let plain = answered(&chorus, &body).await;
        let message = streamed(&chorus, &body).await;
        for message in [&plain, &message] {
            assert_eq!(message["stop_reason"], "tool_use", "{message}");
            let call = message["content"].as_array().unwrap().last().unwrap();
            assert_eq!(
                (&call["name"], &call["input"]),
                (&json!("weather"), &json!({"city": "Rome"}))
            );
            let left_out =
                json!({"stage": "request", "name": "web_search", "code": "not_supported"});
            assert_eq!(message["warnings"], json!([left_out]), "{model}");
        }
        let id = plain["content"].as_array().unwrap().last().unwrap()["id"].clone();
        body["messages"].as_array_mut().unwrap().extend([
            json!({"role": "assistant", "content": plain["content"]}),
            json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": id, "content": "21 degrees"}]}),
        ]);
        answered(&chorus, &body).await;
        let last = upstream.seen_by("writer").pop().unwrap();
        let messages = last.body["messages"].as_array().unwrap();
        let result = messages.iter().find(|message| message["role"] == "tool").unwrap();
        assert_eq!((&result["tool_call_id"], &result["content"]), (&id, &json!("21 degrees")));
    }
}

#[tokio::test]
async fn an_anthropic_upstream_gets_what_only_it_knows() {
    let upstream = cast(Script::says("fused")).await;
    let keys = "protocol = \"anthropic\"";
    let setup = four_stages(&["first", "second"]).model_keys("writer", keys);
    let chorus = setup.over(&upstream).await;
    let cached = json!({"type": "ephemeral"});
    let hosted = json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 2});
    let signed = json!({"type": "thinking", "thinking": "deep", "signature": "sig"});
    let body = json!({"model": "writer", "max_tokens": 100, "metadata": {"user_id": "u"},
        "system": [{"type": "text", "text": "Be brief.", "cache_control": cached}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": cached}, hosted],
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [signed,
                {"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": true},
                {"type": "text", "text": "and?", "cache_control": cached}]}]});
    let answer = answered(&chorus, &body).await;
    assert!(answer.get("warnings").is_none(), "nothing is left out: {answer}");
    let [seen] = &upstream.seen_by("writer")[..] else { panic!("one call") };
    let sent = &seen.body;
    assert_eq!(sent["metadata"], body["metadata"]);
    assert_eq!(sent["system"], body["system"]);
    assert_eq!(sent["tools"][0]["cache_control"], cached);
    assert_eq!(sent["tools"][1], hosted);
    assert_eq!(sent["messages"][1]["content"][0], signed);
    assert_eq!(sent["messages"][2]["content"][0]["is_error"], true);
    assert_eq!(sent["messages"][2]["content"][1]["cache_control"], cached);
}

/// Claude Code looks for the tools of MCP servers with a tool of its own.
#[tokio::test]
async fn a_tool_that_a_search_has_found_is_named() {
    let upstream = cast(Script::says("found")).await;
    let chorus = four(&upstream).await;
    let mut body = asking("writer", "write a note");
    let reference = json!({"type": "tool_reference", "tool_name": "mcp__notes__write"});
    let found = json!({"type": "tool_result", "tool_use_id": "t1", "content": [reference]});
    body["messages"].as_array_mut().unwrap().extend([
        json!({"role": "assistant", "content": [
            {"type": "tool_use", "id": "t1", "name": "ToolSearch", "input": {}}]}),
        json!({"role": "user", "content": [found]}),
    ]);
    answered(&chorus, &body).await;
    let seen = upstream.seen_by("writer");
    let result =
        seen[0].body["messages"].as_array().unwrap().iter().find(|it| it["role"] == "tool");
    assert_eq!(result.unwrap()["content"], "The tool mcp__notes__write can be called now.");
}

#[tokio::test]
async fn a_stop_sequence_is_named_whoever_met_it() {
    let upstream = cast(Script::says("one END two").in_deltas(4)).await;
    let chorus = four(&upstream).await;
    for model in ["chorus", "writer"] {
        let mut body = asking(model, "count");
        body["stop_sequences"] = json!(["HALT", "END"]);
        for message in [answered(&chorus, &body).await, streamed(&chorus, &body).await] {
            assert_eq!(texts(&message, "text", "text"), "one ");
            let ending = (&message["stop_reason"], &message["stop_sequence"]);
            assert_eq!(ending, (&json!("stop_sequence"), &json!("END")), "{model}");
        }
    }
    let ends = r#"{"type":"message","role":"assistant","content":[{"type":"text","text":"one"}],
        "stop_reason":"stop_sequence","stop_sequence":"END","usage":{"input_tokens":1,"output_tokens":1}}"#;
    let upstream = cast(Script::sends("application/json", ends.as_bytes())).await;
    let keys = "protocol = \"anthropic\"";
    let chorus = four_stages(&["first"]).model_keys("writer", keys).over(&upstream).await;
    let mut body = asking("writer", "count");
    body["stop_sequences"] = json!(["HALT", "END"]);
    let message = answered(&chorus, &body).await;
    assert_eq!(message["stop_sequence"], "END", "{message}");
}

#[tokio::test]
async fn errors_have_anthropics_types_and_statuses() {
    let limited = Script::fails(429).with_header("retry-after", "7");
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("first", Script::says("one")),
        ("writer", Script::fuses()),
        ("limited", limited),
        ("broken", Script::fails(500)),
        ("blind", Script::says("x")),
        ("small", Script::fails_saying(400, r#"{"error":{"code":"context_length_exceeded"}}"#)),
    ])
    .await;
    let setup = four_stages(&["first"]).without_retries();
    let setup = setup.with_models(&["limited", "broken", "blind", "small"]);
    let chorus = setup.model_keys("blind", "vision = false").over(&upstream).await;
    let picture =
        json!([{"type": "image", "source": {"type": "url", "url": "https://a.example/b"}}]);
    let mut seeing = asking("blind", "");
    seeing["messages"][0]["content"] = picture;
    let mut hot = asking("chorus", "hi");
    hot["temperature"] = json!(3);
    for (body, status, kind, words, retry) in [
        (hot, 400, "invalid_request_error", "temperature: must", None),
        (asking("gpt-9", "hi"), 404, "not_found_error", "model 'gpt-9' not found", None),
        (asking("limited", "hi"), 429, "rate_limit_error", "", None),
        (asking("broken", "hi"), 502, "api_error", "", Some("false")),
        (
            asking("small", "hi"),
            400,
            "invalid_request_error",
            "prompt is too long: ",
            Some("false"),
        ),
        (seeing, 400, "invalid_request_error", "capability_rejected: ", None),
    ] {
        for stream in [false, true] {
            let mut body = body.clone();
            body["stream"] = json!(stream);
            let response = chorus.post(PATH, &body).await;
            assert_eq!(response.status().as_u16(), status, "{body}");
            let header = |name| response.headers().get(name).and_then(|it| it.to_str().ok());
            assert_eq!(header("x-should-retry"), retry, "{body}");
            let id = header("request-id").expect("an id").to_owned();
            let error: Value = json_of(response).await;
            assert_eq!((&error["type"], &error["request_id"]), (&json!("error"), &json!(id)));
            assert_eq!(error["error"]["type"], kind, "{error}");
            let message = error["error"]["message"].as_str().unwrap();
            assert!(message.starts_with(words), "{message}");
        }
    }
    let response = chorus.get(PATH).await;
    assert_eq!(response.status(), 405);
    let error: Value = json_of(response).await;
    assert_eq!(error["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn a_server_that_is_full_says_so_in_anthropics_words() {
    let gate = Gate::shut();
    let upstream = cast(Script::says("fused").waits_before_headers(&gate)).await;
    let setup = four_stages(&["first", "second"]).with("[server]\nmax_in_flight = 1");
    let chorus = setup.over(&upstream).await;
    let body = asking("writer", "hi");
    let refused = async {
        gate.reached_by(1).await;
        let response = chorus.post(PATH, &body).await;
        assert_eq!(response.status().as_u16(), 529);
        assert!(response.headers().contains_key("retry-after"));
        let error = json_of(response).await;
        assert_eq!(error["error"]["type"], "overloaded_error");
        gate.open();
    };
    tokio::join!(answered(&chorus, &body), refused);
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_by_pings() {
    let upstream = cast(Script::says("fused").after(ms(400))).await;
    let setup = four_stages(&["first", "second"]);
    let chorus = setup.with("[server]\nheader_hold_secs = 0.01\nheartbeat_secs = 0.1");
    let chorus = chorus.over(&upstream).await;
    let mut body = asking("writer", "hi");
    body["stream"] = json!(true);
    let text = chorus.post(PATH, &body).await.text().await.unwrap();
    let events = message_events::read(&text).expect("well framed");
    message_events::check(&events).expect("by the reference");
    let pings = events.iter().filter(|event| event["type"] == "ping").count();
    assert!(pings >= 2 && !text.contains(": keep-alive"), "{text}");
}

#[tokio::test]
async fn tokens_are_counted_without_a_model() {
    let upstream = cast(Script::says("fused")).await;
    let chorus = four(&upstream).await;
    let path = "/v1/messages/count_tokens?beta=true";
    let (status, short) = chorus.ask(path, &asking("claude-chorus", "hi")).await;
    assert_eq!(status, 200, "{short}");
    let long = asking("chorus", &"hello world ".repeat(500));
    let (_, long) = chorus.ask(path, &long).await;
    let (short, long) =
        (short["input_tokens"].as_u64().unwrap(), long["input_tokens"].as_u64().unwrap());
    assert!(short > 0 && long > short + 900 && long < short + 2000, "{short} {long}");
    assert!(upstream.seen().is_empty());
    let (status, error) = chorus.ask(path, &asking("gpt-9", "hi")).await;
    assert_eq!((status, &error["error"]["type"]), (404, &json!("not_found_error")));
}

#[tokio::test]
async fn the_list_of_models_has_the_form_of_whose_client_asks() {
    let upstream = cast(Script::says("fused")).await;
    let chorus = four(&upstream).await;
    let list = async |path: &str| -> (u16, Value) {
        let request = chorus.request(Method::GET, path).header(VERSION.0, VERSION.1);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), json_of(response).await)
    };
    let (status, page) = list("/v1/models").await;
    assert_eq!(status, 200);
    let ids = |page: &Value| -> Vec<String> {
        let data = page["data"].as_array().unwrap().iter();
        data.map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids(&page);
    assert_eq!(all[..2], ["claude-chorus", "chorus"]);
    assert_eq!((&page["has_more"], &page["data"][0]["type"]), (&json!(false), &json!("model")));
    let (mut after, mut found) = (String::new(), Vec::new());
    loop {
        let (_, page) = list(&format!("/v1/models?limit=2{after}")).await;
        found.extend(ids(&page));
        if page["has_more"] == false {
            break;
        }
        after = format!("&after_id={}", page["last_id"].as_str().unwrap());
    }
    assert_eq!(found, all);
    let (_, before) = list(&format!("/v1/models?limit=1&before_id={}", all[2])).await;
    assert_eq!((ids(&before), &before["has_more"]), (vec![all[1].clone()], &json!(true)));
    assert_eq!(list("/v1/models?limit=none").await.0, 400);
    assert_eq!(list("/v1/models/claude-chorus").await.1["display_name"], "claude-chorus");
    let (status, error) = list("/v1/models/nobody").await;
    assert_eq!((status, &error["error"]["type"]), (404, &json!("not_found_error")));
    // Without the header it is OpenAI's.
    let plain: Value = json_of(chorus.get("/v1/models").await).await;
    assert_eq!((&plain["object"], &plain["data"][0]["id"]), (&json!("list"), &json!("chorus")));
    answered(&chorus, &asking("claude-chorus", "hi")).await;
    let hello = chorus.request(Method::HEAD, "/api/hello").send().await.unwrap();
    assert_eq!(hello.status(), 200);
}
