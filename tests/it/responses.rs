//! `/v1/responses` over real sockets: what a turn of it looks like to its clients, and what the
//! models behind it are shown.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Chorus, Script, Upstream, four_stages, ms, typed_events};

const PATH: &str = "/v1/responses";

/// Every event of a stream, checked against the contract.
async fn events(chorus: &Chorus, body: &Value) -> Vec<Value> {
    let response = chorus.post(PATH, body).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.expect("a whole body");
    let events = typed_events::read(&text).expect("well framed");
    typed_events::check(&events).expect("by the contract");
    events
}

/// A plain answer, checked against the contract.
async fn answer(chorus: &Chorus, body: &Value) -> Value {
    let (status, answer) = chorus.ask(PATH, body).await;
    assert_eq!(status, 200, "{answer}");
    typed_events::check_resource(&answer).expect("by the contract");
    answer
}

fn text_of(response: &Value) -> String {
    let items = response["output"].as_array().expect("an output").iter();
    let texts = items.filter(|item| item["type"] == "message");
    texts.filter_map(|item| item["content"][0]["text"].as_str()).collect()
}

async fn four(upstream: &Upstream) -> Chorus {
    four_stages(&["first", "second"]).without_retries().over(upstream).await
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

#[tokio::test]
async fn a_workflow_answers_plain_and_streamed() {
    let sample = "你好，世界 👋";
    let upstream = cast(Script::says(sample).reasoning("let me see").split_everywhere()).await;
    let chorus = four(&upstream).await;
    let mut body = json!({"model": "chorus", "instructions": "Be brief.", "input": "hi there",
        "temperature": 0.5, "include_workflow": true});
    let plain = answer(&chorus, &body).await;
    assert_eq!(text_of(&plain), sample);
    assert_eq!((&plain["status"], &plain["model"]), (&json!("completed"), &json!("chorus")));
    assert_eq!(plain["temperature"], 0.5);
    assert_eq!(plain["instructions"], "Be brief.");
    assert_eq!(plain["usage"]["total_tokens"], 18, "the answer's");
    assert_eq!(plain["chorus"]["total_usage"]["total_tokens"], 5 * 18, "over all calls");
    assert_eq!(plain["workflow"]["selector"]["selected_worker"], "second");
    assert_eq!(plain["output"][0]["summary"][0]["text"], "let me see");
    for worker in upstream.seen_by("first") {
        assert_eq!(worker.said_by("system"), "Be brief.");
        assert_eq!(worker.question(), "hi there");
    }
    body["stream"] = json!(true);
    let events = events(&chorus, &body).await;
    let last = &events.last().unwrap()["response"];
    assert_eq!((text_of(last).as_str(), &last["status"]), (sample, &json!("completed")));
    assert_eq!(last["workflow"]["status"], "ok");
    // Progress and the writer's own thoughts share the summary.
    let summary = last["output"][0]["summary"][0]["text"].as_str().unwrap();
    assert!(summary.contains("worker first: ok") && summary.contains("let me see"), "{summary}");
    assert_eq!(last["output"][1]["type"], "message");
}

#[tokio::test]
async fn no_effort_means_no_reasoning_channel() {
    let upstream = cast(Script::says("so it is").reasoning("let me see")).await;
    let chorus = four(&upstream).await;
    let body = json!({"input": "hi", "stream": true, "reasoning": {"effort": "none"}});
    let events = events(&chorus, &body).await;
    let response = &events.last().unwrap()["response"];
    assert_eq!(response["output"].as_array().unwrap().len(), 1);
    assert_eq!(response["model"], "chorus", "a missing model is the workflow");
    assert_eq!(response["reasoning"]["effort"], "none");
}

#[tokio::test]
async fn a_direct_call_has_no_progress() {
    let upstream = Upstream::start([("m", Script::says("hello"))]).await;
    let chorus = four_stages(&["m"]).over(&upstream).await;
    let events = events(&chorus, &json!({"model": "m", "input": "hi", "stream": true})).await;
    assert_eq!(events[2]["item"]["type"], "message");
    assert_eq!(events[2]["output_index"], 0);
}

#[tokio::test]
async fn tools_make_a_round_trip_over_previous_response_id() {
    let arguments = json!({"city": "罗马"});
    let writer = Script::calls_tool("weather", arguments.clone()).first(2, Script::says("Sunny."));
    let upstream = cast(writer).await;
    let chorus = four(&upstream).await;
    let tool = json!({"type": "function", "name": "weather", "parameters": {"type": "object"}});
    let asking = json!({"input": "what weather?", "tools": [tool], "tool_choice": "auto"});
    let plain = answer(&chorus, &asking).await;
    let mut streaming = asking.clone();
    streaming["stream"] = json!(true);
    let streamed = events(&chorus, &streaming).await.pop().unwrap()["response"].clone();
    for (turn, response) in [plain, streamed].iter().enumerate() {
        let items = response["output"].as_array().unwrap();
        let call = items.iter().find(|item| item["type"] == "function_call").expect("a call");
        assert_eq!(call["name"], "weather");
        let sent: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(sent, arguments);

        let result = json!({"type": "function_call_output", "call_id": call["call_id"],
            "output": "22 degrees"});
        // The second time the call is named, as some clients do, beside what is kept anyway.
        let reference = json!({"type": "item_reference", "id": call["id"]});
        let input = if turn == 0 { json!([result]) } else { json!([reference, result]) };
        let next = json!({"previous_response_id": response["id"], "input": input,
            "tools": [tool]});
        let resent = answer(&chorus, &next).await;
        assert_eq!(text_of(&resent), "Sunny.");
        assert_eq!(resent["previous_response_id"], response["id"]);
        let seen = upstream.seen_by("writer").pop().unwrap();
        let messages = seen.body["messages"].as_array().unwrap();
        let [.., question, calling, answered, _drafts] = &messages[..] else {
            panic!("{messages:?}")
        };
        assert_eq!(question["content"], "what weather?");
        assert_eq!(calling["tool_calls"][0]["id"], call["call_id"]);
        assert_eq!(answered["tool_call_id"], call["call_id"]);
        assert_eq!(answered["content"], "22 degrees");
    }
}

/// The tools of a coding agent: a function, a tool that takes free text, an MCP server's, and one that
/// its provider would run.
fn agents_tools() -> Value {
    json!([
        {"type": "function", "name": "shell", "parameters": {"type": "object"}, "strict": false},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark",
            "definition": "start: line+"}},
        {"type": "web_search", "search_context_size": "low"},
        {"type": "namespace", "name": "mcp__w", "tools": [
            {"type": "function", "name": "weather", "parameters": {"type": "object"}}]},
    ])
}

