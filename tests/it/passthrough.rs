//! Embeddings and rankings pass through: what the upstream is sent, what comes back, and what is refused.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{Chorus, Script, Setup, Upstream, four_stages, soon};

const OLLAMA: &str = "protocol = \"ollama\"\nupstream_model = \"nomic\"";
const GEMINI: &str = "protocol = \"gemini\"\nupstream_model = \"embed-3\"";
const RENAMED: &str = "upstream_model = \"embed-3\"";
/// The numbers have more digits than a float keeps.
const OPENAI_REPLY: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.12345678901234567890, -1e-30]}],"model":"embed-3","usage":{"prompt_tokens":3,"total_tokens":3},"x-extra":true}"#;
/// Cohere's, which counts its tokens elsewhere.
const RERANK_REPLY: &str = r#"{"id":"07734bd2","results":[{"index":1,"relevance_score":0.999071}],"model":"rank-2","meta":{"api_version":{"version":"2"},"tokens":{"input_tokens":41.0}}}"#;
const OLLAMA_REPLY: &str =
    r#"{"model":"nomic","embeddings":[[0.1,0.2]],"total_duration":14143917,"prompt_eval_count":8}"#;

fn setup() -> Setup {
    four_stages(&["hosted", "local", "google"])
        .model_keys("hosted", RENAMED)
        .model_keys("local", OLLAMA)
        .model_keys("google", GEMINI)
        .with("[workflow.retry]\nbase_delay_ms = 1")
}

async fn cast(hosted: Script, local: Script) -> Upstream {
    Upstream::start([("embed-3", hosted), ("nomic", local)]).await
}

async fn text(response: Response) -> String {
    soon("the body", response.text()).await.expect("a whole body")
}

#[tokio::test]
async fn both_protocols_pass_through_with_the_names_exchanged() {
    let upstream = cast(
        Script::sends("application/json", OPENAI_REPLY.as_bytes()),
        Script::sends("application/json", OLLAMA_REPLY.as_bytes()),
    )
    .await;
    let chorus = setup().over(&upstream).await;
    for (path, model, reply) in [
        ("/v1/embeddings", "hosted", OPENAI_REPLY.replace("embed-3", "hosted")),
        ("/api/embed", "local", OLLAMA_REPLY.replace("nomic", "local")),
        ("/api/embeddings", "local:latest", OLLAMA_REPLY.replace("nomic", "local:latest")),
        ("/ollama/api/embed", "local", OLLAMA_REPLY.replace("nomic", "local")),
        // In OpenAI's form, as Ollama and Google have it too.
        ("/v1/embeddings", "local", OLLAMA_REPLY.replace("nomic", "local")),
        ("/v1/embeddings", "google", OPENAI_REPLY.replace("embed-3", "google")),
    ] {
        let body = json!({"model": model, "input": ["a", "b"], "dimensions": 2,
            "options": {"num_ctx": 5}, "include_workflow": true});
        let response = chorus.post(path, &body).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(text(response).await, reply, "{path}");
        let seen = upstream.seen().pop().unwrap();
        let google = if model == "google" { "/v1beta/openai/embeddings" } else { path };
        assert_eq!(seen.path, google.trim_start_matches("/ollama"));
        let name = if model.starts_with("local") { "nomic" } else { "embed-3" };
        assert_eq!(
            seen.body,
            json!({"input": ["a", "b"], "dimensions": 2, "options": {"num_ctx": 5}, "model": name})
        );
        let key = format!("Bearer sk-key-of-{}", model.trim_end_matches(":latest"));
        assert_eq!(seen.header("authorization"), Some(key.as_str()));
        assert_eq!(seen.header("x-goog-api-key"), None);
    }
}

#[tokio::test]
async fn documents_are_ranked_below_every_path_that_vendors_have_for_it() {
    let replies = Script::sends("application/json", RERANK_REPLY.as_bytes());
    let upstream = cast(replies, Script::fails(500)).await;
    let chorus = setup().over(&upstream).await;
    for path in ["/v1/rerank", "/v2/rerank", "/v1/reranking", "/rerank", "/reranking"] {
        let documents = json!(["a", {"text": "b"}]);
        let body = json!({"model": "hosted", "query": "which?", "documents": documents,
            "top_n": 1, "include_workflow": false});
        let response = chorus.post(path, &body).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(text(response).await, RERANK_REPLY.replace("rank-2", "hosted"), "{path}");
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.path, "/v1/rerank", "{path}");
        let sent =
            json!({"query": "which?", "documents": documents, "top_n": 1, "model": "embed-3"});
        assert_eq!(seen.body, sent, "{path}");
    }
}

