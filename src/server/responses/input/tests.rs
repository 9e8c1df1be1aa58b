mod linear;
mod others;

use proptest::prelude::*;
use serde_json::json;

use super::{super::super::test_support::any_json, *};

fn sources(body: Value) -> Sources {
    let Value::Object(mut fields) = body else { panic!("an object") };
    let mut take = |name: &str| fields.remove(name).filter(|value| !value.is_null());
    Sources {
        instructions: take("instructions"),
        messages: take("messages"),
        input: take("input"),
        prompt: take("prompt"),
    }
}

fn read(body: Value) -> Result<Conversation, AppError> {
    conversation(sources(body), Vec::new(), &mut Toolbox::default(), &HashMap::new)
}

/// A conversation at a glance: `role: text`, `[name(arguments)=id]` for calls, `(id name)` of a
/// result, `<image>`.
fn glance(messages: &[Message]) -> Vec<String> {
    messages.iter().map(line).collect()
}

fn line(message: &Message) -> String {
    let mut line = format!("{}:", message.role.as_str());
    if message.role == Role::Tool {
        let id = message.tool_call_id.as_deref().unwrap_or("-");
        line.push_str(&format!(" ({id} {})", message.tool_name.as_deref().unwrap_or("-")));
    }
    for part in &message.parts {
        match part {
            Part::Text(text) => line.push_str(&format!(" {text}")),
            Part::Image(_) | Part::Other(_) => line.push_str(" <image>"),
        }
    }
    for ToolCall { id, name, arguments } in &message.tool_calls {
        line.push_str(&format!(" [{name}({arguments})={id}]"));
    }
    line
}

