//! Whole files in, configs or exact reports out.

pub(crate) mod broken;
mod doubts;
mod names;
mod plans;
mod reference;
mod schema;
mod secrets;

use std::{path::Path, time::Duration};

use super::*;
use crate::types::Protocol;

fn no_env(_: &str) -> Option<String> {
    None
}

pub(crate) fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Some(Path::new("c.toml")), &no_env)
}

fn lines(found: &[Diagnostic]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn errors(text: &str) -> String {
    parse(text).expect_err("it should be refused").to_string()
}

/// Two models, `a` and `b`, on a local server.
pub(crate) const MODELS: &str = r#"
[[model]]
name = "a"
api_base = "http://127.0.0.1:8080/v1"
[[model]]
name = "b"
api_base = "http://127.0.0.1:8080/v1"
"#;

pub(crate) fn with_plan(settings: &str, json: &str) -> String {
    format!("{MODELS}[workflow-integration]\n{settings}\njson = '''{json}'''\n")
}

pub(crate) const PLAN: &str =
    "[workflow-integration]\njson = '{\"workers\":[\"a\"],\"selector\":\"a\"}'\n";

/// The defaults of the file are those of a config that is made of none.
fn assert_default_limits(config: &Config) {
    use LimitKind::{Analyzer, Connect, Selector, Synthesizer, Worker};
    for kind in [Analyzer, Worker, Selector, Synthesizer, Connect] {
        assert_eq!(config.timeouts.base(kind), TimeLimits::default().base(kind), "{kind:?}");
    }
}

#[test]
fn the_smallest_example_loads_with_the_documented_defaults() {
    let config = Config::load(Path::new("config-example.toml"), &no_env).unwrap();
    assert_eq!((config.notices.len(), config.warnings.len()), (0, 0));
    assert_eq!((config.server.host.as_str(), config.server.port), ("127.0.0.1", 11435));
    assert_eq!(config.server.request_body_limit, 64 << 20);
    assert_default_limits(&config);
    assert_eq!(config.retry, Retry::default());
    let model = &config.models["qwen3:8b"];
    assert_eq!(model.protocol, Protocol::Ollama);
    assert_eq!((model.context_tokens, model.upstream_model.as_str()), (8192, "qwen3:8b"));
    assert_eq!(config.workflow.plan.leaf_count(), 2);
    assert_eq!(config.workflow.plan.name, "chorus");
}

/// Every commented option of the example is a key that exists, with a value that is accepted.
#[test]
fn every_option_of_the_example_is_real() {
    let text = include_str!("../../config-example.toml");
    let (_, options) = text.split_once("# Every option follows").unwrap();
    let real = options.lines().filter_map(|line| line.strip_prefix("# ")).filter(|line| {
        // Examples of what is not set by default, and files that are not there.
        let set_elsewhere = [
            "json = ",
            "json_file = ",
            "ca_cert = ",
            "task_model = ",
            "workers = ",
            "unix_socket = ",
            "ui_origins = ",
            "[server.tls]",
            "cert = ",
            "key = \"key.pem\"",
            "client_ca = ",
        ];
        (line.starts_with('[') || line.contains(" = "))
            && !set_elsewhere.iter().any(|key| line.starts_with(key))
    });
    let mut text: String = real.map(|line| format!("{line}\n")).collect();
    let json = "json = '{ \"workers\": [\"deepseek-chat\"], \"selector\": \"deepseek-chat\" }'\n";
    text = text.replace("max_workers = 64", &format!("{json}max_workers = 64"));
    let env =
        |name: &str| (!name.to_uppercase().ends_with("_PROXY")).then(|| format!("value of {name}"));
    let config = Config::parse(&text, None, &env).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(config.clients.len(), 1);
    let model = &config.models["deepseek-chat"];
    assert_eq!(model.endpoints[0].api_key.expose(), "value of DEEPSEEK_API_KEY");
    assert!(model.headers["x-org"].is_sensitive());
    assert_eq!(model.context_tokens, 32_768);
    // What the comments call the default is the default.
    // The folder's is the environment's.
    let data_dir = config.server.data_dir.clone();
    let default = Server { data_dir, ..Server::default() };
    assert_eq!(format!("{:?}", config.server), format!("{default:?}"));
    assert_default_limits(&config);
    assert_eq!(config.retry, Retry::default());
    assert_eq!(config.transport, Transport::default());
    assert_eq!((model.max_concurrency, config.workflow.max_concurrency), (None, None));
    assert!((model.max_temperature - 2.0).abs() < f32::EPSILON);
}

#[test]
fn the_json_example_loads_nested() {
    let env = |name: &str| name.ends_with("_API_KEY").then(|| "k".to_owned());
    let config = Config::load(Path::new("config-json-format-example.toml"), &env).unwrap();
    assert_eq!((config.notices.len(), config.warnings.len()), (0, 0));
    let names: Vec<&str> = config.workflow.plan.members.iter().map(Member::name).collect();
    assert_eq!(names, ["kimi-k2", "terse", "panel"]);
    let Member::Nested(panel) = &config.workflow.plan.members[2] else { panic!("a panel") };
    let names: Vec<&str> = panel.members.iter().map(Member::name).collect();
    assert_eq!(names, ["deepseek-chat", "qwen3#1", "qwen3#2"]);
    assert_eq!(panel.policy.min_success, 2);
    let Member::Leaf(second) = &panel.members[2] else { panic!("a leaf") };
    assert_eq!(second.copy, 1);
    assert_eq!(second.stage.timeout, Some(Duration::from_millis(45_500)));
    let calls = config.workflow.plan.worst_case_calls(&config.models);
    let calls: Vec<(String, u64)> = calls.into_iter().collect();
    let want = [("qwen3", 10), ("kimi-k2", 5), ("deepseek-chat", 7)];
    assert_eq!(calls, want.map(|(name, calls)| (name.to_owned(), calls)));
    let domain = config.timeouts.domains["api.deepseek.com"];
    assert_eq!(domain.worker_timeout_secs, Some(120.0));
    // Moonshot's models refuse more than 1.
    assert!((config.models["kimi-k2"].max_temperature - 1.0).abs() < f32::EPSILON);
}

#[test]
fn the_old_file_loads_and_says_what_it_was() {
    let config = Config::load(Path::new("test-old-config.toml"), &no_env).unwrap();
    insta::assert_snapshot!(lines(&config.notices), @r"
    test-old-config.toml: no [server]: it listens on 127.0.0.1:11435; `chorus migrate` writes the new form
    test-old-config.toml: no model sets `temperature` or `auto_temperature`: the plan, the request and the defaults of TEMPERATURE_CONFIG.md decide; `chorus migrate` writes the new form
    test-old-config.toml:5: the single table [model] is read as one [[model]]; `chorus migrate` writes the new form
    test-old-config.toml:10: `analyzer_model`, `worker_models` and the like are read as a workflow whose selector is the synthesizer's model; `chorus migrate` writes the new form
    test-old-config.toml:16: time limits of 10000 and more are milliseconds: read [workflow.timeouts] `analyzer_timeout_secs = 30000` as 30 s, [workflow.timeouts] `worker_timeout_secs = 90000` as 90 s; `chorus migrate` writes the new form
    ");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.timeouts.base(LimitKind::Analyzer), Duration::from_secs(30));
    assert_eq!(config.timeouts.base(LimitKind::Worker), Duration::from_secs(90));
    assert_eq!(config.timeouts.base(LimitKind::Synthesizer), Duration::from_secs(60));
    assert_eq!(config.models["llama3"].protocol, Protocol::OpenAi);
    let names: Vec<&str> = config.workflow.plan.members.iter().map(Member::name).collect();
    assert_eq!(names, ["llama3#1", "llama3#2"]);
    // Without `selector_model`, the synthesizer's model selects.
    assert_eq!(config.workflow.plan.selector, config.workflow.plan.synthesizer);
}

#[test]
fn several_problems_are_reported_at_once() {
    let text = r#"
[server]
port = 70000
hots = "127.0.0.1"

[[model]]
name = "a"
api_base = "localhost:11434"
temperature = 3
api_key = "env:MISSING_KEY"

[workflow-integration]
json = """
{ "workers": [ { "ref": "b" }, { "rfe": "a" } ], "selector": "c", "synthesizer": "b" }
"""
"#;
    insta::assert_snapshot!(errors(text), @r#"
    Workflow configuration references undefined model(s): b, c
    c.toml:3: [server]: `port` is out of range; write a whole number from 0 to 65535
    c.toml:4: [server]: unknown key `hots`; did you mean `host`?
    c.toml:8: model `a`: `api_base` does not begin with http:// or https://; write it like "http://127.0.0.1:11434" or "https://api.example.com/v1"
    c.toml:9: model `a`: `temperature` is out of range; write a number from 0 to 2
    c.toml:10: model `a`: `api_key`: the environment variable MISSING_KEY is not set; export it before starting Chorus, or correct the name
    c.toml:14: workers[0].ref, synthesizer: there is no [[model]] named `b`; add it, or name `a`
    c.toml:14: workers[1]: names no model; add `"ref": "a-model"`
    c.toml:14: workers[1].rfe: unknown key; did you mean `ref`?
    c.toml:14: selector: there is no [[model]] named `c`; add it, or name `a`
    "#);
}

/// A config that is loaded again, as a reload does, has the key that is in the file by then.
#[test]
fn a_key_file_is_read_at_each_load() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (folder.path().join("c.toml"), folder.path().join("key"));
    let text = MODELS.replacen("/v1\"", "/v1\"\napi_key = \"file:key\"", 1) + PLAN;
    std::fs::write(&path, text).unwrap();
    for (written, want) in [("one\n", "one"), ("  two \r\n", "two"), ("three", "three")] {
        std::fs::write(&key, written).unwrap();
        let config = Config::load(&path, &|_| None).unwrap();
        assert_eq!(config.models["a"].endpoints[0].api_key.expose(), want);
    }
    std::fs::remove_file(&key).unwrap();
    assert!(Config::load(&path, &|_| None).is_err());
}

#[test]
fn keys_are_resolved_from_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    std::fs::write(folder.path().join("keys/b.txt"), "  from-file\n").unwrap();
    let text = MODELS
        .replacen("/v1\"", "/v1\"\napi_key = \"env:KEY_A\"", 1)
        .replace("name = \"b\"", "name = \"b\"\napi_key = \"file:keys/b.txt\"")
        + PLAN
        + "[[client]]\nname = \"x\"\nkey = \"from-env\"\n[[client]]\nname = \"y\"\nkey = \
           \"sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8\"\n";
    let env = |name: &str| (name == "KEY_A").then(|| " from-env ".to_owned());
    let config = Config::parse(&text, Some(&folder.path().join("c.toml")), &env).unwrap();
    assert_eq!(config.models["a"].endpoints[0].api_key.expose(), "from-env");
    assert_eq!(config.models["b"].endpoints[0].api_key.expose(), "from-file");
    let digest: Vec<String> =
        config.clients.iter().map(|client| format!("{:02x}", client.key_sha256[0])).collect();
    // The digests of "from-env" and "password".
    assert_eq!(digest, ["43", "5e"]);
    let shown = format!("{config:?}");
    assert!(!shown.contains("from-env") && !shown.contains("from-file"), "{shown}");
}

#[test]
fn the_protocol_is_inferred_where_the_host_shows_it() {
    for (base, want, url) in [
        ("http://127.0.0.1:11434", Protocol::Ollama, "http://127.0.0.1:11434/"),
        ("http://127.0.0.1:11434/", Protocol::Ollama, "http://127.0.0.1:11434/"),
        ("http://127.0.0.1:11434/api", Protocol::Ollama, "http://127.0.0.1:11434/"),
        ("http://ollama:8000", Protocol::Ollama, "http://ollama:8000/"),
        ("http://127.0.0.1:11434/v1", Protocol::OpenAi, "http://127.0.0.1:11434/v1"),
        ("https://ollama.com/v1/", Protocol::OpenAi, "https://ollama.com/v1"),
        ("https://api.openai.com/v1", Protocol::OpenAi, "https://api.openai.com/v1"),
        ("https://api.anthropic.com", Protocol::Anthropic, "https://api.anthropic.com/"),
        ("https://api.anthropic.com/v1", Protocol::Anthropic, "https://api.anthropic.com/v1"),
        (
            "https://generativelanguage.googleapis.com",
            Protocol::Gemini,
            "https://generativelanguage.googleapis.com/",
        ),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            Protocol::OpenAi,
            "https://generativelanguage.googleapis.com/v1beta/openai",
        ),
    ] {
        let text = format!("[[model]]\nname = \"a\"\napi_base = \"{base}\"\n{PLAN}");
        let config = parse(&text).unwrap_or_else(|error| panic!("{base}: {error}"));
        let model = &config.models["a"];
        assert_eq!((model.protocol, model.endpoints[0].api_base.as_str()), (want, url), "{base}");
    }
}

