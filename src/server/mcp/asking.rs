//! What the tools do: one question, to one who answers it, or to several.

use std::sync::Arc;

use futures::{StreamExt, stream::FuturesUnordered};
use rmcp::{
    RoleServer,
    model::{CallToolResult, ContentBlock, JsonObject, MetaObject},
    service::RequestContext,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::progress::{Notifier, notified};
use crate::{
    config::Progress,
    server::{
        App,
        caller::Caller,
        error::AppError,
        frames,
        progress::{Language, Reporter},
    },
    types::{Amount, Message, Request, Role},
    workflow::{Answer, Finished, Route, Run},
};

/// So many models are compared at most.
const MOST_COMPARED: usize = 8;

/// What `ask` takes.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Ask {
    /// The question, with all that is needed to answer it.
    question: String,
    /// Who answers it; without a name the workflow `chorus`, which asks the whole panel.
    #[serde(default)]
    model: String,
    /// Texts that the question is about, such as source files.
    #[serde(default)]
    files: Vec<File>,
}

/// A text that a question is about.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
struct File {
    /// Its name or path.
    name: String,
    /// All of it.
    text: String,
}

/// What `compare` takes.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Compare {
    /// The question, with all that is needed to answer it.
    question: String,
    /// Who answers it, each alone: 1 to 8 names.
    models: Vec<String>,
}

/// Asks one.
pub(super) async fn ask(
    app: &App,
    caller: &Caller,
    ask: Ask,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, AppError> {
    let mut question = checked(ask.question)?;
    for File { name, text } in ask.files {
        question.push_str(&format!("\n\nThe file {name}:\n\n{text}\n\n(End of the file {name}.)"));
    }
    let (route, name) = app.route(caller, &ask.model)?;
    let is_workflow = matches!(route, Route::Workflow(_));
    let request = request(caller, &ask.model, &question);
    let language = Language::of(&request.messages);
    let mut runs = started(app, caller, vec![(route, request)])?;
    let mut run = runs.pop().ok_or(AppError::Internal("there is no run"))?;
    let notifier = Notifier::of(context, None);
    if notifier.is_heard() && is_workflow {
        let mode = match app.config().server.progress {
            Progress::Off => Progress::Off,
            _ => Progress::Stages,
        };
        run.events = notified(run.events, Reporter::new(mode, language), notifier);
    }
    let (answer, finished) = ended(run).await?;
    let mut result = CallToolResult::success(vec![ContentBlock::text(answer.text)]);
    let mut about = JsonObject::new();
    about.insert("chorus".to_owned(), about_run(&name, &finished));
    result.meta = Some(MetaObject(about));
    Ok(result)
}

/// Asks several, all at the same time; who fails says so in its place.
pub(super) async fn compare(
    app: &App,
    caller: &Caller,
    compare: Compare,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, AppError> {
    let question = checked(compare.question)?;
    let names = compare.models;
    if names.is_empty() || names.len() > MOST_COMPARED {
        let message = format!("models: name 1 to {MOST_COMPARED} of them");
        return Err(AppError::field("models", message));
    }
    let asked = names.iter().map(|name| {
        let (route, _) = app.route(caller, name)?;
        Ok((route, request(caller, name, &question)))
    });
    let runs = started(app, caller, asked.collect::<Result<_, AppError>>()?)?;
    let mut notifier = Notifier::of(context, u32::try_from(runs.len()).ok());
    let numbered = runs.into_iter().enumerate();
    let mut running: FuturesUnordered<_> =
        numbered.map(|(number, run)| async move { (number, ended(run).await) }).collect();
    let mut answers: Vec<_> = names.iter().map(|_| None).collect();
    while let Some((number, answer)) = running.next().await {
        let name = names.get(number).map_or("", String::as_str);
        notifier.notify(heading(name, &answer)).await;
        if let Some(place) = answers.get_mut(number) {
            *place = Some(answer);
        }
    }
    drop(running);
    let answers: Vec<_> = names.iter().zip(answers.into_iter().flatten()).collect();
    let mut text = String::new();
    let mut about = Vec::new();
    for (name, answer) in &answers {
        text.push_str(&format!("## {}\n\n", heading(name, answer)));
        match answer {
            Ok((answer, finished)) => {
                text.push_str(answer.text.trim());
                about.push(about_run(name, finished));
            }
            Err(error) => text.push_str(&error.to_string()),
        }
        text.push_str("\n\n");
    }
    let content = vec![ContentBlock::text(text.trim_end())];
    let failed = answers.into_iter().filter_map(|(_, answer)| answer.err()).collect::<Vec<_>>();
    let mut result = match about.is_empty() {
        true => CallToolResult::error(content),
        false => CallToolResult::success(content),
    };
    let mut meta = JsonObject::new();
    meta.insert("chorus".to_owned(), Value::from(about));
    result.meta = Some(MetaObject(meta));
    if let Some(error) = failed.into_iter().next() {
        caller.log.failed(Arc::new(error));
    }
    Ok(result)
}

fn checked(question: String) -> Result<String, AppError> {
    match question.trim().is_empty() {
        true => Err(AppError::field("question", "question: it is empty; ask something")),
        false => Ok(question),
    }
}

fn request(caller: &Caller, model: &str, question: &str) -> Request {
    let message = Message::text(Role::User, question);
    let name = caller.client.as_ref().map(|client| Arc::clone(&client.name));
    let request = Request::new(model, vec![message]);
    Request { stream: false, caller: name, hops: caller.hops, ..request }
}

/// Lets the runs of one call in together.
fn started(app: &App, caller: &Caller, asked: Vec<(Route, Request)>) -> Result<Vec<Run>, AppError> {
    app.reserve(caller, || {
        let mut worst = Amount::default();
        asked.iter().for_each(|(route, request)| worst += app.engine.worst_case(route, request));
        worst
    })?;
    let requests: Vec<_> = asked.iter().map(|(_, request)| request.clone()).collect();
    let began = Arc::new(frames::began(app, caller, &requests));
    let start = |(route, request)| app.engine.run(route, request, caller.request_id);
    let runs: Vec<_> = asked.into_iter().map(start).collect();
    for run in &runs {
        caller.log.run(run.watch.clone());
        // Those of a process of their own are shown nowhere.
        if !caller.is_local() {
            app.runs.began(&began, &run.watch, &caller.cancel);
        }
    }
    Ok(runs)
}

async fn ended(run: Run) -> Result<(Answer, Box<Finished>), AppError> {
    let folded = run.fold().await.ok_or(AppError::Internal("the run has no ending"))?;
    folded.map_err(|failed| AppError::Run { failed, include_workflow: false })
}

/// Who answered, and how long it took and what it cost; or why there is no answer.
fn heading(name: &str, answer: &Result<(Answer, Box<Finished>), AppError>) -> String {
    let finished = match answer {
        Ok((_, finished)) => finished,
        Err(error) => return format!("{name}: {}", error.code()),
    };
    let seconds = std::time::Duration::from_millis(finished.trace.level.total_ms).as_secs_f64();
    let tokens = finished.spent.usage.total_tokens;
    format!("{name}: {seconds:.1} s, {tokens} tokens")
}

/// What a run took, for who counts.
fn about_run(name: &str, finished: &Finished) -> Value {
    let mut about = json!(finished.spent);
    if let Value::Object(fields) = &mut about {
        fields.insert("model".to_owned(), json!(name));
        fields.insert("status".to_owned(), json!(finished.trace.level.status));
    }
    about
}
