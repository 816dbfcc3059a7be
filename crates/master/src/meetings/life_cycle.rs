//! Starting, ending and deleting a meeting.

use posthouse_protocol::MeetingId;
use posthouse_protocol::event::EventKind;
use posthouse_protocol::meeting::MeetingStatus;

use super::meeting::Meeting;
use super::recipe::Recipe;
use super::{Meetings, Refusal};
use crate::error::Error;
use crate::store::meetings as table;
use crate::store::packages::NewPackage;
use crate::unbroken;

impl Meetings {
    /// Moves a meeting to another state. Starting one answers once its package is built; its nodes are waited for
    /// afterwards.
    pub(crate) async fn set_status(&self, id: &MeetingId, status: MeetingStatus) -> Result<Meeting, Error> {
        let (this, id) = (self.clone(), id.clone());
        let name = format!("move {id} to {}", status.as_str());
        unbroken::run(&self.0.around.tasks, &name, async move {
            match status {
                MeetingStatus::InProgress => this.start(&id).await,
                MeetingStatus::NotStarted | MeetingStatus::Ended => {
                    this.0.around.packages.cancel(&id);
                    let _turn = this.turn(&id).await;
                    this.leave(&id, status).await
                }
            }
        })
        .await
    }

    /// Deletes a meeting; a running one is ended first.
    pub(crate) async fn delete(&self, id: &MeetingId) -> Result<(), Error> {
        let (this, id) = (self.clone(), id.clone());
        let name = format!("delete {id}");
        unbroken::run(&self.0.around.tasks, &name, async move {
            let around = &this.0.around;
            around.packages.cancel(&id);
            let _turn = this.turn(&id).await;
            this.leave(&id, MeetingStatus::Ended).await?;
            let unused = table::delete(&around.store, &id).await??;
            around.files.discard(unused).await;
            around.events.record(EventKind::MeetingDeleted, Some(id.as_str()), None, "");
            Ok(())
        })
        .await
    }

    async fn start(&self, id: &MeetingId) -> Result<Meeting, Error> {
        let around = &self.0.around;
        let _turn = self.turn(id).await;
        let meeting = self.get(id).await?;
        if meeting.status == MeetingStatus::InProgress {
            return Ok(meeting);
        }
        if meeting.agenda.is_empty() {
            return Err(Refusal::CannotStartWithoutAgenda.into());
        }
        let without_files = meeting.items_without_files();
        if !without_files.is_empty() {
            return Err(Refusal::CannotStartWithoutFiles(without_files).into());
        }
        let recipe = Recipe::of(&meeting, &around.files);
        let package = self.build(&meeting.id, meeting.last_version + 1, recipe).await?;
        let meeting = table::start(&around.store, id, package, around.clock.now_seconds()).await??;
        around.events.record(EventKind::MeetingStarting, Some(meeting.id.as_str()), None, meeting.title.clone());
        self.publish().await;
        around.registry.tell_nodes();
        // It may have been changed while its package was being built.
        self.0.stale.notify_one();
        Ok(meeting)
    }

    /// The caller has the meeting's turn.
    async fn leave(&self, id: &MeetingId, status: MeetingStatus) -> Result<Meeting, Error> {
        let around = &self.0.around;
        let before = self.get(id).await?;
        if before.status == status {
            return Ok(before);
        }
        let meeting = table::leave(&around.store, id, status).await??;
        if before.status == MeetingStatus::InProgress {
            self.publish().await;
            around.registry.tell_nodes();
            around.packages.keep_only(id, [].into()).await;
            around.events.record(EventKind::MeetingEnded, Some(meeting.id.as_str()), None, "");
        }
        Ok(meeting)
    }

    /// Builds a version. The caller has the meeting's turn.
    pub(super) async fn build(&self, id: &MeetingId, version: u64, recipe: Recipe) -> Result<NewPackage, Error> {
        let around = &self.0.around;
        let began = std::time::Instant::now();
        match around.packages.build(id, version, recipe.request).await {
            Ok(description) => {
                self.0.packages_built.inc();
                let took = began.elapsed().as_secs_f64();
                let reason = format!("version {version}, {} bytes, {took:.1} s", description.size_bytes);
                around.events.record(EventKind::PackageBuilt, Some(id.as_str()), None, reason);
                let (hash, agenda, revision) = (recipe.hash, recipe.agenda, recipe.revision);
                let built_at = around.clock.now_seconds();
                Ok(NewPackage { version, revision, recipe: hash, description, agenda, built_at })
            }
            Err(error) => {
                self.0.packages_failed.inc();
                around.events.record(EventKind::PackageFailed, Some(id.as_str()), None, error.to_string());
                Err(error)
            }
        }
    }
}
