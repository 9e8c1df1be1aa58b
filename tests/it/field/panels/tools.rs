//! What workers learn of tools that they may not call.

use serde_json::{Value, json};

use crate::support::{Script, Seen, Setup, Upstream, four_stages};

const PROTOCOLS: [&str; 4] = ["openai", "ollama", "anthropic", "gemini"];

fn panel(protocol: &str) -> Setup {
    let setup = four_stages(&["a", "b"]).without_retries();
    let keys = format!("protocol = \"{protocol}\"");
    let models = ["judge", "writer", "a", "b"].iter();
    let mut setup = models.fold(setup, |setup, model| setup.model_keys(model, &keys));
    // The conversations here end with results of tools.
    setup.plan()["policy"] = json!({"tool_turns": "panel"});
    setup
}

/// As many built-in tools as a chat client sends with each message.
fn many_tools() -> Value {
    let tool = |number: usize| {
        let parameters = json!({"type": "object", "properties": {"path": {"type": "string",
            "description": "A SCHEMA ".repeat(60)}}});
        json!({"type": "function", "function": {"name": format!("tool_{number}"),
            "description": format!("Does thing {number}. A LONG STORY FOLLOWS."),
            "parameters": parameters}})
    };
    (0..36).map(tool).collect()
}

/// A conversation in which a tool was called already.
fn conversation() -> Value {
    let call = json!({"id": "call_1", "type": "function",
        "function": {"name": "tool_7", "arguments": "{\"path\":\"a.txt\"}"}});
    json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "what is in it?"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "FORTY-TWO"},
    ])
}

fn has_tool_turns(seen: &Seen) -> bool {
    let body = seen.body.to_string();
    ["\"tool_calls\"", "\"tool_call_id\"", "\"tool_use\"", "\"tool_result\"", "\"functionCall\""]
        .iter()
        .any(|word| body.contains(word))
}

#[tokio::test]
async fn workers_pay_for_no_definitions_of_tools_that_they_may_not_call() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start([
            ("judge", Script::judges_for("of b")),
            ("writer", Script::says("the answer")),
            ("a", Script::says("draft of a")),
            ("b", Script::says("draft of b, another one")),
        ])
        .await;
        let chorus = panel(protocol).over(&upstream).await;
        for (path, stream) in
            [("/v1/chat/completions", true), ("/v1/chat/completions", false), ("/api/chat", false)]
        {
            let mut messages = conversation();
            if path == "/api/chat" {
                messages[2]["tool_calls"][0]["function"]["arguments"] = json!({"path": "a.txt"});
            }
            let body = json!({"model": "chorus", "messages": messages, "tools": many_tools(),
                "stream": stream});
            let response = chorus.post(path, &body).await;
            let (status, reply) = (response.status(), response.text().await.unwrap());
            assert_eq!(status, 200, "{protocol} {path}: {reply}");
            for worker in ["a", "b"] {
                let seen = upstream.seen_by(worker).pop().unwrap();
                let shown = ["tools", "tool_choice", "toolConfig"].iter().any(|key| seen.has(key));
                assert!(!shown && !has_tool_turns(&seen), "{protocol} {path}: {}", seen.body);
                let system = seen.said_by("system");
                assert!(system.starts_with("Be brief.") && system.len() < 2200, "{system}");
                assert!(system.contains("- tool_35") && system.contains("Does thing 0."));
                assert!(!seen.text().contains("A LONG STORY") && !seen.text().contains("A SCHEMA"));
                assert!(seen.text().contains("FORTY-TWO") && seen.text().contains("a.txt"));
            }
            let writer = upstream.seen_by("writer").pop().unwrap();
            assert!(writer.has("tools") && has_tool_turns(&writer), "{protocol} {path}");
        }
    }
}

