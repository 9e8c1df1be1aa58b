//! A request that is answered before its body was read leaves its connection fit for the next one.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Script, Upstream, four_stages, soon};

/// Reads one response with a `Content-Length`; its head.
async fn response(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = soon("a response", stream.read(&mut buffer)).await.unwrap();
        assert_ne!(count, 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return head.to_owned();
        }
    }
}

#[tokio::test]
async fn a_body_that_comes_after_the_answer_was_decided_is_read() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("first", Script::says("one")),
        ("writer", Script::fuses()),
    ])
    .await;
    let chorus = four_stages(&["first"]).over(&upstream).await;
    let mut stream = TcpStream::connect(chorus.address()).await.unwrap();
    for (line, host, status) in [
        ("POST /nowhere", "127.0.0.1", "404"),
        ("POST /v1/models", "127.0.0.1", "405"),
        ("POST /v1/chat/completions", "elsewhere.example", "403"),
        ("POST /api/pull", "127.0.0.1", "501"),
    ] {
        let head = format!("{line} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 17\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        stream.write_all(b"{\"model\":\"talks\"}").await.unwrap();
        let head = response(&mut stream).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{line}: {head}");
        assert!(!head.contains("connection: close"), "{line}: {head}");
    }
}

#[tokio::test]
async fn before_a_large_body_the_client_learns_that_the_connection_ends() {
    let upstream = Upstream::start([("first", Script::says("one"))]).await;
    let chorus = four_stages(&["first"]).over(&upstream).await;
    let mut stream = TcpStream::connect(chorus.address()).await.unwrap();
    let head = "POST /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let head = response(&mut stream).await;
    assert!(head.starts_with("http/1.1 404") && head.contains("connection: close"), "{head}");
}
