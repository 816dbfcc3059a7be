//! `events`: what happened. Ids have no gaps, also after a crash: each is the greatest one plus one, given in the
//! transaction that inserts. Only from the old end events are ever removed.

use posthouse_protocol::event::{Event, EventKind};
use posthouse_runtime::store::{Store, StoreError};
use rusqlite::{Connection, params};

use super::unsigned;

/// An event to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewEvent {
    pub(crate) time: f64,
    pub(crate) kind: EventKind,
    pub(crate) meeting_id: Option<String>,
    pub(crate) node_id: Option<String>,
    pub(crate) reason: String,
}

/// Writes events in this order; the id of the last one.
pub(crate) async fn append(store: &Store, events: Vec<NewEvent>) -> Result<u64, StoreError> {
    store.call(move |connection| insert(connection, &events)).await
}

/// The same for a process beside the running master, whose streams look for it.
pub(crate) fn append_blocking(store: &Store, event: NewEvent) -> Result<u64, StoreError> {
    store.call_blocking(move |connection| insert(connection, &[event]))
}

fn insert(connection: &mut Connection, events: &[NewEvent]) -> rusqlite::Result<u64> {
    super::at_once(connection, |transaction| {
        let mut id = newest(transaction)?;
        let mut statement = transaction.prepare_cached(
            "INSERT INTO events (id, time, kind, meeting_id, node_id, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for event in events {
            id += 1;
            let kind = kind_text(event.kind)?;
            statement.execute(params![id, event.time, kind, event.meeting_id, event.node_id, event.reason])?;
        }
        Ok(id.unsigned_abs())
    })
}

/// Up to `limit` events with an id above `after`, and the id of the newest there is.
pub(crate) async fn after(store: &Store, after: u64, limit: u32) -> Result<(Vec<Event>, u64), StoreError> {
    store
        .call(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, time, kind, meeting_id, node_id, reason FROM events WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let rows = statement.query_map(params![i64::try_from(after).unwrap_or(i64::MAX), limit], |row| {
                Ok(Event {
                    id: unsigned(row, 0)?,
                    time: row.get(1)?,
                    kind: kind_of(2, row.get(2)?)?,
                    meeting_id: row.get(3)?,
                    node_id: row.get(4)?,
                    reason: row.get(5)?,
                })
            })?;
            Ok((rows.collect::<rusqlite::Result<_>>()?, newest(connection)?.unsigned_abs()))
        })
        .await
}

/// Removes all but the newest `keep`.
pub(crate) async fn thin(store: &Store, keep: u32) -> Result<(), StoreError> {
    store
        .call(move |connection| {
            connection.execute("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?1", [keep]).map(drop)
        })
        .await
}

fn newest(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(id), 0) FROM events", [], |row| row.get(0))
}

/// The kind as it stands on the wire, `meeting_created`.
fn kind_text(kind: EventKind) -> rusqlite::Result<String> {
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        Ok(_) => Err(rusqlite::Error::ToSqlConversionFailure("the kind of an event is a text".into())),
        Err(error) => Err(rusqlite::Error::ToSqlConversionFailure(error.into())),
    }
}

fn kind_of(column: usize, text: String) -> rusqlite::Result<EventKind> {
    serde_json::from_value(serde_json::Value::String(text))
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into()))
}