#[tokio::test]
async fn tools_that_are_no_functions_are_called_by_the_names_their_client_knows() {
    let patch = "*** Begin Patch\n+ 你好 \"x\"\n*** End Patch";
    for (function, arguments, call) in [
        (
            "apply_patch",
            json!({ "input": patch }),
            json!({"type": "custom_tool_call",
            "name": "apply_patch", "input": patch}),
        ),
        (
            "mcp__w__weather",
            json!({"city": "Rome"}),
            json!({"type": "function_call",
            "name": "weather", "namespace": "mcp__w", "arguments": "{\"city\":\"Rome\"}"}),
        ),
    ] {
        let writer = Script::calls_tool(function, arguments).first(2, Script::says("Done."));
        let upstream = cast(writer).await;
        let chorus = four(&upstream).await;
        let asking = json!({"input": "do it", "tools": agents_tools(), "store": false});
        let plain = answer(&chorus, &asking).await;
        let mut streaming = asking.clone();
        streaming["stream"] = json!(true);
        let streamed = events(&chorus, &streaming).await.pop().unwrap()["response"].clone();
        for response in [plain, streamed] {
            let warned = json!({"stage": "request", "name": "web_search", "code": "not_supported"});
            assert_eq!(response["warnings"], json!([warned]));
            let items = response["output"].as_array().unwrap();
            let is_call = |item: &&Value| item["type"].as_str().unwrap().ends_with("_call");
            let made = items.iter().find(is_call).expect("a call");
            for (field, value) in call.as_object().unwrap() {
                assert_eq!(&made[field], value, "{field}");
            }
            let result = json!({"type": format!("{}_output", call["type"].as_str().unwrap()),
                "call_id": made["call_id"], "output": "ok"});
            let input = json!([{"role": "user", "content": "do it"}, made, result]);
            let next = json!({"input": input, "tools": agents_tools(), "store": false});
            assert_eq!(text_of(&answer(&chorus, &next).await), "Done.");
            let seen = upstream.seen_by("writer").pop().unwrap();
            let messages = seen.body["messages"].as_array().unwrap();
            let calling = messages.iter().find(|it| it["tool_calls"].is_array()).expect("a call");
            assert_eq!(calling["tool_calls"][0]["function"]["name"], function);
            let offered = seen.body["tools"].as_array().unwrap().iter();
            let offered: Vec<&str> =
                offered.filter_map(|t| t["function"]["name"].as_str()).collect();
            assert_eq!(offered, ["shell", "apply_patch", "mcp__w__weather"]);
        }
    }
}

