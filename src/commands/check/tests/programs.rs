//! `--format json`, and plans of their own files.

use super::*;

#[test]
fn programs_learn_that_there_is_no_config() {
    let env = |name: &str| (name == "HOME").then(|| "/nowhere".to_owned());
    for (flag, file, words) in [
        (None, "/nowhere/.config/chorus/config.toml", "there is no config yet"),
        (Some(Path::new("/nowhere/c.toml")), "/nowhere/c.toml", "there is no such file"),
    ] {
        let error = crate::config::existing(flag, &env).unwrap_err();
        let mut out = Vec::new();
        assert_eq!(super::super::missing(&error, &mut out).unwrap(), BAD_CONFIG);
        let report: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&report["file"], &report["ok"]), (&file.into(), &false.into()));
        let found = &report["diagnostics"][0];
        assert!(found["message"].as_str().unwrap().contains(words), "{report}");
        assert!(!found["help"].as_str().unwrap().is_empty() && found["line"].is_null(), "{report}");
    }
}

/// One workflow whose figures are worked out by hand, and one with a price missing.
#[test]
fn a_good_config_is_shown_to_programs() {
    let text = format!(
        r#"{MODELS}
[[model]]
name = "free"
api_base = "https://llm.example:8080/v1"
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
      "warnings": 2,
      "notices": 0,
      "diagnostics": [
        {
          "severity": "warning",
          "file": "c.toml",
          "line": 15,
          "column": 11,
          "length": 10,
          "message": "model `free`: `api_key` is in plain text in a file that every user of this machine can read",
          "help": "write env:NAME or file:PATH, or run chmod 600 on the config",
          "source_line": "api_key = \"***\"",
          "source_column": 11,
          "source_length": 5
        },
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
              "api_base": "https://llm.example:8080/v1",
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
fn a_bad_config_is_shown_to_programs_on_stdout() {
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
    3 |   "selektor": "small",
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
    2 |   "workers": [ "5ecre7" }
      |                         ^
      |
      = help: mend the JSON at or just before this place

    1 error
    "#);
}
