//! Rotations over a real registry: who gets what share, and what changes keep.

use std::collections::BTreeMap;
use std::time::Instant;

use posthouse_protocol::legacy::HeartbeatRequest;
use posthouse_protocol::node::{HeldPackage, NodeExtension, NodePatch, NodeState};
use posthouse_runtime::paths::{DataDir, Role};
use posthouse_runtime::trust::Secret;
use posthouse_runtime::trust::link::LinkKey;
use tokio::sync::watch;

use super::*;
use crate::catalog::{ActiveMeeting, CatalogWriter};
use crate::config::{Allowed, NodesConfig};
use crate::events::Events;
use crate::registry::{self, LiveFeed, Speaker};

/// A master as far as rotations go.
struct Site {
    registry: Registry,
    rotations: Rotations,
    catalog: CatalogWriter,
    clock: Clock,
    feeds: BTreeMap<String, LiveFeed>,
    _folder: tempfile::TempDir,
}

fn hash_of(version: u64) -> ContentHash {
    ContentHash([version as u8; 32])
}

fn meeting(id: &str, versions: &[u64]) -> ActiveMeeting {
    let version = |version: &u64| PackageVersion {
        version: *version,
        hash: hash_of(*version),
        size_bytes: 1,
        built_at: 0.0,
        path: "package.zip".into(),
        agenda: Arc::default(),
    };
    ActiveMeeting {
        id: id.parse().unwrap(),
        title: id.to_owned(),
        time: String::new(),
        intro: None,
        announced: true,
        versions: versions.iter().map(version).collect(),
    }
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(Some(folder.path()), Role::Master).unwrap();
        let store = crate::store::open(&data).unwrap();
        let clock = Clock::held_at_ms(1_800_000_000_000);
        let (writer, catalog) = watch::channel(Arc::default());
        let metrics = Metrics::default();
        let around = registry::Surroundings {
            events: Events::open(store.clone(), clock.clone()).await.unwrap(),
            store,
            clock: clock.clone(),
            catalog: catalog.clone(),
            config: NodesConfig { allow_unsigned: Allowed::Yes, probe: false },
            stop: CancellationToken::new(),
        };
        let registry = Registry::load(around, &metrics).await.unwrap();
        let rotations = Rotations::new(registry.clone(), catalog, clock.clone(), &metrics);
        Self { registry, rotations, catalog: writer, clock, feeds: BTreeMap::new(), _folder: folder }
    }

    fn publish(&self, meetings: Vec<ActiveMeeting>) {
        self.catalog.send_replace(Arc::new(Catalog { token: "t".to_owned(), meetings }));
        self.rotations.rebuild();
    }

    fn speaker(&self, id: &str) -> Speaker {
        let verified = self.registry.secret_of(id).map(|_| id.to_owned());
        Speaker { verified, peer: "127.0.0.1".parse().unwrap() }
    }

    /// A node that holds these versions of `m`, with its connection up.
    fn holds(&mut self, id: &str, versions: &[u64]) {
        let held = versions.iter().map(|version| HeldPackage {
            meeting_id: "m".to_owned(),
            version: *version,
            hash: hash_of(*version),
            size_bytes: 1,
        });
        let beat = HeartbeatRequest {
            node_id: id.to_owned(),
            address: format!("{id}.lan:8001"),
            status: "online".to_owned(),
            active_meetings: Vec::new(),
            synced_meetings: Vec::new(),
            posthouse: Some(NodeExtension {
                instance: "one".to_owned(),
                heartbeat_interval_seconds: 10,
                held: held.collect(),
                ..NodeExtension::default()
            }),
        };
        self.registry.heartbeat(beat, &self.speaker(id)).unwrap();
        if !self.feeds.contains_key(id) {
            let feed = self.registry.open_live(id, None, &self.speaker(id)).unwrap();
            self.feeds.insert(id.to_owned(), feed);
        }
        self.rotations.rebuild();
    }

    async fn weighs(&self, id: &str, weight: u32) {
        self.registry.change(id, NodePatch { weight: Some(weight), ..NodePatch::default() }).await.unwrap();
        self.rotations.rebuild();
    }

    fn choose(&self) -> Option<String> {
        choose(&self.rotations)
    }

    /// How often each node is chosen, of so many times.
    fn shares(&self, picks: usize) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        for _ in 0..picks {
            *shares.entry(self.choose().unwrap()).or_default() += 1;
        }
        shares
    }
}

