//! `deadline_secs`: one limit of a level from its start to its end.

use super::{quorum::statuses, *};

fn cast() -> Cast {
    Cast::default()
        .model("a", says(10, "the first draft"))
        .model("b", says(2000, "another thing entirely"))
        .model("never", says(600_000, "too late"))
        .model("broken", fails(5, LlmErrorKind::Upstream { status: 500 }))
        .model("judge", says(10, VERDICT))
        .model("w", says(10, "fused"))
}

/// When the workers of this plan are ended, by whether anything comes after them.
#[tokio::test(start_paused = true)]
async fn workers_end_early_enough_for_what_comes_after_them() {
    let limits = |selector: f64, synthesizer: f64| {
        format!(
            "[workflow.timeouts]\nworker_timeout_secs = 900\nselector_timeout_secs = {selector}\n\
             synthesizer_timeout_secs = {synthesizer}\n"
        )
    };
    let both = json!({ "selector": "judge", "synthesizer": "w" });
    for (stages, selector, synthesizer, want) in [
        (both.clone(), 1.0, 2.0, 7_000), // 10 - (1 + 2)
        (both, 60.0, 60.0, 6_000),       // 10 - 40 %
        (json!({ "selector": "judge" }), 1.0, 2.0, 9_000),
        (json!({ "synthesizer": "w" }), 1.0, 2.0, 8_000),
    ] {
        let mut plan = stages;
        plan["workers"] = json!(["a", "b", "never"]);
        plan["policy"] = json!({ "deadline_secs": 10 });
        let cast = cast();
        let outcome = run(&cast.engine(&plan, &limits(selector, synthesizer)), ask()).await;
        assert!(outcome.ending.is_ok(), "{plan}");
        let trace = outcome.trace();
        assert_eq!(
            (statuses(&trace), &trace["status"]),
            (vec!["ok".into(), "ok".into(), "timeout".into()], &json!("degraded"))
        );
        let late = &trace["workers"][2];
        assert_about(Duration::from_millis(late["duration_ms"].as_u64().unwrap()), ms(want));
        let said = late["error"]["message"].as_str().unwrap();
        assert!(said.contains("the workflow's deadline of 10 s"), "{said}");
        assert_eq!(late["usage"]["estimated"], true, "{late}");
        // The call that was hung up on is reported, with the time it had.
        let (calls, attempts) = (&late["calls"], &late["attempts"]);
        assert_eq!((calls.as_array().map(Vec::len), attempts), (Some(1), &json!(1)), "{late}");
        assert_eq!(calls[0]["outcome"], "cancelled");
        assert_about(Duration::from_millis(calls[0]["ms"].as_u64().unwrap()), ms(want));
        assert_eq!(cast.open.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_nested_level_shares_the_window_and_keeps_a_reserve_of_its_own() {
    // Above: 10 s, of which 4 are kept. Below: 6 s, of which 2.4 are kept.
    let panel = json!({ "name": "panel", "workers": ["a", "never"], "synthesizer": "w" });
    // All go up, so nothing is kept; its own deadline is nearer.
    let short =
        json!({ "name": "short", "workers": ["b", "never"], "policy": { "deadline_secs": 3 } });
    let long =
        json!({ "name": "long", "workers": ["b", "never"], "policy": { "deadline_secs": 60 } });
    let plan = json!({ "workers": [panel, short, long, "never"], "selector": "judge", "synthesizer": "w",
        "policy": { "deadline_secs": 10 } });
    let timeouts = "[workflow.timeouts]\nworker_timeout_secs = 900\n";
    let cast = cast();
    let outcome = run(&cast.engine(&plan, timeouts), ask()).await;
    assert_eq!(outcome.text, "fused");
    let trace = outcome.trace();
    assert_eq!(statuses(&trace), ["ok", "ok", "ok", "timeout"]);
    for (index, want) in [(0, 3_600), (1, 3_000), (2, 6_000)] {
        let nested = &trace["workers"][index]["nested"];
        assert_eq!(statuses(nested), ["ok", "timeout"], "{nested}");
        let late = &nested["workers"][1];
        assert_about(Duration::from_millis(late["duration_ms"].as_u64().unwrap()), ms(want));
    }
    assert_about(
        Duration::from_millis(trace["workers"][3]["duration_ms"].as_u64().unwrap()),
        ms(6_000),
    );
    assert_eq!(cast.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_nested_level_that_is_late_still_brings_what_it_has() {
    // The panel's writer is at work when the panel has to end: its best draft goes up.
    let panel = json!({ "name": "panel", "workers": ["a"], "synthesizer": "never" });
    let plan =
        json!({ "workers": [panel], "selector": "judge", "policy": { "deadline_secs": 10 } });
    let outcome =
        run(&cast().engine(&plan, "[workflow.timeouts]\nsynthesizer_timeout_secs = 900\n"), ask())
            .await;
    assert_eq!(outcome.text, "the first draft");
    let trace = outcome.trace();
    assert_eq!((&trace["status"], statuses(&trace)), (&json!("degraded"), vec!["ok".to_owned()]));
    assert_about(outcome.total, ms(6_000));
}

#[tokio::test(start_paused = true)]
async fn no_answer_by_the_deadline_is_a_timeout() {
    for (workers, min_success, want) in [
        (json!(["never"]), 1, "timeout"),
        (json!(["never", "broken"]), 1, "timeout broken"),
        (json!(["never", "a"]), 2, "timeout ok"),
        (json!([{ "workers": ["never", "broken"] }]), 1, "timeout"),
        // Nobody was late.
        (json!(["broken"]), 1, "failed"),
    ] {
        let plan = json!({ "workers": workers, "synthesizer": "w",
            "policy": { "deadline_secs": 2, "min_success": min_success } });
        let cast = cast();
        let outcome =
            run(&cast.engine(&plan, "[workflow.timeouts]\nworker_timeout_secs = 900\n"), ask())
                .await;
        assert_eq!(statuses(&outcome.trace())[0], want.split(' ').next().unwrap(), "{plan}");
        let error = outcome.ending.unwrap_err().error;
        assert_eq!(
            matches!(error, WorkflowError::Timeout { .. }),
            want != "failed",
            "{plan}: {error}"
        );
        if want != "failed" {
            assert!(error.to_string().contains("deadline"), "{error}");
            assert_about(outcome.total, ms(1_200));
        }
        assert_eq!(cast.open.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_has_not_spoken_is_replaced_by_the_selected_answer_and_one_that_has_is_not() {
    let broods = |_: &Call| vec![Cue::Think("hm"), Cue::Wait(600_000), Cue::Say("late"), Cue::End];
    let stops =
        |_: &Call| vec![Cue::Say("half an "), Cue::Wait(600_000), Cue::Say("answer"), Cue::End];
    let cast = cast().model("broods", broods).model("stops", stops);
    let limits = "[workflow.timeouts]\nsynthesizer_timeout_secs = 900\n";
    for writer in ["never", "broods"] {
        let plan = json!({ "workers": ["a"], "synthesizer": { "ref": writer, "fallback": ["w"] },
            "policy": { "deadline_secs": 5 } });
        let outcome = run(&cast.engine(&plan, limits), ask()).await;
        assert_eq!(outcome.text, "the first draft", "{writer}");
        assert_about(outcome.total, ms(5_000));
        let trace = outcome.trace();
        assert_eq!(
            (&trace["status"], &trace["synthesizer"]["status"]),
            (&json!("degraded"), &json!("timeout"))
        );
        assert_eq!(
            (&trace["synthesizer"]["fallback"], &trace["synthesizer"]["usage"]["estimated"]),
            (&json!(true), &json!(true))
        );
        assert!(cast.asked("w").is_empty(), "nobody is asked after the deadline");
        // A draft that is not JSON cannot stand in when JSON was asked for.
        let outcome = run(
            &cast.engine(&plan, limits),
            Request { prompt: Prompt { format: OutputFormat::Json, ..Prompt::default() }, ..ask() },
        )
        .await;
        assert!(matches!(outcome.ending.unwrap_err().error, WorkflowError::Timeout { .. }));
    }
    let plan =
        json!({ "workers": ["a"], "synthesizer": "stops", "policy": { "deadline_secs": 5 } });
    let outcome = run(&cast.engine(&plan, limits), ask()).await;
    assert_eq!(outcome.text, "half an ");
    assert_about(outcome.total, ms(5_000));
    assert_eq!(outcome.trace()["synthesizer"]["status"], "timeout");
    let error = outcome.ending.unwrap_err().error;
    assert!(
        matches!(&error, WorkflowError::Timeout { message } if message.contains("deadline of 5 s")),
        "{error}"
    );
    assert_eq!(cast.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn reader_and_judges_have_what_remains() {
    let cast = cast().model("c", says(10, "zebras, mostly"));
    let limits = "[workflow.timeouts]\nanalyzer_timeout_secs = 900\nselector_timeout_secs = 900\n";
    // An analyzer that hangs leaves the workers that wait for it half of their time.
    for (plan, text, total, late) in [
        (
            json!({ "analyzer": "never", "workers": [{ "ref": "a", "auto_temperature": true }] }),
            "the first draft",
            3_010,
            "analyzer",
        ),
        (
            json!({ "analyzer": "never", "workers": ["a"], "synthesizer": { "ref": "w", "auto_temperature": true } }),
            "fused",
            3_010,
            "analyzer",
        ),
        (
            json!({ "workers": ["a", "c"], "selector": "never" }),
            "the first draft",
            10_000,
            "selector",
        ),
        (
            json!({ "workers": ["a", "c"], "reranker": { "ref": "never", "top_k": 1 }, "selector": "judge" }),
            "the first draft",
            10_000,
            "reranker",
        ),
        (
            json!({ "workers": ["a", "c"], "selector": { "ref": "never", "fallback": ["judge"] }, "synthesizer": "w" }),
            "the first draft",
            10_000,
            "selector",
        ),
    ] {
        let mut plan = plan;
        if plan.get("selector").is_none() && plan.get("synthesizer").is_none() {
            plan["selector"] = json!("judge");
        }
        plan["policy"] = json!({ "deadline_secs": 10 });
        let outcome = run(&cast.engine(&plan, limits), ask()).await;
        assert_eq!(outcome.text, text, "{plan}");
        assert_about(outcome.total, ms(total));
        let trace = outcome.trace();
        assert_eq!(trace[late]["status"], "timeout", "{trace}");
        let said = trace[late]["error"]["message"].as_str().unwrap();
        assert!(said.contains("deadline of 10 s"), "{said}");
        assert_eq!(trace[late]["usage"]["estimated"], true, "{trace}");
        assert_eq!(cast.open.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_permit_is_bounded_too() {
    use tokio::sync::Semaphore;

    let gate = Arc::new(Semaphore::new(1));
    let mut cast = cast();
    let waits = Arc::clone(&gate);
    let held: crate::llm::testing::Script = Arc::new(move |_| {
        let gate = Arc::clone(&waits);
        Box::pin(stream! {
            let begun = tokio::time::Instant::now();
            let _permit = gate.acquire_owned().await;
            yield Ok(CallEvent::Started { queued: begun.elapsed(), endpoint: 0, temperature: Some(0.5) });
            tokio::time::sleep(Duration::from_secs(600)).await;
            yield Ok(finished(FinishReason::Stop));
        })
    });
    cast.scripts.insert("held".to_owned(), held);
    let plan = json!({ "workers": ["a", { "ref": "held", "samples": 2 }], "selector": "judge",
        "policy": { "deadline_secs": 5 } });
    let outcome =
        run(&cast.engine(&plan, "[workflow.timeouts]\nselector_timeout_secs = 1\n"), ask()).await;
    assert_about(outcome.total, ms(4_000));
    let trace = outcome.trace();
    assert_eq!(statuses(&trace), ["ok", "timeout", "timeout"]);
    let (sent, queued) = (&trace["workers"][1], &trace["workers"][2]);
    assert_eq!((&sent["queued_ms"], &sent["usage"]["estimated"]), (&json!(0), &json!(true)));
    assert_about(Duration::from_millis(queued["queued_ms"].as_u64().unwrap()), ms(4_000));
    assert_eq!(queued["usage"]["total_tokens"], 0, "nothing was sent: {queued}");
    assert_eq!(gate.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_level_that_comes_too_late_asks_nobody() {
    let cast = cast();
    // Its leaf waits for the analysis above, which takes longer than the level may.
    let panel = json!({ "name": "panel", "workers": [{ "ref": "b", "auto_temperature": true }],
        "synthesizer": "w", "policy": { "deadline_secs": 1 } });
    let plan = json!({ "analyzer": "never", "workers": [panel], "selector": "judge",
        "policy": { "deadline_secs": 10 } });
    let outcome =
        run(&cast.engine(&plan, "[workflow.timeouts]\nanalyzer_timeout_secs = 900\n"), ask()).await;
    let trace = outcome.trace();
    assert_eq!(
        (statuses(&trace), statuses(&trace["workers"][0]["nested"])),
        (vec!["timeout".to_owned()], vec!["timeout".to_owned()])
    );
    assert_eq!(trace["workers"][0]["nested"]["workers"][0]["model"], "b");
    assert!(cast.asked("b").is_empty() && cast.asked("w").is_empty(), "{trace}");
    assert!(matches!(outcome.ending.unwrap_err().error, WorkflowError::Timeout { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_direct_call_has_no_deadline() {
    let cast = cast().model("long", says(100_000, "from long alone"));
    let plan = json!({ "workers": ["a"], "selector": "judge", "policy": { "deadline_secs": 1 } });
    let request = Request { model: "long".to_owned(), ..ask() };
    let outcome = run(&cast.engine(&plan, ""), request).await;
    assert_eq!(outcome.text, "from long alone");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_answers_for_a_workflow_has_its_deadline() {
    let trickles = |_: &Call| {
        let pieces = (0..100).flat_map(|_| [Cue::Say("x"), Cue::Wait(500)]);
        pieces.chain([Cue::End]).collect()
    };
    let cast = cast().model("trickles", trickles);
    let tool = ToolDefinition {
        name: "f".to_owned(),
        description: None,
        parameters: None,
        strict: None,
        unknown: Default::default(),
    };
    for worker in ["never", "trickles"] {
        let plan = json!({ "workers": [worker], "selector": "judge",
            "policy": { "deadline_secs": 5 } });
        let request = Request {
            prompt: Prompt { tools: Arc::from([tool.clone()]), ..Prompt::default() },
            ..ask()
        };
        let outcome = run(
            &cast.engine(&plan, "[workflow.timeouts]\nsynthesizer_timeout_secs = 900\n"),
            request,
        )
        .await;
        assert_about(outcome.total, ms(5_000));
        assert_eq!(outcome.trace()["synthesizer"]["status"], "timeout");
        let error = outcome.ending.unwrap_err().error;
        assert!(matches!(error, WorkflowError::Timeout { .. }), "{error}");
        assert_eq!(cast.open.load(Ordering::SeqCst), 0);
    }
}
