//! Events of both roles: ids without gaps, page by page and as they happen.

use anyhow::{Context, Result, ensure};
use http::Method;
use posthouse_protocol::event::{Event, EventKind, EventPage};
use posthouse_tests::site::Site;
use posthouse_tests::stream::EventStream;
use posthouse_tests::wait::{PATIENCE, wait_until};
use reqwest::RequestBuilder;

use crate::papers;

const LIST: &str = "/api/v1/events";
const STREAM: &str = "/api/v1/events/stream";

/// All pages of two, one after the other.
async fn all(request: impl Fn(&str) -> RequestBuilder) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    loop {
        let after = events.last().map_or(0, |event: &Event| event.id);
        let path = format!("{LIST}?after={after}&limit=2");
        let page: EventPage = posthouse_tests::answer::Answer::to(request(&path)).await?.expect(200)?.json()?;
        ensure!(page.events.len() <= 2, "{} in a page of two", page.events.len());
        if page.events.is_empty() {
            return Ok(events);
        }
        ensure!(page.last_id >= page.events[page.events.len() - 1].id, "{page:?}");
        events.extend(page.events);
    }
}

fn check_gapless(events: &[Event]) {
    let ids: Vec<u64> = events.iter().map(|event| event.id).collect();
    let expected: Vec<u64> = (1..=events.len() as u64).collect();
    assert_eq!(ids, expected, "{events:?}");
    assert!(events.windows(2).all(|pair| pair[0].time <= pair[1].time + 1.0), "{events:?}");
}

/// Kinds in the order of their events.
fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}

/// Reads a stream until an event of this kind.
async fn read_until(stream: &mut EventStream, kind: EventKind) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    loop {
        events.push(stream.next().await.with_context(|| format!("waiting for {kind:?} after {:?}", kinds(&events)))?);
        if events.last().is_some_and(|event| event.kind == kind) {
            return Ok(events);
        }
    }
}

