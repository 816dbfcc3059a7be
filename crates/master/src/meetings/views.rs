//! A meeting as the administrator and the tablet are shown it, in the shapes of the deployed system.

use posthouse_protocol::legacy::{
    AgendaItemView, FileView, MeetingView, PackageAgendaItem, PackageFileView, PackageView, UploadedFile,
};

use super::meeting::{AgendaItem, AttachedFile, Meeting};
use super::recipe::agenda_folder;
use crate::store::files::StoredFile;

/// For the administrator.
pub(crate) fn meeting_view(meeting: &Meeting) -> MeetingView {
    MeetingView {
        id: meeting.id.to_string(),
        title: meeting.title.clone(),
        intro: meeting.intro.clone(),
        time: meeting.time.clone(),
        status: meeting.status.as_str().to_owned(),
        agenda_items: meeting.agenda.iter().map(|item| agenda_item_view(meeting, item)).collect(),
    }
}

fn agenda_item_view(meeting: &Meeting, item: &AgendaItem) -> AgendaItemView {
    let file = |file: &AttachedFile| FileView {
        name: file.name.clone(),
        size: file.size_bytes,
        url: file_url(&file.file_id, &file.name),
        display_name: file.name.clone(),
        temp_id: file.file_id.clone(),
        meeting_id: meeting.id.to_string(),
        agenda_folder: agenda_folder(item.position),
        total_pages: file.total_pages,
    };
    AgendaItemView {
        title: item.title.clone(),
        position: item.position,
        meeting_id: meeting.id.to_string(),
        files: item.files.iter().map(file).collect(),
        pages: None,
        reporter: item.reporter.clone(),
        duration_minutes: item.duration_minutes,
    }
}

/// For tablets: `GET /api/v1/meetings/{id}/package`.
pub(crate) fn package_view(meeting: &Meeting) -> PackageView {
    let file = |file: &AttachedFile| PackageFileView {
        name: file.name.clone(),
        size: file.size_bytes,
        formatted_size: formatted_size(file.size_bytes),
        url: file_url(&file.file_id, &file.name),
        kind: file.extension.clone(),
    };
    let item = |item: &AgendaItem| PackageAgendaItem {
        position: item.position,
        title: item.title.clone(),
        reporter: item.reporter.clone(),
        duration_minutes: item.duration_minutes,
        files: item.files.iter().map(file).collect(),
    };
    PackageView {
        id: meeting.id.to_string(),
        title: meeting.title.clone(),
        time: meeting.time.clone(),
        status: meeting.status.as_str().to_owned(),
        agenda_items: meeting.agenda.iter().map(item).collect(),
    }
}

/// For whoever uploaded it.
pub(crate) fn uploaded_file(file: &StoredFile) -> UploadedFile {
    UploadedFile {
        name: file.name.clone(),
        size: file.size_bytes,
        url: file_url(&file.file_id, &file.name),
        display_name: file.name.clone(),
        temp_id: file.file_id.clone(),
    }
}

/// Where the master serves a file; the name is for people alone.
fn file_url(file_id: &str, name: &str) -> String {
    format!("/uploads/files/{file_id}/{}", path_segment(name))
}

/// Where the master serves a package. The deployed form, `/uploads/packages/<title>_<id>_pdfs.zip`.
pub(crate) fn package_url(title: &str, id: &posthouse_protocol::MeetingId) -> String {
    format!("/uploads/packages/{}_{id}_pdfs.zip", path_segment(title))
}

/// A text as one segment of a path. What is not ASCII stays readable, as deployed clients know it.
fn path_segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut segment = String::with_capacity(text.len());
    for character in text.chars() {
        if !character.is_ascii() || character.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(character) {
            segment.push(character);
        } else {
            // Writing to a String does not fail.
            let _ = write!(segment, "%{:02X}", u32::from(character));
        }
    }
    segment
}

/// `512 B`, `1.07 KB`, `3.20 MB`.
fn formatted_size(bytes: u64) -> String {
    let mut size = bytes as f64;
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = "B";
    for larger in ["KB", "MB", "GB", "TB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    format!("{size:.2} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_the_deployed_system_writes_them() {
        let sizes = [(0, "0 B"), (1098, "1.07 KB"), (1361, "1.33 KB"), (1 << 20, "1.00 MB"), (5 << 40, "5.00 TB")];
        for (bytes, text) in sizes {
            assert_eq!(formatted_size(bytes), text);
        }
    }

    #[test]
    fn a_package_url_keeps_its_form_and_is_one_path_whatever_the_title() {
        let id = "m-001".parse().unwrap();
        assert_eq!(package_url("年度工作会议", &id), "/uploads/packages/年度工作会议_m-001_pdfs.zip");
        assert_eq!(package_url("a/b ?#%\"", &id), "/uploads/packages/a%2Fb%20%3F%23%25%22_m-001_pdfs.zip");
    }
}
