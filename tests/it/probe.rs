//! `chorus check --probe`: what is found out about an endpoint without spending a token.

use std::{
    fs,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    http::{HeaderMap, StatusCode, Uri},
    response::{Html, IntoResponse, Redirect, Response},
};
use bytes::Bytes;
use chorus::{
    config::Config,
    llm::{
        Llm,
        endpoint::probe::{Key, Known, Probed, Spend},
    },
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::Barrier,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::support::{Proxy, ms, soon};

const KEY: &str = "sk-0123456789abcdef0123";
const PATIENT: Duration = Duration::from_secs(20);

/// A server of many kinds of upstream, distinguished by the first part of the path. It serves while
/// this is held.
struct Upstreams {
    address: std::net::SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Upstreams {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, together) = (Arc::clone(&asked), Arc::new(Barrier::new(5)));
        let app = Router::new().fallback(async move |uri: Uri, headers: HeaderMap| {
            log.lock().unwrap().push(uri.to_string());
            if uri.path().starts_with("/together") {
                together.wait().await;
            }
            answer(&uri, &headers).await
        });
        let mut serving = JoinSet::new();
        serving.spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { address, asked, _serving: serving }
    }

    fn asked(&self, what: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|uri| uri.contains(what)).cloned().collect()
    }
}

fn ids(ids: &[&str]) -> Value {
    json!({"data": ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>()})
}

