//! Whether a text names a parameter, in whatever spelling, and does not only speak of such a thing.
//! Pure.

/// Names that are everyday words: they are meant as parameters only where they stand as ones.
const EVERYDAY: [&str; 3] = ["seed", "stop", "think"];

/// Whether a lower-case text names this parameter. Underscores of the name may be other separators
/// or none in the text (`presencepenalty`, `presence-penalty`); nothing else may go on around it
/// (where it begins or ends with a letter itself).
pub(super) fn has_word(words: &str, name: &str) -> bool {
    let is_everyday = EVERYDAY.contains(&name);
    let first = name.split(['_', ' ']).next().unwrap_or(name);
    words.match_indices(first).any(|(at, _)| {
        let (before, rest) = words.split_at_checked(at).unwrap_or((words, ""));
        let Some(after) = behind(rest, name) else { return false };
        let next = after.chars().next();
        let goes_on_left = joins(before.chars().next_back()) && joins(name.chars().next());
        let goes_on_right = joins(next) && joins(name.chars().next_back());
        !goes_on_left && !goes_on_right && (!is_everyday || stands_as_parameter(before, after))
    })
}

fn is_chinese(character: Option<char>) -> bool {
    character.is_some_and(|character| ('\u{4e00}'..='\u{9fff}').contains(&character))
}

fn joins(character: Option<char>) -> bool {
    character.is_some_and(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// What stands behind the name with which a text begins.
fn behind<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut rest = text;
    for (number, part) in name.split(['_', ' ']).enumerate() {
        if number > 0 {
            rest = rest.strip_prefix(['_', '-', ' ', '.']).unwrap_or(rest);
        }
        rest = rest.strip_prefix(part)?;
    }
    Some(rest)
}

/// Marks that a name stands between.
const QUOTES: [char; 7] = ['\'', '"', '`', '“', '”', '‘', '’'];

/// What a name is called beside it.
const NOUNS: [&str; 22] = [
    "parameter",
    "parameters",
    "parameter(s)",
    "param",
    "params",
    "param(s)",
    "argument",
    "arguments",
    "argument(s)",
    "field",
    "fields",
    "field(s)",
    "property",
    "properties",
    "option",
    "options",
    "key",
    "keys",
    "keyword",
    "setting",
    "attribute",
    "参数",
];

/// What stands behind a name that is called a parameter, or refused.
const CALLED: [&str; 20] = [
    " parameter",
    " param",
    " argument",
    " field",
    " property",
    " option",
    " setting",
    " sequences parameter",
    " is not supported",
    " isn't supported",
    " not supported",
    " is unsupported",
    " is not allowed",
    " is deprecated",
    " is not available",
    " not implemented",
    " is not implemented",
    " cannot be",
    " can not be",
    " unsupported",
];

/// Whether a word between these is quoted, stands in a path or a list of names, or is called a
/// parameter.
fn stands_as_parameter(before: &str, after: &str) -> bool {
    let quoted = before.ends_with(QUOTES)
        && after.starts_with(|next| next == '\\' || QUOTES.contains(&next));
    let bracketed = before.ends_with('[') && after.starts_with([']', ',']);
    // `options.stop`, `body -> stop`
    let in_path = before.ends_with("-> ")
        || before.strip_suffix('.').is_some_and(|path| joins(path.chars().next_back()));
    let bare = before.trim_end_matches([' ', ':', '=']);
    let noun = NOUNS
        .iter()
        .any(|noun| bare.strip_suffix(noun).is_some_and(|rest| !joins(rest.chars().next_back())));
    let begins = before.is_empty()
        || before.ends_with(['\n', '(', '['])
        || [". ", ": ", "- ", "the "].iter().any(|end| before.ends_with(end));
    let called = CALLED.iter().any(|called| after.starts_with(called));
    // `Argument not supported on this model: stop`, `unsupported: top_k, stop`, `stop: extra inputs`
    let is_over = after.is_empty() || after.starts_with(['\n', ',', '.', ';', ')', ']']);
    let listed =
        is_over && (before.ends_with(": ") || before.ends_with(", ") || before.ends_with(" and "));
    let headed = (before.is_empty() || before.ends_with('\n')) && after.starts_with([':', '\n']);
    let named = after.starts_with(" parameter") || after.starts_with(" argument");
    // A foreign word in a Chinese text is a name.
    let foreign = is_chinese(before.trim_end().chars().next_back())
        || is_chinese(after.trim_start().chars().next());
    foreign
        || quoted
        || bracketed
        || in_path
        || noun
        || listed
        || headed
        || named
        || (begins && called)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_every_spelling() {
        for text in [
            "does not support parameter presencepenalty",
            "presence-penalty is not supported",
            "`presence_penalty` is unknown",
            "the presence penalty is not available",
            "body.presence_penalty: extra inputs are not permitted",
        ] {
            assert!(has_word(text, "presence_penalty"), "{text}");
        }
        for (text, name) in [
            ("the presence of a penalty", "presence_penalty"),
            ("my_presence_penalty", "presence_penalty"),
            ("top_kk", "top_k"),
            ("stop_k", "top_k"),
        ] {
            assert!(!has_word(text, name), "{text}");
        }
        assert!(has_word("topk is not supported", "top_k"));
    }

    #[test]
    fn everyday_words_have_to_stand_as_parameters() {
        for text in [
            "argument not supported on this model: stop",
            "does not support parameter stop",
            "does not support parameters: ['stop'], for model=m",
            "unsupported parameter(s): top_k, stop",
            "unsupported parameter: 'stop' is not supported with this model.",
            "unknown field \"stop\"",
            "unrecognized request argument supplied: stop",
            "body.stop: extra inputs are not permitted",
            "body -> stop\n  extra inputs are not permitted",
            "stop: extra inputs are not permitted",
            "stop is not supported by this model",
            "got an unexpected keyword argument 'stop'",
            "the stop parameter is not available",
            "{\"error\": \"\\\"stop\\\" is unknown\"}",
            "invalid: options.stop",
            "模型不支持stop参数",
            "该模型不支持 stop",
            "the stop parameter can not be used with reasoning models",
        ] {
            assert!(has_word(text, "stop"), "{text}");
        }
        for text in [
            "the bus stop of your town is not supported",
            "only stop when you must",
            "this model does not support it, stop asking",
            "cannot stop the engine",
            "unsupported: the full stop rules",
            "nonstop is not supported",
            "please stop, images are not supported",
        ] {
            assert!(!has_word(text, "stop"), "{text}");
        }
        assert!(has_word("seed not implemented", "seed"));
        assert!(!has_word("the seed of doubt is not supported", "seed"));
    }
}
