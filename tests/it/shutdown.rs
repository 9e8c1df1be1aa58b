//! Asked to stop, Chorus takes no new requests, lets streams finish, and ends the rest with an
//! error.

use crate::support::{
    Client, ENDPOINTS, Event, Gate, Script, Upstream, four_stages, ms, question, soon, text_of,
};

/// Nobody accepts connections there any more.
async fn closed(base: &str) {
    soon("the listener to close", async {
        while Client::of(base).request(reqwest::Method::GET, "/health").send().await.is_ok() {
            tokio::time::sleep(ms(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_in_flight_finishes() {
    for path in ENDPOINTS {
        let gate = Gate::shut();
        let upstream = Upstream::start([
            ("judge", Script::judges_for("")),
            ("only", Script::says("draft")),
            ("writer", Script::says("abc").waits_after(1, &gate)),
        ])
        .await;
        let mut chorus = four_stages(&["only"]).over(&upstream).await;
        let mut events = chorus.stream(path, &question(path, "chorus", "hi", true)).await;
        assert_eq!(events.text().await.as_deref(), Some("a"), "{path}");
        chorus.request_stop();
        closed(&format!("http://{}", chorus.address())).await;
        gate.open();
        let objects = events.rest().await;
        let text: String = objects.iter().map(text_of).collect();
        assert_eq!(text, "bc", "{path}: {objects:?}");
        assert!(objects.iter().all(|object| object.get("error").is_none()), "{path}: {objects:?}");
        chorus.ended().await;
    }
}

#[tokio::test]
async fn after_the_grace_the_rest_get_an_error() {
    for path in ENDPOINTS {
        let upstream = Upstream::start([
            ("judge", Script::judges_for("")),
            ("only", Script::says("draft")),
            ("writer", Script::says("abc").hangs_after(1)),
        ])
        .await;
        let setup = four_stages(&["only"]).with("[server]\nshutdown_grace_secs = 1");
        let mut chorus = setup.over(&upstream).await;
        let mut events = chorus.stream(path, &question(path, "chorus", "hi", true)).await;
        assert_eq!(events.text().await.as_deref(), Some("a"), "{path}");
        chorus.request_stop();
        let events = events.all().await;
        let reported = events
            .iter()
            .any(|event| matches!(event, Event::Object(object) if object.get("error").is_some()));
        assert!(reported, "{path}: {events:?}");
        chorus.ended().await;
        upstream.hung_up_on(1).await;
    }
}
