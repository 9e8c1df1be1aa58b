//! Connections are reused and hung up on, permits are held and given back.

use std::cell::Cell;

use super::*;

#[tokio::test]
async fn connections_are_reused() {
    for late in [false, true] {
        let reply =
            if late { answer("hi").late_end(Duration::from_millis(15)) } else { answer("hi") };
        let upstream = Upstream::start(vec![reply; 50]).await;
        let model = openai(&upstream);
        for _ in 0..50 {
            assert_eq!(outcome(model.call(call("q"))).await.text, "hi");
        }
        assert!(upstream.connections() <= 5, "{} connections", upstream.connections());
    }
    // Refusals and whole replies too; and a consumer that leaves at `Finished`, when the end is there.
    let mut replies = vec![Reply::json(400, &json!({"error": "no"})); 10];
    replies.extend(vec![answer("hi"); 10]);
    let upstream = Upstream::start(replies).await;
    let model = openai(&upstream);
    for _ in 0..10 {
        outcome(model.call(call("q"))).await;
    }
    for _ in 0..10 {
        let mut stream = model.call(call("q"));
        while !matches!(stream.next().await, Some(Ok(CallEvent::Finished(_)))) {}
    }
    assert!(upstream.connections() <= 5, "{} connections", upstream.connections());
}

#[tokio::test]
async fn finished_does_not_wait_for_the_end_of_the_body() {
    let upstream = Upstream::start(vec![answer("hi").late_end(Duration::from_secs(3600))]).await;
    let model = llm_model(config::Model {
        max_concurrency: Some(1),
        ..model(Protocol::OpenAi, &upstream.base())
    });
    let permits = Arc::new(Semaphore::new(1));
    let mut stream = model.call(Call { permits: Some(permits.clone()), ..call("q") });
    loop {
        let next = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
        match next.expect("it comes at once").expect("it comes").expect("it is good") {
            CallEvent::Delta(_) => assert_eq!(permits.available_permits(), 0),
            CallEvent::Finished(_) => break,
            CallEvent::Started { .. } | CallEvent::Attempt(_) | CallEvent::Waiting { .. } => {}
        }
    }
    assert_eq!(permits.available_permits(), 1, "given back before the end");
    let end = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
    assert!(end.expect("the end is not waited for for ever").is_none());
}

#[tokio::test]
async fn dropping_the_stream_hangs_up() {
    for (reply, deltas) in [(Reply::hang(), 0), (Reply::sse(says("hi")).then_hang(), 1)] {
        let upstream = Upstream::start(vec![reply]).await;
        let mut stream = openai(&upstream).call(call("q"));
        assert!(matches!(stream.next().await, Some(Ok(CallEvent::Started { .. }))));
        if deltas > 0 {
            assert!(matches!(stream.next().await, Some(Ok(CallEvent::Delta(_)))));
        } else {
            let poll = tokio::time::timeout(Duration::from_millis(50), stream.next()).await;
            assert!(poll.is_err(), "nothing comes");
        }
        drop(stream);
        upstream.hung_up_on().await;
    }
}

#[tokio::test]
async fn calls_wait_for_their_permits() {
    let slow = answer("hi").slowly(Duration::from_millis(20));
    let upstream = Upstream::start(vec![slow; 6]).await;
    let model = llm_model(config::Model {
        max_concurrency: Some(2),
        ..model(Protocol::OpenAi, &upstream.base())
    });
    let (now, most) = (&Cell::new(0), &Cell::new(0));
    let calls = (0..6).map(|_| {
        let mut stream = model.call(call("q"));
        async move {
            while let Some(event) = stream.next().await {
                match event.expect("it goes well") {
                    CallEvent::Started { .. } => now.set(now.get() + 1),
                    CallEvent::Attempt(_) => now.set(now.get() - 1),
                    CallEvent::Waiting { .. } | CallEvent::Delta(_) | CallEvent::Finished(_) => {}
                }
                most.set(most.get().max(now.get()));
            }
        }
    });
    futures::future::join_all(calls).await;
    assert_eq!(most.get(), 2);
}

#[tokio::test]
async fn loopback_upstreams_use_no_proxy() {
    let upstream = Upstream::start(vec![answer("hi")]).await;
    let dead = || ClientBuilder::new().proxy(reqwest::Proxy::all("http://127.0.0.1:1").unwrap());
    let config = config_of(model(Protocol::OpenAi, &upstream.base()));
    let llm = Llm::build(&config, false, dead, None).unwrap();
    let got = outcome(llm.model("m").unwrap().call(call("q"))).await;
    assert_eq!((got.text.as_str(), got.error), ("hi", None));
}

#[tokio::test]
async fn warming_reads_no_answer_without_end() {
    let long = "x".repeat(17 * 1024 * 1024);
    let upstream = Upstream::start(vec![Reply::body("application/json", &long).then_hang()]).await;
    let plain = model(Protocol::OpenAi, &upstream.base());
    let llm = Llm::new(&config_of(config::Model { warm_up: true, ..plain })).expect("clients");
    let transport = config::Transport::default();
    tokio::select! {
        () = llm.keep_warm(&transport) => panic!("it never ends"),
        () = upstream.hung_up_on() => {}
    }
}
