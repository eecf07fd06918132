//! How is a live drive read and written while others do the same?

use std::cell::Cell;
use std::ops::{Range, RangeInclusive};

use crate::canary::{self, Canary};
use crate::catalog::{Catalog, NewRun, ReclaimStep, Version, check_size};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::format::entry::Extent;
use crate::format::page::Root;
use crate::format::record::ObjectId;
use crate::io::{self, Change, Image, Lies, RangeLock, SEGMENTS_MAX, Segment, Target};
use crate::space::Purpose;
use crate::sync::{RwLock, stand_back};
use crate::table;
use crate::units::{BLOCK_BYTES, BLOCK_LEN, DRIVE_BYTES_MAX, Epoch, LogicalBlock, PhysicalBlock};

use super::Engine;

/// Extents that one step of a discard removes before others are let at the catalog.
const UNMAP_STEP: usize = 64;
/// Tree pages that one step of freeing may take: the left edges of two trees.
const SHRINK_PAGES: u64 = 64;
/// Tree pages that one step of a discard may take: it copies the leaves it thins out, at most one for each extent.
const UNMAP_PAGES: u64 = SHRINK_PAGES + UNMAP_STEP as u64;
/// What zeroes are written from; at least two blocks, which a range without a whole block is shorter than.
static ZEROES: [u8; 64 * BLOCK_BYTES as usize] = [0; 64 * BLOCK_BYTES as usize];

/// What keeps the users of one drive apart.
#[derive(Default)]
pub struct DriveLocks {
    /// Writers hold it for reading, freezes for writing.
    pub gate: RwLock<()>,
    /// Blocks that are being written.
    pub ranges: RangeLock,
}

/// An image as it is while the catalog's lock is held.
pub struct Frozen<'a> {
    catalog: &'a Catalog,
    /// `None` if nothing is left of it: then it was empty.
    version: Option<&'a Version>,
    /// Blocks born later may have been hit by a write that failed.
    doubted_after: Epoch,
}

impl<'a> Frozen<'a> {
    /// A snapshot's image, even if it was deleted but for a handle.
    pub fn snapshot(catalog: &'a Catalog, id: ObjectId) -> Self {
        Self { catalog, version: catalog.any_version(id), doubted_after: Epoch(u64::MAX) }
    }

    fn head(catalog: &'a Catalog, head: &'a Version, poisoned: bool) -> Self {
        let doubted_after = if poisoned { head.floor } else { Epoch(u64::MAX) };
        Self { catalog, version: Some(head), doubted_after }
    }
}

impl Image for Frozen<'_> {
    fn next_extent(&self, from: LogicalBlock) -> Result<Option<Extent>> {
        self.catalog.next_extent(&self.version.map_or(Root::EMPTY, |version| version.table), from)
    }

    fn is_settled(&self, birth: Epoch) -> bool {
        birth <= self.doubted_after && self.version.is_none_or(|version| version.is_settled(birth))
    }
}

