//! What is done while something fails?
//!
//! A seed tells what a disk holds before, and which acts follow: all operations of the engine, reads, checks and scrubs between
//! them, and at the end a close, an opening, and a read of everything. Whatever fails, the acts are always the same, as long as
//! the model says the same.

use std::ops::Range;

use floe::sim::{Disk, Loss};
use floe::{ErrorKind, ProblemKind, Uuid};

use crate::dice::Dice;
use crate::judge::{Outcome, done, same};
use crate::model::{Image, Model};
use crate::operation::{Operation, State};
use crate::runner::{Runner, Settings, Step, Stop};
use crate::story::in_words;
use crate::workload::{Shape, Workload};

/// Acts between opening and closing.
const ACTS: usize = 30;
/// Acts before, which are not interrupted.
const WARM_UP: u64 = 40;

/// Something that is done to a store.
#[derive(Clone, Debug)]
pub enum Act {
    Step(Step),
    ReadDrive { drive: Uuid, range: Range<u64> },
    ReadSnapshot { snapshot: Uuid, range: Range<u64> },
    Borrow { snapshot: Uuid },
    Check,
    Scrub,
}

impl Act {
    pub fn is_reopening(&self) -> bool {
        matches!(self, Self::Step(Step::Reopen))
    }

    /// May an error that says that nothing is certain come too late for "nothing was changed"? These go on in steps.
    pub fn goes_in_steps(&self) -> bool {
        matches!(self, Self::Step(Step::Do(Operation::Resize { .. } | Operation::Discard { .. } | Operation::WriteZeroes { .. })))
    }

    /// Does it look at bytes and report those that cannot be read?
    pub fn reports(&self) -> bool {
        matches!(self, Self::Check | Self::Scrub)
    }

    pub fn words(&self, model: &Model) -> String {
        let snapshot_name = |uuid: &Uuid| &model.snapshots[model.snapshot_index_of(*uuid)].name;
        match self {
            Self::Step(step) => in_words(step, model),
            Self::ReadDrive { drive, range } => format!("read {range:?} of {}", model.drives[model.index_of(*drive)].name),
            Self::ReadSnapshot { snapshot, range } => format!("read {range:?} of {}", snapshot_name(snapshot)),
            Self::Borrow { snapshot } => format!("borrow all of {}", snapshot_name(snapshot)),
            Self::Check => "check".to_owned(),
            Self::Scrub => "scrub".to_owned(),
        }
    }

    /// Does it. What the store says is compared with the model; a report may name what could not be read, if anything failed.
    pub fn perform(&self, runner: &mut Runner) -> Result<(), Stop> {
        let model = &runner.state().model;
        match self {
            Self::Step(step) => runner.step(step),
            Self::ReadDrive { drive, range } => {
                let mut found = vec![0xA5; (range.end - range.start) as usize];
                runner.store().drive(*drive)?.read_at(&mut found, range.start)?;
                same_bytes(&found, &model.drives[model.index_of(*drive)].image, range)
            }
            Self::ReadSnapshot { snapshot, range } => {
                let mut found = vec![0xA5; (range.end - range.start) as usize];
                runner.store().snapshot(*snapshot)?.read_at(&mut found, range.start)?;
                same_bytes(&found, &model.snapshots[model.snapshot_index_of(*snapshot)].image, range)
            }
            Self::Borrow { snapshot } => {
                let fingerprint = runner.store().snapshot(*snapshot)?.fingerprint()?;
                let image = &model.snapshots[model.snapshot_index_of(*snapshot)].image;
                same("fingerprint", &fingerprint, &image.fingerprint()).map_err(Stop::Difference)
            }
            Self::Check => {
                let report = runner.store().check()?;
                // What follows from a page that cannot be read is named too.
                let is_read = report.problems.iter().all(|problem| problem.kind != ProblemKind::Unreadable);
                if report.is_clean() || (runner.device.has_failed() && !is_read) {
                    return Ok(());
                }
                Err(Stop::Difference(format!("check found {:#?}", report.problems)))
            }
            Self::Scrub => {
                let report = runner.store().scrub()?;
                if report.finished && (report.is_clean() || runner.device.has_failed()) {
                    return Ok(());
                }
                Err(Stop::Difference(format!("scrub found {report:#?}")))
            }
        }
    }
}

fn same_bytes(found: &[u8], image: &Image, range: &Range<u64>) -> Result<(), Stop> {
    let wanted = image.bytes(range.clone());
    match found.iter().zip(&wanted).position(|(found, wanted)| found != wanted) {
        Some(at) => Err(Stop::Difference(format!("D1: another byte at {} when {range:?} is read", range.start + at as u64))),
        None => Ok(()),
    }
}

