//! A text as a list of tokens, in one spelling for what is written in several.

use std::iter::Peekable;

use super::{numbers::number, words};

/// A word, number, sign or piece of code, normalised so that equal ones have equal texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
}

impl Token {
    /// Whether it begins with a digit.
    pub(super) fn is_number(&self) -> bool {
        self.text.starts_with(|one: char| one.is_ascii_digit())
    }
}

/// What a character is to its neighbours.
pub(super) type Characters<'t> = Peekable<std::str::Chars<'t>>;

/// Reads a text. Fillers, punctuation, emphasis and list markers are dropped.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let text = plain(text);
    let mut reader = Reader { out: Vec::new(), starts_sentence: true };
    let mut in_code = false;
    let mut block = String::new();
    for line in text.split_inclusive('\n') {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        match (in_code, fence) {
            (false, true) => in_code = true,
            (true, true) => {
                reader.push(std::mem::take(&mut block));
                in_code = false;
            }
            (true, false) => {
                block.push_str(line.trim_end());
                block.push('\n');
            }
            (false, false) => reader.read(line),
        }
    }
    if in_code {
        reader.push(block);
    }
    reader.out
}

/// One spelling for what is written in several: full-width forms, minus signs, quotes, relations.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.trim().chars() {
        match character {
            '\u{ff01}'..='\u{ff5e}' => {
                let ascii = u32::from(character) - 0xff01 + 0x21;
                out.push(char::from_u32(ascii).unwrap_or(character));
            }
            '−' | '–' | '‐' | '‑' => out.push('-'),
            '’' | '‘' => out.push('\''),
            '。' => out.push('.'),
            '、' => out.push(','),
            '²' => out.push_str("^2"),
            '³' => out.push_str("^3"),
            '≤' => out.push_str("<="),
            '≥' => out.push_str(">="),
            '≠' => out.push_str("!="),
            '×' | '·' | '⋅' => out.push_str(" * "),
            '÷' => out.push_str(" / "),
            '\r' => {}
            other => out.push(other),
        }
    }
    out
}

/// Reads lines outside code blocks.
struct Reader {
    out: Vec<Token>,
    starts_sentence: bool,
}

impl Reader {
    fn push(&mut self, text: String) {
        if !text.is_empty() {
            self.out.push(Token { text });
        }
    }

    fn read(&mut self, line: &str) {
        self.starts_sentence = true;
        let mut characters = without_marker(line).chars().peekable();
        let mut before = ' ';
        while let Some(character) = characters.next() {
            let last = match character {
                '`' => self.code(&mut characters),
                '\\' => self.command(&mut characters),
                '0'..='9' => self.number(character, &mut characters),
                '.' if characters.peek().is_some_and(char::is_ascii_digit)
                    && !before.is_alphanumeric() =>
                {
                    self.number('.', &mut characters)
                }
                one if is_lone(one) => {
                    let text = one.to_string();
                    if !words::is_filler(&text) {
                        self.push(text);
                    }
                    one
                }
                one if one.is_alphabetic() => self.word(one, &mut characters),
                one => self.sign(one, before, &mut characters),
            };
            before = last;
        }
    }

    /// Code between backticks counts as it is.
    fn code(&mut self, characters: &mut Characters<'_>) -> char {
        let code: String = characters.by_ref().take_while(|one| *one != '`').collect();
        self.push(code.trim().to_owned());
        self.starts_sentence = false;
        '`'
    }

    /// A command of LaTeX; those that only set type are dropped.
    fn command(&mut self, characters: &mut Characters<'_>) -> char {
        let mut name = String::new();
        while let Some(one) = characters.next_if(char::is_ascii_alphabetic) {
            name.push(one);
        }
        let text = match name.as_str() {
            // Of escaped signs two say something; the others are typography: `\(`, `\,`.
            "" => match characters.next() {
                Some('%') => "%",
                Some('$') => "$",
                _ => return '\\',
            },
            "displaystyle" | "left" | "right" | "quad" | "boxed" | "text" | "textbf" | "mathrm"
            | "mathbf" | "mathit" | "operatorname" => return ' ',
            "le" | "leq" | "leqslant" => "<=",
            "ge" | "geq" | "geqslant" => ">=",
            "ne" | "neq" => "!=",
            "times" | "cdot" => "*",
            "div" => "/",
            "lt" => "<",
            "gt" => ">",
            "dfrac" | "tfrac" => "frac",
            other => other,
        };
        self.push(text.to_owned());
        ' '
    }

    fn number(&mut self, first: char, characters: &mut Characters<'_>) -> char {
        let (number, last) = number(first, characters);
        self.push(number);
        self.starts_sentence = false;
        last
    }

    fn word(&mut self, first: char, characters: &mut Characters<'_>) -> char {
        let mut word = String::from(first);
        while let Some(one) = characters.peek().copied() {
            let after = characters.clone().nth(1);
            let goes_on = match one {
                '\'' => after.is_some_and(|after| after.is_alphabetic()),
                '.' | '_' | '@' => after.is_some_and(char::is_alphanumeric) && !is_lone_next(after),
                one => one.is_alphanumeric() && !is_lone(one),
            };
            if !goes_on {
                break;
            }
            characters.next();
            word.push(one);
        }
        let next = following_word(characters);
        let starts_sentence = std::mem::replace(&mut self.starts_sentence, false);
        self.classify(&word, next.as_deref(), starts_sentence);
        word.chars().next_back().unwrap_or(first)
    }

