//! What operators and their programs are told: figures, the description of the API, request ids, logs, health.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use posthouse_tests::answer::{Answer, http_client};
use posthouse_tests::site::Site;
use posthouse_tests::tcp::Reader;
use posthouse_tests::wait::{PATIENCE, wait_until};
use serde_json::{Value, json};

use crate::papers;

async fn get(base: &str, path: &str) -> Result<Answer> {
    Answer::to(http_client()?.get(format!("{base}{path}"))).await
}

/// Values by name; each must be announced, as the format demands.
fn figures(answer: &Answer) -> Result<Vec<(String, f64)>> {
    let kind = answer.header("content-type");
    ensure!(kind.starts_with("application/openmetrics-text") || kind.starts_with("text/plain"), "{kind}");
    let text = String::from_utf8(answer.body.to_vec())?;
    ensure!(text.ends_with("# EOF\n"), "it does not end as the format demands: {text}");
    let mut announced = BTreeSet::new();
    let mut values = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            announced.insert(rest.split(' ').next().unwrap_or_default().to_owned());
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
        let bare = name.split('{').next().unwrap_or_default();
        let family = bare.strip_suffix("_total").unwrap_or(bare);
        ensure!(bare.starts_with("posthouse_"), "{line}");
        ensure!(announced.contains(family), "{family} is not announced");
        values.push((name.to_owned(), value.parse().with_context(|| line.to_owned())?));
    }
    Ok(values)
}

