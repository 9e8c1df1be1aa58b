//! Files in, screens and exit codes out.

mod broken;
mod configs;
mod leaks;

use super::*;

const TEXT: Options = Options { format: Format::Text, out: Look::PLAIN, err: Look::PLAIN };

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

    Per request, at worst
              calls  tokens in  tokens out     cost
      small      11      21880       11000  $0.0439
      writer      4       8160        2160  $0.1248
      total      15      30040       13160  $0.1687

    Counted: an analyzer and a worker once; a reranker and a synthesizer twice (again with less when its context is too small); a selector three times (that, and to repair its verdict); a fallback like what it stands in for.
    Not counted: up to 2 retries of each call that fails, and repairs of refused parameters.
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

    Warnings

    warning: [workflow.domains."elsewhere.example"] is the host of no model
       --> c.toml:25:19
       |
    25 | [workflow.domains."elsewhere.example"]
       |                   ^^^^^^^^^^^^^^^^^^^
       |
       = help: correct the host, or take the section out

    1 warning
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
             calls  tokens in  tokens out
      near      14      39000       14000
      far        7      22000        7000
      total     21      61000       21000
      The cost is not known: no `price` for near, far.

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
    let ended = run(example, &|_| None, &Overrides::default(), TEXT, &mut Closed, &mut Vec::new());
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
       = help: add one, or name another

    error: workers[1]: there is no [[model]] named `a`
       --> c.toml:12:25
       |
    12 | json = '{"workers":["b","a"],"selector":"b"}'
       |                         ^^^
       |
       = help: add one, or name another

    2 errors
    "#);
}

