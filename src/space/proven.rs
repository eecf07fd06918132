//! Which blocks of data were compared with their checksums since the store was opened?
//!
//! A cache of fixed size, whatever the store's: it answers for the 16 GiB that were read last, a MiB for all of them. A block that
//! it does not know is compared once more, which costs a fraction of a microsecond.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::units::PhysicalBlock;

/// Blocks that share a slot: as many as half a word has bits. The other half says which blocks they are.
const BLOCKS_PER_SLOT: u64 = 32;
const SLOTS: u64 = 1 << 17;

/// A bit per block, in slots that blocks far apart take from each other.
pub struct Proven {
    slots: Box<[AtomicU64]>,
}

impl Proven {
    /// Nothing was compared yet.
    pub fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Were all of these blocks compared?
    pub fn contains(&self, first: PhysicalBlock, blocks: u64) -> bool {
        pieces(first, blocks).all(|(slot, tag, bits)| {
            let held = self.slots[slot].load(Ordering::Relaxed);
            held >> 32 == tag && held & bits == bits
        })
    }

    /// These blocks were compared.
    pub fn insert(&self, first: PhysicalBlock, blocks: u64) {
        for (slot, tag, bits) in pieces(first, blocks) {
            self.update(slot, |held| if held >> 32 == tag { held | bits } else { tag << 32 | bits });
        }
    }

    /// These blocks are written anew.
    pub fn remove(&self, first: PhysicalBlock, blocks: u64) {
        for (slot, tag, bits) in pieces(first, blocks) {
            self.update(slot, |held| if held >> 32 == tag { held & !bits } else { held });
        }
    }

    fn update(&self, slot: usize, change: impl Fn(u64) -> u64) {
        let slot = &self.slots[slot];
        let mut held = slot.load(Ordering::Relaxed);
        while change(held) != held {
            match slot.compare_exchange_weak(held, change(held), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => held = other,
            }
        }
    }
}

/// The slots that a run of blocks touches, each with the tag that says which blocks it is about, and their bits. Tags begin at 1:
/// an empty slot is about no block.
fn pieces(first: PhysicalBlock, blocks: u64) -> impl Iterator<Item = (usize, u64, u64)> {
    let (start, end) = (first.0, first.0 + blocks);
    (start / BLOCKS_PER_SLOT..end.div_ceil(BLOCKS_PER_SLOT)).map(move |chunk| {
        let from = start.max(chunk * BLOCKS_PER_SLOT) % BLOCKS_PER_SLOT;
        let count = end.min((chunk + 1) * BLOCKS_PER_SLOT) - start.max(chunk * BLOCKS_PER_SLOT);
        let bits = (u32::MAX >> (BLOCKS_PER_SLOT - count)) << from;
        ((chunk % SLOTS) as usize, chunk / SLOTS + 1, u64::from(bits))
    })
}

/// The tag of the last block that a store can have fits into half a word.
const _: () = assert!(crate::format::group::STORE_BLOCKS_MAX / BLOCKS_PER_SLOT / SLOTS < u32::MAX as u64);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn only_what_was_compared_and_not_written_since_is_proven(
            steps in prop::collection::vec((0_u64..200, 1_u64..70, any::<bool>(), any::<bool>()), 1..30),
        ) {
            let proven = Proven::new();
            let mut plain = BTreeSet::new();
            for (start, blocks, far, compared) in steps {
                // Far blocks share their slots with near ones.
                let first = start + if far { BLOCKS_PER_SLOT * SLOTS } else { 0 };
                if compared {
                    proven.insert(PhysicalBlock(first), blocks);
                    plain.extend(first..first + blocks);
                } else {
                    proven.remove(PhysicalBlock(first), blocks);
                    plain.retain(|block| !(first..first + blocks).contains(block));
                }
                for base in [0, BLOCKS_PER_SLOT * SLOTS] {
                    for block in base..base + 270 {
                        let known = proven.contains(PhysicalBlock(block), 1);
                        prop_assert!(!known || plain.contains(&block));
                    }
                }
                if compared {
                    prop_assert!(proven.contains(PhysicalBlock(first), blocks));
                }
            }
        }
    }
}
