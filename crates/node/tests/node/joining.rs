//! Joining by a code, going on with the secret, and never falling back.

use std::time::Duration;

use posthouse_protocol::ErrorCode;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::node::Trust;
use posthouse_runtime::exit::StartError;
use posthouse_runtime::trust::Secret;
use serde_json::{Value, json};

use crate::master::{BLOCK, Master};
use crate::site::{Site, noise, until, until_async};

#[tokio::test]
async fn a_join_leads_to_signed_requests_and_its_code_is_spent() {
    let master = Master::ours();
    let bytes = noise(1, 2 * BLOCK);
    master.put("m-1", &bytes);
    // Nobody at the first address.
    let code = master.new_code(&["127.0.0.1:9", &master.address]);
    let site = Site::joining(&code);
    let node = site.start();
    node.wait_for("m-1", &bytes).await;
    let detail = node.detail().await;
    assert_eq!(detail.trust, Trust::Signed);
    assert!(detail.clock_offset_ms.unwrap().abs() < 5_000);
    let requests = master.seen();
    let is_join = |target: &str| target.contains("/join/");
    assert!(requests.iter().filter(|seen| !is_join(&seen.target)).all(|seen| seen.is_signed), "{requests:#?}");
    assert_eq!(requests.iter().filter(|seen| is_join(&seen.target)).count(), 2);
    let config: Value = serde_json::from_slice(&std::fs::read(site.config_path()).unwrap()).unwrap();
    assert_eq!(format!("{}:{}", config["mainServerIp"].as_str().unwrap(), config["mainServerPort"]), master.address);
    let file = std::fs::read_to_string(site.secret_path()).unwrap();
    let secret = master.secret("node-1").to_hex();
    assert!(file.contains("\"joined\"") && file.contains(&secret));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(site.secret_path()).unwrap().permissions().mode() & 0o777, 0o600);
    }
    for path in ["/api/config", "/api/status", "/api/v1/events?limit=1000"] {
        assert!(!node.get(path).await.text().await.unwrap().contains(&secret), "{path}");
    }
    node.until_event(EventKind::NodeJoined).await;
    node.stop().await;

    // The same command again, and without the code.
    let node = site.start();
    node.until("goes on", |status| status.connected).await;
    node.stop().await;
    let site = site.without_code();
    let node = site.start();
    node.until("goes on", |status| status.connected).await;
    assert_eq!(node.detail().await.trust, Trust::Signed);
    assert_eq!(master.seen_at("/api/v1/nodes/join").len(), 2);
}

#[tokio::test]
async fn a_refused_code_ends_the_first_start_with_one_clear_line() {
    let master = Master::ours();
    let code = master.new_code(&[&master.address]);
    master.revoke_code();
    let site = Site::joining(&code);
    let error = site.start().end().await.unwrap_err();
    let error = error.downcast_ref::<StartError>().unwrap();
    assert_eq!(error.code(), 69);
    assert!(error.to_string().contains("the code is spent") && !error.to_string().contains('\n'), "{error}");

    // Later, without the code, the node does not turn to the plain contract by itself.
    let (host, port) = master.address.rsplit_once(':').unwrap();
    let port: u16 = port.parse().unwrap();
    site.edit(json!({"mainServerIp": host, "mainServerPort": port}));
    let site = site.without_code();
    let node = site.start();
    let detail = node.detail().await;
    assert_eq!(detail.trust, Trust::NotJoined);
    assert!(detail.problem.unwrap().contains("--join"));
    // Nor when somebody names another address while it runs.
    site.edit(json!({"mainServerIp": "localhost", "syncInterval": 77}));
    until_async("the edit is in force", || {
        Box::pin(async {
            node.get("/api/config").await.json::<serde_json::Value>().await.unwrap()["syncInterval"] == 77
        })
    })
    .await;
    assert_eq!(node.detail().await.trust, Trust::NotJoined);
    assert_eq!(master.seen_at("/api/v1/nodes/register").len(), 0);
}

