//! Coming, staying, going.

use super::*;

#[test]
fn a_node_is_sent_downloads_once_its_connection_is_up_and_not_one_moment_after_it_broke() {
    let mut nodes = open_to_all();
    register(&mut nodes, "n", "one", 1_000);
    assert_eq!(obstacle(&nodes, "n", 1_000), Some(NotChosenCause::Offline), "nothing shows yet when it dies");
    let (connection, _events) = open_live(&mut nodes, "n", 1_500);
    assert_eq!(obstacle(&nodes, "n", 1_500), None);
    nodes.lose_live("n", connection, at(6_000));
    assert_eq!(obstacle(&nodes, "n", 6_000), Some(NotChosenCause::Offline));
    assert!(nodes.has_changed);
    assert_eq!(kinds(&mut nodes), [EventKind::NodeOnline, EventKind::NodeLost]);
}

#[test]
fn a_heartbeat_that_was_on_its_way_when_the_process_died_does_not_bring_it_back() {
    let mut nodes = open_to_all();
    register(&mut nodes, "n", "one", 1_000);
    let (connection, _events) = open_live(&mut nodes, "n", 1_000);
    nodes.lose_live("n", connection, at(6_000));
    nodes.heartbeat(beat("n", "one", &[]), &local(), at(7_999)).unwrap();
    assert_eq!(obstacle(&nodes, "n", 7_999), Some(NotChosenCause::Offline));
    // One that comes later shows that only the connection is gone, as behind a proxy that cuts it.
    nodes.heartbeat(beat("n", "one", &[]), &local(), at(8_000)).unwrap();
    assert_eq!(obstacle(&nodes, "n", 8_000), None);
}

#[test]
fn a_connection_that_comes_back_brings_the_node_back_and_the_end_of_an_older_one_changes_nothing() {
    let mut nodes = open_to_all();
    register(&mut nodes, "n", "one", 1_000);
    let (first, mut events) = open_live(&mut nodes, "n", 1_000);
    let (second, _events) = open_live(&mut nodes, "n", 2_000);
    assert!(matches!(events.try_recv(), Ok(posthouse_protocol::live::LiveEvent::Goodbye { .. })));
    nodes.lose_live("n", first, at(2_001));
    assert_eq!(obstacle(&nodes, "n", 2_001), None);
    nodes.lose_live("n", second, at(3_000));
    let (_third, _events) = open_live(&mut nodes, "n", 3_100);
    assert_eq!(obstacle(&nodes, "n", 3_100), None);
}

#[test]
fn a_silent_node_is_out_before_its_interval_and_five_seconds_and_offline_after_three_intervals() {
    let mut nodes = open_to_all();
    register(&mut nodes, "n", "one", 1_000);
    let (_connection, _events) = open_live(&mut nodes, "n", 1_000);
    assert_eq!(obstacle(&nodes, "n", 15_000), None);
    assert_eq!(obstacle(&nodes, "n", 15_001), Some(NotChosenCause::Offline));
    nodes.has_changed = false;
    nodes.sweep(at(15_000));
    assert!(!nodes.has_changed);
    nodes.sweep(at(15_250));
    assert!(std::mem::take(&mut nodes.has_changed));
    nodes.sweep(at(15_500));
    assert!(!nodes.has_changed, "told once");
    assert!(nodes.by_id["n"].is_online(at(31_000)) && !nodes.by_id["n"].is_online(at(31_001)));
    nodes.heartbeat(beat("n", "one", &[]), &local(), at(40_000)).unwrap();
    assert_eq!(obstacle(&nodes, "n", 40_000), None);
    assert_eq!(kinds(&mut nodes), [EventKind::NodeOnline, EventKind::NodeLost, EventKind::NodeOnline]);
}

#[test]
fn goodbye_keeps_row_name_and_weight() {
    let mut nodes = open_to_all();
    register(&mut nodes, "n", "one", 1_000);
    let decision = Decision { name: "一号".to_owned(), weight: 7, ..Decision::default() };
    nodes.decide("n", decision.clone());
    nodes.unregister("n", &local(), at(2_000)).unwrap();
    assert_eq!(nodes.unregister("n", &local(), at(2_000)), Err(NodeRefusal::NotFound("n".into())));
    assert_eq!(nodes.unregister("ghost", &local(), at(2_000)).unwrap_err().to_string(), "Node ghost not found");
    assert!(nodes.list(at(2_000)).is_empty());
    assert_eq!(nodes.available(at(2_000)).count, 0);
    register(&mut nodes, "n", "two", 3_000);
    assert_eq!((nodes.list(at(3_000)).len(), &nodes.by_id["n"].decision), (1, &decision));
}

