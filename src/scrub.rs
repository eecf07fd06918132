//! Does every block of data still hold what was written there?
//!
//! A scrub reads all blocks in use in the order in which they lie, and compares each with its checksum. Whoever works with the store
//! meanwhile goes on; what does not match is compared again while its writers are kept away. After an unclean shutdown a block that
//! one drive held alone may not match because its last write was cut off: its bytes are accepted, and when a scrub has seen all
//! blocks, all checksums are evidence again.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;

use crate::engine::{Engine, Holder};
use crate::error::{Context, Result, Rotten};
use crate::sync::Ordering;
use crate::units::{BLOCK_BYTES, BLOCK_LEN, PhysicalBlock};

/// Blocks that are read by one call: 1 MiB.
const BLOCKS_PER_READ: u32 = 256;
/// Blocks that did not match are looked at more closely when there are so many; more than one pass of the tables for each is rare.
const SUSPECTS_MAX: usize = 4096;
/// How many rotten blocks a report names; the rest are only counted.
const NAMED_MAX: usize = 1000;

/// A block that does not hold what was written there, or cannot be read.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// for damage in store.scrub()?.rotten {
///     eprintln!("{damage}"); // block 33281 of the store: offset 4096 of drive "db", snapshot "monday"
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RottenBlock {
    /// Which block of the store, counted in 4 KiB from its beginning.
    pub block: u64,
    /// Where in the images, in bytes: the same in all of them.
    pub offset: u64,
    /// The drives and snapshots that hold it.
    pub holders: Vec<Holder>,
}

impl fmt::Display for RottenBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holders: Vec<String> = self.holders.iter().map(Holder::to_string).collect();
        write!(f, "block {} of the store: offset {} of {}", self.block, self.offset, holders.join(", "))
    }
}

/// What a scrub found.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// let report = store.scrub()?;
/// assert!(report.is_clean() && report.finished);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ScrubReport {
    /// The rotten blocks; at most the first 1000.
    pub rotten: Vec<RottenBlock>,
    /// How many there are, named or not.
    pub rotten_total: u64,
    /// Bytes compared by this call.
    pub bytes: u64,
    /// Blocks that did not match after an unclean shutdown and were accepted as they are: their last writes were cut off.
    pub accepted: u64,
    /// All blocks were compared, by this call or by those that it continued.
    pub finished: bool,
}

impl ScrubReport {
    /// Was every block what it must be?
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.rotten_total == 0
    }
}

/// How far a scrub is.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let store = floe::Store::options().create_on(std::sync::Arc::new(floe::MemoryDevice::new(1 << 30).unwrap()))?;
/// use std::ops::ControlFlow;
///
/// // Called after each MiB: whoever wants a slower scrub sleeps here, whoever wants it to end says `Break`.
/// store.scrub_with(false, &mut |progress| {
///     println!("{} of {} bytes", progress.bytes_done, progress.bytes_total);
///     ControlFlow::Continue(())
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubProgress {
    /// Bytes compared by this call.
    pub bytes_done: u64,
    /// Bytes that were in use when it began, from where it began; an estimate, since the store goes on changing.
    pub bytes_total: u64,
    /// Rotten blocks found so far.
    pub rotten: u64,
}

/// Compares all data from where the last scrub stopped, or from the beginning.
pub(crate) fn scrub(
    engine: &Engine,
    from_beginning: bool,
    progress: &mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
) -> Result<ScrubReport> {
    let _alone = engine.scrubbing.lock();
    let mut scrub = Scrub { engine, report: ScrubReport::default(), suspects: BTreeSet::new() };
    let mut at = PhysicalBlock(if from_beginning { 0 } else { engine.scrub_next.load(Ordering::Acquire) });
    if at.0 == 0 {
        engine.scrub_left_out.store(false, Ordering::Release);
    }
    let bytes_total = engine.space.data_blocks_from(at)? * BLOCK_BYTES;
    loop {
        {
            let _life = engine.writable()?;
            let Some((first, blocks)) = engine.space.next_data(at, BLOCKS_PER_READ)? else { break };
            scrub.compare(first, u64::from(blocks))?;
            at = first.plus(u64::from(blocks));
            if scrub.suspects.len() >= SUSPECTS_MAX {
                scrub.judge()?;
            }
        }
        let report = &scrub.report;
        if progress(ScrubProgress { bytes_done: report.bytes, bytes_total, rotten: report.rotten_total }).is_break() {
            let _life = engine.writable()?;
            scrub.judge()?;
            engine.scrub_next.store(at.0, Ordering::Release);
            engine.catalog.write().set_changed();
            return Ok(scrub.report);
        }
    }
    let _life = engine.writable()?;
    scrub.judge()?;
    scrub.finish()?;
    Ok(scrub.report)
}

