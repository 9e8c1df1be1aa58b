//! No list of a request makes writing it worse than linear.

use serde_json::{Map, json};

use super::{
    all::wire,
    ask::Ask,
    parameter::{Parameter, Refused, Shape},
};
use crate::{
    llm::{Call, testing},
    types::{
        Extra, Image, Message, Part, Prompt, Protocol, Role, ToolCall, ToolDefinition, TurnExtras,
        growth::assert_linear,
    },
};

fn made(number: usize) -> ToolCall {
    ToolCall { id: format!("call_{number:06}"), name: format!("f{number}"), arguments: "{}".into() }
}

fn result(id: Option<String>, name: Option<String>) -> Message {
    Message { tool_call_id: id, tool_name: name, ..Message::text(Role::Tool, "ok") }
}

/// One turn with these calls, and these results behind it.
fn called(
    calls: impl Iterator<Item = ToolCall>,
    results: impl Iterator<Item = Message>,
) -> Vec<Message> {
    let calling = Message { tool_calls: calls.collect(), ..Message::text(Role::Assistant, "") };
    std::iter::once(calling).chain(results).collect()
}

fn by_id(number: usize) -> Message {
    result(Some(made(number).id), None)
}

fn said(count: usize, roles: &[Role]) -> Vec<Message> {
    let roles = roles.iter().cycle().take(count);
    roles.map(|role| Message::text(*role, "some words")).collect()
}

/// A turn whose parts and calls all came with something beside them.
fn laden(count: usize) -> Vec<Message> {
    let field = || Map::from_iter([("x".to_owned(), json!({"y": 1}))]);
    let mut extras = TurnExtras::default();
    extras.unknown.parts = (0..count).map(|place| (place, field())).collect();
    extras.unknown.calls = (0..count).map(|place| (place, field())).collect();
    extras.state.calls = (0..count).rev().map(|number| (made(number).id, field())).collect();
    extras.state.details = (0..count).map(|index| json!({"index": index})).collect();
    let mut turns = called((0..count).map(made), (0..count).map(by_id));
    if let Some(turn) = turns.first_mut() {
        turn.parts = (0..count).map(|_| Part::Text("word".into())).collect();
        turn.extras = Some(Box::new(extras));
    }
    turns
}

/// Texts before a picture, and others that are joined with them.
fn pictured(count: usize) -> Vec<Message> {
    let image = Image::Inline { media_type: "image/png".into(), base64: "QUJD".into() };
    let mut first = Message::text(Role::User, "");
    first.parts = (0..count).map(|_| Part::Text("word".into())).collect();
    first.parts.push(Part::Image(image));
    std::iter::once(first).chain(said(count, &[Role::User])).collect()
}

type Conversations = [(&'static str, fn(usize) -> Vec<Message>); 10];

const CONVERSATIONS: Conversations = [
    ("results in order", |n| called((0..n).map(made), (0..n).map(by_id))),
    ("results in reverse", |n| called((0..n).map(made), (0..n).rev().map(by_id))),
    ("results by name", |n| {
        let results = (0..n).rev().map(|number| result(None, Some(made(number).name)));
        called((0..n).map(made), results)
    }),
    ("results of nothing", |n| called((0..n).map(made), (0..n).map(|_| result(None, None)))),
    ("unknown ids", |n| called((0..n).map(made), (n..2 * n).map(by_id))),
    ("turns of tools", |n| {
        let turn = |number| called([made(number)].into_iter(), [by_id(number)].into_iter());
        (0..n).flat_map(turn).collect()
    }),
    ("leading instructions", |n| said(n, &[Role::System])),
    ("late instructions", |n| said(n, &[Role::User, Role::System, Role::Assistant])),
    ("fields and state", laden),
    ("a picture", pictured),
];

fn growing(count: usize, messages: Vec<Message>, protocol: Protocol) -> Call {
    let tool = |number| ToolDefinition {
        name: made(number).name,
        description: None,
        parameters: Some(json!({"type": "object"})),
        strict: None,
        unknown: Map::new(),
    };
    let prompt = Prompt {
        tools: (0..count).map(tool).collect(),
        stop: (0..count).map(|number| format!("stop {number}")).collect(),
        extra: Some(Extra::new(protocol, Map::new())),
        ..Prompt::default()
    };
    let messages = said(1, &[Role::User]).into_iter().chain(messages).collect::<Vec<_>>();
    Call { messages: messages.into(), turns_of: Some(1), prompt, ..testing::call("") }
}

#[test]
fn a_body_takes_a_time_that_is_linear_in_every_list() {
    let shapes = [
        Shape::OneSystem,
        Shape::NoSystem,
        Shape::ThoughtfulCalls,
        Shape::Alternating,
        Shape::PersonLast,
    ];
    let variants: [Refused; 3] = [
        Refused::new(),
        shapes.map(Parameter::Shape).into_iter().collect(),
        [Parameter::Tools, Parameter::Shape(Shape::Alternating)].into_iter().collect(),
    ];
    for protocol in Protocol::ALL {
        let config = testing::model(protocol, "http://127.0.0.1:1");
        for (what, conversation) in CONVERSATIONS {
            // Before tools become text, protocols are not asked.
            let variants =
                if protocol == Protocol::OpenAi { &variants[..] } else { &variants[..2] };
            for refused in variants {
                assert_linear(
                    &format!("{what}, {protocol:?}, {refused:?}"),
                    |count| growing(count, conversation(count), protocol),
                    |call| wire(protocol).body(&Ask { config: &config, call: &call, refused }),
                );
            }
        }
    }
}