#[test]
fn the_command_line_wins_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, format!("[server]\nhost = \"0.0.0.0\"\n{MODELS}{PLAN}")).unwrap();
    assert!(Config::load(&path, &no_env).is_err());
    let host = |host: &str| Overrides {
        host: Some(host.to_owned()),
        port: Some(0),
        log_format: Some(LogFormat::Json),
    };
    let config = Config::load_with(&path, &no_env, &host("::1")).unwrap();
    assert_eq!((config.server.host.as_str(), config.server.port), ("::1", 0));
    assert_eq!(config.log_format, LogFormat::Json);
    for bad in ["0.0.0.0", "example.org", "a b"] {
        assert!(Config::load_with(&path, &no_env, &host(bad)).is_err(), "{bad}");
    }
}

#[test]
fn the_selector_has_the_synthesizers_limit_unless_it_has_its_own() {
    for (timeouts, want) in [
        ("synthesizer_timeout_secs = 7", 7.0),
        ("synthesizer_timeout_secs = 7\nselector_timeout_secs = 2.5", 2.5),
        ("", 60.0),
    ] {
        let text = format!("{MODELS}{PLAN}[workflow.timeouts]\n{timeouts}\n");
        let config = parse(&text).unwrap();
        let limit = config.timeouts.base(LimitKind::Selector);
        assert_eq!(limit, Duration::from_secs_f64(want), "{timeouts}");
        assert!(config.notices.is_empty(), "{:?}", config.notices);
    }
}

