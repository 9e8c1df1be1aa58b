//! A corpus of broken files: what shows them and what describes the format are held against it.

use super::*;

/// `[workflow-integration]` with a good plan, for the cases that break something else.
fn around(text: &str) -> String {
    format!("{text}\n{PLAN}")
}

fn model(lines: &str) -> String {
    let base =
        if lines.contains("api_base") { "" } else { "api_base = \"http://127.0.0.1:1/v1\"\n" };
    format!("[[model]]\nname = \"a\"\n{base}{lines}\n{PLAN}")
}

fn server(lines: &str) -> String {
    format!("[server]\n{lines}\n{MODELS}{PLAN}")
}

fn section(text: &str) -> String {
    format!("{MODELS}{PLAN}{text}\n")
}

fn plan(json: &str) -> String {
    with_plan("", json)
}

/// Three workers, `a` and two samples of `b`, and a policy.
fn policy(policy: &str) -> String {
    plan(&format!(
        r#"{{"workers":["a",{{"ref":"b","samples":2}}],"selector":"a","policy":{policy}}}"#
    ))
}

fn profiles(names: &[&str]) -> String {
    let table = |name: &&str| {
        let json = r#"{"workers":["a"],"selector":"b"}"#;
        format!("[[workflow-profile]]\nname = \"{name}\"\njson = '{json}'\n")
    };
    section(&names.iter().map(table).collect::<String>())
}

