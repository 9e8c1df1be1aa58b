//! Whether a Chorus is there, takes the key, and knows the model.

use std::{error::Error, time::Duration};

use reqwest::{Client, ClientBuilder, StatusCode};
use serde_json::{Value, json};
use url::{Host, Url};

use super::agents::KEY;
use crate::llm::endpoint::probe::about;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A Chorus that knows the model, which takes so many tokens as far as that is known.
    Ready {
        /// Prompt and answer together.
        context: Option<u32>,
    },
    /// Nobody listens.
    Nobody,
    /// Something that an agent could not use, said in words.
    Refused(String),
}

/// Asks who is at `base`, and about `model`.
pub(super) async fn about(base: &Url, key: &str, model: &str) -> Answer {
    let shown = base.as_str().trim_end_matches('/');
    let answer = match post(base, key, model).await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() && !is_about_trust(&error) => return Answer::Nobody,
        Err(error) => {
            let cause = error.source().map_or_else(|| error.to_string(), said);
            return Answer::Refused(format!("{shown} cannot be asked: {cause}"));
        }
    };
    let status = answer.status();
    if !about::is_chorus(answer.headers(), None) {
        let remedy = "name Chorus by --url, or another --port";
        return Answer::Refused(format!("what answers at {shown} is no Chorus; {remedy}"));
    }
    let body = answer.bytes().await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |path| body.pointer(path).and_then(Value::as_str);
    let words = || text("/error/message").or_else(|| text("/error")).unwrap_or_default();
    match status {
        StatusCode::OK => {
            let context = body.pointer("/model_info/chorus.context_length").and_then(Value::as_u64);
            Answer::Ready { context: context.and_then(|tokens| tokens.try_into().ok()) }
        }
        StatusCode::UNAUTHORIZED => {
            Answer::Refused(format!("Chorus at {shown} asks for a key; set {KEY}"))
        }
        _ => Answer::Refused(format!("Chorus at {shown} says: {}", words())),
    }
}

async fn post(base: &Url, key: &str, model: &str) -> reqwest::Result<reqwest::Response> {
    // Without a provider reqwest panics. Another one that is installed already serves as well.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let client: ClientBuilder = Client::builder().timeout(PATIENCE);
    let client = client.redirect(reqwest::redirect::Policy::none());
    let client = if is_here(base) { client.no_proxy() } else { client };
    let url = format!("{}/api/show", base.as_str().trim_end_matches('/'));
    let request = client.build()?.post(url).bearer_auth(key);
    let body = json!({ "model": model }).to_string();
    request.header("content-type", "application/json").body(body).send().await
}

/// Whether an address is this machine's alone.
pub(super) fn is_here(base: &Url) -> bool {
    match base.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// Somebody is there, and shows a certificate that is not trusted.
fn is_about_trust(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(one) = cause {
        if one.to_string().contains("certificate") {
            return true;
        }
        cause = one.source();
    }
    false
}

/// The innermost cause, which says most.
fn said(mut error: &dyn Error) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}
