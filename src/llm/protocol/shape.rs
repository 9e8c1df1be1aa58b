//! The shape of a conversation: what is made of it for every upstream, and what for those whose chat
//! templates refuse it as it is. Pure.
//!
//! Leading system messages are one for everybody. Whatever else a template may not take is left in
//! place until it is refused: most take it, and moved instructions cost the prompt's cache.

use std::collections::{BTreeSet, HashSet};

use super::{
    body::Body,
    parameter::{Parameter, Refused, Shape},
    prompt,
    upstream_error::{Refusal, words::mentions},
};
use crate::types::{Message, Part, Role, TurnExtras};

/// What is said to a model that is to go on with its own words.
const GO_ON: &str = "Go on.";
/// What stands before a conversation that the model opened.
pub(super) const MODEL_OPENS: &str = "(The assistant speaks first.)";

/// What every upstream gets: leading system messages as one, and no turn that says nothing.
pub(super) fn tidy(messages: &mut Vec<Message>) {
    if messages.iter().any(says_something) {
        messages.retain(|message| {
            says_something(message) || !matches!(message.role, Role::System | Role::Assistant)
        });
    }
    let leading = messages.iter().take_while(|message| message.role == Role::System).count();
    if leading > 1 {
        let rest = messages.split_off(leading);
        let gathered = join(std::mem::take(messages));
        messages.extend(gathered);
        messages.extend(rest);
    }
}

/// Whether that would change nothing.
pub(super) fn is_tidy(messages: &[Message]) -> bool {
    let is_lone = |pair: &[Message]| pair.iter().any(|message| message.role != Role::System);
    let stays = |message: &Message| {
        says_something(message) || !matches!(message.role, Role::System | Role::Assistant)
    };
    messages.get(..2).is_none_or(is_lone) && messages.iter().all(stays)
}

fn says_something(message: &Message) -> bool {
    let says = |part: &Part| !matches!(part, Part::Text(text) if text.trim().is_empty());
    message.parts.iter().any(says)
        || !message.tool_calls.is_empty()
        || message.role == Role::Tool
        || message.extras.is_some()
}

/// Messages of one side as one: the first of them that are nothing but text as one text.
fn join(messages: Vec<Message>) -> Option<Message> {
    let texts = messages.iter().take_while(|message| is_text(message));
    let texts: Vec<String> = texts.map(Message::joined_text).collect();
    let (gathered, mut messages) = (texts.len(), messages.into_iter());
    let mut one = messages.next()?;
    if gathered > 1 {
        let texts: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        one.parts = vec![Part::Text(texts.join("\n\n"))];
    }
    for (place, mut other) in (1..).zip(messages) {
        let (parts, calls) = (one.parts.len(), one.tool_calls.len());
        one.tool_calls.append(&mut other.tool_calls);
        if place < gathered {
            continue;
        }
        one.parts.append(&mut other.parts);
        if let Some(more) = other.extras {
            add_extras(one.extras.get_or_insert_default(), *more, parts, calls);
        }
    }
    Some(one)
}

fn is_text(message: &Message) -> bool {
    message.extras.is_none() && message.parts.iter().all(|part| matches!(part, Part::Text(_)))
}

/// What came with a message whose parts and calls now follow so many others.
fn add_extras(extras: &mut TurnExtras, more: TurnExtras, parts: usize, calls: usize) {
    let (known, new) = (&mut extras.unknown, more.unknown);
    for (name, value) in new.message {
        known.message.entry(name).or_insert(value);
    }
    known.parts.extend(new.parts.into_iter().map(|(at, it)| (at.saturating_add(parts), it)));
    known.calls.extend(new.calls.into_iter().map(|(at, it)| (at.saturating_add(calls), it)));
    let (state, new) = (&mut extras.state, more.state);
    if !state.thoughts.is_empty() && !new.thoughts.is_empty() {
        state.thoughts.push_str("\n\n");
    }
    state.thoughts.push_str(&new.thoughts);
    state.field = state.field.take().or(new.field);
    state.details.extend(new.details);
    state.blocks.extend(new.blocks);
    state.calls.extend(new.calls);
}

/// Bends a conversation to what was refused before.
pub(super) fn mend(messages: &mut Vec<Message>, refused: &Refused) {
    for shape in shapes(refused) {
        match shape {
            Shape::OneSystem => one_system(messages),
            Shape::NoSystem => no_system(messages),
            Shape::ThoughtfulCalls => thoughtful_calls(messages),
            Shape::Alternating | Shape::PersonLast => {}
        }
    }
    // Last, as the others leave neighbours behind. A system message between two turns is one too many
    // for a template that counts them.
    if refused.contains(&Parameter::Shape(Shape::Alternating)) {
        one_system(messages);
        alternate(messages);
    }
    if refused.contains(&Parameter::Shape(Shape::PersonLast)) && ends_with_model(messages) {
        messages.push(Message::text(Role::User, GO_ON));
    }
}

