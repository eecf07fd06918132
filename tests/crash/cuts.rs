//! Where is the power cut, and what is looked at then?
//!
//! A run is recorded once. Then the power is cut before, between and after all of its events, with several losses each: the disk of that
//! moment is opened and judged. Some of the recovered stores work on, recorded again, and lose power again, and so on.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use floe::sim::{Disk, Event, Loss};

use crate::caught::caught;
use crate::dice::Dice;
use crate::epilogue::work_until_empty;
use crate::judge::Outcome;
use crate::operation::State;
use crate::runner::{Past, Run, Runner, Settings};
use crate::story::tell;
use crate::verdict::{Kinds, recover, rot_in_a_frozen_block_is_found, scrub_raises_no_alarm};
use crate::workload::{Shape, Workload};

/// Losses that only a seed tells are tried so often at each event.
const SEEDS_PER_LOSS: u64 = 2;
/// One of so many recovered stores works on, at each depth; the last depth has none.
const WORKS_ON: [u64; 2] = [60, 30];
/// How many steps it does then.
const STEPS: [u64; 3] = [14, 10, 5];
/// At a depth, one of so many cuts is looked at: there are many ways there.
const LOOKED_AT: [u64; 3] = [1, 2, 4];
/// One of so many recovered stores is worked with until it is empty.
const EPILOGUES: u64 = 5;
/// A copy of one of so many recovered stores is scrubbed.
const SCRUBS: u64 = 5;
/// In a copy of one of so many, something that was frozen before the first cut rots.
const ROTS: u64 = 40;
const WARM_UP_STEPS_MAX: u64 = 150;

/// A power cut: after so many events, with what loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub position: usize,
    pub loss: Loss,
    pub seed: u64,
}

/// Power cuts one after the other: the later ones hit the store that the earlier ones left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts(pub Vec<Cut>);

/// How many cuts were looked at, and what they met.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// By how many went before.
    pub cuts: [u64; 3],
    pub events: u64,
    /// Those that a seed tells, and those of recovered stores.
    pub first_runs: u64,
    pub later_runs: u64,
    /// By what was in flight, and by what was found.
    pub kinds: BTreeMap<&'static str, u64>,
}

impl Count {
    pub fn all(&self) -> u64 {
        self.cuts.iter().sum()
    }

    pub fn add(&mut self, other: &Self) {
        self.cuts.iter_mut().zip(other.cuts).for_each(|(sum, cuts)| *sum += cuts);
        self.events += other.events;
        self.first_runs += other.first_runs;
        self.later_runs += other.later_runs;
        other.kinds.iter().for_each(|(kind, cuts)| *self.kinds.entry(kind).or_default() += cuts);
    }

    fn meets(&mut self, run: &Run, position: usize, found: Kinds) {
        let last = &run.points[run.allowed(position).end - 1];
        let is_in_flight = last.acknowledged.is_none_or(|events| events > position);
        let kinds = [
            (last.kind, is_in_flight),
            ("found later", found.is_later),
            ("found in the middle", found.is_partly),
            ("found overwritten", found.is_overwritten),
            ("found torn", found.is_torn),
            ("rotted", found.is_rotten),
        ];
        for (kind, _) in kinds.into_iter().filter(|(_, is_met)| *is_met) {
            *self.kinds.entry(kind).or_default() += 1;
        }
    }
}

/// What differs, after which cuts.
pub struct Failure {
    pub cuts: Cuts,
    pub difference: String,
}

/// Looks at all cuts of the run that the seed tells.
pub fn explore(seed: u64, count: &mut Count) -> Result<(), Failure> {
    count.first_runs += 1;
    let run = first_run(seed).map_err(|difference| Failure { cuts: Cuts::default(), difference })?;
    explore_run(seed, &run, &Cuts::default(), count)
}

fn explore_run(seed: u64, run: &Run, before: &Cuts, count: &mut Count) -> Result<(), Failure> {
    let depth = before.0.len();
    count.later_runs += u64::from(depth > 0);
    count.events += run.events.len() as u64;
    let mut disk = run.base.clone();
    // What was looked at since the last sync: an equal disk of which no more is asked is not looked at twice.
    let mut seen: Vec<(Disk, usize)> = Vec::new();
    for position in 0..=run.events.len() {
        if let Some(event) = position.checked_sub(1).map(|index| &run.events[index]) {
            disk.apply(event);
            if matches!(event, Event::Sync { .. }) {
                seen.clear();
            }
        }
        for (loss, loss_seed) in losses(position) {
            let after = disk.clone().after_power_cut(loss, loss_seed);
            let asked = run.allowed(position).start;
            if seen.iter().any(|(other, before)| *before == asked && other.holds_the_same(&after)) {
                continue;
            }
            let cuts = before.and(Cut { position, loss, seed: loss_seed });
            let mut dice = cuts.dice(seed, "which cuts");
            if !dice.once_in(LOOKED_AT[depth]) {
                continue;
            }
            seen.push((after.clone(), asked));
            count.cuts[depth] += 1;
            let fail = |difference| Failure { cuts: cuts.clone(), difference };
            let (state, kinds) = look(seed, run, &cuts, after.clone()).map_err(fail)?;
            count.meets(run, position, kinds);
            if depth < WORKS_ON.len() && dice.once_in(WORKS_ON[depth]) {
                let next = next_run(seed, run.settings, &cuts, after, state).map_err(fail)?;
                explore_run(seed, &next, &cuts, count)?;
            }
        }
    }
    Ok(())
}

