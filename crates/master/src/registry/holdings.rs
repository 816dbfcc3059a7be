//! Which packages a node holds. Ours say it by version and hash; a Python node lists meetings, which proves nothing of
//! the version, so what it was seen to fetch is asked as well.

use posthouse_protocol::ContentHash;
use posthouse_protocol::legacy::MeetingTitle;
use posthouse_protocol::node::HeldPackage;

use crate::catalog::PackageVersion;

/// A version of a meeting's package at a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holding {
    /// Meeting id in lower case.
    pub(super) key: String,
    pub(super) version: u64,
    pub(super) hash: ContentHash,
}

/// What a node said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holdings {
    /// A node of ours: what it holds verified, sorted.
    Told(Vec<Holding>),
    /// A Python node: keys of meetings that it lists as active and as synced, sorted.
    Listed(Vec<String>),
}

impl Holdings {
    /// What a node of ours says.
    pub(super) fn told(held: &[HeldPackage]) -> Self {
        let holding = |held: &HeldPackage| Holding {
            key: held.meeting_id.to_ascii_lowercase(),
            version: held.version,
            hash: held.hash,
        };
        let mut holdings: Vec<Holding> = held.iter().map(holding).collect();
        holdings.sort_unstable();
        Self::Told(holdings)
    }

    /// What a Python node says.
    pub(super) fn listed(active: &[MeetingTitle], synced: &[String]) -> Self {
        let is_active = |id: &&String| active.iter().any(|meeting| meeting.id.eq_ignore_ascii_case(id));
        let mut keys: Vec<String> = synced.iter().filter(is_active).map(|id| id.to_ascii_lowercase()).collect();
        keys.sort_unstable();
        keys.dedup();
        Self::Listed(keys)
    }

    /// Whether this very version is held. `fetched`: see [`super::fetches`].
    pub(super) fn include(&self, key: &str, version: &PackageVersion, fetched: &[Holding]) -> bool {
        let is_it = |holding: &Holding| {
            holding.key == key && holding.version == version.version && holding.hash == version.hash
        };
        match self {
            Self::Told(held) => {
                let from = held.partition_point(|holding| holding.key.as_str() < key);
                held[from..].iter().take_while(|holding| holding.key == key).any(is_it)
            }
            Self::Listed(keys) => Self::lists(keys, key) && fetched.iter().any(is_it),
        }
    }

    /// Whether a Python node lists the meeting. It never fetches a meeting again that it lists.
    pub(super) fn is_listed(&self, key: &str) -> bool {
        matches!(self, Self::Listed(keys) if Self::lists(keys, key))
    }

    /// Meetings that a Python node lists and `before` did not.
    pub(super) fn newly_listed<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a str> {
        let keys = match self {
            Self::Listed(keys) => keys.as_slice(),
            Self::Told(_) => &[],
        };
        keys.iter().map(String::as_str).filter(|key| !before.is_listed(key))
    }

    fn lists(keys: &[String], key: &str) -> bool {
        keys.binary_search_by(|listed| listed.as_str().cmp(key)).is_ok()
    }
}