fn choose(rotations: &Rotations) -> Option<String> {
    let location = rotations.choose(&"m".parse().unwrap())?;
    let host = location.to_str().unwrap().strip_prefix("http://").unwrap().split(".lan:").next().unwrap();
    Some(host.to_owned())
}

fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(id, count)| ((*id).to_owned(), *count)).collect()
}

#[tokio::test]
async fn weights_are_kept_exactly_when_nodes_leave_and_return() {
    let mut site = Site::new().await;
    site.publish(vec![meeting("m", &[1])]);
    assert_eq!(site.choose(), None);
    site.holds("a", &[1]);
    site.holds("b", &[1]);
    site.weighs("a", 3).await;
    site.weighs("b", 2).await;
    for _ in 0..3 {
        assert_eq!(site.shares(5), counts(&[("a", 3), ("b", 2)]));
    }
    site.shares(2);
    site.feeds.remove("a");
    site.rotations.rebuild();
    assert_eq!(site.shares(5), counts(&[("b", 5)]));
    let feed = site.registry.open_live("a", None, &site.speaker("a")).unwrap();
    site.feeds.insert("a".to_owned(), feed);
    site.rotations.rebuild();
    for _ in 0..3 {
        assert_eq!(site.shares(5), counts(&[("a", 3), ("b", 2)]));
    }
    site.holds("c", &[1]);
    assert_eq!(site.shares(6), counts(&[("a", 3), ("b", 2), ("c", 1)]));
    let draining = NodePatch { state: Some(NodeState::Draining), ..NodePatch::default() };
    site.registry.change("b", draining).await.unwrap();
    site.rotations.rebuild();
    assert_eq!(site.shares(4), counts(&[("a", 3), ("c", 1)]));
}

#[tokio::test]
async fn rebuilding_without_a_change_does_not_begin_anew() {
    let mut site = Site::new().await;
    site.publish(vec![meeting("m", &[1])]);
    for id in ["a", "b", "c"] {
        site.holds(id, &[1]);
    }
    let mut shares = BTreeMap::new();
    for _ in 0..30 {
        *shares.entry(site.choose().unwrap()).or_insert(0) += 1;
        site.rotations.rebuild();
    }
    assert_eq!(shares, BTreeMap::from([("a".to_owned(), 10), ("b".to_owned(), 10), ("c".to_owned(), 10)]));
    // A HEAD takes nobody's turn.
    let peeked = site.rotations.peek(&"m".parse().unwrap());
    assert_eq!(site.rotations.peek(&"m".parse().unwrap()), peeked);
    assert_eq!(site.rotations.choose(&"M".parse().unwrap()), peeked);
}

#[tokio::test]
async fn shares_are_exact_when_picks_come_from_many_threads() {
    let mut site = Site::new().await;
    site.publish(vec![meeting("m", &[1])]);
    for (id, weight) in [("a", 3), ("b", 2), ("c", 5)] {
        site.holds(id, &[1]);
        site.weighs(id, weight).await;
    }
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let rotations = site.rotations.clone();
            std::thread::spawn(move || (0..2_500).map(|_| choose(&rotations).unwrap()).collect::<Vec<_>>())
        })
        .collect();
    let mut shares = BTreeMap::<String, usize>::new();
    for thread in threads {
        for id in thread.join().unwrap() {
            *shares.entry(id).or_default() += 1;
        }
    }
    assert_eq!(shares, counts(&[("a", 3_000), ("b", 2_000), ("c", 5_000)]));
}