pub(crate) fn corpus() -> Vec<(&'static str, String)> {
    vec![
        // The file as a whole.
        ("empty", String::new()),
        ("no quotes", around("[[model]]\nname = a\napi_base = \"http://127.0.0.1:1\"")),
        ("open quote", around("[[model]]\nname = \"a\napi_base = \"http://127.0.0.1:1\"")),
        ("key twice", around("[[model]]\nname = \"a\"\nname = \"a\"\napi_base = \"http://h\"")),
        ("unknown section", section("[sever]\nport = 1")),
        ("model is text", format!("model = \"a\"\n{PLAN}")),
        ("[log] format", section("[log]\nformat = \"jsn\"")),
        // [server].
        ("port too large", server("port = 65536")),
        ("port is text", server("port = \"11435\"")),
        ("host with port", server("host = \"127.0.0.1:80\"")),
        ("open to the network", server("host = \"0.0.0.0\"")),
        ("size", server("request_body_limit = \"64 parsecs\"")),
        ("no requests", server("max_in_flight = 0")),
        ("no heartbeat", server("heartbeat_secs = 0")),
        ("choice", server("plain_client_format = \"nd-json\"\nprogress = \"yes\"")),
        ("version", server("ollama_version = \"v1\"")),
        ("any origin", server("cors_origins = [\"*\"]\nallowed_hosts = [\"http://a\", 1]")),
        ("yes is no boolean", server("allow_unauthenticated = \"yes\"")),
        ("tls", server("tls = { cert = \"a\" }")),
        ("misspelt", server("header_hold_sec = 3")),
        // [[client]].
        ("client without key", section("[[client]]\nname = \"x\"")),
        (
            "client twice",
            section("[[client]]\nname=\"x\"\nkey=\"1\"\n[[client]]\nname=\"x\"\nkey=\"2\""),
        ),
        ("short digest", section("[[client]]\nname = \"x\"\nkey = \"sha256:abc\"")),
        (
            "client limits",
            section(
                "[[client]]\nname=\"x\"\nkey=\"k\"\nrequests_per_minute=0\nmodels=[]\n\
                 allowed_ips=[\"here\"]\nexpires=\"2026-02-30\"\nbudget=[{ per=\"day\" }, { usd=1 }]\n\
                 max_in_flight=\"many\"",
            ),
        ),
        (
            "a short key",
            section(
                "[server]\nhost = \"0.0.0.0\"\n[[client]]\nname=\"x\"\nkey=\"fifteen-letters\"",
            ),
        ),
        // [[model]].
        ("no name", around("[[model]]\napi_base = \"http://127.0.0.1:1/v1\"")),
        ("no address", around("[[model]]\nname = \"a\"")),
        ("empty name", around("[[model]]\nname = \" \"\napi_base = \"http://127.0.0.1:1/v1\"")),
        ("reserved", section("[[model]]\nname = \"chorus:latest\"\napi_base = \"http://h/v1\"")),
        ("name twice", section("[[model]]\nname = \"b\"\napi_base = \"http://h/v1\"")),
        ("no scheme", model("api_base = \"localhost:8080\"")),
        ("no url", model("api_base = \"api.example.com/v1\"")),
        ("ftp", model("api_base = \"ftp://api.example.com/v1\"")),
        ("password", model("api_base = \"https://me:pass@api.example.com/v1\"")),
        ("query", model("api_base = \"https://api.example.com/v1?key=1\"")),
        ("whole path", model("api_base = \"https://api.example.com/v1/chat/completions\"")),
        ("variable", model("api_key = \"env:NO_SUCH_KEY\"")),
        ("key behind env:", model("api_key = \"env:sk-abc\"")),
        ("key file", model("api_key = \"file:no/such/key\"")),
        ("line break in key", model("api_key = \"a\\nb\"")),
        ("protocol", model("protocol = \"opnai\"")),
        ("no plain completion", model("protocol = \"gemini\"\nmode = \"completion\"")),
        (
            "two protocols",
            model(
                "api_base = \"https://api.anthropic.com/v1\"\n[[model.endpoint]]\napi_base = \"http://h/v1\"",
            ),
        ),
        ("version", model("api_base = \"https://api.anthropic.com\"\napi_version = \"../v1\"")),
        ("version of none", model("api_version = \"1\"")),
        ("temperature", model("temperature = 2.5\nmax_temperature = -1")),
        ("not a number", model("temperature = nan")),
        ("context", model("context_tokens = 0")),
        ("price", model("price = { input_per_mtok = 1 }")),
        ("headers", model("headers = { \"bad name\" = \"x\", Host = \"h\", N = 1 }")),
        ("ca", model("ca_cert = \"no/such/ca.pem\"")),
        (
            "endpoints",
            around(
                "[[model]]\nname = \"a\"\napi_key = \"k\"\n[[model.endpoint]]\napi_base = \"h\"\n\
                 weight = 0\npriority = -1\nurl = \"x\"\n[[model.endpoint]]\nweight = 2",
            ),
        ),
        (
            "balance",
            model("balance = \"fast\"\nsticky = 1\nhedge_after_ms = -5\nwarm_up = \"yes\""),
        ),
        ("unknown key", model("temprature = 1")),
        // [workflow].
        (
            "health",
            section("[workflow.health]\nfailure_threshold = 0\nfailure_ratio = 2\nopen_sec = 1"),
        ),
        ("pool", section("[workflow.pool]\nmax_idle_per_host = -1\nidle_secs = 0\nidle_sec = 5")),
        ("no time", section("[workflow.timeouts]\nworker_timeout_secs = 0")),
        ("too much time", section("[workflow.timeouts]\nworker_timeout_secs = 1e12")),
        ("time is text", section("[workflow.timeouts]\nworker_timeout_secs = \"60s\"")),
        (
            "domain with scheme",
            section("[workflow.domains.\"https://h/\"]\nworker_timeout_secs = 1"),
        ),
        ("domain twice", section("[workflow.domains.\"H\"]\n[workflow.domains.\"h\"]")),
        (
            "retry",
            section("[workflow.retry]\nmax_retries = -1\nbase_delay_ms = 500\nmax_delay_ms = 100"),
        ),
        ("profile without plan", section("[[workflow-profile]]\nname = \"fast\"")),
        ("profile without name", section("[[workflow-profile]]\njson = '{\"workers\":[\"a\"]}'")),
        ("profile by a taken name", profiles(&["a", "chorus", "chorus:latest", " x", "y", "y"])),
        (
            "profile with undefined models",
            format!(
                "{MODELS}[workflow-integration]\njson = '{{\"workers\":[\"z\"],\"selector\":\"a\"}}'\n\
                 [[workflow-profile]]\nname = \"fast\"\nmax_concurency = 1\nanalyzer_model = \"a\"\n\
                 json = '{{\"workers\":[\"a\"],\"selector\":\"y\",\"reranker\":{{\"ref\":\"b\",\"fallback\":[\"x\"]}}}}'"
            ),
        ),
        // [workflow-integration].
        ("no workflow", MODELS.to_owned()),
        ("no json", format!("{MODELS}[workflow-integration]\n")),
        ("two ways", with_plan("worker_models = [\"a\"]", "{}")),
        ("no such file", format!("{MODELS}[workflow-integration]\njson_file = \"no/such.json\"")),
        ("depth 0", with_plan("nested_worker_depth = 0", r#"{"workers":["a"],"selector":"a"}"#)),
        (
            "depth 60",
            with_plan("nested_worker_depth = 60", r#"{"workers":["a","b","a"],"selector":"a"}"#),
        ),
        (
            "depth 10000",
            with_plan("nested_worker_depth = 10000", r#"{"workers":["a"],"selector":"a"}"#),
        ),
        (
            "depth 1e30",
            with_plan("nested_worker_depth = 1e30", r#"{"workers":["a"],"selector":"a"}"#),
        ),
        (
            "max_workers",
            with_plan(
                "max_workers = 1",
                r#"{"workers":["a",{"ref":"b","samples":70}],"selector":"a"}"#,
            ),
        ),
        (
            "mode",
            with_plan("nested_worker_mode = \"pairs\"", r#"{"workers":["a"],"selector":"a"}"#),
        ),
        // The plan.
        ("not json", plan("\n{\n  \"workers\": [\"a\"]\n  \"selector\": \"a\"\n}")),
        ("json key twice", plan(r#"{"workers":["a"],"workers":["b"],"selector":"a"}"#)),
        ("a list", plan("[]")),
        ("no workers", plan(r#"{"synthesizer":"a"}"#)),
        ("empty workers", plan(r#"{"workers":[],"synthesizer":"a"}"#)),
        ("nobody decides", plan(r#"{"workers":["a"]}"#)),
        (
            "undefined",
            plan(
                r#"{"analyzer":{"ref":"z"},"workers":["a",{"name":"p","workers":["y"],"selector":"z"}],"synthesizer":{"ref":"a","fallback":["b","x"]}}"#,
            ),
        ),
        ("names no model", plan(r#"{"workers":[{}],"selector":{"temperature":1}}"#)),
        ("empty ref", plan(r#"{"workers":[{"ref":""}],"selector":"a"}"#)),
        (
            "deep unknown key",
            plan(
                r#"{"workers":["a","b",{"workers":["a"],"selector":{"ref":"a","tempature":1}}],"selector":"a"}"#,
            ),
        ),
        (
            "misplaced",
            plan(
                r#"{"workers":[{"ref":"a","selector":"a"},{"workers":["a"],"ref":"b","samples":2}],"selector":"a"}"#,
            ),
        ),
        (
            "wrong types",
            plan(
                r#"{"workers":[1,{"ref":2},{"ref":"a","temperature":"hot","max_tokens":1.5,"fallback":"b","auto_temperature":1}],"selector":[]}"#,
            ),
        ),
        (
            "ranges",
            plan(
                r#"{"workers":[{"ref":"a","temperature":-1,"max_tokens":0,"samples":0,"timeout_secs":0}],"selector":"a"}"#,
            ),
        ),
        (
            "policy",
            plan(
                r#"{"workers":["a"],"selector":"a","policy":{"min_success":2,"schedule":"later","quorum":2,"grace_ms":-1,"deadline_secs":0,"agreement":1.5,"overrides":1}}"#,
            ),
        ),
        (
            "numbers that no machine holds",
            plan(
                r#"{"workers":[{"ref":"a","max_tokens":99999999999999999999999999999999999999999999}],"selector":"a"}"#,
            ),
        ),
        ("quorum 0", policy(r#"{"quorum":0}"#)),
        ("quorum 1.0", policy(r#"{"quorum":1.0}"#)),
        ("quorum 1.5", policy(r#"{"quorum":1.5}"#)),
        ("quorum -0.5", policy(r#"{"quorum":-0.5}"#)),
        ("quorum in words", policy(r#"{"quorum":"all","grace_ms":"1 s"}"#)),
        ("quorum over all samples", policy(r#"{"quorum":4}"#)),
        ("overrides without analyzer", policy(r#"{"overrides":true}"#)),
        (
            "overrides below an analyzer",
            plan(
                r#"{"analyzer":"a","workers":[{"workers":["a"],"policy":{"overrides":true}}],"selector":"a"}"#,
            ),
        ),
        (
            "reranker",
            plan(
                r#"{"workers":["a",{"ref":"b","reranker":"a"}],"selector":"a","reranker":{"ref":"a","top_k":0,"top":1}}"#,
            ),
        ),
        ("reranker is a number", plan(r#"{"workers":["a"],"selector":"a","reranker":3}"#)),
        (
            "same names",
            plan(
                r#"{"workers":[{"name":"x#1","ref":"a"},{"name":"x","ref":"a","samples":2}],"selector":"a"}"#,
            ),
        ),
    ]
}

/// Files with five mistakes each.
pub(crate) fn with_five() -> Vec<(&'static str, String)> {
    let model = |name: &str, lines: &str| {
        format!("[[model]]\nname = \"{name}\"\napi_base = \"http://127.0.0.1:1/v1\"\n{lines}")
    };
    vec![
        (
            "five in a server",
            server(
                "hots = \"::1\"\nport = 70000\nusage = \"all\"\nheartbeat_secs = \"10\"\nprogress = true",
            ),
        ),
        (
            "five in a model",
            around(&model(
                "a",
                "protocol = \"olama\"\ntemperature = 3\napi_key = \"env:NO_SUCH_KEY\"\nvison = true\n\
                 price = { input_per_mtok = -1, output_per_mtok = 1 }\n",
            )),
        ),
        (
            "five in a plan over several lines",
            plan(
                r#"
{
  "analyzer": { "ref": "A", "temperature": 9 },
  "workers": [
    { "ref": "a", "max_tokens": "many" },
    { "name": "panel", "workers": [ { "rfe": "b" } ], "selector": "bb" }
  ],
  "selector": { "ref": "a", "fallback": "b" }
}
"#,
            ),
        ),
        (
            "five in sections",
            format!(
                "{MODELS}[[client]]\nname = \"x\"\nkey = \"\"\n[workflow.retry]\nmax_retries = 1.5\n\
                 [workflow.timeouts]\nworker_timeout_secs = -1\nanalyser_timeout_secs = 5\n\
                 [workflow-integration]\njson = '{{\"workers\":[\"a\"],\"selector\":\"c\"}}'\n"
            ),
        ),
        (
            "five with a warning between",
            format!(
                "{}max_temprature = 1\n[[model]]\nname = \"chorus\"\napi_base = \"https://h.example/v1?k=1\"\n\
                 api_key = \"your-api-key-here\"\ntemperature = 1\nauto_temperature = \"yes\"\n\
                 [log]\nformat = \"text\"\n{PLAN}nested_worker_depth = 0\n",
                model("a", "")
            ),
        ),
        (
            "five in wide characters",
            around(&model(
                "a",
                "\"温度\" = 1\nupstream_model = 5\nvision = \"是\"\ncontext_tokens = \"很多\"\nbalance = \"均\"\n",
            )),
        ),
    ]
}
