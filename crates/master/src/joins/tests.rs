//! Joins against a real database.

use std::path::Path;
use std::sync::Arc;

use posthouse_protocol::ErrorCode;
use posthouse_runtime::http::ApiError;
use posthouse_runtime::metrics::Metrics;
use posthouse_runtime::paths::{DataDir, Role};
use posthouse_runtime::running_file::RunningGuard;
use posthouse_runtime::trust::Secret;
use posthouse_runtime::trust::join::{NodeExchange, decode};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::NodesConfig;
use crate::registry;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A master as far as joining goes.
struct Site {
    joins: Joins,
    registry: Registry,
    clock: Clock,
}

impl Site {
    async fn new(folder: &Path) -> Self {
        let data = DataDir::open(Some(folder), Role::Master).unwrap();
        let store = crate::store::open(&data).unwrap();
        let clock = Clock::held_at_ms(1_800_000_000_000);
        let events = Events::open(store.clone(), clock.clone()).await.unwrap();
        let around = registry::Surroundings {
            store: store.clone(),
            clock: clock.clone(),
            events: events.clone(),
            catalog: tokio::sync::watch::channel(Arc::default()).1,
            config: NodesConfig::default(),
            stop: CancellationToken::new(),
        };
        let registry = Registry::load(around, &Metrics::default()).await.unwrap();
        let joins = Joins::new(Surroundings {
            store,
            clock: clock.clone(),
            tasks: Tasks::new(clock.clone()),
            events,
            registry: registry.clone(),
            address: "127.0.0.1:8000".parse().unwrap(),
            master_id: "master-1".to_owned(),
        });
        Self { joins, registry, clock }
    }

    async fn code(&self, uses: u32, expires_in_seconds: u64) -> CreatedJoinCode {
        let wish = CreateJoinCode { uses: Some(uses), expires_in_seconds: Some(expires_in_seconds) };
        self.joins.create(wish, None).await.unwrap()
    }

    /// The node's side up to the confirmation, which is not sent yet.
    async fn shake_hands(&self, code: &str, id: &str) -> Result<(JoinConfirm, Secret), ApiError> {
        let code = decode(code).unwrap();
        let exchange = NodeExchange::begin(&code.code_id, &Secret::from_hex(&code.token).unwrap(), id);
        let offer = self.joins.hello(exchange.hello().clone(), PEER).await.map_err(ApiError::from)?;
        Ok(exchange.finish(&offer).unwrap())
    }

    async fn confirm(&self, confirm: &JoinConfirm) -> Result<JoinAccepted, ErrorCode> {
        self.joins.confirm(confirm.clone(), PEER).await.map_err(|error| ApiError::from(error).code)
    }

    async fn join(&self, code: &str, id: &str) -> Result<Secret, ErrorCode> {
        let (confirm, secret) = self.shake_hands(code, id).await.map_err(|error| error.code)?;
        self.confirm(&confirm).await.map(|_| secret)
    }

    async fn used(&self, code: &CreatedJoinCode) -> u32 {
        let codes = self.joins.list().await.unwrap();
        codes.iter().find(|view| view.code_id == code.view.code_id).unwrap().used
    }
}

#[tokio::test]
async fn both_sides_have_the_secret_and_a_repeated_confirmation_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path()).await;
    let code = site.code(2, 60).await;
    assert_eq!(decode(&code.code).unwrap().addresses, ["127.0.0.1:8000"]);
    let (confirm, secret) = site.shake_hands(&code.code, "节点").await.unwrap();
    assert_eq!(site.registry.secret_of("节点"), None);
    let (first, second) = tokio::join!(site.confirm(&confirm), site.confirm(&confirm));
    assert_eq!(first, second);
    assert_eq!(site.confirm(&confirm).await.unwrap().master_id, "master-1");
    assert_eq!(site.registry.secret_of("节点"), Some(secret.clone()));
    assert_eq!(site.used(&code).await, 1);
    // It outlives a restart.
    assert_eq!(Site::new(folder.path()).await.registry.secret_of("节点"), Some(secret));
}

#[tokio::test]
async fn spent_expired_revoked_and_unknown_codes_are_refused_at_either_step() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path()).await;
    let refused = Err(ErrorCode::JoinCodeRefused);
    let once = site.code(1, 60).await.code;
    // Two begin, one ends.
    let (late, _) = site.shake_hands(&once, "late").await.unwrap();
    site.join(&once, "quick").await.unwrap();
    assert_eq!(site.confirm(&late).await.map(drop), refused);
    assert_eq!(site.registry.secret_of("late"), None);
    assert_eq!(site.join(&once, "third").await.map(drop), refused);

    let revoked = site.code(5, 60).await;
    let (began, _) = site.shake_hands(&revoked.code, "began").await.unwrap();
    assert!(site.joins.revoke(&revoked.view.code_id).await.unwrap().revoked);
    assert_eq!(site.confirm(&began).await.map(drop), refused);
    assert_eq!(site.join(&revoked.code, "after").await.map(drop), refused);
    site.joins.revoke("nope").await.unwrap_err();

    let short = site.code(5, 60).await.code;
    site.clock.set_ms(site.clock.now_ms() + 60_000);
    let error = site.shake_hands(&short, "n").await.unwrap_err();
    assert_eq!((error.code, error.status.as_u16()), (ErrorCode::JoinCodeRefused, 403));
    assert!(error.detail.contains("expired"), "{}", error.detail);
}

