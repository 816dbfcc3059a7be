//! The program as a process: started, watched, stopped, killed.
//!
//! A [`Process`] that goes out of scope is stopped as an operator stops it, and the test fails when it does not end
//! cleanly and in time: nothing may outlive a test.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::program;
use crate::wait::{PATIENCE, wait_until};

mod output;
mod signal;

use output::Output;

/// What an operator may expect at most between SIGTERM and the end.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A process to be.
#[derive(Debug)]
pub struct Launch {
    name: String,
    data: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    own_group: bool,
    quiet: bool,
    wrapper: Vec<OsString>,
}

/// Contents of `running.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Running {
    /// `master` or `node`.
    pub role: String,
    /// Process id.
    pub pid: u32,
    /// `host:port` at which it can be reached.
    pub addresses: Vec<String>,
}

/// What a process that ended by itself left behind.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// All it wrote to standard output.
    pub stdout: String,
    /// All it wrote to standard error.
    pub stderr: String,
}

impl Launch {
    /// `posthouse <role> --data <data>`; `role` as on the command line, `--master` or `--node`.
    #[must_use]
    pub fn role(role: &str, data: &Path) -> Self {
        Self::bare(role.trim_start_matches('-')).arg(role).arg("--data").arg(data).in_folder(data)
    }

    /// `posthouse` without any argument.
    #[must_use]
    pub fn bare(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            data: PathBuf::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            own_group: false,
            quiet: false,
            wrapper: Vec::new(),
        }
    }

    fn in_folder(mut self, data: &Path) -> Self {
        self.data = data.to_owned();
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Runs it under another command, such as `faketime -f +2h`.
    #[must_use]
    pub fn under<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, command: I) -> Self {
        self.wrapper = command.into_iter().map(|part| part.as_ref().to_owned()).collect();
        self
    }

    /// Keeps Ctrl-C in the terminal from it, for a caller that stops it itself, and does not print what it wrote.
    #[must_use]
    pub fn tended(mut self) -> Self {
        self.own_group = true;
        self.quiet = true;
        self
    }

    fn command(&self) -> Result<Command> {
        let program = program::path()?;
        let mut command = match self.wrapper.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A language and a log filter of the machine must not change what tests see.
        command.env_remove("RUST_LOG").env("LC_ALL", "C.UTF-8").env_remove("POSTHOUSE_ADMIN_PASSWORD");
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        #[cfg(unix)]
        if self.own_group {
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        }
        Ok(command)
    }

    /// Starts it, and waits for nothing.
    ///
    /// # Errors
    /// When there is no program, or it cannot be started.
    pub fn spawn(self) -> Result<Process> {
        let mut child = self.command()?.spawn().with_context(|| format!("starting {:?}", self.arguments))?;
        let output = Output::capture(&mut child);
        Ok(Process { child, output, name: self.name, data: self.data, ended: None, quiet: self.quiet })
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// When it ends instead, or does not listen in time.
    pub async fn start(self) -> Result<Process> {
        let mut process = self.spawn()?;
        process.wait_until_listening().await?;
        Ok(process)
    }

    /// Runs it until it ends by itself.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub async fn run_to_end(self, limit: Duration) -> Result<Ended> {
        let mut process = self.spawn()?;
        let status = process.wait_for_end(limit).await?;
        Ok(Ended { code: status.code(), stdout: process.output.stdout(), stderr: process.output.stderr() })
    }
}

/// A running process of the program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: Output,
    name: String,
    data: PathBuf,
    ended: Option<ExitStatus>,
    quiet: bool,
}

