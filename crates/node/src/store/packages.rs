//! The packages in the storage folder: what each one is, and the state of its file when it was last found right.

use posthouse_protocol::{ContentHash, MeetingId};
use posthouse_runtime::store::{Store, StoreError};
use rusqlite::{Row, params};

use super::not_of_its_form;
use crate::shelf::{Stamp, Standing};

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PackageRow {
    pub(crate) meeting: MeetingId,
    pub(crate) title: String,
    pub(crate) version: u64,
    pub(crate) hash: ContentHash,
    pub(crate) stamp: Stamp,
    pub(crate) verified_at: f64,
    pub(crate) synced_at: f64,
    pub(crate) last_served: f64,
    pub(crate) downloads: u64,
    pub(crate) standing: Standing,
    pub(crate) change_token: Option<String>,
}

/// How often and when last a package was downloaded.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) meeting: MeetingId,
    pub(crate) last_served: f64,
    pub(crate) downloads: u64,
}

/// Notes what is on the shelf, in place of what was there for the meeting.
pub(crate) async fn put(store: &Store, row: PackageRow) -> Result<(), StoreError> {
    store
        .call(move |connection| {
            connection
                .execute(
                    "INSERT OR REPLACE INTO packages (meeting_key, meeting_id, title, version, hash, size_bytes, \
                     modified_ns, changed_ns, verified_at, synced_at, last_served, downloads, standing, change_token) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
                    params![
                        row.meeting.key(),
                        row.meeting.as_str(),
                        row.title,
                        row.version as i64,
                        row.hash.to_string(),
                        row.stamp.size_bytes as i64,
                        row.stamp.modified_ns,
                        row.stamp.changed_ns,
                        row.verified_at,
                        row.synced_at,
                        row.last_served,
                        row.downloads as i64,
                        row.standing.as_str(),
                        row.change_token,
                    ],
                )
                .map(drop)
        })
        .await
}

/// Forgets a package that is gone.
pub(crate) async fn forget(store: &Store, meeting: &MeetingId) -> Result<(), StoreError> {
    let key = meeting.key();
    store
        .call(move |connection| connection.execute("DELETE FROM packages WHERE meeting_key = ?1", [key]).map(drop))
        .await
}

/// All packages.
pub(crate) async fn all(store: &Store) -> Result<Vec<PackageRow>, StoreError> {
    store
        .call(|connection| {
            let mut select = connection.prepare(
                "SELECT meeting_id, title, version, hash, size_bytes, modified_ns, changed_ns, verified_at, synced_at, \
                 last_served, downloads, standing, change_token FROM packages ORDER BY meeting_key",
            )?;
            // A row that is not of its form is as good as none: its file will be looked at anew.
            let rows = select.query_map([], row_of)?;
            Ok(rows
                .filter_map(|row| row.inspect_err(|error| tracing::warn!(%error, "a row is ignored")).ok())
                .collect())
        })
        .await
}

/// Notes downloads since the last time.
pub(crate) async fn note_served(store: &Store, served: Vec<Served>) -> Result<(), StoreError> {
    store
        .call(move |connection| {
            let transaction = connection.transaction()?;
            for Served { meeting, last_served, downloads } in &served {
                transaction.execute(
                    "UPDATE packages SET last_served = ?2, downloads = ?3 WHERE meeting_key = ?1",
                    params![meeting.key(), last_served, *downloads as i64],
                )?;
            }
            transaction.commit()
        })
        .await
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<PackageRow> {
    let unsigned = |column: usize| row.get::<_, i64>(column).map(i64::unsigned_abs);
    let (id, hash, standing): (String, String, String) = (row.get(0)?, row.get(3)?, row.get(11)?);
    Ok(PackageRow {
        meeting: id.parse().map_err(|error| not_of_its_form(0, error))?,
        title: row.get(1)?,
        version: unsigned(2)?,
        hash: hash.parse().map_err(|error| not_of_its_form(3, error))?,
        stamp: Stamp { size_bytes: unsigned(4)?, modified_ns: row.get(5)?, changed_ns: row.get(6)? },
        verified_at: row.get(7)?,
        synced_at: row.get(8)?,
        last_served: row.get(9)?,
        downloads: unsigned(10)?,
        standing: Standing::from_text(&standing),
        change_token: row.get(12)?,
    })
}