impl Engine {
    /// Fills `buf` from a drive (D1).
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` behind the end, `Corrupt`, `Io`.
    pub fn read_drive(&self, drive: ObjectId, locks: &DriveLocks, buf: &mut [u8], offset: u64) -> Result<()> {
        match self.try_read_drive(drive, buf, offset) {
            Err(error) if error.rotten_block().is_some() => {}
            result => return result,
        }
        // Perhaps somebody was writing, and only one of the block and its checksum was there yet.
        let _gate = locks.gate.read();
        let end = LogicalBlock::at_or_after(offset + buf.len() as u64);
        let _range = locks.ranges.lock(LogicalBlock::holding(offset)..end);
        self.try_read_drive(drive, buf, offset).map_err(|error| self.name_holders(error))
    }

    fn try_read_drive(&self, drive: ObjectId, buf: &mut [u8], offset: u64) -> Result<()> {
        let mut done = 0;
        loop {
            let mut segments = [Segment::default(); SEGMENTS_MAX];
            let (count, _reading) = {
                let catalog = self.catalog.read();
                let count = self.look_at(&catalog, |catalog| {
                    let (_, head) = catalog.head_of(drive)?;
                    check_range(offset, buf.len() as u64, head.size_bytes)?;
                    let image = Frozen::head(catalog, head, self.is_poisoned());
                    io::plan(&image, offset + done as u64, buf.len() - done, &mut segments)
                })?;
                (count, self.readers.enter())
            };
            let at = offset + done as u64;
            done += io::copy(&*self.device, &self.space, &segments[..count], &mut buf[done..], at)?;
            if done == buf.len() {
                return Ok(());
            }
        }
    }

    /// Writes `buf` to a drive.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` behind the end, `NoSpace` with nothing changed, `Poisoned`, `Corrupt`, `Io`.
    pub fn write_drive(&self, drive: ObjectId, locks: &DriveLocks, buf: &[u8], offset: u64) -> Result<()> {
        self.write_to(drive, locks, buf, offset, false)
    }

