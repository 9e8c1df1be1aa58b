//! `chorus check --probe`: every endpoint asked side by side, and a table of what was found.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    time::Duration,
};

use futures::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    config::Config,
    llm::{
        Llm, LlmError,
        endpoint::probe::{Key, Known, Probed, Spend},
    },
};

/// How long each endpoint is waited for.
const LIMIT: Duration = Duration::from_secs(10);
/// How often the progress is drawn.
const FRAME: Duration = Duration::from_millis(100);

/// Asks every endpoint of a good config.
///
/// # Errors
/// When there is no runtime to be had, or the clients cannot be built.
pub(super) fn of(config: &Config, spend: Spend) -> io::Result<Vec<Probed>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(ask(config, LIMIT, spend));
    // A name that is still being resolved is not waited for.
    runtime.shutdown_background();
    let failed = |error| io::Error::other(format!("the endpoints cannot be asked: {error}"));
    found.map_err(failed)
}

/// What was found of every endpoint, in the order of the config. Progress is drawn on stderr while
/// that is a terminal; `limit` is each endpoint's.
///
/// # Errors
/// When the clients cannot be built.
pub async fn ask(config: &Config, limit: Duration, spend: Spend) -> Result<Vec<Probed>, LlmError> {
    let llm = Llm::new(config)?;
    let bar = bar(llm.endpoint_count());
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut asked = std::pin::pin!(llm.probe(limit, spend));
    let mut found = Vec::with_capacity(llm.endpoint_count());
    loop {
        tokio::select! {
            next = asked.next() => match next {
                Some(one) => {
                    found.push(one);
                    bar.inc(1);
                }
                None => break,
            },
            _ = frames.tick() => bar.tick(),
        }
    }
    bar.finish_and_clear();
    found.sort_by_key(|(number, _)| *number);
    let mut found: Vec<Probed> = found.into_iter().map(|(_, one)| one).collect();
    note_crowded(config, &mut found);
    Ok(found)
}

/// Notes which stages ask for answers that leave no room for a prompt in the context that an endpoint
/// says it has. Those that do not fit the configured one are reported by the check itself.
fn note_crowded(config: &Config, found: &mut [Probed]) {
    for one in found {
        let configured = config.models.get(&one.model).map(|model| model.context_tokens);
        let real = one.context_tokens.filter(|real| configured.is_some_and(|own| own > *real));
        let (Some(real), Some(configured)) = (real, configured) else { continue };
        let mut seen = BTreeSet::new();
        for workflow in config.workflows() {
            for (key, stage) in workflow.plan.stages() {
                let most = stage.max_tokens.filter(|most| (real..configured).contains(most));
                let Some(most) = most.filter(|_| stage.names().any(|name| name == one.model))
                else {
                    continue;
                };
                if seen.insert((&workflow.plan.name, key, most)) {
                    one.notes.push(format!(
                        "`max_tokens` of a {key} of `{}` is {most}, which leaves no room for a \
                         prompt: it takes {real} tokens with the answer",
                        workflow.plan.name.escape_debug()
                    ));
                }
            }
        }
    }
}

