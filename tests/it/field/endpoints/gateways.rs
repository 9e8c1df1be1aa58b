//! Gateways between Chorus and the model that try again by themselves.

use super::*;

const QUICK: &str = "[workflow.retry]\nmax_retries = 2\nbase_delay_ms = 1\nmax_delay_ms = 2\n";

#[tokio::test]
async fn what_a_gateway_has_tried_is_not_tried_again() {
    for (header, value, tries) in [
        ("x-litellm-call-id", "0a1b", 1),
        ("x-litellm-version", "1.106.2", 1),
        ("x-portkey-retry-attempt-count", "3", 1),
        ("x-portkey-retry-attempt-count", "0", 3),
        ("x-litellm-attempted-retries", "0", 3),
        ("x-litellm-attempted-retries", "2", 1),
        ("x-envoy-attempt-count", "3", 1),
        ("x-envoy-attempt-count", "1", 3),
        ("x-request-id", "0a1b", 3),
    ] {
        for status in [500, 502, 503, 429] {
            for protocol in PROTOCOLS {
                // Anthropic's and Gemini's 429 without a wait is a quota, which is never tried again.
                if status == 429 && protocol != "openai" {
                    continue;
                }
                let fails = || Script::fails(status).with_header(header, value);
                let upstream = Upstream::start([("m", fails()), ("n", fails())]).await;
                let chorus = alone(protocol).with(QUICK).over(&upstream).await;
                for (number, stream) in [false, true].into_iter().enumerate() {
                    reply(&chorus, "m", &format!("hi {number}"), stream).await;
                    let asked = upstream.seen_by("m").len();
                    assert_eq!(asked, tries * (number + 1), "{header} {status} {protocol}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_wait_of_the_provider_behind_a_gateway_is_read() {
    for header in ["retry-after", "llm_provider-retry-after"] {
        let limited = || {
            let limited = Script::fails(429).with_header("x-litellm-call-id", "1");
            limited.with_header(header, "7")
        };
        let upstream = Upstream::start([("m", limited()), ("n", limited())]).await;
        let chorus = alone("openai").over(&upstream).await;
        for model in ["m", "chorus"] {
            let response = chorus.post(CHAT, &question(CHAT, model, "hi", false)).await;
            assert_eq!(response.status(), 429, "{header} {model}");
            assert_eq!(response.headers()["retry-after"], "7", "{header} {model}");
        }
    }
}

#[tokio::test]
async fn a_gateway_that_is_named_leaves_the_retries_to_chorus() {
    let fails = || Script::fails(500).with_header("x-litellm-call-id", "1");
    let upstream = Upstream::start([("m", fails()), ("n", Script::says("n"))]).await;
    let setup = alone("openai").with(QUICK);
    let named = setup.clone().model_keys("m", "gateway = \"litellm\"");
    let chorus = named.over(&upstream).await;
    reply(&chorus, "m", "hi", true).await;
    let seen = upstream.seen_by("m");
    assert_eq!(seen.len(), 3, "its own are off, so ours are on");
    for seen in seen {
        assert_eq!(seen.header("x-litellm-num-retries"), Some("0"));
        let limit: u32 = seen.header("x-litellm-timeout").unwrap().parse().unwrap();
        assert!(limit > 0, "the limit is handed over");
    }
    let upstream = Upstream::start([("m", Script::fails(500)), ("n", Script::says("n"))]).await;
    let chorus = setup.model_keys("m", "gateway = \"retrying\"").over(&upstream).await;
    reply(&chorus, "m", "hi", false).await;
    let seen = upstream.seen_by("m");
    assert_eq!(seen.len(), 1, "another one that has tried");
    assert_eq!(seen[0].header("x-litellm-num-retries"), None, "and that knows no such header");
}
