//! The page: who gets it, what it is sent with, and that it may ask the server it came from.

use reqwest::{Method, Response};
use serde_json::Value;

use crate::support::{Chorus, Script, Upstream, four_stages, question};

const CHAT: &str = "/v1/chat/completions";
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async fn serving(tables: &str) -> (Upstream, Chorus) {
    let upstream = Upstream::start([("m", Script::says("hello"))]).await;
    let chorus = Chorus::start(&upstream, &four_stages(&["m"]).with(tables).toml()).await;
    (upstream, chorus)
}

async fn asked(chorus: &Chorus, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = headers
        .iter()
        .fold(chorus.request(method, path), |request, (name, value)| request.header(*name, *value));
    request.send().await.unwrap()
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn a_browser_gets_the_page_and_everybody_else_what_ollama_says() {
    let (_upstream, chorus) = serving("").await;
    for (accept, is_page) in [
        (Some(BROWSER), true),
        (Some("TEXT/HTML"), true),
        (Some("*/*"), false),
        (Some("application/json, text/plain, */*"), false),
        (Some("text/html;q=0, text/plain"), false),
        (None, false),
    ] {
        let headers: Vec<_> = accept.map(|accept| ("accept", accept)).into_iter().collect();
        for path in ["/", "//"] {
            let answer = asked(&chorus, Method::GET, path, &headers).await;
            assert_eq!(header(&answer, "vary"), "Accept");
            assert_eq!(header(&answer, "content-type").contains("html"), is_page, "{accept:?}");
            let text = answer.text().await.unwrap();
            assert_eq!(text.contains("<script type=\"module\""), is_page, "{accept:?}");
            assert_eq!(text == "Ollama is running", !is_page, "{accept:?}");
        }
        let answer = asked(&chorus, Method::HEAD, "/", &headers).await;
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(header(&answer, "content-type").contains("html"), is_page, "{accept:?}");
        assert_eq!(answer.text().await.unwrap(), "");
        // The alias is Ollama's own.
        let answer = asked(&chorus, Method::GET, "/ollama/", &headers).await;
        assert_eq!(answer.text().await.unwrap(), "Ollama is running");
    }
}

/// Whatever the page names, at whichever address it was opened.
#[tokio::test]
async fn every_file_comes_with_its_kind_its_tag_and_what_it_may_do() {
    let (_upstream, chorus) = serving("").await;
    let index = asked(&chorus, Method::GET, "/ui", &[]).await.text().await.unwrap();
    let mut names: Vec<String> = index
        .split(['"', '\''])
        .filter_map(|piece| piece.strip_prefix("ui/"))
        .map(str::to_owned)
        .collect();
    assert_eq!(names.len(), 3, "icon, style and script: {index}");
    let mut at = 0;
    while let Some(name) = names.get(at).cloned() {
        for path in [format!("/ui/{name}"), format!("/ui/ui/{name}")] {
            let file = asked(&chorus, Method::GET, &path, &[]).await;
            assert_eq!(file.status().as_u16(), 200, "{path}");
            let kind = match name.rsplit('.').next() {
                Some("js") => "text/javascript; charset=utf-8",
                Some("css") => "text/css; charset=utf-8",
                _ => "image/svg+xml",
            };
            assert_eq!(header(&file, "content-type"), kind);
            let policy = header(&file, "content-security-policy");
            assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
            assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
            assert_eq!(header(&file, "x-content-type-options"), "nosniff");
            assert_eq!(header(&file, "referrer-policy"), "no-referrer");
            let tag = header(&file, "etag").to_owned();
            assert!(tag.len() > 8, "{tag}");
            let weak = format!("\"other\", W/{tag}");
            for (known, status) in [(tag.as_str(), 304), (&weak, 304), ("*", 304), ("\"x\"", 200)] {
                let again = asked(&chorus, Method::GET, &path, &[("if-none-match", known)]).await;
                assert_eq!((again.status().as_u16(), header(&again, "etag")), (status, &*tag));
                assert_eq!(again.text().await.unwrap().is_empty(), status == 304);
            }
            let text = file.text().await.unwrap();
            for piece in text.split('"').filter_map(|piece| piece.strip_prefix("./")) {
                if piece.ends_with(".js") && !names.iter().any(|known| known == piece) {
                    names.push(piece.to_owned());
                }
            }
        }
        at += 1;
    }
    assert!(names.len() > 15, "the modules were found: {names:?}");
    for path in ["/ui/nothing.js", "/ui/../Cargo.toml", "/ui/%2e%2e/Cargo.toml", "/ui/index.html"] {
        let answer = asked(&chorus, Method::GET, path, &[]).await;
        assert_eq!(answer.status().as_u16(), 404, "{path}");
    }
    assert_eq!(asked(&chorus, Method::POST, "/ui", &[]).await.status().as_u16(), 405);
}

#[tokio::test]
async fn the_page_is_open_and_what_it_asks_for_is_not() {
    let tables = "[server]\nui_origins = []\n[[client]]\nname = \"ann\"\nkey = \"her own key\"";
    let (upstream, chorus) = serving(tables).await;
    let own = format!("http://{}", chorus.address());
    let status = async |method: Method, path: &str, headers: &[(&str, &str)]| {
        asked(&chorus, method, path, headers).await.status().as_u16()
    };
    assert_eq!(status(Method::GET, "/ui", &[]).await, 200);
    assert_eq!(status(Method::GET, "/", &[("accept", BROWSER)]).await, 200);
    assert_eq!(status(Method::GET, "/ui/app.js", &[("authorization", "Bearer no")]).await, 200);
    assert_eq!(status(Method::GET, "/v1/models", &[]).await, 401);
    let ask = async |headers: &[(&str, &str)]| {
        let body = question(CHAT, "m", "hi", false);
        chorus.post_with(CHAT, &body, headers).await.status().as_u16()
    };
    assert_eq!(ask(&[("origin", &own)]).await, 401);
    assert_eq!(ask(&[("origin", &own), ("authorization", "Bearer her own key")]).await, 200);
    // Another page of this machine, and one whose name was pointed here.
    assert_eq!(ask(&[("origin", "http://127.0.0.1:1")]).await, 403);
    let host = ("host", "evil.example");
    assert_eq!(ask(&[("origin", "http://evil.example"), host]).await, 403);
    assert_eq!(upstream.seen().len(), 1);
}

/// Two of three drafts are good, the judge picks one of them.
#[tokio::test]
async fn the_status_says_what_models_did_in_the_runs_that_the_client_may_see() {
    let scripts = [
        ("m", Script::says("hello")),
        ("other", Script::says("good evening to you")),
        ("broken", Script::fails(500)),
        ("judge", Script::judges_for("evening")),
        ("writer", Script::fuses()),
    ];
    let upstream = Upstream::start(scripts).await;
    let clients = ["ann", "bob"]
        .map(|name| format!("[[client]]\nname = \"{name}\"\nkey = \"the key of {name}\"\n"));
    let setup = four_stages(&["m", "other", "broken"]).without_retries().with(&clients.concat());
    let chorus = Chorus::start(&upstream, &setup.toml()).await;
    let ann = [("x-api-key", "the key of ann")];
    let body = question(CHAT, "chorus", "hi", false);
    assert_eq!(chorus.post_with(CHAT, &body, &ann).await.status().as_u16(), 200);
    let of = async |key: &str| {
        let answer = asked(&chorus, Method::GET, "/chorus/status", &[("x-api-key", key)]).await;
        serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()
    };
    let seen = of("the key of ann").await;
    assert_eq!((&seen["runs"], &seen["workflows"][0]), (&1.into(), &"chorus".into()));
    let model = |name: &str| {
        let mut models = seen["models"].as_array().unwrap().iter();
        models.find(|model| model["model"] == name).unwrap().clone()
    };
    let drafts = ["m", "other", "broken"].map(|name| model(name)["drafts"].as_u64().unwrap());
    assert_eq!(drafts, [1, 1, 0]);
    let wins = ["m", "other", "broken"].map(|name| model(name)["wins"].as_u64().unwrap());
    assert_eq!(wins, [0, 1, 0]);
    assert!(model("broken")["calls"].as_u64().unwrap() >= 1);
    assert!(model("other")["usage"]["total_tokens"].as_u64().unwrap() > 0);
    assert_eq!(model("m")["endpoints"][0]["state"], "closed");
    let others = of("the key of bob").await;
    assert_eq!((&others["runs"], &others["models"][0]["calls"]), (&0.into(), &0.into()));
    assert_eq!(asked(&chorus, Method::GET, "/chorus/status", &[]).await.status().as_u16(), 401);
}
