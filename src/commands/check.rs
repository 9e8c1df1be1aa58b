//! `chorus check`: reads the config as a start would, and shows the workflow that comes of it.

pub mod probe;
mod tree;

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use indexmap::IndexMap;

use crate::config::{Config, Endpoint, Env, Model, Overrides, Plan, Stage};

/// Exit code of a config that can be used.
pub const FINE: u8 = 0;
/// Exit code of a config that cannot.
pub const BAD_CONFIG: u8 = 2;

/// What more than a look at the config is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--probe`: ask every endpoint.
    pub probe: bool,
}

/// Loads the config at `path` and shows it: every expanded workflow as a tree, the models, the calls
/// that one request to each can cost, then notices and warnings. Problems go to `err`. Returns the exit
/// code: 1 when the config is good and a probed endpoint is not.
///
/// # Errors
/// When `out` or `err` cannot be written to; that `out` is closed early is none.
pub fn run(
    path: &Path,
    env: Env<'_>,
    overrides: &Overrides,
    options: Options,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    match Config::load_with(path, env, overrides) {
        Ok(config) => match report(&config, options, out, err) {
            // The reader has seen enough, as `head` has.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(FINE),
            code => code,
        },
        Err(error) => {
            writeln!(err, "{error}")?;
            Ok(BAD_CONFIG)
        }
    }
}

fn report(
    config: &Config,
    options: Options,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    show(config, out)?;
    if options.probe { probe::run(config, out, err) } else { Ok(FINE) }
}

/// Shows a config that is fine.
///
/// # Errors
/// When `out` cannot be written to.
pub fn show(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let path = config.path.as_deref().map_or("the config".into(), Path::to_string_lossy);
    let models = many(config.models.len(), "model");
    let workers: usize = config.workflows().map(|workflow| workflow.plan.leaf_count()).sum();
    let workers = many(workers, "worker");
    match config.profiles.len() {
        0 => writeln!(out, "{path} is fine: {models}, {workers}")?,
        more => writeln!(out, "{path} is fine: {models}, {} workflows, {workers}", more + 1)?,
    }
    for workflow in config.workflows() {
        writeln!(out)?;
        tree::show(&workflow.plan, out)?;
    }
    writeln!(out)?;
    show_models(config, out)?;
    for workflow in config.workflows() {
        writeln!(out)?;
        show_calls(config, &workflow.plan, out)?;
    }
    writeln!(out)?;
    show_counting(config, out)?;
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
    if let Some(after) = model.hedge_after {
        about.push_str(&format!("; hedged after {} ms", after.as_millis()));
    }
    if model.warm_up {
        about.push_str("; kept warm");
    }
    about
}

/// The calls of one request by model, and what they cost where every price is known.
fn show_calls(config: &Config, plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let calls = plan.worst_case_calls(&config.models);
    let total: u64 = calls.values().sum();
    match config.profiles.is_empty() {
        true => writeln!(out, "Calls per request, at worst")?,
        false => writeln!(out, "Calls per request to {}, at worst", plan.name)?,
    }
    let name_width = calls.keys().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
    let width = total.to_string().len();
    for (name, count) in &calls {
        writeln!(out, "  {name:name_width$}  {count:>width$}")?;
    }
    writeln!(out, "  {:name_width$}  {total:>width$}", "total")?;
    if let Some(dollars) = cost(config, calls) {
        writeln!(out, "  ${dollars:.4} when each call reads and writes 1000 tokens")?;
    }
    Ok(())
}

/// The models that a stage may ask a second time elsewhere, and when.
fn hedged(config: &Config) -> Option<String> {
    let plans = config.workflows().map(|workflow| &workflow.plan);
    let stages = plans.flat_map(|plan| plan.waiting_stages());
    let names: BTreeSet<&str> = stages.flat_map(Stage::names).collect();
    let models = names.into_iter().filter_map(|name| config.models.get(name));
    let late = |model: &Arc<Model>| {
        let after = model.hedge_after.filter(|_| model.hedges_elsewhere())?;
        Some(format!("{} after {} ms", model.name, after.as_millis()))
    };
    let all: Vec<String> = models.filter_map(late).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// How the calls were counted.
fn show_counting(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "Counted: an analyzer and a worker once; a reranker and a synthesizer twice (again with \
         less when its context is too small); a selector three times (that, and to repair its \
         verdict); a fallback like what it stands in for."
    )?;
    if let Some(late) = hedged(config) {
        writeln!(out, "Counted too, since they hedge: a second call of {late}.")?;
    }
    writeln!(out, "Not counted: {}repairs of refused parameters.", further_attempts(config))
}

