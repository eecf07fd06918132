//! What does an operation say that an I/O error hits, and what is then?
//!
//! A failed read, or space that cannot be secured, changes nothing: the operation says so, and succeeds when it is called again.
//! After a failed write or sync nothing is acknowledged any more (D6); [`poisoned`](crate::poisoned) looks at that.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::sync::Arc;

use floe::sim::{Asked, Failures, Lasts};
use floe::{Error, ErrorKind};

use crate::aftermath::{self, Aftermath};
use crate::caught::caught;
use crate::injection::Injection;
use crate::judge::{Outcome, Reading, judge};
use crate::poisoned::judge_poisoned;
use crate::runner::{Runner, Stop};
use crate::script::{Act, Base};
use crate::watch::Watch;

/// What the first to hear of a failed write or sync must be told: what to do next.
pub const ADVICE: &str = "open it again";
/// Of a long story so much is told.
const TOLD_MAX: usize = 60;

/// What was tried, and what became of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub runs: u64,
    /// Errors injected into a run.
    pub injected: u64,
    /// Those that changed nothing, and those that the engine coped with.
    pub harmless: u64,
    pub absorbed: u64,
    /// Those after which the store was poisoned.
    pub poisoned: u64,
    /// Disks that were opened afterwards.
    pub reopened: u64,
    /// Power cuts after a store was opened without one and had worked on.
    pub later_cuts: u64,
    /// Errors injected into an opening.
    pub openings: u64,
}

impl Count {
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.injected += other.injected;
        self.harmless += other.harmless;
        self.absorbed += other.absorbed;
        self.poisoned += other.poisoned;
        self.reopened += other.reopened;
        self.later_cuts += other.later_cuts;
        self.openings += other.openings;
    }
}

impl Display for Count {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} errors in {} runs: {} changed nothing, {} were coped with, {} poisoned the store; {} disks opened afterwards, {} power \
             cuts later on, {} errors in openings",
            self.injected, self.runs, self.harmless, self.absorbed, self.poisoned, self.reopened, self.later_cuts, self.openings
        )
    }
}

/// What is wrong, and after what.
pub struct Failure {
    injection: Option<Injection>,
    difference: String,
    story: Vec<String>,
}

impl Failure {
    pub fn told(&self, seed: u64) -> String {
        let from = self.story.len().saturating_sub(TOLD_MAX);
        format!("{}\n\n{}\n\nreplay: {}\n", self.story[from..].join("\n"), self.difference, replay_line(seed, self.injection))
    }
}

fn replay_line(seed: u64, injection: Option<Injection>) -> String {
    let fault = injection.map_or_else(String::new, |injection| format!("FLOE_FAULT={injection} "));
    format!("FLOE_SEED={seed} FLOE_IO_RUNS=1 {fault}cargo test --all-features --test io_errors every_io_error_is_survived")
}

/// Tries all errors in the run that a seed tells.
pub fn explore(seed: u64, count: &mut Count, watch: &Watch) -> Result<(), Failure> {
    let base = rehearsed(seed)?;
    count.runs += 1;
    (0..base.operations).flat_map(Injection::all_at).try_for_each(|injection| try_one(&base, injection, count, watch))
}

/// Tries one error.
pub fn replay(seed: u64, injection: Injection, watch: &Watch) -> Result<(), Failure> {
    try_one(&rehearsed(seed)?, injection, &mut Count::default(), watch)
}

fn rehearsed(seed: u64) -> Result<Base, Failure> {
    caught(|| Base::of(seed)).map_err(|difference| Failure { injection: None, difference, story: Vec::new() })
}

fn try_one(base: &Base, injection: Injection, count: &mut Count, watch: &Watch) -> Result<(), Failure> {
    let mut story = Vec::new();
    count.injected += 1;
    let line = replay_line(base.seed, Some(injection));
    let outcome = watch.over(line, || caught(|| strike(base, injection, count, &mut story)));
    outcome.map_err(|difference| Failure { injection: Some(injection), difference, story })
}

