//! Sets up logs: where they go and what may be in them.

mod output;

use std::{
    io::{self, IsTerminal},
    panic,
    sync::Arc,
};

use jiff::Timestamp;
use tracing::{
    Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    field::RecordFields,
    filter::filter_fn,
    fmt::{self, FormatFields, MakeWriter, format::Writer, time::FormatTime},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::non_blocking::NonBlocking;
use crate::{
    config::{Env, LogFormat},
    types::escaped,
};
use output::{Form, LogOutput};

/// Levels when `RUST_LOG` says nothing.
const DEFAULT_LEVELS: &str = "info";

/// Levels of `--quiet`, whatever `RUST_LOG` says.
const QUIET_LEVELS: &str = "warn";

/// Sends logs, and what a panic says, to stderr: `RUST_LOG` chooses the levels (default `info`), unless
/// only warnings and errors are wanted. Lines that stderr does not take at once are dropped and counted.
/// A second call in the same process changes nothing.
pub fn start(format: LogFormat, quiet: bool, env: Env<'_>) {
    let levels = levels(quiet, env);
    let payloads = env("CHORUS_LOG_PAYLOADS").is_some_and(|value| value == "1");
    let (filter, refused) = match levels.as_deref().map(EnvFilter::try_new) {
        None => (EnvFilter::new(DEFAULT_LEVELS), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(DEFAULT_LEVELS), Some(error)),
    };
    let colours = io::stderr().is_terminal();
    let output = Arc::new(LogOutput::new(NonBlocking::stderr(), Form { format, colours }));
    if subscriber(format, filter, colours, Arc::clone(&output)).try_init().is_err() {
        return;
    }
    panic::set_hook(Box::new(move |panic| output.report(panic)));
    if let Some(error) = refused {
        tracing::warn!(%error, "RUST_LOG cannot be read; logging at info");
    }
    if payloads {
        tracing::warn!(
            "CHORUS_LOG_PAYLOADS=1: at debug level, logs now hold pieces of prompts and answers"
        );
    }
}

fn levels(quiet: bool, env: Env<'_>) -> Option<String> {
    if quiet {
        return Some(QUIET_LEVELS.to_owned());
    }
    env("RUST_LOG").filter(|levels| !levels.trim().is_empty())
}

fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    colours: bool,
    writer: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Pretty => {
            let layer = fmt::layer().fmt_fields(Fields { colours }).with_timer(Clock);
            layer.with_ansi(colours).with_writer(writer).boxed()
        }
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(writer)
            .boxed(),
    };
    // At debug and below, the HTTP and TLS crates print headers and bodies, which nobody masks.
    let cap = filter_fn(|meta| may_log(meta.target(), *meta.level()));
    tracing_subscriber::registry().with(layer).with(filter).with(cap)
}

/// The time as the default has it: RFC 3339, with six digits of a second.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        write!(line, "{:.6}", Timestamp::now())
    }
}

/// `name=value`, for most texts without asking for each character whether it can be shown.
struct Fields {
    /// Names are slanted. What is shown cannot be told from that later on, so it is escaped here.
    colours: bool,
}

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, line: Writer<'writer>, fields: R) -> std::fmt::Result {
        let mut plain = Line { line, colours: self.colours, is_begun: false, written: Ok(()) };
        fields.record(&mut plain);
        plain.written
    }
}

/// A line that is being written; nothing more once that has failed.
struct Line<'writer> {
    line: Writer<'writer>,
    colours: bool,
    is_begun: bool,
    written: std::fmt::Result,
}

