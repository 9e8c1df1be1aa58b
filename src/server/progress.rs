//! One line for a finished stage, for the reasoning channel of a workflow's stream.

use std::fmt::Write;

use crate::workflow::{StageReport, StageStatus};

/// `worker qwen#1: ok, 2.0 s` and the like; no prompt and no key is in a report.
pub(super) fn line(report: &StageReport) -> String {
    let StageReport { stage, name, status, duration_ms, detail, .. } = report;
    let space = if name.is_empty() { "" } else { " " };
    let mut line = [stage.as_str(), space, name, ": ", status.as_str()].concat();
    if let Some(detail) = detail {
        line.extend([" (", detail, ")"]);
    }
    if report.status != StageStatus::Skipped {
        let tenths = duration_ms.saturating_add(50) / 100;
        // Writing to a string cannot fail.
        let _infallible = write!(line, ", {}.{} s", tenths / 10, tenths % 10);
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::StageKind;

    #[test]
    fn a_line_is_short_and_ends() {
        for (stage, name, status, duration_ms, detail, want) in [
            (
                StageKind::Worker,
                "qwen#1",
                StageStatus::Ok,
                1980,
                None,
                "worker qwen#1: ok, 2.0 s\n",
            ),
            (
                StageKind::Worker,
                "b",
                StageStatus::Timeout,
                60_000,
                Some("timeout"),
                "worker b: timeout (timeout), 60.0 s\n",
            ),
            (
                StageKind::Analyzer,
                "small",
                StageStatus::Ok,
                49,
                Some("code"),
                "analyzer small: ok (code), 0.0 s\n",
            ),
            (
                StageKind::Selector,
                "",
                StageStatus::Skipped,
                0,
                Some("one candidate"),
                "selector: skipped (one candidate)\n",
            ),
        ] {
            let detail = detail.map(str::to_owned);
            let name = name.to_owned();
            let report = StageReport { stage, name, status, duration_ms, detail, degrades: false };
            assert_eq!(line(&report), want);
        }
    }
}
