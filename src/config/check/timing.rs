//! `[workflow.timeouts]`, `[workflow.domains]` and `[workflow.retry]`.

use std::time::Duration;

use url::Host;

use crate::config::{
    Health, Retry, TimeLimits, Timeouts,
    file::workflow as file,
    legacy::Milliseconds,
    report::{FileSpan, Report},
    section::Section,
};

/// The limits, where each domain was written, and what follows a failure.
#[derive(Default)]
pub(super) struct Limits {
    pub(super) limits: TimeLimits,
    pub(super) places: Vec<(String, FileSpan)>,
    pub(super) retry: Retry,
    pub(super) health: Health,
}

/// Reads the tables of `[workflow]`; `written` becomes what is in use.
pub(super) fn read(written: &mut file::Workflow, report: &Report<'_>) -> Limits {
    let mut limits = Limits {
        retry: retry(&mut written.retry, report),
        health: health(&written.health),
        ..Limits::default()
    };
    let mut old = Milliseconds::default();
    let at = Section::of(report, "workflow.timeouts");
    in_seconds(&mut written.timeouts, &at, &mut old);
    limits.limits.base = written.timeouts;
    let at = Section::of(report, "workflow.domains");
    for (name, file::Domain(own)) in &mut written.domains {
        let place = at.place_of_key(name);
        let inner = at.table(name);
        in_seconds(own, &inner, &mut old);
        let Some(host) = host_key(name) else {
            let what = format!("[workflow.domains.\"{}\"] is no host", name.escape_debug());
            let remedy = "write \"host\" or \"host:port\", without scheme or path";
            report.problem_at(place, what, remedy);
            continue;
        };
        if limits.limits.domains.insert(host.clone(), *own).is_some() {
            let what = format!("[workflow.domains.\"{host}\"] is there twice");
            report.problem_at(place.clone(), what, "keep one of them");
        }
        limits.places.push((host, place));
    }
    old.report(report);
    limits
}

/// Makes seconds of what old files have in milliseconds.
fn in_seconds(written: &mut Timeouts, at: &Section<'_, '_>, old: &mut Milliseconds) {
    for (key, limit) in [
        ("analyzer_timeout_secs", &mut written.analyzer_timeout_secs),
        ("worker_timeout_secs", &mut written.worker_timeout_secs),
        ("selector_timeout_secs", &mut written.selector_timeout_secs),
        ("synthesizer_timeout_secs", &mut written.synthesizer_timeout_secs),
        ("connect_timeout_secs", &mut written.connect_timeout_secs),
    ] {
        *limit = limit.map(|secs| old.seconds(at, key, secs));
    }
}

/// `host` or `host:port` as [`TimeLimits::of_host`] looks it up.
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

fn retry(written: &mut file::Retry, report: &Report<'_>) -> Retry {
    let at = Section::of(report, "workflow.retry");
    // A large base alone means longer delays, not a mistake.
    if !at.has("max_delay_ms") {
        written.max_delay_ms = written.max_delay_ms.max(written.base_delay_ms);
    }
    if written.max_delay_ms < written.base_delay_ms {
        let what = "`max_delay_ms` is less than `base_delay_ms`";
        at.problem("max_delay_ms", what, "raise the one or lower the other");
    }
    Retry {
        max_retries: written.max_retries,
        base_delay: Duration::from_millis(written.base_delay_ms),
        max_delay: Duration::from_millis(written.max_delay_ms),
    }
}

fn health(written: &file::Health) -> Health {
    let probe_interval = Duration::from_secs_f64(written.probe_interval_secs);
    Health {
        failure_threshold: written.failure_threshold,
        failure_ratio: written.failure_ratio,
        open: Duration::from_secs_f64(written.open_secs),
        probe_interval: (!probe_interval.is_zero()).then_some(probe_interval),
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
