//! The real server on a free port, in the story's own runtime.

use std::{num::NonZeroUsize, ops::Deref, path::Path, sync::Arc};

use chorus::{
    commands::reload::{Pace, Reload, Source},
    config::{Config, Overrides, SecretStores},
    server::{self, AppState, Workers},
    workflow::Engine,
};
use serde_json::{Value, json};
use tokio::{runtime::Handle, sync::oneshot, task::JoinSet};

use super::{Client, Upstream, ms, soon};

/// A running Chorus; a [`Client`] of it, too. Dropping it stops it at once.
#[derive(Debug)]
pub struct Chorus {
    client: Client,
    app: AppState,
    address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinSet<()>,
}

/// The number of threads that `CHORUS_TEST_WORKERS` says; without it the test's own.
fn workers() -> Workers {
    let here = || Workers::on(Handle::current());
    asked_workers().map_or_else(here, |count| Workers::start(count).expect("threads"))
}

fn asked_workers() -> Option<NonZeroUsize> {
    std::env::var("CHORUS_TEST_WORKERS").ok().and_then(|count| count.parse().ok())
}

/// How many workers a server of the tests has, each with upstream connections of its own.
pub fn worker_count() -> usize {
    asked_workers().map_or(1, NonZeroUsize::get)
}

impl Chorus {
    /// Starts over a config whose `{base}` becomes the upstream's base URL.
    pub async fn start(upstream: &Upstream, config: &str) -> Self {
        Self::start_with(upstream, config, |_| None).await
    }

    /// The same with environment variables for the config.
    pub async fn start_with(
        upstream: &Upstream,
        config: &str,
        env: impl Fn(&str) -> Option<String>,
    ) -> Self {
        Self::of(&config.replace("{base}", &upstream.base()), env).await
    }

    /// Starts over a config that names its own upstreams.
    pub async fn of(text: &str, env: impl Fn(&str) -> Option<String>) -> Self {
        Self::with(Config::parse(text, None, &env).expect("the story's config is good"))
    }

    fn with(config: Config) -> Self {
        let engine = Engine::new(Arc::new(config)).expect("an engine");
        let listener = server::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            // A dropped sender is the story's end; then the task is aborted anyway.
            drop(stopped.await);
        };
        let mut task = JoinSet::new();
        let app = AppState::new(Arc::new(engine));
        task.spawn(server::serve(listener, workers(), app.clone(), shutdown));
        let client = Client::of(&format!("http://{address}"));
        Self { client, app, address, stop: Some(stop), task }
    }

    /// From now on it answers by another config (`{base}` replaced).
    pub fn reloads(&self, upstream: &Upstream, config: &str) {
        let config = config.replace("{base}", &upstream.base());
        let config = Config::parse(&config, None, &|_| None).expect("the story's config is good");
        self.app.replace(self.app.engine().successor(Arc::new(config)).expect("an engine"));
    }

    /// Starts over a file, and follows its changes at a quick pace.
    pub fn following(path: &Path) -> (Self, Reload) {
        let chorus = Self::with(Config::load(path, &|_| None).expect("the story's config is good"));
        let (env, overrides) = (Box::new(|_: &str| None), Overrides::default());
        let stores = SecretStores::default();
        let source = Source { path: path.to_owned(), env, overrides, stores, seen: None };
        let pace = Pace { quiet: ms(10), longest: ms(1000), interval: ms(100) };
        let reload = Reload::start(source, chorus.app.clone(), pace).expect("a thread");
        (chorus, reload)
    }

    /// The state of the server.
    pub fn app(&self) -> &AppState {
        &self.app
    }

    /// The address it listens on.
    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// Tells it to shut down, without waiting.
    pub fn request_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) {
        while let Some(end) = soon("the end of the drain", self.task.join_next()).await {
            end.expect("the server does not panic");
        }
    }
}

impl Deref for Chorus {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A config in the making: models of one upstream, a plan, further tables.
#[derive(Clone, Debug)]
pub struct Setup {
    models: Vec<(String, String)>,
    plan: Value,
    integration: String,
    tables: String,
}

/// The plain case: `judge` analyses and selects, `writer` fuses, and these draft.
pub fn four_stages(workers: &[&str]) -> Setup {
    let leaves: Vec<Value> = workers.iter().map(|name| json!({"ref": name})).collect();
    let plan = json!({
        "analyzer": {"ref": "judge"}, "workers": leaves,
        "selector": {"ref": "judge"}, "synthesizer": {"ref": "writer"},
    });
    Setup::of(plan).with_models(&["judge", "writer"]).with_models(workers)
}

impl Setup {
    /// A plan without models.
    pub fn of(plan: Value) -> Self {
        Self { models: Vec::new(), plan, integration: String::new(), tables: String::new() }
    }

    /// More models, OpenAI-compatible, at the upstream of the story.
    pub fn with_models(mut self, names: &[&str]) -> Self {
        self.models.extend(names.iter().map(|name| ((*name).to_owned(), String::new())));
        self
    }

    /// More keys of one model: `max_concurrency = 2`, or `protocol = "ollama"`.
    pub fn model_keys(mut self, name: &str, keys: &str) -> Self {
        let model = self.models.iter_mut().find(|(known, _)| known == name);
        let (_, existing) = model.expect("the story names a model it has");
        existing.push_str(keys);
        existing.push('\n');
        self
    }

    /// More keys beside the plan: `nested_worker_depth = 3`, `max_concurrency = 2`.
    pub fn integration_keys(mut self, keys: &str) -> Self {
        self.integration.push_str(keys);
        self.integration.push('\n');
        self
    }

    /// The plan, to change it.
    pub fn plan(&mut self) -> &mut Value {
        &mut self.plan
    }

    /// More tables: `[workflow.timeouts]` and the like.
    pub fn with(mut self, tables: &str) -> Self {
        self.tables.push_str(tables);
        self.tables.push('\n');
        self
    }

    /// No retries, so that one failure is one call.
    pub fn without_retries(self) -> Self {
        self.with("[workflow.retry]\nmax_retries = 0")
    }

    /// The config as TOML.
    pub fn toml(&self) -> String {
        let mut text = String::new();
        for (name, keys) in &self.models {
            // Ollama's and Gemini's paths have their own beginning below the same base.
            let own = ["\"ollama\"", "\"gemini\""].iter().any(|name| keys.contains(name));
            let path = if own { "" } else { "/v1" };
            text.push_str(&format!(
                "[[model]]\nname = \"{name}\"\napi_base = \"{{base}}{path}\"\n\
                 api_key = \"sk-key-of-{name}\"\n{keys}\n"
            ));
        }
        let Self { plan, integration, tables, .. } = self;
        text.push_str(&format!(
            "[workflow-integration]\n{integration}json = '''{plan}'''\n\n{tables}"
        ));
        text
    }

    /// Chorus with this config over that upstream.
    pub async fn over(&self, upstream: &Upstream) -> Chorus {
        Chorus::start(upstream, &self.toml()).await
    }
}
