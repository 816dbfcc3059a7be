//! Who may say what: joining, signatures, the plain contract, and the control routes of a node.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use posthouse_protocol::join::JoinAccepted;
use posthouse_protocol::node::Trust;
use posthouse_protocol::routes;
use posthouse_tests::answer::{Answer, http_client};
use posthouse_tests::master::Master;
use posthouse_tests::proxy::{Passing, Proxy};
use posthouse_tests::python_node::PythonNode;
use posthouse_tests::signed::{self, SignedNode};
use posthouse_tests::site::Site;
use posthouse_tests::wait::{PATIENCE, stays, wait_until};
use serde_json::{Value, json};

use crate::papers;

fn register_body(id: &str) -> Value {
    let extension = json!({ "version": "0.1.0", "instance": "i-1", "heartbeat_interval_seconds": 10 });
    json!({ "node_id": id, "address": "127.0.0.1:9", "status": "online", "posthouse": extension })
}

async fn joined(master: &Master, id: &str) -> Result<SignedNode> {
    SignedNode::join(&master.base, &master.join_code(1).await?, id).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_told_401_and_readers_are_not() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let stranger = PythonNode::start("stranger", &master.base).await?;
    for answer in [stranger.register().await?, stranger.heartbeat().await?, stranger.unregister().await?] {
        let answer = answer.expect(401)?;
        assert!(!answer.detail()?.is_empty());
    }
    let tablet = master.tablet()?;
    tablet.get(routes::LIVE).await?.expect(401)?;
    for open in [
        "/",
        "/api/status",
        "/api/v1/nodes/list",
        "/api/v1/nodes/available",
        "/api/v1/meetings/status/node",
        "/api/v1/meetings/status/token",
        "/api/v1/meetings/active/meetings",
    ] {
        let status = tablet.get(open).await?.status;
        assert!(status.is_success() || status.is_redirection(), "{open}: {status}");
    }
    let http = http_client()?;
    for (method, path) in [
        (Method::GET, "/api/v1/meetings/"),
        (Method::POST, "/api/v1/meetings/"),
        (Method::PUT, "/api/v1/meetings/m-1/status"),
        (Method::DELETE, "/api/v1/meetings/m-1"),
        (Method::GET, "/api/v1/nodes"),
        (Method::PATCH, "/api/v1/nodes/east"),
        (Method::GET, "/api/v1/events"),
        (Method::POST, "/api/v1/pdf/upload-temp"),
    ] {
        let request = http.request(method.clone(), format!("{}{path}", master.base)).json(&json!({}));
        let status = Answer::to(request).await?.status;
        assert_eq!(status, 401, "{method} {path} without a login");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsigned_nodes_may_come_from_named_networks_alone() -> Result<()> {
    let site = Site::new()?;
    let setup = site.master_setup().config(&json!({ "nodes": { "allowUnsigned": ["127.0.2.0/24"] } }));
    let master = setup.start().await?;
    let inside = PythonNode::start_at("inside", &master.base, "127.0.2.7".parse()?).await?;
    inside.register().await?.expect(200)?;
    let outside = PythonNode::start_at("outside", &master.base, "127.0.3.7".parse()?).await?;
    outside.register().await?.expect(401)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plain_contract_is_closed_to_an_id_that_has_a_secret() -> Result<()> {
    let site = Site::new()?;
    let master = site.master_setup().unsigned().start().await?;
    let node = joined(&master, "east").await?;
    node.call(&Method::POST, routes::REGISTER, Some(&register_body("east"))).await?.expect(200)?;
    let pretender = PythonNode::start("east", &master.base).await?;
    for answer in [pretender.register().await?, pretender.heartbeat().await?, pretender.unregister().await?] {
        assert_eq!(answer.expect(401)?.code(), "secret_required");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_good_as_often_as_it_says() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let code = master.join_code(1).await?;
    let said = signed::decode(&code)?;
    assert_eq!((said.uses, said.addresses.first().map(String::as_str)), (1, Some(master.address())));
    let mut node = site.node_setup("east").join(&code).start().await?;
    master.wait_for_online("east").await?;
    assert_eq!(node.detail().await?.trust, Trust::Signed);

    // Another one comes too late.
    let http = http_client()?;
    let late = signed::shake_hands(&http, &master.base, &said, "west").await;
    let refused = format!("{:#}", late.err().context("a spent code is taken")?);
    assert!(refused.contains("join_code_refused"), "{refused}");

    // Started again with the spent code, the first goes on with its secret.
    node.restart().await?;
    node.wait_for("is connected", |status| if status.connected { Ok(()) } else { Err(format!("{status:?}")) }).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_refused_code_never_falls_back_to_the_plain_contract() -> Result<()> {
    let site = Site::new()?;
    let master = site.master_setup().unsigned().start().await?;
    let mut code = signed::decode(&master.join_code(1).await?)?;
    // The right code with a token that somebody guessed.
    code.token = "0".repeat(64);
    let setup = site.node_setup("east").plain(master.address()).join(&signed::encode(&code)?);
    let mut process = setup.launch()?.spawn()?;
    stays("it does not register", Duration::from_secs(5), || async {
        let listed: Value = master.tablet()?.get("/api/v1/nodes/list").await?.expect(200)?.json()?;
        ensure!(listed == json!([]), "{listed}");
        anyhow::Ok(())
    })
    .await?;
    if process.has_ended()? {
        let status = process.wait_for_end(PATIENCE).await?;
        assert_ne!(status.code(), Some(0));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_of_a_join_must_prove_themselves() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let code = signed::decode(&master.join_code(1).await?)?;
    let http = http_client()?;
    let confirm_url = format!("{}{}", master.base, routes::JOIN_CONFIRM);

    // A node that does not know the token.
    let mut shaken = signed::shake_hands(&http, &master.base, &code, "east").await?;
    let good = shaken.confirm.node_proof.clone();
    shaken.confirm.node_proof = "0".repeat(64);
    let answer = Answer::to(http.post(&confirm_url).json(&shaken.confirm)).await?.expect(401)?;
    assert_eq!(answer.code(), "join_proof_refused");
    assert!(shaken.confirm.node_proof != good);

    // It did not cost the code its use, and a confirmation sent twice is answered twice.
    let shaken = signed::shake_hands(&http, &master.base, &code, "east").await?;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let answer = Answer::to(http.post(&confirm_url).json(&shaken.confirm)).await?.expect(200)?;
        answers.push(answer.json::<JoinAccepted>()?);
    }
    assert_eq!(answers[0], answers[1]);

    // What crossed the wire is not the secret.
    let crossed = format!("{:?}{:?}{:?}", shaken.hello, shaken.offer, shaken.confirm);
    let secret: String = shaken.secret.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!crossed.contains(&secret) && !crossed.contains(&code.token));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn altered_repeated_and_old_requests_are_refused() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let mut node = joined(&master, "east").await?;
    let body = register_body("east");
    // `call` checks the signature of the answer too.
    node.call(&Method::POST, routes::REGISTER, Some(&body)).await?.expect(200)?;

    // Every answer is, also that there is nothing.
    node.call(&Method::GET, "/nowhere", None).await?.expect(404)?;
    node.call(&Method::DELETE, routes::REGISTER, None).await?.expect(405)?;

    let request = node.sign(&Method::POST, routes::HEARTBEAT, serde_json::to_vec(&body)?);
    node.send(&request).await?.expect(200)?;
    assert_eq!(node.send(&request).await?.expect(401)?.code(), "replayed");

    let fresh = || node.sign(&Method::POST, routes::HEARTBEAT, serde_json::to_vec(&body).unwrap_or_default());
    let mut other_body = fresh();
    other_body.body.extend_from_slice(b" ");
    let mut other_target = fresh();
    routes::UNREGISTER.clone_into(&mut other_target.target);
    let mut other_nonce = fresh();
    other_nonce.headers[2].1 = "0".repeat(32);
    let mut other_node = fresh();
    "west".clone_into(&mut other_node.headers[0].1);
    let mut no_signature = fresh();
    no_signature.headers.pop();
    for (name, spoilt) in [
        ("body", other_body),
        ("target", other_target),
        ("nonce", other_nonce),
        ("node", other_node),
        ("no signature", no_signature),
    ] {
        assert_eq!(node.send(&spoilt).await?.status, 401, "another {name}");
    }

    for error_ms in [-70_000, 70_000, -3_600_000] {
        node.clock_error_ms = error_ms;
        let request = node.sign(&Method::POST, routes::HEARTBEAT, serde_json::to_vec(&body)?);
        let answer = node.send(&request).await?.expect(401)?;
        assert_eq!(answer.code(), "clock_skew");
        // The answer is signed, so that the node may believe the time in it.
        node.check(&request, &answer)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_from_before_the_master_started_is_refused() -> Result<()> {
    let site = Site::new()?;
    let mut master = site.master().await?;
    let node = joined(&master, "east").await?;
    let request = node.sign(&Method::POST, routes::REGISTER, serde_json::to_vec(&register_body("east"))?);
    node.send(&request).await?.expect(200)?;
    // The master forgets the nonces it saw; that must not make the request good again.
    master.restart().await?;
    assert_eq!(node.send(&request).await?.status, 401);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_between_node_and_master_can_end_a_meeting_or_hand_out_a_hash() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let proxy = Proxy::start(master.address()).await?;
    let code = signed::redirected(&master.join_code(1).await?, &proxy.address)?;
    let node = site.node_setup("east").join(&code).start().await?;
    master.wait_for_online("east").await?;
    master.run_meeting("m-1", papers::one(1)).await?;
    let held = node.wait_for_package("m-1", None).await?;

    // "No meeting is in progress any more."
    proxy.alter_answers(|passing: &mut Passing| {
        if passing.target.starts_with(routes::STATUS_NODE) {
            passing.answer_body =
                Bytes::from_static(br#"{"id":"none","active_meetings":[],"timestamp":1.0,"version":1}"#);
        }
    });
    let problem = wait_until("the node notices", PATIENCE, || async {
        let detail = node.detail().await?;
        detail.problem.context("no problem")
    })
    .await?;
    assert!(!problem.is_empty());
    node.get("/api/v1/meetings/m-1/download-package").await?.expect(200)?;
    assert_eq!(node.status().await?.meeting_count, 1);

    // Another package under a hash of its own: refused, whatever it is.
    proxy.alter_answers(|passing: &mut Passing| {
        if passing.target.contains("/package-description") {
            let text = String::from_utf8_lossy(&passing.answer_body).replace("\"hash\":\"", "\"hash\":\"0");
            passing.answer_body = Bytes::from(text);
        }
    });
    master.admin.add_file("m-1", 1, "late.pdf", papers::one(2).remove(0).1).await?;
    stays("the node keeps to what is signed", Duration::from_secs(4), || async {
        let now = node.detail().await?.held;
        ensure!(now.len() == 1 && now[0].hash == held.hash, "{now:?}");
        anyhow::Ok(())
    })
    .await?;

    // With an honest way to the master it recovers by itself.
    proxy.be_honest();
    node.wait_for("holds version 2", |status| {
        let held = status.posthouse.iter().flat_map(|detail| &detail.held);
        if held.clone().any(|package| package.version == 2) { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_altered_on_the_way_are_fetched_again() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let proxy = Proxy::start(master.address()).await?;
    let code = signed::redirected(&master.join_code(1).await?, &proxy.address)?;
    let node = site.node_setup("east").join(&code).start().await?;
    master.wait_for_online("east").await?;
    let spoilt = std::sync::atomic::AtomicUsize::new(0);
    proxy.alter_answers(move |passing: &mut Passing| {
        let first = || spoilt.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 2;
        if passing.target.contains("/download-package-direct") && !passing.answer_body.is_empty() && first() {
            let mut bytes = passing.answer_body.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x40;
            passing.answer_body = bytes.into();
        }
    });
    master.run_meeting("m-1", papers::large(5_000_000, 3)).await?;
    let held = node.wait_for_package("m-1", None).await?;
    let original = master.tablet()?.get("/api/v1/meetings/m-1/download-package-direct").await?.expect(200)?;
    assert_eq!(held.hash, signed::hash_of(&original.body));
    ensure!(node.stored_package("m-1")? == original.body, "other bytes on disk");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_routes_are_for_this_machine_and_its_own_pages() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let node = site.joined_node("east", &master).await?;
    let port = node.address().rsplit(':').next().context("a port")?.to_owned();
    let routes = [
        (Method::GET, "/api/config"),
        (Method::POST, "/api/config"),
        (Method::POST, "/api/config/heartbeat"),
        (Method::POST, "/api/service/start"),
    ];
    for (method, path) in &routes {
        for (header, value) in [
            ("host", "evil.example".to_owned()),
            ("host", format!("evil.example:{port}")),
            ("origin", "http://evil.example".to_owned()),
            ("origin", "null".to_owned()),
        ] {
            let request = node.request(method.clone(), path).header(header, &value).json(&json!(30));
            assert_eq!(Answer::to(request).await?.status, 403, "{method} {path} with {header}: {value}");
        }
        for (header, value) in [("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.1")] {
            let request = node.request(method.clone(), path).header(header, value).json(&json!(30));
            let status = Answer::to(request).await?.status.as_u16();
            assert!([401, 403].contains(&status), "{method} {path} with {header}: {status}");
        }
    }
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}")] {
        let origin = format!("http://{host}");
        let request = node.request(Method::GET, "/api/config").header("host", &host).header("origin", origin);
        Answer::to(request).await?.expect(200)?;
    }
    // What anybody may ask stays open to any Host.
    let request = node.request(Method::GET, "/api/status").header("host", "east.example");
    Answer::to(request).await?.expect(200)?;
    let config: Value = node.get("/api/config").await?.expect(200)?.json()?;
    let secret = std::fs::read_to_string(node.data().join("node_secret.json"))?;
    let secret: Value = serde_json::from_str(&secret)?;
    let secret = secret["secret"].as_str().context("a secret")?;
    assert!(!config.to_string().contains(secret), "the configuration has the secret");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_node_is_refused_while_the_first_lives() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let mut first = site.joined_node("east", &master).await?;
    // Everything that makes it what it is, copied to another machine.
    let copy = site.data("copy");
    std::fs::create_dir_all(&copy)?;
    for name in ["node_config.json", "node_secret.json"] {
        std::fs::copy(first.data().join(name), copy.join(name))?;
    }
    let second = posthouse_tests::node::NodeSetup::new(&copy, "east").start().await?;
    let problem = wait_until("the second is refused", PATIENCE, || async {
        let detail = second.detail().await?;
        detail.problem.context("no problem yet")
    })
    .await?;
    assert!(problem.contains("east"), "it names the id: {problem}");
    stays("the first goes on", Duration::from_secs(3), || async {
        ensure!(first.status().await?.connected, "the first lost its master");
        ensure!(!second.status().await?.connected, "the second has it");
        let address = master.admin.node("east").await?.address;
        ensure!(address == first.address(), "{address}");
        anyhow::Ok(())
    })
    .await?;
    // Once the first is gone, the second takes over by itself.
    first.process.stop().await?;
    wait_until("the second takes over", PATIENCE, || async {
        let view = master.admin.node("east").await?;
        ensure!(view.online && view.address == second.address(), "{view:?}");
        anyhow::Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_passwords_are_slowed_down_and_then_refused() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let http = http_client()?;
    let mut seen = Vec::new();
    for number in 0..12 {
        let wrong = format!("wrong-{number}");
        let request = posthouse_tests::admin::sign_in_request(&http, &master.base, "admin", &wrong);
        let status = Answer::to(request).await?.status.as_u16();
        assert!([400, 401, 429].contains(&status), "{status}");
        seen.push(status);
        if status == 429 {
            break;
        }
    }
    assert_eq!(seen.last(), Some(&429), "{seen:?}");
    Ok(())
}
