//! What is spliced in is what would have been written there anyway.

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    config::Mode,
    llm::{
        Call, Conversation,
        protocol::{
            all::wire,
            ask::Ask,
            parameter::{Parameter, Refused},
        },
        testing,
    },
    types::{Image, Message, OutputFormat, Part, Prompt, Protocol, Role, ToolCall, ToolChoice},
};

fn part() -> impl Strategy<Value = Part> {
    let text =
        prop_oneof![Just(String::new()), Just(" \n".into()), "\\PC{0,12}", "[\\x00-\\x7f]{0,8}"];
    prop_oneof![
        6 => text.prop_map(Part::Text),
        1 => Just(Part::Image(Image::Inline { media_type: "image/png".into(), base64: "QQ==".into() })),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let role = prop_oneof![
        1 => Just(Role::System),
        3 => Just(Role::User),
        3 => Just(Role::Assistant),
        1 => Just(Role::Tool),
    ];
    let arguments = prop_oneof![Just("{\"a\":1.50}"), Just("[1]"), Just("not JSON"), Just("")];
    let call = ("[ab]?", arguments).prop_map(|(id, arguments)| ToolCall {
        id,
        name: "f".into(),
        arguments: arguments.into(),
    });
    let calls = prop::collection::vec(call, 0..3);
    (role, prop::collection::vec(part(), 0..3), calls, prop::option::of("[abc]")).prop_map(
        |(role, parts, calls, id)| Message {
            role,
            parts,
            tool_calls: if role == Role::Assistant { calls } else { Vec::new() },
            tool_call_id: id.filter(|_| role == Role::Tool),
            tool_name: None,
            extras: None,
        },
    )
}

fn call() -> impl Strategy<Value = Call> {
    let choice = prop::option::of(prop_oneof![
        Just(ToolChoice::None),
        Just(ToolChoice::Auto),
        Just(ToolChoice::Required),
    ]);
    let format = prop_oneof![3 => Just(OutputFormat::Text), 1 => Just(OutputFormat::Json)];
    (prop::collection::vec(message(), 0..6), any::<bool>(), choice, format).prop_map(
        |(messages, tools, tool_choice, format)| {
            let call = if tools { testing::call_with_tools() } else { testing::call("") };
            let prompt = Prompt { tool_choice, format, ..call.prompt };
            Call { messages: messages.into(), prompt, ..call }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_body_is_the_same_spliced_or_not_and_for_every_call_that_shares_the_messages(
        call in call(),
        plain in any::<bool>(),
        refused in prop::collection::btree_set(
            prop_oneof![Just(Parameter::Tools), Just(Parameter::PlaceholderSignature)],
            0..2,
        ),
    ) {
        for protocol in Protocol::ALL {
            let mode = if plain { Mode::Completion } else { Mode::Chat };
            let config = crate::config::Model { mode, ..testing::model(protocol, "http://127.0.0.1:1") };
            let text = |call: &Call, refused: &Refused| {
                let ask = Ask { config: &config, call, refused };
                serde_json::to_string(&wire(protocol).body(&ask)).unwrap()
            };
            let first = text(&call, &refused);
            // Nothing in it is written in another way than a tree of values would be.
            let read: Map<String, Value> = serde_json::from_str(&first).unwrap();
            prop_assert_eq!(&serde_json::to_string(&read).unwrap(), &first);
            // What goes as it is, is not written otherwise than what was bent.
            let ask = Ask { config: &config, call: &call, refused: &refused };
            if !ask.is_plain() {
                let mut written = Written::default();
                let messages = Cow::Owned(ask.bent());
                wire(protocol).conversation(&ask, messages, &mut written);
                for field in written.fields {
                    let text = read[&field.name].to_string();
                    prop_assert_eq!(text.as_bytes(), &field.json[..], "{:?}", protocol);
                }
            }
            // Another worker's call of the same run, one that refused less, and one of its own.
            let again = Call { prompt: Prompt { max_tokens: call.prompt.max_tokens, ..call.prompt.clone()}, ..call.clone() };
            prop_assert_eq!(&text(&again, &refused), &first);
            let own = Conversation::from(call.messages.to_vec());
            for refused in [&refused, &Refused::new()] {
                let own = Call { messages: own.clone(), ..call.clone() };
                prop_assert_eq!(text(&again, refused), text(&own, refused));
            }
        }
    }
}

#[test]
fn what_is_spliced_has_a_place_among_the_fields_and_is_let_go_of_with_them() {
    let call = testing::call("hi");
    let config = testing::model(Protocol::OpenAi, "http://127.0.0.1:1");
    let refused = Refused::new();
    let ask = Ask { config: &config, call: &call, refused: &refused };
    let body = || wire(Protocol::OpenAi).body(&ask);
    let names: Vec<String> = body().keys().take(3).cloned().collect();
    assert_eq!(names, ["model", "messages", "stream"]);
    assert_eq!(body().into_value()["messages"], json!([{"role": "user", "content": "hi"}]));
    let (one, other) = (body(), body());
    let shared = |body: &Body| body.spliced.clone().unwrap();
    assert!(Arc::ptr_eq(&shared(&one), &shared(&other)), "written once");
    let mut one = one;
    one.clear();
    assert_eq!(serde_json::to_string(&one).unwrap(), "{}");
}
