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

#[tokio::test]
async fn readiness_goes_first_and_the_server_answers_for_a_while() {
    let upstream = Upstream::start([("m", Script::says("hello"))]).await;
    let setup = four_stages(&["m"]).with("[server]\nshutdown_delay_secs = 1.5");
    let mut chorus = setup.over(&upstream).await;
    assert_eq!(chorus.get("/ready").await.status(), 200);
    chorus.request_stop();
    soon("not to be ready", async {
        while chorus.get("/ready").await.status() == 200 {
            tokio::time::sleep(ms(5)).await;
        }
    })
    .await;
    let body = question(ENDPOINTS[0], "m", "hi", false);
    assert_eq!(chorus.post(ENDPOINTS[0], &body).await.status(), 200);
    assert_eq!(chorus.get("/health").await.status(), 200);
    closed(&format!("http://{}", chorus.address())).await;
    chorus.ended().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_service_manager_hears_what_happens_and_a_second_signal_ends_it_at_once() {
    use std::os::unix::net::UnixDatagram;
    let upstream = Upstream::start([("m", Script::hangs())]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let heard = || {
        let mut buffer = [0; 200];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let config = four_stages(&["m"]).toml();
    let process = crate::support::Process::serves(&upstream, &config, "info", &variables).await;
    assert_eq!(heard(), "READY=1");
    process.request_reload();
    assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(heard(), "READY=1");
    let client = process.client().clone();
    let body = question(ENDPOINTS[0], "m", "hi", false);
    let asking = client.try_post(ENDPOINTS[0], &body, &[]);
    let ending = async {
        upstream.asked(1).await;
        process.request_stop();
        assert_eq!(heard(), "STOPPING=1");
        process.request_stop();
        process.ended().await
    };
    let (answer, (status, log)) = tokio::join!(asking, ending);
    assert!(answer.is_err());
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("a second signal"), "{log}");
}