#[test]
fn prompts_are_built_from_every_source() {
    let png = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA";
    let said = |text: &str| json!({"type": "input_text", "text": text});
    let user = |text: &str| json!({"role": "user", "content": text});
    for (body, want) in [
        (json!({"input": "hi"}), vec!["user: hi"]),
        (json!({"prompt": "hi"}), vec!["user: hi"]),
        (json!({"prompt": ["hi", ["there"]]}), vec!["user: hi there"]),
        (json!({"messages": [user("hi")]}), vec!["user: hi"]),
        (json!({"instructions": "be brief"}), vec!["user: be brief"]),
        (json!({"instructions": "be brief", "input": " \n"}), vec!["user: be brief"]),
        (json!({"instructions": "be brief", "input": "hi"}), vec!["system: be brief", "user: hi"]),
        (
            json!({"instructions": [said("a"), said("b")], "input": "hi"}),
            vec!["system: a\nb", "user: hi"],
        ),
        (json!({"instructions": "", "input": "hi"}), vec!["user: hi"]),
        (
            json!({"prompt": "3", "input": "2", "messages": [user("1")], "instructions": "0"}),
            vec!["system: 0", "user: 1", "user: 2", "user: 3"],
        ),
        // Bare text and parts are one user message; whole messages end it.
        (
            json!({"input": ["a", said("b"), {"type": "text", "text": {"value": "c"}}]}),
            vec!["user: a b c"],
        ),
        (json!({"input": [{"text": "a"}, ["b", [["c"]]]]}), vec!["user: a b c"]),
        (
            json!({"input": ["a", {"role": "assistant", "content": "b"}, "c"]}),
            vec!["user: a", "assistant: b", "user: c"],
        ),
        (json!({"input": [[user("a")], [[user("b")]]]}), vec!["user: a", "user: b"]),
        (
            json!({"input": [{"type": "message", "role": "developer", "id": "msg_1",
                              "status": "completed", "phase": "x", "content": "a"}, user("b")]}),
            vec!["system: a", "user: b"],
        ),
        (
            json!({"input": [{"role": "user", "content": [said("a"), ["b", [said("c")]],
                {"type": "output_text", "text": "d", "annotations": []},
                {"type": "refusal", "refusal": "e"}]}]}),
            vec!["user: a b c d e"],
        ),
        (
            json!({"input": [{"role": "user", "content": [said("see"),
                {"type": "input_image", "image_url": png, "detail": "auto"}]}]}),
            vec!["user: see <image>"],
        ),
        (
            json!({"input": [{"type": "input_image", "image_url": {"url": png}}]}),
            vec!["user: <image>"],
        ),
        (
            json!({"input": [{"type": "input_file", "filename": "a.txt",
                              "file_data": "data:text/plain;base64,aGVsbG8="}]}),
            vec!["user: hello"],
        ),
        // White space counts as missing, wherever it is.
        (
            json!({"input": [user(" "), {"role": "user", "content": [said("\t")]}, "x"]}),
            vec!["user: x"],
        ),
        (
            json!({"input": [{"type": "reasoning", "id": "rs_1", "summary": [],
                              "encrypted_content": "x"}, "a"]}),
            vec!["user: a"],
        ),
        // Chat's own way of calling.
        (
            json!({"messages": [user("a"),
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c1", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "42"}]}),
            vec!["user: a", "assistant: [f({})=c1]", "tool: (c1 f) 42"],
        ),
    ] {
        let messages = read(body.clone()).unwrap().messages;
        assert_eq!(glance(&messages), want, "{body}");
    }
}

#[test]
fn calls_join_the_turn_before_and_results_follow_their_calls() {
    let call = |id: &str, name: &str| {
        json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name,
               "arguments": "{}", "status": "completed"})
    };
    let result = |id: &str, output: Value| json!({"type": "function_call_output", "call_id": id, "output": output});
    let said = |text: &str| json!({"role": "assistant", "content": text});
    for (items, want) in [
        (
            json!([call("1", "f"), result("1", json!("x"))]),
            vec!["assistant: [f({})=1]", "tool: (1 f) x"],
        ),
        (
            json!([
                said("so"),
                call("1", "f"),
                call("2", "g"),
                result("2", json!("y")),
                result("1", json!([{"type": "input_text", "text": "x"}]))
            ]),
            vec!["assistant: so [f({})=1] [g({})=2]", "tool: (2 g) y", "tool: (1 f) x"],
        ),
        (
            json!([
                call("1", "f"),
                result("1", json!("x")),
                call("2", "g"),
                result("2", json!("y"))
            ]),
            vec!["assistant: [f({})=1]", "tool: (1 f) x", "assistant: [g({})=2]", "tool: (2 g) y"],
        ),
        // Reordered to where upstreams want it.
        (
            json!([result("1", json!("")), call("1", "f"), "go on"]),
            vec!["assistant: [f({})=1]", "tool: (1 f) ", "user: go on"],
        ),
        (
            json!([call("1", "f"), "wait", result("1", json!(null))]),
            vec!["assistant: [f({})=1]", "tool: (1 f)", "user: wait"],
        ),
        (
            json!(["hi", {"type": "function_call", "call_id": "1", "name": "f",
                          "arguments": {"a": 1}}]),
            vec!["user: hi", r#"assistant: [f({"a":1})=1]"#],
        ),
    ] {
        let messages = read(json!({"input": items})).unwrap().messages;
        assert_eq!(glance(&messages), want, "{items}");
    }
}

#[test]
fn nothing_asked_is_said_in_the_contracts_words() {
    for body in [
        json!({}),
        json!({"input": null, "messages": null, "prompt": null, "instructions": null}),
        json!({"input": ""}),
        json!({"input": [[], [[" "]]], "messages": [], "prompt": "\n", "instructions": "\t"}),
        json!({"input": [{"type": "reasoning", "summary": []}]}),
        json!({"input": [{"role": "user", "content": []}]}),
    ] {
        let Err(AppError::Invalid { message, param }) = read(body.clone()) else {
            panic!("accepted: {body}");
        };
        let want = "invalid request: missing input/messages/prompt/instructions";
        assert_eq!((message.as_str(), param), (want, None), "{body}");
    }
}

#[test]
fn what_cannot_be_understood_is_named() {
    for (body, param, words) in [
        (json!({"prompt": {"id": "p"}}), "prompt", "stored prompts are not supported"),
        (json!({"input": 5}), "input", "expected text, an item or an array"),
        (json!({"input": [["a", [true]]]}), "input[0][1][0]", "expected text, an item"),
        (json!({"input": [{"type": 5}]}), "input[0].type", "expected text"),
        (json!({"input": [{}]}), "input[0].type", "missing"),
        (json!({"input": [{"type": "message"}]}), "input[0].role", "missing"),
        (json!({"input": [{"role": "robot", "content": "x"}]}), "input[0].role", "expected system"),
        (json!({"input": [{"role": 5}]}), "input[0].role", "expected a string, found a number"),
        (
            json!({"input": [{"role": "user", "content": [["a", {"type": "input_audio"}]]}]}),
            "input[0].content[0][1].type",
            "parts of type 'input_audio' are not supported",
        ),
        (
            json!({"input": [{"role": "user", "content": {"type": "input_text", "text": 5}}]}),
            "input[0].content.text",
            "expected text",
        ),
        (
            json!({"input": [{"type": "input_image", "file_id": "file_1"}]}),
            "input[0].image_url",
            "file ids are not supported",
        ),
        (
            json!({"input": [{"type": "input_file", "file_id": "file_1"}]}),
            "input[0].file_data",
            "only files of text are supported",
        ),
        (json!({"input": [{"type": "function_call", "name": "f"}]}), "input[0].call_id", "missing"),
        (json!({"input": [{"type": "function_call", "call_id": "1"}]}), "input[0].name", "missing"),
        (
            json!({"input": [{"type": "function_call_output", "output": "x"}]}),
            "input[0].call_id",
            "missing",
        ),
        (
            json!({"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]}),
            "input",
            "that no function_call has",
        ),
        (json!({"input": [{"type": "item_reference"}]}), "input[0].id", "missing"),
        (
            json!({"input": [{"type": "item_reference", "id": "msg_1"}]}),
            "input[0].id",
            "no item with this id is kept",
        ),
        (json!({"instructions": 5, "input": "x"}), "instructions", "expected text"),
        (
            json!({"input": "x", "instructions": [{"type": "input_image",
                "image_url": "https://a.example/b.png"}]}),
            "instructions",
            "only text",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]}),
            "messages[0].tool_calls[0].function.name",
            "missing",
        ),
    ] {
        let Err(AppError::Invalid { message, param: at }) = read(body.clone()) else {
            panic!("accepted: {body}");
        };
        assert_eq!(at.as_deref(), Some(param), "{body}: {message}");
        assert!(message.contains(words), "{body}: {message}");
    }
}

#[test]
fn earlier_items_come_first_and_references_find_them() {
    let kept = |id: &str, text: &str| Entry {
        id: Some(id.to_owned()),
        item: Arc::new(Item::Message(Message::text(Role::Assistant, text))),
    };
    let body = json!({"instructions": "be brief", "input": [
        {"type": "item_reference", "id": "msg_1"}, {"id": "msg_2"}, {"id": "msg_2"},
        {"type": "item_reference", "id": "rs_1"}, "and?"]});
    let stored = || HashMap::from([("msg_2".to_owned(), kept("msg_2", "second"))]);
    let read =
        conversation(sources(body), vec![kept("msg_1", "first")], &mut Toolbox::default(), &stored);
    let read = read.unwrap();
    assert_eq!(
        glance(&read.messages),
        ["system: be brief", "assistant: first", "assistant: second", "user: and?"]
    );
    // Instructions are not carried over.
    assert_eq!(read.context.len(), 3);
    assert_eq!(read.instructions.as_deref(), Some("be brief"));
    let earlier = vec![kept("msg_1", "first")];
    let nothing = conversation(sources(json!({})), earlier, &mut Toolbox::default(), &HashMap::new);
    assert!(matches!(nothing, Err(AppError::Invalid { param: None, .. })));
}

/// Text at the leaves of arrays nested anyhow, and the leaves in their order.
fn nested_text() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[a-z]{1,4}".prop_map(Value::from),
        "[a-z]{1,4}".prop_map(|text| json!({"type": "input_text", "text": text})),
        "[a-z]{1,4}".prop_map(|text| json!({"text": {"value": text}})),
        Just(Value::Null),
        Just(json!({"type": "reasoning", "summary": []})),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        proptest::collection::vec(inner, 0..6).prop_map(Value::from)
    })
}

fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| leaves(value, found)),
        Value::Object(fields) => {
            let text = fields.get("text").or(fields.get("value"));
            text.into_iter().for_each(|text| leaves(text, found));
        }
        _ => {}
    }
}

/// Items of every kind, of which many mean nothing.
fn any_item() -> impl Strategy<Value = Value> {
    let kinds = "(message|input_text|text|input_image|input_file|function_call|\
                 function_call_output|reasoning|item_reference|other)";
    (kinds, any_json(), any_json(), "[ab]", proptest::option::of("(user|assistant|tool|system)"))
        .prop_map(|(kind, content, text, id, role)| {
            json!({"type": kind, "role": role, "content": content, "text": text, "output": text,
                   "call_id": id, "id": id, "name": "f", "arguments": content,
                   "image_url": text, "file_data": text, "tool_calls": content})
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn flattening_keeps_every_text_in_order(input in nested_text()) {
        let mut want = Vec::new();
        leaves(&input, &mut want);
        match read(json!({"input": input})) {
            Ok(read) => {
                let texts: Vec<String> = read.messages.iter().map(Message::joined_text).collect();
                prop_assert_eq!(texts.join("\n"), want.join("\n"));
            }
            Err(error) => {
                prop_assert!(want.is_empty());
                prop_assert_eq!(error.to_string(), NOTHING);
            }
        }
    }

    #[test]
    fn no_input_is_worse_than_a_bad_request(
        items in proptest::collection::vec(prop_oneof![any_item(), any_json()], 0..6),
        instructions in any_json(), messages in any_json(), prompt in any_json(),
    ) {
        let body = json!({"input": items, "instructions": instructions, "messages": messages,
                          "prompt": prompt});
        match read(body) {
            Ok(read) => prop_assert!(!read.messages.is_empty() && !read.context.is_empty()),
            Err(error) => prop_assert_eq!(error.status().as_u16(), 400),
        }
    }

    #[test]
    fn every_result_stands_behind_its_call(
        items in proptest::collection::vec((any::<bool>(), 0_u8..4), 0..12)
    ) {
        let input: Vec<Value> = items.iter().map(|(calls, id)| match calls {
            true => json!({"type": "function_call", "call_id": format!("{id}"), "name": "f"}),
            false => json!({"type": "function_call_output", "call_id": format!("{id}"),
                            "output": "x"}),
        }).collect();
        if let Ok(read) = read(json!({"input": input})) {
            let mut open: Vec<String> = Vec::new();
            for message in &read.messages {
                if message.role == Role::Tool {
                    let id = message.tool_call_id.clone().unwrap_or_default();
                    prop_assert!(open.contains(&id));
                } else {
                    open = message.tool_calls.iter().map(|call| call.id.clone()).collect();
                }
            }
        }
    }
}
