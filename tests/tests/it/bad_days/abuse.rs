//! Requests that nobody sends by accident.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::Method;
use posthouse_tests::answer::{Answer, http_client};
use posthouse_tests::site::Site;
use posthouse_tests::{tcp, usage};
use serde_json::{Value, json};

use super::files_in;
use crate::papers;

/// As they stand in a request line, and as they are meant.
const STRANGE: [(&str, &str); 6] = [
    ("..%2fx", "../x"),
    ("%2e%2e", ".."),
    ("%00", "\0"),
    ("a%00b", "a\0b"),
    (".hidden", ".hidden"),
    ("a%0d%0ab", "a\r\nb"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_ids_are_refused_in_every_route_and_create_nothing() -> Result<()> {
    let site = Site::new()?;
    let master = site.master_setup().unsigned().start().await?;
    let node = site.joined_node("east", &master).await?;
    master.run_meeting("m-1", papers::one(1)).await?;
    node.wait_for_package("m-1", None).await?;
    let names = |folder: &std::path::Path| -> Result<Vec<String>> {
        let mut names: Vec<String> = files_in(folder)?.into_iter().map(|(name, _)| name).collect();
        names.retain(|name| !name.contains(".db-") && !name.contains(".log"));
        names.sort();
        Ok(names)
    };
    let before = (names(master.data())?, names(node.data())?);

    let long = "x".repeat(10_000);
    let token = master.admin.token();
    let encoded = STRANGE.iter().map(|(encoded, _)| *encoded).chain(["../x", &long]);
    for id in encoded {
        for (method, path, body) in [
            ("GET", format!("/api/v1/meetings/{id}"), ""),
            ("PUT", format!("/api/v1/meetings/{id}"), r#"{"title":"t"}"#),
            ("DELETE", format!("/api/v1/meetings/{id}"), ""),
            ("PUT", format!("/api/v1/meetings/{id}/status"), r#"{"status":"进行中"}"#),
            ("GET", format!("/api/v1/meetings/{id}/data"), ""),
            ("GET", format!("/api/v1/meetings/{id}/package"), ""),
            ("GET", format!("/api/v1/meetings/{id}/package-description"), ""),
            ("GET", format!("/api/v1/meetings/{id}/download-nodes-info"), ""),
            ("GET", format!("/api/v1/meetings/{id}/download-package-direct"), ""),
            ("GET", format!("/api/v1/meetings/active/download-package/{id}"), ""),
            ("GET", format!("/api/v1/nodes/{id}/history"), ""),
            ("PATCH", format!("/api/v1/nodes/{id}"), r#"{"weight":2}"#),
            ("DELETE", format!("/api/v1/nodes/{id}"), ""),
            ("GET", format!("/uploads/packages/{id}"), ""),
            ("GET", format!("/uploads/{id}"), ""),
        ] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                master.address(),
                body.len()
            );
            let answer = tcp::exchange(master.address(), request.as_bytes(), Duration::from_secs(10)).await?;
            let status = answer.split(' ').nth(1).unwrap_or_default();
            assert!(["400", "404", "405", "414", "431"].contains(&status), "{method} {path:.80}: {answer:.200}");
        }
    }

    // In bodies.
    let meant = STRANGE.iter().map(|(_, meant)| *meant).chain([long.as_str(), "a/b", "a\\b", "会议", " ", "CON "]);
    for id in meant {
        let meeting =
            json!({ "id": id, "title": "t", "time": "2026-11-20T09:00", "part": [{ "title": "a", "position": 1 }] });
        let answer = master.admin.send(Method::POST, "/api/v1/meetings/", &meeting).await?;
        assert_eq!(answer.status, 400, "{id:.40?}: {}", answer.text());
        assert!(!answer.detail()?.is_empty());
    }
    let http = http_client()?;
    for id in ["\0", "a\r\nb", &long] {
        for path in ["/api/v1/nodes/register", "/api/v1/nodes/heartbeat"] {
            let body = json!({ "node_id": id, "address": "127.0.0.1:9", "status": "online" });
            let answer = Answer::to(http.post(format!("{}{path}", master.base)).json(&body)).await?;
            assert_eq!(answer.status, 400, "{path} {id:.40?}: {}", answer.text());
        }
    }
    for address in ["", "nowhere", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:80", "a b:1", "127.0.0.1:1/../x"] {
        let body = json!({ "node_id": "n", "address": address, "status": "online" });
        let answer = Answer::to(http.post(format!("{}/api/v1/nodes/register", master.base)).json(&body)).await?;
        assert_eq!(answer.status, 400, "{address}: {}", answer.text());
    }
    assert_eq!((names(master.data())?, names(node.data())?), before, "nothing came and nothing went");
    let listed: Value = master.tablet()?.get("/api/v1/nodes/list").await?.expect(200)?.json()?;
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    Ok(())
}

const LARGE: usize = 200_000_000;
/// What may come on top while a body of 200 MB is refused.
const MEMORY_MORE: u64 = 32 << 20;

/// `{"title":"aaaa…` of 200 MB.
fn large_body() -> reqwest::Body {
    let first = stream::iter([Bytes::from_static(b"{\"title\":\"")]);
    let piece = Bytes::from(vec![b'a'; 1 << 20]);
    let rest = stream::iter(std::iter::repeat_n(piece, LARGE >> 20));
    reqwest::Body::wrap_stream(first.chain(rest).map(Ok::<_, std::io::Error>))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_is_refused_without_being_kept() -> Result<()> {
    let site = Site::new()?;
    let master = site.master_setup().unsigned().start().await?;
    let node = site.joined_node("east", &master).await?;
    let http = http_client()?;
    let at_master = |path: &str| http.post(format!("{}{path}", master.base));
    for (role, pid, request) in [
        ("master", master.process.pid(), master.admin.request(Method::POST, "/api/v1/meetings/")),
        ("master", master.process.pid(), at_master("/api/v1/nodes/register")),
        ("master", master.process.pid(), at_master("/api/v1/nodes/heartbeat")),
        ("master", master.process.pid(), at_master("/api/v1/nodes/join/hello")),
        ("master", master.process.pid(), at_master("/api/v1/users/token")),
        ("node", node.process.pid(), node.request(Method::POST, "/api/config")),
        ("node", node.process.pid(), node.request(Method::POST, "/api/config/heartbeat")),
    ] {
        for length_is_told in [true, false] {
            let before = usage::anonymous_bytes(pid)?;
            let watch = usage::Peak::watch(pid);
            let mut request = request.try_clone().context("a request")?;
            let kind =
                if request_is_a_form(&request) { "application/x-www-form-urlencoded" } else { "application/json" };
            request = request.header("content-type", kind).body(large_body());
            if length_is_told {
                request = request.header("content-length", 10 + (LARGE >> 20 << 20));
            }
            let answer = Answer::to(request).await?;
            let name = answer.request.clone();
            let answer = answer.expect(413)?;
            assert!(!answer.detail()?.is_empty(), "{name}");
            assert_eq!(answer.code(), "too_large", "{name}");
            let peak = (watch.mebibytes() * f64::from(1 << 20)) as u64;
            assert!(peak < before + MEMORY_MORE, "{role}: {name} took {} MiB", (peak - before) >> 20);
        }
    }
    // Both are as they were.
    master.tablet()?.get("/api/status").await?.expect(200)?;
    ensure!(node.status().await?.connected, "the node lost its master");
    Ok(())
}

fn request_is_a_form(request: &reqwest::RequestBuilder) -> bool {
    let request = request.try_clone().and_then(|request| request.build().ok());
    request.is_some_and(|request| request.url().path().ends_with("/token"))
}
