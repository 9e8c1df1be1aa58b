//! A text as a list of tokens, in one spelling for what is written in several.

use super::{
    numbers::{Characters, number},
    spelling::{
        closes, is_closed, is_identifier, is_invisible, is_lone, is_lone_next, is_prose, plain,
    },
    words,
};

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

/// Reads a text. Dropped are fillers, emphasis, what sets formulas in type, breaks of lines of prose, and a
/// last full stop. Every other sign counts: which of them is only punctuation depends on what the text
/// is about. So does the white space that lines of code and of data begin with.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    read(text, true)
}

/// The tokens with their capitals, also where a sentence begins.
pub(super) fn cased_tokens(text: &str) -> Vec<Token> {
    read(text, false)
}

fn read(text: &str, folds: bool) -> Vec<Token> {
    let mut reader = Reader { folds, starts_sentence: true, is_prose: true, ..Reader::default() };
    let mut in_code = false;
    let mut block = String::new();
    for line in text.trim_end().split_inclusive('\n') {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        match (in_code, fence) {
            (false, true) => in_code = true,
            (true, true) => {
                reader.push(std::mem::take(&mut block));
                (reader.is_prose, reader.starts_sentence) = (true, true);
                in_code = false;
            }
            (true, false) => {
                block.push_str(line.trim_end());
                block.push('\n');
            }
            (false, false) => reader.read(&plain(line)),
        }
    }
    reader.push(block);
    let mut out = reader.end();
    if let [.., before, last] = out.as_slice()
        && last.text == "."
        && before.text != "."
    {
        out.pop();
    }
    with_plain_products(&mut out);
    out
}

/// Between numbers both products are the same. Between vectors they are not.
fn with_plain_products(tokens: &mut [Token]) {
    for at in 1..tokens.len() {
        if let Some([before, sign, after]) =
            tokens.get_mut(at.saturating_sub(1)..=at.saturating_add(1))
            && matches!(sign.text.as_str(), "×" | "·")
            && before.is_number()
            && after.is_number()
        {
            sign.text = "*".to_owned();
        }
    }
}

/// Reads lines outside code blocks.
#[derive(Default)]
struct Reader {
    out: Vec<Token>,
    /// A filler that is dropped or not, as the next word tells, and what it counts as otherwise.
    filler: Option<(String, String)>,
    starts_sentence: bool,
    /// Whether the first word of a sentence is put into small letters.
    folds: bool,
    /// Whether the line before is prose.
    is_prose: bool,
    /// Marks of emphasis and of formulas whose other half is still to come in the line.
    open: Vec<String>,
    /// Brackets that are open in the line, and whether they hold a list.
    brackets: Vec<bool>,
    /// A command that only sets type has a group behind it.
    has_group: bool,
}

impl Reader {
    fn push(&mut self, text: String) {
        if !text.is_empty() {
            self.settle(&text);
            self.out.push(Token { text });
        }
    }

    fn settle(&mut self, next: &str) {
        if let Some((filler, text)) = self.filler.take()
            && !words::is_dropped(&filler, next)
        {
            self.out.push(Token { text });
        }
    }

    fn end(mut self) -> Vec<Token> {
        self.settle("");
        self.out
    }

    /// What a line's break and its white space say: where it is code or data, they are structure. In prose
    /// the sentence goes on.
    fn layout(&mut self, line: &str) {
        let bare = line.trim_start_matches([' ', '\t']);
        let indent = line.get(..line.len().saturating_sub(bare.len())).unwrap_or_default();
        let is_first = self.out.is_empty() && self.filler.is_none();
        let is_prose = is_prose(bare);
        self.starts_sentence |= !(is_prose && self.is_prose);
        if !(indent.is_empty() || is_first && indent == " ") {
            self.push(format!("\n{indent}"));
        } else if !(is_first || is_prose && self.is_prose) {
            self.operator('\n');
        }
        self.is_prose = is_prose;
    }

