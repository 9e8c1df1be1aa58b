//! The config changes while others use the service.

use std::{
    cell::Cell,
    fs,
    path::Path,
    sync::{Arc, Weak},
};

use chorus::workflow::Engine;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Chorus, ENDPOINTS, Gate, Process, Script, Setup, Upstream, four_stages, ms, question, soon,
    text_of,
};

const CHAT: &str = "/v1/chat/completions";

/// A config all of whose parts bear its mark: the names of its workers, and what its models are
/// called upstream.
fn marked(mark: &str) -> String {
    let workers = [format!("{mark}-one"), format!("{mark}-two")];
    let plan = json!({
        "workers": [
            {"name": workers[0], "ref": "draft"}, {"name": workers[1], "ref": "draft"},
        ],
        "synthesizer": {"ref": "writer"},
    });
    let named = |name: &str| format!("upstream_model = \"{mark}-{name}\"");
    let setup = Setup::of(plan).with_models(&["draft", "writer"]);
    let setup =
        ["draft", "writer"].iter().fold(setup, |setup, name| setup.model_keys(name, &named(name)));
    setup.toml()
}

/// Models that say whose they are; the writer repeats what it was given, too.
async fn marking() -> Upstream {
    let mut cast = Vec::new();
    for mark in ["A", "B"] {
        let draft = format!("draft of {mark}");
        let writer = Script::answers(move |seen| format!("{mark} wrote {:?}", seen.drafts()));
        cast.push((format!("{mark}-draft"), Script::says(&draft).after(ms(5))));
        cast.push((format!("{mark}-writer"), writer.in_deltas(6).with_gaps(ms(3))));
    }
    Upstream::start_with(cast).await
}

/// Asks a streamed question and says whose the answer is: the text and every name in its record.
async fn answered(chorus: &Chorus, path: &str) -> &'static str {
    let mut body = question(path, "chorus", "hi", true);
    body["include_workflow"] = json!(true);
    let objects = chorus.objects(path, &body).await;
    assert!(objects.iter().all(|object| object.get("error").is_none()), "{objects:?}");
    let text: String = objects.iter().map(text_of).collect();
    let mark = if text.starts_with('A') { "A" } else { "B" };
    let draft = format!("\"draft of {mark}\"");
    assert_eq!(text, format!("{mark} wrote [{draft}, {draft}]"), "{objects:?}");
    let record = objects.iter().find_map(|object| object["workflow"].as_object());
    let record = record.expect("the record was asked for");
    assert_eq!(record["status"], "ok", "{record:?}");
    let workers = record["workers"].as_array().unwrap();
    let names = workers.iter().filter_map(|worker| worker["name"].as_str());
    assert!(names.clone().all(|name| name.starts_with(mark)), "{record:?}");
    assert_eq!(names.count(), 2);
    mark
}

/// What `/health?verbose` says of the config.
async fn config_health(chorus: &Chorus) -> Value {
    let response = chorus.get("/health?verbose").await;
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    body["config"].clone()
}

async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    soon(what, async {
        while !is_so().await {
            tokio::time::sleep(ms(10)).await;
        }
    })
    .await;
}

fn replaced(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

/// Good configs of both marks and bad ones in turn, ten streams apart; each is seen to have its
/// effect.
async fn rewritten(
    chorus: &Chorus,
    path: &Path,
    upstream: &Upstream,
    asked: &Cell<usize>,
) -> Vec<Weak<Engine>> {
    let mut engines = vec![Arc::downgrade(&chorus.app().engine())];
    for round in 0..50 {
        until("ten more streams", async || asked.get() >= round * 10).await;
        if round % 2 == 1 {
            let bad = ["[server", "[[model]]\nname = \"m\"\n", ""][round % 3];
            replaced(path, bad);
            until("the refusal", async || !config_health(chorus).await["last_error"].is_null())
                .await;
            continue;
        }
        let mark = if round % 4 == 0 { "B" } else { "A" };
        let before = Arc::downgrade(&chorus.app().engine());
        replaced(path, &marked(mark).replace("{base}", &upstream.base()));
        let swapped = || !Weak::ptr_eq(&before, &Arc::downgrade(&chorus.app().engine()));
        until("the new config", async || swapped()).await;
        engines.push(Arc::downgrade(&chorus.app().engine()));
    }
    engines
}

#[tokio::test]
async fn five_hundred_streams_through_fifty_rewrites() {
    let upstream = marking().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, marked("A").replace("{base}", &upstream.base())).unwrap();
    let (chorus, _reload) = Chorus::following(&path);
    let (is_over, asked, of_a) = (Cell::new(false), Cell::new(0), Cell::new(0));
    let client = async |number: usize| {
        // At least its share, and as long as the file changes.
        for turn in 0.. {
            if turn >= 50 && is_over.get() {
                break;
            }
            let mark = answered(&chorus, ENDPOINTS[(number + turn) % 3]).await;
            asked.set(asked.get() + 1);
            of_a.set(of_a.get() + usize::from(mark == "A"));
        }
    };
    let clients = futures::future::join_all((0..10).map(client));
    let rewriting = async {
        let engines = rewritten(&chorus, &path, &upstream, &asked).await;
        is_over.set(true);
        engines
    };
    let (_, engines) = tokio::join!(clients, rewriting);
    let (asked, of_a) = (asked.get(), of_a.get());
    assert!(asked >= 500 && of_a > 100 && asked - of_a > 100, "{asked} streams, {of_a} of A");

    let health = config_health(&chorus).await;
    assert_eq!(health["reloads"], 25, "{health}");
    assert_eq!(engines.len(), 26);
    // What the last runs hold is given back with their connections.
    until("the end of the old engines", async || {
        engines.iter().filter(|engine| engine.strong_count() > 0).count() == 1
    })
    .await;
    // Ten streams at a time make two calls at once, and one that is late may cost one more.
    assert!(upstream.connections() <= 40, "{} connections", upstream.connections());
    assert_eq!(upstream.hang_ups(), 0);
}

