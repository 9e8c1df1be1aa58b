//! The lines of the log on their way out: escaped, at once or not at all, and counted where not.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, Write},
    panic,
    sync::{Mutex, PoisonError, TryLockError},
    thread,
};

use jiff::Timestamp;
use tracing_subscriber::fmt::MakeWriter;

use super::super::non_blocking::NonBlocking;
use crate::{
    config::LogFormat,
    types::{escaped, escaped_json, escaped_screen, process::DROPPED_LOG_LINES},
};

/// The lines of the log on their way to a reader who may have stopped reading.
pub(super) struct LogOutput {
    form: Form,
    out: Mutex<Reported>,
}

/// What a line is made of.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) format: LogFormat,
    pub(super) colours: bool,
}

struct Reported {
    out: NonBlocking,
    /// How many of the dropped lines the reader knows of.
    dropped: u64,
}

impl LogOutput {
    pub(super) fn new(out: NonBlocking, form: Form) -> Self {
        Self { form, out: Mutex::new(Reported { out, dropped: DROPPED_LOG_LINES.get() }) }
    }

    /// The standard library's own words about a panic, which would wait for the reader.
    pub(super) fn report(&self, panic: &panic::PanicHookInfo<'_>) {
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
        reported.out.offer(escaped_screen(&words).as_bytes());
    }
}

impl Form {
    /// A line with whatever foreign text stands in it escaped.
    fn escaped(self, line: &[u8]) -> String {
        let line = String::from_utf8_lossy(line);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        match (self.format, self.colours) {
            (LogFormat::Json, _) => format!("{}\n", escaped_json(line)),
            (LogFormat::Pretty, false) => format!("{}\n", escaped(line)),
            (LogFormat::Pretty, true) => {
                let lines: Vec<_> = line.split('\n').map(escaped_screen).collect();
                format!("{}\n", lines.join("\\n"))
            }
        }
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
        out.write(self.form.escaped(line).as_bytes(), self.form.format);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Full until it is read.
    struct Full(Arc<Mutex<Vec<u8>>>, Arc<Mutex<bool>>);

    impl io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if *self.1.lock().unwrap() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn dropped_lines_are_reported_with_the_next_that_is_taken() {
        for format in [LogFormat::Pretty, LogFormat::Json] {
            let (captured, full) = (Arc::default(), Arc::new(Mutex::new(false)));
            let sink = Full(Arc::clone(&captured), Arc::clone(&full));
            let output =
                LogOutput::new(NonBlocking::over(Box::new(sink)), Form { format, colours: false });
            for (is_full, line) in
                [(false, "1\n"), (true, "2\n"), (true, "3\n"), (false, "4\n"), (false, "5\n")]
            {
                *full.lock().unwrap() = is_full;
                (&output).write_all(line.as_bytes()).unwrap();
            }
            let text = String::from_utf8(captured.lock().unwrap().clone()).unwrap();
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
}
