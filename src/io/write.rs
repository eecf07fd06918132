//! How do the bytes of a buffer get into an image?
//!
//! A block that is the drive's alone is overwritten where it lies, unless a long write makes a scattered image whole. Any other goes to
//! new space, unless it says what is there already (A3), or says nothing where nothing is. New blocks are written before anything is
//! overwritten, so that a full store refuses a write before it has changed a byte (D7), and before the table names them, so that no
//! reader sees them half.

use std::ops::{Range, RangeInclusive};

use crate::canary::{self, Canary};
use crate::device::Device;
use crate::error::{DeviceContext, Error, ErrorKind, Result};
use crate::units::{BLOCK_BYTES, BLOCK_LEN, LogicalBlock, PhysicalBlock};

use super::stretch::{LONG_BLOCKS, Run, STRETCH_BLOCKS, Stretch, append};

/// What lies at a place of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lies {
    /// Nothing.
    Hole,
    /// Blocks that nobody else holds and no bookmark saw.
    Alone {
        /// The first of them.
        start: PhysicalBlock,
        /// Are their checksums evidence?
        settled: bool,
    },
    /// Blocks that nobody else holds either, but that must stay as they are until a commit is done: it would have to be waited for.
    Listed {
        /// The first of them.
        start: PhysicalBlock,
        /// Are their checksums evidence?
        settled: bool,
    },
    /// Blocks that must stay as they are.
    Shared {
        /// The first of them.
        start: PhysicalBlock,
        /// Are their checksums evidence?
        settled: bool,
    },
}

/// A change of the map that a write leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The blocks from `logical` on now lie at `physical`.
    Map {
        /// The first block within the drive.
        logical: LogicalBlock,
        /// The first block within the store.
        physical: PhysicalBlock,
        /// How many.
        blocks: u32,
    },
    /// The block is a hole now.
    Unmap(LogicalBlock),
}

/// The image that is written. The caller keeps other writers of the same blocks, and freezes, away.
pub trait Target {
    /// What lies in `range`, and for how many blocks each goes on, in order.
    ///
    /// # Errors
    /// `Corrupt` if the table cannot be read.
    fn lies_in(&self, range: Range<LogicalBlock>) -> Result<Vec<(Lies, u64)>>;
    /// The checksum that was stored with a block.
    ///
    /// # Errors
    /// `Corrupt` if it cannot be read.
    fn checksum(&self, block: PhysicalBlock) -> Result<Option<u32>>;
    /// Compares a block that was read with its checksum.
    ///
    /// # Errors
    /// `Corrupt` with the block if it is not what was written there.
    fn prove(&self, logical: LogicalBlock, physical: PhysicalBlock, bytes: &[u8; BLOCK_LEN]) -> Result<()>;
    /// Gets ready to store the checksums of consecutive blocks: that cannot fail afterwards.
    ///
    /// # Errors
    /// `Corrupt` if the page they belong into cannot be read.
    fn ready_checksums(&self, first: PhysicalBlock, blocks: u64) -> Result<()>;
    /// Stores the checksums of consecutive blocks.
    ///
    /// # Errors
    /// `Corrupt` if the page they belong into cannot be read.
    fn set_checksums(&self, first: PhysicalBlock, checksums: &[u32]) -> Result<()>;
    /// Takes up to `most` blocks that lie side by side.
    ///
    /// # Errors
    /// `NoSpace`
    fn take(&self, most: u32) -> Result<(PhysicalBlock, u32)>;
    /// Takes as many blocks that lie side by side as `wanted` says, if there is plenty of room and such a run is found soon.
    ///
    /// # Errors
    /// `Corrupt` or `Io` from the device.
    fn take_run(&self, wanted: RangeInclusive<u32>) -> Result<Option<(PhysicalBlock, u32)>>;
    /// Gives back blocks that were taken and not used.
    ///
    /// # Errors
    /// `Corrupt` if they were not taken.
    fn give_back(&self, start: PhysicalBlock, blocks: u32) -> Result<()>;
    /// Makes sure that there is room in the trees for changes of the map that put in and take out that many pieces.
    ///
    /// # Errors
    /// `NoSpace`
    fn require_room(&self, pieces: usize) -> Result<()>;
    /// Changes the map, all of it at once.
    ///
    /// # Errors
    /// `Corrupt` if the table cannot be read.
    fn change(&self, changes: &[Change]) -> Result<()>;
    /// Is about to overwrite blocks that a commit may already name.
    ///
    /// # Errors
    /// `Io` if a commit that must come first fails.
    fn before_overwrite(&self, start: PhysicalBlock, blocks: u64) -> Result<()>;
    /// Has overwritten blocks where they lie.
    fn after_overwrite(&self);
    /// A write to the device failed: nothing is certain any more. Returns what its caller must be told.
    fn poison(&self, cause: Error) -> Error;
    /// Where the blocks are.
    fn device(&self) -> &dyn Device;
    /// Do zeroes take space like other bytes?
    fn keeps_zeroes(&self) -> bool;
}

