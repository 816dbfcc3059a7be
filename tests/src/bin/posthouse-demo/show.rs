//! The show itself, from an empty folder to a clean end.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use posthouse_protocol::ContentHash;
use posthouse_protocol::node::NodeDetailView;
use posthouse_tests::admin::NewMeeting;
use posthouse_tests::master::Master;
use posthouse_tests::node::Node;
use posthouse_tests::pdf::Pdf;
use posthouse_tests::site::Site;
use rust_i18n::t;

use crate::screen::{Progress, say};

const MEETING: &str = "m-001";
const NODES: [(&str, u16); 2] = [("east", 8001), ("west", 8002)];
const MASTER_PORT: u16 = 8000;
const PAPERS: usize = 8;
const PAPER_BYTES: usize = 8 << 20;
const PAGES: usize = 24;
const DOWNLOADS: usize = 6;

/// What stands on the stage. The fields are dropped in this order: nodes say goodbye to a master that is still there.
struct Stage {
    nodes: Vec<Node>,
    master: Master,
    site: Site,
}

/// Shows everything, then waits for Ctrl-C, or ends when `at_once`.
pub(crate) async fn run(at_once: bool) -> Result<()> {
    let mut stopping = Box::pin(asked_to_stop());
    // Whoever presses Ctrl-C in the middle leaves nothing running: what was started is stopped as it goes out of scope.
    let mut stage = tokio::select! {
        stage = perform() => stage?,
        () = &mut stopping => return Ok(()),
    };
    if !at_once {
        say(&t!("demo.until"));
        tokio::select! {
            () = &mut stopping => {}
            died = stage.watch() => bail!(died?),
        }
    }
    say(&t!("demo.stopping"));
    stage.stop().await?;
    say(&t!("demo.stopped"));
    Ok(())
}

async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    drop(tokio::signal::ctrl_c().await);
}

async fn perform() -> Result<Stage> {
    let stage = Stage::set().await?;
    let size_bytes = stage.hold_meeting().await?;
    stage.wait_until_shared(size_bytes).await?;
    stage.download().await?;
    stage.tell_where_to_look();
    Ok(stage)
}

impl Stage {
    async fn set() -> Result<Self> {
        let site = Site::named("posthouse-demo-")?;
        say(&t!("demo.title"));
        say(&t!("demo.folder", folder = site.path().display()));
        let setup = site.master_setup().listen(&own_or_any(MASTER_PORT)).generated_password().tended();
        let master = setup.start().await.context("master")?;
        say(&t!("demo.master_up", url = master.base));
        let mut stage = Self { nodes: Vec::new(), master, site };
        for (id, port) in NODES {
            let code = stage.master.join_code(1).await?;
            let setup = stage.site.node_setup(id).listen(&own_or_any(port)).join(&code).tended();
            let node = setup.start().await.with_context(|| id.to_owned())?;
            stage.master.wait_for_online(id).await?;
            say(&t!("demo.node_up", node = id, url = node.base));
            stage.nodes.push(node);
        }
        Ok(stage)
    }

    /// Makes papers, uploads them, starts a meeting; gives the size of its package.
    async fn hold_meeting(&self) -> Result<u64> {
        let admin = &self.master.admin;
        let papers: Vec<(String, Vec<u8>)> = (1..=PAPERS)
            .map(|number| {
                let pdf = Pdf::scanned(PAGES, PAPER_BYTES, number as u64);
                (format!("{}.pdf", t!("demo.paper_name", number = number)), pdf.to_bytes())
            })
            .collect();
        let bytes: usize = papers.iter().map(|(_, bytes)| bytes.len()).sum();
        say(&t!("demo.papers", count = PAPERS, pages = PAPERS * PAGES, megabytes = megabytes(bytes as u64)));
        let files = admin.upload(papers).await?;
        let agenda = (1..)
            .zip(files.chunks(PAPERS / 4))
            .map(|(number, files)| (t!("demo.agenda_item", number = number).into_owned(), files.to_vec()))
            .collect();
        let title = t!("demo.meeting_title").into_owned();
        admin.create(&NewMeeting { id: MEETING.to_owned(), title: title.clone(), agenda }).await?;
        admin.start(MEETING).await?;
        let size_bytes = self.master.tablet()?.package_size(MEETING).await?;
        say(&t!("demo.meeting", title = title, id = MEETING, megabytes = megabytes(size_bytes)));
        Ok(size_bytes)
    }

