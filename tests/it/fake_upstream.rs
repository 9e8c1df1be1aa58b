//! The fake itself: each misbehaviour the other stories rely on really happens.

use serde_json::{Value, json};

use crate::support::{
    Client, Event, Events, Gate, Script, Upstream, fenced, ms, question, text_of,
};

const CHAT: &str = "/v1/chat/completions";
const WIRES: [&str; 4] = [CHAT, "/v1/completions", "/api/chat", "/api/generate"];

async fn one(script: Script) -> (Upstream, Client) {
    let upstream = Upstream::start([("m", script)]).await;
    let client = Client::of(&upstream.base());
    (upstream, client)
}

fn joined(objects: &[Value]) -> String {
    objects.iter().map(text_of).collect()
}

async fn streamed(client: &Client) -> Events {
    client.stream(CHAT, &question(CHAT, "m", "hi", true)).await
}

#[tokio::test]
async fn it_speaks_all_four_endpoints_streamed_and_whole() {
    let (upstream, client) = one(Script::echoes("you said ").in_deltas(4)).await;
    for path in WIRES {
        let (status, whole) = client.ask(path, &question(path, "m", "你好", false)).await;
        assert_eq!((status, text_of(&whole)), (200, "you said 你好"), "{path}");

        let events = client.stream(path, &question(path, "m", "你好", true)).await.all().await;
        let objects: Vec<Value> = (events.iter())
            .filter_map(|event| match event {
                Event::Object(object) => Some(object.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(joined(&objects), "you said 你好", "{path}");
        let texts = objects.iter().filter(|object| !text_of(object).is_empty()).count();
        assert_eq!(texts, 4, "{path}");
        let last = objects.last().unwrap();
        if path.starts_with("/v1") {
            assert_eq!(events.last(), Some(&Event::Done), "{path}");
            assert_eq!(last["choices"][0]["finish_reason"], "stop", "no usage was asked for");
        } else {
            assert_eq!((&last["done"], &last["eval_count"]), (&json!(true), &json!(7)), "{path}");
        }
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), 8);
    assert_eq!(seen[7].path, "/api/generate");
    assert_eq!(seen[7].question(), "你好");
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    assert!(seen.is_sorted_by_key(|seen| seen.at));
    upstream.idle().await;
    assert_eq!((upstream.hang_ups(), upstream.connections()), (0, 1));
}

#[tokio::test]
async fn it_speaks_anthropic_and_gemini() {
    let arguments = json!({"city": "Rome"});
    let script = Script::calls_tool("weather", arguments).reasoning("hm").in_deltas(1);
    let script = script.first(2, Script::fails(429));
    let (upstream, client) = one(script).await;
    let body = json!({"model": "m", "stream": true, "messages": []});
    let text = client.post("/v1/messages", &body).await.text().await.unwrap();
    let events: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let block = ["content_block_start", "content_block_delta", "content_block_stop"];
    let tool = ["content_block_start", "content_block_delta", "content_block_delta"];
    let want = [
        &["message_start"][..],
        &block,
        &["content_block_start", "content_block_stop"],
        &tool,
        &["content_block_stop", "message_delta", "message_stop"],
    ];
    assert_eq!(events, want.concat());
    assert!(text.contains("\"stop_reason\":\"tool_use\"") && text.contains("\"output_tokens\":7"));

    let path = "/v1beta/models/m:streamGenerateContent?alt=sse";
    let text = client.post(path, &json!({"contents": []})).await.text().await.unwrap();
    let chunks: Vec<Value> = (text.split("\r\n\r\n").filter(|frame| !frame.is_empty()))
        .map(|frame| serde_json::from_str(frame.strip_prefix("data: ").unwrap()).unwrap())
        .collect();
    let part = |at: usize| &chunks[at]["candidates"][0]["content"]["parts"][0];
    assert_eq!((chunks.len(), &part(0)["thought"]), (3, &json!(true)));
    assert_eq!(part(1)["functionCall"]["args"]["city"], "Rome");
    assert_eq!(chunks[2]["candidates"][0]["finishReason"], "STOP");
    assert_eq!(chunks[2]["usageMetadata"]["candidatesTokenCount"], 7);
    assert_eq!(upstream.seen_by("m").len(), 2, "the path names the model");

    let (status, error) = client.ask("/v1beta/models/m:generateContent", &json!({})).await;
    assert_eq!((status, &error["error"]["status"]), (429, &json!("RESOURCE_EXHAUSTED")));
    let (status, error) = client.ask("/v1/messages", &body).await;
    assert_eq!((status, &error["error"]["type"]), (429, &json!("rate_limit_error")));
}

#[tokio::test]
async fn usage_comes_when_it_is_asked_for_and_known() {
    for (script, want) in
        [(Script::says("hi"), json!(18)), (Script::says("hi").without_usage(), Value::Null)]
    {
        let (_upstream, client) = one(script).await;
        let mut body = question(CHAT, "m", "hi", true);
        body["stream_options"] = json!({"include_usage": true});
        let objects = client.objects(CHAT, &body).await;
        assert_eq!(objects.last().unwrap()["usage"]["total_tokens"], want);
        let (_, whole) = client.ask(CHAT, &question(CHAT, "m", "hi", false)).await;
        assert_eq!(whole["usage"]["total_tokens"], want);
    }
}

#[tokio::test]
async fn it_fails_as_scripted_and_then_recovers() {
    let failing = Script::fails(429).with_header("retry-after", "7");
    let (_upstream, client) = one(failing.first(2, Script::says("better"))).await;
    for _ in 0..2 {
        let response = client.post(CHAT, &question(CHAT, "m", "hi", true)).await;
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "7");
        assert!(response.text().await.unwrap().contains("failing with 429"));
    }
    let (status, whole) = client.ask(CHAT, &question(CHAT, "m", "hi", false)).await;
    assert_eq!((status, text_of(&whole)), (200, "better"));
    let (status, _) = client.ask(CHAT, &question(CHAT, "stranger", "hi", false)).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn it_refuses_a_field_and_accepts_without_it() {
    let (_upstream, client) = one(Script::says("fine").refuses("options.top_k")).await;
    let mut body = question(CHAT, "m", "hi", false);
    body["options"] = json!({"top_k": 3});
    let (status, refusal) = client.ask(CHAT, &body).await;
    assert_eq!((status, &refusal["error"]["param"]), (400, &json!("options.top_k")));
    body["options"] = json!({});
    assert_eq!(client.ask(CHAT, &body).await.0, 200);
}

#[tokio::test]
async fn it_notices_being_hung_up_on_at_any_moment() {
    let (upstream, client) = one(Script::hangs()).await;
    let body = question(CHAT, "m", "hi", true);
    tokio::select! {
        _ = client.try_post(CHAT, &body, &[]) => panic!("it answered"),
        () = upstream.asked(1) => {}
    }
    upstream.hung_up_on(1).await;

    for script in [
        Script::says("abc").hangs_after(1),
        Script::says("abc").only_pings_after(1, ms(1)),
        Script::trickles(ms(1)),
        Script::floods(),
    ] {
        let (upstream, client) = one(script).await;
        let mut events = streamed(&client).await;
        assert!(events.text().await.is_some());
        assert_eq!((upstream.active(), upstream.hang_ups()), (1, 0));
        drop(events);
        upstream.hung_up_on(1).await;
        upstream.idle().await;
    }
}

#[tokio::test]
async fn it_trickles_pings_and_floods_for_as_long_as_it_is_read() {
    let (_upstream, client) = one(Script::trickles(ms(1))).await;
    let mut events = streamed(&client).await;
    for _ in 0..20 {
        assert!(events.text().await.is_some());
    }
    let (_upstream, client) = one(Script::says("abc").only_pings_after(1, ms(1))).await;
    let mut events = streamed(&client).await;
    assert_eq!(events.text().await.as_deref(), Some("a"));
    for _ in 0..20 {
        assert_eq!(events.next().await, Some(Event::Comment));
    }
    let (_upstream, client) = one(Script::floods_one_line()).await;
    let mut response = client.post(CHAT, &question(CHAT, "m", "hi", true)).await;
    let mut bytes = Vec::new();
    while bytes.len() < 1 << 20 {
        bytes.extend(response.chunk().await.unwrap().unwrap());
    }
    let last_line = bytes.rsplit(|byte| *byte == b'\n').next().unwrap();
    assert!(last_line.len() > 1 << 19);
}

#[tokio::test]
async fn it_breaks_off_in_each_way() {
    let abc = || Script::says("abc");
    for (script, texts, ends_in_order) in [
        (abc().cut_after(2), "ab", false),
        (abc().cut_after(0), "", false),
        (abc().cut_in_chunk_after(2), "ab", false),
        (abc().ends_after(2), "ab", true),
        (abc().errs_after(2, "the model fell over"), "ab", true),
    ] {
        let name = format!("{script:?}");
        let (upstream, client) = one(script).await;
        let events = streamed(&client).await.all().await;
        let objects: Vec<Value> = (events.iter())
            .filter_map(|event| match event {
                Event::Object(object) => Some(object.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(joined(&objects), texts, "{name}");
        assert!(!events.contains(&Event::Done), "{name}");
        assert!(objects.iter().all(|object| object["choices"][0]["finish_reason"].is_null()));
        let broken = matches!(events.last(), Some(Event::Broken(_)));
        assert_eq!(broken, !ends_in_order, "{name}: {events:?}");
        upstream.idle().await;
        assert_eq!(upstream.hang_ups(), 0, "{name}: it ended the call itself");
    }
    let (_upstream, client) = one(abc().errs_after(1, "the model fell over")).await;
    let objects = streamed(&client).await.rest().await;
    assert_eq!(objects.last().unwrap()["error"]["message"], "the model fell over");
}

#[tokio::test]
async fn whole_answers_break_off_too() {
    let abc = || Script::says("abc");
    for script in [abc().cut_after(0), abc().cut_in_chunk_after(0), abc().ends_after(0)] {
        let name = format!("{script:?}");
        let (_upstream, client) = one(script).await;
        let response = client.post(CHAT, &question(CHAT, "m", "hi", false)).await;
        let bytes = response.bytes().await;
        let parses = bytes.is_ok_and(|bytes| serde_json::from_slice::<Value>(&bytes).is_ok());
        assert!(!parses, "{name}");
    }
}

#[tokio::test]
async fn it_splits_bytes_inside_characters() {
    let sample = "你好，世界";
    let (_upstream, client) = one(Script::says(sample)).await;
    let body = question(CHAT, "m", "hi", true);
    let plain = client.post(CHAT, &body).await.bytes().await.unwrap();
    let inside = plain.iter().position(|byte| *byte >= 0x80).unwrap() + 1;
    for script in
        [Script::says(sample).split_at(&[3, inside]), Script::says(sample).split_everywhere()]
    {
        let (_upstream, client) = one(script).await;
        let mut response = client.post(CHAT, &body).await;
        let mut pieces = Vec::new();
        while let Some(piece) = response.chunk().await.unwrap() {
            pieces.push(piece);
        }
        assert!(pieces.iter().any(|piece| std::str::from_utf8(piece).is_err()), "whole characters");
        assert_eq!(pieces.concat(), plain);
    }
}

#[tokio::test]
async fn it_waits_at_gates() {
    let (before, middle) = (Gate::shut(), Gate::shut());
    let script = Script::says("abc").waits_before_headers(&before).waits_after(1, &middle);
    let (upstream, client) = one(script).await;
    let body = question(CHAT, "m", "hi", true);
    let story = async {
        before.reached_by(1).await;
        before.let_one_pass();
    };
    let (mut events, ()) = tokio::join!(client.stream(CHAT, &body), story);
    assert_eq!(events.text().await.as_deref(), Some("a"));
    middle.reached_by(1).await;
    assert_eq!(upstream.active(), 1);
    middle.open();
    assert_eq!(events.text().await.as_deref(), Some("b"));
    assert_eq!(joined(&events.rest().await), "c");
    upstream.idle().await;
}

#[tokio::test]
async fn its_last_chunk_can_come_after_done() {
    let (upstream, client) = one(Script::says("abc").lingers(ms(60_000))).await;
    let mut events = streamed(&client).await;
    while events.next().await != Some(Event::Done) {}
    assert_eq!((upstream.active(), upstream.hang_ups()), (1, 0), "the body is still open");
    drop(events);
    upstream.hung_up_on(1).await;
}

#[tokio::test]
async fn it_thinks_calls_tools_and_ignores_streaming() {
    let (_upstream, client) = one(Script::says("so").reasoning("let me see")).await;
    let objects = streamed(&client).await.rest().await;
    let thoughts: String = (objects.iter())
        .filter_map(|object| object["choices"][0]["delta"]["reasoning_content"].as_str())
        .collect();
    assert_eq!(thoughts, "let me see");

    let arguments = json!({"city": "罗马"});
    let (_upstream, client) = one(Script::calls_tool("weather", arguments.clone())).await;
    let objects = streamed(&client).await.rest().await;
    let pieces: String = (objects.iter())
        .filter_map(|object| {
            object["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str()
        })
        .collect();
    assert_eq!(serde_json::from_str::<Value>(&pieces).unwrap(), arguments);
    assert_eq!(objects.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    let (_, whole) = client.ask("/api/chat", &question("/api/chat", "m", "hi", false)).await;
    assert_eq!(whole["message"]["tool_calls"][0]["function"]["arguments"], arguments);

    let (_upstream, client) = one(Script::says("all at once").ignoring_stream()).await;
    let (_, whole) = client.ask(CHAT, &question(CHAT, "m", "hi", true)).await;
    assert_eq!(text_of(&whole), "all at once");
}

#[tokio::test]
async fn it_sends_whatever_bytes_are_scripted() {
    let (_upstream, client) = one(Script::says_garbage()).await;
    let events = streamed(&client).await.all().await;
    assert!(matches!(events.as_slice(), [Event::Broken(_), ..]), "{events:?}");
    let (_upstream, client) = one(Script::fails_saying(502, "<html>bad gateway</html>")).await;
    let response = client.post(CHAT, &question(CHAT, "m", "hi", true)).await;
    assert_eq!(response.headers()["content-type"], "text/html");
    assert_eq!(response.text().await.unwrap(), "<html>bad gateway</html>");
}

#[tokio::test]
async fn it_takes_its_time_and_counts_who_waits_together() {
    let (upstream, client) = one(Script::says("abc").after(ms(30)).with_gaps(ms(10))).await;
    let start = std::time::Instant::now();
    let body = question(CHAT, "m", "hi", true);
    let asked = (0..4).map(|_| client.objects(CHAT, &body));
    for objects in futures::future::join_all(asked).await {
        assert_eq!(joined(&objects), "abc");
    }
    assert!(start.elapsed() >= ms(50), "it was too quick");
    assert_eq!((upstream.most_active(), upstream.connections()), (4, 4));
}

#[tokio::test]
async fn a_dead_upstream_closes_its_connections() {
    let (mut upstream, client) = one(Script::says("abc").hangs_after(1)).await;
    let mut events = streamed(&client).await;
    assert_eq!(events.text().await.as_deref(), Some("a"));
    upstream.dies().await;
    assert!(matches!(events.next().await, Some(Event::Broken(_))));
    assert!(client.try_post(CHAT, &json!({}), &[]).await.is_err());
}

#[tokio::test]
async fn judge_and_writer_read_the_fences() {
    let prompt = "Judge.\n<candidate-7f label=\"1\">first, by a cat</candidate-7f>\n\
                  <candidate-7f label=\"2\">second <candidate-00 label=\"9\"> by a dog\
                  </candidate-7f>";
    let candidates = fenced(prompt, "candidate", "label");
    assert_eq!(candidates.len(), 2);
    assert_eq!(candidates[0], ("1".to_owned(), "first, by a cat".to_owned()));

    let (_upstream, client) = one(Script::judges_for("dog")).await;
    let (_, whole) = client.ask(CHAT, &question(CHAT, "m", prompt, false)).await;
    let verdict: Value = serde_json::from_str(text_of(&whole)).unwrap();
    assert_eq!((&verdict["best"], &verdict["scores"]["2"]), (&json!(2), &json!(9)));
    let mut body = question(CHAT, "m", "what is this?", false);
    body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "analysis"}});
    let (_, whole) = client.ask(CHAT, &body).await;
    let analysis: Value = serde_json::from_str(text_of(&whole)).unwrap();
    assert_eq!(analysis["temperature"], 0.3);

    let (upstream, client) = one(Script::fuses()).await;
    let body = json!({"model": "m", "messages": [
        {"role": "system", "content": "Fuse.\n<draft-7f rank=\"1\">\nred\n</draft-7f>\n\
            <draft-7f rank=\"2\">blue</draft-7f>"},
        {"role": "user", "content": [{"type": "text", "text": "which colour?"}]},
    ]});
    let (_, whole) = client.ask(CHAT, &body).await;
    assert_eq!(text_of(&whole), "red + blue");
    assert_eq!(upstream.seen_by("m")[0].drafts(), ["red", "blue"]);
    assert_eq!(upstream.seen()[0].question(), "which colour?");
}
