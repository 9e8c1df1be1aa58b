//! However an answer is framed and cut into chunks, all of it is read once.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{llm::endpoint::Endings, types::FinishReason};

/// What an upstream does next.
#[derive(Clone, Debug)]
enum Step {
    Text(String),
    Finish(&'static str),
    /// Both in one frame.
    Last(String, &'static str),
    Usage(u64),
    Ping,
    End,
}

fn a_text() -> impl Strategy<Value = String> {
    "[a-z你]{1,4} ?"
}

fn a_reason() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["stop", "length", "content_filter"])
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => a_text().prop_map(Step::Text),
        2 => a_reason().prop_map(Step::Finish),
        1 => (a_text(), a_reason()).prop_map(|(text, reason)| Step::Last(text, reason)),
        1 => (1u64..99).prop_map(Step::Usage),
        1 => Just(Step::Ping),
        1 => Just(Step::End),
    ]
}

/// A step in the frames of a protocol; Gemini's has no terminator.
fn frame(protocol: Protocol, step: &Step) -> String {
    let (text, reason) = match step {
        Step::Text(text) => (text.as_str(), None),
        Step::Last(text, reason) => (text.as_str(), Some(*reason)),
        Step::Finish(reason) => ("", Some(*reason)),
        Step::Ping => return ": ping\n\ndata: ping\n\n".to_owned(),
        Step::End if protocol == Protocol::OpenAi => return "data: [DONE]\n\n".to_owned(),
        Step::End if protocol == Protocol::Anthropic => {
            return "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".to_owned();
        }
        Step::End => return String::new(),
        Step::Usage(count) => {
            let usage = match protocol {
                Protocol::Gemini => json!({"usageMetadata": {"promptTokenCount": count}}),
                Protocol::Anthropic => json!({"type": "message_delta", "delta": {},
                    "usage": {"input_tokens": count}}),
                _ => json!({"choices": [], "usage": {"prompt_tokens": count}}),
            };
            return format!("data: {usage}\n\n");
        }
    };
    let frames = match protocol {
        Protocol::Gemini => {
            let reason = reason.map(|reason| match reason {
                "stop" => "STOP",
                "length" => "MAX_TOKENS",
                _ => "SAFETY",
            });
            vec![json!({"candidates": [{"content": {"parts": [{"text": text}]},
                "finishReason": reason}]})]
        }
        Protocol::Anthropic => {
            let reason = reason.map(|reason| match reason {
                "stop" => "end_turn",
                "length" => "max_tokens",
                _ => "refusal",
            });
            let said = (!text.is_empty()).then(|| {
                json!({"type": "content_block_delta", "index": 0,
                    "delta": {"type": "text_delta", "text": text}})
            });
            let ended = reason
                .map(|reason| json!({"type": "message_delta", "delta": {"stop_reason": reason}}));
            said.into_iter().chain(ended).collect()
        }
        _ => vec![json!({"choices": [{"index": 0, "delta": {"content": text},
            "finish_reason": reason}]})],
    };
    frames.iter().map(|frame| format!("data: {frame}\n\n")).collect()
}

/// What the steps say: text, reason and prompt tokens up to the terminator, whether that came, and
/// whether text came behind the last reason that stood alone.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    reason: Option<FinishReason>,
    prompt: Option<u64>,
    is_terminated: bool,
    is_renewed: bool,
}

