//! What the answering model has said is with the client before the model says more.

use std::time::{Duration, Instant};

use crate::support::{
    Client, ENDPOINTS, Events, Gate, Script, Upstream, four_stages, ms, question,
};

#[tokio::test]
async fn the_first_token_comes_before_the_wait_ends() {
    for accept in ["*/*", "text/event-stream", "application/x-ndjson"] {
        for path in ENDPOINTS {
            for model in ["chorus", "writer"] {
                let gate = Gate::shut();
                let upstream = Upstream::start([
                    ("judge", Script::judges_for("one")),
                    ("first", Script::says("one")),
                    ("second", Script::says("two")),
                    ("writer", Script::says("abc").waits_after(1, &gate)),
                ])
                .await;
                let chorus = four_stages(&["first", "second"]).over(&upstream).await;
                let body = question(path, model, "hi", true);
                let response = chorus.post_with(path, &body, &[("accept", accept)]).await;
                let mut events = Events::of(response);
                assert_eq!(events.text().await.as_deref(), Some("a"), "{path} {model} {accept}");
                assert_eq!(upstream.active(), 1, "the writer still waits: {path} {model}");
                gate.open();
                assert_eq!(events.text().await.as_deref(), Some("b"), "{path} {model} {accept}");
            }
        }
    }
}

/// Nagle's algorithm and a delayed acknowledgement cost 40 ms for a small event on a kept-alive
/// connection. The quickest quarter is compared, with and without Chorus in between: a busy machine
/// does not slow that down by so much, a stall would.
#[tokio::test]
async fn small_events_do_not_stall_on_a_kept_alive_connection() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("writer", Script::fuses()),
        ("quick", Script::says("abcdef").in_deltas(6).with_gaps(ms(1))),
    ])
    .await;
    let chorus = four_stages(&["quick"]).over(&upstream).await;
    let without = quick_quarter(&Client::of(&upstream.base())).await;
    let with = quick_quarter(&chorus).await;
    assert!(with < without + ms(35), "{with:?} with Chorus, {without:?} without");
}

async fn quick_quarter(client: &Client) -> Duration {
    let path = ENDPOINTS[0];
    let body = question(path, "quick", "hi", true);
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..32 {
        let start = Instant::now();
        let mut events = client.stream(path, &body).await;
        while events.next().await.is_some() {}
        times.push(start.elapsed());
    }
    times.sort();
    times[8]
}
