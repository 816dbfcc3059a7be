//! Limits that the system sets on the process.

use std::io;

/// Raises the number of files and sockets that may be open to what the system allows.
pub fn raise_open_files() -> io::Result<()> {
    #[cfg(unix)]
    rlimit::increase_nofile_limit(u64::MAX)?;
    Ok(())
}
