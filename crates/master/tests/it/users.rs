//! Signing in.

use posthouse_runtime::paths::{DataDir, Role};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{PASSWORD, Running, answer};

#[tokio::test]
async fn only_the_right_password_gives_a_session_and_a_reset_ends_it() {
    let master = Running::start().await;
    for method in [Method::GET, Method::POST] {
        let (status, _) = answer(master.http.request(method, master.url("/api/v1/meetings/")).json(&json!({}))).await;
        assert_eq!(status, 401);
    }
    assert_eq!(master.sign_in("wrong").await, Err(StatusCode::UNAUTHORIZED));
    let as_json = json!({ "username": "admin", "password": PASSWORD, "grant_type": "password" });
    let (status, token) = answer(master.http.post(master.url("/api/v1/users/token")).json(&as_json)).await;
    assert_eq!((status, token["token_type"].as_str()), (200, Some("bearer")));
    let (status, answer) = answer(master.http.post(master.url("/api/v1/users/token")).json(&json!({}))).await;
    assert_eq!((status, answer["detail"].as_str()), (400, Some("缺少必要字段: username, password")));

    let data = DataDir::open(Some(master.data()), Role::Master).unwrap();
    let reset = tokio::task::spawn_blocking(move || posthouse_master::reset_password(&data).unwrap()).await.unwrap();
    assert_eq!(master.ask(Method::GET, "/api/v1/meetings/", &json!(null)).await.0, 401);
    assert_eq!(master.sign_in(PASSWORD).await, Err(StatusCode::UNAUTHORIZED));
    assert!(master.sign_in(&reset).await.is_ok());
}

#[tokio::test]
async fn a_password_that_was_made_up_is_told_once_and_kept_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(Some(folder.path()), Role::Master).unwrap();
    let (told, hears) = std::sync::mpsc::channel();
    let launch = posthouse_master::Launch {
        config: posthouse_master::MasterConfig::defaults(&data).unwrap(),
        guard: posthouse_runtime::running_file::RunningGuard::take(&data).unwrap(),
        data,
        admin_password: None,
        on_first_password: Box::new(move |first| told.send(first.clone()).unwrap()),
        on_running: Box::new(|_| {}),
    };
    let stop = tokio_util::sync::CancellationToken::new();
    stop.cancel();
    let listener = posthouse_runtime::http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    posthouse_master::run(launch, listener, stop).await.unwrap();
    let first = hears.try_recv().unwrap();
    assert_eq!(std::fs::read_to_string(&first.file).unwrap().trim(), first.password);
    assert!(!format!("{first:?}").contains(&first.password));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&first.file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    Running::start_with(folder, &first.password).await;
}