    fn write_to(&self, drive: ObjectId, locks: &DriveLocks, buf: &[u8], offset: u64, keeps_zeroes: bool) -> Result<()> {
        {
            let _gate = locks.gate.read();
            let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= DRIVE_BYTES_MAX && *end > offset);
            let Some(end) = end else {
                return self.check_drive_range(drive, offset, buf.len() as u64).map(drop);
            };
            let _range = locks.ranges.lock(LogicalBlock::holding(offset)..LogicalBlock::at_or_after(end));
            let mut target = LiveTarget::new(self, drive);
            target.bytes = Some(offset..end);
            target.keeps_zeroes = keeps_zeroes;
            self.with_space(|| io::write(&target, buf, offset)).map_err(|error| self.name_holders(error))?;
            self.completed();
        }
        self.bound_heap()
    }

    /// Writes zeroes that take space to a range of a drive.
    ///
    /// # Errors
    /// As [`Engine::write_drive`]; what lies before the place where it failed may be zeroes already.
    pub fn allocate_zeroes(&self, drive: ObjectId, locks: &DriveLocks, range: Range<u64>) -> Result<()> {
        let len = range.end.checked_sub(range.start).ok_or_else(|| Error::invalid("the range ends before it starts"))?;
        self.check_drive_range(drive, range.start, len)?;
        let mut at = range.start;
        while at < range.end {
            let len = (ZEROES.len() as u64 - at % BLOCK_BYTES).min(range.end - at);
            self.write_to(drive, locks, &ZEROES[..len as usize], at, true)?;
            at += len;
        }
        Ok(())
    }

    /// Makes whole blocks of a range holes; blocks covered in part are zeroed there if `edges`, else left alone.
    ///
    /// # Errors
    /// As [`Engine::write_drive`].
    pub fn punch_drive(&self, drive: ObjectId, locks: &DriveLocks, range: Range<u64>, edges: bool) -> Result<()> {
        {
            let _gate = locks.gate.read();
            let len = range.end.checked_sub(range.start).ok_or_else(|| Error::invalid("the range ends before it starts"))?;
            let size = self.check_drive_range(drive, range.start, len)?;
            if len == 0 {
                return Ok(());
            }
            self.punch(drive, locks, range, size, edges)?;
            self.completed();
        }
        self.bound_heap()
    }

    fn punch(&self, drive: ObjectId, locks: &DriveLocks, range: Range<u64>, size: u64, edges: bool) -> Result<()> {
        let _range = locks.ranges.lock(LogicalBlock::holding(range.start)..LogicalBlock::at_or_after(range.end));
        // Behind the image's end there is nothing, so a block that the end cuts off counts as whole.
        let whole_end = if range.end == size { LogicalBlock::at_or_after(range.end) } else { LogicalBlock::holding(range.end) };
        let whole = LogicalBlock::at_or_after(range.start)..whole_end;
        if edges {
            let parts = if whole.start < whole.end {
                [range.start..whole.start.offset(), whole.end.offset()..range.end]
            } else {
                [range.clone(), range.end..range.end]
            };
            let parts: Vec<(&[u8], u64)> = parts
                .into_iter()
                .filter(|part| part.start < part.end)
                .map(|part| (&ZEROES[..(part.end - part.start) as usize], part.start))
                .collect();
            let target = LiveTarget::new(self, drive);
            self.with_space(|| io::write_parts(&target, &parts)).map_err(|error| self.name_holders(error))?;
        }
        if whole.start < whole.end { self.unmap(drive, whole) } else { Ok(()) }
    }

    fn unmap(&self, drive: ObjectId, range: Range<LogicalBlock>) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            at = self.with_space(|| {
                self.change(|catalog| {
                    catalog.require_pages(UNMAP_PAGES, Purpose::Shrink)?;
                    catalog.unmap(drive, at..range.end, UNMAP_STEP)
                })
            })?;
            self.bound_heap()?;
        }
        Ok(())
    }

    /// Makes a drive's image longer or shorter; durable when it returns.
    ///
    /// # Errors
    /// `InvalidArgument`, and as [`Engine::write_drive`]; after an error the image has its old length, or its new one.
    pub fn resize_drive(&self, drive: ObjectId, locks: &DriveLocks, size_bytes: u64) -> Result<()> {
        let _gate = locks.gate.write();
        check_size(size_bytes)?;
        let (old, trimming) = {
            let catalog = self.catalog.read();
            let (_, head) = catalog.head_of(drive)?;
            (head.size_bytes, head.trimming)
        };
        if trimming {
            self.trim(drive)?;
        }
        if size_bytes < old {
            self.cut_shared_block(drive, size_bytes)?;
        }
        self.with_space(|| {
            self.change(|catalog| {
                catalog.require_pages(SHRINK_PAGES, Purpose::Shrink)?;
                catalog.set_size(drive, size_bytes)
            })
        })?;
        self.make_durable(self.completed())?;
        if size_bytes < old { self.trim(drive) } else { Ok(()) }
    }

    /// A block that a new end cuts off must read as zeroes behind it if the image grows again. If others hold it too, that
    /// takes new space, so it is done together with the cut: a full store refuses both.
    fn cut_shared_block(&self, drive: ObjectId, size_bytes: u64) -> Result<()> {
        let mut target = LiveTarget::new(self, drive);
        let cut = LogicalBlock::holding(size_bytes);
        let is_shared = matches!(target.lies_in(cut..cut.plus(1))?[..], [(Lies::Shared { .. }, _)]);
        if !size_bytes.is_multiple_of(BLOCK_BYTES) && is_shared {
            target.size_bytes = Some(size_bytes);
            self.with_space(|| io::write(&target, rest_of_block(size_bytes), size_bytes))?;
        }
        Ok(())
    }

    /// Removes what a shorter drive has behind its end. The caller keeps the drive's writers away.
    ///
    /// # Errors
    /// As [`Engine::write_drive`].
    pub fn trim(&self, drive: ObjectId) -> Result<()> {
        let size = self.catalog.read().head_of(drive)?.1.size_bytes;
        let rest = rest_of_block(size);
        if !rest.is_empty() {
            let target = LiveTarget::new(self, drive);
            self.with_space(|| io::write(&target, rest, size))?;
            self.rely_on_overwrites(drive);
        }
        self.unmap(drive, LogicalBlock::at_or_after(size)..LogicalBlock::holding(DRIVE_BYTES_MAX))?;
        self.with_space(|| {
            self.change(|catalog| {
                catalog.require_pages(SHRINK_PAGES, Purpose::Shrink)?;
                catalog.trimmed(drive)
            })
        })?;
        self.completed();
        Ok(())
    }

    /// Works off at most about `budget` extents of what was deleted.
    ///
    /// # Errors
    /// `NoSpace`, `Poisoned`, `Corrupt`, `Io`.
    pub fn reclaim_step(&self, budget: u64) -> Result<ReclaimStep> {
        if self.catalog.read().condemned() == 0 {
            return Ok(ReclaimStep { done: true, ..ReclaimStep::default() });
        }
        let step = || {
            self.change_in_turn(|catalog| {
                catalog.require_pages(SHRINK_PAGES, Purpose::Shrink)?;
                catalog.reclaim(budget)
            })
        };
        let step = match step() {
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                self.commit_now()?;
                step()?
            }
            result => result?,
        };
        if step.visited > 0 || step.freed_blocks > 0 {
            self.completed();
        }
        self.bound_heap()?;
        Ok(step)
    }

    /// The same, for whoever is in no hurry: if somebody wanted the catalog meanwhile, he lets others go first for a while.
    ///
    /// # Errors
    /// As [`Engine::reclaim_step`].
    pub fn reclaim_step_unhurried(&self, budget: u64) -> Result<ReclaimStep> {
        let step = self.reclaim_step(budget)?;
        if !step.done && self.catalog.is_locked() {
            stand_back();
        }
        Ok(step)
    }

    /// Tells the background thread that there is something to free.
    pub fn wake_reclaimer(&self) {
        if let Some(wake) = &self.reclaimer {
            // If the thread is gone, the store is poisoned or closed.
            wake.lock().send(()).unwrap_or_default();
        }
    }

    fn check_drive_range(&self, drive: ObjectId, offset: u64, len: u64) -> Result<u64> {
        let catalog = self.catalog.read();
        let size = catalog.head_of(drive)?.1.size_bytes;
        check_range(offset, len, size)?;
        Ok(size)
    }
}

