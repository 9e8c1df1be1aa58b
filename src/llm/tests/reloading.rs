//! What one config hands on to the next.

use super::*;
use crate::{
    config::{CaCert, Endpoint, Health},
    llm::{
        endpoint::{
            balance::Want,
            breaker::{Phase, Report},
        },
        protocol::state::{Writer, Written},
    },
    types::ApiKey,
};

fn phase(llm: &Llm, number: usize) -> Phase {
    llm.model("m").unwrap().pool.members()[number].standing(tokio::time::Instant::now()).phase
}

async fn asked(llm: &Llm, call: Call) -> Outcome {
    outcome(llm.model("m").unwrap().call(call)).await
}

fn plain(upstream: &Upstream) -> config::Model {
    model(Protocol::OpenAi, &format!("{}/v1", upstream.base()))
}

#[tokio::test]
async fn connections_outlive_any_number_of_reloads() {
    let upstream = Upstream::start(vec![answer("hi"); 20]).await;
    let mut llm = Llm::new(&config_of(plain(&upstream))).unwrap();
    for weight in 1..=20 {
        assert_eq!(asked(&llm, call("q")).await.text, "hi");
        let mut changed = plain(&upstream);
        changed.temperature = Some(0.1);
        changed.endpoints.iter_mut().for_each(|endpoint| endpoint.weight = weight);
        llm = llm.successor(&config_of(changed)).unwrap();
    }
    assert_eq!((upstream.connections(), upstream.seen().len()), (1, 20));
}

#[tokio::test]
async fn whoever_is_out_stays_out_unless_it_is_another_upstream() {
    let missing = Reply::json(401, &json!({"error": "no such key"}));
    let upstream = Upstream::start(vec![missing]).await;
    let before = Llm::new(&config_of(plain(&upstream))).unwrap();
    assert_eq!(asked(&before, call("q")).await.kind(), LlmErrorKind::Unauthorized);
    type Change = fn(&mut config::Model);
    let other_key: Change = |model| model.endpoints[0].api_key = ApiKey::new("another");
    let header: Change = |model| drop(model.headers.insert("x-org", "o".parse().unwrap()));
    let heavier: Change = |model| model.endpoints[0].weight = 7;
    let second: Change = |model| {
        // In front, so that the number of the old one changes.
        model.endpoints.insert(0, Endpoint::plain("http://127.0.0.1:1/v1"));
    };
    for (change, number, want) in [
        ((|_| {}) as Change, 0, Phase::Down),
        (heavier, 0, Phase::Down),
        (second, 1, Phase::Down),
        (second, 0, Phase::Closed),
        (other_key, 0, Phase::Closed),
        (header, 0, Phase::Closed),
        (|model| model.upstream_model = "other".to_owned(), 0, Phase::Closed),
        (|model| model.protocol = Protocol::Ollama, 0, Phase::Closed),
    ] {
        let mut next = plain(&upstream);
        change(&mut next);
        let next = before.successor(&config_of(next)).unwrap();
        assert_eq!(phase(&next, number), want);
    }
    assert_eq!(phase(&before, 0), Phase::Down);
}

#[tokio::test]
async fn the_same_address_twice_is_known_twice() {
    let missing = Reply::json(404, &json!({"error": "no such model"}));
    let upstream = Upstream::start(vec![missing, answer("two")]).await;
    let mut twice = plain(&upstream);
    twice.endpoints.push(twice.endpoints[0].clone());
    let config = config_of(twice);
    let before = Llm::new(&config).unwrap();
    assert_eq!(asked(&before, call("q")).await.text, "two");
    let next = before.successor(&config).unwrap();
    let phases = |llm| [phase(llm, 0), phase(llm, 1)];
    assert_eq!(phases(&next), phases(&before));
    assert!(phases(&next).contains(&Phase::Down) && phases(&next).contains(&Phase::Closed));
}

#[tokio::test]
async fn new_rules_hold_for_what_is_known() {
    let failure = || Reply::json(500, &json!({"error": "broken"}));
    let upstream = Upstream::start(vec![failure(); 3]).await;
    let config = |failure_threshold| config::Config {
        health: Health { failure_threshold, ..Health::default() },
        retry: Retry { max_retries: 0, ..Retry::default() },
        ..config_of(plain(&upstream))
    };
    let before = Llm::new(&config(5)).unwrap();
    // One prompt that fails several times would count once.
    for prompt in ["one", "two"] {
        asked(&before, call(prompt)).await;
    }
    assert_eq!(phase(&before, 0), Phase::Closed);
    let next = before.successor(&config(3)).unwrap();
    assert_eq!(phase(&next, 0), Phase::Closed);
    asked(&next, call("three")).await;
    assert_eq!((phase(&next, 0), phase(&before, 0)), (Phase::Open, Phase::Open), "the third");
}

