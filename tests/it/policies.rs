//! Policies over real sockets: stragglers are hung up on, deadlines have their status.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    ENDPOINTS, Gate, Script, Setup, Upstream, body_of, four_stages, ms, question, soon, text_of,
};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn stragglers_are_hung_up_on_before_the_answer_is_written() {
    let gate = Gate::shut();
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("quick", Script::says("one draft")),
        ("slow", Script::says("late").waits_before_headers(&Gate::shut())),
        ("stuck", Script::says("half a draft").hangs_after(1)),
        ("writer", Script::fuses().waits_before_headers(&gate)),
    ])
    .await;
    let mut setup = four_stages(&["quick", "slow", "stuck"]);
    setup.plan()["policy"] = json!({ "quorum": 1, "grace_ms": 300 });
    let chorus = setup.over(&upstream).await;
    let mut body = question(CHAT, "chorus", "hi", false);
    body["include_workflow"] = json!(true);
    let story = async {
        upstream.hung_up_on(2).await;
        gate.open();
    };
    let ((status, answer), ()) =
        soon("all", async { tokio::join!(chorus.ask(CHAT, &body), story) }).await;
    assert_eq!(status, 200, "{answer}");
    let trace = &answer["workflow"];
    let ended = |index: usize| trace["workers"][index]["status"].as_str().unwrap();
    assert_eq!([ended(0), ended(1), ended(2)], ["ok", "cut", "cut"]);
    assert_eq!((&trace["status"], trace.get("warnings")), (&json!("ok"), None));
    assert_eq!(trace["workers"][2]["usage"]["estimated"], true, "{trace}");
}

#[tokio::test]
async fn no_answer_by_the_deadline_is_504_on_every_endpoint() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("stuck", Script::hangs()),
        ("writer", Script::fuses()),
    ])
    .await;
    let mut setup = four_stages(&["stuck"]);
    setup.plan()["policy"] = json!({ "deadline_secs": 0.5 });
    let chorus = setup.over(&upstream).await;
    for path in ENDPOINTS {
        for stream in [false, true] {
            let body = question(path, "chorus", "hi", stream);
            let response = soon("504", chorus.post(path, &body)).await;
            assert_eq!(response.status().as_u16(), 504, "{path} {stream}");
            let text = response.text().await.unwrap();
            assert!(text.contains("deadline of 0.5 s"), "{text}");
        }
    }
    upstream.idle().await;
}

#[tokio::test]
async fn a_writer_that_stops_is_an_error_event_at_the_deadline() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("quick", Script::says("one draft")),
        ("writer", Script::says("one two three four").in_deltas(4).hangs_after(2)),
    ])
    .await;
    let mut setup = four_stages(&["quick"]);
    setup.plan()["policy"] = json!({ "deadline_secs": 1 });
    let chorus = setup.over(&upstream).await;
    let objects =
        soon("it ends", chorus.objects(CHAT, &question(CHAT, "chorus", "hi", true))).await;
    let said: String = objects.iter().map(text_of).collect();
    assert!(said.starts_with("one"), "{said}");
    let error = objects.iter().find_map(|object| object.get("error")).unwrap();
    assert_eq!(error["code"], "timeout");
    assert!(error["message"].as_str().unwrap().contains("deadline of 1 s"), "{error}");
    upstream.idle().await;
}

#[tokio::test]
async fn a_profile_is_a_workflow_by_its_name_with_limits_of_its_own() {
    let script = Script::says("draft").after(ms(20));
    let upstream = Upstream::start([("one", script.clone()), ("two", script)]).await;
    let plan = json!({ "workers": [{ "ref": "one" }], "selector": { "ref": "one" } });
    let fast = json!({ "workers": [{ "ref": "two", "samples": 6 }], "selector": { "ref": "two" } });
    let profile = format!(
        "[[workflow-profile]]\nname = \"fast\"\nmax_concurrency = 2\njson = '''{fast}'''\n"
    );
    let chorus = Setup::of(plan).with_models(&["one", "two"]).with(&profile).over(&upstream).await;
    let mut body = question(CHAT, "fast", "hi", false);
    body["include_workflow"] = json!(true);
    let (status, answer) = chorus.ask(CHAT, &body).await;
    assert_eq!((status, &answer["model"], text_of(&answer)), (200, &json!("fast"), "draft"));
    let trace = &answer["workflow"];
    assert_eq!((&trace["name"], &trace["mode"]), (&json!("fast"), &json!("workflow")));
    assert_eq!((upstream.seen_by("two").len(), upstream.seen_by("one").len()), (6, 0));
    assert!(upstream.most_active() <= 2, "{}", upstream.most_active());
}

