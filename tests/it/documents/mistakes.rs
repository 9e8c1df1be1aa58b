//! The common mistakes and the old forms, as the documents show them, against what the program
//! says.

use std::path::Path;

use chorus::{
    commands::{
        diagnostics::{self, Look},
        migrate::{self, Options, Screen},
    },
    config::Config,
};

use super::markdown::{blocks, pages, read};

/// The rest of a file of which a document shows the part with the mistake. It goes behind, so that
/// line numbers are those of the part.
fn completed(part: &str) -> String {
    let mut text = part.to_owned();
    if !part.contains("model]") {
        text.push_str("[[model]]\nname = \"small\"\napi_base = \"http://127.0.0.1:8080/v1\"\n");
    }
    if !part.contains("[workflow-integration]") {
        text.push_str("[workflow-integration]\n");
        text.push_str("json = '{ \"workers\": [\"small\"], \"selector\": \"small\" }'\n");
    }
    text
}

#[test]
fn every_mistake_gets_the_message_that_is_shown() {
    for page in pages("reference/mistakes.md") {
        let text = read(&page);
        let blocks = blocks(&text);
        assert!(blocks.len() >= 30, "{}", blocks.len());
        for pair in blocks.chunks(2) {
            let [mistake, message] = pair else { panic!("a mistake and its message") };
            assert!(matches!(mistake.kind.as_str(), "toml excerpt" | "ini"), "{}", mistake.line);
            assert_eq!(message.kind, "text", "line {}", message.line);
            let file = completed(&mistake.text);
            let refused = Config::parse(&file, Some(Path::new("config.toml")), &|_| None);
            let error = refused.expect_err("it is a mistake");
            let mut said = Vec::new();
            diagnostics::refused(&error, Look::PLAIN, &mut said).unwrap();
            let said = String::from_utf8(said).unwrap();
            assert_eq!(message.text, said, "line {}", message.line);
        }
    }
}

fn migrated(folder: &Path) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut screen = Screen { out: &mut out, err: &mut err, terminal: true };
    let file = folder.join("test-old-config.toml");
    let code = migrate::run(&file, &Options::default(), &|_| None, &mut screen).unwrap();
    assert_eq!((code, err), (0, vec![]));
    String::from_utf8(out).unwrap().replace(&format!("{}/", folder.display()), "")
}

#[test]
fn the_old_file_is_reported_and_rewritten_as_shown() {
    let old = read("test-old-config.toml");
    let config = Config::parse(&old, Some(Path::new("test-old-config.toml")), &|_| None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    std::fs::write(folder.join("test-old-config.toml"), old).unwrap();
    let mut notices = Vec::new();
    diagnostics::show(&config.notices, Look::PLAIN, &mut notices).unwrap();
    let notices = format!("{}\n", String::from_utf8(notices).unwrap().trim_end());
    let said = [notices, migrated(&folder), migrated(&folder)];
    for page in pages("operations/old-configs.md") {
        let shown: Vec<String> = blocks(&read(&page)).into_iter().map(|block| block.text).collect();
        assert_eq!(shown, said, "{page}");
    }
}
