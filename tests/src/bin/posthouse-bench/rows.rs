//! The rows of the table, one module each.

mod build;
mod heartbeat;
mod memory;
mod redirect;
mod serve;
mod small;
mod sync;

use anyhow::{Context, Result};

use crate::ground::Ground;
use crate::report::{self, Row, note, say};

/// What can be asked for, in the order of the table.
pub(crate) const NAMES: [&str; 7] = ["serve", "small", "redirect", "sync", "build", "memory", "heartbeat"];

/// Measures the rows asked for, all when none is, and prints the table.
pub(crate) async fn run(asked: &[String]) -> Result<()> {
    let ground = Ground::new()?;
    let about = about();
    let mut rows: Vec<Row> = Vec::new();
    for name in NAMES {
        if !asked.is_empty() && !asked.iter().any(|asked| asked == name) {
            continue;
        }
        note(&format!("--- {name}"));
        let measured = match name {
            "serve" => serve::measure(&ground).await,
            "small" => small::measure(&ground).await,
            "redirect" => redirect::measure(&ground).await,
            "sync" => sync::measure(&ground).await,
            "build" => build::measure(&ground).await,
            "memory" => memory::measure(&ground).await,
            _ => heartbeat::measure(&ground).await,
        };
        match measured {
            Ok(mut measured) => rows.append(&mut measured),
            // One row that cannot be measured must not hide the others.
            Err(error) => rows.push(Row::judged(name, "", format!("not measured: {error:#}"), String::new(), false)),
        }
    }
    let table = report::markdown(&about, &rows);
    say(&table);
    let path = ground.target.join("bench.md");
    report::save(&path, &table)?;
    note(&format!("also in {}", path.display()));
    let failed = rows.iter().filter(|row| row.measured.starts_with("not measured")).count();
    (failed == 0).then_some(()).with_context(|| format!("{failed} rows could not be measured"))
}

fn about() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("model name")).collect();
    let model = models.first().map_or("unknown CPU", |line| line.trim_start_matches([' ', '\t', ':']));
    let profile = if cfg!(debug_assertions) { "a DEBUG build, whose figures mean nothing" } else { "a release build" };
    format!("Measured on {} × {model} over loopback, with {profile}, by `make bench`.", models.len())
}
