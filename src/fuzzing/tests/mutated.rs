//! The kept corpus with a few changes, new ones in every run: the fuzzer for a moment, without its
//! build. `PROPTEST_CASES` says how many cases each function gets.

use proptest::{collection::vec, prelude::*, sample::Index, test_runner::TestRunner};

use super::*;

/// One change of a case.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Cut(Index, Index),
    Repeat(Index, Index),
    /// It goes on as another case does.
    Splice(Index, Index, Index),
}

impl Change {
    fn apply(&self, case: &mut Vec<u8>, others: &[Vec<u8>]) {
        let part = |case: &[u8], at: &Index, length: &Index| {
            let at = at.index(case.len() + 1);
            at..at + length.index((case.len() - at).min(64) + 1)
        };
        match self {
            Self::Flip(at, bits) => {
                let at = at.index(case.len() + 1);
                case.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits);
            }
            Self::Insert(at, bytes) => {
                let at = at.index(case.len() + 1);
                case.splice(at..at, bytes.iter().copied());
            }
            Self::Cut(at, length) => {
                case.drain(part(case, at, length));
            }
            Self::Repeat(at, length) => {
                let part = part(case, at, length);
                let bytes = case[part.clone()].to_vec();
                case.splice(part.start..part.start, bytes);
            }
            Self::Splice(at, other, from) => {
                let other = other.get(others);
                case.truncate(at.index(case.len() + 1));
                case.extend_from_slice(&other[from.index(other.len() + 1)..]);
            }
        }
    }
}

/// The words of the fuzzer's dictionary.
fn words() -> Vec<Vec<u8>> {
    let text = fs::read_to_string(fuzz().join("words.dict")).unwrap();
    let words = text.lines().filter(|line| line.starts_with('"'));
    words.map(|word| serde_json::from_str::<String>(word).unwrap().into_bytes()).collect()
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let bytes = prop_oneof![3 => prop::sample::select(words()), 1 => vec(any::<u8>(), 1..5)];
    prop_oneof![
        (at(), 1_u8..).prop_map(|(at, bits)| Change::Flip(at, bits)),
        (at(), bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), at()).prop_map(|(at, length)| Change::Cut(at, length)),
        (at(), at()).prop_map(|(at, length)| Change::Repeat(at, length)),
        (at(), at(), at()).prop_map(|(at, other, from)| Change::Splice(at, other, from)),
    ]
}

fn changed(name: &str, run: fn(&[u8])) {
    let cases: Vec<Vec<u8>> = files(fuzz().join("corpus").join(name))
        .iter()
        .map(|file| fs::read(file).unwrap())
        .collect();
    let changes = (any::<Index>(), vec(change(), 1..8));
    // What it finds goes into the corpus.
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&changes, |(which, changes)| {
        let mut case = which.get(&cases).clone();
        changes.iter().for_each(|change| change.apply(&mut case, &cases));
        run(&case);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn changes_of_the_corpus_are_borne_as_well() {
    for (name, run) in TARGETS {
        changed(name, run);
    }
}
