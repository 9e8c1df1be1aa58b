//! What `GET /metrics` counts, and that nobody can make it grow.

use futures::{StreamExt, stream};
use reqwest::Method;

use crate::support::{Chorus, Client, Script, Upstream, four_stages, ms, question, soon};

const CHAT: &str = "/v1/chat/completions";
const PROMPT: &str = "prompt-marker-2755";

async fn upstream() -> Upstream {
    Upstream::start([
        ("judge", Script::judges_for("one")),
        ("writer", Script::says("the end")),
        ("good", Script::says("text one")),
        ("fine", Script::says("quite another text two")),
        ("broken", Script::fails(500)),
    ])
    .await
}

async fn text(client: &Client) -> String {
    client.get("/metrics").await.text().await.unwrap()
}

/// The value of a series, by its name and labels in any order.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let fits = |line: &&str| {
        line.split(['{', ' ']).next() == Some(name) && labels.iter().all(|one| line.contains(one))
    };
    text.lines().find(fits)?.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn requests_runs_stages_and_calls_are_counted() {
    let upstream = upstream().await;
    let setup = four_stages(&["good", "fine", "broken"]).without_retries();
    let chorus =
        setup.model_keys("good", "price = { input_per_mtok = 1.0, output_per_mtok = 2.0 }");
    let chorus = Chorus::start(&upstream, &chorus.toml()).await;
    chorus.ask(CHAT, &question(CHAT, "chorus", PROMPT, false)).await;
    chorus.ask(CHAT, &question(CHAT, "broken", PROMPT, false)).await;
    chorus.ask(CHAT, &question(CHAT, "nobody", PROMPT, false)).await;
    let counted = async {
        loop {
            let text = text(&chorus).await;
            if value(&text, "chorus_http_requests_total", &["status=\"404\""]).is_some() {
                break text;
            }
            tokio::time::sleep(ms(10)).await;
        }
    };
    let text = soon("the requests to be counted", counted).await;
    for (name, labels, want) in [
        (
            "chorus_http_requests_total",
            vec!["path=\"/v1/chat/completions\"", "status=\"200\""],
            1.0,
        ),
        ("chorus_http_requests_total", vec!["status=\"502\"", "code=\"upstream_error\""], 1.0),
        ("chorus_runs_total", vec!["workflow=\"chorus\"", "status=\"degraded\""], 1.0),
        ("chorus_runs_total", vec!["workflow=\"broken\"", "status=\"failed\""], 1.0),
        ("chorus_drafts_total", vec!["worker=\"broken\"", "status=\"failed\""], 1.0),
        ("chorus_drafts_total", vec!["worker=\"good\"", "status=\"ok\""], 1.0),
        ("chorus_selector_wins_total", vec!["worker=\"good\""], 1.0),
        ("chorus_agreements_total", vec!["agreed=\"false\""], 1.0),
        (
            "gen_ai_client_operation_duration_seconds_count",
            vec!["outcome=\"ok\"", "\"writer\""],
            1.0,
        ),
        ("chorus_stage_duration_seconds_count", vec!["stage=\"analyzer\""], 1.0),
        ("gen_ai_server_request_duration_seconds_count", vec!["\"chorus\""], 1.0),
        ("gen_ai_server_time_to_first_token_seconds_count", vec!["\"chorus\""], 1.0),
        ("chorus_run_overhead_seconds_count", vec!["\"chorus\""], 1.0),
        ("chorus_endpoint_up", vec!["\"good\""], 1.0),
        ("chorus_config_is_good", vec![], 1.0),
        ("chorus_build_info", vec![env!("CARGO_PKG_VERSION")], 1.0),
        ("chorus_runs_in_flight", vec![], 0.0),
    ] {
        assert_eq!(value(&text, name, &labels), Some(want), "{name} {labels:?}\n{text}");
    }
    for (name, labels) in [
        ("chorus_tokens_total", vec!["\"writer\"", "gen_ai_token_type=\"output\""]),
        ("chorus_cost_nanodollars_total", vec!["\"good\""]),
        ("process_start_time_seconds", vec![]),
        ("chorus_memory_limit_bytes", vec![]),
    ] {
        assert!(value(&text, name, &labels).is_some_and(|value| value > 0.0), "{name}\n{text}");
    }
    assert!(text.contains("# HELP chorus_runs_total ") && !text.contains(PROMPT));
    assert!(!text.contains("nobody"), "a name that a client made up: {text}");
}

#[tokio::test]
async fn names_that_clients_make_up_add_no_series() {
    let upstream = upstream().await;
    let chorus = four_stages(&["good", "fine"]).over(&upstream).await;
    let ask = async |number: usize| {
        let body = question(CHAT, &format!("nobody-{number}"), "hi", false);
        chorus.post(CHAT, &body).await.bytes().await.unwrap();
        let path = format!("/v1/made/up/{number}?key={number}");
        chorus.get(&path).await.bytes().await.unwrap();
        let method = Method::from_bytes(format!("M{number}").as_bytes()).unwrap();
        let request = chorus.request(method, &format!("/v1/responses/resp_{number}"));
        let request = request.header("x-request-id", format!("id-{number}"));
        request.send().await.unwrap().bytes().await.unwrap();
    };
    ask(0).await;
    let series = async |least: f64| {
        loop {
            let text = text(&chorus).await;
            let labels = ["status=\"404\"", "path=\"/v1/chat/completions\""];
            if value(&text, "chorus_http_requests_total", &labels) >= Some(least) {
                break text.lines().filter(|line| !line.starts_with('#')).count();
            }
            tokio::time::sleep(ms(10)).await;
        }
    };
    // The first look at the metrics counts, too.
    soon("the first to be counted", series(1.0)).await;
    let before = soon("the first to be counted", series(1.0)).await;
    stream::iter(1..=10_000 / 3).for_each_concurrent(16, ask).await;
    let after = soon("the others to be counted", series(10_000.0 / 3.0)).await;
    assert_eq!(before, after);
}

#[tokio::test]
async fn metrics_can_be_turned_off_and_are_for_admins_where_there_are_clients() {
    let upstream = upstream().await;
    let tables = "[server]\nmetrics = false\n[[client]]\nname = \"a\"\nkey = \"key-of-a\"\n\
                   [[client]]\nname = \"boss\"\nkey = \"key-of-boss\"\nadmin = true\n";
    let chorus = four_stages(&["good", "fine"]).with(tables).over(&upstream).await;
    let get = async |key: &str| {
        let request = chorus.request(Method::GET, "/metrics").bearer_auth(key);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(get("wrong").await.0, 401);
    assert_eq!(get("key-of-a").await.0, 403);
    let (status, _) = get("key-of-boss").await;
    assert_eq!(status, 200);
    let body = question(CHAT, "good", PROMPT, false).to_string();
    let asked = chorus.request(Method::POST, CHAT).bearer_auth("key-of-a").body(body);
    asked.send().await.unwrap().bytes().await.unwrap();
    let (_, text) = get("key-of-boss").await;
    assert!(!text.contains("chorus_runs_total{"), "{text}");
    assert!(text.contains("chorus_build_info{"), "{text}");
}
