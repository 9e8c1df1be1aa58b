//! `[[client]]`: who may call, what for, and how much, over sockets.

mod budgets;
mod restarts;

use reqwest::Response;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{Chorus, Script, Setup, Upstream, four_stages, question, soon};

const OPEN_AI: &str = "/v1/chat/completions";
/// An endpoint of each dialect; the last is a script's by its query.
const DIALECTS: [&str; 3] = [OPEN_AI, "/api/chat", "/api/chat?stream_format=sse"];

/// A panel of two and a model of its own, and clients.
fn setup(clients: &str) -> Setup {
    four_stages(&["one", "two"]).without_retries().with(clients)
}

async fn upstream() -> Upstream {
    Upstream::start([
        ("judge", Script::judges_for("one")),
        ("writer", Script::fuses()),
        ("one", Script::says("one says")),
        ("two", Script::says("two says")),
    ])
    .await
}

async fn asks(chorus: &Chorus, path: &str, model: &str, key: &str) -> Response {
    let body = question(path, model, "why?", false);
    chorus.post_with(path, &body, &[("x-api-key", key)]).await
}

async fn object(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = soon("the body", response.bytes()).await.expect("a whole body");
    (status, serde_json::from_slice(&bytes).expect("JSON"))
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// The code of an error in any dialect.
fn code(body: &Value) -> &str {
    let inner = body["error"]["code"].as_str();
    inner.or_else(|| body["code"].as_str()).unwrap_or_default()
}

#[tokio::test]
async fn a_model_that_is_left_out_is_neither_shown_nor_asked() {
    let upstream = upstream().await;
    let clients = "[[client]]\nname = \"a\"\nkey = \"key-a\"\nmodels = [\"one\", \"gpt-*\"]\n\
                   [[client]]\nname = \"all\"\nkey = \"key-all\"\n\
                   [[alias]]\nname = \"gpt-4o\"\nmodel = \"two\"\n\
                   [[alias]]\nname = \"*\"\nmodel = \"chorus\"\n";
    let chorus = setup(clients).over(&upstream).await;
    for path in DIALECTS {
        for (model, want) in [
            ("one", 200),
            ("one:latest", 200),
            ("gpt-4o", 200),
            ("two", 403),
            ("", 403),
            ("onex", 403),
        ] {
            let (status, body) = object(asks(&chorus, path, model, "key-a").await).await;
            assert_eq!(status, want, "{path} {model}: {body}");
            if want == 403 {
                assert_eq!(code(&body), "model_not_allowed", "{path} {model}: {body}");
                assert!(body.to_string().contains("one, gpt-4o"), "{path} {model}: {body}");
                assert!(!body.to_string().contains("writer"), "{path} {model}: {body}");
            }
        }
    }
    assert_eq!(upstream.seen().len(), 3 * 3, "what is refused asks nobody");
    let list = |path: &'static str, key: &'static str| {
        let request = chorus.request(reqwest::Method::GET, path).header("api-key", key);
        async { object(request.send().await.expect("an answer")).await.1 }
    };
    for (path, list_of, name) in [("/v1/models", "data", "id"), ("/api/tags", "models", "name")] {
        let (few, all) = (list(path, "key-a").await, list(path, "key-all").await);
        let names = |body: &Value| {
            let all = body[list_of].as_array().unwrap();
            all.iter().map(|one| one[name].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&few), ["one", "gpt-4o"], "{path}");
        assert_eq!(names(&all), ["chorus", "judge", "writer", "one", "two", "gpt-4o"], "{path}");
    }
    for (path, want) in
        [("/v1/models/one", 200), ("/v1/models/two", 403), ("/v1/models/chorus", 403)]
    {
        let request = chorus.request(reqwest::Method::GET, path).bearer_auth("key-a");
        assert_eq!(request.send().await.unwrap().status(), want, "{path}");
    }
    for (model, want) in [("one", 200), ("two", 403)] {
        let body = json!({"model": model});
        let answer = chorus.post_with("/api/show", &body, &[("x-api-key", "key-a")]).await;
        assert_eq!(answer.status(), want, "{model}");
    }
}

#[tokio::test]
async fn requests_over_the_rate_cost_no_call_and_say_when_to_come_back() {
    let upstream = upstream().await;
    let clients = "[[client]]\nname = \"a\"\nkey = \"key-a\"\nrequests_per_minute = 2\n\
                   tokens_per_minute = 1000000\n[[client]]\nname = \"b\"\nkey = \"key-b\"\n";
    let chorus = setup(clients).over(&upstream).await;
    // Lists say what is left, and cost nothing of it.
    let list = chorus.request(reqwest::Method::GET, "/v1/models").bearer_auth("key-a");
    let list = list.send().await.expect("an answer");
    assert_eq!(header(&list, "x-ratelimit-remaining-requests"), "2");
    for left in ["1", "0"] {
        let answer = asks(&chorus, OPEN_AI, "one", "key-a").await;
        assert_eq!(answer.status(), 200);
        for (name, want) in [
            ("x-ratelimit-limit-requests", "2"),
            ("x-ratelimit-remaining-requests", left),
            ("x-ratelimit-limit-tokens", "1000000"),
        ] {
            assert_eq!(header(&answer, name), want, "{name}");
        }
        assert!(header(&answer, "x-ratelimit-reset-requests").ends_with('s'));
        assert!(
            header(&answer, "x-ratelimit-remaining-tokens").parse::<u64>().unwrap() < 1_000_000
        );
        assert!(header(&answer, "x-ratelimit-reset-tokens").ends_with('s'));
    }
    for path in DIALECTS {
        let answer = asks(&chorus, path, "one", "key-a").await;
        let wait: u64 = header(&answer, "retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{path}: {wait}");
        assert_eq!(header(&answer, "x-should-retry"), "", "{path}");
        assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), "0", "{path}");
        let (status, body) = object(answer).await;
        assert_eq!((status, code(&body)), (429, "rate_limit_exceeded"), "{path}: {body}");
        match path {
            OPEN_AI => assert_eq!(body["error"]["type"], "rate_limit_error"),
            "/api/chat" => assert!(body["error"].is_string(), "{body}"),
            _ => assert!(body["error"]["message"].is_string(), "{body}"),
        }
    }
    assert_eq!(upstream.seen().len(), 2);
    // Another client has its own, and no headers without a limit.
    let other = asks(&chorus, OPEN_AI, "one", "key-b").await;
    assert_eq!((other.status().as_u16(), header(&other, "x-ratelimit-limit-requests")), (200, ""));
    // Whoever was used up stays so when the config changes.
    let more = setup(&clients.replace("= 2", "= 3"));
    chorus.reloads(&upstream, &more.toml());
    assert_eq!(asks(&chorus, OPEN_AI, "one", "key-a").await.status(), 200);
    assert_eq!(asks(&chorus, OPEN_AI, "one", "key-a").await.status(), 429);
}

