//! Takes files out of the page cache, also where a server has them mapped: the one module of the tests with `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::{Advice, fadvise};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Takes the file at `path` out of the page cache, where the processes `pids` may have mapped it: `fadvise` alone
/// leaves mapped pages where they are. The file must have been written to disk.
pub(crate) fn chill(path: &Path, pids: &[u32]) -> Result<()> {
    for pid in pids {
        unmap(path, *pid).with_context(|| format!("taking {} out of the memory of process {pid}", path.display()))?;
    }
    let file = File::open(path).with_context(|| path.display().to_string())?;
    fadvise(&file, 0, None, Advice::DontNeed).context("fadvise")
}

/// Asks the system to take a process's mapped pages of a file out of memory, as it does by itself when memory is short.
fn unmap(path: &Path, pid: u32) -> Result<()> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).context("maps")?;
    let name = path.to_str().context("the path is not UTF-8")?;
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).context("pid")?;
    let process = pidfd_open(process, PidfdFlags::empty()).context("pidfd_open")?;
    for range in maps.lines().filter(|line| line.ends_with(name)).filter_map(|line| line.split(' ').next()) {
        let (start, end) = range.split_once('-').context("maps: no range")?;
        let (start, end) = (usize::from_str_radix(start, 16)?, usize::from_str_radix(end, 16)?);
        let piece = libc::iovec { iov_base: start as *mut libc::c_void, iov_len: end - start };
        // SAFETY: reads one iovec; what it names is memory of the other process, whose contents MADV_PAGEOUT keeps.
        let advised = unsafe {
            libc::syscall(libc::SYS_process_madvise, process.as_raw_fd(), &raw const piece, 1, libc::MADV_PAGEOUT, 0)
        };
        ensure!(advised >= 0, "process_madvise: {}", io::Error::last_os_error());
    }
    Ok(())
}
