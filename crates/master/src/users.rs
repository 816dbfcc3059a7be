//! People who administer: passwords, and sessions named by a bearer token.

use std::net::IpAddr;
use std::path::PathBuf;

use posthouse_protocol::ContentHash;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::user::TokenAnswer;
use posthouse_runtime::clock::Clock;
use posthouse_runtime::exit::StartError;
use posthouse_runtime::paths::DataDir;
use posthouse_runtime::store::{Store, StoreError};
use posthouse_runtime::trust::password::{self, PasswordCheck, Verdict};
use posthouse_runtime::{private_file, random};
use rust_i18n::t;

use crate::events::Events;
use crate::store::{sessions, users as table};

/// The user that every master has.
pub const ADMINISTRATOR: &str = "admin";
/// Environment variable with the administrator's password at the first start.
pub const PASSWORD_VARIABLE: &str = "POSTHOUSE_ADMIN_PASSWORD";
/// How long a session lasts, in seconds.
const SESSION_SECONDS: u64 = 12 * 3600;
/// Nobody types a longer password; in bytes.
const PASSWORD_MAX: usize = 1024;

/// A password that was made up at the first start: to be shown to a person once, and never to be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct FirstPassword {
    /// Whose.
    pub user: &'static str,
    /// The password.
    pub password: String,
    /// Where it was written for its owner alone.
    pub file: PathBuf,
}

impl std::fmt::Debug for FirstPassword {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FirstPassword").field("file", &self.file).finish_non_exhaustive()
    }
}

/// What came of an attempt to sign in.
#[derive(Debug)]
pub(crate) enum SignIn {
    /// The token of the new session.
    Done(TokenAnswer),
    /// Name or password are wrong.
    Wrong,
    /// Too many wrong ones: again after so many seconds.
    Locked(u64),
}

/// A cheap handle to users and sessions.
#[derive(Debug, Clone)]
pub struct Users {
    store: Store,
    clock: Clock,
    events: Events,
    check: PasswordCheck,
}

impl Users {
    pub(crate) fn new(store: Store, clock: Clock, events: Events) -> Self {
        Self { store, check: PasswordCheck::new(clock.clone()), clock, events }
    }

    /// Checks a password and begins a session.
    pub(crate) async fn sign_in(&self, from: IpAddr, user: String, password: String) -> Result<SignIn, StoreError> {
        let stored = match password.len() {
            0..=PASSWORD_MAX => table::password_hash(&self.store, user.clone()).await?,
            _ => None,
        };
        // The name may be anything; only one that exists goes into logs and events.
        let known = stored.is_some();
        match self.check.check(from, password, stored).await {
            Verdict::Right => {
                self.events.record(EventKind::SignedIn, None, None, format!("{user} @ {from}"));
                self.begin_session(user).await.map(SignIn::Done)
            }
            Verdict::Wrong => {
                let who = if known { user.as_str() } else { "?" };
                self.events.record(EventKind::SignInFailed, None, None, format!("{who} @ {from}"));
                Ok(SignIn::Wrong)
            }
            Verdict::Locked(seconds) => {
                tracing::debug!(%from, seconds, "a sign-in was put off");
                Ok(SignIn::Locked(seconds))
            }
        }
    }

    async fn begin_session(&self, user: String) -> Result<TokenAnswer, StoreError> {
        let access_token = random::hex::<32>();
        let expires_at = self.clock.now_seconds() + SESSION_SECONDS as f64;
        sessions::begin(&self.store, hash_of(&access_token), user, expires_at).await?;
        Ok(TokenAnswer { access_token, token_type: "bearer".to_owned(), expires_in: SESSION_SECONDS })
    }

    /// The user whose session this token names. Read from the database each time, so that `reset-password` of another
    /// process ends sessions at once.
    pub(crate) async fn user_of(&self, token: &str) -> Result<Option<String>, StoreError> {
        sessions::user_of(&self.store, hash_of(token), self.clock.now_seconds()).await
    }

    /// Forgets sessions that ended.
    pub(crate) async fn tidy(&self) -> Result<(), StoreError> {
        sessions::forget_ended(&self.store, self.clock.now_seconds()).await
    }
}

fn hash_of(token: &str) -> ContentHash {
    ContentHash(*blake3::hash(token.as_bytes()).as_bytes())
}

/// Makes sure that there is an administrator: with the password `given`, or one made up here.
pub(crate) async fn ensure_administrator(
    store: &Store,
    data: &DataDir,
    clock: &Clock,
    given: Option<String>,
) -> Result<Option<FirstPassword>, StartError> {
    let failed = |error: StoreError| StartError::Database(data.database(), error.to_string());
    if !table::is_empty(store).await.map_err(failed)? {
        return Ok(None);
    }
    let file = data.root().join("initial-password.txt");
    let first = match given.filter(|password| !password.is_empty()) {
        Some(password) => Ok(password),
        None => Err(FirstPassword { user: ADMINISTRATOR, password: random::password(), file: file.clone() }),
    };
    let password = first.as_ref().unwrap_or_else(|made_up| &made_up.password).clone();
    let (store, data, clock) = (store.clone(), data.clone(), clock.clone());
    posthouse_runtime::tasks::blocking(move || {
        // The file first: a password that was set but told to nobody would lock everybody out.
        if first.is_err() {
            let content = format!("{password}\n");
            private_file::write(&file, content.as_bytes()).map_err(|error| StartError::CannotWrite(file, error))?;
        }
        set_password(&store, &data, &clock, &password)?;
        Ok(first.err())
    })
    .await
}

/// Gives the administrator of the master in `data` a new password and ends all sessions; works beside a running master.
///
/// # Errors
/// When there is no master's database in `data`, or it cannot be written.
pub fn reset_password(data: &DataDir) -> Result<String, StartError> {
    if !data.database().exists() {
        return Err(StartError::Unavailable(t!("reset.no_database", path = data.root().display()).into_owned()));
    }
    let store = crate::store::open(data)?;
    let password = random::password();
    set_password(&store, data, &Clock::system(), &password)?;
    // What it says is not true any more.
    let _ = std::fs::remove_file(data.root().join("initial-password.txt"));
    Ok(password)
}

fn set_password(store: &Store, data: &DataDir, clock: &Clock, password: &str) -> Result<(), StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Database(data.database(), error.to_string());
    let hash = password::hash(password).map_err(|error| failed(&error))?;
    table::set_password(store, ADMINISTRATOR, hash, clock.now_seconds()).map_err(|error| failed(&error))
}