/// Does `len` bytes at `offset` lie within an image of `size` bytes?
///
/// # Errors
/// `InvalidArgument`
pub fn check_range(offset: u64, len: u64, size: u64) -> Result<()> {
    if offset.checked_add(len).is_none_or(|end| end > size) {
        return Err(Error::invalid(format!("the image ends at {size}")));
    }
    Ok(())
}

/// Zeroes for what lies between the end of an image and the end of its last block.
fn rest_of_block(size_bytes: u64) -> &'static [u8] {
    &ZEROES[..(LogicalBlock::at_or_after(size_bytes).offset() - size_bytes) as usize]
}

/// A live drive, as the write path sees it.
struct LiveTarget<'a> {
    engine: &'a Engine,
    drive: ObjectId,
    /// What is written must lie within the image.
    bytes: Option<Range<u64>>,
    /// The length that the image gets together with the write's changes of the map.
    size_bytes: Option<u64>,
    keeps_zeroes: bool,
    /// Tree pages that nobody else gets until the write is done.
    promised: Cell<u64>,
}

impl<'a> LiveTarget<'a> {
    fn new(engine: &'a Engine, drive: ObjectId) -> Self {
        Self { engine, drive, bytes: None, size_bytes: None, keeps_zeroes: false, promised: Cell::new(0) }
    }

    fn hand_back_room(&self) {
        let promised = self.promised.take();
        if promised > 0 {
            self.engine.space.hand_back_room(promised);
        }
    }
}

impl Drop for LiveTarget<'_> {
    fn drop(&mut self) {
        self.hand_back_room();
    }
}

/// What an extent is to the drive whose image holds it.
fn lies(head: &Version, extent: &Extent) -> Lies {
    let Some(start) = extent.physical else { return Lies::Hole };
    let settled = head.is_settled(extent.birth);
    if extent.birth > head.floor || canary::makes(Canary::FrozenOverwritten) {
        Lies::Alone { start, settled }
    } else {
        Lies::Shared { start, settled }
    }
}

