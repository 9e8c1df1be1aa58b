//! Identifiers of requests and runs.

use std::{
    borrow::Cow,
    fmt,
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use uuid::{ContextV7, Timestamp, Uuid};

/// What keeps identifiers of one millisecond in their order.
static CONTEXT: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// An identifier of this time. The library's own panics where the clock says that it is before 1970,
/// as it does on a board without a battery; here that is 1970.
fn uuid_at(time: SystemTime) -> Uuid {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(&CONTEXT, since.as_secs(), since.subsec_nanos()))
}

/// One HTTP request to Chorus: the `x-request-id` header. The client's own, where it sent one that can
/// be told from anything else; else a UUIDv7.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    bytes: [u8; Self::MOST],
    length: u8,
}

/// One execution of a plan: the `x-chorus-workflow-id` header (UUIDv7). It also seeds the order in
/// which the selector is shown the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize)]
#[serde(transparent)]
pub struct WorkflowId(Uuid);

impl RequestId {
    /// A longer one is nobody's.
    const MOST: usize = 64;

    /// A fresh id.
    #[must_use]
    pub fn fresh() -> Self {
        let mut buffer = Uuid::encode_buffer();
        Self::filled(uuid_at(SystemTime::now()).hyphenated().encode_lower(&mut buffer))
    }

    /// A client's own: up to 64 letters, digits and `-_.:`.
    #[must_use]
    pub fn given(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        let fits = (1..=Self::MOST).contains(&text.len()) && text.bytes().all(is_plain);
        fits.then(|| Self::filled(text))
    }

    fn filled(text: &str) -> Self {
        let mut bytes = [0; Self::MOST];
        let length = text.len().min(Self::MOST);
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self { bytes, length: u8::try_from(length).unwrap_or_default() }
    }

    /// As it stands in the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestId").field(&self.as_str()).finish()
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl JsonSchema for RequestId {
    fn schema_name() -> Cow<'static, str> {
        "RequestId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": Self::MOST })
    }
}

impl WorkflowId {
    /// A fresh id.
    #[must_use]
    pub fn fresh() -> Self {
        Self(uuid_at(SystemTime::now()))
    }

    /// The identifier itself, which begins with its time.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }

    /// A seed for decisions that must be repeatable within the run.
    #[must_use]
    pub fn seed(self) -> u64 {
        let (high, low) = self.0.as_u64_pair();
        high ^ low
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Characters of an identifier after its prefix.
const ID_LENGTH: usize = 29;

/// `prefix` and random letters and digits.
pub fn random_id(prefix: &str) -> String {
    let letters = std::iter::repeat_with(fastrand::alphanumeric).take(ID_LENGTH);
    prefix.chars().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn any_clock_gives_identifiers_that_differ() {
        let day = Duration::from_secs(86_400);
        let times = [UNIX_EPOCH - day * 10_000, UNIX_EPOCH - day, UNIX_EPOCH, SystemTime::now()];
        let mut seen = std::collections::HashSet::new();
        for time in times.into_iter().flat_map(|time| [time; 3]) {
            let id = uuid_at(time);
            assert_eq!(id.get_version_num(), 7, "{time:?}");
            assert!(seen.insert(id), "{time:?}");
        }
    }

    #[test]
    fn a_plain_id_is_taken_over_and_no_other() {
        let long = "x".repeat(64);
        for text in ["a", "req_1.2:3-4", "01a23199-d8a2-7096-9689-caabe5bc710d", &long] {
            assert_eq!(RequestId::given(text).unwrap().as_str(), text);
        }
        for text in ["", " ", "a b", "a\nb", "é", "<script>", "a/b", &format!("{long}x")] {
            assert_eq!(RequestId::given(text), None, "{text:?}");
        }
        assert_eq!(RequestId::fresh().as_str().len(), 36);
    }

    #[test]
    fn identifiers_sort_by_time() {
        let ids: Vec<Uuid> = (0..1000).map(|_| uuid_at(SystemTime::now())).collect();
        assert!(ids.is_sorted(), "{ids:?}");
    }
}
