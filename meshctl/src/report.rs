//! What a command has to say, and its forms: table or text, JSON, YAML. The one place where
//! commands write.

use anyhow::{Context as _, Result};
use serde_json::Value;
use std::io::{self, Write as _};

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For a person.
    Table,
    /// Two blanks a level.
    Json,
    /// One document.
    Yaml,
}

/// Columns, padded with blanks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    pad: usize,
}

impl Table {
    /// With this header; columns are five blanks apart.
    pub(crate) fn new(header: &[&str]) -> Self {
        Table { header: header.iter().map(|h| (*h).to_owned()).collect(), rows: Vec::new(), pad: 5 }
    }

    /// With columns that many blanks apart.
    pub(crate) fn padded(self, pad: usize) -> Self {
        Table { pad, ..self }
    }

    /// Adds a row with as many cells as the header.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.header.len());
        self.rows.push(row);
    }

    pub(crate) fn render(&self) -> String {
        let lines = || std::iter::once(&self.header).chain(&self.rows);
        let width = |column: usize| lines().map(|l| l.get(column).map_or(0, |c| c.chars().count())).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let mut out = String::new();
        for line in lines() {
            let start = out.len();
            for (cell, width) in line.iter().zip(&widths) {
                out.push_str(cell);
                out.extend(std::iter::repeat_n(' ', width - cell.chars().count() + self.pad));
            }
            out.truncate(start + out[start..].trim_end_matches(' ').len());
            out.push('\n');
        }
        out
    }
}

/// What a command has to say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    text: String,
    value: Value,
    warnings: Vec<String>,
}

impl Report {
    /// A text for a person and the same as a value.
    pub(crate) fn text(text: String, value: Value) -> Self {
        Report { text, value, warnings: Vec::new() }
    }

    /// A table and the same as a value.
    pub(crate) fn table(table: Table, value: Value) -> Self {
        Report::text(table.render(), value)
    }

    /// What JSON and YAML show.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// With something to tell on standard error.
    pub(crate) fn with_warning(mut self, warning: String) -> Self {
        self.warnings.push(warning);
        self
    }

    /// In the form asked for, ending in a line feed.
    pub(crate) fn render(&self, format: Format) -> Result<String> {
        Ok(match format {
            Format::Table => self.text.clone(),
            Format::Json => {
                let mut text = serde_json::to_string_pretty(&self.value).context("cannot write JSON")?;
                text.push('\n');
                text
            }
            Format::Yaml => {
                let mut text = serde_saphyr::to_string(&self.value).context("cannot write YAML")?;
                if !text.ends_with('\n') {
                    text.push('\n');
                }
                text
            }
        })
    }

    /// Writes to standard output. That nobody reads it to the end is no failure.
    pub(crate) fn print(&self, format: Format) -> Result<()> {
        let text = self.render(format)?;
        for warning in &self.warnings {
            // There is nobody to tell that standard error is closed.
            let _ = writeln!(io::stderr().lock(), "{warning}");
        }
        write(&text)
    }
}

/// Writes to standard output. That nobody reads it to the end is no failure.
pub(crate) fn write(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["A", "LONGER"]).padded(2);
        table.push(vec!["wide".into(), "1".into()]);
        table.push(vec!["ü".into(), "".into()]);
        assert_eq!(table.render(), "A     LONGER\nwide  1\nü\n");
    }

    #[test]
    fn every_form_ends_in_one_line_feed() {
        let report = Report::text("a\n".into(), json!([{"k": "v: w"}]));
        assert_eq!(report.render(Format::Table).unwrap(), "a\n");
        assert_eq!(report.render(Format::Json).unwrap(), "[\n  {\n    \"k\": \"v: w\"\n  }\n]\n");
        let yaml = report.render(Format::Yaml).unwrap();
        assert!(yaml.contains("v: w") && yaml.ends_with('\n') && !yaml.ends_with("\n\n"), "{yaml:?}");
    }
}
