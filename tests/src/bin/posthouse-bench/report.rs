//! The table: printed as it grows, and written as Markdown.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What was done.
    pub(crate) work: String,
    /// What was promised.
    pub(crate) target: String,
    /// What was measured.
    pub(crate) measured: String,
    /// What the peer did in the same run; empty when there is none.
    pub(crate) peer: String,
    /// Whether the target was reached; `None` for a line that has none.
    pub(crate) reached: Option<bool>,
}

impl Row {
    /// A line with a target.
    pub(crate) fn judged(work: &str, target: &str, measured: String, peer: String, reached: bool) -> Self {
        Self { work: work.to_owned(), target: target.to_owned(), measured, peer, reached: Some(reached) }
    }

    /// A line for information.
    pub(crate) fn told(work: &str, measured: String, peer: String) -> Self {
        Self { work: work.to_owned(), target: String::new(), measured, peer, reached: None }
    }

    fn cells(&self) -> [&str; 5] {
        let reached = match self.reached {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        [&self.work, &self.target, &self.measured, &self.peer, reached]
    }
}

const HEAD: [&str; 5] = ["work", "to reach", "posthouse", "beside it", "reached"];

/// The table as Markdown, its columns aligned for reading as plain text.
pub(crate) fn markdown(about: &str, rows: &[Row]) -> String {
    let cells: Vec<[&str; 5]> = std::iter::once(HEAD).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = format!("{about}\n\n");
    for (number, row) in cells.iter().enumerate() {
        let padded: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} |", padded.join(" | "));
        if number == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(text, "| {} |", rules.join(" | "));
        }
    }
    text
}

/// Writes the table to a file.
pub(crate) fn save(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// A line of the result.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

/// A line about the progress.
pub(crate) fn note(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
