//! Waiting for a condition, with a deadline and a memory of what was seen last.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a thing may take that has no limit of its own in the requirements. Generous: the machine may be busy with
/// other tests.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Asks `condition` again and again until it answers `Ok`; its `Err` tells what was seen instead.
///
/// # Errors
/// After `limit`, with `what` and the last `Err` in the text.
pub async fn wait_until<T, E, F, Answered>(what: &str, limit: Duration, mut condition: F) -> Result<T>
where
    E: std::fmt::Display,
    F: FnMut() -> Answered,
    Answered: Future<Output = Result<T, E>>,
{
    let begun = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        match condition().await {
            Ok(value) => return Ok(value),
            Err(seen) if begun.elapsed() >= limit => {
                bail!("{what}: not within {limit:?}; seen last: {seen:#}");
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Asks `condition` for as long as `span` lasts; the first `Err` ends it.
///
/// # Errors
/// When the condition was not true all the time.
pub async fn stays<E, F, Answered>(what: &str, span: Duration, mut condition: F) -> Result<()>
where
    E: std::fmt::Display,
    F: FnMut() -> Answered,
    Answered: Future<Output = Result<(), E>>,
{
    let begun = Instant::now();
    while begun.elapsed() < span {
        if let Err(seen) = condition().await {
            bail!("{what}: no longer so after {:?}: {seen:#}", begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
