//! Upstream connections are kept and used again.

use crate::support::{Chorus, Script, Upstream, four_stages, ms, question, text_of};

const CHAT: &str = "/v1/chat/completions";

/// At most three calls of a request are in flight at once (two workers and the analyzer); one that
/// is late to come back to the pool may cost another connection.
const A_HANDFUL: usize = 12;

async fn over(upstream: &Upstream) -> Chorus {
    four_stages(&["first", "second"]).over(upstream).await
}

async fn asked(chorus: &Chorus, times: usize) {
    for number in 0..times {
        let body = question(CHAT, "chorus", "hi", number % 2 == 0);
        let objects = chorus.objects(CHAT, &body).await;
        let text: String = objects.iter().map(text_of).collect();
        assert!(text.contains("one"), "{number}: {objects:?}");
    }
}

#[tokio::test]
async fn a_thousand_requests_open_a_handful_of_connections() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("one")),
        ("first", Script::says("one")),
        ("second", Script::says("two")),
        ("writer", Script::fuses()),
    ])
    .await;
    let chorus = over(&upstream).await;
    asked(&chorus, 1000).await;
    assert_eq!(upstream.seen().len(), 5000);
    assert!(upstream.connections() <= A_HANDFUL, "{} connections", upstream.connections());
    assert_eq!(upstream.hang_ups(), 0);
}

#[tokio::test]
async fn also_when_the_last_chunk_comes_after_done() {
    let late = |script: Script| script.lingers(ms(5));
    let upstream = Upstream::start([
        ("judge", late(Script::judges_for("one"))),
        ("first", late(Script::says("one"))),
        ("second", late(Script::says("two"))),
        ("writer", late(Script::fuses())),
    ])
    .await;
    let chorus = over(&upstream).await;
    asked(&chorus, 200).await;
    assert!(upstream.connections() <= A_HANDFUL, "{} connections", upstream.connections());
    assert_eq!(upstream.hang_ups(), 0);
}
