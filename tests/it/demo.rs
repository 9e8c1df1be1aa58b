//! The demonstration upstream over its socket, and the whole pipeline over it.

use std::{
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use chorus::{
    config::Config,
    demo::{Demo, Pace},
    server::{self, AppState, Workers},
    workflow::Engine,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{runtime::Handle, task::JoinSet};

use crate::support::{Client, ENDPOINTS, Event, ms, question, soon, text_of};

const CHAT: &str = "/v1/chat/completions";

async fn demo() -> Demo {
    let anywhere = (Ipv4Addr::LOCALHOST, 0).into();
    Demo::start_at(anywhere, Pace::Instant).await.expect("a free port")
}

/// The demo alone, without Chorus in front.
async fn upstream() -> (JoinSet<()>, Client) {
    let demo = demo().await;
    let client = Client::of(&format!("http://{}", demo.address()));
    let mut tasks = JoinSet::new();
    tasks.spawn(async { demo.serve().await.expect("it serves") });
    (tasks, client)
}

/// What `chorus demo` starts, without its screen.
async fn chorus() -> (JoinSet<()>, Client) {
    let demo = demo().await;
    let config = Config::parse(&demo.config_text(), None, &|_| None).expect("a good config");
    let engine = Engine::new(Arc::new(config)).expect("an engine");
    let listener = server::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let client = Client::of(&format!("http://{}", listener.local_addr().expect("an address")));
    let mut tasks = JoinSet::new();
    tasks.spawn(async { demo.serve().await.expect("it serves") });
    let app = AppState::new(Arc::new(engine));
    tasks.spawn(server::serve(
        listener,
        Workers::on(Handle::current()),
        app,
        std::future::pending(),
    ));
    (tasks, client)
}

#[tokio::test]
async fn a_demonstration_model_answers_whole_and_streamed_alike() {
    let (_tasks, client) = upstream().await;
    for (prompt, notice) in [("Why is the sky blue?", "Simulated"), ("天空为什么蓝？", "模拟")]
    {
        let (status, whole) =
            client.ask(CHAT, &question(CHAT, "demo-scholar", prompt, false)).await;
        assert_eq!(status, 200);
        assert!(text_of(&whole).contains(notice) && text_of(&whole).contains(prompt), "{whole}");
        let used = whole["usage"]["completion_tokens"].as_u64().expect("usage");

        let mut body = question(CHAT, "demo-scholar", prompt, true);
        body["stream_options"] = json!({"include_usage": true});
        let events = client.stream(CHAT, &body).await.all().await;
        assert_eq!(events.last(), Some(&Event::Done));
        let objects: Vec<&Value> = (events.iter())
            .filter_map(|event| match event {
                Event::Object(object) => Some(object),
                _ => None,
            })
            .collect();
        let text: String = objects.iter().map(|object| text_of(object)).collect();
        assert_eq!(text, text_of(&whole));
        assert_eq!(objects.last().unwrap()["usage"]["completion_tokens"], used);
        assert!(objects.len() as u64 > used, "one event a token");
    }
}

#[tokio::test]
async fn it_lists_its_models_and_knows_no_others() {
    let (_tasks, client) = upstream().await;
    let list = client.get("/v1/models").await.bytes().await.unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    let names: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(names, Demo::models());
    assert_eq!(client.ask(CHAT, &question(CHAT, "gpt", "hi", false)).await.0, 404);
    assert_eq!(client.ask(CHAT, &json!({"model": "demo-warm"})).await.0, 400);
}

#[tokio::test]
async fn the_whole_pipeline_runs_over_it() {
    let (_tasks, client) = chorus().await;
    for path in ENDPOINTS {
        let mut body = question(path, "chorus", "天空为什么是蓝色的？", true);
        body["include_workflow"] = json!(true);
        let objects = client.objects(path, &body).await;
        let text: String = objects.iter().map(text_of).collect();
        assert_eq!(text.matches("模拟").count(), 1, "{path}: fused from three drafts: {text}");
        assert!(text.contains("三点"), "{path}: the scholar's draft is the longest: {text}");
        let trace = objects.iter().find_map(|object| object.get("workflow")).expect("a trace");
        assert_eq!(trace["status"], "ok", "{path}: {trace}");
        assert_eq!(trace["analyzer"]["task_type"], "question");
        assert_eq!(trace["selector"]["selected_worker"], "demo-scholar");
        assert_eq!(trace["workers"][1]["temperature_source"], "auto");
        assert!(trace["usage"]["cost_usd"].as_f64().expect("prices are known") > 0.0);
    }
}

/// Killed when the story ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A terminal's second Ctrl-C means that nobody wants to wait for the answer that is running.
#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chorus"));
    command.args(["demo", "--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running(command.spawn().expect("the binary starts"));
    let Running(child) = &mut running;
    let mut screen = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let base = screen
        .by_ref()
        .map(|line| line.expect("text"))
        .find_map(|line| line.strip_prefix("  Ollama clients    ").map(str::to_owned))
        .expect("it says where it is");
    let stream = Client::of(&base).stream(CHAT, &question(CHAT, "chorus", "Why?", true)).await;
    let interrupt = || {
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(killed.expect("`kill` is everywhere").success());
    };
    interrupt();
    soon("the listener to close", async {
        while Client::of(&base).request(Method::GET, "/health").send().await.is_ok() {
            tokio::time::sleep(ms(5)).await;
        }
    })
    .await;
    interrupt();
    let status = child.wait().expect("a child can be waited for");
    assert_eq!(status.code(), Some(1), "it drained, as after one signal");
    drop(stream);
}

#[tokio::test]
async fn one_model_can_be_asked_alone() {
    let (_tasks, client) = chorus().await;
    let (status, whole) = client.ask(CHAT, &question(CHAT, "demo-terse", "Why?", false)).await;
    assert_eq!(status, 200);
    assert!(text_of(&whole).contains("one sentence"), "{whole}");
}
