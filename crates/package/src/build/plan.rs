//! What a build will do, known before it begins: the sorted entries.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{BuildRequest, README};
use crate::PackageError;

/// Where the bytes of an entry come from.
pub(super) enum Source<'a> {
    Text(&'a str),
    File(&'a Path),
}

/// One entry of the package to be.
pub(super) struct Entry<'a> {
    name: &'a str,
    source: Source<'a>,
    length: u64,
}

impl<'a> Entry<'a> {
    pub(super) fn name(&self) -> &'a str {
        self.name
    }

    pub(super) fn source(&self) -> &Source<'a> {
        &self.source
    }

    /// Length in bytes before compression.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The path that errors about this entry name.
    pub(super) fn path(&self) -> PathBuf {
        match self.source {
            Source::Text(_) => PathBuf::from(self.name),
            Source::File(path) => path.to_owned(),
        }
    }
}

/// The entries of a package in the order of their names.
pub(super) struct Plan<'a> {
    entries: Vec<Entry<'a>>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(request: &'a BuildRequest) -> Result<Self, PackageError> {
        let mut entries = Vec::with_capacity(request.files.len() + 1);
        entries.push(Entry {
            name: README,
            source: Source::Text(&request.readme),
            length: request.readme.len() as u64,
        });
        let mut names = HashSet::from([README.to_lowercase()]);
        for file in &request.files {
            let refuse = |reason| PackageError::Entry { path: file.path.clone(), entry: file.entry.clone(), reason };
            check_name(&file.entry).map_err(refuse)?;
            // Without regard to case: whoever unpacks on Windows would lose one of the two.
            if !names.insert(file.entry.to_lowercase()) {
                return Err(refuse("another file has the same name"));
            }
            let metadata = fs::metadata(&file.path).map_err(PackageError::read(&file.path))?;
            if !metadata.is_file() {
                return Err(refuse("it is not a regular file"));
            }
            entries.push(Entry { name: &file.entry, source: Source::File(&file.path), length: metadata.len() });
        }
        entries.sort_by_key(|entry| entry.name);
        Ok(Self { entries })
    }

    pub(super) fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > usize::from(u16::MAX) {
        return Err("a name has 1 to 65535 bytes");
    }
    if name.contains(['\\', ':', '\0']) {
        return Err("a name contains no backslash, colon or NUL");
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("a name is relative and has no empty part, no . and no ..");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for bad in ["", "/a", "a//b", "a/", "../a", "a/../b", "a/./b", "a\\b", "C:a", "a\0b", &"x".repeat(70_000)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "agenda_1/x.pdf", "议程/文件.pdf", "a..b", ".a"] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
    }
}
