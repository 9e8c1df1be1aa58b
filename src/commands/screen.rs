//! What a start shows: where it listens, what clients are pointed at, what it serves and from which
//! config. One screen for people, one event for machines. Pure but for the writing; no name is
//! looked up, and no key is in it.

use std::{
    io::Write,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use crate::config::{Config, LogFormat, Model};

/// Columns of a terminal that is not set up specially.
const WIDTH: usize = 80;
/// Its lines.
const HEIGHT: usize = 24;
/// Lines of workflows that are shown, and of models; fewer where that is too much.
const MOST: [usize; 2] = [5, 3];
/// Characters of a name that are shown.
const LONGEST_NAME: usize = 28;

/// How a start presents itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// `--quiet`: no screen.
    pub quiet: bool,
    /// What named the config file: `--config` or `CHORUS_CONFIG`; `None`: it is in the usual place.
    pub named_by: Option<&'static str>,
}

/// Reports that the server listens on `address`: people by a screen on `err`, and machines by one
/// event with the same facts. What the screen does not show is logged: warnings and notices where
/// there is none.
pub fn announce(config: &Config, address: SocketAddr, opening: Opening, err: &mut dyn Write) {
    let (version, scheme) = (env!("CARGO_PKG_VERSION"), config.server.scheme());
    let has_screen = !opening.quiet && config.log_format == LogFormat::Pretty;
    if has_screen {
        // With stderr gone there is nobody left to tell.
        drop(err.write_all(screen(config, address, opening).as_bytes()));
        drop(err.flush());
        tracing::info!("chorus {version} is listening on {scheme}://{address}");
        return;
    }
    for line in remarks(config) {
        tracing::warn!("{line}");
    }
    log_opening(config, address, opening);
}

/// The facts of the screen as one event.
pub(super) fn log_opening(config: &Config, address: SocketAddr, opening: Opening) {
    let (version, scheme) = (env!("CARGO_PKG_VERSION"), config.server.scheme());
    let calls = |plan: &crate::config::Plan| plan.worst_case_calls(&config.models).values().sum();
    let workflows = config.workflows().map(|one| (one.plan.name.as_str(), calls(&one.plan)));
    let workflows: serde_json::Map<String, serde_json::Value> =
        workflows.map(|(name, calls): (&str, u64)| (name.to_owned(), calls.into())).collect();
    tracing::info!(
        version,
        openai_base_url = format!("{}/v1", reachable(scheme, address)),
        ollama_host = reachable(scheme, address),
        config = config.path.as_deref().map(Path::to_string_lossy).as_deref(),
        config_named_by = opening.named_by,
        clients = config.clients.len(),
        models = config.models.len(),
        endpoints = config.models.values().map(|model| model.endpoints.len()).sum::<usize>(),
        worst_case_calls = serde_json::Value::Object(workflows).to_string(),
        warnings = config.warnings.len(),
        notices = config.notices.len(),
        "chorus {version} is listening on {scheme}://{address}"
    );
}

/// What clients are pointed at, without a path. Nobody can connect to 0.0.0.0; the machine itself can
/// use loopback.
pub(super) fn reachable(scheme: &str, mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{scheme}://{address}")
}

/// The lines that say what clients are pointed at.
pub(super) fn addresses(scheme: &str, address: SocketAddr) -> Vec<String> {
    let url = reachable(scheme, address);
    let mut lines =
        vec![fact("OpenAI clients", &format!("{url}/v1")), fact("Ollama clients", &url)];
    if address.ip().is_unspecified() {
        let port = address.port();
        lines.push(fact("Listens on", &format!("every address of this machine, port {port}")));
    }
    lines
}

fn fact(name: &str, value: &str) -> String {
    format!("  {name:16}  {value}")
}

/// The whole screen, of at most 80 columns (but for a path, which must be readable) and, unless a
/// single warning is too long for that, 24 lines.
fn screen(config: &Config, address: SocketAddr, opening: Opening) -> String {
    let of = |most| lines(config, address, opening, most);
    let [more, less] = MOST;
    let full = of(more);
    let fits = full.len() <= HEIGHT;
    let lines = if fits { full } else { of(less) };
    lines.into_iter().map(|line| format!("{}\n", crate::types::escaped(&line))).collect()
}

