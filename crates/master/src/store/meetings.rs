//! `meetings`: what they are, and their life cycle. Each step checks the state it begins from in the transaction that
//! changes it.

use std::collections::HashMap;

use posthouse_protocol::MeetingId;
use posthouse_protocol::meeting::MeetingStatus;
use posthouse_runtime::store::{Store, StoreError};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::{agenda, files, meta, packages, signed};
use crate::meetings::Refusal;
use crate::meetings::input::{FileChoice, MeetingChange, NewMeeting};
use crate::meetings::meeting::{AgendaItem, Meeting};
use crate::store::files::StoredFile;
use crate::store::packages::NewPackage;

const COLUMNS: &str = "meeting_key, id, title, intro, time, status, revision, last_version";

/// Creates a meeting; in progress it is only once it was started.
pub(crate) async fn create(store: &Store, new: NewMeeting, now: f64) -> Result<Result<Meeting, Refusal>, StoreError> {
    store
        .call(move |connection| {
            super::durably(connection, |transaction| {
                let key = new.id.key();
                if find_in(transaction, &key)?.is_some() {
                    return Ok(Err(Refusal::Exists(new.id)));
                }
                if let Some(file_id) = agenda::unknown_file(transaction, &new.agenda)? {
                    return Ok(Err(Refusal::UnknownFile(file_id)));
                }
                let status = if new.status == MeetingStatus::Ended { "ended" } else { "not_started" };
                transaction.execute(
                    "INSERT INTO meetings (meeting_key, id, title, intro, time, status, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![key, new.id.as_str(), new.title, new.intro, new.time, status, now],
                )?;
                agenda::replace(transaction, &key, &new.agenda, now)?;
                found(transaction, &key)
            })
        })
        .await
}

/// All meetings, the oldest first.
pub(crate) async fn list(store: &Store) -> Result<Vec<Meeting>, StoreError> {
    store
        .call(|connection| {
            super::at_once(connection, |transaction| {
                let mut agendas = agenda::load(transaction, None)?;
                let mut statement = transaction
                    .prepare_cached(&format!("SELECT {COLUMNS} FROM meetings ORDER BY created_at, meeting_key"))?;
                statement.query_map([], |row| meeting(row, &mut agendas))?.collect()
            })
        })
        .await
}

/// One meeting.
pub(crate) async fn find(store: &Store, id: &MeetingId) -> Result<Option<Meeting>, StoreError> {
    let key = id.key();
    store.call(move |connection| find_in(connection, &key)).await
}

/// Changes title, introduction, time and agenda, not the status. A running meeting keeps what it needed to be started.
pub(crate) async fn change(
    store: &Store,
    id: &MeetingId,
    change: MeetingChange,
    now: f64,
) -> Result<Result<Meeting, Refusal>, StoreError> {
    let key = id.key();
    store
        .call(move |connection| {
            super::durably(connection, |transaction| {
                let Some(before) = find_in(transaction, &key)? else { return Ok(Err(Refusal::Unknown)) };
                let unknown = agenda::unknown_file(transaction, change.agenda.as_deref().unwrap_or_default())?;
                if let Some(file_id) = unknown {
                    return Ok(Err(Refusal::UnknownFile(file_id)));
                }
                if let Some(refusal) = refused_while_running(&before, &change) {
                    return Ok(Err(refusal));
                }
                if let Some(items) = &change.agenda {
                    agenda::replace(transaction, &key, items, now)?;
                }
                transaction.execute(
                    "UPDATE meetings SET title = coalesce(?2, title), intro = coalesce(?3, intro), time = coalesce(?4, time),
                     revision = revision + 1 WHERE meeting_key = ?1",
                    params![key, change.title, change.intro, change.time],
                )?;
                found(transaction, &key)
            })
        })
        .await
}

/// A running meeting has an agenda, and each item of it a file.
fn refused_while_running(before: &Meeting, change: &MeetingChange) -> Option<Refusal> {
    let items = change.agenda.as_ref().filter(|_| before.status == MeetingStatus::InProgress)?;
    if items.is_empty() {
        return Some(Refusal::NoAgenda);
    }
    let keeps_none =
        |position| before.agenda.iter().all(|old: &AgendaItem| old.position != position || old.files.is_empty());
    let empty = items.iter().filter(|item| match &item.files {
        Some(files) => files.is_empty(),
        None => keeps_none(item.position),
    });
    let titles: Vec<String> = empty.map(|item| item.title.clone()).collect();
    (!titles.is_empty()).then_some(Refusal::RunningWithoutFiles(titles))
}

/// Takes note of uploaded files and adds them to the item at `position`.
pub(crate) async fn attach(
    store: &Store,
    id: &MeetingId,
    position: i64,
    uploaded: Vec<StoredFile>,
    now: f64,
) -> Result<Result<Meeting, Refusal>, StoreError> {
    let key = id.key();
    store
        .call(move |connection| {
            super::durably(connection, |transaction| {
                if find_in(transaction, &key)?.is_none() {
                    return Ok(Err(Refusal::Unknown));
                }
                let Some(item_id) = agenda::item_at(transaction, &key, position)? else {
                    return Ok(Err(Refusal::UnknownItem(position)));
                };
                for file in &uploaded {
                    files::insert(transaction, file, now)?;
                }
                let choice = |file: &StoredFile| FileChoice { file_id: file.file_id.clone(), name: None };
                agenda::append(transaction, item_id, &uploaded.iter().map(choice).collect::<Vec<_>>())?;
                transaction
                    .execute("UPDATE meetings SET revision = revision + 1 WHERE meeting_key = ?1", [key.as_str()])?;
                found(transaction, &key)
            })
        })
        .await
}