#[test]
fn doubtful_things_are_warned_of() {
    let text = r#"
[[model]]
name = "a"
api_base = "https://api.moonshot.cn/v1"
api_key = "your-api-key-here"
temperature = 1.5
auto_temperature = true
[[model]]
name = "b"
api_base = "http://127.0.0.1:8080/v1"
temperature = 0
[workflow-integration]
nested_worker_depth = 2
json = '{ "workers": ["a", "b", {"ref": "a", "temperature": 0, "samples": 2}], "selector": "b" }'
[workflow.domains."api.example.com"]
worker_timeout_secs = 20000
[workflow.domains."127.0.0.1:8080"]
worker_timeout_secs = 20
[[client]]
name = "x"
key = "one"
[[client]]
name = "y"
key = "one"
"#;
    let config = parse(text).unwrap();
    insta::assert_snapshot!(lines(&config.warnings), @r#"
    c.toml:5: model `a`: `api_key` is a placeholder; write the real one, or env:NAME
    c.toml:6: model `a`: both `temperature` and `auto_temperature = true`: the analyzer's value wins now, where earlier versions let `temperature` win; keep one of them
    c.toml:6: model `a`: `temperature` is more than it takes, 1 is sent; write at most 1, or correct `max_temperature`
    c.toml:14: workers[1]: 2 identical workers of `b` at temperature 0 will answer alike; give them another temperature or fewer copies
    c.toml:14: workers[2]: 4 identical workers of `a` at temperature 0 will answer alike; give them another temperature or fewer copies
    c.toml:15: [workflow.domains."api.example.com"] is the host of no model; name one of `127.0.0.1`, `api.moonshot.cn`, or take the section out
    c.toml:22: clients `x` and `y` have the same key; give each its own, so that they can be told apart
    "#);
    assert_eq!(config.notices.len(), 3, "{:?}", config.notices);
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let model = "[[model]]\nname = \"a\"\napi_base = \"https://api.example.com/v1\"\n";
    std::fs::write(&path, format!("{model}api_key = \"sk-1\"\n{PLAN}")).unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "sk-1").unwrap();
    let is_warned_of = |file: &Path| {
        [0o644, 0o600].map(|mode| {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
            Config::load(&path, &no_env).unwrap().warnings.len()
        })
    };
    assert_eq!(is_warned_of(&path), [1, 0]);
    std::fs::write(&path, format!("{model}api_key = \"file:key\"\n{PLAN}")).unwrap();
    assert_eq!(is_warned_of(&key), [1, 0]);
}

