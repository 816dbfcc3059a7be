//! Changes of a meeting while it is running.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Running, answer, eventually, form, pdf};

#[tokio::test]
async fn a_file_added_to_a_running_meeting_makes_a_version_that_data_and_package_agree_on() {
    let master = Running::start().await;
    master.create("m-1").await;
    master.set_status("m-1", "进行中").await;
    let token = master.new_token("none").await;

    let path = "/api/v1/meetings/m-1/upload?position=1";
    let (status, added) = answer(master.admin(Method::POST, path).multipart(form(&[("新.docx", b"x".to_vec())]))).await;
    assert_eq!(status, 200);
    let token = master.new_token(&token).await;
    let (_, data) = master.get("/api/v1/meetings/m-1/data").await;
    assert_eq!(data["id"], token.as_str());
    let files = data["agenda_items"][0]["files"].as_array().unwrap().clone();
    assert_eq!(files[1]["name"], "新.docx");
    assert_eq!(files[1]["temp_id"], added["uploaded_files"][0]["temp_id"]);
    let package = package(&master, &data).await;
    for (file, extension) in files.iter().zip(["pdf", "docx"]) {
        let entry = format!("agenda_1/{}.{extension}", file["temp_id"].as_str().unwrap());
        assert!(contains(&package, &entry), "{entry}");
    }
    eventually("the first version is removed", || async {
        (master.files_in("packages") == ["m-1/2.zip"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_running_meeting_keeps_its_files_and_small_changes_move_the_token_alone() {
    let master = Running::start().await;
    master.create("m-1").await;
    master.set_status("m-1", "进行中").await;
    let token = master.new_token("none").await;

    let without = json!({ "part": [{ "title": "议程一", "files": [] }] });
    let (status, refused) = master.ask(Method::PUT, "/api/v1/meetings/m-1", &without).await;
    assert_eq!((status, refused["detail"].as_str()), (400, Some("会议正在进行，每个议程项都必须有文件: 议程一")));

    master.ask(Method::PUT, "/api/v1/meetings/m-1", &json!({ "intro": "新简介" })).await;
    let token = master.new_token(&token).await;
    assert_eq!(master.get("/api/v1/meetings/m-1/data").await.1["intro"], "新简介");
    assert_eq!(master.files_in("packages"), ["m-1/1.zip"]);

    // The title stands in the package. Files that are not said stay.
    let renamed = json!({ "title": "a/b", "part": [{ "title": "甲" }] });
    assert_eq!(master.ask(Method::PUT, "/api/v1/meetings/m-1", &renamed).await.0, 200);
    master.new_token(&token).await;
    let (_, data) = master.get("/api/v1/meetings/m-1/data").await;
    assert_eq!(data["agenda_items"][0]["title"], "甲");
    assert_eq!(data["agenda_items"][0]["files"][0]["size"], pdf(3).len());
    assert_eq!(data["package_url"], "/uploads/packages/a%2Fb_m-1_pdfs.zip");
    package(&master, &data).await;
}

async fn package(master: &Running, data: &Value) -> Vec<u8> {
    let answer = master.http.get(master.url(data["package_url"].as_str().unwrap())).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/zip");
    assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"meeting_m-1_pdfs.zip\"");
    answer.bytes().await.unwrap().to_vec()
}

/// Names of entries stand in a zip as they are.
fn contains(package: &[u8], entry: &str) -> bool {
    package.windows(entry.len()).any(|window| window == entry.as_bytes())
}
