//! Refusals that do not come as a plain 400: under a 200, as a frame, behind a gateway's status.

use serde_json::{Value, json};

use super::{
    answers::{CHAT, PROTOCOLS, cast, reply, setup},
    errors::{code, one_model, words},
};
use crate::support::{Script, Seen, Upstream, Veil, four_stages, question};

const VEILS: [Veil; 5] =
    [Veil::None, Veil::Body, Veil::Frame, Veil::Gateway(502), Veil::Gateway(500)];

fn body(stream: bool) -> Value {
    let mut body = question(CHAT, "m", "Why?", stream);
    body["stop"] = json!(["END"]);
    body["presence_penalty"] = json!(0.5);
    body
}

/// The same words are the same refusal, however they come: the call is repaired, and the parameter
/// remembered.
#[tokio::test]
async fn a_refused_parameter_is_left_out_however_the_refusal_comes() {
    for (protocol, field, message) in [
        ("openai", "presence_penalty", "presence_penalty is not supported by this model"),
        ("openai", "stop", "Unsupported parameter(s): stop"),
        ("ollama", "options.presence_penalty", "presencePenalty is not supported"),
        ("anthropic", "stop_sequences", "stopSequences: Extra inputs are not permitted"),
        ("gemini", "generationConfig.stopSequences", "stop_sequences is not supported"),
    ] {
        for veil in VEILS {
            for stream in [true, false] {
                let script = Script::says("well").refuses_saying(field, message).behind(veil);
                let upstream = Upstream::start([("m", script)]).await;
                let chorus = setup(protocol).over(&upstream).await;
                for calls in [2, 3] {
                    let reply = reply(&chorus, CHAT, &body(stream)).await;
                    let shown = format!("{protocol} {message} {veil:?} {stream}: {reply:?}");
                    assert_eq!((reply.status, reply.text.as_str()), (200, "well"), "{shown}");
                    assert_eq!(upstream.seen().len(), calls, "{shown}");
                }
            }
        }
    }
}

/// What did not help is not remembered: the parameter was not to blame.
#[tokio::test]
async fn what_a_repair_did_not_cure_is_sent_again_next_time() {
    let refusal = json!({"error": {"message": "presence_penalty is not supported"}}).to_string();
    let script = Script::sends("application/json", refusal.as_bytes());
    let upstream = Upstream::start([("m", script)]).await;
    let chorus = setup("openai").over(&upstream).await;
    for calls in [2, 4] {
        let reply = reply(&chorus, CHAT, &body(true)).await;
        assert_ne!(reply.status, 200, "{reply:?}");
        let seen = upstream.seen();
        assert_eq!(seen.len(), calls);
        assert!(seen[calls - 2].has("presence_penalty"), "sent again");
        assert!(!seen[calls - 1].has("presence_penalty"));
    }
}

#[tokio::test]
async fn a_model_that_does_not_stream_is_asked_whole_however_it_says_so() {
    let refuses = |seen: &Seen| {
        (seen.body["stream"] == true).then(|| "streaming is not supported by this model".to_owned())
    };
    for veil in VEILS {
        for stream in [true, false] {
            let script = Script::says("well").objects(refuses).behind(veil);
            let upstream = Upstream::start([("m", script)]).await;
            let chorus = setup("openai").over(&upstream).await;
            for calls in [2, 3] {
                let reply = reply(&chorus, CHAT, &question(CHAT, "m", "Why?", stream)).await;
                assert_eq!(
                    (reply.status, reply.text.as_str()),
                    (200, "well"),
                    "{veil:?}: {reply:?}"
                );
                assert_eq!(upstream.seen().len(), calls, "{veil:?} {stream}");
            }
        }
    }
}

