//! How often joins failed from an address: who guesses has to wait. Joins that succeed are not counted, since a room
//! full of PCs behind one router joins by one code.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::refusal::JoinRefusal;

/// So many failures
const FAILURES_MAX: u32 = 20;
/// in this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 10_000;

/// Failures by address.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Failures {
    /// Refuses an address from which too many joins failed.
    pub(super) fn check(&self, peer: IpAddr) -> Result<(), JoinRefusal> {
        let failures = self.0.lock();
        match failures.get(&peer) {
            Some((since, count)) if since.elapsed() < WINDOW && *count >= FAILURES_MAX => Err(JoinRefusal::TooMany),
            _ => Ok(()),
        }
    }

    pub(super) fn note(&self, peer: IpAddr) {
        let mut failures = self.0.lock();
        if failures.len() >= ADDRESSES_MAX {
            failures.retain(|_, (since, _)| since.elapsed() < WINDOW);
        }
        let entry = failures.entry(peer).or_insert_with(|| (Instant::now(), 0));
        if entry.0.elapsed() >= WINDOW {
            *entry = (Instant::now(), 0);
        }
        entry.1 += 1;
    }
}