/// A meeting is in progress from now on, with this package; its nodes are waited for.
pub(crate) async fn start(
    store: &Store,
    id: &MeetingId,
    package: NewPackage,
    now: f64,
) -> Result<Result<Meeting, Refusal>, StoreError> {
    let key = id.key();
    store
        .call(move |connection| {
            super::durably(connection, |transaction| {
                if find_in(transaction, &key)?.is_none() {
                    return Ok(Err(Refusal::Unknown));
                }
                packages::insert(transaction, &key, &package)?;
                transaction.execute(
                    "UPDATE meetings SET status = 'in_progress', last_version = ?2, started_at = ?3, announced = 0,
                     waiting_since = ?3 WHERE meeting_key = ?1",
                    params![key, signed(package.version), now],
                )?;
                found(transaction, &key)
            })
        })
        .await
}

/// A meeting is not in progress any more: its packages are forgotten and the change token moves.
pub(crate) async fn leave(
    store: &Store,
    id: &MeetingId,
    status: MeetingStatus,
) -> Result<Result<Meeting, Refusal>, StoreError> {
    let key = id.key();
    store
        .call(move |connection| {
            super::durably(connection, |transaction| {
                let Some(before) = find_in(transaction, &key)? else { return Ok(Err(Refusal::Unknown)) };
                transaction.execute(
                    "UPDATE meetings SET status = ?2, started_at = NULL, announced = 0, waiting_since = NULL
                     WHERE meeting_key = ?1",
                    params![key, stored(status)],
                )?;
                if before.status == MeetingStatus::InProgress {
                    packages::delete_all(transaction, &key)?;
                    meta::move_change_token(transaction)?;
                }
                found(transaction, &key)
            })
        })
        .await
}

/// Forgets a meeting that is not in progress, and those of its files that nothing else has; tells their ids.
pub(crate) async fn delete(store: &Store, id: &MeetingId) -> Result<Result<Vec<String>, Refusal>, StoreError> {
    let key = id.key();
    store
        .call(move |connection| {
            super::durably(connection, |transaction| {
                let Some(before) = find_in(transaction, &key)? else { return Ok(Err(Refusal::Unknown)) };
                transaction.execute("DELETE FROM meetings WHERE meeting_key = ?1", [&key])?;
                let had = before.agenda.into_iter().flat_map(|item| item.files).map(|file| file.file_id);
                files::delete_unused(transaction, had).map(Ok)
            })
        })
        .await
}

/// Nodes are ready for the meeting, or were waited for long enough: the change token tells of it.
/// `false`: the meeting is not waited for any more.
pub(crate) async fn announce(store: &Store, id: &MeetingId, waiting_since: f64) -> Result<bool, StoreError> {
    let key = id.key();
    store
        .call(move |connection| {
            super::durably(connection, |transaction| {
                let changed = transaction.execute(
                    "UPDATE meetings SET announced = 1, waiting_since = NULL
                     WHERE meeting_key = ?1 AND status = 'in_progress' AND waiting_since = ?2",
                    params![key, waiting_since],
                )?;
                if changed > 0 {
                    meta::move_change_token(transaction)?;
                }
                Ok(changed > 0)
            })
        })
        .await
}

fn find_in(connection: &Connection, key: &str) -> rusqlite::Result<Option<Meeting>> {
    let mut agendas: HashMap<_, _> = agenda::load(connection, Some(key))?;
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM meetings WHERE meeting_key = ?1"))?;
    statement.query_row([key], |row| meeting(row, &mut agendas)).optional()
}

fn found(transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<Result<Meeting, Refusal>> {
    find_in(transaction, key).map(|meeting| meeting.ok_or(Refusal::Unknown))
}

fn meeting(row: &Row<'_>, agendas: &mut HashMap<String, Vec<AgendaItem>>) -> rusqlite::Result<Meeting> {
    Ok(Meeting {
        agenda: agendas.remove(&row.get::<_, String>(0)?).unwrap_or_default(),
        id: super::parsed(row, 1)?,
        title: row.get(2)?,
        intro: row.get(3)?,
        time: row.get(4)?,
        status: row.get::<_, StoredStatus>(5)?.0,
        revision: super::unsigned(row, 6)?,
        last_version: super::unsigned(row, 7)?,
    })
}

fn stored(status: MeetingStatus) -> &'static str {
    match status {
        MeetingStatus::NotStarted => "not_started",
        MeetingStatus::InProgress => "in_progress",
        MeetingStatus::Ended => "ended",
    }
}

struct StoredStatus(MeetingStatus);

impl FromSql for StoredStatus {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "not_started" => Ok(Self(MeetingStatus::NotStarted)),
            "in_progress" => Ok(Self(MeetingStatus::InProgress)),
            "ended" => Ok(Self(MeetingStatus::Ended)),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}