/// What a seed tells.
pub struct Base {
    pub seed: u64,
    shape: Shape,
    pub settings: Settings,
    /// What is there before, and what it means.
    pub disk: Disk,
    pub state: State,
    /// Acts that the store refuses because it is full, though nothing fails.
    pub refused: Vec<bool>,
    /// Operations of the device that the acts lead to.
    pub operations: u64,
}

impl Base {
    /// Prepares a disk, and does the acts once without any failure.
    pub fn of(seed: u64) -> Outcome<Self> {
        let mut dice = Dice::new(seed);
        let shape = Shape::of(seed);
        let mut runner = Runner::create(shape.settings(&mut dice))?;
        let mut workload = alone(shape, dice);
        for step in workload.first_steps(&runner.state().model) {
            runner.step(&step)?;
        }
        for _ in 0..WARM_UP {
            let step = workload.next(&runner);
            runner.step_if_it_fits(&step)?;
        }
        done("flush", runner.store().flush())?;
        let (device, settings, state) = (runner.device.clone(), runner.settings, runner.state().clone());
        let disk = if seed.is_multiple_of(2) {
            done("close", runner.store().close())?;
            device.disk()
        } else {
            device.disk().after_power_cut(Loss::Nothing, 0)
        };
        let mut base = Self { seed, shape, settings, disk, state, refused: Vec::new(), operations: 0 };
        base.rehearse()?;
        Ok(base)
    }

    fn rehearse(&mut self) -> Outcome {
        let mut runner = self.open()?;
        let before = runner.device.operations();
        let mut script = self.script(0);
        while let Some(act) = script.next(&runner) {
            let points = runner.points.len();
            let is_refused = match act.perform(&mut runner) {
                Ok(()) => false,
                Err(Stop::Error(error)) if error.kind() == ErrorKind::NoSpace => true,
                Err(stop) => return Err(format!("without any failure: {}", String::from(stop))),
            };
            if is_refused {
                runner.points.truncate(points);
            }
            self.refused.push(is_refused);
        }
        self.operations = runner.device.operations() - before;
        runner.judge()
    }

    pub fn open(&self) -> Result<Runner, Stop> {
        Runner::open(self.settings, self.disk.clone(), self.state.clone())
    }

    /// The acts that are rehearsed, with 0, or others.
    pub fn script(&self, number: u64) -> Script {
        let mut dice = Dice::new(!self.seed ^ number << 32);
        Script { workload: alone(self.shape, Dice::new(dice.next())), dice, done: 0, last: Vec::new() }
    }
}

/// Chooses the acts, looking at the model alone.
pub struct Script {
    workload: Workload,
    dice: Dice,
    done: usize,
    /// What follows on the last opening, the last one first.
    last: Vec<Act>,
}

impl Script {
    pub fn next(&mut self, runner: &Runner) -> Option<Act> {
        self.done += 1;
        let model = &runner.state().model;
        if self.done <= ACTS {
            return Some(self.middle(runner));
        }
        if self.done == ACTS + 1 {
            return Some(Act::Step(Step::Reopen));
        }
        if self.done == ACTS + 2 {
            let drives = model.drives.iter().map(|drive| Act::ReadDrive { drive: drive.uuid, range: 0..drive.image.size });
            let snapshots = model.snapshots.iter().map(|snapshot| Act::Borrow { snapshot: snapshot.uuid });
            self.last = [Act::Scrub, Act::Check].into_iter().chain(snapshots).chain(drives).collect();
        }
        self.last.pop()
    }

    fn middle(&mut self, runner: &Runner) -> Act {
        let model = &runner.state().model;
        match self.dice.within(0..24) {
            0..3 => {
                if let Some(drive) = self.dice.pick(&model.drives) {
                    return Act::ReadDrive { drive: drive.uuid, range: self.range(drive.image.size) };
                }
            }
            3 => {
                if let Some(snapshot) = self.dice.pick(&model.snapshots) {
                    return Act::ReadSnapshot { snapshot: snapshot.uuid, range: self.range(snapshot.image.size) };
                }
            }
            4 => {
                if let Some(snapshot) = self.dice.pick(&model.snapshots) {
                    return Act::Borrow { snapshot: snapshot.uuid };
                }
            }
            5 => return Act::Scrub,
            _ => {}
        }
        match self.workload.next(runner) {
            Step::Do(Operation::Check) => Act::Check,
            step => Act::Step(step),
        }
    }

    fn range(&mut self, size: u64) -> Range<u64> {
        if self.dice.once_in(2) {
            return 0..size;
        }
        let start = self.dice.within(0..size);
        start..self.dice.within(start..size) + 1
    }
}

/// Of two operations at once one would wait for locks that its own thread holds.
fn alone(shape: Shape, dice: Dice) -> Workload {
    let mut workload = Workload::new(shape, dice);
    workload.is_alone = true;
    workload
}
