//! The built-in demonstration upstream: five models that only pretend to think, behind a real
//! socket and the OpenAI protocol, so that the real pipeline runs with no key and no download.
//!
//! [`Demo::start`] binds it to a free loopback port, [`Demo::config_text`] is a config over it for
//! [`crate::config::Config::parse`], [`Demo::serve`] answers until it is dropped.

mod ask;
mod cast;
mod judge;
mod pace;
mod reply;

pub use pace::Pace;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use serde_json::json;
use tokio::net::TcpListener;

use ask::Ask;
use cast::Character;

/// The demonstration upstream, bound but not yet serving.
#[derive(Debug)]
pub struct Demo {
    listener: TcpListener,
    address: SocketAddr,
    pace: Pace,
}

impl Demo {
    /// Starts on a free loopback port, at the natural pace.
    ///
    /// # Errors
    /// The socket's.
    pub async fn start() -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), Pace::Natural).await
    }

    /// Starts on this address, at this pace.
    ///
    /// # Errors
    /// The socket's.
    pub async fn start_at(address: SocketAddr, pace: Pace) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, pace })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The models' names: three that draft, then the judge and the writer.
    #[must_use]
    pub fn models() -> Vec<&'static str> {
        Character::ALL.iter().map(|character| character.name()).collect()
    }

    /// A Chorus config over it: all four stages, with prices, so that traces show a cost.
    #[must_use]
    pub fn config_text(&self) -> String {
        let models: Vec<String> =
            Character::ALL.iter().map(|character| character.config(self.address)).collect();
        format!("{}\n{WORKFLOW}", models.join("\n"))
    }

    /// Answers requests; ends only with an error of the listening socket, or by being dropped.
    ///
    /// # Errors
    /// The socket's.
    pub async fn serve(self) -> io::Result<()> {
        let app = Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/models", get(models))
            .layer(DefaultBodyLimit::disable())
            .with_state(self.pace);
        // Without nodelay each small event could wait 40 ms for the one before it.
        let listener = self.listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "the demonstration upstream streams without nodelay");
            }
        });
        axum::serve(listener, app).await
    }
}

/// One worker takes its temperature from the analyzer, so that a trace shows that too.
const WORKFLOW: &str = r#"[workflow-integration]
json = """
{
  "analyzer": { "ref": "demo-judge" },
  "workers": [
    { "ref": "demo-terse", "temperature": 0.2 },
    { "ref": "demo-warm", "auto_temperature": true },
    { "ref": "demo-scholar", "temperature": 0.7 }
  ],
  "selector": { "ref": "demo-judge" },
  "synthesizer": { "ref": "demo-writer" }
}
"""
"#;

async fn chat(State(pace): State<Pace>, body: Bytes) -> Response {
    let ask = match Ask::read(&body) {
        Ok(ask) => ask,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match Character::named(&ask.model) {
        Some(character) => reply::to(&ask, character, pace).await,
        None => refusal(StatusCode::NOT_FOUND, "no demonstration model has that name"),
    }
}

async fn models() -> Response {
    let data: Vec<_> = (Demo::models().into_iter())
        .map(|name| json!({"id": name, "object": "model", "created": 0, "owned_by": "chorus-demo"}))
        .collect();
    axum::Json(json!({"object": "list", "data": data})).into_response()
}

fn refusal(status: StatusCode, message: &str) -> Response {
    let error = json!({"message": message, "type": "invalid_request_error", "param": null,
        "code": null});
    (status, axum::Json(json!({"error": error}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_config_names_every_model_and_the_real_port() {
        let demo = Demo::start_at((Ipv4Addr::LOCALHOST, 0).into(), Pace::Instant).await.unwrap();
        let file: toml::Table = demo.config_text().parse().unwrap();
        let models = file["model"].as_array().unwrap();
        let names: Vec<&str> = models.iter().map(|model| model["name"].as_str().unwrap()).collect();
        assert_eq!(names, Demo::models());
        for model in models {
            let base = format!("http://{}/v1", demo.address());
            assert_eq!(model["api_base"].as_str(), Some(base.as_str()));
        }
        let plan = file["workflow-integration"]["json"].as_str().unwrap();
        let plan: serde_json::Value = serde_json::from_str(plan).unwrap();
        let workers = plan["workers"].as_array().unwrap().iter();
        for node in workers.chain([&plan["analyzer"], &plan["selector"], &plan["synthesizer"]]) {
            assert!(names.contains(&node["ref"].as_str().unwrap()), "{node}");
        }
    }
}
