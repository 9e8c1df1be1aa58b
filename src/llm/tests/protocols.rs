//! What only some protocols do, and that every cut of a stream's bytes is the same stream.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    llm::{
        call::exchange::Exchange,
        decode::answer::Answer,
        endpoint::Endings,
        protocol::{
            all::wire,
            state::{Keys, Recorder, TurnStates, Writer, resolve},
        },
    },
    types::{Effort, Image, Message, Part, Prompt, Role, ToolCall, ToolChoice},
};

fn anthropic(upstream: &Upstream) -> Arc<Model> {
    llm_model(model(Protocol::Anthropic, &upstream.base()))
}

fn gemini(upstream: &Upstream) -> Arc<Model> {
    llm_model(model(Protocol::Gemini, &upstream.base()))
}

fn candidate(parts: &Value, reason: &Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason}]})
}

fn gemini_says(text: &str) -> Reply {
    Reply::json(200, &candidate(&json!([{"text": text}]), &json!("STOP")))
}

fn claude_says(text: &str) -> Reply {
    Reply::json(
        200,
        &json!({"type": "message", "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}),
    )
}

/// The events of a stream that says one thing of each kind, and in which frames they come.
pub(super) fn sample(protocol: Protocol) -> String {
    let sse = |events: Vec<Value>| -> String {
        events.iter().map(|event| format!("data: {event}\n\n")).collect()
    };
    let arguments = json!({"city": "罗马"});
    match protocol {
        Protocol::OpenAi => [
            ": ping\n\n",
            &chunk(&json!({"role": "assistant", "content": ""})),
            &chunk(&json!({"reasoning_content": "让我想想"})),
            &says("你好，"),
            &says("世界 👋"),
            &chunk(&json!({"tool_calls": [{"index": 0, "id": "c", "type": "function",
                "function": {"name": "f", "arguments": "{\"city\""}}]})),
            &chunk(&json!({"tool_calls": [{"index": 0, "function": {"arguments": ":\"罗马\"}"}}]})),
            &finish("tool_calls"),
            &sse(vec![json!({"choices": [], "usage":
                {"prompt_tokens": 11, "completion_tokens": 7}})]),
            DONE,
        ]
        .concat(),
        Protocol::Ollama => [
            json!({"message": {"role": "assistant", "content": "", "thinking": "让我想想"}}),
            json!({"message": {"role": "assistant", "content": "你好，"}, "done": false}),
            json!({"message": {"role": "assistant", "content": "世界 👋"}, "done": false}),
            json!({"message": {"role": "assistant", "content": "", "tool_calls":
                [{"id": "c", "function": {"name": "f", "arguments": arguments}}]}}),
            json!({"message": {"content": ""}, "done": true, "done_reason": "stop",
                "prompt_eval_count": 11, "eval_count": 7}),
        ]
        .map(|line| format!("{line}\n"))
        .concat(),
        Protocol::Anthropic => {
            let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
            let start = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
            let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
            [
                json!({"type": "message_start", "message":
                    {"usage": {"input_tokens": 11, "output_tokens": 1}}}),
                start(0, json!({"type": "thinking", "thinking": ""})),
                json!({"type": "ping"}),
                delta(0, json!({"type": "thinking_delta", "thinking": "让我想想"})),
                delta(0, json!({"type": "signature_delta", "signature": "sig"})),
                stop(0),
                start(1, json!({"type": "text", "text": ""})),
                delta(1, json!({"type": "text_delta", "text": "你好，"})),
                delta(1, json!({"type": "text_delta", "text": "世界 👋"})),
                stop(1),
                start(2, json!({"type": "tool_use", "id": "c", "name": "f", "input": {}})),
                delta(2, json!({"type": "input_json_delta", "partial_json": "{\"city\""})),
                delta(2, json!({"type": "input_json_delta", "partial_json": ":\"罗马\"}"})),
                stop(2),
                json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"},
                    "usage": {"output_tokens": 7}}),
                json!({"type": "message_stop"}),
            ]
            .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
            .concat()
        }
        Protocol::Gemini => {
            let mut last = candidate(
                &json!([{"functionCall": {"id": "c", "name": "f", "args": arguments},
                    "thoughtSignature": "sig"}]),
                &json!("STOP"),
            );
            last["usageMetadata"] = json!({"promptTokenCount": 11, "candidatesTokenCount": 7});
            let text = |part: Value| candidate(&json!([part]), &Value::Null);
            sse(vec![
                text(json!({"text": "让我想想", "thought": true})),
                text(json!({"text": "你好，"})),
                text(json!({"text": "世界 👋"})),
                last,
            ])
        }
    }
}

