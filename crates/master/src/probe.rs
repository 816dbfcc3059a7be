//! Whether a node can be reached at the address that it advertises: asked before tablets are sent there, because a PC
//! behind its own firewall would otherwise get downloads that never arrive.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use posthouse_protocol::node::{ProbeFailure, Reachability};
use posthouse_protocol::{ErrorCode, routes};
use posthouse_runtime::client::{ClientError, Identity, SignedClient, http_client};
use posthouse_runtime::clock::Clock;
use posthouse_runtime::tasks::Report;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::registry::{ProbeTarget, Registry};

/// For how long an answer is waited for.
const LIMIT: Duration = Duration::from_secs(3);
/// So many nodes are tried at a time.
const AT_A_TIME: usize = 16;
/// How often is looked for nodes whose next try is due.
const PAUSE: Duration = Duration::from_millis(500);
/// A clock that is further off than this, in milliseconds, is told of; the node corrects for it.
const CLOCK_TOLD_MS: i64 = 60_000;

/// Reaches nodes at their addresses. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Prober {
    http: reqwest::Client,
    registry: Registry,
    clock: Clock,
}

impl Prober {
    pub(crate) fn new(registry: Registry, clock: Clock) -> Result<Self, reqwest::Error> {
        Ok(Self { http: http_client(LIMIT)?, registry, clock })
    }

    /// The loop that tries whoever is due.
    pub(crate) async fn run(self, stop: CancellationToken, report: Report) {
        let mut changed = self.registry.changed();
        let mut under_way = FuturesUnordered::new();
        loop {
            for target in self.registry.due_probes(AT_A_TIME - under_way.len()) {
                under_way.push(self.probe_and_note(target));
            }
            tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = under_way.next() => report.completed(),
                Ok(()) = changed.changed(), if under_way.len() < AT_A_TIME => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Tries one node now and notes what was found.
    pub(crate) async fn probe_now(&self, target: ProbeTarget) -> Reachability {
        let found = self.probe(&target).await;
        self.registry.note_probe(&target, &found);
        found
    }

    async fn probe_and_note(&self, target: ProbeTarget) {
        self.probe_now(target).await;
    }

    async fn probe(&self, target: &ProbeTarget) -> Reachability {
        let identity = target.secret.clone().map(|secret| Identity { node_id: target.id.to_string(), secret });
        let is_signed = identity.is_some();
        let client = SignedClient::new(self.http.clone(), &target.address, identity, self.clock.clone());
        let answer = client.get::<Value>(routes::NODE_STATUS, LIMIT).await;
        if let Some(offset_ms) = client.clock_offset_ms().filter(|offset| offset.abs() > CLOCK_TOLD_MS) {
            tracing::warn!(node = &*target.id, offset_ms, "the clock of a node is off; it corrects for that");
        }
        match answer {
            Ok(status) => judge(&target.id, &status),
            // Something without the right signature: whose is it?
            Err(ClientError::NotSigned(_)) if is_signed => self.judge_stranger(target).await,
            Err(error) => failed(cause_of(&error), &target.address, &error.to_string()),
        }
    }

    async fn judge_stranger(&self, target: &ProbeTarget) -> Reachability {
        let client = SignedClient::new(self.http.clone(), &target.address, None, self.clock.clone());
        match client.get::<Value>(routes::NODE_STATUS, LIMIT).await {
            Ok(status) => match judge(&target.id, &status) {
                Reachability::Reached => failed(ProbeFailure::WrongSecret, &target.address, ""),
                other => other,
            },
            Err(error) => failed(cause_of(&error), &target.address, &error.to_string()),
        }
    }
}

/// Whether a status is that of this node.
fn judge(id: &str, status: &Value) -> Reachability {
    match status.get("node_id").and_then(Value::as_str) {
        Some(found) if found == id => Reachability::Reached,
        Some(found) => failed(ProbeFailure::AnotherNode, found, ""),
        None => failed(ProbeFailure::NotANode, "", ""),
    }
}

fn cause_of(error: &ClientError) -> ProbeFailure {
    match error {
        ClientError::Refused => ProbeFailure::Refused,
        ClientError::TimedOut => ProbeFailure::TimedOut,
        ClientError::Unroutable => ProbeFailure::Unroutable,
        ClientError::Status { body, .. } if body.code == Some(ErrorCode::ClockSkew) => ProbeFailure::ClockOff,
        ClientError::Status { body, .. } if body.code == Some(ErrorCode::InvalidSignature) => ProbeFailure::WrongSecret,
        ClientError::Status { .. }
        | ClientError::Broken(_)
        | ClientError::NotSigned(_)
        | ClientError::NotUnderstood(_) => ProbeFailure::NotANode,
    }
}

/// `subject`: the address, or the node that answered in place of the right one.
fn failed(cause: ProbeFailure, subject: &str, error: &str) -> Reachability {
    let detail = match cause {
        ProbeFailure::Refused => format!(
            "{subject} 拒绝连接：节点未监听该端口，请检查其地址与端口 / {subject} refuses: nothing listens there; check the \
             address and port that the node advertises"
        ),
        ProbeFailure::TimedOut => format!(
            "{subject} 没有应答：多半被节点电脑的防火墙拦截，请放行该端口 / {subject} does not answer: a firewall on the \
             node's machine as a rule; let the port through"
        ),
        ProbeFailure::Unroutable => format!(
            "无法到达 {subject}：名称无法解析或网络不通，请检查节点的公开地址 / {subject} cannot be reached: the name or \
             network is unknown; check the node's public address"
        ),
        ProbeFailure::NotANode => format!(
            "该地址的应答不是节点，请检查地址与端口 / what answers there is not a node; check address and port {error}"
        )
        .trim_end()
        .to_owned(),
        ProbeFailure::AnotherNode => format!(
            "该地址是另一个节点 {subject}，请检查地址与端口 / another node, {subject}, answers there; check address and port"
        ),
        ProbeFailure::WrongSecret => format!(
            "{subject} 的节点密钥与主控不符，请重新加入 / the node at {subject} has another secret than the master; join \
             it again"
        ),
        ProbeFailure::ClockOff => format!(
            "{subject} 的时钟无法校正，请校准该电脑的时间 / the clock of the node at {subject} cannot be corrected for; set it"
        ),
    };
    Reachability::Failed { cause, detail }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_judged_by_its_node_id() {
        let cause = |status| match judge("n", &status) {
            Reachability::Failed { cause, .. } => Some(cause),
            _ => None,
        };
        assert_eq!(cause(json!({ "node_id": "n" })), None);
        assert_eq!(cause(json!({ "node_id": "m" })), Some(ProbeFailure::AnotherNode));
        assert_eq!(cause(json!({ "status": "ok" })), Some(ProbeFailure::NotANode));
        assert_eq!(cause(json!([])), Some(ProbeFailure::NotANode));
    }
}
