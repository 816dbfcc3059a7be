//! Meetings: what an administrator prepares, starts and ends, and the catalog that tells the rest of the master what
//! is in progress.
//!
//! Steps of one meeting's life cycle take turns; changes of its data do not wait for them, and a running meeting whose
//! data changed is seen to by [`versions`].

pub(crate) mod input;
mod life_cycle;
pub(crate) mod meeting;
mod publishing;
mod readiness;
mod recipe;
mod refusal;
pub(crate) mod tablet;
mod versions;
pub(crate) mod views;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::meeting::MeetingStatus;
use posthouse_protocol::{MeetingId, PackageDescription};
use posthouse_runtime::clock::Clock;
use posthouse_runtime::metrics::{Counter, Gauge, Metrics};
use posthouse_runtime::store::Store;
use posthouse_runtime::tasks::Tasks;
use tokio::sync::Notify;

use self::input::{MeetingChange, NewMeeting};
use self::meeting::Meeting;
use crate::catalog::CatalogWriter;
use crate::config::MeetingsConfig;
use crate::error::Error;
use crate::events::Events;
use crate::files::{Files, Received};
use crate::packages::Packages;
use crate::registry::Registry;
use crate::rotation::Rotations;
use crate::store::files::StoredFile;
use crate::store::meetings as table;
use crate::unbroken;

pub use refusal::Refusal;

/// A cheap handle to all meetings.
#[derive(Debug, Clone)]
pub(crate) struct Meetings(Arc<Inner>);

/// What meetings need of the rest of the master.
pub(crate) struct Surroundings {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) events: Events,
    pub(crate) files: Files,
    pub(crate) packages: Packages,
    pub(crate) catalog: CatalogWriter,
    pub(crate) registry: Registry,
    pub(crate) rotation: Rotations,
    pub(crate) config: MeetingsConfig,
}

struct Inner {
    around: Surroundings,
    /// One step of the life cycle of a meeting at a time.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// One writer of the catalog at a time, so that what was read last is what is told last.
    publishing: tokio::sync::Mutex<()>,
    /// Something that [`versions`] has to look at.
    stale: Notify,
    /// Meetings whose nodes are waited for, as of the last publication.
    waiting: Mutex<Vec<readiness::Waiting>>,
    packages_built: Counter,
    packages_failed: Counter,
    in_progress: Gauge,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Meetings").finish_non_exhaustive()
    }
}

impl Meetings {
    pub(crate) fn new(around: Surroundings, metrics: &Metrics) -> Self {
        Self(Arc::new(Inner {
            around,
            turns: Mutex::default(),
            publishing: tokio::sync::Mutex::default(),
            stale: Notify::new(),
            waiting: Mutex::default(),
            packages_built: metrics.counter("packages_built", "Packages built"),
            packages_failed: metrics.counter("package_failures", "Packages that could not be built"),
            in_progress: metrics.gauge("meetings_in_progress", "Meetings in progress"),
        }))
    }

    /// All meetings, the oldest first.
    pub(crate) async fn list(&self) -> Result<Vec<Meeting>, Error> {
        Ok(table::list(&self.0.around.store).await?)
    }

    /// One meeting.
    pub(crate) async fn get(&self, id: &MeetingId) -> Result<Meeting, Error> {
        Ok(table::find(&self.0.around.store, id).await?.ok_or(Refusal::Unknown)?)
    }

    /// Creates a meeting, and starts it when it is asked for in progress; one that cannot be started is not created.
    pub(crate) async fn create(&self, new: NewMeeting) -> Result<Meeting, Error> {
        let creating = |refusal| Refusal::Creating(Box::new(refusal));
        let starts = new.status == MeetingStatus::InProgress;
        let now = self.0.around.clock.now_seconds();
        let meeting = table::create(&self.0.around.store, new, now).await?.map_err(creating)?;
        self.0.around.events.record(EventKind::MeetingCreated, Some(meeting.id.as_str()), None, meeting.title.clone());
        if !starts {
            return Ok(meeting);
        }
        match self.set_status(&meeting.id, MeetingStatus::InProgress).await {
            Ok(started) => Ok(started),
            Err(error) => {
                self.delete(&meeting.id).await?;
                Err(match error {
                    Error::Refused(refusal) => creating(refusal).into(),
                    other => other,
                })
            }
        }
    }

    /// Changes a meeting. Of a running one, tablets see the change once a package with it exists.
    pub(crate) async fn change(&self, id: &MeetingId, change: MeetingChange) -> Result<Meeting, Error> {
        let status = change.status;
        let now = self.0.around.clock.now_seconds();
        let meeting = table::change(&self.0.around.store, id, change, now).await??;
        self.changed(&meeting, "").await;
        match status {
            Some(status) if status != meeting.status => self.set_status(id, status).await,
            _ => Ok(meeting),
        }
    }

    /// Keeps uploaded files that belong to no agenda item yet.
    pub(crate) async fn keep_loose(&self, received: Vec<Received>) -> Result<Vec<StoredFile>, Error> {
        let files = self.0.around.files.clone();
        unbroken::run(&self.0.around.tasks, "keep uploaded files", async move { files.keep_loose(received).await })
            .await
    }

    /// Adds uploaded files to the agenda item at `position`.
    pub(crate) async fn attach(
        &self,
        id: &MeetingId,
        position: i64,
        received: Vec<Received>,
    ) -> Result<Vec<StoredFile>, Error> {
        let this = self.clone();
        let id = id.clone();
        let name = format!("attach files to {id}");
        unbroken::run(&self.0.around.tasks, &name, async move {
            let around = &this.0.around;
            let files = around.files.place(received).await?;
            let now = around.clock.now_seconds();
            let attached = table::attach(&around.store, &id, position, files.clone(), now).await;
            match attached.map_err(Error::from).and_then(|attached| attached.map_err(Error::from)) {
                Ok(meeting) => {
                    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
                    this.changed(&meeting, &names.join(", ")).await;
                    Ok(files)
                }
                Err(error) => {
                    around.files.discard(files.into_iter().map(|file| file.file_id).collect()).await;
                    Err(error)
                }
            }
        })
        .await
    }

    /// Refuses what [`Meetings::attach`] would refuse, before the bytes come.
    pub(crate) async fn check_item(&self, id: &MeetingId, position: i64) -> Result<(), Error> {
        let meeting = self.get(id).await?;
        match meeting.agenda.iter().any(|item| item.position == position) {
            true => Ok(()),
            false => Err(Refusal::UnknownItem(position).into()),
        }
    }

    /// Size, hash and blocks of a version of a package.
    pub(crate) async fn description(&self, id: &MeetingId, version: u64) -> Result<Option<PackageDescription>, Error> {
        Ok(crate::store::packages::description(&self.0.around.store, id, version).await?)
    }

    async fn changed(&self, meeting: &Meeting, what: &str) {
        self.0.around.events.record(EventKind::MeetingUpdated, Some(meeting.id.as_str()), None, what);
        if meeting.status == MeetingStatus::InProgress {
            self.publish().await;
            self.0.stale.notify_one();
        }
    }

    /// Waits for the turn of this meeting's life cycle.
    async fn turn(&self, id: &MeetingId) -> tokio::sync::OwnedMutexGuard<()> {
        self.turns_of(id).lock_owned().await
    }

    /// The turn of this meeting's life cycle, unless somebody has it.
    fn free_turn(&self, id: &MeetingId) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        self.turns_of(id).try_lock_owned().ok()
    }

    fn turns_of(&self, id: &MeetingId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.turns.lock();
        // Those that nobody has or waits for are not needed any more.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(id.key()).or_default().clone()
    }
}
