//! `chorus demo`: the real server over the built-in demonstration upstream.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
};

use tokio::net::TcpListener;

use super::{
    non_blocking::NonBlocking,
    screen::{self, Opening},
    serve::{Signals, until_signalled, worker_count},
};
use crate::{
    config::{Config, ConfigError, LogFormat, Overrides},
    demo::Demo,
    llm::LlmError,
    server::{self, AppState, Workers},
    workflow::Engine,
};

/// Why the demo could not start or go on.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("the demonstration upstream could not be bound: {0}")]
    Upstream(io::Error),
    #[error("the demonstration upstream stopped: {0}")]
    Stopped(io::Error),
    #[error("the built-in config is refused:\n{0}")]
    Config(#[from] ConfigError),
    #[error("the upstream client could not be built: {0}")]
    Client(#[from] LlmError),
    #[error("cannot resolve '{host}': {cause}; try --host 127.0.0.1")]
    Host { host: String, cause: io::Error },
    #[error(
        "cannot listen on {address}: {cause}; try another port, such as --port 0 for a free one"
    )]
    Listen { address: SocketAddr, cause: io::Error },
    #[error("cannot start the worker threads: {0}")]
    Workers(io::Error),
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    #[error("the address that it listens on is not known: {0}")]
    Address(io::Error),
}

/// Runs the demo until Ctrl-C or SIGTERM. Without overrides the defaults of `[server]` hold. Unless it
/// is to be quiet or logs as JSON, a screen of what to try goes to stdout. Returns the exit code: 0
/// after a shutdown, 1 when something failed, which is then said on stderr.
pub async fn run(overrides: Overrides, quiet: bool) -> u8 {
    match serve(overrides, quiet).await {
        Ok(code) => code,
        Err(error) => {
            // With stderr gone there is nobody left to tell; the exit code still does.
            drop(writeln!(NonBlocking::stderr(), "chorus demo: {error}"));
            1
        }
    }
}

async fn serve(overrides: Overrides, quiet: bool) -> Result<u8, DemoError> {
    let signals = Signals::new().map_err(DemoError::Signals)?;
    if let Err(error) = server::raise_open_files() {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let demo = Demo::start().await.map_err(DemoError::Upstream)?;
    let config = Arc::new(config(&demo, overrides)?);
    let listener = listen(&config.server.host, config.server.port).await?;
    let workers = Workers::start(worker_count(&config.server)).map_err(DemoError::Workers)?;
    let address = listener.local_addr().map_err(DemoError::Address)?;
    let app = AppState::new(Arc::new(Engine::new(Arc::clone(&config))?));
    if config.log_format == LogFormat::Json {
        screen::log_opening(&config, address, Opening::default());
    } else if !quiet {
        // With stdout gone there is nobody left to tell.
        NonBlocking::stdout().offer(welcome(address).as_bytes());
    }
    tokio::select! {
        code = until_signalled(listener, workers, app, signals, || {}) => Ok(code),
        ended = demo.serve() => match ended {
            Ok(()) => Ok(0),
            Err(error) => Err(DemoError::Stopped(error)),
        },
    }
}

/// Nothing here can be spent or leaked, so a host that was asked for by name needs no client key.
fn config(demo: &Demo, overrides: Overrides) -> Result<Config, ConfigError> {
    let Overrides { host, port, log_format } = overrides;
    let mut config = Config::parse(&demo.config_text(), None, &|_| None)?;
    config.log_format = log_format.unwrap_or(config.log_format);
    config.server.allow_unauthenticated |= host.is_some();
    config.server.host = host.unwrap_or(config.server.host);
    config.server.port = port.unwrap_or(config.server.port);
    Ok(config)
}

async fn listen(host: &str, port: u16) -> Result<TcpListener, DemoError> {
    let failed = |cause| DemoError::Host { host: host.to_owned(), cause };
    let mut addresses = tokio::net::lookup_host((host, port)).await.map_err(failed)?;
    let Some(address) = addresses.next() else {
        return Err(failed(io::ErrorKind::NotFound.into()));
    };
    server::bind(address).map_err(|cause| DemoError::Listen { address, cause })
}

/// The first thing a new user reads: what this is, where it is, what to try.
fn welcome(address: SocketAddr) -> String {
    let open = if address.ip().is_loopback() {
        ""
    } else {
        "\nIt listens beyond this machine and asks for no key: anyone who reaches it may use it.\n"
    };
    let url = screen::reachable("http", address);
    let addresses = screen::addresses("http", address).join("\n");
    let [first, second, third, ..] = Demo::models()[..] else { return url };
    format!(
        r#"Chorus demo. Every answer is SIMULATED: no model, no key, and nothing leaves this machine.
The pipeline is the real one: analysis, three drafts at once, a verdict, a fused answer.

{addresses}
{open}
Open {url}/ui in a browser, or try in another terminal:

  curl -N {url}/api/generate -d '{{"prompt": "Why is the sky blue?"}}'

  curl -N {url}/v1/chat/completions -d '{{"stream": true, "include_workflow": true,
    "messages": [{{"role": "user", "content": "天空为什么是蓝色的？"}}]}}'

  python3 -c 'import openai; print(openai.OpenAI(base_url="{url}/v1", api_key="any")
    .chat.completions.create(model="chorus", messages=[{{"role": "user", "content": "Hello"}}])
    .choices[0].message.content)'

  python3 -c 'import ollama; print(ollama.Client("{url}").generate("chorus", "Hello").response)'

Model "chorus" is the whole workflow; {first}, {second} and {third} answer alone.
For real models: chorus init writes a config of what it finds, and chorus serves it.
Ctrl-C ends the demo.
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_welcome_says_what_this_is_and_where() {
        for (address, reachable, open) in [
            ("127.0.0.1:11435", "http://127.0.0.1:11435/v1", false),
            ("0.0.0.0:8080", "http://127.0.0.1:8080/v1", true),
            ("[::]:8080", "http://[::1]:8080/v1", true),
        ] {
            let screen = welcome(address.parse().unwrap());
            assert!(screen.contains("SIMULATED") && screen.contains(reachable), "{screen}");
            assert_eq!(screen.contains("asks for no key"), open, "{address}");
            for model in &Demo::models()[..3] {
                assert!(screen.contains(model), "{model}");
            }
        }
    }
}
