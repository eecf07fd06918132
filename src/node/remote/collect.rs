//! How does what no remote snapshot needs leave a location?
//!
//! In two phases: packs that nothing needs are *doomed*; after a grace period those that still nothing needs are deleted. In between,
//! uploads do not rely on them any more, and uploads that might have done so before end. docs/repository.md says why that is safe.
//!
//! 1. A pack is taken out of the index before it is deleted, and its list of doomed packs goes last: each step can be done again.
//! 2. What is alive when a collection cannot know everything stays: a manifest that cannot be read ends it before it deletes anything.

use super::doomed::{self, Doomed};
use super::halves;
use super::lease::{self, Lease};
use super::mark::{Mark, Pack, time_here};
use super::needed::is_lost;
use super::repack::Repack;
use super::repository::index::{self, PackList};
use super::repository::{Repository, pack};
use super::session;
use crate::node::failure::{Failure, FailureKind};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

/// Packs that an index object names at most, when index objects are put together.
pub const PACKS_PER_INDEX: usize = 64;

/// How garbage is collected.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long packs are doomed before they are deleted: readers with an old index still find them. A day.
    pub grace: Duration,
    /// Packs of which less than so many hundredths are needed are packed again. 40: it frees more than it copies.
    pub repack_below_percent: u64,
    /// Somebody's promise that no other node collects at this location: needed where the store does not enforce conditions.
    pub alone: bool,
    /// Who collects, for those who find the lease taken.
    pub holder: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { grace: Duration::from_secs(24 * 60 * 60), repack_below_percent: 40, alone: false, holder: "a node".into() }
    }
}

/// What becomes of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing needs it: it is doomed now.
    Unreferenced,
    /// Little of it is needed, which was packed again: it is doomed now.
    MostlyDead,
    /// It is mostly dead, but cannot be packed again.
    Damaged(String),
    /// It is doomed, and its grace period lasts for so many seconds more.
    Waiting(i64),
    /// It is doomed, and this session may rely on it.
    Postponed(Uuid),
    /// It was doomed, and is needed again.
    Spared,
    /// Its time is over: it is deleted now.
    Deleted,
}

/// A pack that does not simply stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackFate {
    /// The pack.
    pub pack: Uuid,
    /// Its size.
    pub stored_bytes: u64,
    /// How much of it is needed.
    pub live_bytes: u64,
    /// What becomes of it.
    pub fate: Fate,
}

/// What a collection came to, or would come to.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// Packs that are there.
    pub packs: u64,
    /// Those that do not simply stay.
    pub fates: Vec<PackFate>,
    /// Bytes of packs that are deleted.
    pub freed_bytes: u64,
    /// Bytes of packs that are doomed now.
    pub doomed_bytes: u64,
    /// Bytes that were packed again.
    pub repacked_bytes: u64,
    /// Sessions that are dead, or left of a process of this store that was killed, and are removed.
    pub dead_sessions: Vec<Uuid>,
}

/// What is done of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub step: Step,
    /// How much of that is done.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
}

/// The steps of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Finds out what is needed.
    Mark,
    /// Deletes packs.
    Delete,
    /// Packs again.
    Repack,
}

