//! That whatever is found makes a config that loads, and that no key gets into it.

use std::{collections::HashSet, path::PathBuf};

use proptest::prelude::*;

use super::{
    local::{Address, Kind, Local, Server},
    *,
};
use crate::{config::Member, llm::endpoint::probe::about::Capacity};

fn server(name: &'static str, kind: Kind, port: u16, models: &[(&str, &str, f64)]) -> Server {
    let url = format!("http://127.0.0.1:{port}").parse().unwrap();
    let model = |(id, family, billions): &(&str, &str, f64)| Local {
        id: (*id).to_owned(),
        family: (*family).to_owned(),
        billions: Some(*billions),
        capacity: Capacity::default(),
    };
    let models = models.iter().map(model).collect();
    Server { address: Address { name, kind, url }, models }
}

fn keys(names: &[&str]) -> Vec<Known> {
    let env = |name: &str| names.contains(&name).then(|| "sk-never-in-a-file".to_owned());
    providers::known(&env).0
}

fn parse(text: &str) -> Config {
    let env = |name: &str| name.ends_with("_API_KEY").then(|| "sk-never-in-a-file".to_owned());
    Config::parse(text, None, &env).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Analyzer, workers, selector with what takes its place.
fn roles(servers: &[Server], names: &[&str]) -> String {
    let Workflow { analyzer, workers, strongest, second, smallest: _ } =
        Proposal::of(servers, &keys(names)).unwrap().workflow;
    let worker = |worker: &Worker| match worker {
        Worker::Model(name) => name.clone(),
        Worker::Sample { model, temperature, .. } => format!("{model}@{temperature}"),
    };
    let workers: Vec<String> = workers.iter().map(worker).collect();
    format!("{analyzer} | {} | {strongest} {}", workers.join(" "), second.unwrap_or_default())
}

#[test]
fn roles_follow_from_size_family_and_speed() {
    let ollama = |models: &[(&str, &str, f64)]| [server("Ollama", Kind::Ollama, 11434, models)];
    let (small, large) = (("llama3.2:3b", "llama", 3.0), ("qwen3:8b", "qwen", 8.0));
    for (servers, names, want) in [
        (ollama(&[large]), &[][..], "qwen3:8b | qwen3:8b@0.3 qwen3:8b@0.7 qwen3:8b@1 | qwen3:8b "),
        (ollama(&[small, large]), &[], "llama3.2:3b | qwen3:8b llama3.2:3b | qwen3:8b llama3.2:3b"),
        (
            ollama(&[("qwen3:0.6b", "qwen", 0.6), large, ("qwen3:14b", "qwen", 14.0), small]),
            &[],
            "llama3.2:3b | qwen3:14b llama3.2:3b qwen3:8b | qwen3:14b qwen3:8b",
        ),
        (
            ollama(&[small]),
            &["OPENAI_API_KEY"],
            "gpt-4.1-mini | gpt-5 llama3.2:3b gpt-4.1-mini | gpt-5 llama3.2:3b",
        ),
        (
            ollama(&[]),
            &[
                "OPENAI_API_KEY",
                "ANTHROPIC_API_KEY",
                "GEMINI_API_KEY",
                "DEEPSEEK_API_KEY",
                "MISTRAL_API_KEY",
            ],
            "gemini-2.5-flash | claude-sonnet-4-5 gpt-5 gemini-2.5-pro deepseek-chat | \
             claude-sonnet-4-5 gpt-5",
        ),
        (
            ollama(&[]),
            &["OPENROUTER_API_KEY"],
            "google/gemini-2.5-flash | anthropic/claude-sonnet-4.5 deepseek/deepseek-chat-v3.1 \
             qwen/qwen3-235b-a22b-2507 google/gemini-2.5-flash | anthropic/claude-sonnet-4.5 \
             deepseek/deepseek-chat-v3.1",
        ),
    ] {
        assert_eq!(roles(&servers, names), want, "{names:?}");
    }
}

#[test]
fn slots_and_context_of_a_server_are_written_down() {
    for (slots, context, shared, want) in [
        (Some(4), Some(4096), false, (Some(4), 4096)),
        (Some(4), Some(4096), true, (Some(1), 4096)),
        (None, Some(2048), false, (None, 2048)),
        (None, None, false, (None, 32_768)),
    ] {
        let mut found = server("llama.cpp", Kind::OpenAi, 8080, &[("qwen3-8b", "qwen", 8.0)]);
        found.models[0].capacity = Capacity { slots, context, shared };
        let text = Proposal::of(&[found], &[]).unwrap().text;
        let config = parse(&text);
        let model = &config.models["qwen3-8b"];
        assert_eq!((model.max_concurrency, model.context_tokens), want, "{text}");
        assert_eq!(text.contains("-np"), slots.is_some(), "{text}");
    }
}

#[test]
fn the_file_says_what_it_is() {
    let servers =
        [server("llama.cpp", Kind::OpenAi, 8080, &[("/models/Qwen3-8B.gguf", "qwen", 8.0)])];
    let text = Proposal::of(&servers, &keys(&["OPENAI_API_KEY", "GEMINI_API_KEY"])).unwrap().text;
    insta::assert_snapshot!(without_aliases(&text), @r#"
    # Chorus configuration, written by `chorus init`.
    #
    # Found:
    #   llama.cpp at http://127.0.0.1:8080: /models/Qwen3-8B.gguf
    #   GEMINI_API_KEY: a key for Gemini
    #   OPENAI_API_KEY: a key for OpenAI
    #
    # After a change: `chorus check` shows what it means, and what a request costs in calls.

    [server]
    host = "127.0.0.1"   # this machine only; to listen beyond it, add a [[client]] with a key
    port = 11435
    task_model = "Qwen3-8B"   # answers clients' titles, tags and notes, instead of the workflow

    # llama.cpp at http://127.0.0.1:8080
    [[model]]
    name = "Qwen3-8B"
    upstream_model = "/models/Qwen3-8B.gguf"
    api_base = "http://127.0.0.1:8080/v1"
    protocol = "openai"

    # Gemini, with the key in GEMINI_API_KEY. Adapt the names to what your account offers.
    [[model]]
    name = "gemini-2.5-pro"
    api_base = "https://generativelanguage.googleapis.com"
    api_key = "env:GEMINI_API_KEY"
    protocol = "gemini"

    [[model]]
    name = "gemini-2.5-flash"
    api_base = "https://generativelanguage.googleapis.com"
    api_key = "env:GEMINI_API_KEY"
    protocol = "gemini"

    # OpenAI, with the key in OPENAI_API_KEY. Adapt the names to what your account offers.
    [[model]]
    name = "gpt-5"
    api_base = "https://api.openai.com/v1"
    api_key = "env:OPENAI_API_KEY"
    send_temperature = false   # it takes no other than its own

    [[model]]
    name = "gpt-4.1-mini"
    api_base = "https://api.openai.com/v1"
    api_key = "env:OPENAI_API_KEY"

    # One question makes one call of the analyzer, one of each worker, one of the selector and one of
    # the synthesizer. `fallback` takes over when a model fails.
    [workflow-integration]
    json = """
    {
      "analyzer": { "ref": "gemini-2.5-flash" },
      "workers": [
        { "ref": "gpt-5" },
        { "ref": "gemini-2.5-pro" },
        { "ref": "Qwen3-8B" }
      ],
      "selector": { "ref": "gpt-5", "fallback": [ "gemini-2.5-pro" ] },
      "synthesizer": { "ref": "gpt-5", "fallback": [ "gemini-2.5-pro" ] }
    }
    """

    # How long each stage may take, in seconds. A server may have to load a model first.
    [workflow.timeouts]
    analyzer_timeout_secs = 90
    worker_timeout_secs = 180
    synthesizer_timeout_secs = 180   # until its first word, then between words
    "#);
}

#[test]
fn with_nothing_found_the_file_loads_and_says_what_to_fill_in() {
    let text = Proposal::of(&[], &[]).unwrap().text;
    insta::assert_snapshot!(without_aliases(&text), @r#"
    # Chorus configuration, written by `chorus init`.
    #
    # No model server and no key was found here, so this file is yours to fill in: put your
    # models where it says so. It loads as it is. To see Chorus work without any model: chorus demo
    #
    # After a change: `chorus check` shows what it means, and what a request costs in calls.

    [server]
    host = "127.0.0.1"   # this machine only; to listen beyond it, add a [[client]] with a key
    port = 11435
    task_model = "qwen3:8b"   # answers clients' titles, tags and notes, instead of the workflow

    # Fill in: a model that you have. `ollama pull qwen3:8b` fetches this one.
    [[model]]
    name = "qwen3:8b"
    api_base = "http://127.0.0.1:11434"
    protocol = "ollama"

    # A hosted model looks like this. The key stays in the environment (or a file: file:PATH).
    # [[model]]
    # name = "deepseek-chat"
    # api_base = "https://api.deepseek.com/v1"
    # api_key = "env:DEEPSEEK_API_KEY"

    # One question makes one call of the analyzer, one of each worker, one of the selector and one of
    # the synthesizer. `fallback` takes over when a model fails.
    [workflow-integration]
    json = """
    {
      "analyzer": { "ref": "qwen3:8b" },
      "workers": [
        { "name": "careful", "ref": "qwen3:8b", "temperature": 0.3 },
        { "name": "balanced", "ref": "qwen3:8b", "temperature": 0.7 },
        { "name": "free", "ref": "qwen3:8b", "temperature": 1.0 }
      ],
      "selector": { "ref": "qwen3:8b" },
      "synthesizer": { "ref": "qwen3:8b" }
    }
    """

    # How long each stage may take, in seconds. A server may have to load a model first.
    [workflow.timeouts]
    analyzer_timeout_secs = 90
    worker_timeout_secs = 180
    synthesizer_timeout_secs = 180   # until its first word, then between words
    "#);
    let config = parse(&text);
    assert_eq!((config.warnings.len(), config.notices.len()), (0, 0));
    assert_eq!(config.workflow.plan.leaf_count(), 3);
}

fn local() -> impl Strategy<Value = Local> {
    let id =
        prop_oneof!["[a-z]{1,6}[0-9.]{0,3}(:[0-9]{1,2}b)?", ".{1,12}", Just("chorus".to_owned())];
    let id = id.prop_filter("as the list is read", |id| !id.chars().any(char::is_control));
    (id, "[a-c]{1}", proptest::option::of(0.1..900.0_f64)).prop_map(|(id, family, billions)| {
        Local { id, family, billions, capacity: Capacity::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_is_found_makes_a_config_that_loads(
        lists in proptest::array::uniform3(proptest::collection::vec(local(), 0..6)),
        chosen in proptest::collection::vec(any::<bool>(), 16),
        value in "sk-[a-zA-Z0-9]{20}",
    ) {
        let names = [("Ollama", Kind::Ollama), ("llama.cpp", Kind::OpenAi), ("LM Studio", Kind::OpenAi)];
        let servers: Vec<Server> = names.into_iter().zip(lists).zip(8001..)
            .map(|(((name, kind), models), port)| {
                Server { models, ..server(name, kind, port, &[]) }
            })
            .collect();
        let set: HashSet<&str> = providers::key_variables().zip(&chosen)
            .filter_map(|(name, chosen)| chosen.then_some(name)).collect();
        let env = |name: &str| set.contains(name).then(|| value.clone());
        let (known, remarks) = providers::known(&env);
        prop_assert!(remarks.is_empty());
        let proposal = Proposal::of(&servers, &known).expect("there is always a proposal");
        let text = &proposal.text;
        prop_assert!(!text.contains(&value), "{}", text);
        let config = Config::parse(text, None, &env);
        let config = config.unwrap_or_else(|error| panic!("{error}\n{text}"));
        prop_assert!(config.warnings.is_empty(), "{:?}\n{}", config.warnings, text);
        prop_assert!(config.notices.is_empty(), "{:?}\n{}", config.notices, text);
        let workers = config.workflow.plan.leaf_count();
        prop_assert!((2..=4).contains(&workers), "{}", text);
        let distinct: HashSet<&str> = config.workflow.plan.members.iter().map(Member::name).collect();
        prop_assert_eq!(distinct.len(), workers);
        for name in known.iter().map(|known| known.key) {
            let named = format!("\"env:{name}\"");
            prop_assert!(text.contains(&named), "{}", text);
        }
    }
}

struct Answers {
    code: u8,
    out: String,
    err: String,
}

/// Runs it in a folder of its own, with no server and this key; `answer` is what is typed.
fn asked(path: &Path, options: Options, answer: Option<&str>) -> Answers {
    let env = |name: &str| match name {
        "MISTRAL_API_KEY" => Some("sk-never-in-a-file".to_owned()),
        // Nobody listens on port 1.
        "OLLAMA_HOST" => Some("127.0.0.1:1".to_owned()),
        _ => None,
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut input = answer.unwrap_or_default().as_bytes();
    let mut terminal =
        Terminal { out: &mut out, err: &mut err, input: &mut input, attended: answer.is_some() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let code = runtime.block_on(run(Some(path), options, &env, &mut terminal)).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answers { code, out: text(out), err: text(err) }
}

#[test]
fn it_asks_before_it_writes_and_takes_no_for_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (answer, written)) in [
        ("\n", true),
        ("y\n", true),
        ("YES\n", true),
        ("n\n", false),
        ("what?\n", false),
        ("", false),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(format!("{number}.toml"));
        let Answers { code, out, err } = asked(&path, Options::default(), Some(answer));
        assert_eq!((code, err.as_str()), (0, ""), "{answer:?}");
        assert!(out.contains("MISTRAL_API_KEY: a key for Mistral"), "{out}");
        assert!(out.contains(&format!("Write {}? [Y/n] ", path.display())), "{out}");
        assert_eq!(path.exists(), written, "{answer:?}");
        assert_eq!(out.contains("Nothing was written."), !written, "{out}");
        assert!(!out.contains("sk-never"), "{out}");
    }
}

#[test]
fn it_writes_nothing_unasked_and_over_nothing_unforced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let unattended = asked(&path, Options::default(), None);
    assert_eq!(unattended.code, 2);
    assert!(unattended.err.contains("add --yes"), "{}", unattended.err);
    let yes = Options { yes: true, force: false };
    assert_eq!(asked(&path, yes, None).code, 0);
    let first = fs::read_to_string(&path).unwrap();
    assert!(parse(&first).models.contains_key("mistral-large-latest"));
    fs::write(&path, "mine").unwrap();
    let refused = asked(&path, yes, None);
    assert_eq!((refused.code, refused.out.as_str()), (2, ""));
    assert!(refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    let forced = asked(&path, Options { yes: true, force: true }, None);
    assert_eq!(forced.code, 0, "{}", forced.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), first);
    assert_eq!(fs::read_to_string(folder.path().join("c.toml.bak")).unwrap(), "mine");
}

#[test]
fn without_a_home_folder_a_file_must_be_named() {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut terminal =
        Terminal { out: &mut out, err: &mut err, input: &mut io::empty(), attended: false };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ended = runtime.block_on(run(None, Options::default(), &|_| None, &mut terminal));
    assert_eq!(ended.unwrap(), 2);
    assert!(String::from_utf8(err).unwrap().contains("--config FILE"));
    assert_eq!(config::place(None, &|_| None), None::<PathBuf>);
}

/// The file up to the aliases for agents, which stand in a comment and load without it.
fn without_aliases(text: &str) -> &str {
    let (before, aliases) = text.split_once("\n# Agents insist").unwrap();
    let tables = aliases.lines().skip(2).map(|line| line.strip_prefix("# ").unwrap());
    let config = parse(&format!("{before}\n{}", tables.collect::<Vec<_>>().join("\n")));
    let smallest = config.server.task_model.as_deref().unwrap();
    for (asked, want) in [
        ("claude-haiku-4-5", smallest),
        ("gpt-5-mini", smallest),
        ("gpt-5-nano", smallest),
        ("claude-opus-5", "chorus"),
        ("gpt-5", "chorus"),
    ] {
        // A model's own name comes before any alias.
        let want = if config.models.contains_key(asked) { asked } else { want };
        assert_eq!(config.named(asked).unwrap().name(), want, "{asked}");
    }
    before
}
