//! What the node says of itself in `GET /api/status`.

use posthouse_protocol::legacy::NodeStatus;
use posthouse_protocol::node::NodeDetail;
use posthouse_runtime::network;

use crate::state::Node;

/// The status of this moment.
pub(crate) fn status(node: &Node) -> NodeStatus {
    let config = node.settings.now();
    let is_running = node.service.is_running();
    let address = node.presence.reporter.address().unwrap_or_else(|| own_address(node));
    let (node_ip, node_port) = address.rsplit_once(':').unwrap_or((&address, ""));
    let meetings = node.shelf.meetings();
    let (sync_status, last_sync, want_of_room) = {
        let outlook = node.sync.outlook.lock();
        (outlook.status_text(node.sync.fetches.is_busy()), outlook.last_sync, outlook.want_of_room())
    };
    let file = node.settings.file().display().to_string();
    let problem = node.uplink.problem(&config, &file).or(want_of_room).or_else(|| node.space.problem());
    NodeStatus {
        node_id: config.node_id.clone(),
        running: is_running,
        connected: is_running && node.uplink.is_connected(),
        main_server: config.master.as_ref().map(|master| format!("http://{master}")).unwrap_or_default(),
        node_ip: node_ip.trim_start_matches('[').trim_end_matches(']').to_owned(),
        node_port: node_port.parse().unwrap_or_else(|_| node.listening.port()),
        start_time: node.service.started_at(),
        last_sync,
        sync_status,
        meeting_count: meetings.len(),
        active_meetings: meetings,
        storage_usage: node.shelf.total_bytes(),
        posthouse: Some(NodeDetail {
            version: posthouse_runtime::VERSION.to_owned(),
            instance: node.instance.clone(),
            trust: node.uplink.trust(&config),
            problem: problem.filter(|_| is_running),
            clock_offset_ms: node.uplink.clock_offset_ms(),
            config_problem: node.settings.problem(),
            fetching: node.sync.fetches.progress(),
            held: node.shelf.held(),
            tasks: node.tasks.views(),
        }),
    }
}

/// What would be advertised, before anything was.
fn own_address(node: &Node) -> String {
    let public = node.settings.now().public.clone();
    match public {
        Some(public) => network::host_and_port(&public.host, public.port.unwrap_or(node.listening.port())),
        None => network::reachable_addresses(node.listening).swap_remove(0),
    }
}
