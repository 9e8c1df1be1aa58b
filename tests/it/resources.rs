//! What a client can take from others: places, permits, memory. Each form was seen to stop or starve a
//! server from a loopback port without a key.

use std::{net::SocketAddr, time::Instant};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    Client, Gate, Process, Script, Setup, Upstream, four_stages, ms, question, soon,
};

const CHAT: &str = "/v1/chat/completions";

fn one_model(model_keys: &str, server_keys: &str) -> Setup {
    four_stages(&["m"]).model_keys("m", model_keys).with(&format!("[server]\n{server_keys}"))
}

/// A connection whose client has room for little that it does not read.
async fn deaf(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    TcpStream::from_std(socket.into()).unwrap()
}

fn head(length: usize) -> String {
    format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_client_that_never_reads_gives_its_calls_and_permits_back() {
    // More than all buffers on the way hold.
    let long = "word ".repeat(4 << 20);
    let script = Script::says(&long).first(1, Script::says(&long)).first(1, Script::says(&long));
    let upstream = Upstream::start([("m", script)]).await;
    let setup = one_model("max_concurrency = 1", "write_timeout_secs = 0.5");
    let chorus = setup.over(&upstream).await;
    let body = question(CHAT, "m", "hi", true).to_string();
    let mut client = deaf(chorus.address()).await;
    client.write_all(format!("{}{body}", head(body.len())).as_bytes()).await.unwrap();
    upstream.asked(1).await;
    // Its permit is wanted by another one, who reads.
    let other = chorus.post(CHAT, &question(CHAT, "m", "hi", true)).await;
    assert_eq!(other.status(), 200);
    soon("the second answer", other.bytes()).await.unwrap();
    upstream.idle().await;
    drop(client);
}

#[tokio::test]
async fn bodies_that_trickle_keep_nobody_out() {
    let upstream = Upstream::start([("m", Script::says("hello"))]).await;
    let chorus = one_model("", "max_in_flight = 2").over(&upstream).await;
    let mut trickling = Vec::new();
    for _ in 0..20 {
        let mut client = TcpStream::connect(chorus.address()).await.unwrap();
        client.write_all(format!("{}{{", head(1000)).as_bytes()).await.unwrap();
        trickling.push(client);
    }
    // They have come in.
    tokio::time::sleep(ms(100)).await;
    let (status, answer) = chorus.ask(CHAT, &question(CHAT, "m", "hi", false)).await;
    assert_eq!(status, 200, "{answer}");
    // And each gets its answer once its body is there.
    let mut client = trickling.pop().unwrap();
    let rest = format!("\"x\": {}}}", "1".repeat(1000 - "{\"x\": }".len()));
    client.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    soon("an answer", client.read_exact(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_body_of_a_million_small_values_is_refused() {
    let upstream = Upstream::start([("m", Script::says("hello"))]).await;
    let chorus = one_model("", "").over(&upstream).await;
    let mut body = question(CHAT, "m", "hi", false);
    body["unknown"] = json!(vec![json!({"a": 1}); 1_000_000]);
    let (status, answer) = chorus.ask(CHAT, &body).await;
    assert_eq!(status, 400, "{answer}");
    let words = answer["error"]["message"].as_str().unwrap();
    assert!(words.contains("too many values for its size"), "{words}");
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn a_long_body_is_read_while_other_answers_go_on() {
    let upstream = Upstream::start([("m", Script::trickles(ms(2)))]).await;
    let chorus = one_model("", "").over(&upstream).await;
    let mut events = chorus.stream(CHAT, &question(CHAT, "m", "hi", true)).await;
    assert!(events.text().await.is_some());
    // Nobody has the model, so that reading it is all there is to do.
    let message = json!({"role": "user", "content": "word ".repeat(200)});
    let body = json!({"model": "nobody", "messages": vec![message; 50_000]}).to_string();
    let begun = Instant::now();
    let sent = chorus.request(reqwest::Method::POST, CHAT).body(body).send();
    let mut sent = std::pin::pin!(sent);
    let (mut longest, mut last) = (ms(0), begun);
    let answer = loop {
        tokio::select! {
            answer = &mut sent => break answer.unwrap(),
            text = events.text() => {
                assert!(text.is_some());
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
        }
    };
    assert_eq!(answer.status(), 404);
    let took = begun.elapsed();
    assert!(longest * 3 < took, "a token waited {longest:?} of {took:?}");
}

#[tokio::test]
async fn tokens_to_embed_are_passed_on_however_many_they_are() {
    let upstream = Upstream::start([("m", Script::says("hello"))]).await;
    let chorus = one_model("", "").over(&upstream).await;
    // As clients send them that count tokens themselves: a thousand texts.
    let tokens: Vec<Vec<u32>> = (0..1000).map(|text| (text..text + 400).collect()).collect();
    let body = json!({"model": "m", "input": tokens});
    let (status, answer) = chorus.ask("/v1/embeddings", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(upstream.seen()[0].body["input"], body["input"]);
}

#[tokio::test]
async fn bodies_beyond_the_memory_there_is_are_put_off_and_give_theirs_back() {
    let gate = Gate::shut();
    let script = Script::says("hello").waits_before_headers(&gate);
    let upstream = Upstream::start([("m", script)]).await;
    let setup = one_model("", "request_body_limit = \"8MiB\"").with("[limits]\nmemory = \"20MiB\"");
    let chorus = setup.over(&upstream).await;
    // Of 12 MB each as they are counted: there is room for one.
    let large = question(CHAT, "m", &"word ".repeat(1_200_000), false);
    let first = chorus.try_post(CHAT, &large, &[]);
    let others = async {
        upstream.asked(1).await;
        for _ in 0..3 {
            let refused = chorus.post(CHAT, &large).await;
            assert_eq!(refused.status(), 503);
            assert!(refused.headers().contains_key("retry-after"));
            let words = refused.text().await.unwrap();
            assert!(words.contains("overloaded") && words.contains("memory"), "{words}");
        }
        // Small ones go on.
        let body = question(CHAT, "m", "hi", false);
        let small = chorus.try_post(CHAT, &body, &[]);
        let released = async {
            upstream.asked(2).await;
            gate.open();
        };
        let (small, ()) = tokio::join!(small, released);
        assert_eq!(small.unwrap().status(), 200);
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!(first.unwrap().status(), 200);
    soon("memory to be given back", async {
        while chorus.app().engine().memory().taken() > 0 {
            tokio::time::sleep(ms(5)).await;
        }
    })
    .await;
    assert_eq!(chorus.post(CHAT, &large).await.status(), 200);
}

#[tokio::test]
async fn whole_answers_count_too_and_streamed_ones_do_not() {
    let long = "word ".repeat(600_000);
    let upstream = Upstream::start([("m", Script::says(&long).in_deltas(100))]).await;
    let setup = one_model("", "request_body_limit = \"1MiB\"").with("[limits]\nmemory = \"4MiB\"");
    let chorus = setup.over(&upstream).await;
    let whole = chorus.post(CHAT, &question(CHAT, "m", "hi", false)).await;
    assert_eq!(whole.status(), 503);
    assert!(whole.headers().contains_key("retry-after"));
    let mut events = chorus.stream(CHAT, &question(CHAT, "m", "hi", true)).await;
    let mut seen = 0;
    while let Some(text) = events.text().await {
        seen += text.len();
    }
    assert_eq!(seen, long.len());
}

#[tokio::test]
async fn a_workflow_whose_workers_all_lack_memory_is_put_off() {
    let long = "word ".repeat(300_000);
    let scripts = ["one", "two", "m"].map(|name| (name, Script::says(&long).in_deltas(100)));
    let upstream = Upstream::start(scripts).await;
    let setup = Setup::of(json!({"workers": ["one", "two"], "selector": {"ref": "m"}}))
        .with_models(&["one", "two", "m"])
        .without_retries()
        .with("[server]\nrequest_body_limit = \"64KiB\"\n[limits]\nmemory = \"1MiB\"");
    let chorus = setup.over(&upstream).await;
    let answer = chorus.post(CHAT, &question(CHAT, "chorus", "hi", false)).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn long_answers_that_are_passed_on_go_through_piece_by_piece() {
    // Fifty megabytes of vectors, each.
    let vector = format!("[{}0.1]", "0.12345678, ".repeat(1000));
    let data = vec![vector; 4200].join(",");
    let reply = format!("{{\"data\":[{data}],\"model\":\"m\",\"usage\":{{}}}}");
    let upstream =
        Upstream::start([("m", Script::sends("application/json", reply.as_bytes()))]).await;
    let setup = one_model("", "request_body_limit = \"64KiB\"").with("[limits]\nmemory = \"1MiB\"");
    let chorus = setup.with("[[alias]]\nname = \"mine\"\nmodel = \"m\"").over(&upstream).await;
    let body = json!({"model": "mine", "input": "x"});
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(chorus.post("/v1/embeddings", &body).await);
    }
    upstream.asked(6).await;
    let before = resident();
    let mut length = 0;
    let mut tail = Vec::new();
    let mut first = answers.pop().unwrap();
    while let Some(chunk) = soon("a piece", first.chunk()).await.unwrap() {
        length += chunk.len();
        tail.extend_from_slice(&chunk);
        tail = tail.split_off(tail.len().saturating_sub(100));
    }
    assert_eq!(length, reply.len() + "mine".len() - "m".len());
    let tail = String::from_utf8(tail).unwrap();
    assert!(tail.ends_with(r#"],"model":"mine","usage":{}}"#), "{tail}");
    // Neither that one nor those that nobody reads stand in memory.
    if let (Some(before), Some(now)) = (before, resident()) {
        assert!(now.saturating_sub(before) < reply.len(), "{before} {now}");
    }
    drop(answers);
    upstream.idle().await;
}

/// What the process has in memory, in bytes, where the system says it.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<usize>().ok()?.checked_mul(1024)
}

/// In kilobytes.
#[cfg(target_os = "linux")]
fn resident_of(process: &Process) -> u64 {
    memory_of(process, "VmRSS:")
}

/// The same of another field of the process' status.
#[cfg(target_os = "linux")]
fn memory_of(process: &Process, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Short messages cost most, as each is an object, and one long text shows every copy. What the allocator
/// keeps for a moment counts, too.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_body_takes_a_few_times_its_size_at_the_most() {
    let upstream = Upstream::start([("m", Script::says("hello"))]).await;
    let toml = one_model("context_tokens = 100000000", "").toml();
    let talk = |count: usize, text: &str| -> Vec<Value> {
        let role = |turn: usize| if turn.is_multiple_of(2) { "user" } else { "assistant" };
        let last = json!({"role": "user", "content": "hi"});
        let turn = |turn| json!({"role": role(turn), "content": text});
        (0..count).map(turn).chain([last]).collect()
    };
    let (short, long) = ("word ".repeat(40), "word ".repeat(6_000_000));
    for (path, count, text, most) in [
        (CHAT, 40_000, &short, 6),
        ("/api/chat", 40_000, &short, 6),
        ("/v1/messages", 40_000, &short, 6),
        (CHAT, 1, &long, 4),
        ("/v1/messages", 1, &long, 4),
    ] {
        // A process of its own: only the most that one ever took can be told.
        let process = Process::serves(&upstream, &toml, "info", &[]).await;
        let client = process.client();
        let (status, answer) = client.ask(path, &question(path, "m", "hi", false)).await;
        assert_eq!(status, 200, "{answer}");
        let before = resident_of(&process);
        let body = json!({"model": "m", "stream": false, "messages": talk(count, text)});
        let size = u64::try_from(body.to_string().len() / 1024).unwrap();
        let (status, answer) = client.ask(path, &body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        let took = memory_of(&process, "VmHWM:").saturating_sub(before);
        assert!(took <= most * size, "{path} {count}: {took} KiB for {size} KiB");
    }
}

/// The allocator gives back what is free when it is asked for something, and nobody asks it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_of_a_busy_time_is_given_back_while_nobody_asks() {
    let gate = Gate::shut();
    let script = Script::says("hello").waits_before_headers(&gate);
    let upstream = Upstream::start([("m", script)]).await;
    let setup = one_model("", "").with("[workflow.pool]\nidle_secs = 1\n[runs]\nrecent = 0");
    let process = Process::serves(&upstream, &setup.toml(), "info", &[]).await;
    let start = resident_of(&process);
    let body = question(CHAT, "m", "hi", true);
    let client = Client::of(process.client().base());
    let asked = futures::future::join_all((0..200).map(|_| client.post(CHAT, &body)));
    let most = async {
        upstream.asked(200).await;
        let most = resident_of(&process);
        gate.open();
        most
    };
    let (answers, most) = tokio::join!(asked, most);
    for answer in answers {
        soon("an answer", answer.bytes()).await.unwrap();
    }
    drop(client);
    let taken = most.saturating_sub(start);
    assert!(taken > 3_000, "{start} {most}");
    soon("memory to be given back", async {
        while resident_of(&process).saturating_sub(start) * 5 > taken * 2 {
            tokio::time::sleep(ms(100)).await;
        }
    })
    .await;
}
