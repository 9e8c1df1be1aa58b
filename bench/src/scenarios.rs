//! The scenarios, each measured on every target in turn, round after round.

mod stages;

use std::{fs, net::SocketAddr, time::Duration};

use clap::ValueEnum;
use indexmap::IndexMap;

use crate::{
    Fault, Run,
    client::post,
    load::{self, Outcome, Pace},
    plan,
    plan::{Plan, Shape, ask, writes},
    process,
    report::{self, Baseline, Book},
    stats::percentile,
    targets::{self, Server, Setup},
};

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Scenario {
    /// From exec to listening with 100 models, size, idle memory.
    Start,
    /// Connections opened to the upstream.
    Connections,
    /// Small whole answers.
    S1,
    /// Streams.
    S2,
    /// Four stages.
    S3,
    /// 1 to 64 workers.
    S4,
    /// 1,000 slow streams.
    S5,
}

impl Scenario {
    const ALL: [Self; 7] =
        [Self::Start, Self::Connections, Self::S1, Self::S2, Self::S3, Self::S4, Self::S5];

    /// What its ratios' names begin with.
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Connections => "connections",
            Self::S1 => "s1",
            Self::S2 => "s2",
            Self::S3 => "s3",
            Self::S4 => "s4",
            Self::S5 => "s5",
        }
    }
}

const CHAT: &str = "/v1/chat/completions";
const FRONTS: [&str; 4] = ["mock", "nginx", "bare", "chorus"];
/// Analyzer, workers, selector, writer.
const FOUR_STAGES: Shape = Shape { latency: [100, 200, 100, 100], tokens: [16, 9], gap: 5 };
const NO_LATENCY: Shape = Shape { latency: [0; 4], tokens: [4, 4], gap: 0 };

/// Measures, prints, and checks if asked to. `false`: the check found something worse.
pub(crate) async fn compare(run: &Run) -> Result<bool, Fault> {
    let rounds = run.rounds.unwrap_or(if run.quick { 3 } else { 5 }).max(1);
    let chosen = Scenario::ALL.into_iter();
    let chosen: Vec<_> = chosen.filter(|it| run.only.is_empty() || run.only.contains(it)).collect();
    let machine = process::machine();
    let book = measure(run, &chosen, rounds).await?;
    let ratios = book.ratios();
    println!("{}\n\n{}", book.table(), report::ratio_table(&ratios));
    if let Some(file) = &run.json {
        fs::write(file, format!("{:#}\n", book.json(machine, rounds, run.quick)))?;
    }
    if let Some(file) = &run.write_baseline {
        let text = serde_json::to_string_pretty(&report::baseline(&ratios))?;
        fs::write(file, text + "\n")?;
    }
    let Some(file) = &run.check else { return Ok(true) };
    let baseline: Baseline = serde_json::from_str(&fs::read_to_string(file)?)?;
    let worse = report::worse(&ratios, &baseline)?;
    if worse.is_empty() {
        return Ok(true);
    }
    // A shared machine can spoil every round of a scenario, but seldom twice.
    println!("\ntwice as bad as the baseline, measured once more: {worse:?}");
    let of = |it: &Scenario| worse.keys().any(|name| name.split('.').next() == Some(it.name()));
    let again: Vec<_> = chosen.into_iter().filter(of).collect();
    let mut still = report::worse(&measure(run, &again, rounds).await?.ratios(), &baseline)?;
    still.retain(|name, _| worse.contains_key(name));
    if !still.is_empty() {
        println!("\nstill twice as bad: {still:?}");
    }
    Ok(still.is_empty())
}

async fn measure(run: &Run, chosen: &[Scenario], rounds: usize) -> Result<Book, Fault> {
    let mut bench = Bench {
        run,
        mock: targets::mock()?,
        servers: IndexMap::new(),
        book: Book::default(),
        bound: Plan::new(FOUR_STAGES, 7, true, true),
        free: Plan::new(FOUR_STAGES, 7, true, false),
        instant: Plan::new(NO_LATENCY, 7, true, true),
    };
    for round in 0..rounds {
        for scenario in chosen {
            eprintln!("round {} of {rounds}: {}", round + 1, scenario.name());
            match scenario {
                Scenario::Start => bench.start()?,
                Scenario::Connections if round > 0 => {} // a count, which rounds do not change
                Scenario::Connections => bench.connections().await?,
                Scenario::S1 => bench.s1(round).await?,
                Scenario::S2 => bench.s2(round).await?,
                Scenario::S3 => bench.s3().await?,
                Scenario::S4 => bench.s4().await?,
                Scenario::S5 => bench.s5(round).await?,
            }
        }
    }
    Ok(bench.book)
}

struct Bench<'a> {
    run: &'a Run,
    mock: Server,
    /// Those that live through all rounds, started when first needed.
    servers: IndexMap<&'static str, Server>,
    book: Book,
    bound: Plan,
    free: Plan,
    instant: Plan,
}

