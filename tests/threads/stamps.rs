//! Who wrote a block, and may it be there?
//!
//! Each writer does a sequence of acts that follows from a seed: act `n` stamps, zeroes or discards some blocks, after act
//! `n - 1` was completed. So how far he is says what his blocks hold, and every block that is read says which act it is of.
//! Some blocks are shared: there the last act of any writer may have won.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use floe::{BLOCK_BYTES, Drive, Error, ErrorKind, SnapshotOptions};

use crate::dice::{Dice, mix};

pub const BLOCK_LEN: usize = BLOCK_BYTES as usize;
const WORDS: usize = BLOCK_LEN / 8;

/// Locked, even if somebody who had it locked failed: his failure is the one to report.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A block of a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub drive: usize,
    pub block: u64,
}

/// Every byte of a stamped block follows from these, so a torn block is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    writer: u64,
    act: u64,
    place: Place,
}

impl Stamp {
    fn bytes(self) -> Vec<u8> {
        let head = [self.writer, self.act, self.place.drive as u64, self.place.block];
        let seed = head.iter().fold(1, |sum, word| mix(sum ^ *word));
        let words = head.into_iter().chain((head.len()..WORDS).map(|word| mix(seed ^ word as u64)));
        words.flat_map(u64::to_le_bytes).collect()
    }

    /// The stamp of a block, or `None` for zeroes.
    fn of(bytes: &[u8]) -> Result<Option<Self>, String> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let word = |index: usize| u64::from_le_bytes(bytes[index * 8..][..8].try_into().expect("a word is 8 bytes long"));
        let stamp = Self { writer: word(0), act: word(1), place: Place { drive: word(2) as usize, block: word(3) } };
        if stamp.bytes() == bytes { Ok(Some(stamp)) } else { Err(format!("a torn block that begins as {stamp:?}")) }
    }
}

/// Which blocks there are: `own` of each writer on each drive, then `shared` of all of them.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub drives: usize,
    pub writers: u64,
    pub own: u64,
    pub shared: u64,
}

impl Layout {
    pub fn drive_bytes(self) -> u64 {
        (self.writers * self.own + self.shared) * BLOCK_BYTES
    }

    fn owner(self, place: Place) -> Option<u64> {
        (place.block < self.writers * self.own).then_some(place.block / self.own)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Stamp,
    Zero,
    Discard,
}

/// One call of a writer.
#[derive(Clone, Copy, Debug)]
struct Act {
    first: Place,
    blocks: u64,
    kind: Kind,
}

impl Act {
    fn touches(&self, place: Place) -> bool {
        place.drive == self.first.drive && (self.first.block..self.first.block + self.blocks).contains(&place.block)
    }
}

/// One who writes, and how far he is.
pub struct Writer {
    number: u64,
    seed: u64,
    layout: Layout,
    begun: AtomicU64,
    completed: AtomicU64,
    /// Acts that the full store refused.
    refused: Mutex<BTreeSet<u64>>,
}

impl Writer {
    fn new(number: u64, seed: u64, layout: Layout) -> Self {
        let (begun, completed) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { number, seed: mix(seed ^ number << 32), layout, begun, completed, refused: Mutex::default() }
    }

    fn act(&self, number: u64) -> Act {
        let mut dice = Dice::new(self.seed ^ mix(number));
        let drive = dice.below(self.layout.drives as u64) as usize;
        let Layout { writers, own, shared, .. } = self.layout;
        let (block, blocks) = match dice.below(own + shared) {
            // No run reaches into the next writer's blocks.
            within if within < own && dice.below(8) > 0 => (self.number * own + within, (1 + dice.below(4)).min(own - within)),
            // Long enough to make a scattered image whole.
            within if within < own => (self.number * own, own),
            within => (writers * own + within - own, 1),
        };
        let kind = match dice.below(8) {
            0 => Kind::Zero,
            1 => Kind::Discard,
            _ => Kind::Stamp,
        };
        // Most writes that are not long are of one block.
        let blocks = if kind == Kind::Stamp && blocks < own && dice.below(4) > 0 { 1 } else { blocks };
        Act { first: Place { drive, block }, blocks, kind }
    }

