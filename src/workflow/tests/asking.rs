//! What each stage is asked.

use super::*;

#[tokio::test(start_paused = true)]
async fn without_a_synthesizer_the_best_draft_is_the_answer_and_has_the_requests_form() {
    let cast = Cast::default()
        .model("a", says(10, "{\"n\": 1}"))
        .model("b", says(10, "{\"other\": \"thing\"}"))
        .model("judge", says(10, VERDICT));
    let plan = json!({ "workers": ["a", "b"], "selector": { "ref": "judge" } });
    let request = Request {
        prompt: Prompt {
            format: OutputFormat::Json,
            stop: vec!["END".to_owned()],
            ..Prompt::default()
        },
        ..ask()
    };
    let outcome = run(&cast.engine(&plan, ""), request).await;
    assert!(outcome.text.starts_with('{'));
    let call = &cast.asked("a")[0];
    assert_eq!((&call.prompt.format, call.prompt.stop.len()), (&OutputFormat::Json, 1));
}

#[tokio::test(start_paused = true)]
async fn workers_do_not_get_what_is_the_answering_stages() {
    let cast = Cast::default().model("a", says(10, "draft")).model("w", says(10, "fused"));
    let plan = json!({ "workers": [{ "ref": "a", "samples": 2, "system": "Be terse." }], "synthesizer": { "ref": "w" } });
    let mut request = Request {
        prompt: Prompt { max_tokens: Some(7), stop: vec!["END".to_owned()], ..Prompt::default() },
        ..ask()
    };
    request.prompt.sampling.seed = Some(40);
    run(&cast.engine(&plan, ""), request).await;
    let asked = cast.asked("a");
    let seeds: Vec<_> = asked.iter().map(|call| call.prompt.sampling.seed).collect();
    assert_eq!(seeds, [Some(40), Some(41)]);
    assert!(
        asked.iter().all(|call| call.prompt.max_tokens.is_none() && call.prompt.stop.is_empty())
    );
    assert_eq!(asked[0].messages[0].joined_text(), "Be terse.");
    let writer = &cast.asked("w")[0];
    assert_eq!((writer.prompt.max_tokens, writer.prompt.stop.len()), (Some(7), 1));
    assert_eq!(writer.messages.last().unwrap().joined_text(), "What is the answer?");
}

#[tokio::test(start_paused = true)]
async fn only_what_a_client_reads_as_it_is_written_is_sent_piece_by_piece() {
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
    let outcome = run(&engine, Request { model: "a".to_owned(), ..ask() }).await;
    assert_eq!(
        (outcome.text.as_str(), &outcome.trace()["mode"]),
        ("from a alone", &json!("direct"))
    );
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
    let outcome = run(&profiled, Request { model: "fast".to_owned(), ..ask() }).await;
    assert_eq!(
        (&outcome.trace()["name"], &outcome.trace()["mode"]),
        (&json!("fast"), &json!("workflow"))
    );
    let lenient = cast.engine(&plan, "[server]\nunknown_model = \"workflow\"");
    assert!(engine.route("gpt-9").is_none() && lenient.route("gpt-9").is_some());
    let outcome = run(&lenient, Request { model: "gpt-9".to_owned(), ..ask() }).await;
    assert_eq!(outcome.trace()["status"], json!("ok"), "nothing failed");
    let warning = json!({ "stage": "request", "name": "gpt-9", "code": "unknown_model" });
    assert_eq!(outcome.trace()["warnings"], json!([warning]));
}

fn with_tools() -> Request {
    let tool = ToolDefinition {
        name: "f".to_owned(),
        description: None,
        parameters: None,
        strict: None,
        unknown: Default::default(),
    };
    Request { prompt: Prompt { tools: [tool].into(), ..Prompt::default() }, ..ask() }
}

