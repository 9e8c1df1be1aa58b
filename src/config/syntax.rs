//! The config's TOML: what is wrong with it, else its tree.

use toml::de::DeTable;

use super::{fullwidth, report::Report, tree::Node};

/// The config's text as a tree; `None` after reporting what is not TOML.
pub(super) fn document(text: &str, report: &Report<'_>) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        // `Display` and `Debug` of the error quote the file; the message holds grammar only.
        let at = error.span().map_or(0, |span| span.start);
        if let Some(span) = fullwidth::outside_quotes(text, at)
            && let Some((what, remedy)) = fullwidth::named(report.written(&span))
        {
            report.problem(&span, format!("this is not valid TOML: {what}"), remedy);
            continue;
        }
        let what = format!("this is not valid TOML: {}", error.message());
        let remedy = syntax_remedy(error.message());
        match error.span() {
            Some(span) => report.problem(&span, what, remedy),
            None => report.problem_at(report.whole_file(), what, remedy),
        }
    }
    errors.is_empty().then(|| Node::of_toml(table))
}

/// What to do about what is not TOML, by the parser's words for it.
fn syntax_remedy(message: &str) -> &'static str {
    let remedies = [
        ("duplicate key", "write it once; of several models each begins with [[model]]"),
        ("invalid boolean", "write true or false in small letters; text goes in quotes"),
        ("escape", "write two backslashes for one, or put the text in single quotes"),
        ("unclosed", "close it"),
        (
            "invalid unquoted key",
            "write `name = value`; a name with other characters goes in quotes",
        ),
    ];
    let known = remedies.into_iter().find(|(words, _)| message.contains(words));
    known.map_or("mend the syntax (text goes in quotes)", |(_, remedy)| remedy)
}
