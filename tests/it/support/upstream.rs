//! A fake model server on loopback: an axum app that does as its scripts say, records what it was
//! sent, and notices when it is hung up on.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Response, Uri},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::{
    Script,
    closing::{Closing, Line},
    play::Exchange,
    script::fenced,
    socket::{Fuse, Socket},
    soon,
    wire::Wire,
};

/// The server. Dropping it closes every connection; if the fake itself panicked, so does the drop.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    scripts: HashMap<String, Script>,
    seen: Mutex<Vec<Seen>>,
    counts: watch::Sender<Counts>,
    panicked: AtomicBool,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    connections: usize,
    arrived: usize,
    active: usize,
    most_active: usize,
    hung_up_on: usize,
}

/// One request, as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `/v1/chat/completions` and the like.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Value,
    /// When its last byte had come.
    pub at: Instant,
}

impl Upstream {
    /// Starts with a cast: model names and what each does. Other models get a 404.
    pub async fn start<const N: usize>(cast: [(&str, Script); N]) -> Self {
        Self::start_with(cast.map(|(name, script)| (name.to_owned(), script))).await
    }

    /// The same with a cast of any size.
    pub async fn start_with(cast: impl IntoIterator<Item = (String, Script)>) -> Self {
        let shared = Arc::new(Shared {
            scripts: cast.into_iter().collect(),
            seen: Mutex::default(),
            counts: watch::Sender::default(),
            panicked: AtomicBool::new(false),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, tasks }
    }

    /// `http://127.0.0.1:PORT`, without a path.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `127.0.0.1:PORT`, as traces name it.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Every request so far, in the order they came.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("no story panics here").clone()
    }

    /// Every request for that model.
    pub fn seen_by(&self, model: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.model() == model).collect()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.counts().connections
    }

    /// Calls being answered now.
    pub fn active(&self) -> usize {
        self.counts().active
    }

    /// The most calls that were being answered at one time.
    pub fn most_active(&self) -> usize {
        self.counts().most_active
    }

    /// Calls the other side gave up before their end.
    pub fn hang_ups(&self) -> usize {
        self.counts().hung_up_on
    }

    /// Waits until so many requests have come.
    pub async fn asked(&self, times: usize) {
        self.until("requests", |counts| counts.arrived >= times).await;
    }

    /// Waits until so many calls were hung up on.
    pub async fn hung_up_on(&self, times: usize) {
        self.until("hang-ups", |counts| counts.hung_up_on >= times).await;
    }

    /// Waits until no call is being answered.
    pub async fn idle(&self) {
        self.until("the end of all calls", |counts| counts.active == 0).await;
    }

    /// Closes every connection and the listener at once.
    pub async fn dies(&mut self) {
        self.tasks.shutdown().await;
    }

    async fn until(&self, what: &str, enough: impl FnMut(&Counts) -> bool) {
        let mut counts = self.shared.counts.subscribe();
        soon(what, counts.wait_for(enough)).await.expect("the sender is ours");
    }

    fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let panicked = self.shared.panicked.load(Ordering::SeqCst);
        assert!(!panicked || std::thread::panicking(), "the fake upstream itself panicked");
    }
}

impl Seen {
    /// The model asked for; Gemini has it in the path.
    pub fn model(&self) -> &str {
        let in_path = || self.path.rsplit('/').next()?.split(':').next();
        self.body["model"].as_str().or_else(in_path).unwrap_or_default()
    }

    /// Whether it is the analyzer's question: by the schema's name, or where none is sent by the
    /// words of the prompt.
    pub fn asks_for_analysis(&self) -> bool {
        match self.body["response_format"]["json_schema"]["name"].as_str() {
            Some(name) => name == "analysis",
            None => !self.text().contains("<candidate-") && self.text().contains("task_type"),
        }
    }

    /// Whether a field is there and not null; dots lead into objects.
    pub fn has(&self, field: &str) -> bool {
        let found = field.split('.').try_fold(&self.body, |object, name| object.get(name));
        found.is_some_and(|value| !value.is_null())
    }

    /// A request header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// All text of all messages, or the prompt.
    pub fn text(&self) -> String {
        self.texts(|_| true).join("\n")
    }

