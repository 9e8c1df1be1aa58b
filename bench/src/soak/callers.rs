//! Those who ask: some read to the end, some leave, some never read.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, Response};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{CLIENTS, key};
use crate::{Fault, client::post_with, plan::ask};

const CHAT: &str = "/v1/chat/completions";
/// Between two requests of one caller.
const PAUSE: Duration = Duration::from_millis(400);
/// No request may take longer; one that does is an error.
const LONGEST: Duration = Duration::from_secs(60);

/// One who asks, again and again.
pub(super) struct Caller {
    to: SocketAddr,
    stop: Arc<AtomicBool>,
    client: &'static str,
    /// Of a linear congruential generator: what comes next must only vary.
    state: u64,
}

impl Caller {
    pub(super) fn new(number: usize, to: SocketAddr, stop: Arc<AtomicBool>) -> Self {
        let client = CLIENTS.get(number % (CLIENTS.len() - 1)).copied().unwrap_or_default();
        let state =
            u64::try_from(number).unwrap_or_default().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { to, stop, client, state }
    }

    /// Asks until it is stopped; returns how often.
    pub(super) async fn run(mut self) -> Result<u64, Fault> {
        let http = Client::builder().no_proxy().build()?;
        let mut asked = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let kind = self.next() % 12;
            let done = timeout(LONGEST, self.ask(&http, kind)).await;
            done.map_err(|_| format!("a request of kind {kind} did not end"))??;
            asked += 1;
            sleep(PAUSE / 2 + PAUSE * u32::try_from(self.next() % 100).unwrap_or(0) / 100).await;
        }
        Ok(asked)
    }

    fn next(&mut self) -> u64 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.state >> 33
    }

    /// Whatever becomes of it is right, but for a failure of the server's own.
    async fn ask(&mut self, http: &Client, kind: u64) -> Result<(), Fault> {
        match kind {
            0 | 1 => self.whole(http, "chorus", false).await,
            2 | 3 => self.whole(http, "chorus", true).await,
            4 => self.whole(http, "failing", true).await,
            5 => self.whole(http, "cutting", true).await,
            6 => self.whole(http, "silent", false).await,
            7 => self.whole(http, "narrow", true).await,
            8 => self.leave(http, "chorus", 30).await,
            9 => self.leave(http, "slow", 700).await,
            10 => self.never_read().await,
            _ => self.be_refused(http).await,
        }
    }

    async fn send(&self, http: &Client, key: &str, body: String) -> Result<Response, Fault> {
        let url = format!("http://{}{CHAT}", self.to);
        let response = http.post(url).bearer_auth(key).body(body).send().await?;
        match response.status().as_u16() {
            500 => Err("the server answered 500".into()),
            _ => Ok(response),
        }
    }

    async fn whole(&self, http: &Client, model: &str, stream: bool) -> Result<(), Fault> {
        let response = self.send(http, &key(self.client), ask(model, stream)).await?;
        // A stream that an upstream cut may break off.
        let _whole_or_cut = response.bytes().await;
        Ok(())
    }

    /// Hangs up after a while, wherever it is by then.
    async fn leave(&mut self, http: &Client, model: &str, within: u64) -> Result<(), Fault> {
        let moment = Duration::from_millis(self.next() % within);
        let gone = async {
            let response = self.send(http, &key(self.client), ask(model, true)).await?;
            let _left = response.bytes().await;
            Ok::<(), Fault>(())
        };
        timeout(moment, gone).await.unwrap_or(Ok(()))
    }

    /// Asks for megabytes and reads none of them, until the server ends the connection or a while is over.
    async fn never_read(&self) -> Result<(), Fault> {
        let request = post_with(self.to, CHAT, &key(self.client), &ask("flood", true));
        let mut stream = TcpStream::connect(self.to).await?;
        stream.write_all(&request).await?;
        sleep(Duration::from_secs(4)).await;
        Ok(())
    }

    async fn be_refused(&mut self, http: &Client) -> Result<(), Fault> {
        let (key, body, status) = match self.next() % 3 {
            0 => ("a-key-that-nobody-has".to_owned(), ask("chorus", false), 401),
            1 => (key(self.client), ask("nobody", false), 404),
            _ => (key(self.client), r#"{"messages": 1}"#.to_owned(), 400),
        };
        let got = self.send(http, &key, body).await?.status().as_u16();
        if got == status || got == 503 {
            return Ok(());
        }
        Err(format!("{got} came instead of {status}").into())
    }
}
