//! The judge and the books.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_judge_talking_nonsense_is_asked_once_more_and_then_the_consensus_stands_in() {
    let cast = Cast::default()
        .model("a", says(5, "The answer is forty-two."))
        .model("b", says(5, "The answer is: forty-two!"))
        .model("c", says(5, "Bananas are yellow, mostly."))
        .model("judge", says(5, "I like them all"))
        .model("w", says(5, "fused"));
    let plan = json!({ "workers": ["c", "a", "b"], "selector": { "ref": "judge" }, "synthesizer": { "ref": "w" } });
    let told = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!(cast.asked("judge").len(), 2);
    assert!(matches!(cast.asked("judge")[0].format, OutputFormat::Schema { .. }));
    let trace = told.trace();
    assert_eq!(
        (&trace["selector"]["fallback"], &trace["status"]),
        (&json!(true), &json!("degraded"))
    );
    assert_eq!(trace["selector"]["selected_worker"], "a");
    assert_eq!(trace["warnings"][0]["code"], "unusable_answer");
    let prompt = cast.asked("w")[0].messages[0].joined_text();
    assert!(prompt.find("forty-two").unwrap() < prompt.find("Bananas").unwrap(), "best first");
}

#[tokio::test(start_paused = true)]
async fn usage_is_the_sum_of_all_calls_or_the_answers_alone() {
    let cast = Cast::default()
        .model("a", says(10, "draft"))
        .model("b", says(10, "entirely different words"))
        .model("judge", says(10, VERDICT))
        .model("w", says(10, "fused"));
    let plan = json!({ "workers": ["a", "b"], "selector": { "ref": "judge" }, "synthesizer": { "ref": "w" } });
    for (more, want) in [("", 60), ("[server]\nusage = \"answer\"", 15)] {
        let told = run(&cast.engine(&plan, more), ask()).await;
        assert_eq!(told.trace()["usage"]["total_tokens"], 60);
        assert_eq!(told.ending.unwrap().usage.total_tokens(), want);
    }
}