/// Writes `buf` at `offset`.
///
/// # Errors
/// `NoSpace` with nothing changed; `Io` or `Corrupt` from the device.
pub fn write(target: &impl Target, buf: &[u8], offset: u64) -> Result<()> {
    write_all(target, || [Work::new(target, buf, offset)])
}

/// Writes several buffers, of which no two touch one block: all of them or, if the store is full, none.
///
/// # Errors
/// As [`write`].
pub fn write_parts(target: &impl Target, parts: &[(&[u8], u64)]) -> Result<()> {
    write_all(target, || -> Vec<_> { parts.iter().map(|(buf, offset)| Work::new(target, buf, *offset)).collect() })
}

fn write_all<'a, T: Target + 'a, W: AsMut<[Work<'a, T>]>>(target: &T, works: impl Fn() -> W) -> Result<()> {
    let mut first = works();
    match attempt(target, first.as_mut(), true) {
        // What is done to make an image whole must not be why a write is refused.
        Err(error) if error.kind() == ErrorKind::NoSpace && first.as_mut().iter().any(|work| work.gathered) => {
            attempt(target, works().as_mut(), false)
        }
        result => result,
    }
}

fn attempt<T: Target>(target: &T, works: &mut [Work<'_, T>], may_gather: bool) -> Result<()> {
    let result = run(target, works, may_gather);
    if result.is_err() {
        for work in works {
            work.give_back()?;
        }
    }
    result
}

fn run<T: Target>(target: &T, works: &mut [Work<'_, T>], may_gather: bool) -> Result<()> {
    for work in &mut *works {
        work.prepare(may_gather)?;
    }
    let changes: Vec<Change> = works.iter().flat_map(|work| work.changes.iter().copied()).collect();
    if !changes.is_empty() {
        target.require_room(changes.len() + works.iter().map(|work| work.pieces).sum::<usize>())?;
    }
    for work in works {
        work.overwrite()?;
    }
    if changes.is_empty() { Ok(()) } else { target.change(&changes) }
}

type Bytes = [u8; BLOCK_LEN];

struct Work<'a, T: Target> {
    target: &'a T,
    buf: &'a [u8],
    offset: u64,
    /// Runs of blocks for new space.
    redirected: Vec<Run>,
    /// Blocks that the buffer covers in part, merged with what lay there.
    edges: Vec<(LogicalBlock, Box<Bytes>)>,
    /// Runs that are overwritten where they lie.
    alone: Vec<(Range<LogicalBlock>, PhysicalBlock)>,
    changes: Vec<Change>,
    /// Checksums of blocks that were compared with what lay there, in order.
    summed: Vec<(LogicalBlock, u32)>,
    /// Extents and holes that the buffer covers.
    pieces: usize,
    /// Blocks go to new space that could stay where they are.
    gathered: bool,
}

impl<'a, T: Target> Work<'a, T> {
    fn new(target: &'a T, buf: &'a [u8], offset: u64) -> Self {
        Self {
            target,
            buf,
            offset,
            redirected: Vec::new(),
            edges: Vec::new(),
            alone: Vec::new(),
            changes: Vec::new(),
            summed: Vec::new(),
            pieces: 0,
            gathered: false,
        }
    }

    /// Finds out what becomes of each block, and writes those that go to new space.
    fn prepare(&mut self, may_gather: bool) -> Result<()> {
        let end = LogicalBlock::at_or_after(self.offset + self.buf.len() as u64);
        let mut at = LogicalBlock::holding(self.offset);
        while at < end {
            let until = end.min(at.plus(STRETCH_BLOCKS));
            let mut stretch = self.look_at(at..until)?;
            at = until;
            if may_gather
                && let Some(runs) = stretch.made_whole()
                && self.gather(runs)?
            {
                continue;
            }
            if self.alone.is_empty() {
                self.alone = stretch.alone;
            } else {
                self.alone.append(&mut stretch.alone);
            }
            for run in stretch.redirected {
                append(&mut self.redirected, run);
            }
        }
        self.redirect()
    }

    fn look_at(&mut self, range: Range<LogicalBlock>) -> Result<Stretch> {
        let mut stretch = Stretch::default();
        let mut at = range.start;
        for (lies, blocks) in self.target.lies_in(range)? {
            let next = at.plus(blocks);
            self.pieces += 1;
            match lies {
                Lies::Alone { start, settled } => {
                    self.merge_edges(at..next, start, settled)?;
                    stretch.alone.push((at..next, start));
                }
                Lies::Listed { start, settled } => {
                    self.merge_edges(at..next, start, settled)?;
                    append(&mut stretch.redirected, Run { first: at, blocks });
                }
                _ => self.sort_out(at..next, lies, &mut stretch)?,
            }
            at = next;
        }
        Ok(stretch)
    }

    /// Of a run that is the drive's alone, the first and the last block may keep some of their bytes: those must be right, for
    /// the new checksum will vouch for them.
    fn merge_edges(&mut self, range: Range<LogicalBlock>, start: PhysicalBlock, settled: bool) -> Result<()> {
        let last = LogicalBlock(range.end.0 - 1);
        let ends = [range.start, last];
        for block in if range.start == last { &ends[1..] } else { &ends } {
            let block = *block;
            if self.whole(block).is_none() {
                let merged = self.merged(block, start.plus(block.0 - range.start.0), settled)?.1;
                self.edges.push((block, merged));
            }
        }
        Ok(())
    }

    /// A block that the buffer covers in part, as it is and as it will be.
    fn merged(&self, block: LogicalBlock, at: PhysicalBlock, settled: bool) -> Result<(Box<Bytes>, Box<Bytes>)> {
        let mut before = Box::new([0; BLOCK_LEN]);
        self.read_block(at, &mut before)?;
        if settled {
            self.target.prove(block, at, &before)?;
        }
        let mut merged = before.clone();
        let (within, part) = self.part(block);
        merged[within].copy_from_slice(part);
        Ok((before, merged))
    }

    /// Decides for each block of a hole or of a shared run whether it stays, goes, or goes to new space.
    fn sort_out(&mut self, range: Range<LogicalBlock>, lies: Lies, stretch: &mut Stretch) -> Result<()> {
        for index in 0..range.end.0 - range.start.0 {
            let block = range.start.plus(index);
            let old = match lies {
                Lies::Shared { start, settled } => Some((start.plus(index), settled)),
                _ => None,
            };
            let decision = match self.whole(block) {
                Some(new) => {
                    let sum = old.is_some_and(|(_, settled)| settled).then(|| crc32fast::hash(new));
                    let decision = self.decide(new, sum, old)?;
                    self.summed.extend(sum.map(|sum| (block, sum)));
                    decision
                }
                None => {
                    let (before, merged) = match old {
                        Some((at, settled)) => self.merged(block, at, settled)?,
                        None => {
                            let mut merged = Box::new([0; BLOCK_LEN]);
                            let (within, part) = self.part(block);
                            merged[within].copy_from_slice(part);
                            (Box::new([0; BLOCK_LEN]), merged)
                        }
                    };
                    let decision = match old {
                        Some(_) if before == merged => Decision::Stays,
                        _ if self.leaves_a_hole(&merged[..]) => old.map_or(Decision::Stays, |_| Decision::Goes),
                        _ => Decision::New,
                    };
                    if decision == Decision::New {
                        self.edges.push((block, merged));
                    }
                    decision
                }
            };
            match decision {
                Decision::Stays => {}
                Decision::Goes => self.changes.push(Change::Unmap(block)),
                Decision::New => append(&mut stretch.redirected, Run { first: block, blocks: 1 }),
            }
        }
        Ok(())
    }

    /// A3: the old bytes are read only if the checksums agree or say nothing, and only then can they be the same. There is a new one
    /// if the old one says something.
    fn decide(&self, new: &[u8], sum: Option<u32>, old: Option<(PhysicalBlock, bool)>) -> Result<Decision> {
        let Some((block, _)) = old else {
            return Ok(if self.leaves_a_hole(new) { Decision::Stays } else { Decision::New });
        };
        if sum.is_none() || self.target.checksum(block)? == sum {
            let mut bytes = [0; BLOCK_LEN];
            self.read_block(block, &mut bytes)?;
            if bytes == *new {
                return Ok(Decision::Stays);
            }
        }
        Ok(if self.leaves_a_hole(new) { Decision::Goes } else { Decision::New })
    }

    fn leaves_a_hole(&self, new: &[u8]) -> bool {
        !self.target.keeps_zeroes() && is_zero(new)
    }

    /// Writes runs to one run of new space; `false` if there is none.
    fn gather(&mut self, runs: Vec<Run>) -> Result<bool> {
        let blocks = runs.iter().map(|run| run.blocks as u32).sum();
        let Some((physical, _)) = self.target.take_run(blocks..=blocks)? else { return Ok(false) };
        self.gathered = true;
        let first = self.changes.len();
        let mut taken = 0;
        // All of it is noted before anything can fail, so that all of it is given back.
        for run in runs {
            self.changes.push(Change::Map { logical: run.first, physical: physical.plus(taken), blocks: run.blocks as u32 });
            taken += run.blocks;
        }
        for change in &self.changes[first..] {
            if let Change::Map { logical, physical, blocks } = *change {
                self.write_new(logical, physical, blocks)?;
            }
        }
        Ok(true)
    }

    /// Writes all runs that must go to new space.
    fn redirect(&mut self) -> Result<()> {
        for run in std::mem::take(&mut self.redirected) {
            let mut done = 0;
            while done < run.blocks {
                let most = u32::try_from(run.blocks - done).unwrap_or(u32::MAX);
                let (physical, blocks) = self.take(most)?;
                let logical = run.first.plus(done);
                self.changes.push(Change::Map { logical, physical, blocks });
                self.write_new(logical, physical, blocks)?;
                done += u64::from(blocks);
            }
        }
        Ok(())
    }

    fn take(&self, most: u32) -> Result<(PhysicalBlock, u32)> {
        let long =
            if u64::from(most) < LONG_BLOCKS { None } else { self.target.take_run(most.min(STRETCH_BLOCKS as u32)..=most)? };
        long.map_or_else(|| self.target.take(most), Ok)
    }

    fn write_new(&self, logical: LogicalBlock, physical: PhysicalBlock, blocks: u32) -> Result<()> {
        let mut checksums = Vec::with_capacity(blocks as usize);
        let mut index = 0;
        while index < blocks {
            let block = logical.plus(u64::from(index));
            let at = physical.plus(u64::from(index));
            // Whole blocks lie side by side in the buffer as well; a merged edge stands alone.
            let count = if self.whole(block).is_some() { self.whole_blocks_from(block, blocks - index) } else { 1 };
            let bytes = match self.whole(block) {
                Some(_) => self.slice(block, count),
                None => self.edge(block),
            };
            let blocks = bytes.chunks_exact(BLOCK_LEN).zip(block.0..);
            checksums.extend(blocks.map(|(bytes, block)| self.sum(LogicalBlock(block), bytes)));
            self.put(bytes, at.offset())?;
            index += count;
        }
        self.target.set_checksums(physical, &checksums)
    }

    /// Writes all runs that stay where they are, data first and then the checksums of what then lies there.
    fn overwrite(&mut self) -> Result<()> {
        if self.alone.is_empty() {
            return Ok(());
        }
        for (range, start) in &self.alone {
            let from = range.start.offset().max(self.offset);
            let until = range.end.offset().min(self.offset + self.buf.len() as u64);
            let bytes = &self.buf[(from - self.offset) as usize..(until - self.offset) as usize];
            let blocks = range.end.0 - range.start.0;
            self.target.before_overwrite(*start, blocks)?;
            self.target.ready_checksums(*start, blocks)?;
            self.put(bytes, start.offset() + (from - range.start.offset()))?;
            let bytes_of = |block| self.whole(block).unwrap_or_else(|| self.edge(block));
            let mut checksums = [0; STRETCH_BLOCKS as usize];
            for first in (0..blocks).step_by(checksums.len()).filter(|_| !canary::makes(Canary::ChecksumForgotten)) {
                let some = &mut checksums[..STRETCH_BLOCKS.min(blocks - first) as usize];
                for (index, checksum) in some.iter_mut().enumerate() {
                    *checksum = crc32fast::hash(bytes_of(range.start.plus(first + index as u64)));
                }
                self.target.set_checksums(start.plus(first), some)?;
            }
        }
        self.target.after_overwrite();
        Ok(())
    }

    /// The write came to nothing: the new blocks are not needed.
    fn give_back(&mut self) -> Result<()> {
        for change in std::mem::take(&mut self.changes) {
            if let Change::Map { physical, blocks, .. } = change {
                self.target.give_back(physical, blocks)?;
            }
        }
        Ok(())
    }

    fn put(&self, bytes: &[u8], at: u64) -> Result<()> {
        let written = self.target.device().write_at(bytes, at);
        written
            .device_context(|| format!("write {} bytes at block {} of the store", bytes.len(), at / BLOCK_BYTES))
            .map_err(|error| self.target.poison(error))
    }

    fn read_block(&self, block: PhysicalBlock, bytes: &mut [u8; BLOCK_LEN]) -> Result<()> {
        self.target.device().copy_mapped(bytes, block.offset()).device_context(|| format!("read block {block} of the store"))
    }

    /// The checksum of a block's new bytes.
    fn sum(&self, block: LogicalBlock, bytes: &[u8]) -> u32 {
        let known = self.summed.binary_search_by_key(&block, |(block, _)| *block);
        known.map_or_else(|_| crc32fast::hash(bytes), |index| self.summed[index].1)
    }

    /// The new bytes of a block that the buffer covers wholly.
    fn whole(&self, block: LogicalBlock) -> Option<&[u8]> {
        let start = block.offset().checked_sub(self.offset)? as usize;
        self.buf.get(start..start + BLOCK_LEN)
    }

    /// How many blocks from `block` on, at most `most`, the buffer covers wholly.
    fn whole_blocks_from(&self, block: LogicalBlock, most: u32) -> u32 {
        let bytes = self.offset + self.buf.len() as u64 - block.offset();
        most.min(u32::try_from(bytes / BLOCK_BYTES).unwrap_or(u32::MAX))
    }

    fn slice(&self, block: LogicalBlock, blocks: u32) -> &[u8] {
        let start = (block.offset() - self.offset) as usize;
        &self.buf[start..start + blocks as usize * BLOCK_LEN]
    }

    /// The bytes for a block that the buffer covers in part, and where in the block they belong.
    fn part(&self, block: LogicalBlock) -> (Range<usize>, &[u8]) {
        let from = block.offset().max(self.offset);
        let until = (block.offset() + BLOCK_BYTES).min(self.offset + self.buf.len() as u64);
        let within = (from - block.offset()) as usize..(until - block.offset()) as usize;
        (within, &self.buf[(from - self.offset) as usize..(until - self.offset) as usize])
    }

    fn edge(&self, block: LogicalBlock) -> &[u8] {
        let edge = self.edges.iter().find(|(at, _)| *at == block).expect("a block that is written in part was merged");
        &edge.1[..]
    }
}

/// What becomes of a block that must not be overwritten.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Stays,
    Goes,
    New,
}

/// Are all bytes zero? Looks at 64 bytes at a time, which the compiler turns into wide comparisons.
fn is_zero(bytes: &[u8]) -> bool {
    let mut chunks = bytes.chunks_exact(64);
    chunks.all(|chunk| chunk.iter().fold(0, |sum, byte| sum | byte) == 0) && chunks.remainder().iter().all(|byte| *byte == 0)
}
