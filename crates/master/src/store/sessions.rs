//! `sessions`: bearer tokens, of which only the hash is kept.

use posthouse_protocol::ContentHash;
use posthouse_runtime::store::{Store, StoreError};
use rusqlite::{OptionalExtension as _, params};

/// A user signed in.
pub(crate) async fn begin(
    store: &Store,
    token_hash: ContentHash,
    user_name: String,
    expires_at: f64,
) -> Result<(), StoreError> {
    store
        .call(move |connection| {
            connection
                .execute(
                    "INSERT INTO sessions (token_hash, user_name, expires_at) VALUES (?1, ?2, ?3)",
                    params![token_hash.to_string(), user_name, expires_at],
                )
                .map(drop)
        })
        .await
}

/// Whose session this is, unless it ended.
pub(crate) async fn user_of(store: &Store, token_hash: ContentHash, now: f64) -> Result<Option<String>, StoreError> {
    store
        .call(move |connection| {
            connection
                .prepare_cached(
                    "SELECT user_name FROM sessions JOIN users ON users.name = user_name
                     WHERE token_hash = ?1 AND expires_at > ?2 AND role = 'admin'",
                )?
                .query_row(params![token_hash.to_string(), now], |row| row.get(0))
                .optional()
        })
        .await
}

/// Forgets the sessions that ended.
pub(crate) async fn forget_ended(store: &Store, now: f64) -> Result<(), StoreError> {
    store
        .call(move |connection| connection.execute("DELETE FROM sessions WHERE expires_at <= ?1", [now]).map(drop))
        .await
}
