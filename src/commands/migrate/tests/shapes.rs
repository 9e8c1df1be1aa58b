//! Old files of every shape, and damaged ones: what is rewritten means the same.

use proptest::prelude::*;

use super::{
    super::rewrite::{Rewritten, rewrite},
    parse,
};
use crate::config::Config;

/// An old file: choices by number, so that a failing one shrinks to the plainest.
#[derive(Clone, Debug)]
struct Old {
    model: u8,
    stages: u8,
    timeouts: u8,
    domains: u8,
    server: bool,
    selector: bool,
    analyzer: bool,
    temperature: u8,
    limits: [u8; 3],
    spacing: u8,
    comments: bool,
    swapped: bool,
    crlf: bool,
}

fn old() -> impl Strategy<Value = Old> {
    let shapes = (0..6_u8, 0..4_u8, 0..4_u8, 0..4_u8);
    let settings = (any::<bool>(), any::<bool>(), any::<bool>(), 0..3_u8);
    let look = (proptest::array::uniform3(0..8_u8), 0..3_u8, any::<[bool; 3]>());
    (shapes, settings, look).prop_map(|(shapes, settings, look)| {
        let (model, stages, timeouts, domains) = shapes;
        let (server, selector, analyzer, temperature) = settings;
        let (limits, spacing, [comments, swapped, crlf]) = look;
        Old {
            model,
            stages,
            timeouts,
            domains,
            server,
            selector,
            analyzer,
            temperature,
            limits,
            spacing,
            comments,
            swapped,
            crlf,
        }
    })
}

/// Lines of `key = value`, as one of them, or as the inside of an inline table.
type Keys = Vec<(String, String)>;