    /// A progress line until tablets are sent to both nodes.
    async fn wait_until_shared(&self, size_bytes: u64) -> Result<()> {
        let mut progress = Progress::default();
        let begun = Instant::now();
        loop {
            let views = self.master.admin.nodes().await?;
            let shares: Vec<String> = views.iter().map(|view| share(view, size_bytes)).collect();
            progress.show(&format!("{} {}", t!("demo.progress"), shares.join("   ")));
            let is_ready = |view: &NodeDetailView| view.online && view.not_chosen.is_empty() && holds(view);
            if views.len() == NODES.len() && views.iter().all(is_ready) {
                break;
            }
            if begun.elapsed() > Duration::from_secs(120) {
                progress.end();
                bail!("{views:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        progress.end();
        say(&t!("demo.rotation"));
        Ok(())
    }

    async fn download(&self) -> Result<()> {
        say(&t!("demo.downloads"));
        let tablet = self.master.tablet()?;
        let original = format!("{}/api/v1/meetings/{MEETING}/download-package-direct", self.master.base);
        let expected: ContentHash = tablet.download_from(&original).await?.hash;
        for number in 1..=DOWNLOADS {
            let begun = Instant::now();
            let download = tablet.download(MEETING).await?;
            let milliseconds = begun.elapsed().as_millis();
            let node = self.nodes.iter().find(|node| node.address() == download.from);
            say(&t!(
                "demo.download",
                number = number,
                node = node.map_or_else(|| t!("demo.by_master").into_owned(), |node| node.id().to_owned()),
                address = download.from,
                megabytes = megabytes(download.size_bytes),
                milliseconds = milliseconds,
                hash = &download.hash.to_string()[..16]
            ));
            if download.hash != expected {
                bail!("{}", t!("demo.disagree", number = number, got = download.hash, expected = expected));
            }
        }
        say(&t!("demo.agree", count = DOWNLOADS));
        Ok(())
    }

    fn tell_where_to_look(&self) {
        let base = &self.master.base;
        say(&t!("demo.look"));
        say(&t!("demo.look_master", url = format!("{base}/")));
        say(&t!("demo.look_api", url = format!("{base}/api/openapi.json")));
        say(&t!("demo.look_package", url = format!("{base}/api/v1/meetings/{MEETING}/download-package")));
        for node in &self.nodes {
            say(&t!("demo.look_node", node = node.id(), url = format!("{}/api/status", node.base)));
        }
        say(&t!("demo.look_password", file = self.master.password_file().display()));
    }

    /// Ends when one of the processes does, with its name.
    async fn watch(&mut self) -> Result<String> {
        loop {
            for node in &mut self.nodes {
                if node.process.has_ended()? {
                    return Ok(t!("demo.died", name = node.id()).into_owned());
                }
            }
            if self.master.process.has_ended()? {
                return Ok(t!("demo.died", name = t!("demo.by_master")).into_owned());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn stop(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.process.stop().await?;
        }
        self.master.process.stop().await
    }
}

fn holds(view: &NodeDetailView) -> bool {
    view.reported.iter().flat_map(|said| &said.held).any(|package| package.meeting_id == MEETING)
}

fn share(view: &NodeDetailView, size_bytes: u64) -> String {
    let fetching = view.reported.iter().flat_map(|said| &said.fetching).find(|fetch| fetch.meeting_id == MEETING);
    let state = match fetching {
        _ if holds(view) => t!("demo.held").into_owned(),
        Some(fetch) => format!("{}%", fetch.done_bytes * 100 / size_bytes.max(1)),
        None => t!("demo.waiting").into_owned(),
    };
    format!("{} {state}", view.node_id)
}

fn megabytes(bytes: u64) -> u64 {
    (bytes + 500_000) / 1_000_000
}

/// The port a person expects, when nothing else uses it.
fn own_or_any(port: u16) -> String {
    let address = format!("127.0.0.1:{port}");
    if TcpListener::bind(&address).is_ok() { address } else { "127.0.0.1:0".to_owned() }
}
