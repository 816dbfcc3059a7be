//! What the database keeps.

use std::path::Path;

use posthouse_protocol::node::{HistoryPoint, NodePatch};
use posthouse_runtime::clock::Clock;
use posthouse_runtime::metrics::Metrics;
use posthouse_runtime::paths::{DataDir, Role};
use posthouse_runtime::store::Store;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::events::Events;
use crate::registry::{self, MINUTE_SECONDS, QUARTER_SECONDS, Registry};

const NOON: i64 = 1_800_000_000;

async fn registry(folder: &Path, clock: &Clock) -> Registry {
    let data = DataDir::open(Some(folder), Role::Master).unwrap();
    let store: Store = crate::store::open(&data).unwrap();
    let around = registry::Surroundings {
        events: Events::open(store.clone(), clock.clone()).await.unwrap(),
        store,
        clock: clock.clone(),
        catalog: tokio::sync::watch::channel(std::sync::Arc::default()).1,
        config: NodesConfig { allow_unsigned: Allowed::Yes, probe: false },
        stop: CancellationToken::new(),
    };
    Registry::load(around, &Metrics::default()).await.unwrap()
}

fn loaded(percent: f32) -> HeartbeatRequest {
    let mut beat = beat("n", "one", &[]);
    if let Some(extension) = &mut beat.posthouse {
        extension.load.processor_percent = percent;
        extension.load.memory_used_bytes = 1_000;
    }
    beat
}

fn shown(points: &[HistoryPoint]) -> Vec<(i64, f32, u64)> {
    points.iter().map(|point| (point.time - NOON, point.processor_percent, point.memory_used_bytes)).collect()
}

#[tokio::test]
async fn decisions_and_sightings_outlive_a_restart_and_a_removal_is_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::held_at_ms(NOON * 1000);
    let before = registry(folder.path(), &clock).await;
    before.heartbeat(beat("n", "one", &[]), &local()).unwrap();
    let patch = NodePatch { name: Some("一号".into()), weight: Some(3), ..NodePatch::default() };
    let changed = before.change("n", patch).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.weight, changed.online), ("一号", 3, true));
    before.change("ghost", NodePatch::default()).await.unwrap_err();
    before.write_notes(f64::INFINITY).await.unwrap();

    let after = registry(folder.path(), &clock).await;
    let view = after.view("n").unwrap();
    assert_eq!((view.name.as_str(), view.weight, view.address.as_str()), ("一号", 3, "127.0.0.1:8001"));
    assert_eq!((view.online, view.registered_at, view.last_seen), (false, 0.0, NOON as f64));
    after.heartbeat(beat("n", "one", &[]), &local()).unwrap();
    after.remove("n").await.unwrap();
    after.remove("n").await.unwrap_err();
    after.write_notes(f64::INFINITY).await.unwrap();
    assert!(registry(folder.path(), &clock).await.views().is_empty());
}

#[tokio::test]
async fn history_is_averaged_also_across_a_restart_and_thinned() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::held_at_ms(NOON * 1000);
    let first = registry(folder.path(), &clock).await;
    for (second, percent) in [(0, 10.0), (20, 20.0), (60, 40.0)] {
        clock.set_ms((NOON + second) * 1000);
        first.heartbeat(loaded(percent), &local()).unwrap();
    }
    // Steps under way are written when the master stops.
    first.write_notes(f64::INFINITY).await.unwrap();
    let second = registry(folder.path(), &clock).await;
    clock.set_ms((NOON + 80) * 1000);
    second.heartbeat(loaded(50.0), &local()).unwrap();
    clock.set_ms((NOON + 120) * 1000);
    second.heartbeat(loaded(0.0), &local()).unwrap();
    second.write_notes((NOON + 120) as f64).await.unwrap();
    let minutes = second.history("n", MINUTE_SECONDS).await.unwrap();
    assert_eq!(shown(&minutes), [(0, 15.0, 1_000), (60, 45.0, 1_000)]);
    second.write_notes(f64::INFINITY).await.unwrap();
    let quarters = second.history("n", QUARTER_SECONDS).await.unwrap();
    assert_eq!(shown(&quarters), [(0, 24.0, 1_000)], "five heartbeats: 10, 20, 40, 50, 0");
    second.history("ghost", QUARTER_SECONDS).await.unwrap_err();

    let days = |days: i64| NOON + days * 86_400;
    second.prune(days(2)).await.unwrap();
    assert_eq!(second.history("n", MINUTE_SECONDS).await.unwrap().len(), 3);
    second.prune(days(2) + 61).await.unwrap();
    assert_eq!(shown(&second.history("n", MINUTE_SECONDS).await.unwrap()), [(120, 0.0, 1_000)]);
    assert_eq!(second.history("n", QUARTER_SECONDS).await.unwrap().len(), 1);
    second.prune(days(60) + 1).await.unwrap();
    assert_eq!(second.history("n", QUARTER_SECONDS).await.unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_refused_while_the_other_answers_and_let_in_when_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = registry(folder.path(), &Clock::system()).await;
    let request = |instance: &str, port: u16| posthouse_protocol::legacy::RegisterRequest {
        node_id: "n".into(),
        address: format!("127.0.0.1:{port}"),
        status: "online".into(),
        posthouse: Some(extension(instance, &[])),
    };
    nodes.register(request("one", 1), &local()).await.unwrap();
    let mut feed = nodes.open_live("n", Some("one"), &local()).unwrap();

    let answering = async {
        loop {
            let event = feed.next().await.unwrap();
            if let posthouse_protocol::live::LiveEvent::Challenge { challenge } = event {
                let answer = posthouse_protocol::live::ChallengeAnswer {
                    node_id: "n".into(),
                    instance: "one".into(),
                    challenge,
                };
                nodes.answer_challenge(&answer, &local()).unwrap();
                return;
            }
        }
    };
    let newcomer = local();
    let (refused, ()) = tokio::join!(nodes.register(request("two", 2), &newcomer), answering);
    assert_eq!(refused, Err(NodeRefusal::SecondInstance { id: "n".into(), address: "127.0.0.1:1".into() }));

    // Alive as far as TCP knows, but it does not answer any more.
    let began = tokio::time::Instant::now();
    nodes.register(request("three", 3), &local()).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 2);
    // Its connection ends, with a word of why.
    while feed.next().await.is_some() {}
    assert_eq!(nodes.view("n").unwrap().address, "127.0.0.1:3");
}
