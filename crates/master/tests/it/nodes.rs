//! Nodes as the wire sees them: by the plain contract, so that what crosses it can be read here.

use std::time::{Duration, Instant};

use axum::Json;
use axum::routing::get;
use bytes::BytesMut;
use posthouse_master::config::Allowed;
use posthouse_protocol::PackageDescription;
use posthouse_protocol::live::{LiveEvent, SignedLiveEvent};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Running, answer, eventually};

async fn open_to_all() -> Running {
    Running::start_configured(tempfile::tempdir().unwrap(), PASSWORD, |config| {
        config.nodes.allow_unsigned = Allowed::Yes;
    })
    .await
}

/// A node that only says who it is.
struct Node<'a> {
    master: &'a Running,
    id: &'static str,
    instance: &'static str,
    address: String,
}

impl<'a> Node<'a> {
    async fn new(master: &'a Running, id: &'static str, instance: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = axum::Router::new().route("/api/status", get(async move || Json(json!({ "node_id": id }))));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { master, id, instance, address }
    }

    fn says(&self, held: &Value) -> Value {
        let extension = json!({
            "version": "0", "instance": self.instance, "heartbeat_interval_seconds": 10, "held": held,
        });
        json!({ "node_id": self.id, "address": self.address, "status": "online", "posthouse": extension })
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.master.http.post(self.master.url(path)).json(body)).await
    }

    async fn registers(&self) -> (u16, Value) {
        self.post("/api/v1/nodes/register", &self.says(&json!([]))).await
    }

    /// Says that it holds what is wanted now.
    async fn holds_everything(&self) {
        let (_, view) = self.master.get("/api/v1/meetings/status/node").await;
        let held: Vec<Value> = view["active_meetings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|meeting| {
                json!({
                    "meeting_id": meeting["id"], "version": meeting["version"], "hash": meeting["hash"],
                    "size_bytes": meeting["size_bytes"],
                })
            })
            .collect();
        let (status, body) = self.post("/api/v1/nodes/heartbeat", &self.says(&json!(held))).await;
        assert_eq!(status, 200, "{body}");
    }

    async fn opens_live(&self) -> Live {
        let query = [("node_id", self.id), ("instance", self.instance)];
        let url = reqwest::Url::parse_with_params(&self.master.url("/api/v1/nodes/live"), query).unwrap();
        let response = self.master.http.get(url).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["cache-control"], "no-store");
        Live { response, buffer: BytesMut::new(), sequence: 0 }
    }
}

/// The node's end of its live connection.
struct Live {
    response: Response,
    buffer: BytesMut,
    sequence: u64,
}

impl Live {
    async fn next(&mut self) -> Option<LiveEvent> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                let signed: SignedLiveEvent = serde_json::from_slice(&line).unwrap();
                assert_eq!((signed.sequence, signed.signature.as_str()), (self.sequence, ""));
                self.sequence += 1;
                return Some(serde_json::from_str(&signed.event).unwrap());
            }
            self.buffer.extend_from_slice(&self.response.chunk().await.ok()??);
        }
    }

    /// The next event that is no ping.
    async fn news(&mut self) -> Option<LiveEvent> {
        let news = async {
            loop {
                match self.next().await {
                    Some(LiveEvent::Ping) => {}
                    other => return other,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), news).await.unwrap()
    }
}

/// Where a tablet is sent: a location, or nothing when the master serves it.
async fn way(master: &Running) -> Option<String> {
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let response = http.get(master.url("/api/v1/meetings/m-1/download-package")).send().await.unwrap();
    match response.status().as_u16() {
        200 => None,
        302 => {
            assert_eq!(response.headers()["cache-control"], "no-store");
            Some(response.headers()["location"].to_str().unwrap().to_owned())
        }
        other => panic!("{other}"),
    }
}

async fn is_sent_there(master: &Running, node: &Node<'_>) {
    let wanted = format!("http://{}/api/v1/meetings/m-1/download-package", node.address);
    eventually("tablets are sent to the node", || async { (way(master).await == Some(wanted.clone())).then_some(()) })
        .await;
}