/// Whether anything of a conversation's shape was refused.
pub(super) fn is_refused(refused: &Refused) -> bool {
    shapes(refused).next().is_some()
}

/// Whether a system turn may stand behind the conversation; else the person says it.
pub(super) fn takes_late_system(refused: &Refused) -> bool {
    let against = [Shape::OneSystem, Shape::NoSystem, Shape::Alternating];
    !shapes(refused).any(|shape| against.contains(&shape))
}

fn shapes(refused: &BTreeSet<Parameter>) -> impl Iterator<Item = Shape> {
    refused.iter().filter_map(|parameter| match parameter {
        Parameter::Shape(shape) => Some(*shape),
        _ => None,
    })
}

/// What stands last is about the answer that follows, and stays there as the person's.
fn one_system(messages: &mut Vec<Message>) {
    if messages.len() > 1
        && let Some(last) = messages.last_mut().filter(|last| last.role == Role::System)
    {
        last.role = Role::User;
    }
    let (system, rest): (Vec<_>, Vec<_>) =
        std::mem::take(messages).into_iter().partition(|message| message.role == Role::System);
    messages.extend(join(system));
    messages.extend(rest);
}

fn no_system(messages: &mut Vec<Message>) {
    one_system(messages);
    if messages.first().is_none_or(|first| first.role != Role::System) {
        return;
    }
    let mut said = messages.remove(0);
    said.role = Role::User;
    match messages.first_mut() {
        Some(first) if first.role == Role::User => {
            let person = std::mem::replace(first, Message::text(Role::User, ""));
            join(vec![said, person]).into_iter().for_each(|both| *first = both);
        }
        _ => messages.insert(0, said),
    }
}

/// Tool turns stay as they are: templates that know them do not count them.
fn alternate(messages: &mut Vec<Message>) {
    let opens = messages.iter().position(|message| message.role != Role::System);
    let opened_by_model =
        |at: &usize| messages.get(*at).is_some_and(|message| message.role == Role::Assistant);
    if let Some(at) = opens.filter(opened_by_model) {
        messages.insert(at, Message::text(Role::User, MODEL_OPENS));
    }
    let mut turns: Vec<Vec<Message>> = Vec::new();
    for message in messages.drain(..) {
        let is_counted = matches!(message.role, Role::User | Role::Assistant);
        let goes_on = |turn: &&mut Vec<Message>| {
            is_counted && turn.last().is_some_and(|last| last.role == message.role)
        };
        match turns.last_mut().filter(goes_on) {
            Some(turn) => turn.push(message),
            None => turns.push(vec![message]),
        }
    }
    messages.extend(turns.into_iter().filter_map(join));
}

/// Whether [`alternate`] would change anything.
fn is_uneven(messages: &[Message]) -> bool {
    let mut turns = messages.iter().filter(|message| message.role != Role::System).peekable();
    let opens = turns.peek().is_some_and(|first| first.role == Role::Assistant);
    let mut last = None;
    let neighbours = turns.any(|message| {
        let same = last == Some(message.role) && message.role != Role::Tool;
        last = Some(message.role);
        same
    });
    opens || neighbours
}

fn ends_with_model(messages: &[Message]) -> bool {
    messages.last().is_some_and(|last| last.role == Role::Assistant && last.tool_calls.is_empty())
}

fn thoughtful_calls(messages: &mut [Message]) {
    let bare = |message: &Message| !message.tool_calls.is_empty() && !has_thoughts(message);
    let ids: HashSet<String> = messages
        .iter()
        .filter(|message| bare(message))
        .flat_map(|message| message.tool_calls.iter().map(|call| call.id.clone()))
        .collect();
    for message in messages {
        let answers = message.tool_call_id.as_ref().is_some_and(|id| ids.contains(id));
        if bare(message) || (message.role == Role::Tool && answers) {
            prompt::flatten(message);
        }
    }
}

fn has_thoughts(message: &Message) -> bool {
    message.state().is_some_and(|state| {
        !state.thoughts.is_empty() || !state.details.is_empty() || !state.blocks.is_empty()
    })
}

