//! What a server says of itself beside its list of models: whether it is a Chorus, how many calls it
//! takes at a time, and how much they may hold. Pure.

use reqwest::header::{HeaderMap, SERVER};
use serde_json::Value;

/// What a server can take, as far as it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Calls that run at the same time: llama.cpp's slots.
    pub slots: Option<usize>,
    /// Tokens of one call, prompt and answer together.
    pub context: Option<u32>,
    /// The slots are known to share one context, as llama-server's do without `-np`.
    pub shared: bool,
}

impl Capacity {
    /// Reads a model's entry in a list (llama.cpp's `meta.n_ctx`, vLLM's `max_model_len`) and from
    /// llama.cpp's `/props`.
    #[must_use]
    pub fn of(entry: Option<&Value>, props: Option<&Value>) -> Self {
        let number = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_u64);
        let listed = |path: &str| entry.and_then(|entry| number(entry, path));
        let reported = |path: &str| props.and_then(|props| number(props, path));
        let context = reported("/default_generation_settings/n_ctx")
            .or_else(|| listed("/meta/n_ctx"))
            .or_else(|| listed("/max_model_len"))
            .and_then(|tokens| u32::try_from(tokens).ok())
            .filter(|tokens| *tokens > 0);
        let slots = reported("/total_slots").and_then(|slots| usize::try_from(slots).ok());
        let slots = slots.filter(|slots| *slots > 0);
        // A slot of its own that is as large as all the model was trained for would be one of many.
        let whole = listed("/meta/n_ctx_train").zip(context);
        let is_whole = whole.is_some_and(|(train, context)| u64::from(context) >= train);
        Self { slots, context, shared: is_whole && slots.is_some_and(|slots| slots > 1) }
    }
}

/// Whether an answer is a Chorus': by its name in the headers, which a proxy may take away, or by
/// whom its models belong to.
#[must_use]
pub fn is_chorus(headers: &HeaderMap, list: Option<&Value>) -> bool {
    let server = headers.get(SERVER).and_then(|server| server.to_str().ok());
    let entries = list.and_then(|list| list.get("data")).and_then(Value::as_array);
    let is_ours = |entry: &Value| entry.get("owned_by").is_some_and(|owner| owner == "chorus");
    server.is_some_and(|server| server.starts_with("chorus/"))
        || entries.is_some_and(|entries| entries.iter().any(is_ours))
}

/// The entry of a model in a list, else the only one there is.
pub(super) fn entry<'l>(list: &'l Value, is_it: &dyn Fn(&str) -> bool) -> Option<&'l Value> {
    let entries = list.get("data")?.as_array()?;
    let named = |entry: &&Value| entry.get("id").and_then(Value::as_str).is_some_and(is_it);
    entries.iter().find(named).or_else(|| entries.first().filter(|_| entries.len() == 1))
}

/// Whether it is llama.cpp's server, which says more at `/props`.
#[must_use]
pub fn is_llama_cpp(headers: &HeaderMap, list: &Value) -> bool {
    let server = headers.get(SERVER).and_then(|server| server.to_str().ok());
    server.is_some_and(|server| server.starts_with("llama.cpp"))
        || list.pointer("/data/0/owned_by").is_some_and(|owner| owner == "llamacpp")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_real_servers_say_is_read() {
        let props = json!({"default_generation_settings": {"n_ctx": 4096}, "total_slots": 4});
        let own = json!({"id": "m", "meta": {"n_ctx": 4096, "n_ctx_train": 8192}});
        let whole = json!({"id": "m", "meta": {"n_ctx": 4096, "n_ctx_train": 4096}});
        let vllm = json!({"id": "m", "owned_by": "vllm", "max_model_len": 2048});
        let capacity = |slots, context, shared| Capacity { slots, context, shared };
        for (entry, props, want) in [
            (Some(&own), Some(&props), capacity(Some(4), Some(4096), false)),
            (Some(&whole), Some(&props), capacity(Some(4), Some(4096), true)),
            (Some(&own), None, capacity(None, Some(4096), false)),
            (Some(&vllm), None, capacity(None, Some(2048), false)),
            (Some(&json!({"id": "m"})), Some(&json!({})), Capacity::default()),
            (None, Some(&json!({"total_slots": 0})), Capacity::default()),
            (None, None, Capacity::default()),
        ] {
            assert_eq!(Capacity::of(entry, props), want, "{entry:?} {props:?}");
        }
    }

    #[test]
    fn a_chorus_is_known_with_and_without_its_header() {
        let named = HeaderMap::from_iter([(SERVER, "chorus/0.1.0".parse().unwrap())]);
        let other = HeaderMap::from_iter([(SERVER, "llama.cpp".parse().unwrap())]);
        let ours = json!({"data": [{"id": "chorus", "owned_by": "chorus"}]});
        let theirs = json!({"data": [{"id": "chorus", "owned_by": "llamacpp"}]});
        for (headers, list, want) in [
            (&named, None, true),
            (&named, Some(&theirs), true),
            (&other, Some(&ours), true),
            (&HeaderMap::new(), Some(&ours), true),
            (&other, Some(&theirs), false),
            (&other, None, false),
        ] {
            assert_eq!(is_chorus(headers, list), want);
        }
        assert!(is_llama_cpp(&other, &json!({})) && is_llama_cpp(&HeaderMap::new(), &theirs));
        assert!(!is_llama_cpp(&named, &ours));
    }
}
