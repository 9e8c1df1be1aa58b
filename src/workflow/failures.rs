//! What failed in a run, as its log line names it.

use std::fmt;

use super::Warning;
use crate::types::escaped;

/// How many are named; the others are counted.
const NAMED: usize = 8;
/// Characters of a name that are shown.
const NAME: usize = 40;

/// `worker a upstream_error, selector judge timeout`: stages, names and codes, no text of anybody's.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    named: Vec<Warning>,
    more: usize,
}

impl Failures {
    /// Whether nothing failed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    pub(super) fn push(&mut self, warning: &Warning) {
        if self.named.len() < NAMED {
            self.named.push(warning.clone());
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Warning { stage, name, code }) in self.named.iter().enumerate() {
            let name: String = name.chars().take(NAME).collect();
            let name = escaped(&name);
            write!(f, "{}{stage} {name} {code}", if index > 0 { ", " } else { "" })?;
        }
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failures_are_named_and_the_others_counted() {
        let mut failures = Failures::default();
        assert!(failures.is_empty());
        for number in 0..10 {
            let name = format!("m{number}\n{}", "x".repeat(100));
            failures.push(&Warning { stage: "worker", name, code: "timeout" });
        }
        let shown = failures.to_string();
        assert!(
            shown.starts_with("worker m0\\u{a}xxx") && shown.ends_with(" timeout and 2 more"),
            "{shown}"
        );
        assert_eq!(shown.matches("worker").count(), NAMED);
        assert!(!shown.contains('\n') && shown.len() < 600, "{shown}");
    }
}
