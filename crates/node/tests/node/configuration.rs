//! Configuration: edits of the file and by HTTP, what is refused, what takes effect.

use posthouse_node::NodeExit;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::node::Trust;
use serde_json::{Value, json};

use crate::master::{BLOCK, Master};
use crate::site::{Site, noise, until, until_async};

#[tokio::test]
async fn without_a_configuration_nobody_is_contacted_until_a_master_is_chosen() {
    let master = Master::ours();
    let site = Site::with(json!({}));
    std::fs::remove_file(site.config_path()).unwrap();
    let node = site.start();
    let detail = node.detail().await;
    assert_eq!(detail.trust, Trust::NotJoined);
    assert!(detail.problem.unwrap().contains("--join"));
    assert_eq!(node.status().await.main_server, "");
    let (host, port) = master.address.rsplit_once(':').unwrap();
    let port: u16 = port.parse().unwrap();
    site.edit(json!({"mainServerIp": host, "mainServerPort": port}));
    node.until("connects", |status| status.connected).await;
    assert_eq!(node.detail().await.trust, Trust::Plain);
    assert!(node.detail().await.problem.is_none());
}

#[tokio::test]
async fn the_http_routes_check_and_keep_as_recorded() {
    let master = Master::ours();
    let site = Site::plain(&master);
    let node = site.start();
    let (host, port) = master.address.rsplit_once(':').unwrap();
    let port: u16 = port.parse().unwrap();
    let body = |overlay: Value| {
        let mut body = json!({"mainServerIp": host, "mainServerPort": port, "syncInterval": 12, "nodeId": "other"});
        posthouse_runtime::config_file::merge(&mut body, overlay);
        body
    };
    let refused = |overlay: Value| async { node.post("/api/config", body(overlay)).await };
    let said = |text: &str| (400, json!({"detail": text, "code": "invalid_request"}));
    assert_eq!(refused(json!({"mainServerPort": null})).await, said("缺少必要字段: mainServerPort"));
    assert_eq!(refused(json!({"mainServerPort": 70000})).await, said("端口号必须在1-65535之间"));
    assert_eq!(refused(json!({"syncInterval": 5})).await, said("同步间隔必须在10-3600秒之间"));
    let (code, answer) = refused(json!({"storage": {"maxSize": "big"}})).await;
    assert!(code == 400 && answer["detail"].as_str().unwrap().starts_with("storage.maxSize: "), "{answer}");

    let answer = node.post("/api/config", body(json!({"heartbeat": {"timeout": 7}}))).await;
    assert_eq!(answer, (200, json!({"status": "success", "message": "配置已更新"})));
    let config: Value = node.get("/api/config").await.json().await.unwrap();
    assert_eq!((&config["syncInterval"], &config["nodeId"]), (&json!(12), &json!("node-1")));
    assert_eq!(config["heartbeat"], json!({"interval": 10, "timeout": 7}));
    assert_eq!(config["publicIp"], Value::Null);
    let file: Value = serde_json::from_slice(&std::fs::read(site.config_path()).unwrap()).unwrap();
    assert_eq!(file, config);

    let beat = |body: Value| async { node.post("/api/config/heartbeat", body).await };
    let updated = |seconds: u32| json!({"status": "success", "message": format!("心跳间隔已更新为 {seconds} 秒")});
    assert_eq!(beat(json!(30)).await, (200, updated(30)));
    assert_eq!(beat(json!({"interval": 45})).await, (200, updated(45)));
    assert_eq!(beat(json!(5)).await, said("心跳间隔必须在10-300秒之间"));
    assert_eq!(beat(json!("abc")).await, said("无效的心跳间隔请求格式"));
    let config: Value = node.get("/api/config").await.json().await.unwrap();
    assert_eq!(config["heartbeat"]["interval"], 45);
}

#[tokio::test]
async fn an_invalid_edit_is_refused_reported_and_forgotten_when_it_is_corrected() {
    let master = Master::ours();
    let site = Site::plain(&master);
    let node = site.start();
    node.until("connects", |status| status.connected).await;
    site.edit(json!({"syncInterval": 3}));
    let problem =
        |node: &posthouse_protocol::legacy::NodeStatus| node.posthouse.as_ref().unwrap().config_problem.clone();
    node.until("refuses it", |status| problem(status).is_some_and(|text| text.contains("syncInterval"))).await;
    node.until_event(EventKind::ConfigRefused).await;
    let config: Value = node.get("/api/config").await.json().await.unwrap();
    assert_eq!(config["syncInterval"], 10);
    std::fs::write(site.config_path(), "{").unwrap();
    node.until("refuses that, too", |status| problem(status).is_some_and(|text| text.contains("JSON"))).await;
    let mut right = config;
    right["syncInterval"] = json!(11);
    std::fs::write(site.config_path(), right.to_string()).unwrap();
    node.until("takes it", |status| problem(status).is_none()).await;
    node.until_event(EventKind::ConfigChanged).await;
    assert!(node.status().await.connected);
}

