//! Turns that a virtual machine's host does not spoil.
//!
//! A host that gives a machine less than all of its processors stops it for tens of milliseconds at a time when it has
//! used up its share. `/proc/stat` tells how long ("steal"). Such a turn tells about the host and not about either of
//! those that are compared: 30 ms in one second are a p99 of 30 ms. So each turn comes after a rest, and one that was
//! spoiled counts for nobody and is done again.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::Result;
use posthouse_tests::usage;

use crate::report::note;

/// Before a turn.
const REST: Duration = Duration::from_secs(2);
/// A turn is spoiled when more than this share of a processor's time was taken.
const STOLEN_MAX: f64 = 0.01;
/// The last of so many tries counts in any case.
const TRIES: usize = 5;

/// What `turn` finds, undisturbed if that can be had.
pub(crate) async fn undisturbed<T: Debug>(name: &str, turn: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    prepared(name, || Ok(()), turn).await
}

/// The same, with something to be done before each try that is not part of the turn.
pub(crate) async fn prepared<T: Debug>(
    name: &str,
    prepare: impl Fn() -> Result<()>,
    mut turn: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let mut tries = 0;
    loop {
        tries += 1;
        prepare()?;
        tokio::time::sleep(REST).await;
        let (stolen_before, begun) = (usage::stolen_seconds()?, Instant::now());
        let found = turn().await?;
        let stolen = (usage::stolen_seconds()? - stolen_before) / begun.elapsed().as_secs_f64();
        let counts = stolen <= STOLEN_MAX || tries == TRIES;
        let verdict = if counts { "" } else { ", done again" };
        note(&format!("{name}: {found:.3?} (the host took {:.1} %{verdict})", stolen * 100.0));
        if counts {
            return Ok(found);
        }
    }
}
