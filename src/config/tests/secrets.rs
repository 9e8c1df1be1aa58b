//! Keys that are elsewhere: systemd's credentials, programs, Vault.

use super::*;

/// Two models and a client, with these for keys, and a header.
fn text(first: &str, second: &str, client: &str, header: &str) -> String {
    let base = "api_base = \"https://llm.example/v1\"";
    format!(
        "[[model]]\nname = \"a\"\n{base}\napi_key = '''{first}'''\n\
         headers = {{ X-Org = '''{header}''' }}\n\
         [[model]]\nname = \"b\"\n{base}\napi_key = '''{second}'''\n\
         [[client]]\nname = \"x\"\nkey = '''{client}'''\n{PLAN}"
    )
}

fn keys(config: &Config) -> (&str, &str, &str) {
    let key = |name: &str| config.models[name].endpoints[0].api_key.expose();
    let header = config.models["a"].headers["x-org"].to_str().unwrap();
    (key("a"), key("b"), header)
}

#[test]
fn credentials_of_systemd_are_read_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("openai"), "from-systemd\n").unwrap();
    let directory = folder.path().to_str().unwrap().to_owned();
    let env = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| directory.clone());
    let all = text("cred:openai", "cred: openai", "cred:openai", "cred:openai");
    let config = Config::parse(&all, None, &env).unwrap();
    assert_eq!(keys(&config), ("from-systemd", "from-systemd", "from-systemd"));
    assert!(config.files.contains(&folder.path().join("openai")), "it is followed");
    for (key, want) in [
        ("cred:missing", "the credential behind cred: cannot be read: No such file"),
        ("cred:../s3cret", "cred: is followed by no name of a credential"),
        ("cred:", "cred: is followed by no name of a credential"),
    ] {
        let error = Config::parse(&text(key, "", "k", "o"), None, &env).unwrap_err().to_string();
        assert!(error.contains(&format!("config:4: model `a`: `api_key`: {want}")), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    let error = Config::parse(&text("cred:openai", "", "k", "o"), None, &no_env).unwrap_err();
    assert!(error.to_string().contains("needs systemd"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_program_runs_once_a_load_however_often_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let command = "cmd:sh -c 'echo run >>runs; echo sk-1f9a'";
    std::fs::write(&path, text(command, command, command, "cmd:echo org")).unwrap();
    let stores = SecretStores::default();
    for runs in 1..3 {
        let config = Config::load_asking(&path, &no_env, &Overrides::default(), &stores).unwrap();
        assert_eq!(keys(&config), ("sk-1f9a", "sk-1f9a", "org"));
        assert_eq!(config.asked, ["the program `echo`", "the program `sh`"]);
        let noted = std::fs::read_to_string(folder.path().join("runs")).unwrap();
        assert_eq!((noted.lines().count(), stores.were_asked()), (runs, true));
    }
    let closed = SecretStores::closed();
    let config = Config::load_asking(&path, &no_env, &Overrides::default(), &closed).unwrap();
    assert_eq!((keys(&config).0, config.asked.len()), ("not-set", 0));
    let noted = std::fs::read_to_string(folder.path().join("runs")).unwrap();
    assert_eq!((noted.lines().count(), closed.were_asked()), (2, false));
}

#[cfg(unix)]
#[test]
fn a_program_that_fails_is_a_problem_of_each_key_that_names_it() {
    let line = "cmd:sh -c 'echo s3cret; exit 7'";
    let error = errors(&text(line, line, line, line));
    let problem = "the program behind cmd: ended with exit status: 7; run it by hand as the user \
                   that Chorus runs as";
    for place in [
        "c.toml:4: model `a`: `api_key`",
        "c.toml:5: model `a`: header `X-Org`",
        "c.toml:9: model `b`: `api_key`",
        "c.toml:12: client `x`: `key`",
    ] {
        assert!(error.contains(&format!("{place}: {problem}")), "{place}\n{error}");
    }
    assert!(!error.contains("s3cret"), "{error}");
}

#[test]
fn a_vault_that_nobody_named_is_a_problem_with_a_remedy() {
    for (key, want) in [
        ("vault:secret/s3cret#openai", "VAULT_TOKEN is not set"),
        ("vault:s3cret", "vault: is followed by no path and field; write vault:STORE/PATH#FIELD"),
    ] {
        let error = errors(&text(key, "", "k", "o"));
        assert!(error.contains(&format!("c.toml:4: model `a`: `api_key`: {want}")), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
