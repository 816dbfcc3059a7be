//! Serving: the recorded answers, ranges, ids that mean harm, and who may control the node.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use posthouse_node::reset_password;
use posthouse_runtime::trust::link::LinkKey;
use serde_json::json;

use crate::master::{BLOCK, Fault, Master};
use crate::site::{Site, noise};

#[tokio::test]
async fn a_package_is_answered_whole_in_part_and_not_at_all_when_it_is_known() {
    let master = Master::ours();
    let bytes = noise(1, 3 * BLOCK);
    master.put("m-1", &bytes);
    let node = Site::plain(&master).start();
    node.wait_for("m-1", &bytes).await;
    let path = "/api/v1/meetings/m-1/download-package";
    let whole = node.get(path).await;
    let header = |name: &str| whole.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-disposition"), "attachment; filename=\"meeting_m-1.zip\"");
    assert_eq!((header("accept-ranges"), header("content-type")), ("bytes".into(), "application/zip".into()));
    assert_eq!(header("etag"), format!("\"{}\"", crate::master::hash(&bytes)));
    assert!(whole.headers().contains_key("last-modified") && whole.headers().contains_key("x-request-id"));
    let etag = header("etag");

    let head = node.request("HEAD", path).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()), (200, "196608"));
    let part = node.request("GET", path).header("range", "bytes=100-199").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), bytes[100..200]);
    let known = node.request("GET", path).header("if-none-match", &etag).send().await.unwrap();
    assert_eq!(known.status(), 304);
    let other =
        node.request("GET", path).header("range", "bytes=0-9").header("if-range", "\"x\"").send().await.unwrap();
    assert_eq!(other.status(), 200);
    assert_eq!(node.get("/api/meetings/m-1/download").await.bytes().await.unwrap(), bytes);
    assert_eq!(node.get("/api/v1/meetings/M-1/download-package").await.status(), 200);

    let metrics = node.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("posthouse_packages 1") && metrics.contains("posthouse_downloads_total"), "{metrics}");
}

#[tokio::test]
async fn an_unknown_meeting_is_asked_for_once_and_leaves_no_trace() {
    let master = Master::ours();
    let site = Site::plain(&master);
    let node = site.start();
    node.until("connects", |status| status.connected).await;
    let asking = (0..20).map(|_| node.download("nobody"));
    let answers = join_all(asking).await;
    assert!(answers.iter().all(|answer| *answer == Err(404)));
    assert_eq!(node.download("nobody").await, Err(404));
    assert_eq!(master.seen_at("/api/v1/meetings/nobody").len(), 1);
    for hostile in ["..%2fx", "%2e%2e", "..", "a%00b", "%E4%BC%9A", &"x".repeat(10_000), ".incoming", "a%2Fb"] {
        let answer = node.get(&format!("/api/v1/meetings/{hostile}/download-package")).await;
        assert!(answer.status().is_client_error(), "{hostile}: {}", answer.status());
    }
    assert_eq!(site.storage(), [".incoming"]);
    let status = node.status().await;
    assert_eq!((status.meeting_count, status.storage_usage, status.sync_status.as_str()), (0, 0, "未同步"));
    let answer = node.get("/api/meetings/nobody/download").await;
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["detail"], "会议包不存在");
}

#[tokio::test]
async fn a_meeting_that_the_master_has_is_had_from_it_by_all_who_ask_at_once() {
    let master = Master::ours();
    let site = Site::plain(&master);
    let node = site.start();
    node.until("connects", |status| status.connected).await;
    // Asked for before the node hears of it by itself.
    let bytes = noise(1, 4 * BLOCK);
    master.put("m-1", &bytes);
    let answers = join_all((0..10).map(|_| node.download("m-1"))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| *answer == bytes)));
    assert_eq!(master.seen_at("/api/v1/meetings/m-1/download-package-direct").len(), 1);
}

