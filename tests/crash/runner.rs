//! How is a run of operations done to a store, so that one knows afterwards what was acknowledged when?

use std::ops::Range;
use std::sync::{Arc, Mutex};

use floe::sim::{Disk, Event, SimDevice};
use floe::{Error, ErrorKind, Snapshot, Store, StoreOptions, Uuid};

use crate::caught::caught;
use crate::judge::{Outcome, Reading, judge};
use crate::model::Model;
use crate::operation::{Operation, Punch, State};
use crate::story::in_words;

/// What a whole run is like.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub capacity: u64,
    /// Small enough, it makes commits come in the middle of operations.
    pub dirty_bytes_max: Option<usize>,
    /// Small enough, it makes commits write the space map, which else they rarely do.
    pub changes_bytes_max: usize,
}

impl Settings {
    pub fn options(&self) -> StoreOptions {
        let options = Store::options().changes_bytes_max(self.changes_bytes_max);
        self.dirty_bytes_max.map_or(options.clone(), |bytes| options.dirty_bytes_max(bytes))
    }
}

/// A moment of a run: an operation, or a step of one, was done.
#[derive(Clone)]
pub struct Point {
    pub state: Arc<State>,
    /// Number of the operation; an operation of several steps has several points.
    pub operation: usize,
    /// What kind of operation it was, and the operation in words.
    pub kind: &'static str,
    pub words: String,
    /// How many events there were when the operation returned; `None` if it did not, or failed.
    pub acknowledged: Option<usize>,
    /// Everything up to here survives a power cut, once it is acknowledged.
    pub is_durable: bool,
    /// Between the point before and this one, part of a range may be holes already.
    pub punch: Option<Punch>,
}

/// What was done to a disk, and what a store on it owes for that.
pub struct Run {
    pub settings: Settings,
    /// The disk before the first event.
    pub base: Disk,
    pub events: Vec<Event>,
    /// The first one is the state that the base holds.
    pub points: Vec<Point>,
}

/// The moments at which a store may find itself after a power cut.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    /// From the last durable one on to the last that was begun.
    pub points: &'a [Point],
    /// Blocks may be torn.
    pub is_torn: bool,
}

impl Run {
    /// Which points the store may be at if the power fails after so many events: from the last one that was acknowledged as
    /// durable to the operation in flight.
    pub fn allowed(&self, position: usize) -> Range<usize> {
        let is_done = |point: &Point| point.acknowledged.is_some_and(|events| events <= position);
        let durable = self.points.iter().rposition(|point| point.is_durable && is_done(point)).unwrap_or_default();
        let in_flight = self.points.iter().find(|point| !is_done(point)).map_or(usize::MAX, |point| point.operation);
        let begun = self.points.iter().rposition(|point| point.operation <= in_flight).unwrap_or_default();
        durable..begun + 1
    }
}

/// What a runner is told to do.
#[derive(Clone, Debug)]
pub enum Step {
    /// A call of the engine.
    Do(Operation),
    /// A call, and others in the middle of one of its syncs.
    Meanwhile {
        outer: Operation,
        inner: Vec<Operation>,
        syncs_before: u64,
    },
    /// Closes the store and opens it again.
    Reopen,
    /// Keeps a handle, which pins a snapshot's blocks.
    Hold {
        snapshot: Uuid,
    },
    LetGo,
}

/// Why a run did not go on.
#[derive(Debug)]
pub enum Stop {
    /// The engine said so.
    Error(Error),
    /// The engine did something else than the model.
    Difference(String),
}

/// A store and its model, at the end of what was done so far.
pub struct Runner {
    pub settings: Settings,
    pub device: Arc<SimDevice>,
    base: Disk,
    /// `None` only while it is closed.
    store: Option<Store>,
    pub points: Vec<Point>,
    held: Vec<Snapshot>,
    operations: usize,
    /// The last commit when the store was opened.
    opened_at: u64,
}

impl Runner {
    /// Makes a store on a disk of zeroes.
    pub fn create(settings: Settings) -> Result<Self, Stop> {
        let device = sim(Disk::new(settings.capacity));
        let store = settings.options().create_on(device.clone())?;
        let state = State { model: Model::new(), capacity: settings.capacity };
        Ok(Self::started(settings, device, store, state))
    }

    /// Opens a disk that holds `state`; what the opening does to it is recorded.
    pub fn open(settings: Settings, disk: Disk, state: State) -> Result<Self, Stop> {
        let device = sim(disk);
        device.record();
        let base = device.disk();
        let store = settings.options().open_on(device.clone())?;
        Ok(Self { base, ..Self::started(settings, device, store, state) })
    }

    fn started(settings: Settings, device: Arc<SimDevice>, store: Store, state: State) -> Self {
        let start = Point {
            state: Arc::new(state),
            operation: 0,
            kind: "Open",
            words: "the beginning".to_owned(),
            acknowledged: Some(0),
            is_durable: true,
            punch: None,
        };
        let base = device.disk();
        let opened_at = store.info().generation;
        Self { settings, device, base, store: Some(store), points: vec![start], held: Vec::new(), operations: 0, opened_at }
    }

