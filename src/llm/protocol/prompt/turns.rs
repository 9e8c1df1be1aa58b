//! Conversations in turns that alternate, each tool call followed by its result. Pure.

use std::collections::HashSet;

use super::{flatten_calls, flatten_result};
use crate::{
    llm::protocol::shape::MODEL_OPENS,
    types::{Message, OpenCalls, Part, Role},
};

/// A conversation in turns that alternate.
pub(in crate::llm) struct Turns {
    /// Every system message, a blank line between them; empty when there is none.
    pub(in crate::llm) system: String,
    /// The person's turn comes first, then the model's, and so on.
    pub(in crate::llm) turns: Vec<Turn>,
}

/// What one side said before the other went on.
#[derive(Debug, PartialEq)]
pub(in crate::llm) struct Turn {
    pub(in crate::llm) by_model: bool,
    /// At least one, none of them empty; results of tools before everything else.
    pub(in crate::llm) messages: Vec<Message>,
}

/// Sorts messages into turns that alternate, for protocols that take no others: neighbours of one
/// side are merged, empty messages left out. A conversation of nothing but instructions is asked as
/// a question. Every call has its result in the next turn; one without the other becomes text.
pub(in crate::llm) fn turns(messages: Vec<Message>) -> Turns {
    let mut system: Vec<String> = Vec::new();
    let mut turns: Vec<Turn> = Vec::new();
    for message in messages {
        if is_blank(&message) {
            continue;
        }
        if message.role == Role::System {
            system.push(message.joined_text());
            continue;
        }
        let by_model = message.role == Role::Assistant;
        match turns.last_mut().filter(|turn| turn.by_model == by_model) {
            Some(turn) => turn.messages.push(message),
            None => turns.push(Turn { by_model, messages: vec![message] }),
        }
    }
    pair_tools(&mut turns);
    for turn in &mut turns {
        turn.messages.sort_by_key(|message| message.role != Role::Tool);
    }
    let mut system = system.join("\n\n");
    if turns.is_empty() && !system.is_empty() {
        turns.push(said_by_person(std::mem::take(&mut system)));
    } else if turns.first().is_some_and(|turn| turn.by_model) {
        turns.insert(0, said_by_person(MODEL_OPENS.to_owned()));
    }
    Turns { system, turns }
}

/// Turns calls without a result, and results without a call, into text.
fn pair_tools(turns: &mut [Turn]) {
    let (mut open, mut answered) = (OpenCalls::default(), Vec::new());
    for turn in turns.iter_mut() {
        let mut waiting = std::mem::take(&mut open);
        let calls = turn.messages.iter().flat_map(|message| &message.tool_calls);
        calls.for_each(|call| open.push(call));
        let mut ids = HashSet::new();
        for message in turn.messages.iter_mut().filter(|message| message.role == Role::Tool) {
            let id = message.tool_call_id.as_deref();
            match id.and_then(|id| waiting.take(Some(id), None)) {
                Some((id, name)) => {
                    message.tool_name.get_or_insert(name);
                    ids.insert(id);
                }
                None => flatten_result(message),
            }
        }
        answered.push(ids);
    }
    let none = HashSet::new();
    let after = answered.iter().skip(1).chain([&none]);
    for (turn, answered) in turns.iter_mut().zip(after).filter(|(turn, _)| turn.by_model) {
        turn.messages.iter_mut().for_each(|message| flatten_calls(message, answered));
    }
}

fn said_by_person(text: String) -> Turn {
    Turn { by_model: false, messages: vec![Message::text(Role::User, text)] }
}

