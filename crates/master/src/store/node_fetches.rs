//! `node_fetches`: which version of which meeting a Python node fetched completely, because it cannot say so itself
//! and does not fetch again after a restart of the master.

use posthouse_protocol::ContentHash;
use posthouse_runtime::store::{Store, StoreError};
use rusqlite::{Transaction, params};

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetch {
    pub(crate) node_id: String,
    /// Meeting id in lower case.
    pub(crate) meeting_key: String,
    pub(crate) version: u64,
    pub(crate) hash: ContentHash,
}

/// All rows.
pub(crate) async fn all(store: &Store) -> Result<Vec<Fetch>, StoreError> {
    store
        .call(|connection| {
            let mut statement = connection.prepare("SELECT node_id, meeting_key, version, hash FROM node_fetches")?;
            let rows = statement.query_map([], |row| {
                let hash: String = row.get(3)?;
                let fetch = |hash| -> rusqlite::Result<Fetch> {
                    Ok(Fetch {
                        node_id: row.get(0)?,
                        meeting_key: row.get(1)?,
                        version: super::unsigned(row, 2)?,
                        hash,
                    })
                };
                hash.parse().ok().map(fetch).transpose()
            })?;
            // A hash that is none can only have been written by hand: as if it were not there.
            rows.filter_map(Result::transpose).collect()
        })
        .await
}

/// Notes fetches; of each meeting a node has one version, the last.
pub(super) fn note(transaction: &Transaction<'_>, fetches: &[Fetch], now: f64) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO node_fetches (node_id, meeting_key, version, hash, fetched_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (node_id, meeting_key) DO UPDATE SET version = ?3, hash = ?4, fetched_at = ?5",
    )?;
    for Fetch { node_id, meeting_key, version, hash } in fetches {
        statement.execute(params![node_id, meeting_key, super::signed(*version), hash.to_string(), now])?;
    }
    Ok(())
}
