//! What the server works with: the config in use, and how one follows another.
//!
//! A request takes hold of one [`Served`] when it comes in and works with that to its end, so every
//! answer comes from one config, and an engine lives as long as its last run.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::{
    body::HttpBody,
    extract::{FromRequestParts, Request},
    http::request::Parts,
};
use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, watch},
    time::sleep,
};

use super::{
    audit::{self, Audit},
    auth::{Door, wrong_keys::WrongKeys},
    caller::{Caller, RequestLog},
    drains::Drains,
    error::AppError,
    limits::{Accounts, Reservation},
    listener::shutdown::Lifecycle,
    metrics::Metrics,
    paths,
    reloads::{Refusal, Reloads},
    responses::Store,
    runs::Runs,
};
use crate::{
    config::Config,
    store::{self, StoreError},
    types::Amount,
    workflow::{DEFAULT_WORKFLOW, Engine, Route},
};

/// How often what was counted is put into its buckets.
const SETTLING: Duration = Duration::from_secs(5);
/// How many times Chorus may have asked Chorus: one in front of another, and that of a third, is
/// meant; more is a circle.
const MOST_HOPS: u32 = 3;

/// The server's state; clones are handles on the same.
#[derive(Clone, Debug)]
pub struct AppState {
    current: Arc<ArcSwap<Served>>,
    /// Notified after each swap.
    swapped: watch::Sender<()>,
}

/// One config at work, and what outlives it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) engine: Arc<Engine>,
    pub(super) door: Door,
    in_flight: Arc<Semaphore>,
    pub(super) lifecycle: Lifecycle,
    pub(super) drains: Arc<Drains>,
    pub(super) started: Timestamp,
    pub(super) responses: Arc<Store>,
    pub(super) wrong_keys: Arc<WrongKeys>,
    /// The audit log; `None` where there is none.
    pub(super) audit: Option<Arc<Audit>>,
    pub(super) runs: Arc<Runs>,
    pub(super) metrics: Arc<Metrics>,
    accounts: Arc<Accounts>,
    reloads: Arc<Mutex<Reloads>>,
}