fn strike(base: &Base, injection: Injection, count: &mut Count, story: &mut Vec<String>) -> Outcome {
    let mut runner = base.open()?;
    let device = Arc::clone(&runner.device);
    device.fail(Some(injection.after(device.operations())));
    let mut script = base.script(0);
    let mut has_struck = false;
    for &is_refused in &base.refused {
        let act = script.next(&runner).ok_or("the acts end before those of the rehearsal")?;
        let begun = device.operations();
        let words = act.words(&runner.state().model);
        let points = runner.points.len();
        let result = act.perform(&mut runner);
        let failures = device.failures();
        story.push(format!("operations {begun:4}..{:<4} {words}{}", device.operations(), said(&result)));
        has_struck |= failures.first.is_some();
        match result {
            Err(Stop::Difference(difference)) => return Err(difference),
            Ok(()) if is_refused && failures.first.is_none() => return Err("it was refused when nothing failed".to_owned()),
            Ok(()) => {
                let is_hit = failures.first.is_some() && device.operations() > begun;
                acknowledged(&act, is_hit, failures)?;
                if failures.first.is_some() && injection.lasts == Lasts::Once {
                    count.absorbed += 1;
                    device.fail(None);
                }
            }
            Err(Stop::Error(error)) if failures.first.is_none() => {
                if !is_refused || error.kind() != ErrorKind::NoSpace {
                    return Err(format!("{:?}, though nothing failed: {error}", error.kind()));
                }
                runner.points.truncate(points);
            }
            Err(Stop::Error(error)) => {
                is_told_right(&error, failures, injection)?;
                if act.is_reopening() {
                    return aftermath::of_reopening(base, runner, device, Aftermath { failures, injection }, count);
                }
                if failures.fatal.is_some() {
                    count.poisoned += 1;
                    judge_poisoned(&runner, points, injection)?;
                    return aftermath::of_poison(base, runner, device, Aftermath { failures, injection }, count);
                }
                count.harmless += 1;
                device.fail(None);
                again(&mut runner, &act, points, is_refused)?;
            }
        }
    }
    if !has_struck {
        return Err("the error was not met: the run is not the same each time".to_owned());
    }
    device.fail(None);
    runner.judge()?;
    aftermath::of_life(base, runner, injection, count)
}

fn said(result: &Result<(), Stop>) -> String {
    match result {
        Ok(()) => String::new(),
        Err(Stop::Error(error)) => format!("\n        says {:?}: {error}", error.kind()),
        Err(Stop::Difference(_)) => "  <- here".to_owned(),
    }
}

/// An operation returned as if nothing had been. May it?
fn acknowledged(act: &Act, is_hit: bool, failures: Failures) -> Outcome {
    match failures {
        Failures { fatal: Some(asked), .. } => Err(format!("D6: it was acknowledged after a failed {asked:?}")),
        Failures { first: Some(Asked::Read), .. } if is_hit && !act.reports() => {
            Err("it was done without what it had to read".to_owned())
        }
        _ => Ok(()),
    }
}

/// Does the error say what happened?
fn is_told_right(error: &Error, failures: Failures, injection: Injection) -> Outcome {
    let kind = match failures {
        Failures { fatal: Some(_), .. } | Failures { last: Some(Asked::Read), .. } => ErrorKind::Io,
        // Whoever asks for space can be told that there is none.
        _ if injection.error == io::ErrorKind::StorageFull => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    };
    let advises = error.to_string().contains(ADVICE);
    if error.kind() != kind || advises != failures.fatal.is_some() {
        return Err(format!("{failures:?} is told as {:?}: {error}", error.kind()));
    }
    if failures.after_fatal > 0 {
        return Err(format!("D6: {} writes and syncs after a failed one", failures.after_fatal));
    }
    Ok(())
}

/// Nothing failed but what was asked for first, so nothing has changed, and the same call does what it was to do.
fn again(runner: &mut Runner, act: &Act, points: usize, is_refused: bool) -> Outcome {
    runner.points.truncate(points);
    if !act.goes_in_steps() {
        judge(runner.store(), &runner.state().model, Reading::Thorough)
            .map_err(|difference| format!("an operation that failed changed something: {difference}"))?;
    }
    match act.perform(runner) {
        Ok(()) if !is_refused => Ok(()),
        Err(Stop::Error(error)) if is_refused && error.kind() == ErrorKind::NoSpace => {
            runner.points.truncate(points);
            Ok(())
        }
        result => Err(format!("when it is called again: {result:?}")),
    }
}
