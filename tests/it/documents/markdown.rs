//! Reads as much of Markdown as the documents use.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The two that say the same, line by line, as do the two books of the manual.
pub(super) const READMES: [&str; 2] = ["README.md", "README.en.md"];

/// A page of the manual, in Chinese and in English.
pub(super) fn pages(page: &str) -> [String; 2] {
    ["zh", "en"].map(|language| format!("docs/{language}/src/{page}"))
}

/// What is translated inside code.
const WORDS: [(&str, &str); 5] = [
    ("天空为什么是蓝色的？", "Why is the sky blue?"),
    ("为什么？", "Why?"),
    ("主机", "host"),
    ("端口", "port"),
    ("那日落时呢？", "And at sunset?"),
];

pub(super) fn in_english(text: &str) -> String {
    WORDS.iter().fold(text.to_owned(), |text, (chinese, english)| text.replace(chinese, english))
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every file of the repository, relative to its root; without hidden folders and build output.
pub(super) fn files() -> Vec<PathBuf> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true if name.starts_with('.') || name == "target" => {}
                true => below(&path, found),
                false => found.push(path.strip_prefix(root()).unwrap().to_owned()),
            }
        }
    }
    let mut found = Vec::new();
    below(root(), &mut found);
    found
}

/// Every document of the repository, with its text.
pub(super) fn documents() -> Vec<(String, String)> {
    let named = |path: PathBuf| path.to_str().unwrap().to_owned();
    let markdown = files().into_iter().map(named).filter(|file| file.ends_with(".md"));
    markdown.map(|file| (read(&file), file)).map(|(text, file)| (file, text)).collect()
}

/// A fenced block.
#[derive(Debug)]
pub(super) struct Block {
    /// The line of its opening fence, from 1.
    pub(super) line: usize,
    /// What follows the opening fence.
    pub(super) kind: String,
    pub(super) text: String,
}

/// The blocks of a document, and its lines outside them with their numbers.
pub(super) fn split(document: &str) -> (Vec<Block>, Vec<(usize, &str)>) {
    let (mut blocks, mut prose) = (Vec::new(), Vec::new());
    let mut open: Option<Block> = None;
    for (line, text) in (1..).zip(document.lines()) {
        match (text.trim_start().strip_prefix("```"), open.take()) {
            (Some(kind), None) => {
                open = Some(Block { line, kind: kind.to_owned(), text: String::new() });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text.push_str(text);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => prose.push((line, text)),
        }
    }
    assert!(open.is_none(), "a fence is not closed: {open:?}");
    (blocks, prose)
}

pub(super) fn blocks(document: &str) -> Vec<Block> {
    split(document).0
}

/// The lines of the chapter or section whose heading is one of these, up to the next as high.
pub(super) fn section<'d>(document: &'d str, headings: &[&str]) -> Vec<&'d str> {
    let prose = split(document).1;
    let start = prose.iter().position(|(_, line)| headings.contains(line));
    let start = start.unwrap_or_else(|| panic!("no heading {headings:?}"));
    let depth = level(prose[start].1);
    let lines = prose[start + 1..].iter().map(|(_, line)| *line);
    lines.take_while(|line| !(1..=depth).contains(&level(line))).collect()
}

/// The anchors of a page's headings, as mdBook and GitHub make them.
pub(super) fn headings(document: &str) -> impl Iterator<Item = String> {
    let lines = split(document).1.into_iter().filter(|(_, line)| level(line) > 0);
    lines.map(|(_, line)| {
        let text = line.trim_start_matches('#').trim();
        let kept = text.chars().filter_map(|letter| match letter {
            letter if letter.is_alphanumeric() || "-_".contains(letter) => Some(letter),
            letter => letter.is_whitespace().then_some('-'),
        });
        kept.flat_map(char::to_lowercase).collect()
    })
}

/// Targets of `[text](target)` and `![text](target)`.
pub(super) fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// How many `#` a heading has; 0 for other lines.
pub(super) fn level(line: &str) -> usize {
    let marks = line.chars().take_while(|c| *c == '#').count();
    if line[marks..].starts_with(' ') { marks } else { 0 }
}

/// What stands between single backticks.
pub(super) fn code(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// The cells of a table's row; `None` for other lines and for the rule below a table's head.
pub(super) fn row(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix("| ")?.strip_suffix('|')?;
    (!inner.starts_with("---")).then(|| inner.split('|').map(str::trim).collect())
}