fn lines(config: &Config, address: SocketAddr, opening: Opening, most: usize) -> Vec<String> {
    let title = format!("Chorus {} is ready; Ctrl-C ends it.", env!("CARGO_PKG_VERSION"));
    let mut lines = vec![String::new()];
    lines.extend(addresses(config.server.scheme(), address));
    lines.push(fact("API key", &access(config)));
    if let Some(path) = &config.path {
        let by = opening.named_by.map_or("the usual place", |by| by);
        lines.push(fact("Config", &format!("{} ({by})", path.display())));
    }
    lines.extend([String::new(), "Workflows".to_owned()]);
    let workflows = config.workflows().map(|workflow| {
        let plan = &workflow.plan;
        let calls: u64 = plan.worst_case_calls(&config.models).values().sum();
        let workers = many(plan.leaf_count(), "worker");
        (plan.name.clone(), format!("{workers}, at most {calls} model calls per request"))
    });
    lines.extend(some(workflows.collect(), most));
    lines.extend([String::new(), "Models".to_owned()]);
    let models = config.models.values().map(|model| (model.name.clone(), whereabouts(model)));
    lines.extend(some(models.collect(), most));
    let remarks = remarked(config, HEIGHT.saturating_sub(lines.len() + 1));
    // Warnings come first, for nobody reads to the end of what is ready.
    match config.warnings.is_empty() {
        true => [vec![title], lines, remarks].concat(),
        false => [vec![title], remarks, lines].concat(),
    }
}

fn access(config: &Config) -> String {
    match config.clients.len() {
        0 => "any; there is no [[client]]".to_owned(),
        1 => "that of the [[client]]".to_owned(),
        more => format!("that of one of the {more} [[client]]s"),
    }
}

fn many(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// How a model is spoken to, and where.
fn whereabouts(model: &Model) -> String {
    let hosts: Vec<String> = model.endpoints.iter().map(|one| one.authority()).collect();
    let more = hosts.len().saturating_sub(2);
    let shown: Vec<&str> = hosts.iter().take(2).map(String::as_str).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} at {}{more}", model.protocol.as_str(), shown.join(", "))
}

/// Names with what is said of each; of many only the first, and how many more there are.
fn some(entries: Vec<(String, String)>, most: usize) -> Vec<String> {
    let shown = if entries.len() > most { most - 1 } else { entries.len() };
    let names = entries.iter().take(shown).map(|(name, _)| cut(name, LONGEST_NAME));
    let names: Vec<String> = names.collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default().max(16);
    let line = |(name, (_, about)): (&String, &(String, String))| {
        cut(&format!("  {name:width$}  {about}"), WIDTH)
    };
    let mut lines: Vec<String> = names.iter().zip(&entries).map(line).collect();
    if entries.len() > shown {
        lines.push(format!("  and {} more; `chorus check` shows them", entries.len() - shown));
    }
    lines
}

/// A text of at most so many characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(3)).collect();
    format!("{kept}...")
}

/// Warnings and notices as they are logged.
fn remarks(config: &Config) -> impl Iterator<Item = String> {
    let warnings = config.warnings.iter().map(ToString::to_string);
    warnings.chain(config.notices.iter().map(ToString::to_string))
}

/// The remarks, as many as `room` lines hold, but at least the first.
fn remarked(config: &Config, room: usize) -> Vec<String> {
    let title = match (config.warnings.is_empty(), config.notices.is_empty()) {
        (true, true) => return Vec::new(),
        (false, true) => "Warnings",
        (true, false) => "Notices",
        (false, false) => "Warnings and notices",
    };
    let mut lines = vec![String::new(), title.to_owned()];
    let texts: Vec<String> = remarks(config).map(|text| named_briefly(&text, config)).collect();
    for (index, text) in texts.iter().enumerate() {
        let wrapped = wrapped(text);
        let left = texts.len() - index;
        let tail = usize::from(left > 1);
        if index > 0 && lines.len() + wrapped.len() + tail > room {
            lines.push(format!("  and {left} more; `chorus check` shows them"));
            break;
        }
        lines.extend(wrapped);
    }
    lines
}

/// The path stands above already.
fn named_briefly(text: &str, config: &Config) -> String {
    let Some(path) = &config.path else { return text.to_owned() };
    let rest = text.strip_prefix(path.to_string_lossy().as_ref());
    match (path.file_name(), rest.filter(|rest| rest.starts_with(':'))) {
        (Some(name), Some(rest)) => format!("{}{rest}", name.to_string_lossy()),
        _ => text.to_owned(),
    }
}

