//! The loop that gives a running meeting a new version of its package when what goes into it changed, or its package
//! when the file is gone.

use std::time::Duration;

use posthouse_protocol::MeetingId;
use posthouse_protocol::meeting::MeetingStatus;
use posthouse_runtime::tasks::{Report, blocking};
use tokio_util::sync::CancellationToken;

use super::Meetings;
use super::publishing::is_whole;
use super::recipe::Recipe;
use crate::error::Error;
use crate::store::packages::{self as table, ActiveRow};

/// Several changes one after the other make one version.
const GATHER: Duration = Duration::from_millis(500);
/// After a failure, such as a full disk.
const RETRY: Duration = Duration::from_secs(30);

impl Meetings {
    /// Looks after versions until `stop`.
    pub(crate) async fn run_versions(self, stop: CancellationToken, report: Report) {
        let mut all_well = true;
        loop {
            let pause = if all_well { Duration::MAX } else { RETRY };
            if !all_well {
                report.next_in(RETRY);
            }
            tokio::select! {
                () = self.0.stale.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = stop.cancelled() => return,
            }
            all_well = true;
            let rows = match table::active(&self.0.around.store).await {
                Ok((_, rows)) => rows,
                Err(error) => {
                    tracing::error!(%error, "the meetings in progress could not be read");
                    report.failed(error);
                    all_well = false;
                    continue;
                }
            };
            for id in rows.into_iter().map(|row| row.id) {
                match self.renew(&id).await {
                    Ok(()) => report.completed(),
                    Err(_) if stop.is_cancelled() => return,
                    Err(error) => {
                        tracing::error!(meeting = %id, %error, "a new version of the package could not be made");
                        report.failed(error);
                        all_well = false;
                    }
                }
            }
        }
    }

    /// Makes a new version of a meeting's package if it needs one.
    async fn renew(&self, id: &MeetingId) -> Result<(), Error> {
        let around = &self.0.around;
        let _turn = self.turn(id).await;
        let (_, rows) = table::active(&around.store).await?;
        let Some(row) = rows.into_iter().find(|row| row.id.key() == id.key()) else { return Ok(()) };
        let is_there = self.newest_is_there(&row).await;
        let newest = row.packages.last();
        if is_there && newest.is_some_and(|newest| newest.revision >= row.revision) {
            return Ok(());
        }
        let meeting = self.get(id).await?;
        if meeting.status != MeetingStatus::InProgress {
            return Ok(());
        }
        let recipe = Recipe::of(&meeting, &around.files);
        if let Some(newest) = newest.filter(|newest| is_there && newest.recipe == recipe.hash) {
            table::confirm(&around.store, id, newest.version, recipe.revision).await?;
            self.publish().await;
            return Ok(());
        }
        let version = row.last_version + 1;
        let package = self.build(id, version, recipe).await?;
        match newest.filter(|newest| !is_there && newest.hash == package.description.hash) {
            // The file was gone, and here it is again, byte for byte.
            Some(newest) => around.packages.rename(id, version, newest.version).await?,
            None => {
                table::add(&around.store, id, package, around.clock.now_seconds()).await?;
            }
        }
        self.publish().await;
        around.registry.tell_nodes();
        Ok(())
    }

    async fn newest_is_there(&self, row: &ActiveRow) -> bool {
        let Some(newest) = row.packages.last().cloned() else { return false };
        let path = self.0.around.packages.path(&row.id, newest.version);
        blocking(move || is_whole(&newest, &path)).await
    }
}
