//! Whether a turn only brings the results of tools, so that an agent's next step needs no panel. Pure.

use serde_json::Value;

use crate::types::{Message, Part, Role};

/// So much of a result is looked at from its start, and as much from its end, in bytes.
const LOOKED_AT: usize = 4096;

/// A turn that brings nothing but results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToolTurn {
    /// Nothing went wrong, as far as one can see.
    Results,
    /// One of them looks like a failure, by this sign.
    Failure(&'static str),
}

impl ToolTurn {
    /// What kind of such a turn a conversation ends with; `None` when somebody speaks.
    pub(super) fn of(messages: &[Message]) -> Option<Self> {
        let spoken = messages.iter().rev().take_while(|message| message.role != Role::Assistant);
        let mut sign = None;
        let mut brings = false;
        for message in spoken {
            match message.role {
                Role::Tool => {
                    brings = true;
                    sign = sign.or_else(|| failure_in(message));
                }
                Role::User if !is_aside(message) => return None,
                Role::User | Role::System | Role::Assistant => {}
            }
        }
        brings.then(|| sign.map_or(Self::Results, Self::Failure))
    }
}

/// A note that an agent puts beside the results, and no word of its user's.
fn is_aside(message: &Message) -> bool {
    let is_note = |text: &str| {
        let text = text.trim();
        text.is_empty()
            || (text.starts_with("<system-reminder>") && text.ends_with("</system-reminder>"))
    };
    message.parts.iter().all(|part| matches!(part, Part::Text(text) if is_note(text)))
}

fn failure_in(message: &Message) -> Option<&'static str> {
    let text = message.joined_text();
    let json = text.trim_start().starts_with(['{', '[']).then(|| serde_json::from_str(&text).ok());
    match json.flatten() {
        Some(value) => failure_in_json(&value, 3).and_then(Result::err),
        None => failure_in_text(&text).and_then(Result::err),
    }
}

/// A sign of success or of failure; `None` for neither.
type Sign = Option<Result<(), &'static str>>;

fn exit(code: f64) -> Result<(), &'static str> {
    if code == 0.0 { Ok(()) } else { Err("exit code") }
}

fn failure_in_json(value: &Value, depth: usize) -> Sign {
    if depth == 0 {
        return None;
    }
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Array(list) => {
            return first_failure(list.iter().map(|one| failure_in_json(one, depth - 1)));
        }
        Value::String(text) => return failure_in_text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => return None,
    };
    let own = fields.iter().map(|(name, value)| {
        let name: String = name.chars().filter(char::is_ascii_alphabetic).collect();
        match (name.to_ascii_lowercase().as_str(), value) {
            ("exitcode" | "returncode" | "exitstatus", Value::Number(code)) => {
                code.as_f64().map(exit)
            }
            ("iserror", Value::Bool(failed)) => {
                Some(if *failed { Err("error flag") } else { Ok(()) })
            }
            ("success" | "ok", Value::Bool(done)) => (!done).then_some(Err("error flag")),
            ("status", Value::String(status)) => {
                let failed =
                    ["error", "failed", "failure"].iter().any(|it| status.eq_ignore_ascii_case(it));
                failed.then_some(Err("status"))
            }
            ("error" | "exception", Value::String(text)) if !text.trim().is_empty() => {
                Some(Err("error field"))
            }
            ("error", Value::Object(fields)) if !fields.is_empty() => Some(Err("error field")),
            ("error", Value::Bool(true)) => Some(Err("error flag")),
            ("metadata" | "structuredcontent", Value::Object(_)) => {
                failure_in_json(value, depth - 1)
            }
            _ => None,
        }
    });
    let own: Vec<Sign> = own.collect();
    // An exit code says it for all the words beside it.
    if let found @ Some(_) = first_failure(own.into_iter()) {
        return found;
    }
    ["output", "content", "text", "stderr"]
        .iter()
        .find_map(|name| failure_in_json(fields.get(*name)?, depth - 1))
}

/// The first failure, else a success if there is one.
fn first_failure(signs: impl Iterator<Item = Sign>) -> Sign {
    signs.flatten().fold(None, |known, sign| match (known, sign) {
        (Some(Err(known)), _) => Some(Err(known)),
        (_, sign) => Some(sign),
    })
}

