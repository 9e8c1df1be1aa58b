//! Chorus under faults for as long as is wanted: upstreams that fail, cut and say nothing, clients that
//! leave and never read, reloads, and an audit log that is moved away. At the end nothing has grown, every
//! place and permit is back, and what clients are charged with is what the audit log says, to the token.

mod callers;
mod ledger;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    Fault,
    client::post_with,
    load,
    plan::ask,
    process::{memory_now, open_files},
    stats::median,
    targets::{self, Server},
};
use callers::Caller;
use ledger::Ledger;

/// The clients of the config; the last one is the operator.
pub(super) const CLIENTS: [&str; 4] = ["ann", "bob", "cyd", "operator"];
/// Requests that the server takes at once, and calls that one model takes.
const PLACES: usize = 48;
const PERMITS: usize = 8;
/// How often it is measured, and how often the config and the audit log change.
const SAMPLE: Duration = Duration::from_secs(5);
const CHANGE: Duration = Duration::from_secs(17);
/// How long all that is under way may take to end, once nobody asks any more.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much memory may grow from the second quarter to the last.
const GROWTH: f64 = 1.1;
/// Connections to upstreams come and go.
const FILES: f64 = 24.0;

/// The key of a client.
pub(super) fn key(client: &str) -> String {
    format!("soak-key-of-{client}-0123456789")
}

/// A size at a moment.
#[derive(Clone, Copy)]
struct Sample {
    memory: f64,
    files: f64,
}

/// All of it. `false`: something grew, or does not add up.
pub(crate) async fn run(chorus: &Path, minutes: u64) -> Result<bool, Fault> {
    let mock = targets::mock()?;
    let server = targets::chorus_with(chorus, &config(&mock, 10))?;
    let server = Arc::new(server);
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for number in 0..10 {
        let caller = Caller::new(number, server.address, Arc::clone(&stop));
        callers.spawn(caller.run());
    }
    let changes = change(&server, &mock, until);
    let samples = sample(&server, until);
    let (moved, samples) = tokio::select! {
        both = async { tokio::try_join!(changes, samples) } => both?,
        Some(done) = callers.join_next() => {
            done??;
            return Err("one who asks ended before the others".into());
        }
    };
    stop.store(true, Ordering::Relaxed);
    let mut requests = 0;
    while let Some(done) = callers.join_next().await {
        requests += done??;
    }
    println!("requests: {requests}; audit logs: {}", moved.len() + 1);
    let mut fine = flat(&samples);
    fine &= quiet(&server).await?;
    fine &= all_back(&server).await?;
    fine &= quiet(&server).await?;
    // The last lines of the audit log.
    sleep(Duration::from_secs(1)).await;
    let files = moved.iter().cloned().chain([audit(&server)]);
    fine &= Ledger::of(files)?.agrees(&report(&server).await?);
    Ok(fine)
}

fn audit(server: &Server) -> PathBuf {
    server.folder().join("said/audit.jsonl")
}

/// Reloads by file and by signal, and moves the audit log away. Returns where it was moved.
async fn change(server: &Server, mock: &Server, until: Instant) -> Result<Vec<PathBuf>, Fault> {
    let mut moved = Vec::new();
    loop {
        sleep_until((Instant::now() + CHANGE).min(until)).await;
        if Instant::now() >= until {
            return Ok(moved);
        }
        let number = moved.len();
        let to = server.folder().join(format!("said/audit.{number}"));
        fs::rename(audit(server), &to)?;
        moved.push(to);
        let heartbeat = if number.is_multiple_of(2) { 11 } else { 10 };
        fs::write(server.folder().join("config.toml"), config(mock, heartbeat))?;
        if number.is_multiple_of(3) {
            server.signal("-HUP")?;
        }
    }
}

async fn sample(server: &Server, until: Instant) -> Result<Vec<Sample>, Fault> {
    let mut samples = Vec::new();
    while Instant::now() < until {
        sleep(SAMPLE).await;
        let (memory, files) = (memory_now(server.pid())?, open_files(server.pid())?);
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let files = files as f64;
        samples.push(Sample { memory, files });
        if samples.len().is_multiple_of(60) {
            println!("after {} min: {memory:.1} MB, {files} files", samples.len() / 12);
        }
    }
    Ok(samples)
}

/// Whether the last quarter is no larger than the second.
fn flat(samples: &[Sample]) -> bool {
    let quarter = samples.len() / 4;
    let of = |part: &[Sample], size: fn(&Sample) -> f64| {
        median(&part.iter().map(size).collect::<Vec<_>>())
    };
    let second = samples.get(quarter..2 * quarter).unwrap_or_default();
    let last = samples.get(3 * quarter..).unwrap_or_default();
    let memory = (of(second, |one| one.memory), of(last, |one| one.memory));
    let files = (of(second, |one| one.files), of(last, |one| one.files));
    println!("memory, MB: {:.1} in the second quarter, {:.1} in the last", memory.0, memory.1);
    println!("open files: {:.0} in the second quarter, {:.0} in the last", files.0, files.1);
    check("memory is flat", memory.1 <= memory.0 * GROWTH)
        & check("open files are flat", files.1 <= files.0 + FILES)
}

pub(super) fn check(what: &str, holds: bool) -> bool {
    println!("{what:<60} {}", if holds { "held" } else { "MISSED" });
    holds
}