/// Goes the way to one cut again and tells it, and what is done with the store that the cut leaves. An error is what is wrong.
pub fn replay(seed: u64, cuts: &Cuts) -> Result<String, String> {
    let mut run = first_run(seed)?;
    let mut story = Vec::new();
    for (depth, cut) in cuts.0.iter().enumerate() {
        let Cut { position, loss, seed: loss_seed } = *cut;
        let mut disk = run.base.clone();
        run.events[..position].iter().for_each(|event| disk.apply(event));
        let after = disk.after_power_cut(loss, loss_seed);
        let events = run.events.len();
        story.push(format!("{:?}\n{}", run.settings, tell(&run.points, position)));
        story.push(format!("the power fails after {position} of {events} events: {loss:?} {loss_seed}"));
        let told = |difference: String| format!("{}\n{difference}", story.join("\n"));
        let path = Cuts(cuts.0[..=depth].to_vec());
        let (state, _) = look(seed, &run, &path, after.clone()).map_err(told)?;
        if depth < WORKS_ON.len() {
            run = next_run(seed, run.settings, &path, after, state).map_err(told)?;
        }
    }
    Ok(story.join("\n"))
}

/// Opens what the last of the cuts left, says what it holds, and sometimes works with it until it is empty.
fn look(seed: u64, run: &Run, cuts: &Cuts, disk: Disk) -> Outcome<(State, Kinds)> {
    let cut = cuts.0.last().expect("there is a cut");
    let past = Past { points: &run.points[run.allowed(cut.position)], is_torn: cut.loss.tears_blocks() };
    caught(|| {
        let recovered = recover(disk, &run.settings, past)?;
        let mut found = (recovered.state.clone(), recovered.kinds);
        if cuts.dice(seed, "scrub").once_in(SCRUBS) {
            scrub_raises_no_alarm(recovered.device.disk(), &run.settings)?;
        }
        let mut dice = cuts.dice(seed, "rot");
        if cuts.0.len() == 1 && dice.once_in(ROTS) {
            found.1.is_rotten = rot_in_a_frozen_block_is_found(recovered.device.disk(), &run.settings, &mut dice)?;
        }
        let mut dice = cuts.dice(seed, "epilogue");
        if dice.once_in(EPILOGUES) {
            work_until_empty(recovered, run.settings, &mut dice)?
        }
        Ok(found)
    })
}

fn first_run(seed: u64) -> Outcome<Run> {
    let mut dice = Dice::new(seed);
    let shape = Shape::of(seed);
    let mut runner = Runner::create(shape.settings(&mut dice))?;
    let warm_up = dice.within(0..WARM_UP_STEPS_MAX);
    let mut workload = Workload::new(shape, dice);
    for step in workload.first_steps(&runner.state().model) {
        runner.step(&step)?;
    }
    go_on(&mut runner, &mut workload, warm_up)?;
    runner.record()?;
    go_on(&mut runner, &mut workload, STEPS[0])?;
    Ok(runner.finish())
}

fn next_run(seed: u64, settings: Settings, cuts: &Cuts, disk: Disk, state: State) -> Outcome<Run> {
    let mut runner = Runner::open(settings, disk, state)?;
    let mut workload = Workload::new(Shape::of(seed), cuts.dice(seed, "workload"));
    go_on(&mut runner, &mut workload, STEPS[cuts.0.len()])?;
    Ok(runner.finish())
}

/// Does some steps and compares the running store with its model; an error tells them.
fn go_on(runner: &mut Runner, workload: &mut Workload, steps: u64) -> Outcome {
    let done = caught(|| {
        for _ in 0..steps {
            let step = workload.next(runner);
            runner.step_if_it_fits(&step)?;
        }
        runner.judge()
    });
    done.map_err(|difference| format!("{:?}\n{}\n{difference}", runner.settings, tell(&runner.points, usize::MAX)))
}

/// The losses tried at a position. Where the dice fall, another seed is used at each of them.
fn losses(position: usize) -> impl Iterator<Item = (Loss, u64)> {
    Loss::ALL.into_iter().flat_map(move |loss| {
        let is_random = matches!(loss, Loss::Writes | Loss::Blocks | Loss::Sectors | Loss::Lines);
        let seeds = if is_random { SEEDS_PER_LOSS } else { 1 };
        (0..seeds).map(move |index| (loss, if is_random { position as u64 * SEEDS_PER_LOSS + index } else { 0 }))
    })
}

impl Cuts {
    fn and(&self, cut: Cut) -> Self {
        Self(self.0.iter().copied().chain([cut]).collect())
    }

    /// Dice that fall the same way whenever these cuts are made.
    fn dice(&self, seed: u64, purpose: &str) -> Dice {
        let text = format!("{seed} {self} {purpose}");
        Dice::new(text.bytes().fold(seed, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }
}

impl Display for Cuts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, cut) in self.0.iter().enumerate() {
            let separator = if index > 0 { "/" } else { "" };
            write!(f, "{separator}{}:{:?}:{}", cut.position, cut.loss, cut.seed)?;
        }
        Ok(())
    }
}

impl FromStr for Cuts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let cut = |text: &str| {
            let mut parts = text.split(':');
            let position = parts.next()?.parse().ok()?;
            let loss = parts.next().and_then(|name| Loss::ALL.into_iter().find(|loss| format!("{loss:?}") == name))?;
            Some(Cut { position, loss, seed: parts.next()?.parse().ok()? })
        };
        let cuts = text.split('/').map(|text| cut(text).ok_or_else(|| format!("{text} is no cut: events:Loss:seed")));
        cuts.collect::<Result<_, _>>().map(Self)
    }
}
