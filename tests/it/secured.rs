//! TLS at the door, and HTTP/2 with and without it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::body::{Body, to_bytes};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::{Certificate, Identity, Version};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinSet};

use crate::support::{Chorus, Client, Gate, Script, Upstream, four_stages, ms, question, soon};

const CHAT: &str = "/v1/chat/completions";

/// An authority, and the files of a server and a client that it signed.
struct Files {
    folder: tempfile::TempDir,
    authority: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Files {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
        let files = Self { folder: tempfile::tempdir().unwrap(), authority };
        std::fs::write(files.path("ca.pem"), files.authority.pem()).unwrap();
        files.signs("server");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `NAME.pem` and `NAME-key.pem`, new ones each time.
    fn signs(&self, name: &str) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.path(&format!("{name}-key.pem")), key.serialize_pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), cert.pem()).unwrap();
    }

    fn tls(&self, more: &str) -> String {
        let shown = |path: PathBuf| path.display().to_string();
        format!(
            "[server.tls]\ncert = '{}'\nkey = '{}'\n{more}\n",
            shown(self.path("server.pem")),
            shown(self.path("server-key.pem"))
        )
    }

    /// A client that trusts the authority.
    fn client(
        &self,
        address: SocketAddr,
        set: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Client {
        let ca = Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only([ca]);
        Client::with(&format!("https://localhost:{}", address.port()), set(builder))
    }
}

async fn hello() -> Upstream {
    Upstream::start([("m", Script::says("hello"))]).await
}

async fn over(upstream: &Upstream, tables: &str) -> Chorus {
    four_stages(&["m"]).with(tables).over(upstream).await
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_over_tls() {
    let files = Files::new();
    let upstream = hello().await;
    let chorus = over(&upstream, &files.tls("")).await;
    for (is_old, version) in [(false, Version::HTTP_2), (true, Version::HTTP_11)] {
        let client =
            files.client(chorus.address(), |set| if is_old { set.http1_only() } else { set });
        for stream in [false, true] {
            let body = question(CHAT, "m", "hi", stream);
            let response = client.post(CHAT, &body).await;
            assert_eq!((response.status().as_u16(), response.version()), (200, version));
            let text = response.text().await.unwrap();
            assert!(text.contains("hello") || text.contains("\"o\""), "{text}");
        }
        let refused = client.request(reqwest::Method::POST, "/nowhere").body(vec![b'x'; 400_000]);
        assert_eq!(refused.send().await.unwrap().status(), 404);
        assert_eq!(client.get("/health").await.status(), 200);
    }
    // Plain HTTP is no way in.
    let plain = chorus.request(reqwest::Method::GET, "/health").send().await;
    assert!(plain.is_err());
}

#[tokio::test]
async fn handshakes_that_do_not_come_keep_nobody_out() {
    let files = Files::new();
    let upstream = hello().await;
    let chorus = over(&upstream, &files.tls("")).await;
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(TcpStream::connect(chorus.address()).await.unwrap());
    }
    let client = files.client(chorus.address(), |set| set);
    assert_eq!(client.get("/health").await.status(), 200);
}

#[tokio::test]
async fn only_clients_with_a_certificate_come_in_where_one_is_asked_for() {
    let files = Files::new();
    files.signs("ann");
    let upstream = hello().await;
    let ca = format!("client_ca = '{}'", files.path("ca.pem").display());
    let chorus = over(&upstream, &files.tls(&ca)).await;
    let without = files.client(chorus.address(), |set| set);
    let refused = without.request(reqwest::Method::GET, "/health").send().await;
    assert!(refused.is_err());
    let pem =
        [files.path("ann.pem"), files.path("ann-key.pem")].map(|path| std::fs::read(path).unwrap());
    let identity = Identity::from_pem(&pem.concat()).unwrap();
    let with = files.client(chorus.address(), |set| set.identity(identity.clone()));
    assert_eq!(with.get("/health").await.status(), 200);
}

