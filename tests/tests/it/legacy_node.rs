//! Our node in place of the deployed one: what it sends to a Python master is what the recorded node sent, and what
//! anybody asked the recorded node is asked of ours.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use posthouse_protocol::node::Trust;
use posthouse_tests::answer::Answer;
use posthouse_tests::node::Node;
use posthouse_tests::noise::Noise;
use posthouse_tests::python_master::{Behaviour, PythonMaster, Seen};
use posthouse_tests::recorded::{self, Exchange};
use posthouse_tests::signed::hash_of;
use posthouse_tests::site::Site;
use posthouse_tests::wait::{PATIENCE, stays, wait_until};
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

const NODE: &str = "node-1a2b3c4d";
const TITLE: &str = "年度工作会议";

/// A package as the Python master builds it.
fn package(seed: u64) -> Result<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("README.txt", SimpleFileOptions::default())?;
    zip.write_all("会议标题: 年度工作会议\n".as_bytes())?;
    zip.start_file(format!("agenda_1/{seed}.pdf"), SimpleFileOptions::default())?;
    zip.write_all(&Noise::from_seed(seed).bytes(200_000))?;
    Ok(zip.finish()?.into_inner())
}

/// The configuration of the recorded node, with our master's address.
async fn plain_node(site: &Site, master: &PythonMaster) -> Result<Node> {
    let recorded = json!({
        "syncInterval": 10,
        "network": { "maxConcurrentDownloads": 100 },
        "heartbeat": { "interval": 10, "timeout": 30 },
    });
    site.node_setup(NODE).plain(&master.address).config(&recorded).start().await
}

fn paths(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect()
}

