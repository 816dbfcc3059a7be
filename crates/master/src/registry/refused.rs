//! Which refusals were told in events. A node that is refused tries again every few seconds; it is told of once, and
//! again only after a while.

use std::collections::HashMap;
use std::net::IpAddr;

/// A refusal of the same kind is told again after this time, in milliseconds.
const TOLD_AGAIN_MS: u64 = 600_000;
/// So many are remembered; beyond that nothing is told, so that nobody can fill the list of events with ids.
const REMEMBERED_MAX: usize = 1_000;

/// When which refusal was told.
#[derive(Debug, Default)]
pub(super) struct ToldRefusals(HashMap<(String, IpAddr, &'static str), u64>);

impl ToldRefusals {
    /// Whether a refusal is to be told now. `kind` tells one sort from another.
    pub(super) fn is_news(&mut self, id: &str, peer: IpAddr, kind: &'static str, now_ms: u64) -> bool {
        let key = (id.to_owned(), peer, kind);
        if self.0.get(&key).is_some_and(|told_ms| now_ms.saturating_sub(*told_ms) < TOLD_AGAIN_MS) {
            return false;
        }
        if self.0.len() >= REMEMBERED_MAX {
            self.0.retain(|_, told_ms| now_ms.saturating_sub(*told_ms) < TOLD_AGAIN_MS);
        }
        if self.0.len() >= REMEMBERED_MAX {
            return false;
        }
        self.0.insert(key, now_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_refusal_is_told_once_in_a_while() {
        let peer = "10.0.0.1".parse().unwrap();
        let mut told = ToldRefusals::default();
        assert!(told.is_news("n", peer, "join", 0) && !told.is_news("n", peer, "join", 599_999));
        assert!(told.is_news("n", peer, "instance", 0) && told.is_news("m", peer, "join", 0));
        assert!(told.is_news("n", peer, "join", 600_000));
        for number in 0..2_000 {
            told.is_news(&format!("flood-{number}"), peer, "join", 600_001);
        }
        assert!(!told.is_news("late", peer, "join", 600_001), "a flood fills nothing");
    }
}
