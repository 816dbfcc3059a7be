//! Packages that the master serves itself, open: one handle a version, as long as the version is in the catalog.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use posthouse_package::PackageFile;
use posthouse_protocol::MeetingId;
use posthouse_runtime::http::package_body::ServedPackage;
use posthouse_runtime::tasks::{Report, blocking};
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, CatalogReader, PackageVersion};
use crate::error::Error;

/// A cheap handle to all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenPackages(Arc<Mutex<Vec<Open>>>);

#[derive(Debug)]
struct Open {
    meeting: MeetingId,
    package: ServedPackage,
}

impl OpenPackages {
    /// A version, ready to be served.
    pub(crate) async fn get(&self, meeting: &MeetingId, version: &PackageVersion) -> Result<ServedPackage, Error> {
        if let Some(package) = self.find(meeting, version) {
            return Ok(package);
        }
        let path = version.path.clone();
        let file = blocking(move || PackageFile::open(&path).map_err(Error::files(path))).await?;
        let package = ServedPackage {
            file,
            hash: version.hash,
            version: version.version,
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs_f64(version.built_at.max(0.0)),
            filename: format!("meeting_{meeting}_pdfs.zip"),
        };
        // Two requests at once may both have opened it: the second takes the place of the first.
        let mut open = self.0.lock();
        open.retain(|open| !open.is(meeting, version));
        open.push(Open { meeting: meeting.clone(), package: package.clone() });
        Ok(package)
    }

    fn find(&self, meeting: &MeetingId, version: &PackageVersion) -> Option<ServedPackage> {
        self.0.lock().iter().find(|open| open.is(meeting, version)).map(|open| open.package.clone())
    }

    /// Closes what is no longer in the catalog: the disk space of a removed package is free only then.
    fn keep_only(&self, catalog: &Catalog) {
        let is_kept = |open: &Open| {
            let meeting = catalog.meeting(&open.meeting);
            meeting.is_some_and(|meeting| meeting.versions.iter().any(|version| open.is(&meeting.id, version)))
        };
        self.0.lock().retain(is_kept);
    }

    /// The loop that closes.
    pub(crate) async fn run(self, mut catalog: CatalogReader, stop: CancellationToken, report: Report) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = catalog.changed() => {}
                else => return,
            }
            let now = catalog.borrow_and_update().clone();
            self.keep_only(&now);
            report.completed();
        }
    }
}

impl Open {
    fn is(&self, meeting: &MeetingId, version: &PackageVersion) -> bool {
        self.meeting == *meeting && self.package.version == version.version && self.package.hash == version.hash
    }
}
