//! Telling everybody what is in progress: the catalog, made anew from the database after every change.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use posthouse_runtime::tasks::blocking;

use super::Meetings;
use super::readiness::Waiting;
use crate::catalog::{ActiveMeeting, Catalog, PackageVersion};
use crate::error::Error;
use crate::store::packages::{self as table, ActiveRow, PackageRow};

impl Meetings {
    /// Makes the catalog say what the database says. Should the database not answer, the catalog stays as it is until
    /// the next change.
    pub(super) async fn publish(&self) {
        if let Err(error) = self.try_publish().await {
            tracing::error!(%error, "the meetings in progress could not be read");
        }
    }

    /// The same, with the error for the caller.
    pub(crate) async fn try_publish(&self) -> Result<(), Error> {
        let around = &self.0.around;
        let _writing = self.0.publishing.lock().await;
        let (token, rows) = table::active(&around.store).await?;
        let before = around.catalog.borrow().clone();
        let this = self.clone();
        let (catalog, waiting) = blocking(move || {
            let waiting = rows.iter().filter_map(Waiting::of).collect::<Vec<_>>();
            let meetings = rows.into_iter().filter_map(|row| this.active_meeting(row, &before)).collect();
            (Catalog { token, meetings }, waiting)
        })
        .await;
        self.0.in_progress.set(catalog.meetings.len() as i64);
        *self.0.waiting.lock() = waiting;
        around.catalog.send_if_modified(|current| {
            let differs = **current != catalog;
            if differs {
                *current = Arc::new(catalog);
            }
            differs
        });
        Ok(())
    }

    /// What the catalog says of a meeting: nothing while none of its packages exists.
    fn active_meeting(&self, row: ActiveRow, before: &Catalog) -> Option<ActiveMeeting> {
        let known = before.meeting(&row.id);
        let versions: Vec<PackageVersion> = row
            .packages
            .into_iter()
            .filter_map(|package| {
                let path = self.0.around.packages.path(&row.id, package.version);
                let agenda =
                    known.and_then(|known| known.version(package.version)).map(|version| version.agenda.clone());
                package_version(package, path, agenda)
            })
            .collect();
        if versions.is_empty() {
            self.0.stale.notify_one();
            return None;
        }
        Some(ActiveMeeting {
            id: row.id,
            title: row.title,
            time: row.time,
            intro: row.intro,
            announced: row.announced,
            versions,
        })
    }

    /// Removes packages that the database does not know. Only before the first build.
    pub(crate) async fn sweep_packages(&self) -> Result<(), Error> {
        let (_, rows) = table::active(&self.0.around.store).await?;
        let versions = |row: ActiveRow| row.packages.iter().map(|package| package.version).collect();
        let kept: HashMap<_, _> = rows.into_iter().map(|row| (row.id.key(), versions(row))).collect();
        self.0.around.packages.sweep(kept).await
    }
}

fn package_version(
    row: PackageRow,
    path: PathBuf,
    agenda: Option<Arc<Vec<posthouse_protocol::legacy::DataAgendaItem>>>,
) -> Option<PackageVersion> {
    if !is_whole(&row, &path) {
        return None;
    }
    // The agenda of a version does not change; one copy of it is enough.
    let agenda = agenda.filter(|known| **known == row.agenda).unwrap_or_else(|| Arc::new(row.agenda));
    Some(PackageVersion {
        version: row.version,
        hash: row.hash,
        size_bytes: row.size_bytes,
        built_at: row.built_at,
        path,
        agenda,
    })
}

/// Whether the file is there with all its bytes.
pub(super) fn is_whole(row: &PackageRow, path: &std::path::Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == row.size_bytes)
}
