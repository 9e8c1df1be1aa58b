//! `[workflow.timeouts]`, `[workflow.domains]` and `[workflow.retry]`.

use std::time::Duration;

use toml::Spanned;
use url::Host;

use crate::config::{
    Domain, Health, Retry, TimeLimits, Timeouts,
    legacy::Milliseconds,
    plan::LONGEST_LIMIT,
    raw::Table,
    report::{Place, Report},
};

/// The limits, where each domain was written, and what follows a failure.
#[derive(Default)]
pub(super) struct Limits {
    pub(super) limits: TimeLimits,
    pub(super) places: Vec<(String, Place)>,
    pub(super) retry: Retry,
    pub(super) health: Health,
}

/// Reads the tables of `[workflow]`.
pub(super) fn read(workflow: Option<&mut Table<'_, '_>>, report: &Report<'_>) -> Limits {
    let mut limits = Limits::default();
    let Some(workflow) = workflow else { return limits };
    let mut old = Milliseconds::default();
    if let Some(table) = workflow.table("timeouts", "[workflow.timeouts]") {
        limits.limits.base = timeouts(domain(table, &mut old));
    }
    if let Some(table) = workflow.table("domains", "[workflow.domains]") {
        for (name, table) in table.named_tables() {
            let read = domain(table, &mut old);
            let Some(host) = host_key(name.get_ref()) else {
                let what =
                    format!("[workflow.domains.\"{}\"] is no host", name.get_ref().escape_debug());
                let remedy = "write \"host\" or \"host:port\", without scheme or path";
                report.problem(&name.span(), what, remedy);
                continue;
            };
            let place = report.place(&name.span());
            if limits.limits.domains.insert(host.clone(), read).is_some() {
                let what = format!("[workflow.domains.\"{host}\"] is there twice");
                report.problem(&name.span(), what, "keep one of them");
            }
            limits.places.push((host, place));
        }
    }
    old.tell(report);
    limits.retry = workflow.table("retry", "[workflow.retry]").map_or_else(Retry::default, retry);
    limits.health =
        workflow.table("health", "[workflow.health]").map_or_else(Health::default, health);
    limits
}

fn timeouts(read: Domain) -> Timeouts {
    let default = Timeouts::default();
    let synthesizer = read.synthesizer.unwrap_or(default.synthesizer);
    Timeouts {
        analyzer: read.analyzer.unwrap_or(default.analyzer),
        worker: read.worker.unwrap_or(default.worker),
        selector: read.selector.unwrap_or(synthesizer),
        synthesizer,
        connect: read.connect.unwrap_or(default.connect),
    }
}

fn domain(mut table: Table<'_, '_>, old: &mut Milliseconds) -> Domain {
    let mut limit = |key: &'static str| {
        let written = table.number(key)?;
        let secs = old.seconds(&table, key, &written);
        if (0.001..=LONGEST_LIMIT).contains(&secs) {
            return Duration::try_from_secs_f64(secs).ok();
        }
        let what = format!("{}: `{key}` is out of range", table.label);
        let remedy = "write seconds, more than 0 and at most a day (86400)";
        table.report.problem(&written.span(), what, remedy);
        None
    };
    let domain = Domain {
        analyzer: limit("analyzer_timeout_secs"),
        worker: limit("worker_timeout_secs"),
        selector: limit("selector_timeout_secs"),
        synthesizer: limit("synthesizer_timeout_secs"),
        connect: limit("connect_timeout_secs"),
    };
    table.finish();
    domain
}

/// `host` or `host:port` as [`TimeLimits::resolve`] looks it up.
fn host_key(text: &str) -> Option<String> {
    let text = text.trim();
    let plain = |host: &str| {
        let host = Host::parse(host).ok()?.to_string();
        (!host.is_empty()).then_some(host)
    };
    if let Some(host) = plain(text) {
        return Some(host);
    }
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    Some(format!("{}:{port}", plain(host)?))
}

fn retry(mut table: Table<'_, '_>) -> Retry {
    let default = Retry::default();
    let millis = |value: Option<Spanned<u64>>, default: Duration| {
        value.map_or(default, |value| Duration::from_millis(value.into_inner()))
    };
    let hour = 3_600_000;
    let max_retries = table.whole("max_retries", 0..=100).map(Spanned::into_inner);
    let base_delay = millis(table.whole("base_delay_ms", 1..=hour), default.base_delay);
    let written = table.whole("max_delay_ms", 1..=hour);
    let span = written.as_ref().map_or_else(|| table.span.clone(), Spanned::span);
    // A large base alone means longer delays, not a mistake.
    let max_delay = match written {
        Some(_) => millis(written, default.max_delay),
        None => default.max_delay.max(base_delay),
    };
    if max_delay < base_delay {
        let what = format!("{}: `max_delay_ms` is less than `base_delay_ms`", table.label);
        table.report.problem(&span, what, "raise the one or lower the other");
    }
    table.finish();
    Retry { max_retries: max_retries.unwrap_or(default.max_retries), base_delay, max_delay }
}

fn health(mut table: Table<'_, '_>) -> Health {
    let default = Health::default();
    let threshold = table.whole("failure_threshold", 1..=1_000_000).map(Spanned::into_inner);
    let ratio = table.bounded("failure_ratio", 0.01..=1.0).map(Spanned::into_inner);
    let secs = |value: Option<Spanned<f64>>| {
        value.and_then(|value| Duration::try_from_secs_f64(value.into_inner()).ok())
    };
    let open = secs(table.bounded("open_secs", 0.001..=LONGEST_LIMIT));
    let probe_interval = secs(table.bounded("probe_interval_secs", 0.0..=LONGEST_LIMIT));
    table.finish();
    Health {
        failure_threshold: threshold.unwrap_or(default.failure_threshold),
        failure_ratio: ratio.unwrap_or(default.failure_ratio),
        open: open.unwrap_or(default.open),
        probe_interval: match probe_interval {
            Some(every) => (!every.is_zero()).then_some(every),
            None => default.probe_interval,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_hosts_with_or_without_port() {
        for (text, want) in [
            ("API.DeepSeek.com", Some("api.deepseek.com")),
            ("127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("[::1]", Some("[::1]")),
            ("[::1]:443", Some("[::1]:443")),
            ("localhost:11434", Some("localhost:11434")),
            ("https://a.example", None),
            ("a.example/v1", None),
            ("a.example:port", None),
            ("", None),
            (":80", None),
        ] {
            assert_eq!(host_key(text).as_deref(), want, "{text}");
        }
    }
}
