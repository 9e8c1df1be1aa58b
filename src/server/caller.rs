//! The caller of a request, how they want to be answered, and what its log line says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::{
    clients::Client, dialect::Dialect, error::AppError, keys::presented, limits::Reservation,
};
use crate::{
    types::{RequestId, Session, Share},
    workflow::RunWatch,
};

/// An extension of every request that came with a key where one is needed: it may see what is known
/// of the config.
#[derive(Clone, Copy, Debug)]
pub(super) struct Welcome;

/// What a log line shows of a path or a model name that a client made up.
const SHOWN_CHARS: usize = 120;

/// The caller and how they want to be answered; an extension of every request.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Sent back as `x-request-id`.
    pub(super) request_id: RequestId,
    /// How streams are framed and errors shaped.
    pub(super) dialect: Dialect,
    /// The `[[client]]` whose key came with it.
    pub(super) client: Option<Arc<Client>>,
    /// `?include_workflow=true`.
    pub(super) include_workflow: bool,
    /// How many times Chorus has asked Chorus on the way here.
    pub(super) hops: u32,
    /// The agent's session that it belongs to, once that is known.
    pub(super) session: Option<Session>,
    /// Its path, as far as it is shown. A copy: the request's own is a part of the connection's buffer,
    /// and would keep it.
    pub(super) path: Arc<str>,
    /// Ends the request's runs.
    pub(super) cancel: CancellationToken,
    /// Collects what the log line will say.
    pub(super) log: RequestLog,
}

impl Caller {
    /// Notes the session, where one is named.
    pub(super) fn belongs_to(&mut self, session: Option<Session>) {
        if session.is_some() {
            self.log.fields().session.clone_from(&session);
            self.session = session;
        }
    }

    /// Whoever started this process, with a request that came over no network.
    pub(super) fn local() -> Self {
        Self {
            request_id: RequestId::fresh(),
            dialect: Dialect::Script,
            client: None,
            include_workflow: false,
            hops: 0,
            session: None,
            path: "".into(),
            cancel: CancellationToken::new(),
            log: RequestLog::default(),
        }
    }

    /// Whether it is whoever started this process.
    pub(super) fn is_local(&self) -> bool {
        self.path.is_empty()
    }

    /// Who it is, as far as one caller's things must be kept from another's: a client, or anybody with
    /// the same key.
    pub(super) fn identity(&self, headers: &HeaderMap) -> [u8; 32] {
        match &self.client {
            Some(client) => Sha256::digest(client.name.as_bytes()).into(),
            None => Sha256::digest(presented(headers).next().unwrap_or_default()).into(),
        }
    }
}

/// What is known of a request from its beginning to its end, most of it for its log line.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestLog(Arc<Mutex<RequestFields>>);

#[derive(Debug, Default)]
pub(super) struct RequestFields {
    pub(super) model: Option<String>,
    /// The name of the `[[client]]` whose key came with it.
    pub(super) client: Option<Arc<str>>,
    /// The agent's session that it belongs to.
    pub(super) session: Option<Session>,
    pub(super) runs: Vec<RunWatch>,
    pub(super) failure: Option<Arc<AppError>>,
    /// Its place among those in flight; none for the probes, and before its body is there.
    pub(super) place: Option<OwnedSemaphorePermit>,
    /// What it counts with for its client; none for a request that asks no model.
    pub(super) reservation: Option<Reservation>,
    /// What its body takes.
    pub(super) memory: Option<Share>,
}

impl RequestLog {
    /// The model name the client asked for.
    pub(super) fn model(&self, name: &str) {
        self.fields().model = Some(shown(name).to_owned());
    }

    /// Notes the client whose key came with it.
    pub(super) fn client(&self, name: Option<&Arc<str>>) {
        self.fields().client = name.map(Arc::clone);
    }

    /// A run made for the request.
    pub(super) fn run(&self, watch: RunWatch) {
        self.fields().runs.push(watch);
    }

    /// The request failed after its headers were sent.
    pub(super) fn failed(&self, error: Arc<AppError>) {
        self.fields().failure = Some(error);
    }

    pub(super) fn fields(&self) -> MutexGuard<'_, RequestFields> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text of the client's as far as it stands in a line, which the log escapes.
pub(super) fn shown(text: &str) -> &str {
    shown_of(text, SHOWN_CHARS)
}

/// At most `most` characters of a text.
pub(super) fn shown_of(text: &str, most: usize) -> &str {
    let end = text.char_indices().nth(most).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}
