//! How many of an image's blocks were born by a given epoch?
//!
//! A head's histogram is kept in memory while the store is open: one bucket per birth, with sums over them in a Fenwick
//! tree, so that a change and a sum cost the logarithm of the number of buckets. Only touched buckets are written at a commit.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::units::Epoch;

/// Blocks of an image by birth.
#[derive(Clone, Default)]
pub struct Histogram {
    births: Vec<Epoch>,
    blocks: Vec<u64>,
    /// `sums[i]` covers the buckets `i + 1 - lowest set bit of (i + 1) .. i + 1`.
    sums: Vec<u64>,
    touched: BTreeSet<Epoch>,
}

impl Histogram {
    /// A histogram of buckets in rising order of births.
    pub fn from_buckets(buckets: impl Iterator<Item = (Epoch, u64)>) -> Self {
        let mut histogram = Self::default();
        for (birth, blocks) in buckets {
            histogram.append(birth, blocks);
        }
        histogram
    }

    /// Blocks born in `epoch` or before.
    pub fn born_by(&self, epoch: Epoch) -> u64 {
        let mut end = self.births.partition_point(|birth| *birth <= epoch);
        let mut sum = 0;
        while end > 0 {
            sum += self.sums[end - 1];
            end &= end - 1;
        }
        sum
    }

    /// `blocks` more blocks of that birth.
    pub fn add(&mut self, birth: Epoch, blocks: u64) {
        self.touched.insert(birth);
        match self.births.binary_search(&birth) {
            Ok(index) => self.change(index, |old| old + blocks),
            Err(index) if index == self.births.len() => self.append(birth, blocks),
            // Only after a bookmark or a snapshot went can a birth lie between older ones.
            Err(index) => {
                let mut buckets: Vec<_> = self.births.iter().copied().zip(self.blocks.iter().copied()).collect();
                buckets.insert(index, (birth, blocks));
                let touched = std::mem::take(&mut self.touched);
                *self = Self { touched, ..Self::from_buckets(buckets.into_iter()) };
            }
        }
    }

    /// `blocks` fewer blocks of that birth.
    ///
    /// # Errors
    /// `Corrupt` if not so many were counted when they came.
    pub fn subtract(&mut self, birth: Epoch, blocks: u64) -> Result<()> {
        let index = self.births.binary_search(&birth).ok().filter(|index| self.blocks[*index] >= blocks);
        let index = index.ok_or_else(|| Error::corrupt(format!("more blocks of birth {birth} go than its histogram counts")))?;
        self.touched.insert(birth);
        self.change(index, |old| old - blocks);
        Ok(())
    }

    /// The buckets changed since the last call, with what they hold now.
    pub fn take_touched(&mut self) -> Vec<(Epoch, u64)> {
        let touched = std::mem::take(&mut self.touched);
        touched
            .into_iter()
            .map(|birth| (birth, self.births.binary_search(&birth).map_or(0, |index| self.blocks[index])))
            .collect()
    }

    /// Has a bucket changed since they were last taken?
    pub fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    fn append(&mut self, birth: Epoch, blocks: u64) {
        let end = self.births.len() + 1;
        let lowest = end & end.wrapping_neg();
        // The new node covers the `lowest` buckets up to its own: its own and those of the nodes it takes in.
        let mut sum = blocks;
        let mut step = 1;
        while step < lowest {
            sum += self.sums[end - 1 - step];
            step <<= 1;
        }
        self.births.push(birth);
        self.blocks.push(blocks);
        self.sums.push(sum);
    }

    fn change(&mut self, index: usize, new: impl Fn(u64) -> u64) {
        let old = self.blocks[index];
        let now = new(old);
        self.blocks[index] = now;
        let mut node = index + 1;
        while node <= self.sums.len() {
            self.sums[node - 1] = self.sums[node - 1] - old + now;
            node += node & node.wrapping_neg();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn sums_equal_a_plain_count(changes in prop::collection::vec((1u64..40, 1u64..1000, any::<bool>()), 1..200)) {
            let mut histogram = Histogram::default();
            let mut plain: BTreeMap<u64, u64> = BTreeMap::new();
            for (birth, blocks, adds) in changes {
                if adds {
                    histogram.add(Epoch(birth), blocks);
                    *plain.entry(birth).or_default() += blocks;
                } else if let Some(count) = plain.get_mut(&birth) {
                    let blocks = blocks.min(*count);
                    histogram.subtract(Epoch(birth), blocks).unwrap();
                    *count -= blocks;
                }
                for epoch in [0, birth - 1, birth, 17, 50, u64::MAX] {
                    let expected: u64 = plain.range(..=epoch).map(|(_, count)| count).sum();
                    prop_assert_eq!(histogram.born_by(Epoch(epoch)), expected);
                }
            }
            for (birth, blocks) in histogram.take_touched() {
                prop_assert_eq!(blocks, plain.get(&birth.0).copied().unwrap_or(0));
            }
        }
    }
}
