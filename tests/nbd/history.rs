//! What do the contexts have to say of a drive with a past?
//!
//! A drive is written at random, with snapshots between. The model gives each block a number of its own whenever it is written,
//! 0 while it is a hole; every context follows from these numbers alone, without a look into the engine.

use std::ops::Range;

use floe::{Drive, Snapshot};

use crate::dice::Dice;
use crate::harness::{BLOCK, Bench, snapshot};

/// What a context says of each byte, from the first one to the last; neighbours differ.
pub type Map = Vec<(Range<u64>, u32)>;

/// Puts ranges together where neighbours say the same.
pub fn merged(pieces: impl IntoIterator<Item = (Range<u64>, u32)>) -> Map {
    let mut map = Map::new();
    for (range, value) in pieces.into_iter().filter(|(range, _)| !range.is_empty()) {
        match map.last_mut() {
            Some((last, same)) if *same == value => last.end = range.end,
            _ => map.push((range, value)),
        }
    }
    map
}

/// A map that has `value` in some ranges and `rest` elsewhere.
pub fn marked(ranges: impl IntoIterator<Item = Range<u64>>, value: u32, rest: u32, size_bytes: u64) -> Map {
    let mut pieces = Map::new();
    let mut at = 0;
    for range in ranges {
        pieces.extend([(at..range.start, rest), (range.clone(), value)]);
        at = range.end;
    }
    pieces.push((at..size_bytes, rest));
    merged(pieces)
}

/// One image: a number per block.
#[derive(Clone)]
struct Image {
    size_bytes: u64,
    blocks: Vec<u64>,
}

impl Image {
    fn block(&self, index: usize) -> u64 {
        self.blocks.get(index).copied().unwrap_or(0)
    }

    fn map(&self, value: impl Fn(usize) -> u32) -> Map {
        let range = |index: usize| index as u64 * BLOCK..(index as u64 * BLOCK + BLOCK).min(self.size_bytes);
        merged((0..self.blocks.len()).map(|index| (range(index), value(index))))
    }
}

/// A drive with a past.
pub struct History {
    pub drive: Drive,
    pub snapshots: Vec<Snapshot>,
    /// One per snapshot, and the live one.
    images: Vec<Image>,
    writes: u64,
}

impl History {
    /// A drive named `db` with the snapshots `s0`, `s1` and so on, each after some changes, and some changes after the last one.
    pub fn new(bench: &Bench, dice: &mut Dice, size_bytes: u64, snapshots: usize) -> Self {
        let blocks = vec![0; usize::try_from(size_bytes.div_ceil(BLOCK)).expect("small")];
        let images = vec![Image { size_bytes, blocks }];
        let mut history = Self { drive: bench.drive("db", size_bytes), snapshots: Vec::new(), images, writes: 0 };
        history.change(dice);
        for index in 0..snapshots {
            history.snapshots.push(snapshot(&history.drive, &format!("s{index}")));
            history.images.push(history.images[index].clone());
            if index == 1 {
                history.grow();
            }
            history.change(dice);
        }
        history
    }

    /// Changes some ranges: most are written, some become holes.
    pub fn change(&mut self, dice: &mut Dice) {
        let image = self.images.last_mut().expect("there is always a live one");
        let size = image.size_bytes;
        for _ in 0..24 {
            let start = dice.below(size);
            let end = (start + 1 + dice.below(16 * BLOCK)).min(size);
            if dice.below(3) > 0 {
                self.drive.write_at(&dice.bytes(end - start), start).expect("a write");
                self.writes += 1;
                image.blocks[blocks(start / BLOCK, end.div_ceil(BLOCK))].fill(self.writes);
            } else {
                // Whole blocks, but for the last one of the image: they become holes.
                let (first, behind) = (start / BLOCK, end.div_ceil(BLOCK));
                let range = first * BLOCK..(behind * BLOCK).min(size);
                if dice.below(2) == 0 { self.drive.discard(range) } else { self.drive.write_zeroes(range) }.expect("a hole");
                image.blocks[blocks(first, behind)].fill(0);
            }
        }
    }

    fn grow(&mut self) {
        let image = self.images.last_mut().expect("there is always a live one");
        // What was the image's last block in part may be so no longer.
        image.size_bytes += 100 * BLOCK + 7;
        image.blocks.resize(usize::try_from(image.size_bytes.div_ceil(BLOCK)).expect("small"), 0);
        self.drive.resize(image.size_bytes).expect("a drive grows");
    }

    /// The number of images; the last one is live.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// The export's names of an image: by name and by uuid.
    pub fn exports(&self, image: usize) -> [String; 2] {
        match self.snapshots.get(image) {
            Some(snapshot) => [format!("db@s{image}"), snapshot.uuid().to_string()],
            None => ["db".to_owned(), self.drive.uuid().to_string()],
        }
    }

    /// `base:allocation`: 3 is a hole that reads as zeroes.
    pub fn allocation(&self, image: usize) -> Map {
        let image = &self.images[image];
        image.map(|block| if image.block(block) == 0 { 3 } else { 0 })
    }

    /// `qemu:allocation-depth`: 0 is a hole, 1 was written since the newest snapshot below, and so on.
    pub fn depth(&self, image: usize) -> Map {
        let live = &self.images[image];
        live.map(|block| match live.block(block) {
            0 => 0,
            number => 1 + self.images[..image].iter().rev().take_while(|below| below.block(block) == number).count() as u32,
        })
    }

    /// `qemu:dirty-bitmap:since-...`: 1 was changed since that snapshot.
    pub fn since(&self, older: usize, image: usize) -> Map {
        let (old, new) = (&self.images[older], &self.images[image]);
        new.map(|block| u32::from(old.block(block) != new.block(block)))
    }

    /// The same from the engine's own lists.
    pub fn since_by_engine(&self, older: usize, image: usize) -> Map {
        let changes = match self.snapshots.get(image) {
            Some(newer) => self.snapshots[older].diff(newer),
            None => self.snapshots[older].diff_drive(&self.drive),
        };
        let ranges = changes.expect("a diff").map(|change| change.expect("a change").range);
        marked(ranges, 1, 0, self.images[image].size_bytes)
    }

    /// The ranges that hold data, from the engine's own lists.
    pub fn data_by_engine(&self, image: usize) -> Vec<Range<u64>> {
        match self.snapshots.get(image) {
            Some(snapshot) => {
                let ranges = snapshot.extents().map(|extent| extent.expect("an extent"));
                let pieces = ranges.map(|extent| (extent.offset..extent.offset + extent.data.len() as u64, 0));
                let gaps = marked(pieces.map(|(range, _)| range), 0, 3, self.images[image].size_bytes);
                gaps.into_iter().filter(|(_, value)| *value == 0).map(|(range, _)| range).collect()
            }
            None => self.drive.mapped_ranges().map(|range| range.expect("a range")).collect(),
        }
    }

    pub fn size_bytes(&self, image: usize) -> u64 {
        self.images[image].size_bytes
    }
}

fn blocks(first: u64, behind: u64) -> Range<usize> {
    usize::try_from(first).expect("small")..usize::try_from(behind).expect("small")
}
