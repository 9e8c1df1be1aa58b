//! Request bodies: JSON whatever Content-Type says, errors that name the field and never quote a
//! value, and the fields we do not know kept for an upstream that may.

mod body;
mod gathered;
mod parted;
mod values;
mod whole;

use std::fmt;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use serde::{
    Deserializer,
    de::{DeserializeOwned, Visitor},
    forward_to_deserialize_any,
};
use serde_json::{Map, Value, error::Category};
use tokio::task::spawn_blocking;

pub(super) use gathered::{Gather, Gathered};
pub(super) use parted::Parted;
pub(super) use whole::Whole;

use super::{App, caller::Caller, error::AppError, session};
use crate::llm::Forwarded;

/// A body longer than this is parsed elsewhere, since the worker's other answers would wait: a
/// megabyte takes some milliseconds.
const LONG_BODY: usize = 256 * 1024;

/// A request read from its JSON body.
pub(super) struct Inbound<T> {
    /// The fields we know.
    pub(super) body: T,
    /// The others, in the order they were sent.
    pub(super) rest: Map<String, Value>,
    /// The caller.
    pub(super) caller: Caller,
}

impl<T: DeserializeOwned + Send + 'static, S: Sync> FromRequest<S> for Inbound<T> {
    type Rejection = AppError;

    async fn from_request(request: Request, _: &S) -> Result<Self, AppError> {
        let (bytes, caller) = received(request).await?;
        values::check(&bytes)?;
        let (body, rest) = parsed(bytes, parse).await?;
        Ok(Self { body, rest, caller })
    }
}

/// A request whose JSON goes on as it came: no value of it is read, so that it may have as many as it
/// likes, such as the tokens of texts to embed.
pub(super) struct Verbatim {
    /// All fields, in the order they were sent.
    pub(super) fields: Forwarded,
    /// The caller.
    pub(super) caller: Caller,
}

impl<S: Sync> FromRequest<S> for Verbatim {
    type Rejection = AppError;

    async fn from_request(request: Request, _: &S) -> Result<Self, AppError> {
        let (bytes, caller) = received(request).await?;
        Ok(Self { fields: parsed(bytes, verbatim).await?, caller })
    }
}

impl Verbatim {
    /// Takes a field out of the others and reads it.
    ///
    /// # Errors
    /// 400 for another type; the error names the field.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, AppError> {
        take(&mut self.fields, name)
    }
}

fn take<T: DeserializeOwned>(fields: &mut Forwarded, name: &str) -> Result<Option<T>, AppError> {
    let Some(raw) = fields.shift_remove(name) else { return Ok(None) };
    values::check(raw.get().as_bytes())?;
    let value: Value = serde_json::from_str(raw.get()).map_err(|error| malformed(&error))?;
    typed(value, name)
}

/// A request's body, which has its place from now on, and who asks.
async fn received(request: Request) -> Result<(Bytes, Caller), AppError> {
    let app = request.extensions().get::<App>().cloned();
    let app = app.ok_or(AppError::Internal("the request has no config"))?;
    let mut caller = caller(&request)?;
    caller.belongs_to(session::in_headers(request.headers()));
    let memory = app.engine.memory().share();
    let bytes = tokio::select! {
        biased;
        // As a rule it is all there, and nobody has to listen for the end.
        bytes = body::read(request, &app.config().server, &memory) => bytes?,
        () = app.lifecycle.ending() => return Err(AppError::ShuttingDown),
    };
    caller.log.fields().memory = Some(memory);
    app.take_place(&caller.log)?;
    Ok((bytes, caller))
}

/// Who asks.
///
/// # Errors
/// 500 for a request that did not come through the door.
pub(super) fn caller(request: &Request) -> Result<Caller, AppError> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or(AppError::Internal("the request has no caller"))
}

/// What `parse` makes of a body, away from the worker where that takes long.
async fn parsed<T: Send + 'static>(
    bytes: Bytes,
    parse: fn(&[u8]) -> Result<T, AppError>,
) -> Result<T, AppError> {
    if bytes.len() <= LONG_BODY {
        return parse(&bytes);
    }
    let parsed = spawn_blocking(move || parse(&bytes)).await;
    parsed.map_err(|_| AppError::Internal("the request body was not read to its end"))?
}