fn value(figures: &[(String, f64)], name: &str) -> Result<f64> {
    figures
        .iter()
        .find(|(found, _)| found == name)
        .map(|(_, value)| *value)
        .with_context(|| format!("no {name}: {figures:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_both_roles() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let node = site.joined_node("east", &master).await?;
    master.run_meeting("m-1", papers::one(1)).await?;
    master.wait_for_rotation("east", "m-1").await?;
    let size = master.tablet()?.package_size("m-1").await?;
    let before = figures(&get(&node.base, "/metrics").await?.expect(200)?)?;
    for _ in 0..3 {
        master.tablet()?.download("m-1").await?;
    }
    let after = figures(&get(&node.base, "/metrics").await?.expect(200)?)?;
    let grown = |name: &str| -> Result<f64> { Ok(value(&after, name)? - value(&before, name)?) };
    assert_eq!((grown("posthouse_downloads_total")?, grown("posthouse_sent_bytes_total")?), (3.0, 3.0 * size as f64));
    assert_eq!(value(&after, "posthouse_storage_bytes")?, size as f64);
    assert_eq!(value(&after, "posthouse_master_connected")?, 1.0);

    // The master's own downloads count, too: the one by which the node got it.
    let of_master = figures(&get(&master.base, "/metrics").await?.expect(200)?)?;
    assert!(value(&of_master, "posthouse_sent_bytes_total")? >= size as f64, "{of_master:?}");
    assert!(of_master.len() >= 5, "{of_master:?}");
    // The master's are for this machine, and for who is signed in.
    let through_proxy = |request: reqwest::RequestBuilder| Answer::to(request.header("x-forwarded-for", "10.0.0.1"));
    through_proxy(http_client()?.get(format!("{}/metrics", master.base))).await?.expect(401)?;
    through_proxy(master.admin.request(Method::GET, "/metrics")).await?.expect(200)?;
    // Prometheus signs in nowhere: its network is named.
    let setup = Site::new()?;
    let open = setup.master_setup().config(&json!({ "metrics": { "allow": ["127.0.0.0/8"] } })).start().await?;
    through_proxy(http_client()?.get(format!("{}/metrics", open.base))).await?.expect(200)?;
    Ok(())
}

/// Method and path of every operation, paths with their parameters' names taken out.
fn operations(document: &Value) -> Result<BTreeSet<(String, String)>> {
    let paths = document["paths"].as_object().context("no paths")?;
    let mut found = BTreeSet::new();
    for (path, item) in paths {
        for method in item.as_object().with_context(|| path.clone())?.keys() {
            if ["get", "put", "post", "delete", "patch", "head"].contains(&method.as_str()) {
                found.insert((method.to_uppercase(), without_names(path)));
            }
        }
    }
    Ok(found)
}

fn without_names(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

/// Names of the handlers in a router's source.
fn handlers(source: &str) -> usize {
    source
        .split("routes!(")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(|names| names.split(',').count())
        .sum()
}

const MASTER: &str = "
    GET /api/v1/meetings/status/token, GET /api/v1/meetings/status/node, GET /api/v1/meetings/active/meetings,
    GET /api/v1/meetings/active/download-package/{}, GET /api/v1/meetings/{}/data, GET /api/v1/meetings/{}/package,
    GET /api/v1/meetings/{}/download-nodes-info, GET /api/v1/meetings/{}/download-package,
    GET /api/v1/meetings/{}/download-package-direct, GET /api/v1/meetings/{}/package-description,
    GET /api/v1/meetings/, POST /api/v1/meetings/, GET /api/v1/meetings/{}, PUT /api/v1/meetings/{},
    DELETE /api/v1/meetings/{}, PUT /api/v1/meetings/{}/status, POST /api/v1/meetings/{}/upload,
    POST /api/v1/pdf/upload-temp, POST /api/v1/users/token, POST /api/v1/nodes/register, POST /api/v1/nodes/unregister,
    POST /api/v1/nodes/heartbeat, GET /api/v1/nodes/list, GET /api/v1/nodes/available, GET /api/v1/nodes/live,
    POST /api/v1/nodes/live/answer, POST /api/v1/nodes/join/hello, POST /api/v1/nodes/join/confirm, GET /api/v1/nodes,
    GET /api/v1/nodes/{}, PATCH /api/v1/nodes/{}, DELETE /api/v1/nodes/{}, GET /api/v1/events,
    GET /api/v1/events/stream, GET /api/status, GET /metrics";

const NODE: &str = "
    GET /, GET /static/index.html, GET /api/status, GET /api/config, POST /api/config, POST /api/config/heartbeat,
    POST /api/service/start, POST /api/service/stop, GET /api/v1/meetings/{}/download-package,
    GET /api/meetings/{}/download, GET /api/v1/events, GET /api/v1/events/stream, GET /metrics";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_of_the_api_is_whole_and_true() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let node = site.lonely_node("east").await?;
    let router_of_master = include_str!("../../../crates/master/src/router.rs");
    let router_of_node = include_str!("../../../crates/node/src/http.rs");
    for (base, expected, router) in [(&master.base, MASTER, router_of_master), (&node.base, NODE, router_of_node)] {
        let document: Value = get(base, "/api/openapi.json").await?.expect(200)?.json()?;
        assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")), "{base}");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"), "{base}");
        let described = operations(&document)?;
        for line in expected.split(',').map(str::trim) {
            let (method, path) = line.split_once(' ').with_context(|| line.to_owned())?;
            ensure!(
                described.contains(&(method.to_owned(), path.to_owned())),
                "{line} is not described: {described:?}"
            );
        }
        assert!(
            described.len() >= handlers(router),
            "{base}: {} of {}: {described:?}",
            described.len(),
            handlers(router)
        );

        // Whatever it refers to is there.
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"").skip(1) {
            let name = reference.split('"').next().unwrap_or_default();
            let pointer = name.strip_prefix('#').with_context(|| name.to_owned())?;
            ensure!(document.pointer(pointer).is_some(), "{base}: {name} is not there");
        }
        // Whatever it describes is there.
        for (method, path) in &described {
            let url = format!("{base}{}", path.replace("{}", "nobody-1"));
            let response = http_client()?.request(method.parse()?, &url).send().await?;
            let status = response.status();
            ensure!(status != 405, "{method} {path}");
            if status == 404 && !path.contains("{}") {
                anyhow::bail!("{method} {path}: {status}");
            }
            if status == 404 && method != "HEAD" {
                let body: Value = serde_json::from_slice(&response.bytes().await?)?;
                ensure!(body["detail"] != "Not Found", "{method} {path} is nowhere");
            }
        }
    }
    Ok(())
}

