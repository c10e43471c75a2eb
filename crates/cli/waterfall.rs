//! `pull --trace`: where the time of a transfer went, as a picture or as data.
//!
//! In: the spans that [`Recorder`] hears of while it passes everything on to what
//! people see. Out: a [`Waterfall`], one group of bars for each blob, as SVG or
//! JSON. Times are milliseconds since the first stage began.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use image::{Event, Progress, Span, Stage};
use serde_json::{Value, json};

use crate::output::units;

/// How a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Data.
    Json,
    /// A picture.
    Svg,
}

impl Form {
    /// The ending of the file's name says it.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => Ok(Self::Json),
            Some("svg") => Ok(Self::Svg),
            _ => bail!(
                "--trace takes a file that ends in .json or .svg, not {}",
                path.display()
            ),
        }
    }
}

/// Passes everything on and remembers the spans.
pub struct Recorder {
    next: Box<dyn Progress>,
    spans: Mutex<Vec<(Option<String>, Span)>>,
}

impl Recorder {
    /// In front of `next`.
    pub fn new(next: Box<dyn Progress>) -> Self {
        Self {
            next,
            spans: Mutex::default(),
        }
    }

    /// All it heard of so far.
    pub fn waterfall(&self) -> Waterfall {
        let spans = self
            .spans
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let begin = spans
            .iter()
            .map(|(_, span)| span.start)
            .min()
            .unwrap_or_else(Instant::now);
        let bars = spans.iter().map(|(blob, span)| Bar {
            blob: blob.clone(),
            stage: span.stage,
            start: span.start.saturating_duration_since(begin),
            end: span.end.saturating_duration_since(begin),
            busy: span.busy,
        });
        Waterfall {
            bars: bars.collect(),
        }
    }
}

impl Progress for Recorder {
    fn event(&self, event: Event<'_>) {
        if let Event::Span { digest, span } = &event {
            let mut spans = self
                .spans
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            spans.push((digest.map(ToString::to_string), *span));
        }
        self.next.event(event);
    }
}

#[derive(Clone, Debug)]
struct Bar {
    /// None for what is about the whole image.
    blob: Option<String>,
    stage: Stage,
    start: Duration,
    end: Duration,
    busy: Option<Duration>,
}

/// The bars of one transfer.
#[derive(Clone, Debug)]
pub struct Waterfall {
    bars: Vec<Bar>,
}

const LABEL: f64 = 130.0;
const WIDTH: f64 = 900.0;
const LANE: f64 = 14.0;
const TOP: f64 = 44.0;

impl Waterfall {
    /// As text of a form.
    pub fn draw(&self, form: Form) -> String {
        match form {
            Form::Json => format!("{:#}\n", self.json()),
            Form::Svg => self.svg(),
        }
    }

    fn json(&self) -> Value {
        let spans = self.bars.iter().map(|bar| {
            json!({
                "blob": bar.blob,
                "stage": bar.stage.name(),
                "start_ms": milliseconds(bar.start),
                "end_ms": milliseconds(bar.end),
                "busy_ms": bar.busy.map(milliseconds),
            })
        });
        json!({"total_ms": milliseconds(self.total()), "spans": spans.collect::<Vec<_>>()})
    }

    fn total(&self) -> Duration {
        self.bars
            .iter()
            .map(|bar| bar.end)
            .max()
            .unwrap_or_default()
    }

    /// What is about the whole first, then the blobs as they began.
    fn groups(&self) -> Vec<(Option<&str>, Vec<&Bar>)> {
        let mut groups: Vec<(Option<&str>, Vec<&Bar>)> = Vec::new();
        for bar in &self.bars {
            let blob = bar.blob.as_deref();
            match groups.iter_mut().find(|(known, _)| *known == blob) {
                Some((_, bars)) => bars.push(bar),
                None => groups.push((blob, vec![bar])),
            }
        }
        groups.sort_by_key(|(blob, bars)| (blob.is_some(), bars.iter().map(|bar| bar.start).min()));
        groups
    }

    fn svg(&self) -> String {
        let scale = WIDTH / milliseconds(self.total()).max(0.001);
        let (mut body, mut y) = (String::new(), TOP);
        for (blob, bars) in self.groups() {
            let name = blob.map_or("image", units::short_id);
            let lanes = 1 + bars.iter().map(|bar| lane(bar.stage)).max().unwrap_or(0);
            let _ = writeln!(
                body,
                r#"<text x="4" y="{:.0}">{name}</text>"#,
                y + LANE - 3.0
            );
            for bar in bars {
                body.push_str(&bar.svg(y, scale));
            }
            #[allow(clippy::cast_precision_loss, reason = "there are four lanes at most")]
            let height = lanes as f64 * LANE;
            y += height + 6.0;
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0}\" height=\"{:.0}\" font-family=\"monospace\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}{}{body}</svg>\n",
            LABEL + WIDTH + 20.0,
            y + 10.0,
            legend(),
            self.axis(scale, y),
        )
    }

    /// A line about every tenth of the time.
    fn axis(&self, scale: f64, bottom: f64) -> String {
        let total = milliseconds(self.total());
        let mut text = String::new();
        for tenth in 0..=10 {
            let time = total * f64::from(tenth) / 10.0;
            let x = LABEL + time * scale;
            let _ = writeln!(
                text,
                r##"<line x1="{x:.1}" y1="{:.0}" x2="{x:.1}" y2="{bottom:.0}" stroke="#ddd"/><text x="{x:.1}" y="{:.0}" fill="#777">{time:.0} ms</text>"##,
                TOP - 8.0,
                TOP - 12.0
            );
        }
        text
    }
}

