//! The endpoint that a call goes to after each failure, on a paused clock and without sockets.

use std::sync::Arc;

use tokio::time::advance;

use super::*;
use crate::{
    config::{self, Retry},
    llm::{Llm, endpoint::breaker::Report, protocol::blame::Blame, tests::config_of},
};

const SECOND: Duration = Duration::from_secs(1);
/// What is left of the call's limit.
const LEFT: Duration = Duration::from_secs(60);

/// A model of so many endpoints, one after the other: their priorities are 1, 2, ...
fn model(endpoints: u32, max_retries: usize) -> Arc<Model> {
    let endpoint = |number: u32| config::Endpoint {
        priority: number,
        ..config::Endpoint::plain(&format!("http://e{number}.example/v1"))
    };
    let model = config::Model {
        endpoints: (1..=endpoints).map(endpoint).collect(),
        ..config::Model::plain("m", "http://e1.example/v1")
    };
    let retry = Retry { max_retries, ..Retry::default() };
    let llm = Llm::new(&config::Config { retry, ..config_of(model) }).expect("clients");
    Arc::clone(llm.model("m").expect("it is configured"))
}

fn failure(kind: LlmErrorKind, advice: Advice) -> Failure {
    Failure { advice, ..Failure::new(kind, "it broke") }
}

fn broken() -> Failure {
    failure(LlmErrorKind::Connect, Advice::Backoff)
}

fn limited(secs: u64) -> Failure {
    let wait = SECOND * u32::try_from(secs).unwrap();
    failure(LlmErrorKind::RateLimited { retry_after: Some(wait) }, Advice::After(wait))
}

fn refused() -> Failure {
    let blame = Blame::Endpoint;
    Failure { blame, ..failure(LlmErrorKind::Unauthorized, Advice::Never) }
}

/// Plays these failures one after the other, waiting where it is told to, until the call gives up
/// or they are used up. Gives the endpoints asked, the pauses, and the error.
async fn play(
    model: &Arc<Model>,
    failures: impl IntoIterator<Item = Failure>,
) -> (Vec<usize>, Vec<Duration>, Option<LlmError>) {
    let mut failover = Failover::new(model, &|_| true, None, None);
    let (mut asked, mut pauses) = (Vec::new(), Vec::new());
    for failure in failures {
        let mut lease = match failover.lease() {
            Ok(lease) => lease,
            Err(error) => return (asked, pauses, Some(error)),
        };
        asked.push(lease.number());
        if let Some(report) = failure.report() {
            lease.report(report, None);
        }
        let next = failover.next(lease.number(), &failure, LEFT);
        failover.failed(failure.into_error(lease.endpoint(), &[]));
        match next {
            Next::Elsewhere => {}
            Next::Wait(pause) => {
                pauses.push(pause);
                advance(pause).await;
            }
            Next::GiveUp => return (asked, pauses, Some(failover.error())),
        }
    }
    (asked, pauses, None)
}

#[tokio::test(start_paused = true)]
async fn endpoints_come_before_time_and_both_are_bounded() {
    let many = || std::iter::repeat_with(broken).take(9);
    for (endpoints, max_retries, want, pauses) in [
        (1, 0, vec![0], 0),
        (1, 2, vec![0, 0, 0], 2),
        (2, 0, vec![0, 1], 0),
        (2, 2, vec![0, 1, 0], 1),
        (2, 4, vec![0, 1, 0, 1, 0], 2),
        (3, 2, vec![0, 1, 2], 0),
        (4, 2, vec![0, 1, 2, 3], 0),
    ] {
        let (asked, waited, error) = play(&model(endpoints, max_retries), many()).await;
        assert_eq!(asked, want, "{endpoints} endpoints, {max_retries} retries");
        assert_eq!(waited.len(), pauses, "{endpoints} endpoints, {max_retries} retries");
        assert_eq!(error.unwrap().kind, LlmErrorKind::Connect);
    }
}

