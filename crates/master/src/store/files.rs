//! `files`: what was uploaded.

use posthouse_protocol::ContentHash;
use posthouse_runtime::store::{Store, StoreError};
use rusqlite::{OptionalExtension as _, Transaction, params};

/// A file that lies in the folder of files under its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredFile {
    pub(crate) file_id: String,
    /// With extension, as the client named it.
    pub(crate) name: String,
    /// In lower case, without a dot.
    pub(crate) extension: String,
    pub(crate) size_bytes: u64,
    pub(crate) hash: ContentHash,
    /// Of a PDF that could be read.
    pub(crate) total_pages: Option<u32>,
}

/// Takes note of files; they belong to no agenda item yet.
pub(crate) async fn add(store: &Store, files: Vec<StoredFile>, now: f64) -> Result<(), StoreError> {
    store
        .call(move |connection| {
            super::durably(connection, |transaction| files.iter().try_for_each(|file| insert(transaction, file, now)))
        })
        .await
}

pub(crate) fn insert(transaction: &Transaction<'_>, file: &StoredFile, now: f64) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO files (file_id, name, extension, size_bytes, hash, total_pages, loose_since)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                file.file_id,
                file.name,
                file.extension,
                super::signed(file.size_bytes),
                file.hash.to_string(),
                file.total_pages,
                now
            ],
        )
        .map(drop)
}

/// One file, and whether a meeting in progress has it.
pub(crate) async fn find(store: &Store, file_id: String) -> Result<Option<(StoredFile, bool)>, StoreError> {
    store
        .call(move |connection| {
            connection
                .query_row(
                    "SELECT file_id, name, extension, size_bytes, hash, total_pages,
                     EXISTS (SELECT 1 FROM agenda_files JOIN agenda_items USING (item_id) JOIN meetings USING (meeting_key)
                             WHERE agenda_files.file_id = files.file_id AND status = 'in_progress')
                     FROM files WHERE file_id = ?1",
                    [file_id],
                    |row| {
                        let file = StoredFile {
                            file_id: row.get(0)?,
                            name: row.get(1)?,
                            extension: row.get(2)?,
                            size_bytes: super::unsigned(row, 3)?,
                            hash: super::parsed(row, 4)?,
                            total_pages: row.get(5)?,
                        };
                        Ok((file, row.get(6)?))
                    },
                )
                .optional()
        })
        .await
}

/// A file was taken from an agenda item; matters once it belongs to none.
pub(crate) fn set_loose_since(transaction: &Transaction<'_>, file_id: &str, now: f64) -> rusqlite::Result<()> {
    transaction.execute("UPDATE files SET loose_since = ?2 WHERE file_id = ?1", params![file_id, now]).map(drop)
}

/// Forgets the files that have belonged to no agenda item since before `before`, and tells their ids.
pub(crate) async fn forget_loose(store: &Store, before: f64) -> Result<Vec<String>, StoreError> {
    store
        .call(move |connection| {
            super::at_once(connection, |transaction| {
                let mut statement = transaction.prepare_cached(
                    "DELETE FROM files WHERE loose_since < ?1
                     AND NOT EXISTS (SELECT 1 FROM agenda_files WHERE agenda_files.file_id = files.file_id)
                     RETURNING file_id",
                )?;
                statement.query_map([before], |row| row.get(0))?.collect()
            })
        })
        .await
}

/// Forgets those of these files that no agenda item has, and tells their ids.
pub(crate) fn delete_unused(
    transaction: &Transaction<'_>,
    file_ids: impl Iterator<Item = String>,
) -> rusqlite::Result<Vec<String>> {
    let mut statement = transaction.prepare_cached(
        "DELETE FROM files WHERE file_id = ?1 AND NOT EXISTS (SELECT 1 FROM agenda_files WHERE agenda_files.file_id = ?1)",
    )?;
    let mut deleted = Vec::new();
    for file_id in file_ids {
        if statement.execute([&file_id])? > 0 {
            deleted.push(file_id);
        }
    }
    Ok(deleted)
}

/// All ids, to tell files on disk that nobody knows of.
pub(crate) async fn ids(store: &Store) -> Result<std::collections::HashSet<String>, StoreError> {
    store
        .call(|connection| {
            let mut statement = connection.prepare("SELECT file_id FROM files")?;
            statement.query_map([], |row| row.get(0))?.collect()
        })
        .await
}
