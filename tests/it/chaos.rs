//! Two thousand runs over upstreams that fail three calls in ten, in every way the fake knows.

use std::collections::HashMap;

use chorus::config::Config;
use futures::{StreamExt, future::join_all, stream};
use serde_json::{Value, json};
use tokio::{runtime::Handle, time::sleep};

use crate::support::{
    Chorus, Client, Dice, ENDPOINTS, Event, Events, Script, Setup, Upstream, ms, question, soon,
    text_of,
};

const RUNS: usize = 2000;
const AT_ONCE: usize = 64;
/// Seconds a run may take.
const DEADLINE: u64 = 5;
/// Calls in flight of each model: a permit that is lost now and then is soon the last one.
const MOST_CALLS: usize = 64;

/// Everything that can go wrong with a call.
fn every_way_to_fail(dice: &Dice) -> Vec<Script> {
    vec![
        Script::fails(500),
        Script::fails(503).with_header("retry-after", "0"),
        Script::fails(529),
        Script::fails(429),
        Script::fails(429).with_header("retry-after-ms", "20"),
        Script::fails(400),
        Script::fails(401),
        Script::fails(404),
        Script::fails_saying(502, "<html>bad gateway</html>"),
        Script::fails_saying(
            400,
            r#"{"error":{"code":"context_length_exceeded","message":"maximum context length"}}"#,
        ),
        Script::hangs(),
        Script::says("abc").hangs_after(1),
        Script::says("abc").only_pings_after(1, ms(50)),
        Script::trickles(ms(40)),
        Script::says_garbage(),
        Script::sends("text/html", b"<html>log in</html>"),
        // Rarely: each is megabytes.
        Script::fails(504).but(10, vec![Script::floods(), Script::floods_one_line()], dice),
        Script::says("abc").cut_after(0),
        Script::says("abc").cut_after(2),
        Script::says("abc").cut_in_chunk_after(2),
        Script::says("abc").ends_after(2),
        Script::says("abc").errs_after(1, "out of memory"),
        Script::says("abc").errs_after(0, "overloaded"),
        Script::says(""),
        Script::says("abc").finishing_with("content_filter"),
        Script::says("abc").finishing_with("length"),
        Script::says("abc").without_usage(),
        Script::says("abc").split_at(&[7, 8, 9, 60, 200]),
        Script::says("abc").after(ms(150)),
        Script::says("abc").lingers(ms(100)),
    ]
}

fn cast(dice: &Dice) -> Vec<(String, Script)> {
    let moody = |script: Script| script.but(30, every_way_to_fail(dice), dice);
    let cast = [
        ("judge", moody(Script::judges_for("second"))),
        ("first", moody(Script::echoes("first of "))),
        ("second", moody(Script::echoes("second of ").in_deltas(5))),
        ("third", moody(Script::echoes("third of ").split_at(&[40, 41, 150]))),
        ("writer", moody(Script::echoes("written of ").in_deltas(6))),
        ("spare", moody(Script::echoes("spared of "))),
    ];
    cast.map(|(name, script)| (name.to_owned(), script)).into()
}

/// Every model has an endpoint at each of the two upstreams.
fn setup(other: &Upstream) -> Setup {
    let plan = json!({
        "analyzer": {"ref": "judge"},
        "workers": ["first", {"name": "panel", "workers": ["second", "third"],
            "policy": {"quorum": 1, "grace_ms": 20}}],
        "selector": {"ref": "judge", "fallback": ["spare"]},
        "synthesizer": {"ref": "writer", "fallback": ["spare"]},
        "policy": {"quorum": 1, "grace_ms": 50, "deadline_secs": DEADLINE},
    });
    let names = ["judge", "first", "second", "third", "writer", "spare"];
    let setup = Setup::of(plan).with_models(&names).with(
        "[workflow.timeouts]\nanalyzer_timeout_secs = 1\nworker_timeout_secs = 1.5\n\
         selector_timeout_secs = 1\nsynthesizer_timeout_secs = 1.5\n\
         [workflow.retry]\nmax_retries = 2\nbase_delay_ms = 5\nmax_delay_ms = 50\n\
         [workflow.health]\nopen_secs = 0.2\nprobe_interval_secs = 0.1\n[server]\nport = 0\n\
         max_in_flight = 4096",
    );
    names.iter().fold(setup, |setup, name| {
        let keys = format!(
            "max_concurrency = {MOST_CALLS}\nhedge_after_ms = 100\n\
             [[model.endpoint]]\napi_base = \"{}/v1\"\napi_key = \"sk-other\"",
            other.base()
        );
        setup.model_keys(name, &keys)
    })
}

/// How a run ended for its client: with text, or with the code of its error.
#[derive(Debug, PartialEq, Eq, Hash)]
enum End {
    Answer,
    Error(String),
}

