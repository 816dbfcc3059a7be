//! Whether the node serves: the switch behind `/api/service/start` and `stop`.

use parking_lot::Mutex;
use posthouse_runtime::clock::Clock;

use crate::state::Node;
use crate::{presence, sync};

/// The switch.
#[derive(Debug)]
pub(crate) struct Service {
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    is_running: bool,
    /// Unix seconds.
    started_at: f64,
}

impl Service {
    /// On from the beginning, unless it was stopped before the port changed.
    pub(crate) fn new(clock: &Clock, is_running: bool) -> Self {
        Self { state: Mutex::new(State { is_running, started_at: clock.now_seconds() }) }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state.lock().is_running
    }

    /// Unix seconds of the last start.
    pub(crate) fn started_at(&self) -> f64 {
        self.state.lock().started_at
    }

    fn switch(&self, on: bool, now: f64) -> bool {
        let mut state = self.state.lock();
        let is_change = state.is_running != on;
        if is_change && on {
            state.started_at = now;
        }
        state.is_running = on;
        is_change
    }
}

/// Serves, registers and cleans again; false when it did so already.
pub(crate) fn start(node: &Node) -> bool {
    if !node.service.switch(true, node.clock.now_seconds()) {
        return false;
    }
    tracing::info!("the service was started");
    sync::begin_anew(node);
    node.uplink.open(&node.settings.now());
    true
}

/// Serves nothing, fetches nothing and unregisters; false when it did so already.
pub(crate) async fn stop(node: &Node) -> bool {
    if !node.service.switch(false, node.clock.now_seconds()) {
        return false;
    }
    tracing::info!("the service was stopped");
    let left = node.uplink.close();
    sync::park(node);
    if let Some(link) = left {
        presence::unregister(&link).await;
    }
    true
}
