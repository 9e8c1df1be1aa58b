//! The READMEs and the manual as books: both languages say the same, every page is listed, and
//! every link leads somewhere.

use std::{collections::BTreeSet, path::Path};

use super::markdown::{
    READMES, code, documents, files, headings, in_english, level, links, pages, read, root, row,
    split,
};

/// Both languages of the READMEs and of each page of the manual, Chinese first.
fn pairs() -> Vec<[String; 2]> {
    let mut pairs = vec![READMES.map(str::to_owned)];
    let chinese = files().into_iter().filter_map(|file| {
        let page = file.strip_prefix("docs/zh/src").ok()?.to_str().unwrap();
        page.ends_with(".md").then(|| pages(page))
    });
    pairs.extend(chinese);
    pairs
}

/// Code without what is translated: comments, and a few words. Diagrams are only as long.
fn untranslated(kind: &str, text: &str) -> Vec<String> {
    let bare = |line: &str| match kind {
        "sh" | "python" | "toml excerpt" if line.starts_with("# ") => String::new(),
        "sh" | "python" | "toml excerpt" => line.split(" #").next().unwrap().trim_end().to_owned(),
        "text" if line.contains("  ") => String::new(),
        _ => line.to_owned(),
    };
    in_english(text).lines().map(bare).collect()
}

#[test]
fn both_languages_say_the_same_line_by_line() {
    for [chinese, english] in pairs() {
        let (left_text, right_text) = (read(&chinese), read(&english));
        assert_eq!(left_text.lines().count(), right_text.lines().count(), "{english}");
        let ((left, left_prose), (right, right_prose)) = (split(&left_text), split(&right_text));
        assert_eq!(left.len(), right.len(), "{english}");
        for (left, right) in left.iter().zip(&right) {
            assert_eq!((left.line, &left.kind), (right.line, &right.kind), "{english}");
            let code = [left, right].map(|block| untranslated(&block.kind, &block.text));
            assert_eq!(code[0].len(), code[1].len(), "{english}:{}", left.line);
            for (left_line, right_line) in code[0].iter().zip(&code[1]) {
                // What the program says in the language of the question.
                let translated = left.kind == "text" && !left_line.is_ascii();
                assert!(
                    translated || left_line == right_line,
                    "{english}:{}: {left_line}",
                    left.line
                );
            }
        }
        assert_eq!(left_prose.len(), right_prose.len(), "{english}");
        for ((number, left), (_, right)) in left_prose.iter().zip(&right_prose) {
            let at = format!("{english}:{number}");
            assert_eq!(level(left), level(right), "{at}: the headings");
            let columns = [left, right].map(|line| row(line).map(|cells| cells.len()));
            assert_eq!(columns[0], columns[1], "{at}: the tables");
            let words = [left, right].map(|line| {
                let mut words: Vec<String> = code(line).into_iter().map(in_english).collect();
                words.sort();
                words
            });
            assert_eq!(words[0], words[1], "{at}: the code");
            let targets = [left, right].map(|line| {
                let bare = |target: &str| {
                    let path = target.split('#').next().unwrap();
                    path.replace("docs/zh/", "docs/en/").replace("README.en.md", "README.md")
                };
                let mut targets: Vec<String> = links(line).map(bare).collect();
                targets.sort();
                targets
            });
            // Each README links to the other one.
            if !left.contains("](README") && !right.contains("](README") {
                assert_eq!(targets[0], targets[1], "{at}: the links");
            }
            assert_eq!(left.is_empty(), right.is_empty(), "{at}");
        }
    }
}

#[test]
fn a_readme_can_be_read_at_one_sitting_and_each_chapter_leads_on() {
    for file in READMES {
        let text = read(file);
        assert!(text.len() < 10_000, "{file} has {} bytes", text.len());
        let chapters: Vec<&str> = text.split("\n## ").skip(1).collect();
        assert_eq!(chapters.len(), 11, "{file}");
        for chapter in chapters {
            let leads_on = chapter.contains("](docs/") || chapter.contains("](ARCHITECTURE.md)");
            assert!(leads_on, "{file}: {}", chapter.lines().next().unwrap());
        }
    }
}

#[test]
fn the_summaries_list_every_page_once() {
    for language in ["zh", "en"] {
        let folder = format!("docs/{language}/src");
        let summary = read(&format!("{folder}/SUMMARY.md"));
        let listed: Vec<String> = summary.lines().flat_map(links).map(str::to_owned).collect();
        let there: BTreeSet<String> = files()
            .into_iter()
            .filter_map(|file| Some(file.strip_prefix(&folder).ok()?.to_str()?.to_owned()))
            .filter(|page| page != "SUMMARY.md" && page.ends_with(".md"))
            .collect();
        assert!(there.len() > 20, "{there:?}");
        assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), there, "{folder}");
        assert_eq!(listed.len(), there.len(), "{folder}: a page is listed twice");
        let book: toml::Table = read(&format!("docs/{language}/book.toml")).parse().unwrap();
        assert_eq!(book["book"]["language"].as_str(), Some(language));
    }
}

#[test]
fn links_lead_somewhere() {
    let (mut followed, mut anchors) = (0, 0);
    for (file, text) in documents() {
        let folder = Path::new(&file).parent().unwrap().to_owned();
        for (number, line) in split(&text).1 {
            for target in links(line).filter(|target| !target.contains("://")) {
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                let path = match path {
                    "" => root().join(&file),
                    path => root().join(&folder).join(path),
                };
                assert!(path.exists(), "{file}:{number}: {target}");
                followed += 1;
                if !anchor.is_empty() {
                    let page = std::fs::read_to_string(&path).unwrap();
                    let there = headings(&page).any(|heading| heading == anchor);
                    assert!(there, "{file}:{number}: {target}: no such heading");
                    anchors += 1;
                }
            }
        }
    }
    assert!(followed > 200 && anchors > 20, "{followed} {anchors}");
}

/// A link out of a book is dead once the book stands somewhere else.
#[test]
fn the_manual_links_to_its_own_pages_only() {
    for (file, text) in documents() {
        let Some((book, _)) =
            file.split_once("/src/").filter(|(book, _)| book.starts_with("docs/"))
        else {
            continue;
        };
        let within = root().join(book).join("src").canonicalize().unwrap();
        for target in split(&text).1.into_iter().flat_map(|(_, line)| links(line)) {
            let path = target.split('#').next().unwrap();
            if path.contains("://") || path.is_empty() {
                continue;
            }
            let folder = root().join(&file).parent().unwrap().to_owned();
            let target = folder.join(path).canonicalize().unwrap();
            assert!(target.starts_with(&within), "{file}: {path}");
        }
    }
}
