//! The place of the drafts in a writer's prompt, and how much of them it holds.

use serde_json::{Value, json};

use crate::support::{Script, Seen, Setup, Upstream, four_stages};

/// The plain case with every model of one protocol, retries aside.
fn panel(protocol: &str, keys: &str) -> Setup {
    let models = ["judge", "writer", "a", "b", "c"];
    let setup = four_stages(&["a", "b", "c"]).without_retries();
    let keys = format!("protocol = \"{protocol}\"\n{keys}");
    let mut setup = models.iter().fold(setup, |setup, model| setup.model_keys(model, &keys));
    // Also where a turn only brings results of tools.
    setup.plan()["policy"] = json!({"tool_turns": "panel"});
    setup
}

/// A prompt in pieces, in the order in which a model reads them.
fn pieces(seen: &Seen) -> Vec<String> {
    let body = &seen.body;
    let first = [&body["tools"], &body["system"], &body["systemInstruction"]];
    let mut pieces: Vec<String> = first.map(Value::to_string).into();
    let messages = body["messages"].as_array().or(body["contents"].as_array()).unwrap();
    for message in messages {
        match message["content"].as_array().or(message["parts"].as_array()) {
            Some(blocks) => pieces.extend(blocks.iter().map(Value::to_string)),
            None => pieces.push(message.to_string()),
        }
    }
    pieces
}

/// A conversation of an agent, ever longer.
fn turns() -> Vec<Vec<Value>> {
    let call = json!({"id": "call_1", "type": "function",
        "function": {"name": "read", "arguments": "{\"path\":\"a.txt\"}"}});
    let all = [
        vec![json!({"role": "system", "content": "You are an agent."})],
        vec![json!({"role": "user", "content": "Read a.txt."})],
        vec![
            json!({"role": "assistant", "content": null, "tool_calls": [call]}),
            json!({"role": "tool", "tool_call_id": "call_1", "content": "what it says"}),
        ],
        vec![
            json!({"role": "assistant", "content": "It says what it says."}),
            json!({"role": "user", "content": "And b.txt?"}),
        ],
    ];
    (2..=all.len()).map(|count| all[..count].concat()).collect()
}

#[tokio::test]
async fn the_drafts_come_last_and_the_prompt_before_them_stays_from_turn_to_turn() {
    for protocol in ["openai", "ollama", "anthropic", "gemini"] {
        let upstream = Upstream::start([
            ("judge", Script::judges_for("draft of b")),
            ("writer", Script::says("the answer")),
            ("a", Script::says("draft of a")),
            ("b", Script::says("draft of b")),
            ("c", Script::says("something else by c")),
        ])
        .await;
        let chorus = panel(protocol, "").over(&upstream).await;
        let mut before: Vec<String> = Vec::new();
        let tools = json!([{"type": "function", "function": {"name": "read",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}}}]);
        for (turn, messages) in turns().into_iter().enumerate() {
            let body = json!({"model": "chorus", "messages": messages, "tools": tools,
                "stream": turn % 2 == 0});
            let response = chorus.post("/v1/chat/completions", &body).await;
            assert_eq!(response.status(), 200, "{protocol} {turn}");
            drop(response.text().await.unwrap());
            let writer = upstream.seen_by("writer").pop().unwrap();
            assert_eq!(writer.drafts()[0], "draft of b", "{protocol} {turn}: the best first");
            assert_eq!(writer.drafts().len(), 3, "{protocol} {turn}");
            let mut prompt = pieces(&writer);
            let last = prompt.pop().unwrap();
            assert!(last.contains("draft of a") && last.contains("it is the one"), "{last}");
            let reply = last.contains("not a message of the user");
            let in_a_turn_of_its_own = last.contains("\"role\":\"system\"");
            assert!(reply, "{protocol}: {last}");
            assert_eq!(in_a_turn_of_its_own, matches!(protocol, "openai" | "ollama"), "{last}");
            assert!(!prompt.concat().contains("draft of"), "{protocol} {turn}: {prompt:?}");
            assert!(prompt.starts_with(&before), "{protocol} {turn}: {prompt:?} {before:?}");
            before = prompt;
        }
    }
}

/// A paragraph that is about so many bytes long, and whose.
fn long(whose: &str, bytes: usize) -> String {
    let sentence = format!("This is what {whose} has to say of it. ");
    format!("{} END-OF-{whose}", sentence.repeat(bytes / sentence.len()))
}

struct Shown {
    /// How much of each draft the writer saw, best first.
    lengths: Vec<usize>,
    /// The warnings of the run.
    warnings: Value,
}

/// A run over drafts of 6 KB, the one of `b` best.
async fn shown(protocol: &str, keys: &str, more: &Value) -> (Upstream, Shown) {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("what b has")),
        ("writer", Script::says("the answer")),
        ("a", Script::says(&long("a", 6000))),
        ("b", Script::says(&long("b", 6000))),
        ("c", Script::says(&long("c", 6000))),
    ])
    .await;
    let chorus = panel(protocol, keys).over(&upstream).await;
    let path = if more.get("options").is_some() { "/api/chat" } else { "/v1/chat/completions" };
    let mut body = json!({"model": "chorus", "stream": false, "include_workflow": true,
        "messages": [{"role": "user", "content": "what is it?"}]});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let (status, answer) = chorus.ask(path, &body).await;
    assert_eq!(status, 200, "{answer}");
    let writer = upstream.seen_by("writer").pop().unwrap();
    let lengths = writer.drafts().iter().map(String::len).collect();
    let warnings = answer["workflow"]["warnings"].clone();
    (upstream, Shown { lengths, warnings })
}

fn history(bytes: usize) -> Value {
    json!([{"role": "user", "content": "x".repeat(bytes)}])
}

