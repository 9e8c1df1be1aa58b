//! Calls over real sockets, against an upstream that says exactly what a test wants.

mod connections;
mod failing;
mod fast_path;
mod forwarding;
mod logs;
mod pooling;
mod protocols;
mod reading;
mod reloading;
mod upstream;

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use indexmap::IndexMap;
use reqwest::ClientBuilder;
use serde_json::{Value, json};

use super::{testing::*, *};
use crate::{
    config::{self, Config, LogFormat, Retry, TimeLimits},
    types::{OutputFormat, Prompt, Protocol, ToolDefinition},
};
use upstream::{Reply, Upstream};

/// What a call gave, folded.
#[derive(Debug, Default)]
struct Outcome {
    text: String,
    reasoning: String,
    tool_calls: Vec<ToolCallDelta>,
    attempts: Vec<&'static str>,
    finished: Option<Completion>,
    error: Option<LlmError>,
}

impl Outcome {
    fn kind(&self) -> LlmErrorKind {
        self.error.as_ref().expect("the call should have failed").kind
    }
}

async fn outcome(mut stream: CallStream) -> Outcome {
    let (mut outcome, mut started) = (Outcome::default(), 0);
    while let Some(event) = stream.next().await {
        assert!(outcome.error.is_none(), "an error is the last item");
        match event {
            Ok(CallEvent::Started { .. }) => started += 1,
            Ok(CallEvent::Waiting { .. }) => {}
            Ok(CallEvent::Attempt(attempt)) => outcome.attempts.push(attempt.outcome),
            Ok(CallEvent::Delta(Delta::Text(text))) => outcome.text.push_str(&text),
            Ok(CallEvent::Delta(Delta::Reasoning(text))) => outcome.reasoning.push_str(&text),
            Ok(CallEvent::Delta(Delta::ToolCall(call))) => outcome.tool_calls.push(call),
            Ok(CallEvent::Delta(Delta::State(_))) => {}
            Ok(CallEvent::Finished(completion)) => outcome.finished = Some(completion),
            Err(error) => outcome.error = Some(error),
        }
    }
    assert_eq!(started, outcome.attempts.len(), "each attempt is announced");
    outcome
}

/// A config of this one model, with quick retries.
pub(super) fn config_of(model: config::Model) -> Config {
    let plan = config::Plan {
        name: "chorus".into(),
        analyzer: None,
        members: Vec::new(),
        reranker: None,
        selector: None,
        synthesizer: None,
        policy: config::Policy::default(),
    };
    Config {
        server: config::Server::default(),
        clients: Vec::new(),
        models: IndexMap::from([(model.name.clone(), Arc::new(model))]),
        workflow: config::Workflow { plan: Arc::new(plan), max_concurrency: None },
        profiles: IndexMap::new(),
        aliases: Vec::new(),
        timeouts: TimeLimits::default(),
        retry: Retry { base_delay: Duration::from_millis(5), ..Retry::default() },
        health: crate::config::Health::default(),
        transport: crate::config::Transport::default(),
        memory_limit: None,
        log_format: LogFormat::Pretty,
        audit: None,
        runs: crate::config::Runs::default(),
        asked: Vec::new(),
        stored: None,
        versions: None,
        shown: serde_json::Value::Null,
        path: None,
        files: Vec::new(),
        notices: Vec::new(),
        warnings: Vec::new(),
    }
}

fn llm_model(model: config::Model) -> Arc<Model> {
    let name = model.name.clone();
    let llm = Llm::new(&config_of(model)).expect("a client can be built");
    Arc::clone(llm.model(&name).expect("the model is configured"))
}

fn openai(upstream: &Upstream) -> Arc<Model> {
    llm_model(model(Protocol::OpenAi, &format!("{}/v1", upstream.base())))
}

fn ollama(upstream: &Upstream) -> Arc<Model> {
    llm_model(model(Protocol::Ollama, &upstream.base()))
}

fn chunk(delta: &Value) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta}]}))
}

fn says(text: &str) -> String {
    chunk(&json!({ "content": text }))
}

fn finish(reason: &str) -> String {
    let choice = json!({"index": 0, "delta": {}, "finish_reason": reason});
    format!("data: {}\n\n", json!({"choices": [choice]}))
}

const DONE: &str = "data: [DONE]\n\n";

/// A complete streamed answer.
fn answer(text: &str) -> Reply {
    Reply::sse([says(text), finish("stop"), DONE.into()].concat())
}
