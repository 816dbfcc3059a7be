//! Which node a tablet is sent to: for each meeting in progress a smooth weighted round robin over the nodes that hold
//! the version served now.
//!
//! This is a picture of its own, exchanged as a whole when something changed, so that a download waits neither for a
//! heartbeat nor for the database. A pick takes one short lock, that of its meeting's wheel, and allocates nothing but
//! once a minute and node a new link.

mod place;
mod wheel;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;
use posthouse_protocol::legacy::DownloadNode;
use posthouse_protocol::{ContentHash, MeetingId};
use posthouse_runtime::clock::Clock;
use posthouse_runtime::metrics::{Counter, Metrics};
use posthouse_runtime::tasks::Report;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::place::Place;
use self::wheel::Wheel;
use crate::catalog::{Catalog, CatalogReader, PackageVersion};
use crate::registry::{Registry, Served};

/// How often is looked for nodes that became silent.
const SWEEP_PAUSE: Duration = Duration::from_millis(250);
/// After a rebuild at least this pause is made,
const REBUILD_PAUSE: Duration = Duration::from_millis(5);
/// or this many times the time that the rebuild took: a crowd of nodes that all report at once is taken together.
const REBUILD_PAUSE_FACTOR: u32 = 4;

/// A cheap handle to all rotations.
#[derive(Debug, Clone)]
pub struct Rotations(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    registry: Registry,
    catalog: CatalogReader,
    clock: Clock,
    picture: ArcSwap<Picture>,
    /// Held while a new picture is taken, so that an older one never replaces a newer one.
    taking: Mutex<()>,
    redirects: Counter,
}

/// All rotations at one moment.
#[derive(Debug, Default)]
struct Picture {
    /// What was in progress then.
    catalog: Arc<Catalog>,
    /// Sorted by key.
    rotations: Vec<Arc<Rotation>>,
}

/// The rotation of one meeting.
#[derive(Debug)]
struct Rotation {
    /// The meeting's id in lower case.
    key: String,
    meeting: MeetingId,
    version: u64,
    hash: ContentHash,
    turns: Mutex<Turns>,
}

#[derive(Debug)]
struct Turns {
    wheel: Wheel,
    places: Vec<Place>,
}

impl Rotations {
    /// No rotations until the first [`Rotations::rebuild`].
    pub(crate) fn new(registry: Registry, catalog: CatalogReader, clock: Clock, metrics: &Metrics) -> Self {
        let redirects = metrics.counter("redirects", "Downloads sent to a node");
        Self(Arc::new(Shared {
            registry,
            catalog,
            clock,
            picture: ArcSwap::default(),
            taking: Mutex::default(),
            redirects,
        }))
    }

    /// Where the next download of a meeting goes; `None` when the master serves it, or it is not in progress.
    #[must_use]
    pub fn choose(&self, meeting: &MeetingId) -> Option<HeaderValue> {
        let picture = self.0.picture.load();
        let rotation = picture.find(meeting)?;
        if !self.is_current(&picture, rotation) {
            return None;
        }
        let mut turns = rotation.turns.lock();
        let place = turns.wheel.pick()?;
        let location = turns.places[place].location(&rotation.meeting, rotation.version, self.0.clock.now_ms());
        drop(turns);
        self.0.redirects.inc();
        location
    }

    /// Where the next download will go, without it going there: for a `HEAD`, which must not take anybody's turn.
    #[must_use]
    pub(crate) fn peek(&self, meeting: &MeetingId) -> Option<HeaderValue> {
        let picture = self.0.picture.load();
        let rotation = picture.find(meeting).filter(|rotation| self.is_current(&picture, rotation))?;
        let mut turns = rotation.turns.lock();
        let place = turns.wheel.clone().pick()?;
        turns.places[place].location(&rotation.meeting, rotation.version, self.0.clock.now_ms())
    }

    /// Everywhere that a download of a meeting can go.
    #[must_use]
    pub(crate) fn endpoints(&self, meeting: &MeetingId) -> Vec<DownloadNode> {
        let picture = self.0.picture.load();
        let Some(rotation) = picture.find(meeting).filter(|rotation| self.is_current(&picture, rotation)) else {
            return Vec::new();
        };
        let now_ms = self.0.clock.now_ms();
        let mut turns = rotation.turns.lock();
        let places = turns.places.iter_mut();
        places.filter_map(|place| place.endpoint(&rotation.meeting, rotation.version, now_ms)).collect()
    }

    /// The version that `/data` has to describe: the newest that a node serves, or when none serves any the newest,
    /// which the master serves. `None` when the meeting is not in progress.
    #[must_use]
    pub fn served_version(&self, meeting: &MeetingId) -> Option<u64> {
        let catalog = self.0.catalog.borrow().clone();
        let wanted = catalog.meeting(meeting)?.wanted().version;
        let picture = self.0.picture.load();
        let rotation = picture.find(meeting).filter(|rotation| self.is_current(&picture, rotation));
        let served = rotation.filter(|rotation| !rotation.turns.lock().places.is_empty());
        Some(served.map_or(wanted, |rotation| rotation.version))
    }

