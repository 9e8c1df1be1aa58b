//! Problems, warnings and notices of a config on a screen, as a compiler shows them: what, where, the
//! line with the place underlined, what to do, and how many in the end.

use std::{fmt, io, io::Write, ops::Range};

use codespan_reporting::{
    diagnostic::{Diagnostic as Shown, Label, Severity as Level},
    files::{Error, Files},
    term::{self, Chars, termcolor},
};
use unicode_width::UnicodeWidthChar;

use crate::config::{ConfigError, Diagnostic, Env, Severity, Spot};

/// Columns of a screen whose width is not known.
const WIDTH: usize = 100;
/// The narrowest line that is still of use, in columns.
const NARROWEST: usize = 40;
/// Columns of a tab.
const TAB: usize = 4;
/// What stands for the rest of a line.
const MORE: &str = "...";

/// How a screen looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether it shows colours.
    pub colour: bool,
    /// Its columns; longer lines of a file are cut around what they are shown for.
    pub width: usize,
}

impl Look {
    /// The look of files and tests: no colours, 100 columns.
    pub const PLAIN: Self = Self { colour: false, width: WIDTH };

    /// Colours only on a terminal, and neither with `NO_COLOR` nor on one that has none; the width
    /// of `COLUMNS` or of the terminal (`columns`), else 100.
    #[must_use]
    pub fn of(terminal: bool, columns: Option<u16>, env: Env<'_>) -> Self {
        let refused = env("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env("TERM").is_some_and(|value| value == "dumb");
        // 0 says that nobody knows.
        let set = env("COLUMNS").and_then(|value| value.parse().ok()).filter(|set| *set > 0);
        let real = columns.map(usize::from).filter(|real| *real > 0);
        let width = set.or(real).filter(|_| terminal);
        Self { colour: terminal && !refused && !dumb, width: width.unwrap_or(WIDTH).max(NARROWEST) }
    }
}

/// Shows why a config is refused, with what was warned of on the way.
///
/// # Errors
/// When `out` cannot be written to.
pub fn refused(error: &ConfigError, look: Look, out: &mut dyn Write) -> io::Result<()> {
    if let Some(names) = error.undefined_models() {
        writeln!(out, "{names}\n")?;
    }
    show(error.diagnostics(), look, out)?;
    writeln!(out, "{}", count(error.diagnostics()))
}

/// Shows each with a blank line after it.
///
/// # Errors
/// When `out` cannot be written to.
pub fn show<'d>(
    diagnostics: impl IntoIterator<Item = &'d Diagnostic>,
    look: Look,
    out: &mut dyn Write,
) -> io::Result<()> {
    diagnostics.into_iter().try_for_each(|diagnostic| one(diagnostic, look, out))
}

/// `3 errors, 1 warning`.
#[must_use]
pub fn count<'d>(diagnostics: impl IntoIterator<Item = &'d Diagnostic> + Clone) -> String {
    let of = |severity: Severity| {
        let all = diagnostics.clone().into_iter();
        match all.filter(|found| found.severity == severity).count() {
            0 => None,
            1 => Some(format!("1 {}", severity.as_str())),
            many => Some(format!("{many} {}s", severity.as_str())),
        }
    };
    let each = [Severity::Error, Severity::Warning, Severity::Notice].into_iter().filter_map(of);
    each.collect::<Vec<_>>().join(", ")
}

fn one(diagnostic: &Diagnostic, look: Look, out: &mut dyn Write) -> io::Result<()> {
    let level = match diagnostic.severity {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warning,
        Severity::Notice => Level::Note,
    };
    let help = format!("help: {}", diagnostic.remedy);
    let shown = Shown::new(level).with_message(&diagnostic.what);
    let (shown, line) = match &diagnostic.spot {
        Some(spot) => {
            let (line, stretch) = Line::of(&diagnostic.file, spot, look.width);
            (shown.with_label(Label::primary((), stretch)), line)
        }
        None => (shown.with_note(format!("in {}", diagnostic.file)), Line::default()),
    };
    let shown = shown.with_note(help);
    let config = term::Config { chars: Chars::ascii(), tab_width: TAB, ..term::Config::default() };
    let mut text = Vec::new();
    let written = if look.colour {
        term::emit_to_write_style(&mut termcolor::Ansi::new(&mut text), &config, &line, &shown)
    } else {
        term::emit_to_write_style(&mut termcolor::NoColor::new(&mut text), &config, &line, &shown)
    };
    if written.is_err() {
        // The one line says as much.
        return writeln!(out, "{}: {diagnostic}\n", diagnostic.severity.as_str());
    }
    let text = String::from_utf8_lossy(&text);
    for line in text.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The one line of a file that is shown, as far as there is room for it.
#[derive(Default)]
struct Line<'a> {
    file: &'a str,
    number: usize,
    column: usize,
    text: String,
}

