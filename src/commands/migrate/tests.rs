//! That a rewritten file means the same, for old files of every shape, and what happens on disk.

mod files;
mod shapes;

use super::rewrite::{Rewritten, rewrite};
use crate::config::Config;

fn parse(text: &str) -> Config {
    Config::parse(text, None, &|_| None).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_old_example_in_its_new_form() {
    let old = include_str!("../../../test-old-config.toml");
    let Rewritten { text, changes, left } = rewrite(old).unwrap();
    insta::assert_snapshot!(text.as_str(), @r#"
    # A file as earlier versions wrote it. It still loads: every old form is read as what it means now,
    # and told once. No [server], no temperature keys, one [model] table, stages named by `*_model`
    # keys, and time limits in milliseconds.

    # chorus migrate: [model] is a list now, so that more models can follow: [[model]]
    # chorus migrate: no temperature is set: plan, request and defaults decide
    # `temperature = 0.7` sets one, `auto_temperature = true` follows the analyzer
    [[model]]
    name = "llama3"
    api_base = "http://127.0.0.1:11434/v1"
    api_key = ""

    [workflow-integration]
    # chorus migrate: the workflow is one plan in JSON now, which names the selector too. It was:
    #   analyzer_model = "llama3"
    #   worker_models = ["llama3", "llama3"]
    #   synthesizer_model = "llama3"
    json = """
    {
      "analyzer": { "ref": "llama3" },
      "workers": [
        { "ref": "llama3" },
        { "ref": "llama3" }
      ],
      "selector": { "ref": "llama3" },
      "synthesizer": { "ref": "llama3" }
    }
    """

    [workflow.timeouts]
    analyzer_timeout_secs = 30  # chorus migrate: was 30000, which is milliseconds
    worker_timeout_secs = 90  # chorus migrate: was 90000, which is milliseconds
    synthesizer_timeout_secs = 60

    # chorus migrate: where it listens; these are the defaults.
    [server]
    host = "127.0.0.1"
    port = 11435
    "#);
    insta::assert_snapshot!(changes.join("\n"), @r#"
    [model] is now one [[model]]
    [workflow-integration] `analyzer_model`, `worker_models`, `synthesizer_model` are now `json`
    [workflow.timeouts] `analyzer_timeout_secs = 30000` is now `analyzer_timeout_secs = 30`
    [workflow.timeouts] `worker_timeout_secs = 90000` is now `worker_timeout_secs = 90`
    [server] is written down, with its defaults
    a comment says which temperature a model gets
    "#);
    assert!(left.is_empty());
    assert!(parse(&text).means_the_same(&parse(old)));
}

#[test]
fn comments_stay_and_what_was_in_force_stays_readable() {
    let old = r#"# Mine.

  [ model ]   # only one
name = "a"
api_base = "http://127.0.0.1:1/v1" # local

[workflow-integration] # who does what
# the fast one
analyzer_model='a'   # really fast
nested_worker_depth = 2 # pairs
# the crowd
worker_models = [
  "a", # first
  'a',
]
selector_model = "a"

[workflow.timeouts]
analyzer_timeout_secs = 30_000 # half a minute
worker_timeout_secs=1e5
connect_timeout_secs = 5
[workflow.domains]
"127.0.0.1" = { worker_timeout_secs = 12500.5 }
# the end
"#;
    insta::assert_snapshot!(rewrite(old).unwrap().text.as_str(), @r#"
    # chorus migrate: [workflow.domains."127.0.0.1"] `worker_timeout_secs` was 12500.5, which is milliseconds
    # Mine.

      # chorus migrate: [model] is a list now, so that more models can follow: [[model]]
      # chorus migrate: no temperature is set: plan, request and defaults decide
      # `temperature = 0.7` sets one, `auto_temperature = true` follows the analyzer
      [[ model ]]   # only one
    name = "a"
    api_base = "http://127.0.0.1:1/v1" # local

    [workflow-integration] # who does what
    # the fast one
    # chorus migrate: the workflow is one plan in JSON now, which names the selector too. It was:
    #   analyzer_model = 'a'   # really fast
    #   # the crowd
    #   worker_models = [
    #     "a", # first
    #     'a',
    #   ]
    #   selector_model = "a"
    json = """
    {
      "analyzer": { "ref": "a" },
      "workers": [
        { "ref": "a" },
        { "ref": "a" }
      ],
      "selector": { "ref": "a" }
    }
    """
    nested_worker_depth = 2 # pairs

    [workflow.timeouts]
    analyzer_timeout_secs = 30 # half a minute; chorus migrate: was 30_000, which is milliseconds
    worker_timeout_secs=100  # chorus migrate: was 1e5, which is milliseconds
    connect_timeout_secs = 5
    [workflow.domains]
    "127.0.0.1" = { worker_timeout_secs = 12.5005 }
    # the end

    # chorus migrate: where it listens; these are the defaults.
    [server]
    host = "127.0.0.1"
    port = 11435
    "#);
}

#[test]
fn a_header_below_its_own_tables_moves_above_them() {
    let old = "[model.price]\ninput_per_mtok = 1\noutput_per_mtok = 2\n[server]\nport = 1\n\
               [model]\nname = 'a'\napi_base = 'http://h/v1'\n\
               [workflow-integration]\njson = '{\"workers\":[\"a\"],\"selector\":\"a\"}'\n";
    let new = rewrite(old).unwrap().text;
    assert!(parse(&new).means_the_same(&parse(old)), "{}", new.as_str());
    assert_eq!(parse(&new).notices, vec![]);
}

#[test]
fn hours_that_the_new_form_has_no_number_for_stay_and_are_listed() {
    let text = "[[model]]\nname = 'a'\napi_base = 'http://h/v1'\n[workflow-integration]\n\
                json = '{\"workers\":[\"a\"],\"selector\":\"a\"}'\n\
                [workflow.timeouts]\nworker_timeout_secs = 12000000\n";
    let Rewritten { text: new, changes, left } = rewrite(text).unwrap();
    assert_eq!((new.as_str(), changes.len()), (text, 0));
    assert_eq!(
        left,
        [
            "[workflow.timeouts] `worker_timeout_secs = 12000000` means 12000 s and stays: 10000 and \
          more is read as milliseconds"
        ]
    );
}

#[test]
fn a_new_file_is_left_alone_to_the_byte() {
    for file in ["config-example.toml", "config-json-format-example.toml"] {
        let text = std::fs::read_to_string(file).unwrap();
        for text in [text.replace('\n', "\r\n"), text.replace("= ", "=  "), text] {
            let rewritten = rewrite(&text).unwrap();
            assert_eq!(rewritten.text.as_str(), text, "{file}");
            assert!(rewritten.changes.is_empty() && rewritten.left.is_empty());
        }
    }
    assert!(rewrite("not = = toml").is_none());
}
