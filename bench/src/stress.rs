//! What Chorus bears, in figures: many slow streams, many short requests, and twice as many as it
//! takes. Bounds are those of one machine that does nothing else.

use std::{path::Path, time::Duration};

use reqwest::StatusCode;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Fault,
    client::post,
    load::{self, Outcome, Pace, milliseconds},
    plan::{ask, tokens, writes},
    process::memory_now,
    stats::percentile,
    targets::{self, Server},
};

const CHAT: &str = "/v1/chat/completions";
/// Requests that a server of the second part takes at once.
const LIMIT: usize = 200;
/// How long memory may take to be given back.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long idle connections to an upstream are kept, and some.
const IDLE: Duration = Duration::from_secs(100);

/// What was measured against what was asked for.
#[derive(Default)]
struct Bounds {
    all_held: bool,
}

impl Bounds {
    fn new() -> Self {
        Self { all_held: true }
    }

    /// Prints a figure and whether it is within its bound.
    fn at_most(&mut self, what: &str, figure: f64, bound: f64) {
        let held = figure <= bound;
        self.all_held &= held;
        let word = if held { "held" } else { "MISSED" };
        println!("{what:<44} {figure:>10.3}   <= {bound:<8} {word}");
    }
}

/// Everything. `false`: a bound was missed.
pub(crate) async fn run(chorus: &Path) -> Result<bool, Fault> {
    let mock = targets::mock()?;
    let mut bounds = Bounds::new();
    many(chorus, &mock, &mut bounds).await?;
    too_many(chorus, &mock, &mut bounds).await?;
    Ok(bounds.all_held)
}

fn config(mock: &Server, limit: usize, models: &[&str]) -> String {
    let model = |name: &&str| {
        let upstream = mock.address;
        format!("[[model]]\nname = \"{name}\"\napi_base = \"http://{upstream}/v1\"\n")
    };
    let models: String = models.iter().map(model).collect();
    format!(
        "[server]\nmax_in_flight = {limit}\n[audit]\npath = \"said/audit.jsonl\"\n{models}\
         [workflow-integration]\njson = '{{\"workers\": [\"short\"], \"synthesizer\": \"short\"}}'\n\
         [[model]]\nname = \"short\"\napi_base = \"http://{}/v1\"\nupstream_model = \"writer-tok3\"\n",
        mock.address
    )
}