#[tokio::test]
async fn the_version_that_data_describes_is_the_one_that_is_served() {
    let mut site = Site::new().await;
    let id: MeetingId = "m".parse().unwrap();
    assert_eq!(site.rotations.served_version(&id), None);
    site.publish(vec![meeting("m", &[1])]);
    assert_eq!(site.rotations.served_version(&id), Some(1));
    site.holds("a", &[1]);
    site.holds("b", &[1]);
    site.publish(vec![meeting("m", &[1, 2])]);
    assert_eq!((site.rotations.served_version(&id), site.shares(4)), (Some(1), counts(&[("a", 2), ("b", 2)])));
    site.holds("b", &[2]);
    assert_eq!((site.rotations.served_version(&id), site.shares(2)), (Some(2), counts(&[("b", 2)])));
    site.feeds.clear();
    site.rotations.rebuild();
    assert_eq!((site.rotations.served_version(&id), site.choose()), (Some(2), None));

    // What the catalog no longer has is not served, also in the moment before the picture follows.
    site.holds("b", &[2]);
    let feed = site.registry.open_live("b", None, &site.speaker("b")).unwrap();
    site.rotations.rebuild();
    assert_eq!(site.choose().as_deref(), Some("b"));
    site.catalog.send_replace(Arc::new(Catalog { token: "u".to_owned(), meetings: vec![meeting("k", &[1])] }));
    assert_eq!((site.choose(), site.rotations.served_version(&id)), (None, None));
    drop(feed);
}

#[tokio::test]
async fn links_are_signed_for_nodes_that_joined_and_made_anew_every_minute() {
    let mut site = Site::new().await;
    let secret = Secret::random();
    site.registry.give_secret("joined", secret.clone()).unwrap();
    site.publish(vec![meeting("M", &[4])]);
    site.holds("joined", &[4]);
    let id: MeetingId = "m".parse().unwrap();
    let first = site.rotations.choose(&id).unwrap();
    let text = first.to_str().unwrap();
    let (path, ticket) = text.split_once("?ticket=").unwrap();
    assert_eq!(path, "http://joined.lan:8001/api/v1/meetings/M/download-package");
    let now = site.clock.now_ms() / 1000;
    assert_eq!(LinkKey::of(&secret).verify(ticket, &id, "joined", now + 60), Some(4));
    site.clock.set_ms(site.clock.now_ms() + 59_999);
    site.rotations.rebuild();
    assert_eq!(site.rotations.choose(&id).unwrap(), first);
    site.clock.set_ms(site.clock.now_ms() + 1);
    assert_ne!(site.rotations.choose(&id).unwrap(), first);
    // A node without a secret cannot check a link.
    site.registry.remove("joined").await.unwrap();
    site.feeds.clear();
    site.holds("plain", &[4]);
    assert_eq!(site.rotations.choose(&id).unwrap(), "http://plain.lan:8001/api/v1/meetings/M/download-package");
    assert_eq!(site.rotations.endpoints(&id)[0].ip, "plain.lan:8001");
}

/// Not a limit, which would fail on a busy machine: shows what a pick costs with `--nocapture` in a release build.
#[tokio::test]
async fn a_pick_among_a_hundred_nodes_is_cheap() {
    let mut site = Site::new().await;
    let meetings = (0..50).map(|number| meeting(&format!("meeting-{number:03}"), &[1])).chain([meeting("m", &[1])]);
    site.publish(meetings.collect());
    for number in 0..100 {
        site.holds(&format!("node-{number}"), &[1]);
    }
    let id: MeetingId = "m".parse().unwrap();
    let picks: u32 = 100_000;
    let began = Instant::now();
    for _ in 0..picks {
        assert!(site.rotations.choose(&id).is_some());
    }
    let each = began.elapsed() / picks;
    tracing::info!(?each, "a pick");
    assert!(each < Duration::from_micros(50), "{each:?}");
}
