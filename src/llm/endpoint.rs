//! One endpoint of a model: its client, addresses, headers, and what it refused.

pub(super) mod activity;
pub mod balance;
pub mod breaker;
mod build;
pub(super) mod connections;
pub mod gateway;
pub(super) mod health;
mod health_check;
pub(super) mod http;
pub(super) mod keep_warm;
pub mod probe;
mod same;
pub(super) mod shortage;
pub(super) mod slot;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use reqwest::{
    Client, Request, Response,
    header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT},
};
use serde_json::Value;
use thread_local::ThreadLocal;
use tokio::time::Instant;
use url::Url;

use super::{
    Call, LlmError, LlmErrorKind,
    protocol::{
        Wire,
        all::wire,
        ask::Ask,
        body::Body,
        context::{entry_context, listed_context},
        parameter::{Parameter, Refused},
    },
};
use crate::{config, types};
use activity::Activity;
use connections::{Answering, Connections, Habits};

/// How many times Chorus has asked Chorus on the way to an upstream.
pub(super) const HOPS: HeaderName = HeaderName::from_static(types::HOPS);

/// How often, at most, the model list is asked what a refusal was about; a client may cause many.
const CONFIRM_EVERY: Duration = Duration::from_secs(10);

/// One endpoint of a model with its connection pool and remembered refusals.
pub(super) struct Endpoint {
    connections: Arc<Connections>,
    habits: Arc<Habits>,
    /// When its model list was asked last what a refusal was about.
    confirmed: Mutex<Option<Instant>>,
    pub(super) config: config::Endpoint,
    model: Arc<config::Model>,
    /// `host` or `host:port`.
    name: String,
    /// The key and the configured headers, all marked sensitive.
    headers: HeaderMap,
    /// The headers of calls, ready to be sent.
    calls: CallHeaders,
    /// Addresses of calls, by whether those are plain and streamed: nothing else decides.
    addresses: [OnceLock<Option<Arc<Url>>>; 4],
    refused: Mutex<Refused>,
    /// The context that the server said it has, in tokens; 0: it has not.
    context: Arc<AtomicU32>,
    /// How each thread's connections are used.
    activity: Arc<ThreadLocal<Arc<Activity>>>,
    /// How its answers end.
    pub(super) endings: Arc<Endings>,
}

/// How an endpoint's answers end, as far as they have shown it. One that ends otherwise was cut off
/// on its way, by a gateway that hides it.
#[derive(Debug, Default)]
pub(super) struct Endings {
    gives_reasons: AtomicBool,
    terminates: AtomicBool,
}

impl Endings {
    /// Whether its answers have a finish reason.
    pub(super) fn gives_reasons(&self) -> bool {
        self.gives_reasons.load(Ordering::Relaxed)
    }

    /// Whether its streams end with a terminator.
    pub(super) fn terminates(&self) -> bool {
        self.terminates.load(Ordering::Relaxed)
    }

    /// Remembers how a complete answer ended.
    pub(super) fn learn(&self, had_reason: bool, was_terminated: bool) {
        if had_reason && !self.gives_reasons() {
            self.gives_reasons.store(true, Ordering::Relaxed);
        }
        if was_terminated && !self.terminates() {
            self.terminates.store(true, Ordering::Relaxed);
        }
    }
}

/// The headers of streamed calls, and of others. All calls share them.
struct CallHeaders {
    streamed: Arc<HeaderMap>,
    whole: Arc<HeaderMap>,
}

/// One request, ready to be sent, once.
pub(super) struct Prepared {
    /// A stream is asked for.
    pub(super) streamed: bool,
    pub(super) url: Arc<Url>,
    pub(super) headers: Arc<HeaderMap>,
    pub(super) body: Body,
    pub(super) temperature: Option<f32>,
}