/// A writer that is silent at the deadline: the draft stands in, if it is what was asked for.
#[tokio::test]
async fn a_draft_stands_in_at_the_deadline_where_it_satisfies_the_request() {
    let upstream = Upstream::start([
        ("prose", Script::says("one draft")),
        ("json", Script::says("{\"a\": 1}")),
        ("stuck", Script::hangs()),
    ])
    .await;
    let setup = |worker: &str| {
        let plan = json!({ "workers": [worker], "synthesizer": "stuck",
            "policy": { "deadline_secs": 0.5 } });
        Setup::of(plan).with_models(&["prose", "json", "stuck"])
    };
    let prose = setup("prose").over(&upstream).await;
    let structured = setup("json").over(&upstream).await;
    let mut stories = Vec::new();
    for path in ENDPOINTS {
        let asks = |key: &str, value: Value| {
            let mut body = question(path, "chorus", "hi", false);
            body[key] = value;
            body
        };
        let openai = path == "/v1/chat/completions";
        let formed = match openai {
            true => asks("response_format", json!({ "type": "json_object" })),
            false => asks("format", json!("json")),
        };
        let tool = json!({ "type": "function", "function": { "name": "f", "parameters": {} } });
        let mut called = asks("tools", json!([tool]));
        called["tool_choice"] = json!("required");
        let plain = question(path, "chorus", "hi", false);
        for (chorus, body, text) in [
            (&prose, Some(plain), Some("one draft")),
            (&structured, Some(formed.clone()), Some("1}")),
            (&prose, Some(formed), None),
            (&structured, openai.then_some(called), None),
        ] {
            for (body, stream) in [(body.clone(), false), (body, true)] {
                let Some(mut body) = body else { continue };
                body["stream"] = json!(stream);
                stories.push(async move {
                    let response = soon("an ending", chorus.post(path, &body)).await;
                    let status = response.status().as_u16();
                    let header = response.headers().get("x-chorus-status").cloned();
                    let got = body_of(response).await.0;
                    let Some(text) = text else {
                        assert_eq!(status, if stream { 200 } else { 504 }, "{path} {body}: {got}");
                        assert!(got.contains(r#""code":"timeout""#), "{path} {body}: {got}");
                        return;
                    };
                    assert_eq!(status, 200, "{path} {body}: {got}");
                    // A stream's headers went out with the draft, before the writer failed.
                    let reported = header.is_some_and(|it| it == "degraded");
                    assert_eq!(reported, !stream, "{path} {body}");
                    assert!(got.contains(text), "{path} {body}: {got}");
                    let warning =
                        r#""warnings":[{"stage":"synthesizer","name":"stuck","code":"timeout"}]"#;
                    assert!(got.contains(warning), "{path} {body}: {got}");
                });
            }
        }
    }
    join_all(stories).await;
    upstream.idle().await;
}

#[tokio::test]
async fn an_answer_that_a_fallback_writes_says_degraded_in_its_headers_or_at_its_end() {
    let upstream = Upstream::start([
        ("a", Script::says("one draft")),
        ("broken", Script::fails(500)),
        ("writer", Script::fuses()),
    ])
    .await;
    let plan =
        json!({ "workers": ["a"], "synthesizer": { "ref": "broken", "fallback": ["writer"] } });
    let chorus = Setup::of(plan)
        .with_models(&["a", "broken", "writer"])
        .without_retries()
        .over(&upstream)
        .await;
    for stream in [false, true] {
        let response = chorus.post(CHAT, &question(CHAT, "chorus", "hi", stream)).await;
        let header = response.headers().get("x-chorus-status").cloned();
        // A stream's headers went out with the draft.
        assert_eq!(header.is_some_and(|status| status == "degraded"), !stream, "{stream}");
        let reported = response.text().await.unwrap();
        assert!(
            reported.contains(r#""warnings":[{"stage":"synthesizer","name":"broken""#),
            "{reported}"
        );
    }
}