/// Reads a body as [`Inbound`] does.
///
/// # Errors
/// 400 for what is no such body.
#[cfg(any(test, fuzzing))]
pub(super) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Map<String, Value>), AppError> {
    values::check(bytes)?;
    parse(bytes)
}

/// Reads a body as [`Verbatim`] does, and who is asked.
///
/// # Errors
/// 400 for what is no such body.
#[cfg(any(test, fuzzing))]
pub(super) fn verbatim_body(bytes: &[u8]) -> Result<Option<String>, AppError> {
    let mut fields = verbatim(bytes)?;
    let _: Option<Option<bool>> = take(&mut fields, "include_workflow")?;
    Ok(take::<Option<String>>(&mut fields, "model")?.flatten())
}

/// The fields of a JSON object, each as it came.
fn verbatim(bytes: &[u8]) -> Result<Forwarded, AppError> {
    if bytes.trim_ascii().is_empty() {
        return Err(AppError::invalid("missing request body"));
    }
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => AppError::invalid("the request body must be a JSON object"),
        Category::Io | Category::Syntax | Category::Eof => malformed(&error),
    })
}

/// serde_json's words on syntax hold places and no text.
fn malformed(error: &serde_json::Error) -> AppError {
    AppError::invalid(format!("malformed JSON in the request body: {error}"))
}

/// JSON to the fields `T` knows and the rest.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Map<String, Value>), AppError> {
    // What is wrong, and what the log wants to know, is found on the way over a tree.
    if !tracing::enabled!(tracing::Level::DEBUG)
        && let Some(parsed) = parted::read(bytes)
    {
        return Ok(parsed);
    }
    if bytes.trim_ascii().is_empty() {
        return Err(AppError::invalid("missing request body"));
    }
    // serde_json stops at a depth of 128.
    let value: Value = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
    let Value::Object(fields) = value else {
        return Err(AppError::invalid("the request body must be a JSON object"));
    };
    tracing::debug!(fields = %Shapes(&fields), "request body");
    let known = field_names::<T>();
    let (ours, rest) = fields
        .into_iter()
        .partition::<Map<String, Value>, _>(|(name, _)| known.contains(&name.as_str()));
    Ok((typed(Value::Object(ours), "")?, rest))
}

/// A value as a type; errors name the place in it, below `path`.
pub(super) fn typed<T: DeserializeOwned>(value: Value, path: &str) -> Result<T, AppError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let words = expectation(&error.inner().to_string());
        let inner = error.path().to_string();
        let place = match (path, inner.as_str()) {
            ("", ".") => return AppError::invalid(words),
            ("", inner) => inner.to_owned(),
            (path, ".") => path.to_owned(),
            (path, inner) => format!("{path}.{inner}"),
        };
        AppError::field(place.as_str(), format!("{place}: {words}"))
    })
}

/// Serde's words without the value they quote, which may be a piece of a prompt.
fn expectation(words: &str) -> String {
    let Some((found, expected)) = words.rsplit_once(", expected ") else {
        return words.to_owned();
    };
    let expected = match expected {
        "f32" | "f64" => "a number",
        "i64" | "i32" => "an integer",
        "u32" | "u64" | "usize" => "an integer of 0 or more",
        "a sequence" => "an array",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    let found = found.split_once(": ").map_or(found, |(_, found)| found);
    let found = match found.split([' ', ',']).next().unwrap_or_default() {
        "string" => "a string",
        "integer" | "floating" if expected.contains("number") || expected.contains("integer") => {
            "another number"
        }
        "integer" | "floating" => "a number",
        "boolean" => "a boolean",
        "null" => "null",
        "sequence" => "an array",
        "map" => "an object",
        _ => "something else",
    };
    format!("expected {expected}, found {found}")
}

/// Names and sizes of fields, for logs.
pub(super) struct Shapes<'a>(pub(super) &'a Map<String, Value>);

impl fmt::Display for Shapes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.0 {
            let name: String = name.chars().take(40).collect();
            match value {
                Value::String(text) => write!(f, "{name}(text {}) ", text.len())?,
                Value::Array(items) => write!(f, "{name}(array {}) ", items.len())?,
                Value::Object(fields) => write!(f, "{name}(object {}) ", fields.len())?,
                Value::Null | Value::Bool(_) | Value::Number(_) => write!(f, "{name} ")?,
            }
        }
        Ok(())
    }
}

