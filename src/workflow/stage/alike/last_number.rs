//! When the only number of a last line is what a text comes to. Many a text ends with one that is not:
//! a page, a year, a footnote, the label of a list. Where this errs, it errs towards no answer. Pure.

use super::{
    notation,
    spelling::{is_prose, plain},
    tokens::{Token, cased_tokens},
};

/// More words than this behind the number are a sentence that goes on.
const REST_LIMIT: usize = 4;
/// Before an `=`, more than this is no name of a quantity.
const NAME_LIMIT: usize = 4;

/// How a line begins that draws a conclusion, in lower case.
const CONCLUSIONS: [&str; 57] = [
    "so",
    "thus",
    "hence",
    "therefore",
    "consequently",
    "in total",
    "altogether",
    "total",
    "the total",
    "sum",
    "the sum",
    "result",
    "the result",
    "in conclusion",
    "this gives",
    "this makes",
    "that gives",
    "that makes",
    "which gives",
    "we get",
    "somit",
    "daher",
    "folglich",
    "insgesamt",
    "das ergibt",
    "donc",
    "ainsi",
    "au total",
    "por lo tanto",
    "por tanto",
    "entonces",
    "en total",
    "portanto",
    "logo",
    "no total",
    "quindi",
    "dunque",
    "perciò",
    "in totale",
    "итак",
    "следовательно",
    "значит",
    "итого",
    "所以",
    "因此",
    "故",
    "于是",
    "综上",
    "总之",
    "共",
    "总共",
    "总计",
    "よって",
    "したがって",
    "ゆえに",
    "따라서",
    "그러므로",
];
/// What says it in the middle of a line.
const TOTALS: [&str; 9] =
    ["in total", "altogether", "insgesamt", "au total", "一共", "总共", "共计", "合计", "合計"];

/// Words whose number is a name and no amount.
const LABELS: [&str; 59] = [
    "page",
    "pages",
    "p",
    "pp",
    "step",
    "chapter",
    "section",
    "figure",
    "fig",
    "table",
    "note",
    "footnote",
    "source",
    "sources",
    "ref",
    "reference",
    "references",
    "version",
    "v",
    "item",
    "no",
    "nr",
    "line",
    "lines",
    "part",
    "paragraph",
    "appendix",
    "equation",
    "eq",
    "theorem",
    "lemma",
    "example",
    "exercise",
    "problem",
    "question",
    "rule",
    "article",
    "level",
    "phase",
    "stage",
    "seite",
    "kapitel",
    "schritt",
    "abbildung",
    "abschnitt",
    "página",
    "pagina",
    "capítulo",
    "paso",
    "étape",
    "chapitre",
    "passo",
    "capitolo",
    "страница",
    "стр",
    "глава",
    "шаг",
    "рис",
    "第",
];
/// What a year stands behind.
const BEFORE_A_YEAR: [&str; 9] = ["in", "by", "of", "im", "em", "en", "nel", "в", "du"];
/// Characters that turn a line of Chinese, Japanese or Korean into its opposite, or into a bound.
const TURNS: [&str; 13] =
    ["不", "没", "無", "无", "未", "非", "否", "超", "少", "多", "ない", "않", "아니"];
/// Before a number these are no part of it.
const PUNCTUATION: [&str; 5] = [",", ".", ":", ";", "\""];
const RELATIONS: [&str; 8] = ["=", "≈", "<", ">", "<=", ">=", "!=", "~"];

/// The number of a line that states it, with its sign, variable and unit, since -5 is not 5, x = 5 is
/// not y = 5, and 25 minutes are not 25 hours; `None` for any other line. `is_all`: there is no more
/// of the text, so that the line is nobody's list or footer.
pub(super) fn stated(line: &str, is_all: bool) -> Option<Vec<String>> {
    let mut words = cased_tokens(line);
    let mut is_before = true;
    words.retain(|token| {
        is_before &= !token.is_number();
        !(is_before && PUNCTUATION.contains(&token.text.trim()))
    });
    let at = words.iter().position(Token::is_number)?;
    let is_sole = words.iter().filter(|token| token.is_number()).count() == 1;
    let rest = words.get(at.saturating_add(1)..)?;
    if !is_sole || line.contains(['?', '？']) || rest.len() > REST_LIMIT {
        return None;
    }
    if is_label(line) && !is_all {
        return None;
    }
    let before = words.get(..at)?;
    let near = before.iter().rev().take_while(belongs).count();
    let (far, near) = before.split_at_checked(before.len().saturating_sub(near))?;
    let has_relation = near.iter().any(|token| RELATIONS.contains(&token.text.as_str()));
    let has_name = near.iter().any(|token| token.text.chars().any(char::is_alphanumeric));
    let answer = match (far, has_relation) {
        // A name alone is a label: `p. 3`, 第3.
        ([], _) if has_relation || !has_name => &words,
        // The area and the perimeter are two things.
        (far, true) if far.len() <= NAME_LIMIT => &words,
        _ if concludes(line) && !is_named(line, before, rest) => {
            words.get(at.saturating_sub(signs(near))..)?
        }
        _ => return None,
    };
    let answer: Vec<Token> = answer.iter().filter(|token| token.text != "=").cloned().collect();
    Some(notation::words(&answer, line))
}