    /// Whether the version is one that the catalog still has. The picture follows the catalog by milliseconds, and in
    /// those nobody may be sent for a meeting that has ended.
    fn is_current(&self, picture: &Picture, rotation: &Rotation) -> bool {
        let catalog = self.0.catalog.borrow();
        Arc::ptr_eq(&catalog, &picture.catalog)
            || catalog
                .meeting(&rotation.meeting)
                .and_then(|meeting| meeting.version(rotation.version))
                .is_some_and(|version| version.hash == rotation.hash)
    }

    /// Takes a new picture. Rotations in which nothing changed stay as they are.
    pub(crate) fn rebuild(&self) {
        let _turn = self.0.taking.lock();
        let catalog = self.0.catalog.borrow().clone();
        let before = self.0.picture.load();
        let served = self.0.registry.served(&catalog);
        let mut rotations: Vec<Arc<Rotation>> = catalog
            .meetings
            .iter()
            .zip(served)
            .map(|(meeting, served)| {
                let version = meeting.version(served.version).unwrap_or_else(|| meeting.wanted());
                Rotation::after(before.find(&meeting.id), &meeting.id, version, served)
            })
            .collect();
        rotations.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        self.0.picture.store(Arc::new(Picture { catalog, rotations }));
    }

    /// The loop that rebuilds when something changed, and looks for what only time changes.
    pub(crate) async fn run(self, stop: CancellationToken, report: Report) {
        let mut catalog = self.0.catalog.clone();
        let mut nodes = self.0.registry.changed();
        let mut sweeps = tokio::time::interval(SWEEP_PAUSE);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Whatever happened before this loop began.
        catalog.mark_changed();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                // Before the others, so that no stream of changes keeps it from being done.
                _ = sweeps.tick() => {
                    self.0.registry.sweep();
                    report.completed();
                    report.next_in(SWEEP_PAUSE);
                    continue;
                }
                Ok(()) = catalog.changed() => {}
                Ok(()) = nodes.changed() => {}
            }
            catalog.mark_unchanged();
            nodes.mark_unchanged();
            let began = Instant::now();
            self.rebuild();
            tokio::time::sleep(REBUILD_PAUSE.max(began.elapsed() * REBUILD_PAUSE_FACTOR)).await;
        }
    }
}

impl Picture {
    fn find(&self, meeting: &MeetingId) -> Option<&Arc<Rotation>> {
        let asked = meeting.as_str().bytes().map(|byte| byte.to_ascii_lowercase());
        let found = self.rotations.binary_search_by(|rotation| rotation.key.bytes().cmp(asked.clone()));
        found.ok().map(|place| &self.rotations[place])
    }
}

impl Rotation {
    /// The rotation of what is served now, going on where `before` is. When nothing changed it is that one, so that no
    /// turn that is taken meanwhile is lost.
    fn after(
        before: Option<&Arc<Rotation>>,
        meeting: &MeetingId,
        version: &PackageVersion,
        served: Served,
    ) -> Arc<Self> {
        let PackageVersion { version, hash, .. } = version;
        let turns = match before {
            None => Turns::new(served),
            Some(before) => {
                let is_same_version = before.version == *version && before.hash == *hash;
                let turns = before.turns.lock();
                if is_same_version && before.meeting == *meeting && turns.are_of(&served) {
                    return before.clone();
                }
                turns.followed_by(served, is_same_version)
            }
        };
        Arc::new(Self {
            key: meeting.key(),
            meeting: meeting.clone(),
            version: *version,
            hash: *hash,
            turns: Mutex::new(turns),
        })
    }
}

impl Turns {
    fn new(served: Served) -> Self {
        let places: Vec<Place> = served.candidates.into_iter().map(Place::from).collect();
        Self { wheel: Wheel::new(places.iter().map(Place::weight).collect()), places }
    }

    /// Whether these are the candidates, at the same addresses and with the same weights.
    fn are_of(&self, served: &Served) -> bool {
        let candidates = &served.candidates;
        self.places.len() == candidates.len()
            && self.places.iter().zip(candidates).all(|(place, candidate)| place.is_of(candidate))
    }

    /// The turns of these candidates, where those that stay keep their standing, and their links if they are still of
    /// the same version.
    fn followed_by(&self, served: Served, is_same_version: bool) -> Self {
        let mut places: Vec<Place> = served.candidates.into_iter().map(Place::from).collect();
        let mut before = Vec::with_capacity(places.len());
        for place in &mut places {
            // Both lists come in the order of the ids.
            let known = self.places.binary_search_by(|known| known.id().cmp(place.id())).ok();
            before.push(known.map(|known| self.wheel.standing(known)));
            if let Some(known) = known.filter(|_| is_same_version) {
                place.keep_link(&self.places[known]);
            }
        }
        let weights: Vec<i64> = places.iter().map(Place::weight).collect();
        let is_same = places.len() == self.places.len()
            && places
                .iter()
                .zip(&self.places)
                .all(|(now, then)| now.id() == then.id() && now.weight() == then.weight());
        let wheel = if is_same { self.wheel.clone() } else { Wheel::continuing(weights, &before, self.wheel.total()) };
        Self { wheel, places }
    }
}

#[cfg(test)]
mod tests;
