//! What is known of the master's wishes and of what became of them; the words of `sync_status` come from here.

use std::collections::BTreeMap;
use std::time::Duration;

use posthouse_protocol::MeetingId;
use tokio::time::Instant;

use super::agenda::{Agenda, Target, Wanted};
use super::error::FetchError;

/// The state of sync as people see it.
#[derive(Debug)]
pub(crate) struct Outlook {
    pub(crate) agenda: Option<Agenda>,
    /// Unix seconds at which a package was last fetched.
    pub(crate) last_sync: Option<f64>,
    /// The next answer is the first since the service started.
    pub(crate) is_first_poll: bool,
    /// Why packages that the master wants are not here, by meeting key.
    pub(crate) failures: BTreeMap<String, Failure>,
}

/// Why a package is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    text: String,
    is_local: bool,
    is_want_of_room: bool,
    /// Bytes for which there was no room; 0 for other failures.
    size_without_room: u64,
    target: Target,
    /// Before then the same is not tried again, however often the node is told to look.
    not_before: Instant,
}

impl Default for Outlook {
    fn default() -> Self {
        Self { agenda: None, last_sync: None, is_first_poll: true, failures: BTreeMap::new() }
    }
}

impl Outlook {
    /// Takes the master's word; whether it is the first since the service started.
    pub(super) fn take_over(&mut self, agenda: Agenda) -> bool {
        self.failures.retain(|key, _| agenda.wanted.iter().any(|wanted| wanted.meeting.key() == *key));
        self.agenda = Some(agenda);
        std::mem::take(&mut self.is_first_poll)
    }

    pub(super) fn is_active(&self, meeting: &MeetingId) -> bool {
        self.agenda.as_ref().is_some_and(|agenda| agenda.is_active(meeting))
    }

    pub(super) fn note_failure(&mut self, wanted: &Wanted, error: &FetchError, pause: Duration) -> bool {
        let (text, is_want_of_room) = (error.to_string(), error.is_want_of_room());
        let failure = Failure {
            text: text.clone(),
            is_local: error.is_local(),
            is_want_of_room,
            size_without_room: if let FetchError::NoRoom { size, .. } = error { *size } else { 0 },
            target: wanted.target.clone(),
            not_before: Instant::now() + pause,
        };
        let before = self.failures.insert(wanted.meeting.key(), failure);
        // The figures in a want of room may differ each time; that it is one is not news.
        before.is_none_or(|before| before.text != text && !(before.is_want_of_room && is_want_of_room))
    }

    /// Whether this failed a moment ago. Room may have been made in between, so a want of it does not count.
    pub(super) fn failed_just_now(&self, wanted: &Wanted) -> bool {
        self.failures.get(&wanted.meeting.key()).is_some_and(|failure| {
            failure.target == wanted.target && !failure.is_want_of_room && Instant::now() < failure.not_before
        })
    }

    /// Bytes for which there was no room when this was fetched last; 0 when that was not what was wrong.
    pub(super) fn size_without_room(&self, wanted: &Wanted) -> u64 {
        let failure = self.failures.get(&wanted.meeting.key()).filter(|failure| failure.target == wanted.target);
        failure.map_or(0, |failure| failure.size_without_room)
    }

    /// What failed may be tried again at once: something changed that may help.
    pub(crate) fn forgive(&mut self) {
        let now = Instant::now();
        self.failures.values_mut().for_each(|failure| failure.not_before = now);
    }

    /// A package came onto the shelf at this time.
    pub(crate) fn note_sync(&mut self, seconds: f64) {
        self.last_sync = Some(self.last_sync.map_or(seconds, |last| last.max(seconds)));
    }

    /// The words of the deployed node. `is_busy`: something is being fetched.
    pub(crate) fn status_text(&self, is_busy: bool) -> String {
        if is_busy {
            return "同步中".to_owned();
        }
        match self.failures.values().next() {
            Some(Failure { text, is_local: true, .. }) => format!("同步出错: {text}"),
            Some(Failure { text, .. }) => format!("同步失败: {text}"),
            None if self.last_sync.is_some() => "同步成功".to_owned(),
            None => "未同步".to_owned(),
        }
    }

    /// What is wrong with the room, if that is why something is not here.
    pub(crate) fn want_of_room(&self) -> Option<String> {
        self.failures.values().find(|failure| failure.is_want_of_room).map(|failure| failure.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::ContentHash;

    use super::*;

    #[test]
    fn the_words_follow_what_happens_and_a_failure_is_news_once() {
        let wanted = |version| Wanted {
            meeting: "m-1".parse().unwrap(),
            title: String::new(),
            target: Target::Version { version, hash: ContentHash([1; 32]) },
        };
        let note = |outlook: &mut Outlook, error: &FetchError| {
            outlook.note_failure(&wanted(1), error, Duration::from_secs(10))
        };
        let mut outlook = Outlook::default();
        assert_eq!(outlook.status_text(false), "未同步");
        assert_eq!(outlook.status_text(true), "同步中");
        outlook.note_sync(5.0);
        assert_eq!(outlook.status_text(false), "同步成功");
        assert!(note(&mut outlook, &FetchError::BadBlocks(2)));
        assert!(!note(&mut outlook, &FetchError::BadBlocks(2)));
        assert!(outlook.status_text(false).starts_with("同步失败: "));
        assert!(note(&mut outlook, &FetchError::NoRoom { size: 5, used: 6, limit: 7 }));
        assert!(!note(&mut outlook, &FetchError::NoRoom { size: 5, used: 7, limit: 7 }));
        assert!(outlook.want_of_room().is_some());
        assert!(!outlook.failed_just_now(&wanted(1)));
        assert!(note(&mut outlook, &FetchError::Disk("broken".into())));
        assert_eq!(outlook.status_text(false), "同步出错: disk error: broken");
        assert!(outlook.failed_just_now(&wanted(1)) && !outlook.failed_just_now(&wanted(2)));
        outlook.forgive();
        assert!(!outlook.failed_just_now(&wanted(1)));
        // Nobody wants it any more.
        assert!(outlook.take_over(Agenda::default()));
        assert!(!outlook.take_over(Agenda::default()));
        assert_eq!(outlook.status_text(false), "同步成功");
    }
}