    /// Puts a word into the form that is compared.
    fn classify(&mut self, word: &str, next: Option<&str>, starts_sentence: bool) {
        let lower = word.to_lowercase();
        if let Some(root) = words::negated(&lower) {
            self.classify(root, None, false);
            return self.push("not".to_owned());
        }
        let lower = lower.strip_suffix("'s").map_or(lower.clone(), str::to_owned);
        if let Some(value) = words::value(&lower) {
            return self.push(value.to_owned());
        }
        let mut characters = word.chars();
        if let (Some(letter), None) = (characters.next(), characters.next()) {
            // Articles and the speaker are none of the letters that name an option or a variable.
            let article = matches!(letter, 'a' | 'A') && next.is_some_and(|next| next.len() > 1);
            let speaker = letter == 'I' && next.is_some_and(|next| next.len() > 1);
            if (article && (letter == 'a' || starts_sentence)) || speaker {
                return;
            }
            return self.push(word.to_owned());
        }
        if words::is_filler(&lower) {
            return;
        }
        // A name of a program's says what it says.
        let plain = lower.is_ascii() && !is_identifier(word) && !words::is_verdict(&lower);
        let common = words::common(&lower);
        self.push(if plain { words::stem(common) } else { common.to_owned() });
    }

    fn sign(&mut self, sign: char, before: char, characters: &mut Characters<'_>) -> char {
        let next = characters.peek().copied().unwrap_or(' ');
        let near_word = before.is_alphanumeric() || next.is_alphanumeric();
        match sign {
            '?' => {
                self.starts_sentence = true;
                self.operator('?');
            }
            '.' | ';' => self.starts_sentence = true,
            '!' if next == '=' || before.is_ascii_digit() || next.is_alphanumeric() => {
                self.operator(sign);
            }
            '!' => self.starts_sentence = true,
            ':' if before.is_ascii_digit() && next.is_ascii_digit() => self.operator(sign),
            ',' | ':' | '"' | '\'' | '“' | '”' | '「' | '」' | '《' | '》' | '—' | '…' | '•' =>
                {}
            '*' | '_' => self.stars(sign, before, characters),
            // A hyphen inside a word.
            '-' if before.is_alphabetic() && next.is_alphabetic() => {}
            // Around a single letter or number brackets are typography: `(B)`.
            '(' if is_bracketed_option(characters) => {}
            ')' if self.closes_option(before, characters) => {}
            '$' if !next.is_ascii_digit() => {}
            one if one.is_whitespace() || is_invisible(one) => {}
            one if near_word || !one.is_ascii_control() => self.operator(one),
            _ => {}
        }
        sign
    }

    /// Stars between two words, or standing alone, are operators. Emphasis, which has a word on one
    /// side only, is none.
    fn stars(&mut self, sign: char, before: char, characters: &mut Characters<'_>) {
        let mut run = String::from(sign);
        while characters.next_if_eq(&sign).is_some() {
            run.push(sign);
        }
        let after = characters.peek().copied().unwrap_or(' ');
        let ends_word = before.is_alphanumeric() || matches!(before, ')' | ']');
        let begins_word = after.is_alphanumeric() || matches!(after, '(' | '[');
        if (ends_word && begins_word) || (before.is_whitespace() && after.is_whitespace()) {
            self.push(run);
        }
    }

    fn operator(&mut self, sign: char) {
        self.push(sign.to_string());
    }

    /// Whether a bracket ends what [`is_bracketed_option`] began, or a list's label: `b)`.
    fn closes_option(&self, before: char, characters: &mut Characters<'_>) -> bool {
        let last_is_short = self.out.last().is_some_and(|last| last.text.chars().nth(1).is_none());
        let ends = characters.peek().is_none_or(|next| !next.is_alphanumeric());
        let open = self.out.iter().rev().take(8).any(|token| token.text == "(");
        before.is_alphanumeric() && last_is_short && ends && !open
    }
}

/// A character that is a word by itself.
fn is_lone(character: char) -> bool {
    matches!(u32::from(character), 0x3005..=0x3007 | 0x3400..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}

fn is_lone_next(after: Option<char>) -> bool {
    after.is_some_and(is_lone)
}

/// Marks without a meaning of their own, pictures included. Ticks and crosses are signs.
fn is_invisible(character: char) -> bool {
    let is_picture = matches!(u32::from(character), 0x1f000..=0x1faff | 0x2600..=0x26ff);
    is_picture
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{2060}' | '\u{fe0f}')
}

/// Whether brackets hold one letter or number alone.
fn is_bracketed_option(characters: &Characters<'_>) -> bool {
    let mut ahead = characters.clone();
    ahead.next().is_some_and(char::is_alphanumeric) && ahead.next() == Some(')')
}

/// A name of a program's: capitals inside, digits, dots or underscores.
fn is_identifier(word: &str) -> bool {
    word.chars()
        .skip(1)
        .any(|one| one.is_uppercase() || one.is_ascii_digit() || matches!(one, '.' | '_' | '@'))
}

/// The next word on the line, lower-cased, if nothing but space is before it.
fn following_word(characters: &Characters<'_>) -> Option<String> {
    let mut ahead = characters.clone().peekable();
    while ahead.next_if(|one| matches!(one, ',' | ' ' | '*')).is_some() {}
    let word: String = ahead.take_while(|one| one.is_alphabetic()).collect();
    (!word.is_empty()).then(|| word.to_lowercase())
}

/// The line without a heading's, list's or table's marker.
fn without_marker(line: &str) -> &str {
    let trimmed = line.trim_start();
    let rest = trimmed.trim_start_matches('#');
    if rest.len() < trimmed.len() && rest.starts_with(' ') {
        return rest;
    }
    ["- ", "* ", "+ ", "• "]
        .iter()
        .find_map(|marker| trimmed.strip_prefix(marker))
        .unwrap_or(trimmed)
}