#[tokio::test]
async fn a_wrong_proof_ends_the_exchange_and_guessing_is_slowed() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path()).await;
    let code = site.code(50, 60).await.code;
    let (confirm, _) = site.shake_hands(&code, "n").await.unwrap();
    let wrong = JoinConfirm { node_proof: "0".repeat(64), ..confirm.clone() };
    assert_eq!(site.confirm(&wrong).await.map(drop), Err(ErrorCode::JoinProofRefused));
    assert_eq!(site.confirm(&confirm).await.map(drop), Err(ErrorCode::NotFound));
    for _ in 0..25 {
        let hello = JoinHello { code_id: "guessed".into(), node_id: "n".into(), node_key: "1".repeat(64) };
        let _ = site.joins.hello(hello, PEER).await;
    }
    let error = site.shake_hands(&code, "n").await.unwrap_err();
    assert_eq!((error.code, error.retry_after), (ErrorCode::TooManyRequests, Some(60)));
    // Others are not held up by that.
    let decoded = decode(&code).unwrap();
    let exchange = NodeExchange::begin(&decoded.code_id, &Secret::from_hex(&decoded.token).unwrap(), "n");
    site.joins.hello(exchange.hello().clone(), "10.0.0.1".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn an_id_joins_again_only_after_it_was_removed() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path()).await;
    let code = site.code(5, 60).await;
    let first = site.join(&code.code, "n").await.unwrap();
    let error = site.shake_hands(&code.code, "n").await.unwrap_err();
    assert_eq!(error.status.as_u16(), 409);
    assert!(error.detail.contains("DELETE /api/v1/nodes"), "{}", error.detail);
    site.registry.remove("n").await.unwrap();
    assert_ne!(site.join(&code.code, "n").await.unwrap(), first);
    // Two exchanges of one id at once: one secret.
    let (one, _) = site.shake_hands(&code.code, "k").await.unwrap();
    let (two, secret) = site.shake_hands(&code.code, "k").await.unwrap();
    site.confirm(&two).await.unwrap();
    assert_eq!(site.confirm(&one).await.map(drop), Err(ErrorCode::Conflict));
    assert_eq!((site.registry.secret_of("k"), site.used(&code).await), (Some(secret), 3));
}

#[tokio::test]
async fn a_whole_building_joins_by_one_code() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path()).await;
    let code = site.code(150, 60).await;
    for number in 0..150 {
        site.join(&code.code, &format!("pc-{number}")).await.unwrap();
    }
    assert_eq!(site.used(&code).await, 150);
    // Exchanges that nobody ends are few.
    let endless = site.code(200, 60).await.code;
    let mut began = 0;
    while site.shake_hands(&endless, &format!("slow-{began}")).await.is_ok() {
        began += 1;
    }
    assert_eq!(began, 100);
}

#[tokio::test]
async fn a_code_made_by_another_process_is_honoured_and_only_while_a_master_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(Some(folder.path()), Role::Master).unwrap();
    let refused = create_join_code(&data, 1, EXPIRES_AFTER).unwrap_err();
    assert_eq!(refused.code(), 69);
    let site = Site::new(folder.path()).await;
    site.clock.set_ms(Clock::system().now_ms());
    let guard = RunningGuard::take(&data).unwrap();
    guard.announce(&data, "127.0.0.1:8123".parse().unwrap()).unwrap();
    let made = data.clone();
    let code = blocking(move || create_join_code(&made, 1, EXPIRES_AFTER)).await.unwrap();
    assert_eq!(decode(&code).unwrap().addresses, ["127.0.0.1:8123"]);
    site.join(&code, "n").await.unwrap();
    assert_eq!(create_join_code(&data, 0, EXPIRES_AFTER).unwrap_err().code(), 64);
}

#[test]
fn the_address_by_which_an_administrator_came_is_tried_first() {
    let with = |host| codes::with_host(vec!["10.0.0.1:8000".to_owned()], host);
    assert_eq!(with(Some("master.school:8080")), ["master.school:8080", "10.0.0.1:8000"]);
    assert_eq!(with(Some("master.school")), ["master.school:80", "10.0.0.1:8000"]);
    for same in [None, Some("10.0.0.1:8000"), Some("localhost:8000"), Some("127.0.0.1:8000"), Some("[::1]:8000")] {
        assert_eq!(with(same), ["10.0.0.1:8000"], "{same:?}");
    }
}
