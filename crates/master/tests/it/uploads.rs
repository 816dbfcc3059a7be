//! Uploading, and who may read what was uploaded.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use reqwest::Method;
use serde_json::json;

use crate::harness::{Running, answer, eventually, form, meeting, pdf};

#[tokio::test]
async fn names_are_only_shown_and_pages_only_counted_where_there_are_any() {
    let master = Running::start().await;
    let sent = [("../../年度 报告.PDF", pdf(7)), ("notes.txt", b"x".to_vec()), ("broken.pdf", b"%PDF-1.7 no".to_vec())];
    let files = master.upload(&sent).await;
    assert_eq!(files[0]["name"], "年度 报告.PDF");
    let (_, meeting) = master.ask(Method::POST, "/api/v1/meetings/", &meeting("m-1", &files)).await;
    let views = &meeting["agenda_items"][0]["files"];
    let pages: Vec<_> = (0..3).map(|index| views[index]["total_pages"].clone()).collect();
    assert_eq!(pages, [json!(7), json!(null), json!(null)]);
    let mut ids: Vec<_> = (0..3).map(|index| files[index]["temp_id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    assert_eq!(master.files_in("files"), ids);

    let none = answer(master.admin(Method::POST, "/api/v1/pdf/upload-temp").multipart(form(&[]))).await;
    assert_eq!(none.0, 400);
    let nobody = answer(master.http.post(master.url("/api/v1/pdf/upload-temp")).multipart(form(&sent))).await;
    assert_eq!(nobody.0, 401);
}

#[tokio::test]
async fn a_file_is_open_to_all_while_its_meeting_is_in_progress_and_else_to_administrators() {
    let master = Running::start().await;
    let created = master.create("m-1").await;
    let url = created["agenda_items"][0]["files"][0]["url"].as_str().unwrap();
    assert_eq!(master.get(url).await.0, 401);
    assert_eq!(master.get("/uploads/files/00000000-0000-0000-0000-000000000000/x").await.0, 401);
    assert_eq!(master.get("/uploads/files/..%2Fmaster.db/x").await.0, 404);
    let read = master.admin(Method::GET, url).send().await.unwrap();
    assert_eq!(read.headers()["content-type"], "application/pdf");
    assert_eq!(read.bytes().await.unwrap(), pdf(3));
    master.set_status("m-1", "进行中").await;
    let read = master.http.get(master.url(url)).header("range", "bytes=0-3").send().await.unwrap();
    assert_eq!(read.status(), 206);
    assert_eq!(read.bytes().await.unwrap(), "%PDF");
    master.set_status("m-1", "已结束").await;
    assert_eq!(master.get(url).await.0, 401);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let master = Running::start().await;
    let head = format!(
        "POST /api/v1/pdf/upload-temp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 100000000\r\n\
         Content-Type: multipart/form-data; boundary=b\r\n\r\n",
        master.token
    );
    let part = |name: &str| format!("--b\r\nContent-Disposition: form-data; name=files; filename={name}\r\n\r\n");
    let address = master.base.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("{head}{}whole\r\n{}", part("a.pdf"), part("b.pdf")).as_bytes()).unwrap();
    stream.write_all(&[0; 200_000]).unwrap();
    eventually("the second file is under way", || async { (master.files_in("scratch").len() == 2).then_some(()) })
        .await;
    assert!(master.files_in("files").is_empty());
    drop(stream);
    eventually("both are gone", || async { master.files_in("scratch").is_empty().then_some(()) }).await;
    assert!(master.files_in("files").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_no_reason_to_hold_others_up() {
    let master = Running::start().await;
    let address = master.base.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = "POST /api/v1/meetings/ HTTP/1.1\r\nHost: x\r\nContent-Length: 200000000\r\n";
    let head = format!("{head}Authorization: Bearer {}\r\n\r\n", master.token);
    stream.write_all(head.as_bytes()).unwrap();
    let sent = tokio::task::spawn_blocking(move || {
        let body = vec![b' '; 1 << 20];
        // Refused after the first few.
        for _ in 0..200 {
            if stream.write_all(&body).is_err() {
                break;
            }
        }
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    });
    assert_eq!(master.get("/api/status").await.0, 200);
    let answer = sent.await.unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
}
