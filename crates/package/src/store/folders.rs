//! Names of meetings' folders.

use std::fs;
use std::io;
use std::path::Path;

use posthouse_protocol::MeetingId;

const PREFIX: &str = "meeting_";

/// Follows an id that ends with a dot: Windows drops final dots, and two meetings would share a folder. No id contains it.
const AFTER_DOT: &str = "~";

/// Name of the folder that is created for a meeting.
pub(super) fn name(meeting: &MeetingId) -> String {
    let suffix = if meeting.as_str().ends_with('.') { AFTER_DOT } else { "" };
    format!("{PREFIX}{meeting}{suffix}")
}

/// The meeting whose folder has this name, if it is one's.
pub(super) fn meeting(name: &str) -> Option<MeetingId> {
    let id = name.strip_prefix(PREFIX)?;
    match id.strip_suffix(AFTER_DOT) {
        Some(dotted) if dotted.ends_with('.') => dotted.parse().ok(),
        _ => id.parse().ok(),
    }
}

/// Names in the storage folder that may be meetings', sorted.
pub(super) fn names(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root)? {
        if let Ok(name) = entry?.file_name().into_string()
            && name.starts_with(PREFIX)
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Names of the existing folders of a meeting, sorted, the first being the one in use. There is at most one, unless a
/// program that told upper from lower case made more of them.
pub(super) fn of(root: &Path, meeting_id: &MeetingId) -> io::Result<Vec<String>> {
    let key = meeting_id.key();
    let mut names = names(root)?;
    names.retain(|name| meeting(name).is_some_and(|found| found.key() == key));
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_turned_back_into_meetings_and_differ_on_windows() {
        for id in ["m-001", "M_1", "a.b", "a.", "a..", "-"] {
            let id: MeetingId = id.parse().unwrap();
            assert_eq!(meeting(&name(&id)), Some(id.clone()));
            assert!(!name(&id).ends_with('.'));
        }
        // What the older node made on Linux.
        assert_eq!(meeting("meeting_a."), "a.".parse().ok());
        for other in ["meeting_", "meeting_a~", "meeting_~", "meeting_会议", "package", ".incoming", "meeting_.x"] {
            assert_eq!(meeting(other), None, "{other}");
        }
    }
}
