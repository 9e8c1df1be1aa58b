//! Calls of a model with two endpoints: what is asked where, to the attempt.

use super::*;
use crate::{
    config::Endpoint,
    llm::endpoint::{
        balance::Want,
        breaker::{Phase, Report},
    },
};

/// A model at these upstreams, the first of them preferred.
fn over(upstreams: &[&Upstream]) -> Arc<Model> {
    let endpoints = upstreams.iter().zip(1..).map(|(upstream, priority)| Endpoint {
        priority,
        ..Endpoint::plain(&format!("{}/v1", upstream.base()))
    });
    let endpoints = endpoints.collect();
    llm_model(config::Model { endpoints, ..model(Protocol::OpenAi, "http://unused.example/v1") })
}

fn phase(model: &Model, number: usize) -> Phase {
    model.pool.members()[number].standing(tokio::time::Instant::now()).phase
}

fn failures(model: &Model, number: usize) -> u32 {
    model.pool.members()[number].standing(tokio::time::Instant::now()).consecutive
}

#[tokio::test]
async fn what_one_endpoint_refused_the_other_takes() {
    let blind = Reply::json(500, &json!({"error": {"message": "image input is not supported"}}));
    let toolless = Reply::json(400, &json!({"error": "m does not support tools"}));
    for (reply, asked) in [(blind, call_with_image()), (toolless, call_with_tools())] {
        let one = Upstream::start(vec![reply, answer("one")]).await;
        let two = Upstream::start(vec![answer("two"), answer("two")]).await;
        let model = over(&[&one, &two]);
        let got = outcome(model.call(asked.clone())).await;
        assert_eq!((got.text.as_str(), got.attempts), ("two", vec!["unsupported_input", "ok"]));
        let got = outcome(model.call(asked)).await;
        assert_eq!((got.text.as_str(), got.attempts), ("two", vec!["ok"]), "it is remembered");
        let got = outcome(model.call(call("q"))).await;
        assert_eq!((got.text.as_str(), got.attempts), ("one", vec!["ok"]), "for such calls only");
    }
}

#[tokio::test]
async fn a_repair_stays_and_each_endpoint_has_its_own() {
    let refusal = || {
        let message = "Unsupported parameter: 'temperature' is not supported with this model.";
        Reply::json(400, &json!({"error": {"message": message, "param": "temperature"}}))
    };
    let one = Upstream::start(vec![refusal(), Reply::json(500, &json!({"error": "x"}))]).await;
    let two = Upstream::start(vec![refusal(), answer("two")]).await;
    let model = over(&[&one, &two]);
    let mut asked = call("q");
    asked.prompt.sampling.temperature = Some(1.0);
    let got = outcome(model.call(asked)).await;
    assert_eq!(got.text, "two");
    let rejected = "upstream_rejected";
    assert_eq!(got.attempts, [rejected, "upstream_error", rejected, "ok"]);
    assert_eq!((failures(&model, 0), failures(&model, 1)), (1, 0));
}

#[tokio::test]
async fn after_the_first_delta_nobody_else_is_asked() {
    let one = Upstream::start(vec![Reply::sse(says("hi")).cut()]).await;
    let two = Upstream::start(vec![answer("two")]).await;
    let model = over(&[&one, &two]);
    let got = outcome(model.call(call("q"))).await;
    assert_eq!((got.text.as_str(), got.kind()), ("hi", LlmErrorKind::Truncated));
    assert_eq!(two.seen().len(), 0);
    assert_eq!(failures(&model, 0), 1, "a broken answer counts");
}

#[tokio::test]
async fn every_fault_of_an_endpoint_goes_to_the_other_and_counts_as_it_should() {
    let error = |status| Reply::json(status, &json!({"error": {"message": "no"}}));
    let missing = json!({"error": {"message": "model 'up' not found"}});
    let in_band = Reply::sse("data: {\"error\":{\"message\":\"overloaded\"}}\n\n".to_owned());
    for (reply, code, want, count) in [
        (error(500), "upstream_error", Phase::Closed, 1),
        (error(503), "upstream_error", Phase::Closed, 1),
        (error(501), "upstream_error", Phase::Closed, 1),
        (Reply::hang_up(), "connection_lost", Phase::Closed, 1),
        (Reply::body("text/html", "<html>"), "garbled_response", Phase::Closed, 1),
        (Reply::sse("data: {x\n\n".to_owned()), "garbled_response", Phase::Closed, 1),
        (Reply::sse(String::new()).cut(), "truncated", Phase::Closed, 1),
        (in_band, "upstream_stream_error", Phase::Closed, 1),
        (error(401), "upstream_unauthorized", Phase::Down, 0),
        (Reply::json(404, &missing), "upstream_not_found", Phase::Down, 0),
        (error(402), "quota_exceeded", Phase::Closed, 0),
        (error(429), "rate_limited", Phase::Closed, 0),
        (error(409), "upstream_error", Phase::Closed, 0),
    ] {
        let one = Upstream::start(vec![reply]).await;
        let two = Upstream::start(vec![answer("two")]).await;
        let model = over(&[&one, &two]);
        let got = outcome(model.call(call("q"))).await;
        assert_eq!((got.text.as_str(), got.attempts), ("two", vec![code, "ok"]));
        assert_eq!((phase(&model, 0), failures(&model, 0)), (want, count), "{code}");
    }
    for status in [400, 413, 422] {
        let one = Upstream::start(vec![error(status)]).await;
        let two = Upstream::start(vec![answer("two")]).await;
        let model = over(&[&one, &two]);
        let got = outcome(model.call(call("q"))).await;
        assert_eq!(got.attempts, ["upstream_rejected"], "the caller's own fault");
        assert_eq!((two.seen().len(), failures(&model, 0)), (0, 0), "{status}");
    }
}

