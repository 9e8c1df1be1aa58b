//! Tools for agents (Model Context Protocol), at `/mcp` and over the pipes of `chorus mcp`.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, TryRecvError, channel},
};

use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{Chorus, Gate, Process, Script, Setup, Upstream, four_stages, ms, soon};

const KEY: (&str, &str) = ("authorization", "Bearer key-a");
const EVENTS: (&str, &str) = ("accept", "application/json, text/event-stream");

async fn upstream() -> Upstream {
    Upstream::start([
        ("judge", Script::judges_for("one")),
        ("writer", Script::says("the fused answer")),
        ("one", Script::says("one says")),
        ("two", Script::says("two says")),
        ("broken", Script::fails(401)),
    ])
    .await
}

fn setup() -> Setup {
    four_stages(&["one", "two"]).with_models(&["broken"]).without_retries()
}

fn message(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

fn call(tool: &str, arguments: &Value) -> Value {
    let token = json!({"progressToken": "p"});
    message("tools/call", &json!({"name": tool, "arguments": arguments, "_meta": token}))
}

/// The messages of an answer, as events or as one JSON.
async fn messages(response: Response) -> Vec<Value> {
    let is_stream = response.headers()["content-type"] == "text/event-stream";
    let text = soon("the body", response.text()).await.expect("a whole body");
    if !is_stream {
        return vec![serde_json::from_str(&text).expect("JSON")];
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let data = data.map(str::trim).filter(|data| !data.is_empty());
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

async fn exchange(chorus: &Chorus, body: &Value) -> Vec<Value> {
    let response = chorus.post_with("/mcp", body, &[EVENTS]).await;
    assert_eq!(response.status(), 200);
    messages(response).await
}

/// The text of a tool's result, and whether it is an error.
fn result(message: &Value) -> (&str, bool) {
    let result = &message["result"];
    let text = result["content"][0]["text"].as_str();
    (text.unwrap_or_else(|| panic!("{message}")), result["isError"] == true)
}

#[tokio::test]
async fn a_client_is_greeted_and_shown_two_tools() {
    let upstream = upstream().await;
    let chorus = setup().over(&upstream).await;
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let hello = json!({"protocolVersion": version, "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"}});
        let all = exchange(&chorus, &message("initialize", &hello)).await;
        assert_eq!(all[0]["result"]["serverInfo"]["name"], "chorus", "{all:?}");
        assert_eq!(all[0]["result"]["protocolVersion"], version);
        let noted = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(chorus.post_with("/mcp", &noted, &[EVENTS]).await.status(), 202);
    }
    let all = exchange(&chorus, &message("tools/list", &json!({}))).await;
    let tools = all[0]["result"]["tools"].as_array().expect("tools");
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ask", "compare"]);
    let (ask, compare) = (&tools[0], &tools[1]);
    assert_eq!(ask["inputSchema"]["required"], json!(["question"]));
    assert_eq!(compare["inputSchema"]["required"], json!(["question", "models"]));
    let about = ask["description"].as_str().unwrap();
    assert!(about.ends_with("Models to name: chorus, judge, writer, one, two, broken."), "{about}");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn the_panel_is_asked_and_says_how_it_gets_on() {
    let upstream = upstream().await;
    let chorus = setup().over(&upstream).await;
    let file = json!({"name": "src/lib.rs", "text": "fn answer() -> u8 { 42 }"});
    let mut all =
        exchange(&chorus, &call("ask", &json!({"question": "Is it right?", "files": [file]})))
            .await;
    let last = all.pop().unwrap();
    assert_eq!(result(&last), ("the fused answer", false));
    let about = &last["result"]["_meta"]["chorus"];
    assert_eq!((&about["calls"], &about["status"]), (&json!(5), &json!("ok")), "{last}");
    let mut last_one = 0.0;
    let mut lines = Vec::new();
    for note in &all {
        assert_eq!(note["method"], "notifications/progress", "{note}");
        assert_eq!(note["params"]["progressToken"], "p");
        let progress = note["params"]["progress"].as_f64().unwrap();
        assert!(progress > last_one, "{all:?}");
        last_one = progress;
        lines.push(note["params"]["message"].as_str().unwrap());
    }
    for line in ["analyzing with judge", "asking one, two", "writing with writer"] {
        assert!(lines.contains(&line), "{lines:?}");
    }
    let asked = upstream.seen_by("one").pop().unwrap().question();
    assert!(asked.contains("Is it right?") && asked.contains("fn answer()"), "{asked}");

    // Without a token there are no notes, and who takes no events gets one JSON.
    let body = message("tools/call", &json!({"name": "ask", "arguments": {"question": "x"}}));
    let response = chorus.post_with("/mcp", &body, &[("accept", "application/json")]).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let all = messages(response).await;
    assert_eq!((all.len(), result(&all[0])), (1, ("the fused answer", false)));
}

#[tokio::test]
async fn models_are_compared_and_one_that_fails_says_so_in_its_place() {
    let upstream = upstream().await;
    let chorus = setup().over(&upstream).await;
    let models = json!(["two", "broken", "one"]);
    let mut all =
        exchange(&chorus, &call("compare", &json!({"question": "why?", "models": models}))).await;
    let last = all.pop().unwrap();
    let (text, is_error) = result(&last);
    assert!(!is_error, "{text}");
    let place = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
    assert!(place("## two: ") < place("two says") && place("two says") < place("## broken: "));
    assert!(place("## broken: upstream_error") < place("## one: ") && text.ends_with("one says"));
    assert_eq!((all.len(), &all[2]["params"]["total"]), (3, &json!(3.0)), "{all:?}");

    let alone = call("compare", &json!({"question": "why?", "models": ["broken"]}));
    assert!(result(exchange(&chorus, &alone).await.last().unwrap()).1);
}

#[tokio::test]
async fn mistakes_are_shown_to_the_model_that_made_them() {
    let upstream = upstream().await;
    let chorus = setup().over(&upstream).await;
    for (tool, arguments, why) in [
        ("ask", json!({}), "missing field `question`"),
        ("ask", json!({"question": " "}), "question: it is empty"),
        ("ask", json!({"question": "the secret", "model": 3}), "model: "),
        ("ask", json!({"question": "x", "model": "onee"}), "did you mean"),
        ("ask", json!({"question": "x", "model": "broken"}), "upstream_error"),
        ("compare", json!({"question": "x", "models": []}), "models: name 1 to 8"),
    ] {
        let all = exchange(&chorus, &call(tool, &arguments)).await;
        let (text, is_error) = result(all.last().unwrap());
        assert!(is_error && text.contains(why) && !text.contains("secret"), "{tool}: {text}");
    }
    let all = exchange(&chorus, &call("delete", &json!({}))).await;
    assert_eq!(all[0]["error"]["code"], -32602, "{all:?}");
    let (status, body) = chorus.ask("/mcp", &json!({"question": "x"})).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("invalid_request")), "{body}");
    let get = soon("the answer", chorus.request(reqwest::Method::GET, "/mcp").send()).await;
    assert_eq!(get.unwrap().status(), 405);
}

