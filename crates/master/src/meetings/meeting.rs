//! A meeting as the master keeps it.

use posthouse_protocol::meeting::MeetingStatus;
use posthouse_protocol::{ContentHash, MeetingId};

/// A meeting with its agenda.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Meeting {
    pub(crate) id: MeetingId,
    pub(crate) title: String,
    pub(crate) intro: Option<String>,
    /// As it was given, `2026-11-20T09:00`.
    pub(crate) time: String,
    pub(crate) status: MeetingStatus,
    /// Grows with every change that a package shows.
    pub(crate) revision: u64,
    /// The number of the newest package there ever was, 0 for none.
    pub(crate) last_version: u64,
    /// In order of position.
    pub(crate) agenda: Vec<AgendaItem>,
}

/// An agenda item with its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgendaItem {
    pub(crate) position: i64,
    pub(crate) title: String,
    pub(crate) reporter: Option<String>,
    pub(crate) duration_minutes: Option<i64>,
    pub(crate) files: Vec<AttachedFile>,
}

/// A file of an agenda item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttachedFile {
    pub(crate) file_id: String,
    /// The name to show, with extension.
    pub(crate) name: String,
    /// In lower case, without a dot.
    pub(crate) extension: String,
    pub(crate) size_bytes: u64,
    pub(crate) hash: ContentHash,
    pub(crate) total_pages: Option<u32>,
}

impl Meeting {
    /// Titles of the agenda items that have no file.
    pub(crate) fn items_without_files(&self) -> Vec<String> {
        self.agenda.iter().filter(|item| item.files.is_empty()).map(|item| item.title.clone()).collect()
    }
}

/// The time as tablets are told it.
pub(crate) fn shown_time(time: &str) -> String {
    time.replacen('T', " ", 1)
}
