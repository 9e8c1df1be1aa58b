//! What makes stages needless: the analyzer's overrides, and candidates that agree.

use super::{quorum::statuses, *};
use crate::types::{ToolChoice, ToolDefinition};

fn cast(advice: &'static str) -> Cast {
    Cast::default()
        .model("reader", says(50, advice))
        .model("a", says(10, "the first draft"))
        .model("b", says(20, "another thing entirely"))
        .model("c", says(300, "zebras, mostly"))
        .model("w", says(5, "fused"))
        .model("bad", fails(50, LlmErrorKind::Connect))
}

#[tokio::test(start_paused = true)]
async fn an_analyzer_that_may_chooses_among_the_workers_and_lowers_the_quorum() {
    let on = json!({ "overrides": true });
    for (advice, policy, drafted, want, overrides) in [
        (
            r#"{"overrides":{"workers":["a"]}}"#,
            on.clone(),
            10,
            "ok skipped skipped",
            json!({"workers":["a"]}),
        ),
        (
            r#"{"overrides":{"workers":["b","a","nobody"]}}"#,
            on.clone(),
            20,
            "ok ok skipped",
            json!({"workers":["a","b"]}),
        ),
        (r#"{"overrides":{"quorum":2}}"#, on.clone(), 20, "ok ok cut", json!({"quorum":2})),
        (r#"{"overrides":{"quorum":"0.3"}}"#, on.clone(), 10, "ok cut cut", json!({"quorum":1})),
        (
            r#"{"overrides":{"workers":["a","c"],"quorum":1}}"#,
            on.clone(),
            10,
            "ok skipped cut",
            json!({"workers":["a","c"],"quorum":1}),
        ),
        // The quorum's grace is the plan's.
        (
            r#"{"overrides":{"quorum":1}}"#,
            json!({ "overrides": true, "grace_ms": 12 }),
            22,
            "ok ok cut",
            json!({"quorum":1}),
        ),
        // It only lowers, and never below what has to succeed.
        (
            r#"{"overrides":{"quorum":3}}"#,
            json!({ "overrides": true, "quorum": 2 }),
            20,
            "ok ok cut",
            json!(null),
        ),
        (
            r#"{"overrides":{"workers":["a"],"quorum":1}}"#,
            json!({ "overrides": true, "min_success": 2 }),
            20,
            "ok ok cut",
            json!({"quorum":2}),
        ),
        // What cannot be used changes nothing.
        (
            r#"{"task_type":"chat","overrides":{"workers":[]}}"#,
            on.clone(),
            300,
            "ok ok ok",
            json!(null),
        ),
        (
            r#"{"task_type":"chat","overrides":{"workers":["x"]}}"#,
            on.clone(),
            300,
            "ok ok ok",
            json!(null),
        ),
        (
            r#"{"task_type":"chat","overrides":{"workers":[[["a"]]],"quorum":-1e308}}"#,
            on.clone(),
            300,
            "ok ok ok",
            json!(null),
        ),
        (r#"{"task_type":"chat","overrides":"workers"}"#, on.clone(), 300, "ok ok ok", json!(null)),
        ("no JSON at all", on, 300, "ok ok ok", json!(null)),
        // And one that may not is not heard.
        (
            r#"{"task_type":"chat","overrides":{"workers":["a"],"quorum":1}}"#,
            json!({}),
            250,
            "ok ok ok",
            json!(null),
        ),
    ] {
        let cast = cast(advice);
        let plan = json!({ "analyzer": "reader", "workers": ["a", "b", "c"], "synthesizer": "w", "policy": policy });
        let outcome = run(&cast.engine(&plan, ""), ask()).await;
        let trace = outcome.trace();
        assert_eq!(
            (outcome.text.as_str(), statuses(&trace).join(" ").as_str()),
            ("fused", want),
            "{advice} {policy}"
        );
        assert_about(outcome.total, ms(50 + drafted + 5));
        assert_eq!(
            trace["analyzer"].get("overrides").unwrap_or(&json!(null)),
            &overrides,
            "{advice}"
        );
        let heard = advice != "no JSON at all";
        assert_eq!(trace["status"], if heard { "ok" } else { "degraded" }, "{trace}");
        let shown = cast.asked("reader")[0].messages[0].joined_text();
        assert_eq!(shown.contains(r#"["a","b","c"]"#), policy["overrides"] == true, "{shown}");
        assert_eq!(cast.open.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_not_chosen_was_never_asked_and_is_no_failure() {
    let cast = cast(r#"{"overrides":{"workers":["panel"]}}"#)
        .model("dead", fails(5, LlmErrorKind::Timeout));
    let panel = |name: &str, model: &str| json!({ "name": name, "workers": [model] });
    let plan = json!({ "analyzer": "reader", "workers": ["a", panel("panel", "dead"), panel("other", "b")],
        "synthesizer": "w", "policy": { "overrides": true } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert!(cast.asked("a").is_empty() && cast.asked("b").is_empty());
    let trace = outcome.trace();
    assert_eq!(statuses(&trace), ["skipped", "timeout", "skipped"]);
    assert_eq!(trace["workers"][0]["error"]["code"], "not_chosen");
    // Of those that were asked, every one timed out.
    assert!(matches!(outcome.ending.unwrap_err().error, WorkflowError::Timeout { .. }));
}

#[tokio::test(start_paused = true)]
async fn overrides_hold_for_their_own_level_and_a_failed_analysis_overrides_nothing() {
    let cast = cast(r#"{"overrides":{"workers":["b"]}}"#);
    let panel = json!({ "name": "panel", "analyzer": "reader", "workers": ["a", "b"], "policy": { "overrides": true } });
    let plan = json!({ "workers": ["a", panel], "synthesizer": "w" });
    let trace = run(&cast.engine(&plan, ""), ask()).await.trace();
    assert_eq!(
        (statuses(&trace), statuses(&trace["workers"][1]["nested"])),
        (vec!["ok".into(), "ok".into()], vec!["skipped".into(), "ok".into()])
    );
    let plan = json!({ "analyzer": "bad", "workers": ["a", "b"], "synthesizer": "w", "policy": { "overrides": true } });
    let trace = run(&cast.engine(&plan, ""), ask()).await.trace();
    assert_eq!(
        (statuses(&trace), &trace["status"]),
        (vec!["ok".to_owned(), "ok".into()], &json!("degraded"))
    );
}

fn twins() -> Cast {
    Cast::default()
        .model("a", says(10, r#"{"city": "Paris, of course, on the river Seine"}"#))
        .model("b", says(20, r#"{"city":"Paris, of course, on the river Seine"}"#))
        .model("c", says(20, "Zebras live in Africa."))
        .model("judge", says(10, VERDICT))
        .model("w", says(10, "fused"))
}

#[tokio::test(start_paused = true)]
async fn candidates_that_agree_need_neither_judge_nor_writer() {
    let whole = json!({ "selector": "judge", "synthesizer": "w", "reranker": { "ref": "judge", "top_k": 1 } });
    let cast = twins();
    for (workers, agreement, agree) in [
        (json!(["a", "b"]), json!(0.9), true),
        // Both come to the same JSON value.
        (json!(["a", "b"]), json!(1), true),
        (json!(["a", "b"]), json!(null), false),
        (json!(["a", "b", "c"]), json!(0.9), false),
        // One alone agrees with nobody.
        (json!(["a"]), json!(0.1), false),
    ] {
        let mut plan = whole.clone();
        plan["workers"] = workers;
        plan["policy"] = json!({ "agreement": agreement });
        let outcome = run(&cast.engine(&plan, ""), ask()).await;
        let trace = outcome.trace();
        assert_eq!(outcome.text != "fused", agree, "{plan}");
        assert_eq!(trace["status"], "ok", "{trace}");
        if agree {
            assert_eq!(outcome.text, r#"{"city": "Paris, of course, on the river Seine"}"#);
            for stage in ["reranker", "selector", "synthesizer"] {
                assert_eq!(trace[stage]["status"], "skipped", "{stage}");
            }
            assert_eq!(
                (&trace["selector"]["selected_worker"], &trace["selector"]["selected_index"]),
                (&json!("a"), &json!(0))
            );
            assert!(trace["note"].as_str().unwrap().contains("agree"), "{trace}");
            assert_about(outcome.total, ms(20));
            assert_eq!(trace["usage"]["total_tokens"], 30);
            assert_eq!(outcome.ending.unwrap().reason, FinishReason::Stop);
        }
    }
    // It ranked in the run of several that do not agree, and in the one without a rule.
    assert_eq!(cast.asked("judge").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_agreed_answer_has_to_satisfy_the_request() {
    let tool = ToolDefinition {
        name: "f".to_owned(),
        description: None,
        parameters: None,
        strict: None,
        unknown: Default::default(),
    };
    let tools = |choice| Request {
        prompt: Prompt {
            tools: Arc::from([tool.clone()]),
            tool_choice: choice,
            ..Prompt::default()
        },
        ..ask()
    };
    let json =
        || Request { prompt: Prompt { format: OutputFormat::Json, ..Prompt::default() }, ..ask() };
    for (workers, request, agree) in [
        (json!(["a", "b"]), json(), true),
        (json!([{ "ref": "c", "samples": 2 }]), ask(), true),
        (json!([{ "ref": "c", "samples": 2 }]), json(), false),
        (json!(["a", "b"]), tools(None), false),
        (json!(["a", "b"]), tools(Some(ToolChoice::Required)), false),
        (json!(["a", "b"]), tools(Some(ToolChoice::None)), true),
        // The drafts were asked for neither: one that keeps to them by itself will do.
        (
            json!(["a", "b"]),
            Request { prompt: Prompt { max_tokens: Some(5), ..Prompt::default() }, ..ask() },
            true,
        ),
        (
            json!(["a", "b"]),
            Request { prompt: Prompt { max_tokens: Some(4), ..Prompt::default() }, ..ask() },
            false,
        ),
        (
            json!(["a", "b"]),
            Request {
                prompt: Prompt { stop: vec!["Lyon".to_owned()], ..Prompt::default() },
                ..ask()
            },
            true,
        ),
        (
            json!(["a", "b"]),
            Request {
                prompt: Prompt { stop: vec!["river".to_owned()], ..Prompt::default() },
                ..ask()
            },
            false,
        ),
    ] {
        let plan =
            json!({ "workers": workers, "synthesizer": "w", "policy": { "agreement": 0.9 } });
        let outcome = run(&twins().engine(&plan, ""), request).await;
        assert_eq!(outcome.text != "fused", agree, "{plan}");
    }
    // A nested level's answer is a draft: any form will do, and tools are not its business.
    let panel = json!({ "name": "panel", "workers": [{ "ref": "c", "samples": 2 }], "synthesizer": "w",
        "policy": { "agreement": 0.9 } });
    let plan = json!({ "workers": [panel], "synthesizer": "w" });
    let cast = twins();
    let request = Request {
        prompt: Prompt { format: OutputFormat::Json, max_tokens: Some(1), ..tools(None).prompt },
        ..tools(None)
    };
    let trace = run(&cast.engine(&plan, ""), request).await.trace();
    assert_eq!(trace["workers"][0]["nested"]["synthesizer"]["status"], "skipped");
    assert_eq!(cast.asked("w").len(), 1);
}
