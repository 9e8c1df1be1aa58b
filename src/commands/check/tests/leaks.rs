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

/// A key that stands where everything around it may be wrong.
const SECRET: &str = "sk-5ecre7-do-not-show";

fn with_secrets() -> String {
    with_each(SECRET)
}

/// The same with a secret of one's own, which need not look like a key.
fn with_each(secret: &str) -> String {
    format!(
        r#"
[server]
host = "127.0.0.1"
[[client]]
name = "laptop"
key = "{secret}"
[[model]]
name = "a"
api_base = "http://me:{secret}@127.0.0.1:8080/v1?key={secret}"
api_key = "{secret}"
protocol = "{secret}"
headers = {{ "X-Key" = "{secret}", "Host" = "{secret}" }}
ca_cert = "{secret}"
price = "{secret}"
[[model]]
name = "b"
api_base = "{secret}"
api_key = "env:{secret}"
temperature = "{secret}"
vision = "{secret}"
[[model]]
name = "c"
api_base = "http://127.0.0.1:8080/v1"
api_key = "file:{secret}"
mode = "{secret}"
headers = {{ "X-Key" = ["{secret}"] }}
[[model]]
name = "d"
api_base = "http://127.0.0.1:8080/v1"
api_key = ["{secret}"]
apikey = "{secret}"
[workflow-integration]
json = '{{"workers":[{{"ref":"a","system":["{secret}"]}}],"selector":"a","key":"{secret}"}}'
[log]
format = "{secret}"
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

/// A key may have slipped into names too, which are quoted.
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
    for (path, shown) in [(&*format!("{SECRET}/v1"), "***/v1"), ("v1;k=5ecre7", "v1;***")] {
        let good = format!("{model}{plan}").replace(":1/v1", &format!(":1/{path}"));
        for format in [Format::Text, Format::Json] {
            let (code, out, _) = check_as(format, &good);
            assert!(code == FINE && out.contains(&format!("http://127.0.0.1:1/{shown}")), "{out}");
            assert!(!out.contains("5ecre7"), "{out}");
        }
    }
}

/// Everything that is ever shown of a file: the screens, the JSON, and what a log may hold.
fn shown(text: &str) -> String {
    let loaded = parse(text);
    let mut out = Vec::new();
    for colour in [false, true] {
        let look = Look { colour, width: 100 };
        match &loaded {
            Ok(config) => screen::show(config, false, look, &mut out).unwrap(),
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

/// One slip of the hand, each one everywhere: whatever the parser makes of it, the password stays
/// hidden.
#[test]
fn no_slip_of_the_hand_shows_a_password() {
    every_slip("5ecre7-pa55-w0rd", |_, _| true);
}

/// The same of what looks like a key, which is hidden anyway for as long as it is whole.
#[test]
fn no_slip_of_the_hand_shows_a_secret() {
    every_slip(SECRET, |table, at| {
        table.match_indices(SECRET).any(|(start, _)| (start..start + SECRET.len()).contains(&at))
    });
}

/// What is typed instead of a character.
const SLIPS: [&str; 16] =
    ["", "\"", "'", "=", ":", "[", "]", "{", "}", "#", ",", "\\", "/", "@", " ", "\n"];

/// Tries each slip in each of these places, table by table, since one is read sooner than a file. A
/// part of the secret is as bad as the whole, but for its letters, which could be anybody's words.
fn every_slip(secret: &str, place: fn(&str, usize) -> bool) {
    let text = with_each(secret);
    let parts: Vec<&str> = (0..secret.len() - 5)
        .filter_map(|at| secret.get(at..at + 6))
        .filter(|part| part.bytes().any(|byte| byte.is_ascii_digit()))
        .collect();
    let check = |table: &str| {
        for at in (0..table.len()).filter(|at| place(table, *at)) {
            for slip in SLIPS {
                let mut edited = table.to_owned();
                edited.replace_range(at..=at, slip);
                let shown = match parse(&edited) {
                    Ok(_) => shown(&edited),
                    // Everything that a report is made of.
                    Err(error) => format!("{error:?}"),
                };
                let found = parts.iter().find(|part| shown.contains(**part));
                assert_eq!(found, None, "{edited}\n{shown}");
            }
        }
    };
    std::thread::scope(|scope| {
        for table in tables(&text) {
            scope.spawn(|| check(table));
        }
    });
}

fn tables(text: &str) -> Vec<&str> {
    let starts = text.match_indices("\n[").map(|(at, _)| at + 1);
    let starts: Vec<usize> = starts.chain([text.len()]).collect();
    starts.windows(2).map(|ends| text.get(ends[0]..ends[1]).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Nothing that can be typed makes the reader panic.
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}") {
        shown(&text);
        shown(&with_plan("", &text.replace('\'', "")));
    }
}