/// A server's address and process.
#[derive(Clone, Copy)]
struct Front {
    address: SocketAddr,
    pid: u32,
}

impl From<&Server> for Front {
    fn from(server: &Server) -> Self {
        Self { address: server.address, pid: server.pid() }
    }
}

/// The targets, each first in its turn.
fn turns(round: usize) -> impl Iterator<Item = &'static str> {
    FRONTS.into_iter().cycle().skip(round % FRONTS.len()).take(FRONTS.len())
}

fn small() -> String {
    writes("writer", 0, 1, 0, 1)
}

impl Bench<'_> {
    /// One of two numbers: for a long or for a quick run.
    fn count(&self, long: usize, quick: usize) -> usize {
        if self.run.quick { quick } else { long }
    }

    /// A fresh server that passes requests on.
    fn fresh(&self, target: &str) -> Result<Server, Fault> {
        let upstream = self.mock.address;
        match target {
            "nginx" => targets::nginx(upstream),
            "bare" => targets::bare(upstream, None),
            _ => {
                let streams = [self.one_gap(), self.one_ready(), self.many_gap(), self.slow()];
                let mut models: Vec<String> = streams.into_iter().map(|(model, _)| model).collect();
                models.push(small());
                models.sort();
                models.dedup();
                targets::chorus(&self.run.chorus, upstream, &Setup { models, plan: &self.bound })
            }
        }
    }

    /// The server that lives through all rounds.
    fn front(&mut self, target: &'static str) -> Result<Front, Fault> {
        if target == "mock" {
            return Ok(Front::from(&self.mock));
        }
        self.kept(target, |bench| bench.fresh(target))
    }

    fn kept(
        &mut self,
        name: &'static str,
        start: impl FnOnce(&Self) -> Result<Server, Fault>,
    ) -> Result<Front, Fault> {
        if !self.servers.contains_key(name) {
            let server = start(self)?;
            self.servers.insert(name, server);
        }
        self.servers.get(name).map(Front::from).ok_or_else(|| "no server".into())
    }

    fn chorus_with(&mut self, name: &'static str, plan: &Plan) -> Result<Front, Fault> {
        self.kept(name, |bench| {
            let setup = Setup { models: Vec::new(), plan };
            targets::chorus(&bench.run.chorus, bench.mock.address, &setup)
        })
    }

    fn start(&mut self) -> Result<(), Fault> {
        let models = (0..100).map(|number| format!("model{number}")).collect();
        let setup = Setup { models, plan: &self.bound };
        let server = targets::chorus(&self.run.chorus, self.mock.address, &setup)?;
        std::thread::sleep(Duration::from_millis(500));
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        let size = fs::metadata(&self.run.chorus)?.len() as f64 / 1e6;
        let book = &mut self.book;
        book.add("start.listening", "ms", "chorus", server.started_in);
        book.add("start.binary", "MB", "chorus", size);
        book.add("start.idle_memory", "MB", "chorus", process::memory_now(server.pid())?);
        Ok(())
    }

    async fn connections(&mut self) -> Result<(), Fault> {
        for target in FRONTS.into_iter().skip(1) {
            let server = self.fresh(target)?;
            let before = self.opened().await?;
            asked(&Front::from(&server), &small(), false, 64, 10_000, None).await?;
            // The two questions for the count came over connections of their own.
            let opened = self.opened().await? - before - 1.0;
            self.book.add("connections.opened", "", target, opened);
        }
        Ok(())
    }

    /// Connections that the mock has accepted.
    async fn opened(&self) -> Result<f64, Fault> {
        let mut connection = crate::client::Connection::open(self.mock.address).await?;
        let reply = connection.exchange(b"GET /stats HTTP/1.1\r\nhost: mock\r\n\r\n").await?;
        let stats: serde_json::Value = serde_json::from_slice(&reply.body)?;
        stats.get("connections").and_then(serde_json::Value::as_f64).ok_or("no count".into())
    }

    async fn s1(&mut self, round: usize) -> Result<(), Fault> {
        let (few, many) = (self.count(3_000, 600), self.count(20_000, 5_000));
        for target in turns(round) {
            let front = self.front(target)?;
            asked(&front, &small(), false, 1, 50, None).await?;
            let one = asked(&front, &small(), false, 1, few, None).await?;
            self.book.add("s1.one.p50", "ms", target, percentile(&one.total, 0.5));
            self.book.add("s1.one.p99", "ms", target, percentile(&one.total, 0.99));
        }
        for target in turns(round) {
            let front = self.front(target)?;
            let before = process::cpu_seconds(front.pid);
            let many = asked(&front, &small(), false, 64, many, None).await?;
            let cpu = process::cpu_seconds(front.pid) - before;
            #[expect(clippy::cast_precision_loss, reason = "a count")]
            let thousands = many.total.len() as f64 / 1000.0;
            self.book.add("s1.64.rate", "requests/s", target, many.rate());
            self.book.add("s1.64.cpu", "CPU s per 1000 requests", target, cpu / thousands);
            self.book.add("s1.64.p50", "ms", target, percentile(&many.total, 0.5));
            self.book.add("s1.64.p99", "ms", target, percentile(&many.total, 0.99));
        }
        Ok(())
    }

    fn one_gap(&self) -> (String, Pace) {
        stream(20, 20, 5)
    }

    fn one_ready(&self) -> (String, Pace) {
        stream(0, 200, 0)
    }

    fn many_gap(&self) -> (String, Pace) {
        stream(20, 100, 5)
    }

    fn slow(&self) -> (String, Pace) {
        if self.run.quick { stream(100, 10, 200) } else { stream(100, 20, 200) }
    }

    async fn s2(&mut self, round: usize) -> Result<(), Fault> {
        for target in turns(round) {
            let front = self.front(target)?;
            let (model, pace) = self.one_gap();
            let gap = asked(&front, &model, true, 1, self.count(12, 5), Some(pace)).await?;
            self.book.add("s2.one.gap.first", "ms", target, percentile(&gap.first_token, 0.5));
            self.book.add("s2.one.gap.latest", "ms", target, percentile(&gap.late, 1.0));
            let (model, _) = self.one_ready();
            let ready = asked(&front, &model, true, 1, self.count(400, 100), None).await?;
            let first = &ready.first_token;
            self.book.add("s2.one.ready.first", "ms", target, percentile(first, 0.5));
            self.book.add("s2.one.ready.first_p99", "ms", target, percentile(first, 0.99));
            self.book.add("s2.one.ready.total", "ms", target, percentile(&ready.total, 0.5));
        }
        for target in turns(round) {
            let front = self.front(target)?;
            let (model, _) = self.one_ready();
            let before = process::cpu_seconds(front.pid);
            let ready = asked(&front, &model, true, 200, self.count(2_000, 600), None).await?;
            let cpu = process::cpu_seconds(front.pid) - before;
            #[expect(clippy::cast_precision_loss, reason = "a count")]
            let millions = ready.tokens as f64 / 1e6;
            self.book.add("s2.200.ready.rate", "tokens/s", target, ready.token_rate());
            self.book.add("s2.200.ready.cpu", "CPU s per million tokens", target, cpu / millions);
        }
        for target in turns(round) {
            let front = self.front(target)?;
            let (model, pace) = self.many_gap();
            let gap = asked(&front, &model, true, 200, self.count(600, 200), Some(pace)).await?;
            self.book.add("s2.200.gap.total", "ms", target, percentile(&gap.total, 0.5));
            self.book.add("s2.200.gap.late_p99", "ms", target, percentile(&gap.late, 0.99));
        }
        Ok(())
    }

    async fn s5(&mut self, round: usize) -> Result<(), Fault> {
        let (model, pace) = self.slow();
        for target in turns(round) {
            // A peak of memory is for ever: each round has a process of its own.
            let fresh = if target == "mock" { None } else { Some(self.fresh(target)?) };
            let front = fresh.as_ref().map_or_else(|| Front::from(&self.mock), Front::from);
            let run = of(&front, &model, true, 1000, 1000, Some(pace));
            let outcome = load::closed_loop(&run).await?;
            #[expect(clippy::cast_precision_loss, reason = "a count")]
            self.book.add("s5.errors", "", target, outcome.errors as f64);
            self.book.add("s5.late_p99", "ms", target, percentile(&outcome.late, 0.99));
            if fresh.is_some() {
                let peak = process::peak_memory(front.pid)?;
                self.book.add("s5.peak_memory", "MB", target, peak);
            }
        }
        Ok(())
    }
}

/// The name and the pace of a model that streams.
fn stream(latency: u32, tokens: u32, gap: u32) -> (String, Pace) {
    let pace = Pace {
        latency: Duration::from_millis(latency.into()),
        gap: Duration::from_millis(gap.into()),
    };
    (writes("writer", latency, tokens, gap, 1), pace)
}

fn of(
    front: &Front,
    model: &str,
    stream: bool,
    connections: usize,
    requests: usize,
    pace: Option<Pace>,
) -> load::Run {
    let request = post(front.address, CHAT, &ask(model, stream));
    let tokens = plan::tokens(model).filter(|_| stream);
    load::Run { to: front.address, request, connections, requests, tokens, pace }
}

/// Asks one model, through whatever stands before it.
async fn asked(
    front: &Front,
    model: &str,
    stream: bool,
    connections: usize,
    requests: usize,
    pace: Option<Pace>,
) -> Result<Outcome, Fault> {
    load::closed_loop(&of(front, model, stream, connections, requests, pace)).await?.well()
}
