//! `chorus check`: reads the config as a start would, and shows the workflow that comes of it.

mod tree;

use std::{
    io::{self, Write},
    path::Path,
};

use crate::config::{Config, Endpoint, Env, Model, Overrides};

/// Exit code of a config that can be used.
pub const FINE: u8 = 0;
/// Exit code of a config that cannot.
pub const BAD_CONFIG: u8 = 2;

/// Loads the config at `path` and shows it: the expanded workflow as a tree, the models, the calls
/// that one request can cost, then notices and warnings. Problems go to `err`. Returns the exit
/// code.
///
/// # Errors
/// When `out` or `err` cannot be written to; that `out` is closed early is none.
pub fn run(
    path: &Path,
    env: Env<'_>,
    overrides: &Overrides,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    match Config::load_with(path, env, overrides) {
        Ok(config) => match show(&config, out) {
            // The reader has seen enough, as `head` has.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(FINE),
            shown => shown.map(|()| FINE),
        },
        Err(error) => {
            writeln!(err, "{error}")?;
            Ok(BAD_CONFIG)
        }
    }
}

/// Shows a config that is fine.
///
/// # Errors
/// When `out` cannot be written to.
pub fn show(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let path = config.path.as_deref().map_or("the config".into(), Path::to_string_lossy);
    let (models, workers) = (config.models.len(), config.workflow.leaf_count());
    writeln!(out, "{path} is fine: {}, {}", many(models, "model"), many(workers, "worker"))?;
    writeln!(out)?;
    tree::show(&config.workflow, out)?;
    writeln!(out)?;
    show_models(config, out)?;
    writeln!(out)?;
    show_calls(config, out)?;
    for (title, lines) in [("Notices", &config.notices), ("Warnings", &config.warnings)] {
        if !lines.is_empty() {
            writeln!(out, "\n{title}")?;
        }
        for line in lines {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

fn many(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn show_models(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Models")?;
    let width = config.models.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    for model in config.models.values() {
        let name = &model.name;
        writeln!(out, "  {name:width$}  {}", about(model))?;
    }
    Ok(())
}

fn about(model: &Model) -> String {
    let mut about = model.protocol.as_str().to_owned();
    for (index, endpoint) in model.endpoints.iter().enumerate() {
        about.push_str(if index == 0 { " at " } else { "; " });
        about.push_str(endpoint.api_base.as_str());
        about.push_str(if endpoint.api_key.is_empty() { ", no key" } else { ", with a key" });
        if model.endpoints.len() > 1 {
            let Endpoint { weight, priority, .. } = endpoint;
            about.push_str(&format!(", priority {priority}, weight {weight}"));
        }
    }
    if model.upstream_model != model.name {
        about.push_str(&format!("; as {}", model.upstream_model));
    }
    about
}

/// The calls of one request by model, and what they cost where every price is known.
fn show_calls(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let calls = config.workflow.worst_case_calls();
    let total: u64 = calls.values().sum();
    writeln!(out, "Calls per request, at worst")?;
    let name_width = calls.keys().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
    let width = total.to_string().len();
    for (name, count) in &calls {
        writeln!(out, "  {name:name_width$}  {count:>width$}")?;
    }
    writeln!(out, "  {:name_width$}  {total:>width$}", "total")?;
    writeln!(
        out,
        "Counted: every stage once, a selector twice (it may have to repair its verdict), every \
         fallback once."
    )?;
    match config.retry.max_retries {
        0 => writeln!(out, "Not counted: repairs of refused parameters.")?,
        retries => writeln!(
            out,
            "Not counted: up to {retries} retries of each call that fails, and repairs of refused \
             parameters."
        )?,
    }
    if let Some(dollars) = cost(config) {
        writeln!(out, "Cost: ${dollars:.4} when each call reads and writes 1000 tokens.")?;
    }
    Ok(())
}

/// Dollars of the worst case at 1000 tokens in and 1000 out a call; `None` when a price is unknown.
fn cost(config: &Config) -> Option<f64> {
    let calls = config.workflow.worst_case_calls();
    calls.into_iter().try_fold(0.0, |sum, (name, calls)| {
        let price = config.models.get(&name)?.price?;
        let call = (price.input_per_mtok + price.output_per_mtok) / 1000.0;
        #[expect(clippy::cast_precision_loss, reason = "an estimate in dollars")]
        let calls = calls as f64;
        Some(sum + calls * call)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> (u8, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let env = |_: &str| None;
        let code = run(&path, &env, &Overrides::default(), &mut out, &mut err).unwrap();
        let plain = |bytes: Vec<u8>| {
            String::from_utf8(bytes).unwrap().replace(&path.display().to_string(), "c.toml")
        };
        (code, plain(out), plain(err))
    }

    const MODELS: &str = r#"
[[model]]
name = "small"
api_base = "http://127.0.0.1:11434"
price = { input_per_mtok = 1, output_per_mtok = 2 }
[[model]]
name = "writer"
api_base = "https://api.example.com/v1"
upstream_model = "writer-2"
price = { input_per_mtok = 10, output_per_mtok = 20 }
"#;

    #[test]
    fn a_good_config_is_shown_as_a_tree_with_its_calls() {
        let text = format!(
            r#"{MODELS}
[workflow-integration]
nested_worker_depth = 2
json = """
{{ "analyzer": {{ "ref": "small", "temperature": 0 }},
  "workers": [ "small",
    {{ "name": "panel", "workers": [ {{ "name": "terse", "ref": "writer", "system": "Be short.",
      "max_tokens": 80, "timeout_secs": 2.5 }} ], "selector": "small" }} ],
  "selector": "small",
  "synthesizer": {{ "ref": "writer", "auto_temperature": true, "fallback": ["small"] }},
  "policy": {{ "min_success": 2, "schedule": "sequential" }} }}
"""
[workflow.timeouts]
worker_timeout_secs = 90000
[workflow.domains."elsewhere.example"]
worker_timeout_secs = 9
"#
        );
        let (code, out, err) = check(&text);
        assert_eq!((code, err.as_str()), (FINE, ""));
        insta::assert_snapshot!(out, @r#"
    c.toml is fine: 2 models, 4 workers

    chorus
    ├─ analyzer: small (temperature 0)
    ├─ workers (at least 2 must succeed; after the analysis)
    │  ├─ small (all its answers go up)
    │  │  └─ workers
    │  │     ├─ small#1: small
    │  │     └─ small#2: small
    │  └─ panel (its best answer goes up)
    │     ├─ workers
    │     │  └─ terse (all its answers go up)
    │     │     └─ workers
    │     │        ├─ terse#1: writer (at most 80 tokens; with instructions; limit 2.5 s)
    │     │        └─ terse#2: writer (at most 80 tokens; with instructions; limit 2.5 s)
    │     └─ selector: small
    ├─ selector: small
    └─ synthesizer: writer (temperature by the analyzer; then small)

    Models
      small   ollama at http://127.0.0.1:11434/, no key
      writer  openai at https://api.example.com/v1, no key; as writer-2

    Calls per request, at worst
      small    8
      writer   3
      total   11
    Counted: every stage once, a selector twice (it may have to repair its verdict), every fallback once.
    Not counted: up to 2 retries of each call that fails, and repairs of refused parameters.
    Cost: $0.1140 when each call reads and writes 1000 tokens.

    Notices
      c.toml: no [server]: it listens on 127.0.0.1:11435; `chorus migrate` writes the new form
      c.toml: no model sets `temperature` or `auto_temperature`: the plan, the request and the defaults of TEMPERATURE_CONFIG.md decide; `chorus migrate` writes the new form
      c.toml:24: time limits of 10000 and more are milliseconds: read [workflow.timeouts] `worker_timeout_secs = 90000` as 90 s; `chorus migrate` writes the new form

    Warnings
      c.toml:25: [workflow.domains."elsewhere.example"] is the host of no model
    "#);
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let example = Path::new("config-example.toml");
        let ended = run(example, &|_| None, &Overrides::default(), &mut Closed, &mut Vec::new());
        assert_eq!(ended.unwrap(), FINE);
    }

    #[test]
    fn a_bad_config_is_reported_on_stderr() {
        let text = format!(
            "{MODELS}[workflow-integration]\njson = '{{\"workers\":[\"b\",\"a\"],\"selector\":\"b\"}}'\n"
        );
        let (code, out, err) = check(&text);
        assert_eq!((code, out.as_str()), (BAD_CONFIG, ""));
        insta::assert_snapshot!(err, @r#"
    Workflow configuration references undefined model(s): a, b
    c.toml:12: workers[1]: there is no [[model]] named `a`; add one, or name another
    c.toml:12: workers[0], selector: there is no [[model]] named `b`; add one, or name another
    "#);
    }
}
