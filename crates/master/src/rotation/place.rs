//! A node in a rotation, with the link that sends downloads to it.

use std::sync::Arc;

use http::HeaderValue;
use posthouse_protocol::legacy::DownloadNode;
use posthouse_protocol::{MeetingId, routes};
use posthouse_runtime::trust::link::LINK_LIFETIME_SECONDS;

use crate::registry::Candidate;

/// A link is handed out for this long, in milliseconds, before a new one is made; it is good for much longer.
const LINK_REUSE_MS: i64 = 60_000;

/// A candidate and its link, once one was needed.
#[derive(Debug)]
pub(super) struct Place {
    candidate: Candidate,
    link: Option<Link>,
}

#[derive(Debug, Clone)]
struct Link {
    location: HeaderValue,
    /// Unix milliseconds.
    made_ms: i64,
}

impl From<Candidate> for Place {
    fn from(candidate: Candidate) -> Self {
        Self { candidate, link: None }
    }
}

impl Place {
    pub(super) fn id(&self) -> &str {
        &self.candidate.id
    }

    pub(super) fn weight(&self) -> i64 {
        i64::from(self.candidate.weight)
    }

    /// Whether this is the place of that very candidate.
    pub(super) fn is_of(&self, candidate: &Candidate) -> bool {
        self.candidate.id == candidate.id && self.candidate.weight == candidate.weight && self.leads_to(candidate)
    }

    /// Takes over the link of the same node in the rotation before, if it still leads there.
    pub(super) fn keep_link(&mut self, before: &Self) {
        if before.leads_to(&self.candidate) {
            self.link.clone_from(&before.link);
        }
    }

    fn leads_to(&self, candidate: &Candidate) -> bool {
        let is_same_key = match (&self.candidate.link, &candidate.link) {
            (Some(now), Some(then)) => Arc::ptr_eq(now, then),
            (None, None) => true,
            _ => false,
        };
        is_same_key && self.candidate.address == candidate.address
    }

    /// The value of `Location` for this package at this node. `None` only for an address that cannot stand in a
    /// header, which no registration lets in.
    pub(super) fn location(&mut self, meeting: &MeetingId, version: u64, now_ms: i64) -> Option<HeaderValue> {
        // A clock that was set back makes a new link, too.
        let is_fresh = |link: &&Link| (0..LINK_REUSE_MS).contains(&(now_ms - link.made_ms));
        if let Some(link) = self.link.as_ref().filter(is_fresh) {
            return Some(link.location.clone());
        }
        let location = HeaderValue::try_from(self.url(meeting, version, now_ms)).ok()?;
        self.link = Some(Link { location: location.clone(), made_ms: now_ms });
        Some(location)
    }

    /// The same as an element of `download-nodes-info`.
    pub(super) fn endpoint(&mut self, meeting: &MeetingId, version: u64, now_ms: i64) -> Option<DownloadNode> {
        let location = self.location(meeting, version, now_ms)?;
        let download_url = location.to_str().ok()?.to_owned();
        Some(DownloadNode { ip: self.candidate.address.to_string(), download_url })
    }

    fn url(&self, meeting: &MeetingId, version: u64, now_ms: i64) -> String {
        let Candidate { id, address, link, .. } = &self.candidate;
        let mut url = format!("http://{address}{}", routes::download_package(meeting));
        if let Some(key) = link {
            url.push('?');
            url.push_str(&key.parameter(meeting, version, id, now_ms / 1000 + LINK_LIFETIME_SECONDS));
        }
        url
    }
}