#[tokio::test]
async fn a_stream_in_flight_ends_on_its_own_config() {
    for path in ENDPOINTS {
        let gate = Gate::shut();
        let upstream = Upstream::start([
            ("judge", Script::judges_for("")),
            ("only", Script::says("draft")),
            ("writer", Script::says("abc").waits_after(1, &gate)),
            ("other", Script::says("new")),
        ])
        .await;
        let setup = four_stages(&["only"]);
        let chorus = setup.over(&upstream).await;
        let engine = Arc::downgrade(&chorus.app().engine());
        let mut events = chorus.stream(path, &question(path, "chorus", "hi", true)).await;
        assert_eq!(events.text().await.as_deref(), Some("a"), "{path}");
        let next = setup.clone().model_keys("writer", "upstream_model = \"other\"");
        chorus.reloads(&upstream, &next.toml());
        let (status, answer) = chorus.ask(path, &question(path, "chorus", "hi", false)).await;
        assert_eq!((status, text_of(&answer)), (200, "new"), "{path}");
        assert!(engine.strong_count() > 0, "the run has it");
        gate.open();
        let text: String = events.rest().await.iter().map(text_of).collect();
        assert_eq!(text, "bc", "{path}");
        until("the end of the old engine", async || engine.strong_count() == 0).await;
    }
}

#[tokio::test]
async fn keys_limits_and_kept_responses_across_a_reload() {
    let upstream = Upstream::start([("m", Script::echoes("you said "))]).await;
    let plan = json!({"workers": ["m"], "selector": "m"});
    let client = |key: &str| format!("[[client]]\nname = \"c\"\nkey = \"{key}\"\n");
    let setup = Setup::of(plan).with_models(&["m"]);
    let chorus = setup.clone().with(&client("first")).over(&upstream).await;
    let ask = async |key: &str, body: Value| {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str())];
        let response = chorus.post_with("/v1/responses", &body, &headers).await;
        let status = response.status().as_u16();
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        (status, body)
    };
    let (status, first) = ask("first", json!({"model": "m", "input": "one"})).await;
    assert_eq!(status, 200, "{first}");
    let both = format!("{}{}", client("first"), client("second").replace("\"c\"", "\"d\""));
    chorus.reloads(&upstream, &setup.clone().with(&both).toml());
    let follow = json!({"model": "m", "input": "two", "previous_response_id": first["id"]});
    let (status, answer) = ask("first", follow).await;
    assert_eq!(status, 200, "what was kept is still there: {answer}");
    assert_eq!(ask("second", json!({"model": "m", "input": "x"})).await.0, 200);
    let limited = "[server]\nrequest_body_limit = 30\n";
    chorus.reloads(&upstream, &setup.with(&client("second")).with(limited).toml());
    assert_eq!(ask("first", json!({"model": "m", "input": "x"})).await.0, 401);
    assert_eq!(ask("second", json!({"model": "m", "input": "longer than that"})).await.0, 413);
}

#[tokio::test]
async fn the_next_engine_looks_after_the_upstreams() {
    let fails = Script::fails(401).first(1, Script::says("well"));
    let upstream = Upstream::start([("m", fails)]).await;
    let setup = Setup::of(json!({"workers": ["m"], "selector": "m"})).with_models(&["m"]);
    let health = |probe: &str| {
        let health = "[workflow.health]\nfailure_threshold = 1\nopen_secs = 3600\n";
        let setup = setup.clone().without_retries();
        setup.with(&format!("{health}probe_interval_secs = {probe}")).toml()
    };
    let chorus = Chorus::start(&upstream, &health("0")).await;
    let body = question(CHAT, "m", "hi", false);
    assert_eq!(chorus.ask(CHAT, &body).await.0, 502);
    let (_, refused) = chorus.ask(CHAT, &body).await;
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains("no endpoint is in service"), "{refused}");
    // It stays out over a reload, and is asked for its model list from then on.
    chorus.reloads(&upstream, &health("0.02"));
    until("the endpoint to be back", async || chorus.get("/ready").await.status() == 200).await;
    let (status, answer) = chorus.ask(CHAT, &body).await;
    assert_eq!((status, text_of(&answer)), (200, "well"));
    assert!(upstream.seen().iter().any(|seen| seen.path == "/v1/models"));
}