#[tokio::test]
async fn a_ranking_costs_its_client_the_tokens_that_the_upstream_counted() {
    let jina = r#"{"results":[],"usage":{"total_tokens":7}}"#;
    for (reply, tokens) in [(RERANK_REPLY, 41), (jina, 7)] {
        let upstream =
            cast(Script::sends("application/json", reply.as_bytes()), Script::fails(500)).await;
        let clients = "[[client]]\nname = \"a\"\nkey = \"key-a\"\n\
                       budget = { calls = 1, per = \"day\" }";
        let chorus = setup().with(clients).over(&upstream).await;
        let ask = async |path: &str, key: &str| {
            let body = json!({"model": "hosted", "query": "which?", "documents": ["a"]});
            chorus.post_with(path, &body, &[("authorization", &format!("Bearer {key}"))]).await
        };
        assert_eq!(ask("/v2/rerank", "another").await.status(), 401);
        assert_eq!(ask("/v2/rerank", "key-a").await.status(), 200);
        let refused = ask("/v1/rerank", "key-a").await;
        assert_eq!(refused.status(), 429);
        assert!(text(refused).await.contains("budget"));
        let report = chorus.request(Method::GET, "/chorus/clients").bearer_auth("key-a").send();
        let report = text(report.await.expect("a report")).await;
        let report: Value = serde_json::from_str(&report).unwrap();
        let used = &report["clients"][0]["used"][0]["used"];
        assert_eq!((&used["calls"], &used["tokens"]), (&json!(1), &json!(tokens)), "{report}");
    }
}

async fn refused(chorus: &Chorus, path: &str, model: &str) -> (u16, Value) {
    chorus.ask(path, &json!({"model": model, "input": "the secret text"})).await
}

#[tokio::test]
async fn workflows_and_models_of_the_other_protocol_are_refused() {
    let upstream = cast(Script::fails(500), Script::fails(500)).await;
    let other = "[[model]]\nname = \"other\"\nprotocol = \"anthropic\"\napi_base = \"{base}\"\n\
                 api_key = \"sk-other-0123\"";
    let chorus = setup().with(other).over(&upstream).await;
    for path in ["/v1/embeddings", "/v1/rerank", "/api/embed", "/api/embeddings"] {
        let (other, takes) = match path {
            "/v1/embeddings" => ("other", r#"\"openai\" or \"ollama\" or \"gemini\","#),
            "/v1/rerank" => ("local", r#"\"openai\","#),
            _ => ("hosted", r#"\"ollama\","#),
        };
        for (model, why) in
            [("chorus", "not to a workflow"), ("", "not to a workflow"), (other, takes)]
        {
            let (status, body) = refused(&chorus, path, model).await;
            assert_eq!(status, 400, "{path} {model}: {body}");
            assert!(body.to_string().contains(why), "{path} {model}: {body}");
            if path.starts_with("/v1") {
                assert_eq!(body["error"]["param"], "model");
            } else {
                assert!(body["error"].is_string(), "{body}");
            }
        }
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn failures_are_those_of_a_direct_call() {
    let quoting = r#"{"error":{"message":"what is 'the secret text' supposed to be?"}}"#;
    for (script, status, code) in [
        (Script::fails(401), 502, "upstream_error"),
        (Script::fails(404), 502, "upstream_error"),
        (Script::fails(429).with_header("retry-after", "600"), 429, "rate_limit_exceeded"),
        (Script::fails_saying(400, quoting), 400, "invalid_request"),
        (Script::sends("text/html", b"<html>"), 502, "upstream_error"),
        (Script::sends("application/json", br#"{"error":"boom"}"#), 502, "upstream_error"),
        (Script::hangs(), 504, "timeout"),
    ] {
        let upstream = cast(script.clone(), script).await;
        let short = "[workflow.timeouts]\nsynthesizer_timeout_secs = 0.3";
        let chorus = setup().with(short).over(&upstream).await;
        for (path, model) in
            [("/v1/embeddings", "hosted"), ("/v1/rerank", "hosted"), ("/api/embed", "local")]
        {
            let body =
                json!({"model": model, "input": "x", "documents": [{"text": "the secret text"}]});
            let response = chorus.post(path, &body).await;
            assert_eq!(response.status(), status, "{path} {code}");
            let should_retry = response.headers().get("x-should-retry").cloned();
            // Ten minutes are nothing to wait for in silence.
            let final_ones = status > 500 || status == 429;
            assert_eq!(should_retry.is_some(), final_ones, "{path} {code}");
            assert_eq!(response.headers().contains_key("retry-after"), status == 429);
            let answer = text(response).await;
            assert!(answer.contains(code) && !answer.contains("secret"), "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_can_be_tried_again_is_and_leaving_hangs_up() {
    let good = Script::sends("application/json", OPENAI_REPLY.as_bytes());
    let upstream = cast(Script::fails(503).first(2, good), Script::hangs()).await;
    let chorus = setup().over(&upstream).await;
    assert_eq!(refused(&chorus, "/v1/embeddings", "hosted").await.0, 200);
    assert_eq!(upstream.seen_by("embed-3").len(), 3);

    let body = json!({"model": "local", "input": "x"});
    let leaving = chorus.try_post("/api/embed", &body, &[]);
    tokio::select! {
        _ = leaving => panic!("it never answers"),
        () = upstream.asked(4) => {}
    }
    upstream.hung_up_on(1).await;
}
