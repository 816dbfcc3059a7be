//! Exchanges under way: few, and each for a short time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use posthouse_protocol::join::JoinHello;
use posthouse_runtime::trust::join::MasterExchange;
use tokio::time::Instant;

use super::refusal::JoinRefusal;

/// Exchanges at a time.
const SESSIONS_MAX: usize = 100;
/// From the offer to the last repetition of the confirmation.
const SESSION_LIMIT: Duration = Duration::from_secs(120);

/// An exchange, until it is over or takes too long.
#[derive(Debug)]
pub(super) struct Session {
    since: Instant,
    pub(super) hello: JoinHello,
    pub(super) exchange: MasterExchange,
    /// Held while the database decides, so that a confirmation that is sent twice counts once.
    pub(super) is_accepted: tokio::sync::Mutex<bool>,
}

impl Session {
    fn is_over(&self) -> bool {
        self.is_accepted.try_lock().is_ok_and(|is_accepted| *is_accepted)
    }

    pub(super) fn new(hello: JoinHello, exchange: MasterExchange) -> Self {
        Self { since: Instant::now(), hello, exchange, is_accepted: tokio::sync::Mutex::new(false) }
    }
}

/// All of them, by the name that the offer gave.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Arc<Session>>>);

impl Sessions {
    pub(super) fn add(&self, session: Session) -> Result<(), JoinRefusal> {
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| session.since.elapsed() < SESSION_LIMIT);
        if sessions.len() >= SESSIONS_MAX {
            // Those that are over are kept only in case that their last answer was lost.
            let over = sessions.iter().filter(|(_, session)| session.is_over());
            let oldest = over.min_by_key(|(_, session)| session.since).map(|(name, _)| name.clone());
            sessions.remove(&oldest.ok_or(JoinRefusal::TooMany)?);
        }
        sessions.insert(session.exchange.offer.session.clone(), Arc::new(session));
        Ok(())
    }

    pub(super) fn find(&self, name: &str) -> Result<Arc<Session>, JoinRefusal> {
        let sessions = self.0.lock();
        let session = sessions.get(name).filter(|session| session.since.elapsed() < SESSION_LIMIT);
        session.cloned().ok_or(JoinRefusal::NoSession)
    }

    pub(super) fn remove(&self, name: &str) {
        self.0.lock().remove(name);
    }
}
