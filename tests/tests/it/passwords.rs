//! The management password of a node.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use posthouse_tests::answer::Answer;
use posthouse_tests::config;
use posthouse_tests::node::Node;
use posthouse_tests::process::Launch;
use posthouse_tests::site::Site;
use posthouse_tests::wait::{PATIENCE, wait_until};
use serde_json::json;

const CONTROL: [(Method, &str); 6] = [
    (Method::GET, "/api/config"),
    (Method::POST, "/api/config"),
    (Method::POST, "/api/config/heartbeat"),
    (Method::POST, "/api/service/start"),
    (Method::POST, "/api/service/stop"),
    (Method::GET, "/api/v1/events"),
];

/// A new password, as the command line prints it.
async fn new_password(node: &Node) -> Result<String> {
    let launch = Launch::bare("reset-password").arg("reset-password").arg("--data").arg(node.data());
    let ended = launch.run_to_end(PATIENCE).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
    ended.stdout.split_whitespace().last().context("a password").map(str::to_owned)
}

fn from_elsewhere(node: &Node, method: Method, path: &str) -> reqwest::RequestBuilder {
    // A proxy on this machine says whom it speaks for.
    node.request(method, path).header("x-forwarded-for", "10.0.0.1").header("host", "node.example")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_elsewhere_the_control_routes_need_the_password() -> Result<()> {
    let site = Site::new()?;
    let node = site.lonely_node("east").await?;
    for (method, path) in CONTROL {
        let answer = Answer::to(from_elsewhere(&node, method.clone(), path)).await?.expect(403)?;
        assert!(answer.detail()?.contains("reset-password"), "{method} {path} says how to set one: {}", answer.text());
        // Any password is none while none is set.
        let request = from_elsewhere(&node, method.clone(), path).bearer_auth("anything");
        Answer::to(request).await?.expect(403)?;
    }
    // Made while the node runs, it is good at once.
    let password = new_password(&node).await?;
    for (method, path) in CONTROL {
        let answer = Answer::to(from_elsewhere(&node, method.clone(), path)).await?.expect(401)?;
        assert!(!answer.header("www-authenticate").is_empty(), "browsers ask for it");
    }
    let basic = format!("Basic {}", STANDARD.encode(format!("anybody:{password}")));
    for value in [basic, format!("Bearer {password}")] {
        let request = from_elsewhere(&node, Method::GET, "/api/config").header("authorization", &value);
        Answer::to(request).await?.expect(200)?;
        // A foreign page cannot use what a browser remembers.
        let request = from_elsewhere(&node, Method::GET, "/api/config").header("authorization", &value);
        Answer::to(request.header("origin", "http://evil.example")).await?.expect(403)?;
        // Nor can a page that made this machine's name its own.
        let request =
            node.request(Method::GET, "/api/config").header("host", "evil.example").header("authorization", &value);
        Answer::to(request).await?.expect(403)?;
    }
    // Here it is not needed, and packages and status are for anybody.
    node.get("/api/config").await?.expect(200)?;
    Answer::to(from_elsewhere(&node, Method::GET, "/api/status")).await?.expect(200)?;

    // The next one takes its place.
    let second = new_password(&node).await?;
    assert_ne!(second, password);
    let with = |password: &str| Answer::to(from_elsewhere(&node, Method::GET, "/api/config").bearer_auth(password));
    with(&password).await?.expect(401)?;
    with(&second).await?.expect(200)?;
    let files = [node.data().join("node.db"), node.data().join("node.db-wal"), node.data().join("logs/node.log")];
    for path in files.into_iter().chain([node.config_path()]) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let found = bytes.windows(second.len()).any(|window| window == second.as_bytes());
        assert!(!found, "{} has the password", path.display());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_ones_are_slowed_down_and_then_refused() -> Result<()> {
    let site = Site::new()?;
    let node = site.lonely_node("east").await?;
    new_password(&node).await?;
    let mut seen = Vec::new();
    for number in 0..12 {
        let request = from_elsewhere(&node, Method::GET, "/api/config").bearer_auth(format!("wrong-{number}"));
        let answer = Answer::to(request).await?;
        seen.push(answer.status.as_u16());
        if answer.status == 429 {
            assert!(!answer.header("retry-after").is_empty());
            break;
        }
    }
    assert_eq!(seen.last(), Some(&429), "{seen:?}");
    assert!(seen[..seen.len() - 1].iter().all(|status| *status == 401), "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_demands_it_here_too() -> Result<()> {
    let site = Site::new()?;
    let node = site.lonely_node("east").await?;
    let here = async |password: Option<&str>| -> Result<u16> {
        let mut request = node.request(Method::GET, "/api/config");
        if let Some(password) = password {
            request = request.bearer_auth(password);
        }
        Ok(Answer::to(request).await?.status.as_u16())
    };
    assert_eq!(here(None).await?, 200);
    config::edit(&node.config_path(), |whole| whole["network"]["requireLocalPassword"] = json!(true))?;
    wait_until("it is demanded", PATIENCE, || async {
        let status = here(None).await.map_err(|error| format!("{error:#}"))?;
        if status == 403 { Ok(()) } else { Err(status.to_string()) }
    })
    .await?;
    let password = new_password(&node).await?;
    assert_eq!((here(None).await?, here(Some("wrong")).await?, here(Some(&password)).await?), (401, 401, 200));
    let request = node.request(Method::POST, "/api/service/stop");
    Answer::to(request).await?.expect(401)?;
    // Whoever may edit the file is at this machine.
    config::edit(&node.config_path(), |whole| whole["network"]["requireLocalPassword"] = json!(false))?;
    wait_until("it is no longer demanded", PATIENCE, || async {
        let status = here(None).await.map_err(|error| format!("{error:#}"))?;
        if status == 200 { Ok(()) } else { Err(status.to_string()) }
    })
    .await
}
