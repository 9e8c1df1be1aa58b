//! Answers built once, from what the model's name says.

use std::{
    fmt::Write,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

/// What a name such as `writer-lat100-tok32-gap5-size12-seed1` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    role: Role,
    /// The time to the first token, or to a whole answer of one token.
    pub(super) latency: Duration,
    /// Tokens of an answer.
    pub(super) tokens: u32,
    /// Between two of them; none: all are written together.
    pub(super) gap: Duration,
    /// Bytes of one.
    size: usize,
    /// Other seeds write other words.
    seed: u64,
    /// What goes wrong, and with which of its requests: each so many-th.
    pub(super) fault: Option<Fault>,
    every: u64,
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is refused with this status.
    Status(u32),
    /// Its stream breaks off after so many tokens.
    Cut(u32),
    /// Nothing ever comes.
    Silence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Analyzer,
    Selector,
    Writer,
}

impl Spec {
    /// `None` for a name that says something else.
    fn of(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let role = match parts.next()? {
            "analyzer" => Role::Analyzer,
            "selector" => Role::Selector,
            _ => Role::Writer,
        };
        let mut spec = Self {
            role,
            latency: Duration::ZERO,
            tokens: 1,
            gap: Duration::ZERO,
            size: crate::plan::TOKEN_BYTES,
            seed: 0,
            fault: None,
            every: 1,
        };
        for part in parts {
            let digits = part.find(|letter: char| letter.is_ascii_digit())?;
            let (key, number) = part.split_at_checked(digits)?;
            let number: u32 = number.parse().ok()?;
            match key {
                "lat" => spec.latency = Duration::from_millis(number.into()),
                "tok" => spec.tokens = number.max(1),
                "gap" => spec.gap = Duration::from_millis(number.into()),
                "size" => spec.size = usize::try_from(number.max(1)).ok()?,
                "seed" => spec.seed = number.into(),
                "fail" => spec.fault = Some(Fault::Status(number)),
                "cut" => spec.fault = Some(Fault::Cut(number)),
                "silent" => spec.fault = Some(Fault::Silence),
                "every" => spec.every = number.max(1).into(),
                _ => return None,
            }
        }
        Some(spec)
    }

    /// The pieces of the answer.
    fn pieces(&self) -> Vec<String> {
        match self.role {
            Role::Analyzer => {
                vec![r#"{"task_type":"facts","temperature":0.3,"language":"en"}"#.to_owned()]
            }
            Role::Selector => {
                vec![r#"{"reason":"it is right","scores":{"1":7,"2":5},"best":"1"}"#.to_owned()]
            }
            Role::Writer => {
                let mut state = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                (0..self.tokens).map(|_| word(&mut state, self.size)).collect()
            }
        }
    }
}

/// A word of `size` letters and a space; a linear congruential generator is random enough for text
/// that must only differ.
fn word(state: &mut u64, size: usize) -> String {
    let mut letter = || {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((*state >> 33) % 26).unwrap_or(0))
    };
    (1..size).map(|_| letter()).chain([' ']).collect()
}

/// An answer as bytes.
pub(super) struct Canned {
    /// What the name said.
    pub(super) spec: Spec,
    /// The response with `Content-Length`.
    pub(super) whole: Vec<u8>,
    /// The response in chunks, one event each, with usage before the end.
    stream: Vec<u8>,
    /// The place of each token's chunk in it, the head with the first.
    tokens: Vec<Range<usize>>,
    /// The same without usage.
    stream_without_usage: Vec<u8>,
    asked: AtomicU64,
}

impl Canned {
    /// `None` for a name that is no specification.
    pub(super) fn of(name: &str) -> Option<Self> {
        let spec = Spec::of(name)?;
        let pieces = spec.pieces();
        let usage = json!({
            "prompt_tokens": 20, "completion_tokens": pieces.len(), "total_tokens": 20 + pieces.len()
        });
        let (stream, tokens) = stream_of(name, &pieces, Some(&usage));
        let (stream_without_usage, _) = stream_of(name, &pieces, None);
        let message = json!({ "role": "assistant", "content": pieces.concat() });
        let body = json!({
            "id": "chatcmpl-mock", "object": "chat.completion", "created": 1_700_000_000,
            "model": name,
            "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": "stop" }],
            "usage": usage
        });
        let whole = response("200 OK", &body.to_string());
        let asked = AtomicU64::new(0);
        Some(Self { spec, whole, stream, tokens, stream_without_usage, asked })
    }

    /// What goes wrong with the next request.
    pub(super) fn next_fault(&self) -> Option<Fault> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        self.spec.fault.filter(|_| number.is_multiple_of(self.spec.every))
    }

    /// Each token's bytes, the head with the first.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &[u8]> {
        self.tokens.iter().filter_map(|range| self.stream.get(range.clone()))
    }

    /// What follows the last token.
    pub(super) fn tail(&self, usage: bool) -> &[u8] {
        let end = self.tokens.last().map_or(0, |range| range.end);
        self.at_once(usage).get(end..).unwrap_or_default()
    }

    /// The whole stream.
    pub(super) fn at_once(&self, usage: bool) -> &[u8] {
        if usage { &self.stream } else { &self.stream_without_usage }
    }
}