/// Without a synthesizer the workers' models get the tools, one after the other until one answers.
#[tokio::test(start_paused = true)]
async fn without_a_synthesizer_the_next_worker_gets_the_tools_when_one_fails() {
    let broken = LlmErrorKind::Upstream { status: 500 };
    let ends = |reason| move |_: &Call| vec![Cue::Think("hm"), Cue::EndAs(reason)];
    for (first, code) in [
        (
            Box::new(fails(10, broken)) as Box<dyn Fn(&Call) -> Vec<Cue> + Send + Sync>,
            "upstream_error",
        ),
        (Box::new(fails(10, LlmErrorKind::ContextLength)), "context_length_exceeded"),
        (Box::new(fails(10, LlmErrorKind::UnsupportedInput)), ""),
        (Box::new(ends(FinishReason::Stop)), "empty_answer"),
        (Box::new(ends(FinishReason::ContentFilter)), "content_filter"),
    ] {
        let cast = Cast::default()
            .model("a", first)
            .model("spare", fails(10, broken))
            .model("b", |_| vec![Cue::Wait(10), Cue::Tool, Cue::EndAs(FinishReason::ToolCalls)])
            .model("judge", says(10, VERDICT));
        let plan = json!({ "workers": [{ "ref": "a", "fallback": ["spare"] }, { "workers": ["b"] }, "a"],
            "selector": { "ref": "judge" } });
        let engine = cast.engine(&plan, "");
        let outcome = run(&engine, with_tools()).await;
        let trace = outcome.trace();
        let finished =
            outcome.ending.as_ref().unwrap_or_else(|failed| panic!("{code}: {failed:?}"));
        assert_eq!(finished.reason, FinishReason::ToolCalls);
        assert_eq!(["a", "spare", "b", "judge"].map(|name| cast.asked(name).len()), [1, 1, 1, 0]);
        let writer = &trace["synthesizer"];
        assert_eq!((&writer["model"], &writer["attempts"]), (&json!("b"), &json!(3)), "{trace}");
        assert_eq!((&writer["fallback"], &trace["status"]), (&json!(true), &json!("degraded")));
        let codes: Vec<&str> = trace["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|warning| warning["code"].as_str().unwrap())
            .collect();
        let want: Vec<&str> =
            [code, "upstream_error"].into_iter().filter(|code| !code.is_empty()).collect();
        assert_eq!(codes, want, "{trace}");
        // What came to nothing was paid for all the same, and what a client reads is the answer's.
        let paid = if matches!(code, "empty_answer" | "content_filter") { 30 } else { 15 };
        assert_eq!(trace["usage"]["total_tokens"], paid, "{trace}");
        assert_eq!(finished.usage.total_tokens(), 15);
        assert!(trace["note"].as_str().unwrap().contains("b answered alone"), "{trace}");
        let counted = engine.config().workflow.plan.worst_case_calls(&engine.config().models);
        assert!(["a", "spare", "b"].iter().all(|name| counted[*name] >= 1), "{counted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_synthesizer_tools_fail_only_when_every_workers_model_has() {
    use LlmErrorKind::{ContextLength, Rejected, Timeout, UnsupportedInput};
    let broken = LlmErrorKind::Upstream { status: 500 };
    let rejected = Rejected { status: 400 };
    for (kinds, want) in [
        ([broken, Timeout], "no worker succeeded: a: scripted failure; b: "),
        ([ContextLength, ContextLength], "the conversation is too long for every worker: a, b: "),
        ([UnsupportedInput, ContextLength], "the conversation is too long for every worker: "),
        ([UnsupportedInput, UnsupportedInput], "no worker can take this input: a, b: "),
        ([rejected, rejected], "no worker takes this request: a, b: "),
        ([Timeout, Timeout], "every worker timed out: a, b: "),
    ] {
        let cast = Cast::default().model("a", fails(10, kinds[0])).model("b", fails(10, kinds[1]));
        let plan = json!({ "workers": ["a", "b"], "selector": "a" });
        let outcome = run(&cast.engine(&plan, ""), with_tools()).await;
        let failed = outcome.ending.unwrap_err();
        let said = failed.error.to_string();
        assert!(said.starts_with(want) || kinds[0] != kinds[1], "{kinds:?}: {said}");
        assert!(said.contains("scripted failure"), "{said}");
    }
    // After its first word nobody else speaks, nor after the deadline.
    let cast = Cast::default()
        .model("a", |_| vec![Cue::Say("half"), Cue::Fail(LlmErrorKind::Truncated)])
        .model("b", says(10, "whole"));
    let plan = json!({ "workers": ["a", "b"], "selector": "b" });
    let outcome = run(&cast.engine(&plan, ""), with_tools()).await;
    assert_eq!(
        (outcome.text.as_str(), outcome.ending.is_err(), cast.asked("b").len()),
        ("half", true, 0)
    );
    let cast = Cast::default().model("a", says(5_000, "late")).model("b", says(10, "in time"));
    let plan = json!({ "workers": ["a", "b"], "selector": "b", "policy": { "deadline_secs": 1 } });
    let outcome = run(&cast.engine(&plan, ""), with_tools()).await;
    assert_eq!(
        (outcome.ending.is_err(), cast.asked("b").len(), outcome.total),
        (true, 0, ms(1_000))
    );
}
