//! Which places of one group are taken?

use crate::format::group::{GROUP_PLACES, Place};
use crate::format::page::{HEADER_LEN, PAYLOAD_LEN, Page};

const WORDS: usize = PAYLOAD_LEN / 8;

/// One bit per place of a group.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitmap {
    words: Box<[u64; WORDS]>,
}

impl Bitmap {
    /// All places free.
    pub fn new() -> Self {
        Self { words: Box::new([0; WORDS]) }
    }

    /// The bitmap in a page's payload.
    pub fn from_page(page: &Page) -> Self {
        let mut bitmap = Self::new();
        for (word, bytes) in bitmap.words.iter_mut().zip(page[HEADER_LEN..].chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("a chunk is 8 bytes long"));
        }
        bitmap
    }

    /// Writes the bitmap into a page's payload.
    pub fn put(&self, page: &mut Page) {
        for (word, bytes) in self.words.iter().zip(page[HEADER_LEN..].chunks_exact_mut(8)) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
    }

    /// How many places are taken.
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// The place behind the last one that is taken.
    pub fn end(&self) -> u32 {
        let last = self.words.iter().rposition(|word| *word != 0);
        last.map_or(0, |last| last as u32 * 64 + 64 - self.words[last].leading_zeros())
    }

    /// How many places from `from` on, below `end`, are free here and not in `held`.
    pub fn count_free(&self, held: Option<&Self>, from: Place, end: u32) -> u32 {
        let (mut at, mut free) = (from, 0);
        while let Some((start, count)) = self.free_run(held, at, end, GROUP_PLACES) {
            free += count;
            at = Place(start.0 + count);
        }
        free
    }

    /// Takes `count` places from `start` on; how many of them were free.
    pub fn set(&mut self, start: Place, count: u32) -> u32 {
        let mut changed = 0;
        self.each_word(start, count, |word, mask| {
            changed += (!*word & mask).count_ones();
            *word |= mask;
        });
        changed
    }

    /// Frees `count` places from `start` on; how many of them were taken.
    pub fn clear(&mut self, start: Place, count: u32) -> u32 {
        let mut changed = 0;
        self.each_word(start, count, |word, mask| {
            changed += (*word & mask).count_ones();
            *word &= !mask;
        });
        changed
    }

    fn each_word(&mut self, start: Place, count: u32, mut change: impl FnMut(&mut u64, u64)) {
        assert!(start.0 + count <= GROUP_PLACES, "places {start:?} + {count} lie outside a group");
        let (mut at, end) = (start.0, start.0 + count);
        while at < end {
            let within = at % 64;
            let bits = (64 - within).min(end - at);
            let mask = (u64::MAX >> (64 - bits)) << within;
            change(&mut self.words[at as usize / 64], mask);
            at += bits;
        }
    }

    /// Tells each run of places that are taken here and free in `other`, or the other way round, in order, and which of the two it is.
    pub fn differences(&self, other: &Self, mut tell: impl FnMut(Place, u32, bool)) {
        let mut run: Option<(u32, u32, bool)> = None;
        let pairs = self.words.chunks(8).zip(other.words.chunks(8)).enumerate();
        // Most of the two is the same.
        let pairs = pairs.filter(|(_, (words, others))| words != others);
        let pairs = pairs.flat_map(|(chunk, (words, others))| (8 * chunk..).zip(words.iter().zip(others)));
        for (index, (word, other)) in pairs {
            let mut left = word ^ other;
            while left != 0 {
                let bit = left.trailing_zeros();
                let taken = word >> bit & 1 == 1;
                let same = if taken { left & word } else { left & !word };
                let count = (same >> bit).trailing_ones();
                let start = index as u32 * 64 + bit;
                left &= !((u64::MAX >> (64 - count)) << bit);
                match &mut run {
                    Some((first, length, kind)) if *first + *length == start && *kind == taken => *length += count,
                    _ => {
                        if let Some((first, length, kind)) = run.replace((start, count, taken)) {
                            tell(Place(first), length, kind);
                        }
                    }
                }
            }
        }
        if let Some((first, length, kind)) = run {
            tell(Place(first), length, kind);
        }
    }

    /// The first run of places from `from` on that are taken; at most `most` of them.
    pub fn taken_run(&self, from: Place, most: u32) -> Option<(Place, u32)> {
        let is_taken = |place: u32| self.words[place as usize / 64] >> (place % 64) & 1 == 1;
        let mut at = from.0;
        while at < GROUP_PLACES && !is_taken(at) {
            // Whole words of free places are skipped at once.
            at = if self.words[at as usize / 64] >> (at % 64) == 0 { (at / 64 + 1) * 64 } else { at + 1 };
        }
        let end = GROUP_PLACES.min(at.saturating_add(most));
        let count = (at..end).take_while(|place| is_taken(*place)).count() as u32;
        (count > 0).then_some((Place(at), count))
    }

    /// The first run of places from `from` on, below `end`, that are free here and not in `held`; at most `most` of them.
    pub fn free_run(&self, held: Option<&Self>, from: Place, end: u32, most: u32) -> Option<(Place, u32)> {
        let taken = |word: usize| self.words[word] | held.map_or(0, |held| held.words[word]);
        let mut at = from.0;
        // To the first free place: whole words of taken places are skipped at once.
        loop {
            if at >= end {
                return None;
            }
            let free = !taken(at as usize / 64) >> (at % 64);
            if free != 0 {
                at += free.trailing_zeros();
                break;
            }
            at = (at / 64 + 1) * 64;
        }
        if at >= end {
            return None;
        }
        let start = at;
        let end = end.min(start.saturating_add(most));
        while at < end {
            let blocked = taken(at as usize / 64) >> (at % 64);
            let run = blocked.trailing_zeros().min(64 - at % 64);
            at += run;
            if !at.is_multiple_of(64) || run == 0 {
                break;
            }
        }
        Some((Place(start), at.min(end) - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn free_run_is_the_first_run_that_both_bitmaps_leave(
            runs in prop::collection::vec((0u32..GROUP_PLACES, 1u32..3000, any::<bool>()), 0..12),
            from in 0u32..GROUP_PLACES, end in 0u32..=GROUP_PLACES, most in 1u32..4000,
        ) {
            let (mut used, mut held) = (Bitmap::new(), Bitmap::new());
            let mut plain = vec![false; GROUP_PLACES as usize];
            for (start, count, in_held) in runs {
                let count = count.min(GROUP_PLACES - start);
                if in_held { held.set(Place(start), count); } else { used.set(Place(start), count); }
                plain[start as usize..(start + count) as usize].fill(true);
            }
            let start = (from..end).find(|place| !plain[*place as usize]);
            let expected = start.map(|start| {
                let stop = (start..end).find(|place| plain[*place as usize]).unwrap_or(end);
                (Place(start), (stop - start).min(most))
            });
            prop_assert_eq!(used.free_run(Some(&held), Place(from), end, most), expected);
        }

        #[test]
        fn taken_run_is_the_first_run_of_taken_places(
            runs in prop::collection::vec((0u32..GROUP_PLACES, 1u32..3000), 0..12), from in 0u32..GROUP_PLACES, most in 1u32..4000,
        ) {
            let mut used = Bitmap::new();
            let mut plain = vec![false; GROUP_PLACES as usize];
            for (start, count) in runs {
                let count = count.min(GROUP_PLACES - start);
                used.set(Place(start), count);
                plain[start as usize..(start + count) as usize].fill(true);
            }
            let expected = (from..GROUP_PLACES).find(|place| plain[*place as usize]).map(|start| {
                let stop = (start..GROUP_PLACES).find(|place| !plain[*place as usize]).unwrap_or(GROUP_PLACES);
                (Place(start), (stop - start).min(most))
            });
            prop_assert_eq!(used.taken_run(Place(from), most), expected);
        }

        #[test]
        fn differences_turn_one_bitmap_into_the_other(
            runs in prop::collection::vec((0u32..GROUP_PLACES, 1u32..300, any::<bool>(), any::<bool>()), 0..40),
        ) {
            let (mut one, mut other) = (Bitmap::new(), Bitmap::new());
            for (start, count, in_one, taken) in runs {
                let (bitmap, count) = (if in_one { &mut one } else { &mut other }, count.min(GROUP_PLACES - start));
                if taken { bitmap.set(Place(start), count) } else { bitmap.clear(Place(start), count) };
            }
            let (mut turned, mut end) = (other.clone(), None);
            one.differences(&other, |start, count, taken| {
                assert!(end.is_none_or(|(end, before)| end < start.0 || (end == start.0 && before != taken)), "a run is told whole");
                end = Some((start.0 + count, taken));
                let changed = if taken { turned.set(start, count) } else { turned.clear(start, count) };
                assert_eq!(changed, count);
            });
            prop_assert!(turned == one);
        }

        #[test]
        fn set_and_clear_count_what_they_change(start in 0u32..GROUP_PLACES, count in 0u32..2000, first in 0u32..GROUP_PLACES) {
            let count = count.min(GROUP_PLACES - start);
            let mut bitmap = Bitmap::new();
            prop_assert_eq!(bitmap.set(Place(first), 1), 1);
            let inside = u32::from((start..start + count).contains(&first));
            prop_assert_eq!(bitmap.set(Place(start), count), count - inside);
            prop_assert_eq!(bitmap.count(), count + 1 - inside);
            prop_assert_eq!(bitmap.clear(Place(start), count), count);
            prop_assert_eq!(bitmap.count(), 1 - inside);
        }
    }
}
