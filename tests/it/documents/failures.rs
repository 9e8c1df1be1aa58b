//! The table of failures in the manual against the failures that there are.

use std::fs;

use super::markdown::{code, files, pages, read, root, row, split};

const PAGE: &str = "operations/troubleshooting.md";

/// Words of libraries, which no file of ours holds.
const BORROWED: [&str; 4] =
    ["invalid peer certificate", "received corrupt message", "tunnel error", "verloaded"];

/// What stands in the first cells: messages and codes.
fn shown(page: &str) -> Vec<String> {
    let text = read(page);
    let rows = split(&text).1.into_iter().filter_map(|(_, line)| row(line)).skip(1);
    rows.flat_map(|cells| code(cells[0]).into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_failure_of_a_model_has_a_row() {
    let source = read("src/llm/error.rs");
    let codes: Vec<&str> = source
        .lines()
        .filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","))
        .filter(|code| *code != "client_setup") // reported at the start, as a mistake in the config
        .collect();
    assert!(codes.len() >= 17, "{codes:?}");
    for page in pages(PAGE) {
        let shown = shown(&page);
        for code in &codes {
            assert!(shown.iter().any(|span| span == code), "{page}: `{code}` has no row");
        }
    }
}

#[test]
fn the_messages_are_those_of_the_program() {
    let sources = files().into_iter().filter(|file| file.starts_with("src"));
    let sources: String =
        sources.filter_map(|file| fs::read_to_string(root().join(file)).ok()).collect();
    // A literal that is continued on the next line.
    let mut source = String::with_capacity(sources.len());
    for (index, part) in sources.split("\\\n").enumerate() {
        source.push_str(if index == 0 { part } else { part.trim_start() });
    }
    for page in pages(PAGE) {
        let (mut checked, mut unknown) = (0, Vec::new());
        for message in shown(&page).iter().filter(|span| span.contains(' ')) {
            let is_word = |one: char| one.is_ascii_lowercase() || " '_".contains(one);
            let pieces = message.split(|one| !is_word(one)).map(str::trim);
            for piece in pieces.filter(|piece| piece.len() > 7 && !BORROWED.contains(piece)) {
                checked += 1;
                if !source.contains(piece) {
                    unknown.push(piece.to_owned());
                }
            }
        }
        assert!(unknown.is_empty(), "{page}: no file says {unknown:?}");
        assert!(checked > 30, "{page}: {checked}");
    }
}
