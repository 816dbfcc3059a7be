//! `nodes`: what outlives a restart about each node. What is seen of it from second to second lives in
//! [`crate::registry`] and comes here late and together; what a person decided, and secrets, come at once.

use posthouse_protocol::node::NodeState;
use posthouse_runtime::store::{Store, StoreError};
use posthouse_runtime::trust::Secret;
use rusqlite::{Row, Transaction, params};

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NodeRow {
    pub(crate) id: String,
    pub(crate) decision: Decision,
    pub(crate) secret: Option<Secret>,
    pub(crate) address: String,
    /// Unix seconds, 0 when never.
    pub(crate) last_seen: f64,
}

/// What a person decided about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) name: String,
    pub(crate) description: String,
    /// 1 to 1000.
    pub(crate) weight: u32,
    pub(crate) state: NodeState,
}

impl Default for Decision {
    fn default() -> Self {
        Self { name: String::new(), description: String::new(), weight: 1, state: NodeState::Enabled }
    }
}

/// What was seen of a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sighting {
    pub(crate) id: String,
    pub(crate) address: String,
    /// Unix seconds.
    pub(crate) last_seen: f64,
}

/// All rows, in the order of their ids.
pub(crate) async fn all(store: &Store) -> Result<Vec<NodeRow>, StoreError> {
    store
        .call(|connection| {
            let mut statement = connection.prepare(
                "SELECT id, name, description, weight, state, secret, address, last_seen FROM nodes ORDER BY id",
            )?;
            statement.query_map([], read)?.collect()
        })
        .await
}

fn read(row: &Row<'_>) -> rusqlite::Result<NodeRow> {
    let secret: Option<String> = row.get(5)?;
    let state: String = row.get(4)?;
    Ok(NodeRow {
        id: row.get(0)?,
        decision: Decision {
            name: row.get(1)?,
            description: row.get(2)?,
            weight: row.get(3)?,
            state: state_of(&state),
        },
        secret: secret.as_deref().and_then(Secret::from_hex),
        address: row.get(6)?,
        last_seen: row.get(7)?,
    })
}

/// Notes what was seen; makes the rows of nodes that were never seen before.
pub(super) fn note(transaction: &Transaction<'_>, sightings: &[Sighting]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO nodes (id, address, last_seen) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET address = ?2, last_seen = ?3",
    )?;
    for Sighting { id, address, last_seen } in sightings {
        statement.execute(params![id, address, last_seen])?;
    }
    Ok(())
}

/// Keeps what a person decided.
pub(crate) async fn decide(store: &Store, id: &str, decision: &Decision) -> Result<(), StoreError> {
    let (id, decision) = (id.to_owned(), decision.clone());
    store
        .call(move |connection| {
            super::durably(connection, |transaction| {
                let Decision { name, description, weight, state } = &decision;
                transaction.execute(
                    "INSERT INTO nodes (id, name, description, weight, state) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (id) DO UPDATE SET name = ?2, description = ?3, weight = ?4, state = ?5",
                    params![id, name, description, weight, text_of(*state)],
                )?;
                Ok(())
            })
        })
        .await
}

/// Removes a node with its secret, its history and all else.
pub(crate) async fn remove(store: &Store, id: &str) -> Result<(), StoreError> {
    let id = id.to_owned();
    store
        .call(move |connection| {
            super::durably(connection, |transaction| {
                transaction.execute("DELETE FROM nodes WHERE id = ?1", [id]).map(drop)
            })
        })
        .await
}

/// Gives a node its secret, if it has none; whether it had none.
pub(super) fn give_secret(
    transaction: &Transaction<'_>,
    id: &str,
    secret: &Secret,
    now: f64,
) -> rusqlite::Result<bool> {
    let changed = transaction.execute(
        "INSERT INTO nodes (id, secret, joined_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET secret = ?2, joined_at = ?3 WHERE secret IS NULL",
        params![id, secret.to_hex(), now],
    )?;
    Ok(changed > 0)
}

fn text_of(state: NodeState) -> &'static str {
    match state {
        NodeState::Enabled => "enabled",
        NodeState::Draining => "draining",
        NodeState::Disabled => "disabled",
    }
}

/// The table's check lets no other text in.
fn state_of(text: &str) -> NodeState {
    match text {
        "draining" => NodeState::Draining,
        "disabled" => NodeState::Disabled,
        _ => NodeState::Enabled,
    }
}