impl Endpoint {
    /// # Errors
    /// When its base takes no path or its key fits no header.
    pub(super) fn new(
        model: Arc<config::Model>,
        config: config::Endpoint,
        connections: Arc<Connections>,
    ) -> Result<Self, LlmError> {
        let setup = |message: &str| LlmError {
            kind: LlmErrorKind::Setup,
            model: model.name.clone(),
            endpoint: Some(config.authority()),
            message: message.to_owned(),
        };
        if config.api_base.cannot_be_a_base() {
            return Err(setup("api_base takes no path; it must be an http or https URL"));
        }
        let (wire, key) = (wire(model.protocol), config.api_key.expose());
        let mut headers = HeaderMap::new();
        let unfit = |_| setup("the key holds a line break or a control character");
        if !key.is_empty() {
            wire.authenticate(key, &mut headers).map_err(unfit)?;
        }
        wire.headers(&model, &mut headers).map_err(unfit)?;
        for (name, value) in &model.headers {
            let mut value = value.clone();
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let accepting = |kind| {
            let mut headers = headers.clone();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(ACCEPT, HeaderValue::from_static(kind));
            headers.insert(HOPS, HeaderValue::from_static("1"));
            add_what_clients_would(&config, &mut headers);
            Arc::new(headers)
        };
        let calls = CallHeaders {
            streamed: accepting(wire.streams_as()),
            whole: accepting("application/json"),
        };
        let name = config.authority();
        let addresses = Default::default();
        let refused = Mutex::new(BTreeSet::new());
        let (context, activity, endings) = (Arc::default(), Arc::default(), Arc::default());
        Ok(Self {
            connections,
            habits: Arc::default(),
            confirmed: Mutex::default(),
            config,
            model,
            name,
            headers,
            calls,
            addresses,
            refused,
            context,
            activity,
            endings,
        })
    }

    /// Takes over what is known of the same endpoint of the config before. What it refused is asked
    /// anew where the model's settings changed: `vision = true` is meant to be tried.
    pub(super) fn follow(&mut self, before: &Self) {
        self.activity = Arc::clone(&before.activity);
        self.context = Arc::clone(&before.context);
        self.habits = Arc::clone(&before.habits);
        self.endings = Arc::clone(&before.endings);
        if self.model.asks_like(&before.model) {
            self.refused = Mutex::new(before.refused());
        }
    }

    /// The client of requests whose failure does not matter.
    pub(super) fn client(&self) -> &Client {
        self.connections.client()
    }

    /// How this thread's connections are used.
    pub(super) fn activity(&self) -> &Arc<Activity> {
        self.activity.get_or_default()
    }

    /// `host` or `host:port`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The model it serves.
    pub(super) fn model(&self) -> &config::Model {
        &self.model
    }

    /// The protocol that it speaks.
    pub(super) fn wire(&self) -> &'static dyn Wire {
        wire(self.model.protocol)
    }

    /// What of a call's input it cannot take, as far as is known.
    pub(super) fn unsupported(&self, call: &Call) -> Option<String> {
        let refused = self.refused();
        Ask { config: &self.model, call, refused: &refused }.unsupported()
    }

    /// The request for a call, without what was refused before and without `also`; `None` when the
    /// base takes no path, which was checked.
    pub(super) fn prepare(
        &self,
        call: &Call,
        also: impl Iterator<Item = Parameter>,
    ) -> Option<Prepared> {
        let mut refused = self.refused();
        refused.extend(also);
        let ask = Ask { config: &self.model, call, refused: &refused };
        let wire = self.wire();
        let streamed = ask.streams();
        let headers = if streamed { &self.calls.streamed } else { &self.calls.whole };
        let mut headers = Arc::clone(headers);
        wire.call_headers(&ask, &mut headers);
        Some(Prepared {
            streamed,
            url: self.address(&ask)?,
            headers,
            body: wire.body(&ask),
            temperature: wire.temperature(&ask),
        })
    }

    /// The URL of a call.
    fn address(&self, ask: &Ask<'_>) -> Option<Arc<Url>> {
        let known = match (ask.is_plain(), ask.streams()) {
            (false, false) => 0,
            (false, true) => 1,
            (true, false) => 2,
            (true, true) => 3,
        };
        let address = || self.wire().address(&self.config.api_base, ask).map(Arc::new);
        self.addresses.get(known)?.get_or_init(address).clone()
    }

