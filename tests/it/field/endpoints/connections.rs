//! Connections that upstreams close though they promised to keep them.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::support::Closing;

/// What is asked, and where: calls of every kind that are sent by POST.
fn ways() -> Vec<(&'static str, Value)> {
    let mut ways = Vec::new();
    for stream in [false, true] {
        for path in [CHAT, "/v1/completions", "/api/chat", "/api/generate"] {
            ways.push((path, question(path, "m", "hi", stream)));
        }
    }
    ways.push(("/v1/embeddings", json!({"model": "e", "input": "x"})));
    ways
}

async fn over(protocol: &str, closing: Closing) -> (Upstream, Chorus) {
    let vectors = br#"{"object":"list","data":[],"model":"e"}"#;
    let says = || Script::judges_for("hello").closing(closing);
    let embeds = Script::sends("application/json", vectors).closing(closing);
    let upstream = Upstream::start([("m", says()), ("n", says()), ("e", embeds)]).await;
    let setup = alone(protocol).with_models(&["e"]).without_retries();
    let chorus = setup.over(&upstream).await;
    (upstream, chorus)
}

#[tokio::test]
async fn a_reused_connection_that_ends_before_a_byte_of_answer_costs_nothing() {
    for protocol in PROTOCOLS {
        let (upstream, chorus) = over(protocol, Closing::WhenReused).await;
        for round in 0..3 {
            for (path, body) in ways() {
                let events = chorus.stream(path, &body).await;
                let (status, objects) = (events.status, events.rest().await);
                assert_eq!(status, 200, "{protocol} {round} {path} {body}: {objects:?}");
            }
        }
        let body = json!({"model": "m", "include_workflow": true,
            "messages": [{"role": "user", "content": "hi"}]});
        for _ in 0..3 {
            let (_, answer) = chorus.ask(CHAT, &body).await;
            let calls = answer["workflow"]["synthesizer"]["calls"].as_array().unwrap().len();
            assert_eq!(calls, 1, "it is no attempt: {answer}");
        }
        let endpoint = health(&chorus).await;
        assert_eq!(endpoint["consecutive_failures"], 0, "{endpoint}");
        let (status, text) = reply(&chorus, "chorus", "hi", true).await;
        assert_eq!(status, 200, "{text}");
        assert!(upstream.connections() > 10);
    }
}

#[tokio::test]
async fn a_new_connection_that_ends_before_a_byte_of_answer_is_a_failure() {
    let (upstream, chorus) = over("openai", Closing::Always).await;
    for stream in [false, true] {
        let asked = upstream.seen().len();
        assert_eq!(reply(&chorus, "m", "hi", stream).await.0, 502);
        assert_eq!(upstream.seen().len(), asked + 1, "asked once");
    }
}

#[tokio::test]
async fn connections_that_close_when_idle_cost_no_call() {
    let (_upstream, chorus) = over("openai", Closing::WhenIdle(ms(15))).await;
    for number in 0..40 {
        // Around the moment of the close, before and after.
        tokio::time::sleep(ms(12 + number % 6)).await;
        let (status, text) = reply(&chorus, "m", "hi", number % 2 == 0).await;
        assert_eq!(status, 200, "{number}: {text}");
    }
}

#[tokio::test]
async fn a_connection_that_is_dead_after_each_stream_is_not_used_again() {
    for protocol in PROTOCOLS {
        for pause in [0, 1] {
            let closing = Closing::AfterStreams(ms(pause));
            let (_upstream, chorus) = over(protocol, closing).await;
            for number in 0..40 {
                let (status, text) = reply(&chorus, "m", "hi", number % 4 != 0).await;
                assert_eq!(status, 200, "{protocol} {pause} {number}: {text}");
            }
            for stream in [false, true] {
                let (status, text) = reply(&chorus, "chorus", "hi", stream).await;
                assert_eq!(status, 200, "{protocol} {pause}: {text}");
            }
        }
    }
}

/// Answers every request on its port with these bytes.
#[expect(clippy::disallowed_methods, reason = "it ends with the story's runtime")]
async fn raw(head: String) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            let _read = stream.read(&mut request).await;
            let _written = stream.write_all(head.as_bytes()).await;
        }
    });
    format!("http://{address}/v1")
}

#[tokio::test]
async fn an_answer_whose_head_cannot_be_read_is_named() {
    let many: String = (0..150).map(|number| format!("x-{number}: 1\r\n")).collect();
    for (head, words) in [
        (
            format!("HTTP/1.1 200 OK\r\n{many}content-length: 2\r\n\r\n{{}}"),
            "more than 100 headers",
        ),
        (
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_owned(),
            "HTTP/1.0 with a Transfer-Encoding",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "no HTTP"),
    ] {
        let base = raw(head).await;
        let config = format!(
            "[[model]]\nname = \"m\"\napi_base = \"{base}\"\n[workflow.retry]\nmax_retries = 0\n\
             [workflow-integration]\njson = '{{\"workers\":[\"m\"],\"selector\":\"m\"}}'\n"
        );
        let chorus = Chorus::of(&config, |_| None).await;
        for stream in [false, true] {
            let (status, message) = reply(&chorus, "m", "hi", stream).await;
            assert_eq!(status, 502, "{message}");
            assert!(message.contains(words), "{message}");
        }
    }
}
