//! Gemini's endpoints over real sockets: what a turn of them looks like to their clients, and what the
//! models behind are shown.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{Chorus, Script, Upstream, four_stages, ms};

fn asking(text: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": text}]}],
        "generationConfig": {"thinkingConfig": {"includeThoughts": true}}})
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.expect("a whole body")).expect("JSON")
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

/// The answer in each way that it can be asked for: its objects.
async fn ways(chorus: &Chorus, model: &str, body: &Value) -> Vec<Vec<Value>> {
    let mut ways = Vec::new();
    for version in ["v1beta", "v1"] {
        let at = |method: &str| format!("/{version}/models/{model}:{method}");
        let (status, whole) = chorus.ask(&at("generateContent"), body).await;
        assert_eq!(status, 200, "{whole}");
        ways.push(vec![whole]);
        let response = chorus.post(&at("streamGenerateContent?alt=sse"), body).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = response.text().await.expect("a whole body");
        let events = text.split_terminator("\n\n").map(|event| {
            let data = event.strip_prefix("data: ").expect("data and nothing else");
            serde_json::from_str(data).expect("JSON")
        });
        ways.push(events.collect());
        let response = chorus.post(&at("streamGenerateContent"), body).await;
        assert_eq!(response.headers()["content-type"], "application/json");
        let array = json_of(response).await;
        ways.push(array.as_array().expect("an array").clone());
    }
    ways
}

fn parts(objects: &[Value]) -> Vec<&Value> {
    let contents = objects.iter().map(|object| &object["candidates"][0]["content"]["parts"]);
    contents.filter_map(Value::as_array).flatten().collect()
}

fn texts(objects: &[Value], thought: bool) -> String {
    let wanted = |part: &&Value| (part["thought"] == true) == thought;
    let parts = parts(objects).into_iter().filter(wanted);
    parts.filter_map(|part| part["text"].as_str()).collect()
}

#[tokio::test]
async fn a_workflow_answers_in_every_way() {
    let sample = "你好，世界 👋";
    let upstream = cast(Script::says(sample).reasoning("let me see").split_everywhere()).await;
    let chorus = four(&upstream).await;
    let mut body = asking("hi there");
    body["systemInstruction"] = json!({"parts": [{"text": "Be brief."}]});
    body["include_workflow"] = json!(true);
    for objects in ways(&chorus, "chorus", &body).await {
        assert_eq!(texts(&objects, false), sample);
        assert!(texts(&objects, true).contains("let me see"), "{objects:?}");
        let (last, before) = objects.split_last().unwrap();
        assert_eq!(last["candidates"][0]["finishReason"], "STOP");
        assert_eq!(last["usageMetadata"]["promptTokenCount"], 11, "the answer's");
        assert_eq!(last["chorus"]["total_usage"]["total_tokens"], 5 * 18, "over all calls");
        assert_eq!(last["workflow"]["status"], "ok");
        assert_eq!(last["modelVersion"], "chorus");
        assert!(before.iter().all(|object| object.get("chorus").is_none()));
    }
    for worker in upstream.seen_by("first") {
        assert_eq!(
            (worker.said_by("system"), worker.question()),
            ("Be brief.".into(), "hi there".into())
        );
    }
    body["generationConfig"] = json!({});
    for objects in ways(&chorus, "chorus", &body).await {
        assert_eq!(texts(&objects, true), "", "nobody asked for thoughts");
    }
}