impl Bar {
    /// A pale bar for all of the time; below it a dark line as long as the part its thread was busy.
    fn svg(&self, top: f64, scale: f64) -> String {
        #[allow(clippy::cast_precision_loss, reason = "there are four lanes at most")]
        let y = top + lane(self.stage) as f64 * LANE;
        let x = LABEL + milliseconds(self.start) * scale;
        let time = milliseconds(self.end.saturating_sub(self.start));
        let busy = self.busy.map(milliseconds);
        let colour = colour(self.stage);
        let told = busy.map_or(String::new(), |busy| format!(", busy {busy:.1} ms"));
        format!(
            "<g><title>{}: {time:.1} ms{told}</title><rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{:.0}\" fill=\"{colour}\" opacity=\"0.5\"/>\
             <rect x=\"{x:.1}\" y=\"{:.0}\" width=\"{:.1}\" height=\"3\" fill=\"{colour}\"/></g>\n",
            self.stage.name(),
            (time * scale).max(0.5),
            LANE - 2.0,
            y + LANE - 5.0,
            busy.unwrap_or(0.0).min(time) * scale,
        )
    }
}

/// Stages that follow each other share a line; those that overlap have their own.
fn lane(stage: Stage) -> usize {
    match stage {
        Stage::Resolve | Stage::Wait | Stage::FirstByte | Stage::Download | Stage::Fsync => 0,
        Stage::Inflate => 1,
        Stage::DiffId => 2,
        Stage::Write => 3,
    }
}

const STAGES: [Stage; 8] = [
    Stage::Resolve,
    Stage::Wait,
    Stage::FirstByte,
    Stage::Download,
    Stage::Inflate,
    Stage::DiffId,
    Stage::Write,
    Stage::Fsync,
];

fn colour(stage: Stage) -> &'static str {
    match stage {
        Stage::Resolve => "#7b5ea7",
        Stage::Wait => "#b0b0b0",
        Stage::FirstByte => "#e0a030",
        Stage::Download => "#2f7ed8",
        Stage::Inflate => "#3d9970",
        Stage::DiffId => "#8a6d3b",
        Stage::Write => "#d9534f",
        Stage::Fsync => "#333333",
    }
}

fn legend() -> String {
    let mut text = String::new();
    for (at, stage) in (0u8..).zip(STAGES) {
        let x = LABEL + f64::from(at) * 100.0;
        let _ = writeln!(
            text,
            r#"<rect x="{x:.0}" y="6" width="10" height="10" fill="{}"/><text x="{:.0}" y="15">{}</text>"#,
            colour(stage),
            x + 14.0,
            stage.name()
        );
    }
    text
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(blob: Option<&str>, stage: Stage, start: u64, end: u64) -> Bar {
        Bar {
            blob: blob.map(str::to_owned),
            stage,
            start: Duration::from_millis(start),
            end: Duration::from_millis(end),
            busy: blob.map(|_| Duration::from_millis(1)),
        }
    }

    fn waterfall() -> Waterfall {
        let blob = Some("sha256:0123456789abcdef");
        Waterfall {
            bars: vec![
                bar(blob, Stage::Download, 10, 50),
                bar(None, Stage::Resolve, 0, 10),
                bar(blob, Stage::Write, 10, 60),
            ],
        }
    }

    #[test]
    fn data_has_every_span() {
        let value = waterfall().json();
        assert_eq!(value["total_ms"], 60.0);
        assert_eq!(value["spans"][0]["stage"], "download");
        assert_eq!(value["spans"][1]["blob"], Value::Null);
    }

    #[test]
    fn a_picture_begins_with_the_whole() {
        let text = waterfall().svg();
        let (whole, blob) = (
            text.find(">image<").unwrap(),
            text.find(">0123456789ab<").unwrap(),
        );
        assert!(
            whole < blob && text.contains("download: 40.0 ms, busy 1.0 ms"),
            "{text}"
        );
    }

    #[test]
    fn the_ending_says_which() {
        assert_eq!(Form::of(Path::new("a.svg")).unwrap(), Form::Svg);
        assert!(Form::of(Path::new("a.png")).is_err());
    }
}
