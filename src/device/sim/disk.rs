//! What is on a simulated disk after a power cut?

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

const BLOCK: u64 = 4096;
const BLOCK_LEN: usize = BLOCK as usize;
/// A disk may tear a block between any two of these.
pub(super) const SECTOR_BYTES: u64 = 512;
const SECTOR_LEN: usize = SECTOR_BYTES as usize;
/// Memory that is used as a disk may tear a sector between any two of these.
const LINE_LEN: usize = 64;

type Block = [u8; BLOCK_LEN];

/// What becomes of writes that were not synced when the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of them are lost.
    Everything,
    /// All of them are kept.
    Nothing,
    /// Each is kept whole or lost, and those that are kept arrive in any order. What is kept of a block is always whole: a page
    /// cache writes whole blocks.
    Writes,
    /// Each block of 4 KiB holds the content from any one of the writes to it, or from before all of them.
    Blocks,
    /// The same with each sector of 512 bytes: blocks are torn.
    Sectors,
    /// The same with each 64 bytes: sectors are torn too.
    Lines,
    /// Only the newest is kept.
    AllButLast,
    /// Only the newest is lost.
    Last,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Everything, Self::Nothing, Self::Writes, Self::Blocks, Self::Sectors, Self::Lines, Self::AllButLast, Self::Last];

    /// Can it leave a block of 4 KiB half old and half new?
    #[must_use]
    pub fn tears_blocks(self) -> bool {
        matches!(self, Self::Sectors | Self::Lines)
    }
}

/// Something that happened to a disk.
#[derive(Clone, Debug)]
pub enum Event {
    /// A write.
    Write {
        /// Where, in bytes.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// The oldest of the writes that were not synced yet are durable.
    Sync {
        /// How many: all that were there when the sync began.
        writes: usize,
    },
    /// A sync that failed: of what was written before, some is durable and the rest is lost, and no later sync brings it back.
    FailedSync {
        /// What decides which.
        seed: u64,
    },
    /// The disk is longer now; a power cut before the next sync may take that back.
    Grow {
        /// How long.
        len_bytes: u64,
    },
}

impl Event {
    pub(super) fn write(bytes: &[u8], offset: u64) -> Self {
        Self::Write { offset, bytes: bytes.into() }
    }
}

/// The blocks that a write changed, each as it was then in the page cache. A cache writes whole blocks, so a block that reaches
/// the disk brings along what earlier writes left in it.
type Written = Vec<(u64, Arc<Block>)>;

/// The durable content of a disk, and what was written and not synced yet.
///
/// ```
/// use floe::sim::{Disk, Event, Loss};
///
/// let mut disk = Disk::new(1 << 20);
/// disk.apply(&Event::Write { offset: 0, bytes: b"lost".as_slice().into() });
/// let after = disk.after_power_cut(Loss::Everything, 1);
/// assert_eq!(after.len_bytes(), 1 << 20);
/// assert!(after.holds_the_same(&Disk::new(1 << 20)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Disk {
    len_bytes: u64,
    /// A power cut may shorten the disk to this: what is longer was not synced.
    len_bytes_durable: u64,
    durable: BTreeMap<u64, Arc<Block>>,
    unsynced: Vec<Written>,
    /// What the page cache holds where it differs from the disk.
    cached: BTreeMap<u64, Arc<Block>>,
    /// What each block was before it was last written.
    before: BTreeMap<u64, Arc<Block>>,
}