/// What a refusal says of the shape of a conversation, or of what goes with its turns, which were sent
/// in this body.
pub(super) fn refused(
    refusal: &Refusal,
    words: &str,
    sent: &[Message],
    body: &Body,
) -> Option<Parameter> {
    // llama.cpp reports what a template raises as a fault of its own, gateways as one of theirs.
    if !matches!(refusal.refused_status(), 400 | 422 | 500 | 502 | 503) {
        return None;
    }
    let thoughts = mentions(words, &THOUGHTS);
    let later = body.has_late_system().unwrap_or_else(|| {
        let behind = sent.iter().skip_while(|message| message.role == Role::System);
        behind.into_iter().any(|message| message.role == Role::System)
    });
    let has_system = later || sent.iter().any(|message| message.role == Role::System);
    let calls = sent.iter().any(|message| !message.tool_calls.is_empty() && !has_thoughts(message));
    if thoughts && mentions(words, &DEMANDED) && calls {
        Some(Parameter::Shape(Shape::ThoughtfulCalls))
    } else if thoughts && sent.iter().any(|message| message.state().is_some()) {
        Some(Parameter::TurnState)
    } else if mentions(words, &NO_SYSTEM) && has_system {
        Some(Parameter::Shape(Shape::NoSystem))
    } else if later && is_about_place(words) {
        Some(Parameter::Shape(Shape::OneSystem))
    } else if mentions(words, &ONLY_OTHERS) && has_system {
        Some(Parameter::Shape(Shape::NoSystem))
    } else if ends_with_model(sent) && mentions(words, &PERSON_LAST) {
        Some(Parameter::Shape(Shape::PersonLast))
    } else if mentions(words, &ALTERNATING) && (later || is_uneven(sent)) {
        Some(Parameter::Shape(Shape::Alternating))
    } else {
        None
    }
}

/// Whether words are about where a system message stands, once one stands behind other turns.
fn is_about_place(words: &str) -> bool {
    let is_system = mentions(words, &["system", "developer"]);
    mentions(words, &ROLES)
        || mentions(words, &ONLY_OTHERS)
        || (is_system && mentions(words, &PLACES))
}

/// The names of what goes with turns; everyday words must stand in quotes or as a path.
const THOUGHTS: [&str; 17] = [
    "reasoning_content",
    "reasoning content",
    "reasoning_details",
    "extra_content",
    "thinking_blocks",
    "provider_specific_fields",
    "reasoning_opaque",
    "reasoning_text",
    "redacted_thinking",
    "`thinking`",
    "'thinking'",
    "thinking block",
    "`reasoning`",
    "'reasoning'",
    "\"reasoning\"",
    ".reasoning",
    ".thinking",
];

const DEMANDED: [&str; 8] = [
    "missing",
    "must be passed",
    "must be provided",
    "must be included",
    "must include",
    "is required",
    "must start with",
    "passed back",
];

const NO_SYSTEM: [&str; 7] = [
    "system role not supported",
    "system role is not supported",
    "system message is not supported",
    "system messages are not supported",
    "not support system",
    "not support the system",
    "developer instruction is not enabled",
];

/// Roles that a template knows, the system's not among them: or not there.
const ONLY_OTHERS: [&str; 6] = [
    "only user and assistant roles",
    "only user, assistant",
    "input should be 'user'",
    "role must be in [user",
    "role must be in ['user'",
    "expected role user",
];

/// Phrases about the place of a role; the refusal need not name the role.
const ROLES: [&str; 7] = [
    "unexpected role",
    "unexpected message role",
    "first message can be",
    "expected last role",
    "invalid role",
    "role order",
    "at the beginning",
];

/// Phrases about the place of a system message, and about how many there may be.
const PLACES: [&str; 19] = [
    "first",
    "at the start",
    "beginning",
    "leading",
    "index 0",
    "position",
    "role must be",
    "only one",
    "single",
    "multiple",
    "more than one",
    "at most one",
    "duplicate",
    "第一",
    "首",
    "开头",
    "最前",
    "一条",
    "多条",
];

const PERSON_LAST: [&str; 10] = [
    "last message must",
    "last message should",
    "last role",
    "must end with a user",
    "cannot be the last",
    "last message cannot",
    "does not support assistant message prefill",
    "assistant message prefill",
    "last message to be from",
    "last message is not",
];

const ALTERNATING: [&str; 11] = [
    "roles must alternate",
    "must alternate between",
    "role must alternate",
    "should alternate",
    "alternate user",
    "alternating user",
    "alternating between",
    "after the optional system message",
    "consecutive messages",
    "first message must",
    "first message should",
];

#[cfg(test)]
mod tests;
