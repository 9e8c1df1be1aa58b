//! A tag in a text that may not have come to its end: in any case, with white space before its `>`,
//! and an opening one with attributes. Pure.

/// Attributes of more bytes are no attributes.
const MOST_ATTRIBUTES: usize = 200;

/// Whether a text begins with a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// A whole tag, of so many bytes.
    Whole(usize),
    /// All of the text may be the beginning of a tag.
    Begun,
    None,
}

/// The place of a tag in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Here, with so many bytes.
    At(usize, usize),
    /// All from this byte on may be the beginning of a tag.
    Begun(usize),
    Nowhere,
}

/// Whether a text begins with this tag.
pub(super) fn matches(text: &str, tag: &str) -> Match {
    // `<|...|>` and the like are tokens of a vocabulary, and stand as they are.
    let is_plain = tag.ends_with('>') && !tag.ends_with("|>") && tag.is_ascii();
    let name = if is_plain { tag.strip_suffix('>').unwrap_or(tag) } else { tag };
    let (text_bytes, name_bytes) = (text.as_bytes(), name.as_bytes());
    let common = text_bytes.len().min(name_bytes.len());
    let is_alike = text_bytes.get(..common).zip(name_bytes.get(..common));
    if !is_alike.is_some_and(|(one, other)| one.eq_ignore_ascii_case(other)) {
        return Match::None;
    }
    let rest = match text.get(name.len()..) {
        None => return Match::Begun,
        Some(_) if !is_plain => return Match::Whole(name.len()),
        Some("") => return Match::Begun,
        Some(rest) => rest,
    };
    if !rest.starts_with(|first: char| first == '>' || first.is_ascii_whitespace()) {
        return Match::None;
    }
    let head = rest.get(..rest.floor_char_boundary(MOST_ATTRIBUTES)).unwrap_or(rest);
    let may_be_inside = |inner: &str| match name.starts_with("</") {
        true => inner.trim_ascii().is_empty(),
        false => !inner.contains(['<', '\n']),
    };
    match head.split_once('>') {
        Some((inner, _)) if may_be_inside(inner) => {
            Match::Whole(name.len().saturating_add(inner.len()).saturating_add(1))
        }
        None if head.len() == rest.len() && may_be_inside(head) => Match::Begun,
        _ => Match::None,
    }
}

/// What a text begins with.
pub(super) enum Opening {
    /// An opening tag of so many bytes, which this one closes.
    Tag(&'static str, usize),
    /// Perhaps the beginning of one.
    Begun,
    None,
}

/// Which of the opening tags a text begins with.
pub(super) fn opening_tag(text: &str) -> Opening {
    let mut opening = Opening::None;
    for (open, close) in PAIRS {
        match matches(text, open) {
            Match::Whole(length) => return Opening::Tag(close, length),
            Match::Begun => opening = Opening::Begun,
            Match::None => {}
        }
    }
    opening
}

/// Finds the first of this tag.
pub(super) fn find(text: &str, tag: &str) -> Found {
    let Some(first) = tag.chars().next() else { return Found::Nowhere };
    for (at, _) in text.match_indices(first) {
        match matches(text.get(at..).unwrap_or_default(), tag) {
            Match::Whole(length) => return Found::At(at, length),
            Match::Begun => return Found::Begun(at),
            Match::None => {}
        }
    }
    Found::Nowhere
}

/// The tags that thoughts stand between: of most models, Mistral's, ByteDance's Seed, Kimi's,
/// OpenThoughts', Cohere's, Apertus', MedGemma's, LongCat's, K2's, and Gemma's channel. They count in any case, with
/// attributes and white space in them.
pub(super) const PAIRS: [(&str, &str); 17] = [
    ("<think>", THINK_END),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<reason>", "</reason>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<unused94>thought", "<unused95>"),
    ("<thoughts>", "</thoughts>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<think_fast>", "</think_fast>"),
    ("<think_faster>", "</think_faster>"),
    ("<|channel>thought", "<channel|>"),
];

const THINK_END: &str = "</think>";

pub(super) fn close_tags() -> impl Iterator<Item = &'static str> {
    PAIRS.iter().map(|(_, close)| *close)
}
