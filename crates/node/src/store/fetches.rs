//! Temporary files that a later process may continue.

use std::collections::HashSet;

use posthouse_protocol::MeetingId;
use posthouse_runtime::store::{Store, StoreError};
use rusqlite::params;

use super::not_of_its_form;

/// Notes that a meeting is being received under this tag; what was noted for it before is forgotten.
pub(crate) async fn begin(store: &Store, meeting: &MeetingId, tag: &str) -> Result<(), StoreError> {
    let (key, id, tag) = (meeting.key(), meeting.to_string(), tag.to_owned());
    store
        .call(move |connection| {
            connection
                .execute(
                    "INSERT OR REPLACE INTO fetches (meeting_key, meeting_id, tag) VALUES (?1, ?2, ?3)",
                    params![key, id, tag],
                )
                .map(drop)
        })
        .await
}

/// Forgets a meeting's: it is complete, or no longer wanted.
pub(crate) async fn end(store: &Store, meeting: &MeetingId) -> Result<(), StoreError> {
    let key = meeting.key();
    store
        .call(move |connection| connection.execute("DELETE FROM fetches WHERE meeting_key = ?1", [key]).map(drop))
        .await
}

/// All that may be continued.
pub(crate) async fn all(store: &Store) -> Result<HashSet<(MeetingId, String)>, StoreError> {
    store
        .call(|connection| {
            let mut statement = connection.prepare("SELECT meeting_id, tag FROM fetches")?;
            let rows = statement.query_map([], |row| {
                let id: String = row.get(0)?;
                Ok((id.parse().map_err(|error| not_of_its_form(0, error))?, row.get(1)?))
            })?;
            rows.collect()
        })
        .await
}