/// The certificate that a new connection is shown.
async fn shown(files: &Files, address: SocketAddr) -> Vec<u8> {
    let client = files.client(address, |set| set.tls_info(true));
    let response = client.get("/health").await;
    let info = response.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    info.peer_certificate().unwrap().to_vec()
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_connection_being_dropped() {
    let files = Files::new();
    let gate = Gate::shut();
    let upstream = Upstream::start([("m", Script::says("abc").waits_after(1, &gate))]).await;
    let config = four_stages(&["m"]).with(&files.tls("")).toml();
    let path = files.path("config.toml");
    std::fs::write(&path, config.replace("{base}", &upstream.base())).unwrap();
    let (chorus, _reload) = Chorus::following(Path::new(&path));
    let before = shown(&files, chorus.address()).await;
    let client = files.client(chorus.address(), |set| set);
    let mut events = client.stream(CHAT, &question(CHAT, "m", "hi", true)).await;
    assert_eq!(events.text().await.as_deref(), Some("a"));
    files.signs("server");
    soon("the new certificate", async {
        while shown(&files, chorus.address()).await == before {
            tokio::time::sleep(ms(20)).await;
        }
    })
    .await;
    gate.open();
    let rest: String =
        events.rest().await.iter().map(|one| crate::support::text_of(one).to_owned()).collect();
    assert_eq!(rest, "bc");
}

#[tokio::test]
async fn http2_is_spoken_without_tls_to_whoever_begins_with_it() {
    let upstream = Upstream::start([("m", Script::says("hello").hangs_after(1))]).await;
    let chorus = over(&upstream, "").await;
    let client = Client::with(chorus.base(), reqwest::Client::builder().http2_prior_knowledge());
    let mut events = client.stream(CHAT, &question(CHAT, "m", "hi", true)).await;
    assert!(events.text().await.is_some());
    let health = client.get("/health").await;
    assert_eq!((health.status().as_u16(), health.version()), (200, Version::HTTP_2));
    // A stream that is given up hangs up on its model, and the connection goes on.
    drop(events);
    upstream.hung_up_on(1).await;
    assert_eq!(client.get("/health").await.status(), 200);
}

/// A connection of HTTP/2 whose streams have room for so many bytes.
async fn connection(
    address: SocketAddr,
    window: u32,
) -> (hyper::client::conn::http2::SendRequest<Body>, JoinSet<()>) {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .clone();
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async { drop(connection.await) });
    (sender, tasks)
}

#[tokio::test]
async fn a_stream_that_is_never_read_gives_its_call_back_and_the_others_go_on() {
    let long = "word ".repeat(1 << 20);
    let script = Script::says(&long).first(1, Script::says("hello"));
    let upstream = Upstream::start([("m", script)]).await;
    let setup = four_stages(&["m"]).model_keys("m", "max_concurrency = 1");
    let chorus = setup.with("[server]\nwrite_timeout_secs = 0.5").over(&upstream).await;
    let (mut sender, _tasks) = connection(chorus.address(), 70_000).await;
    let ask = |stream: bool| {
        let body = question(CHAT, "m", "hi", stream).to_string();
        hyper::Request::post(format!("http://localhost{CHAT}")).body(Body::from(body)).unwrap()
    };
    let ignored = soon("headers", sender.send_request(ask(true))).await.unwrap();
    upstream.asked(1).await;
    // On the same connection, and it wants the same permit.
    let other = soon("the second answer", sender.send_request(ask(false))).await.unwrap();
    assert_eq!(other.status(), 200);
    let whole = |response: hyper::Response<hyper::body::Incoming>| {
        to_bytes(Body::new(response.into_body()), 16 << 20)
    };
    let body = soon("its body", whole(other)).await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("hello"));
    upstream.idle().await;
    assert!(soon("the end of the first", whole(ignored)).await.is_err());
}

#[tokio::test]
async fn a_shutdown_lets_streams_of_http2_finish() {
    let gate = Gate::shut();
    let upstream = Upstream::start([("m", Script::says("abc").waits_after(1, &gate))]).await;
    let mut chorus = over(&upstream, "").await;
    // One that says nothing holds nobody up.
    let mut silent = TcpStream::connect(chorus.address()).await.unwrap();
    let client = Client::with(chorus.base(), reqwest::Client::builder().http2_prior_knowledge());
    let mut events = client.stream(CHAT, &question(CHAT, "m", "hi", true)).await;
    assert_eq!(events.text().await.as_deref(), Some("a"));
    chorus.request_stop();
    assert_eq!(soon("the end", silent.read(&mut [0; 1])).await.unwrap_or_default(), 0);
    tokio::time::sleep(Duration::from_millis(50)).await;
    gate.open();
    let rest: String =
        events.rest().await.iter().map(|one| crate::support::text_of(one).to_owned()).collect();
    assert_eq!(rest, "bc");
    chorus.ended().await;
}