/// The status of an answer to a request whose body never comes.
async fn refused(chorus: &Chorus, path: &str, key: &str) -> u16 {
    let mut stream = TcpStream::connect(chorus.address()).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\ncontent-length: 9000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut line = [0; 12];
    soon("the refusal", stream.read_exact(&mut line)).await.unwrap();
    str::from_utf8(&line).unwrap().strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

#[tokio::test]
async fn who_may_not_ask_is_refused_before_the_body_comes() {
    let upstream = upstream().await;
    let clients = "[[client]]\nname = \"a\"\nkey = \"key-a\"\nrequests_per_minute = 1\n\
                   [[client]]\nname = \"b\"\nkey = \"key-b\"\nmodels = [\"one\"]\n";
    let chorus = setup(clients).over(&upstream).await;
    assert_eq!(asks(&chorus, OPEN_AI, "one", "key-a").await.status(), 200);
    let of_gemini = "/v1beta/models/two:generateContent";
    for path in [
        OPEN_AI,
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/embeddings",
        "/api/chat",
        "/api/generate",
        "/api/embed",
        "/v1/rerank",
        "/v2/rerank",
        "/ollama/api/chat",
        of_gemini,
    ] {
        assert_eq!(refused(&chorus, path, "key-a").await, 429, "{path}");
        assert_eq!(refused(&chorus, path, "key-of-nobody").await, 401, "{path}");
    }
    assert_eq!(refused(&chorus, of_gemini, "key-b").await, 403);
    assert_eq!(upstream.seen().len(), 1);
    // What asks no model has no such limit.
    let body = json!({"model": "one", "messages": [{"role": "user", "content": "hi"}]});
    let counted =
        chorus.post_with("/v1/messages/count_tokens", &body, &[("x-api-key", "key-a")]).await;
    assert_eq!(counted.status(), 200);
}

#[tokio::test]
async fn requests_at_once_are_bounded_until_they_end() {
    let upstream = Upstream::start([("one", Script::hangs())]).await;
    let config = Setup::of(json!({"workers": ["one"], "selector": {"ref": "one"}}))
        .with_models(&["one"])
        .with("[[client]]\nname = \"a\"\nkey = \"key-a\"\nmax_in_flight = 1\n");
    let chorus = config.over(&upstream).await;
    let mut sent = JoinSet::new();
    sent.spawn({
        let body = question(OPEN_AI, "one", "why?", true);
        chorus
            .request(reqwest::Method::POST, OPEN_AI)
            .bearer_auth("key-a")
            .body(body.to_string())
            .send()
    });
    upstream.asked(1).await;
    let (status, body) = object(asks(&chorus, OPEN_AI, "one", "key-a").await).await;
    assert_eq!((status, code(&body)), (429, "rate_limit_exceeded"), "{body}");
    assert_eq!(upstream.seen().len(), 1);
    // The client leaves, and its place is free.
    sent.abort_all();
    upstream.hung_up_on(1).await;
    sent.spawn({
        let body = question(OPEN_AI, "one", "why?", true);
        chorus
            .request(reqwest::Method::POST, OPEN_AI)
            .bearer_auth("key-a")
            .body(body.to_string())
            .send()
    });
    upstream.asked(2).await;
}

#[tokio::test]
async fn keys_are_good_for_a_time_and_from_somewhere() {
    let upstream = upstream().await;
    let clients = "[[client]]\nname = \"off\"\nkey = \"key-off\"\nenabled = false\n\
                   [[client]]\nname = \"old\"\nkey = \"key-old\"\nexpires = \"2020-02-29\"\n\
                   [[client]]\nname = \"new\"\nkey = \"key-new\"\nexpires = \"9000-01-01\"\n\
                   [[client]]\nname = \"far\"\nkey = \"key-far\"\nallowed_ips = [\"192.0.2.0/24\"]\n\
                   [[client]]\nname = \"near\"\nkey = \"key-near\"\nallowed_ips = [\"::1\", \"127.0.0.0/8\"]\n";
    let chorus = setup(clients).over(&upstream).await;
    for path in DIALECTS {
        for (key, want) in [
            ("key-off", (401, "invalid_api_key")),
            ("key-old", (401, "invalid_api_key")),
            ("key-far", (403, "forbidden")),
            ("key-none", (401, "invalid_api_key")),
            ("key-new", (200, "")),
            ("key-near", (200, "")),
        ] {
            let (status, body) = object(asks(&chorus, path, "one", key).await).await;
            assert_eq!((status, code(&body)), want, "{path} {key}: {body}");
        }
    }
    assert_eq!(upstream.seen().len(), 2 * 3);
}

#[tokio::test]
async fn a_key_is_taken_wherever_it_stands_and_a_good_one_wins() {
    let upstream = upstream().await;
    let chorus = setup("[[client]]\nname = \"a\"\nkey = \"key-a\"\n").over(&upstream).await;
    let basic = "Basic YW5uOmtleS1h"; // ann:key-a
    for (sent, want) in [
        (vec![("authorization", "Bearer key-a")], 200),
        (vec![("authorization", "BEARER key-a")], 200),
        (vec![("authorization", basic)], 200),
        (vec![("x-api-key", "key-a")], 200),
        (vec![("api-key", "key-a")], 200),
        (vec![("x-goog-api-key", "key-a")], 200),
        (vec![("authorization", "Bearer other"), ("x-api-key", "key-a")], 200),
        (vec![("authorization", basic), ("x-api-key", "other")], 200),
        (vec![("authorization", "Bearer other"), ("api-key", "other")], 401),
        (vec![], 401),
    ] {
        let body = question(OPEN_AI, "one", "why?", false);
        assert_eq!(chorus.post_with(OPEN_AI, &body, &sent).await.status(), want, "{sent:?}");
    }
}

#[tokio::test]
async fn only_admins_see_the_config() {
    let upstream = upstream().await;
    let clients = "[[client]]\nname = \"a\"\nkey = \"key-a\"\n\
                   [[client]]\nname = \"boss\"\nkey = \"key-boss\"\nadmin = true\n";
    let chorus = setup(clients).over(&upstream).await;
    for (key, want) in [("key-a", 403), ("key-boss", 200), ("", 401)] {
        let request = chorus.request(reqwest::Method::GET, "/chorus/config").bearer_auth(key);
        assert_eq!(request.send().await.unwrap().status(), want, "{key}");
    }
    chorus.reloads(&upstream, &setup("").toml());
    assert_eq!(chorus.get("/chorus/config").await.status(), 200, "where nobody has a key");
}
