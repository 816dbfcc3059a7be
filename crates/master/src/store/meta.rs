//! `meta`: single values of the whole master.

use posthouse_runtime::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension as _, Transaction};
use uuid::Uuid;

/// The change token while no meeting was announced.
pub(crate) const NO_TOKEN: &str = "none";

const MASTER_ID: &str = "master_id";
const CHANGE_TOKEN: &str = "change_token";

/// The id of this master, made at its first start.
pub(crate) async fn master_id(store: &Store) -> Result<String, StoreError> {
    store
        .call(|connection| {
            super::durably(connection, |transaction| match get(transaction, MASTER_ID)? {
                Some(id) => Ok(id),
                None => {
                    let id = Uuid::new_v4().to_string();
                    set(transaction, MASTER_ID, &id)?;
                    Ok(id)
                }
            })
        })
        .await
}

/// Whether the database answers: reads from it.
pub(crate) async fn answers(store: &Store) -> Result<(), StoreError> {
    store.call(|connection| get(connection, MASTER_ID).map(drop)).await
}

/// The change token.
pub(crate) fn change_token(connection: &Connection) -> rusqlite::Result<String> {
    Ok(get(connection, CHANGE_TOKEN)?.unwrap_or_else(|| NO_TOKEN.to_owned()))
}

/// Gives the change token a new value: a random one, or `none` when no announced meeting is left.
pub(crate) fn move_change_token(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let announced: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM meetings WHERE status = 'in_progress' AND announced = 1)",
        [],
        |row| row.get(0),
    )?;
    let token = if announced { Uuid::new_v4().to_string() } else { NO_TOKEN.to_owned() };
    set(transaction, CHANGE_TOKEN, &token)
}

fn get(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

fn set(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
            [key, value],
        )
        .map(drop)
}
