//! The rules of the house that a script can hold, beside [`crate::layers`]: who may need whom, who
//! owns what is dangerous, how long things may be, and which words are gone.

mod modules;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use modules::{Edge, Modules, circles};
use source::{Source, is_word, sources};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;

#[test]
fn no_two_modules_of_a_layer_need_each_other() {
    let modules = Modules::of(&sources("src"));
    assert!(modules.len() > 200, "the sources were found: {}", modules.len());
    let edges = modules.edges();
    assert!(edges.len() > 500, "imports were found: {}", edges.len());
    let left: Vec<String> =
        circles(edges).iter().map(|edge| format!("{} uses {}", edge.from, edge.to)).collect();
    assert!(left.is_empty(), "these modules go in circles:\n{}", left.join("\n"));
}

/// The imports of a crate of these files.
fn imports(files: &[(&str, &str)]) -> Vec<String> {
    let file = |(path, text): &(&str, &str)| Source::new((*path).to_owned(), (*text).to_owned());
    let edges = Modules::of(&files.iter().map(file).collect::<Vec<_>>()).edges();
    edges.iter().map(|edge| format!("{} {}", edge.from, edge.to)).collect()
}

#[test]
fn imports_are_followed_to_whoever_has_the_thing() {
    let root = ("src/lib.rs", "mod a;");
    let a = ("src/a.rs", "mod b; mod c; pub(super) use b::Thing; #[cfg(test)] mod tests;");
    let b = ("src/a/b.rs", "pub struct Thing; // use super::c;\nconst TEXT: &str = \"super::c\";");
    let tests = ("src/a/tests.rs", "use super::c::none;");
    let of_c = |text| imports(&[root, a, b, tests, ("src/a/c.rs", text)]);
    for (text, want) in [
        ("use super::{Thing as It, b::{self, *}};", vec!["a::c a::b"]),
        ("fn it() -> u8 { crate::a::b::Thing::of() }", vec!["a::c a::b"]),
        ("use crate::a; fn it() { a::Thing::of() }", vec!["a::c a", "a::c a::b"]),
        ("use std::b::Thing; pub(in crate::a) fn it(b: u8) { b.a::<u8>() }", vec![]),
        ("#[cfg(test)] mod tests { use super::super::b::Thing; } fn it() {}", vec![]),
    ] {
        assert_eq!(of_c(text), want, "{text}");
    }
}

#[test]
fn only_what_goes_in_a_circle_is_left() {
    let edge = |(from, to): (&str, &str)| Edge { from: from.to_owned(), to: to.to_owned() };
    let of = |edges: &[(&str, &str)]| circles(edges.iter().copied().map(edge).collect());
    assert!(of(&[("a", "b"), ("b", "c"), ("a", "c")]).is_empty());
    let left = of(&[("x", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("c", "y")]);
    assert_eq!(left, [("a", "b"), ("b", "c"), ("c", "a")].map(edge).into());
}

/// Something that one place does for all: in the product, these words stand there only.
struct Hazard {
    words: &'static [&'static str],
    /// The folder in which they must not stand elsewhere.
    room: &'static str,
    owners: &'static [&'static str],
}

const HAZARDS: &[Hazard] = &[
    // TLS, proxies, redirects and limits of connections are decided once. `init` looks around on this
    // machine before there is a config, `launch` asks whether Chorus is there, and Vault is asked while a
    // config is read.
    Hazard {
        words: &["ClientBuilder", "Client::builder", "Client::new"],
        room: "src/",
        owners: &[
            "src/llm/endpoint/http.rs",
            "src/commands/init/local.rs",
            "src/commands/launch/ask.rs",
            "src/config/secret/vault/http.rs",
        ],
    },
    // What an upstream says is shown without keys and secrets, and cut, or not at all.
    Hazard { words: &["without_keys"], room: "src/llm/", owners: &["src/llm/redact.rs"] },
    // How much of a deadline is left. A step that is due at a time, a call that is hedged and the news
    // of one that waits in a queue have moments of their own.
    Hazard {
        words: &["timeout_at", "sleep_until", "checked_add"],
        room: "src/workflow/",
        owners: &[
            "src/workflow/level/deadline.rs",
            "src/workflow/step.rs",
            "src/workflow/stage/hedge.rs",
            "src/workflow/stage/queued.rs",
        ],
    },
];

