//! Hand-made configs, traces and events for the tests beside the code.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use indexmap::IndexMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::AppState;
use crate::{
    config::{Client, Config, LogFormat, Model, Plan, Policy, Retry, Server, TimeLimits, Workflow},
    llm::{Delta, LlmError, LlmErrorKind, ToolCallDelta},
    types::{FinishReason, RequestId, Usage, WorkflowId},
    workflow::{
        Engine, Event, Failed, Finished, RunStatus, Spent, StageKind, StageReport, StageStatus,
        Warning, WorkflowError, WorkflowExecutionDetails,
        trace::{LevelRecord, UsageRecord},
    },
};

pub(super) fn server() -> Server {
    Server { port: 0, request_body_limit: 1 << 20, max_in_flight: 8, ..Server::default() }
}

pub(super) fn model(name: &str) -> Model {
    Model::plain(name, "http://127.0.0.1:9/v1")
}

pub(super) fn config(server: Server, clients: Vec<Client>, models: Vec<Model>) -> Config {
    let models: IndexMap<_, _> =
        models.into_iter().map(|model| (model.name.clone(), Arc::new(model))).collect();
    let workflow = Plan {
        name: "chorus".to_owned(),
        analyzer: None,
        members: Vec::new(),
        reranker: None,
        selector: None,
        synthesizer: None,
        policy: Policy::default(),
    };
    Config {
        server,
        clients,
        models,
        workflow: Workflow { plan: Arc::new(workflow), max_concurrency: None },
        profiles: IndexMap::new(),
        aliases: Vec::new(),
        timeouts: TimeLimits::default(),
        retry: Retry::default(),
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

pub(super) fn app(config: Config) -> AppState {
    AppState::new(Arc::new(Engine::new(Arc::new(config)).unwrap()))
}

pub(super) fn trace(mode: &'static str, status: RunStatus) -> WorkflowExecutionDetails {
    WorkflowExecutionDetails {
        workflow_id: WorkflowId::fresh(),
        request_id: RequestId::fresh(),
        mode,
        session: None,
        task: None,
        level: LevelRecord {
            name: "chorus".to_owned(),
            status,
            total_ms: 1500,
            first_token_ms: Some(900),
            usage: UsageRecord::default(),
            analyzer: None,
            workers: Vec::new(),
            reranker: None,
            selector: None,
            synthesizer: None,
            note: None,
        },
        overhead: Duration::ZERO,
        critical_path: Vec::new(),
        warnings: Vec::new(),
    }
}

pub(super) fn usage() -> Usage {
    Usage {
        prompt_tokens: 26,
        completion_tokens: 12,
        cached_tokens: 4,
        reasoning_tokens: 3,
        prompt_time: Duration::from_millis(1),
        completion_time: Duration::from_millis(900),
        estimated: false,
    }
}

pub(super) fn finished(reason: FinishReason) -> Finished {
    let trace = trace("workflow", RunStatus::Ok);
    let mut total = usage();
    total.prompt_tokens *= 4;
    let spent = Spent { usage: UsageRecord::new(&total, Some(0.5)), calls: 5, workflow_id: None };
    Finished { reason, usage: usage(), spent, trace: trace.into() }
}

/// A run one of whose workers failed.
pub(super) fn degraded() -> Finished {
    let mut finished = finished(FinishReason::Stop);
    let trace = Arc::make_mut(&mut finished.trace);
    trace.level.status = RunStatus::Degraded;
    trace.warnings = vec![Warning { stage: "worker", name: "b".to_owned(), code: "timeout" }];
    finished
}

pub(super) fn failed(error: WorkflowError) -> Box<Failed> {
    Box::new(Failed { error, trace: trace("workflow", RunStatus::Failed).into() })
}

pub(super) fn upstream(kind: LlmErrorKind) -> WorkflowError {
    WorkflowError::Upstream(LlmError {
        kind,
        model: "writer".to_owned(),
        endpoint: Some("a.example".to_owned()),
        message: "it broke".to_owned(),
    })
}

pub(super) fn token(text: &str) -> Event {
    Event::Delta(Delta::Text(text.to_owned()))
}

pub(super) fn reasoning(text: &str) -> Event {
    Event::Delta(Delta::Reasoning(text.to_owned()))
}

pub(super) fn end(finished: Finished) -> Event {
    Event::Finished(Box::new(finished))
}

pub(super) fn worker(name: &str, status: StageStatus) -> Event {
    Event::StageFinished(StageReport {
        stage: StageKind::Worker,
        name: name.to_owned(),
        status,
        duration_ms: 1980,
        detail: (status != StageStatus::Ok).then(|| "timeout".to_owned()),
        degrades: status != StageStatus::Ok,
        language: None,
    })
}

/// A piece of a tool call; the first of an index has an id and a name.
pub(super) fn call(index: u32, opens: Option<(&str, &str)>, arguments: &str) -> Event {
    Event::Delta(Delta::ToolCall(ToolCallDelta {
        index,
        id: opens.map(|(id, _)| id.to_owned()),
        name: opens.map(|(_, name)| name.to_owned()),
        arguments: arguments.to_owned(),
    }))
}

pub(super) fn events(list: Vec<Event>) -> BoxStream<'static, Event> {
    futures::stream::iter(list).boxed()
}

/// Events that come after pauses, given in seconds.
pub(super) fn paced(list: Vec<(u64, Event)>) -> BoxStream<'static, Event> {
    async_stream::stream! {
        for (pause, event) in list {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            yield event;
        }
    }
    .boxed()
}

/// Any JSON at all, a few levels deep, with the names that mean something to us.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("user")),
        Just(json!("image_url")),
        Just(json!("data:image/png;base64,iVBORw0KGgoAAAAN")),
    ];
    let key = prop_oneof![
        "[a-z_]{0,6}",
        Just("role".to_owned()),
        Just("content".to_owned()),
        Just("type".to_owned()),
        Just("image_url".to_owned()),
        Just("function".to_owned()),
        Just("name".to_owned()),
        Just("arguments".to_owned()),
        Just("tool_calls".to_owned()),
        Just("images".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// What an encoder wrote.
pub(super) fn text_of(object: Bytes) -> String {
    String::from_utf8(object.into()).unwrap()
}

/// The same, to look into.
pub(super) fn json_of(object: &[u8]) -> Value {
    serde_json::from_slice(object).unwrap()
}

/// Takes out what differs from run to run: the values of `created_at`.
pub(super) fn without_times(text: &str) -> String {
    let key = "\"created_at\":\"";
    let (first, rest) = text.split_once(key).unwrap_or((text, ""));
    let pieces = rest.split(key).filter_map(|piece| piece.split_once('"'));
    pieces.fold(first.to_owned(), |clean, (_, tail)| format!("{clean}{key}[time]\"{tail}"))
}
