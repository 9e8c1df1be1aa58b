//! The engine on a paused clock over scripted models: exact times, no sockets.

mod accounting;
mod asking;
mod choosing;
mod critical;
mod deadline;
mod deciding;
mod endings;
mod failing;
mod generated;
mod hedging;
mod levels;
mod quorum;
mod reranking;
mod scheduling;
mod timing;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_stream::stream;
use futures::StreamExt;
use serde_json::{Value, json};

use super::*;
use crate::{
    config::Config,
    llm::{
        Attempt, Call, CallEvent, CallStream, Completion, Delta, Llm, LlmError, LlmErrorKind,
        testing::Script,
    },
    types::{Message, OutputFormat, Prompt, Request, RequestId, Role, ToolDefinition},
};

/// Scripted models by name, and what they were asked.
#[derive(Clone, Default)]
struct Cast {
    scripts: HashMap<String, Script>,
    asked: Arc<Mutex<Vec<(String, Call)>>>,
    open: Arc<AtomicUsize>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Cast {
    fn model(
        mut self,
        name: &str,
        script: impl Fn(&Call) -> Vec<Cue> + Send + Sync + 'static,
    ) -> Self {
        let (own, asked, open) = (name.to_owned(), self.asked.clone(), self.open.clone());
        self.scripts.insert(
            name.to_owned(),
            Arc::new(move |call: Call| {
                let cues = script(&call);
                asked.lock().unwrap().push((own.clone(), call));
                open.fetch_add(1, Ordering::SeqCst);
                play(own.clone(), cues, Open(open.clone()))
            }),
        );
        self
    }

    /// An engine over these models and a plan.
    fn engine(&self, plan: &Value, more: &str) -> Arc<Engine> {
        self.engine_with(plan, more, "")
    }

    /// The same, with more keys of every model.
    fn engine_with(&self, plan: &Value, more: &str, model: &str) -> Arc<Engine> {
        let mut text = format!("[workflow-integration]\njson = '''{plan}'''\n{more}\n");
        for name in self.scripts.keys() {
            text.push_str(&format!(
                "[[model]]\nname = \"{name}\"\napi_base = \"http://127.0.0.1:9/v1\"\n{model}\n"
            ));
        }
        let config = Arc::new(Config::parse(&text, None, &|_| None).unwrap());
        let llm = Llm::scripted(&config, &self.scripts).unwrap();
        Arc::new(Engine { config, llm, memory: crate::types::Memory::new(None) })
    }

    fn asked(&self, name: &str) -> Vec<Call> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(own, _)| own == name).map(|(_, call)| call.clone()).collect()
    }
}

