//! Expiring download links: they make clients pass by the master. They are no secrecy: who has a link can pass it on
//! until it expires.

use posthouse_protocol::MeetingId;
use posthouse_protocol::signing::{LINK_PARAMETER, link_text};

use crate::trust::Secret;

/// Seconds for which a link is good.
pub const LINK_LIFETIME_SECONDS: i64 = 600;

/// A node's key for links alone.
#[derive(Debug, Clone)]
pub struct LinkKey(Secret);

impl LinkKey {
    /// Derived from the node's secret, on both sides.
    #[must_use]
    pub fn of(node_secret: &Secret) -> Self {
        Self(node_secret.derive("posthouse link"))
    }

    /// The query parameter, `ticket=<version>.<expires_at>.<signature>`. `expires_at`: Unix seconds of the master.
    #[must_use]
    pub fn parameter(&self, meeting: &MeetingId, version: u64, node_id: &str, expires_at: i64) -> String {
        let signature = self.0.sign(&link_text(&meeting.key(), version, node_id, expires_at));
        format!("{LINK_PARAMETER}={version}.{expires_at}.{signature}")
    }

    /// The version a ticket (the parameter's value) is good for at `now` (Unix seconds of the master), if it is.
    #[must_use]
    pub fn verify(&self, ticket: &str, meeting: &MeetingId, node_id: &str, now: i64) -> Option<u64> {
        let mut parts = ticket.splitn(3, '.');
        let version = parts.next()?.parse().ok()?;
        let expires_at: i64 = parts.next()?.parse().ok()?;
        let signature = parts.next()?;
        let text = link_text(&meeting.key(), version, node_id, expires_at);
        (self.0.verify(&text, signature) && now <= expires_at).then_some(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_bound_to_meeting_version_node_and_time() {
        let key = LinkKey::of(&Secret::random());
        let meeting: MeetingId = "M-1".parse().unwrap();
        let parameter = key.parameter(&meeting, 3, "node", 1000);
        let ticket = parameter.strip_prefix("ticket=").unwrap();
        assert_eq!(key.verify(ticket, &"m-1".parse().unwrap(), "node", 1000), Some(3));
        assert_eq!(key.verify(ticket, &meeting, "node", 1001), None);
        assert_eq!(key.verify(ticket, &meeting, "other", 1000), None);
        assert_eq!(key.verify(ticket, &"m-2".parse().unwrap(), "node", 1000), None);
        assert_eq!(key.verify(&ticket.replacen('3', "4", 1), &meeting, "node", 1000), None);
        assert_eq!(LinkKey::of(&Secret::random()).verify(ticket, &meeting, "node", 1000), None);
    }
}
