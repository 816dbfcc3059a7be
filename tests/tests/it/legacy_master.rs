//! Our master in place of the deployed one: every recorded exchange of a Python node, of an administrator and of a
//! tablet is replayed against it, in order.

use anyhow::{Context, Result, ensure};
use posthouse_protocol::legacy::{UploadAnswer, UploadedFile};
use posthouse_tests::admin::NewMeeting;
use posthouse_tests::answer::{Answer, http_client};
use posthouse_tests::archive;
use posthouse_tests::master::Master;
use posthouse_tests::pdf::Pdf;
use posthouse_tests::python_node::PythonNode;
use posthouse_tests::recorded::{self, Exchange};
use posthouse_tests::site::Site;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

/// The id that the recorded node had.
const NODE: &str = "node-1a2b3c4d";

/// A master that knows what the recorded one knew at the beginning: `m-001` in progress, `m-9` over.
async fn master_as_recorded(site: &Site) -> Result<Master> {
    let master = site.master_setup().unsigned().start().await?;
    let paper = |name: &str, seed| (name.to_owned(), Pdf::scanned(3, 9_000, seed).to_bytes());
    let files =
        master.admin.upload(vec![paper("agenda-0.pdf", 1), paper("agenda-1.pdf", 2), paper("b.pdf", 3)]).await?;
    let mut body = NewMeeting {
        id: "m-001".into(),
        title: "年度工作会议".into(),
        agenda: vec![("议程一".into(), files[..2].to_vec()), ("议程二".into(), files[2..].to_vec())],
    }
    .to_json();
    body["intro"] = json!("intro text");
    body["part"][0]["reporter"] = json!("Zhang");
    body["part"][0]["duration_minutes"] = json!(10);
    master.admin.send(http::Method::POST, "/api/v1/meetings/", &body).await?.expect(200)?;
    master.admin.start("m-001").await?;
    master.wait_for_new_token("none").await?;

    let files = master.admin.upload(vec![paper("a.pdf", 4)]).await?;
    let mut body = NewMeeting { id: "m-9".into(), title: "t9".into(), agenda: vec![("a".into(), files)] }.to_json();
    body["intro"] = Value::Null;
    master.admin.send(http::Method::POST, "/api/v1/meetings/", &body).await?.expect(200)?;
    master.admin.start("m-9").await?;
    master.admin.end("m-9").await?;
    Ok(master)
}

fn meeting_m_100(files: &[UploadedFile]) -> NewMeeting {
    NewMeeting {
        id: "m-100".into(),
        title: "年度工作会议".into(),
        agenda: vec![("议程一".into(), files[..1].to_vec()), ("议程二".into(), files[1..].to_vec())],
    }
}

fn papers_of_m_100() -> Vec<(String, Vec<u8>)> {
    vec![
        ("年度报告.pdf".to_owned(), Pdf::scanned(3, 8_000, 5).to_bytes()),
        ("budget.pdf".to_owned(), Pdf::scanned(4, 9_000, 6).to_bytes()),
    ]
}

