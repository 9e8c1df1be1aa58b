//! Conversations that not every member of a panel takes as they are: each gets one that it takes, and
//! no member's demand changes what the others are shown.

use serde_json::{Value, json};

use crate::support::{Script, Seen, Upstream, four_stages};

const CHAT: &str = "/v1/chat/completions";

/// What a template says of a conversation that it does not take.
type Demand = fn(&Seen) -> Option<String>;

fn roles(seen: &Seen) -> Vec<String> {
    let turns = seen.body["messages"].as_array().cloned().unwrap_or_default();
    turns.iter().map(|turn| turn["role"].as_str().unwrap_or_default().to_owned()).collect()
}

fn ends_with_a_person(seen: &Seen) -> Option<String> {
    let words = "This model does not support assistant message prefill. The conversation must end \
                 with a user message.";
    (roles(seen).last()? == "assistant").then(|| words.to_owned())
}

fn alternates(seen: &Seen) -> Option<String> {
    let words = "Conversation roles must alternate user/assistant/user/assistant/...";
    let spoken = roles(seen).into_iter().filter(|role| role != "system");
    let uneven = spoken.zip(["user", "assistant"].iter().cycle()).any(|(role, want)| role != *want);
    uneven.then(|| words.to_owned())
}

fn has_no_system(seen: &Seen) -> Option<String> {
    let has_one = roles(seen).iter().any(|role| role == "system");
    has_one.then(|| "System role not supported".to_owned())
}

#[tokio::test]
async fn each_member_gets_the_conversation_that_it_takes_and_it_is_remembered() {
    let said = |role: &str, text: &str| json!({"role": role, "content": text});
    let (opened, twice) = (
        json!([said("user", "Who are you?"), said("assistant", "I am")]),
        json!([said("user", "Hi."), said("user", "Who are you?")]),
    );
    let led = json!([said("system", "Be brief."), said("user", "Who are you?")]);
    let cases: [(&str, &Value, Demand); 7] = [
        ("openai", &opened, ends_with_a_person),
        ("ollama", &opened, ends_with_a_person),
        ("anthropic", &opened, ends_with_a_person),
        ("openai", &twice, alternates),
        ("ollama", &twice, alternates),
        ("openai", &led, has_no_system),
        ("ollama", &led, has_no_system),
    ];
    for (protocol, history, demand) in cases {
        let upstream = Upstream::start([
            ("judge", Script::judges_for("")),
            ("picky", Script::says("a clerk of this house").objects(demand)),
            ("free", Script::says("nobody at all")),
            ("writer", Script::fuses()),
        ])
        .await;
        let keys = format!("protocol = \"{protocol}\"");
        let setup = four_stages(&["picky", "free"]).model_keys("picky", &keys).without_retries();
        let chorus = setup.over(&upstream).await;
        let body = json!({"model": "chorus", "messages": history, "include_workflow": true});
        for calls in [2, 3] {
            let (status, answer) = chorus.ask(CHAT, &body).await;
            let case = format!("{protocol} {history}: {answer}");
            assert_eq!(status, 200, "{case}");
            for worker in answer["workflow"]["workers"].as_array().expect("workers") {
                assert_eq!(worker["status"], "ok", "{case}");
            }
            let seen = upstream.seen_by("picky");
            assert_eq!(seen.len(), calls, "{case}: refused once and remembered");
            let last = seen.last().expect("a call");
            assert_eq!(demand(last), None, "{case}");
            for turn in history.as_array().expect("turns") {
                let text = turn["content"].as_str().expect("a text");
                assert!(last.text().contains(text), "{case}: nothing is lost");
            }
            let other = upstream.seen_by("free").pop().expect("a call");
            let as_sent = history.as_array().expect("turns").iter();
            let as_sent: Vec<&str> = as_sent.filter_map(|turn| turn["role"].as_str()).collect();
            assert_eq!(roles(&other), as_sent, "{case}: the others get it as it is");
        }
    }
}
