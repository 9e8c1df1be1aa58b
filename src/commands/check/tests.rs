//! Files in, screens and exit codes out.

mod broken;
mod leaks;
mod programs;

use super::*;
use crate::commands::output::tests::Closing;

const TEXT: Options = Options {
    format: Format::Text,
    probe: false,
    spend: Spend::Nothing,
    out: Look::PLAIN,
    err: Look::PLAIN,
};

fn check(text: &str) -> (u8, String, String) {
    check_as(Format::Text, text)
}

fn check_as(format: Format, text: &str) -> (u8, String, String) {
    let options = Options { format, ..TEXT };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, text).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let env = |_: &str| None;
    let code = run(&path, &env, &Overrides::default(), options, &mut out, &mut err).unwrap();
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
fn what_is_taken_for_free_is_named_where_a_gateway_could_be_behind_it() {
    let plan = "[workflow-integration]\njson = '{ \"workers\": [\"m\"], \"selector\": \"m\" }'\n";
    for (more, want) in [
        ("api_base = \"http://127.0.0.1:4000/v1\"", true),
        ("api_base = \"http://127.0.0.1:11434\"\nprotocol = \"ollama\"", false),
        (
            "api_base = \"http://127.0.0.1:4000\"\nprice = { input_per_mtok = 1, output_per_mtok = 2 }",
            false,
        ),
        ("api_base = \"https://api.example.com/v1\"", false),
    ] {
        let (code, out, _) = check(&format!("[[model]]\nname = \"m\"\n{more}\n{plan}"));
        assert_eq!(code, FINE, "{out}");
        let shown = out.contains("Free, as what runs here is: m. A paid model behind a gateway");
        assert_eq!(shown, want, "{out}");
    }
}

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
    c.toml is fine, 1 warning: 2 models, 4 workers; no endpoint was asked (--probe does)

    warning: [workflow.domains."elsewhere.example"] is the host of no model
       --> c.toml:25:19
       |
    25 | [workflow.domains."elsewhere.example"]
       |                   ^^^^^^^^^^^^^^^^^^^
       |
       = help: name one of `127.0.0.1`, `api.example.com`, or take the section out

    1 warning

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

    Per request, at worst
              calls  tokens in  tokens out     cost
      small      11      21880       11000  $0.0439
      writer      4       8160        2160  $0.1248
      total      15      30040       13160  $0.1687

    Counted: an analyzer and a worker once; a reranker and a synthesizer twice (again with less when its context is too small); a selector three times (that, and to repair its verdict); a fallback like what it stands in for.
    Not counted: up to 2 retries of each call that fails, and repairs of refused parameters.
    Nor counted, where tools may be called: one call of the best draft's model, which writes when every writer has failed.
    Assumed: a prompt of 1000 tokens; answers of 1000, or of `max_tokens` where a stage has it; whoever judges or writes reads the prompt and all candidates, as far as its `context_tokens` reach.

    Notices

    note: no [server]: it listens on 127.0.0.1:11435
     = in c.toml
     = help: `chorus migrate` writes the new form

    note: no model sets `temperature` or `auto_temperature`: the plan, the request and the defaults of TEMPERATURE_CONFIG.md decide
     = in c.toml
     = help: `chorus migrate` writes the new form

    note: time limits of 10000 and more are milliseconds: read [workflow.timeouts] `worker_timeout_secs = 90000` as 90 s
       --> c.toml:24:23
       |
    24 | worker_timeout_secs = 90000
       |                       ^^^^^
       |
       = help: `chorus migrate` writes the new form

    3 notices
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

    Per request, at worst
             calls  tokens in  tokens out     cost
      near      14      39000       14000  $0.0000
      far        7      22000        7000  $0.0000
      total     21      61000       21000  $0.0000

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
    let rows: Vec<Vec<&str>> =
        out.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    for row in [["far", "4"], ["near", "2"], ["total", "6"]] {
        assert!(rows.contains(&row.to_vec()), "{out}");
    }
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
    insta::assert_snapshot!(out, @r"
    c.toml is fine: 2 models, 2 workflows, 7 workers; no endpoint was asked (--probe does)

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

    Per request to chorus, at worst
              calls  tokens in  tokens out     cost
      small       9      21000        9000  $0.0390
      writer      3       7000        3000  $0.1300
      total      12      28000       12000  $0.1690

    Per request to fast, at worst
             calls  tokens in  tokens out     cost
      small      5      11000        5000  $0.0210
      total      5      11000        5000  $0.0210

    Counted: an analyzer and a worker once; a reranker and a synthesizer twice (again with less when its context is too small); a selector three times (that, and to repair its verdict); a fallback like what it stands in for.
    Not counted: up to 2 retries of each call that fails, and repairs of refused parameters.
    Nor counted, where tools may be called: one call of the best draft's model, which writes when every writer has failed.
    Assumed: a prompt of 1000 tokens; answers of 1000, or of `max_tokens` where a stage has it; whoever judges or writes reads the prompt and all candidates, as far as its `context_tokens` reach.
    ");
}

#[test]
fn further_attempts_count_the_other_endpoints() {
    let endpoints = |count: usize| "[[model.endpoint]]\napi_base = \"http://h/v1\"\n".repeat(count);
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
    let example = Path::new("config-example.toml");
    let mut closed = Closing { room: 0, kind: io::ErrorKind::BrokenPipe };
    let ended = run(example, &|_| None, &Overrides::default(), TEXT, &mut closed, &mut Vec::new());
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

    error: workers[0], selector: there is no [[model]] named `b`
       --> c.toml:12:21
       |
    12 | json = '{"workers":["b","a"],"selector":"b"}'
       |                     ^^^
       |
       = help: add it, or name one of `small`, `writer`

    error: workers[1]: there is no [[model]] named `a`
       --> c.toml:12:25
       |
    12 | json = '{"workers":["b","a"],"selector":"b"}'
       |                         ^^^
       |
       = help: add it, or name one of `small`, `writer`

    2 errors
    "#);
}

#[test]
fn foreign_text_is_shown_only_escaped() {
    let model = "[[model]]\nname = \"m\u{202e}\u{200b}x\"\napi_base = \"http://127.0.0.1:1/v1\"\n\
                 upstream_model = \"up\\u001b[2J\\u009b\\u007f\\u202e\"\n";
    let plan = "[workflow-integration]\njson = '{\"workers\": [\"m\u{202e}\u{200b}x\"]}'\n";
    for format in [Format::Text, Format::Json] {
        for rest in
            [plan, "[workflow-integration]\njson = '\u{202e}{'\n", "a\u{202e} = \"\u{9b}\"\n"]
        {
            let (_, out, err) = check_as(format, &format!("{model}{rest}"));
            for line in out.lines().chain(err.lines()) {
                assert_eq!(crate::types::escaped(line), line, "{format:?}");
            }
        }
    }
}