#[test]
fn each_hazard_has_its_owner() {
    let sources = sources("src");
    for Hazard { words, room, owners } in HAZARDS {
        for source in product(&sources).filter(|source| source.path.starts_with(room)) {
            let found = words.iter().find(|word| has_word(&source.product, word));
            let owns = owners.contains(&source.path.as_str());
            assert!(owns || found.is_none(), "{}: {found:?} belongs to {owners:?}", source.path);
        }
        for owner in *owners {
            let source = sources.iter().find(|source| source.path == *owner).expect(owner);
            let uses = words.iter().any(|word| has_word(&source.product, word));
            assert!(uses, "{owner} owns nothing of {words:?}");
        }
    }
}

/// Files that are no tests.
fn product(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| !source.path.contains("/tests"))
}

/// Whether it stands there and is not part of a longer name.
fn has_word(code: &str, word: &str) -> bool {
    let bytes = code.as_bytes();
    let is_open = |at: Option<usize>| !at.and_then(|at| bytes.get(at)).is_some_and(|b| is_word(*b));
    code.match_indices(word)
        .any(|(at, _)| is_open(at.checked_sub(1)) && is_open(Some(at + word.len())))
}

/// The moment of a deadline is its own: whoever else wants to know it has to ask.
#[test]
fn a_deadline_shows_nobody_its_moment() {
    let sources = sources("src/workflow/level");
    let file = sources.iter().find(|source| source.path.ends_with("deadline.rs")).unwrap();
    let (_, body) = file.product.split_once("struct Deadline {").unwrap();
    let (fields, _) = body.split_once('}').unwrap();
    assert!(fields.contains("at: ") && !fields.contains("pub"), "{fields}");
}

/// Names under which texts of upstreams and of callers are at hand in `src/llm`.
const TEXTS: [&str; 10] =
    ["answer", "body", "bytes", "chunk", "content", "message", "payload", "reply", "text", "words"];

/// Lines of the log have such a text from the redaction only.
#[test]
fn what_is_logged_of_a_text_was_redacted() {
    let mut lines = 0;
    for source in sources("src/llm") {
        for arguments in log_lines(&source.product) {
            lines += 1;
            for text in TEXTS {
                let shown = arguments.iter().any(|argument| shows(argument, text));
                let is_safe = source.product.contains(&format!("let {text} = redact::"));
                assert!(!shown || is_safe, "{}: {arguments:?} shows {text}", source.path);
            }
        }
    }
    assert!(lines > 5, "log lines were found: {lines}");
}

/// The arguments of every event in the code.
fn log_lines(code: &str) -> Vec<Vec<String>> {
    const LEVELS: [&str; 5] = ["trace!(", "debug!(", "info!(", "warn!(", "error!("];
    let starts = LEVELS.iter().flat_map(|level| {
        code.match_indices(level).map(|(at, _)| at + level.len()).collect::<Vec<_>>()
    });
    let arguments = |start: usize| {
        let (mut depth, mut all) = (0_usize, vec![String::new()]);
        for character in code[start..].chars() {
            match character {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' if depth == 0 => break,
                ')' | ']' | '}' => depth -= 1,
                ',' if depth == 0 => {
                    all.push(String::new());
                    continue;
                }
                _ => {}
            }
            all.last_mut().unwrap().push(character);
        }
        all.iter().map(|argument| argument.trim().to_owned()).collect()
    };
    starts.map(arguments).collect()
}

/// Whether an argument of an event has the value of this name in it, other than by the redaction or
/// as a length.
fn shows(argument: &str, name: &str) -> bool {
    let value = argument.split_once('=').map_or(argument, |(_, value)| value).trim();
    let is_safe = value.starts_with("redact::") || value.starts_with("contents(");
    has_word(value, name) && !is_safe && !value.contains(".len()")
}

#[test]
fn what_an_event_shows_is_seen() {
    let lines =
        log_lines("tracing::debug!(model, %text, n = text.len(), x = redact::cut(text, 3))");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let shown: Vec<bool> = line.iter().map(|argument| shows(argument, "text")).collect();
    assert_eq!(shown, [false, true, false, false], "{line:?}");
}

/// What an upstream said is kept in types that cannot be printed by accident.
#[test]
fn texts_of_upstreams_have_no_form_to_print() {
    let sources = sources("src/llm/protocol");
    for (file, name) in [("upstream_error.rs", "Refusal"), ("upstream_error/body.rs", "Body")] {
        let file = sources.iter().find(|source| source.path.ends_with(file)).unwrap();
        let at = file.product.find(&format!("struct {name} ")).expect(name);
        let attributes = file.product[..at].rsplit(['}', ';']).next().unwrap();
        assert!(!attributes.contains("Debug"), "{name}: {attributes}");
        for form in ["Debug", "Display"] {
            assert!(!file.product.contains(&format!("{form} for {name}")), "{name}: {form}");
        }
    }
}