    fn read(&mut self, line: &str) {
        if line.trim().is_empty() {
            self.starts_sentence = true;
            return;
        }
        self.layout(line);
        self.brackets.clear();
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
                '"' | '\'' => self.quote(character, before, &mut characters),
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
        // One space may set off a backtick inside.
        let inside = code.strip_prefix(' ').and_then(|code| code.strip_suffix(' '));
        let code = inside.filter(|inside| !inside.trim().is_empty()).unwrap_or(&code).to_owned();
        self.push(code);
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
                Some(escaped @ ('{' | '}')) => {
                    self.bracket(escaped);
                    return '\\';
                }
                Some(escaped) => {
                    self.operator(escaped);
                    return '\\';
                }
                None => "\\",
            },
            "displaystyle" | "left" | "right" | "quad" | "boxed" | "text" | "textbf" | "mathrm"
            | "mathbf" | "mathit" | "operatorname" => {
                self.has_group = characters.peek() == Some(&'{');
                return ' ';
            }
            "le" | "leq" | "leqslant" => "<=",
            "ge" | "geq" | "geqslant" => ">=",
            "ne" | "neq" => "!=",
            "times" => "×",
            "cdot" => "·",
            "div" => "/",
            "lt" => "<",
            "gt" => ">",
            "dfrac" | "tfrac" => "frac",
            // A word with a capital is no capital of the Greek: `\Gamma`.
            other if other.starts_with(|one: char| one.is_ascii_uppercase()) => {
                self.push(format!("\\{other}"));
                return ' ';
            }
            other => other,
        };
        self.push(text.to_owned());
        ' '
    }

    fn number(&mut self, first: char, characters: &mut Characters<'_>) -> char {
        let is_listed = self.brackets.contains(&true);
        let (number, last) = number(first, is_listed, characters);
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
        let folded = if starts_sentence && !is_cased && !is_short { &lower } else { word };
        // Not simply harmful is not the same as not harmful.
        let is_turned = self.out.last().is_some_and(Token::is_verdict);
        let kept = if self.folds { folded } else { word };
        if words::is_filler(folded, starts_sentence) && !is_turned {
            self.settle(folded);
            self.filler = Some((folded.to_owned(), kept.to_owned()));
        } else {
            self.push(words::common(kept).to_owned());
        }
    }

    /// A quote, with the spaces beside it: they may be what is quoted.
    fn quote(&mut self, sign: char, before: char, characters: &mut Characters<'_>) -> char {
        let is_space = |one: &char| one.is_whitespace();
        let behind = if characters.peek().is_some_and(is_space) { " " } else { "" };
        let before = if before.is_whitespace() { " " } else { "" };
        self.push(format!("{before}{sign}{behind}"));
        sign
    }

    fn sign(&mut self, sign: char, before: char, characters: &mut Characters<'_>) -> char {
        if self.begins_word(sign, before, characters) {
            self.operator_before_word(sign, characters);
            return sign;
        }
        match sign {
            '.' | '?' | '!' => {
                self.starts_sentence = true;
                self.operator(sign);
            }
            '(' | '[' | '{' | ')' | ']' | '}' => self.bracket(sign),
            '*' | '$' => self.mark(sign, before, characters),
            one if one.is_whitespace() || one.is_ascii_control() || is_invisible(one) => {}
            one => self.operator(one),
        }
        sign
    }

    /// Whether a sign belongs to the word behind it, as in `rm -r /tmp`, where `rm - r / tmp` is
    /// something else.
    fn begins_word(&self, sign: char, before: char, characters: &Characters<'_>) -> bool {
        before.is_whitespace()
            && matches!(sign, '-' | '/' | '~' | '+' | '.')
            && self.out.last().is_some_and(|last| last.text.starts_with(char::is_alphanumeric))
            && characters.clone().find(|one| *one != sign).is_some_and(char::is_alphabetic)
    }

    fn operator_before_word(&mut self, sign: char, characters: &mut Characters<'_>) {
        let mut text = format!(" {sign}");
        while characters.next_if_eq(&sign).is_some() {
            text.push(sign);
        }
        self.push(text);
    }

    fn bracket(&mut self, sign: char) {
        if matches!(sign, '(' | '[' | '{') {
            let is_group = std::mem::take(&mut self.has_group) && sign == '{';
            self.brackets.push(!is_group);
        } else {
            self.brackets.pop();
        }
        self.operator(sign);
    }

    /// Stars around words are emphasis, and dollars around a formula set it in type. Those without
    /// their other half are operators, footnotes or money.
    fn mark(&mut self, sign: char, before: char, characters: &mut Characters<'_>) {
        let mut run = String::from(sign);
        while characters.next_if_eq(&sign).is_some() {
            run.push(sign);
        }
        let after = characters.peek().copied().unwrap_or(' ');
        if self.open.contains(&run) && closes(before, after) {
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
