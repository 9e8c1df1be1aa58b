//! Keys at the door, and what wrong ones cost.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::server::client_addr::Peer;

fn guarded() -> AppState {
    serving(|config| {
        config.clients = vec![Client::with_key("laptop", Sha256::digest("key").into())];
    })
}

/// The status, and how long it took on a clock that only waits move.
async fn asked(app: &AppState, path: &str, key: Option<&str>, from: &str) -> (u16, Duration) {
    let authorization = key.map(|key| ("x-api-key", key));
    let mut request = request("GET", path, authorization.as_slice(), "");
    request.extensions_mut().insert(Peer(from.parse().unwrap()));
    let begun = Instant::now();
    let status = call(app, request).await.status.as_u16();
    (status, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn wrong_keys_wait_and_right_ones_never_do() {
    let app = guarded();
    let mut waits = Vec::new();
    for _ in 0..25 {
        let (status, wait) = asked(&app, "/v1/models", Some("wrong"), "127.0.0.1").await;
        assert_eq!(status, 401);
        waits.push(wait);
        let right = asked(&app, "/v1/models", Some("key"), "127.0.0.1").await;
        assert_eq!(right, (200, Duration::ZERO));
    }
    let (free, slowed) = waits.split_at(10);
    assert!(free.iter().all(Duration::is_zero), "{waits:?}");
    let second = Duration::from_secs(1);
    assert!(slowed.iter().all(|wait| !wait.is_zero() && *wait <= second * 11 / 10), "{waits:?}");
    assert!(slowed.last() > Some(&(second / 2)), "{waits:?}");
    // Nothing is learned faster where no key is needed.
    let (status, wait) = asked(&app, "/ready", Some("wrong"), "127.0.0.1").await;
    assert!(status == 200 && !wait.is_zero(), "{status} {wait:?}");
    for (path, key, from, status) in [
        ("/v1/models", Some("wrong"), "192.0.2.1", 401),
        ("/v1/models", None, "127.0.0.1", 401),
        ("/health", None, "127.0.0.1", 200),
    ] {
        assert_eq!(asked(&app, path, key, from).await, (status, Duration::ZERO), "{path} {from}");
    }
}
