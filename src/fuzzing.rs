//! What the fuzzer calls (`fuzz/`): pure functions over hostile bytes, each with what has to hold
//! whatever they are. Not a part of the library: only tests and the fuzzer's builds have it.

use std::path::Path;

use bytes::Bytes;

pub use crate::server::fuzzing::Body;
use crate::{
    config::{Config, SecretStores},
    llm::decode::{ReplyReader, sse::SseReader},
    server::fuzzing::reads,
    types::Protocol,
    workflow,
};

/// Events are read up to so many bytes.
const EVENT_LIMIT: usize = 4096;

/// Server-sent events are the same however their bytes are split, and answers of every protocol that
/// has them are read to an end. The first byte says which of it is asked, and where they are split.
///
/// # Panics
/// When that does not hold.
pub fn sse(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let split = pieces(bytes, first / 4);
    match first % 4 {
        0 => assert_eq!(events(&[bytes]), events(&split), "events depend on how they are split"),
        1 => answer(Protocol::OpenAi, &split),
        2 => answer(Protocol::Anthropic, &split),
        _ => answer(Protocol::Gemini, &split),
    }
}

/// Lines of JSON are read to an end.
///
/// # Panics
/// When a reader does not end.
pub fn ndjson(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else { return };
    answer(Protocol::Ollama, &pieces(bytes, *size));
}

fn pieces(bytes: &[u8], size: u8) -> Vec<&[u8]> {
    bytes.chunks(usize::from(size).max(1)).collect()
}

/// Each event, and whether it is an error; `None` for one that is too long, which ends them.
fn events(pieces: &[&[u8]]) -> Vec<Option<(bool, String)>> {
    let mut reader = SseReader::new(EVENT_LIMIT);
    let mut found = Vec::new();
    for piece in pieces {
        reader.push(Bytes::copy_from_slice(piece));
        loop {
            match reader.next_event() {
                Ok(Some(event)) => found.push(Some((event.is_error, event.data.into_owned()))),
                Ok(None) => break,
                Err(_) => {
                    found.push(None);
                    return found;
                }
            }
        }
    }
    match reader.finish() {
        Ok(Some(event)) => found.push(Some((event.is_error, event.data.into_owned()))),
        Ok(None) => {}
        Err(_) => found.push(None),
    }
    found
}

fn answer(protocol: Protocol, pieces: &[&[u8]]) {
    let mut reader = ReplyReader::of_stream(protocol);
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut deltas = 0_usize;
    for piece in pieces {
        reader.push(Bytes::copy_from_slice(piece));
        while reader.next_delta().is_some() {
            deltas = deltas.saturating_add(1);
        }
    }
    reader.end();
    while reader.next_delta().is_some() {
        deltas = deltas.saturating_add(1);
    }
    assert!(deltas <= length.saturating_mul(2).saturating_add(8), "more came out than went in");
}

/// Objects in a model's prose are found, and each is one.
///
/// # Panics
/// When one found cannot be found again.
pub fn lenient_json(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for object in workflow::objects(&text) {
        let written = serde_json::Value::Object(object.clone()).to_string();
        let again = workflow::objects(&written);
        // An empty one looks like the braces of prose, and long numbers are read nearly as they were.
        let is_same = again.first().is_some_and(|again| again.keys().eq(object.keys()));
        assert!(object.is_empty() || is_same, "it reads otherwise again");
    }
}

/// A plan is expanded or refused with a place.
///
/// # Panics
/// When a refusal says nothing.
pub fn plan(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(text) = serde_json::to_string(text) else { return };
    config_text(&format!(
        "[[model]]\nname = \"a\"\napi_base = \"http://127.0.0.1:9/v1\"\n\
         [[model]]\nname = \"b\"\napi_base = \"http://127.0.0.1:9/v1\"\n\
         [workflow-integration]\njson = {text}\n"
    ));
}

/// A config is good or refused with problems that can be shown.
///
/// # Panics
/// When a refusal says nothing.
pub fn config(bytes: &[u8]) {
    if let Ok(text) = str::from_utf8(bytes) {
        config_text(text);
    }
}

fn config_text(text: &str) {
    // Nothing that it names is there.
    let path = Path::new("/nowhere/at/all/config.toml");
    match Config::parse_asking(text, Some(path), &|_| None, &SecretStores::closed()) {
        Ok(config) => {
            let (models, workflows) = (&config.models, config.workflows());
            let calls: usize = workflows.map(|one| one.plan.worst_case_calls(models).len()).sum();
            assert!(calls > 0 && config.means_the_same(&config), "a config means what it means");
        }
        Err(error) => {
            assert!(error.count() > 0 && !error.to_string().is_empty(), "nothing is wrong with it");
        }
    }
}

/// A request's body is taken or refused with a 4xx.
///
/// # Panics
/// When it is refused otherwise.
pub fn body(body: Body, bytes: &[u8]) {
    assert!(reads(body, bytes).is_ok(), "{body:?} is refused as if it were our fault");
}

#[cfg(test)]
mod tests;
