use proptest::prelude::*;

use super::*;
use crate::{
    llm::{protocol::all::wire, testing},
    types::{Protocol, ToolCall},
};

/// The turns of a conversation: what the person says, what the model does.
#[derive(Clone, Debug)]
enum Exchange {
    Says(String),
    Answers(String),
    CallsTools(usize),
}

fn conversation(exchanges: &[Exchange]) -> Vec<Message> {
    let mut messages = vec![
        Message::text(Role::System, "be kind"),
        Message::text(Role::User, "the first question"),
    ];
    for (turn, exchange) in exchanges.iter().enumerate() {
        let id = |call: usize| format!("call-{turn}-{call}");
        match exchange {
            Exchange::Says(text) => messages.push(Message::text(Role::User, text)),
            Exchange::Answers(text) => {
                messages.push(Message::text(Role::Assistant, text));
                messages.push(Message::text(Role::User, "and then?"));
            }
            Exchange::CallsTools(count) => {
                let call = |call| ToolCall {
                    id: id(call),
                    name: "f".to_owned(),
                    arguments: "{}".to_owned(),
                };
                let mut calling = Message::text(Role::Assistant, "");
                calling.tool_calls = (0..*count).map(call).collect();
                messages.push(calling);
                messages.extend((0..*count).map(|call| Message {
                    tool_call_id: Some(id(call)),
                    ..Message::text(Role::Tool, "42")
                }));
            }
        }
    }
    messages
}

/// A body's prompt in pieces, as they are written one behind the other.
fn written(protocol: Protocol, messages: Vec<Message>, appendix: &str) -> Vec<String> {
    let config = testing::model(protocol, "http://127.0.0.1:1/v1");
    let call = Call {
        messages: messages.into(),
        appendix: Some(appendix.into()),
        ..testing::call_with_tools()
    };
    let ask = Ask { config: &config, call: &call, refused: &Refused::new() };
    let body = wire(protocol).body(&ask).into_value();
    let mut pieces = vec![body["tools"].to_string(), body["system"].to_string()];
    pieces.push(body["systemInstruction"].to_string());
    let messages = body["messages"].as_array().or(body["contents"].as_array()).unwrap();
    for message in messages {
        match message["content"].as_array().or(message["parts"].as_array()) {
            Some(blocks) => pieces.extend(blocks.iter().map(Value::to_string)),
            None => pieces.push(message.to_string()),
        }
    }
    pieces
}

proptest! {
    #[test]
    fn a_prompt_grows_only_at_its_end_from_turn_to_turn(
        exchanges in prop::collection::vec(
            prop_oneof![
                "[a-z]{1,8}".prop_map(Exchange::Says),
                "[a-z]{1,8}".prop_map(Exchange::Answers),
                (1usize..3).prop_map(Exchange::CallsTools),
            ],
            1..8,
        ),
        at in 0usize..8,
    ) {
        let now = conversation(&exchanges[..at.min(exchanges.len() - 1)]);
        let later = conversation(&exchanges);
        for protocol in Protocol::ALL {
            let mut now = written(protocol, now.clone(), "DRAFTS-OF-NOW");
            let last = now.pop().unwrap();
            prop_assert!(last.contains("DRAFTS-OF-NOW"), "{last}");
            let later = written(protocol, later.clone(), "DRAFTS-OF-LATER");
            prop_assert_eq!(&later[..now.len()], &now[..]);
            prop_assert!(later.last().unwrap().contains("DRAFTS-OF-LATER"));
        }
    }

    #[test]
    fn numbers_are_written_as_people_write_them(
        value in prop_oneof![
            (-200_000i32..200_000).prop_map(|hundredths| hundredths as f32 / 100.0),
            (-2_000_000i32..2_000_000).prop_map(|thousandths| thousandths as f32 / 1000.0),
            any::<f32>(),
        ],
    ) {
        let written = match value.is_finite() {
            true => value.to_string().parse().ok().and_then(Number::from_f64),
            false => None,
        };
        prop_assert_eq!(number(value), written.map_or(Value::Null, Value::Number));
    }
}
