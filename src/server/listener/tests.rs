use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc};

use axum::{Router, body::Body, routing::get};
use hyper_util::service::TowerToHyperService;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
    sync::{Notify, oneshot},
};

use super::{connection::send_at_once, *};

/// A server whose end is in the test's hands.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinSet<()>,
}

fn start(router: Router, lifecycle: &Lifecycle, grace: Duration) -> Running {
    start_on(Workers::on(Handle::current()), router, lifecycle, grace)
}

fn start_on(workers: Workers, router: Router, lifecycle: &Lifecycle, grace: Duration) -> Running {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let lifecycle = lifecycle.clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut ended = JoinSet::new();
    ended.spawn(async move {
        let stopped = async { drop(stopped.await) };
        let service = TowerToHyperService::new(router);
        let service = |_: &Worker, _| service.clone();
        let rules = || Rules { write: grace, delay: Duration::ZERO, grace, tls: None };
        run(listener.into(), &workers, service, || None, &lifecycle, rules, stopped).await;
    });
    Running { address, stop, ended }
}

/// `/` says hello. `/wait` says "begun", and "over" once `go` is notified, or "cut" when the
/// server ends.
fn router(lifecycle: &Lifecycle, go: &Arc<Notify>) -> Router {
    let (lifecycle, go) = (lifecycle.clone(), Arc::clone(go));
    let wait = move || async move {
        Body::from_stream(async_stream::stream! {
            yield Ok::<_, io::Error>(Bytes::from("begun"));
            let last = tokio::select! {
                () = go.notified() => "over",
                () = lifecycle.ending() => "cut",
            };
            yield Ok(Bytes::from(last));
        })
    };
    Router::new().route("/", get(|| async { "hello" })).route("/wait", get(wait))
}

async fn ask(stream: &mut TcpStream, path: &str) {
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
}

async fn read_until(stream: &mut TcpStream, end: &str) {
    let mut seen = String::new();
    let mut buffer = [0; 1024];
    while !seen.contains(end) {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "hung up after: {seen}");
        seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
}

#[tokio::test]
async fn connections_are_dealt_to_the_worker_that_has_the_fewest() {
    let lifecycle = Lifecycle::new();
    let name = || async { std::thread::current().name().unwrap_or_default().to_owned() };
    let workers = Workers::start(NonZeroUsize::new(2).unwrap()).unwrap();
    let router = Router::new().route("/", get(name));
    let running = start_on(workers, router, &lifecycle, Duration::ZERO);
    let mut open = Vec::new();
    for number in ["worker-1", "worker-2", "worker-1", "worker-2"] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        // It stays where it is.
        for _ in 0..2 {
            ask(&mut stream, "/").await;
            read_until(&mut stream, number).await;
        }
        open.push(stream);
    }
}

#[tokio::test]
async fn accepted_sockets_do_not_wait_to_fill_a_packet() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(listener.accept(), TcpStream::connect(address));
    let (stream, _) = ours.unwrap();
    assert!(!stream.nodelay().unwrap());
    send_at_once(&stream);
    assert!(stream.nodelay().unwrap());
    drop(theirs);
}

#[tokio::test]
async fn a_connection_is_kept_and_the_port_can_be_bound_again_at_once() {
    let lifecycle = Lifecycle::new();
    let router = router(&lifecycle, &Arc::default());
    let mut running = start(router, &lifecycle, Duration::from_secs(60));
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    for _ in 0..3 {
        ask(&mut stream, "/").await;
        read_until(&mut stream, "hello").await;
    }
    drop(running.stop);
    // An idle connection does not hold the drain up.
    running.ended.join_next().await.unwrap().unwrap();
    assert!(bind(running.address).is_ok());
}

#[tokio::test]
async fn a_drain_refuses_the_new_and_waits_for_the_old() {
    let (lifecycle, go) = (Lifecycle::new(), Arc::default());
    let router = router(&lifecycle, &go);
    let mut running = start(router, &lifecycle, Duration::from_secs(60));
    let idle = TcpStream::connect(running.address).await.unwrap();
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    ask(&mut stream, "/wait").await;
    read_until(&mut stream, "begun").await;
    drop(running.stop);
    while !lifecycle.is_draining() {
        tokio::task::yield_now().await;
    }
    assert!(TcpStream::connect(running.address).await.is_err(), "still accepting");
    assert!(running.ended.try_join_next().is_none(), "did not wait");
    go.notify_one();
    read_until(&mut stream, "over").await;
    running.ended.join_next().await.unwrap().unwrap();
    drop(idle);
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_ended() {
    let lifecycle = Lifecycle::new();
    let router = router(&lifecycle, &Arc::default());
    let mut running = start(router, &lifecycle, Duration::from_millis(50));
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    ask(&mut stream, "/wait").await;
    read_until(&mut stream, "begun").await;
    drop(running.stop);
    read_until(&mut stream, "cut").await;
    running.ended.join_next().await.unwrap().unwrap();
}