/// Lines of a text, between words where that can be, all but the first further in.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::from(" ");
    for word in text.split_whitespace() {
        let length = line.chars().count() + 1 + word.chars().count();
        if length > WIDTH && !line.trim().is_empty() {
            lines.push(std::mem::replace(&mut line, String::from("   ")));
        }
        line.push(' ');
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:11435";

    fn shown(text: &str, address: &str, named_by: Option<&'static str>) -> String {
        let path = Path::new("/home/me/.config/chorus/config.toml");
        let env = |name: &str| name.ends_with("_KEY").then(|| "sk-secret-0123456789".to_owned());
        let config = Config::parse(text, Some(path), &env).unwrap();
        let screen = screen(&config, address.parse().unwrap(), Opening { named_by, quiet: false });
        assert!(!screen.contains("sk-secret"), "{screen}");
        assert!(screen.lines().all(|line| line.chars().count() <= WIDTH), "{screen}");
        screen
    }

    fn models(count: usize) -> String {
        let model = |number| {
            format!(
                "[[model]]\nname = \"m{number}\"\napi_base = \"http://gpu-{number}.lan:8000/v1\"\n"
            )
        };
        (0..count).map(model).collect()
    }

    const PLAN: &str = r#"
[server]
[workflow.timeouts]
[workflow-integration]
json = '{ "workers": ["m0", { "ref": "m0", "samples": 2 }], "selector": "m0", "synthesizer": "m0" }'
"#;

    #[test]
    fn foreign_text_is_shown_only_escaped() {
        let text = (models(1) + PLAN).replace("\"m0\"", "\"m\u{202e}\u{200b}0\"");
        let screen = shown(&text, LOOPBACK, None);
        assert!(screen.contains("m\\u{202e}\\u{200b}0"), "{screen}");
        assert!(screen.lines().all(|line| crate::types::escaped(line) == line), "{screen:?}");
    }

    #[test]
    fn a_small_setup() {
        let text = models(1) + PLAN;
        insta::assert_snapshot!(shown(&text, LOOPBACK, None), @r#"
    Chorus 0.1.0 is ready; Ctrl-C ends it.

      OpenAI clients    http://127.0.0.1:11435/v1
      Ollama clients    http://127.0.0.1:11435
      API key           any; there is no [[client]]
      Config            /home/me/.config/chorus/config.toml (the usual place)

    Workflows
      chorus            3 workers, at most 8 model calls per request

    Models
      m0                openai at gpu-0.lan:8000
    "#);
    }

    #[test]
    fn everything_there_is_to_show() {
        let profiles: String = (0..5)
            .map(|number| format!("[[workflow-profile]]\nname = \"p{number}\"\njson = '{{\"workers\": [\"m0\"], \"selector\": \"m0\"}}'\n"))
            .collect();
        let text = format!(
            r#"
[[model]]
name = "a-name-that-goes-on-and-on-for-very-long"
api_base = "https://api.a-host-whose-name-is-as-long-as-that.example.com/v1"
api_key = "env:A_KEY"
[[model.endpoint]]
api_base = "https://eu.example/v1"
api_key = "env:B_KEY"
[[model.endpoint]]
api_base = "https://us.example/v1"
api_key = "your-api-key-here"
{}
{PLAN}
{profiles}
[[client]]
name = "laptop"
key = "env:C_KEY"
[[client]]
name = "phone"
key = "env:D_KEY"
[workflow.domains."elsewhere.example"]
worker_timeout_secs = 90000
"#,
            models(95)
        );
        let screen = shown(&text, "0.0.0.0:8080", Some("--config"));
        assert!(screen.lines().count() <= HEIGHT, "{screen}");
        insta::assert_snapshot!(screen, @r#"
    Chorus 0.1.0 is ready; Ctrl-C ends it.

    Warnings and notices
      config.toml:11: model `a-name-that-goes-on-and-on-for-very-long`:
        [[model.endpoint]]: `api_key` is a placeholder; write the real one, or
        env:NAME
      and 4 more; `chorus check` shows them

      OpenAI clients    http://127.0.0.1:8080/v1
      Ollama clients    http://127.0.0.1:8080
      Listens on        every address of this machine, port 8080
      API key           that of one of the 2 [[client]]s
      Config            /home/me/.config/chorus/config.toml (--config)

    Workflows
      chorus            3 workers, at most 8 model calls per request
      p0                1 worker, at most 4 model calls per request
      and 4 more; `chorus check` shows them

    Models
      a-name-that-goes-on-and-o...  openai at api.a-host-whose-name-is-as-long-as...
      m0                            openai at gpu-0.lan:8000
      and 94 more; `chorus check` shows them
    "#);
    }

    #[test]
    fn an_old_config_says_what_was_made_of_it() {
        let text = include_str!("../../test-old-config.toml");
        insta::assert_snapshot!(shown(text, LOOPBACK, Some("CHORUS_CONFIG")), @r#"
    Chorus 0.1.0 is ready; Ctrl-C ends it.

      OpenAI clients    http://127.0.0.1:11435/v1
      Ollama clients    http://127.0.0.1:11435
      API key           any; there is no [[client]]
      Config            /home/me/.config/chorus/config.toml (CHORUS_CONFIG)

    Workflows
      chorus            2 workers, at most 8 model calls per request

    Models
      llama3            openai at 127.0.0.1:11434

    Notices
      config.toml: no [server]: it listens on 127.0.0.1:11435; `chorus migrate`
        writes the new form
      config.toml: no model sets `temperature` or `auto_temperature`: the plan, the
        request and the defaults of TEMPERATURE_CONFIG.md decide; `chorus migrate`
        writes the new form
      config.toml:5: the single table [model] is read as one [[model]]; `chorus
        migrate` writes the new form
      and 2 more; `chorus check` shows them
    "#);
    }

    #[test]
    fn addresses_that_clients_can_use() {
        for (address, want) in [
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("[::]:8080", "http://[::1]:8080"),
            ("192.168.1.2:80", "http://192.168.1.2:80"),
        ] {
            assert_eq!(reachable("http", address.parse().unwrap()), want);
        }
    }
}
