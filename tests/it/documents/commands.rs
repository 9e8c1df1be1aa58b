//! What the documents say to type, and what they show of the demo: it is run, or at least taken.

use std::process::Command;

use chorus::{
    commands::{check, diagnostics::Look},
    config::Config,
    demo::{Demo, Pace},
    server::{self, AppState, Workers},
    workflow::Engine,
};
use reqwest::Method;
use tokio::{runtime::Handle, task::JoinSet};

use super::markdown::{READMES, blocks, code, documents, pages, read, split};
use crate::support::{Chorus, Client, Event, Script, Upstream, question, text_of};

/// What `chorus demo` starts, without its screen.
async fn demo(pace: Pace) -> (JoinSet<()>, Client) {
    let demo = Demo::start_at(([127, 0, 0, 1], 0).into(), pace).await.unwrap();
    let config = Config::parse(&demo.config_text(), None, &|_| None).unwrap();
    let app = AppState::new(Engine::new(config.into()).unwrap().into());
    let listener = server::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let client = Client::of(&format!("http://{}", listener.local_addr().unwrap()));
    let mut tasks = JoinSet::new();
    tasks.spawn(async { demo.serve().await.unwrap() });
    tasks.spawn(server::serve(
        listener,
        Workers::on(Handle::current()),
        app,
        std::future::pending(),
    ));
    (tasks, client)
}

/// The words of a shell's line, quotes taken off; comments are not words.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => (quoted, begun) = (!quoted, true),
            '#' if !quoted && !begun => {
                letters.by_ref().take_while(|letter| *letter != '\n').for_each(drop);
            }
            letter if letter.is_whitespace() && !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            letter => {
                word.push(letter);
                begun = true;
            }
        }
    }
    assert!(!quoted, "{text}");
    words.extend(begun.then_some(word));
    words
}

/// Every command of the `sh` blocks, with the place of its block.
fn commands() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (file, text) in documents() {
        let shown = READMES.contains(&file.as_str()) || file.starts_with("docs/");
        for block in blocks(&text).into_iter().filter(|block| shown && block.kind == "sh") {
            let words = words(&block.text);
            let starts = |word: &String| word == "curl" || word == "chorus";
            let known = words.first().is_some_and(starts);
            assert!(known, "{file}:{}: what does this run?", block.line);
            for word in words {
                if starts(&word) {
                    found.push((format!("{file}:{}", block.line), vec![]));
                }
                found.last_mut().unwrap().1.push(word);
            }
        }
    }
    found
}

#[tokio::test]
async fn every_request_that_is_shown_is_answered_by_the_demo() {
    let (_tasks, client) = demo(Pace::Instant).await;
    let mut asked = 0;
    for (place, words) in commands().into_iter().filter(|(_, words)| words[0] == "curl") {
        let url = words.iter().find(|word| word.starts_with("http")).unwrap();
        let path = url.strip_prefix("http://127.0.0.1:11435").unwrap_or_else(|| panic!("{place}"));
        let body = words.iter().skip_while(|word| *word != "-d").nth(1).unwrap();
        let request = client.request(Method::POST, path).header("user-agent", "curl/8.0");
        let answer = request.body(body.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{place}");
        let text = answer.text().await.unwrap();
        let ends = if body.contains("\"include_workflow\"") { "}" } else { "\n\n" };
        assert!(text.contains("\"chorus\"") && text.ends_with(ends), "{place}: {text}");
        assert_eq!(text.contains("\"workflow\""), body.contains("include_workflow"), "{place}");
        asked += 1;
    }
    assert!(asked >= 8, "{asked}");
}

/// Whether the program takes a command line: it shows the help of it.
fn is_taken(words: &[&str]) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chorus"));
    // What follows `--` is for another program.
    let own = words.split(|word| *word == "--").next().unwrap_or_default();
    command.args(own).arg("--help").env_clear().output().unwrap().status.success()
}

#[test]
fn every_command_line_that_is_shown_is_one() {
    let mut lines: Vec<(String, Vec<String>)> = commands();
    lines.retain(|(_, words)| words[0] == "chorus");
    assert!(lines.len() >= 8, "{lines:?}");
    for (file, text) in documents() {
        // What was once, or is not yet, may stand there.
        if file.starts_with("docs/") || READMES.contains(&file.as_str()) {
            for (number, line) in split(&text).1 {
                let spans = code(line).into_iter().filter(|span| span.starts_with("chorus "));
                lines.extend(spans.map(|span| (format!("{file}:{number}"), words(span))));
            }
        }
    }
    assert!(lines.len() > 60, "{}", lines.len());
    let mut seen = std::collections::BTreeSet::new();
    for (place, words) in lines {
        let words: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let words = words.split(|word| *word == ">").next().unwrap_or_default();
        if seen.insert(words.join(" ")) {
            assert!(is_taken(words), "{place}: chorus {words:?}");
        }
    }
    assert!(!is_taken(&["serve", "--nonsense"]) && !is_taken(&["nonsense"]));
}

