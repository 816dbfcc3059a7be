//! `join_codes`: codes by which nodes join. Another process (`posthouse join-code`) writes here too, so nothing of this
//! is kept in memory.

use posthouse_protocol::join::JoinCodeView;
use posthouse_runtime::store::{Store, StoreError};
use posthouse_runtime::trust::Secret;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::nodes;

const COLUMNS: &str = "code_id, created_at, expires_at, uses, used, revoked, token";

/// How long a code that expired is still listed, in seconds.
const LISTED_AFTER_EXPIRY_SECONDS: i64 = 30 * 24 * 3600;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinCodeRow {
    pub(crate) view: JoinCodeView,
    pub(crate) token: Secret,
}

impl JoinCodeRow {
    /// Whether a node may join with it at this time (Unix seconds).
    pub(crate) fn is_good(&self, now: i64) -> bool {
        let JoinCodeView { expires_at, uses, used, revoked, .. } = &self.view;
        !revoked && used < uses && now < *expires_at
    }
}

/// What became of the last step of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joined {
    /// The node has its secret, and the use is counted.
    Accepted,
    /// The code is no longer good.
    CodeRefused,
    /// The node has a secret already.
    HasSecret,
}

/// Adds a code.
pub(crate) fn add(connection: &mut Connection, row: &JoinCodeRow) -> rusqlite::Result<()> {
    super::durably(connection, |transaction| {
        let JoinCodeView { code_id, created_at, expires_at, uses, .. } = &row.view;
        transaction.execute(
            "INSERT INTO join_codes (code_id, token, created_at, expires_at, uses) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![code_id, row.token.to_hex(), created_at, expires_at, uses],
        )?;
        Ok(())
    })
}

/// One code.
pub(crate) async fn find(store: &Store, code_id: &str) -> Result<Option<JoinCodeRow>, StoreError> {
    let code_id = code_id.to_owned();
    store.call(move |connection| get(connection, &code_id)).await
}

fn get(connection: &Connection, code_id: &str) -> rusqlite::Result<Option<JoinCodeRow>> {
    let sql = format!("SELECT {COLUMNS} FROM join_codes WHERE code_id = ?1");
    Ok(connection.query_row(&sql, [code_id], read).optional()?.flatten())
}

/// All codes, the newest first.
pub(crate) async fn all(store: &Store) -> Result<Vec<JoinCodeRow>, StoreError> {
    store
        .call(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM join_codes ORDER BY created_at DESC, code_id");
            let mut statement = connection.prepare(&sql)?;
            statement.query_map([], read)?.filter_map(Result::transpose).collect()
        })
        .await
}

/// Nothing for a token that is none, which only a hand can have written.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<JoinCodeRow>> {
    let token: String = row.get(6)?;
    let view = JoinCodeView {
        code_id: row.get(0)?,
        created_at: row.get(1)?,
        expires_at: row.get(2)?,
        uses: row.get(3)?,
        used: row.get(4)?,
        revoked: row.get(5)?,
    };
    Ok(Secret::from_hex(&token).map(|token| JoinCodeRow { view, token }))
}

/// Revokes a code; what it is now, `None` when there is none.
pub(crate) async fn revoke(store: &Store, code_id: &str) -> Result<Option<JoinCodeRow>, StoreError> {
    let code_id = code_id.to_owned();
    store
        .call(move |connection| {
            super::durably(connection, |transaction| {
                transaction.execute("UPDATE join_codes SET revoked = 1 WHERE code_id = ?1", [&code_id])?;
                get(transaction, &code_id)
            })
        })
        .await
}

/// Counts a use of the code and gives the node its secret, both or neither. `now`: Unix seconds.
pub(crate) async fn spend(
    store: &Store,
    code_id: &str,
    node_id: &str,
    secret: &Secret,
    now: f64,
) -> Result<Joined, StoreError> {
    let (code_id, node_id, secret) = (code_id.to_owned(), node_id.to_owned(), secret.clone());
    store
        .call(move |connection| {
            super::durably(connection, |transaction| {
                if !get(transaction, &code_id)?.is_some_and(|code| code.is_good(now as i64)) {
                    return Ok(Joined::CodeRefused);
                }
                if !nodes::give_secret(transaction, &node_id, &secret, now)? {
                    return Ok(Joined::HasSecret);
                }
                transaction.execute("UPDATE join_codes SET used = used + 1 WHERE code_id = ?1", [&code_id])?;
                Ok(Joined::Accepted)
            })
        })
        .await
}

/// Forgets codes that expired long ago. `now`: Unix seconds.
pub(crate) async fn forget_expired(store: &Store, now: i64) -> Result<(), StoreError> {
    store
        .call(move |connection| {
            let before = now - LISTED_AFTER_EXPIRY_SECONDS;
            connection.execute("DELETE FROM join_codes WHERE expires_at < ?1", [before]).map(drop)
        })
        .await
}
