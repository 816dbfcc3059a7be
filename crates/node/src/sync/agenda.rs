//! What the master wants this node to hold, as read from its answer to a poll.

use posthouse_protocol::legacy::{ActivePackage, MeetingTitle, NodeView};
use posthouse_protocol::{ContentHash, MeetingId};

use crate::uplink::MasterKind;

/// The master's word at one poll.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Agenda {
    /// Meetings in progress.
    pub(crate) wanted: Vec<Wanted>,
    /// As told, with those whose ids no folder could bear.
    pub(crate) titles: Vec<MeetingTitle>,
}

/// A package to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) meeting: MeetingId,
    pub(crate) title: String,
    pub(crate) target: Target,
}

/// Which package of a meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// This one, by a master of ours.
    Version { version: u64, hash: ContentHash },
    /// Whatever the older master has at this change token.
    AtToken(String),
    /// Whatever the master describes: asked for by a client, not by the master.
    Newest,
}

impl Agenda {
    /// Reads an answer; which kind of master gave it.
    pub(crate) fn read(view: NodeView) -> (MasterKind, Self) {
        let kind = if view.version.is_some() { MasterKind::Ours } else { MasterKind::Older };
        let packages = view.active_meetings.unwrap_or_else(|| {
            let only = view.active_meeting.filter(|id| !id.is_empty());
            let package = |id| ActivePackage { id, title: String::new(), version: None, hash: None, size_bytes: None };
            only.map(package).into_iter().collect()
        });
        let mut agenda = Self::default();
        for package in packages {
            let title = MeetingTitle { id: package.id.clone(), title: package.title.clone() };
            agenda.titles.push(title);
            let Ok(meeting) = package.id.parse::<MeetingId>() else {
                tracing::debug!(id = package.id, "a meeting whose id cannot be stored is passed over");
                continue;
            };
            let target = match (package.version, package.hash, kind) {
                (Some(version), Some(hash), MasterKind::Ours) => Target::Version { version, hash },
                // In progress, and its package is not built yet.
                (_, _, MasterKind::Ours) => continue,
                _ => Target::AtToken(view.id.clone()),
            };
            if agenda.wanted.iter().all(|wanted| wanted.meeting.key() != meeting.key()) {
                agenda.wanted.push(Wanted { meeting, title: package.title, target });
            }
        }
        (kind, agenda)
    }

    /// Whether a meeting is in progress.
    pub(crate) fn is_active(&self, meeting: &MeetingId) -> bool {
        let key = meeting.key();
        self.titles.iter().any(|title| title.id.eq_ignore_ascii_case(&key))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(view: serde_json::Value) -> (MasterKind, Agenda) {
        Agenda::read(serde_json::from_value(view).unwrap())
    }

    #[test]
    fn all_three_generations_of_masters_are_understood() {
        let (kind, agenda) = read(json!({"id": "t", "active_meeting": "m-001", "timestamp": 1.5}));
        assert_eq!(kind, MasterKind::Older);
        assert_eq!(agenda.wanted[0].target, Target::AtToken("t".into()));
        let (_, agenda) = read(json!({"id": "t", "active_meeting": "", "timestamp": 1.5}));
        assert!(agenda.wanted.is_empty());

        let meetings =
            json!([{"id": "m-1", "title": "一"}, {"id": "../x", "title": "二"}, {"id": "M-1", "title": "三"}]);
        let (kind, agenda) = read(json!({"id": "t", "active_meetings": meetings, "timestamp": 1}));
        assert_eq!((kind, agenda.wanted.len(), agenda.titles.len()), (MasterKind::Older, 1, 3));

        let hash = ContentHash([7; 32]);
        let meetings = json!([
            {"id": "m-1", "title": "一", "version": 3, "hash": hash.to_string(), "size_bytes": 9},
            {"id": "m-2", "title": "being built"},
        ]);
        let (kind, agenda) = read(json!({"id": "t", "active_meetings": meetings, "timestamp": 1, "version": 1}));
        assert_eq!(kind, MasterKind::Ours);
        assert_eq!(agenda.wanted.len(), 1);
        assert_eq!(agenda.wanted[0].target, Target::Version { version: 3, hash });
        assert!(agenda.is_active(&"M-2".parse().unwrap()));
    }
}