    /// Sends what `request` makes, once more where only an old connection was to blame.
    ///
    /// # Errors
    /// When no response comes.
    pub(super) async fn send(
        &self,
        request: impl Fn() -> Request,
        streamed: bool,
    ) -> reqwest::Result<(Response, Option<Answering>)> {
        self.connections.send(request, streamed, &self.habits).await
    }

    /// The key and the configured headers, for a request without a body.
    pub(super) fn plain_headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    /// [`Endpoint::plain_headers`] without what identifies us: the key, else the configured
    /// headers.
    /// `None` when nothing does.
    pub(super) fn anonymous_headers(&self) -> Option<HeaderMap> {
        let key = self.config.api_key.expose();
        let mut identifying = HeaderMap::new();
        if key.is_empty() {
            identifying.clone_from(&self.model.headers);
        } else {
            self.wire().authenticate(key, &mut identifying).ok()?;
        }
        let mut headers = self.plain_headers();
        identifying.keys().for_each(|name| drop(headers.remove(name)));
        (!identifying.is_empty()).then_some(headers)
    }

    /// The headers of every request with a body: it is JSON.
    pub(super) fn json_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
    }

    /// Whether its model list may be asked again what a refusal was about.
    pub(super) fn may_confirm(&self) -> bool {
        let mut asked = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        let may = asked.is_none_or(|asked| asked.elapsed() >= CONFIRM_EVERY);
        if may {
            *asked = Some(Instant::now());
        }
        may
    }

    /// Remembers a refusal for all later calls.
    pub(super) fn remember(&self, parameter: Parameter) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(parameter);
    }

    /// The context to count on, in tokens: the configured one, or a smaller one that the server said
    /// it has.
    pub(super) fn context_tokens(&self) -> u32 {
        let configured = self.model.context_tokens;
        self.reported_context().map_or(configured, |reported| reported.min(configured))
    }

    /// The context that the server said it has, in tokens.
    pub(super) fn reported_context(&self) -> Option<u32> {
        Some(self.context.load(Ordering::Relaxed)).filter(|tokens| *tokens > 0)
    }

    /// The server has said how long its context is.
    pub(super) fn learn_context(&self, tokens: u32) {
        let before = self.context.swap(tokens, Ordering::Relaxed);
        if before != tokens && tokens < self.model.context_tokens {
            let configured = self.model.context_tokens;
            tracing::debug!(
                model = self.model.name,
                endpoint = self.name,
                context_tokens = tokens,
                configured,
                "the model's context is shorter than configured"
            );
        }
    }

    /// Looks for the model's context in the server's model list.
    pub(super) fn learn_from_list(&self, list: &Value) {
        if let Some(tokens) = listed_context(list, self.wire(), &self.model.upstream_model) {
            self.learn_context(tokens);
        }
    }

    /// The same in what the server says of this model alone.
    pub(super) fn learn_from_page(&self, page: &Value) {
        if let Some(tokens) = entry_context(page) {
            self.learn_context(tokens);
        }
    }

    fn refused(&self) -> Refused {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every secret that an upstream might quote.
    pub(super) fn secrets(&self) -> Vec<&str> {
        let headers = self.model.headers.values().filter_map(|value| value.to_str().ok());
        headers.chain([self.config.api_key.expose()]).collect()
    }
}

/// Puts in what the HTTP client would add to every single request: who asks, and of which host, where
/// that is never HTTP/2, which has it elsewhere.
fn add_what_clients_would(endpoint: &config::Endpoint, headers: &mut HeaderMap) {
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(http::USER_AGENT));
    if endpoint.api_base.scheme() == "http"
        && let Ok(host) = HeaderValue::try_from(endpoint.authority())
    {
        headers.entry(HOST).or_insert(host);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.name)
    }
}