/// Sends a recorded request as it was, but for what `body` puts in place of its body.
async fn replay(base: &str, exchange: &Exchange, body: Option<Value>) -> Result<Answer> {
    let mut request = http_client()?.request(exchange.method()?, format!("{base}{}", exchange.path));
    for (name, value) in &exchange.request_headers {
        request = request.header(name, value);
    }
    if let Some(body) = body.or_else(|| exchange.request.clone()) {
        request = request.body(serde_json::to_vec(&body)?);
    }
    Answer::to(request).await.with_context(|| exchange.name())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recorded_life_of_a_python_node() -> Result<()> {
    let site = Site::new()?;
    let master = master_as_recorded(&site).await?;
    // Serves at a real address, because the master looks whether it can be reached there.
    let node = PythonNode::start(NODE, &master.base).await?;
    let mut token = String::new();

    for exchange in recorded::exchanges(recorded::NODE_TO_MASTER)? {
        // What the administrator did meanwhile, in the recording.
        match exchange.line {
            8 => {
                let files = master.admin.upload(papers_of_m_100()).await?;
                master.admin.create(&meeting_m_100(&files)).await?;
                master.admin.start("m-100").await?;
            }
            14 => drop(master.wait_for_new_token(&token).await?),
            19 => master.admin.end("m-100").await?,
            _ => {}
        }
        let body = exchange.request.clone().map(|mut body| {
            if body.get("address").is_some() {
                body["address"] = json!(node.address);
            }
            body
        });
        let answer = replay(&master.base, &exchange, body).await?;
        if exchange.path == "/" {
            // The node's only reachability probe.
            ensure!(answer.status.as_u16() == 200 || answer.status.is_redirection(), "/ answers {}", answer.status);
            continue;
        }
        exchange.check(&answer)?;
        if let Some(meeting) = exchange.path.strip_suffix("/download-package-direct") {
            let meeting = meeting.rsplit('/').next().unwrap_or_default();
            check_package(&exchange, &answer, meeting)?;
            node.put_package(meeting, answer.body.clone());
        } else if exchange.path == "/api/v1/meetings/status/node" {
            token = answer.json::<Value>()?["id"].as_str().context("a token")?.to_owned();
        }
    }
    Ok(())
}

fn check_package(exchange: &Exchange, answer: &Answer, meeting: &str) -> Result<()> {
    for name in ["content-type", "content-disposition"] {
        let recorded = exchange.response_headers.get(name).map(String::as_str).unwrap_or_default();
        ensure!(answer.header(name) == recorded, "{}: {name} is {:?}", exchange.name(), answer.header(name));
    }
    let names: Vec<String> = archive::entries(&answer.body)?.into_keys().collect();
    ensure!(names.iter().any(|name| name == "README.txt"), "{meeting}: {names:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recorded_work_of_administrator_and_tablet() -> Result<()> {
    let site = Site::new()?;
    let master = master_as_recorded(&site).await?;
    let node = PythonNode::start(NODE, &master.base).await?;
    node.register().await?.expect(200)?;
    node.round().await?;
    let mut uploaded: Vec<UploadedFile> = Vec::new();

    for exchange in recorded::exchanges(recorded::PEOPLE_TO_MASTER)? {
        let answer = ask(&master, &exchange, &uploaded).await?;
        if exchange.line == 21 {
            uploaded = answer.json::<UploadAnswer>()?.uploaded_files;
        }
        match exchange.line {
            // A meeting that was never started is not served (`legacy-wire.md`, section 5).
            26 => assert_eq!(answer.expect(404)?.detail()?, "会议 m-100 不是进行中状态"),
            // The newest recorded master serves itself; ours sends the tablet to the node that holds the package.
            40 => {
                let answer = answer.expect(302)?;
                assert_eq!(answer.header("cache-control"), "no-store");
                assert!(answer.header("location").starts_with(&format!("http://{}/", node.address)), "{answer:?}");
            }
            41 => {
                let answer = answer.expect(200)?;
                check_package(&exchange, &answer, "m-100")?;
                assert_eq!(Some(answer.body), node.package("m-100"), "what the node fetched");
            }
            // Clients look at the code alone here.
            43 => assert!(!answer.expect(404)?.detail()?.is_empty()),
            // A missing field is a plain 400 with a sentence.
            45 => assert!(!answer.expect(400)?.detail()?.is_empty()),
            _ => exchange.check(&answer)?,
        }

        if exchange.line == 30 {
            let before = master.tablet()?.token().await?.id;
            node.round().await?;
            master.wait_for_new_token(&before).await?;
            master.wait_for_rotation(NODE, "m-100").await?;
        }
    }
    Ok(())
}

/// Sends a recorded request, as the administrator where the existing master asks no login and ours does.
async fn ask(master: &Master, exchange: &Exchange, uploaded: &[UploadedFile]) -> Result<Answer> {
    let path = exchange.path.as_str();
    if path == "/api/v1/pdf/upload-temp" {
        let mut form = Form::new();
        for (name, bytes) in papers_of_m_100() {
            form = form.part("files", Part::bytes(bytes).file_name(name).mime_str("application/pdf")?);
        }
        return Answer::to(master.admin.request(exchange.method()?, path).multipart(form)).await;
    }
    let is_one_meeting = path.strip_prefix("/api/v1/meetings/").is_some_and(|rest| !rest.contains('/'));
    if !is_one_meeting && (exchange.method == "GET" || path.starts_with("/api/v1/nodes/")) {
        return replay(&master.base, exchange, None).await;
    }
    let mut request = master.admin.request(exchange.method()?, path);
    if let Some(body) = &exchange.request {
        request = request.json(&with_our_files(body.clone(), uploaded));
    }
    Answer::to(request).await
}

/// The recorded meeting with the files that our master took in place of the recorded ones, told as recorded: with a
/// path of the server, which must not be believed.
fn with_our_files(mut body: Value, uploaded: &[UploadedFile]) -> Value {
    let parts = body.get_mut("part").and_then(Value::as_array_mut).into_iter().flatten();
    for file in parts.filter_map(|part| part["files"].as_array_mut()).flatten() {
        if let Some(ours) = uploaded.iter().find(|ours| file["name"] == ours.name.as_str()) {
            file["temp_id"] = json!(ours.temp_id);
            file["url"] = json!(ours.url);
        }
    }
    body
}
