//! Documents that name the tests behind what they say: each is there.

use std::fs;

use super::markdown::{code, documents, read, root, row, section};

/// Whether a file has a test of this name.
fn has_test(file: &str, name: &str) -> bool {
    let text = fs::read_to_string(root().join(file)).unwrap_or_default();
    let start = ["fn ", "("].join(name);
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let declared = |line: &&str| line.trim_start_matches("async ").starts_with(&start);
    let Some(at) = lines.iter().position(declared) else { return false };
    let above = lines[..at].iter().rev();
    above.take_while(|line| line.starts_with("#[")).any(|line| line.contains("test"))
}

/// `path/to/file.rs::name_of_the_test`.
fn named(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let words = code(line).into_iter();
    words.filter_map(|word| word.split_once("::")).filter(|(file, _)| file.ends_with(".rs"))
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let mut found = 0;
    for (file, text) in documents() {
        for (source, name) in text.lines().flat_map(named) {
            assert!(has_test(source, name), "{file}: {source} has no test {name}");
            found += 1;
        }
    }
    assert!(found > 25, "{found}");
    let here = "tests/it/documents/proofs.rs";
    assert!(
        !has_test(here, "has_test") && !has_test(here, "nobody") && !has_test("no.rs", "named")
    );
}

#[test]
fn every_finding_names_a_proof() {
    let text = read("docs/decisions/0001-faults-of-its-kind.md");
    for heading in ["## Findings", "## What else is easily got wrong"] {
        let rows: Vec<_> = section(&text, &[heading]).into_iter().filter_map(row).skip(1).collect();
        assert!(rows.len() >= 6, "{heading}");
        for cells in rows {
            assert!(named(cells[2]).count() > 0, "{cells:?}");
        }
    }
}
