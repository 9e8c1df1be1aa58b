//! What an endpoint can take, and what of the config does not fit it.

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::{
    Probed, Spend,
    about::{self, Capacity},
    fetch::{LIST_LIMIT, get, json},
};
use crate::{config, llm::endpoint::Endpoint};

/// What it can take, as far as it says. llama.cpp's server says how many slots it has elsewhere.
pub(super) async fn capacity(endpoint: &Endpoint, headers: &HeaderMap, list: &Value) -> Capacity {
    let (wire, wanted) = (endpoint.wire(), &endpoint.model().upstream_model);
    let entry = about::entry(list, &|name| wire.is_named(name, wanted));
    let mut url = endpoint.config.api_base.clone();
    let path = url.path().trim_end_matches('/').trim_end_matches("/v1").to_owned();
    url.set_path(&format!("{path}/props"));
    let props = match about::is_llama_cpp(headers, list) {
        true => get(endpoint, url, endpoint.plain_headers()).await.ok(),
        false => None,
    };
    let props = match props.filter(|response| response.status().is_success()) {
        Some(response) => json(response, &mut { LIST_LIMIT }).await.ok(),
        None => None,
    };
    Capacity::of(entry, props.as_ref())
}

/// Notes what an endpoint can take, and what does not fit it. Its list may name the context in more
/// words than those of the servers that name slots.
pub(super) fn note_capacity(endpoint: &Endpoint, capacity: Capacity, found: &mut Probed) {
    found.context_tokens = endpoint.reported_context();
    let capacity = Capacity { context: found.context_tokens, ..capacity };
    found.notes.extend(remarks(endpoint.model(), capacity));
}

/// What does not fit what a server can take.
fn remarks(model: &config::Model, capacity: Capacity) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(real) = capacity.context.filter(|real| model.context_tokens > *real) {
        remarks.push(format!(
            "`context_tokens` is {}, and it takes {real}: write `context_tokens = {real}`",
            model.context_tokens
        ));
    }
    let Some(slots) = capacity.slots.filter(|slots| *slots > 1) else { return remarks };
    let most = model.max_concurrency;
    let set = match most {
        None => "`max_concurrency` is not set".to_owned(),
        Some(most) => format!("`max_concurrency` is {most}"),
    };
    if capacity.shared && most != Some(1) {
        remarks.push(format!(
            "{set}, and its {slots} slots share one context, so that answers side by side can break \
             off: start it with `-np {slots}`, or write `max_concurrency = 1`"
        ));
    } else if most.is_none_or(|most| most > slots) {
        remarks.push(format!(
            "{set}, and it has {slots} slots: write `max_concurrency = {slots}`, and start it with \
             `-np {slots}`, without which they share one context"
        ));
    }
    remarks
}

/// What it means that a gateway answered.
pub(super) fn behind(gateway: &str, spend: Spend) -> String {
    let retries = "it may try failed calls again by itself, which multiplies with `max_retries`";
    match spend {
        Spend::Nothing => format!(
            "it is {gateway}: {retries}; the list proves nothing of what is behind it, a call does \
             (--spend)"
        ),
        Spend::OneToken => format!("it is {gateway}: {retries}"),
    }
}