#[tokio::test]
async fn who_asks_a_master_that_hangs_is_answered_within_ten_seconds() {
    let master = Master::ours();
    master.fail(vec![Fault::HangAfter(10); 100]);
    let node = Site::plain(&master).start();
    node.until("connects", |status| status.connected).await;
    master.put("m-1", &noise(1, BLOCK));
    let begun = Instant::now();
    assert_eq!(node.download("m-1").await, Err(404));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_service_switch_speaks_the_recorded_words() {
    let master = Master::ours();
    let bytes = noise(1, BLOCK);
    master.put("m-1", &bytes);
    let node = Site::plain(&master).start();
    node.wait_for("m-1", &bytes).await;
    let switched = |path: &'static str| async {
        let (code, answer) = node.post(path, json!({})).await;
        assert_eq!((code, &answer["status"]), (200, &json!("success")));
        answer["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(switched("/api/service/start").await, "服务已经在运行中");
    assert_eq!(switched("/api/service/stop").await, "服务已停止");
    assert_eq!(switched("/api/service/stop").await, "服务已经停止");
    assert_eq!(master.seen_at("/api/v1/nodes/unregister").len(), 1);
    let stopped = node.get("/api/v1/meetings/m-1/download-package").await;
    assert_eq!(stopped.status(), 503);
    assert_eq!(stopped.json::<serde_json::Value>().await.unwrap()["detail"], "服务未运行");
    let status = node.status().await;
    assert!(!status.running && !status.connected);
    assert_eq!(switched("/api/service/start").await, "服务已启动");
    node.until("registers", |status| status.connected).await;
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
    assert_eq!(master.seen_at("/api/v1/nodes/register").len(), 2);
}

#[tokio::test]
async fn control_routes_are_for_this_machine_or_who_knows_the_password() {
    let master = Master::ours();
    let site = Site::plain(&master);
    let node = site.start();
    let asked = |path: &'static str, headers: &[(&str, &str)]| {
        let mut request = node.request("GET", path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        async { request.send().await.unwrap().status().as_u16() }
    };
    for path in ["/api/config", "/api/v1/events"] {
        assert_eq!(asked(path, &[]).await, 200);
        assert_eq!(asked(path, &[("host", "evil.example")]).await, 403);
        assert_eq!(asked(path, &[("origin", "http://evil.example")]).await, 403);
        assert_eq!(asked(path, &[("x-forwarded-for", "10.0.0.1")]).await, 403);
    }
    assert_eq!(asked("/api/status", &[("host", "evil.example")]).await, 200);

    let password = reset_password(&site.data()).unwrap();
    let far = ("x-forwarded-for", "10.0.0.1");
    let right = format!("Bearer {password}");
    assert_eq!(asked("/api/config", &[far]).await, 401);
    assert_eq!(asked("/api/config", &[far, ("authorization", "Bearer wrong")]).await, 401);
    assert_eq!(asked("/api/config", &[far, ("authorization", &right)]).await, 200);
    assert_eq!(asked("/api/config", &[far, ("authorization", &right), ("origin", "http://evil.example")]).await, 403);

    site.edit(json!({"network": {"requireLocalPassword": true}}));
    node.until("asks here, too", |_| true).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while asked("/api/config", &[]).await != 401 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(asked("/api/config", &[("authorization", &right)]).await, 200);
    assert_eq!(asked("/api/config", &[("authorization", &right), ("host", "evil.example")]).await, 403);
}

#[tokio::test]
async fn signed_links_are_demanded_when_they_are_switched_on() {
    let master = Master::ours();
    let bytes = noise(1, BLOCK);
    master.put("m-1", &bytes);
    let code = master.new_code(&[&master.address]);
    let site = Site::joining(&code);
    site.edit(json!({"network": {"requireSignedLinks": true}}));
    let node = site.start();
    node.wait_for("m-1", &bytes).await;
    assert_eq!(node.download("m-1").await, Err(403));
    let key = LinkKey::of(&master.secret("node-1"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let asked = async |parameter: String| {
        let path = format!("/api/v1/meetings/m-1/download-package?{parameter}");
        node.get(&path).await.status().as_u16()
    };
    let meeting = "m-1".parse().unwrap();
    assert_eq!(asked(key.parameter(&meeting, 1, "node-1", now + 60)).await, 200);
    assert_eq!(asked(key.parameter(&meeting, 1, "node-1", now - 60)).await, 403);
    assert_eq!(asked(key.parameter(&meeting, 1, "node-2", now + 60)).await, 403);
}

#[tokio::test]
async fn the_page_the_document_and_the_events_are_there() {
    let master = Master::ours();
    let node = Site::plain(&master).start();
    let root = node.get("/").await;
    assert_eq!((root.status().as_u16(), root.headers()["location"].to_str().unwrap()), (307, "/static/index.html"));
    assert!(node.get("/static/index.html").await.text().await.unwrap().contains("驿站"));
    let document: serde_json::Value = node.get("/api/openapi.json").await.json().await.unwrap();
    assert!(document["paths"]["/api/status"]["get"].is_object(), "{document}");
    assert_eq!(node.get("/api/docs/").await.status(), 200);
    assert_eq!(node.get("/nowhere").await.status(), 404);

    node.until("connects", |status| status.connected).await;
    let mut stream = node.get("/api/v1/events/stream?after=0").await;
    let mut text = String::new();
    while !text.contains("master_connected") {
        let chunk = tokio::time::timeout(Duration::from_secs(10), stream.chunk()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(text.starts_with("id: 1\n") || text.contains("\nid: 1\n"), "{text}");
    let begun = Instant::now();
    node.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "an open stream does not hold up the end");
}
