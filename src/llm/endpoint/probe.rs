//! Asking every endpoint whether it would do, without spending a token: its protocol's model list
//! shows whether it can be reached, takes the key, and knows the model. A real call, the smallest
//! there is, only where somebody wants it ([`Spend`]).

pub mod about;
mod elsewhere;
mod fetch;
mod found;
mod names;
mod remarks;

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use reqwest::{Response, StatusCode, header::HeaderMap};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use super::{Endpoint, gateway::Gateway};
use crate::{
    llm::{
        Call, Limit, Llm, LlmErrorKind,
        call::{
            exchange::{error_body, of_send},
            failure::Failure,
        },
        protocol::upstream_error::Refusal,
        redact,
    },
    types::{Message, Prompt, Role},
};
use about::Capacity;
use elsewhere::list_elsewhere;
use fetch::{LIST_LIMIT, get, json, no_list};
pub use found::{Key, Known, Probed, Spend};
use remarks::{behind, capacity, note_capacity};

/// Endpoints that are asked at the same time.
const AT_ONCE: usize = 32;
/// How long a list may take that somebody waits for with a failure.
const CONFIRM_WAIT: Duration = Duration::from_secs(2);
/// Characters of a name that are shown.
const NAME_LIMIT: usize = 80;

impl Llm {
    /// How many endpoints all models have together.
    #[must_use]
    pub fn endpoint_count(&self) -> usize {
        self.models.values().map(|model| model.pool.members().len()).sum()
    }

    /// Asks every endpoint of every model, side by side, through the clients that calls use: with
    /// their proxies, trust and headers. `limit` is each endpoint's. Gives what was found as it is
    /// found, with the endpoint's number in the order of the config. Dropping it ends all.
    pub fn probe(&self, limit: Duration, spend: Spend) -> impl Stream<Item = (usize, Probed)> + '_ {
        let members = self.models.values().flat_map(|model| model.pool.members());
        let asked = members.enumerate().map(move |(number, member)| async move {
            (number, probe(&member.endpoint, limit, spend).await)
        });
        stream::iter(asked).buffer_unordered(AT_ONCE)
    }
}

/// Whether the model list bears out that a refusal with this status (403, 404) is about the key or
/// the model.
pub(in crate::llm) async fn confirms(endpoint: &Endpoint, status: u16) -> bool {
    let mut found = Probed::nothing_of(endpoint);
    // Whatever it fails with has been noted by then.
    let _looked = timeout_at(Instant::now() + CONFIRM_WAIT, look(endpoint, &mut found)).await;
    match found.key {
        Key::Refused => true,
        Key::Accepted | Key::NotAskedFor | Key::Unknown => {
            status == 404 && found.known == Known::No
        }
    }
}

/// Probes an endpoint; what was found before the time is over stays.
async fn probe(endpoint: &Endpoint, limit: Duration, spend: Spend) -> Probed {
    let mut found = Probed::nothing_of(endpoint);
    let deadline = Instant::now() + limit;
    let failure = match timeout_at(deadline, look(endpoint, &mut found)).await {
        Ok(looked) => looked.err(),
        Err(_) => {
            let words = format!("no answer in {} s", limit.as_secs_f64());
            Some(Failure::new(LlmErrorKind::Timeout, words))
        }
    };
    let described = |failure: Failure| failure.into_error(endpoint, &[]).message;
    found.problem = failure.map(described);
    let elsewhere = match found.is_unknown() {
        true => timeout_at(deadline, list_elsewhere(endpoint)).await.ok().flatten(),
        false => None,
    };
    if spend == Spend::OneToken && found.reachable && found.problem.is_none() {
        found.problem = match timeout(limit, call(endpoint, &mut found.gateway)).await {
            Ok(Ok(())) => {
                found.known = Known::Yes;
                None
            }
            Ok(Err(failure)) => Some(format!("a real call failed: {}", described(failure))),
            Err(_) => Some(format!("a real call got no answer in {} s", limit.as_secs_f64())),
        };
    }
    if found.known == Known::Unknown {
        found.problem = match (found.problem, elsewhere) {
            (Some(problem), Some(elsewhere)) => Some(format!("{problem}; {elsewhere}")),
            (problem, elsewhere) => problem.or(elsewhere),
        };
    }
    if let Some(gateway) = found.gateway {
        found.notes.push(behind(gateway, spend));
    }
    if found.key == Key::Accepted {
        // A key that is not looked at is always accepted.
        let asked = timeout_at(deadline, without_key(endpoint)).await;
        found.key = asked.unwrap_or(Key::Unknown);
    }
    found
}

