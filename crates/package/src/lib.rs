//! A meeting package as a thing on disk: build a zip, describe it (size, blocks, hashes), verify it, keep it in a
//! storage folder, read it for serving.
//!
//! Knows no HTTP, no database and no async: every function blocks unless it says otherwise, so callers put them on
//! blocking threads. No function holds a whole package, or a whole file of one, in memory.
#![warn(missing_docs)]

pub mod build;
pub mod describe;
pub mod error;
pub mod mapped;
mod positioned;
pub mod read;
pub mod store;
pub mod verify;

pub use build::{BuildRequest, SourceFile, build};
pub use describe::{BLOCK_LENGTH, describe};
pub use error::{PackageError, is_storage_full};
pub use mapped::{Mapped, map_whole};
pub use read::{PackageFile, WINDOW_LENGTH};
pub use store::{Incoming, PackageStore, StoredPackage};
pub use verify::{hash_file, verify_blocks, verify_zip};
