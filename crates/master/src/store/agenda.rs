//! `agenda_items` and `agenda_files`: what a meeting consists of.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::files::names::shown_name;
use crate::meetings::input::{FileChoice, ItemInput};
use crate::meetings::meeting::{AgendaItem, AttachedFile};

/// The agenda of one meeting, or with `None` of all, by meeting.
pub(crate) fn load(
    connection: &Connection,
    meeting_key: Option<&str>,
) -> rusqlite::Result<HashMap<String, Vec<AgendaItem>>> {
    let mut files = files_by_item(connection, meeting_key)?;
    let mut statement = connection.prepare_cached(
        "SELECT meeting_key, item_id, position, title, reporter, duration_minutes FROM agenda_items
         WHERE ?1 IS NULL OR meeting_key = ?1 ORDER BY meeting_key, position",
    )?;
    let rows = statement.query_map([meeting_key], |row| {
        let item = AgendaItem {
            position: row.get(2)?,
            title: row.get(3)?,
            reporter: row.get(4)?,
            duration_minutes: row.get(5)?,
            files: Vec::new(),
        };
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, item))
    })?;
    let mut agendas = HashMap::<String, Vec<AgendaItem>>::new();
    for row in rows {
        let (key, item_id, mut item) = row?;
        item.files = files.remove(&item_id).unwrap_or_default();
        agendas.entry(key).or_default().push(item);
    }
    Ok(agendas)
}

fn files_by_item(
    connection: &Connection,
    meeting_key: Option<&str>,
) -> rusqlite::Result<HashMap<i64, Vec<AttachedFile>>> {
    let mut statement = connection.prepare_cached(
        "SELECT item_id, file_id, agenda_files.name, extension, size_bytes, hash, total_pages
         FROM agenda_files JOIN files USING (file_id) JOIN agenda_items USING (item_id)
         WHERE ?1 IS NULL OR meeting_key = ?1 ORDER BY item_id, place",
    )?;
    let rows = statement.query_map([meeting_key], |row| Ok((row.get::<_, i64>(0)?, attached(row)?)))?;
    let mut files = HashMap::<i64, Vec<AttachedFile>>::new();
    for row in rows {
        let (item_id, file) = row?;
        files.entry(item_id).or_default().push(file);
    }
    Ok(files)
}

fn attached(row: &Row<'_>) -> rusqlite::Result<AttachedFile> {
    Ok(AttachedFile {
        file_id: row.get(1)?,
        name: row.get(2)?,
        extension: row.get(3)?,
        size_bytes: super::unsigned(row, 4)?,
        hash: super::parsed(row, 5)?,
        total_pages: row.get(6)?,
    })
}

/// The first chosen file that nobody uploaded.
pub(crate) fn unknown_file(connection: &Connection, items: &[ItemInput]) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM files WHERE file_id = ?1")?;
    for choice in items.iter().flat_map(|item| item.files.iter().flatten()) {
        if !statement.exists([&choice.file_id])? {
            return Ok(Some(choice.file_id.clone()));
        }
    }
    Ok(None)
}

/// Replaces the agenda. An item whose files are not said keeps those of the item at its position.
pub(crate) fn replace(
    transaction: &Transaction<'_>,
    meeting_key: &str,
    items: &[ItemInput],
    now: f64,
) -> rusqlite::Result<()> {
    let before = load(transaction, Some(meeting_key))?.remove(meeting_key).unwrap_or_default();
    transaction.execute("DELETE FROM agenda_items WHERE meeting_key = ?1", [meeting_key])?;
    for item in items {
        transaction.execute(
            "INSERT INTO agenda_items (meeting_key, position, title, reporter, duration_minutes) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![meeting_key, item.position, item.title, item.reporter, item.duration_minutes],
        )?;
        let item_id = transaction.last_insert_rowid();
        match &item.files {
            Some(choices) => append(transaction, item_id, choices)?,
            None => {
                let kept = before.iter().find(|old| old.position == item.position);
                let kept = kept.map(|old| old.files.as_slice()).unwrap_or_default();
                let choice =
                    |file: &AttachedFile| FileChoice { file_id: file.file_id.clone(), name: Some(file.name.clone()) };
                append(transaction, item_id, &kept.iter().map(choice).collect::<Vec<_>>())?;
            }
        }
    }
    for file in before.iter().flat_map(|item| &item.files) {
        super::files::set_loose_since(transaction, &file.file_id, now)?;
    }
    Ok(())
}

/// Adds files to an item, behind those it has. One that it has already stays where it is.
pub(crate) fn append(transaction: &Transaction<'_>, item_id: i64, choices: &[FileChoice]) -> rusqlite::Result<()> {
    for choice in choices {
        let (name, extension): (String, String) = transaction.query_row(
            "SELECT name, extension FROM files WHERE file_id = ?1",
            [&choice.file_id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let shown = shown_name(choice.name.as_deref(), &name, &extension);
        transaction.execute(
            "INSERT INTO agenda_files (item_id, file_id, place, name)
             VALUES (?1, ?2, (SELECT coalesce(max(place), 0) + 1 FROM agenda_files WHERE item_id = ?1), ?3)
             ON CONFLICT DO NOTHING",
            params![item_id, choice.file_id, shown],
        )?;
    }
    Ok(())
}

/// The item at this position.
pub(crate) fn item_at(connection: &Connection, meeting_key: &str, position: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .query_row(
            "SELECT item_id FROM agenda_items WHERE meeting_key = ?1 AND position = ?2",
            params![meeting_key, position],
            |row| row.get(0),
        )
        .optional()
}