#[tokio::test]
async fn a_large_limit_of_the_answer_does_not_starve_the_drafts() {
    let more = json!({"max_tokens": 32_000, "messages": history(50 * 1024)});
    let (_upstream, shown) = shown("openai", "context_tokens = 32768", &more).await;
    assert!(shown.lengths.len() == 3 && shown.lengths.iter().all(|length| *length > 5900));
    assert_eq!(shown.warnings, Value::Null, "nothing was cut");
}

#[tokio::test]
async fn drafts_that_do_not_fit_are_never_cut_in_silence_and_the_best_one_is_cut_last() {
    for protocol in ["openai", "ollama", "anthropic", "gemini"] {
        for (bytes, whole, others) in [(8_000, true, 2), (10_500, true, 0), (30_000, false, 0)] {
            let more = json!({"messages": history(bytes)});
            let (_upstream, shown) = shown(protocol, "context_tokens = 8192", &more).await;
            let lengths = &shown.lengths;
            assert_eq!(lengths[0] > 5900, whole, "{protocol} {bytes}: {lengths:?}");
            assert!(lengths.iter().all(|length| *length >= 1000), "{protocol} {bytes}: crumbs");
            assert_eq!(lengths.len(), 1 + others, "{protocol} {bytes}: {lengths:?}");
            let warnings = shown.warnings.to_string();
            let want = r#"{"stage":"synthesizer","name":"writer","code":"drafts_cut"}"#;
            assert!(warnings.contains(want), "{protocol} {bytes}: {warnings}");
        }
    }
}

/// An agent's tools fill a small context, by the estimate; a few words more do not matter then.
#[tokio::test]
async fn short_drafts_are_all_shown_even_where_no_room_is_left() {
    for protocol in ["openai", "ollama", "anthropic", "gemini"] {
        let upstream = Upstream::start([
            ("judge", Script::judges_for("what b has")),
            ("writer", Script::says("the answer")),
            ("a", Script::says("It is what a has.")),
            ("b", Script::says("It is what b has.")),
            ("c", Script::says("It is what c has.")),
        ])
        .await;
        let chorus = panel(protocol, "context_tokens = 8192").over(&upstream).await;
        let body =
            json!({"model": "chorus", "include_workflow": true, "messages": history(30_000)});
        let (status, answer) = chorus.ask("/v1/chat/completions", &body).await;
        assert_eq!(status, 200, "{protocol}: {answer}");
        assert_eq!(upstream.seen_by("writer").pop().unwrap().drafts().len(), 3, "{protocol}");
        assert_eq!(answer["workflow"]["warnings"], Value::Null, "{protocol}");
    }
}

#[tokio::test]
async fn a_larger_context_of_the_request_is_the_one_of_its_run() {
    for (wanted, used, cut) in [(32_768, 32_768, false), (2048, 8192, true)] {
        let more = json!({"options": {"num_ctx": wanted}, "messages": history(8_000)});
        let (upstream, shown) = shown("ollama", "", &more).await;
        for seen in upstream.seen() {
            assert_eq!(seen.body["options"]["num_ctx"], used, "{}", seen.model());
        }
        assert_eq!(shown.warnings.to_string().contains("drafts_cut"), cut, "{wanted}");
    }
}

fn roles(seen: &Seen) -> Vec<String> {
    let messages = seen.body["messages"].as_array().cloned().unwrap_or_default();
    messages.iter().map(|message| message["role"].as_str().unwrap().to_owned()).collect()
}

/// Many chat templates take one system message, or turns that alternate.
#[tokio::test]
async fn a_template_without_late_system_turns_gets_the_drafts_from_the_person_and_is_remembered() {
    let no_late_system = |seen: &Seen| !roles(seen).iter().skip(1).any(|role| role == "system");
    let alternating = |seen: &Seen| {
        let roles: Vec<_> = roles(seen).into_iter().skip_while(|role| role == "system").collect();
        roles.iter().enumerate().all(|(at, role)| role == ["user", "assistant"][at % 2])
    };
    type Takes = fn(&Seen) -> bool;
    let templates: [(Takes, &str); 2] = [
        (no_late_system, "System message must be at the beginning."),
        (alternating, "Conversation roles must alternate user/assistant/user/assistant/..."),
    ];
    for protocol in ["openai", "ollama"] {
        for (takes, words) in templates {
            for stream in [true, false] {
                let upstream = Upstream::start([
                    ("judge", Script::judges_for("")),
                    ("writer", Script::says("the answer").takes_only(takes, words)),
                    ("a", Script::says("draft of a")),
                    ("b", Script::says("another by b")),
                    ("c", Script::says("something else by c")),
                ])
                .await;
                let chorus = panel(protocol, "").over(&upstream).await;
                for calls in [2, 3] {
                    let body = json!({"model": "chorus", "stream": stream, "messages": [
                        {"role": "system", "content": "Be brief."},
                        {"role": "user", "content": "THE-QUESTION"}]});
                    let response = chorus.post("/v1/chat/completions", &body).await;
                    let (status, reply) = (response.status(), response.text().await.unwrap());
                    assert_eq!(status, 200, "{protocol} {words}: {reply}");
                    assert!(!reply.contains("warnings"), "{protocol} {words}: {reply}");
                    let seen = upstream.seen_by("writer");
                    assert_eq!(seen.len(), calls, "{protocol} {words}: asked once more, once");
                    let last = seen.last().unwrap();
                    assert_eq!(roles(last), ["system", "user"], "{protocol} {words}");
                    let question = last.question();
                    assert!(question.starts_with("THE-QUESTION"), "{question}");
                    assert!(question.contains("draft of a"), "{question}");
                }
            }
        }
    }
}
