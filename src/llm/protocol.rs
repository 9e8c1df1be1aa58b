//! The upstream protocols behind one trait: each is pure functions in a file and a folder of its
//! own, and [`all::wire`] is the one place that knows them all.

pub(super) mod all;
mod anthropic;
pub(super) mod arguments;
pub(super) mod ask;
pub(super) mod blame;
pub(super) mod body;
pub(super) mod context;
pub(super) mod conversation;
pub(super) mod counts;
mod ending;
pub(super) mod error_frame;
mod fast;
mod feature;
mod gemini;
#[cfg(test)]
mod growth;
pub(super) mod hash;
mod lookup;
mod ollama;
mod openai;
pub(super) mod parameter;
pub(super) mod piece;
mod prompt;
pub(super) mod repair;
mod shape;
pub(super) mod state;
mod tool_schema;
pub(super) mod upstream_error;

use std::{borrow::Cow, sync::Arc};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use crate::{config, types::Message};
use ask::Ask;
use body::Body;
use conversation::Written;

use parameter::Field;
use piece::{Emit, Piece};
use upstream_error::Refusal;

/// How one protocol writes requests and reads replies. Pure.
pub(super) trait Wire: Sync {
    /// The URL of a call's request; `None` when `base` takes no path. Of the call it depends only
    /// on whether it is plain and whether it is streamed.
    fn address(&self, base: &Url, ask: &Ask<'_>) -> Option<Url>;

    /// The URL of the endpoint's list of models: what a probe asks for, since it costs nothing.
    fn model_list(&self, base: &Url, model: &config::Model) -> Option<Url>;

    /// The names in a list of models, a page of it perhaps; `None` when it is none.
    fn listed<'v>(&self, list: &'v Value) -> Option<Vec<&'v str>> {
        // Some leave the object around it out.
        names(list.get("data").unwrap_or(list), "id")
    }

    /// What the query asks for the longest page, where lists come in pages.
    fn first_page(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// What the query says besides for the page after this one; `None`: it is the last.
    fn next_page<'v>(&self, _list: &'v Value) -> Option<(&'static str, &'v str)> {
        None
    }

    /// Whether a listed name is what `wanted` means in a request.
    fn is_named(&self, listed: &str, wanted: &str) -> bool {
        listed == wanted
    }

    /// Whether the server that gave this list answers whatever model is asked for.
    fn takes_any_name(&self, _list: &Value) -> bool {
        false
    }

    /// The URL at which the endpoint describes this one model, if it does.
    fn model_page(&self, _base: &Url, _model: &config::Model) -> Option<Url> {
        None
    }

    /// What has the model loaded into memory without asking it anything, where there is such a
    /// request.
    fn load_request(
        &self,
        _base: &Url,
        _model: &config::Model,
    ) -> Option<(Url, Map<String, Value>)> {
        None
    }

    /// Puts the key, which is not empty, where the protocol wants it.
    ///
    /// # Errors
    /// When the key holds what no header can carry.
    fn authenticate(&self, key: &str, headers: &mut HeaderMap) -> Result<(), InvalidHeaderValue> {
        put_secret(headers, AUTHORIZATION, &Zeroizing::new(format!("Bearer {key}")))
    }

    /// What every request of this model carries besides.
    ///
    /// # Errors
    /// When a configured text holds what no header can carry.
    fn headers(
        &self,
        _model: &config::Model,
        _headers: &mut HeaderMap,
    ) -> Result<(), InvalidHeaderValue> {
        Ok(())
    }

    /// Adds what only this call carries.
    fn call_headers(&self, _ask: &Ask<'_>, _headers: &mut Arc<HeaderMap>) {}

    /// The content type of its streams, for `Accept`.
    fn streams_as(&self) -> &'static str;

    /// The body of a request.
    fn body(&self, ask: &Ask<'_>) -> Body;

    /// Writes the fields of a chat request that hold these messages; of the call they depend on nothing
    /// but what was refused before.
    fn conversation(&self, ask: &Ask<'_>, messages: Cow<'_, [Message]>, into: &mut Written);

    /// The temperature in that body.
    fn temperature(&self, ask: &Ask<'_>) -> Option<f32> {
        ask.temperature()
    }

    /// The field of a message that a frame or whole reply has its thoughts in; empty for none, or
    /// where they stand in blocks.
    fn thoughts_field(&self, _frame: &Value) -> &'static str {
        ""
    }

    /// Reads a frame of a stream, or a whole reply, when nothing in it is out of the ordinary, and
    /// without building a tree of it. `false`, with nothing emitted, when [`Wire::pieces`] has to
    /// say what it means; where it is `true`, both say the same and [`Wire::is_reply`] holds.
    fn fast_path<'f>(&self, frame: &'f str, emit: &mut Emit<'_, 'f>) -> bool;

    /// Reads any frame of a stream, or a whole reply.
    ///
    /// # Errors
    /// The error that it is instead.
    fn pieces<'v>(&self, value: &'v Value) -> Result<Vec<Piece<'v>>, Refusal>;

    /// Whether a whole body has the shape of a reply.
    fn is_reply(&self, value: &Value) -> bool;

    /// Whether a whole reply is complete by being there, even without a finish reason.
    fn ends_with_body(&self) -> bool;

    /// Whether its streams are lines of JSON, not server-sent events.
    fn streams_lines(&self) -> bool {
        false
    }

    /// The field of `body` that asks for a form of output, and whether it holds a schema.
    fn format_field(&self, body: &Map<String, Value>) -> Option<(&'static str, bool)>;

    /// The fields that an upstream may refuse by name; of two that one message names, the first is
    /// given up.
    fn refusable(&self) -> &'static [Field];

    /// Whether a rate limit always says how long to wait, so that a 429 that does not is another
    /// thing: money, or a hard cap.
    fn rate_limits_say_when(&self) -> bool {
        false
    }
}

/// One field of all entries of an array; `None` when it is none, or of nothing.
pub(super) fn names<'v>(entries: &'v Value, field: &str) -> Option<Vec<&'v str>> {
    let entries = entries.as_array()?;
    let names: Vec<&str> =
        entries.iter().filter_map(|entry| entry.get(field).and_then(Value::as_str)).collect();
    (entries.is_empty() || !names.is_empty()).then_some(names)
}

/// The base with more path; a query of the base stays.
pub(super) fn below(base: &Url, path: &[&str]) -> Option<Url> {
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    Some(url)
}

/// [`below`] a version: the one that is wanted, else the one that the base ends in, else the
/// default.
pub(super) fn below_version(
    base: &Url,
    wanted: Option<&str>,
    default: &str,
    path: &[&str],
) -> Option<Url> {
    let last = base.path_segments().and_then(|mut segments| segments.next_back());
    let own = last.filter(|segment| is_version(segment));
    let mut url = base.clone();
    let mut segments = url.path_segments_mut().ok()?;
    segments.pop_if_empty();
    if own.is_some() {
        segments.pop();
    }
    segments.push(wanted.or(own).unwrap_or(default)).extend(path);
    drop(segments);
    Some(url)
}

/// `v1`, `v1beta`.
fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| {
        rest.starts_with(|first: char| first.is_ascii_digit())
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// An object of these fields, moved: `json!` would write and read what they hold once more.
pub(super) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A header that is never shown.
fn put_secret(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: &str,
) -> Result<(), InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(value)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}
