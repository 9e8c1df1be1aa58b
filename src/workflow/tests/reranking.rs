//! The reranker: it keeps the best few, or everything.

use super::*;

fn cast() -> Cast {
    Cast::default()
        .model("a", says(10, "the first draft"))
        .model("b", says(10, "another thing entirely"))
        .model("c", says(10, "zebras, mostly"))
        .model("d", says(10, "nobody knows for sure"))
        .model("w", says(10, "fused"))
        .model("judge", says(10, VERDICT))
}

/// Scores the shown candidates by what stands in them; `None` leaves one without a score.
fn scores(
    ms: u64,
    of: impl Fn(&str) -> Option<f64> + Send + Sync + 'static,
) -> impl Fn(&Call) -> Vec<Cue> + Send + Sync + 'static {
    move |call| {
        let shown = call.messages[1].joined_text();
        let candidates = shown.split("<candidate-").skip(1).enumerate();
        let scores: serde_json::Map<String, Value> = candidates
            .filter_map(|(place, text)| Some(((place + 1).to_string(), json!(of(text)?))))
            .collect();
        let reply = json!({ "scores": scores }).to_string();
        vec![Cue::Wait(ms), Cue::Say(Box::leak(reply.into_boxed_str())), Cue::End]
    }
}

fn by_words(text: &str) -> Option<f64> {
    let ranks = [("zebras", 9.0), ("another", 7.0), ("first", 3.0), ("nobody", 1.0)];
    ranks.iter().find(|(word, _)| text.contains(word)).map(|(_, score)| *score)
}