/// Not put back by what passes on the fields that nobody here knows, and left out of every later call.
#[tokio::test]
async fn a_refused_field_that_openai_has_not_is_not_put_back() {
    for (field, message) in [
        ("top_k", "topK not supported"),
        ("min_p", "min_p is not supported"),
        ("repetition_penalty", "repetition_penalty is not supported"),
    ] {
        for path in [CHAT, "/v1/completions"] {
            for veil in VEILS {
                let script = Script::says("well").refuses_saying(field, message).behind(veil);
                let upstream = Upstream::start([("m", script)]).await;
                let chorus = setup("openai").over(&upstream).await;
                let mut body = question(path, "m", "Why?", false);
                (body["top_k"], body["min_p"]) = (json!(5), json!(0.5));
                body["repetition_penalty"] = json!(1.5);
                for calls in [2, 3] {
                    let (status, answer) = chorus.ask(path, &body).await;
                    let shown = format!("{path} {field} {veil:?}: {answer}");
                    assert_eq!(status, 200, "{shown}");
                    assert_eq!(upstream.seen().len(), calls, "{shown}");
                }
                assert!(upstream.seen()[2].has(if field == "min_p" { "top_k" } else { "min_p" }));
            }
        }
    }
}

/// The options of `/api/chat` do the same.
#[tokio::test]
async fn sampling_that_openai_has_not_reaches_every_protocol_that_has_it() {
    for (protocol, names) in [
        ("openai", &["top_k", "min_p", "repetition_penalty"][..]),
        ("ollama", &["options.top_k", "options.min_p", "options.repeat_penalty"]),
        ("anthropic", &["top_k"]),
        ("gemini", &["generationConfig.topK"]),
    ] {
        for model in ["m", "chorus"] {
            let upstream = cast(Script::says("well")).await;
            let chorus = setup(protocol).over(&upstream).await;
            let mut body = question(CHAT, model, "Why?", false);
            (body["top_k"], body["min_p"]) = (json!(5), json!(0.5));
            body["repetition_penalty"] = json!(1.5);
            let reply = reply(&chorus, CHAT, &body).await;
            assert_eq!(reply.status, 200, "{protocol} {model}: {reply:?}");
            for seen in upstream.seen_by("m") {
                for name in names {
                    assert!(seen.has(name), "{protocol} {model} {name}: {}", seen.body);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_model_that_only_answers_whole_is_asked_whole_in_every_spelling() {
    for message in [
        "This model only supports non-streaming mode",
        "\"stream\" : only false is allowed",
        "该模型不支持流式调用",
        "InvokeModelWithResponseStream is not supported for this model",
    ] {
        let refuses = move |seen: &Seen| (seen.body["stream"] == true).then(|| message.to_owned());
        for model in ["m", "chorus"] {
            let upstream = cast(Script::says("well").objects(refuses)).await;
            let chorus = setup("openai").over(&upstream).await;
            for (stream, calls) in [(true, 2), (false, 3)] {
                let reply = reply(&chorus, CHAT, &question(CHAT, model, "Why?", stream)).await;
                assert_eq!(reply.status, 200, "{message}: {reply:?}");
                assert!(model == "chorus" || reply.text == "well", "{message}: {reply:?}");
                let seen = upstream.seen_by("m");
                assert_eq!(seen.len(), calls, "{message} {model} {stream}");
                assert_eq!(seen[calls - 1].body["stream"], false, "{message} {model}");
            }
        }
    }
}

/// A template's word on system messages is about the drafts' turn as about the client's own.
#[tokio::test]
async fn one_system_message_is_made_of_several_however_the_template_says_so() {
    let is_system = |message: &Value| message["role"] == "system";
    let refuses = move |seen: &Seen| {
        let messages = seen.body["messages"].as_array()?;
        let words = "System message must be at the beginning.";
        messages.iter().skip(1).any(is_system).then(|| words.to_owned())
    };
    for protocol in ["openai", "ollama"] {
        for veil in VEILS {
            for stream in [true, false] {
                let picky = || Script::says("well").objects(refuses).behind(veil);
                let upstream = Upstream::start([
                    ("judge", Script::judges_for("draft")),
                    ("writer", picky()),
                    ("a", Script::says("a draft by a")),
                    ("b", Script::says("something else by b")),
                ])
                .await;
                let keys = format!("protocol = \"{protocol}\"");
                let setup = four_stages(&["a", "b"]).without_retries();
                let chorus = setup.model_keys("writer", &keys).over(&upstream).await;
                let messages = json!([
                    {"role": "user", "content": "one"}, {"role": "system", "content": "two"},
                    {"role": "user", "content": "three"},
                ]);
                // The drafts' turn teaches what a direct call then knows.
                for (model, calls) in [("chorus", 2), ("writer", 3)] {
                    let body = json!({"model": model, "stream": stream, "messages": messages});
                    let reply = reply(&chorus, CHAT, &body).await;
                    let shown = format!("{protocol} {veil:?} {stream} {model}: {reply:?}");
                    assert_eq!((reply.status, reply.text.as_str()), (200, "well"), "{shown}");
                    assert_eq!(upstream.seen_by("writer").len(), calls, "{shown}");
                }
            }
        }
    }
}

/// The wait that an upstream asks for in words goes out as `Retry-After`.
#[tokio::test]
async fn a_wait_in_words_is_one() {
    for protocol in PROTOCOLS {
        for (status, words, want) in [
            (429, "Rate limit reached. Please try again in 1m26s.", "86"),
            (429, "Too many requests, retry after 2 minutes", "120"),
            (200, "Rate limit reached, please wait 90 seconds", "90"),
            (502, "Error code: 429 - rate limit exceeded, try again in 1h", "3600"),
        ] {
            let refusal = match protocol {
                "ollama" => json!({"error": words}),
                _ => json!({"error": {"message": words}}),
            };
            let script = match status {
                200 => Script::sends("application/json", refusal.to_string().as_bytes()),
                status => Script::fails_saying(status, &refusal.to_string()),
            };
            let upstream = Upstream::start([("m", script)]).await;
            let chorus = setup(protocol).over(&upstream).await;
            for stream in [true, false] {
                let response = chorus.post(CHAT, &question(CHAT, "m", "Why?", stream)).await;
                let shown = format!("{protocol} {status} {words} {stream}");
                assert_eq!(response.status(), 429, "{shown}");
                assert_eq!(response.headers()["retry-after"], want, "{shown}");
            }
        }
    }
}

/// An error body as an upstream of this protocol writes it.
fn refusal(protocol: &str, words: &str) -> String {
    match protocol {
        "ollama" => json!({"error": words}),
        "anthropic" => {
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": words}})
        }
        _ => json!({"error": {"message": words}}),
    }
    .to_string()
}

/// In the words of many providers, direct and as a gateway's 502, alone and in a workflow: agents go
/// on with less. The limit that is named is learned.
#[tokio::test]
async fn too_long_is_too_long_in_whatever_words() {
    for (status, message, limit) in [
        (
            400,
            "Unable to submit request because the input token count is 40000 but model only \
             supports up to 4096. Reduce the input token count and try again.",
            Some(4096),
        ),
        (
            502,
            "litellm.BadRequestError: CerebrasException - Please reduce the length of the messages \
             or completion. Current length is 40960 while limit is 4096",
            Some(4096),
        ),
        (400, "Malformed input request: expected maxLength: 200000, actual: 250000, please", None),
        (
            400,
            "Messages have 40000 tokens, which exceeds the max limit of 4096 tokens.",
            Some(4096),
        ),
        (413, "length of prompt_tokens (40000) must be less than max_seq_len (4096).", Some(4096)),
        (400, "parameter error: total message token length exceed model limit", None),
        (400, "Total tokens of image and text exceed max message tokens", None),
        (400, "tokens in request more than max tokens allowed", None),
        (400, "max_tokens must be at least 1, got -200.", None),
        (422, "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000", Some(4096)),
        (422, "inputs tokens + max_new_tokens must be <= 4096", Some(4096)),
    ] {
        for protocol in PROTOCOLS {
            let script = Script::fails_saying(status, &refusal(protocol, message));
            let upstream = Upstream::start([("m", script)]).await;
            let chorus = one_model(protocol).over(&upstream).await;
            for (calls, (model, stream)) in
                [("m", true), ("m", false), ("chorus", true), ("chorus", false)].iter().enumerate()
            {
                let (got, reply) = chorus.ask(CHAT, &question(CHAT, model, "Why?", *stream)).await;
                let shown = format!("{protocol} {message} {model}: {reply}");
                assert_eq!((got, code(&reply)), (400, "context_length_exceeded"), "{shown}");
                assert_eq!(upstream.seen().len(), calls + 1, "{shown}");
            }
            let (_, shown) = chorus.ask("/api/show", &json!({"model": "m"})).await;
            let learned = shown["model_info"].as_object().unwrap().iter();
            let mut learned = learned.filter(|(name, _)| name.ends_with("context_length"));
            let learned = learned.next().unwrap().1.as_u64();
            assert!(limit.is_none() || learned == limit, "{protocol} {message}: {shown}");
        }
    }
}

/// What is no refusal for length is reported as it was.
#[tokio::test]
async fn other_limits_are_not_reported_as_too_long() {
    for (status, message, want) in [
        (429, "Request too large for m on tokens per min (TPM): Limit 6000, Requested 7000", 429),
        (400, "max_tokens is too large: 90000. This model supports up to 16384 output tokens", 400),
        (413, "Request body too large: at most 10485760 bytes", 400),
    ] {
        for protocol in ["openai", "ollama"] {
            let script = Script::fails_saying(status, &refusal(protocol, message));
            let upstream = Upstream::start([("m", script)]).await;
            let chorus = one_model(protocol).without_retries().over(&upstream).await;
            let (got, reply) = chorus.ask(CHAT, &question(CHAT, "m", "Why?", false)).await;
            assert_eq!(got, want, "{protocol} {message}: {reply}");
            assert_ne!(code(&reply), "context_length_exceeded", "{protocol} {message}: {reply}");
        }
    }
}

/// A wrong key, a model that is not there and a limit, under a gateway's status and in everyday words:
/// named, and asked once.
#[tokio::test]
async fn the_class_of_a_failure_is_read_in_whatever_words() {
    const KEY: &str = "does not accept the configured key";
    const MODEL: &str = "no such model or path";
    const RATE: &str = "rate limit reached";
    const QUOTA: &str = "the quota or credit is used up";
    for (status, message, named) in [
        (500, "litellm.APIConnectionError: O - {\"error\":\"model 'q9' not found\"}", MODEL),
        (502, "The model `x` does not exist.", MODEL),
        (500, "models/g-9 is not found for API version v1beta, or is not supported", MODEL),
        (503, "当前分组 default 下对于模型 g-9 无可用渠道", MODEL),
        (400, "模型不存在，请检查模型代码。", MODEL),
        (502, "401 Client Error: Unauthorized for url: https://p.example/v1/chat", KEY),
        (500, "Request failed: 401", KEY),
        (500, "You didn't provide an API key. You need to provide it in a header", KEY),
        (500, "Access denied due to invalid subscription key or wrong API endpoint.", KEY),
        (503, "Quota exceeded for quota metric 'Generate Content API requests per minute'", RATE),
        (403, "用户额度不足, 剩余额度: 0.00", QUOTA),
        (403, "Key limit exceeded (total limit). Manage it on the site", QUOTA),
    ] {
        for protocol in PROTOCOLS {
            for model in ["m", "chorus"] {
                let script = Script::fails_saying(status, &refusal(protocol, message));
                let upstream = Upstream::start([("m", script)]).await;
                let chorus = one_model(protocol).over(&upstream).await;
                for (number, stream) in [true, false].into_iter().enumerate() {
                    let body = question(CHAT, model, "Why?", stream);
                    let (got, reply) = chorus.ask(CHAT, &body).await;
                    let shown = format!("{protocol} {status} {message} {model}: {reply}");
                    let is_out = words(&reply).contains("no endpoint is in service");
                    let is_limit = got == 429 && named == RATE;
                    assert!(words(&reply).contains(named) || is_out || is_limit, "{shown}");
                    assert_eq!(got, if named == RATE { 429 } else { 502 }, "{shown}");
                    let calls = number + 1;
                    assert_eq!(upstream.seen().len(), calls, "{shown}");
                }
            }
        }
    }
}

/// Without `Retry-After` the headers that say when a limit is reset are read.
#[tokio::test]
async fn a_reset_in_other_headers_is_a_wait() {
    for (header, value, want) in [
        ("x-ratelimit-reset-requests", "6m0s", "360"),
        ("x-ratelimit-reset", "90", "90"),
        ("anthropic-ratelimit-requests-reset", "2999-01-01T00:00:00Z", ""),
    ] {
        for protocol in PROTOCOLS {
            let body = refusal(protocol, "Rate limit reached");
            let script = Script::fails_saying(429, &body).with_header(header, value);
            let upstream = Upstream::start([("m", script)]).await;
            let chorus = one_model(protocol).over(&upstream).await;
            for model in ["m", "chorus"] {
                let response = chorus.post(CHAT, &question(CHAT, model, "Why?", false)).await;
                assert_eq!(response.status(), 429, "{protocol} {header} {model}");
                let after = response.headers()["retry-after"].to_str().unwrap();
                let is_long = want.is_empty() && after.parse::<u64>().unwrap() > 86_400;
                assert!(after == want || is_long, "{protocol} {header} {model}: {after}");
            }
            assert_eq!(upstream.seen().len(), 2, "{protocol} {header}: nobody waits so long");
        }
    }
}

/// What a circle over several Chorus ends in is reported to whoever asked first.
#[tokio::test]
async fn a_circle_over_several_chorus_is_reported_as_one() {
    let body = json!({"error": {"message": "passed on from Chorus to Chorus", "type": "api_error",
        "code": "loop_detected"}})
    .to_string();
    for protocol in PROTOCOLS {
        let upstream = Upstream::start([("m", Script::fails_saying(508, &body))]).await;
        let chorus = one_model(protocol).over(&upstream).await;
        for (number, (model, stream)) in
            [("m", true), ("m", false), ("chorus", true), ("chorus", false)].iter().enumerate()
        {
            let (status, reply) = chorus.ask(CHAT, &question(CHAT, model, "Why?", *stream)).await;
            assert_eq!((status, code(&reply)), (508, "loop_detected"), "{protocol} {reply}");
            assert_eq!(upstream.seen().len(), number + 1, "{protocol} {model}");
        }
    }
}

/// Holds on every endpoint, for every call of a run and for a direct one.
#[tokio::test]
async fn a_larger_context_that_is_asked_for_reaches_ollama() {
    let upstream = Upstream::start([("m", Script::says("well"))]).await;
    let chorus = one_model("ollama").over(&upstream).await;
    for path in [CHAT, "/v1/responses", "/v1/completions", "/api/chat", "/api/generate"] {
        for model in ["m", "chorus"] {
            for named in [json!({"options": {"num_ctx": 32768}}), json!({"num_ctx": 32768})] {
                // Ollama's own endpoints have it in `options`, and there only.
                if path.starts_with("/api") && named.get("options").is_none() {
                    continue;
                }
                let mut body = match path {
                    "/v1/responses" => json!({"model": model, "input": "Why?"}),
                    _ => question(path, model, "Why?", false),
                };
                body.as_object_mut().unwrap().extend(named.as_object().unwrap().clone());
                let before = upstream.seen().len();
                let (status, reply) = chorus.ask(path, &body).await;
                assert_eq!(status, 200, "{path} {body}: {reply}");
                let seen = &upstream.seen()[before..];
                let asked = |seen: &Seen| seen.body["options"]["num_ctx"] == 32768;
                assert!(!seen.is_empty() && seen.iter().all(asked), "{path} {body}");
            }
        }
    }
}

/// LiteLLM has what its provider ended with in the delta of a chunk, too.
#[tokio::test]
async fn a_native_reason_in_a_delta_is_read() {
    for (native, status) in [("network_error", 502), ("stop", 200)] {
        let chunk = json!({"choices": [{"index": 0, "finish_reason": "stop", "delta": {
            "content": "", "provider_specific_fields": {"native_finish_reason": native}}}]});
        let first = json!({"choices": [{"index": 0, "delta": {"content": "half",
            "provider_specific_fields": null}}]});
        let stream = format!("data: {first}\n\ndata: {chunk}\n\ndata: [DONE]\n\n");
        let script = Script::sends("text/event-stream", stream.as_bytes());
        let upstream = Upstream::start([("m", script)]).await;
        let chorus = one_model("openai").without_retries().over(&upstream).await;
        for (model, stream) in [("m", true), ("m", false)] {
            let reply = reply(&chorus, CHAT, &question(CHAT, model, "Why?", stream)).await;
            assert_eq!(reply.error.is_some(), status == 502, "{native} {stream}: {reply:?}");
        }
    }
}