/// Drawn on a terminal only.
fn bar(endpoints: usize) -> ProgressBar {
    let length = u64::try_from(endpoints).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let style = "{spinner} {bar:30} {pos} of {len} endpoints asked ({elapsed})";
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Writes the table, what stands against whom, and how many are fine.
///
/// # Errors
/// When `out` cannot be written to.
pub fn show(found: &[Probed], out: &mut dyn Write) -> io::Result<()> {
    let head = ["model", "endpoint", "protocol", "reachable", "key", "model known", "latency"];
    let rows: Vec<[String; 7]> =
        std::iter::once(head.map(str::to_owned)).chain(found.iter().map(row)).collect();
    let width = |column: &usize| {
        let cells = rows.iter().filter_map(|row| row.get(*column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).collect::<Vec<_>>().iter().map(width).collect();
    writeln!(out, "Endpoints")?;
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    let remarks = [
        (
            found.iter().any(|one| one.key == Key::NotAskedFor),
            "Key not asked for: the list of models is given without one too, so it cannot tell.",
        ),
        (
            found.iter().any(Probed::is_unknown),
            "No list of models there, nor where it usually is: whether key and model work is not known. --spend asks by a real call.",
        ),
    ];
    for (_, remark) in remarks.iter().filter(|(applies, _)| *applies) {
        writeln!(out, "\n{remark}")?;
    }
    if found.iter().any(|one| one.problem.is_some()) {
        writeln!(out, "\nProblems")?;
    }
    for Probed { model, endpoint, problem, .. } in found {
        if let Some(problem) = problem {
            writeln!(out, "  {model} at {endpoint}: {problem}")?;
        }
    }
    if found.iter().any(|one| !one.notes.is_empty()) {
        writeln!(out, "\nWarnings")?;
    }
    for Probed { model, endpoint, notes, .. } in found {
        for note in notes {
            writeln!(out, "  {model} at {endpoint}: {note}")?;
        }
    }
    let fine = found.iter().filter(|one| one.is_fine()).count();
    let verb = if fine == 1 && found.len() == 1 { "endpoint is" } else { "endpoints are" };
    let unknown = match found.iter().filter(|one| one.is_unknown()).count() {
        0 => String::new(),
        count => format!("; of {count} it is not known"),
    };
    writeln!(out, "\n{fine} of {} {verb} fine{unknown}.", found.len())
}

fn row(one: &Probed) -> [String; 7] {
    let key = match one.key {
        Key::Accepted => "accepted",
        Key::Refused => "refused",
        Key::NotAskedFor => "not asked for",
        Key::Unknown => "unknown",
    };
    let known = match one.known {
        Known::Yes => "yes",
        Known::No => "no",
        Known::Unknown if one.is_unknown() => "no list",
        Known::Unknown => "unknown",
    };
    let latency = one.latency_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    let reachable = if one.reachable { "yes" } else { "no" };
    [
        one.model.clone(),
        one.endpoint.clone(),
        one.protocol.to_owned(),
        reachable.to_owned(),
        key.to_owned(),
        known.to_owned(),
        latency,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_a_table() {
        let one = Probed {
            model: "qwen".to_owned(),
            endpoint: "127.0.0.1:11434".to_owned(),
            protocol: "ollama",
            reachable: true,
            key: Key::NotAskedFor,
            known: Known::Yes,
            near: Vec::new(),
            latency_ms: Some(3),
            context_tokens: None,
            gateway: None,
            notes: Vec::new(),
            problem: None,
        };
        let hosted = Probed {
            model: "deepseek-chat".to_owned(),
            endpoint: "api.deepseek.com".to_owned(),
            protocol: "openai",
            key: Key::Accepted,
            latency_ms: Some(212),
            ..one.clone()
        };
        let found = [
            one.clone(),
            hosted.clone(),
            Probed {
                key: Key::Refused,
                known: Known::Unknown,
                problem: Some("does not accept the configured key (401)".to_owned()),
                ..hosted.clone()
            },
            Probed { key: Key::Unknown, known: Known::Unknown, ..hosted.clone() },
            Probed {
                reachable: false,
                key: Key::Unknown,
                known: Known::Unknown,
                latency_ms: None,
                problem: Some("no connection to api.deepseek.com in time".to_owned()),
                ..hosted
            },
        ];
        let shown = |found: &[Probed]| {
            let mut out = Vec::new();
            show(found, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        insta::assert_snapshot!(shown(&found), @r#"
    Endpoints
      model          endpoint          protocol  reachable  key            model known  latency
      qwen           127.0.0.1:11434   ollama    yes        not asked for  yes          3 ms
      deepseek-chat  api.deepseek.com  openai    yes        accepted       yes          212 ms
      deepseek-chat  api.deepseek.com  openai    yes        refused        unknown      212 ms
      deepseek-chat  api.deepseek.com  openai    yes        unknown        no list      212 ms
      deepseek-chat  api.deepseek.com  openai    no         unknown        unknown      -

    Key not asked for: the list of models is given without one too, so it cannot tell.

    No list of models there, nor where it usually is: whether key and model work is not known. --spend asks by a real call.

    Problems
      deepseek-chat at api.deepseek.com: does not accept the configured key (401)
      deepseek-chat at api.deepseek.com: no connection to api.deepseek.com in time

    2 of 5 endpoints are fine; of 1 it is not known.
    "#);
        assert!(shown(&[one]).ends_with("\n1 of 1 endpoint is fine.\n"));
    }
    #[test]
    fn foreign_text_is_shown_only_escaped() {
        let foreign = "a\u{1b}[2J\u{9b}\u{7f}\u{202e}b";
        let one = Probed {
            model: foreign.to_owned(),
            endpoint: foreign.to_owned(),
            protocol: "openai",
            reachable: true,
            key: Key::Unknown,
            known: Known::Unknown,
            near: vec![foreign.to_owned()],
            latency_ms: None,
            context_tokens: None,
            gateway: None,
            notes: vec![foreign.to_owned()],
            problem: Some(foreign.to_owned()),
        };
        let mut out = crate::commands::output::Escaped(Vec::new());
        show(&[one], &mut out).unwrap();
        let text = String::from_utf8(out.0).unwrap();
        assert_eq!(text.matches("\\u{1b}[2J\\u{9b}\\u{7f}\\u{202e}").count(), 8, "{text}");
        assert!(text.lines().all(|line| crate::types::escaped(line) == line), "{text:?}");
    }
}