#[test]
fn a_heartbeat_registers_an_unknown_node_but_not_the_process_that_just_said_goodbye() {
    let mut nodes = open_to_all();
    nodes.heartbeat(python_beat("p", "127.0.0.1:9000", &["m-1", "m-2"]), &local(), at(1_000)).unwrap();
    let listed = nodes.list(at(3_500)).remove(0);
    assert_eq!((listed.status.as_str(), listed.uptime), ("online", 2.5));
    assert_eq!(listed.active_meeting.as_deref(), Some("title of m-1, title of m-2"));
    nodes.unregister("p", &local(), at(4_000)).unwrap();
    nodes.heartbeat(python_beat("p", "127.0.0.1:9000", &[]), &local(), at(4_100)).unwrap();
    assert_eq!(nodes.list(at(4_100)).remove(0).active_meetings, None);

    register(&mut nodes, "n", "one", 5_000);
    nodes.unregister("n", &local(), at(6_000)).unwrap();
    nodes.heartbeat(beat("n", "one", &[]), &local(), at(6_001)).unwrap();
    assert_eq!(nodes.list(at(6_001)).len(), 1, "its last heartbeat crossed its goodbye");
    nodes.heartbeat(beat("n", "two", &[]), &local(), at(6_002)).unwrap();
    assert_eq!(nodes.list(at(6_002)).len(), 2);
}

#[test]
fn what_an_administrator_decides_is_in_force_at_once() {
    let mut nodes = open_to_all();
    register(&mut nodes, "n", "one", 1_000);
    let (_connection, mut events) = open_live(&mut nodes, "n", 1_000);
    let decided = |state| Decision { state, ..Decision::default() };
    nodes.decide("n", decided(NodeState::Draining));
    assert_eq!(obstacle(&nodes, "n", 1_000), Some(NotChosenCause::Draining));
    nodes.decide("n", decided(NodeState::Disabled));
    assert_eq!(obstacle(&nodes, "n", 1_000), Some(NotChosenCause::Disabled));
    assert!(matches!(events.try_recv(), Ok(posthouse_protocol::live::LiveEvent::Goodbye { .. })));
    assert!(events.try_recv().is_err());
    assert_eq!(nodes.open_live("n", None, &local(), at(1_000)).unwrap_err(), NodeRefusal::Disabled("n".into()));
    nodes.heartbeat(beat("n", "one", &[]), &local(), at(2_000)).unwrap();
    let catalog = Catalog { token: "t".to_owned(), meetings: vec![meeting("m", &[1])] };
    let signed = Speaker { verified: Some("n".to_owned()), ..local() };
    let told =
        |nodes: &Nodes, speaker: &Speaker| nodes.node_view(&catalog, speaker, at(2_000)).active_meetings.unwrap().len();
    assert_eq!((told(&nodes, &signed), told(&nodes, &local())), (0, 1));
    nodes.decide("n", decided(NodeState::Enabled));
    assert_eq!((told(&nodes, &signed), obstacle(&nodes, "n", 2_000)), (1, None));
    let node = nodes.take_out("n").unwrap();
    nodes.forget(node);
    assert!(nodes.by_id.is_empty());
}

#[test]
fn a_node_is_sent_downloads_only_where_it_was_reached() {
    let config = NodesConfig { allow_unsigned: Allowed::Yes, probe: true };
    let mut nodes = Nodes::new(config, Vec::new(), Vec::new());
    nodes.heartbeat(python_beat("p", "127.0.0.1:9000", &[]), &local(), at(1_000)).unwrap();
    assert_eq!(obstacle(&nodes, "p", 1_000), Some(NotChosenCause::NotReached));
    let target = nodes.due_probes(16, at(1_000)).remove(0);
    assert!(nodes.due_probes(16, at(1_000)).is_empty(), "given out once");
    nodes.note_probe(&target, &Reachability::Reached, at(1_100));
    assert_eq!(obstacle(&nodes, "p", 1_100), None);

    // Another address has to be reached anew; an answer about the one before says nothing of it.
    nodes.heartbeat(python_beat("p", "127.0.0.1:9001", &[]), &local(), at(2_000)).unwrap();
    nodes.note_probe(&target, &Reachability::Reached, at(2_000));
    assert_eq!(obstacle(&nodes, "p", 2_000), Some(NotChosenCause::NotReached));
    let target = nodes.due_probes(16, at(2_000)).remove(0);
    assert_eq!(&*target.address, "127.0.0.1:9001");
    nodes.note_probe(&target, &Reachability::Reached, at(2_100));
    assert_eq!(obstacle(&nodes, "p", 2_100), None);
    // So has a node that registers anew.
    let anew = Arrival::check("p", "127.0.0.1:9001", None).unwrap();
    nodes.begin_registration(&anew, &local(), at(3_000)).unwrap();
    assert_eq!(obstacle(&nodes, "p", 3_000), Some(NotChosenCause::NotReached));
}
