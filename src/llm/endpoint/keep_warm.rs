//! Connections that are open before somebody needs them: `warm_up`.
//!
//! At the start, and whenever an endpoint has been idle for so long that its connection would soon
//! be closed, it is asked for its model list, which costs nothing. An endpoint that calls keep busy
//! is left alone. Nothing here is a call: no permit is taken, nothing is recorded, and a failure is
//! for the debug log only, since the next call will report it better.

use std::{future::pending, sync::Arc, time::Duration};

use futures::future::join_all;
use reqwest::{
    RequestBuilder,
    header::{ACCEPT, CONTENT_TYPE, HeaderValue},
};
use tokio::time::{sleep, timeout};

use super::{Endpoint, activity::Activity, http};
use crate::{
    config::Transport,
    llm::{Llm, Model, protocol::all::wire},
};

/// How long a model list may take.
const LIST_WAIT: Duration = Duration::from_secs(30);
/// Most bytes of an answer; the connection of a longer one is given up.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;
/// How long a model may take to be loaded.
const LOAD_WAIT: Duration = Duration::from_secs(600);

impl Llm {
    /// Keeps the connections of the models that want it warm (`warm_up`), as long as it is polled,
    /// and only those of the thread that polls it. Never ends.
    pub async fn keep_warm(&self, transport: &Transport) {
        keep_warm(self.models.values(), transport).await;
        pending().await
    }
}

/// Keeps the endpoints of those models warm that want it. Ends only when there are none: dropping
/// it is what stops it.
async fn keep_warm(models: impl IntoIterator<Item = &Arc<Model>>, transport: &Transport) {
    if transport.max_idle_per_host == 0 {
        return; // no connection outlives its answer
    }
    // Early enough for a slow answer to come before the pool closes the connection.
    let every = transport.idle * 2 / 3;
    let wanted = models.into_iter().filter(|model| model.config.warm_up);
    let members = wanted.flat_map(|model| model.pool.members());
    let endpoints: Vec<&Endpoint> = members.map(|member| &member.endpoint).collect();
    let each = endpoints.into_iter().map(|one| keep_busy(one.activity(), every, || touch(one)));
    join_all(each).await;
}

/// Warms whenever it is time to. A failure is not tried again sooner.
async fn keep_busy<F>(activity: &Activity, every: Duration, touch: impl Fn() -> F)
where
    F: Future<Output = ()>,
{
    loop {
        let rest = activity.rest(every);
        if rest.is_zero() {
            touch().await;
            sleep(every).await;
        } else {
            sleep(rest).await;
        }
    }
}

/// Opens a connection or uses the one that is open, and has the model loaded where that is known.
async fn touch(endpoint: &Endpoint) {
    let (model, base) = (endpoint.model(), &endpoint.config.api_base);
    let wire = wire(model.protocol);
    if let Some(url) = wire.model_list(base, model) {
        let mut headers = endpoint.json_headers();
        headers.remove(CONTENT_TYPE);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        ask(endpoint, endpoint.client().get(url).headers(headers), LIST_WAIT).await;
    }
    if let Some((url, body)) = wire.load_request(base, model) {
        let request = endpoint.client().post(url).headers(endpoint.json_headers());
        ask(endpoint, request.body(serde_json::Value::from(body).to_string()), LOAD_WAIT).await;
    }
}

/// Sends a request and reads the answer to its end, whatever it says: the connection is the point.
async fn ask(endpoint: &Endpoint, request: RequestBuilder, wait: Duration) {
    let using = endpoint.activity().begin();
    let asking = async {
        let mut response = request.send().await?;
        let mut left = ANSWER_LIMIT;
        while let Some(chunk) = response.chunk().await? {
            let Some(less) = left.checked_sub(chunk.len()) else {
                return Ok("an answer without end".to_owned());
            };
            left = less;
        }
        using.kept();
        Ok::<_, reqwest::Error>(response.status().to_string())
    };
    let outcome = match timeout(wait, asking).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => http::said(error),
        Err(_) => "no answer in time".to_owned(),
    };
    let (model, endpoint) = (&endpoint.model().name, endpoint.name());
    tracing::debug!(model, endpoint, outcome, "connection kept warm");
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Keeps a connection busy while these calls are made; the seconds at which it was touched.
    async fn calls_made(fails: bool, calls: impl AsyncFnOnce(&Arc<Activity>)) -> Vec<u64> {
        let (activity, began) = (Arc::new(Activity::default()), Instant::now());
        let warmed = Cell::new(Vec::new());
        let touch = || async {
            let using = activity.begin();
            sleep(SECOND).await;
            if !fails {
                using.kept();
            }
            let mut times = warmed.take();
            times.push(began.elapsed().as_secs());
            warmed.set(times);
        };
        tokio::select! {
            () = keep_busy(&activity, SECOND * 60, touch) => {}
            () = calls(&activity) => {}
        }
        warmed.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_endpoint_is_warmed_at_the_start_and_before_it_grows_cold() {
        for fails in [false, true] {
            let times = calls_made(fails, async |_| sleep(SECOND * 200).await).await;
            assert_eq!(times, [1, 62, 123, 184], "{fails}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_keep_it_warm_themselves() {
        let busy = async |activity: &Arc<Activity>| {
            for _ in 0..20 {
                sleep(SECOND * 25).await;
                activity.begin().kept();
            }
            // The last one was at 500.
            sleep(SECOND * 70).await;
        };
        assert_eq!(calls_made(false, busy).await, [1, 561]);
        // One long call is use too; only its end counts as a connection that is there.
        let long = async |activity: &Arc<Activity>| {
            sleep(SECOND * 30).await;
            let using = activity.begin();
            sleep(SECOND * 300).await;
            using.kept();
            drop(using);
            sleep(SECOND * 65).await;
        };
        assert_eq!(calls_made(false, long).await, [1, 391]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_broken_off_counts_as_no_activity() {
        let broken = async |activity: &Arc<Activity>| {
            sleep(SECOND * 30).await;
            drop(activity.begin());
            sleep(SECOND * 40).await;
        };
        assert_eq!(calls_made(false, broken).await, [1, 62]);
    }
}
