//! `[audit]`.

use crate::config::{Audit, file::audit as file, report::Report};

pub(super) fn read(written: &file::Audit, report: &Report<'_>) -> Option<Audit> {
    let path = report.in_folder(written.path.as_deref()?);
    Some(Audit { path, rotate: written.rotate, keep: written.keep })
}
