//! What not every worker can take: pictures and tools.

use serde_json::{Value, json};

use crate::support::{Script, Upstream, four_stages, question, text_of};

const CHAT: &str = "/v1/chat/completions";
const BLIND: &str = "vision = false";
const OLLAMA: &str = "protocol = \"ollama\"";

fn seeing(prompt: &str) -> Value {
    let mut body = question(CHAT, "chorus", "", false);
    let url = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg==";
    body["messages"][0]["content"] = json!([
        {"type": "text", "text": prompt},
        {"type": "image_url", "image_url": {"url": url}},
    ]);
    body["include_workflow"] = json!(true);
    body
}

async fn looking(workers: [(&'static str, Script); 2]) -> Upstream {
    let [first, second] = workers;
    let cast = [("judge", Script::judges_for("cat")), ("writer", Script::fuses()), first, second];
    Upstream::start(cast).await
}

#[tokio::test]
async fn a_worker_that_cannot_see_is_left_out_and_nothing_is_degraded() {
    let refuses = Script::fails_saying(
        400,
        r#"{"error": {"message": "image input is not supported by this model"}}"#,
    );
    for (blind, keys, asked) in
        [(Script::says("unseen"), BLIND, 0), (refuses.clone(), "", 1), (refuses, OLLAMA, 1)]
    {
        for depth in [1, 2] {
            let upstream =
                looking([("eye", Script::says("a cat")), ("blind", blind.clone())]).await;
            let setup = four_stages(&["eye", "blind"]).model_keys("blind", keys);
            let setup = setup.integration_keys(&format!("nested_worker_depth = {depth}"));
            let chorus = setup.over(&upstream).await;
            let (status, answer) = chorus.ask(CHAT, &seeing("What is it?")).await;
            assert_eq!(status, 200, "{answer}");
            assert!(text_of(&answer).starts_with("a cat"), "{answer}");
            let trace = &answer["workflow"];
            assert_eq!((&trace["status"], answer.get("warnings")), (&json!("ok"), None), "{trace}");
            assert_eq!(trace["workers"][1]["status"], "skipped", "{trace}");
            assert_eq!(trace["workers"][1]["error"]["code"], "unsupported_input", "{trace}");
            assert!(upstream.seen_by("blind").len() <= asked * depth, "{keys}");
        }
    }
}

#[tokio::test]
async fn when_no_worker_can_see_it_is_the_callers_to_mend() {
    let upstream = looking([("a", Script::says("x")), ("b", Script::says("y"))]).await;
    let setup = four_stages(&["a", "b"]).model_keys("a", BLIND).model_keys("b", BLIND);
    let chorus = setup.over(&upstream).await;
    let (status, answer) = chorus.ask(CHAT, &seeing("What is it?")).await;
    assert_eq!(status, 400, "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("a: ") && message.contains("b: "), "{message}");
}

/// Called by its name, a model that lacks something is the caller's to change.
#[tokio::test]
async fn a_model_that_is_named_says_what_it_cannot_take_before_it_is_asked() {
    let upstream = Upstream::start([("poor", Script::says("x")), ("own", Script::says("y"))]).await;
    let chorus = four_stages(&["poor", "own"])
        .model_keys("poor", "vision = false\ntools = false")
        .model_keys("own", OLLAMA)
        .over(&upstream)
        .await;
    let picture = "iVBORw0KGgoAAAANSUhEUg==";
    let shown = |kind: &str, url: &str| json!([{"role": "user", "content": [{"type": kind, "image_url": url}]}]);
    let inline = format!("data:image/png;base64,{picture}");
    let linked = "https://pictures.example/cat.png";
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let asks = |model: &str, field: &str, value: Value| {
        let mut body = json!({"model": model, "stream": false, "messages": [
            {"role": "user", "content": "hi"}
        ]});
        body[field] = value;
        body
    };
    let images = "images are not supported by model 'poor'";
    let urls = "image URLs are not supported by model 'own'";
    let no_tools = "tools are not supported by model 'poor'";
    for (path, body, words) in [
        (CHAT, asks("poor", "messages", shown("image_url", &inline)), images),
        (CHAT, asks("own", "messages", shown("image_url", linked)), urls),
        (CHAT, asks("poor", "tools", tools.clone()), no_tools),
        ("/v1/responses", json!({"model": "poor", "input": shown("input_image", &inline)}), images),
        ("/v1/responses", json!({"model": "own", "input": shown("input_image", linked)}), urls),
        ("/v1/responses", asks("poor", "tools", tools.clone()), no_tools),
        ("/api/chat", asks("poor", "messages", shown("image_url", &inline)), images),
        ("/api/chat", asks("poor", "tools", tools.clone()), no_tools),
        (
            "/api/generate",
            json!({"model": "poor", "prompt": "hi", "images": [picture], "stream": false}),
            images,
        ),
    ] {
        let (status, answer) = chorus.ask(path, &body).await;
        assert_eq!(status, 400, "{path} {body}: {answer}");
        let error = &answer["error"];
        let message = error.as_str().or(error["message"].as_str()).expect("words");
        assert!(message.contains(words), "{path}: {message}");
    }
    assert!(upstream.seen().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn tools_are_shown_to_workers_and_called_by_the_writer_alone() {
    let call = || Script::calls_tool("weather", json!({"city": "Rome"}));
    let upstream = Upstream::start([
        ("judge", Script::judges_for("sunny")),
        ("writer", call()),
        ("plain", Script::says("it was sunny")),
        ("own", Script::says("it is sunny")),
        ("eager", call()),
    ])
    .await;
    let workers = ["plain", "own", "eager"];
    let mut setup = four_stages(&workers).model_keys("own", OLLAMA);
    setup.plan()["policy"] = json!({"worker_tools": "schemas"});
    let chorus = setup.over(&upstream).await;
    let mut body = question(CHAT, "chorus", "And in Rome?", false);
    let asked = json!({"id": "c1", "type": "function",
        "function": {"name": "weather", "arguments": "{\"city\":\"Paris\"}"}});
    body["messages"] = json!([
        {"role": "user", "content": "How is it in Paris?"},
        {"role": "assistant", "content": null, "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": "c1", "content": "raining"},
        {"role": "user", "content": "And in Rome?"},
    ]);
    body["tools"] = json!([{"type": "function",
        "function": {"name": "weather", "parameters": {"type": "object"}}}]);
    body["include_workflow"] = json!(true);
    let (status, answer) = chorus.ask(CHAT, &body).await;
    assert_eq!(status, 200, "{answer}");
    let calls = &answer["choices"][0]["message"]["tool_calls"];
    assert_eq!(
        (calls.as_array().unwrap().len(), &calls[0]["function"]["name"]),
        (1, &json!("weather"))
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    // One that does nothing but call a tool drafts that call.
    assert_eq!(answer["workflow"]["workers"][2]["status"], "ok");

    let plain = &upstream.seen_by("plain")[0].body;
    assert_eq!((&plain["tool_choice"], plain["tools"].is_array()), (&json!("none"), true));
    assert_eq!(plain["messages"][2]["tool_call_id"], "c1", "as the client sent it");
    let own = &upstream.seen_by("own")[0];
    assert!(!own.has("tools"), "{}", own.body);
    assert!(own.body["messages"].as_array().unwrap().iter().all(|turn| turn["role"] != "tool"));
    let said = own.text();
    assert!(
        said.contains("raining") && said.contains("Paris") && said.contains("weather"),
        "{said}"
    );
    let writer = &upstream.seen_by("writer")[0].body;
    assert!(writer["tools"].is_array() && writer.get("tool_choice").is_none(), "{writer}");
}
