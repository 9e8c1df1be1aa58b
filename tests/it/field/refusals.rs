//! Refusals that do not come as a plain 400: under a 200, as a frame, behind a gateway's status.

use serde_json::{Value, json};

use super::answers::{CHAT, PROTOCOLS, cast, setup, told};
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
                    let told = told(&chorus, CHAT, &body(stream)).await;
                    let shown = format!("{protocol} {message} {veil:?} {stream}: {told:?}");
                    assert_eq!((told.status, told.text.as_str()), (200, "well"), "{shown}");
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
        let told = told(&chorus, CHAT, &body(true)).await;
        assert_ne!(told.status, 200, "{told:?}");
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
                let told = told(&chorus, CHAT, &question(CHAT, "m", "Why?", stream)).await;
                assert_eq!((told.status, told.text.as_str()), (200, "well"), "{veil:?}: {told:?}");
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

/// As the options of `/api/chat` do.
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
            let told = told(&chorus, CHAT, &body).await;
            assert_eq!(told.status, 200, "{protocol} {model}: {told:?}");
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
                let told = told(&chorus, CHAT, &question(CHAT, model, "Why?", stream)).await;
                assert_eq!(told.status, 200, "{message}: {told:?}");
                assert!(model == "chorus" || told.text == "well", "{message}: {told:?}");
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
                    let told = told(&chorus, CHAT, &body).await;
                    let shown = format!("{protocol} {veil:?} {stream} {model}: {told:?}");
                    assert_eq!((told.status, told.text.as_str()), (200, "well"), "{shown}");
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
