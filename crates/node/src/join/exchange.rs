//! The requests of a join and what their answers mean.

use std::time::Duration;

use posthouse_protocol::join::{JoinAccepted, JoinCode, JoinOffer};
use posthouse_protocol::legacy::NodeView;
use posthouse_protocol::{ErrorCode, routes};
use posthouse_runtime::client::{ClientError, Identity, SignedClient, http_client};
use posthouse_runtime::trust::Secret;
use posthouse_runtime::trust::join::NodeExchange;
use rust_i18n::t;

use super::JoinFailure;
use crate::identity::{JoinState, NodeSecret};
use crate::state::Node;

/// Time limit for each request.
const LIMIT: Duration = Duration::from_secs(10);

/// Finds the master at one of the code's addresses and derives the secret with it. Nothing is in force yet.
pub(super) async fn begin(node: &Node, code: &JoinCode) -> Result<(NodeSecret, SignedClient), JoinFailure> {
    let mut refused = None;
    let mut unreachable = Vec::new();
    for address in &code.addresses {
        match hello(node, code, address).await {
            Ok(begun) => return Ok(begun),
            Err(JoinFailure::Refused(why)) => refused = refused.or(Some(format!("{address}: {why}"))),
            Err(JoinFailure::NotNow(why)) => unreachable.push(format!("{address}: {why}")),
        }
    }
    // Somebody else may live at one of the addresses; as long as another one may be the master, it is looked for.
    match refused {
        Some(why) if unreachable.is_empty() => Err(JoinFailure::Refused(why)),
        Some(why) => Err(JoinFailure::NotNow(format!("{}; {why}", unreachable.join("; ")))),
        None => Err(JoinFailure::NotNow(unreachable.join("; "))),
    }
}

async fn hello(node: &Node, code: &JoinCode, address: &str) -> Result<(NodeSecret, SignedClient), JoinFailure> {
    let client = client(node, address, None)?;
    let node_id = node.settings.now().node_id.clone();
    // `join::decode` let no other through.
    let token =
        Secret::from_hex(&code.token).ok_or_else(|| JoinFailure::Refused(t!("join.not_a_code").into_owned()))?;
    let exchange = NodeExchange::begin(&code.code_id, &token, &node_id);
    let offer: JoinOffer = client.post(routes::JOIN_HELLO, exchange.hello(), LIMIT).await.map_err(failure_of)?;
    let proven = exchange.finish(&offer);
    let (confirm, secret) =
        proven.map_err(|error| JoinFailure::Refused(t!("join.no_proof", error = error).into_owned()))?;
    let begun = NodeSecret {
        state: JoinState::Pending,
        code_id: code.code_id.clone(),
        master_id: offer.master_id,
        address: address.to_owned(),
        node_id,
        secret,
        confirm: Some(confirm),
        previous: None,
    };
    Ok((begun, client))
}

/// Shows the master that this node knows the code, too. Sent again it gives the same answer.
pub(super) async fn confirm(client: &SignedClient, pending: &NodeSecret) -> Result<(), JoinFailure> {
    let Some(confirm) = &pending.confirm else { return Err(JoinFailure::NotNow(t!("join.unknown").into_owned())) };
    let accepted: JoinAccepted = client.post(routes::JOIN_CONFIRM, confirm, LIMIT).await.map_err(failure_of)?;
    if accepted.node_id == pending.node_id && accepted.master_id == pending.master_id {
        Ok(())
    } else {
        Err(JoinFailure::NotNow(t!("join.unknown").into_owned()))
    }
}

/// Learns whether a confirmation whose answer was lost arrived: by sending it again, else by using the secret. False: the
/// master knows nothing of it.
pub(super) async fn finish(node: &Node, pending: &NodeSecret) -> Result<bool, JoinFailure> {
    let plain = client(node, &pending.address, None)?;
    let why = match confirm(&plain, pending).await {
        Ok(()) => return Ok(true),
        Err(JoinFailure::NotNow(why) | JoinFailure::Refused(why)) => why,
    };
    let identity = Identity { node_id: pending.node_id.clone(), secret: pending.secret.clone() };
    let signed = client(node, &pending.address, Some(identity))?;
    match signed.get::<NodeView>(routes::STATUS_NODE, LIMIT).await {
        // Whatever it says, it says it with this secret.
        Ok(_) | Err(ClientError::Status { .. }) => Ok(true),
        Err(ClientError::NotSigned(status)) if status.is_client_error() => Ok(false),
        Err(_) => Err(JoinFailure::NotNow(format!("{}: {why}", pending.address))),
    }
}

fn client(node: &Node, address: &str, identity: Option<Identity>) -> Result<SignedClient, JoinFailure> {
    let http = http_client(node.settings.now().network.connection_timeout);
    let http = http.map_err(|error| JoinFailure::NotNow(error.to_string()))?;
    Ok(SignedClient::new(http, address, identity, node.clock.clone()))
}

/// Only a master of ours refuses a code; what else answers at an address is not one.
fn failure_of(error: ClientError) -> JoinFailure {
    match error.code() {
        Some(
            ErrorCode::JoinCodeRefused | ErrorCode::JoinProofRefused | ErrorCode::Forbidden | ErrorCode::InvalidRequest,
        ) => JoinFailure::Refused(error.to_string()),
        _ => JoinFailure::NotNow(error.to_string()),
    }
}