impl Line<'_> {
    fn begin(&mut self, field: &Field) -> std::fmt::Result {
        if std::mem::replace(&mut self.is_begun, true) {
            self.line.write_char(' ')?;
        }
        match field.name() {
            "message" => Ok(()),
            name if self.colours => {
                write!(self.line, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")
            }
            name => write!(self.line, "{name}="),
        }
    }

    fn quote(&mut self, text: &str) -> std::fmt::Result {
        self.line.write_char('"')?;
        self.line.write_str(text)?;
        self.line.write_char('"')
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, text: &str) {
        let is_plain = |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if !text.bytes().all(is_plain) {
            return self.record_debug(field, &text);
        }
        if self.written.is_ok() {
            self.written = self.begin(field).and_then(|()| self.quote(text));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if self.written.is_ok() {
            self.written = self.begin(field).and_then(|()| match self.colours {
                true => self.line.write_str(&escaped(&format!("{value:?}"))),
                false => write!(self.line, "{value:?}"),
            });
        }
    }
}

/// Our own targets at any level, others at info and above; rmcp's errors alone, which has several lines
/// for each request and what its clients sent in them.
fn may_log(target: &str, level: Level) -> bool {
    let ours =
        target.strip_prefix("chorus").is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let most = if target.starts_with("rmcp") { Level::ERROR } else { Level::INFO };
    ours || level <= most
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Captured {
        fn logs(format: LogFormat, levels: &str) -> String {
            let captured = Self::default();
            let writer = captured.clone();
            let filter = EnvFilter::new(levels);
            let subscriber = subscriber(format, filter, false, move || writer.clone());
            // See llm::tests::logs: a single dispatcher would let callsites be cached as unwanted.
            let _second = tracing::Dispatch::new(tracing_subscriber::registry());
            tracing::subscriber::with_default(subscriber, || {
                tracing::trace!(target: "hyper::proto", "their trace");
                tracing::debug!(target: "chorusish", "not ours");
                tracing::info!(target: "hyper::proto", "their info");
                tracing::trace!(target: "chorus::llm", "our trace");
                tracing::info!(target: "chorus", { request.id = "r" }, "our info");
            });
            String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn a_plain_line_shows_texts_as_their_debug_form() {
        let texts =
            ["", "plain words", "a \"quote\" and a \\", "a\nline", "\u{1b}[31m", "你好", "\u{7f}"];
        for text in texts {
            let captured = Captured::default();
            let writer = captured.clone();
            let filter = EnvFilter::new("info");
            let subscriber = subscriber(LogFormat::Pretty, filter, false, move || writer.clone());
            let _second = tracing::Dispatch::new(tracing_subscriber::registry());
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(target: "chorus", text, number = 7_u64, other = ?Some(1), "said");
            });
            let line = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
            let (time, rest) = line.split_once(' ').unwrap();
            assert_eq!(
                rest.trim(),
                format!("INFO chorus: said text={text:?} number=7 other=Some(1)")
            );
            assert_eq!(time.len(), "2026-11-30T22:31:17.123456Z".len(), "{time}");
            assert!(time.parse::<Timestamp>().is_ok() && time.ends_with('Z'), "{time}");
        }
    }

    #[test]
    fn dependencies_stay_at_info_whatever_is_asked_for() {
        for (levels, present, absent) in [
            ("trace", vec!["our trace", "our info", "their info"], vec!["their trace", "not ours"]),
            ("info", vec!["our info", "their info"], vec!["our trace", "their trace"]),
            ("info,hyper=trace", vec!["our info"], vec!["their trace"]),
            ("warn", vec![], vec!["our info", "their info"]),
        ] {
            let logs = Captured::logs(LogFormat::Pretty, levels);
            for words in present {
                assert!(logs.contains(words), "{levels}: {words} is missing in:\n{logs}");
            }
            for words in absent {
                assert!(!logs.contains(words), "{levels}: {words} is in:\n{logs}");
            }
        }
    }

    /// Only cheaper.
    #[test]
    fn a_line_without_colours_is_what_tracing_writes_itself() {
        let (ours, theirs) = (Captured::default(), Captured::default());
        let (writer, other) = (ours.clone(), theirs.clone());
        let filter = EnvFilter::new("info");
        let plain = subscriber(LogFormat::Pretty, filter, false, move || writer.clone());
        let layer = fmt::layer().with_ansi(false).with_writer(move || other.clone());
        let emit = || {
            tracing::info!(
                target: "chorus::x",
                { request.id = %"r", text = "a \"b\"", number = 7, none = None::<u64>, nothing = ?() },
                "some words"
            );
            tracing::warn!(target: "chorus", only = true);
        };
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        tracing::subscriber::with_default(plain, emit);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), emit);
        let lines = |captured: &Captured| {
            let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
            let lines = text.lines().map(|line| line.split_once('Z').unwrap().1.to_owned());
            lines.collect::<Vec<String>>()
        };
        assert_eq!(lines(&ours), lines(&theirs));
        assert_eq!(lines(&ours).len(), 2);
    }

    /// What an upstream, a client or a file may bring, by kind: controls of the terminal, C1, the direction
    /// of writing, ends of lines.
    const FOREIGN: &str =
        "a\u{1b}[31m\u{1b}]0;t\u{7}\u{7f}\u{9b}2J\u{202e}\u{2066}\u{200b}\r\nb\u{2028}\u{85}你";

    #[test]
    fn foreign_text_stands_in_a_line_only_escaped() {
        for (format, colours) in
            [(LogFormat::Pretty, false), (LogFormat::Pretty, true), (LogFormat::Json, false)]
        {
            let captured = Captured::default();
            let out = NonBlocking::over(Box::new(captured.clone()));
            let output = Arc::new(LogOutput::new(out, Form { format, colours }));
            let subscriber = subscriber(format, EnvFilter::new("info"), colours, output);
            let _second = tracing::Dispatch::new(tracing_subscriber::registry());
            tracing::subscriber::with_default(subscriber, || {
                let error = io::Error::other(FOREIGN);
                tracing::info!(target: "chorus", text = FOREIGN, %error, ?error, "said {FOREIGN}");
            });
            let lines = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
            let line = lines.strip_suffix('\n').unwrap();
            assert!(line.contains('你') && line.contains("202e"), "{line:?}");
            let mut shown = line.to_owned();
            if colours {
                // Those of the line itself.
                for own in ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[3m", "\u{1b}[32m"] {
                    shown = shown.replace(own, "");
                }
            }
            assert_eq!(escaped(&shown), shown, "{format:?} {colours}");
            if format == LogFormat::Json {
                let read: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(read["text"], FOREIGN);
            }
        }
    }

    #[test]
    fn quiet_is_quieter_than_anything() {
        for (quiet, variable, want) in [
            (false, None, None),
            (false, Some(" "), None),
            (false, Some("debug"), Some("debug")),
            (true, None, Some("warn")),
            (true, Some("debug"), Some("warn")),
        ] {
            let env = |name: &str| variable.filter(|_| name == "RUST_LOG").map(str::to_owned);
            assert_eq!(levels(quiet, &env).as_deref(), want, "{quiet} {variable:?}");
        }
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let logs = Captured::logs(LogFormat::Json, "chorus=info");
        let line: serde_json::Value = serde_json::from_str(logs.trim()).unwrap();
        assert_eq!(line["message"], "our info");
        assert_eq!(line["request.id"], "r");
        assert_eq!(line["level"], "INFO");
    }
}
