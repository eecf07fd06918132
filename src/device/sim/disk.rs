//! What is on a simulated disk after a power cut?

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

const BLOCK: u64 = 4096;
/// A disk may tear a write between any two of these.
const SECTOR: u64 = 512;

type Block = [u8; BLOCK as usize];

/// What becomes of writes that were not synced when the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of them are lost.
    Everything,
    /// All of them are kept.
    Nothing,
    /// Each is kept whole or lost, and those that are kept arrive in any order.
    Writes,
    /// Each block of 4 KiB holds the content from any one of the writes to it, or from before all of them.
    Blocks,
    /// The same with each sector of 512 bytes: blocks are torn.
    Sectors,
    /// Only the newest is kept.
    AllButLast,
    /// Only the newest is lost.
    Last,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Everything, Self::Nothing, Self::Writes, Self::Blocks, Self::Sectors, Self::AllButLast, Self::Last];

    /// Can it leave a block of 4 KiB half old and half new?
    #[must_use]
    pub fn tears_blocks(self) -> bool {
        self == Self::Sectors
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
    /// Everything written before is durable.
    Sync,
    /// A sync that failed: of what was written before, some is durable and the rest is lost, and no later sync brings it back.
    FailedSync {
        /// What decides which.
        seed: u64,
    },
    /// The disk is longer now, durably after the next sync.
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

/// The durable content of a disk, and what was written and not synced yet.
///
/// ```
/// use floe::sim::{Disk, Event, Loss};
///
/// let mut disk = Disk::new(1 << 20);
/// disk.apply(&Event::Write { offset: 0, bytes: b"lost".as_slice().into() });
/// let after = disk.after_power_cut(Loss::Everything, 1);
/// assert_eq!(after.len_bytes(), 1 << 20);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Disk {
    len_bytes: u64,
    durable: BTreeMap<u64, Arc<Block>>,
    unsynced: Vec<(u64, Arc<[u8]>)>,
    /// What each block was before it was last written.
    before: BTreeMap<u64, Arc<Block>>,
}

impl Disk {
    /// A disk of zeroes.
    #[must_use]
    pub fn new(len_bytes: u64) -> Self {
        Self { len_bytes, ..Self::default() }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Does what the event says.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Write { offset, bytes } => self.unsynced.push((*offset, Arc::clone(bytes))),
            Event::Sync => {
                for (offset, bytes) in std::mem::take(&mut self.unsynced) {
                    self.put(offset, &bytes);
                }
            }
            Event::FailedSync { seed } => *self = self.clone().after_power_cut(Loss::Writes, *seed),
            Event::Grow { len_bytes } => self.len_bytes = *len_bytes,
        }
    }

    /// The disk when the power is back. The same seed leads to the same content.
    #[must_use]
    pub fn after_power_cut(mut self, loss: Loss, seed: u64) -> Self {
        let unsynced = std::mem::take(&mut self.unsynced);
        let mut random = Random::new(seed);
        match loss {
            Loss::Everything => {}
            Loss::Nothing => unsynced.iter().for_each(|(offset, bytes)| self.put(*offset, bytes)),
            Loss::AllButLast => unsynced.iter().rev().take(1).for_each(|(offset, bytes)| self.put(*offset, bytes)),
            Loss::Last => {
                unsynced[..unsynced.len().saturating_sub(1)].iter().for_each(|(offset, bytes)| self.put(*offset, bytes));
            }
            Loss::Writes => {
                let kept_in_eight = random.below(9);
                let mut kept: Vec<_> = unsynced.iter().filter(|_| random.below(8) < kept_in_eight).collect();
                random.shuffle(&mut kept);
                kept.into_iter().for_each(|(offset, bytes)| self.put(*offset, bytes));
            }
            Loss::Blocks => self.put_some(&unsynced, BLOCK, &mut random),
            Loss::Sectors => self.put_some(&unsynced, SECTOR, &mut random),
        }
        self
    }

    /// Of all that was written to each unit of the disk, one arrived, or nothing.
    fn put_some(&mut self, unsynced: &[(u64, Arc<[u8]>)], unit: u64, random: &mut Random) {
        let lost_in_eight = random.below(8);
        let mut written: BTreeMap<u64, Vec<(u64, &[u8])>> = BTreeMap::new();
        for (offset, bytes) in unsynced {
            let mut at = *offset;
            let end = offset + bytes.len() as u64;
            while at < end {
                let next = ((at / unit + 1) * unit).min(end);
                let part = &bytes[(at - offset) as usize..(next - offset) as usize];
                written.entry(at / unit).or_default().push((at, part));
                at = next;
            }
        }
        for parts in written.values() {
            if random.below(8) >= lost_in_eight {
                // The content of a unit after the n-th write to it: what the writes before n left, and n itself.
                let newest = random.below(parts.len() as u64) as usize;
                parts[..=newest].iter().for_each(|(offset, bytes)| self.put(*offset, bytes));
            }
        }
    }

    /// Calls `visit` with every block that is not known to be zero, and where it lies.
    pub(super) fn visit_durable(&self, mut visit: impl FnMut(&[u8], u64) -> io::Result<()>) -> io::Result<()> {
        self.durable.iter().try_for_each(|(block, bytes)| visit(&bytes[..], block * BLOCK))
    }

    /// Turns one bit over.
    pub(super) fn rot(&mut self, offset: u64, bit: u8) {
        for event in std::mem::take(&mut self.unsynced) {
            self.put(event.0, &event.1);
        }
        let block = self.durable.entry(offset / BLOCK).or_insert_with(|| Arc::new([0; BLOCK as usize]));
        Arc::make_mut(block)[(offset % BLOCK) as usize] ^= 1 << bit;
    }

    /// Undoes the last write to a block; what it holds then, and where it begins.
    pub(super) fn fall_back(&mut self, offset: u64) -> Option<(Arc<Block>, u64)> {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            self.put(offset, &bytes);
        }
        let number = offset / BLOCK;
        let before = Arc::clone(self.before.get(&number)?);
        self.durable.insert(number, Arc::clone(&before));
        Some((before, number * BLOCK))
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = offset;
        let end = offset + bytes.len() as u64;
        while at < end {
            let number = at / BLOCK;
            let next = ((number + 1) * BLOCK).min(end);
            let block = self.durable.entry(number).or_insert_with(|| Arc::new([0; BLOCK as usize]));
            self.before.insert(number, Arc::clone(block));
            let within = (at - number * BLOCK) as usize..(next - number * BLOCK) as usize;
            Arc::make_mut(block)[within].copy_from_slice(&bytes[(at - offset) as usize..(next - offset) as usize]);
            at = next;
        }
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
