//! The members that are waited for: quorum, grace, and those that leave the count.

use super::*;

pub(super) fn statuses(trace: &Value) -> Vec<String> {
    let workers = trace["workers"].as_array().unwrap();
    workers.iter().map(|worker| worker["status"].as_str().unwrap().to_owned()).collect()
}

/// Four drafters, at 10, 20, 30 and 400 ms, and whoever fails.
fn cast() -> Cast {
    Cast::default()
        .model("a", says(10, "the first draft"))
        .model("b", says(20, "another thing entirely"))
        .model("c", says(30, "zebras, mostly"))
        .model("slow", says(400, "late but thorough"))
        .model("denied", fails(5, LlmErrorKind::Unauthorized))
        .model("gone", fails(5, LlmErrorKind::NotFound))
        .model("open", fails(0, LlmErrorKind::CircuitOpen))
        .model("blind", fails(0, LlmErrorKind::UnsupportedInput))
        .model("broken", fails(5, LlmErrorKind::Upstream { status: 500 }))
        .model("w", says(5, "fused"))
}

#[tokio::test(start_paused = true)]
async fn the_drafting_ends_when_the_quorum_has_answered_and_the_grace_is_over() {
    for (workers, policy, drafted, want) in [
        (json!(["a", "b", "c", "slow"]), json!({}), 400, "ok ok ok ok"),
        (json!(["a", "b", "c", "slow"]), json!({ "quorum": 2 }), 20, "ok ok cut cut"),
        (
            json!(["a", "b", "c", "slow"]),
            json!({ "quorum": 1, "grace_ms": 15 }),
            25,
            "ok ok cut cut",
        ),
        (json!(["a", "b", "c", "slow"]), json!({ "quorum": 0.5 }), 20, "ok ok cut cut"),
        (json!(["a", "b", "c", "slow"]), json!({ "quorum": 0.51 }), 30, "ok ok ok cut"),
        (json!(["a", "b", "c"]), json!({ "quorum": 2, "grace_ms": 60_000 }), 30, "ok ok ok"),
        // The larger of the two is needed.
        (
            json!(["a", "b", "c", "slow"]),
            json!({ "quorum": 1, "min_success": 3 }),
            30,
            "ok ok ok cut",
        ),
        (
            json!(["a", "b", "c", "slow"]),
            json!({ "quorum": 3, "min_success": 1 }),
            30,
            "ok ok ok cut",
        ),
        // Half of four are two; half of the two that can answer, one.
        (
            json!(["a", "slow", "denied", "gone"]),
            json!({ "quorum": 0.5 }),
            10,
            "ok cut failed failed",
        ),
        (
            json!(["a", "slow", "open", "blind"]),
            json!({ "quorum": 0.5 }),
            10,
            "ok cut failed skipped",
        ),
        // One that failed for another reason stays in the count.
        (
            json!(["a", "slow", "broken", "broken"]),
            json!({ "quorum": 0.5 }),
            400,
            "ok ok failed failed",
        ),
        (
            json!([{ "ref": "denied", "fallback": ["broken"] }, { "ref": "broken", "fallback": ["denied"] }, "a", "slow"]),
            json!({ "quorum": 0.5 }),
            400,
            "failed failed ok ok",
        ),
        // Out of reach: everyone is waited for.
        (json!(["a", "slow", "broken"]), json!({ "quorum": 3 }), 400, "ok ok failed"),
        (
            json!(["denied", "slow", "a"]),
            json!({ "quorum": 3, "grace_ms": 10 }),
            400,
            "failed ok ok",
        ),
    ] {
        let plan = json!({ "workers": workers, "synthesizer": "w", "policy": policy });
        let cast = cast();
        let outcome = run(&cast.engine(&plan, ""), ask()).await;
        assert_eq!(outcome.text, "fused", "{plan}");
        let trace = outcome.trace();
        assert_eq!(statuses(&trace).join(" "), want, "{plan}");
        assert_about(outcome.total, ms(drafted + 5));
        assert_eq!(cast.open.load(Ordering::SeqCst), 0, "{plan}");
        let failed = want.contains("failed");
        assert_eq!(trace["status"], if failed { "degraded" } else { "ok" }, "{plan}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_straggler_is_hung_up_on_at_once_and_what_it_cost_is_estimated() {
    let talks = |_: &Call| {
        vec![Cue::Say("forty characters of a draft, more or less"), Cue::Wait(60_000), Cue::End]
    };
    let cast = cast().model("talks", talks);
    let plan = json!({ "workers": ["a", "talks"], "synthesizer": "w", "policy": { "quorum": 1 } });
    let engine = cast.engine_with(&plan, "", "price = { input_per_mtok = 1, output_per_mtok = 1 }");
    let mut run = engine.run(engine.route("").unwrap(), ask(), RequestId::fresh());
    let cut = loop {
        match run.events.next().await.unwrap() {
            Event::StageFinished(report) if report.status == StageStatus::Cut => break report,
            _ => {}
        }
    };
    assert_eq!((cut.name.as_str(), cut.degrades), ("talks", false));
    assert_eq!(cast.open.load(Ordering::SeqCst), 0, "before the events are polled again");
    let (_, finished) = run.fold().await.unwrap().unwrap();
    let trace = serde_json::to_value(&finished.trace).unwrap();
    let usage = &trace["workers"][1]["usage"];
    assert_eq!((&usage["completion_tokens"], &usage["estimated"]), (&json!(10), &json!(true)));
    assert!(usage["prompt_tokens"].as_u64().unwrap() > 0, "{usage}");
    let total = 15 + 15 + usage["total_tokens"].as_u64().unwrap();
    assert_eq!(trace["usage"]["total_tokens"], json!(total), "{trace}");
    assert!(finished.spent.usage.estimated && !finished.usage.estimated);
    assert!(trace["workers"][1]["usage"]["cost_usd"].as_f64().unwrap() > 0.0, "{trace}");
}

#[tokio::test(start_paused = true)]
async fn the_finished_event_comes_when_nothing_is_open_any_more() {
    let cast = cast().model("reader", says(60_000, ADVICE));
    let panel = json!({ "workers": ["slow", "slow"] });
    let plan = json!({ "analyzer": { "ref": "reader", "timeout_secs": 100 },
        "workers": ["a", panel], "selector": "w", "policy": { "quorum": 1 } });
    let plan = {
        let mut plan = plan;
        plan["workers"][1]["workers"] = json!([{ "ref": "slow", "samples": 2 }]);
        plan
    };
    let engine = cast.engine(&plan, "");
    let mut run = engine.run(engine.route("").unwrap(), ask(), RequestId::fresh());
    while !matches!(run.events.next().await.unwrap(), Event::Finished(_)) {}
    assert_eq!(cast.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_nested_level_counts_for_itself_and_is_cancelled_as_a_whole() {
    let cast = cast().model("judge", says(10_000, VERDICT));
    // Its own quorum: 20 ms, then its judge is at work when the level above has enough.
    let panel = json!({ "name": "panel", "workers": ["a", "b", "slow"], "selector": "judge",
        "policy": { "quorum": 2 } });
    // A level two below, still drafting.
    let deep = json!({ "name": "deep", "workers": [{ "name": "inner", "workers": ["slow"] }] });
    let plan =
        json!({ "workers": ["c", panel, deep], "synthesizer": "w", "policy": { "quorum": 1 } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_about(outcome.total, ms(30 + 5));
    let trace = outcome.trace();
    assert_eq!(statuses(&trace), ["ok", "cut", "cut"]);
    assert_eq!((&trace["status"], trace.get("warnings")), (&json!("ok"), None));
    let nested = &trace["workers"][1]["nested"];
    assert_eq!(
        (statuses(nested), &nested["status"]),
        (vec!["ok".into(), "ok".into(), "cut".into()], &json!("cancelled"))
    );
    assert_eq!(
        (&nested["selector"]["status"], &nested["selector"]["usage"]["estimated"]),
        (&json!("cut"), &json!(true))
    );
    let inner = &trace["workers"][2]["nested"]["workers"][0];
    assert_eq!(
        (&inner["status"], &inner["nested"]["workers"][0]["status"]),
        (&json!("cut"), &json!("cut"))
    );
    assert_eq!(inner["nested"]["workers"][0]["usage"]["estimated"], true);
    // Everything paid for is in the sum, at each level and in all.
    let total = |value: &Value| value["usage"]["total_tokens"].as_u64().unwrap();
    let workers: u64 = trace["workers"].as_array().unwrap().iter().map(total).sum();
    assert_eq!(total(&trace), workers + total(&trace["synthesizer"]));
    assert_eq!(cast.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_not_inherited() {
    let cast = cast();
    let panel = json!({ "name": "panel", "workers": ["a", "slow"] });
    let plan = json!({ "workers": [panel], "synthesizer": "w", "policy": { "quorum": 1 } });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_about(outcome.total, ms(400 + 5));
    assert_eq!(statuses(&outcome.trace()["workers"][0]["nested"]), ["ok", "ok"]);
}

#[tokio::test(start_paused = true)]
async fn candidates_of_two_panels_are_distinct() {
    let cast = cast().model("judge", says(5, r#"{"scores":{"1":1,"2":2,"3":3,"4":4},"best":"1"}"#));
    let panel = |name: &str| json!({ "name": name, "workers": ["a", "b"] });
    let outer = json!({ "name": "outer", "workers": [panel("y")] });
    let plan = json!({ "workers": [panel("x"), outer, "c", "a"], "selector": "judge" });
    let trace = run(&cast.engine(&plan, ""), ask()).await.trace();
    let mut names: Vec<&String> = trace["selector"]["scores"].as_object().unwrap().keys().collect();
    names.sort();
    let all = ["a", "c", "outer/y/a", "outer/y/b", "x/a", "x/b"];
    assert!(names.iter().all(|name| all.contains(&name.as_str())) && names.len() == 4, "{names:?}");
    let selected = trace["selector"]["selected_worker"].as_str().unwrap();
    assert!(all.contains(&selected), "{selected}");
}
