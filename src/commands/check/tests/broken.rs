//! The exact report of each file of the corpus of broken ones.

use std::fmt::Write;

use crate::{
    commands::diagnostics::{self, Look},
    config::tests::{
        broken::{corpus, with_five},
        parse,
    },
};

/// The reports one after another; the snapshot is the specification of their wording.
#[test]
fn each_broken_file_has_its_exact_report() {
    let mut all = String::new();
    for (title, text) in corpus().into_iter().chain(with_five()) {
        let Err(error) = parse(&text) else { panic!("`{title}` is not broken") };
        let mut report = Vec::new();
        diagnostics::refused(&error, Look::PLAIN, &mut report).unwrap();
        let report = String::from_utf8(report).unwrap();
        writeln!(all, "== {title}\n{report}").unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn five_mistakes_are_five_problems() {
    for (title, text) in with_five() {
        let error = parse(&text).expect_err(title);
        assert!(error.count() >= 5, "{title}: {error}");
    }
}
