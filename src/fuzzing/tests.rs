//! The kept corpus, through the same functions in every run of the tests.

mod mutated;

use std::{fs, path::PathBuf};

use super::*;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 16] = [
    ("sse", sse),
    ("ndjson", ndjson),
    ("lenient_json", lenient_json),
    ("plan", plan),
    ("config", config),
    ("chat_completions", |bytes| body(Body::ChatCompletions, bytes)),
    ("completions", |bytes| body(Body::Completions, bytes)),
    ("responses", |bytes| body(Body::Responses, bytes)),
    ("embeddings", |bytes| body(Body::Embeddings, bytes)),
    ("ollama_chat", |bytes| body(Body::OllamaChat, bytes)),
    ("ollama_generate", |bytes| body(Body::OllamaGenerate, bytes)),
    ("ollama_show", |bytes| body(Body::OllamaShow, bytes)),
    ("messages", |bytes| body(Body::Messages, bytes)),
    ("count_tokens", |bytes| body(Body::CountTokens, bytes)),
    ("gemini_generate", |bytes| body(Body::GeminiGenerate, bytes)),
    ("gemini_count", |bytes| body(Body::GeminiCount, bytes)),
];

/// Every file in a folder.
fn files(folder: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn fuzz() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

#[test]
fn what_was_found_once_stays_mended() {
    for (name, run) in TARGETS {
        let cases = files(fuzz().join("corpus").join(name));
        assert!(!cases.is_empty(), "{name}");
        for case in cases {
            run(&fs::read(&case).unwrap());
        }
    }
}

/// A seed that is no good body leads nowhere.
#[test]
fn a_seed_of_each_endpoint_is_taken() {
    for (name, which) in [
        ("chat_completions", Body::ChatCompletions),
        ("completions", Body::Completions),
        ("responses", Body::Responses),
        ("embeddings", Body::Embeddings),
        ("ollama_chat", Body::OllamaChat),
        ("ollama_generate", Body::OllamaGenerate),
        ("ollama_show", Body::OllamaShow),
        ("messages", Body::Messages),
        ("count_tokens", Body::CountTokens),
        ("gemini_generate", Body::GeminiGenerate),
        ("gemini_count", Body::GeminiCount),
    ] {
        let mut cases = files(fuzz().join("corpus").join(name)).into_iter();
        assert!(cases.any(|case| reads(which, &fs::read(case).unwrap()) == Ok(true)), "{name}");
    }
}

#[test]
fn each_function_has_its_target_and_its_corpus() {
    let names = |folder: &str| {
        let mut names: Vec<String> = files(fuzz().join(folder))
            .iter()
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let mut want: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    want.sort_unstable();
    assert_eq!(names("fuzz_targets"), want);
    assert_eq!(names("corpus"), want);
    let length: u64 = want
        .iter()
        .flat_map(|name| files(fuzz().join("corpus").join(name)))
        .map(|file| file.metadata().unwrap().len())
        .sum();
    assert!(length < 300_000, "{length} bytes: minimise it (`cargo xtask fuzz` says how)");
}
