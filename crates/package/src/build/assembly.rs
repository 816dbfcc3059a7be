//! The assembly line of a build: pieces are packed by several threads and handed out in their order.
//!
//! At most a window of pieces is in the making or waiting, which bounds the memory of a build. A piece cannot be
//! taken before the first piece of its entry has decided the method; threads take a later one from the window then.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::pack::{Method, Packer, Piece};
use super::plan::Plan;
use crate::PackageError;

/// More threads would need more memory than a build may take, and outrun the disk.
const MOST_THREADS: usize = 8;

/// The pieces in order, from the one the builder waits for to the last that may be taken up.
pub(super) struct Assembly<'a> {
    plan: &'a Plan<'a>,
    line: Mutex<Line>,
    moved: Condvar,
}

struct Line {
    window: VecDeque<Slot>,
    window_length: usize,
    /// Number of pieces that have left the window.
    taken_out: usize,
    /// Entry and piece that enter the window next.
    upcoming: (usize, u64),
    /// Method of each entry, once its first piece is packed.
    methods: Vec<Option<Method>>,
    spare_buffers: Vec<Vec<u8>>,
    stopped: bool,
}

struct Slot {
    entry: usize,
    piece: u64,
    state: State,
}

enum State {
    Waiting,
    Taken,
    Done(Result<Piece, PackageError>),
}

struct Job {
    sequence: usize,
    entry: usize,
    piece: u64,
    method: Option<Method>,
    buffer: Vec<u8>,
}

impl<'a> Assembly<'a> {
    /// Starts the threads, lets `builder` fetch the pieces, and stops the threads however that ends.
    pub(super) fn run<T>(
        plan: &'a Plan<'a>,
        builder: impl FnOnce(&Self) -> Result<T, PackageError>,
    ) -> Result<T, PackageError> {
        let threads = thread::available_parallelism().map_or(2, usize::from).clamp(2, MOST_THREADS);
        let line = Line {
            window: VecDeque::new(),
            window_length: 2 * threads + 2,
            taken_out: 0,
            upcoming: (0, 0),
            methods: vec![None; plan.entries().len()],
            spare_buffers: Vec::new(),
            stopped: false,
        };
        let assembly = Self { plan, line: Mutex::new(line), moved: Condvar::new() };
        assembly.lock().refill(plan);
        thread::scope(|scope| {
            let _stop = StopOnDrop(&assembly);
            for _ in 0..threads {
                scope.spawn(|| assembly.work());
            }
            builder(&assembly)
        })
    }

    /// The next piece in order, waiting until it is packed.
    pub(super) fn next(&self) -> Result<Piece, PackageError> {
        let mut line = self.lock();
        loop {
            if let Some(Slot { state: State::Done(_), .. }) = line.window.front()
                && let Some(Slot { state: State::Done(outcome), .. }) = line.window.pop_front()
            {
                line.taken_out += 1;
                line.refill(self.plan);
                self.moved.notify_all();
                return outcome;
            }
            assert!(!line.stopped, "a packing thread has panicked");
            line = self.moved.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Method of an entry whose first piece was fetched.
    pub(super) fn method(&self, entry: usize) -> Method {
        self.lock().methods[entry].unwrap_or(Method::Stored)
    }

    /// Gives a piece's buffer back.
    pub(super) fn reuse(&self, buffer: Vec<u8>) {
        self.lock().spare_buffers.push(buffer);
    }

    fn work(&self) {
        let _stop = StopOnPanic(self);
        let mut packer = Packer::new();
        while let Some(job) = self.take() {
            let packed = packer.pack(&self.plan.entries()[job.entry], job.piece, job.method, job.buffer);
            let mut line = self.lock();
            let outcome = packed.map(|(method, piece)| {
                line.methods[job.entry] = Some(method);
                piece
            });
            // The window moves only past pieces that are done, so this one is still in it.
            let position = job.sequence - line.taken_out;
            line.window[position].state = State::Done(outcome);
            self.moved.notify_all();
        }
    }

    /// A piece to pack, waiting for one; `None` when there is nothing more to do.
    fn take(&self) -> Option<Job> {
        let mut line = self.lock();
        loop {
            if line.stopped || (line.window.is_empty() && line.upcoming.0 == self.plan.entries().len()) {
                return None;
            }
            if let Some(job) = line.take() {
                return Some(job);
            }
            line = self.moved.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn refill(&mut self, plan: &Plan<'_>) {
        while self.window.len() < self.window_length {
            let (entry, piece) = self.upcoming;
            let Some(planned) = plan.entries().get(entry) else { break };
            self.window.push_back(Slot { entry, piece, state: State::Waiting });
            self.upcoming = if piece + 1 < planned.pieces() { (entry, piece + 1) } else { (entry + 1, 0) };
        }
    }

    fn take(&mut self) -> Option<Job> {
        let methods = &self.methods;
        let is_ready =
            |slot: &Slot| matches!(slot.state, State::Waiting) && (slot.piece == 0 || methods[slot.entry].is_some());
        let position = self.window.iter().position(is_ready)?;
        let slot = &mut self.window[position];
        slot.state = State::Taken;
        Some(Job {
            sequence: self.taken_out + position,
            entry: slot.entry,
            piece: slot.piece,
            method: self.methods[slot.entry],
            buffer: self.spare_buffers.pop().unwrap_or_default(),
        })
    }
}

struct StopOnDrop<'a, 'plan>(&'a Assembly<'plan>);

impl Drop for StopOnDrop<'_, '_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

struct StopOnPanic<'a, 'plan>(&'a Assembly<'plan>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}
