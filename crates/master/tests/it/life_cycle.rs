//! From creating a meeting to deleting it.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Running, meeting, pdf};

#[tokio::test]
async fn what_cannot_be_created_is_refused_with_a_sentence() {
    let master = Running::start().await;
    let files = master.upload(&[("a.pdf", pdf(1))]).await;
    let good = meeting("m-1", &files);
    assert_eq!(master.ask(Method::POST, "/api/v1/meetings/", &good).await.0, 200);
    for (change, status, detail) in [
        (json!({ "id": "M-1" }), 400, "创建会议失败: 会议 M-1 已存在"),
        (json!({ "id": "../x" }), 400, "创建会议失败: 会议ID必须是1到128个字符"),
        (json!({ "id": "x".repeat(10_000) }), 400, "创建会议失败: 会议ID必须是1到128个字符"),
        (json!({ "id": "m-2", "part": [] }), 400, "创建会议失败: 会议必须至少包含一个议程项"),
        (json!({ "id": "m-2", "title": null }), 400, "创建会议失败: 缺少必要字段: title"),
        (json!({ "id": "m-2", "title": 1 }), 400, ""),
        (
            json!({ "id": "m-2", "part": [{ "title": "a", "files": [{ "temp_id": "x", "path": "/etc/passwd" }] }] }),
            400,
            "创建会议失败: 文件 x 未上传或已过期",
        ),
        (
            json!({ "id": "m-2", "status": "进行中", "part": [{ "title": "a" }] }),
            400,
            "创建会议失败: 以下议程项没有文件，无法开始会议: a",
        ),
    ] {
        let mut body = good.clone();
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        let (answered, answer) = master.ask(Method::POST, "/api/v1/meetings/", &body).await;
        let text = answer["detail"].as_str().unwrap();
        assert!(answered == status && text.starts_with(detail), "{answered} {text}");
    }
    let (_, list) = master.ask(Method::GET, "/api/v1/meetings", &json!(null)).await;
    assert_eq!(list.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn tablets_are_told_of_a_meeting_while_it_is_in_progress() {
    let master = Running::start().await;
    let created = master.create("m-1").await;
    assert_eq!(master.get("/api/v1/meetings/nope/data").await.1["detail"], "会议 nope 不存在");
    assert_eq!(master.get("/api/v1/meetings/m-1/data").await.1["detail"], "会议 m-1 不是进行中状态");
    assert_eq!(master.get("/api/v1/meetings/m-1/data").await.0, 404);

    let (status, started) = master.set_status("M-1", "进行中").await;
    assert_eq!((status, started["status"].as_str()), (200, Some("进行中")));
    let token = master.new_token("none").await;
    let (_, told) = master.get("/api/v1/meetings/status/token").await;
    let listed = json!([{ "id": "m-1", "title": "年度工作会议", "time": "2026-11-20 09:00" }]);
    assert_eq!(told, json!({ "id": token, "meetings": listed }));
    let temp_id = &created["agenda_items"][0]["files"][0]["temp_id"];
    let (_, data) = master.get("/api/v1/meetings/m-1/data").await;
    let file = json!({
        "name": "文件", "size": pdf(3).len(), "display_name": "文件", "temp_id": temp_id, "meeting_id": "m-1",
        "agenda_folder": "agenda_1", "total_pages": 3,
    });
    let item = json!({ "position": 1, "title": "议程一", "files": [file] });
    assert_eq!(
        data,
        json!({
            "id": token, "meeting_id": "m-1", "title": "年度工作会议", "intro": "简介", "time": "2026-11-20 09:00",
            "status": "进行中", "agenda_items": [item], "package_url": "/uploads/packages/年度工作会议_m-1_pdfs.zip",
        })
    );

    assert_eq!(master.set_status("m-1", "已结束").await.0, 200);
    assert_eq!(master.get("/api/v1/meetings/status/token").await.1, json!({ "id": "none", "meetings": [] }));
    assert_eq!(master.get("/api/v1/meetings/m-1/data").await.0, 404);
    assert!(master.files_in("packages").is_empty());

    // An ended meeting may be started again; numbers of versions go on.
    assert_eq!(master.set_status("m-1", "进行中").await.0, 200);
    assert_ne!(master.new_token("none").await, token);
    assert_eq!(master.files_in("packages"), ["m-1/2.zip"]);

    let (status, answer) = master.ask(Method::DELETE, "/api/v1/meetings/m-1", &json!(null)).await;
    assert_eq!((status, answer["status"].as_str()), (200, Some("success")));
    assert!(master.files_in("packages").is_empty() && master.files_in("files").is_empty());
    assert_eq!(master.get("/api/v1/meetings/active/meetings").await.1, json!([]));
    assert_eq!(master.ask(Method::DELETE, "/api/v1/meetings/m-1", &json!(null)).await.1["detail"], "会议未找到");
}

#[tokio::test]
async fn a_meeting_that_lacks_something_is_not_started() {
    let master = Running::start().await;
    let files = master.upload(&[("a.pdf", pdf(1))]).await;
    let mut body = meeting("m-1", &files);
    body["part"] = json!([{ "title": "甲", "files": files }, { "title": "乙" }, { "title": "丙", "files": [] }]);
    assert_eq!(master.ask(Method::POST, "/api/v1/meetings/", &body).await.0, 200);
    let (status, answer) = master.set_status("m-1", "进行中").await;
    assert_eq!((status, answer["detail"].as_str()), (400, Some("以下议程项没有文件，无法开始会议: 乙, 丙")));
    master.ask(Method::PUT, "/api/v1/meetings/m-1", &json!({ "part": [] })).await;
    let (status, answer) = master.set_status("m-1", "进行中").await;
    assert_eq!((status, answer["detail"].as_str()), (400, Some("会议没有议程项，无法开始会议")));
    assert_eq!(master.set_status("m-1", "进行").await.0, 400);
}
