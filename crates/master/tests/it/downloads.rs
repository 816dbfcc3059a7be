//! Stopping while somebody downloads.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use crate::harness::{Running, eventually, meeting};

#[tokio::test(flavor = "multi_thread")]
async fn a_download_under_way_is_finished_while_everybody_else_is_turned_away() {
    const LENGTH: usize = 30_000_000;
    let master = Running::start().await;
    // Nothing that deflates, so that the package is as long.
    let mut noise = vec![0; LENGTH];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let files = master.upload(&[("noise.bin", noise)]).await;
    let mut body = meeting("m-1", &files);
    body["status"] = json!("进行中");
    assert_eq!(master.ask(reqwest::Method::POST, "/api/v1/meetings/", &body).await.0, 200);

    let mut stream = TcpStream::connect(master.base.trim_start_matches("http://")).unwrap();
    let path = "/api/v1/meetings/m-1/download-package-direct";
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut begin = [0; 1000];
    stream.read_exact(&mut begin).unwrap();
    master.stop.cancel();
    let turned_away = eventually("the master is draining", || async {
        let (status, view) = master.get("/api/status").await;
        (view["state"] == "draining").then_some(status)
    })
    .await;
    assert_eq!(turned_away, 503);
    assert_eq!(master.get("/api/v1/meetings/status/token").await.0, 503);
    let length = tokio::task::spawn_blocking(move || std::io::copy(&mut stream, &mut std::io::sink()).unwrap());
    assert!(length.await.unwrap() > LENGTH as u64 - 1000);
    assert!(!master.data().join("running.json").exists() || !master.ended.is_finished());
    let folder = master.end().await;
    assert!(!folder.path().join("running.json").exists());
}