#[tokio::test]
async fn the_door_and_the_limits_are_those_of_every_endpoint() {
    let upstream = upstream().await;
    let clients = "[[client]]\nname = \"a\"\nkey = \"key-a\"\nmodels = [\"one\", \"two\"]\n\
                   budget = { calls = 1, per = \"day\" }";
    let chorus = setup().with(clients).over(&upstream).await;
    let ask = |model: &str| call("ask", &json!({"question": "x", "model": model}));
    for (headers, status) in [
        (vec![EVENTS], 401),
        (vec![EVENTS, ("authorization", "Bearer wrong")], 401),
        (vec![EVENTS, KEY, ("origin", "https://evil.example")], 403),
        (vec![EVENTS, KEY, ("host", "evil.example")], 403),
    ] {
        let response = chorus.post_with("/mcp", &ask("one"), &headers).await;
        assert_eq!(response.status(), status, "{headers:?}");
    }
    assert!(upstream.seen().is_empty());
    let asked = async |body: Value| {
        let all = messages(chorus.post_with("/mcp", &body, &[EVENTS, KEY]).await).await;
        let (text, is_error) = result(all.last().unwrap());
        (text.to_owned(), is_error)
    };
    let (text, is_error) = asked(ask("writer")).await;
    assert!(is_error && text.starts_with("model_not_allowed: "), "{text}");
    assert_eq!(asked(ask("one")).await, ("one says".to_owned(), false));
    for body in [ask("two"), call("compare", &json!({"question": "x", "models": ["one"]}))] {
        let (text, is_error) = asked(body).await;
        assert!(is_error && text.contains("budget"), "{text}");
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn leaving_hangs_up_on_the_upstreams() {
    let gate = Gate::shut();
    let upstream = Upstream::start([
        ("judge", Script::judges_for("one")),
        ("writer", Script::fuses()),
        ("one", Script::says("one says").waits_before_headers(&gate)),
        ("two", Script::says("two says").waits_before_headers(&gate)),
    ])
    .await;
    let chorus = four_stages(&["one", "two"]).over(&upstream).await;
    for (number, headers) in [&[EVENTS][..], &[]].into_iter().enumerate() {
        let body = call("ask", &json!({"question": "x"}));
        let answering = async {
            let response = chorus.try_post("/mcp", &body, headers).await;
            response.expect("the server answers").bytes().await
        };
        tokio::select! {
            answer = answering => panic!("it ended: {answer:?}"),
            () = gate.reached_by(2 * (number + 1)) => {}
        }
        upstream.hung_up_on(2 * (number + 1)).await;
    }
}

#[tokio::test]
async fn the_log_has_one_line_of_a_call_and_none_of_its_words() {
    let upstream = upstream().await;
    let process = Process::serves(&upstream, &setup().toml(), "trace", &[]).await;
    let body = call("ask", &json!({"question": "the secret question"}));
    let answered = process.client().post_with("/mcp", &body, &[EVENTS]).await;
    assert_eq!(result(messages(answered).await.last().unwrap()), ("the fused answer", false));
    let note = json!({"requestId": 7, "reason": "the secret reason"});
    let note = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": note});
    assert_eq!(process.client().post_with("/mcp", &note, &[EVENTS]).await.status(), 202);
    process.request_stop();
    let (_, log) = process.ended().await;
    assert!(!log.contains("secret") && !log.contains("fused") && !log.contains("rmcp"), "{log}");
    let lines = log.lines().filter(|line| line.contains("INFO") && line.contains("/mcp"));
    assert_eq!(lines.count(), 2, "{log}");
}

/// `chorus mcp`, started by an agent.
struct Pipes {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    _folder: tempfile::TempDir,
}

impl Pipes {
    fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("config.toml");
        std::fs::write(&file, config).expect("a config file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_chorus"))
            .args(["mcp", "--config"])
            .arg(&file)
            .env_clear()
            .env("HOME", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            lines.map_while(|line| sender.send(line).ok()).for_each(drop);
        });
        Self { input: child.stdin.take(), child, lines, _folder: folder }
    }

    fn send(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("it is open");
        writeln!(input, "{message}").expect("it listens");
    }

    /// The next message; none: it has closed its output.
    async fn next(&mut self) -> Option<Value> {
        let next = async {
            loop {
                match self.lines.try_recv() {
                    Ok(line) => return Some(serde_json::from_str(&line).expect("a message")),
                    Err(TryRecvError::Disconnected) => return None,
                    Err(TryRecvError::Empty) => tokio::time::sleep(ms(5)).await,
                }
            }
        };
        soon("a message", next).await
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn an_agent_that_starts_it_asks_over_its_pipes_and_may_change_its_mind() {
    let gate = Gate::shut();
    let upstream = Upstream::start([
        ("judge", Script::judges_for("one")),
        ("writer", Script::says("the fused answer")),
        ("one", Script::says("one says")),
        ("two", Script::says("two says").waits_before_headers(&gate)),
    ])
    .await;
    let config = four_stages(&["one"]).with_models(&["two"]).toml();
    let mut agent = Pipes::start(&config.replace("{base}", &upstream.base()));
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"}});
    agent.send(&message("initialize", &hello));
    assert_eq!(agent.next().await.unwrap()["result"]["serverInfo"]["name"], "chorus");
    agent.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    agent.send(&call("ask", &json!({"question": "why?"})));
    let mut notes = 0;
    let answer = loop {
        let message = agent.next().await.expect("an answer");
        match message["method"].as_str() {
            Some("notifications/progress") => notes += 1,
            _ => break message,
        }
    };
    assert_eq!((result(&answer), notes > 2), (("the fused answer", false), true));

    agent.send(&call("ask", &json!({"question": "why?", "model": "two"})));
    soon("the call", gate.reached_by(1)).await;
    let which = json!({"requestId": 7, "reason": "changed"});
    agent.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": which}));
    upstream.hung_up_on(1).await;
    agent.input = None;
    while agent.next().await.is_some() {}
    let ended = async {
        loop {
            match agent.child.try_wait().expect("a child") {
                Some(status) => return status,
                None => tokio::time::sleep(ms(5)).await,
            }
        }
    };
    assert_eq!(soon("the end", ended).await.code(), Some(0));
}

#[tokio::test]
async fn a_config_that_is_wrong_is_said_on_standard_error_alone() {
    let mut agent = Pipes::start("[server]\nport = \"many\"\n");
    assert_eq!(agent.next().await, None);
    assert_eq!(agent.child.wait().expect("a child").code(), Some(2));
}
