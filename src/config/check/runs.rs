//! `[runs]`.

use std::time::Duration;

use crate::config::{Runs, RunsFile, file::runs as file, report::Report};

const DAY: u64 = 24 * 60 * 60;

pub(super) fn read(written: &file::Runs, report: &Report<'_>) -> Runs {
    let file = written.path.as_deref().map(|path| RunsFile {
        path: report.in_folder(path),
        keep: written.keep,
        keep_for: Duration::from_secs(u64::from(written.keep_days) * DAY),
    });
    Runs { recent: written.recent, keep_text: written.keep_text, file }
}
