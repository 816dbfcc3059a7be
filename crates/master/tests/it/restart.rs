//! What a master that is started again makes of what it finds.

use serde_json::json;

use crate::harness::{Running, eventually, pdf};

#[tokio::test]
async fn a_package_that_is_gone_is_built_again_and_what_nobody_knows_is_removed() {
    let master = Running::start().await;
    master.create("m-1").await;
    master.set_status("m-1", "进行中").await;
    let token = master.new_token("none").await;
    let before = master.get("/api/v1/meetings/status/node").await.1["active_meetings"].clone();
    assert_eq!(before[0]["version"], 1);
    let folder = master.end().await;

    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("packages/m-1/1.zip"), "cut off").unwrap();
    std::fs::write(path("packages/m-1/2.zip"), "renamed, but never committed").unwrap();
    std::fs::create_dir(path("packages/unknown")).unwrap();
    std::fs::write(path("packages/unknown/1.zip"), "x").unwrap();
    std::fs::write(path("files/not-an-upload"), "x").unwrap();
    std::fs::write(path("scratch/package-x.part"), "x").unwrap();
    let master = Running::start_in(folder).await;
    let after = eventually("the package is back", || async {
        let (_, view) = master.get("/api/v1/meetings/status/node").await;
        view["active_meetings"].get(0).is_some().then(|| view["active_meetings"].clone())
    })
    .await;
    assert_eq!(after, before);
    assert_eq!(master.files_in("packages"), ["m-1/1.zip"]);
    assert_eq!(master.files_in("files").len(), 1);
    assert!(master.files_in("scratch").is_empty());
    let (_, told) = master.get("/api/v1/meetings/status/token").await;
    assert_eq!(told["id"], json!(token));
}

#[tokio::test]
async fn waiting_for_nodes_goes_on_after_a_restart() {
    let mut master = Running::start().await;
    let files = master.upload(&[("a.pdf", pdf(1))]).await;
    let mut body = crate::harness::meeting("m-1", &files);
    body["status"] = json!("进行中");
    // Stopped at once: the change token may or may not have moved.
    let (status, _) = master.ask(reqwest::Method::POST, "/api/v1/meetings/", &body).await;
    assert_eq!(status, 200);
    let folder = master.end().await;
    master = Running::start_in(folder).await;
    master.new_token("none").await;
    assert_eq!(master.get("/api/v1/meetings/m-1/data").await.0, 200);
}
