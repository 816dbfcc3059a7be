//! Signals to a process of ours. Windows has none: there a process can only be killed.

use anyhow::Result;

#[cfg(unix)]
mod unix {
    use anyhow::{Context, Result};
    use rustix::process::{Pid, Signal, kill_process};

    pub(super) fn send(pid: u32, signal: Signal) -> Result<()> {
        let raw = i32::try_from(pid).context("process id")?;
        let pid = Pid::from_raw(raw).context("process id 0")?;
        kill_process(pid, signal).with_context(|| format!("sending {signal:?} to {raw}"))
    }
}

#[cfg(unix)]
pub(super) fn terminate(pid: u32) -> Result<()> {
    unix::send(pid, rustix::process::Signal::TERM)
}

#[cfg(unix)]
pub(super) fn interrupt(pid: u32) -> Result<()> {
    unix::send(pid, rustix::process::Signal::INT)
}

#[cfg(unix)]
pub(super) fn stop(pid: u32) -> Result<()> {
    unix::send(pid, rustix::process::Signal::STOP)
}

#[cfg(unix)]
pub(super) fn resume(pid: u32) -> Result<()> {
    unix::send(pid, rustix::process::Signal::CONT)
}

#[cfg(windows)]
pub(super) fn terminate(pid: u32) -> Result<()> {
    let status = std::process::Command::new("taskkill").args(["/F", "/PID", &pid.to_string()]).status()?;
    anyhow::ensure!(status.success(), "taskkill of {pid}: {status}");
    Ok(())
}

#[cfg(windows)]
pub(super) fn interrupt(pid: u32) -> Result<()> {
    terminate(pid)
}

#[cfg(windows)]
pub(super) fn stop(_pid: u32) -> Result<()> {
    anyhow::bail!("Windows cannot freeze a process")
}

#[cfg(windows)]
pub(super) fn resume(_pid: u32) -> Result<()> {
    anyhow::bail!("Windows cannot freeze a process")
}