    /// Does the next act. A full store may refuse it.
    ///
    /// # Errors
    /// Whatever the drive says, but for `NoSpace`.
    pub fn work(&self, drives: &[Drive]) -> Result<(), Error> {
        let number = self.begun.load(Ordering::SeqCst) + 1;
        let act = self.act(number);
        let (drive, offset) = (&drives[act.first.drive], act.first.block * BLOCK_BYTES);
        let range = offset..offset + act.blocks * BLOCK_BYTES;
        self.begun.store(number, Ordering::SeqCst);
        let result = match act.kind {
            Kind::Stamp => drive.write_at(&self.stamps(number, &act), offset),
            Kind::Zero => drive.write_zeroes(range),
            Kind::Discard => drive.discard(range),
        };
        match result {
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                lock(&self.refused).insert(number);
            }
            other => other?,
        }
        self.completed.store(number, Ordering::SeqCst);
        Ok(())
    }

    fn stamps(&self, number: u64, act: &Act) -> Vec<u8> {
        let places = (0..act.blocks).map(|block| Place { block: act.first.block + block, ..act.first });
        places.flat_map(|place| Stamp { writer: self.number, act: number, place }.bytes()).collect()
    }

    /// Does act `number` change what is at `place`?
    fn changes(&self, number: u64, place: Place) -> bool {
        self.act(number).touches(place) && !lock(&self.refused).contains(&number)
    }

    /// What act `number` leaves at `place`.
    fn leaves(&self, number: u64, place: Place) -> Option<Stamp> {
        let stamps = number > 0 && self.act(number).kind == Kind::Stamp;
        stamps.then_some(Stamp { writer: self.number, act: number, place })
    }

    /// The last act up to `number` that changed what is at `place`; 0 if none did.
    fn last(&self, number: u64, place: Place) -> u64 {
        (1..=number).rev().find(|number| self.changes(*number, place)).unwrap_or(0)
    }

    fn own_places(&self, drive: usize) -> impl Iterator<Item = Place> {
        let first = self.number * self.layout.own;
        (first..first + self.layout.own).map(move |block| Place { drive, block })
    }
}

/// How many acts of each writer, at some moment.
pub type Counts = Vec<u64>;

/// The bytes of some drives as somebody saw them, by the drive's number.
pub type Images = [(usize, Vec<u8>)];

/// All who write to some drives.
pub struct Writers {
    pub all: Vec<Writer>,
    layout: Layout,
}

impl Writers {
    pub fn new(layout: Layout, seed: u64) -> Self {
        Self { all: (0..layout.writers).map(|number| Writer::new(number, seed, layout)).collect(), layout }
    }

    /// Acts that nobody may miss from now on.
    pub fn completed(&self) -> Counts {
        self.all.iter().map(|writer| writer.completed.load(Ordering::SeqCst)).collect()
    }

    /// Acts that anybody may have seen until now.
    pub fn begun(&self) -> Counts {
        self.all.iter().map(|writer| writer.begun.load(Ordering::SeqCst)).collect()
    }

    /// D1, of a read that began after the acts `completed` and ended before those behind `begun` began: each block is of the last
    /// act, or, if acts were under way, each byte is of one of them or of what was there before.
    pub fn judge_read(&self, place: Place, bytes: &[u8], completed: &Counts, begun: &Counts) -> Result<(), String> {
        let (wanted, under_way) = self.admissible(place, completed, begun);
        if !under_way {
            return judge_block(place, bytes, &wanted);
        }
        let wanted: Vec<Vec<u8>> = wanted.iter().map(|stamp| stamp.map_or_else(|| vec![0; BLOCK_LEN], Stamp::bytes)).collect();
        match bytes.iter().enumerate().find(|(at, byte)| !wanted.iter().any(|bytes| bytes[*at] == **byte)) {
            None => Ok(()),
            Some((at, _)) => Err(format!("byte {at} of {place:?} is of no write that was under way or before")),
        }
    }

    /// D2 and D3: each block is of the last act up to `flushed` or of a later one that has begun, whole.
    pub fn judge_after_cut(&self, images: &Images, flushed: &Counts, begun: &Counts) -> Result<(), String> {
        self.judge_blocks(images, flushed, begun)
    }

