//! Building a package: a zip of a meeting's files and a README, the same bytes for the same files.
//!
//! Entries are compressed on several threads, each into an archive of its own that lies in memory while it is small,
//! and copied into the package in the order of their names. Memory stays at a few megabytes whatever the files are.

mod entry;
mod in_order;
mod plan;

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use posthouse_protocol::PackageDescription;
use zip::ZipWriter;

use crate::describe::describe_file;
use crate::{PackageError, positioned};

use entry::Site;
use in_order::in_order;
use plan::Plan;

/// Name of the entry that tells a reader what the package is.
const README: &str = "README.txt";
/// Bytes collected before they are written.
const WRITE_LENGTH: usize = 256 << 10;

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
    let site = Site { scratch, destination, cancelled };
    write_archive(&plan, temporary.as_file(), &site)?;
    let description = sync_and_describe(temporary.as_file()).map_err(PackageError::write(destination))?;
    site.go_on()?;
    let folder = destination.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(PackageError::write(folder))?;
    temporary.persist(destination).map_err(|error| PackageError::write(destination)(error.error))?;
    positioned::sync_directory(folder).map_err(PackageError::write(folder))?;
    Ok(description)
}

fn write_archive(plan: &Plan<'_>, file: &File, site: &Site<'_>) -> Result<(), PackageError> {
    let mut zip = ZipWriter::new(BufWriter::with_capacity(WRITE_LENGTH, file));
    in_order(plan.entries(), |entry| site.prepare(entry), |entry, prepared| site.append(&mut zip, entry, prepared))?;
    let rest = zip.finish().map_err(|error| site.write_error(site.destination, error))?;
    rest.into_inner().map_err(|error| PackageError::write(site.destination)(error.into_error())).map(drop)
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