async fn wait_for(master: &PythonMaster, what: &str, method: Method, target: &str, count: usize) -> Result<Vec<Seen>> {
    wait_until(what, PATIENCE, || async {
        let seen = master.seen_at(&method, target);
        if seen.len() >= count { Ok(seen) } else { Err(format!("{:?}", paths(&master.seen()))) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_to_a_python_master_what_the_recorded_node_said() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    let (first, second) = (package(1)?, package(2)?);
    master.put_meeting("m-001", TITLE, first.clone());
    let mut node = plain_node(&site, &master).await?;

    let address = node.address().to_owned();
    let sent = |line: usize| -> Result<Value> {
        let recorded = recorded::exchanges(recorded::NODE_TO_MASTER)?;
        let mut body = recorded.into_iter().find(|exchange| exchange.line == line).and_then(|found| found.request);
        if let Some(recorded_address) = body.as_mut().and_then(|body| body.get_mut("address")) {
            *recorded_address = json!(address);
        }
        body.with_context(|| format!("line {line} has no request"))
    };
    let same = |seen: &Seen, line: usize| -> Result<()> {
        let kind = seen.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        ensure!(kind.starts_with("application/json"), "content-type {kind:?}");
        recorded::like(&sent(line)?, &seen.body).with_context(|| format!("line {line}: sent {}", seen.body))
    };

    let registered = wait_for(&master, "registers", Method::POST, "/api/v1/nodes/register", 1).await?;
    same(&registered[0], 1)?;
    assert_eq!(registered[0].body["address"], node.address());
    wait_for(&master, "polls", Method::GET, "/api/v1/meetings/status/node", 1).await?;
    wait_for(&master, "fetches", Method::GET, "/api/v1/meetings/m-001/download-package-direct", 1).await?;
    assert_eq!(node.wait_for_package("m-001", None).await?.hash, hash_of(&first));

    let tells = |line: usize, meetings: &'static [&'static str]| {
        let (master, same) = (&master, &same);
        async move {
            wait_until(&format!("a heartbeat tells {meetings:?}"), PATIENCE, || async {
                let beats = master.seen_at(&Method::POST, "/api/v1/nodes/heartbeat");
                let last = beats.last().context("no heartbeat")?;
                ensure!(last.body["synced_meetings"] == json!(meetings), "{}", last.body);
                same(last, line)
            })
            .await
        }
    };
    tells(7, &["m-001"]).await?;
    master.put_meeting("m-100", TITLE, second.clone());
    node.wait_for_package("m-100", Some(hash_of(&second))).await?;
    tells(11, &["m-001", "m-100"]).await?;

    // A package is fetched once for each change token: nothing else tells that it was rebuilt.
    for (meeting, tokens) in [("m-001", 2), ("m-100", 1)] {
        let target = format!("/api/v1/meetings/{meeting}/download-package-direct");
        let fetched = master.seen_at(&Method::GET, &target).len();
        assert!((1..=tokens).contains(&fetched), "{meeting}: {fetched}");
    }
    // Nothing of our own contract is asked of an older master.
    let known = ["/", "/api/v1/nodes/register", "/api/v1/nodes/heartbeat", "/api/v1/meetings/status/node"];
    for seen in master.seen() {
        let target = seen.target.as_str();
        assert!(known.contains(&target) || target.ends_with("/download-package-direct"), "asked for {target}");
        assert!(seen.headers.keys().all(|name| !name.as_str().starts_with("x-posthouse")), "{seen:?}");
    }
    let detail = node.detail().await?;
    assert_eq!(detail.trust, Trust::Plain, "it says that it speaks the plain contract");

    // The meeting ends: the package goes, and the next heartbeat says so.
    master.end_meeting("m-100");
    node.wait_for("drops m-100", |status| {
        if status.meeting_count == 1 { Ok(()) } else { Err(format!("{:?}", status.active_meetings)) }
    })
    .await?;
    assert!(!node.package_path("m-100").exists());

    node.process.stop().await?;
    let goodbye = wait_for(&master, "says goodbye", Method::POST, "/api/v1/nodes/unregister", 1).await?;
    same(&goodbye[0], 15)?;
    assert!(master.registered().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_very_old_master_names_one_meeting() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    master.be_very_old();
    let bytes = package(3)?;
    master.put_meeting("m-001", TITLE, bytes.clone());
    let node = plain_node(&site, &master).await?;
    node.wait_for_package("m-001", Some(hash_of(&bytes))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_anyone_asks_a_node() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    let (first, second) = (package(1)?, package(2)?);
    master.put_meeting("m-001", TITLE, first);
    master.put_meeting("m-100", TITLE, second.clone());
    let node = plain_node(&site, &master).await?;
    for meeting in ["m-001", "m-100"] {
        node.wait_for_package(meeting, None).await?;
    }

    for exchange in recorded::exchanges(recorded::ANYONE_TO_NODE)? {
        if exchange.line == 67 {
            // In the recording the second meeting ended while the service was stopped.
            master.end_meeting("m-100");
        }
        if exchange.line == 72 {
            // It is back, and has looked whether the other package is still the same.
            wait_until("it is as recorded", PATIENCE, || async {
                check_own_facts(&exchange, &ask(&node, &exchange).await?, &node)
            })
            .await?;
            continue;
        }
        let answer = ask(&node, &exchange).await?;
        match exchange.line {
            50..=52 => check_own_facts(&exchange, &answer, &node)?,
            // HEAD is answered by ours.
            62 => {
                let answer = answer.clone().expect(200)?;
                assert_eq!(answer.header("content-length"), second.len().to_string());
            }
            _ => exchange.check(&answer)?,
        }
        check_headers(&exchange, &answer, &second)?;
    }
    Ok(())
}

async fn ask(node: &Node, exchange: &Exchange) -> Result<Answer> {
    let mut request = node.request(exchange.method()?, &exchange.path);
    for (name, value) in &exchange.request_headers {
        request = request.header(name, value);
    }
    request = match &exchange.request {
        Some(body) => {
            // The recorded addresses belong to the recorded machine.
            let mut body = body.clone();
            if exchange.path == "/api/config" && exchange.status == 200 {
                let own = node.get("/api/config").await?.expect(200)?.json::<Value>()?;
                for key in ["mainServerIp", "mainServerPort", "nodePort"] {
                    body[key] = own[key].clone();
                }
            }
            request.body(serde_json::to_vec(&body)?)
        }
        // The one body that was no JSON.
        None if exchange.line == 60 => request.body("abc"),
        None => request,
    };
    Answer::to(request).await.with_context(|| exchange.name())
}

/// Status and configuration, but for what is of this machine.
fn check_own_facts(exchange: &Exchange, answer: &Answer, node: &Node) -> Result<()> {
    let mut recorded = exchange.clone();
    let body = recorded.response.as_mut().context("a recorded answer")?;
    let actual: Value = answer.json()?;
    for key in ["main_server", "node_port", "mainServerIp", "mainServerPort", "nodePort"] {
        if let (Some(value), Some(own)) = (body.get_mut(key), actual.get(key)) {
            ensure!(value.is_string() == own.is_string(), "{key} is {own}");
            *value = own.clone();
        }
    }
    recorded.check(answer)?;
    if let Some(port) = actual.get("node_port") {
        ensure!(node.address().ends_with(&format!(":{port}")), "node_port is {port} at {}", node.address());
    }
    Ok(())
}

fn check_headers(exchange: &Exchange, answer: &Answer, package: &[u8]) -> Result<()> {
    if exchange.line == 65 {
        assert_eq!(answer.header("location"), "/static/index.html");
    }
    if ![61, 63, 64].contains(&exchange.line) {
        return Ok(());
    }
    for name in ["content-type", "accept-ranges", "content-disposition"] {
        let recorded = exchange.response_headers.get(name).map(String::as_str).unwrap_or_default();
        ensure!(answer.header(name) == recorded, "{}: {name} is {:?}", exchange.name(), answer.header(name));
    }
    for name in ["etag", "last-modified", "content-length"] {
        ensure!(!answer.header(name).is_empty(), "{}: no {name}", exchange.name());
    }
    let expected = if exchange.line == 64 { &package[..100] } else { package };
    ensure!(answer.body == expected, "{}: other bytes", exchange.name());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_of_an_older_master_that_is_no_sound_zip_is_never_served() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    let bytes = package(4)?;
    for behaviour in [Behaviour::FlipsABit, Behaviour::ClosesAfter(bytes.len() / 2), Behaviour::Garbage] {
        master.behave(behaviour);
        master.put_meeting("m-001", TITLE, bytes.clone());
        let node = plain_node(&site, &master).await?;
        if behaviour != Behaviour::Garbage {
            wait_for(&master, "fetches", Method::GET, "/api/v1/meetings/m-001/download-package-direct", 1).await?;
        }
        stays("nothing torn is served", Duration::from_secs(3), || async {
            let answer = node.get("/api/v1/meetings/m-001/download-package").await?;
            ensure!(answer.status == 404, "{behaviour:?}: {}", answer.status);
            ensure!(node.status().await?.storage_usage == 0, "{behaviour:?}: reported as held");
            anyhow::Ok(())
        })
        .await?;
        // The master recovers, and so does the node, by itself.
        master.behave(Behaviour::Sound);
        node.wait_for_package("m-001", Some(hash_of(&bytes))).await?;
        drop(node);
        std::fs::remove_dir_all(site.data(NODE))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packages_left_by_the_python_node_are_taken_over() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    let (sound, torn) = (package(5)?, package(6)?);
    master.put_meeting("m-001", TITLE, sound.clone());
    master.put_meeting("m-100", TITLE, torn.clone());
    for (meeting, bytes) in [("m-001", &sound[..]), ("m-100", &torn[..torn.len() / 2])] {
        let folder = site.data(NODE).join("storage").join(format!("meeting_{meeting}"));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("package.zip"), bytes)?;
    }
    let node = plain_node(&site, &master).await?;
    node.wait_for_package("m-001", Some(hash_of(&sound))).await?;
    node.wait_for_package("m-100", Some(hash_of(&torn))).await?;
    assert_eq!(
        master.seen_at(&Method::GET, "/api/v1/meetings/m-001/download-package-direct").len(),
        0,
        "the sound one was not downloaded again"
    );
    assert_eq!(master.seen_at(&Method::GET, "/api/v1/meetings/m-100/download-package-direct").len(), 1);
    Ok(())
}
