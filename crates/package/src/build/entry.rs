//! One entry of a package: whether it is worth deflating, its compression on any thread, its place in the package.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::SpooledTempFile;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter};

use super::plan::{Entry, Source};
use crate::PackageError;

/// So much of an entry is deflated to see whether that is worth it. Part of what makes packages deterministic.
const TRIAL_LENGTH: u64 = 1 << 20;
/// Info-ZIP's default: the packages of the older program were made with it.
const LEVEL: i64 = 6;
/// Compressed entries that wait for their turn are in memory up to this many bytes, then in a file.
const SPOOLED_IN_MEMORY: usize = 256 << 10;
/// Bytes copied at once.
const COPY_LENGTH: u64 = 128 << 10;
/// Entries from this length on, in bytes, get zip64 sizes: deflated, they could exceed 32 bits after all.
const ZIP64_LENGTH: u64 = 0xfff0_0000;

/// An entry ready to be appended.
pub(super) enum Prepared {
    /// To be stored as it is.
    Stored,
    /// Deflated, in an archive of its own.
    Deflated(ZipArchive<SpooledTempFile>),
}

/// Where a build works, and whether it still should.
pub(super) struct Site<'a> {
    /// Folder for temporary files.
    pub(super) scratch: &'a Path,
    /// Where the package will be, for messages.
    pub(super) destination: &'a Path,
    pub(super) cancelled: &'a AtomicBool,
}

impl Site<'_> {
    /// Decides how an entry stands in the package, and deflates it when it is to be.
    pub(super) fn prepare(&self, entry: &Entry<'_>) -> Result<Prepared, PackageError> {
        let trial_length = entry.length().min(TRIAL_LENGTH);
        let mut trial = self.deflate(entry, trial_length)?;
        let compressed =
            trial.by_index_raw(0).map_err(|error| self.write_error(self.scratch, error))?.compressed_size();
        // At least a tenth saved.
        if trial_length == 0 || compressed * 10 > trial_length * 9 {
            return Ok(Prepared::Stored);
        }
        Ok(Prepared::Deflated(if trial_length == entry.length() {
            trial
        } else {
            self.deflate(entry, entry.length())?
        }))
    }

    /// Appends a prepared entry.
    pub(super) fn append(
        &self,
        zip: &mut ZipWriter<BufWriter<&File>>,
        entry: &Entry<'_>,
        prepared: Prepared,
    ) -> Result<(), PackageError> {
        let write_error = |error| self.write_error(self.destination, error);
        match prepared {
            Prepared::Stored => {
                zip.start_file(entry.name(), options(CompressionMethod::Stored, entry.length()))
                    .map_err(write_error)?;
                self.copy(entry, entry.length(), zip, self.destination)
            }
            Prepared::Deflated(mut archive) => {
                self.go_on()?;
                let only = archive.by_index_raw(0).map_err(write_error)?;
                zip.raw_copy_file(only).map_err(write_error)
            }
        }
    }

    pub(super) fn go_on(&self) -> Result<(), PackageError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(PackageError::Cancelled { path: self.destination.to_owned() });
        }
        Ok(())
    }

    pub(super) fn write_error(&self, path: &Path, error: ZipError) -> PackageError {
        PackageError::Write { path: path.to_owned(), cause: error.into() }
    }

    /// An archive of the first `length` bytes of an entry, deflated.
    fn deflate(&self, entry: &Entry<'_>, length: u64) -> Result<ZipArchive<SpooledTempFile>, PackageError> {
        let write_error = |error| self.write_error(self.scratch, error);
        let mut zip = ZipWriter::new(tempfile::spooled_tempfile_in(SPOOLED_IN_MEMORY, self.scratch));
        zip.start_file(entry.name(), options(CompressionMethod::Deflated, length)).map_err(write_error)?;
        self.copy(entry, length, &mut zip, self.scratch)?;
        zip.finish_into_readable().map_err(write_error)
    }

    /// Copies the first `length` bytes of an entry; `path` is where they go, for messages.
    fn copy(
        &self,
        entry: &Entry<'_>,
        length: u64,
        sink: &mut ZipWriter<impl Write + Seek>,
        path: &Path,
    ) -> Result<(), PackageError> {
        let mut source: Box<dyn Read> = match entry.source() {
            Source::Text(text) => Box::new(text.as_bytes()),
            Source::File(path) => Box::new(File::open(path).map_err(PackageError::read(path))?),
        };
        let mut buffer = vec![0; length.min(COPY_LENGTH) as usize];
        let mut left = length;
        while left > 0 {
            self.go_on()?;
            let wanted = left.min(buffer.len() as u64) as usize;
            let count = source.read(&mut buffer[..wanted]).map_err(PackageError::read(&entry.path()))?;
            if count == 0 {
                return Err(PackageError::Changed { path: entry.path() });
            }
            sink.write_all(&buffer[..count]).map_err(PackageError::write(path))?;
            left -= count as u64;
        }
        Ok(())
    }
}

/// The same on every day, machine and system.
fn options(method: CompressionMethod, length: u64) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(method)
        .compression_level((method == CompressionMethod::Deflated).then_some(LEVEL))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644)
        .system(System::Unix)
        .large_file(length >= ZIP64_LENGTH)
}