/// One workflow whose figures are worked out by hand, and one with a price missing.
#[test]
fn a_good_config_is_told_to_programs() {
    let text = format!(
        r#"{MODELS}
[[model]]
name = "free"
api_base = "http://127.0.0.1:8080/v1"
api_key = "k-5ecre7"
temperature = 1
auto_temperature = true
[workflow-integration]
json = """
{{ "workers": [ "small", {{ "ref": "writer", "max_tokens": 500 }} ], "synthesizer": "writer" }}
"""
[[workflow-profile]]
name = "cheap"
json = '{{ "workers": ["free", "small"], "selector": "free" }}'
"#
    );
    let (code, out, err) = check_as(Format::Json, &text);
    assert_eq!((code, err.as_str(), out.lines().count()), (FINE, "", 1));
    assert!(!out.contains("5ecre7"), "{out}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let chorus = &report["workflows"][0];
    // small: 1000 in, 1000 out at 1 and 2. writer: 1000 and 500 as a worker, then twice the prompt with
    // both drafts, 2500, and 1000 out, at 10 and 20.
    let dollars = (1000.0 + 2.0 * 1000.0 + 10.0 * 6000.0 + 20.0 * 2500.0) / 1e6;
    assert!((chorus["cost_usd"].as_f64().unwrap() - dollars).abs() < 1e-9, "{chorus}");
    assert_eq!(
        (&chorus["calls"], &chorus["input_tokens"], &chorus["output_tokens"]),
        (&4.into(), &7000.into(), &3500.into())
    );
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
    {
      "file": "c.toml",
      "ok": true,
      "errors": 0,
      "warnings": 1,
      "notices": 0,
      "diagnostics": [
        {
          "severity": "warning",
          "file": "c.toml",
          "line": 16,
          "column": 15,
          "length": 1,
          "message": "model `free`: both `temperature` and `auto_temperature = true`: the analyzer's value wins now, where earlier versions let `temperature` win",
          "help": "keep one of them",
          "source_line": "temperature = 1",
          "source_column": 15,
          "source_length": 1
        }
      ],
      "models": [
        {
          "name": "small",
          "protocol": "ollama",
          "upstream_model": "small",
          "endpoints": [
            {
              "api_base": "http://127.0.0.1:11434/",
              "has_key": false,
              "priority": 1,
              "weight": 1
            }
          ]
        },
        {
          "name": "writer",
          "protocol": "openai",
          "upstream_model": "writer-2",
          "endpoints": [
            {
              "api_base": "https://api.example.com/v1",
              "has_key": false,
              "priority": 1,
              "weight": 1
            }
          ]
        },
        {
          "name": "free",
          "protocol": "openai",
          "upstream_model": "free",
          "endpoints": [
            {
              "api_base": "http://127.0.0.1:8080/v1",
              "has_key": true,
              "priority": 1,
              "weight": 1
            }
          ]
        }
      ],
      "workflows": [
        {
          "name": "chorus",
          "workers": 2,
          "tree": [
            {
              "text": "workers",
              "children": [
                {
                  "text": "small"
                },
                {
                  "text": "writer (at most 500 tokens)"
                }
              ]
            },
            {
              "text": "synthesizer: writer"
            }
          ],
          "calls": 4,
          "input_tokens": 7000,
          "output_tokens": 3500,
          "cost_usd": 0.113,
          "missing_prices": [],
          "models": [
            {
              "name": "small",
              "calls": 1,
              "input_tokens": 1000,
              "output_tokens": 1000,
              "cost_usd": 0.003
            },
            {
              "name": "writer",
              "calls": 3,
              "input_tokens": 6000,
              "output_tokens": 2500,
              "cost_usd": 0.11
            }
          ]
        },
        {
          "name": "cheap",
          "workers": 2,
          "tree": [
            {
              "text": "workers",
              "children": [
                {
                  "text": "free"
                },
                {
                  "text": "small"
                }
              ]
            },
            {
              "text": "selector: free"
            }
          ],
          "calls": 5,
          "input_tokens": 11000,
          "output_tokens": 5000,
          "cost_usd": null,
          "missing_prices": [
            "free"
          ],
          "models": [
            {
              "name": "free",
              "calls": 4,
              "input_tokens": 10000,
              "output_tokens": 4000,
              "cost_usd": null
            },
            {
              "name": "small",
              "calls": 1,
              "input_tokens": 1000,
              "output_tokens": 1000,
              "cost_usd": 0.003
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn a_bad_config_is_told_to_programs_on_stdout() {
    let text = format!(
        "{MODELS}temperature = 2.5\n[workflow-integration]\njson = '{{\"workers\":[\"writter\"],\"selector\":\"small\"}}'\n"
    );
    let (code, out, err) = check_as(Format::Json, &text);
    assert_eq!((code, err.as_str(), out.lines().count()), (BAD_CONFIG, "", 1));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
    {
      "file": "c.toml",
      "ok": false,
      "errors": 2,
      "warnings": 0,
      "notices": 0,
      "diagnostics": [
        {
          "severity": "error",
          "file": "c.toml",
          "line": 11,
          "column": 15,
          "length": 3,
          "message": "model `writer`: `temperature` is out of range",
          "help": "write a number from 0 to 2",
          "source_line": "temperature = 2.5",
          "source_column": 15,
          "source_length": 3
        },
        {
          "severity": "error",
          "file": "c.toml",
          "line": 13,
          "column": 21,
          "length": 9,
          "message": "workers[0]: there is no [[model]] named `writter`",
          "help": "did you mean `writer`?",
          "source_line": "json = '{\"workers\":[\"writter\"],\"selector\":\"small\"}'",
          "source_column": 21,
          "source_length": 9
        }
      ]
    }
    "#);
    let missing = Path::new("/nowhere/c.toml");
    let options = Options { format: Format::Json, ..TEXT };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(missing, &|_| None, &Overrides::default(), options, &mut out, &mut err).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((code, &report["ok"], &report["errors"]), (BAD_CONFIG, &false.into(), &1.into()));
    assert_eq!(report["diagnostics"][0]["line"], serde_json::Value::Null);
}

/// A plan of its own file is shown with that file's lines.
#[test]
fn a_plan_of_its_own_file_is_shown_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let config = format!("{MODELS}[workflow-integration]\njson_file = \"plan.json\"\n");
    std::fs::write(&path, config).unwrap();
    let report = |plan: &str| {
        std::fs::write(folder.path().join("plan.json"), plan).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&path, &|_| None, &Overrides::default(), TEXT, &mut out, &mut err).unwrap();
        assert_eq!(code, BAD_CONFIG);
        let folder = format!("{}/", folder.path().display());
        String::from_utf8(err).unwrap().replace(&folder, "")
    };
    let plan = "{\n  \"workers\": [ \"small\", { \"ref\": \"wirter\", \"system\": \"5ecre7\" } ],\n  \"selektor\": \"small\",\n  \"synthesizer\": { \"ref\": \"small\", \"temperature\": 5 }\n}\n";
    insta::assert_snapshot!(report(plan), @r#"
    Workflow configuration references undefined model(s): wirter

    error: workers[1].ref: there is no [[model]] named `wirter`
      --> plan.json:2:34
      |
    2 |   "workers": [ "small", { "ref": "wirter", "system": "***" } ],
      |                                  ^^^^^^^^
      |
      = help: did you mean `writer`?

    error: selektor: unknown key
      --> plan.json:3:3
      |
    3 |   "selektor": "***",
      |   ^^^^^^^^^^
      |
      = help: did you mean `selector`?

    error: synthesizer.temperature: is out of range
      --> plan.json:4:51
      |
    4 |   "synthesizer": { "ref": "small", "temperature": 5 }
      |                                                   ^
      |
      = help: write a number from 0 to 2

    3 errors
    "#);
    insta::assert_snapshot!(report("{\n  \"workers\": [ \"5ecre7\" }\n"), @r#"
    error: the plan is not valid JSON: expected `,` or `]`
      --> plan.json:2:25
      |
    2 |   "workers": [ "***" }
      |                      ^
      |
      = help: mend the JSON at or just before this place

    1 error
    "#);
}
