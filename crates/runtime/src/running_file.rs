//! `running.json` in the data folder: that a process runs, and where it listens.
//!
//! `join-code` reads a master's addresses from it, and a second process on the same folder is refused by the lock that
//! is held beside it for the life of the process.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::exit::StartError;
use crate::paths::DataDir;
use crate::private_file;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// `master` or `node`.
    pub role: String,
    /// Process id.
    pub pid: u32,
    /// `host:port` at which the process can be reached, the best first.
    pub addresses: Vec<String>,
    /// Version of the program.
    pub version: String,
}

/// Held while the role runs; dropping it removes the file.
#[derive(Debug)]
pub struct RunningGuard {
    path: PathBuf,
    _lock: File,
}

impl RunningGuard {
    /// Takes the data folder for this process.
    pub fn take(data: &DataDir) -> Result<Self, StartError> {
        let lock_path = data.root().join("running.lock");
        let failed = |error| StartError::CannotWrite(lock_path.clone(), error);
        let lock =
            File::options().create(true).truncate(false).read(true).write(true).open(&lock_path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: data.running_file(), _lock: lock }),
            Err(std::fs::TryLockError::WouldBlock) => {
                let pid = read(data).ok().flatten().map_or(0, |running| running.pid);
                Err(StartError::AlreadyRunning(data.root().to_owned(), pid))
            }
            Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Says where the process listens.
    pub fn announce(&self, data: &DataDir, listening: SocketAddr) -> io::Result<()> {
        let running = Running {
            role: data.role().as_str().to_owned(),
            pid: std::process::id(),
            addresses: crate::network::reachable_addresses(listening),
            version: crate::VERSION.to_owned(),
        };
        private_file::write(&self.path, &serde_json::to_vec_pretty(&running)?)
    }
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What a running process said, if one runs. A file left by a killed process is not believed.
pub fn read(data: &DataDir) -> io::Result<Option<Running>> {
    let text = match std::fs::read(data.running_file()) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let lock = File::options().read(true).write(true).open(data.root().join("running.lock"));
    let is_held = matches!(lock.map(|file| file.try_lock()), Ok(Err(std::fs::TryLockError::WouldBlock)));
    if !is_held {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&text).ok())
}
