//! A client that leaves takes every upstream call with it, in each phase, streamed or not.

use crate::support::{ENDPOINTS, Gate, Script, Upstream, four_stages, question, soon};

/// The client gives up once `reached` has happened; the upstream sees `calls` of its calls end.
async fn leaves_when(
    cast: impl Fn(&Gate) -> [(&'static str, Script); 4],
    waiting: usize,
    story: &str,
) {
    for path in ENDPOINTS {
        for stream in [false, true] {
            let gate = Gate::shut();
            let upstream = Upstream::start(cast(&gate)).await;
            let chorus = four_stages(&["first", "second"]).over(&upstream).await;
            let body = question(path, "chorus", "hi", stream);
            let answering = async {
                let response = chorus.try_post(path, &body, &[]).await;
                // Headers may come before the answer is whole; a client that stays reads on.
                response.expect("the server answers").bytes().await
            };
            tokio::select! {
                answer = answering => panic!("{story} {path} {stream}: it ended: {answer:?}"),
                () = gate.reached_by(waiting) => {}
            }
            upstream.hung_up_on(waiting).await;
            upstream.idle().await;
            // The analyzer's call may still be reading the end of its body when the client leaves.
            assert!(upstream.hang_ups() >= waiting, "{story} {path} {stream}");
        }
    }
}

#[tokio::test]
async fn during_the_analysis() {
    let cast = |gate: &Gate| {
        [
            ("judge", Script::judges_for("").waits_before_headers(gate)),
            ("first", Script::says("one").waits_before_headers(gate)),
            ("second", Script::says("two").waits_before_headers(gate)),
            ("writer", Script::fuses()),
        ]
    };
    leaves_when(cast, 3, "analysis").await;
}

#[tokio::test]
async fn while_the_workers_draft() {
    let cast = |gate: &Gate| {
        [
            ("judge", Script::judges_for("")),
            ("first", Script::says("one").waits_before_headers(gate)),
            ("second", Script::says("two").waits_after(1, gate)),
            ("writer", Script::fuses()),
        ]
    };
    leaves_when(cast, 2, "workers").await;
}

#[tokio::test]
async fn while_the_writer_writes() {
    let cast = |gate: &Gate| {
        [
            ("judge", Script::judges_for("one")),
            ("first", Script::says("one")),
            ("second", Script::says("two")),
            ("writer", Script::says("abc").waits_after(1, gate)),
        ]
    };
    leaves_when(cast, 1, "writer").await;
}

#[tokio::test]
async fn in_the_middle_of_a_stream_it_reads() {
    for path in ENDPOINTS {
        let upstream = Upstream::start([
            ("judge", Script::judges_for("one")),
            ("first", Script::says("one")),
            ("second", Script::says("two")),
            ("writer", Script::says("abc").hangs_after(1)),
        ])
        .await;
        let chorus = four_stages(&["first", "second"]).over(&upstream).await;
        let mut events = chorus.stream(path, &question(path, "chorus", "hi", true)).await;
        assert_eq!(events.text().await.as_deref(), Some("a"), "{path}");
        drop(events);
        upstream.hung_up_on(1).await;
        upstream.idle().await;
    }
}

#[tokio::test]
async fn in_the_middle_of_a_flood() {
    let upstream = Upstream::start([("flood", Script::floods())]).await;
    let chorus = four_stages(&["flood"]).over(&upstream).await;
    let path = ENDPOINTS[0];
    let mut events = chorus.stream(path, &question(path, "flood", "hi", true)).await;
    for _ in 0..100 {
        assert!(soon("a delta", events.text()).await.is_some());
    }
    drop(events);
    upstream.hung_up_on(1).await;
    upstream.idle().await;
}