#[tokio::test]
async fn a_master_that_is_not_there_yet_is_waited_for() {
    let master = Master::ours();
    let address = master.address.clone();
    let code = master.new_code(&[&address]);
    let house = master.house.clone();
    drop(master);
    let site = Site::joining(&code);
    let node = site.start();
    node.until("says so", |status| {
        let detail = status.posthouse.as_ref().unwrap();
        detail.trust == Trust::NotJoined && detail.problem.as_ref().is_some_and(|text| text.contains("refused"))
    })
    .await;
    let master = loop {
        // The old listener may take a moment to go.
        if std::net::TcpListener::bind(&address).is_ok() {
            break Master::at(&address, house.clone());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    node.until("joins", |status| status.connected).await;
    assert_eq!(master.joined(), ["node-1"]);
}

#[tokio::test]
async fn a_confirmation_whose_answer_was_lost_is_finished_by_repeating_it_or_by_using_the_secret() {
    for forgets in [false, true] {
        let master = Master::ours();
        let code = master.new_code(&[&master.address]);
        *master.loses_confirmations.lock() = true;
        let site = Site::joining(&code);
        let node = site.start();
        until("the master knows it", || !master.joined().is_empty()).await;
        node.until("does not know it yet", |status| status.posthouse.as_ref().unwrap().problem.is_some()).await;
        assert!(std::fs::read_to_string(site.secret_path()).unwrap().contains("\"pending\""));
        node.stop().await;
        if forgets {
            master.forget_exchanges();
        }
        *master.loses_confirmations.lock() = false;
        let node = site.start();
        node.until("finishes", |status| status.connected).await;
        assert!(std::fs::read_to_string(site.secret_path()).unwrap().contains("\"joined\""));
    }
}

#[tokio::test]
async fn who_does_not_know_the_secret_is_not_believed() {
    let master = Master::ours();
    let bytes = noise(1, BLOCK);
    master.put("m-1", &bytes);
    let code = master.new_code(&[&master.address]);
    let site = Site::joining(&code);
    let node = site.start();
    node.wait_for("m-1", &bytes).await;

    // Another master, by the configuration: it says that there are no meetings, unsigned.
    let stranger = Master::ours();
    let (host, port) = stranger.address.rsplit_once(':').unwrap();
    let port: u16 = port.parse().unwrap();
    site.edit(json!({"mainServerIp": host, "mainServerPort": port}));
    node.until("says so", |status| {
        let detail = status.posthouse.as_ref().unwrap();
        !status.connected && detail.problem.as_ref().is_some_and(|text| text.contains("signature"))
    })
    .await;
    assert_eq!(node.download("m-1").await.unwrap(), bytes);
    assert!(node.has_event(EventKind::MasterLost).await || !node.status().await.connected);
    assert!(stranger.seen().iter().all(|seen| !seen.is_signed));
    assert_eq!(node.detail().await.held.len(), 1);

    // The id belongs to the secret.
    site.edit(json!({"nodeId": "node-2"}));
    node.until("refuses it", |status| {
        status.posthouse.as_ref().unwrap().config_problem.as_ref().is_some_and(|text| text.contains("nodeId"))
    })
    .await;
}

#[tokio::test]
async fn a_second_instance_is_shown_as_the_problem_and_tries_again_slowly() {
    let master = Master::ours();
    *master.refuses_presence.lock() = Some(ErrorCode::SecondInstance);
    let site = Site::plain(&master);
    let node = site.start();
    node.until("says so", |status| {
        !status.connected
            && status.posthouse.as_ref().unwrap().problem.as_ref().is_some_and(|text| text.contains("another process"))
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(master.seen_at("/api/v1/nodes/register").len(), 1);
    node.until_event(EventKind::NodeRefused).await;
}

#[tokio::test]
async fn a_signed_probe_of_the_master_gets_a_signed_answer() {
    let master = Master::ours();
    let code = master.new_code(&[&master.address]);
    let node = Site::joining(&code).start();
    node.until("joins", |status| status.connected).await;
    let address = node.base.strip_prefix("http://").unwrap();
    let probe = |secret: Secret| {
        use posthouse_runtime::client::{Identity, SignedClient, http_client};
        let identity = Identity { node_id: "node-1".to_owned(), secret };
        let http = http_client(Duration::from_secs(5)).unwrap();
        SignedClient::new(http, address, Some(identity), posthouse_runtime::clock::Clock::system())
    };
    let limit = Duration::from_secs(5);
    let client = probe(master.secret("node-1"));
    let status: posthouse_protocol::legacy::NodeStatus = client.get("/api/status", limit).await.unwrap();
    assert_eq!(status.node_id, "node-1");
    probe(Secret::random()).get::<Value>("/api/status", limit).await.unwrap_err();
}
