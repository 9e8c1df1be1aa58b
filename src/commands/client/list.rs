//! `chorus client list`: what the clients have used, against what they may.

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::Path,
};

use clap::ValueEnum;
use serde_json::json;

use super::{FAILED, FINE, REFUSED, Screen};
use crate::{
    commands::diagnostics,
    config::{Config, Env, Period},
    server::{ClientReport, PeriodReport, kept_reports},
};

/// How the list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
}

/// Shows the clients of the config at `path` with what the store has of them. Returns the exit code.
///
/// # Errors
/// When the screen cannot be written to.
pub fn run(path: &Path, form: Form, env: Env<'_>, screen: &mut Screen<'_>) -> io::Result<u8> {
    let Screen { out, err, look } = screen;
    let config = match Config::load(path, env) {
        Ok(config) => config,
        Err(error) => {
            diagnostics::refused(&error, *look, *err)?;
            return Ok(REFUSED);
        }
    };
    let reports = match kept_reports(&config) {
        Ok(reports) => reports,
        Err(error) => {
            writeln!(err, "chorus: {error}")?;
            return Ok(FAILED);
        }
    };
    match form {
        Form::Json => writeln!(out, "{}", json!({ "clients": reports }))?,
        Form::Text if reports.is_empty() => {
            writeln!(err, "there is no [[client]]; `chorus client new NAME` adds one")?;
        }
        Form::Text => {
            reports.iter().try_for_each(|report| out.write_all(text(report).as_bytes()))?
        }
    }
    Ok(FINE)
}

/// A client in a few lines.
fn text(report: &ClientReport) -> String {
    let mut text = report.name.clone();
    let state = [
        (!report.enabled).then(|| "switched off".to_owned()),
        report.admin.then(|| "admin".to_owned()),
        report.expires.map(|expires| format!("until {}", day(&expires.to_string()))),
    ];
    let state: Vec<String> = state.into_iter().flatten().collect();
    if !state.is_empty() {
        text.push_str(&format!(" ({})", state.join(", ")));
    }
    text.push('\n');
    for period in &report.used {
        let _ = writeln!(text, "  {:<12} {}", name(period.per), amounts(period));
    }
    text
}

fn name(per: Period) -> &'static str {
    match per {
        Period::Day => "today",
        Period::Week => "this week",
        Period::Month => "this month",
    }
}

/// `12 calls, 3400 of 2000000 tokens, 0.0123 of 5 dollars`.
fn amounts(period: &PeriodReport) -> String {
    let of = |used: String, limit: Option<String>| match limit {
        Some(limit) => format!("{used} of {limit}"),
        None => used,
    };
    let (used, limit) = (&period.used, &period.limit);
    let whole = |limit: Option<u64>| limit.map(|limit| limit.to_string());
    format!(
        "{} calls, {} tokens, {} dollars",
        of(used.calls.to_string(), whole(limit.calls)),
        of(used.tokens.to_string(), whole(limit.tokens)),
        of(format!("{:.4}", used.usd), limit.usd.map(|usd| usd.to_string())),
    )
}

/// The day of a moment.
fn day(moment: &str) -> &str {
    moment.get(..10).unwrap_or(moment)
}
