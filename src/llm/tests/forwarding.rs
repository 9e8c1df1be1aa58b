//! Requests that are passed on as they came.

use std::sync::atomic::AtomicU64;

use super::*;

#[tokio::test]
async fn a_pause_holds_no_permit() {
    let pause = Duration::from_secs(10);
    let busy = Reply::json(503, &json!({"error": "busy"})).header("retry-after", "10");
    let fine = Reply::body("application/json", "{\"data\":[]}");
    let upstream = Upstream::start(vec![busy, fine]).await;
    let plain = model(Protocol::OpenAi, &upstream.base());
    let model = llm_model(config::Model { max_concurrency: Some(1), ..plain });
    let calls = AtomicU64::new(0);
    let forward =
        || model.forward(Passthrough::Embeddings, Forwarded::default(), pause * 2, 0, &calls);
    tokio::select! {
        _ = forward() => panic!("it waits before it tries again"),
        second = tokio::time::timeout(pause / 2, async {
            while upstream.seen().is_empty() {
                tokio::task::yield_now().await;
            }
            forward().await
        }) => assert!(second.expect("nobody holds the permit").is_ok()),
    }
}

#[tokio::test]
async fn who_had_little_time_is_not_called_slow() {
    let late = Reply::json(500, &json!({"error": "no"})).late_end(Duration::from_millis(300));
    let upstream = Upstream::start(vec![late, Reply::hang()]).await;
    let model = openai(&upstream);
    let limit = Duration::from_millis(400);
    let body = Forwarded::default();
    let calls = AtomicU64::new(0);
    let forwarded = model.forward(Passthrough::Embeddings, body, limit, 0, &calls).await;
    let error = forwarded.expect_err("no time");
    assert_eq!(error.kind, LlmErrorKind::Timeout);
    let standing = model.pool.members()[0].standing(tokio::time::Instant::now());
    assert_eq!(standing.consecutive, 1, "the first failure alone counts");
    assert_eq!(calls.into_inner(), 2, "each attempt is a call");
}
