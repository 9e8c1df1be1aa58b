//! How streams end: markers, breaks, and what leaves with what.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{FORMS, GOOGLES, asking, path_of};
use crate::support::{Chorus, Script, Upstream, four_stages, soon};

async fn over() -> (Upstream, Chorus) {
    let dies = || Script::says("one two three").in_deltas(3).errs_after(2, "it broke");
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("m", Script::says("Hello.").reasoning("hm")),
        ("worker", Script::says("a draft")),
        ("dies", dies()),
        ("cut", Script::says("one two three").in_deltas(3).cut_after(2)),
        ("writer", dies()),
    ])
    .await;
    let setup = four_stages(&["worker"]).with_models(&["m", "dies", "cut"]);
    let chorus = setup.without_retries().over(&upstream).await;
    (upstream, chorus)
}

/// Everything a connection gets, read by read; it is asked once.
async fn reads(chorus: &Chorus, form: &str, body: &Value) -> Vec<String> {
    let mut stream = TcpStream::connect(chorus.address()).await.expect("a connection");
    let (text, path) = (body.to_string(), path_of(form, body));
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut reads = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match soon("more of the answer", stream.read(&mut buffer)).await {
            Ok(0) | Err(_) => {
                reads.push("(closed)".to_owned());
                return reads;
            }
            Ok(count) => count,
        };
        let read = String::from_utf8_lossy(&buffer[..count]).into_owned();
        let ended = read.ends_with("\r\n0\r\n\r\n") || read == "0\r\n\r\n";
        reads.push(read);
        if ended {
            return reads;
        }
    }
}

fn marker(form: &str) -> &'static str {
    match form {
        "/v1/messages" => "\"type\":\"message_stop\"}\n\n",
        GOOGLES => "\"finishReason\":\"STOP\"",
        _ if form.contains("ndjson") => "\"done\":true",
        _ => "data: [DONE]\n\n",
    }
}

#[tokio::test]
async fn the_bodys_end_leaves_in_the_write_of_the_end_marker() {
    let (_upstream, chorus) = over().await;
    for form in FORMS {
        for model in ["m", "worker"] {
            let reads = reads(&chorus, form, &asking(form, Some(model), true)).await;
            let last = reads.last().expect("a read");
            assert!(last.contains(marker(form)), "{form}: {reads:?}");
            assert!(last.ends_with("\r\n0\r\n\r\n"), "{form}: {reads:?}");
        }
    }
}

#[tokio::test]
async fn after_an_error_line_of_ndjson_the_body_breaks_off() {
    for form in FORMS {
        // Each with circuits of its own, which one failure does not open.
        let (_upstream, chorus) = over().await;
        for model in ["dies", "cut", "chorus"] {
            let reads = reads(&chorus, form, &asking(form, Some(model), true)).await;
            let all = reads.concat();
            assert!(all.contains("\"error\""), "{form} {model}: {reads:?}");
            let last = reads.last().expect("a read");
            if form.contains("ndjson") {
                let before = &reads[reads.len() - 2];
                // The line came, and then the connection went without a last chunk.
                assert_eq!(last, "(closed)", "{form} {model}: {reads:?}");
                assert!(before.contains("\"error\":\""), "{form} {model}: {reads:?}");
                assert!(before.contains("\"done\":true}\n\r\n"), "{form} {model}: {reads:?}");
                assert!(!all.contains("\r\n0\r\n"), "{form} {model}: {reads:?}");
            } else if matches!(form, "/v1/messages" | GOOGLES) {
                assert!(last.ends_with("}\n\n\r\n0\r\n\r\n"), "{form} {model}: {reads:?}");
                assert!(!all.contains(marker(form)), "{form} {model}: {reads:?}");
            } else {
                assert!(
                    last.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"),
                    "{form} {model}: {reads:?}"
                );
            }
        }
    }
}

/// The data of each event or line, the framing of chunks taken off.
fn frames(form: &str, reads: &[String]) -> Vec<String> {
    let all = reads.concat();
    let (head, body) = all.split_once("\r\n\r\n").expect("headers");
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let (mut text, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else { break };
        text.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    assert!(text.ends_with('\n'), "{form}: a whole line");
    let end = if form.contains("ndjson") { "\n" } else { "\n\n" };
    text.trim_end_matches('\n').split(end).map(str::to_owned).collect()
}

/// An SDK parses the data of every event: it stops at what is empty, and takes an object without
/// `error` for a piece of the answer.
#[tokio::test]
async fn no_data_is_empty_and_an_error_is_always_an_error() {
    for form in FORMS {
        let (_upstream, chorus) = over().await;
        for model in ["m", "dies", "cut", "chorus"] {
            let fails = model != "m";
            let reads = reads(&chorus, form, &asking(form, Some(model), true)).await;
            let frames = frames(form, &reads);
            let mut errors = 0;
            for frame in &frames {
                let lines: Vec<&str> = frame.lines().collect();
                let data = match lines[..] {
                    [line] if form.contains("ndjson") => line,
                    [line] => line.strip_prefix("data: ").expect("data alone"),
                    [event, data] => {
                        assert!(event.starts_with("event: "), "{form} {model}: {frame:?}");
                        data.strip_prefix("data: ").expect("the event's data")
                    }
                    _ => panic!("{form} {model}: {frame:?}"),
                };
                if data == "[DONE]" {
                    continue;
                }
                let object: Value = serde_json::from_str(data).expect("JSON");
                assert!(object.is_object(), "{form} {model}: {frame}");
                let reports = object.get("error").is_some_and(|error| !error.is_null());
                errors += usize::from(reports);
                let looks = object.get("code").is_some() || object["type"] == "error";
                assert!(reports || !looks, "{form} {model}: {frame}");
            }
            assert_eq!(errors > 0, fails, "{form} {model}: {frames:?}");
            let last = frames.last().expect("a frame");
            let done = match form {
                "/v1/messages" if fails => last.starts_with("event: error\n"),
                "/v1/messages" => last.starts_with("event: message_stop\n"),
                GOOGLES if fails => last.contains("\"error\""),
                GOOGLES => last.contains(marker(form)),
                _ if form.contains("ndjson") => last.contains("\"done\":true"),
                _ => last == "data: [DONE]",
            };
            assert!(done, "{form} {model}: the end marker is always sent: {frames:?}");
        }
    }
}

/// The upstream's body ends later than its answer: its connection is used again all the same.
#[tokio::test]
async fn upstream_connections_are_used_again_after_streams() {
    let slow = crate::support::ms(60);
    let upstream = Upstream::start([("m", Script::says("Hello.").lingers(slow))]).await;
    let chorus = four_stages(&["m"]).over(&upstream).await;
    for _ in 0..3 {
        for form in FORMS {
            let reads = reads(&chorus, form, &asking(form, Some("m"), true)).await;
            assert!(reads.concat().contains(marker(form)));
            upstream.idle().await;
            tokio::time::sleep(slow).await;
        }
    }
    let made = upstream.connections();
    assert!(made <= 3, "{made} connections for 24 answers");
}
