//! What the trace and the usage say.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_answering_calls_usage_is_that_of_whoever_answered() {
    let dead = || fails(5, LlmErrorKind::Connect);
    let cast = Cast::default()
        .model("a", says(10, "a draft"))
        .model("b", says(10, "entirely different words"))
        .model("judge", says(10, VERDICT))
        .model("dead", dead())
        .model("w", says(10, "fused"));
    for plan in [
        json!({ "workers": ["a", "b"], "selector": { "ref": "judge" } }),
        json!({ "workers": [{ "workers": ["a", "b"], "selector": { "ref": "judge" } }], "selector": { "ref": "judge" } }),
        json!({ "workers": [{ "workers": ["a", "b"], "synthesizer": { "ref": "w" } }], "selector": { "ref": "judge" } }),
        json!({ "workers": ["a", "b"], "synthesizer": { "ref": "dead" } }),
    ] {
        let outcome = run(&cast.engine(&plan, "[server]\nusage = \"answer\""), ask()).await;
        assert_eq!(outcome.ending.unwrap().usage.total_tokens(), 15, "{plan}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_token_is_content_of_the_model_that_answered() {
    let thinks =
        |_: &Call| vec![Cue::Wait(10), Cue::Think("hm"), Cue::Wait(30), Cue::Say("x"), Cue::End];
    let breaks = |_: &Call| vec![Cue::Wait(10), Cue::Say("x"), Cue::Fail(LlmErrorKind::Truncated)];
    let cast = Cast::default().model("breaks", breaks).model("thinks", thinks);
    let plan = json!({ "workers": [{ "ref": "breaks", "fallback": ["thinks"] }],
        "synthesizer": { "ref": "thinks" } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    let trace = outcome.trace();
    let first = |record: &Value| Duration::from_millis(record["first_token_ms"].as_u64().unwrap());
    assert_about(first(&trace["synthesizer"]), ms(40));
    assert_about(first(&trace["workers"][0]), ms(50));
    assert_about(first(&trace), ms(90));
}

#[tokio::test(start_paused = true)]
async fn what_was_being_written_when_a_call_failed_is_estimated_and_what_was_refused_is_not() {
    use LlmErrorKind as Kind;
    let breaks = |kind| move |_: &Call| vec![Cue::Say("sixteen letters."), Cue::Fail(kind)];
    for (script, written) in [
        (vec![Kind::Truncated, Kind::Transport, Kind::InBand, Kind::Timeout], 4),
        (vec![Kind::Connect, Kind::Unauthorized, Kind::Upstream { status: 500 }], 0),
    ] {
        for kind in script {
            let cast = Cast::default().model("a", says(5, "draft")).model("w", says(5, "fused"));
            let cast = match written {
                0 => cast.model("bad", fails(5, kind)),
                _ => cast.model("bad", breaks(kind)),
            };
            let plan = json!({ "workers": ["bad", "a"], "synthesizer": "w" });
            let trace = run(&cast.engine(&plan, ""), ask()).await.trace();
            let usage = &trace["workers"][0]["usage"];
            assert_eq!(usage["completion_tokens"], written, "{kind:?}");
            assert_eq!(usage["estimated"] == true, written > 0, "{kind:?}: {usage}");
            assert_eq!(trace["usage"]["estimated"] == true, written > 0, "{kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_takes_over_from_a_writer_that_only_thought() {
    let broods = |_: &Call| vec![Cue::Think("hm"), Cue::Fail(LlmErrorKind::Truncated)];
    let cast = Cast::default()
        .model("a", says(5, "draft"))
        .model("broods", broods)
        .model("w", says(5, "fused"));
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "broods", "fallback": ["w"] } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!((outcome.text.as_str(), &outcome.trace()["status"]), ("fused", &json!("degraded")));
}

#[tokio::test(start_paused = true)]
async fn a_run_keeps_its_name_when_one_model_answers_alone() {
    let cast = Cast::default().model("a", says(5, "x"));
    let plan = json!({ "workers": ["a", "a"], "selector": { "ref": "a" } });
    let plan = json!({ "workers": [{ "ref": "a", "samples": 2 }], "selector": plan["selector"] });
    let tool = ToolDefinition {
        name: "f".to_owned(),
        description: None,
        parameters: None,
        strict: None,
        unknown: Default::default(),
    };
    let outcome = run(
        &cast.engine(&plan, ""),
        Request { prompt: Prompt { tools: Arc::from([tool]), ..Prompt::default() }, ..ask() },
    )
    .await;
    let trace = outcome.trace();
    assert_eq!((&trace["name"], &trace["mode"]), (&json!("chorus"), &json!("workflow")));
    assert!(trace["note"].is_string() && cast.asked("a").len() == 1, "{trace}");
}

#[tokio::test(start_paused = true)]
async fn a_draft_that_wanted_a_tool_stands_in_as_plain_text() {
    let wants =
        |_: &Call| vec![Cue::Say("a draft"), Cue::Tool, Cue::EndAs(FinishReason::ToolCalls)];
    let cast = Cast::default().model("a", wants).model("w", fails(5, LlmErrorKind::Connect));
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w" } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!(
        (outcome.text.as_str(), outcome.ending.unwrap().reason),
        ("a draft", FinishReason::Stop)
    );
}

#[tokio::test(start_paused = true)]
async fn a_cut_draft_is_a_candidate_marked_so_and_a_withheld_one_is_none() {
    let ends = |reason| move |_: &Call| vec![Cue::Say("half a draft"), Cue::EndAs(reason)];
    let cast = Cast::default()
        .model("long", ends(FinishReason::Length))
        .model("withheld", ends(FinishReason::ContentFilter));
    let nested =
        json!({ "name": "panel", "workers": ["long"], "synthesizer": { "ref": "withheld" } });
    let plan = json!({ "workers": ["long", "withheld", nested], "selector": { "ref": "long" } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    let trace = outcome.trace();
    assert_eq!(trace["workers"][0]["finish_reason"], "length");
    assert_eq!(trace["workers"][1]["error"]["code"], "content_filter");
    let panel = &trace["workers"][2]["nested"]["synthesizer"];
    assert_eq!(
        (&panel["fallback"], &panel["error"]["code"]),
        (&json!(true), &json!("content_filter"))
    );
    assert_eq!(outcome.ending.unwrap().reason, FinishReason::Length);
}

/// A call that was hung up on is one of the exchanges, at what was really sent.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_hung_up_on_is_one_of_the_calls() {
    let cast = || {
        Cast::default()
            .model("a", says(10, "a draft"))
            .model("never", says(600_000, "too late"))
            .model("w", says(5, "fused"))
    };
    let quorum = json!({ "quorum": 1, "grace_ms": 40 });
    let deadline = json!({ "deadline_secs": 1 });
    for (plan, at, status, took) in [
        (
            json!({ "workers": ["a", "never"], "synthesizer": "w", "policy": &quorum }),
            "/workers/1",
            "cut",
            50,
        ),
        (
            json!({ "workers": ["a", { "name": "p", "workers": ["never"], "selector": "w" }],
            "synthesizer": "w", "policy": &quorum }),
            "/workers/1/nested/workers/0",
            "cut",
            50,
        ),
        (
            json!({ "workers": ["a", "never"], "synthesizer": "w", "policy": &deadline }),
            "/workers/1",
            "timeout",
            600,
        ),
        (
            json!({ "workers": ["a"], "synthesizer": "never", "policy": &deadline }),
            "/synthesizer",
            "timeout",
            990,
        ),
        (
            json!({ "analyzer": "never", "workers": ["a"], "synthesizer": "w" }),
            "/analyzer",
            "cut",
            15,
        ),
    ] {
        let outcome = run(
            &cast().engine(
                &plan,
                "[workflow.timeouts]\nworker_timeout_secs = 900\nsynthesizer_timeout_secs = 900\n",
            ),
            ask(),
        )
        .await;
        let trace = outcome.trace();
        let record = trace.pointer(at).unwrap();
        assert_eq!(
            (&record["status"], &record["attempts"]),
            (&json!(status), &json!(1)),
            "{record}"
        );
        let call = &record["calls"][0];
        assert_eq!(
            (&call["outcome"], &call["endpoint"]),
            (&json!("cancelled"), &json!("127.0.0.1:9"))
        );
        assert_about(ms(call["ms"].as_u64().unwrap()), ms(took));
        let sent = if at == "/analyzer" { json!(null) } else { json!(0.5) };
        assert_eq!(record.get("temperature").unwrap_or(&json!(null)), &sent, "{record}");
    }
}

/// Nobody is paid for a refusal, nor for the pause after it.
#[tokio::test(start_paused = true)]
async fn a_worker_that_is_cancelled_between_two_attempts_cost_nothing() {
    let mut cast = Cast::default().model("a", says(10, "a draft")).model("w", says(5, "fused"));
    let refused: Script = Arc::new(|_| {
        Box::pin(stream! {
            yield Ok(CallEvent::Started { queued: ms(0), endpoint: 0, temperature: None });
            yield Ok(CallEvent::Attempt(attempt("rate_limit_exceeded")));
            tokio::time::sleep(ms(600_000)).await;
            yield Ok(finished(FinishReason::Stop));
        })
    });
    cast.scripts.insert("refused".to_owned(), refused);
    let plan =
        json!({ "workers": ["a", "refused"], "synthesizer": "w", "policy": { "quorum": 1 } });
    let trace = run(&cast.engine(&plan, ""), ask()).await.trace();
    let record = &trace["workers"][1];
    assert_eq!((&record["status"], &record["attempts"]), (&json!("cut"), &json!(1)), "{record}");
    assert_eq!(
        record["usage"],
        json!({ "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 })
    );
    assert_eq!(trace["usage"].get("estimated"), None);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_never_began_is_recorded_with_its_model() {
    let cast = Cast::default()
        .model("reader", says(5, r#"{"overrides":{"workers":["a"]}}"#))
        .model("a", says(10, "a draft"));
    let plan = json!({ "analyzer": "reader", "workers": ["a", { "name": "x", "ref": "a" }],
        "selector": "a", "policy": { "overrides": true } });
    let trace = run(&cast.engine(&plan, ""), ask()).await.trace();
    let left_out = &trace["workers"][1];
    assert_eq!((&left_out["status"], &left_out["model"]), (&json!("skipped"), &json!("a")));
}
