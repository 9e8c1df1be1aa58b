//! What `chorus init` and `chorus check --probe` see of a server.

use std::{
    io::Cursor,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Json, Router, body::Body, http::Uri, response::Response};
use chorus::{
    commands::{check::probe, init},
    config::Config,
    llm::endpoint::probe::{Known, Probed, Spend},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::support::{Script, Upstream, four_stages, ms};

/// A server that answers with these headers, at paths with JSON; others are 404.
struct Fake {
    address: std::net::SocketAddr,
    calls: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Fake {
    async fn with(headers: &'static [(&str, &str)], pages: Vec<(&'static str, Value)>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let app = Router::new().fallback(async move |uri: Uri| {
            if uri.path().ends_with("/chat/completions") {
                count.fetch_add(1, Ordering::SeqCst);
            }
            let page = pages.iter().find(|(path, _)| uri.path() == *path);
            let mut response = Response::builder().status(if page.is_some() { 200 } else { 404 });
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            match page {
                Some((_, page)) if page["status"].is_u64() => {
                    let status = u16::try_from(page["status"].as_u64().unwrap()).unwrap();
                    response.status(status).body(Body::from(page.to_string())).unwrap()
                }
                Some((_, page)) => response.body(Body::from(Json(page).0.to_string())).unwrap(),
                None => response.body(Body::empty()).unwrap(),
            }
        });
        let mut serving = JoinSet::new();
        serving.spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { address, calls, _serving: serving }
    }

    async fn llama_cpp(n_ctx_train: u32) -> Self {
        let meta = json!({"n_ctx": 4096, "n_ctx_train": n_ctx_train});
        let list = json!({"data": [{"id": "m", "owned_by": "llamacpp", "meta": meta}]});
        let props = json!({"total_slots": 4, "default_generation_settings": {"n_ctx": 4096}});
        Self::with(&[("server", "llama.cpp")], vec![("/v1/models", list), ("/props", props)]).await
    }

    async fn probed(&self, keys: &str, spend: Spend) -> Probed {
        self.probed_with(keys, &json!({"workers": ["m"], "selector": "m"}), spend).await
    }

    async fn probed_with(&self, keys: &str, plan: &Value, spend: Spend) -> Probed {
        let text = format!(
            "[[model]]\nname = \"m\"\napi_base = \"http://{}/v1\"\n{keys}\n[workflow-integration]\n\
             json = '{plan}'\n",
            self.address
        );
        let config = Config::parse(&text, None, &|_| None).unwrap();
        probe::ask(&config, ms(20_000), spend).await.unwrap().remove(0)
    }
}

#[tokio::test]
async fn a_probe_compares_the_config_with_slots_and_context() {
    for (train, keys, want) in [
        (8192, "context_tokens = 4096\nmax_concurrency = 4", &[][..]),
        (8192, "context_tokens = 2048\nmax_concurrency = 2", &[]),
        (
            8192,
            "context_tokens = 4096",
            &["`max_concurrency` is not set", "max_concurrency = 4", "-np"],
        ),
        (8192, "max_concurrency = 4", &["`context_tokens` is 32768", "context_tokens = 4096"]),
        (8192, "context_tokens = 4096\nmax_concurrency = 9", &["`max_concurrency` is 9", "-np 4"]),
        (4096, "context_tokens = 4096\nmax_concurrency = 4", &["share one context", "-np 4"]),
        (4096, "context_tokens = 4096\nmax_concurrency = 1", &[]),
    ] {
        let found = Fake::llama_cpp(train).await.probed(keys, Spend::Nothing).await;
        let said = found.notes.join("\n");
        assert!(found.is_fine(), "{found:?}");
        assert!(want.iter().all(|words| said.contains(words)), "{train} {keys}: {said}");
        assert_eq!(said.is_empty(), want.is_empty(), "{train} {keys}: {said}");
        let mut out = Vec::new();
        probe::show(&[found], &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.contains("\nWarnings\n"), !want.is_empty(), "{out}");
    }
    let list = json!({"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 2048}]});
    let vllm = Fake::with(&[], vec![("/v1/models", list)]).await;
    let found = vllm.probed("", Spend::Nothing).await;
    assert!(found.notes.join("").contains("context_tokens = 2048"), "{found:?}");
}

/// Whatever words an endpoint has for it, and also where an alias has a page of its own alone.
#[tokio::test]
async fn a_probe_compares_the_config_with_any_context_that_is_reported() {
    let listed = |entry: Value| vec![("/v1/models", json!({"data": [entry]}))];
    for (pages, context) in [
        (listed(json!({"id": "m", "context_length": 4096})), Some(4096)),
        (listed(json!({"id": "m", "context_window": 4096})), Some(4096)),
        (listed(json!({"id": "m", "top_provider": {"context_length": 4096}})), Some(4096)),
        (
            listed(json!({"id": "m", "loaded_context_length": 4096, "max_context_length": 99_999})),
            Some(4096),
        ),
        (listed(json!({"id": "m", "context_length": 99_999})), Some(99_999)),
        (
            vec![
                ("/v1/models", json!({"data": [{"id": "a"}, {"id": "b"}]})),
                ("/v1/models/m", json!({"id": "m-2", "context_length": 4096})),
            ],
            Some(4096),
        ),
        (listed(json!({"id": "m"})), None),
    ] {
        let server = Fake::with(&[], pages).await;
        let found = server.probed("", Spend::Nothing).await;
        assert_eq!((found.known, found.context_tokens), (Known::Yes, context), "{found:?}");
        let want = "`context_tokens` is 32768, and it takes 4096: write `context_tokens = 4096`";
        let notes: &[&str] = if context == Some(4096) { &[want] } else { &[] };
        assert_eq!(found.notes, notes);
        let fitting = server.probed("context_tokens = 4096", Spend::Nothing).await;
        assert_eq!(fitting.notes, [""; 0]);
    }
}

#[tokio::test]
async fn a_probe_names_stages_that_ask_for_more_than_there_is() {
    let list = json!({"data": [{"id": "m", "context_length": 4096}]});
    let server = Fake::with(&[], vec![("/v1/models", list)]).await;
    for (most, keys, crowded) in [
        (4096, "", true),
        (8000, "", true),
        (4095, "", false),
        // The check itself reports what does not fit the config.
        (8000, "context_tokens = 4096", false),
    ] {
        let nested = json!({"name": "panel", "workers": [{"ref": "m", "max_tokens": most}]});
        let plan = json!({"workers": [nested, "m"],
            "synthesizer": {"ref": "m", "max_tokens": most}});
        let found = server.probed_with(keys, &plan, Spend::Nothing).await;
        let said = found.notes.join("\n");
        for stage in ["worker", "synthesizer"] {
            let words = format!(
                "`max_tokens` of a {stage} of `chorus` is {most}, which leaves no room for a prompt: \
                 it takes 4096 tokens with the answer"
            );
            assert_eq!(said.contains(&words), crowded, "{most} {keys}: {said}");
        }
        assert_eq!(said.contains("leaves no room"), crowded, "{said}");
    }
}

#[tokio::test]
async fn a_probe_names_a_gateway_and_what_its_list_proves() {
    let list = || ("/v1/models", json!({"data": [{"id": "m"}]}));
    let refused = json!({"status": 401, "error": {"message": "no such key"}});
    let answer = json!({"choices": [{"message": {"content": "a"}, "finish_reason": "length"}]});
    let gateway = &[("x-litellm-call-id", "1")];
    let pages = vec![list(), ("/v1/chat/completions", refused)];
    let broken = Fake::with(gateway, pages).await;
    let found = broken.probed("", Spend::Nothing).await;
    let said = found.notes.join("\n");
    assert!(found.is_fine() && found.gateway == Some("LiteLLM"), "{found:?}");
    assert!(said.contains("LiteLLM") && said.contains("the list proves nothing"), "{said}");
    assert_eq!(broken.calls.load(Ordering::SeqCst), 0, "nothing is spent unless asked for");
    let found = broken.probed("", Spend::OneToken).await;
    assert!(found.problem.as_ref().is_some_and(|it| it.contains("real call failed")), "{found:?}");
    assert_eq!(broken.calls.load(Ordering::SeqCst), 1);
    let works = Fake::with(gateway, vec![list(), ("/v1/chat/completions", answer)]).await;
    let found = works.probed("", Spend::OneToken).await;
    assert!(found.is_fine() && !found.notes.join("").contains("proves nothing"), "{found:?}");
    // LiteLLM itself names itself with answers only; its list has one time of birth for all models.
    let born = json!({"data": [{"id": "m", "created": 1677610602, "owned_by": "openai"},
        {"id": "n", "created": 1677610602, "owned_by": "openai"}]});
    let silent = Fake::with(&[], vec![("/v1/models", born)]).await;
    let found = silent.probed("", Spend::Nothing).await;
    assert_eq!(found.gateway, Some("LiteLLM"), "{found:?}");
    let plain = Fake::with(&[], vec![list()]).await.probed("", Spend::Nothing).await;
    assert!(plain.notes.is_empty() && plain.gateway.is_none(), "{plain:?}");
}

/// What `init` writes, and what it says.
async fn initialised(ollama: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let host = ollama.to_owned();
    let env = move |name: &str| (name == "OLLAMA_HOST").then(|| host.clone());
    let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), Cursor::new(Vec::new()));
    let mut terminal =
        init::Terminal { out: &mut out, err: &mut err, input: &mut input, attended: false };
    let options = init::Options { force: false, yes: true };
    assert_eq!(init::run(Some(&path), options, &env, &mut terminal).await.unwrap(), 0);
    (std::fs::read_to_string(&path).unwrap(), String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn a_chorus_is_no_model_server_to_init_and_probe() {
    let upstream = Upstream::start([("judge", Script::says("x")), ("a", Script::says("x"))]);
    let upstream = upstream.await;
    let chorus = four_stages(&["a"]).over(&upstream).await;
    let (written, said) = initialised(&chorus.address().to_string()).await;
    assert!(!written.contains(&chorus.address().to_string()), "{written}");
    assert!(said.contains("is a Chorus itself"), "{said}");
    // With and without the header that a proxy may take away.
    let list = json!({"data": [{"id": "chorus", "owned_by": "chorus"}]});
    let tags = json!({"models": [{"name": "chorus:latest"}]});
    let pages = || vec![("/v1/models", list.clone()), ("/api/tags", tags.clone())];
    for headers in [&[("server", "chorus/0.1.0")][..], &[]] {
        let other = Fake::with(headers, pages()).await;
        let found = other.probed("", Spend::Nothing).await;
        let problem = found.problem.unwrap_or_default();
        assert!(problem.contains("it is a Chorus itself"), "{problem}");
    }
    let base = format!("http://{}", chorus.address());
    let text = format!(
        "[[model]]\nname = \"chorus-1\"\napi_base = \"{base}\"\nprotocol = \"ollama\"\n\
         [workflow-integration]\njson = '{{\"workers\":[\"chorus-1\"],\"selector\":\"chorus-1\"}}'\n"
    );
    let config = Config::parse(&text, None, &|_| None).unwrap();
    let found = probe::ask(&config, ms(20_000), Spend::Nothing).await.unwrap().remove(0);
    assert!(found.problem.unwrap_or_default().contains("it is a Chorus itself"));
}

#[tokio::test]
async fn init_sets_the_smallest_model_for_background_tasks() {
    let tags = json!({"models": [
        {"name": "qwen3:8b", "details": {"family": "qwen3", "parameter_size": "8.2B"}},
        {"name": "gemma3:1b", "details": {"family": "gemma3", "parameter_size": "1B"}},
    ]});
    let ollama = Fake::with(&[], vec![("/api/tags", tags)]).await;
    let (written, _) = initialised(&ollama.address.to_string()).await;
    assert!(written.contains("task_model = \"gemma3:1b\""), "{written}");
}
