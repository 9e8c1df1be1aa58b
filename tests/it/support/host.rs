//! One endpoint of a model, with moods: it answers with its name, or with a status, or not at all.
//! It can die and come back at the same address.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use super::{Gate, soon};

/// The endpoint. Dropping it closes every connection.
#[derive(Debug)]
pub struct Host {
    address: SocketAddr,
    mood: Arc<Mood>,
    task: JoinSet<()>,
}

#[derive(Debug)]
struct Mood {
    name: String,
    /// What calls and model lists are answered with.
    status: AtomicU16,
    list_status: AtomicU16,
    retry_after: Mutex<Option<&'static str>>,
    gate: Mutex<Option<Gate>>,
    calls: AtomicUsize,
    lists: AtomicUsize,
    last_key: Mutex<Option<String>>,
}

impl Host {
    /// Starts in a good mood.
    pub async fn start(name: &str) -> Self {
        let mood = Mood {
            name: name.to_owned(),
            status: AtomicU16::new(200),
            list_status: AtomicU16::new(200),
            retry_after: Mutex::default(),
            gate: Mutex::default(),
            calls: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
            last_key: Mutex::default(),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mut host = Self { address, mood: Arc::new(mood), task: JoinSet::new() };
        host.serve(listener);
        host
    }

    fn serve(&mut self, listener: TcpListener) {
        let app = Router::new()
            .route("/v1/models", get(list))
            .fallback(answer)
            .with_state(Arc::clone(&self.mood));
        self.task.spawn(async move {
            // Of its own, so that they end with it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(app.clone());
                let serve = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                connections.spawn(async { drop(serve.await) });
                while connections.try_join_next().is_some() {}
            }
        });
    }

    /// What it answers.
    pub fn name(&self) -> &str {
        &self.mood.name
    }

    /// `http://127.0.0.1:PORT/v1`.
    pub fn base(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// `127.0.0.1:PORT`, as traces name it.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Answers calls with this status from now on; 200 is its name.
    pub fn answers(&self, status: u16) {
        self.mood.status.store(status, Ordering::SeqCst);
    }

    /// The same for its model list.
    pub fn lists(&self, status: u16) {
        self.mood.list_status.store(status, Ordering::SeqCst);
    }

    /// What its errors say in `Retry-After`.
    pub fn says_retry_after(&self, value: &'static str) {
        *self.mood.retry_after.lock().unwrap() = Some(value);
    }

    /// Calls wait here before their answer.
    pub fn waits_at(&self, gate: &Gate) {
        *self.mood.gate.lock().unwrap() = Some(gate.clone());
    }

    /// How many calls have come.
    pub fn calls(&self) -> usize {
        self.mood.calls.load(Ordering::SeqCst)
    }

    /// How often its model list was asked for.
    pub fn list_calls(&self) -> usize {
        self.mood.lists.load(Ordering::SeqCst)
    }

    /// The `Authorization` of the last request for its model list.
    pub fn list_key(&self) -> Option<String> {
        self.mood.last_key.lock().unwrap().clone()
    }

    /// Nobody listens any more.
    pub async fn dies(&mut self) {
        self.task.shutdown().await;
    }

    /// Starts again at the same address.
    pub async fn comes_back(&mut self) {
        let bound = async {
            loop {
                match TcpListener::bind(self.address).await {
                    Ok(listener) => return listener,
                    Err(_) => tokio::time::sleep(super::ms(5)).await,
                }
            }
        };
        let listener = soon("the port to be free again", bound).await;
        self.serve(listener);
    }
}

async fn list(State(mood): State<Arc<Mood>>, headers: HeaderMap) -> Response {
    mood.lists.fetch_add(1, Ordering::SeqCst);
    let key = headers.get("authorization").and_then(|key| key.to_str().ok()).map(str::to_owned);
    *mood.last_key.lock().unwrap() = key;
    let status = StatusCode::from_u16(mood.list_status.load(Ordering::SeqCst)).unwrap();
    (status, Json(json!({"object": "list", "data": []}))).into_response()
}

async fn answer(State(mood): State<Arc<Mood>>, body: Bytes) -> Response {
    mood.calls.fetch_add(1, Ordering::SeqCst);
    let gate = mood.gate.lock().unwrap().clone();
    if let Some(gate) = gate {
        gate.pass().await;
    }
    let status = mood.status.load(Ordering::SeqCst);
    let mut headers = HeaderMap::new();
    if status != 200 {
        if let Some(value) = *mood.retry_after.lock().unwrap() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        }
        let body = json!({"error": {"message": format!("in a mood for {status}")}});
        let status = StatusCode::from_u16(status).unwrap();
        return (status, headers, Json(body)).into_response();
    }
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = match asked.get("input") {
        Some(_) => json!({"object": "list", "data": [], "model": mood.name}),
        None => json!({"choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": mood.name}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1}}),
    };
    Json(answer).into_response()
}
