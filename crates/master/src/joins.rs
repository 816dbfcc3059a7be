//! Joining: codes that administrators make, and the exchange in which a node that has one gets its secret.
//!
//! Codes live in the database alone, because `posthouse join-code` makes them beside a running master. What crosses
//! the wire stands in `posthouse_protocol::join`, the cryptography in `posthouse_runtime::trust::join`.

mod codes;
mod failures;
mod refusal;
mod sessions;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use posthouse_protocol::event::EventKind;
use posthouse_protocol::join::{
    CreateJoinCode, CreatedJoinCode, JoinAccepted, JoinCodeView, JoinConfirm, JoinHello, JoinOffer,
};
use posthouse_runtime::clock::Clock;
use posthouse_runtime::network;
use posthouse_runtime::store::Store;
use posthouse_runtime::tasks::{Tasks, blocking};
use posthouse_runtime::trust::join::MasterExchange;

use self::failures::Failures;
use self::sessions::{Session, Sessions};
use crate::error::Error;
use crate::events::Events;
use crate::registry::{Registry, check_id};
use crate::store::join_codes::{self as table, Joined};
use crate::unbroken;

pub use self::codes::create_join_code;
pub use self::refusal::JoinRefusal;

/// How long a code is good when nothing else is said.
const EXPIRES_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A cheap handle to codes and exchanges.
#[derive(Debug, Clone)]
pub struct Joins(Arc<Shared>);

/// What joining needs of the rest of the master.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) events: Events,
    pub(crate) registry: Registry,
    /// Where the master listens.
    pub(crate) address: SocketAddr,
    /// Made at its first start.
    pub(crate) master_id: String,
}

#[derive(Debug)]
struct Shared {
    around: Surroundings,
    sessions: Sessions,
    failures: Failures,
}

impl Joins {
    pub(crate) fn new(around: Surroundings) -> Self {
        Self(Arc::new(Shared { around, sessions: Sessions::default(), failures: Failures::default() }))
    }

    /// Makes a code. `host`: the address by which the administrator came, so one that works.
    pub(crate) async fn create(&self, wish: CreateJoinCode, host: Option<&str>) -> Result<CreatedJoinCode, Error> {
        let around = &self.0.around;
        let expires = wish.expires_in_seconds.map_or(EXPIRES_AFTER, Duration::from_secs);
        let row = codes::new_row(wish.uses.unwrap_or(1), expires, around.clock.now_ms() / 1000)?;
        let address = around.address;
        let reachable = blocking(move || network::reachable_addresses(address)).await;
        let code = codes::text_of(&row, codes::with_host(reachable, host));
        let view = row.view.clone();
        around.store.call(move |connection| table::add(connection, &row)).await?;
        around.events.record(EventKind::JoinCodeCreated, None, None, codes::reason_of(&view));
        Ok(CreatedJoinCode { code, view })
    }

    /// All codes, without their secrets.
    pub(crate) async fn list(&self) -> Result<Vec<JoinCodeView>, Error> {
        Ok(table::all(&self.0.around.store).await?.into_iter().map(|row| row.view).collect())
    }

    /// Revokes a code. Exchanges that began with it end without a secret.
    pub(crate) async fn revoke(&self, code_id: &str) -> Result<JoinCodeView, Error> {
        let revoked = table::revoke(&self.0.around.store, code_id).await?;
        let view = revoked.ok_or_else(|| JoinRefusal::NoSuchCode(code_id.to_owned()))?.view;
        self.0.around.events.record(EventKind::JoinCodeRevoked, None, None, code_id);
        Ok(view)
    }

    /// Begins an exchange.
    pub(crate) async fn hello(&self, hello: JoinHello, peer: IpAddr) -> Result<JoinOffer, Error> {
        self.0.failures.check(peer)?;
        let began = self.begin(hello).await;
        if matches!(began, Err(Error::Join(JoinRefusal::CodeRefused(_)))) {
            self.0.failures.note(peer);
        }
        began
    }

    async fn begin(&self, hello: JoinHello) -> Result<JoinOffer, Error> {
        let around = &self.0.around;
        check_id(&hello.node_id)?;
        let found = table::find(&around.store, &hello.code_id).await?;
        let code = codes::good(found, around.clock.now_ms() / 1000)?;
        if around.registry.secret_of(&hello.node_id).is_some() {
            return Err(JoinRefusal::HasSecret(hello.node_id).into());
        }
        let exchange = MasterExchange::answer(&hello, &code.token, &around.master_id)
            .map_err(|_| JoinRefusal::Malformed("node_key"))?;
        let offer = exchange.offer.clone();
        self.0.sessions.add(Session::new(hello, exchange))?;
        Ok(offer)
    }

    /// Ends an exchange: from now on the node's secret is in force. Said again it is answered again.
    pub(crate) async fn confirm(&self, confirm: JoinConfirm, peer: IpAddr) -> Result<JoinAccepted, Error> {
        self.0.failures.check(peer)?;
        let session = self.0.sessions.find(&confirm.session)?;
        if !session.exchange.accepts(&confirm) {
            self.0.sessions.remove(&confirm.session);
            self.0.failures.note(peer);
            let reason = JoinRefusal::WrongProof.to_string();
            self.0.around.events.record(EventKind::NodeRefused, None, Some(&session.hello.node_id), reason);
            return Err(JoinRefusal::WrongProof.into());
        }
        let this = self.clone();
        let name = format!("join of {}", session.hello.node_id);
        unbroken::run(&self.0.around.tasks, &name, async move { this.accept(&session).await }).await
    }

    async fn accept(&self, session: &Session) -> Result<JoinAccepted, Error> {
        let around = &self.0.around;
        let JoinHello { code_id, node_id, .. } = &session.hello;
        let mut is_accepted = session.is_accepted.lock().await;
        if !*is_accepted {
            let now = around.clock.now_seconds();
            let secret = &session.exchange.node_secret;
            match table::spend(&around.store, code_id, node_id, secret, now).await? {
                Joined::Accepted => {}
                Joined::HasSecret => return Err(JoinRefusal::HasSecret(node_id.clone()).into()),
                Joined::CodeRefused => {
                    let found = table::find(&around.store, code_id).await?;
                    codes::good(found, now as i64)?;
                    return Err(JoinRefusal::CodeRefused("").into());
                }
            }
            around.registry.give_secret(node_id, secret.clone())?;
            *is_accepted = true;
        }
        Ok(JoinAccepted { status: "success".to_owned(), node_id: node_id.clone(), master_id: around.master_id.clone() })
    }
}