fn said(protocol: Protocol, steps: &[Step]) -> Said {
    let mut said = Said::default();
    for step in steps {
        let (text, reason) = match step {
            Step::Text(text) => (text.as_str(), None),
            Step::Last(text, reason) => (text.as_str(), Some(*reason)),
            Step::Finish(reason) => ("", Some(*reason)),
            Step::Usage(count) => {
                said.prompt = Some(*count);
                continue;
            }
            Step::End if protocol != Protocol::Gemini => {
                said.is_terminated = true;
                break;
            }
            Step::Ping | Step::End => continue,
        };
        said.text.push_str(text);
        said.is_renewed |= !text.is_empty() && said.reason.is_some();
        if let Some(reason) = reason {
            // Anthropic's reason has always a frame of its own.
            said.is_renewed &= !text.is_empty() && protocol != Protocol::Anthropic;
            said.reason = Some(match reason {
                "stop" => FinishReason::Stop,
                "length" => FinishReason::Length,
                _ => FinishReason::ContentFilter,
            });
        }
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn ends_in_any_order_and_split_lose_and_double_nothing(
        protocol in prop::sample::select(
            vec![Protocol::OpenAi, Protocol::Anthropic, Protocol::Gemini]),
        steps in prop::collection::vec(a_step(), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        has_shown: bool,
    ) {
        let body: String = steps.iter().map(|step| frame(protocol, step)).collect();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        at.extend([0, body.len()]);
        at.sort_unstable();
        let mut reader = ReplyReader::of_stream(protocol);
        let mut collected = String::new();
        let mut collect = |reader: &mut ReplyReader| {
            while let Some(delta) = reader.next_delta() {
                if let Delta::Text(text) = delta {
                    collected.push_str(&text);
                }
            }
        };
        for pair in at.windows(2) {
            reader.push(Bytes::copy_from_slice(&body.as_bytes()[pair[0]..pair[1]]));
            collect(&mut reader);
        }
        let was_ended = reader.is_closed();
        reader.end();
        collect(&mut reader);

        let want = said(protocol, &steps);
        let endings = Endings::default();
        if has_shown {
            endings.learn(true, protocol != Protocol::Gemini);
        }
        prop_assert_eq!(collected.as_str(), want.text.as_str(), "{}", body);
        prop_assert_eq!(was_ended, want.is_terminated, "{}", body);
        let is_cut = !want.is_terminated && want.reason.is_none();
        let failure = reader.failure().map(|failure| failure.kind);
        prop_assert_eq!(failure, is_cut.then_some(LlmErrorKind::Truncated), "{}", body);
        if is_cut {
            return Ok(());
        }
        let is_short = has_shown
            && (want.reason.is_none()
                || (want.is_renewed && !want.is_terminated && protocol != Protocol::Gemini));
        let reason = match (want.text.trim().is_empty(), want.reason) {
            _ if is_short => Err(LlmErrorKind::Truncated),
            (true, None) => Err(LlmErrorKind::Empty),
            (true, Some(FinishReason::ContentFilter)) => Err(LlmErrorKind::ContentFilter),
            (_, reason) => Ok(reason.unwrap_or(FinishReason::Stop)),
        };
        let got = reader.answer().reason(&endings).map_err(|(kind, _)| kind);
        prop_assert_eq!(got, reason, "{}", body);
        let usage = reader.answer().usage(0, Default::default(), Default::default());
        prop_assert_eq!(usage.prompt_tokens, want.prompt.unwrap_or(0), "{}", body);
    }
}

#[test]
fn words_of_an_error_fail_an_answer_wherever_a_frame_belongs() {
    let half = "data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n";
    let stop = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let line = "{\"message\":{\"content\":\"half\"},\"done\":false}\n";
    let done = "data: [DONE]\n\n";
    let kind = |protocol, body: String| {
        let mut reader = ReplyReader::of_stream(protocol);
        reader.push(Bytes::from(body));
        reader.end();
        reader.failure().map(|failure| failure.kind)
    };
    for failure in [
        "upstream connect error or disconnect/reset before headers",
        "Internal Server Error",
        "系统繁忙",
        "[ERROR] boom",
        "\"the engine failed\"",
        "<html><body>502 Bad Gateway</body></html>",
        "{\"error\": {\"mess",
    ] {
        for (before, after) in [("", done), (stop, done), (stop, ""), ("", "")] {
            for way in [format!("data: {failure}\n\n"), format!("data: {failure}")] {
                let body = format!("{half}{before}{way}{after}");
                let is_glued = !way.ends_with('\n') && !after.is_empty();
                if !is_glued {
                    assert_eq!(
                        kind(Protocol::OpenAi, body.clone()),
                        Some(LlmErrorKind::InBand),
                        "{body}"
                    );
                }
            }
        }
        let lines = [format!("{line}{failure}\n"), format!("{line}{failure}")];
        for body in lines {
            assert!(kind(Protocol::Ollama, body.clone()).is_some(), "{body}");
        }
    }
    for failure in ["Internal Server Error", "系统繁忙", "upstream error: boom"] {
        for before in ["", stop] {
            for after in ["", "\n", "\n\n"] {
                let body = format!("{half}{before}{failure}{after}");
                assert_eq!(
                    kind(Protocol::OpenAi, body.clone()),
                    Some(LlmErrorKind::InBand),
                    "{body}"
                );
            }
        }
    }
    for fine in [
        ": upstream failed\n\n",
        "retry: 5\nx-limit: 7\n\n",
        "x-note: an error of no kind\n\n",
        "data: {nonsense\n\n",
        "data: ping\n\n",
        "data: END\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"an error",
    ] {
        let body = format!("{half}{stop}{fine}");
        assert_eq!(kind(Protocol::OpenAi, body.clone()), None, "{body}");
    }
}

#[test]
fn arguments_that_come_path_by_path_call_nothing() {
    let path = json!([{"jsonPath": "$.a", "stringValue": "1"}]);
    let first = json!({"name": "f", "willContinue": true});
    let rest = [json!({"partialArgs": path, "willContinue": true}), json!({})];
    let lone = json!({"name": "f", "partialArgs": path});
    for calls in [vec![&first], vec![&lone], vec![&first, &rest[0], &rest[1]]] {
        let mut reader = ReplyReader::of_stream(Protocol::Gemini);
        let parts: Vec<Value> = calls.iter().map(|call| json!({"functionCall": call})).collect();
        let frame = json!({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]});
        reader.push(Bytes::from(format!("data: {frame}\n\n")));
        reader.end();
        let reason = reader.answer().reason(&Endings::default()).map_err(|(kind, _)| kind);
        assert_eq!(reason, Err(LlmErrorKind::Garbled), "{frame}");
    }
}
