//! How upstreams are reached: TLS with a certificate authority of their own, HTTP/2, proxies.

use axum::http::Version;
use serde_json::Value;

use crate::support::{
    Chorus, Process, Proxy, Script, TlsUpstream, Upstream, ms, question, text_of, trusting,
};

const CHAT: &str = "/v1/chat/completions";

/// One model `m` at this base, with more keys.
fn config(base: &str, keys: &str) -> String {
    format!(
        "[[model]]\nname = \"m\"\napi_base = \"{base}\"\napi_key = \"sk-key-of-m\"\n{keys}\n\
         [workflow-integration]\njson = '{{\"workers\": [\"m\"], \"selector\": \"m\"}}'\n\
         [workflow.retry]\nmax_retries = 0\n"
    )
}

async fn nobody() -> Upstream {
    Upstream::start([]).await
}

fn said(answer: &Value) -> &str {
    text_of(answer)
}

#[tokio::test]
async fn a_server_with_its_own_authority_is_trusted_by_ca_cert_alone() {
    for (offered, want) in
        [(vec!["h2", "http/1.1"], Version::HTTP_2), (vec!["http/1.1"], Version::HTTP_11)]
    {
        let upstream = TlsUpstream::start("localhost", &offered).await;
        let base = format!("https://localhost:{}/v1", upstream.address().port());
        let body = question(CHAT, "m", "hi", false);
        let trust = trusting(&upstream.ca());
        let chorus = Chorus::start(&nobody().await, &config(&base, &trust)).await;
        for _ in 0..2 {
            let (status, answer) = chorus.ask(CHAT, &body).await;
            assert_eq!((status, said(&answer)), (200, "secure"), "{answer}");
        }
        assert_eq!(upstream.seen(), [want, want], "{offered:?}");

        let chorus = Chorus::start(&nobody().await, &config(&base, "")).await;
        let (status, answer) = chorus.ask(CHAT, &body).await;
        let error = &answer["error"];
        let words = error["message"].as_str().unwrap();
        assert_eq!((status, &error["code"]), (502, &"upstream_error".into()), "{answer}");
        assert!(words.contains("certificate") && words.contains("ca_cert"), "{words}");
        assert_eq!(upstream.seen().len(), 2, "nothing was sent to a stranger");
    }
    // One that has no TLS at all.
    let plain = nobody().await;
    let chorus =
        Chorus::start(&plain, &config(&format!("https://{}/v1", plain.authority()), "")).await;
    let (status, answer) = chorus.ask(CHAT, &question(CHAT, "m", "hi", false)).await;
    let words = answer["error"]["message"].as_str().unwrap();
    assert!(status == 502 && words.ends_with("does it speak http instead of https?"), "{words}");
}

#[tokio::test]
async fn the_pool_keeps_as_many_connections_as_configured_for_as_long() {
    for (keys, pause, want) in [
        ("", 0, 1),
        ("max_idle_per_host = 0", 0, 2),
        ("idle_secs = 1", 0, 1),
        ("idle_secs = 1", 1300, 2),
    ] {
        let upstream = Upstream::start([("m", Script::says("hello"))]).await;
        let config = config("{base}/v1", &format!("[workflow.pool]\n{keys}"));
        let chorus = Chorus::start(&upstream, &config).await;
        for _ in 0..2 {
            let (status, _) = chorus.ask(CHAT, &question(CHAT, "m", "hi", false)).await;
            assert_eq!(status, 200);
            upstream.idle().await;
            tokio::time::sleep(ms(50 + pause)).await;
        }
        assert_eq!(upstream.connections(), want, "{keys} {pause}");
    }
}

