//! A second call for the first that is late: who is heard, who is dropped, what the trace says.

use super::*;

const ELSEWHERE: &str = "[[model.endpoint]]\napi_base = \"http://127.0.0.2:9/v1\"\n";

/// An engine whose models have these further keys; without any, a model does not hedge.
fn engine(cast: &Cast, plan: &Value, keys: &[(&str, &str)]) -> Arc<Engine> {
    let mut text = format!("[workflow-integration]\njson = '''{plan}'''\n");
    for name in cast.scripts.keys() {
        let own = keys.iter().find(|(known, _)| known == name).map_or("", |(_, keys)| *keys);
        text.push_str(&format!(
            "[[model]]\nname = \"{name}\"\napi_base = \"http://127.0.0.1:9/v1\"\n\
             price = {{ input_per_mtok = 1, output_per_mtok = 1 }}\n{own}\n"
        ));
    }
    let config = Arc::new(Config::parse(&text, None, &|_| None).unwrap());
    let llm = Llm::scripted(&config, &cast.scripts).unwrap();
    Arc::new(Engine { config, llm, memory: crate::types::Memory::new(None) })
}

fn hedged(more: &str) -> String {
    format!("hedge_after_ms = 100\n{more}")
}

/// Slow on its first endpoint, quick elsewhere.
fn slow_here(text: &'static str) -> impl Fn(&Call) -> Vec<Cue> + Send + Sync + 'static {
    move |call| {
        let wait = if call.avoid.is_some() { 50 } else { 10_000 };
        vec![Cue::Wait(wait), Cue::Say(text), Cue::End]
    }
}

fn outcomes(record: &Value) -> Vec<&str> {
    let calls = record["calls"].as_array().unwrap();
    calls.iter().map(|call| call["outcome"].as_str().unwrap()).collect()
}

fn judged() -> Cast {
    Cast::default().model("a", says(10, "It is forty-two.")).model("b", says(10, "Perhaps seven?"))
}

#[tokio::test(start_paused = true)]
async fn a_late_writer_is_asked_again_elsewhere_or_its_fallback_is() {
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": ["v", "u"] } });
    let spare = || judged().model("v", says(50, "by v")).model("u", says(50, "by u"));
    for (cast, keys, text, model, endpoint) in [
        (spare().model("w", says(10_000, "by w")), hedged(""), "by v", "v", None),
        (spare().model("w", slow_here("by w")), hedged(ELSEWHERE), "by w", "w", Some(0)),
    ] {
        let keys = [("w", keys.as_str()), ("v", "temperature = 0.25")];
        let outcome = run(&engine(&cast, &plan, &keys), ask()).await;
        assert_eq!(outcome.text, text);
        assert_about(outcome.first_token.unwrap(), ms(10 + 100 + 50));
        let (trace, record) = (outcome.trace(), &outcome.trace()["synthesizer"]);
        assert_eq!((&trace["status"], trace.get("warnings")), (&json!("ok"), None), "{trace}");
        assert_eq!((&record["model"], &record["hedged"]), (&json!(model), &json!(true)));
        assert_eq!((&record["status"], &record["fallback"]), (&json!("ok"), &json!(false)));
        assert_eq!((outcomes(record), &record["attempts"]), (vec!["cancelled", "ok"], &json!(2)));
        assert_eq!(record["calls"][0]["endpoint"], "127.0.0.1:9");
        assert_eq!(record["calls"][0]["ms"], 150);
        let second = cast.asked(model).pop().unwrap();
        assert_eq!(second.avoid, endpoint);
        let temperature = if model == "v" { (0.25, "model") } else { (0.7, "default") };
        assert_eq!(second.prompt.sampling.temperature, Some(temperature.0));
        assert_eq!(record["temperature_source"], temperature.1);
        assert_eq!((cast.asked("w").len() + cast.asked("v").len(), cast.asked("u").len()), (2, 0));
        // The winner used 10 + 5 tokens; the loser's prompt is an estimate.
        let lost = size(&cast.asked("w")[0]) / 4;
        let spent = record["usage"]["prompt_tokens"].as_u64().unwrap() as usize;
        assert!((lost + 10..lost + 20).contains(&spent), "{lost} {spent}");
        assert_eq!(record["usage"]["completion_tokens"], 5);
        assert_eq!(record["usage"]["estimated"], true);
        assert!(record["usage"]["cost_usd"].is_number());
        assert_eq!(trace["usage"]["prompt_tokens"], spent + 10, "with the worker's");
    }
}

#[tokio::test(start_paused = true)]
async fn the_loser_is_hung_up_on_when_the_winner_speaks() {
    let slowly = |_: &Call| vec![Cue::Wait(50), Cue::Say("x"), Cue::Wait(5_000), Cue::End];
    let cast = judged().model("w", says(10_000, "late")).model("v", slowly);
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": ["v"] } });
    let engine = engine(&cast, &plan, &[("w", &hedged(""))]);
    let mut run = engine.run(engine.route("").unwrap(), ask(), RequestId::fresh());
    while !matches!(run.events.next().await, Some(Event::Delta(Delta::Text(_)))) {}
    assert_eq!(cast.open.load(Ordering::SeqCst), 1);
    while run.events.next().await.is_some() {}
    assert_eq!((cast.open.load(Ordering::SeqCst), run.watch.summary().calls), (0, 3));
    // Leaving during the race drops both.
    let mut run = engine.run(engine.route("").unwrap(), ask(), RequestId::fresh());
    let leaving = async { while run.events.next().await.is_some() {} };
    assert!(tokio::time::timeout(ms(130), leaving).await.is_err());
    assert_eq!(cast.open.load(Ordering::SeqCst), 2);
    drop(run.events);
    assert_eq!(cast.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_in_time_or_cannot_be_helped_is_alone() {
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": ["v"] } });
    let alone = json!({ "workers": ["a"], "synthesizer": { "ref": "w" } });
    let pauses =
        |_: &Call| vec![Cue::Wait(50), Cue::Say("by "), Cue::Wait(900), Cue::Say("w"), Cue::End];
    let thinks = |_: &Call| vec![Cue::Think("hm"), Cue::Wait(900), Cue::Say("by w"), Cue::End];
    for (cast, plan, keys) in [
        (judged().model("w", says(90, "by w")), &plan, hedged("")),
        (judged().model("w", pauses), &plan, hedged("")),
        (judged().model("w", thinks), &plan, hedged("")),
        (judged().model("w", says(900, "by w")), &plan, "hedge_after_ms = 0".to_owned()),
        (judged().model("w", says(900, "by w")), &plan, ELSEWHERE.to_owned()),
        (judged().model("w", says(900, "by w")), &alone, hedged("")),
    ] {
        let cast = cast.model("v", says(10, "by v"));
        let outcome = run(&engine(&cast, plan, &[("w", &keys)]), ask()).await;
        let record = &outcome.trace()["synthesizer"];
        assert_eq!((outcome.text.as_str(), record.get("hedged")), ("by w", None), "{keys}");
        assert_eq!((cast.asked("w").len(), cast.asked("v").len()), (1, 0), "{keys}");
    }
}

#[tokio::test(start_paused = true)]
async fn workers_are_never_hedged() {
    let cast = Cast::default().model("a", slow_here("a draft"));
    let plan = json!({ "workers": [{ "ref": "a", "fallback": ["a"] }], "selector": "a" });
    let outcome = run(&engine(&cast, &plan, &[("a", &hedged(ELSEWHERE))]), ask()).await;
    assert_about(outcome.total, ms(10_000));
    assert_eq!(cast.asked("a").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_that_fails_early_is_followed_in_the_configured_order() {
    let cast = judged().model("w", fails(90, LlmErrorKind::Connect)).model("v", says(50, "by v"));
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": ["v"] } });
    let outcome = run(&engine(&cast, &plan, &[("w", &hedged(ELSEWHERE))]), ask()).await;
    let (trace, record) = (outcome.trace(), &outcome.trace()["synthesizer"]);
    assert_eq!((outcome.text.as_str(), &trace["status"]), ("by v", &json!("degraded")));
    assert_eq!((&record["fallback"], record.get("hedged")), (&json!(true), None));
    assert_about(outcome.first_token.unwrap(), ms(10 + 90 + 50));
}

/// What one of two does while the other one is silent.
#[tokio::test(start_paused = true)]
async fn when_one_of_two_fails_the_other_is_waited_for() {
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": ["v", "u"] } });
    let dead = |wait| fails(wait, LlmErrorKind::Connect);
    let elsewhere = |here: u64, there: u64, dead: bool| {
        move |call: &Call| match (call.avoid.is_some(), dead) {
            (false, true) => vec![Cue::Wait(here), Cue::Fail(LlmErrorKind::Connect)],
            (true, false) => vec![Cue::Wait(there), Cue::Fail(LlmErrorKind::Connect)],
            (second, _) => {
                vec![Cue::Wait(if second { there } else { here }), Cue::Say("by w"), Cue::End]
            }
        }
    };
    type Row = (Cast, String, &'static str, u64, &'static str, [&'static str; 2], bool);
    let rows: [Row; 4] = [
        // The hedge fails, the first speaks after all: nothing was lost.
        (
            judged().model("w", says(300, "by w")).model("v", dead(20)),
            hedged(""),
            "by w",
            300,
            "ok",
            ["connect_error", "ok"],
            false,
        ),
        (
            judged().model("w", elsewhere(300, 20, false)).model("v", dead(20)),
            hedged(ELSEWHERE),
            "by w",
            300,
            "ok",
            ["connect_error", "ok"],
            false,
        ),
        // The first fails while its fallback is silent: as without a hedge, only sooner.
        (
            judged().model("w", dead(150)).model("v", says(200, "by v")),
            hedged(""),
            "by v",
            300,
            "degraded",
            ["connect_error", "ok"],
            true,
        ),
        // Or while the model itself is asked elsewhere: as after a retry.
        (
            judged().model("w", elsewhere(150, 200, true)).model("v", dead(20)),
            hedged(ELSEWHERE),
            "by w",
            300,
            "ok",
            ["connect_error", "ok"],
            false,
        ),
    ];
    for (row, (cast, keys, text, first, status, calls, fallback)) in rows.into_iter().enumerate() {
        let cast = cast.model("u", says(10, "by u"));
        let outcome = run(&engine(&cast, &plan, &[("w", &keys)]), ask()).await;
        let (trace, record) = (outcome.trace(), &outcome.trace()["synthesizer"]);
        assert_eq!(
            (outcome.text.as_str(), &trace["status"]),
            (text, &json!(status)),
            "{row}: {trace}"
        );
        assert_about(outcome.first_token.unwrap(), ms(10 + first));
        assert_eq!((outcomes(record), &record["hedged"]), (calls.to_vec(), &json!(true)), "{row}");
        assert_eq!(record["fallback"], fallback, "{row}");
        assert_eq!(record["usage"].get("estimated"), None, "{row}: nobody was outrun");
        assert!(cast.asked("u").is_empty(), "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_both_fail_the_rest_is_asked_and_the_firsts_error_is_reported() {
    let limited = LlmErrorKind::RateLimited { retry_after: None };
    let cast =
        || judged().model("w", fails(200, LlmErrorKind::Quota)).model("v", fails(150, limited));
    let keys = [("w", hedged(""))].map(|(name, keys)| (name, keys.leak() as &str));
    let plan = |fallback: &[&str]| json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": fallback } });
    let more = cast().model("u", says(10, "by u"));
    let outcome = run(&engine(&more, &plan(&["v", "u"]), &keys), ask()).await;
    let (trace, record) = (outcome.trace(), &outcome.trace()["synthesizer"]);
    assert_eq!((outcome.text.as_str(), &trace["status"]), ("by u", &json!("degraded")));
    assert!(record["fallback_reason"].as_str().unwrap().contains("'w'"), "{record}");
    assert_eq!(outcomes(record), ["quota_exceeded", "rate_limited", "ok"]);
    assert_eq!(more.asked("v").len(), 1, "a fallback used as a hedge is not asked again");
    assert_eq!(trace["warnings"].as_array().unwrap().len(), 2);
    // With nobody left the draft stands in, and the record is the first's.
    let outcome = run(&engine(&cast(), &plan(&["v"]), &keys), ask()).await;
    let record = &outcome.trace()["synthesizer"];
    assert_eq!(outcome.text, "It is forty-two.");
    let code = &record["error"]["code"];
    assert_eq!((&record["model"], code), (&json!("w"), &json!("quota_exceeded")), "{record}");
    // A direct call has the model's other endpoints, and no fallback.
    let keys = [("w", hedged(ELSEWHERE))].map(|(name, keys)| (name, keys.leak() as &str));
    let both = cast();
    let request = Request { model: "w".to_owned(), ..ask() };
    let outcome = run(&engine(&both, &plan(&["v"]), &keys), request).await;
    let record = &outcome.trace()["synthesizer"];
    assert_eq!(
        (&record["error"]["code"], &record["hedged"]),
        (&json!("quota_exceeded"), &json!(true))
    );
    assert_eq!((both.asked("w").len(), both.asked("v").len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_direct_call_is_hedged_by_its_own_endpoints() {
    let cast = Cast::default().model("w", slow_here("hello"));
    let plan = json!({ "workers": ["w"], "selector": "w" });
    let engine = engine(&cast, &plan, &[("w", &hedged(ELSEWHERE))]);
    let outcome = run(&engine, Request { model: "w".to_owned(), ..ask() }).await;
    assert_eq!(outcome.text, "hello");
    assert_about(outcome.first_token.unwrap(), ms(150));
    let (trace, record) = (outcome.trace(), &outcome.trace()["synthesizer"]);
    assert_eq!((&trace["status"], outcomes(record)), (&json!("ok"), vec!["cancelled", "ok"]));
    assert_eq!((&record["hedged"], &trace["usage"]["estimated"]), (&json!(true), &json!(true)));
    assert_eq!(outcome.ending.unwrap().usage.completion_tokens, 5);
}

#[tokio::test(start_paused = true)]
async fn an_analyzer_and_a_judge_are_hedged_too() {
    let cast = judged()
        .model("reader", slow_here(ADVICE))
        .model("judge", says(10_000, VERDICT))
        .model("spare", says(50, VERDICT))
        .model("w", says(10, "fused"));
    let plan = json!({ "analyzer": "reader", "policy": { "schedule": "sequential" },
        "workers": ["a", "b"], "selector": { "ref": "judge", "fallback": ["spare"] },
        "synthesizer": "w" });
    let keys = [("reader", &*hedged(ELSEWHERE).leak()), ("judge", &*hedged("").leak())];
    let outcome = run(&engine(&cast, &plan, &keys), ask()).await;
    assert_about(outcome.first_token.unwrap(), ms(150 + 10 + 150 + 10));
    let trace = outcome.trace();
    assert_eq!((&trace["status"], trace.get("warnings")), (&json!("ok"), None), "{trace}");
    for (stage, model) in [("analyzer", "reader"), ("selector", "spare")] {
        let record = &trace[stage];
        assert_eq!((&record["model"], outcomes(record)), (&json!(model), vec!["cancelled", "ok"]));
        assert_eq!(
            (&record["hedged"], &record["usage"]["estimated"]),
            (&json!(true), &json!(true))
        );
        assert_eq!(record["status"], "ok");
    }
    assert_eq!(trace["analyzer"]["task_type"], "code");
    assert_eq!(trace["selector"]["fallback"], false);
}

#[tokio::test(start_paused = true)]
async fn a_judge_is_hedged_once_and_the_winner_repairs_its_own_verdict() {
    let unusable = |wait: u64| {
        move |call: &Call| {
            let again = call.messages.len() > 2;
            let text = if again { VERDICT } else { "I like both." };
            vec![Cue::Wait(wait), Cue::Say(text), Cue::End]
        }
    };
    let plan =
        json!({ "workers": ["a", "b"], "selector": { "ref": "judge", "fallback": ["spare"] } });
    let cast = judged().model("judge", unusable(10_000)).model("spare", unusable(50));
    let outcome = run(&engine(&cast, &plan, &[("judge", &hedged(""))]), ask()).await;
    assert_about(outcome.total, ms(10 + 150 + 50));
    assert_eq!((cast.asked("judge").len(), cast.asked("spare").len()), (1, 2));
    assert_eq!(outcome.trace()["selector"]["status"], "ok");
    // The first was late and then unusable: its repair is not hedged again, and has what is left of
    // its one limit.
    let cast = judged().model("judge", unusable(400)).model("spare", says(10_000, VERDICT));
    let keys = hedged(ELSEWHERE);
    let outcome = run(&engine(&cast, &plan, &[("judge", &keys)]), ask()).await;
    assert_about(outcome.total, ms(10 + 400 + 400));
    let limits: Vec<u64> = cast
        .asked("judge")
        .iter()
        .map(|call| match call.limit {
            crate::llm::Limit::Total(limit) => limit.as_millis() as u64,
            crate::llm::Limit::Gap(_) => 0,
        })
        .collect();
    assert_eq!(limits, [60_000, 59_900, 59_600], "the second call shares the first one's limit");
    assert!(cast.asked("spare").is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_usage_of_the_answering_call_leaves_the_loser_out() {
    let cast = judged().model("w", says(10_000, "late")).model("v", says(50, "by v"));
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": ["v"] } });
    let keys = format!("{}\n[server]\nusage = \"answer\"", hedged(""));
    let outcome = run(&engine(&cast, &plan, &[("w", &keys)]), ask()).await;
    let usage = outcome.ending.unwrap().usage;
    assert_eq!((usage.total_tokens(), usage.estimated), (15, false));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_permit_is_not_the_upstreams_silence() {
    let queued = |_: Call| -> CallStream {
        Box::pin(stream! {
            tokio::time::sleep(ms(500)).await;
            yield Ok(CallEvent::Started { queued: ms(500), endpoint: 0, temperature: Some(0.5) });
            tokio::time::sleep(ms(90)).await;
            yield Ok(CallEvent::Delta(Delta::Text("by w".to_owned())));
            yield Ok(CallEvent::Attempt(attempt("ok")));
            yield Ok(finished(FinishReason::Stop));
        })
    };
    let mut cast = judged().model("v", says(10, "by v"));
    cast.scripts.insert("w".to_owned(), Arc::new(queued));
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": ["v"] } });
    let outcome = run(&engine(&cast, &plan, &[("w", &hedged(""))]), ask()).await;
    let record = &outcome.trace()["synthesizer"];
    assert_eq!((outcome.text.as_str(), record.get("hedged")), ("by w", None));
    assert_eq!(record["queued_ms"], 500);
}
