//! What does the disk hold after something failed?
//!
//! The failure is over, the power fails too, or does not, and the store is opened again: it is at one of the moments that D2 to D5
//! allow, and goes on working.

use std::sync::Arc;

use floe::ErrorKind;
use floe::sim::{Asked, Disk, Event, Failures, Loss, SimDevice};

use crate::dice::Dice;
use crate::epilogue::work_until_empty;
use crate::injection::Injection;
use crate::judge::{Outcome, same};
use crate::model::{DriveModel, Model};
use crate::opening;
use crate::poisoned::is_closed;
use crate::runner::{Past, Run, Runner, Stop};
use crate::script::Base;
use crate::strike::Count;
use crate::verdict::{check, recover};

/// One of so many recovered stores is worked with until it is empty.
const EPILOGUES: u64 = 12;
/// In one of so many, every operation of the opening fails.
const OPENINGS: u64 = 40;
/// Behind the two superblocks, in bytes.
const SUPERBLOCKS_END: u64 = 8192;
/// Acts after an opening without a power cut.
const ACTS_OF_SECOND_LIFE: usize = 4;

#[derive(Clone, Copy)]
pub struct Aftermath {
    pub failures: Failures,
    pub injection: Injection,
}

/// The store is poisoned, and perhaps closed.
pub fn of_poison(base: &Base, runner: Runner, device: Arc<SimDevice>, aftermath: Aftermath, count: &mut Count) -> Outcome {
    let (disk, operations) = (device.disk(), device.operations());
    let run = runner.finish();
    same("D6: what the end of a poisoned store asks of the device", &device.operations(), &operations)?;
    same("handles of the device", &Arc::strong_count(&device), &1)?;
    drop(device);
    of_run(base, &run, disk.clone(), aftermath, count)?;
    of_system(base, &run, disk, aftermath, count).map_err(|difference| format!("without a power cut: {difference}"))
}

/// Closing or opening failed, the last act but for looking.
pub fn of_reopening(base: &Base, runner: Runner, device: Arc<SimDevice>, aftermath: Aftermath, count: &mut Count) -> Outcome {
    let is_closed_well = runner.points.last().is_some_and(|point| point.acknowledged.is_some());
    if aftermath.failures.fatal.is_some() {
        count.poisoned += 1
    } else {
        count.harmless += 1
    };
    if !is_closed_well {
        is_closed(runner.store())?;
    }
    device.fail(None);
    let (disk, operations) = (device.disk(), device.operations());
    let run = runner.finish();
    same("what the end of a closed store asks of the device", &device.operations(), &operations)?;
    same("handles of the device", &Arc::strong_count(&device), &1)?;
    drop(device);
    of_run(base, &run, disk.clone(), aftermath, count)?;
    of_system(base, &run, disk, aftermath, count).map_err(|difference| format!("without a power cut: {difference}"))
}

/// The store got over it, was closed, opened and read.
pub fn of_life(base: &Base, runner: Runner, injection: Injection, count: &mut Count) -> Outcome {
    if !injection.number().is_multiple_of(8) {
        return Ok(());
    }
    let disk = runner.device.disk();
    let run = runner.finish();
    of_run(base, &run, disk, Aftermath { failures: Failures::default(), injection }, count)
}

fn of_run(base: &Base, run: &Run, disk: Disk, aftermath: Aftermath, count: &mut Count) -> Outcome {
    let mut seen: Vec<Disk> = Vec::new();
    for (loss, seed) in losses(aftermath.injection) {
        let after = disk.clone().after_power_cut(loss, seed);
        if seen.iter().any(|other| other.holds_the_same(&after)) {
            continue;
        }
        let past = past(run, loss.tears_blocks() || aftermath.failures.fatal == Some(Asked::Write));
        let told = |difference: String| format!("after a power cut, {loss:?} {seed}: {difference}");
        let recovered = recover(after.clone(), &base.settings, past).map_err(told)?;
        count.reopened += 1;
        let mut dice = Dice::new(aftermath.injection.number() << 8 | seen.len() as u64);
        opening::explore(&after, &base.settings, &recovered.state, dice.once_in(OPENINGS), count).map_err(told)?;
        if dice.once_in(EPILOGUES) {
            work_until_empty(recovered, base.settings, &mut dice).map_err(told)?;
        }
        seen.push(after);
    }
    Ok(())
}

