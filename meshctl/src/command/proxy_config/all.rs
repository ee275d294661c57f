//! `pc all`: every section of a proxy's configuration, one after the other. In the first column stands of which section a row is.

use crate::report::{Format, Report};
use anyhow::Result;
use std::fmt::Write as _;

/// A section: title, word before each name, first column as the section calls it and as it is called here.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) word: &'static str,
    pub(super) column: &'static str,
    pub(super) called: &'static str,
    pub(super) report: Report,
}

/// All as one text.
pub(super) fn text(sections: &[Section], with_headers: bool) -> Result<String> {
    let mut all = String::new();
    for section in sections {
        if !all.is_empty() {
            all.push('\n');
        }
        if with_headers {
            let _ = writeln!(all, "------ {} INFO ------\n", section.title);
        }
        let text = section.report.render(Format::Table)?;
        let Some(rest) = text.strip_prefix(section.column) else {
            // There is no table where there is nothing.
            all.push_str(&text);
            continue;
        };
        let (header, rows) = rest.split_once('\n').unwrap_or((rest, ""));
        let width = section.column.len() + section.word.len();
        let _ = writeln!(all, "{:width$}{header}", section.called);
        for row in rows.lines() {
            let _ = writeln!(all, "{}{row}", section.word);
        }
    }
    Ok(all)
}
