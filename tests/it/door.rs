//! The addresses that a request may come from, over real connections.

use serde_json::json;

use crate::support::{Chorus, Process, Script, Upstream, four_stages, question};

const CHAT: &str = "/v1/chat/completions";

async fn upstream() -> Upstream {
    Upstream::start([("m", Script::says("hello"))]).await
}

fn config(server_keys: &str) -> String {
    four_stages(&["m"]).with(&format!("[server]\n{server_keys}")).toml()
}

async fn status(chorus: &Chorus, headers: &[(&str, &str)]) -> u16 {
    chorus.post_with(CHAT, &question(CHAT, "m", "hi", false), headers).await.status().as_u16()
}

#[tokio::test]
async fn only_allowed_addresses_may_ask() {
    let upstream = upstream().await;
    for (server_keys, want) in [
        ("allowed_ips = [\"127.0.0.0/8\"]", 200),
        ("allowed_ips = [\"192.0.2.0/24\", \"127.0.0.1\"]", 200),
        ("allowed_ips = [\"192.0.2.0/24\", \"::1\"]", 403),
    ] {
        let before = upstream.seen().len();
        let chorus = Chorus::start(&upstream, &config(server_keys)).await;
        assert_eq!(status(&chorus, &[]).await, want, "{server_keys}");
        // What anybody writes there is nobody's word.
        for name in ["x-forwarded-for", "forwarded"] {
            let value = ["for=192.0.2.1", "192.0.2.1"][usize::from(name.starts_with('x'))];
            assert_eq!(status(&chorus, &[(name, value)]).await, want, "{server_keys} {name}");
        }
        let (health, answer) = (chorus.get("/health").await.status(), chorus.get("/").await);
        assert_eq!((health.as_u16(), answer.status().as_u16()), (want, want));
        let words = answer.text().await.unwrap();
        assert_eq!(want == 403, words.contains("allowed_ips"), "{words}");
        assert_eq!(upstream.seen().len() - before, if want == 200 { 3 } else { 0 });
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_whom_it_asks_for() {
    let upstream = upstream().await;
    let keys = "trusted_proxies = [\"127.0.0.1\"]\nallowed_ips = [\"192.0.2.0/24\"]";
    let chorus = Chorus::start(&upstream, &config(keys)).await;
    for (headers, want) in [
        (&[][..], 403),
        (&[("x-forwarded-for", "192.0.2.1")], 200),
        (&[("x-forwarded-for", "192.0.2.1, 198.51.100.1")], 403),
        (&[("x-forwarded-for", "198.51.100.1, 192.0.2.1")], 200),
        (&[("x-forwarded-for", "192.0.2.1, unknown")], 403),
        (&[("forwarded", "for=\"192.0.2.1:4711\";proto=https")], 200),
        (&[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "198.51.100.1")], 403),
    ] {
        assert_eq!(status(&chorus, headers).await, want, "{headers:?}");
    }
}

#[tokio::test]
async fn the_log_says_where_a_request_comes_from_and_wrong_keys_slow_that_address_down() {
    let upstream = upstream().await;
    let keys =
        "trusted_proxies = [\"127.0.0.0/8\"]\n[[client]]\nname = \"ann\"\nkey = \"her own key\"";
    let process = Process::serves(&upstream, &config(keys), "info", &[]).await;
    let client = process.client();
    let ask = async |from: &str, key: &str| {
        let headers = [("x-forwarded-for", from), ("x-api-key", key)];
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        let begun = std::time::Instant::now();
        let status = client.post_with(CHAT, &body, &headers).await.status().as_u16();
        (status, begun.elapsed())
    };
    assert_eq!(ask("192.0.2.1", "her own key").await.0, 200);
    for _ in 0..14 {
        assert_eq!(ask("192.0.2.2", "guessed").await.0, 401);
    }
    let (slow, quick) = (ask("192.0.2.2", "guessed").await, ask("192.0.2.3", "guessed").await);
    assert_eq!((slow.0, quick.0), (401, 401));
    // Five beyond the ten that are free.
    assert!(slow.1 >= crate::support::ms(400) && quick.1 < slow.1, "{slow:?} {quick:?}");
    process.request_stop();
    let (_, log) = process.ended().await;
    assert!(log.contains("client.address=192.0.2.1 "), "{log}");
    assert_eq!(log.matches("client.address=192.0.2.2").count(), 15, "{log}");
}

/// What a Unix socket answers to a request, as far as its status.
#[cfg(unix)]
async fn over_unix(path: &std::path::Path, head: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::UnixStream::connect(path).await.unwrap();
    stream.write_all(format!("GET {head}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    crate::support::soon("an answer", stream.read_exact(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_private_counts_as_this_machine_and_goes_with_the_server() {
    use std::os::unix::fs::MetadataExt;
    let upstream = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chorus.sock");
    // As a server leaves it that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let keys = format!("unix_socket = '{}'\nallowed_ips = [\"127.0.0.1\"]", path.display());
    let process = Process::serves(&upstream, &config(&keys), "info", &[]).await;
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    for (head, want) in [
        ("/health HTTP/1.1\r\nhost: localhost", "HTTP/1.1 200"),
        ("/v1/models HTTP/1.1\r\nhost: localhost", "HTTP/1.1 200"),
        ("/health HTTP/1.1\r\nhost: elsewhere.example", "HTTP/1.1 403"),
    ] {
        assert_eq!(over_unix(&path, head).await, want, "{head}");
    }
    process.request_stop();
    let (status, log) = process.ended().await;
    assert!(status.success() && log.contains("listening on a Unix socket"), "{log}");
    assert!(!path.exists());
}

#[tokio::test]
async fn pages_of_this_machine_may_need_a_key() {
    let upstream = upstream().await;
    let keys = "ui_origins = [\"http://localhost:3000\"]";
    let chorus = Chorus::start(&upstream, &config(keys)).await;
    for (origin, want) in [
        ("http://localhost:3000", 200),
        ("http://localhost:5173", 403),
        ("http://127.0.0.1:8080", 403),
        ("app://obsidian.md", 200),
        ("https://elsewhere.example", 403),
    ] {
        assert_eq!(status(&chorus, &[("origin", origin)]).await, want, "{origin}");
    }
    assert_eq!(status(&chorus, &[]).await, 200);
    // As with Ollama, every such page may ask where nobody said otherwise.
    let chorus = Chorus::start(&upstream, &config("")).await;
    assert_eq!(status(&chorus, &[("origin", "http://localhost:5173")]).await, 200);
}