/// Whether the last line of a text, which this is, may be no more than the last of a file without a
/// fence, of a list or of some equations: nothing before it is told by it.
pub(super) fn is_one_of_many(last: &str, before: &str) -> bool {
    if concludes(last) && !is_setting(last) {
        return false;
    }
    let mut lines = before.lines().filter(|line| !line.trim().is_empty());
    let is_alone = lines.next_back().is_none_or(|line| {
        is_prose(&plain(line)) && line.contains(char::is_alphabetic) && !is_setting(line)
    });
    !is_alone || lines.any(is_setting)
}

/// Whether a line is a name and its value, as files of settings have them.
pub(super) fn is_setting(line: &str) -> bool {
    let line = line.trim().trim_end_matches([',', ';']);
    let is_name = |name: &str| {
        let name = name.trim();
        name.starts_with(|one: char| one.is_alphabetic() || matches!(one, '_' | '"' | '\''))
            && !name.contains(char::is_whitespace)
    };
    let is_of = |sign: char, most: usize| {
        line.split_once(sign).is_some_and(|(name, value)| {
            is_name(name) && (1..=most).contains(&value.split_whitespace().count())
        })
    };
    is_of('=', usize::MAX) || is_of(':', 1)
}

/// A sign, or a variable.
fn belongs(token: &&Token) -> bool {
    token.text.chars().nth(1).is_none() || token.text.chars().all(|one| !one.is_alphanumeric())
}

/// How many signs stand right before the number.
fn signs(near: &[Token]) -> usize {
    let is_sign = |token: &&Token| !token.text.chars().any(char::is_alphanumeric);
    near.iter().rev().take_while(is_sign).count()
}

/// Whether a line begins as items of a list, footnotes, rows, quotes and headings do.
fn is_label(line: &str) -> bool {
    let line = line.trim().trim_start_matches("**");
    let marks = ["- ", "* ", "+ ", "• ", "|", "[", "(", "（", "【", ">", "#", "§", "©", "†", "‡"];
    if marks.iter().any(|mark| line.starts_with(mark)) {
        return true;
    }
    let rest = line.trim_start_matches(|one: char| one.is_ascii_digit());
    let digits = line.len().saturating_sub(rest.len());
    let behind = rest.strip_prefix(['.', ')', '、', ':', '）']);
    let ends = behind
        .is_some_and(|rest| rest.trim_end_matches('*').is_empty() || rest.starts_with([' ', '*']));
    (1..=2).contains(&digits) && ends
}

fn concludes(line: &str) -> bool {
    let line = line.to_lowercase();
    let start = line.trim_start_matches(|one: char| !one.is_alphanumeric());
    let begins = CONCLUSIONS.iter().any(|word| {
        start.strip_prefix(word).is_some_and(|rest| {
            let has_letters = word.chars().all(|one| u32::from(one) < 0x2e80);
            !has_letters || !rest.starts_with(char::is_alphabetic)
        })
    });
    begins || TOTALS.iter().any(|word| line.contains(word))
}

/// Whether a conclusion's number is the name of something or a year, or is denied or only a bound.
fn is_named(line: &str, before: &[Token], rest: &[Token]) -> bool {
    let line = line.to_lowercase();
    let (head, number) = line.find(|one: char| one.is_ascii_digit()).map_or(("", ""), |at| {
        (line.get(..at).unwrap_or_default(), line.get(at..).unwrap_or_default())
    });
    let head = head.trim_end_matches(|one: char| !one.is_alphanumeric());
    let last = head.rsplit(|one: char| !one.is_alphabetic()).next().unwrap_or_default();
    let digits = number
        .find(|one: char| !one.is_ascii_digit())
        .map_or(number, |end| number.get(..end).unwrap_or_default());
    let is_year = digits.parse::<u32>().is_ok_and(|year| (1000..=2100).contains(&year))
        && (BEFORE_A_YEAR.contains(&last) || rest.first().is_some_and(|next| next.text == "年"));
    let turns =
        before.iter().any(Token::is_verdict) || TURNS.iter().any(|turn| line.contains(turn));
    is_year || turns || LABELS.contains(&last) || last.ends_with('第')
}