/// Whether nothing is under way any more, in the server and for any client, after a while.
async fn quiet(server: &Server) -> Result<bool, Fault> {
    let began = Instant::now();
    loop {
        let calls = calls_in_flight(&get(server, "/health?verbose").await?);
        let clients = report(server).await?;
        // The one that asks is not counted: it makes no run.
        let reserved = |client: &Value| {
            let sum = |part: &Value| {
                let each = part.as_object().into_iter().flatten();
                each.filter_map(|(_, value)| value.as_f64()).sum::<f64>()
            };
            sum(&client["reserved"]) + client["in_flight"]["used"].as_f64().unwrap_or(0.0)
        };
        let held: f64 = clients.iter().map(reserved).sum();
        if calls == 0 && held == 0.0 {
            println!("nothing is under way after {:.1} s", began.elapsed().as_secs_f64());
            return Ok(true);
        }
        if began.elapsed() > PATIENCE {
            println!("still under way: {calls} calls; held for clients: {held}");
            return Ok(check("every call has ended, every reservation is back", false));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn calls_in_flight(health: &Value) -> u64 {
    let models = health["models"].as_array().into_iter().flatten();
    let endpoints = models.flat_map(|model| model["endpoints"].as_array().into_iter().flatten());
    endpoints.filter_map(|endpoint| endpoint["in_flight"].as_u64()).sum()
}

/// What `/chorus/clients` says of each.
async fn report(server: &Server) -> Result<Vec<Value>, Fault> {
    let answer = get(server, "/chorus/clients").await?;
    Ok(answer["clients"].as_array().cloned().unwrap_or_default())
}

async fn get(server: &Server, path: &str) -> Result<Value, Fault> {
    let url = format!("http://{}{path}", server.address);
    let client = reqwest::Client::builder().no_proxy().build()?;
    let asked = client.get(url).bearer_auth(key("operator")).send().await?.error_for_status()?;
    Ok(serde_json::from_str(&asked.text().await?)?)
}

/// As many requests as there are places are let in at once, and as many calls as there are permits.
async fn all_back(server: &Server) -> Result<bool, Fault> {
    let mut fine = true;
    for (what, model, connections) in
        [("every place is back", "slow", PLACES), ("every permit is back", "narrow", PERMITS)]
    {
        let request =
            post_with(server.address, "/v1/chat/completions", &key("operator"), &ask(model, true));
        let run = load::Run {
            to: server.address,
            request,
            connections,
            requests: connections,
            tokens: None,
            pace: None,
        };
        let outcome = load::closed_loop(&run).await?;
        if let Some(error) = &outcome.first_error {
            println!("{error}");
        }
        // One that had to wait for another's permit would take twice as long as the others.
        let (first, last) = outcome
            .total
            .iter()
            .fold((f64::MAX, 0.0_f64), |(first, last), one| (first.min(*one), last.max(*one)));
        fine &= check(what, outcome.errors == 0 && last < 1.7 * first);
    }
    Ok(fine)
}

/// Models by what the pretended upstream does: their upstream names say it.
const MODELS: [(&str, &str); 8] = [
    ("steady", "writer-lat20-tok20-gap10"),
    ("failing", "worker-lat10-tok12-gap5-seed1-fail500-every4"),
    ("cutting", "worker-lat10-tok12-gap5-seed2-cut4-every3"),
    ("silent", "worker-lat10-tok12-gap5-seed3-silent1-every5"),
    ("judge", "selector-lat20"),
    ("flood", "writer-tok60000-seed4"),
    ("slow", "writer-lat20-tok40-gap50-seed5"),
    ("narrow", "writer-lat20-tok40-gap25-seed6"),
];

fn config(mock: &Server, heartbeat: u32) -> String {
    let mut text = format!(
        "[server]\nmax_in_flight = {PLACES}\nwrite_timeout_secs = 2\nheartbeat_secs = {heartbeat}\n\
         data_dir = \"kept\"\n\
         [audit]\npath = \"said/audit.jsonl\"\nrotate = \"never\"\n\
         [workflow.timeouts]\nworker_timeout_secs = 2\nsynthesizer_timeout_secs = 2\n\
         [workflow.retry]\nmax_retries = 1\nbase_delay_ms = 20\n\
         [workflow.health]\nfailure_threshold = 50\nfailure_ratio = 1.0\n"
    );
    for client in CLIENTS {
        let admin = client == "operator";
        text.push_str(&format!(
            "[[client]]\nname = \"{client}\"\nkey = \"{}\"\nadmin = {admin}\n\
             tokens_per_minute = 1000000000\nmax_in_flight = 1000\n\
             budget = {{ tokens = 900000000000, usd = 900000, per = \"month\" }}\n",
            key(client)
        ));
    }
    for (name, upstream) in MODELS {
        let permits = if name == "narrow" { PERMITS } else { 0 };
        text.push_str(&format!(
            "[[model]]\nname = \"{name}\"\nupstream_model = \"{upstream}\"\n\
             api_base = \"http://{}/v1\"\nmax_concurrency = {permits}\n\
             price = {{ input_per_mtok = 1.0, output_per_mtok = 2.0 }}\n",
            mock.address
        ));
    }
    let plan = r#"{"workers": ["failing", "cutting", "silent", "steady"], "selector": "judge",
        "synthesizer": {"ref": "steady", "fallback": ["failing"]}}"#;
    text.push_str(&format!("[workflow-integration]\njson = '''{plan}'''\n"));
    text
}
