//! What is wrong with a config, and how it is said.

use std::path::Path;

use chorus::{
    commands::{
        check::{self, Format},
        diagnostics::Look,
    },
    config::{Config, ConfigError, Overrides},
    llm::endpoint::probe::Spend,
};

const PLAN: &str = "[workflow-integration]\njson = '{\"workers\":[\"a\"],\"selector\":\"a\"}'\n";

fn model(keys: &str) -> String {
    let base = match keys.contains("api_base") {
        true => "",
        false => "api_base = \"http://127.0.0.1:1/v1\"\n",
    };
    format!("[[model]]\nname = \"a\"\n{base}{keys}\n{PLAN}")
}

fn env(_: &str) -> Option<String> {
    None
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Some(Path::new("c.toml")), &env)
}

/// What `chorus check` says of a file, on both its outputs.
fn checked(text: &str, overrides: &Overrides) -> (u8, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, text).unwrap();
    let look = Look::PLAIN;
    let options = check::Options {
        format: Format::Text,
        probe: false,
        spend: Spend::Nothing,
        out: look,
        err: look,
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = check::run(&path, &env, overrides, options, &mut out, &mut err).unwrap();
    out.extend(err);
    (code, String::from_utf8(out).unwrap().replace(&path.display().to_string(), "c.toml"))
}

#[test]
fn an_own_address_is_refused_in_every_spelling() {
    for (server, base, refused) in [
        ("", "http://127.0.0.1:11435", true),
        ("", "http://localhost:11435/v1", true),
        ("", "http://[::1]:11435/v1", true),
        ("", "http://0.0.0.0:11435", true),
        ("", "http://2130706433:11435/v1", true),
        ("", "http://LOCALHOST.:11435", true),
        ("[server]\nport = 9000\n", "http://127.0.0.1:9000", true),
        ("[server]\nport = 9000\n", "http://127.0.0.1:11435", false),
        ("[server]\nport = 0\n", "http://127.0.0.1:11435", false),
        ("", "http://127.0.0.1:11434", false),
    ] {
        let text = format!("{server}{}", model(&format!("api_base = \"{base}\"")));
        let said = parse(&text).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(said.contains("own address"), refused, "{server}{base}: {said}");
        // Another endpoint of the model, too.
        let more = model(&format!("[[model.endpoint]]\napi_base = \"{base}\""));
        assert_eq!(parse(&format!("{server}{more}")).is_err(), refused, "{server}{base}");
    }
    // What the command line says counts.
    let text = model("api_base = \"http://127.0.0.1:11435\"");
    let moved = Overrides { port: Some(9000), ..Overrides::default() };
    assert_eq!(checked(&text, &moved).0, 0);
    let here = Overrides { port: Some(9000), ..Overrides::default() };
    let (code, said) = checked(&text.replace("11435", "9000"), &here);
    assert!(code == 2 && said.contains("own address, port 9000"), "{said}");
}

#[test]
fn warnings_stand_in_the_headline_and_before_the_rest() {
    for (spelling, remedy) in [
        ("$OPENAI_API_KEY", "write env:OPENAI_API_KEY"),
        ("${OPENAI_API_KEY}", "write env:OPENAI_API_KEY"),
        ("os.environ/OPENAI_API_KEY", "write env:OPENAI_API_KEY"),
        ("ENV:OPENAI_API_KEY", "write env:OPENAI_API_KEY"),
        ("env::OPENAI_API_KEY", "write env:OPENAI_API_KEY"),
        ("{{ env.OPENAI_API_KEY }}", "write env:OPENAI_API_KEY"),
        ("%OPENAI_API_KEY%", "write env:OPENAI_API_KEY"),
        ("ENV['OPENAI_API_KEY']", "write env:OPENAI_API_KEY"),
        ("process.env.OPENAI_API_KEY", "write env:OPENAI_API_KEY"),
        ("<your key>", "write the real one"),
    ] {
        let (code, said) =
            checked(&model(&format!("api_key = \"{spelling}\"")), &Overrides::default());
        assert_eq!(code, 0, "{said}");
        assert!(
            said.starts_with("c.toml is fine, 1 warning: 1 model, 1 worker; no endpoint was asked"),
            "{said}"
        );
        let (warning, tree) = (said.find(remedy), said.find("└─ selector"));
        assert!(warning.is_some() && warning < tree, "{said}");
    }
    let clear = "api_base = \"http://api.example.com/v1\"\napi_key = \"k\"";
    let (_, said) = checked(&model(clear), &Overrides::default());
    assert!(said.contains("in clear text") && said.contains("fine, "), "{said}");
    for fine in ["https://api.example.com/v1", "http://127.0.0.1:1/v1", "http://10.0.0.7/v1"] {
        let keys = format!("api_base = \"{fine}\"\napi_key = \"k\"");
        assert!(!checked(&model(&keys), &Overrides::default()).1.contains("clear text"), "{fine}");
    }
}

