//! Nested workflows and copies.

use super::*;

#[tokio::test(start_paused = true)]
async fn depth_three_makes_four_candidates_of_each_leaf() {
    let cast = Cast::default()
        .model("a", says(10, "one draft"))
        .model("b", says(10, "another thing entirely"))
        .model("judge", says(10, VERDICT))
        .model("w", says(10, "fused"));
    let plan = json!({ "workers": ["a", "b"], "selector": { "ref": "judge" }, "synthesizer": { "ref": "w" } });
    let outcome = run(&cast.engine(&plan, "nested_worker_depth = 3"), ask()).await;
    assert_eq!((cast.asked("a").len(), cast.asked("b").len()), (4, 4));
    assert_about(outcome.first_token.unwrap(), ms(30));
    let trace = outcome.trace();
    assert_eq!(trace["selector"]["order"].as_array().unwrap().len(), 8);
    let text = trace["workers"][0].to_string();
    for name in ["a#1", "a#2", "a#3", "a#4"] {
        assert!(text.contains(&format!("\"{name}\"")), "{name} in {text}");
    }
    let prompt = shown(&cast.asked("w")[0]);
    assert_eq!(prompt.matches("<draft-").count(), 8);
}

#[tokio::test(start_paused = true)]
async fn nested_workflows_give_their_best_or_all_and_the_trace_nests() {
    let cast = Cast::default()
        .model("a", says(10, "draft of a"))
        .model("b", says(10, "something else by b"))
        .model("judge", says(10, VERDICT))
        .model("inner", says(10, "fused inside"))
        .model("w", says(10, "fused"));
    let workers = json!(["a", "b"]);
    for (panel, drafts) in [
        (
            json!({ "name": "panel", "workers": workers, "selector": { "ref": "judge" }, "synthesizer": { "ref": "inner" } }),
            vec!["fused inside"],
        ),
        (json!({ "name": "panel", "workers": workers }), vec!["draft of a", "something else by b"]),
    ] {
        let plan = json!({ "workers": [panel], "synthesizer": { "ref": "w" } });
        let outcome = run(&cast.engine(&plan, ""), ask()).await;
        assert_eq!(outcome.text, "fused");
        let asked = cast.asked("w");
        let prompt = shown(asked.last().unwrap());
        for draft in &drafts {
            assert!(prompt.contains(draft), "{draft}");
        }
        assert_eq!(prompt.matches("<draft-").count(), drafts.len());
        let trace = outcome.trace();
        assert_eq!(trace["workers"][0]["nested"]["workers"][1]["name"], "b");
    }
}