/// The names of a struct's fields, asked of the derived code itself, so that there is no second
/// list to keep in step. Empty for anything but a struct.
fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The probe always answers with an error: it has no values to give.
    let _ = T::deserialize(Probe(&mut names));
    names
}

struct Probe<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("a probe"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(serde::de::Error::custom("a probe"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    struct Sample {
        model: Option<String>,
        n: Option<u32>,
        temperature: Option<f32>,
        messages: Option<Vec<Inner>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        role: Option<String>,
    }

    #[test]
    fn unknown_fields_are_kept_and_null_is_absent() {
        let body = r#"{"z":1,"model":"m","n":null,"a":{"b":[]}}"#;
        let (sample, rest) = parse::<Sample>(body.as_bytes()).unwrap();
        assert_eq!(sample, Sample { model: Some("m".to_owned()), ..Sample::default() });
        assert_eq!(Value::Object(rest).to_string(), r#"{"z":1,"a":{"b":[]}}"#);
    }

    /// The two ways to read a body, of which the one without a tree has no errors to report.
    #[test]
    fn both_ways_read_the_same() {
        for body in [
            r#"{"z":1,"model":"m","n":null,"a":{"b":[]},"z":2}"#,
            r#" {"messages":[{"role":"user","x":1},{}],"temperature":0.1,"n":4294967295} "#,
            r#"{"model":"\u00e9\ud83d\ude00","mo\u0064el2":[1,{"\n":null}]}"#,
            "{}",
        ] {
            let value: Map<String, Value> = serde_json::from_str(body).unwrap();
            let (sample, rest) = parted::read::<Sample>(body.as_bytes()).unwrap();
            let known = field_names::<Sample>();
            let (ours, others) = (value.into_iter())
                .partition::<Map<String, Value>, _>(|(name, _)| known.contains(&name.as_str()));
            assert_eq!(typed::<Sample>(Value::Object(ours), "").unwrap(), sample, "{body}");
            assert_eq!(Value::Object(rest).to_string(), Value::Object(others).to_string());
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(300), "]".repeat(300));
        for body in ["", "[]", "{", "{}x", r#"{"n":-1}"#, r#"{"model":"a","model":"b"}"#, &deep] {
            assert!(parted::read::<Sample>(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn the_struct_itself_says_what_is_known() {
        assert_eq!(field_names::<Sample>(), ["model", "n", "temperature", "messages"]);
        assert!(field_names::<Vec<u8>>().is_empty());
    }

    #[test]
    fn errors_name_the_place_and_never_quote_a_value() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(300), "]".repeat(300));
        for (body, param, words) in [
            ("", None, "missing request body"),
            (" \n", None, "missing request body"),
            ("[1]", None, "the request body must be a JSON object"),
            ("\"secret\"", None, "the request body must be a JSON object"),
            (
                "{\"model\":\"secret",
                None,
                "malformed JSON in the request body: EOF while parsing a string at line 1 column 16",
            ),
            (
                &deep,
                None,
                "malformed JSON in the request body: recursion limit exceeded at line 1 column 132",
            ),
            (
                r#"{"n":"secret, expected secret"}"#,
                Some("n"),
                "n: expected an integer of 0 or more, found a string",
            ),
            (r#"{"model":5}"#, Some("model"), "model: expected a string, found a number"),
            (r#"{"n":-1}"#, Some("n"), "n: expected an integer of 0 or more, found another number"),
            (
                r#"{"temperature":"secret"}"#,
                Some("temperature"),
                "temperature: expected a number, found a string",
            ),
            (r#"{"model":{}}"#, Some("model"), "model: expected a string, found an object"),
            (
                r#"{"messages":[{},{"role":true}]}"#,
                Some("messages[1].role"),
                "messages[1].role: expected a string, found a boolean",
            ),
            (
                r#"{"messages":["secret"]}"#,
                Some("messages[0]"),
                "messages[0]: expected an object, found a string",
            ),
            (
                r#"{"messages":{"secret":1}}"#,
                Some("messages"),
                "messages: expected an array, found an object",
            ),
        ] {
            let AppError::Invalid { message, param: got } =
                parse::<Sample>(body.as_bytes()).unwrap_err()
            else {
                panic!("another error for {body}");
            };
            assert_eq!((got.as_deref(), message.as_str()), (param, words), "{body}");
        }
    }
}
