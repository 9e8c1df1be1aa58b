//! Connections that are open before the first request needs them.

use crate::support::{
    Chorus, Process, Script, Setup, Upstream, four_stages, ms, question, soon, text_of,
    worker_count,
};

const CHAT: &str = "/v1/chat/completions";

async fn asks_once(chorus: &Chorus) {
    let objects = chorus.objects(CHAT, &question(CHAT, "m", "hi", true)).await;
    let text: String = objects.iter().map(text_of).collect();
    assert_eq!(text, "hello", "{objects:?}");
}

fn one_model(keys: &str) -> Setup {
    four_stages(&["m"]).model_keys("m", keys)
}

async fn upstream() -> Upstream {
    Upstream::start([("m", Script::says("hello"))]).await
}

/// The fake has sent its last byte; our side still has to read it.
async fn settled(upstream: &Upstream, requests: usize) {
    upstream.asked(requests).await;
    upstream.idle().await;
    tokio::time::sleep(ms(100)).await;
}

#[tokio::test]
async fn the_first_request_finds_an_open_connection() {
    let upstream = upstream().await;
    let chorus = one_model("warm_up = true").over(&upstream).await;
    let each = worker_count();
    settled(&upstream, each).await;
    let seen = upstream.seen();
    assert_eq!((seen.len(), seen[0].path.as_str()), (each, "/v1/models"));
    assert_eq!(seen[0].header("authorization"), Some("Bearer sk-key-of-m"));
    assert_eq!(upstream.connections(), each);
    asks_once(&chorus).await;
    let seen = upstream.seen().len();
    assert_eq!((upstream.connections(), seen), (each, each + 1), "no second connection");
    // It is off by default.
    let upstream = self::upstream().await;
    let chorus = one_model("").over(&upstream).await;
    tokio::time::sleep(ms(200)).await;
    assert_eq!(upstream.connections(), 0);
    asks_once(&chorus).await;
}

#[tokio::test]
async fn every_endpoint_is_warmed_and_ollama_loads_its_model() {
    let (first, second) = (upstream().await, upstream().await);
    let keys = format!(
        "protocol = \"ollama\"\ncontext_tokens = 4096\nwarm_up = true\n\
         [[model.endpoint]]\napi_base = \"{}\"\npriority = 2",
        second.base()
    );
    let chorus = one_model(&keys).over(&first).await;
    for upstream in [&first, &second] {
        settled(upstream, 2 * worker_count()).await;
        let seen = upstream.seen();
        let (lists, loads): (Vec<_>, Vec<_>) =
            seen.iter().partition(|seen| seen.path == "/api/tags");
        assert_eq!((lists.len(), loads.len()), (worker_count(), worker_count()));
        assert_eq!(loads[0].path, "/api/generate");
        let want = serde_json::json!(
            {"model": "m", "stream": false, "options": {"num_ctx": 4096}});
        assert_eq!(loads[0].body, want, "no prompt: nothing is generated");
    }
    let open = first.connections();
    asks_once(&chorus).await;
    let seen = first.seen();
    assert_eq!(
        seen[2 * worker_count()].body["options"]["num_ctx"],
        4096,
        "the context it was loaded with"
    );
    assert_eq!(first.connections(), open);
}

#[tokio::test]
async fn an_idle_connection_is_kept_open() {
    let upstream = upstream().await;
    let setup = one_model("warm_up = true").with("[workflow.pool]\nidle_secs = 1");
    let chorus = setup.over(&upstream).await;
    settled(&upstream, 4 * worker_count()).await;
    assert_eq!(upstream.connections(), worker_count());
    asks_once(&chorus).await;
    assert_eq!(upstream.connections(), worker_count());
    // It ends with the server.
    drop(chorus);
    let asked = upstream.seen().len();
    tokio::time::sleep(ms(1200)).await;
    assert!(upstream.seen().len() <= asked + 1, "{:?}", upstream.seen());
}

#[tokio::test]
async fn an_upstream_that_is_not_there_delays_nothing_and_alarms_nobody() {
    let upstream = Upstream::start([("m", Script::says("hello"))]).await;
    let config = one_model("warm_up = true").toml().replace("{base}/v1", "http://127.0.0.1:1/v1");
    let process = Process::serves(&upstream, &config, "info,chorus=debug", &[]).await;
    tokio::time::sleep(ms(200)).await;
    process.request_stop();
    let (status, log) = soon("the end", process.ended()).await;
    assert!(status.success(), "{log}");
    let line = log.lines().find(|line| line.contains("kept warm")).expect("a line at debug");
    assert!(line.contains("DEBUG") && line.contains("refused"), "{line}");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}
