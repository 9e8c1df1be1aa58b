//! A model server behind TLS, with a certificate of its own making: any model says `secure`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{Version, header::CONTENT_TYPE},
    response::IntoResponse,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::{TlsAcceptor, rustls};

type Seen = Arc<Mutex<Vec<Version>>>;

/// Dropping it closes every connection.
#[derive(Debug)]
pub struct TlsUpstream {
    address: SocketAddr,
    folder: tempfile::TempDir,
    seen: Seen,
    _tasks: JoinSet<()>,
}

impl TlsUpstream {
    /// Serves as `name`, offering these protocols by ALPN.
    pub async fn start(name: &str, protocols: &[&str]) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).expect("a file");
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
            .expect("they fit");
        config.alpn_protocols = protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen = Seen::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&seen)));
        Self { address, folder, seen, _tasks: tasks }
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate to trust, as PEM.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The HTTP version of each request so far.
    pub fn seen(&self) -> Vec<Version> {
        self.seen.lock().expect("no story panics here").clone()
    }
}

/// The key for a `[[model]]` that trusts this file.
pub fn trusting(ca: &Path) -> String {
    format!("ca_cert = '{}'", ca.display())
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, seen: Seen) {
    let app = Router::new().fallback(answer).with_state(seen);
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, app) = (acceptor.clone(), app.clone());
        connections.spawn(async move {
            // A client that does not trust us leaves in the middle of this.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = TowerToHyperService::new(app);
            let builder = auto::Builder::new(TokioExecutor::new());
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(State(seen): State<Seen>, request: Request) -> impl IntoResponse {
    seen.lock().expect("no story panics here").push(request.version());
    let frame = |delta, reason| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        format!("data: {}\n\n", json!({"choices": [choice]}))
    };
    let said = frame(json!({"content": "secure"}), json!(null));
    let body = [said, frame(json!({}), json!("stop")), "data: [DONE]\n\n".to_owned()].concat();
    ([(CONTENT_TYPE, "text/event-stream")], body)
}