    /// Flushes, forgets what was done so far, and records from here on.
    pub fn record(&mut self) -> Result<(), Stop> {
        self.store().flush()?;
        let last = self.points.last().expect("there is a beginning").clone();
        self.points = vec![Point { acknowledged: Some(0), is_durable: true, operation: 0, punch: None, ..last }];
        self.operations = 0;
        self.base = self.device.disk();
        self.device.record();
        Ok(())
    }

    /// The state after everything that was done.
    pub fn state(&self) -> &State {
        &self.points.last().expect("there is a beginning").state
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("it is closed only while it is reopened")
    }

    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Does one step. If the engine refuses, what the step would have led to is the last point all the same, not acknowledged:
    /// nobody knows what became of it.
    pub fn step(&mut self, step: &Step) -> Result<(), Stop> {
        let words = in_words(step, &self.state().model);
        self.operations += 1;
        match step {
            Step::Do(operation) => {
                let done = operation.perform(self.store());
                self.follow(operation, &words, done.is_ok())?;
                done?;
            }
            Step::Meanwhile { outer, inner, syncs_before } => self.meanwhile(outer, inner, *syncs_before, &words)?,
            Step::Reopen => self.reopen(&words)?,
            Step::Hold { snapshot } => self.held.push(self.store().snapshot(*snapshot)?),
            Step::LetGo => drop(self.held.drain(..self.held.len().min(1))),
        }
        Ok(())
    }

    /// Does one step that the engine may refuse because it is full: then nothing has changed.
    pub fn step_if_it_fits(&mut self, step: &Step) -> Result<(), Stop> {
        let points = self.points.len();
        match self.step(step) {
            Err(Stop::Error(error)) if error.kind() == ErrorKind::NoSpace => {
                self.points.truncate(points);
                Ok(())
            }
            result => result,
        }
    }

    /// Has nothing been committed since the store was opened? Then the first overwrite has to commit that it is in use.
    pub fn is_fresh(&self) -> bool {
        self.store().info().generation == self.opened_at
    }

    /// Compares the running store with its model.
    pub fn judge(&self) -> Outcome {
        judge(self.store(), &self.state().model, Reading::Thorough)
    }

    /// Ends the run without closing the store, as far as the disk is concerned.
    pub fn finish(self) -> Run {
        Run { settings: self.settings, base: self.base, events: self.device.take_events(), points: self.points }
    }

    fn meanwhile(&mut self, outer: &Operation, inner: &[Operation], syncs_before: u64, words: &str) -> Result<(), Stop> {
        let between = Arc::new(Mutex::new(Vec::new()));
        let (store, operations, results) = (self.store().clone(), inner.to_vec(), Arc::clone(&between));
        self.device.during_sync(syncs_before, move || {
            // A panic must not take the commit along that it interrupts.
            let done = operations.iter().map(|operation| caught(|| Ok(operation.perform(&store)))).collect();
            *results.lock().expect("nobody panics here") = done;
        });
        let done = outer.perform(self.store());
        self.device.forget_meanwhile();
        self.follow(outer, words, done.is_ok())?;
        let between = std::mem::take(&mut *between.lock().expect("nobody panics here"));
        for (operation, done) in inner.iter().zip(between) {
            let done = done.map_err(Stop::Difference)?;
            self.follow(operation, words, done.is_ok())?;
            done?;
        }
        Ok(done?)
    }

    fn follow(&mut self, operation: &Operation, words: &str, is_done: bool) -> Result<(), Stop> {
        let acknowledged = is_done.then(|| self.device.recorded());
        let states = operation.foresee(self.state(), self.store()).map_err(Stop::Difference)?;
        let changes = !matches!(operation, Operation::Flush | Operation::Reclaim { .. } | Operation::Check);
        for state in states {
            let state = if changes { Arc::new(state) } else { Arc::clone(&self.points[self.points.len() - 1].state) };
            self.points.push(Point {
                state,
                operation: self.operations,
                kind: operation.kind(),
                words: words.to_owned(),
                acknowledged,
                is_durable: operation.is_durable(),
                punch: operation.punch(),
            });
        }
        Ok(())
    }

    fn reopen(&mut self, words: &str) -> Result<(), Stop> {
        self.held.clear();
        let state = Arc::clone(&self.points[self.points.len() - 1].state);
        let (operation, words) = (self.operations, words.to_owned());
        let kind = "Reopen";
        self.points.push(Point { state, operation, kind, words, acknowledged: None, is_durable: true, punch: None });
        self.store().close()?;
        let closed = self.device.recorded();
        self.points.last_mut().expect("it was just added").acknowledged = Some(closed);
        self.store = None;
        self.store = Some(self.settings.options().open_on(self.device.clone())?);
        self.opened_at = self.store().info().generation;
        if !self.store().info().was_clean {
            return Err(Stop::Difference("a store that was closed is not clean".to_owned()));
        }
        Ok(())
    }
}

fn sim(disk: Disk) -> Arc<SimDevice> {
    Arc::new(SimDevice::over(disk).expect("memory for a device"))
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Stop> for String {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Error(error) => format!("an operation failed: {:?}: {error}", error.kind()),
            Stop::Difference(difference) => difference,
        }
    }
}
