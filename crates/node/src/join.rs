//! Joining a master by a code: hello, the master's proof, the secret on disk, confirmation. What was begun is finished
//! after a lost answer or a restart; the secret itself never crosses the wire.

mod exchange;

use posthouse_protocol::event::EventKind;
use posthouse_protocol::join::JoinCode;
use posthouse_runtime::exit::StartError;
use posthouse_runtime::tasks::{Report, blocking};
use rust_i18n::t;
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::identity::{self, JoinState, NodeSecret};
use crate::reconfigure::{self, Editor};
use crate::start;
use crate::state::Node;
use crate::store::meta::{self, Fact};

/// Why there is no secret yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JoinFailure {
    /// The master does not take this code; trying again is of no use.
    Refused(String),
    /// Nobody answers, or not as a master does.
    NotNow(String),
}

/// Joins, unless there is nothing to join or to finish. A code that the master refuses at the very first attempt is told
/// to `refused`: whoever started the node with it ought to know at once.
pub(crate) async fn run(node: Node, code: Option<JoinCode>, refused: mpsc::Sender<StartError>, report: Report) {
    let mut backoff = Backoff::default();
    let mut is_first = true;
    loop {
        let attempt = tokio::select! {
            attempt = attempt(&node, code.as_ref()) => attempt,
            () = node.stop.cancelled() => return,
        };
        let pause = match attempt {
            Ok(()) => {
                report.completed();
                node.uplink.set_join_problem(None);
                return;
            }
            Err(JoinFailure::Refused(why)) => {
                report.failed(&why);
                tracing::error!(why, "the join code is refused");
                node.events.record(EventKind::NodeRefused, None, why.clone());
                node.uplink.set_join_problem(Some(t!("join.refused", why = why).into_owned()));
                if is_first {
                    let _ = refused.send(StartError::Unavailable(t!("join.refused", why = why).into_owned())).await;
                }
                return;
            }
            Err(JoinFailure::NotNow(why)) => {
                report.failed(&why);
                if is_first {
                    tracing::warn!(why, "cannot join yet; trying again");
                }
                node.uplink.set_join_problem(Some(t!("join.not_now", why = why).into_owned()));
                backoff.pause()
            }
        };
        is_first = false;
        report.next_in(pause);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = node.stop.cancelled() => return,
        }
    }
}

async fn attempt(node: &Node, code: Option<&JoinCode>) -> Result<(), JoinFailure> {
    let known = node.uplink.secret();
    if let Some(pending) = known.filter(|secret| secret.state == JoinState::Pending) {
        if exchange::finish(node, &pending).await? {
            joined(node, pending).await?;
        } else {
            tracing::warn!("the master knows nothing of the join that was begun");
            store(node, pending.previous.map(|previous| *previous)).await?;
        }
    }
    let Some(code) = code else { return Ok(()) };
    let in_force = node.uplink.secret().filter(|secret| secret.state == JoinState::Joined);
    if in_force.as_ref().is_some_and(|secret| secret.code_id == code.code_id) {
        tracing::info!("this code was used before; going on with the secret that it gave");
        return Ok(());
    }
    match exchange::begin(node, code).await {
        Ok((begun, client)) => {
            let pending = NodeSecret { previous: in_force.map(Box::new), ..begun };
            store(node, Some(pending.clone())).await?;
            exchange::confirm(&client, &pending).await?;
            joined(node, pending).await
        }
        // A spent code of the master that it joined already.
        Err(JoinFailure::Refused(why))
            if in_force.as_ref().is_some_and(|secret| code.addresses.contains(&secret.address)) =>
        {
            tracing::warn!(why, "the join code is refused; going on with the secret of this master");
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// The master said yes: the secret is in force from now on.
async fn joined(node: &Node, pending: NodeSecret) -> Result<(), JoinFailure> {
    let secret = NodeSecret { state: JoinState::Joined, confirm: None, previous: None, ..pending };
    store(node, Some(secret.clone())).await?;
    node.uplink.set_code_is_open(false);
    node.uplink.set_join_problem(None);
    if let Err(error) = meta::write(&node.store, Fact::CodeGiven, None).await {
        tracing::warn!(%error, "that the node joined is not in the database");
    }
    tracing::info!(master = secret.address, "joined the master");
    node.events.record(EventKind::NodeJoined, None, format!("{} {}", secret.address, secret.master_id));
    let mut raw = node.settings.raw();
    start::set_master(&mut raw, &secret.address);
    if let Err(error) = reconfigure::edit(node, raw, Editor::Join).await {
        tracing::error!(%error, "the master's address could not be put into the configuration");
    }
    // The address may have been the right one before; the contract is another one now.
    node.uplink.refresh(&node.settings.now());
    Ok(())
}

async fn store(node: &Node, secret: Option<NodeSecret>) -> Result<(), JoinFailure> {
    let (path, written) = (node.secret_path(), secret.clone());
    let saved = blocking(move || identity::save(&path, written.as_ref())).await;
    saved.map_err(|error| {
        let path = node.secret_path().display().to_string();
        JoinFailure::NotNow(StartError::CannotWrite(path.into(), error).to_string())
    })?;
    node.uplink.set_secret(secret);
    Ok(())
}