async fn answer(uri: &Uri, headers: &HeaderMap) -> Response {
    let keys = ["authorization", "x-api-key", "x-goog-api-key"];
    let key = keys.iter().find_map(|name| headers.get(*name)).map(|key| key.to_str().unwrap());
    let key = key.map(|key| key.trim_start_matches("Bearer "));
    let refused = || {
        let said = format!("Incorrect API key provided: {}", key.unwrap_or("none"));
        (StatusCode::UNAUTHORIZED, Json(json!({"error": {"message": said}}))).into_response()
    };
    let query = uri.query().unwrap_or_default();
    let (case, path) = uri.path().trim_start_matches('/').split_once('/').unwrap();
    match (case, path) {
        ("keyed" | "together", "v1/models") if key == Some(KEY) => {
            Json(ids(&["gpt-4o", "gpt-4o-mini", "o3"])).into_response()
        }
        // An alias that the list leaves out.
        ("keyed", "v1/models/gpt-4o-latest") => Json(json!({"id": "gpt-4o"})).into_response(),
        ("open", "v1/models") => Json(ids(&["gpt-4o", "evil\u{1b}[2J"])).into_response(),
        ("bare", "v1/models") => Json(ids(&["gpt-4o"])["data"].clone()).into_response(),
        ("empty", "v1/models") => Json(ids(&[])).into_response(),
        ("llamacpp", "v1/models") => {
            Json(json!({"data": [{"id": "/models/a.gguf", "owned_by": "llamacpp"}]}))
                .into_response()
        }
        ("html", "v1/models") => Html("<!doctype html><title>Hello</title>").into_response(),
        ("other", "v1/models") => Json(json!({"hello": [1, 2]})).into_response(),
        ("inband", "v1/models") => {
            Json(json!({"error": {"message": "no such project"}})).into_response()
        }
        ("moved", "v1/models") => Redirect::permanent("/open/v1/models").into_response(),
        ("broken", "v1/models") => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        ("hangs", _) => std::future::pending().await,
        ("endless", "v1/models") => {
            let piece = Bytes::from(vec![b' '; 64 * 1024]);
            Body::from_stream(stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone())))
                .into_response()
        }
        ("ollama", "api/tags") => {
            Json(json!({"models": [{"name": "llama3.2:latest"}, {"name": "qwen3:8b"}]}))
                .into_response()
        }
        ("claude", "v1/models") if key == Some(KEY) => {
            assert!(query.starts_with("limit=1000") && headers.contains_key("anthropic-version"));
            let (name, more) = match query.contains("after_id=claude-a") {
                false => ("claude-a", true),
                true => ("claude-b", false),
            };
            Json(json!({"data": [{"id": name}], "has_more": more, "last_id": name})).into_response()
        }
        ("gemini", "v1beta/models") if key == Some(KEY) => {
            assert!(query.starts_with("pageSize=1000"), "{query}");
            if query.contains("pageToken=next") {
                return Json(json!({"models": [{"name": "models/gemini-b"}]})).into_response();
            }
            let models = json!([{"name": "models/gemini-a"}]);
            Json(json!({"models": models, "nextPageToken": "next"})).into_response()
        }
        // Google's way to say 401.
        ("gemini", _) => {
            let error = json!({"message": "API key not valid", "details": [
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]});
            (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response()
        }
        ("keyed" | "together" | "claude", _) if key != Some(KEY) => refused(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A config of models `NAME = (base, upstream_model, more keys)`.
fn config(models: &[(&str, String, &str, &str)]) -> String {
    let model = |(name, base, upstream, keys): &(&str, String, &str, &str)| {
        format!(
            "[[model]]\nname = \"{name}\"\napi_base = \"{base}\"\nupstream_model = \"{upstream}\"\n{keys}\n"
        )
    };
    let first = models[0].0;
    let plan = json!({"workers": [first], "selector": first});
    let models: String = models.iter().map(model).collect();
    format!("[server]\n[workflow.timeouts]\n{models}\n[workflow-integration]\njson = '{plan}'\n")
}

async fn probed(text: &str, env: impl Fn(&str) -> Option<String>, limit: Duration) -> Vec<Probed> {
    let config = Config::parse(text, None, &env).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let llm = Llm::new(&config).unwrap();
    let mut found: Vec<(usize, Probed)> =
        soon("all probes", llm.probe(limit, Spend::Nothing).collect()).await;
    found.sort_by_key(|(number, _)| *number);
    assert_eq!(found.len(), llm.endpoint_count());
    found.into_iter().map(|(_, found)| found).collect()
}

#[tokio::test]
async fn each_endpoint_is_reported_as_it_is() {
    let upstreams = Upstreams::start().await;
    let at = |case: &str| format!("http://{}/{case}", upstreams.address);
    let keyed = format!("api_key = \"{KEY}\"");
    let wrong = "api_key = \"sk-ffffffffffffffff0000\"";
    let ollama = "protocol = \"ollama\"";
    let claude = format!("{keyed}\nprotocol = \"anthropic\"");
    let gemini = format!("{keyed}\nprotocol = \"gemini\"");
    let gemini_wrong = format!("{wrong}\nprotocol = \"gemini\"");
    let (fine, list) = (Known::Yes, Known::Unknown);
    let moved = format!(
        "answered with a redirect (308) to {0}/models, which is not followed; if that is right, put \
         {0} into `api_base`",
        at("open/v1")
    );
    let without_v1 = format!(
        "there is no list of models at /keyed/models, and one at /keyed/v1/models: `api_base` is \
         probably \"{}\"",
        at("keyed/v1")
    );
    let cases = [
        ("keyed/v1", "gpt-4o", keyed.as_str(), Key::Accepted, fine, ""),
        ("keyed/v1", "gpt-4o-latest", &keyed, Key::Accepted, fine, ""),
        (
            "keyed/v1",
            "gpt-4",
            &keyed,
            Key::Accepted,
            Known::No,
            "it has no model `gpt-4` (it is none of its 3 models); did you mean `gpt-4o` or `gpt-4o-mini`?",
        ),
        (
            "keyed/v1",
            "gpt-4o",
            wrong,
            Key::Refused,
            list,
            "does not accept the configured key (401): Incorrect API key provided: ***",
        ),
        (
            "keyed/v1",
            "gpt-4o",
            "",
            Key::Refused,
            list,
            "it wants a key, and the model has no `api_key`",
        ),
        ("open/v1", "gpt-4o", "", Key::NotAskedFor, fine, ""),
        ("open/v1", "gpt-4o", wrong, Key::NotAskedFor, fine, ""),
        (
            "open/v1",
            "evil",
            "",
            Key::NotAskedFor,
            Known::No,
            "it has no model `evil` (it is none of its 2 models); did you mean `evil\\u{1b}[2J`?",
        ),
        ("bare/v1", "gpt-4o", "", Key::NotAskedFor, fine, ""),
        (
            "empty/v1",
            "gpt-4o",
            "",
            Key::NotAskedFor,
            Known::No,
            "it has no model `gpt-4o`, and no other either",
        ),
        ("llamacpp/v1", "whatever", "", Key::NotAskedFor, fine, ""),
        // A server without a list: nobody can know.
        ("nothing", "gpt-4o", &keyed, Key::Unknown, list, ""),
        ("keyed", "gpt-4o", &keyed, Key::Unknown, list, &without_v1),
        (
            "html/v1",
            "gpt-4o",
            &keyed,
            Key::Unknown,
            list,
            "a web page came instead of a model list; is api_base right?",
        ),
        (
            "other/v1",
            "gpt-4o",
            "",
            Key::Unknown,
            list,
            "what came is no list of models; is api_base right, and `protocol`?",
        ),
        (
            "inband/v1",
            "gpt-4o",
            "",
            Key::Unknown,
            list,
            "reported an error instead of an answer: no such project",
        ),
        ("moved/v1", "gpt-4o", "", Key::Unknown, list, &moved),
        ("broken/v1", "gpt-4o", "", Key::Unknown, list, "failed (500)"),
        (
            "endless/v1",
            "gpt-4o",
            "",
            Key::Unknown,
            list,
            "its model list does not end; is api_base right?",
        ),
        ("ollama", "llama3.2", ollama, Key::NotAskedFor, fine, ""),
        ("ollama", "qwen3:8b", ollama, Key::NotAskedFor, fine, ""),
        (
            "ollama",
            "qwen3:4b",
            ollama,
            Key::NotAskedFor,
            Known::No,
            "it has no model `qwen3:4b` (it is none of its 2 models); did you mean `qwen3:8b`?",
        ),
        ("claude", "claude-b", &claude, Key::Accepted, fine, ""),
        ("gemini", "gemini-b", &gemini, Key::Accepted, fine, ""),
        ("gemini", "models/gemini-a", &gemini, Key::Accepted, fine, ""),
        (
            "gemini",
            "gemini-a",
            &gemini_wrong,
            Key::Refused,
            list,
            "does not accept the configured key (401, sent as 400): API key not valid",
        ),
    ];
    let names: Vec<String> = (0..cases.len()).map(|number| format!("m{number}")).collect();
    let models: Vec<_> = (cases.iter().zip(&names))
        .map(|((base, upstream, keys, ..), name)| (name.as_str(), at(base), *upstream, *keys))
        .collect();
    let found = probed(&config(&models), |_| None, PATIENT).await;
    for (found, (base, upstream, keys, key, known, problem)) in found.iter().zip(cases) {
        let case = format!("{base} {upstream} {keys}: {found:?}");
        assert!(found.reachable && found.latency_ms.is_some(), "{case}");
        assert_eq!((found.key, found.known), (key, known), "{case}");
        assert_eq!(found.problem.as_deref().unwrap_or_default(), problem, "{case}");
        assert_eq!(found.is_fine(), known == Known::Yes && problem.is_empty(), "{case}");
        assert_eq!(found.is_unknown(), base == "nothing", "{case}");
        assert_eq!(found.endpoint, upstreams.address.to_string(), "{case}");
        let shown = serde_json::to_string(found).unwrap();
        assert!(!shown.contains("sk-"), "{shown}");
    }
    assert!(upstreams.asked("completions").is_empty() && upstreams.asked("messages").is_empty());
}

#[tokio::test]
async fn whoever_does_not_answer_is_waited_for_so_long_and_no_longer() {
    let upstreams = Upstreams::start().await;
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let nobody = format!("http://{}/v1", closed.local_addr().unwrap());
    drop(closed);
    let hangs = format!("http://{}/hangs/v1", upstreams.address);
    let text = config(&[("hangs", hangs, "m", ""), ("nobody", nobody, "m", "")]);
    let begun = Instant::now();
    let found = probed(&text, |_| None, ms(250)).await;
    assert!(begun.elapsed() >= ms(250), "it was given its time");
    for (found, problem) in found.iter().zip(["no answer in 0.25 s", "no connection to 127.0.0.1"])
    {
        assert!(!found.reachable && found.latency_ms.is_none() && !found.is_fine(), "{found:?}");
        assert_eq!((found.key, found.known), (Key::Unknown, Known::Unknown));
        assert!(found.problem.as_deref().unwrap().starts_with(problem), "{found:?}");
    }
}

/// None of the five answers before all are asked.
#[tokio::test]
async fn all_endpoints_are_asked_side_by_side() {
    let upstreams = Upstreams::start().await;
    let base = format!("http://{}/together/v1", upstreams.address);
    let key = format!("api_key = \"{KEY}\"");
    let more = format!("[[model.endpoint]]\napi_base = \"{base}\"\n{key}\n").repeat(2);
    let all = format!("{key}\n{more}");
    let text = config(&[
        ("a", base.clone(), "o3", &all),
        ("b", base.clone(), "o3", &key),
        ("c", base, "o3", &key),
    ]);
    let found = probed(&text, |_| None, PATIENT).await;
    assert_eq!(found.iter().map(|one| one.model.as_str()).collect::<String>(), "aaabc");
    assert!(found.iter().all(|one| one.reachable && one.known == Known::Yes), "{found:?}");
}

#[tokio::test]
async fn the_way_is_the_one_that_calls_take() {
    let upstreams = Upstreams::start().await;
    let proxy = Proxy::to(upstreams.address).await;
    let env = |name: &str| (name == "HTTP_PROXY").then(|| format!("http://{}", proxy.authority()));
    let base = "http://models.example/keyed/v1".to_owned();
    let headers = format!("headers = {{ Authorization = \"Bearer {KEY}\" }}");
    let text = config(&[("m", base, "o3", &headers)]);
    let found = probed(&text, env, PATIENT).await;
    assert_eq!((found[0].key, found[0].known), (Key::Accepted, Known::Yes), "{found:?}");
    assert!(
        proxy.heads().iter().any(|head| head.contains("models.example")),
        "{:?}",
        proxy.heads()
    );

    let refusing = Proxy::to_nowhere(407).await;
    let env =
        |name: &str| (name == "HTTP_PROXY").then(|| format!("http://{}", refusing.authority()));
    let found = probed(&text, env, PATIENT).await;
    assert!(!found[0].reachable && found[0].latency_ms.is_none(), "{found:?}");
    assert!(found[0].problem.as_deref().unwrap().contains("proxy"), "{found:?}");
}

/// The real binary: code, what goes to stdout, what goes to stderr.
fn run(text: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_chorus"))
        .args(arguments)
        .arg("--config")
        .arg(&file)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), shown(output.stdout), shown(output.stderr))
}

