//! Two thousand simulated nodes, each with a heartbeat every 10 s that tells of 20 meetings.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::Method;
use posthouse_protocol::legacy::{HeartbeatRequest, MeetingTitle, NodeView, RegisterRequest};
use posthouse_protocol::node::{HeldPackage, NodeExtension, NodeLoad, SystemFacts};
use posthouse_protocol::routes;
use posthouse_tests::master::Master;
use posthouse_tests::signed::SignedNode;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant as TokioInstant;

use crate::connection::Connection;
use crate::ground::Ground;
use crate::measure::percentile;
use crate::report::{Row, note};
use posthouse_tests::usage;

const NODES: u32 = 2000;
const MEETINGS: usize = 20;
const INTERVAL: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(15);
const SPAN: Duration = Duration::from_secs(30);

pub(super) async fn measure(ground: &Ground) -> Result<Vec<Row>> {
    let signed = simulate(ground, true).await.context("signed nodes")?;
    let plain = simulate(ground, false).await.context("plain nodes")?;
    Ok(vec![
        signed.row("2,000 nodes of ours (signed, with live connections), a heartbeat each 10 s with 20 meetings"),
        plain.row("2,000 Python nodes, a heartbeat each 10 s with 20 meetings"),
    ])
}

struct Found {
    core_percent: f64,
    p99_ms: f64,
    beats: usize,
}

impl Found {
    fn row(&self, work: &str) -> Row {
        Row::judged(
            work,
            "under 25 % of one core, p99 under 50 ms",
            format!("{:.1} %, p99 {:.1} ms ({} heartbeats)", self.core_percent, self.p99_ms, self.beats),
            String::new(),
            self.core_percent < 25.0 && self.p99_ms < 50.0,
        )
    }
}

async fn simulate(ground: &Ground, signed: bool) -> Result<Found> {
    let setup = ground.master_setup().unsigned().config(&json!({ "nodes": { "probe": false } }));
    let master = setup.start().await?;
    for number in 0..MEETINGS {
        let file = (format!("paper-{number}.txt"), format!("paper {number}").repeat(50).into_bytes());
        master.run_meeting(&format!("m-{number:02}"), vec![file]).await?;
    }
    let view: NodeView = master.tablet()?.get(routes::STATUS_NODE).await?.expect(200)?.json()?;
    note(&format!("bringing {NODES} nodes in…"));
    let mut nodes = Vec::new();
    let code = if signed { master.join_code(NODES).await? } else { String::new() };
    for number in 0..NODES {
        nodes.push(Simulated::bring_in(&master, number, signed.then_some(code.as_str()), &view).await?);
    }

    let begin = TokioInstant::now();
    let (from, to) = (begin + WARM_UP, begin + WARM_UP + SPAN);
    let mut beating = JoinSet::new();
    for (number, node) in (0_u32..).zip(nodes) {
        beating.spawn(node.beat(begin + INTERVAL * number / NODES, from, to));
    }
    let pids = [master.process.pid()];
    tokio::time::sleep_until(from).await;
    let before = usage::cpu_seconds(&pids)?;
    tokio::time::sleep_until(to).await;
    let used = usage::cpu_seconds(&pids)? - before;
    let mut latencies = Vec::new();
    while let Some(node) = beating.join_next().await {
        latencies.append(&mut node??);
    }
    let found = Found {
        core_percent: used / SPAN.as_secs_f64() * 100.0,
        p99_ms: percentile(&latencies, 0.99),
        beats: latencies.len(),
    };
    note(&format!("{:.1} % of one core, p99 {:.2} ms", found.core_percent, found.p99_ms));
    Ok(found)
}

struct Simulated {
    connection: Connection,
    signer: Option<SignedNode>,
    body: Vec<u8>,
    /// Keeps the live connection open and empty.
    _live: Option<tokio::task::JoinHandle<()>>,
}

impl Simulated {
    async fn bring_in(master: &Master, number: u32, code: Option<&str>, view: &NodeView) -> Result<Self> {
        let id = format!("node-{number:04}");
        let address = format!("127.0.0.1:{}", 20_000 + number);
        let active = view.active_meetings.clone().unwrap_or_default();
        let extension = code.map(|_| NodeExtension {
            clock_offset_ms: None,
            version: "0.1.0".to_owned(),
            instance: format!("instance-{number:04}"),
            heartbeat_interval_seconds: INTERVAL.as_secs(),
            system: SystemFacts { operating_system: "Debian GNU/Linux 12".to_owned(), ..SystemFacts::default() },
            load: NodeLoad { processor_percent: 3.5, ..NodeLoad::default() },
            held: active
                .iter()
                .filter_map(|package| {
                    Some(HeldPackage {
                        meeting_id: package.id.clone(),
                        version: package.version?,
                        hash: package.hash?,
                        size_bytes: package.size_bytes?,
                    })
                })
                .collect(),
            fetching: Vec::new(),
        });
        let register = serde_json::to_vec(&RegisterRequest {
            node_id: id.clone(),
            address: address.clone(),
            status: "online".to_owned(),
            posthouse: extension.clone(),
        })?;
        let beat = HeartbeatRequest {
            node_id: id.clone(),
            address,
            status: "online".to_owned(),
            synced_meetings: active.iter().map(|meeting| meeting.id.clone()).collect(),
            active_meetings: active
                .iter()
                .map(|meeting| MeetingTitle { id: meeting.id.clone(), title: meeting.title.clone() })
                .collect(),
            posthouse: extension,
        };
        let signer = match code {
            Some(code) => Some(SignedNode::join(&master.base, code, &id).await?),
            None => None,
        };
        let mut node = Self {
            connection: Connection::open(master.address()).await?,
            signer,
            body: serde_json::to_vec(&beat)?,
            _live: None,
        };
        node.post(routes::REGISTER, register).await?;
        if let Some(signer) = &node.signer {
            let mut live = Connection::open(master.address()).await?;
            let target = format!("{}?instance=instance-{number:04}", routes::LIVE);
            live.begin(&target, &signer.sign(&Method::GET, &target, Vec::new()).headers).await?;
            node._live = Some(tokio::spawn(live.drain()));
        }
        Ok(node)
    }

    async fn post(&mut self, target: &str, body: Vec<u8>) -> Result<()> {
        let (headers, body) = match &self.signer {
            Some(signer) => {
                let request = signer.sign(&Method::POST, target, body);
                (request.headers, request.body)
            }
            None => (Vec::new(), body),
        };
        self.connection.exchange("POST", target, &headers, &body).await.map(drop)
    }

    /// Beats from `first` on until `to`; milliseconds of each answer after `from`.
    async fn beat(mut self, first: TokioInstant, from: TokioInstant, to: TokioInstant) -> Result<Vec<f64>> {
        let mut latencies = Vec::new();
        let mut next = first;
        while next < to {
            tokio::time::sleep_until(next).await;
            let begun = Instant::now();
            self.post(routes::HEARTBEAT, self.body.clone()).await?;
            if next >= from {
                latencies.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            next += INTERVAL;
        }
        // Leaves its connections to the end of all.
        tokio::time::sleep_until(to).await;
        Ok(latencies)
    }
}
