//! Who fetched which package by the plain contract.
//!
//! A Python node lists the meetings that it holds, and says nothing of versions: it reports a package that it fetched
//! before the present version was built just the same. So the master watches its own `download-package-direct`: a
//! complete, unsigned answer to a client that calls itself aiohttp is a fetch of this version by the Python node that
//! sends its heartbeats from the same IP address, or advertises it.
//!
//! Are there several of them at that address (one machine, or a router in between), the fetch goes to the first one
//! whose heartbeat lists the meeting anew, which is what a node does that has just fetched it. A node that listed it
//! all along did not: it never fetches again what it has.

use std::net::IpAddr;

use posthouse_protocol::ContentHash;

use super::holdings::Holding;

/// For how long a fetch waits for the heartbeat that claims it, in milliseconds: twice the longest interval.
const CLAIM_WITHIN_MS: u64 = 600_000;
/// So many are remembered.
const UNCLAIMED_MAX: usize = 1_000;

/// A package went out completely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlainFetch {
    /// To whom.
    pub(crate) peer: IpAddr,
    /// Meeting id in lower case.
    pub(crate) meeting_key: String,
    pub(crate) version: u64,
    pub(crate) hash: ContentHash,
}

/// Fetches that several nodes may have made.
#[derive(Debug, Default)]
pub(super) struct Unclaimed(Vec<(u64, PlainFetch)>);

impl Unclaimed {
    pub(super) fn add(&mut self, fetch: PlainFetch, now_ms: u64) {
        self.0.retain(|(since, _)| now_ms.saturating_sub(*since) <= CLAIM_WITHIN_MS);
        if self.0.len() < UNCLAIMED_MAX {
            self.0.push((now_ms, fetch));
        }
    }

    /// The newest version that a node at one of these addresses fetched of a meeting.
    pub(super) fn claim(&mut self, peers: [Option<IpAddr>; 2], key: &str, now_ms: u64) -> Option<Holding> {
        let is_it = |(since, fetch): &(u64, PlainFetch)| {
            fetch.meeting_key == key
                && peers.contains(&Some(fetch.peer))
                && now_ms.saturating_sub(*since) <= CLAIM_WITHIN_MS
        };
        let found =
            self.0.iter().enumerate().filter(|(_, fetch)| is_it(fetch)).max_by_key(|(_, fetch)| fetch.1.version);
        let place = found.map(|(place, _)| place)?;
        let (_, PlainFetch { meeting_key, version, hash, .. }) = self.0.remove(place);
        Some(Holding { key: meeting_key, version, hash })
    }
}
