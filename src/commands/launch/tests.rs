//! What agents are given, what is shown of it, and where Chorus is looked for.

use super::{agents::Text, *};
use crate::config::Server;

const CONFIG: &str = r#"
[server]
port = 8080
task_model = "small"
[[model]]
name = "small"
api_base = "http://127.0.0.1:1/v1"
[[model]]
name = "large"
api_base = "http://127.0.0.1:1/v1"
[workflow-integration]
json = '{"workers": ["large"], "selector": "large"}'
"#;

fn launch<'a>(options: &'a Options, config: Option<&str>) -> Launch<'a> {
    let config = config.map(|text| Arc::new(Config::parse(text, None, &|_| None).unwrap()));
    let agent = Agent::named(options.agent.as_deref().unwrap()).unwrap();
    Launch { agent, options, env: |_| None, config }
}

fn options(agent: &str) -> Options {
    Options { agent: Some(agent.to_owned()), ..Options::default() }
}

/// What `--print` shows of an agent.
fn shown(agent: &str, context: Option<u32>, arguments: &[&str]) -> String {
    let options = options(agent);
    let launch = launch(&options, Some(CONFIG));
    let setup = (launch.agent.setup)(&launch.target("http://127.0.0.1:8080/", context));
    let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
    let mut out = Vec::new();
    print::setup(launch.agent, &setup, &arguments, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn what_agents_are_given_can_be_copied() {
    insta::assert_snapshot!(shown("claude", Some(65536), &["-p", "What's new?"]), @r#"
    export CHORUS_API_KEY="${CHORUS_API_KEY:-chorus}"
    unset ANTHROPIC_API_KEY CLAUDE_CODE_USE_BEDROCK CLAUDE_CODE_USE_FOUNDRY CLAUDE_CODE_USE_VERTEX
    export ANTHROPIC_BASE_URL=http://127.0.0.1:8080
    export ANTHROPIC_AUTH_TOKEN="$CHORUS_API_KEY"
    export ANTHROPIC_MODEL=chorus
    export ANTHROPIC_DEFAULT_OPUS_MODEL=chorus
    export ANTHROPIC_DEFAULT_SONNET_MODEL=chorus
    export ANTHROPIC_DEFAULT_HAIKU_MODEL=small
    export CLAUDE_CODE_SUBAGENT_MODEL=chorus
    export CLAUDE_CODE_ATTRIBUTION_HEADER=0
    export CLAUDE_CODE_MAX_CONTEXT_TOKENS=65536
    claude -p 'What'\''s new?'
    "#);
    insta::assert_snapshot!(shown("codex", None, &["exec"]), @r#"
    export CHORUS_API_KEY="${CHORUS_API_KEY:-chorus}"
    codex -c 'model="chorus"' -c 'model_provider="chorus"' -c 'model_providers.chorus.name="Chorus"' -c 'model_providers.chorus.base_url="http://127.0.0.1:8080/v1"' -c 'model_providers.chorus.env_key="CHORUS_API_KEY"' -c 'model_providers.chorus.wire_api="responses"' -c 'model_providers.chorus.supports_websockets=false' exec
    "#);
    insta::assert_snapshot!(shown("gemini", None, &[]), @r#"
    export CHORUS_API_KEY="${CHORUS_API_KEY:-chorus}"
    folder=$(mktemp -d)
    mkdir -p "$folder/.gemini"
    cat >"$folder/.gemini/settings.json" <<'END'
    {"security":{"auth":{"selectedType":"gemini-api-key"}}}
    END
    unset GOOGLE_API_KEY GOOGLE_GENAI_USE_GCA GOOGLE_GENAI_USE_VERTEXAI
    export GEMINI_CLI_HOME="$folder"
    export GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:8080
    export GEMINI_API_KEY="$CHORUS_API_KEY"
    export GEMINI_MODEL=chorus
    gemini
    "#);
}

/// Every text that an agent is given.
fn texts(setup: &Setup) -> Vec<&Text> {
    let variables = setup.variables.iter().map(|(_, text)| text);
    variables.chain(&setup.arguments).collect()
}

#[test]
fn every_agent_learns_where_and_whom_to_ask() {
    for agent in agents::ALL {
        let options = options(agent.name);
        let target = launch(&options, Some(CONFIG)).target("http://127.0.0.1:8080/", Some(65536));
        let setup = (agent.setup)(&target);
        let has = |words: &str| {
            let in_text = |text: &&Text| matches!(text, Text::Plain(text) if text.contains(words));
            texts(&setup).iter().any(in_text)
                || setup.files.iter().any(|(_, text)| text.contains(words))
        };
        assert!(has("http://127.0.0.1:8080") && has("chorus"), "{}", agent.name);
        assert!(!has("8080//"), "{}", agent.name);
        let by_name = has(KEY);
        assert!(by_name || texts(&setup).contains(&&Text::Key), "{}: no key", agent.name);
        for text in texts(&setup) {
            if let Text::Path(name) = text {
                let is_there = name.is_empty() || setup.files.iter().any(|(file, _)| file == name);
                assert!(is_there, "{}: {name}", agent.name);
            }
        }
    }
}

#[test]
fn the_users_settings_of_gemini_are_kept_but_for_how_it_authenticates() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".gemini")).unwrap();
    let file = home.path().join(".gemini/settings.json");
    let options = options("gemini");
    let mut target = launch(&options, None).target("http://127.0.0.1:11435/", None);
    target.home = Some(home.path().to_owned());
    for (text, want) in [
        (
            r#"{"ui":{"theme":"Ayu"},"security":{"auth":{"selectedType":"oauth-personal"},"x":1}}"#,
            r#"{"ui":{"theme":"Ayu"},"security":{"auth":{"selectedType":"gemini-api-key"},"x":1}}"#,
        ),
        (r#"{"security":7}"#, r#"{"security":{"auth":{"selectedType":"gemini-api-key"}}}"#),
        ("// no JSON", r#"{"security":{"auth":{"selectedType":"gemini-api-key"}}}"#),
    ] {
        std::fs::write(&file, text).unwrap();
        let setup = (launch(&options, None).agent.setup)(&target);
        assert_eq!(setup.files[0].1, want);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}

#[test]
fn chorus_is_looked_for_where_the_config_says() {
    let base = |options: &Options, config| launch(options, config).base().map(String::from);
    let url = |text: &str| Some(text.to_owned());
    let port = |port| Overrides { port: Some(port), ..Overrides::default() };
    let elsewhere = Some("https://chorus.example/".parse().unwrap());
    let mut asked = options("claude");
    assert_eq!(base(&asked, Some(CONFIG)), url("http://127.0.0.1:8080/"));
    assert_eq!(base(&asked, None), url("http://127.0.0.1:11435/"));
    asked.overrides = port(0);
    assert_eq!(base(&asked, None), None);
    asked.overrides = port(9);
    assert_eq!(base(&asked, None), url("http://127.0.0.1:9/"));
    asked.url = elsewhere;
    assert_eq!(base(&asked, Some(CONFIG)), url("https://chorus.example/"));
    let Server { host, port, .. } = Server::default();
    assert_eq!((host.as_str(), port), USUAL);
    for (host, want) in [
        ("0.0.0.0", "http://127.0.0.1:1/"),
        ("::", "http://[::1]:1/"),
        ("fe80::1", "http://[fe80::1]:1/"),
        ("localhost", "http://localhost:1/"),
    ] {
        assert_eq!(reached("http", host, 1), want);
    }
}

#[test]
fn background_questions_go_to_the_task_model_or_the_alias() {
    let options = options("claude");
    let alias = "\n[[alias]]\nname = \"claude-haiku*\"\nmodel = \"large\"\n";
    let without = CONFIG.replace("task_model = \"small\"", "");
    for (config, want) in [
        (Some(CONFIG.to_owned()), "small"),
        (Some(without.clone() + alias), "large"),
        (Some(without), "chorus"),
        (None, "chorus"),
    ] {
        let launch = launch(&options, config.as_deref());
        assert_eq!(launch.target("http://x/", None).small, want);
    }
}

#[test]
fn this_machine_is_not_asked_through_a_proxy() {
    let said = |base: &str, variables: &[(&str, &str)]| {
        child::no_proxy(base, &|name| {
            let found = variables.iter().find(|(one, _)| *one == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    };
    let here = "http://127.0.0.1:11435/";
    let proxy = ("HTTPS_PROXY", "http://proxy.example");
    assert_eq!(said(here, &[]), None);
    assert_eq!(said("https://chorus.example/", &[proxy]), None);
    assert_eq!(said(here, &[proxy]), Some(("NO_PROXY", "127.0.0.1".to_owned())));
    let both = [proxy, ("no_proxy", "a.example")];
    assert_eq!(said(here, &both), Some(("no_proxy", "a.example,127.0.0.1".to_owned())));
}
