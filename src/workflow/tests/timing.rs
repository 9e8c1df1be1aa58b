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
        let outcome = run(&cast.engine(&plan, ""), ask()).await;
        assert_eq!(outcome.text, "fused");
        let judged = if count == 1 { 0 } else { 30 };
        assert_about(outcome.first_token.unwrap(), ms(200 + judged + 50));
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
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_about(outcome.first_token.unwrap(), ms(180 + 20 + 10));
    assert_eq!(cast.asked("advised")[0].prompt.sampling.temperature, Some(0.25));
    assert_eq!(cast.asked("slow")[0].prompt.sampling.temperature, Some(1.0));
    let mut sequential = plan;
    sequential["policy"] = json!({ "schedule": "sequential" });
    let outcome = run(&cast.engine(&sequential, ""), ask()).await;
    assert_about(outcome.first_token.unwrap(), ms(100 + 180 + 20 + 10));
    let trace = outcome.trace();
    assert_eq!(trace["analyzer"]["task_type"], "code");
    assert_eq!(trace["workers"][1]["temperature_source"], "auto");
}

#[tokio::test(start_paused = true)]
async fn an_analyzer_nobody_waits_for_is_cancelled() {
    let cast = Cast::default()
        .model("reader", says(60_000, ADVICE))
        .model("a", says(10, "draft"))
        .model("w", says(10, "fused"));
    let plan = json!({ "analyzer": { "ref": "reader", "timeout_secs": 100 }, "workers": ["a"], "synthesizer": { "ref": "w" } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_about(outcome.total, ms(20));
    let trace = outcome.trace();
    assert_eq!((&trace["analyzer"]["status"], &trace["status"]), (&json!("cut"), &json!("ok")));
    let spent = &trace["analyzer"]["usage"];
    assert!(spent["prompt_tokens"].as_u64().unwrap() > 50 && spent["estimated"] == true, "{spent}");
    assert_eq!(trace["usage"]["estimated"], true);
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

#[tokio::test(start_paused = true)]
async fn a_model_that_is_sent_no_temperature_does_not_wait_for_one() {
    let cast = Cast::default()
        .model("reader", says(500, ADVICE))
        .model("a", says(50, "a draft"))
        .model("w", says(10, "fused"));
    let plan = json!({ "analyzer": { "ref": "reader", "auto_temperature": true }, "workers": ["a"],
        "synthesizer": { "ref": "w" } });
    for (keys, want) in [("send_temperature = true", 560), ("send_temperature = false", 60)] {
        let outcome = run(&cast.engine_with(&plan, "", keys), ask()).await;
        assert_about(outcome.first_token.unwrap(), ms(want));
    }
}

#[tokio::test(start_paused = true)]
async fn a_nested_level_works_with_its_parents_analysis_or_its_own() {
    let cast = Cast::default()
        .model("reader", says(100, ADVICE))
        .model("own", says(30, r#"{"temperature": 1.25}"#))
        .model("a", says(50, "a draft"))
        .model("w", says(10, "fused"));
    let leaf = json!({ "ref": "a", "auto_temperature": true });
    let heir = json!({ "name": "heir", "workers": [leaf] });
    let free = json!({ "name": "free", "analyzer": { "ref": "own" }, "workers": [leaf] });
    for (nested, schedule, temperature, want) in [
        (&heir, "overlap", 0.25, 100 + 50 + 10),
        (&free, "overlap", 1.25, 30 + 50 + 10),
        (&free, "sequential", 1.25, 100 + 30 + 50 + 10),
    ] {
        let plan = json!({ "analyzer": { "ref": "reader" }, "workers": [nested],
            "synthesizer": { "ref": "w" }, "policy": { "schedule": schedule } });
        let outcome = run(&cast.engine(&plan, ""), ask()).await;
        assert_about(outcome.first_token.unwrap(), ms(want));
        let asked = cast.asked("a");
        assert_eq!(
            asked.last().unwrap().prompt.sampling.temperature,
            Some(temperature),
            "{schedule}"
        );
    }
    // A parent whose analysis fails still lets the nested level go on.
    let plan =
        json!({ "analyzer": { "ref": "bad" }, "workers": [heir], "synthesizer": { "ref": "w" } });
    let cast = cast.model("bad", fails(20, LlmErrorKind::Connect));
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_about(outcome.first_token.unwrap(), ms(20 + 50 + 10));
}
