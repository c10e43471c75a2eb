//! Tables as docker prints them: headings, then one line a row, columns aligned.
//!
//! In come a [`Table`] (which fields there are and how they are headed) and rows;
//! out goes text. Widths follow Go's `tabwriter` with docker's settings, so that a
//! script that cuts columns finds them where it expects them.

use serde_json::{Map, Value};

use super::template::{Error, Template};

/// The least width of a column, gap included.
const LEAST_WIDTH: usize = 10;
/// Spaces between columns.
const GAP: usize = 3;

/// What a listing verb can show.
#[derive(Debug)]
pub struct Table {
    /// Every field of a row that has a heading, with that heading.
    pub headings: &'static [(&'static str, &'static str)],
    /// The fields shown when no `--format` is given.
    pub shown: &'static [&'static str],
}

impl Table {
    /// The table as text: with the fields of `shown`, or those of a template.
    pub fn text(&self, template: Option<&str>, rows: &[Value]) -> Result<String, Error> {
        let template = match template {
            Some(template) => template.to_owned(),
            None => self
                .shown
                .iter()
                .map(|field| format!("{{{{.{field}}}}}"))
                .collect::<Vec<_>>()
                .join("\t"),
        };
        let template = Template::parse(&template)?;
        let mut lines = vec![template.render_headings(&self.heading_row())?];
        for row in rows {
            lines.push(template.render(row)?);
        }
        Ok(align(&lines.join("\n")))
    }

    fn heading_row(&self) -> Value {
        let headings: Map<String, Value> = self
            .headings
            .iter()
            .map(|(field, heading)| ((*field).into(), (*heading).into()))
            .collect();
        Value::Object(headings)
    }
}

/// Aligns cells that end in a tab. A column reaches over neighbouring lines as long as
/// they have such a cell there; the last cell of a line belongs to no column.
pub fn align(text: &str) -> String {
    align_to(text, LEAST_WIDTH)
}

/// [`align`] with another least width of a column, gap included.
pub fn align_to(text: &str, least: usize) -> String {
    let lines: Vec<Vec<&str>> = text
        .split('\n')
        .map(|line| line.split('\t').collect())
        .collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len()]).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut start = 0;
        while start < lines.len() {
            let block = block_of(&lines, column, start);
            let widest = block
                .clone()
                .map(|line| lines[line][column].chars().count())
                .max();
            for line in block.clone() {
                widths[line][column] = (widest.unwrap_or(0) + GAP).max(least);
            }
            start = block.end.max(start + 1);
        }
    }
    lines
        .iter()
        .zip(&widths)
        .map(|(cells, widths)| {
            let (last, columns) = cells.split_last().unwrap_or((&"", &[]));
            let padded = columns
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            format!("{}{last}\n", padded.collect::<String>())
        })
        .collect()
}

/// The lines from `start` on that have a cell ending in a tab in this column.
fn block_of(lines: &[Vec<&str>], column: usize, start: usize) -> std::ops::Range<usize> {
    let length = lines[start..]
        .iter()
        .take_while(|cells| column + 1 < cells.len())
        .count();
    start..start + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TABLE: Table = Table {
        headings: &[
            ("ID", "CONTAINER ID"),
            ("Names", "NAMES"),
            ("State", "STATE"),
        ],
        shown: &["ID", "Names"],
    };

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_a_gap() {
        let rows = [
            json!({"ID": "0123456789ab", "Names": "a"}),
            json!({"ID": "1", "Names": "bb"}),
        ];
        insta::assert_snapshot!(TABLE.text(None, &rows).unwrap(), @r"
        CONTAINER ID   NAMES
        0123456789ab   a
        1              bb
        ");
    }

    #[test]
    fn a_narrow_column_is_ten_wide() {
        let rows = [json!({"ID": "x", "State": "up"})];
        let text = TABLE.text(Some("{{.State}}\t{{.ID}}"), &rows).unwrap();
        assert_eq!(text, "STATE     CONTAINER ID\nup        x\n");
    }

    #[test]
    fn functions_leave_headings_alone() {
        let rows = [json!({"ID": "abcdef", "Names": "n"})];
        let text = TABLE
            .text(Some("{{truncate .ID 3}}\t{{upper .Names}}"), &rows)
            .unwrap();
        assert_eq!(text, "CONTAINER ID   NAMES\nabc            N\n");
    }

    #[test]
    fn no_rows_is_a_line_of_headings() {
        assert_eq!(TABLE.text(None, &[]).unwrap(), "CONTAINER ID   NAMES\n");
    }
}