#[tokio::test]
async fn another_master_another_id_and_another_address_are_told() {
    let (first, second) = (Master::ours(), Master::ours());
    let site = Site::plain(&first);
    let node = site.start();
    node.until("connects", |status| status.connected).await;
    let (host, port) = second.address.rsplit_once(':').unwrap();
    let port: u16 = port.parse().unwrap();
    site.edit(json!({"mainServerIp": host, "mainServerPort": port}));
    until("registers anew", || second.seen_at("/api/v1/nodes/register").len() == 1).await;
    until("says goodbye", || first.seen_at("/api/v1/nodes/unregister").len() == 1).await;

    site.edit(json!({"nodeId": "node-2"}));
    until("registers as the other", || {
        second.seen_at("/api/v1/nodes/register").iter().any(|seen| seen.body["node_id"] == "node-2")
    })
    .await;
    until("says goodbye as the one", || {
        second.seen_at("/api/v1/nodes/unregister").iter().any(|seen| seen.body["node_id"] == "node-1")
    })
    .await;

    site.edit(
        json!({"usePublicAddress": true, "publicIp": "10.1.2.3", "publicPort": 99, "heartbeat": {"interval": 10}}),
    );
    node.until("tells it", |status| (status.node_ip.as_str(), status.node_port) == ("10.1.2.3", 99)).await;
}

#[tokio::test]
async fn another_port_ends_the_run_and_downloads_go_on() {
    let master = Master::ours();
    let bytes = noise(1, 400 * BLOCK);
    master.put("m-1", &bytes);
    let site = Site::plain(&master);
    let node = site.start();
    node.wait_for("m-1", &bytes).await;
    let mut download = node.get("/api/v1/meetings/m-1/download-package").await;
    let mut got = download.chunk().await.unwrap().unwrap().to_vec();

    // A port that is taken is refused.
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    site.edit(json!({"nodePort": taken.local_addr().unwrap().port()}));
    node.until("refuses it", |status| {
        status.posthouse.as_ref().unwrap().config_problem.as_ref().is_some_and(|text| text.contains("nodePort"))
    })
    .await;
    let port = taken.local_addr().unwrap().port();
    drop(taken);
    node.post("/api/service/stop", json!({})).await;
    site.edit(json!({"nodePort": port, "syncInterval": 11}));
    let NodeExit::Rebind { address, start, draining } = node.end().await.unwrap() else { panic!("no new port") };
    assert_eq!((address.port(), start.listen_address()), (port, address));
    while let Some(chunk) = download.chunk().await.unwrap() {
        got.extend_from_slice(&chunk);
    }
    assert!(got == bytes);
    let stop = tokio_util::sync::CancellationToken::new();
    let listener = posthouse_runtime::http::bind(address).unwrap();
    let again = tokio::spawn(posthouse_node::run(*start, listener, stop.clone(), None));
    // It was stopped before, and so it is now.
    let base = format!("http://127.0.0.1:{port}");
    let http = reqwest::Client::new();
    let status: serde_json::Value = http.get(format!("{base}/api/status")).send().await.unwrap().json().await.unwrap();
    assert_eq!((&status["running"], &status["connected"]), (&json!(false), &json!(false)));
    let started = http.post(format!("{base}/api/service/start")).json(&json!({})).send().await.unwrap();
    assert_eq!(started.status(), 200);
    until("registers with it", || {
        let registered = master.seen_at("/api/v1/nodes/register");
        registered.iter().any(|seen| seen.body["address"].as_str().unwrap().ends_with(&format!(":{port}")))
    })
    .await;
    stop.cancel();
    assert!(matches!(again.await.unwrap().unwrap(), NodeExit::Stopped));
    draining.finish(std::time::Duration::from_secs(5)).await;
}

#[tokio::test]
async fn another_storage_folder_is_filled_and_the_old_one_left_alone() {
    let master = Master::ours();
    let bytes = noise(1, 2 * BLOCK);
    master.put("m-1", &bytes);
    let site = Site::plain(&master);
    let node = site.start();
    node.wait_for("m-1", &bytes).await;
    site.edit(json!({"storage": {"path": "elsewhere"}}));
    let moved = site.data().resolve("elsewhere/meeting_m-1/package.zip");
    until("fetches it there", || moved.exists()).await;
    node.wait_for("m-1", &bytes).await;
    assert!(site.package_path("m-1").exists());
    std::fs::write(site.data().resolve("a file"), "").unwrap();
    site.edit(json!({"storage": {"path": "a file"}}));
    until_async("refuses what is no folder", || {
        Box::pin(async { node.detail().await.config_problem.is_some_and(|text| text.contains("storage.path")) })
    })
    .await;
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
}
