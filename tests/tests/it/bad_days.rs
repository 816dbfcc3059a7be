//! Bad days: whatever happens, nothing torn is ever served, nothing is lost, somebody is told, and it is over by itself.

mod abuse;
mod bad_master;
mod copied;
mod crowd;
mod damaged;
mod full_disk;
mod killed;
mod master_away;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use posthouse_protocol::event::{Event, EventKind};
use posthouse_tests::master::Master;
use posthouse_tests::node::Node;
use posthouse_tests::proxy::Proxy;
use posthouse_tests::signed;
use posthouse_tests::site::Site;
use posthouse_tests::wait::{PATIENCE, wait_until};
use serde_json::{Value, json};

/// A node that reaches its master through a proxy, and tries again at once.
async fn node_behind_proxy(site: &Site, master: &Master) -> Result<(Proxy, Node)> {
    let proxy = Proxy::start(master.address()).await?;
    let code = signed::redirected(&master.join_code(1).await?, &proxy.address)?;
    let setup = site.node_setup("east").config(&json!({ "network": { "retryDelay": 0 } }));
    let node = setup.join(&code).start().await?;
    master.wait_for_online("east").await?;
    Ok((proxy, node))
}

/// The package as the master has it.
pub(crate) async fn original(master: &Master, meeting: &str) -> Result<Bytes> {
    let path = format!("/api/v1/meetings/{meeting}/download-package-direct");
    Ok(master.tablet()?.get(&path).await?.expect(200)?.body)
}

/// Files in a folder, with their sizes; none where there is no folder.
fn files_in(folder: &Path) -> Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        // It may be gone by now.
        let Ok(metadata) = entry.metadata() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        if metadata.is_dir() {
            files.extend(files_in(&entry.path())?.into_iter().map(|(inner, size)| (format!("{name}/{inner}"), size)));
        } else {
            files.push((name, metadata.len()));
        }
    }
    Ok(files)
}

/// Waits until a folder has no files.
async fn wait_until_empty(folder: &Path) -> Result<()> {
    wait_until(&format!("{} is empty", folder.display()), PATIENCE, || async {
        let left = files_in(folder)?;
        ensure!(left.is_empty(), "{left:?}");
        anyhow::Ok(())
    })
    .await
}

/// Events of a node, all of them.
pub(crate) async fn events_of(node: &Node) -> Result<Vec<Event>> {
    let page: Value = node.get("/api/v1/events?limit=1000").await?.expect(200)?.json()?;
    Ok(serde_json::from_value(page["events"].clone())?)
}

/// Waits until a node tells of such an event.
pub(crate) async fn wait_for_event(node: &Node, kind: EventKind, meeting: &str) -> Result<Event> {
    wait_until(&format!("{kind:?} of {meeting}"), PATIENCE, || async {
        let events = events_of(node).await?;
        let found = events.iter().find(|event| event.kind == kind && event.meeting_id.as_deref() == Some(meeting));
        found.cloned().with_context(|| format!("{events:?}"))
    })
    .await
}