fn stream_of(name: &str, pieces: &[String], usage: Option<&Value>) -> (Vec<u8>, Vec<Range<usize>>) {
    let mut text = String::from(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
         transfer-encoding: chunked\r\n\r\n",
    );
    let mut tokens = Vec::with_capacity(pieces.len());
    let mut start = 0;
    for piece in pieces {
        push(&mut text, &event(name, &json!({ "content": piece }), Value::Null));
        tokens.push(start..text.len());
        start = text.len();
    }
    push(&mut text, &event(name, &json!({}), "stop".into()));
    if let Some(usage) = usage {
        let mut last = base(name);
        last["choices"] = json!([]);
        last["usage"] = usage.clone();
        push(&mut text, &last.to_string());
    }
    push(&mut text, "[DONE]");
    text.push_str("0\r\n\r\n");
    (text.into_bytes(), tokens)
}

fn base(name: &str) -> Value {
    json!({
        "id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1_700_000_000,
        "model": name
    })
}

fn event(name: &str, delta: &Value, finish: Value) -> String {
    let mut event = base(name);
    event["choices"] =
        json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]);
    event.to_string()
}

/// Appends an event as an HTTP chunk of its own.
fn push(text: &mut String, data: &str) {
    let length = "data: ".len() + data.len() + 2;
    // Writing to a String cannot fail.
    let _infallible = write!(text, "{length:x}\r\ndata: {data}\n\n\r\n");
}

/// A response with a JSON body.
pub(super) fn response(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_everything() {
        let spec = Spec::of("writer-lat100-tok32-gap5-size8-seed3").unwrap();
        assert_eq!(spec.latency, Duration::from_millis(100));
        assert_eq!((spec.tokens, spec.size, spec.seed), (32, 8, 3));
        assert_eq!(spec.gap, Duration::from_millis(5));
        assert_eq!(Spec::of("analyzer").unwrap().role, Role::Analyzer);
        let faulty = Spec::of("worker-tok9-cut3-every4").unwrap();
        assert_eq!((faulty.fault, faulty.every), (Some(Fault::Cut(3)), 4));
        assert_eq!(Spec::of("writer-tokens5"), None);
        assert_eq!(Spec::of("writer-tok"), None);
    }

    #[test]
    fn every_so_many_th_request_goes_wrong() {
        let canned = Canned::of("w-fail500-every3").unwrap();
        let faults: Vec<bool> = (0..6).map(|_| canned.next_fault().is_some()).collect();
        assert_eq!(faults, [false, false, true, false, false, true]);
        assert_eq!(Canned::of("w").unwrap().next_fault(), None);
    }

    #[test]
    fn answers_have_their_length_and_differ_by_seed() {
        let text = |seed| Spec::of(&format!("w-tok4-size12-seed{seed}")).unwrap().pieces().concat();
        assert_eq!(text(1).len(), 48);
        assert_ne!(text(1), text(2));
        let judge = Spec::of("selector-lat1").unwrap().pieces().concat();
        assert!(serde_json::from_str::<Value>(&judge).is_ok(), "{judge}");
    }

    #[test]
    fn a_stream_is_its_tokens_and_its_tail() {
        let canned = Canned::of("w-tok3").unwrap();
        for usage in [true, false] {
            let pieces = canned.tokens().chain([canned.tail(usage)]).collect::<Vec<_>>();
            assert_eq!(pieces.len(), 4);
            assert_eq!(pieces.concat(), canned.at_once(usage));
            assert!(pieces[3].ends_with(b"data: [DONE]\n\n\r\n0\r\n\r\n"));
        }
    }
}
