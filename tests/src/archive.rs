//! What is in a package.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use anyhow::{Context, Result};

/// Every entry with its bytes, their checksums verified.
///
/// # Errors
/// When the package is no sound zip.
pub fn entries(package: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(package)).context("no zip")?;
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let name = entry.name()?.to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).with_context(|| name.clone())?;
        entries.insert(name, bytes);
    }
    Ok(entries)
}
