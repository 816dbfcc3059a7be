//! Single facts by name.

use posthouse_runtime::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension as _, params};

/// The facts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fact {
    /// The configuration file holds the defaults that we wrote, and nobody has chosen a master since.
    NoMasterChosen,
    /// A join code was given and has not led to a secret: the plain contract is closed.
    CodeGiven,
    /// argon2 hash of the management password.
    ManagementPassword,
}

impl Fact {
    fn key(self) -> &'static str {
        match self {
            Self::NoMasterChosen => "no_master_chosen",
            Self::CodeGiven => "code_given",
            Self::ManagementPassword => "management_password",
        }
    }
}

/// Reads a fact.
pub(crate) async fn read(store: &Store, fact: Fact) -> Result<Option<String>, StoreError> {
    store.call(move |connection| find(connection, fact)).await
}

/// Writes a fact, or removes it.
pub(crate) async fn write(store: &Store, fact: Fact, value: Option<String>) -> Result<(), StoreError> {
    store.call(move |connection| put(connection, fact, value.as_deref())).await
}

/// [`read`] from a thread that may block.
pub(crate) fn read_blocking(store: &Store, fact: Fact) -> Result<Option<String>, StoreError> {
    store.call_blocking(move |connection| find(connection, fact))
}

/// [`write`] from a thread that may block.
pub(crate) fn write_blocking(store: &Store, fact: Fact, value: Option<String>) -> Result<(), StoreError> {
    store.call_blocking(move |connection| put(connection, fact, value.as_deref()))
}

fn find(connection: &Connection, fact: Fact) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [fact.key()], |row| row.get(0)).optional()
}

fn put(connection: &Connection, fact: Fact, value: Option<&str>) -> rusqlite::Result<()> {
    match value {
        Some(value) => connection.execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            params![fact.key(), value],
        )?,
        None => connection.execute("DELETE FROM meta WHERE key = ?1", [fact.key()])?,
    };
    Ok(())
}