/// 1,000 streams for 60 s, then 10,000 requests at 200 at once.
async fn many(chorus: &Path, mock: &Server, bounds: &mut Bounds) -> Result<(), Fault> {
    let slow = writes("writer", 100, 300, 200, 1);
    let server = targets::chorus_with(chorus, &config(mock, 8192, &[&slow]))?;
    let short = post(server.address, CHAT, &ask("short", false));
    let requests = |requests, connections| load::Run {
        to: server.address,
        request: short.clone(),
        connections,
        requests,
        tokens: None,
        pace: None,
    };
    println!("memory of an idle server, MB: {:.1}", memory_now(server.pid())?);
    // So that what is compared has had as many connections.
    load::closed_loop(&requests(3000, 1000)).await?.well()?;
    sleep(IDLE).await;
    let start = memory_now(server.pid())?;
    println!("memory at the start, MB: {start:.1}");
    let slow_streams = load::Run {
        to: server.address,
        request: post(server.address, CHAT, &ask(&slow, true)),
        connections: 1000,
        requests: 1000,
        tokens: tokens(&slow),
        pace: Some(Pace { latency: Duration::from_millis(100), gap: Duration::from_millis(200) }),
    };
    let streams = load::closed_loop(&slow_streams).await?;
    println!("memory after the streams, MB: {:.1}", memory_now(server.pid())?);
    say_errors("1,000 streams of 60 s: errors", &streams, bounds);
    println!("tokens late, ms (p99): {:.1}", percentile(&streams.late, 0.99));
    let answers = load::closed_loop(&requests(10_000, 200)).await?;
    say_errors("10,000 requests at 200 at once: errors", &answers, bounds);
    println!(
        "requests/s: {:.0}; ms (p50 / p99): {:.1} / {:.1}",
        answers.rate(),
        percentile(&answers.total, 0.5),
        percentile(&answers.total, 0.99)
    );
    println!("memory after the requests, MB: {:.1}", memory_now(server.pid())?);
    let ended = Instant::now();
    let mut end = memory_now(server.pid())?;
    while end > start * 1.1 && ended.elapsed() < PATIENCE {
        sleep(Duration::from_secs(1)).await;
        end = memory_now(server.pid())?;
    }
    println!("memory at the end, MB: {end:.1}, after {:.0} s", ended.elapsed().as_secs_f64());
    bounds.at_most("memory at the end, to that at the start", end / start, 1.1);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a count")]
fn say_errors(what: &str, outcome: &Outcome, bounds: &mut Bounds) {
    if let Some(error) = &outcome.first_error {
        println!("{what}: first: {error}");
    }
    bounds.at_most(what, outcome.errors as f64, 0.0);
}

/// As many streams as are let in, alone and beside as many that are not.
async fn too_many(chorus: &Path, mock: &Server, bounds: &mut Bounds) -> Result<(), Fault> {
    let stream = writes("writer", 100, 300, 50, 2);
    let server = targets::chorus_with(chorus, &config(mock, LIMIT, &[&stream]))?;
    let run = load::Run {
        to: server.address,
        request: post(server.address, CHAT, &ask(&stream, true)),
        connections: LIMIT,
        requests: LIMIT,
        tokens: tokens(&stream),
        pace: None,
    };
    let streams = || load::closed_loop(&run);
    streams().await?.well()?;
    let alone = streams().await?.well()?;
    let crowd = async {
        sleep(Duration::from_secs(2)).await;
        crowd(&server).await
    };
    let (admitted, refused) = tokio::join!(streams(), crowd);
    let (admitted, refused) = (admitted?.well()?, refused?);
    println!("refused: {}", refused.len());
    bounds.at_most("503 within, ms (p50)", percentile(&refused, 0.5), 5.0);
    bounds.at_most("503 within, ms (p99)", percentile(&refused, 0.99), 5.0);
    let (before, beside) = (percentile(&alone.gaps, 0.99), percentile(&admitted.gaps, 0.99));
    println!("gaps, ms (p99): alone {before:.2}, beside those refused {beside:.2}");
    bounds.at_most("gaps beside those refused, to alone (p99)", beside / before, 1.1);
    Ok(())
}

/// As many again as are let in ask for ten seconds, each twice a second. How long each refusal took,
/// in milliseconds.
async fn crowd(server: &Server) -> Result<Vec<f64>, Fault> {
    let until = Instant::now() + Duration::from_secs(10);
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{}{CHAT}", server.address);
    let mut askers = JoinSet::new();
    for number in 0..LIMIT {
        let (client, url) = (client.clone(), url.clone());
        let pause = Duration::from_millis(500);
        askers.spawn(async move {
            sleep(pause * u32::try_from(number).unwrap_or(0) / u32::try_from(LIMIT).unwrap_or(1))
                .await;
            let mut took = Vec::new();
            while Instant::now() < until {
                let asked = Instant::now();
                let sent = client.post(&url).body(ask("short", false)).send().await;
                let status = sent.map_err(|error| error.to_string())?.status();
                if status != StatusCode::SERVICE_UNAVAILABLE {
                    return Err(format!("beyond the limit the answer is {status}"));
                }
                took.push(milliseconds(asked.elapsed()));
                sleep(pause).await;
            }
            Ok(took)
        });
    }
    let mut all = Vec::new();
    while let Some(took) = askers.join_next().await {
        all.extend(took??);
    }
    Ok(all)
}