/// Collects; a dry run puts and deletes nothing.
///
/// # Errors
/// `Locked` if another node collects; `InvalidArgument` if the store ignores conditions and nobody promised to be alone; `Corrupt` and
/// `NotFound` if something is not to be had without which nobody knows what is needed; `Io`, `Denied`.
pub fn collect(
    repository: &Repository,
    options: &Options,
    dry_run: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Collected, Failure> {
    if dry_run {
        // To ask the store for the time is to put something.
        let mark = marked(repository, time_here(), progress)?;
        return Ok(Plan::of(&mark, options).collected);
    }
    let bucket = repository.bucket();
    let mut lease = Lease::take(bucket, &options.holder, options.alone)?;
    let collected = collect_with(repository, options, &mut lease, progress);
    match lease.release() {
        Err(failure) if collected.is_ok() && failure.kind() != FailureKind::Locked => Err(failure),
        _ => collected,
    }
}

fn marked(repository: &Repository, now: i64, progress: &mut dyn FnMut(Progress)) -> Result<Mark, Failure> {
    progress(Progress { step: Step::Mark, done: 0, total: 1 });
    let mark = Mark::of(repository, now)?;
    progress(Progress { step: Step::Mark, done: 1, total: 1 });
    Ok(mark)
}

fn collect_with(
    repository: &Repository,
    options: &Options,
    lease: &mut Lease,
    progress: &mut dyn FnMut(Progress),
) -> Result<Collected, Failure> {
    let bucket = repository.bucket();
    let left = session::end_own(bucket)?;
    let mark = marked(repository, lease::time(bucket)?, progress)?;
    let Plan { mut collected, deleted, over, garbage, mostly_dead } = Plan::of(&mark, options);
    delete(repository, &mark, lease, &deleted, progress)?;
    for list in over {
        bucket.delete(list)?;
    }
    let mut doomed = garbage;
    if !mostly_dead.is_empty() {
        let (mut repack, total) = (Repack::new(repository), mostly_dead.len() as u64);
        for (done, pack) in (0..).zip(mostly_dead) {
            go_on(repository, lease)?;
            progress(Progress { step: Step::Repack, done, total });
            match repack.add(&mark, pack) {
                Ok(()) => doomed.push(pack),
                Err(failure) if is_lost(&failure) => {
                    collected.change(pack, Fate::Damaged(failure.to_string()));
                    collected.doomed_bytes -= mark.packs[&pack].bytes;
                }
                Err(failure) => return Err(failure),
            }
        }
        collected.repacked_bytes = repack.finish(lease)?;
    }
    if !doomed.is_empty() {
        lease.hold()?;
        doomed::put(bucket, mark.now, doomed)?;
    }
    mark.dead.iter().try_for_each(|dead| session::remove(bucket, dead.uuid))?;
    collected.dead_sessions.extend(left);
    lease::remove_probes(bucket, mark.now)?;
    if let Some(directory) = bucket.directory() {
        halves::remove(directory, mark.now)?;
    }
    Ok(collected)
}

/// Does anything stand against the next step?
fn go_on(repository: &Repository, lease: &mut Lease) -> Result<(), Failure> {
    if repository.bucket().is_stopped() {
        return Err(Failure::new(FailureKind::Io, "the collection was stopped; the next one goes on"));
    }
    lease.hold()
}

/// What is to be done.
struct Plan<'a> {
    collected: Collected,
    deleted: BTreeSet<Uuid>,
    /// Lists of doomed packs that nothing is left of.
    over: Vec<&'a String>,
    garbage: Vec<Uuid>,
    mostly_dead: Vec<Uuid>,
}

impl<'a> Plan<'a> {
    fn of(mark: &'a Mark, options: &Options) -> Self {
        let collected = Collected {
            packs: mark.packs.len() as u64,
            dead_sessions: mark.dead.iter().map(|session| session.uuid).collect(),
            ..Collected::default()
        };
        let mut plan =
            Self { collected, deleted: BTreeSet::new(), over: Vec::new(), garbage: Vec::new(), mostly_dead: Vec::new() };
        // One that another list still holds back is not over with this one.
        let lists = mark.doomed.iter().map(|list| (list, held_back(mark, options, list)));
        let (due, held): (Vec<_>, Vec<_>) = lists.partition(|(_, held)| held.is_none());
        let mut kept = BTreeSet::new();
        for (list, fate) in held {
            for pack in &list.packs {
                if kept.insert(*pack) {
                    plan.is(mark, *pack, fate.clone().expect("it is held back"));
                }
            }
        }
        for (list, _) in due {
            for pack in list.packs.iter().filter(|pack| !kept.contains(pack)) {
                match mark.packs.get(pack) {
                    Some(Pack { live_bytes: 0, .. }) => {
                        plan.deleted.insert(*pack);
                        plan.is(mark, *pack, Fate::Deleted);
                    }
                    Some(_) => plan.is(mark, *pack, Fate::Spared),
                    // It was deleted before a crash.
                    None => {
                        plan.deleted.insert(*pack);
                    }
                }
            }
            plan.over.push(&list.name);
        }
        let doomed = mark.doomed_packs();
        for (uuid, pack) in mark.packs.iter().filter(|(uuid, _)| !doomed.contains(uuid)) {
            if mark.is_settled(pack) && pack.live_bytes == 0 {
                plan.garbage.push(*uuid);
                plan.is(mark, *uuid, Fate::Unreferenced);
            } else if mark.is_settled(pack) && pack.live_bytes * 100 < pack.chunk_bytes * options.repack_below_percent {
                plan.mostly_dead.push(*uuid);
                plan.is(mark, *uuid, Fate::MostlyDead);
            }
        }
        plan
    }