fn failure_in_text(text: &str) -> Sign {
    let (start, end) = ends(text);
    let lines = || start.lines().chain(end.lines());
    if let Some(code) = lines().find_map(exit_code) {
        return Some(exit(code));
    }
    let traceback = |line: &str| {
        line.starts_with("Traceback (most recent call last)")
            || (line.starts_with("thread '") && line.contains("panicked at"))
            || line.starts_with("Exception in thread ")
    };
    if lines().any(traceback) {
        return Some(Err("traceback"));
    }
    let first = lines().map(str::trim).find(|line| !line.is_empty())?;
    let first = first.trim_start_matches(['[', '<', '*', '#', ' ']).to_ascii_lowercase();
    let begins = |word: &str| {
        first.strip_prefix(word).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    let words =
        ["error", "fatal", "exception", "failed", "failure", "tool_use_error", "bash: line"];
    words.iter().any(|word| begins(word)).then_some(Err("error message"))
}

/// The code in a line that says with which one a process ended.
fn exit_code(line: &str) -> Option<f64> {
    let line = line.trim().to_ascii_lowercase();
    let marks =
        ["exit code", "exited with code", "exit status", "exit_code", "return code", "exited with"];
    let rest = marks.iter().find_map(|mark| {
        let at = line.find(mark)?;
        // In the middle of a longer sentence it is told, not reported.
        (at <= 24).then(|| line.get(at + mark.len()..)).flatten()
    })?;
    let number = rest.trim_start_matches([':', '=', ' ', '"', '(']);
    let digits: String =
        number.chars().take_while(|it| it.is_ascii_digit() || *it == '-').collect();
    digits.parse().ok()
}

/// The two ends of a text, on characters.
fn ends(text: &str) -> (&str, &str) {
    if text.len() <= LOOKED_AT.saturating_mul(2) {
        return (text, "");
    }
    let start = text.floor_char_boundary(LOOKED_AT);
    let end = text.ceil_char_boundary(text.len().saturating_sub(LOOKED_AT));
    (text.get(..start).unwrap_or_default(), text.get(end..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn result(text: &str) -> Message {
        Message::text(Role::Tool, text)
    }

    #[test]
    fn a_failure_is_seen_and_a_result_about_failures_is_none() {
        for (text, failure) in [
            ("22 degrees", None),
            ("", None),
            ("Exit code: 0\nWall time: 0.1 seconds\nOutput:\nerror: none of it matters", None),
            ("Exit code: 1\nOutput:\nok", Some("exit code")),
            ("Process exited with code 127", Some("exit code")),
            ("bash: nope: command not found\n[exit status 127]", Some("exit code")),
            ("src/a.rs: fn error(code: u8) {}\nfailed tests are listed in b.md", None),
            ("The manual says that programs end with exit code 1 when they fail.", None),
            ("Error: ENOENT: no such file or directory", Some("error message")),
            ("<tool_use_error>String to replace not found</tool_use_error>", Some("error message")),
            ("errors.rs\nmain.rs", None),
            ("fatal: not a git repository", Some("error message")),
            ("running\nTraceback (most recent call last):\n  File \"a.py\"", Some("traceback")),
            ("thread 'main' panicked at src/main.rs:1:1:\nboom", Some("traceback")),
            (r#"{"output":"done","metadata":{"exit_code":0,"duration_seconds":0.1}}"#, None),
            (r#"{"output":"x","metadata":{"exit_code":2}}"#, Some("exit code")),
            (r#"{"error":"no such city"}"#, Some("error field")),
            (r#"{"error":null,"value":3}"#, None),
            (r#"{"error":"","value":3}"#, None),
            (r#"{"isError":true,"content":[{"type":"text","text":"x"}]}"#, Some("error flag")),
            (r#"{"success":false}"#, Some("error flag")),
            (r#"{"status":"error"}"#, Some("status")),
            (r#"{"content":"Error: x"}"#, Some("error message")),
            (r#"[{"ok":true},{"exit_code":1}]"#, Some("exit code")),
            (r#"{"question":"why did it end with an error?"}"#, None),
        ] {
            let want = failure.map_or(ToolTurn::Results, ToolTurn::Failure);
            assert_eq!(ToolTurn::of(&[result(text)]), Some(want), "{text}");
        }
    }

    #[test]
    fn only_results_since_the_last_answer_count() {
        let said = |role| Message::text(role, "hm");
        let reminder = Message::text(Role::User, "<system-reminder>Todo list.</system-reminder>");
        let (failed, fine) = (result("Error: x"), result("fine"));
        let asked = [said(Role::User), said(Role::Assistant)];
        for (end, want) in [
            (vec![fine.clone()], Some(ToolTurn::Results)),
            (vec![fine.clone(), reminder.clone()], Some(ToolTurn::Results)),
            (vec![fine.clone(), said(Role::System)], Some(ToolTurn::Results)),
            (vec![failed.clone(), fine.clone()], Some(ToolTurn::Failure("error message"))),
            (vec![fine.clone(), said(Role::User)], None),
            (vec![failed, said(Role::Assistant), fine], Some(ToolTurn::Results)),
            (vec![said(Role::User)], None),
            (vec![reminder], None),
            (vec![], None),
        ] {
            let messages: Vec<Message> = asked.iter().cloned().chain(end).collect();
            assert_eq!(ToolTurn::of(&messages), want, "{messages:?}");
        }
    }

    proptest! {
        #[test]
        fn any_result_is_looked_at(text in "\\PC{0,200}", times in 1usize..200) {
            prop_assert!(ToolTurn::of(&[result(&text.repeat(times))]).is_some());
        }
    }
}
