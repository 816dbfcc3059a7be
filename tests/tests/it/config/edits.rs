//! How an edit gets in force, and how one does not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::node::Trust;
use posthouse_tests::answer::{Answer, http_client};
use posthouse_tests::config;
use posthouse_tests::node::Node;
use posthouse_tests::python_master::PythonMaster;
use posthouse_tests::signed::hash_of;
use posthouse_tests::site::Site;
use posthouse_tests::tcp::Reader;
use posthouse_tests::wait::{PATIENCE, stays, wait_until};
use serde_json::{Value, json};

use super::{edit, in_force, pythons_file};
use crate::papers;

fn port_of(address: &str) -> Result<u16> {
    address.rsplit_once(':').context("a port")?.1.parse().context("a port")
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("0.0.0.0:0")?.local_addr()?.port())
}

async fn config_problem(node: &Node) -> Result<Option<String>> {
    Ok(node.detail().await?.config_problem)
}

async fn wait_for_problem(node: &Node, named: &str) -> Result<()> {
    wait_until(&format!("the edit is refused for {named}"), PATIENCE, || async {
        let problem = config_problem(node).await?.context("no problem")?;
        ensure!(problem.contains(named), "{problem}");
        anyhow::Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_configuration_the_defaults_are_written_and_nobody_is_contacted() -> Result<()> {
    let site = Site::new()?;
    let setup = site.node_setup("fresh");
    let process = setup.launch_as_it_is().start().await?;
    let base = format!("http://{}", process.running()?.addresses[0]);
    let http = http_client()?;
    let status: Value = Answer::to(http.get(format!("{base}/api/status"))).await?.expect(200)?.json()?;
    assert_eq!(status["connected"], false);
    assert_eq!(status["posthouse"]["trust"], json!(Trust::NotJoined));
    let how = status["posthouse"]["problem"].as_str().context("it does not say how to join it")?;
    assert!(how.contains("--join"), "{how}");

    let written = config::read(&site.data("fresh").join("node_config.json"))?;
    let mut defaults = pythons_file(80);
    defaults["mainServerIp"] = json!("192.168.110.10");
    defaults["nodeId"] = written["nodeId"].clone();
    defaults.as_object_mut().context("an object")?.remove("界面");
    defaults["storage"].as_object_mut().context("an object")?.remove("layout");
    assert_eq!(written, defaults, "the seed's defaults");
    let id = written["nodeId"].as_str().context("an id")?;
    let digits = id.strip_prefix("node-").with_context(|| id.to_owned())?;
    assert!(digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_of_the_python_node_is_taken_and_unknown_keys_stay() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    let file = pythons_file(port_of(&master.address)?);
    let node = site.node_setup("node-12345678").config(&file).start().await?;
    node.wait_for("is connected", |status| if status.connected { Ok(()) } else { Err(format!("{status:?}")) }).await?;
    assert_eq!(master.registered(), ["node-12345678"]);
    assert_eq!(in_force(&node).await?, file);

    // What writes the file keeps them, too.
    node.post("/api/config/heartbeat", &json!(30)).await?.expect(200)?;
    let mut expected = file.clone();
    expected["heartbeat"]["interval"] = json!(30);
    assert_eq!(config::read(&node.config_path())?, expected);
    let mut posted = file.clone();
    posted["syncInterval"] = json!(20);
    posted["nodeId"] = json!("another");
    posted["heartbeat"]["interval"] = json!(30);
    posted.as_object_mut().context("an object")?.remove("界面");
    let answer: Value = node.post("/api/config", &posted).await?.expect(200)?.json()?;
    assert_eq!(answer, json!({ "status": "success", "message": "配置已更新" }));
    expected["syncInterval"] = json!(20);
    assert_eq!(config::read(&node.config_path())?, expected, "the id stays, and what was not named");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_is_not_valid_is_refused_and_the_last_good_one_stays() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let node = site.joined_node("east", &master).await?;
    let good = in_force(&node).await?;
    let text = std::fs::read_to_string(node.config_path())?;
    for (bad, named) in [
        (text.replace("\"syncInterval\": 10", "\"syncInterval\": 5"), "syncInterval"),
        (text.replace("\"maxSize\": 10737418240", "\"maxSize\": \"much\""), "storage.maxSize"),
        (text[..text.len() / 2].to_owned(), "JSON"),
        ("[]".to_owned(), ""),
        (text.replace("\"mainServerPort\"", "\"mainServerPort\": 70000, \"x\""), "mainServerPort"),
    ] {
        assert_ne!(bad, text, "{named}");
        std::fs::write(node.config_path(), &bad)?;
        wait_for_problem(&node, named).await?;
        assert_eq!(in_force(&node).await?, good);
        assert!(node.status().await?.connected);
        assert_eq!(std::fs::read_to_string(node.config_path())?, bad, "it is the person's file");
        // Written anew as it was, there is nothing to complain about.
        std::fs::write(node.config_path(), &text)?;
        wait_until("the problem is over", PATIENCE, || async {
            let problem = config_problem(&node).await?;
            ensure!(problem.is_none(), "{problem:?}");
            anyhow::Ok(())
        })
        .await?;
    }
    let events: Value = node.get("/api/v1/events?limit=1000").await?.expect(200)?.json()?;
    let kinds: Vec<&Value> = events["events"].as_array().into_iter().flatten().map(|event| &event["kind"]).collect();
    let refused = kinds.iter().filter(|kind| ***kind == json!(EventKind::ConfigRefused)).count();
    assert!(refused >= 5, "{kinds:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_api_refuses() -> Result<()> {
    let site = Site::new()?;
    let master = PythonMaster::start().await?;
    let node = site.node_setup("east").plain(&master.address).start().await?;
    let good = in_force(&node).await?;
    let with = |key: &str, value: Value| {
        let mut changed = good.clone();
        changed[key] = value;
        changed
    };
    let without = |key: &str| {
        let mut changed = good.clone();
        changed.as_object_mut().map(|object| object.remove(key));
        changed
    };
    for (body, detail) in [
        (without("mainServerIp"), "缺少必要字段: mainServerIp"),
        (without("mainServerPort"), "缺少必要字段: mainServerPort"),
        (without("syncInterval"), "缺少必要字段: syncInterval"),
        (with("mainServerPort", json!(0)), "端口号必须在1-65535之间"),
        (with("mainServerPort", json!(65536)), "端口号必须在1-65535之间"),
        (with("syncInterval", json!(9)), "同步间隔必须在10-3600秒之间"),
        (with("syncInterval", json!(3601)), "同步间隔必须在10-3600秒之间"),
    ] {
        assert_eq!(node.post("/api/config", &body).await?.expect(400)?.detail()?, detail);
    }
    for (body, named) in [
        (with("storage", json!({ "cleanupThreshold": 2 })), "storage.cleanupThreshold"),
        (with("logging", json!({ "level": "LOUD" })), "logging.level"),
        (with("mainServerPort", json!("80")), "mainServerPort"),
        (json!([]), ""),
    ] {
        let detail = node.post("/api/config", &body).await?.expect(400)?.detail()?;
        assert!(!detail.is_empty() && detail.contains(named), "{named}: {detail}");
    }
    for body in ["9", "301", "{\"interval\": 9}"] {
        let request = node.request(Method::POST, "/api/config/heartbeat").body(body);
        assert_eq!(Answer::to(request).await?.expect(400)?.detail()?, "心跳间隔必须在10-300秒之间");
    }
    for body in ["", "soon", "{}", "[30]", "{\"interval\": \"x\"}"] {
        let request = node.request(Method::POST, "/api/config/heartbeat").body(body);
        assert_eq!(Answer::to(request).await?.expect(400)?.detail()?, "无效的心跳间隔请求格式", "{body}");
    }
    assert_eq!(in_force(&node).await?, good);
    for body in [json!(40), json!({ "interval": 40 })] {
        let answer: Value = node.post("/api/config/heartbeat", &body).await?.expect(200)?.json()?;
        assert_eq!(answer, json!({ "status": "success", "message": "心跳间隔已更新为 40 秒" }));
    }
    assert_eq!(config::read(&node.config_path())?["heartbeat"]["interval"], 40);

    // What cannot be written is not in force either. (A folder in its place stops root, too.)
    let before = in_force(&node).await?;
    std::fs::remove_file(node.config_path())?;
    std::fs::create_dir(node.config_path())?;
    let answer = node.post("/api/config", &with("syncInterval", json!(33))).await?.expect(500)?;
    assert_eq!(answer.detail()?, "保存配置失败");
    assert_eq!(in_force(&node).await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_master_is_registered_with_and_the_old_one_told() -> Result<()> {
    let site = Site::new()?;
    let (first, second) = (PythonMaster::start().await?, PythonMaster::start().await?);
    let node = site.node_setup("east").plain(&first.address).start().await?;
    wait_until("it registers", PATIENCE, || async {
        let registered = first.registered();
        if registered == ["east"] { Ok(()) } else { Err(format!("{registered:?}")) }
    })
    .await?;
    let moved = async |from: &PythonMaster, to: &PythonMaster| {
        wait_until("it moves", PATIENCE, || async {
            ensure!(from.registered().is_empty(), "the old one still has it");
            ensure!(to.registered() == ["east"], "the new one has it not");
            ensure!(node.status().await?.main_server == format!("http://{}", to.address), "status");
            anyhow::Ok(())
        })
        .await
    };
    let mut body = in_force(&node).await?;
    body["mainServerPort"] = json!(port_of(&second.address)?);
    node.post("/api/config", &body).await?.expect(200)?;
    moved(&first, &second).await?;
    edit(&node, json!({ "mainServerPort": port_of(&first.address)? })).await?;
    moved(&second, &first).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_port_answers_and_a_download_on_the_old_one_ends_well() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let old = free_port()?;
    let setup = site.node_setup("east").listen_as_configured().config(&json!({ "nodePort": old }));
    let node = setup.join(&master.join_code(1).await?).start().await?;
    let here = |port: u16| format!("127.0.0.1:{port}");
    master.run_meeting("m-1", papers::large(20_000_000, 1)).await?;
    master.wait_for_rotation("east", "m-1").await?;
    let package = crate::bad_days::original(&master, "m-1").await?;
    let path = "/api/v1/meetings/m-1/download-package";

    let mut slow = Reader::get(&here(old), path).await?;
    slow.read_some(1000).await?;
    let new = free_port()?;
    config::edit(&node.config_path(), |whole| whole["nodePort"] = json!(new))?;
    let http = http_client()?;
    let answer = wait_until("the new port answers", PATIENCE, || async {
        Answer::to(http.get(format!("http://{}{path}", here(new)))).await?.expect(200)
    })
    .await?;
    ensure!(answer.body == package, "other bytes on the new port");
    // Nobody new is let in at the old one, and who was in gets everything.
    wait_until("the old port is closed", PATIENCE, || async {
        let connected = tokio::net::TcpStream::connect(here(old)).await;
        ensure!(connected.is_err(), "it still accepts");
        anyhow::Ok(())
    })
    .await?;
    ensure!(slow.read_to_end().await? == package, "other bytes on the old port");
    wait_until("the master sends tablets there", PATIENCE, || async {
        let view = master.admin.node("east").await?;
        ensure!(view.online && view.address.ends_with(&format!(":{new}")), "{view:?}");
        anyhow::Ok(())
    })
    .await?;
    master.wait_for_rotation("east", "m-1").await?;
    assert_eq!(master.tablet()?.download("m-1").await?.hash, hash_of(&package));
    assert!(node.process.running()?.addresses.iter().all(|address| address.ends_with(&format!(":{new}"))));

    // A port that somebody has is refused, and everything goes on as it is.
    let taken = std::net::TcpListener::bind("0.0.0.0:0")?;
    let port = taken.local_addr()?.port();
    config::edit(&node.config_path(), |whole| whole["nodePort"] = json!(port))?;
    let status = async || -> Result<Value> {
        Answer::to(http.get(format!("http://{}/api/status", here(new)))).await?.expect(200)?.json()
    };
    wait_until("it is refused", PATIENCE, || async {
        let status = status().await?;
        let problem = status["posthouse"]["config_problem"].as_str().context("no problem")?.to_owned();
        ensure!(problem.contains("nodePort") && problem.contains(&port.to_string()), "{problem}");
        anyhow::Ok(())
    })
    .await?;
    stays("it serves where it served", Duration::from_secs(1), || async {
        let status = status().await?;
        ensure!(status["connected"] == true, "{status}");
        anyhow::Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_of_the_command_line_wins_for_the_life_of_the_process() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let node = site.joined_node("east", &master).await?;
    edit(&node, json!({ "nodePort": free_port()? })).await?;
    stays("it listens where it was told", Duration::from_secs(2), || async {
        ensure!(node.status().await?.connected, "not connected");
        ensure!(master.admin.node("east").await?.address == node.address(), "another address");
        anyhow::Ok(())
    })
    .await
}