impl Process {
    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its process id. (Under a wrapper: the wrapper's; see [`Process::running`].)
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it wrote so far, to both streams.
    #[must_use]
    pub fn log(&self) -> String {
        self.output.everything()
    }

    /// Contents of its `running.json`.
    ///
    /// # Errors
    /// When there is none, or it is another's.
    pub fn running(&self) -> Result<Running> {
        read_running(&self.data)
    }

    async fn wait_until_listening(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.poll_end()? {
                bail!("{} ended with {status} instead of listening:\n{}", self.name, self.output.everything());
            }
            let seen = match self.running() {
                Ok(running) if running.pid == self.pid() || self.wrapper_of(running.pid) => return Ok(()),
                Ok(running) => format!("running.json is of process {}", running.pid),
                Err(error) => format!("{error:#}"),
            };
            if begun.elapsed() > PATIENCE {
                bail!("{} does not listen within {PATIENCE:?} ({seen}):\n{}", self.name, self.output.everything());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether `pid` is a child of this process, as under a wrapper that does not replace itself.
    fn wrapper_of(&self, pid: u32) -> bool {
        let parent = std::fs::read_to_string(format!("/proc/{pid}/status")).ok().and_then(|status| {
            status.lines().find_map(|line| line.strip_prefix("PPid:").and_then(|id| id.trim().parse::<u32>().ok()))
        });
        parent == Some(self.pid())
    }

    fn poll_end(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().context("asking for the end of a process")?;
        }
        Ok(self.ended)
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.poll_end()?.is_some())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub async fn wait_for_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.poll_end()? {
                self.output.finish();
                return Ok(status);
            }
            ensure!(begun.elapsed() < limit, "{} still runs after {limit:?}:\n{}", self.name, self.output.everything());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks it to end, as `systemctl stop` does, and waits no longer than is promised.
    ///
    /// # Errors
    /// When it takes longer, ends with another code than 0, or leaves `running.json` behind.
    pub async fn stop(&mut self) -> Result<()> {
        if self.poll_end()?.is_none() {
            signal::terminate(self.pid())?;
        }
        let status = self.wait_for_end(STOP_LIMIT).await?;
        self.check_clean(status)
    }

    fn check_clean(&self, status: ExitStatus) -> Result<()> {
        ensure!(status.code() == Some(0), "{} ended with {status}:\n{}", self.name, self.output.everything());
        let left = self.data.join("running.json");
        ensure!(!left.exists(), "{} ended and left {}", self.name, left.display());
        Ok(())
    }

    /// Sends the signal of Ctrl-C.
    ///
    /// # Errors
    /// When it is gone.
    pub fn interrupt(&self) -> Result<()> {
        signal::interrupt(self.pid())
    }

    /// `kill -9`, and waits until the system has taken it away.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(status) = self.poll_end()? {
            bail!("{} was to be killed, but had ended with {status}:\n{}", self.name, self.output.everything());
        }
        self.child.kill().context("killing")?;
        self.ended = Some(self.child.wait().context("waiting for a killed process")?);
        self.output.finish();
        Ok(())
    }

    /// Freezes it: its connections stay open, and nothing answers any more.
    ///
    /// # Errors
    /// When it is gone.
    pub fn freeze(&self) -> Result<()> {
        signal::stop(self.pid())
    }

    /// Lets a frozen process go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn thaw(&self) -> Result<()> {
        signal::resume(self.pid())
    }

    /// Waits until a line of its output contains `text`.
    ///
    /// # Errors
    /// When none does within `limit`.
    pub async fn wait_for_log(&self, text: &str, limit: Duration) -> Result<()> {
        wait_until(&format!("{} logs {text:?}", self.name), limit, || async {
            if self.output.everything().contains(text) { Ok(()) } else { Err("it does not") }
        })
        .await
    }

    fn end_in_drop(&mut self) -> Result<()> {
        if self.poll_end()?.is_some() {
            return Ok(());
        }
        // Frozen or not.
        drop(signal::resume(self.pid()));
        signal::terminate(self.pid())?;
        let begun = Instant::now();
        while begun.elapsed() < STOP_LIMIT {
            if let Some(status) = self.poll_end()? {
                self.output.finish();
                return self.check_clean(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("{} did not end within {STOP_LIMIT:?} of SIGTERM", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let outcome = if std::thread::panicking() { Ok(()) } else { self.end_in_drop() };
        if self.ended.is_none() {
            drop(self.child.kill());
            drop(self.child.wait());
            self.output.finish();
        }
        if !self.quiet {
            // Test runners show this for failed tests alone.
            eprintln!("--- {} ({}) wrote:\n{}", self.name, self.data.display(), self.output.tail());
        }
        if let Err(error) = outcome {
            assert!(std::thread::panicking(), "{error:#}");
        }
    }
}

/// Contents of a data folder's `running.json`.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn read_running(data: &Path) -> Result<Running> {
    let path = data.join("running.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let running: Running = serde_json::from_str(&text).with_context(|| format!("in {}: {text:?}", path.display()))?;
    ensure!(!running.addresses.is_empty(), "{} names no address", path.display());
    Ok(running)
}