/// The deltas of a body that comes in these pieces, and what the answer came to.
async fn deltas(protocol: Protocol, pieces: Vec<Bytes>) -> (Vec<Delta>, FinishReason, (u64, u64)) {
    let wire = wire(protocol);
    let body = futures::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let response = hyper::http::Response::builder()
        .header("content-type", wire.streams_as())
        .body(reqwest::Body::wrap_stream(body))
        .unwrap();
    let answer = Answer::new(false, false);
    let call = Call { turns_of: Some(1), ..testing::call("hi") };
    let recorder = Recorder::new(Keys::of(&call));
    let mut exchange = Exchange::new(wire, response.into(), answer, recorder);
    let mut deltas = Vec::new();
    while exchange.read_on().await.ok().expect("a complete answer") {
        deltas.extend(std::iter::from_fn(|| exchange.next_delta()));
        deltas.retain(|delta| !matches!(delta, Delta::State(_)));
    }
    let usage = exchange.answer().usage(0, Duration::ZERO, Duration::ZERO);
    let (states, writer) = (TurnStates::default(), Writer::fresh());
    exchange.recorder().remember(&states, writer);
    let arguments = json!({"city": "罗马"}).to_string();
    let made = ToolCall { id: "c".into(), name: "f".into(), arguments };
    let turn = Message { tool_calls: vec![made], ..Message::text(Role::Assistant, "") };
    let later = resolve(Call { messages: vec![turn].into(), ..call }, &states, writer);
    let beside = later.messages[0].state().and_then(|state| state.beside().remove("c"));
    assert_eq!(beside.map(|fields| fields.len()), Some(usize::from(protocol == Protocol::Gemini)));
    let counts = (usage.prompt_tokens, usage.completion_tokens);
    (deltas, exchange.answer().reason(&Endings::default()).unwrap(), counts)
}

/// The same with what belongs together joined, so that protocols can be compared.
fn joined(deltas: &[Delta]) -> BTreeMap<&'static str, String> {
    let mut joined = BTreeMap::new();
    let mut add = |kind, text: &str| joined.entry(kind).or_insert_with(String::new).push_str(text);
    for delta in deltas {
        match delta {
            Delta::Text(text) => add("text", text),
            Delta::Reasoning(text) => add("reasoning", text),
            Delta::ToolCall(call) => {
                add("id", call.id.as_deref().unwrap_or_default());
                add("name", call.name.as_deref().unwrap_or_default());
                add("arguments", &call.arguments);
            }
            Delta::State(_) => {}
        }
    }
    joined
}