/// Asks once and reads to the end, as a client of that endpoint would; what cannot be understood
/// panics.
async fn one(client: &Client, number: usize) -> (End, Value) {
    let path = ENDPOINTS[number % ENDPOINTS.len()];
    let stream = number.is_multiple_of(2);
    let mut body = question(path, "chorus", &format!("[[{number}]]"), stream);
    body["include_workflow"] = json!(true);
    let response = client.try_post(path, &body, &[]).await.expect("the server answers");
    let status = response.status().as_u16();
    let events = Events::of(response).all().await;
    // Behind an error line of NDJSON the body breaks off, and nowhere else.
    let broken = events.iter().position(|event| matches!(event, Event::Broken(_)));
    if let Some(place) = broken {
        let before = place.checked_sub(1).and_then(|place| events.get(place));
        let is_error =
            matches!(before, Some(Event::Object(object)) if object.get("error").is_some());
        let ndjson = stream && path.starts_with("/api/");
        assert!(is_error && ndjson, "{number}: the stream broke: {events:?}");
    }
    let objects: Vec<&Value> = events
        .iter()
        .filter_map(|e| if let Event::Object(o) = e { Some(o) } else { None })
        .collect();
    let trace = objects.iter().find_map(|object| object.get("workflow"));
    let trace = trace.cloned().unwrap_or(Value::Null);
    let error = objects.iter().find(|object| object.get("error").is_some());
    let Some(error) = error else {
        assert_eq!(status, 200, "{number}: {objects:?}");
        let text: String = objects.iter().map(|object| text_of(object)).collect();
        assert!(!text.is_empty(), "{number}: an answer without text: {objects:?}");
        assert!(matches!(trace["status"].as_str(), Some("ok" | "degraded")), "{number}: {trace}");
        return (End::Answer, trace);
    };
    let code = error["error"].get("code").or(error.get("code")).and_then(Value::as_str);
    let code = code.unwrap_or_else(|| panic!("{number}: an error without a code: {error}"));
    assert_eq!(trace["status"], "failed", "{number}: {error}");
    (End::Error(code.to_owned()), trace)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_runs_over_failing_upstreams_all_end() {
    let idle_tasks = Handle::current().metrics().num_alive_tasks();
    let dice = Dice::default();
    let upstream = Upstream::start_with(cast(&dice)).await;
    let other = Upstream::start_with(cast(&dice)).await;
    let setup = setup(&other);
    let chorus = setup.over(&upstream).await;

    let client: &Client = &chorus;
    let all = (0..RUNS).map(|number| async move {
        let end = one(client, number).await;
        if end.0 != End::Answer {
            // Or an outage would be spent on hundreds that fail at once.
            sleep(ms(50)).await;
        }
        end
    });
    let ends: Vec<(End, Value)> = stream::iter(all).buffer_unordered(AT_ONCE).collect().await;

    // Every one ended by its deadline; twice as much is for a machine that is busy with other tests.
    let mut count: HashMap<&End, usize> = HashMap::new();
    for (end, trace) in &ends {
        *count.entry(end).or_default() += 1;
        let took = trace["total_ms"].as_u64().expect("a time");
        assert!(took < DEADLINE * 2000, "{took} ms: {trace}");
    }
    let known = ["all_workers_failed", "upstream_error", "timeout", "rate_limit_exceeded"];
    for end in count.keys() {
        assert!(!matches!(end, End::Error(code) if !known.contains(&code.as_str())), "{count:?}");
    }
    let answers = count.get(&End::Answer).copied().unwrap_or_default();
    assert!(answers > RUNS / 10, "few are answered even for a busy machine: {count:?}");

    // No run made more calls than were announced.
    let text = setup.toml().replace("{base}", &upstream.base());
    let config = Config::parse(&text, None, &|_| None).expect("the story's config is good");
    let worst = worst_case(&config);
    for (number, calls) in calls_by_run(&[&upstream, &other]) {
        assert!(calls <= worst, "run {number} made {calls} calls, announced were {worst}");
    }

    // Nothing is left open: no call, no permit, no connection, no task.
    soon("the end of all calls", async { tokio::join!(upstream.idle(), other.idle()) }).await;
    dice.calm_down();
    recovers(&chorus).await;
    all_permits_are_there(&chorus).await;
    drop(chorus);
    drop((upstream, other));
    soon("the end of all tasks", async {
        while Handle::current().metrics().num_alive_tasks() > idle_tasks {
            sleep(ms(10)).await;
        }
    })
    .await;
}

/// What `chorus check` announces for a request, every call tried as often as it may be.
fn worst_case(config: &Config) -> u64 {
    let calls: u64 = config.workflow.plan.worst_case_calls(&config.models).values().sum();
    calls * (1 + u64::try_from(config.retry.max_retries).expect("a few"))
}

/// Upstream calls by the number in their question.
fn calls_by_run(upstreams: &[&Upstream]) -> HashMap<String, u64> {
    let mut calls: HashMap<String, u64> = HashMap::new();
    for seen in upstreams.iter().flat_map(|upstream| upstream.seen()) {
        let text = seen.text();
        let number = text.split("[[").nth(1).and_then(|rest| rest.split("]]").next());
        if let Some(number) = number {
            *calls.entry(number.to_owned()).or_default() += 1;
        }
    }
    calls
}

/// Once the upstreams are well again, every endpoint comes back and runs are whole.
async fn recovers(chorus: &Chorus) {
    soon("a run without any failure", async {
        while one(chorus, 0).await.1["status"] != "ok" {
            sleep(ms(50)).await;
        }
    })
    .await;
}

/// As many runs as a model has permits, at one time: without permits they would all wait for their
/// deadline, in every round. On a machine that is busy with other tests a round may meet the limits.
async fn all_permits_are_there(chorus: &Chorus) {
    let mut answered = Vec::new();
    for _ in 0..6 {
        let asked = (0..MOST_CALLS).map(|number| one(chorus, number));
        let ends = soon("as many runs as permits", join_all(asked)).await;
        answered.push(ends.iter().filter(|(end, _)| *end == End::Answer).count());
        if answered.last().is_some_and(|answers| *answers > MOST_CALLS / 2) {
            return;
        }
        recovers(chorus).await;
    }
    panic!("of {MOST_CALLS} were answered, round by round: {answered:?}");
}
