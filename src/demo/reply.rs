//! An answer on the wire: a stream of chat completion chunks, or one chat completion.

use std::convert::Infallible;

use axum::{
    Json,
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Pace, ask::Ask, cast::Character, judge};

/// What is said, piece by piece, and why it ends.
struct Speech {
    pieces: Vec<String>,
    finish_reason: &'static str,
}

/// Answers at the character's tempo.
pub(super) async fn to(ask: &Ask, character: Character, pace: Pace) -> Response {
    let text = judge::json_for(ask, character).unwrap_or_else(|| character.answer(ask));
    let speech = Speech::of(ask, &text);
    let tempo = character.tempo(pace);
    let usage = usage(ask, &speech);
    tokio::time::sleep(tempo.before).await;
    if !ask.streams() {
        let pauses = u32::try_from(speech.pieces.len()).unwrap_or(u32::MAX);
        tokio::time::sleep(tempo.between.saturating_mul(pauses)).await;
        return Json(whole(character, &speech, &usage)).into_response();
    }
    let usage = ask.wants_usage().then_some(usage);
    let body = async_stream::stream! {
        let say = |choices: Value| Ok::<_, Infallible>(event(&chunk(character, choices)));
        yield say(choice(json!({"role": "assistant", "content": ""}), None));
        for piece in speech.pieces {
            yield say(choice(json!({"content": piece}), None));
            tokio::time::sleep(tempo.between).await;
        }
        yield say(choice(json!({}), Some(speech.finish_reason)));
        if let Some(usage) = usage {
            let mut last = chunk(character, json!([]));
            if let Some(last) = last.as_object_mut() {
                last.insert("usage".to_owned(), usage);
            }
            yield Ok(event(&last));
        }
        yield Ok(Bytes::from_static(b"data: [DONE]\n\n"));
    };
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}

impl Speech {
    fn of(ask: &Ask, text: &str) -> Self {
        let mut pieces = pieces(ask.stopped(text));
        let most = ask.max_tokens().unwrap_or(usize::MAX);
        let finish_reason = if pieces.len() > most { "length" } else { "stop" };
        pieces.truncate(most);
        Self { pieces, finish_reason }
    }
}

/// Words with the blank after them, or two characters of a script that has no blanks.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut wide = 0;
    for character in text.chars() {
        piece.push(character);
        wide += usize::from(!character.is_ascii());
        if character.is_whitespace() || wide == 2 {
            pieces.push(std::mem::take(&mut piece));
            wide = 0;
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

fn usage(ask: &Ask, speech: &Speech) -> Value {
    let (prompt, completion) = (ask.prompt_tokens(), speech.pieces.len());
    json!({"prompt_tokens": prompt, "completion_tokens": completion,
        "total_tokens": prompt + completion})
}

fn whole(character: Character, speech: &Speech, usage: &Value) -> Value {
    json!({
        "id": "chatcmpl-demo", "object": "chat.completion", "created": created(),
        "model": character.name(),
        "choices": [{"index": 0,
            "message": {"role": "assistant", "content": speech.pieces.concat()},
            "finish_reason": speech.finish_reason}],
        "usage": usage,
    })
}

fn chunk(character: Character, choices: Value) -> Value {
    json!({"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": created(),
        "model": character.name(), "choices": choices})
}

fn choice(delta: Value, finish_reason: Option<&str>) -> Value {
    json!([{"index": 0, "delta": delta, "finish_reason": finish_reason}])
}

fn event(chunk: &Value) -> Bytes {
    format!("data: {chunk}\n\n").into()
}

fn created() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_words_and_add_up() {
        for (text, want) in [
            ("", vec![]),
            ("one", vec!["one"]),
            ("to be\nor", vec!["to ", "be\n", "or"]),
            ("天空为什么", vec!["天空", "为什", "么"]),
        ] {
            let got = pieces(text);
            assert_eq!(got, want);
            assert_eq!(got.concat(), text);
        }
    }

    #[test]
    fn limits_cut_and_say_so() {
        let ask = |fields: &str| {
            let body = format!(
                "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]{fields}}}"
            );
            Ask::read(body.as_bytes()).unwrap()
        };
        for (fields, want, reason) in [
            ("", "one two three", "stop"),
            (",\"max_tokens\":2", "one two ", "length"),
            (",\"max_tokens\":3", "one two three", "stop"),
            (",\"stop\":\" three\"", "one two", "stop"),
        ] {
            let speech = Speech::of(&ask(fields), "one two three");
            assert_eq!((speech.pieces.concat().as_str(), speech.finish_reason), (want, reason));
        }
    }
}
