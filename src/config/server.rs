//! The listener and what clients see: `[server]`.

use std::{net::IpAddr, time::Duration};

/// `[server]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Address to listen on; default `127.0.0.1`.
    pub host: String,
    /// Port to listen on; default 11435, 0 = any free one.
    pub port: u16,
    /// Largest request body in bytes; default 64 MiB.
    pub request_body_limit: usize,
    /// Requests in flight; more get 503 `overloaded`. Default 1024.
    pub max_in_flight: usize,
    /// How long a shutdown waits for streams; default 30 s.
    pub shutdown_grace: Duration,
    /// How long a stream's headers wait at most for the first answer delta or draft; default 5 s.
    pub header_hold: Duration,
    /// Pause between heartbeats of a silent stream; default 10 s.
    pub heartbeat: Duration,
    /// What an unknown model name means; default 404.
    pub unknown_model: UnknownModel,
    /// Framing for clients of `/api/*` that state no preference.
    pub plain_client_format: PlainClientFormat,
    /// What workflow streams carry of their stages in the reasoning channel.
    pub progress: Progress,
    /// Which calls the reported usage sums; default the answering one alone.
    pub usage: UsageScope,
    /// The chat chunk's field(s) for reasoning.
    pub reasoning_field: ReasoningField,
    /// What `/api/version` says; digits and dots.
    pub ollama_version: String,
    /// Extra `Host` names.
    pub allowed_hosts: Vec<String>,
    /// Extra origins.
    pub cors_origins: Vec<String>,
    /// May listen beyond loopback without clients.
    pub allow_unauthenticated: bool,
}

/// `unknown_model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownModel {
    /// The default workflow answers, and says in `warnings` what was asked for.
    Workflow,
    /// 404 `model_not_found`, with the names there are.
    Reject,
}

/// `plain_client_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainClientFormat {
    /// By path and User-Agent: curl gets SSE, everybody else NDJSON.
    Auto,
    /// Always SSE.
    Sse,
    /// Always NDJSON.
    Ndjson,
}

/// `progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing.
    Off,
    /// Lines on what begins, ends and fails: `auto`.
    Stages,
    /// The same, and every draft once it is finished.
    Drafts,
}

/// `usage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageScope {
    /// All calls of the run.
    Total,
    /// The call that wrote the answer: clients read it as the length of the conversation.
    Answer,
}

/// `reasoning_field`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningField {
    /// `reasoning_content` (DeepSeek, Open WebUI, AI SDK).
    ReasoningContent,
    /// `reasoning` (Ollama's `/v1`, OpenRouter).
    Reasoning,
    /// Both.
    Both,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 11435,
            request_body_limit: 64 << 20,
            max_in_flight: 1024,
            shutdown_grace: Duration::from_secs(30),
            header_hold: Duration::from_secs(5),
            heartbeat: Duration::from_secs(10),
            unknown_model: UnknownModel::Reject,
            plain_client_format: PlainClientFormat::Auto,
            progress: Progress::Stages,
            usage: UsageScope::Answer,
            reasoning_field: ReasoningField::ReasoningContent,
            ollama_version: "0.32.7".to_owned(),
            allowed_hosts: Vec::new(),
            cors_origins: Vec::new(),
            allow_unauthenticated: false,
        }
    }
}

impl Server {
    /// Whether others than this machine could call without a key, and nobody said that they may;
    /// `open`: there is no `[[client]]`.
    #[must_use]
    pub fn is_exposed(&self, open: bool) -> bool {
        open && !self.allow_unauthenticated && !self.is_loopback()
    }

    /// Whether only this machine can reach the listener. A name other than `localhost` may resolve
    /// to anything, so it counts as beyond.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host.to_lowercase();
        match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (host, want) in [
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("::1", true),
            ("LocalHost", true),
            ("chorus.localhost", true),
            ("0.0.0.0", false),
            ("::", false),
            ("192.168.1.5", false),
            ("example.org", false),
        ] {
            let server = Server { host: host.to_owned(), ..Server::default() };
            assert_eq!(server.is_loopback(), want, "{host}");
        }
    }
}