    fn is(&mut self, mark: &Mark, pack: Uuid, fate: Fate) {
        let Some(Pack { bytes, live_bytes, .. }) = mark.packs.get(&pack).copied() else { return };
        match fate {
            Fate::Deleted => self.collected.freed_bytes += bytes,
            Fate::Unreferenced | Fate::MostlyDead => self.collected.doomed_bytes += bytes,
            _ => {}
        }
        self.collected.fates.push(PackFate { pack, stored_bytes: bytes, live_bytes, fate });
    }
}

impl Collected {
    fn change(&mut self, pack: Uuid, to: Fate) {
        if let Some(fate) = self.fates.iter_mut().find(|fate| fate.pack == pack) {
            fate.fate = to;
        }
    }
}

/// Why packs of a list cannot be deleted yet.
fn held_back(mark: &Mark, options: &Options, list: &Doomed) -> Option<Fate> {
    let left = list.modified + options.grace.as_secs() as i64 - mark.now;
    if left > 0 {
        return Some(Fate::Waiting(left));
    }
    mark.session_before(list.modified).map(Fate::Postponed)
}

/// Takes packs out of the index, and deletes them.
fn delete(
    repository: &Repository,
    mark: &Mark,
    lease: &mut Lease,
    deleted: &BTreeSet<Uuid>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Failure> {
    if deleted.is_empty() {
        return Ok(());
    }
    take_out(repository, mark, lease, deleted)?;
    let total = deleted.len() as u64;
    for (done, pack) in (0..).zip(deleted) {
        go_on(repository, lease)?;
        progress(Progress { step: Step::Delete, done, total });
        repository.bucket().delete(&pack::name(*pack))?;
    }
    Ok(())
}

/// Puts index objects without these packs in the place of those that name them.
fn take_out(repository: &Repository, mark: &Mark, lease: &mut Lease, deleted: &BTreeSet<Uuid>) -> Result<(), Failure> {
    let (old, others): (Vec<_>, Vec<_>) =
        mark.index.iter().partition(|(_, packs)| packs.iter().any(|pack| deleted.contains(pack)));
    let elsewhere: BTreeSet<&Uuid> = others.into_iter().flat_map(|(_, packs)| packs).collect();
    let mut kept: BTreeMap<Uuid, PackList> = BTreeMap::new();
    let mut put = BTreeSet::new();
    for (name, _) in &old {
        for list in index::read(repository.codec(), name, &repository.bucket().get(name)?)? {
            let stays = !deleted.contains(&list.pack) && !elsewhere.contains(&list.pack);
            if stays && put.insert(list.pack) {
                kept.insert(list.pack, list);
            }
        }
        if kept.len() >= PACKS_PER_INDEX {
            put_lists(repository, lease, &mut kept)?;
        }
    }
    put_lists(repository, lease, &mut kept)?;
    lease.hold()?;
    old.iter().try_for_each(|(name, _)| repository.bucket().delete(name))
}

fn put_lists(repository: &Repository, lease: &mut Lease, kept: &mut BTreeMap<Uuid, PackList>) -> Result<(), Failure> {
    if kept.is_empty() {
        return Ok(());
    }
    lease.hold()?;
    let lists: Vec<PackList> = std::mem::take(kept).into_values().collect();
    repository.put_index(&lists).map(drop)
}
