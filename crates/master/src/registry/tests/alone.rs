//! Who is let in without a secret, by the whole path of a request.

use posthouse_runtime::trust::Secret;

use super::*;

#[test]
fn a_node_that_joined_never_speaks_unsigned_again_and_only_for_itself() {
    let mut nodes = open_to_all();
    nodes.heartbeat(python_beat("n", "127.0.0.1:9000", &[]), &local(), at(1_000)).unwrap();
    nodes.give_secret("n", Secret::random(), at(2_000)).unwrap();
    assert!(nodes.list(at(2_000)).is_empty(), "what spoke for the id before is put out");
    let required = NodeRefusal::SignatureRequired("n".into());
    let unsigned = python_beat("n", "127.0.0.1:9000", &[]);
    assert_eq!(nodes.heartbeat(unsigned.clone(), &local(), at(3_000)), Err(required.clone()));
    assert_eq!(nodes.unregister("n", &local(), at(3_000)), Err(required.clone()));
    assert_eq!(nodes.open_live("n", None, &local(), at(3_000)).unwrap_err(), required);
    let newcomer = arrival("n", "one", "127.0.0.1:9000");
    assert_eq!(nodes.begin_registration(&newcomer, &local(), at(3_000)).unwrap_err(), required);
    let signed_by = |id: &str| Speaker { verified: Some(id.to_owned()), ..local() };
    assert!(matches!(
        nodes.heartbeat(unsigned.clone(), &signed_by("m"), at(3_000)),
        Err(NodeRefusal::AnotherNode { .. })
    ));
    nodes.heartbeat(unsigned, &signed_by("n"), at(3_000)).unwrap();
}

#[test]
fn where_the_plain_contract_is_closed_a_stranger_learns_how_to_join_and_leaves_no_trace() {
    let mut nodes = Nodes::new(NodesConfig::default(), Vec::new(), Vec::new());
    let refused = nodes.heartbeat(python_beat("x", "127.0.0.1:9000", &[]), &local(), at(1_000)).unwrap_err();
    assert_eq!(refused.code(), posthouse_protocol::ErrorCode::SecretRequired);
    assert!(refused.to_string().contains("--join"));
    assert!(nodes.by_id.is_empty());
    nodes.open_live("x", None, &local(), at(1_000)).unwrap_err();
    // Nor whether somebody of that id is known.
    assert_eq!(nodes.unregister("x", &local(), at(1_000)), Err(NodeRefusal::JoinRequired("x".into())));
}
