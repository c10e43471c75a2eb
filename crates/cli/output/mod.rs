//! What goes to stdout: lines, tables, JSON and Go templates.
//!
//! In come rows (JSON objects, one for each container, image, network ...) and
//! what the user asked for with `--format`; out goes text. Column widths and
//! headings are in `table`, sizes and ages in `units`, the template language in
//! `template`.

use std::fmt::Display;
use std::io::{self, Write};

/// stdout could not be written.
#[derive(Debug)]
pub struct Closed(pub io::Error);

impl Display for Closed {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        out.write_str("write to standard output")
    }
}

impl std::error::Error for Closed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Writes text to stdout as it is.
pub fn text(text: &str) -> Result<(), Closed> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Closed)
}

/// Writes one line to stdout.
pub fn line(line: impl Display) -> Result<(), Closed> {
    text(&format!("{line}\n"))
}
