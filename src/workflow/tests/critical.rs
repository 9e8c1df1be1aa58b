//! The stages that decided the time of a run, and what was added to theirs.

use super::*;

/// `worker panel/a 10, selector judge 20`: the level, the name, and milliseconds.
fn path(outcome: &Outcome) -> String {
    let (stages, _) = outcome.critical();
    let shown = stages.iter().map(|one| {
        let level = one.level.as_ref().map(|level| format!("{level}/")).unwrap_or_default();
        let name = format!("{level}{}", one.name);
        format!("{} {name} {}", one.stage.as_str(), one.duration.as_millis())
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn cast() -> Cast {
    let broken = |_: &Call| vec![Cue::Wait(5), Cue::Say("x"), Cue::Fail(LlmErrorKind::Truncated)];
    let slowly = |_: &Call| {
        vec![
            Cue::Wait(7),
            Cue::Think("hm"),
            Cue::Wait(8),
            Cue::Say("fused"),
            Cue::Wait(9),
            Cue::End,
        ]
    };
    Cast::default()
        .model("reader", says(100, ADVICE))
        .model("a", says(10, "one draft"))
        .model("b", says(50, "another thing entirely"))
        .model("c", says(200, "and a third one, unlike the others"))
        .model("never", says(60_000, "too late"))
        .model("dead", fails(60, LlmErrorKind::Connect))
        .model("broken", broken)
        .model("judge", says(20, VERDICT))
        .model("slowly", slowly)
        .model("w", says(30, "fused"))
}

#[tokio::test(start_paused = true)]
async fn the_critical_path_is_the_chain_that_the_answer_waited_for() {
    let advised = |name: &str| json!({ "ref": name, "auto_temperature": true });
    let panel = json!({ "name": "panel", "workers": [advised("a"), "b"], "selector": "judge" });
    let slow_panel = json!({ "name": "slow", "workers": ["never", "a"], "selector": "judge" });
    let slowly_judged = json!({ "name": "slow", "workers": ["a", "b", "c"], "selector": "judge",
        "reranker": { "ref": "never", "top_k": 2 } });
    for (plan, want) in [
        (
            json!({ "workers": ["a", "b"], "selector": "judge", "synthesizer": "w" }),
            "worker b 50, selector judge 20, synthesizer w 30",
        ),
        // The analysis is not waited for, then by one, then by all.
        (
            json!({ "analyzer": "reader", "workers": ["a", "c"], "synthesizer": "w" }),
            "worker c 200, synthesizer w 30",
        ),
        (
            json!({ "analyzer": "reader", "workers": [advised("b"), "a"], "synthesizer": "w" }),
            "analyzer reader 100, worker b 50, synthesizer w 30",
        ),
        (
            json!({ "analyzer": "reader", "workers": ["a", "c"], "synthesizer": "w",
                "policy": { "schedule": "sequential" } }),
            "analyzer reader 100, worker c 200, synthesizer w 30",
        ),
        // The writer waits for the analysis longer than for the drafts.
        (
            json!({ "analyzer": "reader", "workers": ["a"], "synthesizer": advised("w") }),
            "analyzer reader 100, synthesizer w 30",
        ),
        // A panel, whose first worker waits for the analysis above.
        (
            json!({ "analyzer": "reader", "workers": [panel, "b"], "synthesizer": "w" }),
            "analyzer reader 100, worker panel/a 10, selector panel/judge 20, synthesizer w 30",
        ),
        // A selector that has nothing to choose is skipped, and so is a reranker.
        (
            json!({ "workers": ["b"], "reranker": { "ref": "judge", "top_k": 2 },
                "selector": "judge", "synthesizer": "w" }),
            "worker b 50, synthesizer w 30",
        ),
        (
            json!({ "workers": ["a", "b"], "reranker": { "ref": "judge", "top_k": 1 },
                "selector": "judge" }),
            "worker b 50, reranker judge 20",
        ),
        // The quorum's last answer decides, or with a grace who was waited for then.
        (
            json!({ "workers": ["a", "b", "never"], "synthesizer": "w", "policy": { "quorum": 2 } }),
            "worker b 50, synthesizer w 30",
        ),
        (
            json!({ "workers": ["a", "b", "never"], "synthesizer": "w",
                "policy": { "quorum": 2, "grace_ms": 40 } }),
            "worker never 90, synthesizer w 30",
        ),
        // The same of a panel that is cut, one member of which had answered.
        (
            json!({ "workers": ["a", "b", slow_panel], "synthesizer": "w",
                "policy": { "quorum": 2 } }),
            "worker b 50, synthesizer w 30",
        ),
        (
            json!({ "workers": ["a", "b", slow_panel], "synthesizer": "w",
                "policy": { "quorum": 2, "grace_ms": 40 } }),
            "worker slow/never 90, synthesizer w 30",
        ),
        // One that is cut in the moment in which its judge's turn comes.
        (
            json!({ "workers": ["a", "b", slowly_judged], "synthesizer": "w",
                "policy": { "quorum": 2, "grace_ms": 550, "deadline_secs": 1 } }),
            "worker slow/c 200, reranker slow/never 400, synthesizer w 30",
        ),
        (
            json!({ "workers": ["a", "never"], "synthesizer": "w", "policy": { "deadline_secs": 1 } }),
            "worker never 600, synthesizer w 30",
        ),
        // Whoever failed was waited for too, and a stage holds its fallbacks and stand-ins.
        (
            json!({ "workers": ["b", "dead"], "synthesizer": "w" }),
            "worker dead 60, synthesizer w 30",
        ),
        (
            json!({ "workers": [{ "ref": "broken", "fallback": ["b"] }],
                "synthesizer": { "ref": "dead", "fallback": ["w"] } }),
            "worker broken 55, synthesizer w 90",
        ),
        (json!({ "workers": ["b"], "synthesizer": "dead" }), "worker b 50, synthesizer dead 60"),
        (
            json!({ "workers": ["b", "dead"], "selector": "judge", "policy": { "min_success": 2 } }),
            "worker dead 60",
        ),
        // While it writes, all of the time is the writer's.
        (
            json!({ "workers": ["a"], "synthesizer": "slowly" }),
            "worker a 10, synthesizer slowly 24",
        ),
    ] {
        let outcome = run(&cast().engine(&plan, ""), ask()).await;
        assert_eq!(path(&outcome), want, "{plan}");
        let (stages, overhead) = outcome.critical();
        assert_eq!(overhead, Duration::ZERO, "{plan}");
        assert_eq!(
            stages.iter().map(|one| one.duration).sum::<Duration>(),
            outcome.total,
            "{plan}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn direct_calls_and_hedged_ones_have_a_path_too() {
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "c", "fallback": ["w"] } });
    let engine = cast().engine_with(&plan, "", "hedge_after_ms = 40");
    let outcome = run(&engine, ask()).await;
    assert_eq!(path(&outcome), "worker a 10, synthesizer w 70");
    assert_eq!(outcome.critical().1, Duration::ZERO);
    let outcome = run(&engine, Request { model: "slowly".to_owned(), ..ask() }).await;
    assert_eq!(path(&outcome), "synthesizer slowly 24");
    assert_eq!(outcome.critical().1, Duration::ZERO);
    let refused =
        run(&engine, Request { prompt: Prompt { raw: true, ..Prompt::default() }, ..ask() }).await;
    assert_eq!(path(&refused), "");
}

/// What the paused clock cannot show by itself: time that passes while Chorus is at work.
#[tokio::test(start_paused = true)]
async fn time_in_which_nobody_is_waited_for_is_the_overhead() {
    let asked = |ms| {
        move |_: &Call| {
            // As if the prompt had taken so long.
            let busy = tokio::time::advance(Duration::from_millis(ms));
            futures::FutureExt::now_or_never(busy);
            vec![Cue::Wait(30), Cue::Say("fused"), Cue::End]
        }
    };
    let cast = cast().model("busy", asked(4)).model("idle", asked(0));
    for (writer, want) in [("busy", ms(4)), ("idle", Duration::ZERO)] {
        let plan = json!({ "workers": ["a"], "synthesizer": writer });
        let outcome = run(&cast.engine(&plan, ""), ask()).await;
        assert_eq!(outcome.critical().1, want, "{writer}");
        let trace = outcome.trace();
        assert_eq!(trace["overhead_ms"], want.as_secs_f64() * 1e3);
        let last = &trace["critical_path"][1];
        assert_eq!((&last["stage"], &last["name"]), (&json!("synthesizer"), &json!(writer)));
        assert!(last["duration_ms"].is_f64() && last.get("level").is_none(), "{last}");
    }
}
