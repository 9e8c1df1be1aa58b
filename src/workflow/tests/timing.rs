//! Exact times on the paused clock, and what is dropped when.

use super::*;

#[tokio::test(start_paused = true)]
async fn many_workers_take_the_time_of_one() {
    for count in [1, 7, 8, 32] {
        let mut cast =
            Cast::default().model("judge", says(30, VERDICT)).model("w", says(50, "fused"));
        let mut workers = Vec::new();
        for n in 0..count {
            let name = format!("m{n}");
            let draft: &'static str =
                if n % 2 == 0 { "It is forty-two." } else { "Perhaps seven?" };
            cast = cast.model(&name, says(200, draft));
            workers.push(json!({ "ref": name }));
        }
        let plan = json!({ "workers": workers, "selector": { "ref": "judge" }, "synthesizer": { "ref": "w" } });
        let told = run(&cast.engine(&plan, ""), ask()).await;
        assert_eq!(told.text, "fused");
        let judged = if count == 1 { 0 } else { 30 };
        assert_about(told.first_token.unwrap(), ms(200 + judged + 50));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_token_comes_at_the_length_of_the_longest_chain() {
    // `slow` does not depend on the analysis, `advised` does: 100 + 50 < 180.
    let cast = Cast::default()
        .model("reader", says(100, ADVICE))
        .model("slow", says(180, "a slow draft"))
        .model("advised", says(50, "an advised draft, quite different"))
        .model("judge", says(20, VERDICT))
        .model("w", says(10, "fused"));
    let plan = json!({
        "analyzer": { "ref": "reader" },
        "workers": [{ "ref": "slow", "temperature": 1.0 }, { "ref": "advised", "auto_temperature": true }],
        "selector": { "ref": "judge" }, "synthesizer": { "ref": "w" }
    });
    let told = run(&cast.engine(&plan, ""), ask()).await;
    assert_about(told.first_token.unwrap(), ms(180 + 20 + 10));
    assert_eq!(cast.asked("advised")[0].sampling.temperature, Some(0.25));
    assert_eq!(cast.asked("slow")[0].sampling.temperature, Some(1.0));
    let mut sequential = plan;
    sequential["policy"] = json!({ "schedule": "sequential" });
    let told = run(&cast.engine(&sequential, ""), ask()).await;
    assert_about(told.first_token.unwrap(), ms(100 + 180 + 20 + 10));
    let trace = told.trace();
    assert_eq!(trace["analyzer"]["task_type"], "code");
    assert_eq!(trace["workers"][1]["temperature_source"], "auto");
}

#[tokio::test(start_paused = true)]
async fn an_analyzer_nobody_waits_for_is_cut() {
    let cast = Cast::default()
        .model("reader", says(60_000, ADVICE))
        .model("a", says(10, "draft"))
        .model("w", says(10, "fused"));
    let plan = json!({ "analyzer": { "ref": "reader", "timeout_secs": 100 }, "workers": ["a"], "synthesizer": { "ref": "w" } });
    let told = run(&cast.engine(&plan, ""), ask()).await;
    assert_about(told.total, ms(20));
    let trace = told.trace();
    assert_eq!((&trace["analyzer"]["status"], &trace["status"]), (&json!("cut"), &json!("ok")));
    assert_eq!(cast.open.load(Ordering::SeqCst), 0, "its call was hung up on");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_events_drops_every_call() {
    let cast = Cast::default()
        .model("a", says(10_000, "x"))
        .model("b", says(10_000, "y"))
        .model("reader", says(10_000, ADVICE));
    let plan = json!({ "analyzer": { "ref": "reader" }, "workers": ["a", "b", { "workers": ["a"] }], "selector": { "ref": "a" } });
    let engine = cast.engine(&plan, "");
    let mut run = engine.run(engine.route("").unwrap(), ask(), RequestId::fresh());
    let _ =
        tokio::time::timeout(ms(50), async { while run.events.next().await.is_some() {} }).await;
    assert_eq!(cast.open.load(Ordering::SeqCst), 4);
    drop(run.events);
    assert_eq!(cast.open.load(Ordering::SeqCst), 0);
    assert_eq!(run.watch.summary().status, RunStatus::Cancelled);
    assert_eq!(run.watch.summary().calls, 4);
}
