//! When is a change durable?

use crate::canary::{self, Canary};
use crate::commit::{Batch, make_certain, write_batch, write_superblock};
use crate::device::look_at_pages_once;
use crate::error::{DeviceContext, Result};
use crate::format::commit_record::DataRun;
use crate::format::record::ObjectId;
use crate::format::superblock::{FEATURE_NOTES, Superblock};
use crate::space::How;
use crate::sync::{Ordering, RwLockWriteGuard};
use crate::units::PhysicalBlock;

use super::readers::Waiting;
use super::{DriveLocks, Engine};

/// What whoever commits needs; holding its lock makes one a committer.
pub struct Committer {
    /// All changes up to this count are durable.
    pub durable: u64,
    /// The superblock that counts.
    pub superblock: Superblock,
    /// Freed blocks that wait for readers.
    pub waiting: Option<Waiting>,
}

impl Engine {
    /// A change was completed; what it is to a later `make_durable`.
    pub fn completed(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Makes durable whatever was completed before the call.
    ///
    /// # Errors
    /// `NoSpace` if there is no space for the commit: nothing is lost, and it can be tried again. `Poisoned`; `Io`, which mostly leaves
    /// the store poisoned, and says so then.
    pub fn flush(&self) -> Result<()> {
        self.make_durable(self.changes.load(Ordering::SeqCst))
    }

    /// Makes the first `change` changes durable. Whoever waits while somebody else commits may find the work done.
    ///
    /// # Errors
    /// As [`Engine::flush`].
    pub fn make_durable(&self, change: u64) -> Result<()> {
        let mut committer = self.committer.lock();
        self.check_poison()?;
        if committer.durable >= change {
            return Ok(());
        }
        let covered = self.changes.load(Ordering::SeqCst);
        let must_commit = self.catalog.read().is_changed() || self.holds_too_much();
        if must_commit {
            self.commit(&mut committer, false)?;
        } else if !canary::makes(Canary::FlushWithoutSync) {
            // Only blocks were overwritten where they lie: their bytes are all there is to make durable.
            let sync = self.overwrites.sync_begins();
            self.device.sync().device_context(|| "sync the store").map_err(|error| self.poison(error))?;
            self.overwrites.sync_is_done(sync);
        }
        committer.durable = covered;
        Ok(())
    }

    /// Commits whatever is in memory, so that freed space may be used again.
    ///
    /// # Errors
    /// As [`Engine::flush`].
    pub fn commit_now(&self) -> Result<()> {
        let mut committer = self.committer.lock();
        self.check_poison()?;
        self.commit(&mut committer, false)
    }

    /// Commits if more pages are on the heap than should be.
    ///
    /// # Errors
    /// As [`Engine::flush`].
    pub fn bound_heap(&self) -> Result<()> {
        if !self.holds_too_much() {
            return Ok(());
        }
        let mut committer = self.committer.lock();
        self.check_poison()?;
        // Whoever was at it before may have written the pages.
        if !self.holds_too_much() {
            return Ok(());
        }
        match self.commit(&mut committer, false) {
            // What was asked for is done. That there is no space for a commit is for the next flush to say.
            Err(error) if error.changed_nothing() => Ok(()),
            result => result,
        }
    }

    fn holds_too_much(&self) -> bool {
        self.catalog_pages.load(Ordering::Relaxed) + self.space.changed_pages() > self.changed_pages_max
    }

    /// Says on the device that the store is in use, before the first block is overwritten.
    ///
    /// # Errors
    /// As [`Engine::flush`].
    pub fn mark_in_use(&self) -> Result<()> {
        if !self.marked_clean.load(Ordering::Acquire) || canary::makes(Canary::InUseForgotten) {
            return Ok(());
        }
        let mut committer = self.committer.lock();
        self.check_poison()?;
        if self.marked_clean.load(Ordering::Acquire) { self.commit(&mut committer, false) } else { Ok(()) }
    }

    /// Looks at the last commit, and at nothing newer, while nobody can commit. Changes are committed first.
    ///
    /// # Errors
    /// As [`Engine::flush`].
    pub fn with_last_commit<T>(&self, look: impl FnOnce(&Superblock) -> T) -> Result<T> {
        let mut committer = self.committer.lock();
        if self.check_poison().is_ok() && self.catalog.read().is_changed() {
            self.commit(&mut committer, false)?;
        }
        Ok(look(&committer.superblock))
    }

    fn commit(&self, committer: &mut Committer, clean: bool) -> Result<()> {
        let done = self.try_commit(committer, clean);
        done.map_err(|error| if error.changed_nothing() { error } else { self.poison(error) })
    }

    fn try_commit(&self, committer: &mut Committer, clean: bool) -> Result<()> {
        let mut pages = Vec::new();
        let generation = committer.superblock.generation.next();
        let holds_too_much = self.holds_too_much();
        let (superblock, data) = {
            let mut catalog = self.catalog.write();
            catalog.require_commit()?;
            // What is overwritten where it lies is never listed: nobody but a snapshot, or a store that says it is clean, relies on it.
            let sync_first = self.sync_first.swap(false, Ordering::AcqRel) || clean || generation.0 == 1;
            let how = match (clean || holds_too_much, sync_first) {
                (true, _) => How::PagesWritten,
                (false, true) => How::ListedAlone,
                (false, false) => How::Listed,
            };
            let seal = || Ok((catalog.seal(&mut pages)?, self.space.seal(&mut pages, how)?));
            let sealed = look_at_pages_once(&*self.device, seal);
            let (records, space) = sealed.inspect_err(|_| self.sync_first.store(sync_first, Ordering::Release))?;
            assert_eq!(space.working, generation.next(), "catalog and space count the same commits");
            let listed = self.space.seal_data();
            let data = listed.filter(|_| !sync_first).map(|runs| runs.into_iter().map(data_run).collect());
            let superblock = Superblock {
                generation,
                clean,
                features_required: if records.has_notes { FEATURE_NOTES } else { 0 },
                epoch: records.epoch,
                next_id: records.next_id,
                catalog: records.records,
                groups: space.groups,
                space_changes: space.changes,
                store_blocks: space.store_blocks,
                data_blocks: space.data_blocks,
                tree_pages: space.tree_pages,
                tree_places: space.tree_places,
                scrub_next: self.scrub_to_go_on_at(),
                commit_record: None,
                ..committer.superblock.clone()
            };
            (superblock, data)
        };
        let sync = self.overwrites.sync_begins();
        let superblock = write_batch(&*self.device, Batch { pages, superblock, data })?;
        self.overwrites.sync_is_done(sync);
        let lists_data = superblock.commit_record.is_some();
        committer.superblock = superblock;
        self.marked_clean.store(clean, Ordering::Release);
        self.generation.store(generation.0, Ordering::Release);
        {
            let mut catalog = self.catalog.write();
            catalog.committed(generation);
            self.catalog_pages.store(catalog.changed_pages(), Ordering::Relaxed);
            self.space.committed(generation, lists_data);
            self.release_freed(committer);
            if committer.waiting.is_none() && self.space.oldest_held().is_some_and(|oldest| oldest <= generation) {
                committer.waiting = Some(self.readers.turn(generation));
            }
        }
        self.release_freed(committer);
        Ok(())
    }

    /// Where a scrub goes on when the store is opened again: not behind what it has left out, for that would be forgotten.
    fn scrub_to_go_on_at(&self) -> PhysicalBlock {
        let left_out = self.scrub_left_out.load(Ordering::Acquire);
        PhysicalBlock(if left_out { 0 } else { self.scrub_next.load(Ordering::Acquire) })
    }

    /// Hands out again what was freed, once nobody can be reading it any more.
    fn release_freed(&self, committer: &mut Committer) {
        if let Some(waiting) = committer.waiting
            && self.readers.are_gone(waiting)
        {
            self.space.release(waiting.until);
            committer.waiting = None;
        }
    }

    /// Makes certain that the commit with which the store was opened is durable. It may be there only for the system to show: a sync
    /// that failed can have lost it, and what it frees must not be used again before it is durable.
    ///
    /// # Errors
    /// `Io`; the store is poisoned.
    pub fn make_last_commit_certain(&self) -> Result<()> {
        let committer = self.committer.lock();
        make_certain(&*self.device, &committer.superblock).map_err(|error| self.poison(error))
    }

    /// Does a commit that is being written rely on blocks as they are? The caller holds the catalog's lock.
    pub fn must_stay(&self, start: PhysicalBlock, blocks: u64) -> bool {
        self.space.data_must_stay(start, blocks) && !canary::makes(Canary::ListedOverwritten)
    }

    /// Sees to it that blocks may be overwritten where they lie: while the last commit counts only if they are as they were, a newer one is
    /// needed. It has nothing to list, or other blocks.
    ///
    /// # Errors
    /// As [`Engine::flush`].
    pub fn before_change_in_place(&self, start: PhysicalBlock, blocks: u64) -> Result<()> {
        while !self.space.may_change_data(start, blocks) && !canary::makes(Canary::ListedOverwritten) {
            let mut committer = self.committer.lock();
            self.check_poison()?;
            // A commit that was being written may have been all there was to wait for.
            if !self.space.may_change_data(start, blocks) {
                self.commit(&mut committer, false)?;
            }
        }
        Ok(())
    }

    /// The device was lengthened: that must be durable before a superblock may say so.
    pub fn has_grown(&self) {
        self.sync_first.store(true, Ordering::Release);
    }

    /// Keeps a drive's writers away, so that it can be frozen: then a snapshot holds what was overwritten where it lies.
    pub fn gate_to_freeze<'a>(&self, drive: ObjectId, locks: &'a DriveLocks) -> RwLockWriteGuard<'a, ()> {
        let gate = locks.gate.write();
        self.rely_on_overwrites(drive);
        gate
    }

    /// The next change of the catalog relies on what was overwritten where it lies: that must be durable before a superblock has the change.
    pub fn rely_on_overwrites(&self, drive: ObjectId) {
        if self.overwrites.may_be_lost(drive) && !canary::makes(Canary::OverwrittenNotListed) {
            self.sync_first.store(true, Ordering::Release);
        }
    }

    /// Ends the store's life: commits, marks it clean in both superblocks, and lets nobody in any more.
    ///
    /// # Errors
    /// As [`Engine::flush`]; the store is closed all the same.
    pub fn close(&self) -> Result<()> {
        self.closing.store(true, Ordering::Release);
        let mut closed = self.life.write();
        if *closed {
            return Ok(());
        }
        *closed = true;
        let result = self.commit_last();
        drop(closed);
        self.let_others_in();
        result
    }

    /// Lets others open a store that is closed. Who still holds a snapshot may be looking at its bytes where they lie: the file
    /// is kept from others until he is done.
    pub fn let_others_in(&self) {
        if *self.life.read_recursive() && !self.catalog.read_recursive().is_pinned() {
            self.device.unlock();
        }
    }

    fn commit_last(&self) -> Result<()> {
        self.check_poison()?;
        if self.marked_clean.load(Ordering::Acquire) && !self.catalog.read().is_changed() {
            return Ok(());
        }
        self.commit_to_both_slots(true)
    }

    /// Commits and writes the same superblock to the other slot too: then the loss of one of them loses nothing.
    ///
    /// # Errors
    /// As [`Engine::flush`].
    pub fn commit_to_both_slots(&self, clean: bool) -> Result<()> {
        let mut committer = self.committer.lock();
        self.check_poison()?;
        self.commit(&mut committer, clean)?;
        let other = (committer.superblock.generation.0 + 1) % 2;
        let second = write_superblock(&*self.device, &committer.superblock, other as usize);
        let synced = second.and_then(|()| self.device.sync().device_context(|| "sync the second superblock"));
        synced.map_err(|error| self.poison(error))
    }
}

fn data_run((start, blocks): (PhysicalBlock, u32)) -> DataRun {
    DataRun { start, blocks: u16::try_from(blocks).expect("what is listed is little") }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Whoever wants to know whether it worked calls `close`.
        self.close().unwrap_or_default();
    }
}