impl AppState {
    /// Around an engine.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        let now = Timestamp::now();
        let audit = audit::started(engine.config().audit.as_ref());
        let accounts = Arc::default();
        let served = Served {
            door: Door::new(engine.config(), &accounts),
            in_flight: permits(engine.config()),
            runs: Arc::new(Runs::of(&engine.config().runs)),
            metrics: Arc::default(),
            engine,
            lifecycle: Lifecycle::new(),
            drains: Arc::default(),
            started: now,
            responses: Arc::default(),
            wrong_keys: Arc::default(),
            audit,
            accounts,
            reloads: Arc::new(Mutex::new(Reloads { loaded_at: now, reloads: 0, last_error: None })),
        };
        let current = Arc::new(ArcSwap::from_pointee(served));
        Self { current, swapped: watch::Sender::new(()) }
    }

    /// The engine that new requests get.
    #[must_use]
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.current.load().engine)
    }

    /// Has new requests answered by this engine, by its config's rules; those that came
    /// before go on as they began. The responses that are kept, and a shutdown, concern both.
    pub fn replace(&self, engine: Engine) {
        let before = self.current.load_full();
        let (old, new) = (before.engine.config(), engine.config());
        // Places cannot be taken from those who have them, so another limit begins anew.
        let same_limit = old.server.max_in_flight == new.server.max_in_flight;
        let in_flight = if same_limit { Arc::clone(&before.in_flight) } else { permits(new) };
        let audit = match &before.audit {
            Some(audit) if Some(audit.settings()) == new.audit.as_ref() => Some(Arc::clone(audit)),
            _ => audit::started(new.audit.as_ref()),
        };
        before.runs.follow(&new.runs);
        let is_unkept = new.has_budgets() && !before.accounts.are_kept();
        let served = Served {
            door: Door::new(new, &before.accounts),
            in_flight,
            engine: Arc::new(engine),
            lifecycle: before.lifecycle.clone(),
            drains: Arc::clone(&before.drains),
            started: before.started,
            responses: Arc::clone(&before.responses),
            wrong_keys: Arc::clone(&before.wrong_keys),
            audit,
            runs: Arc::clone(&before.runs),
            metrics: Arc::clone(&before.metrics),
            accounts: Arc::clone(&before.accounts),
            reloads: Arc::clone(&before.reloads),
        };
        served.engine.memory().set_most(served.config().memory_limit);
        if is_unkept {
            tracing::warn!(
                "budgets that came with a reload are kept in memory only; restart the server to keep what \
                 clients use over restarts"
            );
        }
        self.current.store(Arc::new(served));
        {
            let mut reloads = before.reloads();
            reloads.loaded_at = Timestamp::now();
            reloads.reloads = reloads.reloads.saturating_add(1);
            reloads.last_error = None;
        }
        self.swapped.send_replace(());
    }

    /// The config in use stays, because of these problems (one line each, no secrets) of the next.
    pub fn refuse(&self, problems: Vec<String>) {
        let current = self.current.load();
        let mut reloads = current.reloads();
        // It may be looked at again and again: when it went wrong is worth knowing.
        if reloads.last_error.as_ref().is_none_or(|known| known.problems != problems) {
            reloads.last_error = Some(Refusal { at: Timestamp::now(), problems });
        }
    }

    /// The config means what the one in use does: nothing is wrong with it any more.
    pub fn confirm(&self) {
        self.current.load().reloads().last_error = None;
    }

    /// Why the audit log cannot be written at present.
    #[must_use]
    pub fn audit_trouble(&self) -> Option<String> {
        self.current.load().audit.as_ref()?.trouble()
    }

    /// Why the runs that are over cannot be kept on disk at present.
    #[must_use]
    pub fn runs_trouble(&self) -> Option<String> {
        self.current.load().runs.trouble()
    }

    /// Waits, two seconds at most each, until the audit log's lines and the runs are in their files.
    pub fn flush(&self) {
        self.current.load().runs.flush();
        if let Some(audit) = &self.current.load().audit {
            audit.flush();
        }
    }

    /// Begins with what the store has of the clients, and keeps there what they use from now on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn keep_in(&self, store: &store::Store) -> Result<(), StoreError> {
        self.current.load().accounts.keep_in(store)
    }

    /// What a request gets that comes in now.
    pub(super) fn app(&self) -> App {
        App(self.current.load_full())
    }

    /// Asks the endpoints of the engine in use that are out of service whether they are back. Never
    /// ends.
    pub(super) async fn check_health(&self) {
        self.with_each(|engine| async move { engine.check_health().await }).await
    }

    /// Keeps the connections of the engine in use warm that belong to the worker it is polled on.
    /// Never ends.
    pub(super) async fn keep_warm(&self) {
        self.with_each(|engine| async move { engine.keep_warm().await }).await
    }

    /// Keeps what is counted from taking memory while nobody asks for it. Never ends.
    pub(super) async fn settle_metrics(&self) {
        let metrics = Arc::clone(&self.current.load().metrics);
        loop {
            sleep(SETTLING).await;
            metrics.settle();
        }
    }

    /// Does it with the engine in use, and again with each that takes its place. Never ends.
    async fn with_each<F: Future<Output = ()>>(&self, work: impl Fn(Arc<Engine>) -> F) {
        let mut swapped = self.swapped.subscribe();
        loop {
            let engine = self.engine();
            tokio::select! {
                () = work(engine) => {}
                // The sender is ours, so that there is no error.
                _ = swapped.changed() => {}
            }
        }
    }
}

/// The requests that a config lets in at a time.
fn permits(config: &Config) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(config.server.max_in_flight.min(Semaphore::MAX_PERMITS)))
}

impl Served {
    pub(super) fn config(&self) -> &Config {
        self.engine.config()
    }