impl<'a> Line<'a> {
    /// The excerpt, and the stretch of it that is underlined, in bytes of its text.
    fn of(file: &'a str, spot: &Spot, width: usize) -> (Self, Range<usize>) {
        let gutter = spot.line.to_string().len().saturating_add(3);
        let (text, stretch) = cut(spot, width.saturating_sub(gutter).max(MORE.len() * 4));
        (Self { file, number: spot.line, column: spot.column, text }, stretch)
    }
}

/// A line of at most so many columns around its stretch, and the stretch in it, in bytes.
fn cut(spot: &Spot, room: usize) -> (String, Range<usize>) {
    let letters: Vec<char> = spot.source.text.chars().collect();
    let from = spot.source.column.saturating_sub(1).min(letters.len());
    let to = from.saturating_add(spot.source.length).min(letters.len());
    let all: usize = letters.iter().copied().map(columns).sum();
    let (start, end) =
        if all <= room { (0, letters.len()) } else { window(&letters, from, to, room) };
    let before = if start > 0 { MORE } else { "" };
    let after = if end < letters.len() { MORE } else { "" };
    let part = |from: usize, to: usize| -> String {
        letters.iter().skip(from).take(to.saturating_sub(from)).collect()
    };
    let lead = format!("{before}{}", part(start, from));
    let marked = part(from, to.min(end));
    let stretch = lead.len()..lead.len().saturating_add(marked.len().max(1));
    let rest = part(to.min(end).max(from), end);
    // A place behind the end of a line gets a column to be underlined in.
    let place = if marked.is_empty() && rest.is_empty() { " " } else { "" };
    (format!("{lead}{marked}{rest}{after}{place}"), stretch)
}

/// The letters that are shown of a line: the beginning of the stretch and what fits around it.
fn window(letters: &[char], from: usize, to: usize, room: usize) -> (usize, usize) {
    let room = room.saturating_sub(MORE.len() * 2);
    let width = |letter: Option<&char>| letter.copied().map_or(usize::MAX, columns);
    let (mut start, mut end, mut used) = (from, from, 0_usize);
    // Two thirds are the stretch's, and as much as is left of them goes before it.
    while end < to && used.saturating_add(width(letters.get(end))) <= room * 2 / 3 {
        used = used.saturating_add(width(letters.get(end)));
        end = end.saturating_add(1);
    }
    let half = used.saturating_add(room.saturating_sub(used) / 2);
    while start > 0 && used.saturating_add(width(letters.get(start.saturating_sub(1)))) <= half {
        start = start.saturating_sub(1);
        used = used.saturating_add(width(letters.get(start)));
    }
    while end < letters.len() && used.saturating_add(width(letters.get(end))) <= room {
        used = used.saturating_add(width(letters.get(end)));
        end = end.saturating_add(1);
    }
    while start > 0 && used.saturating_add(width(letters.get(start.saturating_sub(1)))) <= room {
        start = start.saturating_sub(1);
        used = used.saturating_add(width(letters.get(start)));
    }
    (start, end)
}

fn columns(letter: char) -> usize {
    if letter == '\t' { TAB } else { letter.width().unwrap_or_default() }
}

