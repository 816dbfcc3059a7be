//! Join codes: making one, here or on the command line, and judging one that a node names.

use std::time::Duration;

use posthouse_protocol::event::EventKind;
use posthouse_protocol::join::{JoinCode, JoinCodeView};
use posthouse_runtime::clock::Clock;
use posthouse_runtime::exit::StartError;
use posthouse_runtime::paths::DataDir;
use posthouse_runtime::trust::{Secret, join};
use posthouse_runtime::{random, running_file};
use rust_i18n::t;

use super::refusal::JoinRefusal;
use crate::store::events::{self, NewEvent};
use crate::store::join_codes::{self as table, JoinCodeRow};

/// Nodes that may join with one code.
const USES_MAX: u32 = 10_000;
/// A code is good for a year at most.
const EXPIRES_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Makes a code that is good for `uses` nodes and for as long as `expires`, with the addresses of the master that runs
/// on this data folder: the running master honours it at once.
///
/// # Errors
/// When no master runs on the folder, a number is out of range, or the database cannot be written.
pub fn create_join_code(data: &DataDir, uses: u32, expires: Duration) -> Result<String, StartError> {
    let cannot_read = |error| StartError::CannotRead(data.running_file(), error);
    let not_running =
        || StartError::Unavailable(t!("join_code.not_running", path = data.root().display()).into_owned());
    let running = running_file::read(data).map_err(cannot_read)?.ok_or_else(not_running)?;
    if running.role != data.role().as_str() {
        return Err(not_running());
    }
    let clock = Clock::system();
    let row =
        new_row(uses, expires, clock.now_ms() / 1000).map_err(|refusal| StartError::Usage(refusal.to_string()))?;
    let code = text_of(&row, running.addresses);
    let told = NewEvent {
        time: clock.now_seconds(),
        kind: EventKind::JoinCodeCreated,
        meeting_id: None,
        node_id: None,
        reason: reason_of(&row.view),
    };
    let store = crate::store::open(data)?;
    store
        .call_blocking(move |connection| table::add(connection, &row))
        .and_then(|()| events::append_blocking(&store, told))
        .map_err(|error| StartError::Database(data.database(), error.to_string()))?;
    Ok(code)
}

/// A new code. `now`: Unix seconds.
pub(super) fn new_row(uses: u32, expires: Duration, now: i64) -> Result<JoinCodeRow, JoinRefusal> {
    if !(1..=USES_MAX).contains(&uses) {
        return Err(JoinRefusal::OutOfRange { field: "uses", range: "1–10000" });
    }
    if expires < Duration::from_secs(1) || expires > EXPIRES_MAX {
        return Err(JoinRefusal::OutOfRange { field: "expires", range: "1 s – 366 d" });
    }
    // Below a year, see above.
    let seconds = i64::try_from(expires.as_secs()).unwrap_or_default();
    let view = JoinCodeView {
        code_id: random::hex::<8>(),
        created_at: now,
        expires_at: now + seconds,
        uses,
        used: 0,
        revoked: false,
    };
    Ok(JoinCodeRow { view, token: Secret::random() })
}

/// What the event of a new code says: never its secret.
pub(super) fn reason_of(view: &JoinCodeView) -> String {
    format!("{}: {} use(s)", view.code_id, view.uses)
}

/// The string to paste on a node.
pub(super) fn text_of(row: &JoinCodeRow, addresses: Vec<String>) -> String {
    let JoinCodeView { code_id, expires_at, uses, .. } = &row.view;
    join::encode(&JoinCode {
        addresses,
        code_id: code_id.clone(),
        token: row.token.to_hex(),
        expires_at: *expires_at,
        uses: *uses,
    })
}

/// The addresses with the one by which the administrator came first, unless that only leads from this machine to
/// itself.
pub(super) fn with_host(mut addresses: Vec<String>, host: Option<&str>) -> Vec<String> {
    let Some(host) = host else { return addresses };
    let host = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let is_local = host.starts_with("localhost:") || host.starts_with("127.") || host.starts_with("[::1]");
    if !is_local && !addresses.contains(&host) {
        addresses.insert(0, host);
    }
    addresses
}

/// The code, if a node may join with it now (Unix seconds).
pub(super) fn good(found: Option<JoinCodeRow>, now: i64) -> Result<JoinCodeRow, JoinRefusal> {
    let Some(code) = found else { return Err(JoinRefusal::CodeRefused("未知 (unknown)")) };
    if code.is_good(now) {
        return Ok(code);
    }
    let JoinCodeView { revoked, expires_at, .. } = code.view;
    Err(JoinRefusal::CodeRefused(match () {
        () if revoked => "已撤销 (revoked)",
        () if now >= expires_at => "已过期 (expired)",
        () => "已用完 (used up)",
    }))
}
