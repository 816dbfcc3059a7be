//! `users`: people who may administer.

use posthouse_runtime::store::{Store, StoreError};
use rusqlite::{OptionalExtension as _, params};

/// Whether nobody may administer yet.
pub(crate) async fn is_empty(store: &Store) -> Result<bool, StoreError> {
    store.call(|connection| connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM users)", [], |row| row.get(0))).await
}

/// The password hash of a user.
pub(crate) async fn password_hash(store: &Store, name: String) -> Result<Option<String>, StoreError> {
    store
        .call(move |connection| {
            connection.query_row("SELECT password_hash FROM users WHERE name = ?1", [name], |row| row.get(0)).optional()
        })
        .await
}

/// Gives an administrator this password, creating them when missing, and ends all of their sessions.
pub(crate) fn set_password(store: &Store, name: &str, password_hash: String, now: f64) -> Result<(), StoreError> {
    let name = name.to_owned();
    store.call_blocking(move |connection| {
        super::durably(connection, |transaction| {
            transaction.execute(
                "INSERT INTO users (name, password_hash, role, created_at) VALUES (?1, ?2, 'admin', ?3)
                 ON CONFLICT (name) DO UPDATE SET password_hash = ?2",
                params![name, password_hash, now],
            )?;
            transaction.execute("DELETE FROM sessions WHERE user_name = ?1", [&name]).map(drop)
        })
    })
}
