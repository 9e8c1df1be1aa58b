//! What a client can take from others: places, permits, memory. Each form was seen to stop or starve a
//! server from a loopback port without a key.

use std::net::SocketAddr;

use serde_json::json;
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Script, Setup, Upstream, four_stages, ms, question, soon};

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