#[tokio::test(start_paused = true)]
async fn what_will_fail_again_is_not_asked_again() {
    for (failures, want) in [
        (vec![refused(), broken(), broken(), broken()], vec![0, 1, 1]),
        (vec![broken(), refused(), broken()], vec![0, 1, 0]),
        (vec![refused(), refused()], vec![0, 1]),
        (vec![failure(LlmErrorKind::Rejected { status: 400 }, Advice::Never)], vec![0]),
        (vec![failure(LlmErrorKind::ContextLength, Advice::Never)], vec![0]),
        (vec![failure(LlmErrorKind::Quota, Advice::Never), broken(), broken()], vec![0, 1, 1]),
        (vec![failure(LlmErrorKind::Garbled, Advice::Never), broken()], vec![0, 1]),
        (vec![failure(LlmErrorKind::InBand, Advice::Once), broken()], vec![0, 1]),
        (vec![failure(LlmErrorKind::InBand, Advice::Never)], vec![0]),
    ] {
        let kinds: Vec<LlmErrorKind> = failures.iter().map(|failure| failure.kind).collect();
        let (mut asked, _, _) = play(&model(2, 2), failures).await;
        asked.truncate(want.len());
        assert_eq!(asked, want, "{kinds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_shortest_wait_is_waited_for_and_reported() {
    let (asked, pauses, _) = play(&model(2, 2), [limited(20), limited(7), limited(5)]).await;
    assert_eq!((asked, pauses), (vec![0, 1, 1], vec![SECOND * 7]));
    // Not worth waiting for the one while the other only broke.
    let (asked, pauses, _) = play(&model(2, 2), [limited(20), broken(), broken()]).await;
    assert_eq!((asked, pauses.len()), (vec![0, 1, 1], 1));
    assert!(pauses[0] <= SECOND, "{pauses:?}");
    // Longer than the limit: none begins.
    let (asked, _, error) = play(&model(2, 2), [limited(300), limited(90)]).await;
    assert_eq!(asked, [0, 1]);
    let retry_after = Some(SECOND * 90);
    assert_eq!(error.unwrap().kind, LlmErrorKind::RateLimited { retry_after });
    let (_, _, error) = play(&model(2, 2), [limited(90), limited(300)]).await;
    assert_eq!(error.unwrap().kind, LlmErrorKind::RateLimited { retry_after }, "the smallest");
}

#[tokio::test(start_paused = true)]
async fn one_that_rests_is_better_than_none() {
    let model = model(2, 2);
    play(&model, [limited(50), limited(50)]).await;
    let (asked, _, _) = play(&model, [refused(), limited(50)]).await;
    assert_eq!(asked, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_ends_a_call_at_once_and_says_until_when() {
    let model = model(2, 2);
    play(&model, [refused(), refused()]).await;
    let (asked, _, error) = play(&model, [broken()]).await;
    let error = error.unwrap();
    assert_eq!((asked.len(), error.kind), (0, LlmErrorKind::CircuitOpen));
    insta::assert_snapshot!(error, @"model 'm': no endpoint is in service: e1.example (upstream_unauthorized, tried again in 30 s); e2.example (upstream_unauthorized, tried again in 30 s)");
    advance(SECOND * 30).await;
    let mut failover = Failover::new(&model, &|_| true, None, None);
    let probe = failover.lease().expect("its time is up");
    assert!(probe.is_probe());
    assert!(failover.has_other(probe.number()), "the other is due too");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_opens_the_circuit_fails_with_what_it_met() {
    let model = model(1, 100);
    let (asked, _, error) = play(&model, std::iter::repeat_with(broken).take(90)).await;
    assert_eq!(asked.len(), 5, "and does not wait for a closed door");
    assert_eq!(error.unwrap().kind, LlmErrorKind::Connect);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_to_avoid_is_never_asked() {
    let model = model(2, 2);
    let mut failover = Failover::new(&model, &|_| true, None, Some(0));
    let lease = failover.lease().unwrap();
    assert_eq!(lease.number(), 1);
    assert_eq!(failover.next(1, &refused(), LEFT), Next::GiveUp);
    let mut nowhere = Failover::new(&model, &|_| true, None, Some(1));
    model.pool.members()[0]
        .admit(Instant::now())
        .unwrap()
        .report(Report::Unusable { code: "upstream_unauthorized" }, None);
    assert_eq!(nowhere.lease().err().unwrap().kind, LlmErrorKind::CircuitOpen);
    let single = self::model(1, 2);
    let mut nowhere = Failover::new(&single, &|_| true, None, Some(0));
    assert_eq!(nowhere.lease().err().unwrap().kind, LlmErrorKind::Setup);
}

#[tokio::test(start_paused = true)]
async fn a_repaired_request_goes_where_it_came_from() {
    let model = model(3, 2);
    let mut failover = Failover::new(&model, &|_| true, None, None);
    failover.stay(2);
    assert_eq!(failover.lease().unwrap().number(), 2);
    assert_eq!(failover.lease().unwrap().number(), 0, "once");
}
