//! The steps of an agent: the panel is asked where the user speaks or a tool failed, and the writer
//! alone where results came.

use serde_json::{Value, json};

use crate::support::{Chorus, Script, Upstream, four_stages};

async fn cast(writer: Script) -> Upstream {
    Upstream::start([
        ("judge", Script::judges_for("two")),
        ("first", Script::says("draft one")),
        ("second", Script::says("draft two")),
        ("writer", writer),
    ])
    .await
}

fn calls(upstream: &Upstream) -> usize {
    ["judge", "first", "second", "writer"].map(|name| upstream.seen_by(name).len()).iter().sum()
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}}])
}

fn call(id: &str) -> Value {
    json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": id, "type": "function", "function": {"name": "shell", "arguments": "{}"}}]})
}

fn result(id: &str, text: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": text})
}

async fn asked(chorus: &Chorus, messages: &[Value], stream: bool) -> Value {
    let body = json!({"model": "chorus", "messages": messages, "tools": tools(), "stream": stream,
        "include_workflow": true});
    match stream {
        false => chorus.ask("/v1/chat/completions", &body).await.1,
        true => {
            let mut events = chorus.objects("/v1/chat/completions", &body).await;
            events.pop().expect("a last event")
        }
    }
}

#[tokio::test]
async fn five_steps_cost_one_panel_and_four_calls() {
    for stream in [false, true] {
        let writer = Script::says("done").first(4, Script::calls_tool("shell", json!({"n": 1})));
        let upstream = cast(writer).await;
        let chorus = four_stages(&["first", "second"]).without_retries().over(&upstream).await;
        let mut messages = vec![json!({"role": "user", "content": "tidy up"})];
        let mut costs = Vec::new();
        for step in 0..5 {
            let before = calls(&upstream);
            let answer = asked(&chorus, &messages, stream).await;
            costs.push(calls(&upstream) - before);
            let workflow = &answer["workflow"];
            let note = workflow["note"].as_str().unwrap_or_default();
            assert_eq!(workflow["status"], "ok", "{answer}");
            assert_eq!(note.contains("goes on alone"), step > 0, "{note}");
            if step > 0 {
                assert_eq!(workflow["workers"][0]["status"], "skipped");
                assert!(workflow["selector"].is_null() && workflow["analyzer"].is_null());
            }
            let id = format!("c{step}");
            messages.extend([call(&id), result(&id, "Exit code: 0\nfine")]);
        }
        // Analyzer, two workers, judge and writer.
        assert_eq!(costs, [5, 1, 1, 1, 1]);
        // What the upstream has read of the prompt stays of use.
        let seen = upstream.seen_by("writer");
        let prompt = |at: usize| seen[at].body["messages"].as_array().unwrap().clone();
        let (first, second) = (prompt(0), prompt(1));
        assert_eq!(first[..2], second[..2], "the instruction and the question");
        assert_eq!(prompt(1)[..second.len() - 1], prompt(2)[..second.len() - 1]);
        assert!(seen.iter().all(|one| one.has("tools")));
        assert!(second.last().unwrap()["content"].as_str().unwrap().contains("no drafts"));
    }
}

#[tokio::test]
async fn a_failed_tool_and_a_word_of_the_user_bring_the_panel_back() {
    let upstream = cast(Script::says("done")).await;
    let chorus = four_stages(&["first", "second"]).without_retries().over(&upstream).await;
    let begun = |end: &[Value]| {
        let start = [json!({"role": "user", "content": "tidy up"}), call("c1")];
        start.into_iter().chain(end.iter().cloned()).collect::<Vec<_>>()
    };
    let user = json!({"role": "user", "content": "and the rest?"});
    for (end, cost, note) in [
        (vec![result("c1", "fine")], 1, "goes on alone"),
        (vec![result("c1", "Exit code: 2\nno such file")], 5, "exit code"),
        (vec![result("c1", "fine"), user], 5, ""),
    ] {
        let before = calls(&upstream);
        let answer = asked(&chorus, &begun(&end), false).await;
        assert_eq!(calls(&upstream) - before, cost, "{answer}");
        let said = answer["workflow"]["note"].as_str().unwrap_or_default();
        assert!(said.contains(note) && said.is_empty() == note.is_empty(), "{said}");
    }
}

#[tokio::test]
async fn a_policy_may_ask_the_panel_always() {
    let upstream = cast(Script::says("done")).await;
    let mut setup = four_stages(&["first", "second"]);
    setup.plan()["policy"] = json!({"tool_turns": "panel"});
    let chorus = setup.over(&upstream).await;
    let messages = [json!({"role": "user", "content": "go"}), call("c1"), result("c1", "fine")];
    asked(&chorus, &messages, false).await;
    assert_eq!(calls(&upstream), 5);
}

#[tokio::test]
async fn a_writer_that_fails_alone_is_followed_by_the_workers_models() {
    let upstream = cast(Script::fails(500)).await;
    let chorus = four_stages(&["first", "second"]).without_retries().over(&upstream).await;
    let messages = [json!({"role": "user", "content": "go"}), call("c1"), result("c1", "fine")];
    let answer = asked(&chorus, &messages, false).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "draft one");
    assert_eq!(answer["workflow"]["status"], "degraded");
    assert!(upstream.seen_by("first").iter().all(|one| one.has("tools")));
}