    /// What became of the config's reloads, for `/health?verbose`.
    pub(super) fn reloads(&self) -> MutexGuard<'_, Reloads> {
        self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request may come in now. One whose body is still to come takes its place when that is
    /// there, so that bodies that trickle keep nobody out; the probes need none, so that a full server
    /// does not look like a dead one.
    ///
    /// # Errors
    /// 503 for want of a place; 508 for a request that goes round in a circle; 429 for one that has a
    /// body to be read first, for a client that has used something up.
    pub(super) fn admit(&self, request: &Request) -> Result<(), AppError> {
        let caller = request.extensions().get::<Caller>();
        let hops = caller.map_or(0, |caller| caller.hops);
        if hops > MOST_HOPS {
            return Err(AppError::Loop(hops));
        }
        if self.lifecycle.is_draining() {
            return Err(AppError::ShuttingDown);
        }
        match caller {
            Some(caller)
                if request.body().is_end_stream() && !paths::is_probe(request.uri().path()) =>
            {
                self.take_place(&caller.log)
            }
            Some(Caller { client: Some(client), .. })
                if paths::asks_models(request.uri().path()) =>
            {
                Ok(client.account.check(&client.limits)?)
            }
            _ => Ok(()),
        }
    }

    /// Gives a request its place among those in flight, which it has until its response is over.
    ///
    /// # Errors
    /// 503 when there is none.
    pub(super) fn take_place(&self, log: &RequestLog) -> Result<(), AppError> {
        let place = Arc::clone(&self.in_flight).try_acquire_owned();
        log.fields().place = Some(place.map_err(|_| AppError::Overloaded)?);
        Ok(())
    }

    /// The route of `model`, and the name to echo: the one that was sent, `chorus` when none was.
    pub(super) fn route(&self, caller: &Caller, model: &str) -> Result<(Route, String), AppError> {
        let name = if model.is_empty() { DEFAULT_WORKFLOW } else { model };
        caller.log.model(name);
        let Some(route) = self.engine.route(model) else {
            return Err(self.unknown(caller, name));
        };
        self.check_model(caller, model)?;
        Ok((route, name.to_owned()))
    }

    /// Whether a caller may ask for a name.
    ///
    /// # Errors
    /// 403 for one that its `models` leave out.
    pub(super) fn check_model(&self, caller: &Caller, asked: &str) -> Result<(), AppError> {
        match &caller.client {
            Some(client) if !client.config.may_ask(self.config(), asked) => {
                Err(AppError::ModelNotAllowed(Config::about_forbidden(asked, &self.names(caller))))
            }
            _ => Ok(()),
        }
    }

    /// The error for a name that nobody has.
    pub(super) fn unknown(&self, caller: &Caller, asked: &str) -> AppError {
        AppError::UnknownModel(Config::about_unknown(asked, &self.names(caller)))
    }

    /// The names that a caller is shown, those it may ask for.
    pub(super) fn names(&self, caller: &Caller) -> Vec<&str> {
        match &caller.client {
            Some(client) => client.config.listed_names(self.config()).collect(),
            None => self.config().listed_names().collect(),
        }
    }

    /// Lets a request ask models, which may take so much at worst: from now on it counts for its client.
    ///
    /// # Errors
    /// 429 for a client that has used something up.
    pub(super) fn reserve(
        &self,
        caller: &Caller,
        worst: impl FnOnce() -> Amount,
    ) -> Result<(), AppError> {
        let Some(client) = &caller.client else { return Ok(()) };
        let worst = if client.limits.weigh_runs() { worst() } else { Amount::default() };
        let reservation = Reservation::of(&client.account, &client.limits, worst)?;
        caller.log.fields().reservation = Some(reservation);
        Ok(())
    }
}

/// What a request works with; an extension of every request, from the outermost middleware on.
#[derive(Clone, Debug)]
pub(super) struct App(Arc<Served>);

impl Deref for App {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for App {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AppError> {
        let app = parts.extensions.get::<Self>().cloned();
        app.ok_or(AppError::Internal("the request has no config"))
    }
}
