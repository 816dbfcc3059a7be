//! Whether a download may be had by its link.

use posthouse_protocol::MeetingId;

use crate::state::Node;

/// True unless the node asks for signed links and this is not a good one.
pub(crate) fn is_good_enough(node: &Node, meeting: &MeetingId, ticket: Option<&str>) -> bool {
    let config = node.settings.now();
    if !config.network.require_signed_links {
        return true;
    }
    let key = node.uplink.link_key(&config.node_id);
    let verified = key.zip(ticket).and_then(|(key, ticket)| {
        // By the master's clock: this machine's may be wrong.
        key.verify(ticket, meeting, &config.node_id, node.uplink.master_now())
    });
    verified.is_some()
}
