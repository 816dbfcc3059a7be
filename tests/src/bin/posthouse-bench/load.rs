//! Programs that put load on a server: curl and wrk.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// Runs a program to its end; its standard output.
pub(crate) async fn run(command: &mut Command) -> Result<String> {
    let name = format!("{:?}", command.as_std());
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.with_context(|| name.clone())?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {}: {errors}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Downloads `url` with so many curls at once; bytes per second of all together.
pub(crate) async fn curl(url: &str, connections: usize, size_bytes: u64) -> Result<f64> {
    let begun = Instant::now();
    let mut downloads = Vec::new();
    for _ in 0..connections {
        let mut command = Command::new("curl");
        command.args(["--silent", "--noproxy", "*", "--output", "/dev/null"]);
        command.args(["--write-out", "%{http_code} %{size_download} %{speed_download}", url]);
        downloads.push(tokio::spawn(async move { run(&mut command).await }));
    }
    let mut speed = 0.0;
    for download in downloads {
        let told = download.await??;
        let mut fields = told.split(' ');
        let (code, size) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        ensure!(code == "200" && size == size_bytes.to_string(), "curl of {url}: {told}");
        speed = fields.next().context("curl's speed")?.parse()?;
    }
    // One curl times itself without its own start; of many only the whole counts.
    let whole = connections as f64 * size_bytes as f64 / begun.elapsed().as_secs_f64();
    Ok(if connections == 1 { speed } else { whole })
}

/// What wrk found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wrk {
    /// Requests a second.
    pub(crate) requests_per_second: f64,
    /// 99 % of the answers came within this.
    pub(crate) p99: Duration,
}

/// Runs wrk and refuses a run with errors in it.
pub(crate) async fn wrk(threads: u32, connections: u32, seconds: u32, more: &[&str], url: &str) -> Result<Wrk> {
    let mut command = Command::new("wrk");
    command.args([format!("-t{threads}"), format!("-c{connections}"), format!("-d{seconds}s"), "--latency".to_owned()]);
    let text = run(command.args(more).arg(url)).await?;
    ensure!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "wrk of {url}:\n{text}");
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(name));
        line.map(str::trim).with_context(|| format!("wrk tells no {name}:\n{text}"))
    };
    Ok(Wrk { requests_per_second: value("Requests/sec:")?.parse()?, p99: duration(value("99%")?)? })
}

/// `635.00us`, `1.33ms`, `2.01s`.
fn duration(text: &str) -> Result<Duration> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    let found = units.iter().find_map(|(unit, seconds)| {
        text.strip_suffix(unit).and_then(|number| number.parse::<f64>().ok()).map(|number| number * seconds)
    });
    Ok(Duration::from_secs_f64(found.with_context(|| format!("no duration: {text}"))?))
}

/// Brings a file into the page cache.
pub(crate) async fn warm(path: &Path) -> Result<()> {
    run(Command::new("cat").arg(path).stdout(Stdio::null())).await.map(drop)
}

/// Waits until nothing is left to be written to disk.
pub(crate) async fn settle_disk() -> Result<()> {
    run(&mut Command::new("sync")).await.map(drop)
}