#[tokio::test]
async fn permits_are_one_set_while_the_limit_is_the_same() {
    let upstream = Upstream::start(vec![Reply::sse(says("hi")).then_hang(), answer("new")]).await;
    let limited = |most| config_of(config::Model { max_concurrency: most, ..plain(&upstream) });
    let before = Llm::new(&limited(Some(1))).unwrap();
    let mut old = before.model("m").unwrap().call(call("q"));
    while !matches!(old.next().await, Some(Ok(CallEvent::Delta(_)))) {}
    let next = before.successor(&limited(Some(1))).unwrap();
    assert_eq!(next.model("m").unwrap().pool.members()[0].in_flight(), 1, "the old call counts");
    let mut waiting = next.model("m").unwrap().call(call("q"));
    let early = tokio::time::timeout(Duration::from_millis(50), waiting.next()).await;
    assert!(early.is_err(), "the old call has the permit");
    for most in [Some(2), None] {
        let other = before.successor(&limited(most)).unwrap();
        let permits = other.model("m").unwrap().permits.as_ref().map(|it| it.available_permits());
        assert_eq!(permits, most, "another limit begins anew");
    }
    drop(old);
    assert_eq!(outcome(waiting).await.text, "new");
}

#[tokio::test]
async fn refusals_and_what_was_left_on_turns_are_remembered() {
    let refusal = Reply::json(
        400,
        &json!({"error": {"message": "Unsupported parameter: 'temperature' is not supported with \
                this model.", "param": "temperature"}}),
    );
    let upstream = Upstream::start(vec![refusal, answer("a"), answer("b"), answer("c")]).await;
    let before = Llm::new(&config_of(plain(&upstream))).unwrap();
    let mut warm = call("q");
    warm.prompt.sampling.temperature = Some(1.0);
    assert_eq!(asked(&before, warm.clone()).await.attempts, ["upstream_rejected", "ok"]);
    let (old, other) = (before.model("m").unwrap(), Writer::fresh());
    let left = Written { writer: other, state: Arc::default() };
    old.states.remember([7], &left);
    let same = before.successor(&config_of(plain(&upstream))).unwrap();
    assert_eq!(asked(&same, warm.clone()).await.attempts, ["ok"]);
    assert!(upstream.seen()[2].body.get("temperature").is_none());
    let new = same.model("m").unwrap();
    assert_eq!(new.states.of(7).map(|left| left.writer), Some(other));
    assert_eq!(new.writer, old.writer);
    // Who writes that it can do something wants it tried.
    let limited = config::Model { max_temperature: 1.5, ..plain(&upstream) };
    let limited = same.successor(&config_of(limited)).unwrap();
    assert_eq!(asked(&limited, warm).await.text, "c");
    assert_eq!(upstream.seen()[3].body["temperature"], 1.0);
}

#[tokio::test]
async fn a_config_that_cannot_be_built_changes_nothing() {
    let upstream = Upstream::start(vec![answer("hi")]).await;
    let before = Llm::new(&config_of(plain(&upstream))).unwrap();
    let mut config = config_of(plain(&upstream));
    config.health.failure_threshold = 1;
    let ca = CaCert { path: "ca.pem".into(), pem: Arc::from(&b"none"[..]) };
    let bad = config::Model { name: "z".into(), ca_cert: Some(ca), ..plain(&upstream) };
    config.models.insert("z".into(), Arc::new(bad));
    let error = before.successor(&config).unwrap_err();
    assert_eq!((error.kind, error.model.as_str()), (LlmErrorKind::Setup, "z"));
    // The rules of the refused config do not hold.
    let want = Want { affinity: None, passed: &[], or_resting: true, takes: &|_: &_| true };
    let now = tokio::time::Instant::now();
    let model = before.model("m").unwrap();
    let failed = Report::Failed { code: "timeout", rest: None };
    model.pool.choose(&want, now).unwrap().report(failed, None);
    assert_eq!(phase(&before, 0), Phase::Closed);
    assert_eq!(asked(&before, call("q")).await.text, "hi");
}
