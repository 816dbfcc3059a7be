//! The bytes of an immutable package, for serving.
//!
//! On Linux a package is mapped once and handed out in windows of the map, which cost neither a copy nor memory of the
//! process: [`PackageFile::window_if_resident`] never waits for a disk, [`PackageFile::window`] does and belongs on a
//! blocking thread. Elsewhere, where a mapped file could not be replaced, windows are smaller and read into memory.
//!
//! A window is to be given to a system call, such as the write of a socket, and not to be looked at: when somebody
//! shortens the file by hand the call answers EFAULT, whereas looking would end the process. Windows too small to be
//! worth it are copied, so that code which gathers small writes may look at them.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

#[cfg(target_os = "linux")]
use crate::mapped::{self, Mapped};
use crate::positioned::read_up_to;

/// Greatest length in bytes of one window. What is longer costs no less for each byte, and keeps a thread from serving
/// others for longer.
pub const WINDOW_LENGTH: u64 = if cfg!(target_os = "linux") { 1 << 20 } else { READ_LENGTH };

/// Greatest length in bytes of a window that is read rather than mapped.
const READ_LENGTH: u64 = 256 << 10;

/// Windows shorter than this, in bytes, are copied even where they are mapped.
#[cfg(target_os = "linux")]
const MAPPED_LENGTH: usize = 64 << 10;

/// An open package file. Goes on reading the same bytes when the package is replaced or removed.
#[derive(Debug, Clone)]
pub struct PackageFile(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    file: File,
    length: u64,
    modified: SystemTime,
    /// Nothing when the address space has no room for it.
    #[cfg(target_os = "linux")]
    map: Option<Bytes>,
}

impl PackageFile {
    /// Opens a package that no longer changes.
    ///
    /// # Errors
    /// When it cannot be opened or is no regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self(Arc::new(Opened {
            #[cfg(target_os = "linux")]
            map: Mapped::new(&file).ok().map(Bytes::from_owner),
            length: metadata.len(),
            modified: metadata.modified()?,
            file,
        })))
    }

    /// Size in bytes when it was opened.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no package is empty")]
    pub fn len(&self) -> u64 {
        self.0.length
    }

    /// When the file was last written.
    #[must_use]
    pub fn modified(&self) -> SystemTime {
        self.0.modified
    }

    /// Whether nobody wrote to the file since it was opened, by its size and time.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.0.file.metadata().is_ok_and(|now| {
            now.len() == self.0.length && now.modified().is_ok_and(|modified| modified == self.0.modified)
        })
    }

    /// The next piece of the `length` bytes from `offset`, at most [`WINDOW_LENGTH`] of them, if it can be had without
    /// waiting for a disk. `None` says to call [`Self::window`] on a blocking thread; off Linux it is the only answer.
    #[must_use]
    pub fn window_if_resident(&self, offset: u64, length: u64) -> Option<io::Result<Bytes>> {
        #[cfg(target_os = "linux")]
        {
            let window = self.mapped(self.range(offset, length, WINDOW_LENGTH))?;
            mapped::is_resident(&window).then(|| self.copied_if_small(window, offset))
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (offset, length);
            None
        }
    }

    /// The next piece of the `length` bytes from `offset`, at most [`WINDOW_LENGTH`] of them, waiting for the disk.
    /// Empty only when `length` is 0 or `offset` the end of the file.
    ///
    /// # Errors
    /// When the disk fails or the file was shortened.
    pub fn window(&self, offset: u64, length: u64) -> io::Result<Bytes> {
        #[cfg(target_os = "linux")]
        if let Some(window) = self.mapped(self.range(offset, length, WINDOW_LENGTH)) {
            mapped::will_need(&window);
            if let Some(following) = self.mapped(self.range(offset + window.len() as u64, WINDOW_LENGTH, WINDOW_LENGTH))
            {
                mapped::will_need(&following);
            }
            match mapped::populate(&window) {
                Ok(()) => return self.copied_if_small(window, offset),
                // A kernel that does not know how. Anything else is about the file.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                Err(error) => return Err(error),
            }
        }
        self.read(self.range(offset, length, READ_LENGTH))
    }

    fn range(&self, offset: u64, length: u64, most: u64) -> Range<u64> {
        let start = offset.min(self.len());
        start..start + length.min(most).min(self.len() - start)
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        // A window of either kind fits in memory.
        let mut buffer = vec![0; (range.end - range.start) as usize];
        if read_up_to(&self.0.file, &mut buffer, range.start)? < buffer.len() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the package became shorter"));
        }
        Ok(buffer.into())
    }

    #[cfg(target_os = "linux")]
    fn mapped(&self, range: Range<u64>) -> Option<Bytes> {
        let map = self.0.map.as_ref()?;
        // The map has the length of the file, so its offsets fit.
        let (start, end) = (range.start as usize, range.end as usize);
        (end <= map.len()).then(|| map.slice(start..end))
    }

    #[cfg(target_os = "linux")]
    fn copied_if_small(&self, window: Bytes, offset: u64) -> io::Result<Bytes> {
        if window.len() >= MAPPED_LENGTH {
            return Ok(window);
        }
        self.read(self.range(offset, window.len() as u64, WINDOW_LENGTH))
    }
}