#[tokio::test]
async fn a_tool_goes_there_and_back() {
    let upstream = cast(Script::calls_tool("weather", json!({"city": "Rome"}))).await;
    let chorus = four(&upstream).await;
    for model in ["chorus", "writer"] {
        let mut body = asking("how is it there?");
        body["tools"] = json!([{"functionDeclarations": [{"name": "weather",
            "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}]},
            {"googleSearch": {}}]);
        let mut call = Value::Null;
        for objects in ways(&chorus, model, &body).await {
            let calls: Vec<&Value> =
                parts(&objects).into_iter().filter_map(|part| part.get("functionCall")).collect();
            let [one] = calls[..] else { panic!("one call: {objects:?}") };
            assert_eq!((&one["name"], &one["args"]), (&json!("weather"), &json!({"city": "Rome"})));
            let left_out =
                json!({"stage": "request", "name": "googleSearch", "code": "not_supported"});
            assert_eq!(objects.last().unwrap()["warnings"], json!([left_out]));
            call = one.clone();
        }
        body["contents"].as_array_mut().unwrap().extend([
            json!({"role": "model", "parts": [{"functionCall": call}]}),
            json!({"role": "user", "parts": [{"functionResponse": {"id": call["id"],
                "name": "weather", "response": {"output": "21 degrees"}}}]}),
        ]);
        chorus.ask(&format!("/v1beta/models/{model}:generateContent"), &body).await;
        let last = upstream.seen_by("writer").pop().unwrap();
        let messages = last.body["messages"].as_array().unwrap();
        let result = messages.iter().find(|message| message["role"] == "tool").unwrap();
        assert_eq!(
            (&result["tool_call_id"], &result["content"]),
            (&call["id"], &json!("21 degrees"))
        );
        let schema = &last.body["tools"][0]["function"]["parameters"];
        assert_eq!(schema["properties"]["city"]["type"], "string");
    }
}

#[tokio::test]
async fn errors_have_googles_form() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("first", Script::says("one")),
        ("writer", Script::fuses()),
        ("limited", Script::fails(429)),
        ("broken", Script::fails(500)),
        ("small", Script::fails_saying(400, r#"{"error":{"code":"context_length_exceeded"}}"#)),
    ])
    .await;
    let setup = four_stages(&["first"]).without_retries();
    let chorus = setup.with_models(&["limited", "broken", "small"]).over(&upstream).await;
    let mut hot = asking("hi");
    hot["generationConfig"]["temperature"] = json!(3);
    for (model, body, status, word, begins) in [
        ("chorus", hot, 400, "INVALID_ARGUMENT", "generationConfig.temperature: "),
        ("gpt-9", asking("hi"), 404, "NOT_FOUND", "model 'gpt-9' not found"),
        ("limited", asking("hi"), 429, "RESOURCE_EXHAUSTED", ""),
        ("broken", asking("hi"), 502, "INTERNAL", ""),
        ("small", asking("hi"), 400, "INVALID_ARGUMENT", "the input token count exceeds"),
    ] {
        for method in ["generateContent", "streamGenerateContent", "streamGenerateContent?alt=sse"]
        {
            let path = format!("/v1beta/models/{model}:{method}");
            let (found, object) = chorus.ask(&path, &body).await;
            let error = &object["error"];
            assert_eq!((found, &error["status"]), (status, &json!(word)), "{path}: {object}");
            assert_eq!(error["code"], status);
            assert!(error["message"].as_str().unwrap().starts_with(begins), "{error}");
        }
    }
    for (path, status) in [
        ("/v1beta/models/chorus:embedContent", 404),
        ("/v1beta/models/chorus", 405),
        ("/v1/models/chorus", 405),
        ("/v1beta/nothing", 404),
    ] {
        let (found, object) = chorus.ask(path, &asking("hi")).await;
        assert_eq!(found, status, "{path}: {object}");
        assert!(object["error"].is_object(), "{path}: {object}");
    }
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_by_what_clients_skip() {
    let upstream = cast(Script::says("fused").after(ms(400))).await;
    let setup = four_stages(&["first", "second"]);
    let chorus = setup.with("[server]\nheader_hold_secs = 0.01\nheartbeat_secs = 0.1");
    let chorus = chorus.over(&upstream).await;
    for objects in ways(&chorus, "writer", &asking("hi")).await {
        assert_eq!(texts(&objects, false), "fused");
    }
    let path = "/v1beta/models/writer:streamGenerateContent?alt=sse";
    let text = chorus.post(path, &asking("hi")).await.text().await.unwrap();
    let silent =
        text.lines().filter(|line| line.starts_with("data: ") && !line.contains("candidates"));
    assert!(silent.count() >= 2 && !text.contains(": keep-alive"), "{text}");
}

#[tokio::test]
async fn tokens_are_counted_and_models_listed_without_a_model() {
    let upstream = cast(Script::says("fused")).await;
    let chorus = four(&upstream).await;
    let contents = asking("hello world")["contents"].clone();
    for body in [
        json!({"contents": contents}),
        json!({"generateContentRequest": {"model": "models/chorus", "contents": contents}}),
    ] {
        for path in ["/v1beta/models/chorus:countTokens", "/v1/models/chorus:countTokens"] {
            let (status, count) = chorus.ask(path, &body).await;
            assert_eq!(status, 200, "{count}");
            assert!((3..20).contains(&count["totalTokens"].as_u64().unwrap()), "{count}");
        }
    }
    assert_eq!(chorus.ask("/v1beta/models/gpt-9:countTokens", &asking("hi")).await.0, 404);
    assert!(upstream.seen().is_empty());
    for (path, header) in [
        ("/v1beta/models", ""),
        ("/v1beta/models?pageSize=50", ""),
        ("/v1/models?key=any", ""),
        ("/v1/models", "x-goog-api-key"),
    ] {
        let mut request = chorus.request(Method::GET, path);
        if !header.is_empty() {
            request = request.header(header, "any");
        }
        let list = json_of(request.send().await.unwrap()).await;
        let first = &list["models"][0];
        assert_eq!(first["name"], "models/chorus", "{path}: {list}");
        assert!(first["inputTokenLimit"].as_u64() > Some(0), "{first}");
    }
    let one = json_of(chorus.get("/v1beta/models/chorus").await).await;
    assert_eq!(one["displayName"], "chorus");
}

#[tokio::test]
async fn a_gemini_upstream_gets_what_only_it_knows() {
    let upstream = cast(Script::says("fused")).await;
    let keys = "protocol = \"gemini\"";
    let chorus = four_stages(&["first"]).model_keys("writer", keys).over(&upstream).await;
    let mut body = asking("hi");
    body["tools"] = json!([{"googleSearch": {}}]);
    body["safetySettings"] = json!([{"category": "c", "threshold": "OFF"}]);
    body["generationConfig"]["responseModalities"] = json!(["TEXT"]);
    let video = json!({"fileData": {"mimeType": "video/mp4", "fileUri": "https://a.example/v"}});
    body["contents"][0]["parts"].as_array_mut().unwrap().push(video.clone());
    let path = "/v1beta/models/writer:generateContent";
    let (status, answer) = chorus.ask(path, &body).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.get("warnings").is_none(), "nothing is left out: {answer}");
    let [seen] = &upstream.seen_by("writer")[..] else { panic!("one call") };
    assert_eq!(seen.body["tools"], body["tools"]);
    assert_eq!(seen.body["safetySettings"], body["safetySettings"]);
    assert_eq!(seen.body["generationConfig"]["responseModalities"], json!(["TEXT"]));
    assert_eq!(seen.body["contents"][0]["parts"][1], video);
    // Nobody else can look at it.
    let (status, error) = chorus.ask("/v1beta/models/chorus:generateContent", &body).await;
    assert_eq!(status, 400, "{error}");
}