impl Disk {
    /// A disk of zeroes.
    #[must_use]
    pub fn new(len_bytes: u64) -> Self {
        Self { len_bytes, len_bytes_durable: len_bytes, ..Self::default() }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Is the same on both, as far as it is durable?
    #[must_use]
    pub fn holds_the_same(&self, other: &Self) -> bool {
        self.len_bytes_durable == other.len_bytes_durable && self.durable == other.durable
    }

    /// Is anything lost if the power fails now?
    #[must_use]
    pub fn has_unsynced(&self) -> bool {
        !self.unsynced.is_empty() || self.len_bytes != self.len_bytes_durable
    }

    /// Does what the event says.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Write { offset, bytes } => self.write(*offset, bytes),
            Event::Sync { writes } => self.sync(*writes),
            Event::FailedSync { seed } => {
                // The page cache goes on showing what the disk has lost.
                let (cached, len_bytes) = (self.cached.clone(), self.len_bytes);
                *self = Self { cached, len_bytes, ..self.clone().after_power_cut(Loss::Writes, *seed) };
            }
            Event::Grow { len_bytes } => self.len_bytes = *len_bytes,
        }
    }

    pub(super) fn unsynced_writes(&self) -> usize {
        self.unsynced.len()
    }

    fn sync(&mut self, writes: usize) {
        let later = self.unsynced.split_off(writes.min(self.unsynced.len()));
        for (number, block) in std::mem::replace(&mut self.unsynced, later).into_iter().flatten() {
            self.put(number, block);
        }
        let later = self.unsynced.iter().flatten().map(|(number, _)| *number).collect::<BTreeSet<_>>();
        self.cached.retain(|number, block| later.contains(number) || self.durable.get(number) != Some(block));
        self.len_bytes_durable = self.len_bytes;
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        let mut written = Vec::new();
        let mut at = offset;
        while at < end {
            let number = at / BLOCK;
            let next = ((number + 1) * BLOCK).min(end);
            let mut block =
                self.cached.get(&number).or_else(|| self.durable.get(&number)).map_or([0; BLOCK_LEN], |block| **block);
            block[(at - number * BLOCK) as usize..(next - number * BLOCK) as usize]
                .copy_from_slice(&bytes[(at - offset) as usize..(next - offset) as usize]);
            let block = Arc::new(block);
            self.cached.insert(number, Arc::clone(&block));
            written.push((number, block));
            at = next;
        }
        self.unsynced.push(written);
    }

    /// The disk when the power is back. The same seed leads to the same content.
    #[must_use]
    pub fn after_power_cut(mut self, loss: Loss, seed: u64) -> Self {
        let mut unsynced = std::mem::take(&mut self.unsynced);
        self.cached.clear();
        let mut random = Random::new(seed);
        let keeps_length = match loss {
            Loss::Everything => false,
            Loss::Nothing | Loss::Last | Loss::AllButLast => true,
            Loss::Writes | Loss::Blocks | Loss::Sectors | Loss::Lines => random.below(2) == 0,
        };
        if keeps_length {
            self.len_bytes_durable = self.len_bytes;
        }
        self.len_bytes = self.len_bytes_durable;
        match loss {
            Loss::Everything => unsynced.clear(),
            Loss::Nothing => {}
            Loss::AllButLast => drop(unsynced.drain(..unsynced.len().saturating_sub(1))),
            Loss::Last => drop(unsynced.pop()),
            Loss::Writes => {
                let kept_in_eight = random.below(9);
                unsynced.retain(|_| random.below(8) < kept_in_eight);
                random.shuffle(&mut unsynced);
            }
            Loss::Blocks => return self.keeping_some(unsynced, BLOCK_LEN, &mut random),
            Loss::Sectors => return self.keeping_some(unsynced, SECTOR_LEN, &mut random),
            Loss::Lines => return self.keeping_some(unsynced, LINE_LEN, &mut random),
        }
        for (number, block) in unsynced.into_iter().flatten() {
            self.put(number, block);
        }
        self
    }

    /// Each unit keeps what one of the writes left in it, or what was there before all of them.
    fn keeping_some(mut self, unsynced: Vec<Written>, unit: usize, random: &mut Random) -> Self {
        let lost_in_eight = random.below(8);
        let mut contents: BTreeMap<u64, Vec<Arc<Block>>> = BTreeMap::new();
        for (number, block) in unsynced.into_iter().flatten() {
            contents.entry(number).or_default().push(block);
        }
        for (number, contents) in contents {
            let mut block = self.durable.get(&number).map_or([0; BLOCK_LEN], |block| **block);
            for at in (0..BLOCK_LEN).step_by(unit) {
                if random.below(8) >= lost_in_eight {
                    let content = &contents[random.below(contents.len() as u64) as usize];
                    block[at..at + unit].copy_from_slice(&content[at..at + unit]);
                }
            }
            self.put(number, Arc::new(block));
        }
        self
    }

    /// Calls `visit` with every block that does not read as zeroes, and where it lies; what the page cache holds comes last.
    pub(super) fn visit(&self, mut visit: impl FnMut(&[u8], u64) -> io::Result<()>) -> io::Result<()> {
        self.durable.iter().chain(&self.cached).try_for_each(|(number, block)| visit(&block[..], number * BLOCK))
    }

    /// Turns one bit over.
    pub(super) fn rot(&mut self, offset: u64, bit: u8) {
        self.sync(usize::MAX);
        let number = offset / BLOCK;
        let mut block = self.durable.get(&number).map_or([0; BLOCK_LEN], |block| **block);
        block[(offset % BLOCK) as usize] ^= 1 << bit;
        self.durable.insert(number, Arc::new(block));
    }

    /// Undoes the last write to a block; what it holds then, and where it begins.
    pub(super) fn fall_back(&mut self, offset: u64) -> Option<(Arc<Block>, u64)> {
        self.sync(usize::MAX);
        let number = offset / BLOCK;
        let before = Arc::clone(self.before.get(&number)?);
        self.durable.insert(number, Arc::clone(&before));
        Some((before, number * BLOCK))
    }

    /// The disk holds the block from now on. What lies behind its end is lost.
    fn put(&mut self, number: u64, block: Arc<Block>) {
        if number * BLOCK >= self.len_bytes {
            return;
        }
        let before = self.durable.insert(number, block).unwrap_or_else(|| Arc::new([0; BLOCK_LEN]));
        self.before.insert(number, before);
    }
}

/// The generator known as SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}
