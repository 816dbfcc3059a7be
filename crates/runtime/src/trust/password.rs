//! Passwords of people: argon2 hashes, few computed at a time, wrong ones answered ever more slowly.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::random;
use crate::tasks::blocking;

/// argon2 takes 19 MiB each; strangers must not make us use much more.
const AT_A_TIME: usize = 2;
/// Longest delay of a wrong password.
const DELAY_MAX: Duration = Duration::from_secs(5);
/// After so many failures in a row from one address it is told to wait.
const FAILURES_MAX: u32 = 8;
/// How long it is told to wait, in milliseconds.
const LOCK_MS: i64 = 60_000;

/// glibc gives memory above 32 MiB back to the system as soon as it is freed; of smaller pieces every thread keeps what
/// it once used. Of the room that is asked for only what argon2 needs is ever touched.
const WORK_MEMORY_BYTES: usize = 33 << 20;

/// Hash of a password as a PHC string (argon2id), for the database.
///
/// Blocks for some ten milliseconds.
pub fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    let argon2 = Argon2::default();
    let salt = random::bytes::<16>();
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    compute(&argon2, password, &salt, &mut output)?;
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params())?,
        salt: Some(Salt::new(&salt)?),
        hash: Some(Output::new(&output)?),
    };
    Ok(hash.to_string())
}

fn compute(argon2: &Argon2<'_>, password: &str, salt: &[u8], output: &mut [u8]) -> argon2::Result<()> {
    let count = argon2.params().block_count();
    let mut blocks = Vec::with_capacity(count.max(WORK_MEMORY_BYTES / Block::SIZE));
    blocks.resize(count, Block::default());
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, blocks.as_mut_slice())
}

/// What a check of a password gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Right,
    /// It is wrong (and this was said slowly).
    Wrong,
    /// Too many wrong ones from there: try again after so many seconds.
    Locked(u64),
}

/// Checks passwords.
#[derive(Debug, Clone)]
pub struct PasswordCheck {
    clock: Clock,
    permits: Arc<Semaphore>,
    failures: Arc<Mutex<HashMap<IpAddr, Failures>>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last_ms: i64,
}

impl PasswordCheck {
    /// No failures yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, permits: Arc::new(Semaphore::new(AT_A_TIME)), failures: Arc::default() }
    }

    /// Checks `password` of somebody at `from` against `stored`, a PHC string; `None` (no such user) takes as long.
    pub async fn check(&self, from: IpAddr, password: String, stored: Option<String>) -> Verdict {
        if let Some(seconds) = self.locked_for(from) {
            return Verdict::Locked(seconds);
        }
        let count = {
            let Ok(_permit) = self.permits.acquire().await else { return Verdict::Wrong };
            // Those that came at the same time may have failed by now.
            if let Some(seconds) = self.locked_for(from) {
                return Verdict::Locked(seconds);
            }
            // Wrong until it is known to be right: the other permit's holder is to see it.
            let count = self.count_failure(from);
            if blocking(move || is_right(&password, stored.as_deref())).await {
                self.failures.lock().remove(&from);
                return Verdict::Right;
            }
            count
        };
        // 0.25 s, 0.5 s, 1 s, … : nobody who mistypes once notices, who guesses does.
        let delay = Duration::from_millis(250 << (count - 1).min(5)).min(DELAY_MAX);
        tokio::time::sleep(delay).await;
        Verdict::Wrong
    }

    fn locked_for(&self, from: IpAddr) -> Option<u64> {
        let failures = self.failures.lock();
        let found = failures.get(&from)?;
        let left_ms = found.last_ms + LOCK_MS - self.clock.now_ms();
        (found.count >= FAILURES_MAX && left_ms > 0).then(|| left_ms.unsigned_abs() / 1000 + 1)
    }

    fn count_failure(&self, from: IpAddr) -> u32 {
        let now_ms = self.clock.now_ms();
        let mut failures = self.failures.lock();
        failures.retain(|_, found| found.last_ms + LOCK_MS > now_ms);
        let found = failures.entry(from).or_insert(Failures { count: 0, last_ms: now_ms });
        found.count += 1;
        found.last_ms = now_ms;
        found.count
    }
}

fn is_right(password: &str, stored: Option<&str>) -> bool {
    // A hash of nothing, so that an unknown user takes as long as a known one.
    const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5$Gz0pXn0Ck4DSoTfJ5K9w3Rzz2m0dLhR0cQ6v7m2y1nA";
    matches(password, stored.unwrap_or(NOBODY)).is_ok_and(|matches| matches) && stored.is_some()
}

fn matches(password: &str, stored: &str) -> Result<bool, argon2::password_hash::Error> {
    let stored = PasswordHash::new(stored)?;
    let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else { return Ok(false) };
    let version = stored.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let argon2 = Argon2::new(Algorithm::try_from(stored.algorithm.as_str())?, version, Params::try_from(&stored)?);
    let mut output = vec![0; expected.len()];
    compute(&argon2, password, &salt, &mut output)?;
    // Compared in constant time.
    Ok(Output::new(&output)? == expected)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};

    use super::*;

    #[test]
    fn hashes_are_those_of_everybody_else() {
        let ours = PasswordHash::new(&hash("right").unwrap()).unwrap();
        assert!(Argon2::default().verify_password(b"right", &ours).is_ok());
        let theirs = Argon2::default().hash_password(b"right").unwrap().to_string();
        assert!(is_right("right", Some(&theirs)));
        assert!(!is_right("Right", Some(&theirs)));
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_passwords_are_slowed_then_locked_and_others_are_not() {
        let check = PasswordCheck::new(Clock::held_at_ms(0));
        let stored = hash("right").unwrap();
        let from: IpAddr = Ipv4Addr::new(10, 0, 0, 1).into();
        let try_it = |from, password: &str| check.check(from, password.to_owned(), Some(stored.clone()));
        assert_eq!(try_it(from, "right").await, Verdict::Right);
        for _ in 0..FAILURES_MAX {
            assert_eq!(try_it(from, "wrong").await, Verdict::Wrong);
        }
        assert!(matches!(try_it(from, "right").await, Verdict::Locked(1..=61)));
        assert_eq!(try_it(Ipv4Addr::LOCALHOST.into(), "right").await, Verdict::Right);
        // Many at once get no more tries than one after the other.
        let another: IpAddr = Ipv4Addr::new(10, 0, 0, 2).into();
        let burst = (0..40).map(|_| try_it(another, "wrong"));
        let verdicts = futures_util::future::join_all(burst).await;
        let wrong = verdicts.iter().filter(|verdict| **verdict == Verdict::Wrong).count();
        assert!(wrong <= FAILURES_MAX as usize, "{wrong} were tried");
        assert!(matches!(try_it(another, "right").await, Verdict::Locked(_)));
        check.clock.set_ms(LOCK_MS + 1);
        assert_eq!(try_it(from, "right").await, Verdict::Right);
        assert!(!is_right("", None));
    }
}