    /// All text of one role.
    pub fn said_by(&self, role: &str) -> String {
        self.texts(|message| message["role"] == role).join("\n")
    }

    /// The last user message, or the prompt.
    pub fn question(&self) -> String {
        self.texts(|message| message["role"] == "user").pop().unwrap_or_default()
    }

    /// The drafts fenced in it.
    pub fn drafts(&self) -> Vec<String> {
        fenced(&self.text(), "draft", "rank").into_iter().map(|draft| draft.1).collect()
    }

    fn texts(&self, wanted: impl Fn(&Value) -> bool) -> Vec<String> {
        // Anthropic and Gemini have the system's words apart from the messages.
        let system = [&self.body["system"], &self.body["systemInstruction"]];
        let system = system.into_iter().filter(|words| !words.is_null()).map(|words| {
            let texts = if words.is_object() { &words["parts"] } else { words };
            json!({"role": "system", "content": texts})
        });
        let messages = self.body["messages"].as_array().or(self.body["contents"].as_array());
        let Some(messages) = messages else {
            return self.body["prompt"].as_str().map(str::to_owned).into_iter().collect();
        };
        let all = system.chain(messages.iter().cloned());
        all.filter(|message| wanted(message)).map(|message| content(&message)).collect()
    }
}

fn content(message: &Value) -> String {
    let content = [&message["content"], &message["parts"]];
    match content.into_iter().find(|content| !content.is_null()) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

/// A call being answered; dropped early, it was hung up on.
#[derive(Debug)]
pub struct Guard {
    shared: Arc<Shared>,
    ended: bool,
}

impl Guard {
    fn of(shared: &Arc<Shared>) -> Self {
        shared.counts.send_modify(|counts| {
            counts.arrived += 1;
            counts.active += 1;
            counts.most_active = counts.most_active.max(counts.active);
        });
        Self { shared: Arc::clone(shared), ended: false }
    }

    /// From here on the end is the script's own doing.
    pub fn ends_it(&mut self) {
        self.ended = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.panicked.store(true, Ordering::SeqCst);
        }
        self.shared.counts.send_modify(|counts| {
            counts.active -= 1;
            counts.hung_up_on += usize::from(!self.ended);
        });
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let app = Router::new()
        .fallback(answer)
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(&shared));
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.counts.send_modify(|counts| counts.connections += 1);
        stream.set_nodelay(true).expect("a fresh socket takes options");
        let (socket, fuse) = Socket::new(stream);
        let line = Line::default();
        let extended = app.clone().layer(Extension(fuse)).layer(Extension(line.clone()));
        let service = TowerToHyperService::new(extended);
        let serve = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(socket), service);
        connections.spawn(async move {
            let mut serve = std::pin::pin!(serve);
            loop {
                tokio::select! {
                    // Being hung up on is what many stories are about; the guards count it.
                    _end = &mut serve => break,
                    () = line.closed() => serve.as_mut().graceful_shutdown(),
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Extension(fuse): Extension<Fuse>,
    Extension(line): Extension<Line>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let seen = Seen { path: uri.path().to_owned(), headers, body, at: Instant::now() };
    shared.seen.lock().expect("no story panics here").push(seen.clone());
    let guard = Guard::of(&shared);
    let stranger = Script::fails_saying(404, r#"{"error":{"message":"no such model or path"}}"#);
    let (wire, script) = match (Wire::of(uri.path()), shared.scripts.get(seen.model())) {
        (Some(wire), Some(script)) => (wire, script.current(&seen)),
        _ => (Wire::Chat, &stranger),
    };
    let before = line.arrives();
    match script.closing {
        Some(Closing::Always) => fuse.blow_after(0),
        Some(Closing::WhenReused) if before > 0 => fuse.blow_after(0),
        _ => {}
    }
    let streams = wire.streams(&seen.body);
    let closing = match script.closing {
        Some(Closing::AfterStreams(pause)) if streams => Some(pause),
        Some(Closing::WhenIdle(pause)) => Some(pause),
        _ => None,
    };
    Exchange::of(script, &seen, wire).play(fuse, guard, closing.map(|pause| (line, pause))).await
}
