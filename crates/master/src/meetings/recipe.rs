//! What goes into a meeting's package, and what tablets are told of it: both made from the meeting at once, so that a
//! version and its description never disagree.

use std::fmt::Write as _;

use posthouse_package::{BuildRequest, SourceFile};
use posthouse_protocol::ContentHash;
use posthouse_protocol::legacy::{DataAgendaItem, DataFile};

use super::meeting::{AttachedFile, Meeting, shown_time};
use crate::files::Files;
use crate::files::names::without_pdf;

/// Everything a version is made of.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) request: BuildRequest,
    /// BLAKE3 over all of `request`: equal recipes give equal packages.
    pub(crate) hash: ContentHash,
    pub(crate) agenda: Vec<DataAgendaItem>,
    pub(crate) revision: u64,
}

impl Recipe {
    pub(crate) fn of(meeting: &Meeting, files: &Files) -> Self {
        let readme = readme(meeting);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(readme.len() as u64).to_le_bytes()).update(readme.as_bytes());
        let mut sources = Vec::new();
        for item in &meeting.agenda {
            for file in &item.files {
                let entry = entry(item.position, file);
                hasher.update(&(entry.len() as u64).to_le_bytes()).update(entry.as_bytes()).update(&file.hash.0);
                sources.push(SourceFile { entry, path: files.path(&file.file_id) });
            }
        }
        Self {
            request: BuildRequest { readme, files: sources },
            hash: ContentHash(*hasher.finalize().as_bytes()),
            agenda: agenda(meeting),
            revision: meeting.revision,
        }
    }
}

/// Name of the folder of an agenda item in the package.
pub(crate) fn agenda_folder(position: i64) -> String {
    format!("agenda_{position}")
}

fn entry(position: i64, file: &AttachedFile) -> String {
    format!("{}/{}.{}", agenda_folder(position), file.file_id, file.extension)
}

fn readme(meeting: &Meeting) -> String {
    let count: usize = meeting.agenda.iter().map(|item| item.files.len()).sum();
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "会议名称: {}\n会议ID: {}\n会议时间: {}\n文件数量: {count}\n\n文件列表:\n",
        meeting.title,
        meeting.id,
        shown_time(&meeting.time)
    );
    for item in &meeting.agenda {
        let _ = writeln!(text, "\n{}. {}", item.position, item.title);
        for file in &item.files {
            let _ = writeln!(text, "  {}  {}", entry(item.position, file), file.name);
        }
    }
    text
}

fn agenda(meeting: &Meeting) -> Vec<DataAgendaItem> {
    let file = |position, file: &AttachedFile| DataFile {
        name: without_pdf(&file.name).to_owned(),
        size: file.size_bytes,
        display_name: without_pdf(&file.name).to_owned(),
        temp_id: file.file_id.clone(),
        meeting_id: meeting.id.to_string(),
        agenda_folder: agenda_folder(position),
        total_pages: file.total_pages,
    };
    let item = |item: &super::meeting::AgendaItem| DataAgendaItem {
        position: item.position,
        title: item.title.clone(),
        files: item.files.iter().map(|attached| file(item.position, attached)).collect(),
    };
    meeting.agenda.iter().map(item).collect()
}