#[tokio::test]
async fn a_kept_response_is_read_again_until_it_is_deleted() {
    let upstream = Upstream::start([("m", Script::says("four"))]).await;
    let chorus = four_stages(&["m"]).over(&upstream).await;
    let ask = |more: Value| {
        let mut body = json!({"model": "m", "input": "two and two?", "stream": true});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let last = events(&chorus, &ask(json!({}))).await.pop().unwrap()["response"].clone();
    let path = format!("{PATH}/{}", last["id"].as_str().unwrap());
    let read = || chorus.request(Method::GET, &path);
    let json = async |response: reqwest::Response| -> Value {
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    };
    let kept = json(read().send().await.unwrap()).await;
    assert_eq!(kept, last);
    let foreign = read().header("authorization", "Bearer other").send().await.unwrap();
    assert_eq!(foreign.status(), 404, "it is another client's");
    let gone = chorus.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(json(gone).await, json!({"id": last["id"], "object": "response", "deleted": true}));
    let missing = read().send().await.unwrap();
    assert_eq!(missing.status(), 404);
    assert_eq!(json(missing).await["error"]["param"], "id");
    let (status, _) = chorus.ask(PATH, &ask(json!({"previous_response_id": last["id"]}))).await;
    assert_eq!(status, 400, "nor can it be continued");
    let unkept = events(&chorus, &ask(json!({"store": false}))).await.pop().unwrap();
    let path = format!("{PATH}/{}", unkept["response"]["id"].as_str().unwrap());
    assert_eq!(chorus.request(Method::GET, &path).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_conversation_goes_on_without_its_instructions() {
    let upstream = Upstream::start([("m", Script::says("four"))]).await;
    let chorus = four_stages(&["m"]).over(&upstream).await;
    let first = json!({"model": "m", "instructions": "Old rules.", "input": "two and two?"});
    let first = answer(&chorus, &first).await;
    let next = json!({"model": "m", "previous_response_id": first["id"], "input": "and one?"});
    let second = answer(&chorus, &next).await;
    let third = json!({"model": "m", "previous_response_id": second["id"], "input": "sure?",
        "instructions": "New rules."});
    answer(&chorus, &third).await;
    let seen = upstream.seen_by("m");
    let resent: Vec<(&str, &str)> = (seen.last().unwrap().body["messages"].as_array().unwrap())
        .iter()
        .map(|m| (m["role"].as_str().unwrap(), m["content"].as_str().unwrap()))
        .collect();
    assert_eq!(
        resent,
        [
            ("system", "New rules."),
            ("user", "two and two?"),
            ("assistant", "four"),
            ("user", "and one?"),
            ("assistant", "four"),
            ("user", "sure?"),
        ]
    );
}

#[tokio::test]
async fn what_is_not_kept_cannot_be_continued() {
    let upstream = Upstream::start([("m", Script::says("four"))]).await;
    let chorus = four_stages(&["m"]).over(&upstream).await;
    let passing = json!({"model": "m", "input": "hi", "store": false});
    let passing = answer(&chorus, &passing).await;
    assert_eq!(passing["store"], false);
    let kept = answer(&chorus, &json!({"model": "m", "input": "hi"})).await;
    let asks = |id: &Value| json!({"model": "m", "input": "and?", "previous_response_id": id});
    let key = [("authorization", "Bearer somebody-else")];
    for (id, headers) in [(&passing["id"], &[][..]), (&json!("resp_x"), &[]), (&kept["id"], &key)] {
        let response = chorus.post_with(PATH, &asks(id), headers).await;
        assert_eq!(response.status(), 400);
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let error = &body["error"];
        assert_eq!(error["code"], "previous_response_not_found", "{body}");
        assert_eq!(error["param"], "previous_response_id");
    }
    answer(&chorus, &asks(&kept["id"])).await;
}

#[tokio::test]
async fn a_cut_answer_is_incomplete() {
    for (finish, reason) in [("length", "max_output_tokens"), ("content_filter", "content_filter")]
    {
        let upstream = Upstream::start([("m", Script::says("hel").finishing_with(finish))]).await;
        let chorus = four_stages(&["m"]).over(&upstream).await;
        let mut body = json!({"model": "m", "input": "hi", "max_output_tokens": 5});
        let plain = answer(&chorus, &body).await;
        body["stream"] = json!(true);
        let events = events(&chorus, &body).await;
        assert_eq!(events.last().unwrap()["type"], "response.incomplete");
        for response in [&plain, &events.last().unwrap()["response"]] {
            assert_eq!(response["incomplete_details"]["reason"], reason);
            assert_eq!(
                (text_of(response).as_str(), &response["status"]),
                ("hel", &json!("incomplete"))
            );
        }
    }
}

#[tokio::test]
async fn a_failure_before_the_answer_is_a_status_and_after_it_an_event() {
    let upstream = Upstream::start([
        ("dead", Script::fails(500)),
        ("broken", Script::says("abcdef").errs_after(2, "out of memory")),
    ])
    .await;
    let chorus = four_stages(&["dead", "broken"]).without_retries().over(&upstream).await;
    for stream in [false, true] {
        let (status, body) =
            chorus.ask(PATH, &json!({"model": "dead", "input": "hi", "stream": stream})).await;
        assert_eq!((status, &body["error"]["code"]), (502, &json!("upstream_error")), "{body}");
    }
    let body = json!({"model": "broken", "input": "hi", "stream": true, "include_workflow": true});
    let events = events(&chorus, &body).await;
    let [.., error, failed] = &events[..] else { panic!("too few") };
    assert_eq!(error["type"], "error");
    let response = &failed["response"];
    assert_eq!(response["status"], "failed");
    assert_eq!(response["output"][0]["status"], "incomplete");
    assert_eq!(response["workflow"]["status"], "failed");
    let next = json!({"model": "broken", "input": "hi", "previous_response_id": response["id"]});
    let (status, body) = chorus.ask(PATH, &next).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("previous_response_not_found")));
}

#[tokio::test]
async fn a_silent_stream_shows_progress_and_comments() {
    let upstream = cast(Script::says("done").after(ms(400))).await;
    let quick = "[server]\nheader_hold_secs = 0\nheartbeat_secs = 0.1";
    let chorus = four_stages(&["first", "second"]).with(quick).over(&upstream).await;
    let response = chorus.post(PATH, &json!({"input": "hi", "stream": true})).await;
    let text = response.text().await.unwrap();
    assert!(text.contains(": keep-alive\n\n"), "{text}");
    let events = typed_events::read(&text).unwrap();
    typed_events::check(&events).unwrap();
    assert_eq!(text_of(&events.last().unwrap()["response"]), "done");
}

#[tokio::test]
async fn nothing_asked_is_said_in_the_contracts_words() {
    let upstream = Upstream::start([("m", Script::says("x"))]).await;
    let chorus = four_stages(&["m"]).over(&upstream).await;
    for body in [json!({}), json!({"input": [[" "]], "stream": true})] {
        let (status, body) = chorus.ask(PATH, &body).await;
        assert_eq!(status, 400);
        let words = "invalid request: missing input/messages/prompt/instructions";
        assert_eq!(body["error"]["message"], words);
    }
    assert!(upstream.seen().is_empty(), "nobody was asked");
}
