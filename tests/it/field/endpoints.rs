//! What a failure says of an endpoint, and what it costs to try again.

mod connections;
mod gateways;
mod stages;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    Chorus, Host, Script, Setup, Upstream, four_stages, ms, question, soon, text_of,
};

const CHAT: &str = "/v1/chat/completions";
const PROTOCOLS: [&str; 4] = ["openai", "ollama", "anthropic", "gemini"];

/// A panel of one model, which writes and judges too.
fn alone(protocol: &str) -> Setup {
    let plan = json!({"workers": ["m", "n"], "selector": "m", "synthesizer": "m"});
    Setup::of(plan)
        .with_models(&["m", "n"])
        .model_keys("m", &format!("protocol = \"{protocol}\""))
        .model_keys("n", &format!("protocol = \"{protocol}\""))
}

/// The first endpoint of the first model in `/health?verbose`.
async fn health(chorus: &Chorus) -> Value {
    let text = chorus.get("/health?verbose").await.text().await.expect("a body");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    body["models"][0]["endpoints"][0].clone()
}

/// The text of an answer, streamed or not; the error's message where there is none.
async fn reply(chorus: &Chorus, model: &str, prompt: &str, stream: bool) -> (u16, String) {
    let events = chorus.stream(CHAT, &question(CHAT, model, prompt, stream)).await;
    let (status, objects) = (events.status, events.rest().await);
    let text: String = objects.iter().map(text_of).collect();
    let error = objects.iter().find_map(|object| object["error"]["message"].as_str());
    (status, error.map_or(text, str::to_owned))
}

