//! `/v1/completions` over real sockets: one prompt and several, plain and streamed, and its ends.

use serde_json::{Value, json};

use crate::support::{Event, Gate, Script, Upstream, four_stages, question, soon, text_of};

const PATH: &str = "/v1/completions";

/// The text of each choice, from a plain answer or the chunks of a stream.
fn texts(objects: &[Value], choices: usize) -> Vec<String> {
    let mut texts = vec![String::new(); choices];
    for choice in objects.iter().filter_map(|object| object["choices"].as_array()).flatten() {
        let index = choice["index"].as_u64().expect("every choice has an index");
        texts[index as usize].push_str(choice["text"].as_str().expect("and a text"));
    }
    texts
}

#[tokio::test]
async fn a_workflow_answers_a_prompt_plain_and_streamed() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("writer", Script::fuses().reasoning("hm")),
        ("one", Script::says("the draft")),
    ])
    .await;
    let chorus = four_stages(&["one"]).over(&upstream).await;
    for stream in [false, true] {
        let mut body = question(PATH, "chorus", "Why?", stream);
        body["stream_options"] = json!({"include_usage": true});
        body["include_workflow"] = json!(true);
        let objects = chorus.objects(PATH, &body).await;
        assert_eq!(objects.iter().map(text_of).collect::<String>(), "the draft", "{stream}");
        let last = objects.last().unwrap();
        assert_eq!(last["usage"]["completion_tokens"], 7, "the answer's: {last}");
        let spent = &last["chorus"]["total_usage"];
        assert_eq!(spent["completion_tokens"], 21, "over all calls: {last}");
        let ends: Vec<&Value> =
            objects.iter().filter(|o| !o["choices"][0]["finish_reason"].is_null()).collect();
        let [end] = ends[..] else { panic!("{ends:?}") };
        assert_eq!(end["choices"][0]["finish_reason"], "stop");
        assert_eq!(end["workflow"]["status"], "ok", "{end}");
        for object in &objects {
            assert_eq!(
                (&object["object"], &object["model"]),
                (&"text_completion".into(), &"chorus".into())
            );
            assert_eq!(object["id"], objects[0]["id"]);
            assert!(!object.to_string().contains("hm\""), "no reasoning here: {object}");
        }
    }
}

#[tokio::test]
async fn several_prompts_run_at_the_same_time_and_are_answered_as_one() {
    let gate = Gate::shut();
    let upstream =
        Upstream::start([("m", Script::echoes("re: ").waits_before_headers(&gate))]).await;
    let chorus = four_stages(&["m"]).over(&upstream).await;
    for stream in [false, true] {
        let body = json!({"model": "m", "prompt": ["a", "b", "c"], "stream": stream,
            "stream_options": {"include_usage": true}});
        let before = upstream.seen().len();
        let asked = chorus.objects(PATH, &body);
        let opened = async {
            // None is answered before all were asked, so they run side by side.
            if !stream {
                upstream.asked(before + 3).await;
                gate.open();
            }
        };
        let (objects, ()) = tokio::join!(soon("the answers", asked), opened);
        assert_eq!(texts(&objects, 3), ["re: a", "re: b", "re: c"], "{stream}");
        let usage = &objects.last().unwrap()["usage"];
        assert_eq!((&usage["prompt_tokens"], &usage["total_tokens"]), (&json!(33), &json!(54)));
        let ends = objects.iter().filter_map(|object| object["choices"].as_array()).flatten();
        assert_eq!(ends.filter(|choice| choice["finish_reason"] == "stop").count(), 3);
    }
    let body = json!({"model": "m", "prompt": ["a", "b"], "stream": true});
    let events = chorus.stream(PATH, &body).await.all().await;
    assert_eq!(events.iter().filter(|event| **event == Event::Done).count(), 1);
    assert_eq!(events.last(), Some(&Event::Done));
}

#[tokio::test]
async fn a_prompt_that_fails_fails_the_request() {
    let upstream =
        Upstream::start([("dead", Script::fails(500)), ("cut", Script::says("abc").cut_after(2))])
            .await;
    let chorus = four_stages(&["dead", "cut"]).without_retries().over(&upstream).await;
    for prompt in [json!("a"), json!(["a", "b"])] {
        for stream in [false, true] {
            let body = json!({"model": "dead", "prompt": prompt, "stream": stream});
            let response = chorus.post(PATH, &body).await;
            assert_eq!(response.status(), 502, "{prompt} {stream}");
            assert_eq!(response.headers()["x-should-retry"], "false");
            let runs = response.headers()["x-chorus-workflow-id"].to_str().unwrap().split(", ");
            assert_eq!(runs.count(), prompt.as_array().map_or(1, Vec::len));
        }
        let body = json!({"model": "cut", "prompt": prompt, "stream": true});
        let mut events = chorus.stream(PATH, &body).await.all().await;
        assert_eq!(events.pop(), Some(Event::Done), "{prompt}");
        let Some(Event::Object(error)) = events.pop() else { panic!("{events:?}") };
        assert_eq!(error["error"]["code"], "upstream_error", "{prompt}");
        for event in events {
            let Event::Object(chunk) = event else { panic!("{event:?}") };
            assert!(chunk["choices"][0]["finish_reason"].is_null(), "{chunk}");
        }
    }
}

#[tokio::test]
async fn hanging_up_hangs_up_on_every_prompt() {
    let upstream = Upstream::start([("m", Script::says("abc").hangs_after(1))]).await;
    let chorus = four_stages(&["m"]).over(&upstream).await;
    let body = json!({"model": "m", "prompt": ["a", "b", "c"], "stream": true});
    let mut events = chorus.stream(PATH, &body).await;
    for _ in 0..3 {
        events.text().await.expect("each prompt's first piece");
    }
    drop(events);
    upstream.hung_up_on(3).await;
}