/// Files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] = &[
    ("src/llm/decode/answer.rs", "what is known of an answer, and what each piece changes of it"),
    ("src/config/tests.rs", "a case for each rule of the file, over one harness"),
    ("src/llm/protocol/repair/tests.rs", "what upstreams say of parameters, as they say it"),
    ("src/llm/protocol/upstream_error/tests.rs", "what upstreams say of failures, as they say it"),
    ("src/server/frames/tests.rs", "one scripted run, seen in each framing"),
    ("src/server/tests.rs", "each route once, over one harness"),
    ("tests/it/failures.rs", "each failure once, in each dialect"),
    ("tests/it/field/answers.rs", "answers as servers in the field send them"),
    ("tests/it/field/errors.rs", "errors as servers in the field send them"),
    ("tests/it/field/refusals.rs", "refusals as servers in the field word them"),
    ("tests/it/field/spellings.rs", "fields as servers in the field spell them"),
    ("tests/it/field/turns.rs", "conversations as clients in the field send them"),
    ("tests/it/probe.rs", "each kind of server, as a probe finds it"),
    ("tests/it/protocols.rs", "each protocol, over one harness"),
    ("tests/it/support/script.rs", "everything that the fake upstream can do"),
    ("tests/it/support/wire.rs", "everything that the fake upstream can say"),
];

/// Functions that may be longer, and why.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[
    ("src/llm/call.rs", "run", "one stream: what it awaits between two events cannot be moved out"),
    ("src/workflow/level.rs", "run_level", "one stream, and an arm for each kind of step"),
];

/// Tests that may be longer: a table of cases, or one long text and what becomes of it.
const LONG_TESTS: &[(&str, &str)] = &[
    ("src/commands/check/tests.rs", "a_good_config_is_shown_as_a_tree_with_its_calls"),
    ("src/commands/check/tests/programs.rs", "a_good_config_is_shown_to_programs"),
    ("src/config/mask/tests.rs", "only_what_could_be_a_secret_is_hidden"),
    ("src/config/tests/broken.rs", "corpus"),
    (
        "src/llm/decode/answer/calls/tests.rs",
        "any_split_under_any_marks_gives_the_calls_or_a_fault",
    ),
    ("src/llm/decode/answer/calls/tests.rs", "pieces_find_their_call_or_fail_the_answer"),
    ("src/llm/decode/think/tests.rs", "only_the_start_is_split_whatever_the_pieces"),
    ("src/llm/protocol/anthropic/tests.rs", "events_and_replies_are_read"),
    ("src/llm/protocol/blame.rs", "only_key_and_model_are_the_endpoints_fault"),
    ("src/llm/protocol/error_frame/tests.rs", "errors_differ_from_parts_of_an_answer"),
    ("src/llm/protocol/openai/tests.rs", "chunks_and_replies_are_read"),
    ("src/llm/protocol/repair/tests.rs", "a_named_parameter_is_found"),
    ("src/llm/protocol/repair/tests.rs", "refusals_in_other_spellings_are_understood"),
    ("src/llm/protocol/shape/tests.rs", "refusals_name_the_shape"),
    ("src/llm/protocol/upstream_error/context.rs", "refusals_name_the_context"),
    (
        "src/llm/protocol/upstream_error/tests.rs",
        "the_class_of_a_failure_is_read_under_every_status",
    ),
    ("src/llm/tests/protocols.rs", "sample"),
    ("tests/it/field/answers.rs", "any_framing_is_read"),
    ("src/llm/tests/reading.rs", "whole_replies_and_mislabelled_ones_are_read"),
    ("src/server/error/tests.rs", "every_error_has_its_status_code_and_type"),
    ("src/server/progress.rs", "lines_say_what_begins_and_how_it_ended"),
    ("src/server/responses/input/tests.rs", "prompts_are_built_from_every_source"),
    ("src/workflow/stage/alike/tests.rs", "final_answers_are_found_and_normalised"),
    ("src/workflow/stage/alike/tests.rs", "final_answers_that_differ_in_a_sign_are_not_equal"),
    (
        "src/workflow/tests/choosing.rs",
        "an_analyzer_that_may_chooses_among_the_workers_and_lowers_the_quorum",
    ),
    ("src/workflow/tests/critical.rs", "the_critical_path_is_the_chain_that_the_answer_waited_for"),
    ("tests/it/field/spellings.rs", "arguments_are_read_however_they_are_written"),
    ("tests/it/probe.rs", "each_endpoint_is_reported_as_it_is"),
];

