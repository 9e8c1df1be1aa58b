//! Embeddings and rankings, which pass through: the request goes to one model's upstream as it came, and its
//! answer comes back as it is. Only the model's name changes on both ways.

mod renamed;

use std::{
    io,
    pin::pin,
    sync::{Arc, atomic::AtomicU64},
};

use axum::{body::Body, http::HeaderValue, http::header, response::Response};
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::to_raw_value};

use self::renamed::Renamed;
use super::{
    App,
    caller::Caller,
    error::AppError,
    extract::Verbatim,
    operation::{ErrorForm, Operation, RUNNING},
};
use crate::{
    config::{LimitKind, Price},
    llm::{Forwarded, ForwardedReply, LlmError, Model, Passthrough},
    types::Amount,
    workflow::Route,
};

/// Of a text whose tokens nobody has counted.
const BYTES_PER_TOKEN: usize = 4;

/// The upstream's answer, field by field: what its API's documentation says, and whatever else it
/// sent.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct ForwardedResponse(Forwarded);

/// What Chorus reads of a request; everything else is the upstream's to judge.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the request is passed on without being read into it")]
struct ForwardedRequest {
    /// A `[[model]]` of a protocol that has this endpoint, or an alias of one.
    model: String,
    /// Accepted as everywhere; there is no run to show.
    include_workflow: Option<bool>,
}

/// `POST /v1/embeddings` (OpenAI's API reference).
pub(super) async fn embeddings(app: App, request: Verbatim) -> Result<Response, AppError> {
    forward(&app, request, Passthrough::Embeddings).await
}

/// `POST /v1/rerank` (Jina's API reference), `POST /v2/rerank` (Cohere's).
pub(super) async fn rerank(app: App, request: Verbatim) -> Result<Response, AppError> {
    forward(&app, request, Passthrough::Rerank).await
}

/// `POST /api/embed` (Ollama's API documentation).
pub(super) async fn ollama_embed(app: App, request: Verbatim) -> Result<Response, AppError> {
    forward(&app, request, Passthrough::OllamaEmbed).await
}

/// `POST /api/embeddings`, Ollama's older form (Ollama's API documentation).
pub(super) async fn ollama_embeddings(app: App, request: Verbatim) -> Result<Response, AppError> {
    forward(&app, request, Passthrough::OllamaEmbeddings).await
}

/// Chorus reads who is asked; everything else is the upstream's to judge.
async fn forward(
    app: &App,
    mut request: Verbatim,
    what: Passthrough,
) -> Result<Response, AppError> {
    let model: Option<Option<String>> = request.take("model")?;
    // Accepted as everywhere; there is no run to show.
    let _: Option<Option<bool>> = request.take("include_workflow")?;
    let Verbatim { fields, caller } = request;
    let (route, name) = app.route(&caller, &model.flatten().unwrap_or_default())?;
    let model = match route {
        Route::Direct(model) | Route::Task(model, _) => model,
        Route::Workflow(_) => {
            let message = "model: this endpoint passes on to a single [[model]], not to a \
                           workflow; name one";
            return Err(AppError::field("model", message));
        }
    };
    check_protocol(&model, what)?;
    app.reserve(&caller, || {
        app.engine.worst_case_of_forwarding(model.config(), bytes_of(&fields))
    })?;
    let sent = Sent::new(&caller, &model, bytes_of(&fields));
    let limit = app.config().timeouts.of_model(LimitKind::Synthesizer, model.config(), None);
    let answer = tokio::select! {
        biased;
        () = app.lifecycle.ending() => return Err(AppError::ShuttingDown),
        answer = model.forward(what, fields, limit, caller.hops, &sent.calls) => answer,
    };
    match answer.map_err(AppError::Upstream) {
        Ok(ForwardedReply::Whole(answer)) => {
            sent.answered(Some(&answer));
            reply(answer, &name)
        }
        // What it says of its tokens comes at its end: the estimate counts.
        Ok(ForwardedReply::Streamed(pieces)) => Ok(streamed(app, &caller, pieces, &name)),
        Err(error) => {
            sent.answered(None);
            Err(error)
        }
    }
}

/// A request on its way, for whose tokens its client pays: those that the upstream counted, or an
/// estimate when the client did not wait for the answer.
struct Sent<'a> {
    caller: &'a Caller,
    price: Option<Price>,
    /// Attempts: each counts, as those of runs do.
    calls: AtomicU64,
    prompt_tokens: u64,
}

impl<'a> Sent<'a> {
    fn new(caller: &'a Caller, model: &Model, bytes: usize) -> Self {
        let prompt_tokens = u64::try_from(bytes / BYTES_PER_TOKEN).unwrap_or(u64::MAX);
        Self { caller, price: model.config().price, calls: AtomicU64::new(0), prompt_tokens }
    }

