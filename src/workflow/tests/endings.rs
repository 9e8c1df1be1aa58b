//! How a run ends: its status, its warnings, its error, and what is read to its end.

use super::*;

/// Answers, and counts being polled to its end a while later.
fn drained(count: &Arc<AtomicUsize>, text: &'static str) -> impl Fn(&Call) -> Vec<Cue> + use<> {
    let count = Arc::clone(count);
    move |_| vec![Cue::Say(text), Cue::End, Cue::Wait(100), Cue::Drained(Arc::clone(&count))]
}

#[tokio::test(start_paused = true)]
async fn finished_calls_are_read_to_their_end_whatever_becomes_of_the_run() {
    let count = Arc::new(AtomicUsize::new(0));
    let cast = Cast::default()
        .model("reader", drained(&count, ADVICE))
        .model("a", drained(&count, "a draft"))
        .model("late", fails(20, LlmErrorKind::Garbled))
        .model("slow", says(60_000, ADVICE))
        .model("w", drained(&count, "fused"));
    let plan = json!({ "analyzer": { "ref": "reader" }, "workers": ["a", "late"], "synthesizer": { "ref": "w" } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!(
        (outcome.trace()["status"].as_str(), count.load(Ordering::SeqCst)),
        (Some("degraded"), 3)
    );
    count.store(0, Ordering::SeqCst);
    let failing = json!({ "analyzer": { "ref": "slow", "timeout_secs": 100 }, "workers": ["a", "late"],
        "synthesizer": { "ref": "w" }, "policy": { "min_success": 2 } });
    let outcome = run(&cast.engine(&failing, ""), ask()).await;
    assert_eq!(
        (outcome.trace()["status"].as_str(), count.load(Ordering::SeqCst)),
        (Some("failed"), 1)
    );
    assert_eq!(outcome.trace()["analyzer"]["status"], "cut");
    assert_about(outcome.total, ms(20));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_take_the_input_degrades_nothing_at_any_depth() {
    let blind = || fails(0, LlmErrorKind::UnsupportedInput);
    let cast = Cast::default()
        .model("a", says(5, "a draft"))
        .model("blind", blind())
        .model("w", says(5, "fused"));
    for (workers, more) in [
        (json!(["a", "blind"]), ""),
        (json!(["a", "blind"]), "nested_worker_depth = 2"),
        (json!(["a", { "name": "panel", "workers": ["blind"] }]), ""),
        (json!(["a", { "ref": "blind", "fallback": ["a"] }]), ""),
    ] {
        let plan = json!({ "workers": workers, "synthesizer": { "ref": "w" } });
        let outcome = run(&cast.engine(&plan, more), ask()).await;
        let trace = outcome.trace();
        assert_eq!((&trace["status"], trace.get("warnings")), (&json!("ok"), None), "{trace}");
        if trace["workers"][1]["name"] != "blind" || trace["workers"][1]["model"] != "a" {
            assert_eq!(trace["workers"][1]["status"], "skipped", "{trace}");
            assert_eq!(trace["workers"][1]["error"]["code"], "unsupported_input", "{trace}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_not_hidden_by_a_fallback_that_cannot_take_the_input() {
    let cast = Cast::default()
        .model("bad", fails(5, LlmErrorKind::Upstream { status: 500 }))
        .model("blind", fails(0, LlmErrorKind::UnsupportedInput));
    let plan = json!({ "workers": [{ "ref": "bad", "fallback": ["blind"] }], "selector": { "ref": "bad" } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!(outcome.trace()["workers"][0]["status"], "failed");
    let error = outcome.ending.unwrap_err().error;
    assert!(matches!(error, WorkflowError::AllWorkersFailed { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_error_about_every_worker_is_said_only_of_every_worker() {
    use LlmErrorKind as Kind;
    let limited = Kind::RateLimited { retry_after: Some(Duration::from_secs(3)) };
    for kind in [Kind::UnsupportedInput, Kind::Timeout, limited] {
        let cast = Cast::default().model("a", says(5, "fine")).model("b", fails(5, kind));
        for workers in [
            json!(["a", "b"]),
            json!([{ "workers": ["a", "b"], "policy": { "min_success": 2 } }, "b"]),
        ] {
            let plan = json!({ "workers": workers, "selector": { "ref": "a" }, "policy": { "min_success": 2 } });
            let error = run(&cast.engine(&plan, ""), ask()).await.ending.unwrap_err().error;
            assert!(matches!(error, WorkflowError::AllWorkersFailed { .. }), "{error:?}");
        }
    }
    // Those that were left out were not asked, so they do not change what happened to the others.
    let cast =
        Cast::default().model("a", fails(5, limited)).model("b", fails(0, Kind::UnsupportedInput));
    let plan = json!({ "workers": ["a", "b"], "selector": { "ref": "a" } });
    let error = run(&cast.engine(&plan, ""), ask()).await.ending.unwrap_err().error;
    assert!(matches!(error, WorkflowError::RateLimited { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_is_rate_limited_is_not_every_model() {
    let limited = LlmErrorKind::RateLimited { retry_after: None };
    let cast = Cast::default().model("a", says(5, "prose")).model("w", fails(5, limited));
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w" } });
    let request =
        Request { prompt: Prompt { format: OutputFormat::Json, ..Prompt::default() }, ..ask() };
    let error = run(&cast.engine(&plan, ""), request).await.ending.unwrap_err().error;
    assert!(matches!(error, WorkflowError::Upstream(_)), "{error:?}");
    let request = Request { model: "w".to_owned(), ..ask() };
    let error = run(&cast.engine(&plan, ""), request).await.ending.unwrap_err().error;
    assert!(matches!(error, WorkflowError::RateLimited { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_of_the_reader_or_the_judge_is_a_warning() {
    let bad = || fails(5, LlmErrorKind::Connect);
    let cast = Cast::default()
        .model("bad", bad())
        .model("reader", says(5, ADVICE))
        .model("judge", says(5, VERDICT))
        .model("a", says(20, "a draft"))
        .model("b", says(20, "something else entirely"))
        .model("w", says(5, "fused"));
    for stage in ["analyzer", "selector"] {
        let mut plan = json!({ "analyzer": { "ref": "reader" }, "workers": ["a", "b"],
            "selector": { "ref": "judge" }, "synthesizer": { "ref": "w" } });
        plan[stage]["fallback"] = json!([plan[stage]["ref"]]);
        plan[stage]["ref"] = json!("bad");
        let trace = run(&cast.engine(&plan, ""), ask()).await.trace();
        assert_eq!(trace[stage]["status"], "ok", "{trace}");
        assert_eq!(
            (&trace["status"], &trace["warnings"]),
            (
                &json!("degraded"),
                &json!([{ "stage": stage, "name": "bad", "code": "connect_error" }])
            )
        );
    }
}

#[tokio::test(start_paused = true)]
async fn half_the_drafts_are_no_fallback_and_shrink_what_already_fitted() {
    let small = |call: &Call| {
        let prompt = size(call);
        if prompt > 8_000 {
            return vec![Cue::Fail(LlmErrorKind::ContextLength)];
        }
        vec![Cue::Say("fused"), Cue::End]
    };
    let long: &'static str = Box::leak("long draft ".repeat(1000).into_boxed_str());
    let cast = Cast::default().model("a", says(5, long)).model("w", small);
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w" } });
    let trace = run(&cast.engine(&plan, ""), ask()).await.trace();
    assert_eq!(
        (&trace["status"], &trace["synthesizer"]["fallback"], &trace["warnings"]),
        (
            &json!("ok"),
            &json!(false),
            &json!([{ "stage": "synthesizer", "name": "w", "code": "drafts_cut" }])
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_flood_does_not_fill_the_memory() {
    let megabyte: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    let flood = move |_: &Call| (0..64).map(|_| Cue::Say(megabyte)).chain([Cue::End]).collect();
    let cast = Cast::default()
        .model("flood", flood)
        .model("a", says(5, "a draft"))
        .model("w", says(5, "fused"));
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "flood" } });
    for model in ["chorus", "flood"] {
        let outcome =
            run(&cast.engine(&plan, ""), Request { model: model.to_owned(), ..ask() }).await;
        assert!(outcome.text.len() < 10 << 20, "{model}: {}", outcome.text.len());
        assert!(outcome.ending.is_err(), "{model}");
    }
}
