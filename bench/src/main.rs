//! Measures what Chorus adds to its upstreams: a fast pretended upstream, a bare forwarder as a
//! yardstick, a load generator, and the run that compares them. `README.md` says how to read it.

mod bare;
mod client;
mod listen;
mod load;
mod mock;
mod pipeline;
mod plan;
mod process;
mod report;
mod scenarios;
mod soak;
mod stats;
mod stress;
mod targets;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Whatever went wrong, in words.
type Fault = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "Measures what Chorus adds to its upstreams")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The pretended upstream, until its standard input ends.
    Mock {
        /// 0 takes any free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// A forwarder of axum and reqwest with nothing in it, until its standard input ends.
    Bare {
        /// Address of the pretended upstream.
        #[arg(long)]
        upstream: SocketAddr,
        /// The four stages that POST /stages runs, as JSON.
        #[arg(long)]
        plan: Option<String>,
        /// 0 takes any free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Asks one model over and over; for profiling a server that runs already.
    Load {
        /// The server's address.
        #[arg(long)]
        to: SocketAddr,
        /// The model's name.
        #[arg(long)]
        model: String,
        /// Connections that ask at the same time.
        #[arg(long, default_value_t = 1)]
        connections: usize,
        /// Requests in all.
        #[arg(long, default_value_t = 1000)]
        requests: usize,
        /// Asks for streams.
        #[arg(long)]
        stream: bool,
        /// The key of a client.
        #[arg(long)]
        key: Option<String>,
    },
    /// The comparison.
    Run(Run),
    /// What Chorus bears: 1,000 slow streams, 10,000 requests at 200 at once, twice its limit.
    Stress {
        /// The release build of Chorus.
        #[arg(long)]
        chorus: PathBuf,
    },
    /// Faults, clients that leave or do not read, reloads and log rotation for a while: nothing may
    /// grow, and every permit and token is accounted for.
    Soak {
        /// The release build of Chorus.
        #[arg(long)]
        chorus: PathBuf,
        /// How long.
        #[arg(long, default_value_t = 60)]
        minutes: u64,
    },
}

/// What to measure.
#[derive(clap::Args)]
struct Run {
    /// The release build of Chorus.
    #[arg(long)]
    chorus: PathBuf,
    /// How often everything is measured, interleaved; 5, or 3 with --quick.
    #[arg(long)]
    rounds: Option<usize>,
    /// Fewer requests and shorter streams: two minutes rather than nine.
    #[arg(long)]
    quick: bool,
    /// Of start, connections, s1, s2, s3, s4, s5; all when left out.
    #[arg(long, value_delimiter = ',')]
    only: Vec<scenarios::Scenario>,
    /// Where to write every value and ratio as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where to write the ratios a later --check compares with.
    #[arg(long)]
    write_baseline: Option<PathBuf>,
    /// Fails when a ratio is twice as bad as in this file, twice in a row.
    #[arg(long)]
    check: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Nothing here speaks TLS, but a client is not made without.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chorus-bench: {error}");
            let mut cause = error.source();
            while let Some(deeper) = cause {
                eprintln!("  because: {deeper}");
                cause = deeper.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<bool, Fault> {
    match command {
        Command::Mock { port } => mock::serve(port).await?,
        Command::Bare { upstream, plan, port } => bare::serve(upstream, plan, port).await?,
        Command::Load { to, model, connections, requests, stream, key } => {
            let body = plan::ask(&model, stream);
            let request = match key {
                Some(key) => client::post_with(to, "/v1/chat/completions", &key, &body),
                None => client::post(to, "/v1/chat/completions", &body),
            };
            let run = load::Run { to, request, connections, requests, tokens: None, pace: None };
            println!("{}", load::closed_loop(&run).await?);
        }
        Command::Run(run) => {
            return unless_asked_to_end(scenarios::compare(&run)).await;
        }
        Command::Stress { chorus } => return unless_asked_to_end(stress::run(&chorus)).await,
        Command::Soak { chorus, minutes } => {
            return unless_asked_to_end(soak::run(&chorus, minutes)).await;
        }
    }
    Ok(true)
}

/// Dropping the work ends every process that it started.
async fn unless_asked_to_end(
    work: impl Future<Output = Result<bool, Fault>>,
) -> Result<bool, Fault> {
    tokio::select! {
        result = work => result,
        () = process::asked_to_end() => Err("interrupted".into()),
    }
}
