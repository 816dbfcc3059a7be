//! Building a package: a zip of a meeting's files and a README, the same bytes for the same files.
//!
//! Files are cut into pieces that are compressed on several threads and appended in order, so one large file keeps all
//! threads as busy as many small ones, memory stays at a few pieces, and nothing but the package is written. No zip
//! library appends an entry that was compressed elsewhere without having it whole in memory, which is why the
//! container is written by [`archive`] here. Reading and checking zips is left to the `zip` crate.

mod archive;
mod assembly;
mod pack;
mod plan;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use posthouse_protocol::PackageDescription;

use crate::describe::describe_file;
use crate::{PackageError, positioned};

use archive::Archive;
use assembly::Assembly;
use plan::Plan;

/// Name of the entry that tells a reader what the package is.
const README: &str = "README.txt";

/// A file that goes into a package. It must not change while a build runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Name of the zip entry, parts separated by `/`: relative, without `.` and `..`.
    pub entry: String,
    /// Where the bytes are.
    pub path: PathBuf,
}

/// What goes into a package. The order of the files does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRequest {
    /// Content of the entry `README.txt`.
    pub readme: String,
    /// All other entries.
    pub files: Vec<SourceFile>,
}

/// Builds a package at `destination` by way of a temporary file in `scratch`, a folder on the same volume, and
/// describes it. The package appears by a rename after it was synced to disk; the folder of `destination` is created
/// when it is missing.
///
/// Deterministic: entries are sorted by name, times and permissions are fixed, and an entry is stored rather than
/// deflated when deflating its first MiB saves less than a tenth.
///
/// # Errors
/// A file that cannot be read or became shorter, a name that cannot stand in a zip, a failed write, or `cancelled`
/// having become true. Nothing is left behind then.
pub fn build(
    request: &BuildRequest,
    scratch: &Path,
    destination: &Path,
    cancelled: &AtomicBool,
) -> Result<PackageDescription, PackageError> {
    let plan = Plan::new(request)?;
    let temporary = tempfile::Builder::new()
        .prefix("package-")
        .suffix(".part")
        .tempfile_in(scratch)
        .map_err(PackageError::write(scratch))?;
    write_archive(&plan, temporary.as_file(), destination, cancelled)?;
    let description = sync_and_describe(temporary.as_file()).map_err(PackageError::write(destination))?;
    if cancelled.load(Ordering::Relaxed) {
        return Err(PackageError::Cancelled { path: destination.to_owned() });
    }
    let folder = destination.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(PackageError::write(folder))?;
    temporary.persist(destination).map_err(|error| PackageError::write(destination)(error.error))?;
    positioned::sync_directory(folder).map_err(PackageError::write(folder))?;
    Ok(description)
}

fn write_archive(plan: &Plan<'_>, file: &File, destination: &Path, cancelled: &AtomicBool) -> Result<(), PackageError> {
    let write_error = |cause| PackageError::Write { path: destination.to_owned(), cause };
    let mut archive = Archive::new(file);
    Assembly::run(plan, |assembly| {
        for (index, entry) in plan.entries().iter().enumerate() {
            // Every entry has a first piece, an empty one when it is empty, because that decides the method.
            for number in 0..entry.pieces() {
                let piece = assembly.next()?;
                if cancelled.load(Ordering::Relaxed) {
                    return Err(PackageError::Cancelled { path: destination.to_owned() });
                }
                if number == 0 {
                    archive.begin(entry.name(), assembly.method(index), entry.length()).map_err(write_error)?;
                }
                archive.append(&piece.bytes, &piece.crc).map_err(write_error)?;
                assembly.reuse(piece.bytes);
            }
            archive.end().map_err(write_error)?;
        }
        archive.finish().map_err(write_error)
    })
}

/// Writing back to disk and hashing what is still in memory go on at the same time.
fn sync_and_describe(file: &File) -> io::Result<PackageDescription> {
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| file.sync_all());
        let description = describe_file(file)?;
        syncing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(description)
    })
}
