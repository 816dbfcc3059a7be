//! `make bench`: the table "Speed and memory", each figure beside its peer, measured here and now, turn by turn.
//!
//! Linux only: it reads `/proc` and compares with nginx, curl, b3sum and zip of the distribution.

#[cfg(target_os = "linux")]
mod chill;
#[cfg(target_os = "linux")]
mod connection;
#[cfg(target_os = "linux")]
mod ground;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod material;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod nginx;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod rows;
#[cfg(target_os = "linux")]
mod turn;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use clap::Parser;

    /// Measures the program beside nginx, zip and others, and prints the table.
    #[derive(Debug, Parser)]
    struct Arguments {
        /// Only these rows, divided by commas.
        #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(rows::NAMES))]
        rows: Vec<String>,
    }

    let arguments = Arguments::parse();
    let outcome = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(rows::run(&arguments.rows)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::note(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    use std::io::Write;

    drop(writeln!(std::io::stderr(), "the bench runs on Linux only"));
    ExitCode::FAILURE
}