/// Values of `src="…"` and `href="…"`.
fn links(html: &str) -> Vec<String> {
    let of = |attribute: &str| -> Vec<String> {
        let parts = html.split(attribute).skip(1);
        parts.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    [of("src=\""), of("href=\"")].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_page_comes_from_the_program_alone() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let node = site.lonely_node("east").await?;
    for base in [&master.base, &node.base] {
        let page = get(base, "/api/docs/").await?.expect(200)?;
        assert!(page.header("content-type").starts_with("text/html"), "{base}");
        let links = links(&page.text());
        assert!(links.len() >= 3, "{links:?}");
        let mut texts = vec![page.text()];
        for link in &links {
            ensure!(!link.contains("//"), "{base}: {link} is somewhere else");
            let url = reqwest::Url::parse(&format!("{base}/api/docs/"))?.join(link)?;
            let part = Answer::to(http_client()?.get(url)).await?.expect(200)?;
            assert!(!part.body.is_empty(), "{link}");
            if link.contains("initializer") {
                texts.push(part.text());
            }
        }
        ensure!(
            texts.iter().any(|text| text.contains("/api/openapi.json")),
            "{base}: it shows another document: {texts:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_ids_in_answers_and_in_the_log() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let node = site.joined_node("east", &master).await?;
    let http = http_client()?;
    for base in [&master.base, &node.base] {
        // Each answer has one, be it good or not.
        let mut seen = BTreeSet::new();
        for path in ["/api/status", "/nowhere", "/api/v1/meetings/nobody/download-package", "/"] {
            let answer = get(base, path).await?;
            ensure!(seen.insert(answer.header("x-request-id").to_owned()), "{path}: {seen:?}");
        }
        ensure!(!seen.contains(""), "{base}: no id");
        let given = http.get(format!("{base}/api/status")).header("x-request-id", "from-a-proxy_1");
        assert_eq!(Answer::to(given).await?.header("x-request-id"), "from-a-proxy_1");
        for bad in ["two words", "a/b", "(secret)", &"x".repeat(65)] {
            let answer = Answer::to(http.get(format!("{base}/api/status")).header("x-request-id", bad)).await?;
            let id = answer.header("x-request-id");
            assert!(id != bad && !id.is_empty(), "{bad} is believed");
        }
    }

    let request = posthouse_tests::admin::sign_in_request(&http, &master.base, "admin", "wrong");
    let answer = Answer::to(request.header("x-request-id", "master-request-1")).await?;
    assert_eq!(answer.header("x-request-id"), "master-request-1");
    let request =
        node.request(Method::POST, "/api/config/heartbeat").header("x-request-id", "node-request-1").json(&json!(30));
    Answer::to(request).await?.expect(200)?;
    // What it causes in tasks of their own has it, too.
    master.admin.create_with("m-1", papers::one(1)).await?;
    let body = json!({ "status": "进行中" });
    let request = master.admin.request(Method::PUT, "/api/v1/meetings/m-1/status").json(&body);
    Answer::to(request.header("x-request-id", "start-1")).await?.expect(200)?;
    for what in ["PackageBuilt", "MeetingStarting"] {
        let path = master.data().join("logs/master.log");
        wait_until(what, PATIENCE, || async {
            let log = std::fs::read_to_string(&path)?;
            ensure!(log.lines().any(|line| line.contains("[start-1]") && line.contains(what)), "{log}");
            anyhow::Ok(())
        })
        .await?;
    }
    for (process, file, id) in
        [(&master.process, "master.log", "master-request-1"), (&node.process, "node.log", "node-request-1")]
    {
        let path = process.data().join("logs").join(file);
        let line = wait_until(&format!("{id} is in the log"), PATIENCE, || async {
            let log = std::fs::read_to_string(&path)?;
            let line = log.lines().find(|line| line.contains(&format!("[{id}]"))).map(str::to_owned);
            line.with_context(|| log.clone())
        })
        .await?;
        check_log_line(&line)?;
        process.wait_for_log(&format!("[{id}]"), PATIENCE).await?;
    }
    Ok(())
}

/// `2026-11-20 10:15:30.123 - target - INFO - text`
fn check_log_line(line: &str) -> Result<()> {
    let parts: Vec<&str> = line.splitn(4, " - ").collect();
    ensure!(parts.len() == 4, "{line}");
    let shape: String = parts[0].chars().map(|sign| if sign.is_ascii_digit() { '0' } else { sign }).collect();
    ensure!(shape.starts_with("0000-00-00 00:00:00"), "{line}");
    ensure!(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"].contains(&parts[2]), "{line}");
    Ok(())
}

/// Log files with their sizes, by name.
fn logs(folder: &Path) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()));
    }
    found.sort();
    Ok(found)
}