/// A stream opened three times: from now on, after an id in the query, and after one in the header.
async fn check_streams(
    request: impl Fn(&str) -> RequestBuilder,
    happen: impl AsyncFn() -> Result<()>,
    last: EventKind,
) -> Result<()> {
    let before = all(&request).await?;
    let newest = before.last().context("no event")?.id;
    let mut from_now = EventStream::open(request(STREAM)).await?;
    happen().await?;
    let new = read_until(&mut from_now, last).await?;
    assert!(new.iter().all(|event| event.id > newest), "old ones came: {new:?}");

    // Away for a while, and back where it was.
    let missed = new.last().context("no new event")?.id;
    let mut by_query = EventStream::open(request(&format!("{STREAM}?after={}", newest - 1))).await?;
    let mut by_header = EventStream::open(request(STREAM).header("last-event-id", (newest - 1).to_string())).await?;
    // The header is what a browser sends when it comes back to the same URL.
    let both = request(&format!("{STREAM}?after=0")).header("last-event-id", (newest - 1).to_string());
    let mut by_both = EventStream::open(both).await?;
    let listed = all(&request).await?;
    check_gapless(&listed);
    for id in newest..=missed {
        for stream in [&mut by_query, &mut by_header, &mut by_both] {
            let event = stream.next().await?;
            assert_eq!(event, listed[id as usize - 1]);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_master() -> Result<()> {
    let site = Site::new()?;
    let mut master = site.master().await?;
    let node = site.joined_node("east", &master).await?;
    let admin = master.admin.clone();
    check_streams(
        |path| admin.request(Method::GET, path),
        async || {
            master.run_meeting("m-1", papers::one(1)).await?;
            master.wait_for_rotation("east", "m-1").await
        },
        EventKind::MeetingReady,
    )
    .await?;
    let mut node = node;
    node.process.stop().await?;
    master.admin.end("m-1").await?;
    admin.send(Method::POST, "/api/v1/join-codes", &serde_json::json!({ "uses": 1 })).await?.expect(200)?;
    let told = wait_until("it is told", PATIENCE, || async {
        let events = all(|path| admin.request(Method::GET, path)).await?;
        // One by the command line, with which the node joined, and one by the API.
        let codes = kinds(&events).into_iter().filter(|kind| *kind == EventKind::JoinCodeCreated).count();
        ensure!(codes == 2, "{events:?}");
        anyhow::Ok(events)
    })
    .await?;
    let kinds_told = kinds(&told);
    for kind in [
        EventKind::Started,
        EventKind::SignedIn,
        EventKind::JoinCodeCreated,
        EventKind::NodeJoined,
        EventKind::NodeOnline,
        EventKind::NodeReachable,
        EventKind::MeetingCreated,
        EventKind::PackageBuilt,
        EventKind::MeetingStarting,
        EventKind::MeetingReady,
        EventKind::NodeUnregistered,
        EventKind::MeetingEnded,
    ] {
        assert!(kinds_told.contains(&kind), "{kind:?} is not told: {told:?}");
    }
    let of = |kind: EventKind| told.iter().find(|event| event.kind == kind);
    assert_eq!(of(EventKind::NodeJoined).and_then(|event| event.node_id.as_deref()), Some("east"));
    assert_eq!(of(EventKind::MeetingReady).and_then(|event| event.meeting_id.as_deref()), Some("m-1"));

    // What another process did is told live.
    let request = admin.request(Method::GET, "/api/v1/events/stream");
    let mut stream = EventStream::open(request).await?;
    master.join_code(1).await?;
    tokio::time::timeout(PATIENCE, read_until(&mut stream, EventKind::JoinCodeCreated)).await??;
    drop(stream);

    // Across a clean restart and a crash nothing is lost, nothing told twice.
    for kill in [false, true] {
        let before = all(|path| admin.request(Method::GET, path)).await?;
        if kill {
            master.process.kill()?;
            master.start_again().await?;
        } else {
            master.restart().await?;
        }
        let admin = master.admin.clone();
        let after = wait_until("it started", PATIENCE, || async {
            let events = all(|path| admin.request(Method::GET, path)).await?;
            ensure!(kinds(&events[before.len()..]).contains(&EventKind::Started), "{events:?}");
            anyhow::Ok(events)
        })
        .await?;
        check_gapless(&after);
        assert_eq!(after[..before.len()], before);
        assert_eq!(kinds(&after[before.len()..]).contains(&EventKind::Stopping), !kill);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_node() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let mut node = site.joined_node("east", &master).await?;
    node.wait_for("is connected", |status| if status.connected { Ok(()) } else { Err(format!("{status:?}")) }).await?;
    check_streams(
        |path| node.request(Method::GET, path),
        async || master.run_meeting("m-1", papers::one(1)).await,
        EventKind::PackageSynced,
    )
    .await?;
    let before = all(|path| node.request(Method::GET, path)).await?;
    for kind in [EventKind::Started, EventKind::MasterConnected, EventKind::PackageSynced] {
        assert!(kinds(&before).contains(&kind), "{kind:?} is not told: {before:?}");
    }
    assert!(before.iter().all(|event| event.node_id.as_deref() == Some("east")), "{before:?}");
    node.restart().await?;
    let after = wait_until("it started", PATIENCE, || async {
        let events = all(|path| node.request(Method::GET, path)).await?;
        ensure!(kinds(&events[before.len()..]).contains(&EventKind::Started), "{events:?}");
        anyhow::Ok(events)
    })
    .await?;
    check_gapless(&after);
    assert_eq!(after[..before.len()], before);
    // They tell internals: not for strangers.
    for path in [LIST, STREAM] {
        let request = node.request(Method::GET, path).header("x-forwarded-for", "10.0.0.1");
        posthouse_tests::answer::Answer::to(request).await?.expect(403)?;
    }
    Ok(())
}
