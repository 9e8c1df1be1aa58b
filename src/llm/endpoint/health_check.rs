//! Looking after endpoints that are out of service: each is asked for its protocol's model list,
//! which costs nothing, until it gives any answer but 401, 403 and 5xx. Many servers have no such
//! list, and a 404 from one that was unreachable is a sign of life.

use std::{future::pending, time::Duration};

use futures::future::join_all;
use reqwest::{Method, Request};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Endpoint, probe::learn_context, slot::Member};
use crate::llm::{Llm, protocol::all::wire};

/// A list that has not begun to come by then does not count.
const LIST_WAIT: Duration = Duration::from_secs(10);

impl Llm {
    /// Never ends. Nothing happens while every endpoint is in service.
    pub(crate) async fn check_health(&self) {
        if let Some(every) = self.probe_interval {
            let members = self.models.values().flat_map(|model| model.pool.members());
            join_all(members.map(|member| check_health(member, every, list))).await;
        }
        pending().await
    }
}

/// Marks a member as watched for as long as it lives.
struct Watch<'a, E>(&'a Member<E>);

impl<'a, E> Watch<'a, E> {
    fn begin(member: &'a Member<E>) -> Self {
        member.set_watched(true, Instant::now());
        Self(member)
    }
}

impl<E> Drop for Watch<'_, E> {
    fn drop(&mut self) {
        self.0.set_watched(false, Instant::now());
    }
}

/// Looks after one endpoint: `list` says whether it is well.
async fn check_health<E>(member: &Member<E>, every: Duration, list: impl AsyncFn(&E) -> bool) {
    let _watch = Watch::begin(member);
    loop {
        member.leaves().await;
        // Counted from when it left: this future may be a new one, after a reload.
        let next = member.next_listing().unwrap_or_else(|| Instant::now() + every);
        sleep_until(next).await;
        if member.is_out() {
            let is_well = list(&member.endpoint).await;
            member.listed(is_well, Instant::now());
        }
    }
}

/// Asks for the model list.
async fn list(endpoint: &Endpoint) -> bool {
    let model = endpoint.model();
    let Some(url) = wire(model.protocol).model_list(&endpoint.config.api_base, model) else {
        return false;
    };
    let request = || {
        let mut request = Request::new(Method::GET, url.clone());
        *request.headers_mut() = endpoint.plain_headers();
        request
    };
    let answered = timeout(LIST_WAIT, endpoint.send(request, false)).await;
    let outcome = match answered {
        Err(_) => Err("no answer in time"),
        Ok(Err(_)) => Err("no connection"),
        Ok(Ok((response, _))) => {
            let status = response.status();
            if status.is_success() {
                // What came back may have come back with another context.
                let _in_time = timeout(LIST_WAIT, learn_context(endpoint, response)).await;
            }
            Ok(status.as_u16())
        }
    };
    let is_well = matches!(outcome, Ok(status) if !matches!(status, 401 | 403 | 500..));
    tracing::debug!(
        model = model.name,
        endpoint = endpoint.name(),
        status = outcome.ok(),
        error = outcome.err(),
        is_well,
        "an endpoint out of service was asked for its model list"
    );
    is_well
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        sync::Arc,
    };

    use tokio::time::sleep;

    use super::*;
    use crate::{
        config::Health,
        llm::endpoint::{
            balance::Weighting,
            breaker::{Phase, Report},
            slot::Name,
        },
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn member(rules: Health) -> Arc<Member<()>> {
        let name = Name { model: "m".to_owned(), endpoint: "e.example".to_owned() };
        Arc::new(Member::new(0, name, Weighting { weight: 1, priority: 1 }, (), (rules, None)))
    }

    fn leave(member: &Arc<Member<()>>, report: Report) {
        member.admit(Instant::now()).expect("it is in service").report(report, None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_is_asked_while_it_is_out_and_only_then() {
        let member = member(Health { failure_threshold: 1, ..Health::default() });
        let (asked, well) = (RefCell::new(Vec::new()), Cell::new(false));
        let start = Instant::now();
        let list = async |(): &()| {
            asked.borrow_mut().push(start.elapsed().as_secs());
            well.get()
        };
        let story = async {
            sleep(SECOND * 100).await;
            assert!(asked.borrow().is_empty(), "nothing is out");
            leave(&member, Report::Failed { code: "connect_error", rest: None });
            let next = member.standing(Instant::now()).next_try;
            assert_eq!(next, Some(Instant::now() + SECOND * 15));
            sleep(SECOND * 35).await;
            assert_eq!(*asked.borrow(), [115, 130]);
            well.set(true);
            sleep(SECOND * 65).await;
            assert_eq!(*asked.borrow(), [115, 130, 145]);
            assert_eq!(member.standing(Instant::now()).phase, Phase::Closed);
            well.set(false);
            leave(&member, Report::Unusable { code: "upstream_unauthorized" });
            sleep(SECOND * 16).await;
            assert_eq!(*asked.borrow(), [115, 130, 145, 215], "and again the next time");
        };
        tokio::select! {
            () = check_health(&member, SECOND * 15, list) => {}
            () = story => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_over_does_not_begin_to_wait_anew() {
        let member = member(Health { failure_threshold: 1, ..Health::default() });
        leave(&member, Report::Failed { code: "connect_error", rest: None });
        let (asked, start) = (RefCell::new(Vec::new()), Instant::now());
        let list = async |(): &()| {
            asked.borrow_mut().push(start.elapsed().as_secs());
            false
        };
        // A reload every six seconds.
        for _ in 0..8 {
            assert!(timeout(SECOND * 6, check_health(&member, SECOND * 15, list)).await.is_err());
        }
        assert_eq!(*asked.borrow(), [15, 30, 45]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_looks_after_it_decides_who_may_try() {
        let member = member(Health { failure_threshold: 1, ..Health::default() });
        leave(&member, Report::Unusable { code: "upstream_not_found" });
        let next = || member.standing(Instant::now()).next_try.map(|at| at - Instant::now());
        assert_eq!(next(), Some(SECOND * 30), "a call, since nobody asks for the list");
        let looked_after =
            timeout(SECOND * 16, check_health(&member, SECOND * 15, async |(): &()| false));
        assert!(looked_after.await.is_err(), "it never ends by itself");
        assert_eq!(next(), Some(SECOND * 14), "a call again");
    }
}
