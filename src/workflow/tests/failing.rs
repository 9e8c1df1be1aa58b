//! What fails, what the fallback is, and what the client gets.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_failed_worker_is_left_out_and_the_run_is_degraded() {
    let cast = Cast::default()
        .model("good", says(10, "a good draft"))
        .model("bad", fails(5, LlmErrorKind::Upstream { status: 500 }))
        .model("late", fails(50, LlmErrorKind::Timeout))
        .model("w", says(10, "fused"));
    let plan = json!({ "workers": ["good", "bad", "late"], "synthesizer": { "ref": "w" } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!(outcome.text, "fused");
    let trace = outcome.trace();
    assert_eq!(trace["status"], "degraded");
    let statuses: Vec<&Value> =
        trace["workers"].as_array().unwrap().iter().map(|worker| &worker["status"]).collect();
    assert_eq!(statuses, ["ok", "failed", "timeout"]);
    assert_eq!(
        trace["warnings"],
        json!([
            { "stage": "worker", "name": "bad", "code": "upstream_error" },
            { "stage": "worker", "name": "late", "code": "timeout" }
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn too_few_successes_fail_the_run_and_name_every_worker() {
    use LlmErrorKind as Kind;
    let limited = |secs| Kind::RateLimited { retry_after: Some(Duration::from_secs(secs)) };
    for (kinds, want) in [
        ([Kind::Upstream { status: 500 }, Kind::Timeout], "all"),
        ([Kind::Timeout, Kind::Timeout], "timeout"),
        ([limited(9), limited(4)], "limited"),
        ([Kind::UnsupportedInput, Kind::UnsupportedInput], "unsupported"),
        ([Kind::OutOfResources, Kind::OutOfResources], "ours"),
    ] {
        let cast = Cast::default().model("a", fails(5, kinds[0])).model("b", fails(5, kinds[1]));
        let plan = json!({ "workers": ["a", "b"], "selector": { "ref": "a" } });
        let outcome = run(&cast.engine(&plan, ""), ask()).await;
        assert_eq!(outcome.trace()["status"], "failed");
        let error = outcome.ending.unwrap_err().error;
        match (want, &error) {
            ("all", WorkflowError::AllWorkersFailed { .. }) => {
                let text = error.to_string();
                assert!(text.contains("a, b: scripted"), "{text}");
            }
            ("timeout", WorkflowError::Timeout { .. })
            | ("unsupported", WorkflowError::UnsupportedInput { .. }) => {}
            ("ours", WorkflowError::Upstream(error)) if error.kind == Kind::OutOfResources => {}
            ("limited", WorkflowError::RateLimited { retry_after }) => {
                assert_eq!(*retry_after, Some(Duration::from_secs(4)));
            }
            _ => panic!("{want}: {error:?}"),
        }
    }
    let cast = Cast::default().model("a", says(5, "fine")).model("b", fails(5, Kind::Garbled));
    let plan = json!({ "workers": ["a", "b"], "selector": { "ref": "a" }, "policy": { "min_success": 2 } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    let error = outcome.ending.unwrap_err().error;
    assert!(matches!(error, WorkflowError::AllWorkersFailed { needed: 2, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_writer_dead_before_its_first_token_is_replaced_and_paid_work_is_not_lost() {
    let dead = || fails(5, LlmErrorKind::Connect);
    let cast = Cast::default()
        .model("a", says(5, "The draft of a, which is long enough for two pieces."))
        .model("w", dead())
        .model("w2", dead())
        .model("w3", says(5, "from w3"));
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": ["w2", "w3"] } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!(outcome.text, "from w3");
    assert_eq!(outcome.trace()["synthesizer"]["fallback"], true);
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": ["w2"] } });
    let engine = cast.engine(&plan, "");
    let outcome = run(&engine, ask()).await;
    assert_eq!(outcome.text, "The draft of a, which is long enough for two pieces.");
    let trace = outcome.trace();
    assert_eq!(
        (&trace["status"], &trace["synthesizer"]["fallback"]),
        (&json!("degraded"), &json!(true))
    );
    // A draft that is not JSON cannot stand in when JSON was asked for.
    let outcome = run(
        &engine,
        Request { prompt: Prompt { format: OutputFormat::Json, ..Prompt::default() }, ..ask() },
    )
    .await;
    assert!(matches!(outcome.ending.unwrap_err().error, WorkflowError::Upstream(_)));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_breaks_after_its_first_token_fails_the_run() {
    let cut = |_: &Call| vec![Cue::Say("half an ans"), Cue::Fail(LlmErrorKind::Truncated)];
    let cast =
        Cast::default().model("a", says(5, "draft")).model("w", cut).model("w2", says(5, "x"));
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": ["w2"] } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!(outcome.text, "half an ans");
    assert!(matches!(outcome.ending.unwrap_err().error, WorkflowError::Upstream(_)));
    assert!(cast.asked("w2").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_too_small_gets_half_the_drafts_once() {
    let small = |call: &Call| {
        let prompt = size(call);
        if prompt > 60_000 {
            return vec![Cue::Fail(LlmErrorKind::ContextLength)];
        }
        vec![Cue::Say("fused"), Cue::End]
    };
    let long: &'static str = Box::leak("long draft ".repeat(20_000).into_boxed_str());
    let cast = Cast::default().model("a", says(5, long)).model("w", small);
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w" } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!((outcome.text.as_str(), cast.asked("w").len()), ("fused", 2));
}
