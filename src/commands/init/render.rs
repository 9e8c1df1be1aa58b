//! The text of the config that `chorus init` writes. Pure.

use super::propose::{Model, Workflow};
use crate::{
    commands::toml_text::{plan, quoted},
    config::DEFAULT_WORKFLOW,
    llm::endpoint::probe::about::Capacity,
};

/// The whole file. `found` is what the search came to, one line each; empty when nothing was found.
pub(super) fn config(models: &[Model], workflow: &Workflow, found: &[String]) -> String {
    let mut text = String::from("# Chorus configuration, written by `chorus init`.\n#\n");
    if found.is_empty() {
        text.push_str(
            "# No model server and no key was found here, so this file is yours to fill in: put \
             your\n# models where it says so. It loads as it is. To see Chorus work without any \
             model: chorus demo\n",
        );
    } else {
        text.push_str("# Found:\n");
        text.extend(found.iter().map(|line| format!("#   {line}\n")));
    }
    text.push_str(
        "#\n# After a change: `chorus check` shows what it means, and what a request costs in \
         calls.\n\n\
         [server]\n\
         host = \"127.0.0.1\"   # this machine only; to listen beyond it, add a [[client]] with a \
         key\n\
         port = 11435\n",
    );
    text.push_str(&format!(
        "task_model = {}   # answers clients' titles, tags and notes, instead of the workflow\n",
        quoted(&workflow.smallest)
    ));
    let mut source = "";
    for model in models {
        if model.source != source {
            text.push_str(&format!("\n# {}\n", model.source));
            source = &model.source;
        } else {
            text.push('\n');
        }
        text.push_str(&self::model(model));
    }
    if found.is_empty() {
        text.push_str(HOSTED);
    }
    text.push_str(&format!(
        "\n# One question makes one call of the analyzer, one of each worker, one of the selector \
         and one of\n# the synthesizer. `fallback` takes over when a model fails.\n\
         [workflow-integration]\njson = {}\n",
        plan(&workflow.plan())
    ));
    let local = models.iter().any(Model::is_local);
    let (note, limit) =
        if local { (" A server may have to load a model first.", 180) } else { ("", 60) };
    text.push_str(&format!(
        "\n# How long each stage may take, in seconds.{note}\n\
         [workflow.timeouts]\n\
         analyzer_timeout_secs = {}\n\
         worker_timeout_secs = {limit}\n\
         synthesizer_timeout_secs = {limit}   # until its first word, then between words\n",
        limit / 2,
    ));
    text.push_str(&aliases(&workflow.smallest));
    text
}

/// Names that agents insist on, for whoever wants them: small models first, since the first that fits
/// counts.
fn aliases(smallest: &str) -> String {
    let mut text = String::from(
        "\n# Agents insist on names of models. Without the `#`, their small models mean the cheapest one \
         here,\n# and all others the workflow; the first that fits counts. `chorus launch` starts an \
         agent.\n",
    );
    let small = ["claude-haiku*", "*-mini", "gpt-*-nano"].map(|name| (name, smallest));
    for (name, model) in
        small.into_iter().chain(["claude-*", "gpt-*"].map(|it| (it, DEFAULT_WORKFLOW)))
    {
        let (name, model) = (quoted(name), quoted(model));
        text.push_str(&format!("# [[alias]]\n# name = {name}\n# model = {model}\n"));
    }
    text
}

/// Shown to whoever has nothing yet.
const HOSTED: &str = "
# A hosted model looks like this. The key stays in the environment (or a file: file:PATH).
# [[model]]
# name = \"deepseek-chat\"
# api_base = \"https://api.deepseek.com/v1\"
# api_key = \"env:DEEPSEEK_API_KEY\"
";

fn model(model: &Model) -> String {
    let mut text = format!("[[model]]\nname = {}\n", quoted(&model.name));
    if model.upstream != model.name {
        text.push_str(&format!("upstream_model = {}\n", quoted(&model.upstream)));
    }
    text.push_str(&format!("api_base = {}\n", quoted(&model.api_base)));
    if let Some(key) = model.key {
        text.push_str(&format!("api_key = {}\n", quoted(&format!("env:{key}"))));
    }
    if let Some(protocol) = model.protocol {
        text.push_str(&format!("protocol = {}\n", quoted(protocol)));
    }
    let Capacity { slots, context, shared } = model.capacity;
    if let Some(context) = context {
        text.push_str(&format!("context_tokens = {context}\n"));
    }
    match slots {
        Some(slots) if shared => text.push_str(&format!(
            "max_concurrency = 1   # its {slots} slots share one context; with -np {slots} each has its \
             own\n"
        )),
        Some(slots) => text.push_str(&format!(
            "max_concurrency = {slots}   # its slots; started without -np they share one context: \
             then write 1\n"
        )),
        None => {}
    }
    if model.fixed_temperature {
        text.push_str("send_temperature = false   # it takes no other than its own\n");
    }
    text
}
