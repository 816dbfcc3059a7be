//! What a process used, from `/proc`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

/// `USER_HZ`, the unit of times in `/proc/PID/stat`: 100 on every Linux a user sees.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds, of user and system, that these processes have used so far.
///
/// # Errors
/// When the system does not tell.
pub fn cpu_seconds(pids: &[u32]) -> Result<f64> {
    let mut ticks = 0;
    for pid in pids {
        let text = read(*pid, "stat")?;
        // The name in parentheses may contain anything; user and system time are fields 14 and 15.
        let rest = text.rsplit_once(')').context("/proc/PID/stat")?.1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        for index in [11, 12] {
            ticks += fields.get(index).context("/proc/PID/stat is short")?.parse::<u64>()?;
        }
    }
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// Seconds for which the host of a virtual machine kept its processors from running, of all of them together, so far.
///
/// # Errors
/// When the system does not tell.
pub fn stolen_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let fields = text.lines().next().and_then(|line| line.strip_prefix("cpu")).context("/proc/stat")?;
    // user, nice, system, idle, iowait, irq, softirq, steal
    let stolen = fields.split_whitespace().nth(7).context("/proc/stat is short")?;
    Ok(stolen.parse::<u64>()? as f64 / TICKS_PER_SECOND)
}

/// Bytes that these processes caused to be read from disk so far.
///
/// # Errors
/// When the system does not tell.
pub fn disk_reads(pids: &[u32]) -> Result<u64> {
    let mut bytes = 0;
    for pid in pids {
        bytes += field(&read(*pid, "io")?, "read_bytes:").context("/proc/PID/io")?;
    }
    Ok(bytes)
}

/// Bytes of anonymous memory a process has now.
///
/// # Errors
/// When the system does not tell.
pub fn anonymous_bytes(pid: u32) -> Result<u64> {
    Ok(field(&read(pid, "status")?, "RssAnon:").context("RssAnon")? * 1024)
}

/// A process and its children.
///
/// # Errors
/// When the system does not tell.
pub fn family(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let mut pids = vec![pid];
    for child in text.split_whitespace() {
        pids.push(child.parse()?);
    }
    Ok(pids)
}

fn read(pid: u32, name: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{name}");
    std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Watches the anonymous memory of a process and keeps the largest value.
#[derive(Debug)]
pub struct Peak {
    largest: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

impl Peak {
    /// Begins the watch.
    #[must_use]
    pub fn watch(pid: u32) -> Self {
        let (largest, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, told) = (Arc::clone(&largest), Arc::clone(&stop));
        let watcher = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                if let Ok(bytes) = anonymous_bytes(pid) {
                    seen.fetch_max(bytes, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { largest, stop, watcher: Some(watcher) }
    }

    /// The largest value so far, in MiB; ends the watch.
    #[must_use]
    pub fn mebibytes(mut self) -> f64 {
        self.end();
        self.largest.load(Ordering::Relaxed) as f64 / f64::from(1 << 20)
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            drop(watcher.join());
        }
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.end();
    }
}
