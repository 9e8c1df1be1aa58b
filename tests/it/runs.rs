//! Runs: what is kept of them, who sees it, and how one is ended from outside.

mod on_disk;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Chorus, Client, ENDPOINTS, Gate, Script, Upstream, four_stages, ms, question, soon,
};

const PROMPT: &str = "prompt-marker-6120";
const ANSWER: &str = "answer-marker-8831";
const REASON: &str = "reason-marker-4417";
const CHAT: &str = "/v1/chat/completions";

/// A judge whose reason can be seen from anything else.
fn judges() -> Script {
    Script::answers(|seen| match seen.asks_for_analysis() {
        true => r#"{"task_type":"other","temperature":0.4}"#.to_owned(),
        false => format!(r#"{{"reason":"{REASON}","scores":{{"1":5,"2":3}},"best":1}}"#),
    })
}

async fn upstream() -> Upstream {
    Upstream::start([
        ("judge", judges()),
        ("writer", Script::says(ANSWER)),
        ("good", Script::says(&format!("{ANSWER} one"))),
        ("fine", Script::says("quite another text two")),
        ("broken", Script::fails(500)),
    ])
    .await
}

fn config(tables: &str) -> String {
    let plan = four_stages(&["good", "fine"]);
    plan.with_models(&["broken"]).without_retries().with(tables).toml()
}

async fn json_of(response: reqwest::Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

async fn shown(client: &Client, path: &str) -> Value {
    json_of(client.get(path).await).await
}

/// The list, once so many runs are over.
async fn listed(client: &Client, path: &str, count: usize) -> Value {
    let all = async {
        loop {
            let list: Value = shown(client, path).await;
            if list["runs"].as_array().is_some_and(|runs| runs.len() >= count) {
                break list;
            }
            tokio::time::sleep(ms(10)).await;
        }
    };
    soon("the runs to be listed", all).await
}

fn id_of(run: &Value) -> &str {
    run["workflow_id"].as_str().unwrap()
}

#[tokio::test]
async fn runs_are_kept_with_their_records_and_without_words() {
    let upstream = upstream().await;
    let chorus = Chorus::start(&upstream, &config("")).await;
    for path in ENDPOINTS {
        chorus.ask(path, &question(path, "chorus", PROMPT, false)).await;
    }
    chorus.ask(CHAT, &question(CHAT, "broken", PROMPT, false)).await;
    chorus.ask(CHAT, &question(CHAT, "nobody", PROMPT, false)).await;
    let count = ENDPOINTS.len() + 1;
    let list = listed(&chorus, "/chorus/runs", count).await;
    let runs = list["runs"].as_array().unwrap();
    assert_eq!((runs.len(), list["in_flight"].as_array().unwrap().len()), (count, 0));
    assert_eq!(list["totals"]["runs"], json!(count));
    assert_eq!(list["totals"]["failed"], json!(1));
    let failed = runs.first().unwrap();
    assert_eq!(failed["name"], "broken", "the latest comes first");
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["http_status"], 502);
    assert_eq!(failed["error"]["code"], "upstream_error");
    let good = runs.get(1).unwrap();
    assert_eq!(good["status"], "ok");
    assert!(good["selected_worker"].is_string(), "{good}");
    assert!(good["slowest"]["stage"].is_string(), "{good}");
    assert!(good["usage"]["total_tokens"].as_u64().unwrap() > 0);
    let by_run: Value = shown(&chorus, &format!("/chorus/runs/{}", id_of(good))).await;
    let request = good["request_id"].as_str().unwrap();
    let by_request: Value = shown(&chorus, &format!("/chorus/runs/{request}")).await;
    assert_eq!(by_run, by_request);
    assert_eq!(by_run["trace"]["workers"].as_array().unwrap().len(), 2);
    assert!(by_run["trace"]["critical_path"].is_array());
    for text in [list.to_string(), by_run.to_string()] {
        for word in [PROMPT, ANSWER, REASON] {
            assert!(!text.contains(word), "{word} {text}");
        }
    }
    let (status, error) = {
        let response = chorus.get("/chorus/runs/nothing").await;
        (response.status(), json_of(response).await)
    };
    assert_eq!((status.as_u16(), &error["error"]["code"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn lists_are_filtered_and_a_filter_that_means_nothing_is_refused() {
    let upstream = upstream().await;
    let chorus = Chorus::start(&upstream, &config("")).await;
    for model in ["chorus", "good", "broken", "good"] {
        chorus.ask(CHAT, &question(CHAT, model, PROMPT, false)).await;
    }
    listed(&chorus, "/chorus/runs", 4).await;
    for (query, want) in [
        ("model=good", 2),
        ("status=failed", 1),
        ("status=ok&model=chorus", 1),
        ("limit=2", 2),
        ("limit=0", 0),
        ("slower_than_ms=9999999", 0),
        ("since=1h", 4),
        ("since=2100-01-01T00:00:00Z", 0),
        ("since=1", 4),
        ("client=nobody", 0),
    ] {
        let list = listed(&chorus, &format!("/chorus/runs?{query}"), 0).await;
        assert_eq!(list["runs"].as_array().unwrap().len(), want, "{query}");
    }
    for query in ["status=good", "since=soon", "limit=-1", "slower_than_ms=x"] {
        let response = chorus.get(&format!("/chorus/runs?{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
    }
}

#[tokio::test]
async fn texts_are_kept_where_the_config_says_so() {
    let upstream = upstream().await;
    let chorus = Chorus::start(&upstream, &config("[runs]\nkeep_text = true")).await;
    for stream in [false, true] {
        let response = chorus.post(CHAT, &question(CHAT, "chorus", PROMPT, stream)).await;
        drop(response.bytes().await);
    }
    let list = listed(&chorus, "/chorus/runs", 2).await;
    for run in list["runs"].as_array().unwrap() {
        let path = format!("/chorus/runs/{}", id_of(run));
        let whole: Value = shown(&chorus, &path).await;
        assert_eq!(whole["question"], PROMPT);
        assert_eq!(whole["answer"], ANSWER);
        assert!(whole["trace"]["selector"]["reason"].as_str().unwrap().contains(REASON));
        assert!(whole["trace"]["workers"][0]["response"].is_string(), "{whole}");
    }
}

#[tokio::test]
async fn a_run_whose_client_leaves_is_kept_as_far_as_it_came() {
    for (waits, stage) in [("writer", "synthesizer"), ("fine", "workers")] {
        let gate = Gate::shut();
        let script = |name: &str, script: Script| match name == waits {
            true => script.waits_before_headers(&gate),
            false => script,
        };
        let upstream = Upstream::start([
            ("judge", judges()),
            ("writer", script("writer", Script::says(ANSWER))),
            ("good", Script::says(ANSWER)),
            ("fine", script("fine", Script::says("quite another text two"))),
        ])
        .await;
        let plan = four_stages(&["good", "fine"]).without_retries();
        let chorus = Chorus::start(&upstream, &plan.toml()).await;
        let body = question(CHAT, "chorus", PROMPT, true);
        let answering = async { drop(chorus.post(CHAT, &body).await.bytes().await) };
        tokio::select! {
            () = answering => panic!("it ended"),
            () = gate.reached_by(1) => {}
        }
        let list = listed(&chorus, "/chorus/runs", 1).await;
        let run = &list["runs"][0];
        assert_eq!(run["status"], "cancelled", "{run}");
        let path = format!("/chorus/runs/{}", id_of(run));
        let whole: Value = shown(&chorus, &path).await;
        let trace = &whole["trace"];
        assert_eq!(trace["status"], "cancelled");
        assert_eq!(trace["workers"][0]["status"], "ok", "{trace}");
        let left = if stage == "workers" { &trace["workers"][1] } else { &trace["synthesizer"] };
        assert_eq!(left["status"], "cancelled", "{trace}");
        assert_eq!(left["calls"][0]["outcome"], "cancelled", "{trace}");
        assert!(whole["usage"]["total_tokens"].as_u64().unwrap() > 0);
    }
}

#[tokio::test]
async fn a_run_in_flight_is_shown_and_ended_from_outside() {
    for stream in [false, true] {
        let gate = Gate::shut();
        let upstream = Upstream::start([
            ("judge", judges()),
            ("writer", Script::says(ANSWER).in_deltas(4).waits_after(2, &gate)),
            ("good", Script::says(ANSWER)),
            ("fine", Script::says("quite another text two")),
        ])
        .await;
        let chorus = four_stages(&["good", "fine"]).over(&upstream).await;
        let body = question(CHAT, "chorus", PROMPT, stream);
        let answering = async {
            let response = chorus.post(CHAT, &body).await;
            (response.status().as_u16(), response.text().await.unwrap_or_default())
        };
        let ending = async {
            gate.reached_by(1).await;
            let list = soon("the run to be in flight", async {
                loop {
                    let list: Value = shown(&chorus, "/chorus/runs").await;
                    let stages = list["in_flight"][0]["stages"].as_array();
                    if stages.is_some_and(|all| all.iter().any(|one| one["stage"] == "synthesizer"))
                    {
                        break list;
                    }
                    tokio::time::sleep(ms(10)).await;
                }
            });
            let list = list.await;
            let run = &list["in_flight"][0];
            assert_eq!(run["name"], "chorus");
            let states: Vec<_> = run["stages"].as_array().unwrap().iter().collect();
            assert!(states.iter().any(|one| one["state"] == "running"), "{run}");
            assert!(states.iter().any(|one| one["state"] == "ok"), "{run}");
            let path = format!("/chorus/runs/{}", id_of(run));
            let shown: Value = shown(&chorus, &path).await;
            assert_eq!(shown["workflow_id"], run["workflow_id"]);
            let ended = chorus.request(Method::DELETE, &path).send().await.unwrap();
            assert_eq!(ended.status(), 202);
            path
        };
        let ((status, text), path) = tokio::join!(answering, ending);
        assert_eq!(status, if stream { 200 } else { 499 }, "{text}");
        assert!(text.contains("cancelled"), "{text}");
        upstream.hung_up_on(1).await;
        listed(&chorus, "/chorus/runs?status=cancelled", 1).await;
        let again = chorus.request(Method::DELETE, &path).send().await.unwrap();
        assert_eq!(again.status(), 409);
        let nobody = chorus.request(Method::DELETE, "/chorus/runs/nobody").send().await.unwrap();
        assert_eq!(nobody.status(), 404);
    }
}

#[tokio::test]
async fn clients_see_their_own_runs_and_admins_all() {
    let upstream = upstream().await;
    let clients = "[[client]]\nname = \"a\"\nkey = \"key-of-a\"\n\
                   [[client]]\nname = \"b\"\nkey = \"key-of-b\"\n\
                   [[client]]\nname = \"boss\"\nkey = \"key-of-boss\"\nadmin = true\n";
    let chorus = Chorus::start(&upstream, &config(clients)).await;
    let with = |method: Method, path: &str, key: &str| {
        chorus.request(method, path).bearer_auth(format!("key-of-{key}"))
    };
    for key in ["a", "b"] {
        let body = question(CHAT, "good", PROMPT, false).to_string();
        with(Method::POST, CHAT, key).body(body).send().await.unwrap().bytes().await.unwrap();
    }
    let runs = async |key: &str| -> Vec<Value> {
        let response = with(Method::GET, "/chorus/runs", key).send().await.unwrap();
        let list: Value = json_of(response).await;
        list["runs"].as_array().unwrap().clone()
    };
    let all = soon("both runs", async {
        loop {
            let all = runs("boss").await;
            if all.len() == 2 {
                break all;
            }
            tokio::time::sleep(ms(10)).await;
        }
    });
    let all = all.await;
    let of_a = runs("a").await;
    assert_eq!((of_a.len(), &of_a[0]["client"]), (1, &json!("a")));
    let of_b = all.iter().find(|run| run["client"] == "b").unwrap();
    let path = format!("/chorus/runs/{}", id_of(of_b));
    for (key, status) in [("a", 404), ("b", 200), ("boss", 200)] {
        let response = with(Method::GET, &path, key).send().await.unwrap();
        assert_eq!(response.status(), status, "{key}");
    }
    let response = with(Method::DELETE, &path, "a").send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(chorus.get("/chorus/runs").await.status(), 401);
}

#[tokio::test]
async fn whoever_watches_sees_runs_begin_and_end() {
    let upstream = upstream().await;
    let chorus = Chorus::start(&upstream, &config("")).await;
    let mut watching = chorus.get("/chorus/runs/live").await;
    assert_eq!(watching.headers()["content-type"], "text/event-stream");
    let mut seen = String::new();
    let mut asked = false;
    let reading = async {
        while !seen.contains("event: run\n") {
            let chunk = watching.chunk().await.unwrap().expect("it goes on");
            seen.push_str(&String::from_utf8_lossy(&chunk));
            if !asked {
                asked = true;
                chorus.ask(CHAT, &question(CHAT, "chorus", PROMPT, false)).await;
            }
        }
    };
    soon("the end of the run to be seen", reading).await;
    assert!(seen.starts_with("event: in_flight\ndata: []\n\n"), "{seen}");
    let data = seen.split("event: run\ndata: ").nth(1).unwrap().lines().next().unwrap();
    let run: Value = serde_json::from_str(data).unwrap();
    assert_eq!((&run["name"], &run["status"]), (&json!("chorus"), &json!("ok")));
    assert!(!seen.contains(PROMPT) && !seen.contains(ANSWER));
}

#[tokio::test]
async fn the_ring_forgets_the_oldest_and_a_reload_may_change_its_size() {
    let upstream = upstream().await;
    let chorus = Chorus::start(&upstream, &config("[runs]\nrecent = 2")).await;
    let ask = async |count: usize| {
        for _ in 0..count {
            chorus.ask(CHAT, &question(CHAT, "good", PROMPT, false)).await;
        }
    };
    ask(3).await;
    let list = listed(&chorus, "/chorus/runs", 2).await;
    assert_eq!(list["runs"].as_array().unwrap().len(), 2);
    chorus.reloads(&upstream, &config("[runs]\nrecent = 0"));
    ask(1).await;
    let list = listed(&chorus, "/chorus/runs", 0).await;
    assert_eq!(list["runs"], json!([]));
}

#[tokio::test]
async fn an_id_that_a_client_sends_is_that_of_its_request() {
    let upstream = upstream().await;
    let chorus = Chorus::start(&upstream, &config("")).await;
    for (sent, is_taken) in [("my-request.7", true), ("not an id", false)] {
        let body = question(CHAT, "good", PROMPT, false);
        let response = chorus.post_with(CHAT, &body, &[("x-request-id", sent)]).await;
        let got = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(got == sent, is_taken, "{got}");
        drop(response.bytes().await);
    }
    listed(&chorus, "/chorus/runs", 2).await;
    let run: Value = shown(&chorus, "/chorus/runs/my-request.7").await;
    assert_eq!(run["request_id"], "my-request.7");
}

/// Nobody can hide another's run behind its id, nor see it there.
#[tokio::test]
async fn an_id_that_two_clients_send_is_to_each_its_own_run() {
    let upstream = upstream().await;
    let clients = "[[client]]\nname = \"a\"\nkey = \"key-of-a\"\n\
                   [[client]]\nname = \"b\"\nkey = \"key-of-b\"\n";
    let chorus = Chorus::start(&upstream, &config(clients)).await;
    let send = async |method: Method, path: &str, key: &str, body: String| {
        let request = chorus.request(method, path).bearer_auth(key).body(body);
        let response = request.header("x-request-id", "same").send().await.unwrap();
        (response.status().as_u16(), json_of(response).await)
    };
    let body = question(CHAT, "good", PROMPT, false).to_string();
    for key in ["key-of-a", "key-of-b"] {
        assert_eq!(send(Method::POST, CHAT, key, body.clone()).await.0, 200);
    }
    for (key, client) in [("key-of-a", "a"), ("key-of-b", "b")] {
        let own = async {
            loop {
                let (status, run) =
                    send(Method::GET, "/chorus/runs/same", key, String::new()).await;
                if status == 200 {
                    break run;
                }
                tokio::time::sleep(ms(10)).await;
            }
        };
        assert_eq!(soon("the own run", own).await["client"], client);
    }
}
