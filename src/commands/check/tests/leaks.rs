//! The search for leaked keys in everything that is shown of a config.

use std::path::Path;

use proptest::prelude::*;

use super::{
    super::{json, screen},
    *,
};
use crate::{
    commands::diagnostics::{self, Look},
    config::tests::*,
};

/// Where a key stands, and everything around it that may be wrong.
const SECRET: &str = "sk-5ecre7-do-not-show";

fn with_secrets() -> String {
    format!(
        r#"
[server]
host = "127.0.0.1"
[[client]]
name = "laptop"
key = "{SECRET}"
[[model]]
name = "a"
api_base = "http://me:{SECRET}@127.0.0.1:8080/v1?key={SECRET}"
api_key = "{SECRET}"
protocol = "{SECRET}"
headers = {{ "X-Key" = "{SECRET}", "Host" = "{SECRET}" }}
ca_cert = "{SECRET}"
price = "{SECRET}"
[[model]]
name = "b"
api_base = "{SECRET}"
api_key = "env:{SECRET}"
temperature = "{SECRET}"
vision = "{SECRET}"
[[model]]
name = "c"
api_base = "http://127.0.0.1:8080/v1"
api_key = "file:{SECRET}"
mode = "{SECRET}"
headers = {{ "X-Key" = ["{SECRET}"] }}
[[model]]
name = "d"
api_base = "http://127.0.0.1:8080/v1"
api_key = ["{SECRET}"]
apikey = "{SECRET}"
[workflow-integration]
json = '{{"workers":[{{"ref":"a","system":["{SECRET}"]}}],"selector":"a","key":"{SECRET}"}}'
[log]
format = "{SECRET}"
"#
    )
}

#[test]
fn no_report_shows_a_secret() {
    let error = parse(&with_secrets()).unwrap_err();
    assert!(error.count() > 10, "{error}");
    let shown = shown(&with_secrets());
    assert!(!shown.contains("5ecre7"), "{shown}");
}

/// Where names are quoted, a key may have slipped in too.
#[test]
fn no_message_quotes_a_key_that_stands_where_a_name_belongs() {
    let model = "[[model]]\nname = \"a\"\napi_base = \"http://127.0.0.1:1/v1\"\n";
    let plan = "[workflow-integration]\njson = '{ \"workers\": [\"a\"], \"selector\": \"a\" }'\n";
    let unknown = plan.replace("[\"a\"]", &format!("[\"{SECRET}\"]"));
    let key = plan.replace("{ ", &format!("{{ \"{SECRET}\": 1, "));
    for text in [
        format!("{SECRET} = 1\n{model}{plan}"),
        format!("{model}headers = {{ \"{SECRET}\" = 5, \"Bearer {SECRET}\" = \"x\" }}\n{plan}"),
        format!("{model}{unknown}"),
        format!("{model}{key}"),
        format!("{model}{plan}[{SECRET}]\n"),
        format!("{model}{plan}[workflow.domains.\"https://me:5ecre7@x\"]\n"),
        format!("[server]\nhost = \"https://me:5ecre7@x\"\n{model}{plan}"),
    ] {
        let shown = shown(&text);
        assert!(!shown.contains("5ecre7"), "{text}{shown}");
    }
    // Of a good one the address is listed.
    let good = format!("{model}{plan}").replace(":1/v1", &format!(":1/{SECRET}/v1"));
    for format in [Format::Text, Format::Json] {
        let (code, out, _) = check_as(format, &good);
        assert!(code == FINE && out.contains("http://127.0.0.1:1/***/v1"), "{out}");
        assert!(!out.contains("5ecre7"), "{out}");
    }
}

/// Everything that is ever shown of a file: the screens, the JSON, and what a log may hold.
fn shown(text: &str) -> String {
    let loaded = parse(text);
    let mut out = Vec::new();
    for colour in [false, true] {
        let look = Look { colour, width: 100 };
        match &loaded {
            Ok(config) => screen::show(config, look, &mut out).unwrap(),
            Err(error) => diagnostics::refused(error, look, &mut out).unwrap(),
        }
    }
    json::show(Path::new("c.toml"), loaded.as_ref(), None, &mut out).unwrap();
    let said = match &loaded {
        Ok(config) => format!("{config:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    format!("{}{said}", String::from_utf8(out).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// One slip of the hand anywhere: whatever the parser makes of it, the key stays hidden.
    #[test]
    fn no_slip_of_the_hand_shows_a_secret(at in any::<prop::sample::Index>(), slip in "[\"'=\\[\\]{}#,\\\\ \n]?") {
        let mut edited = with_secrets();
        let at = at.index(edited.len());
        edited.replace_range(at..=at, &slip);
        prop_assert!(!shown(&edited).contains("5ecre7"), "{}", shown(&edited));
    }

    /// Nothing that can be typed makes the reader panic.
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}") {
        shown(&text);
        shown(&with_plan("", &text.replace('\'', "")));
    }
}