    /// D4, of a frozen image that was taken after the acts `completed` and before those behind `begun`: for each writer it is
    /// what his first `n` acts leave, for one `n` between.
    pub fn judge_instant(&self, images: &Images, completed: &Counts, begun: &Counts) -> Result<(), String> {
        self.judge_blocks(images, completed, begun)?;
        self.all.iter().try_for_each(|writer| {
            let number = writer.number as usize;
            writer.judge_prefix(images, completed[number]..=begun[number])
        })
    }

    /// How many acts found no space.
    pub fn refused(&self) -> usize {
        self.all.iter().map(|writer| lock(&writer.refused).len()).sum()
    }

    fn judge_blocks(&self, images: &Images, least: &Counts, most: &Counts) -> Result<(), String> {
        for (drive, image) in images {
            for (block, bytes) in (0..).zip(image.chunks(BLOCK_LEN)) {
                let place = Place { drive: *drive, block };
                judge_block(place, bytes, &self.admissible(place, least, most).0)?;
            }
        }
        Ok(())
    }

    /// What may lie at `place` when each writer did at least and at most so many acts; and whether that is still open.
    fn admissible(&self, place: Place, least: &Counts, most: &Counts) -> (Vec<Option<Stamp>>, bool) {
        let owner = self.layout.owner(place);
        let writers = self.all.iter().filter(|writer| owner.is_none_or(|owner| owner == writer.number));
        let (mut before, mut since) = (Vec::new(), Vec::new());
        for writer in writers {
            let number = writer.number as usize;
            before.push((writer, writer.last(least[number], place)));
            let later = (least[number] + 1..=most[number]).filter(|act| writer.changes(*act, place));
            since.extend(later.map(|act| writer.leaves(act, place)));
        }
        let under_way = !since.is_empty();
        // Where nobody wrote there is nothing; where several did, each one's last act may have been the last of all.
        if before.iter().any(|(_, act)| *act > 0) {
            before.retain(|(_, act)| *act > 0);
        }
        since.extend(before.iter().map(|(writer, act)| writer.leaves(*act, place)));
        (since, under_way)
    }
}

impl Writer {
    fn judge_prefix(&self, images: &Images, acts: RangeInclusive<u64>) -> Result<(), String> {
        let mut found = Vec::new();
        for (drive, image) in images {
            for place in self.own_places(*drive) {
                found.push((place, Stamp::of(&image[place.block as usize * BLOCK_LEN..][..BLOCK_LEN])?));
            }
        }
        let newest = found.iter().filter_map(|(_, stamp)| *stamp).map(|stamp| stamp.act).max().unwrap_or(0);
        let is_prefix = |act: u64| found.iter().all(|(place, stamp)| self.leaves(self.last(act, *place), *place) == *stamp);
        if (newest.max(*acts.start())..=*acts.end()).any(is_prefix) {
            return Ok(());
        }
        let stamps: Vec<_> =
            found.iter().map(|(place, stamp)| (place.drive, place.block, stamp.map(|stamp| stamp.act))).collect();
        Err(format!("no n in {acts:?} leaves what is there of writer {} (drive, block, act): {stamps:?}", self.number))
    }
}

fn judge_block(place: Place, bytes: &[u8], wanted: &[Option<Stamp>]) -> Result<(), String> {
    let found = Stamp::of(bytes).map_err(|torn| format!("{place:?}: {torn}"))?;
    if wanted.contains(&found) { Ok(()) } else { Err(format!("{place:?} holds {found:?}; it may hold {wanted:?}")) }
}

/// A3, of a drive that nobody uses any more and whose blocks are settled: what is there is written again, and no checksum says
/// that it is something else.
pub fn expect_equal_writes_to_change_nothing(drive: &Drive) {
    let frozen = drive.snapshot(SnapshotOptions::default()).unwrap();
    let mut bytes = vec![0; frozen.size_bytes() as usize];
    frozen.read_at(&mut bytes, 0).unwrap();
    drive.write_at(&bytes, 0).unwrap();
    assert_eq!(frozen.allocated_size().unwrap(), 0, "A3: a checksum is not that of its block");
    frozen.delete().unwrap();
}