/// The part about the endpoints, without what differs from run to run.
fn table(out: &str, port: u16) -> String {
    let table = &out[out.find("\nEndpoints\n").expect("there is a table")..];
    let line = |line: &str| match line.rsplit_once("  ") {
        Some((rest, latency)) if latency.ends_with(" ms") => format!("{}  N ms", rest.trim_end()),
        _ => line.to_owned(),
    };
    // As wide as a port that the system chooses, or the columns would move.
    let table = table.replace(&port.to_string(), "NNNNN");
    table.trim().lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_shows_a_table_and_says_by_its_code_whether_all_is_fine() {
    let upstreams = Upstreams::start().await;
    let at = |case: &str| format!("http://{}/{case}", upstreams.address);
    let key = format!("api_key = \"{KEY}\"");
    let good = [
        ("qwen3", at("ollama"), "qwen3:8b", "protocol = \"ollama\""),
        ("gpt", at("keyed/v1"), "gpt-4o", key.as_str()),
    ];
    let (code, out, err) = run(&config(&good), &["check", "--probe"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("c.toml is fine: 2 models, 1 worker\n"), "{out}");
    assert!(out.ends_with("\n2 of 2 endpoints are fine.\n"), "{out}");

    let [first, second] = good;
    let bad =
        [first, second, ("plain", at("nothing"), "m", ""), ("typo", at("keyed/v1"), "gpt-4", &key)];
    let (code, out, err) = run(&config(&bad), &["check", "--probe"]);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    assert!(!out.contains(KEY), "{out}");
    insta::assert_snapshot!(table(&out, upstreams.address.port()), @r#"
    Endpoints
      model  endpoint         protocol  reachable  key            model known  latency
      qwen3  127.0.0.1:NNNNN  ollama    yes        not asked for  yes  N ms
      gpt    127.0.0.1:NNNNN  openai    yes        accepted       yes  N ms
      plain  127.0.0.1:NNNNN  openai    yes        unknown        no list  N ms
      typo   127.0.0.1:NNNNN  openai    yes        accepted       no  N ms

    Key not asked for: the list of models is given without one too, so it cannot tell.

    No list of models there, nor where it usually is: whether key and model work is not known. --spend asks by a real call.

    Problems
      typo at 127.0.0.1:NNNNN: it has no model `gpt-4` (it is none of its 3 models); did you mean `gpt-4o` or `gpt-4o-mini`?

    2 of 4 endpoints are fine; of 1 it is not known.
    "#);
    // What may work is no failure.
    let (code, out, _) = run(&config(&[("plain", at("nothing"), "m", "")]), &["check", "--probe"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.ends_with("\n0 of 1 endpoints are fine; of 1 it is not known.\n"), "{out}");

    // A config that is not good is not probed, and without the flag nobody is asked.
    let asked = upstreams.asked("").len();
    let broken = config(&bad).replace("[server]", "[server]\nport = \"many\"");
    assert_eq!(run(&broken, &["check", "--probe"]).0, Some(2));
    assert_eq!(run(&config(&bad), &["check"]).0, Some(0));
    assert_eq!(upstreams.asked("").len(), asked);
}

/// `env` of other systems cannot set a signal.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn ctrl_c_ends_it() {
    use std::os::unix::process::ExitStatusExt;
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base = format!("http://{}/v1", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    fs::write(&file, config(&[("m", base, "m", "")])).unwrap();
    // Whoever started the tests may have it ignored, as `nohup` and some CI do, and children inherit
    // that.
    let mut child = Command::new("env")
        .args([
            "--default-signal=INT",
            env!("CARGO_BIN_EXE_chorus"),
            "check",
            "--probe",
            "--config",
        ])
        .arg(&file)
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (_held, _) = soon("the probe to come", silent.accept()).await.unwrap();
    let begun = Instant::now();
    assert!(
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success()
    );
    let status = timeout(PATIENT, async {
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            tokio::time::sleep(ms(5)).await;
        }
    });
    assert_eq!(status.await.unwrap().signal(), Some(2), "it waited for the endpoint");
    assert!(begun.elapsed() < Duration::from_secs(9), "before the probe's own limit");
}