#[tokio::test]
async fn all_protocols_say_the_same() {
    let want = BTreeMap::from([
        ("reasoning", "让我想想"),
        ("text", "你好，世界 👋"),
        ("id", "c"),
        ("name", "f"),
        ("arguments", "{\"city\":\"罗马\"}"),
    ]);
    for protocol in Protocol::ALL {
        let (deltas, reason, counts) = deltas(protocol, vec![sample(protocol).into()]).await;
        let got = joined(&deltas);
        assert_eq!(got, want.iter().map(|(kind, text)| (*kind, (*text).to_owned())).collect());
        assert_eq!((reason, counts), (FinishReason::ToolCalls, (11, 7)), "{protocol:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_split_of_the_bytes_gives_the_same_deltas(
        which in prop::sample::select(Protocol::ALL.to_vec()),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        carriage_returns: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut text = sample(which);
        if carriage_returns {
            text = text.replace('\n', "\r\n");
        }
        let whole = Bytes::from(text);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
        at.extend([0, whole.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|pair| whole.slice(pair[0]..pair[1])).collect();
        let split = runtime.block_on(deltas(which, pieces));
        let unsplit = runtime.block_on(deltas(which, vec![whole]));
        prop_assert_eq!(split, unsplit);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_json_is_read_to_an_end(
        which in prop::sample::select(Protocol::ALL.to_vec()),
        frames in prop::collection::vec(any_json(), 0..6),
        whole: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let wire = wire(which);
        let frame = |json: &Value| match whole || wire.streams_lines() {
            true => format!("{json}\n"),
            false => format!("data: {json}\n\n"),
        };
        let body: String = frames.iter().map(frame).collect();
        let kind = if whole { "application/json" } else { wire.streams_as() };
        let response = hyper::http::Response::builder().header("content-type", kind);
        let response = response.body(reqwest::Body::from(body)).unwrap().into();
        let mut exchange = Exchange::new(wire, response, Answer::new(false, false), Default::default());
        let mut read = 0;
        runtime.block_on(async {
            while let Ok(true) = exchange.read_on().await {
                read += std::iter::from_fn(|| exchange.next_delta()).count();
            }
        });
        prop_assert!(read < 1000);
    }
}

#[tokio::test]
async fn a_signature_goes_back_with_its_call() {
    let call_f = json!([{"functionCall": {"name": "f", "args": {"a": 1}},
        "thoughtSignature": "c2lnbmF0dXJl"}]);
    let upstream = Upstream::start(vec![
        Reply::json(200, &candidate(&call_f, &json!("STOP"))),
        gemini_says("42"),
        gemini_says("42"),
    ])
    .await;
    let model = gemini(&upstream);
    let own = || Call { stream: false, turns_of: Some(1), ..call_with_tools() };
    let first = outcome(model.call(own())).await;
    assert_eq!(first.finished.unwrap().reason, FinishReason::ToolCalls);
    let id = first.tool_calls[0].id.clone().unwrap();
    for (id, arguments, signature) in [
        (id.as_str(), "{\"a\":1}", "c2lnbmF0dXJl"),
        ("call_of_another", "{}", "skip_thought_signature_validator"),
    ] {
        let mut calling = Message::text(Role::Assistant, "");
        let (name, arguments) = ("f".to_owned(), arguments.to_owned());
        calling.tool_calls = vec![ToolCall { id: id.to_owned(), name, arguments }];
        let mut result = Message::text(Role::Tool, "42");
        result.tool_call_id = Some(id.to_owned());
        let messages = vec![Message::text(Role::User, "go"), calling, result].into();
        let got = outcome(model.call(Call { messages, ..own() })).await;
        assert_eq!(got.text, "42");
        let body = upstream.seen().pop().unwrap().body;
        assert_eq!(body["contents"][1]["parts"][0]["thoughtSignature"], signature);
        assert_eq!(body["contents"][2]["parts"][0]["functionResponse"]["id"], id);
    }
}

#[tokio::test]
async fn a_rate_limit_says_when_or_is_none() {
    let anthropic_error = json!({"type": "error", "error":
        {"type": "rate_limit_error", "message": "slow down"}, "request_id": "req_1"});
    let limited = || Reply::json(429, &anthropic_error);
    for (reply, want) in [
        (limited().header("retry-after", "0"), vec!["rate_limited", "ok"]),
        (limited().header("x-should-retry", "true"), vec!["rate_limited", "ok"]),
        (limited(), vec!["quota_exceeded"]),
        (Reply::json(529, &anthropic_error), vec!["upstream_error", "ok"]),
    ] {
        let upstream = Upstream::start(vec![reply, claude_says("hi")]).await;
        let got = outcome(anthropic(&upstream).call(call("q"))).await;
        assert_eq!(got.attempts, want);
    }
    let gemini_error = |delay: &str| {
        let wait =
            json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay});
        Reply::json(
            429,
            &json!({"error": {"code": 429, "message": "You exceeded your current quota",
                "status": "RESOURCE_EXHAUSTED", "details": [wait]}}),
        )
    };
    let upstream = Upstream::start(vec![gemini_error("0.01s"), gemini_says("hi")]).await;
    let got = outcome(gemini(&upstream).call(call("q"))).await;
    assert_eq!((got.text.as_str(), got.attempts), ("hi", vec!["rate_limited", "ok"]));
    let upstream = Upstream::start(vec![gemini_error("3600s")]).await;
    let got = outcome(gemini(&upstream).call(call("q"))).await;
    let retry_after = Some(Duration::from_secs(3600));
    assert_eq!(got.kind(), LlmErrorKind::RateLimited { retry_after });
}

#[tokio::test]
async fn reasoning_steps_down_and_is_remembered() {
    let refuse = |message: &str| {
        Reply::json(400, &json!({"error": {"type": "invalid_request_error", "message": message}}))
    };
    let upstream = Upstream::start(vec![
        refuse("adaptive thinking is not supported on this model"),
        claude_says("a"),
        claude_says("b"),
        refuse("thinking: Extra inputs are not permitted"),
        claude_says("c"),
    ])
    .await;
    let model = anthropic(&upstream);
    for want in ["a", "b", "c"] {
        let prompt = Prompt { effort: Some(Effort::Low), ..Prompt::default() };
        let got = outcome(model.call(call_of("q", prompt))).await;
        assert_eq!(got.text, want, "{:?}", got.error);
    }
    let thinking: Vec<Value> =
        upstream.seen().iter().map(|seen| seen.body["thinking"]["type"].clone()).collect();
    assert_eq!(
        thinking,
        [json!("adaptive"), json!("enabled"), json!("enabled"), json!("enabled"), Value::Null]
    );

    let upstream = Upstream::start(vec![
        refuse("Thinking level is not supported for this model."),
        refuse("Budget 0 is invalid. This model only works in thinking mode."),
        gemini_says("a"),
        gemini_says("b"),
    ])
    .await;
    let model = gemini(&upstream);
    for want in ["a", "b"] {
        let prompt = Prompt { effort: Some(Effort::None), ..Prompt::default() };
        let got = outcome(model.call(call_of("q", prompt))).await;
        assert_eq!(got.text, want, "{:?}", got.error);
    }
    let config = |seen: &upstream::Seen| seen.body["generationConfig"]["thinkingConfig"].clone();
    assert_eq!(
        upstream.seen().iter().map(config).collect::<Vec<_>>(),
        [
            json!({"thinkingLevel": "minimal"}),
            json!({"thinkingBudget": 0}),
            json!({"thinkingBudget": 1024}),
            json!({"thinkingBudget": 1024}),
        ]
    );
}

#[tokio::test]
async fn a_malformed_call_is_tried_once_more_and_a_blocked_prompt_is_withheld() {
    let malformed =
        || Reply::json(200, &json!({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}));
    let upstream = Upstream::start(vec![malformed(), gemini_says("hi")]).await;
    let got = outcome(gemini(&upstream).call(call("q"))).await;
    assert_eq!((got.text.as_str(), got.attempts), ("hi", vec!["upstream_stream_error", "ok"]));
    let upstream = Upstream::start(vec![malformed(), malformed()]).await;
    let got = outcome(gemini(&upstream).call(call("q"))).await;
    assert_eq!((got.kind(), got.attempts.len()), (LlmErrorKind::InBand, 2));
    let message = got.error.unwrap().message;
    assert!(message.ends_with("(malformed_function_call)"), "{message}");
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}});
    for reply in [Reply::json(200, &blocked), Reply::sse(format!("data: {blocked}\n\n"))] {
        let upstream = Upstream::start(vec![reply]).await;
        let got = outcome(gemini(&upstream).call(call("q"))).await;
        assert_eq!(got.kind(), LlmErrorKind::ContentFilter);
    }
}

#[tokio::test]
async fn what_the_protocols_cannot_say_is_refused_before_a_call() {
    let upstream = Upstream::start(Vec::new()).await;
    let url = Image::Url { url: "https://e.example/a.png".into(), detail: None };
    let mut seeing = Message::text(Role::User, "see");
    seeing.parts.push(Part::Image(url));
    let seeing = Call { messages: vec![seeing].into(), ..call("") };
    let got = outcome(gemini(&upstream).call(seeing)).await;
    assert_eq!(got.error.unwrap().message, "image URLs are not supported by model 'm'");
    for model in [anthropic(&upstream), gemini(&upstream)] {
        let raw = Prompt { raw: true, ..Prompt::default() };
        let got = outcome(model.call(call_of("Once", raw))).await;
        assert_eq!(got.error.unwrap().message, "raw prompts are not supported by model 'm'");
    }
    let tools = Prompt { tool_choice: Some(ToolChoice::Required), ..Prompt::default() };
    let bare = config::Model { tools: Some(false), ..model(Protocol::Anthropic, &upstream.base()) };
    let got = outcome(llm_model(bare).call(tool_call_of(tools))).await;
    assert_eq!(got.error.unwrap().message, "tools are not supported by model 'm'");
}