/// An empty result of a tool says something: that it is done.
pub(in crate::llm) fn is_blank(message: &Message) -> bool {
    message.role != Role::Tool
        && message.tool_calls.is_empty()
        && message
            .parts
            .iter()
            .all(|part| matches!(part, Part::Text(text) if text.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::protocol::prompt::{
        link_tools,
        tests::{call, with_tools},
    };

    #[test]
    fn turns_alternate_and_the_person_begins() {
        let said = |role, text: &str| Message::text(role, text);
        let (system, user, model) = (Role::System, Role::User, Role::Assistant);
        let shown = |messages: Vec<Message>| {
            let Turns { system, turns } = turns(messages);
            let turns: Vec<String> = (turns.iter())
                .map(|turn| {
                    let texts: Vec<String> =
                        turn.messages.iter().map(Message::joined_text).collect();
                    format!("{}:{}", if turn.by_model { "m" } else { "u" }, texts.join("|"))
                })
                .collect();
            (system, turns.join(" "))
        };
        for (messages, want_system, want) in [
            (vec![said(user, "a")], "", "u:a".to_owned()),
            (
                vec![said(system, "x"), said(user, "a"), said(system, "y"), said(user, "b")],
                "x\n\ny",
                "u:a|b".into(),
            ),
            (vec![said(user, "a"), said(model, " \n"), said(user, "b")], "", "u:a|b".into()),
            (
                vec![said(model, "a"), said(model, "b"), said(user, "c")],
                "",
                format!("u:{MODEL_OPENS} m:a|b u:c"),
            ),
            (vec![said(system, "a"), said(system, "b")], "", "u:a\n\nb".into()),
            (vec![said(user, "")], "", String::new()),
        ] {
            assert_eq!(shown(messages), (want_system.to_owned(), want));
        }
        let mut messages = with_tools(["a", "b"], [(Some("b"), None), (Some("a"), None)]);
        messages.insert(2, said(user, "and?"));
        link_tools(&mut messages);
        messages.push(said(Role::Tool, "stray"));
        let turns = turns(messages).turns;
        let last: Vec<Role> = turns[2].messages.iter().map(|message| message.role).collect();
        assert_eq!(last, [Role::Tool, Role::Tool, Role::User, Role::User]);
        assert_eq!(turns[2].messages[3].joined_text(), "[result of the tool tool]\nstray");
    }

    #[test]
    fn calls_and_results_come_in_pairs() {
        let said = |role, text: &str| Message::text(role, text);
        let calls = |ids: &[&str]| Message {
            tool_calls: ids.iter().map(|id| call(id, "f")).collect(),
            ..said(Role::Assistant, "")
        };
        let result = |id: &str| Message {
            tool_call_id: Some(id.to_owned()),
            tool_name: Some("f".to_owned()),
            ..said(Role::Tool, "42")
        };
        let person = || said(Role::User, "go");
        for (mut messages, want) in [
            (vec![person(), calls(&["a"]), result("a")], "u:go m:<a> u:=a"),
            (vec![person(), calls(&["a"]), person()], "u:go m: u:go"),
            (vec![person(), calls(&["a", "b"]), result("b"), person()], "u:go m:<b> u:=b|go"),
            (vec![person(), calls(&["a"])], "u:go m:"),
            (vec![person(), result("a")], "u:go|[result of the tool f]\n42"),
            (
                vec![person(), calls(&["a"]), result("a"), result("a")],
                "u:go m:<a> u:=a|[result of the tool f]\n42",
            ),
            (
                vec![person(), calls(&["a"]), calls(&["b"]), result("a"), result("b")],
                "u:go m:<a>|<b> u:=a|=b",
            ),
            (
                vec![person(), calls(&["a"]), person(), said(Role::Assistant, "no"), result("a")],
                "u:go m: u:go m:no u:[result of the tool f]\n42",
            ),
        ] {
            link_tools(&mut messages);
            let shown: Vec<String> = (turns(messages).turns.iter())
                .map(|turn| {
                    let messages = turn.messages.iter().map(|message| {
                        let ids: Vec<_> =
                            message.tool_calls.iter().map(|call| call.id.as_str()).collect();
                        match (&message.tool_call_id, ids.as_slice()) {
                            (Some(id), _) => format!("={id}"),
                            (None, []) => message.joined_text(),
                            (None, ids) => format!("<{}>", ids.join(",")),
                        }
                    });
                    let said = if turn.by_model { "m" } else { "u" };
                    format!("{said}:{}", messages.collect::<Vec<_>>().join("|"))
                })
                .collect();
            let shown = shown.join(" ").replace("[called the tool f with {\"a\":1}]", "");
            assert_eq!(shown, want);
        }
    }
}
