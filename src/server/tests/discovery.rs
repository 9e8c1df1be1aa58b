//! What clients look at before they ask, what they may not ask, and what browsers may do.

use super::{logs::logged, *};

const PAGE: (&str, &str) = ("origin", "http://localhost:3000");

async fn show(app: &AppState, body: &str) -> Reply {
    call(app, request("POST", "/api/show", &[("accept", "application/json")], body)).await
}

#[tokio::test]
async fn one_model_is_shown_whatever_its_name_looks_like() {
    let app = serving(|_| {});
    let mut list = get_path(&app, "/v1/models").await.json();
    list["data"][0]["created"].take();
    insta::assert_snapshot!(list["data"][0].to_string(), @r#"{"id":"chorus","object":"model","created":null,"owned_by":"chorus"}"#);
    for (path, id) in [
        ("/v1/models/chorus", "chorus"),
        ("/v1/models/chorus:latest", "chorus:latest"),
        ("/v1/models/a", "a"),
        ("/v1/models/b/c:d", "b/c:d"),
        ("/v1/models/b%2Fc%3Ad", "b/c:d"),
    ] {
        let one = get_path(&app, path).await;
        assert_eq!(one.status, StatusCode::OK, "{path}: {}", one.body);
        assert_eq!((&one.json()["id"], &one.json()["object"]), (&id.into(), &"model".into()));
    }
    for path in ["/v1/models/gpt-x", "/v1/models/b/c", "/v1/models/b"] {
        let none = get_path(&app, path).await;
        assert_eq!(none.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(none.json()["error"]["code"], "model_not_found");
        assert_eq!(none.json()["error"]["param"], "model");
    }
    let odd = get_path(&app, "/v1/models/%ff").await;
    assert_eq!(
        (odd.status.as_u16(), &odd.json()["error"]["code"]),
        (400, &"invalid_request".into())
    );
}

#[tokio::test]
async fn workflows_are_listed_before_the_models_and_embed_nothing() {
    let app = serving(|config| {
        let mut plan = (*config.workflow.plan).clone();
        plan.name = "fast".to_owned();
        plan.synthesizer = Some(stage("blind"));
        let mut blind = model("blind");
        (blind.tools, blind.context_tokens) = (Some(false), 4096);
        config.models.insert("blind".to_owned(), Arc::new(blind));
        let fast = config::Workflow { plan: Arc::new(plan), max_concurrency: None };
        config.profiles.insert("fast".to_owned(), fast);
    });
    let names = |list: &Value, key: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
    };
    let want = ["chorus", "fast", "a", "b/c:d", "blind"];
    assert_eq!(names(&get_path(&app, "/v1/models").await.json()["data"], "id"), want);
    assert_eq!(names(&get_path(&app, "/api/tags").await.json()["models"], "name"), want);
    for name in ["fast", "fast:latest"] {
        let one = get_path(&app, &format!("/v1/models/{name}")).await;
        assert_eq!((one.status, &one.json()["id"]), (StatusCode::OK, &name.into()));
        let shown = show(&app, &format!(r#"{{"model":"{name}"}}"#)).await.json();
        assert_eq!(shown["model_info"]["chorus.context_length"], 4096, "{shown}");
        assert_eq!(shown["capabilities"], serde_json::json!(["completion", "vision", "thinking"]));
    }
    for path in ["/v1/embeddings", "/api/embed"] {
        let body = r#"{"model":"fast","input":"x"}"#;
        let reply = call(&app, request("POST", path, &[], body)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_model_is_shown_with_everything_its_clients_read() {
    let app = serving(|_| {});
    let shown = show(&app, r#"{"model":"chorus:latest","verbose":true,"options":null}"#).await;
    assert_eq!(shown.status, StatusCode::OK);
    let mut shown = shown.json();
    let modified = shown["modified_at"].take();
    assert!(modified.as_str().unwrap().parse::<Timestamp>().is_ok());
    insta::assert_snapshot!(shown.to_string(), @r##"{"modelfile":"# chorus","parameters":"","template":"","license":"","details":{"parent_model":"","format":"chorus","family":"chorus","families":["chorus"],"parameter_size":"","quantization_level":""},"model_info":{"general.architecture":"chorus","general.basename":"chorus:latest","chorus.context_length":0},"capabilities":["completion","tools","thinking"],"modified_at":null}"##);
    // `name` is the older field; a model's context is its config's.
    let shown = show(&app, r#"{"name":"b/c:d"}"#).await.json();
    assert_eq!(shown["model_info"]["chorus.context_length"], 32768);
    assert_eq!(shown["model_info"]["general.basename"], "b/c:d");
}

#[tokio::test]
async fn what_cannot_be_shown_is_said() {
    let app = serving(|_| {});
    for body in ["{}", r#"{"model":""}"#, r#"{"name":null}"#] {
        let reply = show(&app, body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(reply.body, r#"{"error":"model is required","code":"invalid_request"}"#);
    }
    // The CLI pulls what is not there, so an unknown name is unknown even where it would be
    // answered by the workflow.
    let reply = show(&app, r#"{"model":"gpt-x"}"#).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let words = "model 'gpt-x' not found; there are: chorus, a, b/c:d";
    assert_eq!(reply.json()["error"], words, "{}", reply.body);
    let reply = show(&app, r#"{"model":5}"#).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.body.contains("model: expected a string"), "{}", reply.body);
}

#[tokio::test]
async fn operations_of_a_model_store_are_not_offered() {
    let app = serving(|_| {});
    for (method, path) in [
        ("POST", "/api/pull"),
        ("POST", "/api/push"),
        ("POST", "/api/create"),
        ("POST", "/api/copy"),
        ("DELETE", "/api/delete"),
        ("HEAD", "/api/blobs/sha256:00"),
        ("POST", "/api/blobs/sha256:00"),
        ("POST", "/ollama/api/pull"),
    ] {
        let reply = call(&app, request(method, path, &[], "{}")).await;
        assert_eq!(reply.status, StatusCode::NOT_IMPLEMENTED, "{method} {path}");
        if method != "HEAD" {
            assert_eq!(reply.json()["code"], "unsupported_operation", "{path}");
            assert!(reply.json()["error"].as_str().unwrap().starts_with(path), "{}", reply.body);
        }
    }
    let script = [("accept", "text/event-stream")];
    let reply = call(&app, request("POST", "/api/pull", &script, "{}")).await;
    assert_eq!(reply.json()["error"]["code"], "unsupported_operation");
    for path in ["/api/status", "/api/me"] {
        assert_eq!(get_path(&app, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let lines = logged(&app, request("POST", "/api/pull", &[], "{}")).await;
    assert_eq!(lines.len(), 1, "no failure of ours: {lines:?}");
}

#[tokio::test]
async fn everything_of_ollamas_is_below_the_alias_too() {
    let app = serving(|_| {});
    for path in ["/", "/api/version", "/api/ps", "/api/tags"] {
        for method in ["GET", "HEAD"] {
            let bare = call(&app, request(method, path, &[], "")).await;
            let alias = call(&app, request(method, &format!("/ollama{path}"), &[], "")).await;
            assert_eq!((alias.status, &alias.body), (StatusCode::OK, &bare.body), "{path}");
        }
    }
    assert_eq!(get_path(&app, "/ollama").await.body, "Ollama is running");
    assert_eq!(get_path(&app, "/api/ps").await.body, r#"{"models":[]}"#);
    // Without a User-Agent a script would be assumed; below the alias it never is.
    for path in ["/ollama/api/generate", "/ollama/api/chat", "/ollama/api/show"] {
        let reply = call(&app, request("POST", path, &[("user-agent", "curl/8")], "{")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert!(reply.json()["error"].is_string(), "{path}: {}", reply.body);
    }
    let loaded = call(&app, request("POST", "/ollama/api/generate", &[], "{}")).await;
    assert_eq!(loaded.json()["done_reason"], "load");
    assert_eq!(get_path(&app, "/ollama/v1/models").await.status, StatusCode::OK, "is /v1/models");
}

#[tokio::test]
async fn browsers_learn_what_they_may_send() {
    let app = serving(|config| {
        config.clients = vec![Client::with_key("laptop", Sha256::digest("key").into())];
    });
    let asks = [
        PAGE,
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-stainless-os"),
    ];
    for path in ["/v1/chat/completions", "/api/chat", "/ollama/api/tags", "/nowhere"] {
        let reply = call(&app, request("OPTIONS", path, &asks, "")).await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (204, ""), "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), Some(PAGE.1));
        assert!(reply.header("access-control-allow-methods").unwrap().contains("POST"));
        let headers = reply.header("access-control-allow-headers").unwrap().to_lowercase();
        for name in ["authorization", "content-type", "x-stainless-os"] {
            assert!(headers.contains(name), "{headers}");
        }
    }
    let foreign = [("origin", "https://evil.example"), asks[1]];
    let reply = call(&app, request("OPTIONS", "/v1/chat/completions", &foreign, "")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.header("access-control-allow-origin"), None);
    assert_eq!(reply.header("access-control-allow-methods"), None);
    let plain = call(&app, request("OPTIONS", "/api/tags", &[], "")).await;
    assert_eq!(plain.status, StatusCode::NO_CONTENT);
    assert_eq!(plain.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_page_may_read_that_the_server_is_full() {
    let app = serving(|config| config.server.max_in_flight = 1);
    let front = Front::new(app.clone(), true, Arc::default());
    let first = front.answer(request("GET", "/v1/models", &[], "")).await;
    let refused = call(&app, request("GET", "/v1/models", &[PAGE], "")).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("access-control-allow-origin"), Some(PAGE.1));
    assert!(refused.header("access-control-expose-headers").unwrap().contains("retry-after"));
    let foreign = request("GET", "/v1/models", &[("origin", "null")], "");
    assert_eq!(call(&app, foreign).await.status, StatusCode::FORBIDDEN);
    drop(first);
    assert_eq!(call(&app, request("GET", "/v1/models", &[PAGE], "")).await.status, 200);
}
