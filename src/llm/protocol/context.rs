//! How long the context of a model is, as lists of models say. Pure.

use serde_json::Value;

use super::{Wire, upstream_error::context::is_plausible};

/// The context that a model list gives for one of its models, in tokens.
pub(in crate::llm) fn listed_context(list: &Value, wire: &dyn Wire, wanted: &str) -> Option<u32> {
    pub(super) const NAMES: [&str; 3] = ["id", "name", "model"];
    let lists = [list.get("data"), list.get("models"), Some(list)];
    let mut entries = lists.into_iter().flatten().filter_map(Value::as_array);
    // What serves one model has it under whatever name.
    let any_name = wire.takes_any_name(list);
    entries.find_map(|entries| {
        let lone = any_name && entries.len() == 1;
        let is_it = |entry: &&Value| {
            let names = NAMES.iter().filter_map(|name| entry.get(name)?.as_str());
            lone || names.into_iter().any(|name| wire.is_named(name, wanted))
        };
        entries.iter().filter(is_it).find_map(entry_context)
    })
}

/// What is loaded comes before what the model could have.
pub(in crate::llm) fn entry_context(entry: &Value) -> Option<u32> {
    const PLACES: [&str; 12] = [
        "/loaded_context_length",
        "/meta/n_ctx",
        "/n_ctx",
        "/max_model_len",
        "/top_provider/context_length",
        "/context_length",
        "/context_window",
        "/max_context_length",
        "/max_context_tokens",
        "/contextLength",
        "/inputTokenLimit",
        "/max_input_tokens",
    ];
    let found = PLACES.iter().find_map(|place| entry.pointer(place)?.as_u64().filter(|n| *n > 0));
    found.and_then(is_plausible)
}