impl<'a> Files<'a> for Line<'a> {
    type FileId = ();
    type Name = Name<'a>;
    type Source = &'a str;

    fn name(&'a self, (): ()) -> Result<Name<'a>, Error> {
        Ok(Name(self.file))
    }

    fn source(&'a self, (): ()) -> Result<&'a str, Error> {
        Ok(&self.text)
    }

    fn line_index(&'a self, (): (), _byte: usize) -> Result<usize, Error> {
        Ok(0)
    }

    fn line_number(&'a self, (): (), _line: usize) -> Result<usize, Error> {
        Ok(self.number)
    }

    fn column_number(&'a self, (): (), _line: usize, _byte: usize) -> Result<usize, Error> {
        Ok(self.column)
    }

    fn line_range(&'a self, (): (), _line: usize) -> Result<Range<usize>, Error> {
        Ok(0..self.text.len())
    }
}

/// A file's name.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn rendered(text: &str, look: Look) -> String {
        let error = Config::parse(text, Some(Path::new("c.toml")), &|_| None).unwrap_err();
        let mut out = Vec::new();
        refused(&error, look, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    const REST: &str = "[[model]]\nname = \"a\"\napi_base = \"http://127.0.0.1:1/v1\"\n\
                        [workflow-integration]\njson = '{ \"workers\": [\"a\"], \"selector\": \"a\" }'\n";

    #[test]
    fn a_line_is_shown_with_tabs_wide_characters_and_line_ends_of_windows() {
        let text = format!("[server]\n\thost\t= \"你好 x\"\nport = \"你好\"\n{REST}")
            .replace('\n', "\r\n");
        insta::assert_snapshot!(rendered(&text, Look::PLAIN), @r#"
        error: [server]: `host` is no address
          --> c.toml:2:9
          |
        2 |     host    = "你好 x"
          |               ^^^^^^^^
          |
          = help: write an IP address or a host name, without port

        error: [server]: `port` must be a whole number, not text
          --> c.toml:3:8
          |
        3 | port = "你好"
          |        ^^^^^^
          |
          = help: write digits only, without quotes

        2 errors
        "#);
    }

    #[test]
    fn a_long_line_is_cut_around_its_mark() {
        let workers = "\"a\", ".repeat(40);
        let plan =
            format!("{{ \"workers\": [{workers}\"b\", {workers}\"a\"], \"selector\": \"a\" }}");
        let (models, _) = REST.split_once("[workflow").unwrap();
        let text = format!("{models}[workflow-integration]\nmax_workers = 90\njson = '{plan}'\n");
        insta::assert_snapshot!(rendered(&text, Look { width: 60, colour: false }), @r#"
        Workflow configuration references undefined model(s): b

        error: workers[40]: there is no [[model]] named `b`
          --> c.toml:6:223
          |
        6 | ...", "a", "a", "a", "a", "b", "a", "a", "a", "a", "a...
          |                           ^^^
          |
          = help: add it, or name `a`

        1 error
        "#);
    }

    #[test]
    fn what_is_about_the_whole_file_has_no_line() {
        insta::assert_snapshot!(rendered("", Look::PLAIN), @r#"
        error: there is no [[model]]
         = in c.toml
         = help: add a [[model]] with `name` and `api_base`, or try `chorus demo`

        error: there is no [workflow-integration]
         = in c.toml
         = help: add `json = '{ "workers": ["a", "b"], "synthesizer": "a" }'` with your models

        2 errors
        "#);
    }

    #[test]
    fn every_width_holds_the_place() {
        for (text, column, length) in [
            ("", 1, 1),
            ("abc", 4, 1),
            (&"x".repeat(500) as &str, 250, 3),
            (&"x".repeat(500), 1, 500),
            (&"键".repeat(300), 299, 9),
            (&"\t".repeat(90), 90, 1),
        ] {
            let text = text.to_owned();
            let source = crate::config::SourceLine { text, column, length };
            let spot = Spot { line: 7, column, length, source };
            for width in [NARROWEST, 61, WIDTH] {
                let (line, stretch) = Line::of("c.toml", &spot, width);
                let used: usize = line.text.chars().map(columns).sum();
                assert!(used + 4 <= width + 1, "{used} of {width}: {}", line.text);
                assert!(
                    line.text.get(stretch.clone()).is_some_and(|it| !it.is_empty()),
                    "{stretch:?}"
                );
            }
        }
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let look = |terminal, columns, set: &[(&str, &str)]| {
            Look::of(terminal, columns, &|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        for (terminal, columns, set, colour, width) in [
            (true, None, &[][..], true, 100),
            (true, Some(80), &[], true, 80),
            (true, Some(0), &[], true, 100),
            (true, Some(80), &[("NO_COLOR", ""), ("COLUMNS", "132")], true, 132),
            (true, Some(80), &[("COLUMNS", "0")], true, 80),
            (true, Some(80), &[("COLUMNS", "many")], true, 80),
            (true, None, &[("NO_COLOR", "1"), ("COLUMNS", "7")], false, 40),
            (true, Some(7), &[("TERM", "dumb")], false, 40),
            (false, Some(80), &[("COLUMNS", "132")], false, 100),
        ] {
            let want = Look { colour, width };
            assert_eq!(look(terminal, columns, set), want, "{terminal} {columns:?} {set:?}");
        }
        let text = format!("sever = 1\n{REST}");
        assert!(rendered(&text, Look { colour: true, width: 100 }).contains("\u{1b}["));
        assert!(!rendered(&text, Look::PLAIN).contains('\u{1b}'));
    }
}
