//! Who holds what, and what is served of it.

use super::*;
use crate::registry::PlainFetch;
use crate::registry::candidates::Readiness;

/// Meeting, version, and the byte of which its hash is made.
type Held<'a> = &'a [(&'a str, u64, u8)];

/// Registers nodes of ours, each with its connection up, that hold this.
fn with_nodes(holding: &[(&str, Held<'_>)]) -> (Nodes, Vec<mpsc::Receiver<posthouse_protocol::live::LiveEvent>>) {
    let mut nodes = open_to_all();
    let mut connections = Vec::new();
    for (id, held) in holding {
        register(&mut nodes, id, "one", 1_000);
        connections.push(open_live(&mut nodes, id, 1_000).1);
        nodes.heartbeat(beat(id, "one", held), &local(), at(1_000)).unwrap();
    }
    (nodes, connections)
}

fn readiness(nodes: &Nodes, meeting: &ActiveMeeting, now: u64) -> (Vec<String>, Vec<String>) {
    let Readiness { ready, waiting } = nodes.readiness(&meeting.id, meeting.wanted(), at(now));
    (ready, waiting)
}

#[test]
fn an_older_version_is_served_until_a_node_holds_the_newer_one() {
    let (mut nodes, _connections) = with_nodes(&[("a", &[("m", 1, 1)]), ("b", &[("m", 1, 1)])]);
    assert_eq!(served(&nodes, &meeting("m", &[1]), 2_000), (1, vec!["a".into(), "b".into()]));
    let changed = meeting("m", &[1, 2]);
    assert_eq!(served(&nodes, &changed, 2_000), (1, vec!["a".into(), "b".into()]));
    nodes.heartbeat(beat("b", "one", &[("M", 2, 2)]), &local(), at(2_500)).unwrap();
    assert_eq!(served(&nodes, &changed, 2_500), (2, vec!["b".into()]));
    assert_eq!(readiness(&nodes, &changed, 2_500), (vec!["b".into()], vec!["a".into()]));
    nodes.decide("b", Decision { state: NodeState::Draining, ..Decision::default() });
    assert_eq!(served(&nodes, &changed, 2_500), (1, vec!["a".into()]), "a older version rather than none");
    assert_eq!(readiness(&nodes, &changed, 2_500).0, ["b"], "it holds it all the same");
    nodes.decide("a", Decision { state: NodeState::Disabled, ..Decision::default() });
    assert_eq!(served(&nodes, &changed, 2_500), (2, vec![]), "the master serves the newest");
    assert_eq!(readiness(&nodes, &changed, 2_500), (vec!["b".into()], vec![]));
}

#[test]
fn a_number_without_the_right_hash_is_not_this_version() {
    let (nodes, _connections) = with_nodes(&[("a", &[("m", 1, 9), ("x", 3, 3)]), ("b", &[("mm", 1, 1)])]);
    assert_eq!(served(&nodes, &meeting("m", &[1]), 2_000), (1, vec![]));
}

#[test]
fn a_heartbeat_that_says_nothing_new_disturbs_nobody() {
    let (mut nodes, _connections) = with_nodes(&[("a", &[("m", 1, 1)])]);
    nodes.has_changed = false;
    nodes.heartbeat(beat("a", "one", &[("m", 1, 1)]), &local(), at(11_000)).unwrap();
    assert!(!nodes.has_changed);
    nodes.heartbeat(beat("a", "one", &[("m", 1, 1), ("k", 1, 1)]), &local(), at(21_000)).unwrap();
    assert!(nodes.has_changed);
}

#[test]
fn nobody_waits_for_a_process_that_is_gone_but_for_one_that_is_coming() {
    let (mut nodes, _connections) = with_nodes(&[("a", &[])]);
    let wanted = meeting("m", &[1]);
    register(&mut nodes, "b", "one", 1_000);
    assert_eq!(readiness(&nodes, &wanted, 1_500).1, ["a", "b"]);
    let connection = nodes.by_id["a"].registration.as_ref().unwrap().live.as_ref().unwrap().number;
    nodes.lose_live("a", connection, at(2_000));
    assert_eq!(readiness(&nodes, &wanted, 2_000).1, ["b"]);
    assert_eq!(readiness(&nodes, &wanted, 40_000).1, Vec::<String>::new());
}

fn fetch(peer: &str, version: u64) -> PlainFetch {
    PlainFetch { peer: peer.parse().unwrap(), meeting_key: "m".into(), version, hash: hash(version as u8) }
}

#[test]
fn a_python_node_counts_once_it_fetched_this_version_and_lists_the_meeting() {
    let mut nodes = open_to_all();
    let beat = |nodes: &mut Nodes, meetings: &[&str], now| {
        nodes.heartbeat(python_beat("p", "10.0.0.5:9000", meetings), &from("10.0.0.5"), at(now)).unwrap();
    };
    beat(&mut nodes, &[], 1_000);
    let first = meeting("m", &[1]);
    assert_eq!(readiness(&nodes, &first, 1_000).1, ["p"]);
    beat(&mut nodes, &["m"], 2_000);
    assert_eq!(served(&nodes, &first, 2_000).1, Vec::<String>::new(), "a file of that name is no proof");
    nodes.note_fetch(fetch("10.0.0.5", 1), at(2_500));
    assert_eq!(served(&nodes, &first, 2_500), (1, vec!["p".into()]));

    // It never fetches again what it lists, so it does not become ready, and nobody waits for it.
    let second = meeting("m", &[1, 2]);
    beat(&mut nodes, &["m"], 12_000);
    assert_eq!(served(&nodes, &second, 12_000), (1, vec!["p".into()]));
    assert_eq!(readiness(&nodes, &second, 12_000), (vec![], vec![]));
    assert_eq!(nodes.take_notes(f64::INFINITY).fetches.len(), 1);
}

#[test]
fn of_several_python_nodes_at_one_address_the_one_that_lists_it_anew_fetched_it() {
    let mut nodes = open_to_all();
    let beat = |nodes: &mut Nodes, id: &str, meetings: &[&str], now| {
        nodes.heartbeat(python_beat(id, "10.0.0.5:9000", meetings), &from("10.0.0.5"), at(now)).unwrap();
    };
    beat(&mut nodes, "stale", &["m"], 1_000);
    beat(&mut nodes, "fresh", &[], 1_000);
    nodes.note_fetch(fetch("10.0.0.5", 2), at(2_000));
    let wanted = meeting("m", &[2]);
    beat(&mut nodes, "stale", &["m"], 3_000);
    assert_eq!(served(&nodes, &wanted, 3_000).1, Vec::<String>::new());
    beat(&mut nodes, "fresh", &["m"], 3_500);
    assert_eq!(served(&nodes, &wanted, 3_500), (2, vec!["fresh".into()]));
    // One fetch, one node.
    beat(&mut nodes, "stale", &[], 4_000);
    beat(&mut nodes, "stale", &["m"], 5_000);
    assert_eq!(served(&nodes, &wanted, 5_000).1, ["fresh"]);
    // Somebody else's fetch is nobody's here.
    nodes.note_fetch(fetch("10.0.0.6", 2), at(5_000));
    assert_eq!(served(&nodes, &wanted, 5_000).1, ["fresh"]);
}

#[test]
fn the_view_says_why_a_node_gets_no_downloads() {
    let (mut nodes, _connections) = with_nodes(&[("a", &[("m", 1, 1)]), ("b", &[])]);
    let catalog = Catalog { token: "t".to_owned(), meetings: vec![meeting("m", &[1]), meeting("k", &[1])] };
    let causes = |nodes: &Nodes, id: &str| {
        let view = nodes.view(id, &catalog, at(2_000)).unwrap();
        view.not_chosen.into_iter().map(|reason| (reason.meeting_id, reason.cause)).collect::<Vec<_>>()
    };
    assert_eq!(causes(&nodes, "a"), [("k".to_owned(), NotChosenCause::NotSynced)]);
    assert_eq!(causes(&nodes, "b").len(), 2);
    nodes.decide("a", Decision { state: NodeState::Draining, ..Decision::default() });
    assert_eq!(causes(&nodes, "a")[0], ("m".to_owned(), NotChosenCause::Draining));
    nodes.unregister("b", &local(), at(2_000)).unwrap();
    assert_eq!(causes(&nodes, "b")[0].1, NotChosenCause::Offline);
    assert_eq!(nodes.views(&catalog, at(2_000)).len(), 2);
}