/// Reads the list and looks for the model.
async fn look(endpoint: &Endpoint, found: &mut Probed) -> Result<(), Failure> {
    let (wire, model) = (endpoint.wire(), endpoint.model());
    let Some(first) = wire.model_list(&endpoint.config.api_base, model) else { return Ok(()) };
    let begun = Instant::now();
    let response = get(endpoint, page(&first, wire.first_page()), endpoint.plain_headers()).await?;
    found.reachable = true;
    found.latency_ms = Some(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    let (mut names, mut left) = (Vec::new(), LIST_LIMIT);
    let headers = response.headers().clone();
    found.gateway = Gateway::of_headers(&headers).map(Gateway::name);
    if about::is_chorus(&headers, None) {
        return Err(a_chorus());
    }
    let mut response = match answered(endpoint, response).await {
        Ok(response) => response,
        Err(refused) => return judged(endpoint, refused, found),
    };
    loop {
        let list = json(response, &mut left).await?;
        if let Some(error) = Refusal::in_band(&list) {
            return Err(Failure::in_band(error));
        }
        let Some(listed) = wire.listed(&list) else { return Err(no_list()) };
        if about::is_chorus(&headers, Some(&list)) {
            return Err(a_chorus());
        }
        found.key = Key::Accepted;
        found.gateway = found.gateway.or(Gateway::of_list(&list).map(Gateway::name));
        endpoint.learn_from_list(&list);
        let is_it = |name: &&str| wire.is_named(name, &model.upstream_model);
        if wire.takes_any_name(&list) || listed.iter().any(is_it) {
            found.known = Known::Yes;
            let capacity = capacity(endpoint, &headers, &list).await;
            if let Some(tokens) = capacity.context {
                endpoint.learn_context(tokens);
            }
            note_capacity(endpoint, capacity, found);
            return Ok(());
        }
        names.extend(listed.into_iter().map(str::to_owned));
        let Some((key, value)) = wire.next_page(&list) else { break };
        let mut next = page(&first, wire.first_page());
        next.query_pairs_mut().append_pair(key, value);
        let further = get(endpoint, next, endpoint.plain_headers()).await?;
        response = answered(endpoint, further).await?;
    }
    if let Some(page) = page_of_its_own(endpoint).await {
        found.known = Known::Yes;
        endpoint.learn_from_page(&page);
        note_capacity(endpoint, Capacity::default(), found);
        return Ok(());
    }
    found.known = Known::No;
    let secrets = endpoint.secrets();
    let near = names::near(&model.upstream_model, names.iter().map(String::as_str));
    let shown = |name: &str| redact::cut(&redact::scrub(name, &secrets), NAME_LIMIT);
    found.near = near.into_iter().map(shown).collect();
    names.sort();
    let first: Vec<String> = names.iter().take(names::SHOWN).map(|name| shown(name)).collect();
    let words = names::unknown(&model.upstream_model, names.len(), &found.near, &first);
    Err(Failure::new(LlmErrorKind::NotFound, words))
}

fn a_chorus() -> Failure {
    let words = "it is a Chorus itself, not a model server: point `api_base` at what is behind it";
    Failure::new(LlmErrorKind::Garbled, words)
}

/// The smallest call that is one: a word in, a token out. Some gateways name themselves only in its
/// answer's headers.
async fn call(endpoint: &Endpoint, gateway: &mut Option<&'static str>) -> Result<(), Failure> {
    let messages: Arc<[Message]> = [Message::text(Role::User, "Hi")].into();
    let prompt = Prompt { max_tokens: Some(1), ..Prompt::default() };
    let call =
        Call { stream: false, ..Call::new(messages.into(), prompt, Limit::Total(Duration::MAX)) };
    let Some(prepared) = endpoint.prepare(&call, std::iter::empty()) else { return Ok(()) };
    let body = serde_json::to_vec(&prepared.body).unwrap_or_default();
    let request = endpoint.client().post(Url::clone(&prepared.url));
    let request = request.headers(HeaderMap::clone(&prepared.headers)).body(body);
    let response = request.send().await.map_err(|error| of_send(error, endpoint))?;
    *gateway = gateway.or(Gateway::of_headers(response.headers()).map(Gateway::name));
    let answer = json(answered(endpoint, response).await?, &mut { LIST_LIMIT }).await;
    let answer = answer.map_err(|failure| match failure.kind {
        LlmErrorKind::Garbled => Failure::new(LlmErrorKind::Garbled, "what came is no answer"),
        _ => failure,
    })?;
    Refusal::in_band(&answer).map_or(Ok(()), |error| Err(Failure::in_band(error)))
}

/// What a refused list means. One that is not there means nothing.
fn judged(endpoint: &Endpoint, refused: Failure, found: &mut Probed) -> Result<(), Failure> {
    match refused.kind {
        LlmErrorKind::NotFound
        | LlmErrorKind::Rejected { status: 405 }
        | LlmErrorKind::Upstream { status: 501 } => return Ok(()),
        // The proxy's words, not the endpoint's.
        LlmErrorKind::Connect => (found.reachable, found.latency_ms) = (false, None),
        LlmErrorKind::Unauthorized => {
            found.key = Key::Refused;
            if endpoint.anonymous_headers().is_none() {
                let words = "it wants a key, and the model has no `api_key`";
                return Err(Failure::new(LlmErrorKind::Unauthorized, words));
            }
        }
        LlmErrorKind::Upstream { status: 403 } => found.key = Key::Refused,
        _ => {}
    }
    Err(refused)
}

/// Whether the key makes a difference, where the list was given with it.
async fn without_key(endpoint: &Endpoint) -> Key {
    let Some(headers) = endpoint.anonymous_headers() else { return Key::NotAskedFor };
    let list = endpoint.wire().model_list(&endpoint.config.api_base, endpoint.model());
    let Some(url) = list else { return Key::Unknown };
    let Ok(response) = get(endpoint, url, headers).await else { return Key::Unknown };
    match response.status() {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => Key::Unknown,
        status if status.is_success() => Key::NotAskedFor,
        status if status.is_client_error() => Key::Accepted,
        _ => Key::Unknown,
    }
}

/// What the endpoint says about the model though its list does not have it: aliases are often left
/// out there.
async fn page_of_its_own(endpoint: &Endpoint) -> Option<Value> {
    let url = endpoint.wire().model_page(&endpoint.config.api_base, endpoint.model())?;
    let response = get(endpoint, url, endpoint.plain_headers()).await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let page = json(response, &mut { LIST_LIMIT }).await.ok()?;
    (page.is_object() && Refusal::in_band(&page).is_none()).then_some(page)
}

fn page(list: &Url, first: Option<(&str, &str)>) -> Url {
    let mut url = list.clone();
    if let Some((key, value)) = first {
        url.query_pairs_mut().append_pair(key, value);
    }
    url
}

/// A response that is a success.
async fn answered(endpoint: &Endpoint, response: Response) -> Result<Response, Failure> {
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let asked = response.url().clone();
    let refusal = Refusal::of_response(status, &error_body(response).await);
    let refusal = refusal.with_headers(&headers, &asked, &endpoint.config.api_base);
    Err(Failure::refused(refusal, &headers, endpoint))
}

/// Reads a model list for nothing but the length of the model's context.
pub(super) async fn learn_context(endpoint: &Endpoint, response: Response) {
    if let Ok(list) = json(response, &mut { LIST_LIMIT }).await {
        endpoint.learn_from_list(&list);
    }
}
