//! Conversations as short words: `s:x u:y a:z`.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn said(text: &str) -> Vec<Message> {
    let turn = |turn: &str| {
        let (role, words) = turn.split_once(':').unwrap();
        let role = match role {
            "s" => Role::System,
            "u" => Role::User,
            "a" => Role::Assistant,
            _ => Role::Tool,
        };
        Message::text(role, words)
    };
    text.split_whitespace().map(turn).collect()
}

fn shown(messages: &[Message]) -> String {
    let turn = |message: &Message| {
        let role = message.role.as_str().chars().next().unwrap();
        let role = if message.role == Role::Tool { 't' } else { role };
        format!("{role}:{}", message.joined_text().replace("\n\n", "+").replace(' ', "_"))
    };
    messages.iter().map(turn).collect::<Vec<_>>().join(" ")
}

fn mended(text: &str, shapes: &[Shape]) -> String {
    let mut messages = said(text);
    tidy(&mut messages);
    mend(&mut messages, &shapes.iter().map(|shape| Parameter::Shape(*shape)).collect());
    shown(&messages)
}

#[test]
fn leading_system_messages_are_one_and_later_ones_stay() {
    for (text, want) in [
        ("s:a s:b u:c", "s:a+b u:c"),
        ("s:a s: s:b u:c", "s:a+b u:c"),
        ("u:a s:b u:c", "u:a s:b u:c"),
        ("s:a s:b u:c s:d s:e", "s:a+b u:c s:d s:e"),
        ("s: u:a a: u:b", "u:a u:b"),
        ("s:a", "s:a"),
        ("u:", "u:"),
        ("s:", "s:"),
    ] {
        assert_eq!(mended(text, &[]), want, "{text}");
    }
}

#[test]
fn what_a_template_refuses_is_mended() {
    use Shape::{Alternating, NoSystem, OneSystem, PersonLast};
    let opens = MODEL_OPENS.replace(' ', "_");
    for (text, shapes, want) in [
        ("s:a u:b s:c u:d", vec![OneSystem], "s:a+c u:b u:d".to_owned()),
        ("u:b s:c u:d", vec![OneSystem, Alternating], "s:c u:b+d".into()),
        ("s:a u:b s:c", vec![NoSystem], "u:a+b u:c".into()),
        ("s:a u:b s:c", vec![OneSystem], "s:a u:b u:c".into()),
        ("s:a u:b s:c", vec![Alternating], "s:a u:b+c".into()),
        ("s:a a:b", vec![NoSystem, Alternating], "u:a a:b".into()),
        ("s:x u:a u:b a:c a:d u:e", vec![Alternating], "s:x u:a+b a:c+d u:e".into()),
        ("a:b u:c", vec![Alternating], format!("u:{opens} a:b u:c")),
        ("u:a a:b t:c t:d u:e", vec![Alternating], "u:a a:b t:c t:d u:e".into()),
        ("u:a a:b", vec![PersonLast], "u:a a:b u:Go_on.".into()),
        ("u:a", vec![PersonLast], "u:a".into()),
    ] {
        assert_eq!(mended(text, &shapes), want, "{text} {shapes:?}");
    }
}

#[test]
fn refusals_name_the_shape() {
    let refuse = |status, words: &str, text: &str| {
        let body = json!({"error": {"message": words}}).to_string();
        let refusal = Refusal::of_response(status, body.as_bytes());
        refused(&refusal, &refusal.words(), &said(text), &Body::default())
    };
    let shape = |shape| Some(Parameter::Shape(shape));
    for (status, words, text, want) in [
        (400, "System message must be at the beginning.", "u:a s:b u:c", shape(Shape::OneSystem)),
        (
            500,
            "Conversation roles must alternate user/assistant/user/assistant/...",
            "u:a u:b",
            shape(Shape::Alternating),
        ),
        (
            400,
            "After the optional system message, conversation roles must alternate \
             user/assistant/user/assistant/...",
            "s:x u:a s:b u:c",
            shape(Shape::Alternating),
        ),
        (400, "System role not supported", "s:a u:b", shape(Shape::NoSystem)),
        (400, "System role not supported", "u:b", None),
        (
            400,
            "Expected last role User or Tool (or Assistant with prefix True) for serving but got \
             assistant",
            "u:a a:b",
            shape(Shape::PersonLast),
        ),
        (403, "System message must be at the beginning.", "u:a s:b u:c", None),
        (
            400,
            "Expected last role User or Tool (or Assistant with prefix True) for serving but got system",
            "s:a u:b s:c",
            shape(Shape::OneSystem),
        ),
        (
            500,
            "Only user and assistant roles are supported, with the exception of an initial optional \
             system message!",
            "s:a u:b s:c",
            shape(Shape::OneSystem),
        ),
        (
            422,
            "messages.1.role: Input should be 'user', 'assistant' or 'tool'",
            "u:a s:b u:c",
            shape(Shape::OneSystem),
        ),
        (
            400,
            "messages.0.role: Input should be 'user' or 'assistant'",
            "s:a u:b",
            shape(Shape::NoSystem),
        ),
        (400, "Only user and assistant roles are supported!", "s:a u:b", shape(Shape::NoSystem)),
        (
            400,
            "This model only supports single system message",
            "s:a u:b s:c",
            shape(Shape::OneSystem),
        ),
        (400, "system messages are only allowed at the start", "u:b s:c", shape(Shape::OneSystem)),
        (400, "messages 参数非法：system 消息只能位于首位", "u:b s:c u:d", shape(Shape::OneSystem)),
        (400, "The system is busy", "u:b s:c u:d", None),
        (400, "the model is asleep", "u:a s:b u:c", None),
    ] {
        assert_eq!(refuse(status, words, text), want, "{words}");
    }
}

proptest! {
    #[test]
    fn a_mended_conversation_is_of_the_demanded_shape(
        turns in prop::collection::vec(("[sua]", "[a-z]{1,3}"), 1..8),
    ) {
        use Shape::{Alternating, OneSystem, PersonLast};
        let text: Vec<String> = turns.iter().map(|(role, text)| format!("{role}:{text}")).collect();
        let mut messages = said(&text.join(" "));
        tidy(&mut messages);
        let all = [OneSystem, Alternating, PersonLast].map(Parameter::Shape).into_iter().collect();
        mend(&mut messages, &all);
        let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
        prop_assert!(roles.iter().skip(1).all(|role| *role != Role::System));
        prop_assert!(roles.windows(2).all(|pair| pair[0] != pair[1]));
        let spoken = roles.iter().find(|role| **role != Role::System);
        prop_assert!(spoken.is_none_or(|first| *first == Role::User));
        prop_assert!(spoken.is_none() || roles.last() == Some(&Role::User));
    }
}
