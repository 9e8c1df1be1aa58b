//! Chorus as a server of tools, which agents call in the Model Context Protocol: at `/mcp`, and over
//! the pipes of whoever starts `chorus mcp`. Frames, versions and handshakes are rmcp's; without
//! sessions, so that each request stands alone and one that is hung up on ends its runs.

mod asking;
mod progress;
mod tools;

use std::{io, sync::Arc};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::Response,
};
use rmcp::{
    model::ClientJsonRpcMessage,
    service::{ServerInitializeError, serve_server},
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    App, AppState,
    error::AppError,
    extract::Whole,
    operation::{ErrorForm, Operation},
};
use tools::Tools;

const EVENT_STREAM: &str = "text/event-stream";
/// What the protocol has its clients send; some send less.
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `POST /mcp` (the Model Context Protocol, "Streamable HTTP").
pub(super) async fn post(app: App, whole: Whole) -> Result<Response, AppError> {
    let Whole { mut request, caller } = whole;
    if serde_json::from_slice::<ClientJsonRpcMessage>(request.body()).is_err() {
        let message = "the request body is no message of the Model Context Protocol (JSON-RPC 2.0)";
        return Err(AppError::invalid(message));
    }
    let takes_events = takes_events(request.headers());
    request.headers_mut().insert(ACCEPT, BOTH);
    request.headers_mut().insert(CONTENT_TYPE, JSON);
    // The door has looked at Host and Origin, and at the length of the body.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(!takes_events)
        .with_sse_keep_alive(Some(app.config().server.heartbeat))
        .with_max_request_body_bytes(usize::MAX)
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let tools = Tools::over_http(app, caller);
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(tools.clone()), sessions, config);
    let answer = service.handle(request.map(Body::from)).await;
    Ok(answer.map(Body::new))
}

fn takes_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.into_iter().any(|value| value.contains(EVENT_STREAM))
}

/// Serves one client of the Model Context Protocol over a pair of streams, until it closes them.
/// Meanwhile the upstreams are looked after.
///
/// # Errors
/// When what comes is not the protocol.
pub async fn serve_tools(
    state: &AppState,
    input: impl AsyncRead + Send + Unpin + 'static,
    output: impl AsyncWrite + Send + Unpin + 'static,
) -> io::Result<()> {
    let serving = async {
        let tools = Tools::over_pipes(state.app());
        let running = match serve_server(tools, (input, output)).await {
            Ok(running) => running,
            // It left before it said a word.
            Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
            Err(error) => return Err(io::Error::other(error.to_string())),
        };
        running.waiting().await.map(drop).map_err(io::Error::other)
    };
    tokio::select! {
        ended = serving => ended,
        // It never ends.
        () = state.check_health() => Ok(()),
    }
}

/// This endpoint, for the description of the API.
pub(super) fn operations() -> Vec<Operation> {
    let about =
        "Offers asking and comparing models as tools (Model Context Protocol, Streamable HTTP).";
    let example = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "ask", "arguments": { "question": "Hello" },
    }});
    let post = Operation::new(("post", "/mcp"), "Chorus", ErrorForm::Script, about)
        .reads::<Map<String, Value>>(example)
        .answers::<Map<String, Value>>()
        .streams::<Map<String, Value>>(EVENT_STREAM)
        .fails(&[404]);
    vec![post]
}
