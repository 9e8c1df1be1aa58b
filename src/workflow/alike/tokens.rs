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

    /// Whether it can turn what is said into its opposite.
    pub(super) fn is_verdict(&self) -> bool {
        words::is_verdict(&self.text.to_lowercase())
    }
}

/// What a character is to its neighbours.
pub(super) type Characters<'t> = Peekable<std::str::Chars<'t>>;

/// Reads a text. Dropped are fillers, emphasis, what sets formulas in type, and a last full stop. Every
/// other sign counts: which of them is only punctuation depends on what the text is about.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let text = plain(text);
    let mut reader = Reader { out: Vec::new(), starts_sentence: true, open: Vec::new() };
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
    if let [.., before, last] = reader.out.as_slice()
        && last.text == "."
        && before.text != "."
    {
        reader.out.pop();
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
            '“' | '”' => out.push('"'),
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
    /// Marks of emphasis and of formulas whose other half is still to come in the line.
    open: Vec<String>,
}

impl Reader {
    fn push(&mut self, text: String) {
        if !text.is_empty() {
            self.out.push(Token { text });
        }
    }

    fn read(&mut self, line: &str) {
        self.starts_sentence = true;
        self.open.clear();
        let mut characters = line.chars().peekable();
        let mut before = ' ';
        while let Some(character) = characters.next() {
            let last = match character {
                '`' => self.code(&mut characters),
                '\\' => self.command(before, &mut characters),
                '0'..='9' => self.number(character, &mut characters),
                '.' if characters.peek().is_some_and(char::is_ascii_digit)
                    && !before.is_alphanumeric() =>
                {
                    self.number('.', &mut characters)
                }
                one if is_lone(one) => self.lone(one, before, &mut characters),
                one if one.is_alphabetic() => self.word(one, &mut characters),
                one => self.sign(one, before, &mut characters),
            };
            before = last;
        }
    }

    /// A word of one character, or a conjunction at the beginning of a clause.
    fn lone(&mut self, one: char, before: char, characters: &mut Characters<'_>) -> char {
        let next = characters.peek().copied().unwrap_or(' ');
        if !is_lone(before) && words::is_therefore(one, next) {
            characters.next();
            self.push(words::THEREFORE.to_owned());
            return next;
        }
        let mut last = self.out.iter().rev().map(|token| token.text.as_str());
        let (second, first) = (last.next().unwrap_or_default(), last.next().unwrap_or_default());
        let is_ending = one == '的' && !next.is_alphanumeric() && words::is_quality(first, second);
        if !is_ending {
            self.push(one.to_string());
        }
        one
    }

    /// Code between backticks counts as it is.
    fn code(&mut self, characters: &mut Characters<'_>) -> char {
        let mut code = String::new();
        let is_closed = characters.by_ref().any(|one| {
            let ends = one == '`';
            if !ends {
                code.push(one);
            }
            ends
        });
        if !is_closed || code.trim().is_empty() {
            code.insert(0, '`');
        }
        self.push(code.trim().to_owned());
        self.starts_sentence = false;
        '`'
    }

    /// A command of LaTeX; those that only set type are dropped.
    fn command(&mut self, before: char, characters: &mut Characters<'_>) -> char {
        let mut name = String::new();
        while let Some(one) = characters.next_if(char::is_ascii_alphabetic) {
            name.push(one);
        }
        let text = match name.as_str() {
            // Formulas' brackets and spaces are typography. What is called with one is none.
            "" => match characters.next() {
                Some('(' | '[') if !before.is_alphanumeric() => return '\\',
                Some(')' | ']' | ',' | ' ') => return '\\',
                Some(escaped) => {
                    self.operator(escaped);
                    return '\\';
                }
                None => "\\",
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
        let starts_sentence = std::mem::replace(&mut self.starts_sentence, false);
        self.classify(&word, starts_sentence);
        word.chars().next_back().unwrap_or(first)
    }

    /// Puts a word into the form that is compared. Capitals count (US is not us) but where a sentence
    /// begins.
    fn classify(&mut self, word: &str, starts_sentence: bool) {
        let lower = word.to_lowercase();
        if let Some(root) = words::negated(&lower) {
            self.push(root.to_owned());
            return self.push("not".to_owned());
        }
        if let Some(value) = words::value(&lower) {
            return self.push(value.to_owned());
        }
        let is_short = word.chars().nth(1).is_none();
        let is_cased = word.chars().skip(1).any(char::is_uppercase) || is_identifier(word);
        let word = if starts_sentence && !is_cased && !is_short { &lower } else { word };
        // Not simply harmful is not the same as not harmful.
        let is_turned = self.out.last().is_some_and(Token::is_verdict);
        if !words::is_filler(word) || is_turned {
            self.push(words::common(word).to_owned());
        }
    }

    fn sign(&mut self, sign: char, before: char, characters: &mut Characters<'_>) -> char {
        match sign {
            '.' | '?' | '!' => {
                self.starts_sentence = true;
                self.operator(sign);
            }
            '*' | '$' => self.mark(sign, before, characters),
            one if one.is_whitespace() || one.is_ascii_control() || is_invisible(one) => {}
            one => self.operator(one),
        }
        sign
    }

    /// Stars around words are emphasis, and dollars around a formula set it in type. Those without
    /// their other half are operators, footnotes or money.
    fn mark(&mut self, sign: char, before: char, characters: &mut Characters<'_>) {
        let mut run = String::from(sign);
        while characters.next_if_eq(&sign).is_some() {
            run.push(sign);
        }
        let after = characters.peek().copied().unwrap_or(' ');
        if self.open.contains(&run) && !before.is_whitespace() && !after.is_alphanumeric() {
            self.open.retain(|open| *open != run);
            return;
        }
        let begins = match run.as_str() {
            "**" | "***" => !after.is_whitespace(),
            "*" | "$" => after.is_alphabetic() || matches!(after, '\\' | '-' | '('),
            _ => false,
        };
        let is_free = !before.is_alphanumeric() && !matches!(before, ')' | ']');
        if begins && is_free && !self.open.contains(&run) && is_closed(&run, sign, characters) {
            self.open.push(run);
        } else {
            self.push(run);
        }
    }

    fn operator(&mut self, sign: char) {
        self.push(sign.to_string());
    }
}

/// Whether the line goes on to a mark that ends what this one begins.
fn is_closed(run: &str, sign: char, characters: &Characters<'_>) -> bool {
    let mut ahead = characters.clone();
    let mut before = ' ';
    while let Some(one) = ahead.next() {
        if one == sign {
            let mut length = 1_usize;
            while ahead.next_if_eq(&sign).is_some() {
                length = length.saturating_add(1);
            }
            let after = ahead.peek().copied().unwrap_or(' ');
            if length == run.len() {
                return !before.is_whitespace() && !after.is_alphanumeric();
            }
        }
        before = one;
    }
    false
}

/// A character that is a word by itself.
fn is_lone(character: char) -> bool {
    matches!(u32::from(character), 0x3005..=0x3007 | 0x3400..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}

fn is_lone_next(after: Option<char>) -> bool {
    after.is_some_and(is_lone)
}

/// Marks that nobody sees. Pictures are seen.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}' | '\u{2060}' | '\u{fe0f}')
}

/// A name of a program's: capitals inside, digits, dots or underscores.
fn is_identifier(word: &str) -> bool {
    word.chars()
        .skip(1)
        .any(|one| one.is_uppercase() || one.is_ascii_digit() || matches!(one, '.' | '_' | '@'))
}