#[tokio::test]
async fn the_definitions_go_to_workers_where_the_policy_says_so() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start([
            ("judge", Script::judges_for("of b")),
            ("writer", Script::says("the answer")),
            ("a", Script::says("draft of a")),
            ("b", Script::says("draft of b, another one")),
        ])
        .await;
        let mut setup = panel(protocol);
        setup.plan()["policy"]["worker_tools"] = json!("schemas");
        let chorus = setup.over(&upstream).await;
        let body = json!({"model": "chorus", "messages": conversation(), "tools": many_tools()});
        let (status, answer) = chorus.ask("/v1/chat/completions", &body).await;
        assert_eq!(status, 200, "{protocol}: {answer}");
        let seen = upstream.seen_by("a").pop().unwrap();
        // Ollama's own protocol cannot say that none may be called.
        let shown = protocol != "ollama";
        assert_eq!((seen.has("tools"), has_tool_turns(&seen)), (shown, shown), "{protocol}");
    }
}

#[tokio::test]
async fn a_worker_that_calls_a_tool_though_it_must_not_is_asked_again_without_and_remembered() {
    for protocol in ["openai", "anthropic", "gemini"] {
        for stream in [true, false] {
            let calling = Script::calls_tool("tool_7", json!({"path": "b.txt"}));
            let upstream = Upstream::start([
                ("judge", Script::judges_for("of b")),
                ("writer", Script::says("the answer")),
                ("a", Script::says("draft of a").with_tools(calling.clone())),
                ("b", Script::says("draft of b, another one").with_tools(calling)),
            ])
            .await;
            let mut setup = panel(protocol);
            setup.plan()["policy"]["worker_tools"] = json!("schemas");
            let chorus = setup.over(&upstream).await;
            for asked in [2, 3] {
                let body = json!({"model": "chorus", "messages": conversation(),
                    "tools": many_tools(), "stream": stream, "include_workflow": true});
                let response = chorus.post("/v1/chat/completions", &body).await;
                let (status, reply) = (response.status(), response.text().await.unwrap());
                assert_eq!(status, 200, "{protocol} {stream}: {reply}");
                assert!(reply.contains(r#""status":"ok""#), "{protocol} {stream}: {reply}");
                for worker in ["a", "b"] {
                    let seen = upstream.seen_by(worker);
                    assert_eq!(seen.len(), asked, "{protocol} {stream} {worker}");
                    assert!(seen[0].has("tools") && seen[1..].iter().all(|one| !one.has("tools")));
                }
                let writer = upstream.seen_by("writer").pop().unwrap();
                assert_eq!(writer.drafts().len(), 2, "{protocol} {stream}");
            }
        }
    }
}

#[tokio::test]
async fn a_worker_that_does_nothing_but_call_a_tool_drafts_that_call() {
    for protocol in PROTOCOLS {
        for shown in ["list", "schemas"] {
            let calls = || Script::calls_tool("tool_3", json!({"path": "a.txt"}));
            let upstream = Upstream::start([
                ("judge", Script::judges_for("of b")),
                ("writer", Script::says("the answer")),
                ("a", calls()),
                ("b", calls()),
            ])
            .await;
            let mut setup = panel(protocol);
            setup.plan()["policy"]["worker_tools"] = json!(shown);
            let chorus = setup.over(&upstream).await;
            let body =
                json!({"model": "chorus", "messages": conversation(), "tools": many_tools()});
            let (status, answer) = chorus.ask("/v1/chat/completions", &body).await;
            assert_eq!(status, 200, "{protocol} {shown}: {answer}");
            let seen = upstream.seen_by("writer").pop().unwrap();
            assert!(seen.text().contains("The tool tool_3 should be called with"), "{protocol}");
        }
    }
    // Where there are no tools, it is no answer.
    let upstream = Upstream::start([
        ("judge", Script::judges_for("of b")),
        ("writer", Script::says("the answer")),
        ("a", Script::calls_tool("tool_3", json!({}))),
        ("b", Script::calls_tool("tool_3", json!({}))),
    ])
    .await;
    let chorus = panel("openai").over(&upstream).await;
    let body = json!({"model": "chorus", "messages": [{"role": "user", "content": "hi"}]});
    let (status, answer) = chorus.ask("/v1/chat/completions", &body).await;
    assert_eq!(status, 502, "{answer}");
}
