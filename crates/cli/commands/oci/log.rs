//! Where a runtime's errors go: to stderr, and to the file of `--log`, which engines parse.
//!
//! In: what happened. Out: a line in the file, as JSON or as logrus writes text. Engines take the
//! last line of level `error` for the reason why a container did not start.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `time="..." level=error msg="..."`
    Text,
    /// One object a line.
    Json,
}

/// The log of one call.
#[derive(Debug)]
pub struct Log {
    file: Option<File>,
    format: Format,
    debug: bool,
}

impl Log {
    /// Opens `path` for appending; without a path there is only stderr.
    ///
    /// # Errors
    /// The file cannot be opened, or the format is unknown.
    pub fn open(path: Option<&Path>, format: Option<&str>, debug: bool) -> anyhow::Result<Log> {
        let format = match format {
            None | Some("text" | "") => Format::Text,
            Some("json") => Format::Json,
            Some(other) => bail!("unknown log-format {other:?}"),
        };
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            let file = options.create(true).append(true).mode(0o644).open(path);
            file.with_context(|| format!("open the log {}", path.display()))
        };
        // containerd and others name a FIFO or a file; the journal and syslog need systemd.
        Ok(Log {
            file: path.map(open).transpose()?,
            format,
            debug,
        })
    }

    /// Reports why the call failed. Without a log file stderr has it in words for people.
    pub fn error(&self, message: &str) {
        self.line("error", message);
        eprintln!("lighter: error: {message}");
    }

    /// Reports something odd that stops nothing.
    pub fn warn(&self, message: &str) {
        match self.file {
            Some(_) => self.line("warning", message),
            None => eprintln!("WARNING: {message}"),
        }
    }

    /// Reports what is done, when `--debug` asks for it.
    pub fn debug(&self, message: &str) {
        match (self.debug, &self.file) {
            (false, _) => {}
            (true, Some(_)) => self.line("debug", message),
            (true, None) => eprintln!("debug: {message}"),
        }
    }

    fn line(&self, level: &str, message: &str) {
        let Some(mut file) = self.file.as_ref() else {
            return;
        };
        let line = line(
            self.format,
            level,
            message,
            &jiff::Timestamp::now().to_string(),
        );
        // The error itself matters more than that its log is full.
        let _ = file.write_all(line.as_bytes());
    }
}

fn line(format: Format, level: &str, message: &str, time: &str) -> String {
    match format {
        Format::Json => {
            let line = serde_json::json!({"level": level, "msg": message, "time": time});
            format!("{line}\n")
        }
        Format::Text => format!("time={time:?} level={level} msg={message:?}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_keep_a_message_on_one_line() {
        let time = "2026-01-02T03:04:05Z";
        assert_eq!(
            line(Format::Json, "error", "a \"b\"\nc", time),
            "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\\nc\",\"time\":\"2026-01-02T03:04:05Z\"}\n"
        );
        assert_eq!(
            line(Format::Text, "error", "a \"b\"\nc", time),
            "time=\"2026-01-02T03:04:05Z\" level=error msg=\"a \\\"b\\\"\\nc\"\n"
        );
    }
}