#[test]
fn a_mistake_is_seen_and_a_secret_is_not() {
    for (text, seen, hidden) in [
        ("[workflow.timeouts]\nworker_timout_secs = 60", "worker_timout_secs = 60", None),
        ("colour = \"blue\"", "colour = \"blue\"", None),
        ("temprature = 0.5", "temprature = 0.5", None),
        ("api_key = \"file:keys/openai.txt\"", "file:keys/openai.txt", None),
        ("ca_cert = \"certs/none.pem\"", "certs/none.pem", None),
        ("api_keyy = \"hunter2\"", "api_keyy = \"***\"", Some("hunter2")),
        ("token = 12345", "token = ***", Some("12345")),
        ("my_password = \"hunter2\"", "my_password = \"***\"", Some("hunter2")),
        ("colour = \"sk-hunter2hunter2\"", "colour = \"***\"", Some("hunter2")),
        ("headers = { \"X-A\" = 12345 }", "\"X-A\" = ***", Some("12345")),
        ("api_base = \"api.example.com/v1?hunter2\"", "api.example.com/v1?***", Some("hunter2")),
    ] {
        let (code, said) = checked(&model(text), &Overrides::default());
        assert!(code == 2 && said.contains(seen), "{text}: {said}");
        assert!(hidden.is_none_or(|hidden| !said.contains(hidden)), "{text}: {said}");
    }
}

#[test]
fn full_width_characters_are_named_with_what_to_write() {
    let plan = |json: &str| {
        format!(
            "[[model]]\nname = \"a\"\napi_base = \"http://127.0.0.1:1\"\n\
                 [workflow-integration]\njson = '''\n{json}\n'''\n"
        )
    };
    for (text, seen, named) in [
        (
            plan("{ “workers”: [\"a\"], \"selector\": \"a\" }"),
            "{ “workers”: [\"a\"]",
            "write `\"` for `“`",
        ),
        (
            plan("{ \"workers\"： [\"a\"], \"selector\": \"a\" }"),
            "\"workers\"： [\"a\"]",
            "write `:` for `：`",
        ),
        (
            plan("{ \"workers\": [\"a\"]， \"selector\": \"a\" }"),
            "[\"a\"]， \"selector\"",
            "write `,` for `，`",
        ),
        (
            plan("｛ \"workers\": [\"a\"], \"selector\": \"a\" ｝"),
            "｛ \"workers\"",
            "write `{` for `｛`",
        ),
        (model("protocol = “ollama”"), "protocol = “ollama”", "write `\"` for `“`"),
        (model("vision ＝ true"), "vision ＝ true", "write `=` for `＝`"),
        (
            model("api_base = \"http：//127.0.0.1:8080\""),
            "http：//127.0.0.1:8080",
            "write `:` for `：`",
        ),
    ] {
        let (code, said) = checked(&text, &Overrides::default());
        assert_eq!(code, 2, "{text}");
        assert!(said.contains(seen) && said.contains(named), "{text}\n{said}");
    }
    // Secrets and prompts stay hidden there too.
    for text in [
        plan("{ “workers”: [{\"ref\": \"a\", \"system\": \"hunter2 and more\"}] }"),
        plan("{ “workers”: [\"a\"],\n  \"system\": “hunter2，and”,\n \"selector\": \"a\" }"),
        model("api_key = “hunter2”"),
        model("headers = { “X” = “hunter2” }"),
    ] {
        let (_, said) = checked(&text, &Overrides::default());
        assert!(!said.contains("hunter2"), "{text}\n{said}");
    }
}

#[test]
fn a_config_that_writes_down_a_former_default_is_warned_of_once() {
    for keys in [
        "unknown_model = \"workflow\"\nusage = \"total\"",
        "usage = \"total\"",
        "unknown_model = \"workflow\"",
        "ollama_version = \"0.13.5\"",
    ] {
        let config = parse(&format!("[server]\n{keys}\n{}", model(""))).unwrap();
        let warned: Vec<&str> =
            config.warnings.iter().map(|warning| warning.what.as_str()).collect();
        let [once] = warned.as_slice() else { panic!("{keys}: {warned:?}") };
        assert!(once.contains("default of 0.1.0"), "{once}");
        for key in ["usage", "unknown_model", "ollama_version"]
            .into_iter()
            .filter(|key| keys.contains(*key))
        {
            assert!(once.contains(&format!("`{key} = ")), "{key}: {once}");
        }
    }
    let now = parse(&format!("[server]\nusage = \"answer\"\n{}", model(""))).unwrap();
    assert!(now.warnings.is_empty(), "{:?}", now.warnings);
}