#[test]
fn files_of_windows_editors_are_read() {
    let text = format!("\u{feff}{MODELS}{PLAN}[sever]\n").replace('\n', "\r\n");
    assert_eq!(errors(&text), "c.toml:10: the file: unknown key `sever`; did you mean `server`?");
}

#[test]
fn old_stage_keys_make_the_same_plan_as_json() {
    let old = "[workflow-integration]\nanalyzer_model = \"a\"\nworker_models = [\"a\", \"b\"]\n\
               selector_model = \"a\"\nsynthesizer_model = \"b\"\n";
    let new = r#"{"analyzer":"a","workers":["a","b"],"selector":"a","synthesizer":"b"}"#;
    let old = parse(&format!("{MODELS}{old}")).unwrap();
    assert_eq!(old.workflow, parse(&with_plan("", new)).unwrap().workflow);
    assert!(old.notices.iter().all(|notice| notice.remedy.contains("`chorus migrate`")));
}

#[test]
fn a_proxy_is_that_of_the_scheme_and_of_use_to_somebody() {
    let near = "http://127.0.0.1:8080/v1";
    let (far, plain) = ("https://models.example/v1", "http://models.example/v1");
    let found = |base: &str, env: &[(&str, &str)]| {
        let text = format!("[[model]]\nname = \"a\"\napi_base = \"{base}\"\n{PLAN}");
        let env = |name: &str| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let proxies = Config::parse(&text, None, &env).map(|config| config.transport.proxies);
        proxies.map(|found| {
            let of = |proxy: Option<Proxy>| proxy.map(|one| (one.variable, one.url.to_string()));
            (of(found.http), of(found.https), found.bypass)
        })
    };
    let proxy = |variable, url: &str| Some((variable, url.to_owned()));
    let (p, q) = ("http://p:1/", "http://q:2/");
    for (base, env, http, https) in [
        (far, vec![("HTTPS_PROXY", p), ("HTTP_PROXY", q)], None, proxy("HTTPS_PROXY", p)),
        (far, vec![("https_proxy", p), ("HTTP_PROXY", q)], None, proxy("https_proxy", p)),
        (far, vec![("HTTPS_PROXY", " "), ("ALL_PROXY", "p:1")], None, proxy("ALL_PROXY", p)),
        (far, vec![("HTTP_PROXY", "???")], None, None),
        (plain, vec![("http_proxy", p), ("all_proxy", q)], proxy("http_proxy", p), None),
        (plain, vec![("HTTPS_PROXY", p), ("all_proxy", q)], proxy("all_proxy", q), None),
        (near, vec![("HTTP_PROXY", "???"), ("ALL_PROXY", "ftp://p")], None, None),
    ] {
        assert_eq!(found(base, &env).unwrap(), (http, https, String::new()), "{base} {env:?}");
    }
    let bypass = found(far, &[("no_proxy", "a.example, 10.0.0.0/8")]).unwrap().2;
    assert_eq!(bypass, "a.example, 10.0.0.0/8");
    // Whatever is wrong with it, its password is not shown.
    for value in ["ftp://me:5ecre7@p", "me:5ecre7@p:port", "http://me:5ecre7@"] {
        let report = found(far, &[("HTTPS_PROXY", value)]).unwrap_err().to_string();
        assert_eq!(
            report,
            "config: the environment variable HTTPS_PROXY holds no proxy address, and model `a` \
             would be reached through it; write it like http://proxy.example:3128 (https, socks5, \
             socks5h, socks4 and socks4a are known too), or unset it"
        );
    }
}