fn all_sources() -> Vec<Source> {
    ["src", "tests", "benches", "bench"].into_iter().flat_map(sources).collect()
}

#[test]
fn files_are_short() {
    let sources = all_sources();
    let long: BTreeMap<&str, usize> = sources
        .iter()
        .map(|source| (source.path.as_str(), source.lines()))
        .filter(|(_, lines)| *lines > FILE_LINES)
        .collect();
    let excused: BTreeSet<&str> = LONG_FILES.iter().map(|(path, _)| *path).collect();
    let over: Vec<_> = long.iter().filter(|(path, _)| !excused.contains(*path)).collect();
    assert!(over.is_empty(), "over {FILE_LINES} lines: {over:#?}");
    let idle: Vec<_> = excused.iter().filter(|path| !long.contains_key(*path)).collect();
    assert!(idle.is_empty(), "short enough by now: {idle:#?}");
}

#[test]
fn functions_are_short() {
    let mut long = BTreeMap::new();
    for source in all_sources() {
        for function in source.functions() {
            if function.lines > FUNCTION_LINES {
                long.insert((source.path.clone(), function.name), function.lines);
            }
        }
    }
    let functions = LONG_FUNCTIONS.iter().map(|(path, name, _)| (*path, *name));
    let key = |(path, name): (&str, &str)| (path.to_owned(), name.to_owned());
    let excused: BTreeSet<_> = functions.chain(LONG_TESTS.iter().copied()).map(key).collect();
    let over: Vec<_> = long.iter().filter(|(key, _)| !excused.contains(*key)).collect();
    assert!(over.is_empty(), "over {FUNCTION_LINES} lines: {over:#?}");
    let idle: Vec<_> = excused.iter().filter(|key| !long.contains_key(*key)).collect();
    assert!(idle.is_empty(), "short enough by now: {idle:#?}");
}

#[test]
fn a_function_is_counted_without_comments_and_empty_lines() {
    let text = "fn short() {}\n/// fn no() {}\nfn long(\n    it: [u8; 2],\n) -> u8 {\n    // why\n\n    \
                let text = \"}\";\n    1\n}\ntrait It { fn none(&self); }\n";
    let functions = Source::new(String::new(), text.to_owned()).functions();
    let found: Vec<_> = functions.iter().map(|one| (one.name.as_str(), one.lines)).collect();
    assert_eq!(found, [("short", 1), ("long", 6)]);
}

/// Words that say less than those that took their place: none is a part of a name, or of a file's.
const GONE_WORDS: [&str; 20] = [
    "board", "books", "counting", "flow", "journey", "judging", "mould", "pulse", "seat", "seats",
    "site", "stencil", "tell", "telling", "tells", "tend", "told", "unread", "usual", "warmth",
];

/// Names that stood for several things, each of which has one of its own.
const GONE_NAMES: [&str; 6] =
    ["Asked", "Place", "Question", "StandIn", "cut_stragglers", "stand_in"];

#[test]
fn words_that_were_replaced_stay_away() {
    let is_gone = |name: &&str| {
        let has = |word: &String| GONE_WORDS.contains(&word.as_str());
        GONE_NAMES.contains(name) || parts(name).iter().any(has)
    };
    let mut found = Vec::new();
    for source in all_sources() {
        let file = names(&source.path).filter(is_gone);
        let names = names(&source.code).filter(is_gone);
        found.extend(file.chain(names).map(|name| format!("{}: {name}", source.path)));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn names_are_taken_apart() {
    assert_eq!(parts("StandInSignature"), ["stand", "in", "signature"]);
    assert_eq!(parts("_is_HTTP2"), ["is", "h", "t", "t", "p2"]);
    let found: Vec<_> = names("a_b::Cd(1)").filter(|name| !name.is_empty()).collect();
    assert_eq!(found, ["a_b", "Cd", "1"]);
}

fn names(code: &str) -> impl Iterator<Item = &str> {
    code.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
}

/// The words of a name, in lower case.
fn parts(name: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for character in name.chars() {
        let begins = character == '_' || character.is_ascii_uppercase();
        if begins && all.last().is_some_and(|last| !last.is_empty()) {
            all.push(String::new());
        }
        if character != '_' {
            all.last_mut().unwrap().push(character.to_ascii_lowercase());
        }
    }
    all
}