#[tokio::test]
async fn from_registration_to_goodbye() {
    let master = open_to_all().await;
    let node = Node::new(&master, "节点 1", "one").await;
    assert_eq!(node.post("/api/v1/nodes/register", &json!({ "node_id": "", "address": "" })).await.0, 400);
    let (status, body) = node.registers().await;
    assert_eq!((status, body), (200, json!({ "status": "success", "message": "Node 节点 1 registered" })));
    let mut live = node.opens_live().await;
    assert_eq!(live.next().await, Some(LiveEvent::Ping));
    master.create("m-1").await;
    master.set_status("m-1", "进行中").await;
    assert_eq!(live.news().await, Some(LiveEvent::Changed));
    assert_eq!(way(&master).await, None);
    node.holds_everything().await;
    is_sent_there(&master, &node).await;

    // The end of the connection is the end of redirects, long before a heartbeat is missed.
    drop(live);
    let lost = Instant::now();
    eventually("nobody is sent there", || async { way(&master).await.is_none().then_some(()) }).await;
    assert!(lost.elapsed() < Duration::from_secs(1), "{:?}", lost.elapsed());
    let _live = node.opens_live().await;
    is_sent_there(&master, &node).await;

    assert_eq!(node.post("/api/v1/nodes/unregister", &json!({ "node_id": node.id })).await.0, 200);
    let (status, body) = node.post("/api/v1/nodes/unregister", &json!({ "node_id": node.id })).await;
    assert_eq!((status, &body["detail"]), (404, &json!("Node 节点 1 not found")));
    eventually("nobody is sent there", || async { way(&master).await.is_none().then_some(()) }).await;
    master.end().await;
}

#[tokio::test]
async fn a_second_process_is_refused_while_the_first_answers() {
    let master = open_to_all().await;
    let first = Node::new(&master, "n", "one").await;
    let second = Node::new(&master, "n", "two").await;
    assert_eq!(first.registers().await.0, 200);
    let mut live = first.opens_live().await;
    let answering = async {
        let Some(LiveEvent::Challenge { challenge }) = live.news().await else { panic!("not asked") };
        let answer = json!({ "node_id": "n", "instance": "one", "challenge": challenge });
        assert_eq!(first.post("/api/v1/nodes/live/answer", &answer).await.0, 200);
    };
    let (refused, ()) = tokio::join!(second.registers(), answering);
    assert_eq!((refused.0, &refused.1["code"]), (409, &json!("second_instance")));
    assert!(refused.1["detail"].as_str().unwrap().contains(&first.address));
    // Silent, it loses its id after two seconds and is told so.
    assert_eq!(second.registers().await.0, 200);
    assert!(matches!(live.news().await, Some(LiveEvent::Challenge { .. })));
    assert!(matches!(live.news().await, Some(LiveEvent::Goodbye { .. })));
    assert_eq!(live.news().await, None);
    master.end().await;
}

#[tokio::test]
async fn an_administrator_disables_probes_and_removes_a_node() {
    let master = open_to_all().await;
    let node = Node::new(&master, "n", "one").await;
    node.registers().await;
    let mut live = node.opens_live().await;
    let patch = json!({ "state": "disabled", "name": "一号" });
    let (status, view) = master.ask(Method::PATCH, "/api/v1/nodes/n", &patch).await;
    assert_eq!((status, &view["name"], &view["state"]), (200, &json!("一号"), &json!("disabled")));
    assert!(matches!(live.news().await, Some(LiveEvent::Goodbye { .. })));
    assert_eq!(master.ask(Method::PATCH, "/api/v1/nodes/n", &json!({ "weight": 0 })).await.0, 400);
    assert_eq!(master.ask(Method::PATCH, "/api/v1/nodes/m", &json!({ "weight": 1 })).await.0, 404);

    assert_eq!(master.ask(Method::POST, "/api/v1/nodes/n/probe", &json!({})).await.1["result"], "reached");
    let walled = Node { address: "127.0.0.1:9".to_owned(), ..Node::new(&master, "walled", "one").await };
    walled.registers().await;
    let (_, found) = master.ask(Method::POST, "/api/v1/nodes/walled/probe", &json!({})).await;
    assert_eq!((&found["result"], &found["cause"]), (&json!("failed"), &json!("refused")));
    let (status, history) = master.ask(Method::GET, "/api/v1/nodes/n/history?series=quarter", &json!({})).await;
    assert_eq!((status, history), (200, json!([])));
    let (status, refused) = master.ask(Method::GET, "/api/v1/nodes/n/history?series=second", &json!({})).await;
    assert_eq!((status, &refused["code"]), (400, &json!("invalid_request")));

    assert_eq!(master.ask(Method::DELETE, "/api/v1/nodes/n", &json!({})).await.0, 200);
    assert_eq!(master.ask(Method::GET, "/api/v1/nodes/n", &json!({})).await.0, 404);
    let (_, all) = master.ask(Method::GET, "/api/v1/nodes", &json!({})).await;
    assert_eq!(all.as_array().unwrap().len(), 1);
    for path in ["/api/v1/nodes", "/api/v1/nodes/walled", "/api/v1/nodes/walled/history", "/api/v1/join-codes"] {
        assert_eq!(master.get(path).await.0, 401, "{path}");
    }
    master.end().await;
}