#[tokio::test]
async fn a_fault_of_the_request_is_not_booked_on_the_endpoint() {
    let faults = [
        (403, r#"{"error":{"message":"Your input was flagged for: harassment"}}"#),
        (403, "<!DOCTYPE html><html><title>Attention Required!</title></html>"),
        (403, r#"{"message":"Forbidden"}"#),
        (404, r#"{"error":{"message":"No endpoints found that support tool use."}}"#),
        (404, r#"{"error":{"message":"No endpoints found matching your data policy."}}"#),
        (404, "nothing here"),
        (403, r#"{"error":{"message":"Country, region, or territory not supported"}}"#),
        (403, r#"{"error":{"message":"Tool use is disabled for this request"}}"#),
        (403, "Request blocked by WAF: SQL injection detected"),
        (404, r#"{"error":{"message":"The model is overloaded"}}"#),
        (404, r#"{"error":{"message":"model m is currently unavailable"}}"#),
        (404, r#"{"error":{"message":"tool not found: the model cannot call f"}}"#),
        (413, r#"{"error":{"message":"too large"}}"#),
        // Everyday words, which the list does not bear out.
        (403, r#"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no file abc"}}"#),
        (403, r#"{"message":"Access Denied","reference":"18.7a1b"}"#),
        (403, r#"{"error":{"message":"credentials detected in the text"}}"#),
        (403, r#"{"detail":"Image input is not enabled for your account"}"#),
        (404, r#"{"error":{"message":"Model m with modality image is not supported"}}"#),
    ];
    let stories = faults.iter().flat_map(|fault| PROTOCOLS.map(|protocol| (fault, protocol)));
    let stories = stories.map(|(&(status, body), protocol)| async move {
        let way =
            || Script::judges_for("fine").when_asked("poison", Script::fails_saying(status, body));
        let upstream = Upstream::start([("m", way()), ("n", way())]).await;
        let chorus = alone(protocol).without_retries().over(&upstream).await;
        for (model, stream) in [("m", false), ("m", true), ("chorus", false), ("chorus", true)] {
            let what = format!("{status} {body} {protocol} {model} {stream}");
            let (_, words) = reply(&chorus, model, "poison", stream).await;
            assert!(!words.contains("in service"), "{what}: {words}");
            let (status, text) = reply(&chorus, model, "something else", stream).await;
            assert_eq!(status, 200, "{what}: {text}");
        }
        assert_eq!(health(&chorus).await["state"], "closed", "{status} {body} {protocol}");
    });
    join_all(stories).await;
}

#[tokio::test]
async fn what_is_about_key_or_model_puts_an_endpoint_out_at_once() {
    for (status, body) in [
        (401, ""),
        (403, r#"{"error":{"message":"Invalid API key"}}"#),
        (403, r#"{"error":{"code":"invalid_api_key","message":"no"}}"#),
        (404, r#"{"error":{"code":"model_not_found","message":"nope"}}"#),
        (404, r#"{"error":"model 'm' not found, try pulling it first"}"#),
    ] {
        for protocol in PROTOCOLS {
            let refuses = || Script::fails_saying(status, body);
            let upstream = Upstream::start([("m", refuses()), ("n", refuses())]).await;
            let chorus = alone(protocol).over(&upstream).await;
            let (first, _) = reply(&chorus, "m", "one", false).await;
            assert_eq!(first, 502, "{status} {body}");
            assert_eq!(health(&chorus).await["state"], "down", "{status} {body} {protocol}");
            let (asked, (second, words)) =
                (upstream.seen().len(), reply(&chorus, "m", "two", true).await);
            assert_eq!((second, upstream.seen().len()), (502, asked), "it answers at once");
            assert!(words.contains("no endpoint is in service"), "{words}");
        }
    }
}

/// A bare 403 or 404 is compared with what the list, which holds no prompt, is answered with.
#[tokio::test]
async fn the_model_list_shows_whether_a_bare_refusal_was_about_the_key() {
    for (status, lists, state) in
        [(403, 200, "closed"), (403, 403, "down"), (403, 401, "down"), (404, 404, "closed")]
    {
        let host = Host::start("a").await;
        host.answers(status);
        host.lists(lists);
        let config = format!(
            "[[model]]\nname = \"m\"\napi_base = \"{}\"\napi_key = \"sk-key\"\n\
             [workflow-integration]\njson = '{{\"workers\":[\"m\"],\"selector\":\"m\"}}'\n",
            host.base()
        );
        let chorus = Chorus::of(&config, |_| None).await;
        for prompt in ["one", "two"] {
            reply(&chorus, "m", prompt, false).await;
        }
        assert_eq!(health(&chorus).await["state"], state, "{status}, list {lists}");
        assert!(host.list_calls() <= 1, "asked once, not for every refusal");
    }
}

#[tokio::test]
async fn several_failures_of_one_prompt_count_once() {
    for protocol in PROTOCOLS {
        let way = || {
            let fault = Script::fails(500).first(1, Script::says("x").cut_after(0));
            Script::judges_for("fine").when_asked("poison", fault)
        };
        let upstream = Upstream::start([("m", way()), ("n", way())]).await;
        let retry = "[workflow.retry]\nmax_retries = 2\nbase_delay_ms = 1\nmax_delay_ms = 2\n";
        let chorus = alone(protocol).with(retry).over(&upstream).await;
        for (model, stream) in [("m", false), ("m", true), ("chorus", false), ("chorus", true)] {
            // A client that sends it again, and a workflow whose judge and writer get it in other words.
            for _ in 0..3 {
                reply(&chorus, model, "poison", stream).await;
            }
            let endpoint = health(&chorus).await;
            assert_eq!(endpoint["state"], "closed", "{protocol} {model}: {endpoint}");
            let (status, text) = reply(&chorus, model, "fine", stream).await;
            assert_eq!(status, 200, "{text}");
        }
    }
}

/// The turn that a server fails over stays in the conversation.
#[tokio::test]
async fn a_conversation_that_goes_on_from_a_poisoned_turn_is_the_same_prompt() {
    for protocol in PROTOCOLS {
        let way = || Script::judges_for("fine").when_asked("poison", Script::fails(500));
        let upstream = Upstream::start([("m", way()), ("n", way())]).await;
        let chorus = alone(protocol).without_retries().over(&upstream).await;
        for model in ["m", "chorus"] {
            let mut turns = vec![json!({"role": "user", "content": format!("poison {model}")})];
            for number in 0..6 {
                let mut messages = turns.clone();
                let clock = json!({"role": "system", "content": format!("it is {number} o'clock")});
                messages.insert(0, clock);
                let body = json!({"model": model, "messages": messages});
                let (status, answer) = chorus.ask(CHAT, &body).await;
                assert_eq!(status, 502, "{answer}");
                turns.push(json!({"role": "assistant", "content": ""}));
                turns.push(json!({"role": "user", "content": format!("and now? {number}")}));
            }
            let endpoint = health(&chorus).await;
            assert_eq!(endpoint["state"], "closed", "{protocol} {model}: {endpoint}");
            let (status, text) = reply(&chorus, model, "fine", true).await;
            assert_eq!(status, 200, "{text}");
        }
        // Other conversations are other failures.
        for number in 0..5 {
            reply(&chorus, "m", &format!("poison {number}"), false).await;
        }
        assert_eq!(health(&chorus).await["state"], "open", "{protocol}");
    }
}

#[tokio::test]
async fn the_last_endpoint_in_service_is_tried_all_the_same() {
    for protocol in PROTOCOLS {
        let back = || Script::fails(500).first(6, Script::judges_for("fine"));
        let upstream = Upstream::start([("m", back()), ("n", Script::says("n"))]).await;
        let chorus = alone(protocol).without_retries().over(&upstream).await;
        for number in 0..6 {
            let (status, words) = reply(&chorus, "m", &format!("question {number}"), false).await;
            assert_eq!(status, 502, "{words}");
            assert!(words.contains("500"), "its own error, not ours: {words}");
        }
        assert_eq!(health(&chorus).await["state"], "open");
        // Many at once, as each is somebody's only way.
        let asked = (0..4).map(|number| {
            let chorus = &chorus;
            async move { reply(chorus, "m", &format!("then {number}"), number % 2 == 0).await }
        });
        for (status, text) in join_all(asked).await {
            assert_eq!(status, 200, "{protocol}: {text}");
        }
        assert_eq!(health(&chorus).await["state"], "closed", "an answer puts it in service");
    }
}

#[tokio::test]
async fn a_long_rest_stands_in_the_message_and_in_health() {
    for (status, wait, words) in [
        (503, "1800", "asked to be left alone for 30 min"),
        (429, "7200", "asked to be left alone for 2 h"),
        (503, "90", "asked to be left alone for 90 s"),
    ] {
        for protocol in PROTOCOLS {
            let busy = || Script::fails(status).with_header("retry-after", wait);
            let upstream = Upstream::start([("m", busy()), ("n", busy())]).await;
            let chorus = alone(protocol).over(&upstream).await;
            for stream in [false, true] {
                let (_, message) = reply(&chorus, "m", "hi", stream).await;
                // A rate limit has its own message, and its wait in the header.
                assert!(status == 429 || message.contains(words), "{protocol}: {message}");
            }
            let endpoint = health(&chorus).await;
            assert_eq!(endpoint["rest"], words, "{endpoint}");
        }
    }
}

#[tokio::test]
async fn a_pause_that_nobody_needs_is_not_made() {
    for protocol in PROTOCOLS {
        for stream in [false, true] {
            let upstream = Upstream::start([
                ("judge", Script::judges_for("ready")),
                ("writer", Script::fuses()),
                ("quick", Script::says("ready").after(ms(30))),
                ("busy", Script::fails(503).with_header("retry-after", "30")),
                ("later", Script::says("later").after(ms(60))),
            ])
            .await;
            let keys = format!("protocol = \"{protocol}\"");
            let chorus = four_stages(&["quick", "busy", "later"])
                .model_keys("busy", &keys)
                .over(&upstream)
                .await;
            let asked = reply(&chorus, "chorus", "hi", stream);
            let (status, text) = soon("the answer that needs no pause", asked).await;
            assert_eq!(status, 200, "{text}");
            assert!(text.contains("ready") && text.contains("later"), "{text}");
            assert_eq!(upstream.seen_by("busy").len(), 1, "it was not asked again");
        }
    }
}

#[tokio::test]
async fn a_pause_of_a_direct_call_is_shown_in_its_reasoning() {
    let busy =
        || Script::fails(503).with_header("retry-after", "3").first(1, Script::says("hello"));
    for progress in ["auto", "off"] {
        let upstream = Upstream::start([("m", busy()), ("n", busy())]).await;
        let setup = alone("openai").with(&format!("[server]\nprogress = \"{progress}\""));
        let chorus = setup.over(&upstream).await;
        let objects = chorus.objects(CHAT, &question(CHAT, "m", "hi", true)).await;
        let text: String = objects.iter().map(text_of).collect();
        assert_eq!(text, "hello");
        let thoughts: String = objects
            .iter()
            .filter_map(|object| object["choices"][0]["delta"]["reasoning_content"].as_str())
            .collect();
        let want = "m: upstream_error, asked again in 3 s\n";
        assert_eq!(thoughts, if progress == "auto" { want } else { "" });
    }
}