fn check_rotated(folder: &Path, name: &str) -> Result<()> {
    let found = logs(folder)?;
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [name, &format!("{name}.1"), &format!("{name}.2")]);
    for (name, size) in &found {
        // The line that crosses the limit still belongs to it.
        assert!(*size < 5000 + 2000, "{name} has {size} bytes");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(folder.join(name))?.permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
    for (name, size) in &found[1..] {
        assert!(*size >= 5000, "{name} has {size} bytes");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_rotated_by_size_and_the_oldest_go() -> Result<()> {
    let site = Site::new()?;
    let keys = json!({ "logging": { "maxFileSize": 5000, "backupCount": 2 } });
    let master = site.master_setup().config(&keys).start().await?;
    let node = site.lonely_setup("east").config(&keys).start().await?;
    for number in 0..120 {
        let interval = 10 + number % 200;
        node.post("/api/config/heartbeat", &json!(interval)).await?.expect(200)?;
        let body = json!({ "id": format!("m-{number}"), "title": "t", "time": "2026-11-20T09:00", "part": [{ "title": "a", "position": 1 }] });
        master.admin.send(Method::POST, "/api/v1/meetings/", &body).await?.expect(200)?;
    }
    check_rotated(&master.data().join("logs"), "master.log")?;
    check_rotated(&node.data().join("logs"), "node.log")?;
    // The newest line is in the newest file.
    let newest = std::fs::read_to_string(master.data().join("logs/master.log"))?;
    ensure!(newest.contains("m-119"), "{newest}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_balancers_are_told_to_leave_before_a_master_stops() -> Result<()> {
    let site = Site::new()?;
    let mut master = site.master().await?;
    let healthy: Value = get(&master.base, "/api/status").await?.expect(200)?.json()?;
    assert_eq!((&healthy["success"], &healthy["state"]), (&json!(true), &json!("running")));
    master.run_meeting("m-1", papers::large(12_000_000, 1)).await?;
    let package = crate::bad_days::original(&master, "m-1").await?;
    let mut slow = Reader::get(master.address(), "/api/v1/meetings/m-1/download-package-direct").await?;
    slow.read_some(1000).await?;

    terminate(&master.process)?;
    let draining = wait_until("it says that it stops", Duration::from_secs(3), || async {
        get(&master.base, "/api/status").await?.expect(503)
    })
    .await?;
    let draining: Value = draining.json()?;
    assert_eq!(draining["success"], json!(false));
    // Who was in gets everything.
    ensure!(slow.read_to_end().await? == package, "a download was cut off");
    let status = master.process.wait_for_end(Duration::from_secs(10)).await?;
    assert_eq!(status.code(), Some(0));
    Ok(())
}

/// As an operator stops it, without waiting.
fn terminate(process: &posthouse_tests::process::Process) -> Result<()> {
    process.interrupt()
}