#[tokio::test]
async fn a_path_that_only_some_requests_need_takes_nobody_down() {
    let missing = Reply::json(404, &json!({"error": "no such path"}));
    let one = Upstream::start(vec![missing]).await;
    let model = over(&[&one]);
    let got = outcome(model.call(call_of("q", Prompt { raw: true, ..Prompt::default() }))).await;
    assert_eq!((got.kind(), phase(&model, 0)), (LlmErrorKind::NotFound, Phase::Closed));
}

#[tokio::test]
async fn who_had_little_time_is_not_called_slow() {
    let slow = Reply::hang();
    let late = Reply::json(500, &json!({"error": "no"}));
    let short = Limit::Total(Duration::from_millis(400));
    // The first takes the time of the second.
    let one = Upstream::start(vec![late.late_end(Duration::from_millis(300))]).await;
    let two = Upstream::start(vec![slow.clone()]).await;
    let model = over(&[&one, &two]);
    let got = outcome(model.call(Call { limit: short, ..call("q") })).await;
    assert_eq!(got.attempts, ["upstream_error", "timeout"]);
    assert_eq!((failures(&model, 0), failures(&model, 1)), (1, 0));
    let one = Upstream::start(vec![slow]).await;
    let model = over(&[&one]);
    let got = outcome(model.call(Call { limit: short, ..call("q") })).await;
    assert_eq!((got.attempts, failures(&model, 0)), (vec!["timeout"], 1));
}

#[tokio::test]
async fn what_is_dropped_reports_nothing() {
    let one = Upstream::start(vec![Reply::hang()]).await;
    let model = over(&[&one]);
    let mut stream = model.call(call("q"));
    assert!(matches!(stream.next().await, Some(Ok(CallEvent::Started { endpoint: 0, .. }))));
    assert_eq!(model.pool.members()[0].in_flight(), 1);
    drop(stream);
    assert_eq!((model.pool.members()[0].in_flight(), failures(&model, 0)), (0, 0));
}

/// A long answer, or a client that reads slowly, must not keep everybody else out.
#[tokio::test]
async fn the_first_words_of_a_probe_put_an_endpoint_in_service_again() {
    let missing = Reply::json(404, &json!({"error": "no such model"}));
    let replies = vec![missing, Reply::sse(says("hi")).then_hang(), answer("one")];
    let one = Upstream::start(replies).await;
    let health = config::Health { open: Duration::from_millis(20), ..config::Health::default() };
    let config = config_of(model(Protocol::OpenAi, &format!("{}/v1", one.base())));
    let llm = Llm::new(&config::Config { health, ..config }).expect("clients");
    let model = llm.model("m").expect("it is configured");
    assert_eq!(outcome(model.call(call("q"))).await.kind(), LlmErrorKind::NotFound);
    tokio::time::sleep(health.open).await;
    let mut probe = model.call(call("q"));
    assert!(matches!(probe.next().await, Some(Ok(CallEvent::Started { .. }))));
    assert_eq!(phase(model, 0), Phase::HalfOpen);
    assert_eq!(outcome(model.call(call("q"))).await.kind(), LlmErrorKind::CircuitOpen);
    assert!(matches!(probe.next().await, Some(Ok(CallEvent::Delta(_)))));
    assert_eq!(outcome(model.call(call("q"))).await.text, "one");
    drop(probe);
    assert_eq!((phase(model, 0), model.pool.members()[0].in_flight()), (Phase::Closed, 0));
}

#[tokio::test]
async fn an_error_holds_no_permit() {
    let one = Upstream::start(vec![]).await;
    let plain = model(Protocol::OpenAi, &format!("{}/v1", one.base()));
    let model = llm_model(config::Model { max_concurrency: Some(1), ..plain });
    let missing = Report::Unusable { code: "upstream_not_found" };
    let want = Want { affinity: None, passed: &[], or_resting: true, takes: &|_: &_| true };
    let now = tokio::time::Instant::now();
    model.pool.choose(&want, now).expect("it is in service").report(missing, None);
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = model.call(call("q"));
        let first = tokio::time::timeout(Duration::from_secs(5), stream.next()).await;
        let error = first.expect("nobody holds the permit").unwrap().unwrap_err();
        assert_eq!(error.kind, LlmErrorKind::CircuitOpen);
        kept.push(stream);
    }
}

#[tokio::test]
async fn the_one_to_avoid_is_not_asked() {
    let one = Upstream::start(vec![answer("one")]).await;
    let two = Upstream::start(vec![answer("two")]).await;
    let model = over(&[&one, &two]);
    let got = outcome(model.call(Call { avoid: Some(0), ..call("q") })).await;
    assert_eq!(got.text, "two");
    let got = outcome(over(&[&one]).call(Call { avoid: Some(0), ..call("q") })).await;
    assert_eq!((got.kind(), got.attempts.len()), (LlmErrorKind::Setup, 0));
}