struct Scrub<'a> {
    engine: &'a Engine,
    report: ScrubReport,
    /// Blocks that did not match, or could not be read.
    suspects: BTreeSet<PhysicalBlock>,
}

impl Scrub<'_> {
    fn compare(&mut self, first: PhysicalBlock, blocks: u64) -> Result<()> {
        let mut bytes = vec![0; (blocks * BLOCK_BYTES) as usize];
        let mut checksums = vec![None; blocks as usize];
        let read = self.engine.device.read_at(&mut bytes, first.offset());
        self.engine.space.checksums(first, &mut checksums)?;
        let all = bytes.chunks_exact(BLOCK_LEN).zip(&checksums).enumerate();
        for (index, (bytes, checksum)) in all {
            let block = first.plus(index as u64);
            // Somebody may have been writing it: then the second look finds it right.
            if (read.is_err() || *checksum != Some(crc32fast::hash(bytes))) && !self.matches(block)? {
                self.suspects.insert(block);
            }
        }
        self.report.bytes += blocks * BLOCK_BYTES;
        Ok(())
    }

    /// Can the block be read, and is it what its checksum says?
    fn matches(&self, block: PhysicalBlock) -> Result<bool> {
        let mut bytes = [0; BLOCK_LEN];
        let read = self.engine.device.read_at(&mut bytes, block.offset());
        Ok(read.is_ok() && self.engine.space.checksum(block)? == Some(crc32fast::hash(&bytes)))
    }

    /// Finds out what the blocks are that did not match.
    fn judge(&mut self) -> Result<()> {
        let suspects = std::mem::take(&mut self.suspects);
        if suspects.is_empty() {
            return Ok(());
        }
        let engine = self.engine;
        let addresses = engine.look_at(&engine.catalog.read(), |catalog| catalog.addresses_of(&suspects))?;
        addresses.into_iter().try_for_each(|(logical, physical)| self.judge_block(Rotten { logical, physical }))
    }

    fn judge_block(&mut self, block: Rotten) -> Result<()> {
        let engine = self.engine;
        let Rotten { logical, physical } = block;
        // At most one drive can overwrite it where it lies: then nobody else holds it.
        let drives = engine.look_at(&engine.catalog.read(), |catalog| catalog.drives_holding(logical, physical))?;
        let writer = drives.first().map(|drive| engine.locks_of(*drive));
        let _gate = writer.as_ref().map(|locks| locks.gate.read());
        let _range = writer.as_ref().map(|locks| locks.ranges.lock(logical..logical.plus(1)));
        let settled = engine.look_at(&engine.catalog.read(), |catalog| catalog.is_evidence(logical, physical))?;
        let matches = self.matches(physical)?;
        let holders = engine.holders(block)?;
        if matches || holders.is_empty() {
            return Ok(());
        }
        let is_accepted = !settled && engine.adopt(physical)?;
        if !is_accepted {
            // What cannot be read now may be read later, and be unfinished.
            engine.scrub_left_out.fetch_or(!settled, Ordering::AcqRel);
            self.report.rotten_total += 1;
            if self.report.rotten.len() < NAMED_MAX {
                self.report.rotten.push(RottenBlock { block: physical.0, offset: logical.offset(), holders });
            }
        } else {
            self.report.accepted += 1;
        }
        Ok(())
    }

    /// Every block was compared, now or by the calls before, and what did not match was accepted or reported.
    fn finish(&mut self) -> Result<()> {
        let engine = self.engine;
        self.report.finished = true;
        let went_on = engine.scrub_next.swap(0, Ordering::AcqRel) != 0;
        let settles = engine.catalog.read().is_unsettled() && !engine.scrub_left_out.load(Ordering::Acquire);
        if went_on || self.report.accepted > 0 || settles {
            engine.change(|catalog| {
                if settles {
                    catalog.settle_all();
                }
                catalog.set_changed();
                Ok(())
            })?;
            engine.make_durable(engine.completed()).context(|| "note that all data was compared")?;
        }
        Ok(())
    }
}
