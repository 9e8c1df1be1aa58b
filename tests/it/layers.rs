//! Imports point down only: main -> server -> workflow -> llm -> config -> store -> types.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The layers from the bottom up; each may use those before it.
const LAYERS: [&str; 6] = ["types", "store", "config", "llm", "workflow", "server"];
/// May use everything, and nothing of the layers may use them.
const TOP: [&str; 2] = ["commands", "demo"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The layer a file belongs to: the first component below `src`.
fn layer(file: &Path, source: &Path) -> String {
    let relative = file.strip_prefix(source).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// What stands after `crate::` anywhere in a file, grouped imports included.
fn uses(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("crate::") {
        let rest = &text[start + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut fresh = true;
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.push(std::mem::take(&mut word));
                        fresh = true;
                    }
                    c if depth == 0 && fresh && (c.is_alphanumeric() || c == '_') => word.push(c),
                    ':' => fresh = false,
                    _ => {}
                }
            }
            found.push(word);
        } else {
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn no_layer_imports_from_above() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&source, &mut files);
    assert!(files.len() > 20, "the sources were found");
    let mut upward = Vec::new();
    for file in files {
        let own = layer(&file, &source);
        let Some(height) = LAYERS.iter().position(|name| *name == own) else { continue };
        let text = fs::read_to_string(&file).unwrap();
        // Tests may build what they test on.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for name in uses(code) {
            let above =
                LAYERS.iter().position(|layer| *layer == name).is_some_and(|at| at > height);
            if above || TOP.contains(&name.as_str()) {
                upward.push(format!("{} uses crate::{name}", file.display()));
            }
        }
    }
    assert!(upward.is_empty(), "imports point up:\n{}", upward.join("\n"));
}

#[test]
fn grouped_imports_are_seen() {
    let text = "use crate::{config::{Plan, Stage}, llm::Call};\nuse crate::types::Usage;";
    assert_eq!(uses(text), ["config", "llm", "types"]);
}
