//! The yardstick: what axum and reqwest cost when nothing else is there. It forwards what it gets,
//! and it runs the four stages without looking at what the models say.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Response, StatusCode, header::CONTENT_TYPE},
    routing::post,
    serve::ListenerExt,
};
use bytes::Bytes;
use futures::future::try_join_all;

use crate::{
    Fault, listen,
    plan::{Plan, ask},
};

struct Bare {
    client: reqwest::Client,
    url: String,
    stages: Option<Stages>,
}

/// The bodies of a plan's requests.
struct Stages {
    analyzer: Bytes,
    workers: Vec<Bytes>,
    selector: Option<Bytes>,
    writer: Bytes,
}

/// Serves until standard input ends.
pub(crate) async fn serve(
    upstream: SocketAddr,
    plan: Option<String>,
    port: u16,
) -> Result<(), Fault> {
    let plan: Option<Plan> = plan.map(|plan| serde_json::from_str(&plan)).transpose()?;
    let body = |model: &str, stream| Bytes::from(ask(model, stream));
    let stages = plan.map(|plan| Stages {
        analyzer: body(&plan.analyzer, false),
        workers: plan.workers.iter().map(|model| body(model, true)).collect(),
        selector: plan.selector.as_deref().map(|model| body(model, false)),
        writer: body(&plan.writer, true),
    });
    let client = reqwest::Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(1024)
        .build()?;
    let bare = Bare { client, url: format!("http://{upstream}/v1/chat/completions"), stages };
    let router = Router::new()
        .route("/v1/chat/completions", post(forward))
        .route("/stages", post(run))
        .with_state(Arc::new(bare));
    // Without this the first small event after a header waits for 40 ms.
    let listener = listen::listen(port)?.tap_io(|stream| {
        let _not_fatal = stream.set_nodelay(true);
    });
    tokio::select! {
        result = axum::serve(listener, router) => result?,
        () = listen::until_input_ends() => {}
    }
    Ok(())
}

async fn forward(
    State(bare): State<Arc<Bare>>,
    body: Bytes,
) -> Result<Response<Body>, (StatusCode, String)> {
    bare.passed_on(body).await.map_err(refused)
}

async fn run(State(bare): State<Arc<Bare>>) -> Result<Response<Body>, (StatusCode, String)> {
    let missing = || (StatusCode::NOT_FOUND, "no plan was given".to_owned());
    let stages = bare.stages.as_ref().ok_or_else(missing)?;
    bare.run(stages).await.map_err(refused)
}

fn refused(error: Fault) -> (StatusCode, String) {
    (StatusCode::BAD_GATEWAY, error.to_string())
}

impl Bare {
    async fn ask(&self, body: Bytes) -> reqwest::Result<reqwest::Response> {
        self.client.post(&self.url).header(CONTENT_TYPE, "application/json").body(body).send().await
    }

    async fn passed_on(&self, body: Bytes) -> Result<Response<Body>, Fault> {
        let answer = self.ask(body).await?;
        let mut response = Response::builder().status(answer.status());
        if let Some(kind) = answer.headers().get(CONTENT_TYPE) {
            response = response.header(CONTENT_TYPE, kind);
        }
        Ok(response.body(Body::from_stream(answer.bytes_stream()))?)
    }

    async fn run(&self, stages: &Stages) -> Result<Response<Body>, Fault> {
        self.ask(stages.analyzer.clone()).await?.bytes().await?;
        let drafts = stages.workers.iter().map(|body| async {
            let mut draft = self.ask(body.clone()).await?;
            while draft.chunk().await?.is_some() {}
            reqwest::Result::Ok(())
        });
        try_join_all(drafts).await?;
        if let Some(selector) = &stages.selector {
            self.ask(selector.clone()).await?.bytes().await?;
        }
        self.passed_on(stages.writer.clone()).await
    }
}
