//! The real binary with too few files to open: whoever is let in is answered, and no endpoint is blamed.

use futures::{StreamExt, stream::FuturesUnordered};
use reqwest::header::RETRY_AFTER;
use serde_json::Value;

use crate::support::{
    ENDPOINTS, Gate, Launch, Process, Script, Upstream, four_stages, ms, question, text_of,
};

const CROWD: usize = 300;

async fn health(process: &Process) -> Value {
    let response = process.client().get("/health?verbose").await;
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

/// No endpoint has a failure to its name.
fn nobody_is_blamed(health: &Value) {
    let models = health["models"].as_array().unwrap();
    let endpoints = models.iter().flat_map(|model| model["endpoints"].as_array().unwrap());
    for endpoint in endpoints {
        let known = (&endpoint["state"], &endpoint["consecutive_failures"]);
        assert_eq!(known, (&"closed".into(), &0.into()), "{health}");
    }
}

fn config() -> String {
    let health = "[workflow.health]\nfailure_threshold = 1";
    four_stages(&["good"]).without_retries().with(health).toml()
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_the_others_answered() {
    let gate = Gate::shut();
    let waiting = Script::says("abc").waits_after(1, &gate);
    let upstream = Upstream::start([("good", waiting)]).await;
    let launch = Launch { limits: "ulimit -n 200", ..Launch::default() };
    let process = Process::launched(&upstream, &config(), "info", &[], launch).await;
    assert_eq!(health(&process).await["process"]["open_files_limit"], 200);
    let body = question(ENDPOINTS[0], "good", "hi", false);
    let ask = || async {
        let sent = process.client().try_post(ENDPOINTS[0], &body, &[]).await;
        let response = sent.expect("an answer to everybody");
        let waits = response.headers().contains_key(RETRY_AFTER);
        let text = response.text().await.expect("a whole answer");
        (waits, serde_json::from_str::<Value>(&text).unwrap())
    };
    let mut asked: FuturesUnordered<_> = (0..CROWD).map(|_| ask()).collect();
    let (mut served, mut refused) = (0, 0);
    while served + refused < CROWD {
        if let Ok(Some(ended)) = tokio::time::timeout(ms(50), asked.next()).await {
            match ended {
                (false, answer) if text_of(&answer) == "abc" => served += 1,
                (true, answer) if answer["error"]["code"] == "overloaded" => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        if refused + upstream.active() == CROWD {
            gate.open();
        }
    }
    assert!(served > 0 && refused > 100, "{served} {refused}");
    let health = health(&process).await;
    nobody_is_blamed(&health);
    assert_eq!(health["process"]["out_of_resources"], 0, "{health}");
}

#[tokio::test]
async fn the_limit_is_raised_at_the_start() {
    let upstream = Upstream::start([("good", Script::says("abc"))]).await;
    let launch = Launch { limits: "ulimit -S -n 100", ..Launch::default() };
    let process = Process::launched(&upstream, &config(), "info", &[], launch).await;
    let limit = health(&process).await["process"]["open_files_limit"].clone();
    assert!(limit.as_u64().is_none_or(|limit| limit > 100), "{limit}");
}

/// Files that run out all the same are nobody else's failure.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_want_of_our_own_opens_no_circuit() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

    let good = || Script::says("abc");
    let cast = [("judge", Script::judges_for("abc")), ("writer", good()), ("good", good())];
    let upstream = Upstream::start(cast).await;
    let process = Process::launched(&upstream, &config(), "info", &[], Launch::default()).await;
    let client = process.client();
    let maximum = getrlimit(Resource::Nofile).maximum;
    let may_open = |files| {
        let pid = Pid::from_raw(process.id().try_into().unwrap());
        prlimit(pid, Resource::Nofile, Rlimit { current: Some(files), maximum }).unwrap();
    };
    // This connection stays.
    nobody_is_blamed(&health(&process).await);
    may_open(8);
    for model in ["good", "chorus", "good"] {
        let body = question(ENDPOINTS[0], model, "hi", false);
        let response = client.post(ENDPOINTS[0], &body).await;
        assert!(response.headers().contains_key(RETRY_AFTER), "{model}");
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("overloaded") && text.contains("no more files to open"), "{text}");
    }
    let during = health(&process).await;
    nobody_is_blamed(&during);
    assert!(during["process"]["out_of_resources"].as_u64() >= Some(3), "{during}");
    may_open(100);
    for model in ["good", "chorus"] {
        let body = question(ENDPOINTS[0], model, "hi", false);
        let (status, answer) = client.ask(ENDPOINTS[0], &body).await;
        assert_eq!((status, text_of(&answer)), (200, "abc"), "{answer}");
    }
}