#[tokio::test]
async fn upstreams_elsewhere_are_reached_through_the_proxy_of_their_scheme() {
    let secure = TlsUpstream::start("models.example", &["h2", "http/1.1"]).await;
    let plain = Upstream::start([("m", Script::says("plain"))]).await;
    let trust = trusting(&secure.ca());
    let plain_address = plain.authority().parse().unwrap();
    let body = question(CHAT, "m", "hi", false);
    for (base, variable, head, text) in [
        ("https://models.example/v1", "HTTPS_PROXY", "CONNECT models.example:443 ", "secure"),
        ("https://models.example/v1", "all_proxy", "CONNECT models.example:443 ", "secure"),
        ("http://models.example/v1", "http_proxy", "POST http://models.example/v1/chat/", "plain"),
        ("http://models.example/v1", "ALL_PROXY", "POST http://models.example/v1/chat/", "plain"),
    ] {
        let to = if text == "secure" { secure.address() } else { plain_address };
        let proxy = Proxy::to(to).await;
        let url = format!("http://me:pass-5823@{}", proxy.authority());
        let env = |name: &str| (name == variable).then(|| url.clone());
        let chorus = Chorus::start_with(&plain, &config(base, &trust), env).await;
        let (status, answer) = chorus.ask(CHAT, &body).await;
        assert_eq!((status, said(&answer)), (200, text), "{variable} {base}: {answer}");
        let heads = proxy.heads();
        assert!(heads.len() == 1 && heads[0].starts_with(head), "{variable}: {heads:?}");
        let secret = "proxy-authorization: basic bwu6cgfzcy01odiz"; // me:pass-5823
        assert!(heads[0].to_lowercase().contains(secret), "{variable}: {heads:?}");
    }
    // One that refuses, with and without a tunnel, and one that is not there.
    let refusing = Proxy::to_nowhere(407).await;
    for (variable, base, authority, words) in [
        ("HTTPS_PROXY", "https://models.example/v1", refusing.authority(), "proxy"),
        ("HTTP_PROXY", "http://models.example/v1", refusing.authority(), "the proxy refused"),
        ("HTTPS_PROXY", "https://models.example/v1", "127.0.0.1:1".to_owned(), "refused"),
    ] {
        let url = format!("http://me:pass-5823@{authority}");
        let env = |name: &str| (name == variable).then(|| url.clone());
        let chorus = Chorus::start_with(&plain, &config(base, &trust), env).await;
        let (status, answer) = chorus.ask(CHAT, &body).await;
        let shown = answer["error"]["message"].as_str().unwrap();
        assert!(status == 502 && shown.contains(words) && !shown.contains("pass-5823"), "{shown}");
    }
    // Not through it: a loopback upstream, and a host that NO_PROXY names.
    let proxy = Proxy::to(plain_address).await;
    let url = format!("http://{}", proxy.authority());
    let env = |name: &str| match name {
        "HTTP_PROXY" => Some(url.clone()),
        "no_proxy" => Some("else.example,models.invalid".to_owned()),
        _ => None,
    };
    for (base, want) in [("{base}/v1", 200), ("http://models.invalid/v1", 502)] {
        let chorus = Chorus::start_with(&plain, &config(base, ""), env).await;
        let (status, answer) = chorus.ask(CHAT, &body).await;
        assert_eq!(status, want, "{base}: {answer}");
    }
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn the_binary_takes_its_proxy_from_the_environment() {
    let secure = TlsUpstream::start("models.example", &["http/1.1"]).await;
    let proxy = Proxy::to(secure.address()).await;
    let text = config("https://models.example/v1", &trusting(&secure.ca()));
    let url = format!("http://me:pass-5823@{}", proxy.authority());
    let variables = [("HTTPS_PROXY", url.as_str())];
    let process = Process::serves(&nobody().await, &text, "trace", &variables).await;
    let (status, answer) = process.client().ask(CHAT, &question(CHAT, "m", "hi", false)).await;
    assert_eq!((status, said(&answer)), (200, "secure"), "{answer}");
    assert_eq!(proxy.heads().len(), 1);
    process.request_stop();
    let (_, log) = process.ended().await;
    assert!(!log.contains("pass-5823") && !log.contains("bWU6cGFzcy"), "{log}");
}

#[tokio::test]
async fn a_proxy_or_a_certificate_that_is_none_is_reported_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ca) = (folder.path().join("config.toml"), folder.path().join("ca.pem"));
    let named_anyhow = folder.path().join("corporate-root");
    std::fs::write(&ca, "not a certificate").unwrap();
    std::fs::write(&named_anyhow, "not a certificate").unwrap();
    let base = "https://models.example/v1";
    for (keys, variable, value, words) in [
        (String::new(), "HTTPS_PROXY", "ftp://me:pass-5823@p", vec!["HTTPS_PROXY", "model `m`"]),
        (String::new(), "all_proxy", "me:pass-5823@p:x", vec!["all_proxy", "model `m`"]),
        (trusting(&ca), "X", "", vec!["ca.pem", "model `m`", "`ca_cert`"]),
        (trusting(&named_anyhow), "X", "", vec!["corporate-root", "no usable certificate"]),
        (trusting(&folder.path().join("no.crt")), "X", "", vec!["no.crt", "cannot be read"]),
    ] {
        std::fs::write(&file, config(base, &keys)).unwrap();
        for command in ["serve", "check"] {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_chorus"))
                .args([command, "--port", "0", "--config"])
                .arg(&file)
                .env_clear()
                .env(variable, value)
                .output()
                .unwrap();
            let shown = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{command}: {shown}");
            assert!(words.iter().all(|word| shown.contains(word)), "{command}: {shown}");
            assert!(!shown.contains("pass-5823") && !shown.contains("panicked"), "{shown}");
        }
    }
}
