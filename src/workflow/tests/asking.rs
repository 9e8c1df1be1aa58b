//! What each stage is asked.

use super::*;

#[tokio::test(start_paused = true)]
async fn without_a_synthesizer_the_best_draft_is_the_answer_and_has_the_requests_form() {
    let cast = Cast::default()
        .model("a", says(10, "{\"n\": 1}"))
        .model("b", says(10, "{\"other\": \"thing\"}"))
        .model("judge", says(10, VERDICT));
    let plan = json!({ "workers": ["a", "b"], "selector": { "ref": "judge" } });
    let request = Request { format: OutputFormat::Json, stop: vec!["END".to_owned()], ..ask() };
    let told = run(&cast.engine(&plan, ""), request).await;
    assert!(told.text.starts_with('{'));
    let call = &cast.asked("a")[0];
    assert_eq!((&call.format, call.stop.len()), (&OutputFormat::Json, 1));
}

#[tokio::test(start_paused = true)]
async fn workers_do_not_get_what_is_the_answering_stages() {
    let cast = Cast::default().model("a", says(10, "draft")).model("w", says(10, "fused"));
    let plan = json!({ "workers": [{ "ref": "a", "samples": 2, "system": "Be terse." }], "synthesizer": { "ref": "w" } });
    let mut request = Request { max_tokens: Some(7), stop: vec!["END".to_owned()], ..ask() };
    request.sampling.seed = Some(40);
    run(&cast.engine(&plan, ""), request).await;
    let asked = cast.asked("a");
    let seeds: Vec<_> = asked.iter().map(|call| call.sampling.seed).collect();
    assert_eq!(seeds, [Some(40), Some(41)]);
    assert!(asked.iter().all(|call| call.max_tokens.is_none() && call.stop.is_empty()));
    assert_eq!(asked[0].messages[0].joined_text(), "Be terse.");
    let writer = &cast.asked("w")[0];
    assert_eq!((writer.max_tokens, writer.stop.len()), (Some(7), 1));
    assert_eq!(writer.messages.last().unwrap().joined_text(), "What is the answer?");
}

#[tokio::test(start_paused = true)]
async fn only_what_a_client_reads_as_it_is_written_is_told_piece_by_piece() {
    let cast = Cast::default().model("a", says(10, "draft")).model("w", says(10, "fused"));
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w" } });
    for (stream, model) in [(true, ""), (false, ""), (true, "w"), (false, "w")] {
        let request = Request { stream, model: model.to_owned(), ..ask() };
        run(&cast.engine(&plan, ""), request).await;
        assert_eq!(cast.asked("w").last().unwrap().folded, !stream, "{model}");
    }
    assert!(cast.asked("a").iter().all(|call| call.folded && call.stream));
}

#[tokio::test(start_paused = true)]
async fn model_names_route_as_the_design_says() {
    let cast = Cast::default().model("a", says(10, "from a alone"));
    let plan = json!({ "workers": ["a"], "selector": { "ref": "a" } });
    let engine = cast.engine(&plan, "");
    for (name, direct) in
        [("", false), ("chorus", false), ("chorus:latest", false), ("a", true), ("a:latest", true)]
    {
        let route = engine.route(name).unwrap();
        assert_eq!(matches!(route, Route::Direct(_)), direct, "{name}");
    }
    let told = run(&engine, Request { model: "a".to_owned(), ..ask() }).await;
    assert_eq!((told.text.as_str(), &told.trace()["mode"]), ("from a alone", &json!("direct")));
    let profile = "[[workflow-profile]]\nname = \"fast\"\nmax_concurrency = 3\n\
         json = '{\"workers\":[\"a\"],\"selector\":\"a\"}'";
    let profiled = cast.engine(&plan, profile);
    for (name, want) in [
        ("fast", Some("fast")),
        ("fast:latest", Some("fast")),
        ("chorus", Some("chorus")),
        ("", Some("chorus")),
        ("faster", None),
    ] {
        let found = profiled.route(name).map(|route| match route {
            Route::Workflow(workflow) => (workflow.plan.name.clone(), workflow.max_concurrency),
            Route::Direct(model) | Route::Task(model, _) => (model.config().name.clone(), None),
        });
        let limit = (want == Some("fast")).then_some(3);
        assert_eq!(found, want.map(|want| (want.to_owned(), limit)), "{name}");
    }
    let told = run(&profiled, Request { model: "fast".to_owned(), ..ask() }).await;
    assert_eq!(
        (&told.trace()["name"], &told.trace()["mode"]),
        (&json!("fast"), &json!("workflow"))
    );
    let lenient = cast.engine(&plan, "[server]\nunknown_model = \"workflow\"");
    assert!(engine.route("gpt-9").is_none() && lenient.route("gpt-9").is_some());
    let told = run(&lenient, Request { model: "gpt-9".to_owned(), ..ask() }).await;
    assert_eq!(told.trace()["status"], json!("ok"), "nothing failed");
    let warning = json!({ "stage": "request", "name": "gpt-9", "code": "unknown_model" });
    assert_eq!(told.trace()["warnings"], json!([warning]));
}