fn keys<const N: usize>(keys: [(&str, &str); N]) -> Keys {
    keys.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

impl Old {
    fn limit(&self, which: usize) -> &'static str {
        let written = ["30", "30000", "30_000", "0x7530", "12500.5", "3e4", "45.5", "86400000.0"];
        written[usize::from(self.limits[which])]
    }

    fn model(&self) -> Keys {
        let base = "\"http://127.0.0.1:8080/v1\"";
        let mut model =
            keys([("name", "\"a\""), ("api_base", base), ("api_key", "\"sk-of-no-one\"")]);
        match self.temperature {
            0 => {}
            1 => model.push(("temperature".to_owned(), "0.7".to_owned())),
            _ => model.push(("auto_temperature".to_owned(), "true".to_owned())),
        }
        model
    }

    fn stages(&self) -> Keys {
        if self.stages == 3 {
            return keys([("json", "'{\"workers\":[\"a\"],\"synthesizer\":\"a\"}'")]);
        }
        let mut stages = Keys::new();
        if self.analyzer {
            stages.extend(keys([("analyzer_model", "'a'")]));
        }
        stages.extend(keys([("nested_worker_depth", "2")]));
        let many = match (self.stages, self.comments) {
            (0, true) => "[ \"a\", # inner-1\n 'a' # inner-2\n ]",
            _ => "['a', \"a\"]",
        };
        stages.extend(keys([("worker_models", many), ("max_workers", "32")]));
        if self.selector {
            stages.extend(keys([("selector_model", "\"a\"")]));
        }
        stages.extend(keys([("synthesizer_model", "'''a'''")]));
        stages
    }

    fn timeouts(&self) -> Keys {
        keys([
            ("analyzer_timeout_secs", self.limit(0)),
            ("synthesizer_timeout_secs", self.limit(1)),
            ("connect_timeout_secs", "5"),
        ])
    }

    fn domains(&self) -> Keys {
        keys([("worker_timeout_secs", self.limit(2)), ("selector_timeout_secs", "11000")])
    }

    fn inline(keys: &Keys) -> String {
        let keys: Vec<String> =
            keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        format!("{{ {} }}", keys.join(", "))
    }

    /// Statements with the spacing and the comments asked for; each comment is its own.
    fn lines(&self, before: &str, keys: &Keys) -> String {
        let mut text = String::new();
        for (key, value) in keys {
            if self.comments {
                text.push_str(&format!("# above-{before}{key}\n"));
            }
            text.push_str(&match self.spacing {
                0 => format!("{before}{key} = {value}"),
                1 => format!("  {before}{key}={value}"),
                _ => format!("{before}{key}   =\t{value}"),
            });
            let behind =
                if self.comments { format!(" # behind-{before}{key}\n") } else { "\n".into() };
            text.push_str(&behind);
        }
        text
    }

    fn table(&self, header: &str, keys: &Keys) -> String {
        let blank = if self.spacing == 1 { "\n\n" } else { "" };
        let comment = if self.comments { format!("# header-{header}\n") } else { String::new() };
        format!("{blank}{comment}{header}\n{}", self.lines("", keys))
    }

    /// The whole file: what stands at its top level, then the tables.
    fn text(&self) -> String {
        let (mut top, mut tables) = (String::new(), Vec::new());
        let price = keys([("input_per_mtok", "1"), ("output_per_mtok", "2.5")]);
        match self.model {
            0 => tables.push(self.table("[model]", &self.model())),
            1 => tables.push(self.table("[[model]]", &self.model())),
            2 => top.push_str(&format!("model = {} # one line\n", Self::inline(&self.model()))),
            3 => top.push_str(&self.lines("model.", &self.model())),
            4 => {
                tables.push(self.table("[model.price]", &price));
                tables.push(self.table("[ model ]", &self.model()));
            }
            _ => {
                tables.push(self.table("[model]", &self.model()));
                tables.push(self.table("[model.price]", &price));
            }
        }
        let name = "workflow-integration";
        match self.stages {
            0 | 3 => tables.push(self.table(&format!("[{name}]"), &self.stages())),
            1 => top.push_str(&format!("{name} = {}\n", Self::inline(&self.stages()))),
            _ => top.push_str(&self.lines(&format!("{name}."), &self.stages())),
        }
        let host = "127.0.0.1";
        match (self.timeouts, self.domains) {
            (0, 0) => {}
            (3, _) => {
                let (own, domain) = (Self::inline(&self.timeouts()), Self::inline(&self.domains()));
                let domains = format!("{{ \"{host}\" = {domain} }}");
                top.push_str(&format!("workflow = {{ timeouts = {own}, domains = {domains} }}\n"));
            }
            (timeouts, domains) => {
                match timeouts {
                    1 => tables.push(self.table("[workflow.timeouts]", &self.timeouts())),
                    2 => top.push_str(&self.lines("workflow.timeouts.", &self.timeouts())),
                    _ => {}
                }
                let header = format!("[workflow.domains.\"{host}\"]");
                match domains {
                    1 => tables.push(self.table(&header, &self.domains())),
                    2 => {
                        let line = (format!("\"{host}\""), Self::inline(&self.domains()));
                        tables.push(self.table("[workflow.domains]", &vec![line]));
                    }
                    3 => tables.push(self.table("[workflow.domains.'localhost']", &self.domains())),
                    _ => {}
                }
            }
        }
        if self.server {
            tables.push(self.table("[server]", &keys([("port", "11440")])));
        }
        if self.swapped {
            // Only where no table belongs to the one above it.
            if self.model != 5 {
                tables.reverse();
            }
        }
        let text = format!("{top}{}# the-end\n", tables.concat());
        if self.crlf { text.replace('\n', "\r\n") } else { text }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Files nobody meant to write: whatever still loads after a cut still means the same.
    #[test]
    fn a_damaged_file_is_rewritten_rightly_or_not_at_all(
        old in old(), at in 0..600_usize, length in 1..40_usize, twice in any::<bool>(),
    ) {
        let mut characters: Vec<char> = old.text().chars().collect();
        let start = at.min(characters.len());
        let end = (start + length).min(characters.len());
        if twice {
            let copy = characters[start..end].to_vec();
            characters.splice(start..start, copy);
        } else {
            characters.drain(start..end);
        }
        let text: String = characters.into_iter().collect();
        let Ok(before) = Config::parse(&text, None, &|_| None) else { return Ok(()) };
        let new = rewrite(&text).expect("it was read").text;
        let new = new.as_str();
        let after = Config::parse(new, None, &|_| None);
        let after = after.unwrap_or_else(|error| panic!("{error}\n{text}\n-----\n{new}"));
        prop_assert!(before.means_the_same(&after), "{text}\n-----\n{new}");
        let again = rewrite(new).expect("it was read").text;
        prop_assert_eq!(again.as_str(), new);
    }
}

/// Every comment of a text that is one of ours to find again.
fn comments(text: &str) -> Vec<&str> {
    let after = text.lines().filter_map(|line| line.split_once("# ")).map(|(_, comment)| comment);
    after.flat_map(|comment| comment.split_whitespace()).filter(|word| word.contains('-')).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_new_form_means_the_same_and_is_final(old in old()) {
        let text = old.text();
        let before = parse(&text);
        let Rewritten { text: new, changes, left } = rewrite(&text).expect("it was read");
        let new = new.as_str();
        let after = parse(new);
        prop_assert!(before.means_the_same(&after), "{text}\n-----\n{new}");
        prop_assert_eq!(changes.is_empty(), new == text);
        if left.is_empty() {
            prop_assert!(after.notices.is_empty(), "{:?}\n{new}", after.notices);
            prop_assert_eq!(before.notices.is_empty(), changes.is_empty(), "{}", text);
        }
        let again = rewrite(new).expect("it was read");
        prop_assert!(again.changes.is_empty(), "{:?}\n{new}", again.changes);
        prop_assert_eq!(again.text.as_str(), new);
        for comment in comments(&text) {
            prop_assert!(new.contains(comment), "{comment}\n{text}\n-----\n{new}");
        }
        if old.crlf {
            prop_assert_eq!(new.matches('\n').count(), new.matches("\r\n").count());
        } else {
            prop_assert!(!new.contains('\r'));
        }
    }
}
