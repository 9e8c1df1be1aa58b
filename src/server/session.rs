//! The session that a request belongs to, by what agents send: Claude Code, Codex, opencode, and whoever
//! sends OpenAI's `prompt_cache_key` or OpenRouter's `session_id`.

use axum::http::HeaderMap;
use serde_json::{Map, Value};

use crate::types::Session;

/// Claude Code's; of a session with several agents each has an id of its own.
const CLAUDES: &str = "x-claude-code-session-id";
const CLAUDES_AGENT: &str = "x-claude-code-agent-id";
/// Those of others: Codex, opencode, and those that follow them.
const OTHERS: [&str; 6] = [
    "session_id",
    "session-id",
    "x-session-id",
    "x-session-affinity",
    "x-opencode-session",
    "conversation_id",
];

/// The session that headers name.
pub(super) fn in_headers(headers: &HeaderMap) -> Option<Session> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let claudes = text(CLAUDES).and_then(|session| Session::new(session, text(CLAUDES_AGENT)));
    claudes.or_else(|| OTHERS.iter().find_map(|name| Session::new(text(name)?, None)))
}

/// The session that fields of a body name.
pub(super) fn in_fields(fields: &Map<String, Value>) -> Option<Session> {
    let text = |name: &str| fields.get(name)?.as_str();
    let of_user = || in_user(fields.get("metadata")?.get("user_id")?.as_str()?);
    let own = ["session_id", "prompt_cache_key"];
    own.into_iter().find_map(|name| Session::new(text(name)?, None)).or_else(of_user)
}

/// The session in what Claude Code says of its user: `user_..._account_..._session_...`, or an object
/// as text. The rest of it is the person's.
fn in_user(user: &str) -> Option<Session> {
    let fields = serde_json::from_str::<Map<String, Value>>(user).unwrap_or_default();
    let newer = fields.get("session_id").and_then(Value::as_str);
    let older = || user.rsplit_once("_session_").map(|(_, session)| session);
    Session::new(newer.or_else(older)?, None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "3f1c6a52-7b0e-4c3a-9d55-0a8e2f6b7c11";

    #[test]
    fn headers_name_the_session_and_claude_codes_come_first() {
        for (sent, want) in [
            (vec![("x-claude-code-session-id", ID)], Session::new(ID, None)),
            (
                vec![("x-claude-code-session-id", ID), ("x-claude-code-agent-id", "a1")],
                Session::new(ID, Some("a1")),
            ),
            (vec![("x-claude-code-agent-id", "a1")], None),
            (vec![("session_id", "a"), ("x-claude-code-session-id", ID)], Session::new(ID, None)),
            (vec![("session_id", ""), ("conversation_id", "b")], Session::new("b", None)),
            (vec![("session-id", "a")], Session::new("a", None)),
            (vec![("x-session-affinity", "ses_1")], Session::new("ses_1", None)),
            (vec![("cookie", "session_id=a")], None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &sent {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(in_headers(&headers), want, "{sent:?}");
        }
    }

    #[test]
    fn fields_name_it_and_a_user_alone_does_not() {
        let older = format!("user_{}_account__session_{ID}", "0".repeat(64));
        let newer = json!({"device_id": "d", "account_uuid": "u", "session_id": ID}).to_string();
        for (fields, want) in [
            (json!({"session_id": "a", "prompt_cache_key": "b"}), Session::new("a", None)),
            (json!({"session_id": 5, "prompt_cache_key": "b"}), Session::new("b", None)),
            (json!({"metadata": {"user_id": older}}), Session::new(ID, None)),
            (json!({"metadata": {"user_id": newer}}), Session::new(ID, None)),
            (json!({"metadata": {"user_id": "ann"}}), None),
            (json!({"metadata": {"user_id": "{\"account_uuid\":\"u\"}"}}), None),
            (json!({"metadata": "m", "user": "ann", "safety_identifier": "ann"}), None),
        ] {
            let Value::Object(fields) = fields else { panic!("no object") };
            assert_eq!(in_fields(&fields), want, "{fields:?}");
        }
    }
}
