//! What goes to stdout: lines, tables, JSON and Go templates.
//!
//! In come rows (JSON objects, one for each container, image, network ...) and
//! what the user asked for with `--format`; out goes text. Column widths and
//! headings are in `table`, sizes and ages in `units`, the template language in
//! `template`.

pub mod container;
pub mod table;
pub mod template;
mod typed;
pub mod units;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};

use serde_json::Value;

pub use table::Table;
use template::Template;

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

/// Lists rows as `--format` says: nothing or `table` for the table, `table TEMPLATE`,
/// `json` for one object a line, `jsonarray`, or a template for one line each.
pub fn list(table: &Table, format: Option<&str>, rows: &[Value]) -> anyhow::Result<()> {
    text(&listing(table, format, rows)?)?;
    Ok(())
}

fn listing(table: &Table, format: Option<&str>, rows: &[Value]) -> Result<String, template::Error> {
    match format.map(str::trim) {
        None | Some("" | "table") => table.text(None, rows),
        Some("json") => Ok(rows
            .iter()
            .map(|row| format!("{}\n", sorted(row)))
            .collect()),
        Some("jsonarray") => Ok(format!("{}\n", sorted(&Value::Array(rows.to_vec())))),
        Some(format) => match format.strip_prefix("table") {
            Some(template) => table.text(Some(unescape(template).trim_matches(' ')), rows),
            None => lines(&unescape(format), rows),
        },
    }
}

/// Shows each object with a template, or `json` for one compact object a line.
pub fn objects(format: &str, objects: &[Value]) -> anyhow::Result<()> {
    let format = if format == "json" {
        "{{json .}}"
    } else {
        format
    };
    text(&lines(format, objects)?)?;
    Ok(())
}

fn lines(template: &str, rows: &[Value]) -> Result<String, template::Error> {
    let template = Template::parse(template)?;
    rows.iter()
        .map(|row| template.render(row).map(|line| line + "\n"))
        .collect()
}

/// In listings docker lets a shell's single quotes hold `\t` and `\n`.
fn unescape(format: &str) -> String {
    format.replace(r"\t", "\t").replace(r"\n", "\n")
}

/// Objects with their keys in order, as docker prints rows.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<_, _> = map.iter().collect();
            ordered
                .into_iter()
                .map(|(key, item)| (key.clone(), sorted(item)))
                .collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// What `inspect` prints: an array, or each object with a template. A template that asks for a field that JSON leaves out
/// is tried once more with every field there.
pub fn inspected(format: Option<&str>, found: &[Value]) -> anyhow::Result<()> {
    let Some(format) = format else {
        return pretty(found);
    };
    objects(format, found).or_else(|error| {
        let whole: Vec<Value> = found.iter().map(typed::whole).collect();
        objects(format, &whole).map_err(|_| error)
    })
}

/// An array of objects over many lines, as `inspect` prints it.
fn pretty(objects: &[Value]) -> anyhow::Result<()> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde::Serialize::serialize(objects, &mut serializer)?;
    out.push(b'\n');
    io::stdout().lock().write_all(&out).map_err(Closed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TABLE: Table = Table {
        headings: &[("ID", "ID"), ("Name", "NAME")],
        shown: &["ID", "Name"],
    };

    #[test]
    fn listings_follow_the_format() {
        let rows = [
            json!({"Name": "a", "ID": "1"}),
            json!({"Name": "b", "ID": "2"}),
        ];
        let show = |format| listing(&TABLE, Some(format), &rows).unwrap();
        assert_eq!(
            show("json"),
            "{\"ID\":\"1\",\"Name\":\"a\"}\n{\"ID\":\"2\",\"Name\":\"b\"}\n"
        );
        assert_eq!(
            show("jsonarray"),
            "[{\"ID\":\"1\",\"Name\":\"a\"},{\"ID\":\"2\",\"Name\":\"b\"}]\n"
        );
        assert_eq!(show("{{.Name}}"), "a\nb\n");
        assert_eq!(show(r"{{.ID}}\t{{.Name}}"), "1\ta\n2\tb\n");
        assert_eq!(
            show(r"table {{.Name}}\t{{.ID}}"),
            "NAME      ID\na         1\nb         2\n"
        );
    }
}
