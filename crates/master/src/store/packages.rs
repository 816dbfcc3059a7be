//! `packages`: the versions of the packages of meetings in progress.

use posthouse_protocol::legacy::DataAgendaItem;
use posthouse_protocol::{Block, ContentHash, MeetingId, PackageDescription};
use posthouse_runtime::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::de::DeserializeOwned;

use super::{meta, signed, unsigned};

/// A package that lies in its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewPackage {
    pub(crate) version: u64,
    /// The meeting's revision that it shows.
    pub(crate) revision: u64,
    /// BLAKE3 of what it was built from.
    pub(crate) recipe: ContentHash,
    pub(crate) description: PackageDescription,
    /// As tablets are told it.
    pub(crate) agenda: Vec<DataAgendaItem>,
    /// Unix seconds.
    pub(crate) built_at: f64,
}

/// A meeting in progress with all that readers of the catalog need.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ActiveRow {
    pub(crate) id: MeetingId,
    pub(crate) title: String,
    pub(crate) intro: Option<String>,
    pub(crate) time: String,
    pub(crate) revision: u64,
    pub(crate) last_version: u64,
    pub(crate) announced: bool,
    pub(crate) waiting_since: Option<f64>,
    /// Oldest first.
    pub(crate) packages: Vec<PackageRow>,
}

/// A version as it is read back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PackageRow {
    pub(crate) version: u64,
    pub(crate) revision: u64,
    pub(crate) recipe: ContentHash,
    pub(crate) hash: ContentHash,
    pub(crate) size_bytes: u64,
    pub(crate) agenda: Vec<DataAgendaItem>,
    pub(crate) built_at: f64,
}

/// The change token and all meetings in progress, in the order in which they were started.
pub(crate) async fn active(store: &Store) -> Result<(String, Vec<ActiveRow>), StoreError> {
    store
        .call(|connection| {
            super::at_once(connection, |transaction| {
                let mut statement = transaction.prepare_cached(
                    "SELECT meeting_key, id, title, intro, time, revision, last_version, announced, waiting_since
                     FROM meetings WHERE status = 'in_progress' ORDER BY started_at, meeting_key",
                )?;
                let rows = statement.query_map([], |row| {
                    Ok(ActiveRow {
                        packages: of_meeting(transaction, &row.get::<_, String>(0)?)?,
                        id: super::parsed(row, 1)?,
                        title: row.get(2)?,
                        intro: row.get(3)?,
                        time: row.get(4)?,
                        revision: unsigned(row, 5)?,
                        last_version: unsigned(row, 6)?,
                        announced: row.get(7)?,
                        waiting_since: row.get(8)?,
                    })
                })?;
                Ok((meta::change_token(transaction)?, rows.collect::<rusqlite::Result<_>>()?))
            })
        })
        .await
}

fn of_meeting(connection: &Connection, key: &str) -> rusqlite::Result<Vec<PackageRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT version, revision, recipe, hash, size_bytes, agenda, built_at FROM packages
         WHERE meeting_key = ?1 ORDER BY version",
    )?;
    let rows = statement.query_map([key], |row| {
        Ok(PackageRow {
            version: unsigned(row, 0)?,
            revision: unsigned(row, 1)?,
            recipe: super::parsed(row, 2)?,
            hash: super::parsed(row, 3)?,
            size_bytes: unsigned(row, 4)?,
            agenda: from_json(5, &row.get::<_, String>(5)?)?,
            built_at: row.get(6)?,
        })
    })?;
    rows.collect()
}

/// Size, hash and blocks of a version, if there is one.
pub(crate) async fn description(
    store: &Store,
    id: &MeetingId,
    version: u64,
) -> Result<Option<PackageDescription>, StoreError> {
    let key = id.key();
    store
        .call(move |connection| {
            connection
                .query_row(
                    "SELECT size_bytes, hash, blocks FROM packages WHERE meeting_key = ?1 AND version = ?2",
                    params![key, signed(version)],
                    |row| {
                        Ok(PackageDescription {
                            size_bytes: unsigned(row, 0)?,
                            hash: super::parsed(row, 1)?,
                            blocks: from_json::<Vec<Block>>(2, &row.get::<_, String>(2)?)?,
                        })
                    },
                )
                .optional()
        })
        .await
}

/// A new version of a running meeting: its nodes are waited for. `false`: the meeting is not in progress any more.
pub(crate) async fn add(store: &Store, id: &MeetingId, package: NewPackage, now: f64) -> Result<bool, StoreError> {
    let key = id.key();
    store
        .call(move |connection| {
            super::durably(connection, |transaction| {
                let changed = transaction.execute(
                    "UPDATE meetings SET last_version = ?2, waiting_since = ?3
                     WHERE meeting_key = ?1 AND status = 'in_progress'",
                    params![key, signed(package.version), now],
                )?;
                if changed > 0 {
                    insert(transaction, &key, &package)?;
                }
                Ok(changed > 0)
            })
        })
        .await
}

/// A version shows a later revision as well, because nothing that goes into a package changed; what tablets are told
/// beside it may have, so the change token moves.
pub(crate) async fn confirm(store: &Store, id: &MeetingId, version: u64, revision: u64) -> Result<(), StoreError> {
    let key = id.key();
    store
        .call(move |connection| {
            super::durably(connection, |transaction| {
                transaction.execute(
                    "UPDATE packages SET revision = ?3 WHERE meeting_key = ?1 AND version = ?2",
                    params![key, signed(version), signed(revision)],
                )?;
                meta::move_change_token(transaction)
            })
        })
        .await
}

/// Forgets all versions before this one.
pub(crate) async fn forget_before(store: &Store, id: &MeetingId, version: u64) -> Result<(), StoreError> {
    let key = id.key();
    store
        .call(move |connection| {
            super::at_once(connection, |transaction| {
                transaction
                    .execute(
                        "DELETE FROM packages WHERE meeting_key = ?1 AND version < ?2",
                        params![key, signed(version)],
                    )
                    .map(drop)
            })
        })
        .await
}

pub(crate) fn insert(transaction: &Transaction<'_>, key: &str, package: &NewPackage) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO packages (meeting_key, version, revision, recipe, hash, size_bytes, blocks, agenda, built_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                key,
                signed(package.version),
                signed(package.revision),
                package.recipe.to_string(),
                package.description.hash.to_string(),
                signed(package.description.size_bytes),
                to_json(&package.description.blocks)?,
                to_json(&package.agenda)?,
                package.built_at,
            ],
        )
        .map(drop)
}

pub(crate) fn delete_all(transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM packages WHERE meeting_key = ?1", [key]).map(drop)
}

fn to_json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn from_json<T: DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into()))
}
