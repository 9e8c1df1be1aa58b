//! What clients ask in the background.

use serde_json::{Value, json};

use crate::support::{Chorus, Script, Upstream, four_stages, text_of};

const CHAT: &str = "<chat_history>\nUSER: hi\nASSISTANT: hello\n</chat_history>";

async fn upstream() -> Upstream {
    Upstream::start([
        ("judge", Script::judges_for("draft")),
        ("writer", Script::says("fused")),
        ("a", Script::says("draft a")),
        ("b", Script::says("draft b")),
        ("small", Script::says("a small answer")),
    ])
    .await
}

async fn chorus(upstream: &Upstream, protocol: &str, keys: &str) -> Chorus {
    let setup = four_stages(&["a", "b"]).with_models(&["small"]);
    let setup = setup.model_keys("small", &format!("protocol = \"{protocol}\""));
    setup.with(&format!("[server]\n{keys}")).over(upstream).await
}

/// How many upstream calls a request made, and the text that came.
async fn asked(upstream: &Upstream, chorus: &Chorus, path: &str, body: &Value) -> (usize, String) {
    let before = upstream.seen().len();
    let objects = chorus.objects(path, body).await;
    let text = objects.iter().map(text_of).collect();
    (upstream.seen().len() - before, text)
}

fn titled(sentence: &str) -> String {
    format!("### Task:\n{sentence}\n### Chat History:\n{CHAT}")
}

#[tokio::test]
async fn background_tasks_of_clients_cost_one_small_call_instead_of_a_panel() {
    let upstream = upstream().await;
    for protocol in ["openai", "ollama", "anthropic", "gemini"] {
        let chorus = chorus(&upstream, protocol, "task_model = \"small\"").await;
        for sentence in [
            "Generate a concise title summarizing it.",
            "Generate 1-3 broad tags.",
            "Suggest 3-5 follow-up questions.",
            "Predict 3-5 useful messages this user might naturally send next.",
            "Determine whether generating search queries is needed.",
            "You are an autocompletion system.",
        ] {
            let text = titled(sentence);
            let messages = json!([{"role": "user", "content": text}]);
            for (path, body) in [
                ("/v1/chat/completions", json!({"messages": messages})),
                ("/api/chat", json!({"messages": messages, "stream": false})),
                ("/api/generate", json!({"prompt": text, "stream": false})),
                ("/v1/responses", json!({"input": text})),
                ("/v1/completions", json!({"prompt": text})),
            ] {
                let before = upstream.seen().len();
                let (status, answer) = chorus.ask(path, &body).await;
                let calls = upstream.seen().len() - before;
                let shown = answer.to_string();
                assert_eq!((status, calls), (200, 1), "{path} {protocol}: {shown}");
                assert!(shown.contains("a small answer"), "{path} {protocol}: {shown}");
            }
        }
    }
}

/// Each where the form of its client has it: a system message, the last turn, around the chat.
#[tokio::test]
async fn titles_of_other_clients_cost_one_small_call() {
    let upstream = upstream().await;
    let system = |text: &str| {
        json!([{"role": "system", "content": text},
        {"role": "user", "content": "user: hi"}])
    };
    let closing = |text: &str| {
        json!([{"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes"}, {"role": "user", "content": text}])
    };
    let around = |text: &str| json!([{"role": "user", "content": text}]);
    for protocol in ["openai", "ollama", "anthropic", "gemini"] {
        let chorus = chorus(&upstream, protocol, "task_model = \"small\"").await;
        for (messages, want) in [
            (system("You are a professional conversation summarizer. A title."), "a small answer"),
            (system("将给定的对话总结为一个10字以内的标题"), "a small answer"),
            (
                closing("Please generate a four to five word title summarizing our conversation"),
                "a small answer",
            ),
            (
                around(
                    "Provide a concise, 5-word-or-less title for the conversation.\n\n\
                Conversation:\nUser: hi",
                ),
                "a small answer",
            ),
            (system("You summarize for a professional."), "fused"),
            (closing("Generate a title for this conversation."), "fused"),
            (
                around(
                    "Explain: provide a concise, 5-word-or-less title for the conversation.\n\
                User: hi",
                ),
                "fused",
            ),
        ] {
            for path in ["/v1/chat/completions", "/api/chat"] {
                for stream in [true, false] {
                    let body = json!({"messages": messages, "stream": stream});
                    let (calls, text) = asked(&upstream, &chorus, path, &body).await;
                    assert_eq!(text, want, "{protocol} {path} {body}");
                    assert!((calls == 1) == (want != "fused"), "{protocol} {path} {body}");
                }
            }
        }
    }
}

#[tokio::test]
async fn background_tasks_of_agents_are_streamed_and_may_have_tools() {
    let upstream = upstream().await;
    let chorus = chorus(&upstream, "openai", "task_model = \"small\"").await;
    let system = "You are a title generator. Nothing else.\nBe brief.";
    let title = json!([{"role": "system", "content": system},
        {"role": "user", "content": "Generate a title for this conversation:\n"},
        {"role": "user", "content": "mend the door"}]);
    let system = "You are the managed memory extraction subagent.\nBe brief.";
    let notes = json!([{"role": "system", "content": system},
        {"role": "user", "content": "I like tea"}, {"role": "assistant", "content": "fine"},
        {"role": "user", "content": "Scan it."}]);
    let tools = json!([{"type": "function", "function": {"name": "read_file", "parameters": {}}}]);
    for stream in [true, false] {
        for body in [
            json!({"model": "chorus", "messages": title, "stream": stream}),
            json!({"messages": notes, "tools": tools, "stream": stream}),
        ] {
            let (calls, text) = asked(&upstream, &chorus, "/v1/chat/completions", &body).await;
            assert_eq!((calls, text.as_str()), (1, "a small answer"), "{body}");
        }
    }
}

#[tokio::test]
async fn a_background_task_is_said_in_the_trace_and_only_one_is() {
    let upstream = upstream().await;
    let with = chorus(&upstream, "openai", "task_model = \"small\"").await;
    let without = chorus(&upstream, "openai", "").await;
    let path = "/v1/chat/completions";
    let asks = |text: &str, stream: bool| {
        json!({"messages": [{"role": "user", "content": text}], "stream": stream,
            "include_workflow": true})
    };
    let title = titled("Generate a title.");
    let (status, answer) = with.ask(path, &asks(&title, false)).await;
    assert_eq!((status, &answer["workflow"]["task"]), (200, &json!("title")), "{answer}");
    assert_eq!(answer["workflow"]["name"], "small", "{answer}");
    let file = format!("### Task:\nRespond to the user query using the context.\n{title}");
    for (chorus, text, stream) in [
        (&without, title.as_str(), false),
        (&with, &title, true),
        (&with, &file, false),
        (&with, "Generate a title.", false),
    ] {
        let objects = chorus.objects(path, &asks(text, stream)).await;
        let said: String = objects.iter().map(text_of).collect();
        let shown = format!("{objects:?}");
        assert!(said == "fused" && !shown.contains("\"task\""), "{text}: {shown}");
    }
    // Whoever names a model gets that one.
    let direct = json!({"model": "a", "messages": [{"role": "user", "content": title}]});
    assert_eq!(asked(&upstream, &with, path, &direct).await, (1, "draft a".to_owned()));
}
