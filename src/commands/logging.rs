//! Where logs go and what may be in them.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal, Write},
    panic,
    sync::{Arc, Mutex, PoisonError, TryLockError},
    thread,
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
    types::process::DROPPED_LOG_LINES,
};

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
    let output = Arc::new(LogOutput::new(NonBlocking::stderr(), format));
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
        LogFormat::Pretty if colours => fmt::layer().with_writer(writer).boxed(),
        LogFormat::Pretty => {
            let layer = fmt::layer().fmt_fields(PlainFields).with_timer(Clock);
            layer.with_ansi(false).with_writer(writer).boxed()
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

/// The lines of the log on their way to a reader who may have stopped reading.
struct LogOutput {
    format: LogFormat,
    out: Mutex<Reported>,
}

struct Reported {
    out: NonBlocking,
    /// How many of the dropped lines the reader knows of.
    dropped: u64,
}

impl LogOutput {
    fn new(out: NonBlocking, format: LogFormat) -> Self {
        Self { format, out: Mutex::new(Reported { out, dropped: DROPPED_LOG_LINES.get() }) }
    }

    /// The standard library's own words about a panic, which would wait for the reader.
    fn report(&self, panic: &panic::PanicHookInfo<'_>) {
        let name = thread::current().name().unwrap_or("<unnamed>").to_owned();
        let mut words = format!("thread '{name}' {panic}\n");
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            words.push_str(&trace.to_string());
        }
        let mut reported = match self.out.try_lock() {
            Ok(reported) => reported,
            Err(TryLockError::Poisoned(lock)) => lock.into_inner(),
            // This thread may be in the middle of a line.
            Err(TryLockError::WouldBlock) => return,
        };
        reported.out.offer(words.as_bytes());
    }
}

impl Reported {
    fn write(&mut self, line: &[u8], format: LogFormat) {
        let dropped = DROPPED_LOG_LINES.get();
        let missing = dropped.saturating_sub(self.dropped);
        let is_taken = match missing {
            0 => self.out.offer(line),
            missing => {
                let notice = about_dropped(missing, format);
                self.out.offer(&[notice.as_bytes(), line].concat())
            }
        };
        if is_taken {
            self.dropped = dropped;
        } else {
            DROPPED_LOG_LINES.count();
        }
    }
}

/// The line that stands in for so many.
fn about_dropped(count: u64, format: LogFormat) -> String {
    let (time, target) = (Timestamp::now(), module_path!());
    let words = "lines of the log were dropped: standard error was not read";
    match format {
        LogFormat::Pretty => format!("{time:.6}  WARN {target}: {words} dropped={count}\n"),
        LogFormat::Json => format!(
            "{{\"timestamp\":\"{time:.6}\",\"level\":\"WARN\",\"message\":\"{words}\",\
             \"dropped\":{count},\"target\":\"{target}\"}}\n"
        ),
    }
}

/// Each line comes as one piece.
impl Write for &LogOutput {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write(line, self.format);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogOutput {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// The time as the default has it: RFC 3339, with six digits of a second.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        write!(line, "{:.6}", Timestamp::now())
    }
}

/// `name=value`, without asking for each name and sign whether it has a colour, and for most texts not
/// for each character either whether it can be shown.
struct PlainFields;

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, line: Writer<'writer>, fields: R) -> std::fmt::Result {
        let mut plain = PlainLine { line, is_begun: false, written: Ok(()) };
        fields.record(&mut plain);
        plain.written
    }
}

/// A line that is being written; nothing more once that has failed.
struct PlainLine<'writer> {
    line: Writer<'writer>,
    is_begun: bool,
    written: std::fmt::Result,
}

impl PlainLine<'_> {
    fn begin(&mut self, field: &Field) -> std::fmt::Result {
        if std::mem::replace(&mut self.is_begun, true) {
            self.line.write_char(' ')?;
        }
        if field.name() != "message" {
            self.line.write_str(field.name())?;
            self.line.write_char('=')?;
        }
        Ok(())
    }

    fn quote(&mut self, text: &str) -> std::fmt::Result {
        self.line.write_char('"')?;
        self.line.write_str(text)?;
        self.line.write_char('"')
    }
}

impl Visit for PlainLine<'_> {
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
            self.written = self.begin(field).and_then(|()| write!(self.line, "{value:?}"));
        }
    }
}

/// Our own targets at any level, others at info and above.
fn may_log(target: &str, level: Level) -> bool {
    let ours =
        target.strip_prefix("chorus").is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    ours || level <= Level::INFO
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

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

    /// Full until it is read.
    struct Full(Captured, Arc<Mutex<bool>>);

    impl io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if *self.1.lock().unwrap() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn dropped_lines_are_reported_with_the_next_that_is_taken() {
        for format in [LogFormat::Pretty, LogFormat::Json] {
            let (captured, full) = (Captured::default(), Arc::new(Mutex::new(false)));
            let sink = Full(captured.clone(), Arc::clone(&full));
            let output = LogOutput::new(NonBlocking::over(Box::new(sink)), format);
            for (is_full, line) in
                [(false, "1\n"), (true, "2\n"), (true, "3\n"), (false, "4\n"), (false, "5\n")]
            {
                *full.lock().unwrap() = is_full;
                (&output).write_all(line.as_bytes()).unwrap();
            }
            let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let [first, notice, fourth, fifth] = lines[..] else { panic!("{text}") };
            assert_eq!([first, fourth, fifth], ["1", "4", "5"], "{text}");
            match format {
                LogFormat::Pretty => assert!(notice.ends_with("not read dropped=2"), "{notice}"),
                LogFormat::Json => {
                    let notice: serde_json::Value = serde_json::from_str(notice).unwrap();
                    assert_eq!((&notice["dropped"], &notice["level"]), (&2.into(), &"WARN".into()));
                }
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