#[tokio::test]
async fn the_config_in_use_is_shown_to_administrators() {
    let upstream = Upstream::start([("m", Script::says("hi"))]).await;
    let secret = "a-secret-of-mine";
    let keys = format!("headers = {{ \"X-Org\" = \"{secret}\" }}");
    let setup = Setup::of(json!({"workers": [{"ref": "m", "system": secret}], "selector": "m"}))
        .with_models(&["m"])
        .model_keys("m", &keys)
        .with(&format!("[[client]]\nname = \"c\"\nkey = \"{secret}\"\nadmin = true\n"))
        .with("[[client]]\nname = \"d\"\nkey = \"another-key-of-mine\"\n");
    let chorus = setup.over(&upstream).await;
    assert_eq!(chorus.get("/chorus/config").await.status(), 401);
    let other = chorus.request(Method::GET, "/chorus/config").bearer_auth("another-key-of-mine");
    assert_eq!(other.send().await.unwrap().status(), 403, "it is for administrators");
    let asked = chorus.request(Method::GET, "/chorus/config").bearer_auth(secret).send();
    let response = asked.await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.text().await.unwrap();
    assert!(!body.contains(secret) && !body.contains("sk-key-of"), "{body}");
    let shown: Value = serde_json::from_str(&body).unwrap();
    let shown_client = &shown["client"][0];
    assert_eq!((&shown_client["name"], &shown_client["key"]), (&json!("c"), &json!("(set)")));
    assert_eq!(shown["model"][0]["headers"], json!({"X-Org": "(set)"}));
    let base = format!("{}/v1", upstream.base());
    assert_eq!(shown["model"][0]["api_base"], json!(base));
    assert_eq!(shown["workflow-integration"]["plan"]["workers"][0]["ref"], "m");
}

#[tokio::test]
async fn the_binary_follows_its_file_and_sighup() {
    let upstream = Upstream::start([("m", Script::says("hi"))]).await;
    let setup = Setup::of(json!({"workers": ["m"], "selector": "m"})).with_models(&["m"]);
    let process = Process::serves(&upstream, &setup.toml(), "info", &[]).await;
    let client = process.client();
    let config = async || {
        let response = client.get("/health?verbose").await;
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        body["config"].clone()
    };
    let first = config().await;
    let path = process.config_file();
    assert_eq!(first["path"], json!(path.display().to_string()));
    assert_eq!((&first["reloads"], &first["last_error"]), (&json!(0), &Value::Null));

    let further = setup.clone().with_models(&["n"]).toml().replace("{base}", &upstream.base());
    replaced(&path, &further);
    until("the new model", async || client.get("/v1/models/n").await.status() == 200).await;
    assert_eq!(config().await["reloads"], 1);

    process.request_reload();
    until("the reload that was asked for", async || config().await["reloads"] == 2).await;

    replaced(&path, &further.replace("\"selector\":\"m\"", "\"selector\":\"typo\""));
    until("the refusal", async || !config().await["last_error"].is_null()).await;
    let shown = config().await;
    let problems = shown["last_error"]["problems"].as_array().unwrap();
    assert!(problems[0].as_str().unwrap().contains("typo"), "{shown}");
    assert_eq!(client.get("/v1/models/n").await.status(), 200);
    replaced(&path, &further);
    until("the good config", async || config().await["last_error"].is_null()).await;

    process.request_stop();
    let (status, log) = process.ended().await;
    assert!(status.success(), "{status}: {log}");
    let count = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!(count("config reloaded"), 2, "{log}");
    assert_eq!(count("model n added"), 1, "{log}");
    assert_eq!(count("was not reloaded"), 1, "it is told once: {log}");
    assert!(!log.contains("sk-key-of"), "{log}");
}

#[tokio::test]
async fn each_config_that_was_loaded_is_a_version_for_those_with_a_key() {
    let upstream = Upstream::start([("m", Script::says("hi"))]).await;
    let secret = "k-5ecre7-of-the-laptop";
    let client = format!("[[client]]\nname = \"laptop\"\nkey = \"{secret}\"\nadmin = true\n");
    let setup = Setup::of(json!({"workers": ["m"], "selector": "m"})).with_models(&["m"]);
    let with = |secs| format!("{}{client}[workflow.health]\nopen_secs = {secs}\n", setup.toml());
    let process = Process::serves(&upstream, &with(7), "info", &[]).await;
    let path = "/chorus/config/versions";
    assert_eq!(process.client().get(path).await.status(), 401);
    let versions = async || {
        let asked = process.client().request(Method::GET, path).bearer_auth(secret).send();
        let bytes = asked.await.unwrap().bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        body["versions"].clone()
    };
    let first = versions().await;
    assert_eq!((&first[0]["id"], first.as_array().unwrap().len()), (&json!(1), 1), "{first}");
    replaced(&process.config_file(), &with(8).replace("{base}", &upstream.base()));
    until("the next version", async || versions().await[0]["id"] == 2).await;
    let both = versions().await;
    assert_eq!(both[0]["changes"], json!(["[workflow.health]"]));
    assert!(!both.to_string().contains(secret), "{both}");
}
