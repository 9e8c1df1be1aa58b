//! How many connections the limit of open files carries, so that nobody fails in the middle for want of
//! one: a connection beyond is answered with 503 instead.
//!
//! What is kept for upstreams: a connection for each model that a request can ask at once, for all
//! requests that may run (`[server] max_in_flight`). Where the limit does not carry that many, clients
//! and upstreams share what there is in the proportion that one request takes.

use std::{io, time::Duration};

use crate::config::Config;

/// Files of the process itself: streams, the log, the config while it is read, names being resolved.
const OWN: usize = 32;
/// What each worker's runtime has open.
const PER_WORKER: usize = 4;
/// Connections that are answered with 503 at the same time; the kernel holds further ones.
pub(super) const REFUSED_AT_ONCE: usize = 32;
/// How long a client may take to ask and to read that it is refused.
pub(super) const REFUSAL_WAIT: Duration = Duration::from_secs(2);

/// How many connections there may be under a config: `None` without a limit of open files.
pub(in crate::server) fn most_connections(config: &Config, workers: usize) -> Option<usize> {
    let limit = usize::try_from(limit()?).unwrap_or(usize::MAX);
    Some(shared(limit, workers, config.server.max_in_flight, calls_at_once(config)))
}

fn shared(limit: usize, workers: usize, requests: usize, calls: usize) -> usize {
    let own = OWN.saturating_add(PER_WORKER.saturating_mul(workers)) + REFUSED_AT_ONCE;
    let free = limit.saturating_sub(own);
    let beside_all = free.saturating_sub(requests.saturating_mul(calls));
    beside_all.max(free / calls.saturating_add(1)).max(1)
}

/// How many models one request asks at once, at most.
fn calls_at_once(config: &Config) -> usize {
    let workers = config.workflows().map(|workflow| workflow.plan.leaf_count()).max();
    let workers = workers.unwrap_or_default().max(1);
    config.workflow.max_concurrency.map_or(workers, |most| workers.min(most))
}

/// How many files this process may have open; `None`: as many as the machine bears, or not known.
#[cfg(unix)]
pub(in crate::server) fn limit() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current
}

/// Raises the limit of open files as far as this process may, since each connection is one. Few shells
/// and service managers give more than 1,024 without being asked.
///
/// # Errors
/// The system's; the limit is then what it was.
#[cfg(unix)]
pub fn raise_open_files() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// The limit to set where it says "as many as you like" and the system has one of its own (macOS).
    const MODEST: u64 = 10_240;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum || current.is_none() {
        return Ok(());
    }
    let raise = |to| setrlimit(Resource::Nofile, Rlimit { current: to, maximum });
    let modest = || raise(Some(maximum.map_or(MODEST, |most| most.min(MODEST))));
    match raise(maximum) {
        Err(_) if current.is_some_and(|now| now < MODEST) => modest().map_err(io::Error::from),
        raised => raised.map_err(io::Error::from),
    }
}

/// There is no such limit here.
#[cfg(not(unix))]
pub(in crate::server) fn limit() -> Option<u64> {
    None
}

/// There is no such limit here.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn raise_open_files() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_upstreams_do_not_need() {
        for (limit, requests, calls, want) in [
            (1_048_576, 1024, 3, 1_048_576 - 72 - 3072),
            (4096, 1024, 3, 1006),
            (1024, 1024, 1, 476),
            (1024, 10, 3, 922),
            (64, 1024, 3, 1),
        ] {
            assert_eq!(shared(limit, 2, requests, calls), want, "{limit} {requests} {calls}");
        }
    }

    #[test]
    fn the_widest_workflow_counts() {
        let text = |max| {
            format!(
                "{}[workflow-integration]\n{max}json = '{{\"workers\": [{{\"ref\": \"m\", \"samples\": 5}}], \
                 \"synthesizer\": \"m\"}}'\n",
                "[[model]]\nname = \"m\"\napi_base = \"http://gpu.lan/v1\"\n"
            )
        };
        for (max, want) in [("", 5), ("max_concurrency = 2\n", 2)] {
            let config = Config::parse(&text(max), None, &|_| None).unwrap();
            assert_eq!(calls_at_once(&config), want, "{max}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        use rustix::process::{Resource, getrlimit};
        raise_open_files().unwrap();
        let allowed = getrlimit(Resource::Nofile);
        assert!(allowed.current == allowed.maximum || limit() >= Some(10_240), "{allowed:?}");
    }
}