/// What a call that fails may cost besides.
fn further_attempts(config: &Config) -> String {
    let of = |model: &Model| config.retry.further_attempts(model.endpoints.len());
    let several = config.models.values().any(|model| model.endpoints.len() > 1);
    match config.models.values().map(|model| of(model)).max().unwrap_or_default() {
        0 => String::new(),
        most if several => format!(
            "up to {most} further attempts of each call that fails (retries and other endpoints of \
             its model together), and "
        ),
        most => format!("up to {most} retries of each call that fails, and "),
    }
}

/// Dollars of the worst case at 1000 tokens in and 1000 out a call; `None` when a price is unknown.
fn cost(config: &Config, calls: IndexMap<String, u64>) -> Option<f64> {
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
        let (overrides, options) = (Overrides::default(), Options::default());
        let code = run(&path, &env, &overrides, options, &mut out, &mut err).unwrap();
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
      small   11
      writer   4
      total   15
      $0.1530 when each call reads and writes 1000 tokens

    Counted: an analyzer and a worker once; a reranker and a synthesizer twice (again with less when its context is too small); a selector three times (that, and to repair its verdict); a fallback like what it stands in for.
    Not counted: up to 2 retries of each call that fails, and repairs of refused parameters.

    Notices
      c.toml: no [server]: it listens on 127.0.0.1:11435; `chorus migrate` writes the new form
      c.toml: no model sets `temperature` or `auto_temperature`: the plan, the request and the defaults of TEMPERATURE_CONFIG.md decide; `chorus migrate` writes the new form
      c.toml:24: time limits of 10000 and more are milliseconds: read [workflow.timeouts] `worker_timeout_secs = 90000` as 90 s; `chorus migrate` writes the new form

    Warnings
      c.toml:25: [workflow.domains."elsewhere.example"] is the host of no model
    "#);
    }

    #[test]
    fn what_hedging_can_add_is_counted() {
        let text = r#"
[[model]]
name = "near"
api_base = "http://127.0.0.1:1/v1"
hedge_after_ms = 800
warm_up = true
[[model.endpoint]]
api_base = "http://127.0.0.1:2/v1"
[[model]]
name = "far"
api_base = "http://127.0.0.1:3/v1"
hedge_after_ms = 500
[workflow-integration]
json = """
{ "analyzer": "near",
  "workers": ["near", "far", { "workers": ["far"], "selector": "near" }],
  "selector": { "ref": "far", "fallback": ["near"] },
  "synthesizer": { "ref": "near", "fallback": ["far"] } }
"""
"#;
        let (code, out, err) = check(text);
        assert_eq!((code, err.as_str()), (FINE, ""));
        let shown = out.split("Models\n").nth(1).unwrap().split("Not counted").next().unwrap();
        // near: the analyzer 2, a worker 1, the nested selector 4, the selector's fallback 4, the
        // synthesizer 3; far has no second endpoint, and its fallback is counted already.
        insta::assert_snapshot!(shown, @r"
          near  openai at http://127.0.0.1:1/v1, no key, priority 1, weight 1; http://127.0.0.1:2/v1, no key, priority 1, weight 1; hedged after 800 ms; kept warm
          far   openai at http://127.0.0.1:3/v1, no key; hedged after 500 ms

        Calls per request, at worst
          near   14
          far     7
          total  21

        Counted: an analyzer and a worker once; a reranker and a synthesizer twice (again with less when its context is too small); a selector three times (that, and to repair its verdict); a fallback like what it stands in for.
        Counted too, since they hedge: a second call of near after 800 ms.
        ");
    }

    /// A request with tools goes to the first worker's model, where it may be hedged.
    #[test]
    fn a_model_that_answers_alone_is_counted_with_its_second_call() {
        let text = r#"
[[model]]
name = "near"
api_base = "http://127.0.0.1:1/v1"
hedge_after_ms = 800
[[model.endpoint]]
api_base = "http://127.0.0.1:2/v1"
[[model]]
name = "far"
api_base = "http://127.0.0.1:3/v1"
[workflow-integration]
json = '{ "workers": [{ "workers": ["near"] }, "far"], "selector": "far" }'
"#;
        let (code, out, err) = check(text);
        assert_eq!((code, err.as_str()), (FINE, ""));
        assert!(out.contains("  far    4\n  near   2\n  total  6\n"), "{out}");
    }

    #[test]
    fn every_workflow_is_shown_with_its_policies_and_its_calls() {
        let text = format!(
            r#"{MODELS}
[server]
[workflow.timeouts]
[workflow-integration]
json = """
{{ "analyzer": "small",
  "workers": [ {{ "ref": "small", "samples": 4 }}, {{ "name": "panel", "workers": [ "writer" ],
    "reranker": {{ "ref": "small", "top_k": 1 }} }} ],
  "reranker": {{ "ref": "small", "top_k": 2, "timeout_secs": 5 }}, "synthesizer": "writer",
  "policy": {{ "quorum": 0.5, "grace_ms": 1500, "deadline_secs": 20, "agreement": 0.9,
    "overrides": true }} }}
"""
[[workflow-profile]]
name = "fast"
json = '{{ "workers": ["small", "small"], "selector": "small", "policy": {{ "quorum": 1 }} }}'
"#
        );
        let (code, out, err) = check(&text);
        assert_eq!((code, err.as_str()), (FINE, ""));
        insta::assert_snapshot!(out, @r#"
    c.toml is fine: 2 models, 2 workflows, 7 workers

    chorus
    ├─ analyzer: small
    ├─ workers (3 of 5 are enough, the others have 1500 ms more; deadline 20 s; agreement from 0.9; the analyzer may choose among them)
    │  ├─ small#1: small
    │  ├─ small#2: small
    │  ├─ small#3: small
    │  ├─ small#4: small
    │  └─ panel (its kept answers go up)
    │     ├─ workers
    │     │  └─ writer
    │     └─ reranker: small, keeps 1
    ├─ reranker: small, keeps 2 (limit 5 s)
    └─ synthesizer: writer

    fast
    ├─ workers (1 of 2 are enough, the others are cut)
    │  ├─ small#1: small
    │  └─ small#2: small
    └─ selector: small

    Models
      small   ollama at http://127.0.0.1:11434/, no key
      writer  openai at https://api.example.com/v1, no key; as writer-2

    Calls per request to chorus, at worst
      small    9
      writer   3
      total   12
      $0.1170 when each call reads and writes 1000 tokens

    Calls per request to fast, at worst
      small  5
      total  5
      $0.0150 when each call reads and writes 1000 tokens

    Counted: an analyzer and a worker once; a reranker and a synthesizer twice (again with less when its context is too small); a selector three times (that, and to repair its verdict); a fallback like what it stands in for.
    Not counted: up to 2 retries of each call that fails, and repairs of refused parameters.
    "#);
    }

    #[test]
    fn further_attempts_count_the_other_endpoints() {
        let endpoints =
            |count: usize| "[[model.endpoint]]\napi_base = \"http://h/v1\"\n".repeat(count);
        let none = "[workflow.retry]\nmax_retries = 0\n";
        let together = |most| {
            format!(
                "up to {most} further attempts of each call that fails (retries and other endpoints of \
             its model together), and "
            )
        };
        for (more, tables, want) in [
            (0, none, String::new()),
            (0, "", "up to 2 retries of each call that fails, and ".to_owned()),
            (1, none, together(1)),
            (1, "", together(2)),
            (4, "", together(4)),
        ] {
            let text = format!(
                "[[model]]\nname = \"a\"\napi_base = \"http://127.0.0.1:1/v1\"\n{}\
                 [workflow-integration]\njson = '{{\"workers\":[\"a\"],\"selector\":\"a\"}}'\n{tables}",
                endpoints(more)
            );
            let (code, out, err) = check(&text);
            assert_eq!(code, FINE, "{err}");
            let line = format!("\nNot counted: {want}repairs of refused parameters.\n");
            assert!(out.contains(&line), "{more} {tables}: {out}");
        }
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
        let (overrides, options) = (Overrides::default(), Options::default());
        let ended = run(example, &|_| None, &overrides, options, &mut Closed, &mut Vec::new());
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
