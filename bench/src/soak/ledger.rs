//! What the audit log says that each client took, against what it is charged with.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::Value;

use super::check;
use crate::Fault;

/// What one client took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    calls: u64,
    tokens: u64,
}

/// All lines of the audit log.
pub(super) struct Ledger {
    clients: BTreeMap<String, Taken>,
    lines: u64,
    refused: u64,
    missing: u64,
}

impl Ledger {
    /// Reads the files.
    pub(super) fn of(files: impl Iterator<Item = PathBuf>) -> Result<Self, Fault> {
        let mut ledger = Self { clients: BTreeMap::new(), lines: 0, refused: 0, missing: 0 };
        for file in files {
            for line in fs::read_to_string(&file)?.lines() {
                ledger.take(&serde_json::from_str(line)?);
            }
        }
        Ok(ledger)
    }

    fn take(&mut self, line: &Value) {
        self.lines += 1;
        self.missing += line["missing_lines"].as_u64().unwrap_or(0);
        self.refused += u64::from(line["decision"] == "refused");
        let number = |key: &str| line[key].as_u64().unwrap_or(0);
        if let Some(client) = line["client"].as_str() {
            let taken = self.clients.entry(client.to_owned()).or_default();
            taken.calls += number("calls");
            taken.tokens += number("prompt_tokens") + number("completion_tokens");
        }
    }

    /// Whether it is what `/chorus/clients` says of this month.
    pub(super) fn agrees(&self, clients: &[Value]) -> bool {
        println!("lines: {}, of which refused: {}", self.lines, self.refused);
        let mut fine = check("no line of the audit log is missing", self.missing == 0);
        for client in clients {
            let name = client["name"].as_str().unwrap_or_default();
            let months = client["used"].as_array().into_iter().flatten();
            let month =
                months.filter(|period| period["per"] == "month").map(|period| &period["used"]);
            let number = |used: &Value, key: &str| used[key].as_u64().unwrap_or(0);
            let charged = month.fold(Taken::default(), |_, used| Taken {
                calls: number(used, "calls"),
                tokens: number(used, "tokens"),
            });
            let logged = self.clients.get(name).copied().unwrap_or_default();
            println!("{name}: charged {charged:?}, logged {logged:?}");
            fine &= check("what is charged is what was taken, to the token", charged == logged);
        }
        fine
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_summed_by_client() {
        let mut ledger = Ledger { clients: BTreeMap::new(), lines: 0, refused: 0, missing: 0 };
        for line in [
            json!({"client": "ann", "decision": "allowed", "calls": 2, "prompt_tokens": 3, "completion_tokens": 4}),
            json!({"client": "ann", "decision": "refused"}),
            json!({"decision": "refused"}),
        ] {
            ledger.take(&line);
        }
        let charged = |tokens| {
            vec![
                json!({"name": "ann", "used": [{"per": "month", "used": {"calls": 2, "tokens": tokens}}]}),
            ]
        };
        assert_eq!((ledger.lines, ledger.refused), (3, 2));
        assert!(ledger.agrees(&charged(7)));
        assert!(!ledger.agrees(&charged(8)));
    }
}
