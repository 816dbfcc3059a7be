//! What an administrator decides about a node: written at once, in force at once.

use posthouse_protocol::node::{NodeDetailView, NodePatch};

use super::Registry;
use super::refusal::NodeRefusal;
use crate::error::Error;
use crate::store::nodes::{self as table, Decision};

/// Greatest length of a name, in characters.
const NAME_MAX: usize = 100;
/// Greatest length of a description, in characters.
const DESCRIPTION_MAX: usize = 1000;

impl Registry {
    /// Changes a node; what it is now.
    pub(crate) async fn change(&self, id: &str, patch: NodePatch) -> Result<NodeDetailView, Error> {
        let _turn = self.0.writing.lock().await;
        let before = self.with(|nodes, _| nodes.by_id.get(id).map(|node| node.decision.clone()));
        let before = before.ok_or_else(|| NodeRefusal::NotFound(id.to_owned()))?;
        let decision = patched(before.clone(), patch)?;
        // In memory first: from here on nothing is left undone when the administrator's client goes away.
        self.with(|nodes, _| nodes.decide(id, decision.clone()));
        if let Err(error) = table::decide(&self.0.around.store, id, &decision).await {
            self.with(|nodes, _| nodes.decide(id, before));
            return Err(error.into());
        }
        Ok(self.view(id)?)
    }

    /// Removes a node with its secret and all that is known of it.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), Error> {
        let _turn = self.0.writing.lock().await;
        let node = self.with(|nodes, _| nodes.take_out(id)).ok_or_else(|| NodeRefusal::NotFound(id.to_owned()))?;
        let removed = table::remove(&self.0.around.store, id).await;
        self.with(|nodes, _| if removed.is_ok() { nodes.forget(node) } else { nodes.put_in(node) });
        Ok(removed?)
    }
}

fn patched(before: Decision, patch: NodePatch) -> Result<Decision, NodeRefusal> {
    let refused = |field, range| Err(NodeRefusal::OutOfRange { field, range });
    let NodePatch { name, description, weight, state } = patch;
    if name.as_ref().is_some_and(|name| name.chars().count() > NAME_MAX || name.chars().any(char::is_control)) {
        return refused("name", "0–100 个字符，不含控制字符 (0 to 100 characters, no control characters)");
    }
    if description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION_MAX || text.contains('\0')) {
        return refused("description", "0–1000 个字符 (0 to 1000 characters)");
    }
    if weight.is_some_and(|weight| !(1..=1000).contains(&weight)) {
        return refused("weight", "1–1000");
    }
    Ok(Decision {
        name: name.unwrap_or(before.name),
        description: description.unwrap_or(before.description),
        weight: weight.unwrap_or(before.weight),
        state: state.unwrap_or(before.state),
    })
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::node::NodeState;

    use super::*;

    #[test]
    fn absent_fields_stay_and_limits_hold() {
        let patch =
            |name: Option<&str>, weight| NodePatch { name: name.map(str::to_owned), weight, ..NodePatch::default() };
        let named = patched(Decision::default(), patch(Some("一号"), Some(1000))).unwrap();
        assert_eq!((named.name.as_str(), named.weight, named.state), ("一号", 1000, NodeState::Enabled));
        let cleared = patched(named, patch(Some(""), None)).unwrap();
        assert_eq!((cleared.name.as_str(), cleared.weight), ("", 1000));
        for bad in [
            patch(None, Some(0)),
            patch(None, Some(1001)),
            patch(Some(&"x".repeat(101)), None),
            patch(Some("a\nb"), None),
        ] {
            patched(Decision::default(), bad).unwrap_err();
        }
        let text = |description: String| NodePatch { description: Some(description), ..NodePatch::default() };
        patched(Decision::default(), text("界".repeat(1000))).unwrap();
        patched(Decision::default(), text("界".repeat(1001))).unwrap_err();
    }
}
