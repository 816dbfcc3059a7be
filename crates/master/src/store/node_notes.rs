//! What the registry writes late and together, in one transaction: sightings, fetches, history.

use posthouse_runtime::store::{Store, StoreError};

use super::node_fetches::{self, Fetch};
use super::node_history::{self, Step};
use super::nodes::{self, Sighting};

/// What was seen since the last time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Notes {
    pub(crate) sightings: Vec<Sighting>,
    pub(crate) fetches: Vec<Fetch>,
    pub(crate) steps: Vec<Step>,
}

impl Notes {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.sightings.is_empty() && self.fetches.is_empty() && self.steps.is_empty()
    }
}

/// Writes notes. `now`: Unix seconds.
pub(crate) async fn write(store: &Store, notes: Notes, now: f64) -> Result<(), StoreError> {
    store
        .call(move |connection| {
            super::at_once(connection, |transaction| {
                // Rows of nodes first: the others refer to them.
                nodes::note(transaction, &notes.sightings)?;
                node_fetches::note(transaction, &notes.fetches, now)?;
                node_history::note(transaction, &notes.steps)
            })
        })
        .await
}
