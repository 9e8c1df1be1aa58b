//! Lines in, what may be shown of them out.

use super::*;

/// The line that holds `mark`, with that as the stretch.
fn spot(mask: &Mask, text: &str, mark: &str) -> Spot {
    let at = text.find(mark).unwrap();
    mask.spot(text, &(at..at + mark.len()))
}

/// Every line as it is shown.
fn shown(mask: &Mask, text: &str) -> String {
    let mut at = 0;
    let mut all = Vec::new();
    for line in text.split_inclusive('\n') {
        all.push(mask.spot(text, &(at..at)).source.text);
        at += line.len();
    }
    all.join("\n")
}

#[test]
fn only_what_could_be_a_secret_is_hidden() {
    let text = r#"
[server]  # a note with pa55word
host = "127.0.0.1"  # "x"
port = 11435
heartbeat_secs = "1 s"
cors_origins = ["https://me:pa55@chat.example", "https://chat.example"]
[[client]]
name = "lap#top"
key = "pa55word"
[[model]]
name = "a"
api_base = "https://me:pa55@host.example:8443/v1/pa55word-0123456789abc/x?key=pa55"
api_key = 12345
upstream_model = "up"
protocol = "opnai"
mode = "pa55"
ca_cert = "certs/ca.pem"
headers = { "X-Org" = "pa55", name = "pa55", Env = "env:ORG_KEY" }
price = { input_per_mtok = 1.5, "output" = "pa55" }
[[model.endpoint]]
api_base = "pa55word"
api_key = "env:A_KEY"
[[model.endpoint]]
api_base = "localhost:8080"
api_key = "env:pa55word"
[unknown]
name = "pa55"
[workflow.domains."api.example.com"]
worker_timeout_secs = 5
[workflow-integration]
json = """
{ "workers": [ { "ref": "a", "system": "pa55", "temperature": 1 }, "b" ],
  "selector": { "ref": "a", "key": { "name": "pa55", "n": 5 }, "schedule": "later" } }
"""
"#;
    insta::assert_snapshot!(shown(&toml(text), text), @r#"

    [server]
    host = "127.0.0.1"
    port = 11435
    heartbeat_secs = "1 s"
    cors_origins = ["https://***@chat.example", "https://chat.example"]
    [[client]]
    name = "lap#top"
    key = "***"
    [[model]]
    name = "a"
    api_base = "https://***@host.example:8443/v1/***/x?***"
    api_key = ***
    upstream_model = "up"
    protocol = "opnai"
    mode = "***"
    ca_cert = "certs/ca.pem"
    headers = { "X-Org" = "***", name = "***", Env = "env:ORG_KEY" }
    price = { input_per_mtok = 1.5, "output" = "***" }
    [[model.endpoint]]
    api_base = "***"
    api_key = "env:A_KEY"
    [[model.endpoint]]
    api_base = "localhost:8080"
    api_key = "env:***"
    [unknown]
    name = "pa55"
    [workflow.domains."api.example.com"]
    worker_timeout_secs = 5
    [workflow-integration]
    json = """
    { "workers": [ { "ref": "a", "system": "***", "temperature": 1 }, "b" ],
      "selector": { "ref": "a", "key": { "name": "***", "n": *** }, "schedule": "later" } }
    """
    "#);
}

#[test]
fn of_a_file_that_cannot_be_read_the_words_show_what_is_secret() {
    let text = "[[model]]\nname = pa55\napi_key = \"pa55word and model\nheaders = { X = \"y\" }\n";
    insta::assert_snapshot!(shown(&toml(text), text), @r#"
    [[model]]
    name = pa55
    api_key = "*** *** ***
    headers = { *** = "***" }
    "#);
    let plan = "{ \"workers\": [ { \"ref\": \"pa55\" } ]\n  \"selector\": \"pa55\" }";
    insta::assert_snapshot!(shown(&json(plan), plan), @r#"
    { "workers": [ { "ref": "pa55" } ]
      "selector": "pa55" }
    "#);
    let file = format!("[workflow-integration]\njson = '''\n{plan}'''\nmax_workers = 5");
    insta::assert_snapshot!(shown(&toml(&file), &file), @r#"
    [workflow-integration]
    json = '''
    { "workers": [ { "ref": "pa55" } ]
      "selector": "pa55" }'''
    max_workers = 5
    "#);
}

/// One slip of the hand each: a quote, a sign, half of a key, a line that broke in two.
#[test]
fn of_a_file_that_cannot_be_read_nothing_is_a_key_where_a_value_belongs() {
    let text = "name = \"qwen3:8b\nca_cert = \"pa55-word\nprotocol = \"pa55-word=\n\
                unknown_\"key_id = \"pa55\"\ntemperatu\"re = \"pa55-word\"\nkey = \"pa\n\
                55-word\"\nmode = \"7-pa\"pa-55\"\nworker_timout_secs = 60\ncolour = blue\n\
                api_base = \"http://h.example/v1\ntemperature 0.5\n";
    insta::assert_snapshot!(shown(&toml(text), text), @r#"
    name = "qwen3:8b
    ca_cert = "***
    protocol = "***=
    unknown_"key_id = "***"
    temperatu"re = "***"
    key = "***
    ***"
    mode = "***"***"
    worker_timout_secs = 60
    colour = blue
    api_base = "http://h.example/v1
    temperature 0.5
    "#);
}

/// Names are shown, but not a key that somebody put where a name belongs.
#[test]
fn what_looks_like_a_key_is_hidden_wherever_it_stands() {
    let text = r#"
sk-5ecre7-5ecre7 = 1
[server]
host = "http://me:pa55@x"
ollama_version = "sk-5ecre7-5ecre7"
[[model]]
name = "sk-5ecre7-5ecre7"
api_base = "https://0123456789abcdef0123.example/v1?x"
headers = { "gsk_5ecre75ecre7" = "x" }
[workflow.domains."https://me:pa55@x"]
[workflow-integration]
json = '{ "workers": ["a", "sk-5ecre7-5ecre7"], "sk-5ecre7-5ecre7": "sk-5ecre7-5ecre7" }'
"#;
    insta::assert_snapshot!(shown(&toml(text), text), @r#"

    *** = 1
    [server]
    host = "http://***@x"
    ollama_version = "***"
    [[model]]
    name = "***"
    api_base = "https://***/v1?***"
    headers = { "***" = "***" }
    [workflow.domains."https://***@x"]
    [workflow-integration]
    json = '{ "workers": ["a", "***"], "***": "***" }'
    "#);
}

#[test]
fn columns_are_characters_and_the_stretch_moves_with_what_is_hidden() {
    let text = "\u{feff}[[client]]\r\nname = \"x\"\r\nkey = \"0123456789\" # 键\r\n\
                [log]\r\n\"键\" = 1\r\nformat\t= \"你好\"\u{7}\r\n";
    let text = text.replace('\u{7}', "");
    let mask = toml(&text);
    for (mark, line, column, length, source, from, to) in [
        ("[[client]]", 1, 1, 10, "[[client]]", 1, 10),
        ("name", 2, 1, 4, "name = \"x\"", 1, 4),
        ("\"0123456789\"", 3, 7, 12, "key = \"***\"", 7, 5),
        ("45", 3, 12, 2, "key = \"***\"", 7, 5),
        ("\"键\" = 1", 5, 1, 7, "\"键\" = 1", 1, 7),
        ("= \"你好\"", 6, 8, 6, "format\t= \"你好\"", 8, 6),
    ] {
        let Spot { line: at, column: found, length: long, source: shown } =
            spot(&mask, &text, mark);
        assert_eq!((at, found, long), (line, column, length), "{mark}");
        let want = SourceLine { text: source.to_owned(), column: from, length: to };
        assert_eq!(shown, want, "{mark}");
    }
    // A stretch that goes on below is cut at the end of its line.
    let end = text.find("\"x\"").unwrap();
    let cut = mask.spot(&text, &(end..text.len()));
    assert_eq!((cut.line, cut.column, cut.length), (2, 8, 3));
    let end = mask.spot(&text, &(text.len()..text.len()));
    assert_eq!((end.line, end.column, end.length, end.source.column), (7, 1, 1, 1));
}

#[test]
fn nothing_moves_the_cursor_of_a_terminal() {
    let text = "name = \"a\u{1b}[31m\u{202e}b\"\n";
    let shown = shown(&toml(text), text);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
}

#[test]
fn a_whole_file_is_shown_with_its_comments_but_for_keys() {
    let text = r#"
# api_key = "old"   # the old one
# headers = { Authorization = "Bearer older" }
# it was pa55word-of-mine once
[[client]]
name = "x"
key = "c1"
[[model]]
name = "a"
api_base = "https://a.example/v1"
api_key = "pa55word-of-mine"  # mine
headers = { "X-Org" = "org", "X-Env" = "env:ORG" }
[[model.endpoint]]
api_base = "https://b.example/v1"
api_key = 'b2'
[[model.endpoint]]
api_base = "https://c.example/v1"
api_key = "env:C_KEY"
"#;
    insta::assert_snapshot!(shown_whole(text), @r#"

    # api_key = "***"
    # headers = { *** = "*** ***" }
    # it was *** once
    [[client]]
    name = "x"
    key = "***"
    [[model]]
    name = "a"
    api_base = "https://a.example/v1"
    api_key = "***"  # mine
    headers = { "X-Org" = "***", "X-Env" = "env:ORG" }
    [[model.endpoint]]
    api_base = "https://b.example/v1"
    api_key = "***"
    [[model.endpoint]]
    api_base = "https://c.example/v1"
    api_key = "env:C_KEY"
    "#);
    for inline in ["model = { api_key = \"zz9\" }", "model = [{ api_key = \"zz9\" }]"] {
        assert!(!shown_whole(inline).contains("zz9"), "{inline}");
    }
}