/// Two losses where nothing is left to chance, and one that a seed tells.
fn losses(injection: Injection) -> [(Loss, u64); 3] {
    let number = injection.number();
    let random = [Loss::Writes, Loss::Blocks, Loss::Sectors, Loss::AllButLast, Loss::Last];
    [(Loss::Everything, 0), (Loss::Nothing, 0), (random[(number % 5) as usize], number)]
}

fn past(run: &Run, is_torn: bool) -> Past<'_> {
    Past { points: &run.points[run.allowed(run.events.len())], is_torn }
}

/// The system goes on, and its page cache still shows what a failed sync has lost. The power fails only later.
fn of_system(base: &Base, run: &Run, disk: Disk, aftermath: Aftermath, count: &mut Count) -> Outcome {
    let mut shown = run.base.clone();
    run.events.iter().filter(|event| !matches!(event, Event::FailedSync { .. })).for_each(|event| shown.apply(event));
    let shown = shown.after_power_cut(Loss::Nothing, 0);
    let allowed = past(run, true);
    let state = recover(shown, &base.settings, allowed)?.state;
    let lost = recover(disk.clone().after_power_cut(Loss::Nothing, 0), &base.settings, allowed)?.state;
    let mut runner = Runner::open(base.settings, disk, state)?;
    runner.judge()?;
    check(runner.store(), &runner.state().model)?;
    // What was overwritten in place and then lost would be acknowledged by nobody, and yet be seen until the power fails.
    if aftermath.failures.fatal != Some(Asked::Sync) || !is_the_same_in_place(&lost.model, &runner.state().model) {
        return Ok(());
    }
    let mut script = base.script(1 + aftermath.injection.number());
    for _ in 0..ACTS_OF_SECOND_LIFE {
        let Some(act) = script.next(&runner) else { break };
        let points = runner.points.len();
        match act.perform(&mut runner) {
            Err(Stop::Error(error)) if error.kind() == ErrorKind::NoSpace => runner.points.truncate(points),
            result => result?,
        }
    }
    let second = runner.finish();
    // An opening makes certain what the superblock needs, and then the superblock.
    let writes_superblock = |event: &Event| matches!(event, Event::Write { offset, .. } if *offset < SUPERBLOCKS_END);
    let superblock = second.events.iter().position(writes_superblock).unwrap_or_default();
    let is_sync = |event: &Event| matches!(event, Event::Sync { .. });
    let certain = superblock + second.events[superblock..].iter().position(is_sync).unwrap_or_default();
    let mut disk = second.base.clone();
    for position in 0..=second.events.len() {
        position.checked_sub(1).inspect(|index| disk.apply(&second.events[*index]));
        let number = aftermath.injection.number() + position as u64;
        let loss = Loss::ALL[(number % Loss::ALL.len() as u64) as usize];
        let after = disk.clone().after_power_cut(loss, number);
        let past = Past { points: &second.points[second.allowed(position)], is_torn: true };
        let mut found = recover(after.clone(), &base.settings, past);
        if found.is_err() && position <= certain {
            // What the first life left may be lost until the second one has made it certain.
            found = recover(after, &base.settings, allowed);
        }
        found.map_err(|difference| format!("then after a power cut at event {position}, {loss:?} {number}: {difference}"))?;
        count.later_cuts += 1;
    }
    Ok(())
}

/// Does each drive hold the same at each address where both have a block?
fn is_the_same_in_place(one: &Model, other: &Model) -> bool {
    let is_same = |drive: &DriveModel| {
        let Some(found) = other.drive_at(drive.uuid) else { return true };
        let both = drive.image.blocks.iter().filter_map(|(address, held)| Some((held, found.image.blocks.get(address)?)));
        both.into_iter().all(|(held, found)| held.bytes == found.bytes)
    };
    one.drives.iter().all(is_same)
}
