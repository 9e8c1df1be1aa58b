//! What the log shows of a call.

use super::*;

/// Holds a test's log.
#[derive(Clone, Default)]
struct Captured(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_endpoint_that_leaves_and_comes_back_is_logged_once_each() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let upstream = Upstream::start(vec![Reply::json(401, &json!({"error": "no"}))]).await;
    let model = openai(&upstream);
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    for _ in 0..3 {
        outcome(model.call(call("q"))).await;
    }
    model.pool.members()[0].listed(true, tokio::time::Instant::now());
    drop(guard);
    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    let host = upstream.base().replace("http://", "");
    let lines: Vec<&str> = log.lines().collect();
    let [left, back] = lines[..] else { panic!("{log}") };
    for (line, words) in [
        (left, "WARN"),
        (left, "an endpoint is out of service"),
        (left, "code=\"upstream_unauthorized\""),
        (left, "next_try_ms=30000"),
        (back, "an endpoint is in service again"),
    ] {
        assert!(line.contains(words), "{words}: {line}");
        assert!(line.contains("model=\"m\"") && line.contains(&host), "{line}");
    }
}

#[tokio::test]
async fn logs_hold_lengths_and_text_only_when_asked() {
    let prompt = "the seven lazy dogs keep sk-live-1234567890";
    for log_payloads in [false, true] {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let refusal = json!({"error": {"message": format!("refused: {prompt}")}});
        let replies = vec![answer("the fox says little"), Reply::json(400, &refusal)];
        let upstream = Upstream::start(replies).await;
        let config = config_of(model(Protocol::OpenAi, &upstream.base()));
        let llm = Llm::build(&config, log_payloads, ClientBuilder::new, None).unwrap();
        // With a single dispatcher, a callsite that another test's thread meets first is cached as
        // of interest to nobody; a second one keeps it asked each time.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        let guard = tracing::subscriber::set_default(subscriber);
        for _ in 0..2 {
            outcome(llm.model("m").unwrap().call(call(prompt))).await;
        }
        drop(guard);
        let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("messages=[1 items]"), "{log}");
        assert!(log.contains("text_bytes=19"), "{log}");
        assert!(log.contains("upstream_rejected"), "{log}");
        assert_eq!(log.contains("seven lazy dogs"), log_payloads, "{log}");
        assert_eq!(log.contains("the fox says"), log_payloads, "{log}");
        assert!(!log.contains("sk-live") && !log.contains("sk-test-key"), "{log}");
    }
}
