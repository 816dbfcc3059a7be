//! Files mapped into memory: the one module of the program that contains `unsafe`.
//!
//! # Safety
//! A map is sound as long as nobody writes to or shortens the file. That holds for the files this crate maps: packages
//! in a store and files of a master are complete before they get their name, are never opened for writing again, and
//! are replaced by renaming another file over them, which leaves the mapped one as it is. Windows enforces this: a mapped
//! file can be neither shortened nor replaced.
//!
//! Somebody else with write access can still shorten such a file by hand. Reading a missing page in user code then ends
//! the process (SIGBUS); system calls answer EFAULT. Serving therefore hands mapped bytes to system calls alone (see
//! [`crate::read`]); only [`map_whole`] gives them to user code, for the master's own files.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// A whole file as bytes, read by the system when they are touched; takes no anonymous memory.
#[derive(Debug)]
pub struct Mapped(Mmap);

/// Maps the file at `path`, for code that needs all of a file at once. The file must be one of the program's own that
/// never change in place: when somebody shortens it, touching the missing part ends the process.
///
/// # Errors
/// When the file cannot be opened or mapped.
pub fn map_whole(path: &Path) -> io::Result<Mapped> {
    Mapped::new(&File::open(path)?)
}

impl Mapped {
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: see the head of this module.
        unsafe { Mmap::map(file) }.map(Self)
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{is_resident, populate, will_need};

/// What Linux can say about, and do to, the pages of a map without touching them.
#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::sync::LazyLock;

    /// Pages asked about in one system call: 4 MiB and one page more, because windows need not begin on a page.
    const PAGES_AT_ONCE: usize = 1025;

    static PAGE_SIZE: LazyLock<usize> = LazyLock::new(|| {
        // SAFETY: takes and returns numbers.
        usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
    });

    /// The whole pages that a slice lies on, as first address and length.
    fn pages(bytes: &[u8]) -> (usize, usize) {
        let address = bytes.as_ptr().addr();
        let start = address - address % *PAGE_SIZE;
        (start, address + bytes.len() - start)
    }

    /// Whether all pages of a slice of a map are in memory, so that no reader of them waits for a disk. Pages beyond
    /// the end of a file that was shortened are not.
    pub(crate) fn is_resident(bytes: &[u8]) -> bool {
        let (mut start, mut length) = pages(bytes);
        let mut states = [0_u8; PAGES_AT_ONCE];
        while length > 0 {
            let part = length.min(PAGES_AT_ONCE * *PAGE_SIZE);
            let count = part.div_ceil(*PAGE_SIZE);
            // SAFETY: mincore reads no memory of the range and writes `count` bytes, one a page, to `states`.
            let answer = unsafe { libc::mincore(start as *mut libc::c_void, part, states.as_mut_ptr()) };
            if answer != 0 || states[..count].iter().any(|state| state & 1 == 0) {
                return false;
            }
            start += part;
            length -= part;
        }
        true
    }

    /// Brings all pages of a slice of a map into memory and into the page table, waiting for the disk.
    ///
    /// # Errors
    /// EFAULT when the file was shortened or its volume cannot be read, EINVAL on kernels before 5.14; never a signal.
    pub(crate) fn populate(bytes: &[u8]) -> io::Result<()> {
        advise(bytes, libc::MADV_POPULATE_READ)
    }

    /// Starts reading the pages of a slice of a map.
    pub(crate) fn will_need(bytes: &[u8]) {
        // Only a hint: reading finds out what is wrong.
        let _ = advise(bytes, libc::MADV_WILLNEED);
    }

    fn advise(bytes: &[u8], advice: libc::c_int) -> io::Result<()> {
        let (start, length) = pages(bytes);
        // SAFETY: the range is mapped, since the slice borrows it, and neither advice used here changes contents.
        match unsafe { libc::madvise(start as *mut libc::c_void, length, advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_is_bytes_even_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for content in [b"".to_vec(), b"x".to_vec(), vec![7; 100_000]] {
            std::fs::write(&path, &content).unwrap();
            assert_eq!(map_whole(&path).unwrap().as_ref(), content);
        }
        assert!(map_whole(&folder.path().join("absent")).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn pages_can_be_asked_about_and_brought_in_at_any_offset() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 << 20).unwrap();
        let mapped = Mapped::new(&file).unwrap();
        for range in [0..1, 4095..4097, 5000..5000, 100_001..9 << 20] {
            let window = &mapped.as_ref()[range];
            will_need(window);
            populate(window).unwrap();
            assert!(is_resident(window));
        }
        file.set_len(1 << 20).unwrap();
        assert!(is_resident(&mapped.as_ref()[..4096]));
        let missing = &mapped.as_ref()[2 << 20..3 << 20];
        assert!(!is_resident(missing));
        assert_eq!(populate(missing).unwrap_err().raw_os_error(), Some(libc::EFAULT));
    }
}