/// A line of progress without its seconds.
fn timeless(line: &str) -> String {
    let line = line.trim_end_matches('\u{2063}');
    let time = |letter: char| letter.is_ascii_digit() || ". s秒".contains(letter);
    match line.rsplit_once([',', '，']) {
        Some((start, rest)) if rest.chars().all(time) => start.to_owned(),
        _ => line.to_owned(),
    }
}

#[tokio::test]
async fn the_demo_writes_the_lines_that_are_shown() {
    let (_tasks, client) = demo(Pace::Natural).await;
    let path = "/v1/chat/completions";
    for (file, prompt) in READMES.into_iter().zip(["天空为什么是蓝色的？", "Why is the sky blue?"])
    {
        let body = question(path, "chorus", prompt, true);
        let events = client.stream(path, &body).await.all().await;
        let said: String = (events.iter())
            .filter_map(|event| match event {
                Event::Object(chunk) => chunk["choices"][0]["delta"]["reasoning_content"].as_str(),
                _ => None,
            })
            .collect();
        let said: Vec<String> = said.lines().map(timeless).collect();
        let text = read(file);
        let shown = blocks(&text).into_iter().find(|block| block.text.contains("demo-warm"));
        let shown = shown.unwrap_or_else(|| panic!("{file} shows no run"));
        for line in shown.text.lines() {
            assert!(said.contains(&timeless(line)), "{file}: {line} is not in {said:?}");
        }
    }
}

/// What a newcomer has after the READMEs: an answer of an own Ollama, and of a paid API.
#[tokio::test]
async fn the_configs_of_the_readmes_answer() {
    let models = ["qwen3:8b", "llama3.2:3b", "deepseek-chat"];
    let upstream = Upstream::start(models.map(|name| (name, Script::says("blue")))).await;
    for file in READMES {
        let text = read(file);
        let configs = blocks(&text).into_iter().filter(|block| block.kind == "toml");
        let bases = [
            ("\"http://127.0.0.1:11434\"", "\"{base}\""),
            ("\"https://api.deepseek.com/v1\"", "\"{base}/v1\""),
        ];
        let mut answered = 0;
        for (config, (there, here)) in configs.zip(bases) {
            assert!(config.text.contains(there), "{file}:{}", config.line);
            let config = config.text.replace(there, here);
            let chorus = Chorus::start_with(&upstream, &config, |_| Some("k".to_owned())).await;
            let path = "/v1/chat/completions";
            let (status, answer) = chorus.ask(path, &question(path, "chorus", "why?", false)).await;
            assert_eq!((status, text_of(&answer)), (200, "blue"), "{answer}");
            answered += 1;
        }
        assert_eq!(answered, 2, "{file}");
    }
}

#[test]
fn the_plan_and_the_calls_are_shown_as_check_shows_them() {
    for file in pages("tutorial.md") {
        let text = read(&file);
        let blocks = blocks(&text);
        let config = blocks.iter().find(|block| block.kind == "toml").unwrap();
        let shown = blocks.iter().find(|block| block.text.starts_with("chorus\n")).unwrap();
        let mut screen = Vec::new();
        check::show(&super::parse(&config.text), false, Look::PLAIN, &mut screen).unwrap();
        let screen = String::from_utf8(screen).unwrap();
        for part in shown.text.split("\n\n") {
            assert!(screen.contains(part.trim_end()), "{file}: {part}\nis not in\n{screen}");
        }
        let mistake = blocks.iter().find(|block| block.text.starts_with("error: ")).unwrap();
        let broken = config.text.replace(
            "\"selector\":    { \"ref\": \"qwen3:8b\" }",
            "\"selector\":    { \"ref\": \"qwen3:8b\", \"temprature\": 0.2 }",
        );
        let path = std::path::Path::new("config.toml");
        let error = Config::parse(&broken, Some(path), &|_| None).expect_err("a misspelt key");
        let mut said = Vec::new();
        chorus::commands::diagnostics::refused(&error, Look::PLAIN, &mut said).unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), mistake.text, "{file}");
    }
}

/// Whoever adds a kind of block says who runs it.
#[test]
fn every_block_is_of_a_kind_that_is_run_or_loaded() {
    for (file, text) in documents() {
        if !file.starts_with("docs/zh/") && !file.starts_with("docs/en/") {
            continue;
        }
        for block in blocks(&text) {
            let known = match block.kind.as_str() {
                // `configs.rs`, `super`, here, `tests/clients/check_documents.py`.
                "toml" | "toml excerpt" | "json" | "sh" | "python" => true,
                "ini" => file.ends_with("reference/mistakes.md"), // `mistakes.rs`
                // `scripts/test_proxies.sh`
                kind => kind == "text" || file.ends_with("howto/proxies.md"),
            };
            assert!(known, "{file}:{}: who runs {:?}?", block.line, block.kind);
        }
    }
}