#[tokio::test]
async fn what_a_node_fetches() {
    let master = open_to_all().await;
    master.create("m-1").await;
    let meeting = "/api/v1/meetings/m-1";
    assert_eq!(master.get(&format!("{meeting}/download-package-direct")).await.0, 404);
    master.set_status("m-1", "进行中").await;
    let (_, described) = master.get(&format!("{meeting}/package-description")).await;
    let description: PackageDescription = serde_json::from_value(described.clone()).unwrap();
    assert!(description.is_contiguous() && described["version"] == 1);

    let fetch = |query: &str, range: Option<&'static str>| {
        let request = master.http.get(master.url(&format!("{meeting}/download-package-direct{query}")));
        let request = if let Some(range) = range { request.header("range", range) } else { request };
        async { request.send().await.unwrap() }
    };
    let whole = fetch("?version=1", None).await;
    assert_eq!(whole.headers()["etag"], format!("\"{}\"", description.hash).as_str());
    assert_eq!(whole.headers()["content-disposition"], "attachment; filename=\"meeting_m-1_pdfs.zip\"");
    let whole = whole.bytes().await.unwrap();
    assert_eq!(blake3::hash(&whole).as_bytes(), &description.hash.0);
    let part = fetch("", Some("bytes=5-9")).await;
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap()), (206, whole.slice(5..10)));
    assert_eq!(fetch("?version=2", None).await.status(), 404);
    assert_eq!(fetch("?version=x", None).await.status(), 400);
    let head = master.http.head(master.url(&format!("{meeting}/download-package"))).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.content_length()), (200, Some(0)));
    assert_eq!(head.headers()["content-length"], description.size_bytes.to_string().as_str());

    let request = master.http.get(master.url(&format!("{meeting}/download-nodes-info"))).header("host", "school:8000");
    let (_, endpoints) = answer(request).await;
    let url = "http://school:8000/api/v1/meetings/m-1/download-package";
    assert_eq!(endpoints, json!([{ "ip": "school:8000", "download_url": url }]));
    master.end().await;
}

#[tokio::test]
async fn join_codes_are_made_listed_and_revoked() {
    let master = Running::start().await;
    let (status, made) = master.ask(Method::POST, "/api/v1/join-codes", &json!({ "uses": 3 })).await;
    assert_eq!(status, 200, "{made}");
    let id = made["code_id"].as_str().unwrap();
    assert!(made["code"].as_str().unwrap().starts_with("posthouse-join-1."));
    assert_eq!(made["expires_at"].as_i64().unwrap() - made["created_at"].as_i64().unwrap(), 86_400);
    let (_, listed) = master.ask(Method::GET, "/api/v1/join-codes", &json!({})).await;
    assert_eq!(listed[0]["code_id"], id);
    assert!(listed[0].get("code").is_none() && !listed.to_string().contains("token"));
    let (_, revoked) = master.ask(Method::DELETE, &format!("/api/v1/join-codes/{id}"), &json!({})).await;
    assert_eq!(revoked["revoked"], true);
    assert_eq!(master.ask(Method::DELETE, "/api/v1/join-codes/none", &json!({})).await.0, 404);
    assert_eq!(master.ask(Method::POST, "/api/v1/join-codes", &json!({ "uses": 0 })).await.0, 400);
    let hello = json!({ "code_id": id, "node_id": "n", "node_key": "1".repeat(64) });
    let (status, refused) = answer(master.http.post(master.url("/api/v1/nodes/join/hello")).json(&hello)).await;
    assert_eq!((status, &refused["code"]), (403, &json!("join_code_refused")));
    // Where the plain contract is closed.
    let node = Node::new(&master, "n", "one").await;
    let (status, refused) = node.registers().await;
    assert_eq!((status, &refused["code"]), (401, &json!("secret_required")));
    let live = master.get("/api/v1/nodes/live?node_id=n").await;
    assert_eq!((live.0, &live.1["code"]), (401, &json!("secret_required")));
    master.end().await;
}
