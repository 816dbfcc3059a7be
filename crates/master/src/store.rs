//! The master's tables, one file each, and nothing else that knows SQL. Functions are named for what the domain does;
//! each is one transaction.

pub(crate) mod agenda;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod join_codes;
pub(crate) mod meetings;
pub(crate) mod meta;
pub(crate) mod node_fetches;
pub(crate) mod node_history;
pub(crate) mod node_notes;
pub(crate) mod nodes;
pub(crate) mod packages;
pub(crate) mod sessions;
pub(crate) mod users;

use std::str::FromStr;

use posthouse_runtime::exit::StartError;
use posthouse_runtime::paths::DataDir;
use posthouse_runtime::store::Store;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior};
use rusqlite_migration::{M, Migrations};

/// Opens `master.db`. A schema newer than this list is refused, so a migration is never changed once it was released.
pub(crate) fn open(data: &DataDir) -> Result<Store, StartError> {
    let migrations = Migrations::new(vec![
        M::up(include_str!("store/migrations/001_master.sql")),
        M::up(include_str!("store/migrations/002_nodes.sql")),
    ]);
    Store::open(&data.database(), &migrations)
}

/// Runs `work` in one transaction that survives a loss of power: for what somebody was told is done.
pub(crate) fn durably<Output>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Output>,
) -> rusqlite::Result<Output> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    let outcome = at_once(connection, work);
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    outcome
}

/// Runs `work` in one transaction that survives the end of the process.
pub(crate) fn at_once<Output>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Output>,
) -> rusqlite::Result<Output> {
    // Immediate: two processes (`reset-password` beside a running master) wait for each other instead of failing.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let output = work(&transaction)?;
    transaction.commit()?;
    Ok(output)
}

/// A column whose text has a form of its own.
pub(crate) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::fmt::Display>,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.to_string().into())
    })
}

/// A column that is never negative.
pub(crate) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A size, count or version as SQLite keeps it.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
