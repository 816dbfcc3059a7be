//! `node_history`: averages of what nodes reported, a minute or a quarter of an hour a row.

use posthouse_protocol::node::HistoryPoint;
use posthouse_runtime::store::{Store, StoreError};
use rusqlite::{Row, Transaction, params};

/// Averages of one node over one step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) node_id: String,
    /// Length in seconds.
    pub(crate) step_seconds: i64,
    /// How many heartbeats they stand for.
    pub(crate) samples: u32,
    pub(crate) point: HistoryPoint,
}

/// Notes steps. One that is there already (the master was restarted within it) is averaged with the new one, each by
/// the heartbeats it stands for.
pub(super) fn note(transaction: &Transaction<'_>, steps: &[Step]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO node_history VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (node_id, step, time) DO UPDATE SET
             samples = samples + ?4,
             processor_percent = (processor_percent * samples + ?5 * ?4) / (samples + ?4),
             memory_used_bytes = (memory_used_bytes * samples + ?6 * ?4) / (samples + ?4),
             storage_used_bytes = (storage_used_bytes * samples + ?7 * ?4) / (samples + ?4),
             sent_bytes_per_second = (sent_bytes_per_second * samples + ?8 * ?4) / (samples + ?4),
             downloads_per_second = (downloads_per_second * samples + ?9 * ?4) / (samples + ?4)",
    )?;
    for Step { node_id, step_seconds, samples, point } in steps {
        statement.execute(params![
            node_id,
            step_seconds,
            point.time,
            samples,
            f64::from(point.processor_percent),
            point.memory_used_bytes as f64,
            point.storage_used_bytes as f64,
            point.sent_bytes_per_second,
            point.downloads_per_second,
        ])?;
    }
    Ok(())
}

/// The steps of this length of a node, oldest first.
pub(crate) async fn of_node(store: &Store, id: &str, step_seconds: i64) -> Result<Vec<HistoryPoint>, StoreError> {
    let id = id.to_owned();
    store
        .call(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT time, processor_percent, memory_used_bytes, storage_used_bytes, sent_bytes_per_second,
                        downloads_per_second
                 FROM node_history WHERE node_id = ?1 AND step = ?2 ORDER BY time",
            )?;
            statement.query_map(params![id, step_seconds], read)?.collect()
        })
        .await
}

fn read(row: &Row<'_>) -> rusqlite::Result<HistoryPoint> {
    let bytes = |index| row.get::<_, f64>(index).map(|value| value.round() as u64);
    Ok(HistoryPoint {
        time: row.get(0)?,
        processor_percent: row.get(1)?,
        memory_used_bytes: bytes(2)?,
        storage_used_bytes: bytes(3)?,
        sent_bytes_per_second: row.get(4)?,
        downloads_per_second: row.get(5)?,
    })
}

/// Forgets the steps of these nodes that began before `before` (Unix seconds). A part of the nodes at a time, so that
/// nobody waits long for the database.
pub(crate) async fn forget(store: &Store, ids: Vec<String>, step_seconds: i64, before: i64) -> Result<(), StoreError> {
    store
        .call(move |connection| {
            super::at_once(connection, |transaction| {
                let mut statement = transaction
                    .prepare_cached("DELETE FROM node_history WHERE node_id = ?1 AND step = ?2 AND time < ?3")?;
                for id in &ids {
                    statement.execute(params![id, step_seconds, before])?;
                }
                Ok(())
            })
        })
        .await
}