impl Target for LiveTarget<'_> {
    fn lies_in(&self, range: Range<LogicalBlock>) -> Result<Vec<(Lies, u64)>> {
        // All of it under one lock: writers that change the map want it too.
        let catalog = self.engine.catalog.read();
        let (_, head) = catalog.head_of(self.drive)?;
        if let Some(Range { start, end }) = &self.bytes {
            check_range(*start, end - start, head.size_bytes)?;
        }
        self.engine.look_at(&catalog, |catalog| {
            let (mut found, mut at) = (Vec::new(), range.start);
            catalog.extents_in(&head.table, range.clone(), |extent| {
                if extent.logical > at {
                    found.push((Lies::Hole, extent.logical.0 - at.0));
                }
                let piece = extent.part(at, range.end);
                let lies = match lies(head, &piece) {
                    Lies::Alone { start, settled } if self.engine.must_stay(start, u64::from(piece.blocks)) => {
                        Lies::Listed { start, settled }
                    }
                    lies => lies,
                };
                found.push((lies, u64::from(piece.blocks)));
                at = piece.end();
            })?;
            if at < range.end {
                found.push((Lies::Hole, range.end.0 - at.0));
            }
            Ok(found)
        })
    }

    fn checksum(&self, block: PhysicalBlock) -> Result<Option<u32>> {
        self.engine.space.checksum(block)
    }

    fn prove(&self, logical: LogicalBlock, physical: PhysicalBlock, bytes: &[u8; BLOCK_LEN]) -> Result<()> {
        if self.engine.space.is_proven(physical, 1) {
            return Ok(());
        }
        io::prove(&self.engine.space, logical, physical, bytes)
    }

    fn ready_checksums(&self, first: PhysicalBlock, blocks: u64) -> Result<()> {
        self.engine.space.ready_checksums(first, blocks)
    }

    fn set_checksums(&self, first: PhysicalBlock, checksums: &[u32]) -> Result<()> {
        self.engine.space.set_checksums(first, checksums)
    }

    fn take(&self, most: u32) -> Result<(PhysicalBlock, u32)> {
        self.engine.space.take_data(most)
    }

    fn take_run(&self, wanted: RangeInclusive<u32>) -> Result<Option<(PhysicalBlock, u32)>> {
        self.engine.space.take_run(wanted)
    }

    fn give_back(&self, start: PhysicalBlock, blocks: u32) -> Result<()> {
        self.engine.space.give_back_data(start, blocks)
    }

    fn require_room(&self, pieces: usize) -> Result<()> {
        // An attempt before this one may have got further than this.
        self.hand_back_room();
        let promised = self.engine.catalog.read().promise_pages(SHRINK_PAGES + table::pages_for(pieces as u64), Purpose::Grow)?;
        self.promised.set(promised);
        Ok(())
    }

    fn change(&self, changes: &[Change]) -> Result<()> {
        self.engine.change(|catalog| {
            for change in changes {
                match *change {
                    Change::Map { logical, physical, blocks } => catalog.map(self.drive, NewRun { logical, physical, blocks })?,
                    Change::Unmap(block) => {
                        catalog.unmap(self.drive, block..block.plus(1), 1)?;
                    }
                }
            }
            self.size_bytes.map_or(Ok(()), |size| catalog.set_size(self.drive, size))
        })
    }

    fn before_overwrite(&self, start: PhysicalBlock, blocks: u64) -> Result<()> {
        self.engine.mark_in_use()?;
        self.engine.before_change_in_place(start, blocks)
    }

    fn after_overwrite(&self) {
        self.engine.overwrites.note(self.drive);
    }

    fn poison(&self, cause: Error) -> Error {
        self.engine.poison(cause)
    }

    fn keeps_zeroes(&self) -> bool {
        self.keeps_zeroes
    }

    fn device(&self) -> &dyn Device {
        &*self.engine.device
    }
}

/// The changed ranges and extents of an image are found a piece at a time, so that nobody waits for long.
pub const WALK_STEP: usize = 1024;
