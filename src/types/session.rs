//! The session of an agent that a request belongs to.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Of an id that is no UUID so many bytes of its hash are shown.
const SHOWN_BYTES: usize = 8;

/// The session of an agent, as the agent names it, and which of its agents asks. Cloning shares it.
/// It is shown as [`Session::id`] and [`Session::agent`] say; what the client sent is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Session {
    /// The agent's session that the request belongs to: a UUID as it is, and of anything else the
    /// beginning of its SHA-256.
    #[serde(rename = "session")]
    #[schemars(with = "String")]
    id: Arc<str>,
    /// Which agent of the session asked, likewise, where it has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    agent: Option<Arc<str>>,
    #[serde(skip)]
    number: u64,
}

impl Session {
    /// The session of that id, of which one agent asks that may have an id of its own; `None` for an
    /// empty id.
    #[must_use]
    pub fn new(id: &str, agent: Option<&str>) -> Option<Self> {
        let id = Some(id.trim()).filter(|id| !id.is_empty())?;
        let agent = agent.map(str::trim).filter(|agent| !agent.is_empty());
        let mut hasher = DefaultHasher::new();
        (id, agent).hash(&mut hasher);
        Some(Self {
            id: Shown(id).to_string().into(),
            agent: agent.map(|agent| Shown(agent).to_string().into()),
            number: hasher.finish(),
        })
    }

    /// The id as logs and records may show it: a UUID as it is, and of anything else, which may name a
    /// person, the beginning of its SHA-256 in hexadecimal. At most 36 characters.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The same of the agent, where it is one of several.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }

    /// The same number for all requests of one agent in one session, as long as the process lives.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// An id as it may be shown.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(id) = Uuid::try_parse(self.0) {
            return id.hyphenated().fmt(f);
        }
        let hash = Sha256::digest(self.0.as_bytes());
        hash.iter().take(SHOWN_BYTES).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_random_numbers_are_shown_as_they_are() {
        let id = "3f1c6a52-7b0e-4c3a-9d55-0a8e2f6b7c11";
        for (sent, shown) in [
            (id, Some(id)),
            ("3F1C6A527B0E4C3A9D550A8E2F6B7C11", Some(id)),
            (" ann@example.org ", Some("438c4c7afe600cdf")),
            ("", None),
            (" ", None),
        ] {
            let session = Session::new(sent, Some(sent));
            assert_eq!(session.as_ref().map(Session::id), shown, "{sent}");
            assert_eq!(session.as_ref().and_then(Session::agent), shown, "{sent}");
        }
        let debug = format!("{:?}", Session::new(&"secret ".repeat(1000), None).unwrap());
        assert!(!debug.contains("secret") && debug.len() < 120, "{debug}");
    }

    #[test]
    fn each_agent_of_a_session_has_a_number() {
        let number = |id, agent| Session::new(id, agent).unwrap().number();
        assert_eq!(number("a", None), number(" a ", Some("")));
        for other in [number("b", None), number("a", Some("1")), number("a", Some("2"))] {
            assert_ne!(number("a", None), other);
        }
        assert_ne!(number("a", Some("1")), number("a", Some("2")));
    }
}
