//! Looks for an endpoint's list of models at other usual places, when it is not where it should be: the
//! `api_base` is probably another one then.

use serde_json::Value;
use url::Url;

use super::fetch::{LIST_LIMIT, get, json};
use crate::{
    llm::{endpoint::Endpoint, protocol::all::wire, redact},
    types::Protocol,
};

/// The problem that a list at another usual place shows, in words and with a remedy; `None`: there
/// is none there either.
pub(super) async fn list_elsewhere(endpoint: &Endpoint) -> Option<String> {
    let model = endpoint.model();
    let missing = endpoint.wire().model_list(&endpoint.config.api_base, model)?;
    for (base, protocol) in other_bases(&endpoint.config.api_base) {
        let Some(url) = wire(protocol).model_list(&base, model).filter(|url| *url != missing)
        else {
            continue;
        };
        let found = url.path().to_owned();
        if get_list(endpoint, url, protocol).await.is_some() {
            let shown = |text: &str| redact::scrub(text, &endpoint.secrets());
            let mut meant = format!("`api_base` is probably \"{}\"", shown(base.as_str()));
            if protocol != model.protocol {
                meant.push_str(&format!(" with `protocol = \"{}\"`", protocol.as_str()));
            }
            return Some(format!(
                "there is no list of models at {}, and one at {}: {meant}",
                shown(missing.path()),
                shown(&found)
            ));
        }
    }
    None
}

/// The bases that are usually meant, with the protocol that is spoken there.
fn other_bases(base: &Url) -> Vec<(Url, Protocol)> {
    let at = |path: &str| {
        let mut url = base.clone();
        url.set_query(None);
        // What cannot hold them has none.
        let _none = (url.set_username(""), url.set_password(None));
        url.set_path(path);
        url
    };
    let below = format!("{}/v1", base.path().trim_end_matches('/'));
    let mut bases = vec![
        (at(&below), Protocol::OpenAi),
        (at("/v1"), Protocol::OpenAi),
        (at("/"), Protocol::Ollama),
    ];
    bases.dedup();
    bases
}

async fn get_list(endpoint: &Endpoint, url: Url, protocol: Protocol) -> Option<Value> {
    let response = get(endpoint, url, endpoint.plain_headers()).await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let list = json(response, &mut { LIST_LIMIT }).await.ok()?;
    wire(protocol).listed(&list).is_some().then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_bases_are_below_the_configured_one_and_at_the_root() {
        let shown = |base: &str| -> Vec<String> {
            let bases = other_bases(&base.parse().unwrap()).into_iter();
            bases.map(|(url, protocol)| format!("{} {url}", protocol.as_str())).collect()
        };
        assert_eq!(
            shown("http://h:1/proxy/"),
            ["openai http://h:1/proxy/v1", "openai http://h:1/v1", "ollama http://h:1/"]
        );
        assert_eq!(shown("http://h:1?x=1"), ["openai http://h:1/v1", "ollama http://h:1/"]);
    }
}