#[tokio::test(start_paused = true)]
async fn only_the_best_few_are_shown_to_judge_and_writer() {
    let cast = cast().model("ranker", scores(20, by_words));
    let plan = json!({ "workers": ["a", "b", "c", "d"], "reranker": { "ref": "ranker", "top_k": 2 },
        "selector": "judge", "synthesizer": "w" });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_about(outcome.first_token.unwrap(), ms(10 + 20 + 10 + 10));
    let trace = outcome.trace();
    let record = &trace["reranker"];
    assert_eq!(
        (&record["model"], &record["status"], &record["kept"]),
        (&json!("ranker"), &json!("ok"), &json!(["c", "b"]))
    );
    assert_eq!(record["scores"], json!({ "c": 9.0, "b": 7.0, "a": 3.0, "d": 1.0 }));
    let mut order: Vec<u64> =
        record["order"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    order.sort_unstable();
    assert_eq!((order, &trace["status"]), (vec![0, 1, 2, 3], &json!("ok")));
    let judged = cast.asked("judge")[0].messages[1].joined_text();
    assert!(
        judged.contains("zebras") && judged.contains("another") && !judged.contains("first draft")
    );
    let written = shown(&cast.asked("w")[0]);
    assert_eq!(written.matches("<draft-").count(), 2);
    // The indices are those of the plan.
    let indices: std::collections::BTreeSet<u64> =
        trace["selector"]["order"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert_eq!(indices, [1, 2].into());
    let index = trace["selector"]["selected_index"].as_u64().unwrap() as usize;
    assert_eq!(trace["workers"][index]["name"], trace["selector"]["selected_worker"]);
    // It is asked as the selector is: fenced, without names, steady, and for JSON.
    let call = &cast.asked("ranker")[0];
    let asked = call.messages[1].joined_text();
    assert_eq!((asked.matches("<candidate-").count(), asked.contains("ranker")), (4, false));
    assert_eq!((call.prompt.sampling.temperature, call.stream), (Some(0.0), true));
    assert!(
        matches!(&call.prompt.format, OutputFormat::Schema { schema, .. } if schema.to_string().contains("\"4\""))
    );
    assert_eq!(trace["usage"]["total_tokens"], 7 * 15);
}

#[tokio::test(start_paused = true)]
async fn a_reranker_with_nothing_to_drop_is_not_asked() {
    let cast = cast().model("ranker", scores(20, by_words));
    let plan = json!({ "workers": ["a", "b", "c"], "reranker": "ranker", "synthesizer": "w" });
    let outcome = run(&cast.engine(&plan, ""), ask()).await;
    assert_about(outcome.first_token.unwrap(), ms(20));
    assert_eq!(
        (&outcome.trace()["reranker"]["status"], cast.asked("ranker").len()),
        (&json!("skipped"), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn without_usable_scores_all_candidates_go_on() {
    let few = |text: &str| text.contains("zebras").then_some(9.0);
    let cast = cast()
        .model("few", scores(5, few))
        .model("bad", fails(5, LlmErrorKind::Connect))
        .model("prose", says(5, "I like them all"))
        .model("ranker", scores(5, by_words));
    for (reranker, status, code, shown) in [
        (json!({ "ref": "bad", "top_k": 2 }), "failed", "connect_error", 4),
        (json!({ "ref": "prose", "top_k": 2 }), "failed", "unusable_answer", 4),
        (
            json!({ "ref": "prose", "top_k": 2, "fallback": ["ranker"] }),
            "failed",
            "unusable_answer",
            4,
        ),
        (json!({ "ref": "few", "top_k": 2 }), "failed", "unusable_answer", 4),
        (json!({ "ref": "few", "top_k": 1 }), "ok", "", 1),
        (json!({ "ref": "bad", "top_k": 2, "fallback": ["ranker"] }), "ok", "connect_error", 2),
    ] {
        let plan =
            json!({ "workers": ["a", "b", "c", "d"], "reranker": reranker, "synthesizer": "w" });
        let outcome = run(&cast.engine(&plan, ""), ask()).await;
        assert_eq!(outcome.text, "fused", "{plan}");
        let trace = outcome.trace();
        assert_eq!(trace["reranker"]["status"], status, "{trace}");
        let warned = trace["warnings"][0]["code"].as_str().unwrap_or_default();
        assert_eq!(
            (warned, &trace["status"]),
            (code, &json!(if code.is_empty() { "ok" } else { "degraded" }))
        );
        assert!(code.is_empty() || trace["warnings"][0]["stage"] == "reranker");
        let written = super::shown(cast.asked("w").last().unwrap());
        assert_eq!(written.matches("<draft-").count(), shown, "{plan}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reranker_whose_context_is_too_small_is_asked_once_more_with_less() {
    let long: &'static str = Box::leak("a very long draft ".repeat(3000).into_boxed_str());
    let small = |call: &Call| {
        let prompt: usize = call.messages.iter().map(|m| m.joined_text().len()).sum();
        if prompt > 25_000 {
            return vec![Cue::Fail(LlmErrorKind::ContextLength)];
        }
        scores(5, by_words)(call)
    };
    let cast = cast().model("long", says(5, long)).model("ranker", small);
    let plan = json!({ "workers": ["long", "b", "c"], "reranker": { "ref": "ranker", "top_k": 2 }, "synthesizer": "w" });
    let trace = run(&cast.engine(&plan, ""), ask()).await.trace();
    assert_eq!((&trace["reranker"]["kept"], cast.asked("ranker").len()), (&json!(["c", "b"]), 2));
}

#[tokio::test(start_paused = true)]
async fn a_nested_reranker_sends_up_what_it_kept() {
    let cast = cast().model("ranker", scores(5, by_words));
    let panel = json!({ "name": "panel", "workers": ["a", "b", "c"], "reranker": { "ref": "ranker", "top_k": 1 } });
    let plan = json!({ "workers": ["d", panel], "selector": "judge" });
    let trace = run(&cast.engine(&plan, ""), ask()).await.trace();
    assert_eq!(trace["workers"][1]["nested"]["reranker"]["kept"], json!(["c"]));
    let scored = trace["selector"]["scores"].as_object().unwrap();
    let mut names: Vec<&String> = scored.keys().collect();
    names.sort();
    assert_eq!(names, ["c", "d"]);
    let judged = cast.asked("judge")[0].messages[1].joined_text();
    assert!(judged.contains("zebras") && !judged.contains("first draft"), "{judged}");
}

/// What a client is told of the stages, in order.
async fn reported(cast: &Cast, plan: &Value) -> Vec<String> {
    let engine = cast.engine(plan, "");
    let mut run = engine.run(engine.route("").unwrap(), ask(), RequestId::fresh());
    let mut outcome = Vec::new();
    while let Some(event) = run.events.next().await {
        match event {
            Event::StageStarted { stage, name } => {
                outcome.push(format!("{} {name} starts", stage.as_str()))
            }
            Event::StageFinished(report) => {
                let detail = report.detail.unwrap_or_default();
                outcome.push(format!("{} {} {detail}", report.stage.as_str(), report.name));
            }
            _ => {}
        }
    }
    outcome
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_finished_is_reported_to_the_client() {
    let cast = cast().model("ranker", scores(5, by_words)).model("vague", says(5, "I like both"));
    let plan = json!({ "workers": ["a", "b"], "reranker": { "ref": "ranker", "top_k": 1 }, "synthesizer": "w" });
    let outcome = reported(&cast, &plan).await;
    assert_eq!(outcome[4..6], ["reranker ranker starts", "reranker ranker kept 1 of 2"]);
    // Why a judge failed, not whom the consensus chose instead.
    for (judge, details) in [("judge", &["a", "b"][..]), ("vague", &["unusable_answer"])] {
        let plan = json!({ "workers": ["a", "b"], "selector": judge, "synthesizer": "w" });
        let outcome = reported(&cast, &plan).await;
        let detail = outcome[5].rsplit(' ').next().unwrap();
        assert!(details.contains(&detail), "{outcome:?}");
    }
}
