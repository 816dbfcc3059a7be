//! The node's own events; ids count from 1 without gaps.

use posthouse_protocol::event::{Event, EventKind};
use posthouse_runtime::store::{Store, StoreError};
use rusqlite::{Connection, Row, params};

use super::not_of_its_form;

/// So many of the newest events are kept.
const KEPT: u64 = 10_000;

/// An event before it has an id.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    pub(crate) time: f64,
    pub(crate) kind: EventKind,
    pub(crate) meeting_id: Option<String>,
    pub(crate) node_id: String,
    pub(crate) reason: String,
}

/// Adds events in their order and gives the id of the last.
pub(crate) async fn append(store: &Store, events: Vec<NewEvent>) -> Result<u64, StoreError> {
    store
        .call(move |connection| {
            let transaction = connection.transaction()?;
            let mut id = newest_id(&transaction)?;
            {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO events (id, time, kind, meeting_id, node_id, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?;
                for event in &events {
                    id += 1;
                    let NewEvent { time, kind, meeting_id, node_id, reason } = event;
                    insert.execute(params![id as i64, time, name_of(*kind)?, meeting_id, node_id, reason])?;
                }
            }
            transaction.execute("DELETE FROM events WHERE id <= ?1", [id.saturating_sub(KEPT) as i64])?;
            transaction.commit()?;
            Ok(id)
        })
        .await
}

/// At most `limit` events after the id, oldest first, and the id of the newest there is.
pub(crate) async fn after(store: &Store, after: u64, limit: u32) -> Result<(Vec<Event>, u64), StoreError> {
    store
        .call(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT id, time, kind, meeting_id, node_id, reason FROM events WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            let events = select.query_map(params![after, limit], event_of)?.collect::<rusqlite::Result<_>>()?;
            Ok((events, newest_id(connection)?))
        })
        .await
}

/// Id of the newest event, 0 when there is none.
pub(crate) async fn last_id(store: &Store) -> Result<u64, StoreError> {
    store.call(|connection| newest_id(connection)).await
}

fn newest_id(connection: &Connection) -> rusqlite::Result<u64> {
    let id: i64 = connection.query_row("SELECT coalesce(max(id), 0) FROM events", [], |row| row.get(0))?;
    Ok(id.unsigned_abs())
}

fn event_of(row: &Row<'_>) -> rusqlite::Result<Event> {
    let kind: String = row.get(2)?;
    Ok(Event {
        id: row.get::<_, i64>(0)?.unsigned_abs(),
        time: row.get(1)?,
        kind: serde_json::from_value(kind.into()).map_err(|error| not_of_its_form(2, error))?,
        meeting_id: row.get(3)?,
        node_id: row.get(4)?,
        reason: row.get(5)?,
    })
}

/// The kind as it stands on the wire.
fn name_of(kind: EventKind) -> rusqlite::Result<String> {
    serde_json::to_value(kind)
        .and_then(serde_json::from_value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