#[test]
fn a_hedge_that_has_nowhere_to_go_is_warned_of() {
    let late = "hedge_after_ms = 500";
    let more = format!("{late}\n[[model.endpoint]]\napi_base = \"http://127.0.0.1:9/v1\"");
    let stage = |fallback: &str| format!("{{ \"ref\": \"a\", \"fallback\": [{fallback}] }}");
    for (keys, stage, warned) in [
        (late, stage(""), true),
        (late, stage("\"b\""), false),
        (&more, stage(""), false),
        ("", stage(""), false),
    ] {
        let plan = format!(
            "{{ \"workers\": [{{ \"ref\": \"a\", \"fallback\": [\"b\"] }}], \"synthesizer\": {stage} }}"
        );
        let models = MODELS.replacen(":8080/v1\"", &format!(":8080/v1\"\n{keys}"), 1);
        let text = format!("{models}[workflow-integration]\njson = '{plan}'\n");
        let warnings = parse(&text).unwrap().warnings;
        assert_eq!(!warnings.is_empty(), warned, "{text}: {warnings:?}");
        let words = "c.toml:2: model `a`: `hedge_after_ms` does nothing";
        assert!(
            warnings.iter().all(|warning| warning.to_string().starts_with(words)),
            "{warnings:?}"
        );
    }
}

/// The smallest config's.
impl Default for Server {
    fn default() -> Self {
        parse(&format!("{MODELS}{PLAN}")).unwrap().server
    }
}
