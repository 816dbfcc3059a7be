//! Two processes of one id.

use posthouse_protocol::live::{ChallengeAnswer, LiveEvent};

use super::*;

/// Registers a newcomer, which has to wait for the answer to this challenge.
fn challenged(
    nodes: &mut Nodes,
    events: &mut mpsc::Receiver<LiveEvent>,
    instance: &str,
) -> (u64, tokio::sync::oneshot::Receiver<()>, String) {
    let newcomer = arrival("n", instance, "127.0.0.1:8002");
    let Registered::Asked { connection, answer } = nodes.begin_registration(&newcomer, &local(), at(2_000)).unwrap()
    else {
        panic!("nobody was asked")
    };
    let Ok(LiveEvent::Challenge { challenge }) = events.try_recv() else { panic!("nobody was asked") };
    (connection, answer, challenge)
}

fn answer(instance: &str, challenge: &str) -> ChallengeAnswer {
    ChallengeAnswer { node_id: "n".into(), instance: instance.into(), challenge: challenge.into() }
}

#[test]
fn a_process_that_answers_keeps_its_id() {
    let mut nodes = open_to_all();
    register(&mut nodes, "n", "one", 1_000);
    let (_connection, mut events) = open_live(&mut nodes, "n", 1_000);
    let (_, mut answered, challenge) = challenged(&mut nodes, &mut events, "two");
    for wrong in [answer("two", &challenge), answer("one", "guessed")] {
        assert_eq!(nodes.answer_challenge(&wrong, &local()), Err(NodeRefusal::NoChallenge));
    }
    nodes.answer_challenge(&answer("one", &challenge), &local()).unwrap();
    assert_eq!(answered.try_recv(), Ok(()));
    assert_eq!(nodes.answer_challenge(&answer("one", &challenge), &local()), Err(NodeRefusal::NoChallenge));
    let refused = nodes.heartbeat(beat("n", "two", &[]), &local(), at(3_000)).unwrap_err();
    assert_eq!(refused, NodeRefusal::SecondInstance { id: "n".into(), address: "127.0.0.1:8001".into() });
    nodes.open_live("n", Some("two"), &local(), at(3_000)).unwrap_err();
    assert_eq!(obstacle(&nodes, "n", 3_000), None);
}

#[test]
fn a_process_that_does_not_answer_loses_its_id() {
    let mut nodes = open_to_all();
    register(&mut nodes, "n", "one", 1_000);
    let (_connection, mut events) = open_live(&mut nodes, "n", 1_000);
    let (connection, _answered, _) = challenged(&mut nodes, &mut events, "two");
    assert!(nodes.take_over(&arrival("n", "two", "127.0.0.1:8002"), &local(), connection, at(4_000)).unwrap());
    assert!(matches!(events.try_recv(), Ok(LiveEvent::Goodbye { .. })));
    nodes.heartbeat(beat("n", "one", &[]), &local(), at(4_001)).unwrap_err();
    let mut of_two = beat("n", "two", &[]);
    of_two.address = "127.0.0.1:8002".into();
    nodes.heartbeat(of_two, &local(), at(4_002)).unwrap();
    let (_connection, _events) = nodes.open_live("n", Some("two"), &local(), at(4_003)).unwrap();
    assert_eq!(obstacle(&nodes, "n", 4_003), None);
}

#[test]
fn a_restart_takes_over_at_once_and_a_process_may_register_again() {
    let mut nodes = open_to_all();
    register(&mut nodes, "n", "one", 1_000);
    let (connection, _events) = open_live(&mut nodes, "n", 1_000);
    register(&mut nodes, "n", "one", 1_500);
    assert_eq!(obstacle(&nodes, "n", 1_500), None, "its connection stayed");
    // Killed: its connection is gone, and what was sent on it before.
    nodes.lose_live("n", connection, at(2_000));
    register(&mut nodes, "n", "two", 2_001);
    nodes.heartbeat(beat("n", "two", &[]), &local(), at(2_100)).unwrap();
}

#[test]
fn a_connection_that_was_replaced_while_it_was_asked_is_asked_again() {
    let mut nodes = open_to_all();
    register(&mut nodes, "n", "one", 1_000);
    let (_connection, mut events) = open_live(&mut nodes, "n", 1_000);
    let (connection, mut answered, _) = challenged(&mut nodes, &mut events, "two");
    let (_newer, _events) = open_live(&mut nodes, "n", 2_500);
    assert!(answered.try_recv().is_err());
    assert!(!nodes.take_over(&arrival("n", "two", "127.0.0.1:8002"), &local(), connection, at(4_000)).unwrap());
    assert_eq!(nodes.by_id["n"].registration.as_ref().unwrap().instance.as_deref(), Some("one"));
}