/// One line of a script.
enum Cue {
    Wait(u64),
    Say(&'static str),
    Think(&'static str),
    /// Wants a tool called.
    Tool,
    Fail(LlmErrorKind),
    End,
    EndAs(FinishReason),
    /// The call was polled on to its end after `End`.
    Drained(Arc<AtomicUsize>),
}

fn says(ms: u64, text: &'static str) -> impl Fn(&Call) -> Vec<Cue> + Send + Sync + 'static {
    move |_| vec![Cue::Wait(ms), Cue::Say(text), Cue::End]
}

fn fails(ms: u64, kind: LlmErrorKind) -> impl Fn(&Call) -> Vec<Cue> + Send + Sync + 'static {
    move |_| vec![Cue::Wait(ms), Cue::Fail(kind)]
}

fn play(model: String, cues: Vec<Cue>, open: Open) -> CallStream {
    Box::pin(stream! {
        let _open = open;
        yield Ok(CallEvent::Started { queued: Duration::ZERO, endpoint: 0, temperature: Some(0.5) });
        for cue in cues {
            match cue {
                Cue::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                Cue::Say(text) => yield Ok(CallEvent::Delta(Delta::Text(text.to_owned()))),
                Cue::Fail(kind) => {
                    yield Ok(CallEvent::Attempt(attempt(kind.code())));
                    let message = "scripted failure".to_owned();
                    yield Err(LlmError { kind, model: model.clone(), endpoint: None, message });
                    return;
                }
                Cue::Think(text) => yield Ok(CallEvent::Delta(Delta::Reasoning(text.to_owned()))),
                Cue::Tool => yield Ok(CallEvent::Delta(Delta::ToolCall(tool_call()))),
                Cue::End => {
                    yield Ok(CallEvent::Attempt(attempt("ok")));
                    yield Ok(finished(FinishReason::Stop));
                }
                Cue::EndAs(reason) => {
                    yield Ok(CallEvent::Attempt(attempt("ok")));
                    yield Ok(finished(reason));
                }
                Cue::Drained(count) => {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    })
}

fn finished(reason: FinishReason) -> CallEvent {
    let usage = Usage { prompt_tokens: 10, completion_tokens: 5, ..Usage::default() };
    CallEvent::Finished(Completion { reason, usage })
}

fn tool_call() -> ToolCallDelta {
    ToolCallDelta {
        index: 0,
        id: Some("c".to_owned()),
        name: Some("f".to_owned()),
        arguments: "{}".to_owned(),
    }
}

fn attempt(outcome: &'static str) -> Attempt {
    Attempt {
        endpoint: "fake".to_owned(),
        outcome,
        duration: Duration::ZERO,
        temperature: Some(0.5),
    }
}

const VERDICT: &str = r#"{"reason":"clear","scores":{"1":9,"2":3},"best":"1"}"#;
const ADVICE: &str = r#"{"task_type":"code","temperature":0.25,"language":"en"}"#;

fn ask() -> Request {
    Request::new("chorus", vec![Message::text(Role::User, "What is the answer?")])
}

struct Outcome {
    text: String,
    first_token: Option<Duration>,
    total: Duration,
    /// Attempts that went out.
    calls: u64,
    ending: Result<Box<Finished>, Box<Failed>>,
}

impl Outcome {
    fn details(&self) -> &WorkflowExecutionDetails {
        match &self.ending {
            Ok(finished) => &finished.trace,
            Err(failed) => &failed.trace,
        }
    }

    fn trace(&self) -> Value {
        serde_json::to_value(self.details()).unwrap()
    }

    /// The stages that decided the time, and what was added to theirs.
    fn critical(&self) -> (&[trace::CriticalStage], Duration) {
        let details = self.details();
        (&details.critical_path, details.overhead)
    }
}

async fn run(engine: &Arc<Engine>, request: Request) -> Outcome {
    let started = tokio::time::Instant::now();
    let route = engine.route(&request.model).unwrap();
    let mut run = engine.run(route, request, RequestId::fresh());
    let (mut text, mut first_token, mut ending) = (String::new(), None, None);
    while let Some(event) = run.events.next().await {
        match event {
            Event::Delta(Delta::Text(piece)) => {
                first_token.get_or_insert(started.elapsed());
                text.push_str(&piece);
            }
            Event::Finished(finished) => ending = Some((Ok(finished), started.elapsed())),
            Event::Failed(failed) => ending = Some((Err(failed), started.elapsed())),
            _ => {}
        }
    }
    let (ending, total) = ending.unwrap();
    Outcome { text, first_token, total, calls: run.watch.summary().calls, ending }
}

/// What a writer is shown behind the conversation.
fn shown(call: &Call) -> String {
    call.appendix.as_deref().unwrap_or_default().to_owned()
}

/// Bytes of a prompt.
fn size(call: &Call) -> usize {
    let texts: usize = call.messages.iter().map(|message| message.joined_text().len()).sum();
    texts + shown(call).len()
}

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// The paused clock steps in whole milliseconds and timers round up.
fn assert_about(got: Duration, want: Duration) {
    assert!(got >= want && got <= want + ms(10), "{got:?}, wanted {want:?}");
}