    /// What was refused cost nothing but the calls.
    fn answered(mut self, answer: Option<&Forwarded>) {
        self.prompt_tokens = match answer {
            Some(answer) => counted(answer).unwrap_or(self.prompt_tokens),
            None => 0,
        };
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        let calls = *self.calls.get_mut();
        if calls == 0 {
            // Whoever left while others were asked, or whom no endpoint was there for.
            return;
        }
        let picodollars = self.price.map_or(0, |price| price.picodollars(self.prompt_tokens, 0));
        let taken = Amount { calls, tokens: self.prompt_tokens, picodollars };
        if let Some(reservation) = &mut self.caller.log.fields().reservation {
            reservation.add(taken);
        }
    }
}

/// The tokens that an upstream says it read: in `usage` (OpenAI; Jina, which may have the total alone),
/// `meta` (Cohere) or `prompt_eval_count` (Ollama).
fn counted(answer: &Forwarded) -> Option<u64> {
    #[derive(Deserialize)]
    struct Usage {
        prompt_tokens: Option<u64>,
        total_tokens: Option<u64>,
    }
    #[derive(Deserialize)]
    struct Meta {
        tokens: Tokens,
    }
    #[derive(Deserialize)]
    struct Tokens {
        input_tokens: f64,
    }
    fn field<'a, T: Deserialize<'a>>(answer: &'a Forwarded, name: &str) -> Option<T> {
        serde_json::from_str(answer.get(name)?.get()).ok()
    }
    let usage = field::<Usage>(answer, "usage");
    let usage = usage.and_then(|usage| usage.prompt_tokens.or(usage.total_tokens));
    let meta = || field::<Meta>(answer, "meta").map(|meta| meta.tokens.input_tokens as u64);
    usage.or_else(meta).or_else(|| field(answer, "prompt_eval_count"))
}

fn bytes_of(fields: &Forwarded) -> usize {
    fields.values().map(|value| value.get().len()).sum()
}

/// A long answer, as it comes. What fails now can only break it off.
fn streamed(
    app: &App,
    caller: &Caller,
    mut pieces: BoxStream<'static, Result<Bytes, LlmError>>,
    name: &str,
) -> Response {
    let (log, lifecycle) = (caller.log.clone(), app.lifecycle.clone());
    let mut renamed = Renamed::to(name);
    let body = async_stream::stream! {
        let mut ending = pin!(lifecycle.ending());
        loop {
            let piece = tokio::select! {
                biased;
                () = &mut ending => Some(Err(AppError::ShuttingDown)),
                piece = pieces.next() => piece.map(|piece| piece.map_err(AppError::Upstream)),
            };
            match piece {
                Some(Ok(piece)) => yield Ok(renamed.piece(piece)),
                Some(Err(error)) => {
                    let broken = io::Error::other(error.to_string());
                    log.failed(Arc::new(error));
                    yield Err(broken);
                    return;
                }
                None => return,
            }
        }
    };
    let mut response = Response::new(Body::from_stream(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn check_protocol(model: &Model, what: Passthrough) -> Result<(), AppError> {
    let config = model.config();
    if what.is_of(config.protocol) {
        return Ok(());
    }
    let wanted: Vec<_> =
        what.protocols().map(|protocol| format!("\"{}\"", protocol.as_str())).collect();
    let message = format!(
        "model: this endpoint passes on to models with protocol = {}, and '{}' has \"{}\"",
        wanted.join(" or "),
        config.name,
        config.protocol.as_str()
    );
    Err(AppError::field("model", message))
}

fn reply(mut answer: Forwarded, name: &str) -> Result<Response, AppError> {
    const UNTOLD: AppError = AppError::Internal("the answer cannot be written");
    if let Some(model) = answer.get_mut("model") {
        *model = to_raw_value(name).map_err(|_| UNTOLD)?;
    }
    let text = serde_json::to_vec(&ForwardedResponse(answer)).map_err(|_| UNTOLD)?;
    let mut response = Response::new(Body::from(text));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

/// These endpoints, for the description of the API. What goes through is the upstream's to say.
pub(super) fn operations() -> Vec<Operation> {
    let (openai, ollama) = (("OpenAI", ErrorForm::OpenAi), ("Ollama", ErrorForm::Ollama));
    let described = |path, (group, form), about, example| {
        Operation::new(("post", path), group, form, about)
            .reads::<ForwardedRequest>(example)
            .answers::<Map<String, Value>>()
            .fails(&RUNNING)
    };
    let embeddings = |path, of| {
        let about = "Passes a request for embeddings on to one model, and its answer back.";
        described(path, of, about, json!({ "model": "embedder", "input": "Hello" }))
    };
    let rerank = |path| {
        let about = "Passes documents to be ranked on to one model, and its ranking back.";
        let example = json!({ "model": "reranker", "query": "Hello", "documents": ["Hi", "Bye"] });
        described(path, openai, about, example)
    };
    vec![
        embeddings("/v1/embeddings", openai),
        embeddings("/api/embed", ollama),
        embeddings("/api/embeddings", ollama),
        rerank("/v1/rerank"),
        rerank("/v1/reranking"),
        rerank("/v2/rerank"),
    ]
}
