//! The rules of the registry, on its state alone: time is what a test says.

mod alone;
mod challenge;
mod holding;
mod life;
mod written;

use posthouse_protocol::ContentHash;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::legacy::{HeartbeatRequest, MeetingTitle};
use posthouse_protocol::node::{HeldPackage, NodeExtension, NodeState, NotChosenCause, Reachability};
use tokio::sync::mpsc;

use super::admission::{Arrival, Speaker};
use super::moment::Moment;
use super::nodes::Nodes;
use super::presence::Registered;
use super::refusal::NodeRefusal;
use crate::catalog::{ActiveMeeting, Catalog, PackageVersion};
use crate::config::{Allowed, NodesConfig};
use crate::store::nodes::Decision;

/// Everybody is let in, nobody is probed.
fn open_to_all() -> Nodes {
    Nodes::new(NodesConfig { allow_unsigned: Allowed::Yes, probe: false }, Vec::new(), Vec::new())
}

fn at(ms: u64) -> Moment {
    Moment { ms, unix_seconds: 1_800_000_000.0 + ms as f64 / 1000.0 }
}

fn from(peer: &str) -> Speaker {
    Speaker { verified: None, peer: peer.parse().unwrap() }
}

fn local() -> Speaker {
    from("127.0.0.1")
}

fn hash(byte: u8) -> ContentHash {
    ContentHash([byte; 32])
}

fn extension(instance: &str, held: &[(&str, u64, u8)]) -> NodeExtension {
    let held = held.iter().map(|(id, version, byte)| HeldPackage {
        meeting_id: (*id).to_owned(),
        version: *version,
        hash: hash(*byte),
        size_bytes: 1,
    });
    NodeExtension {
        instance: instance.to_owned(),
        heartbeat_interval_seconds: 10,
        held: held.collect(),
        ..NodeExtension::default()
    }
}

/// A heartbeat of a node of ours.
fn beat(id: &str, instance: &str, held: &[(&str, u64, u8)]) -> HeartbeatRequest {
    HeartbeatRequest {
        node_id: id.to_owned(),
        address: "127.0.0.1:8001".to_owned(),
        status: "online".to_owned(),
        active_meetings: Vec::new(),
        synced_meetings: Vec::new(),
        posthouse: Some(extension(instance, held)),
    }
}

/// A heartbeat of a Python node that lists these meetings as active and as synced.
fn python_beat(id: &str, address: &str, meetings: &[&str]) -> HeartbeatRequest {
    let title = |id: &&str| MeetingTitle { id: (*id).to_owned(), title: format!("title of {id}") };
    HeartbeatRequest {
        node_id: id.to_owned(),
        address: address.to_owned(),
        status: "online".to_owned(),
        active_meetings: meetings.iter().map(title).collect(),
        synced_meetings: meetings.iter().map(|id| (*id).to_owned()).collect(),
        posthouse: None,
    }
}

fn arrival(id: &str, instance: &str, address: &str) -> Arrival {
    Arrival::check(id, address, Some(extension(instance, &[]))).unwrap()
}

fn register(nodes: &mut Nodes, id: &str, instance: &str, now: u64) {
    let registered = nodes.begin_registration(&arrival(id, instance, "127.0.0.1:8001"), &local(), at(now)).unwrap();
    assert!(matches!(registered, Registered::Done), "{registered:?}");
}

fn open_live(nodes: &mut Nodes, id: &str, now: u64) -> (u64, mpsc::Receiver<posthouse_protocol::live::LiveEvent>) {
    nodes.open_live(id, None, &local(), at(now)).unwrap()
}

fn obstacle(nodes: &Nodes, id: &str, now: u64) -> Option<NotChosenCause> {
    nodes.by_id[id].obstacle(at(now))
}

fn kinds(nodes: &mut Nodes) -> Vec<EventKind> {
    std::mem::take(&mut nodes.notices).into_iter().map(|notice| notice.kind).collect()
}

/// A meeting with versions of these numbers, whose hashes are made of them.
fn meeting(id: &str, versions: &[u64]) -> ActiveMeeting {
    let version = |version: &u64| PackageVersion {
        version: *version,
        hash: hash(*version as u8),
        size_bytes: 1,
        built_at: 0.0,
        path: "package.zip".into(),
        agenda: std::sync::Arc::default(),
    };
    ActiveMeeting {
        id: id.parse().unwrap(),
        title: format!("title of {id}"),
        time: "2026-11-20T09:00".to_owned(),
        intro: None,
        announced: true,
        versions: versions.iter().map(version).collect(),
    }
}

/// Which version is served, and by whom.
fn served(nodes: &Nodes, meeting: &ActiveMeeting, now: u64) -> (u64, Vec<String>) {
    let catalog = Catalog { token: "t".to_owned(), meetings: vec![meeting.clone()] };
    let served = nodes.served(&catalog, at(now)).remove(0);
    (served.version, served.candidates.iter().map(|candidate| candidate.id.to_string()).collect())
}
