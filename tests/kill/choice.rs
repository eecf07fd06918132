//! What does a thread of the child do next?
//!
//! Whatever it chooses can be told from what is left after a kill: every stamp, name and attribute is new, and nothing is done
//! that would make a block of zeroes, or the same block twice, between two flushes.

use std::ops::Range;

use floe::{BLOCK_BYTES, Drive, Error, Snapshot, Store};

use crate::child::Worker;
use crate::operation::{Id, Operation};

const DRIVES_MAX: usize = 4;
const SNAPSHOTS_MAX: usize = 7;
const BOOKMARKS_MAX: usize = 3;
const SMALL_BLOCKS: u64 = 30;
/// More extents than one page of a table holds.
const WIDE_BLOCKS: u64 = 500;
const CAPACITY_MAX_BYTES: u64 = 400 << 20;
/// A part of a block that is shorter would not tell which write it is of.
const PART_MIN_BYTES: u64 = 8;

impl Worker<'_> {
    /// What comes next; several if the first ones prepare the last.
    pub fn choose(&mut self, store: &Store) -> Result<Vec<Operation>, Error> {
        let own = |id: Id| id.family() == self.family;
        let drives: Vec<Drive> = store.drives().into_iter().filter(|drive| own(Id::of(drive.uuid()))).collect();
        let snapshots: Vec<Snapshot> = store.snapshots().into_iter().filter(|snapshot| own(Id::of(snapshot.uuid()))).collect();
        let kind = self.dice.below(100);
        let Some(drive) = self.one_of(&drives) else { return Ok(vec![self.create_drive()]) };
        let snapshot = self.one_of(&snapshots);
        let id = Id::of(drive.uuid());
        let choice: Option<Operation> = match kind {
            0..22 => Some(self.write(drive)?),
            22..28 => Some(self.comb(drive)?),
            28..32 => Some(Operation::WriteSame { drive: id, range: self.range(drive)? }),
            32..38 => return self.write_zeroes(drive),
            38..44 => Some(Operation::Discard { drive: id, range: self.range(drive)? }),
            44..48 => return self.resize(drive),
            48..56 => Some(Operation::Flush),
            56..62 if snapshots.len() < SNAPSHOTS_MAX => Some(self.freeze(&[drive])),
            62..64 if snapshots.len() + drives.len() <= SNAPSHOTS_MAX => Some(self.freeze(&drives.iter().collect::<Vec<_>>())),
            64..67 if drives.len() < DRIVES_MAX => snapshot.map(|snapshot| self.clone_drive(snapshot)),
            67 | 68 if drives.len() < DRIVES_MAX => Some(self.create_drive()),
            69..72 => return snapshot.map_or(Ok(Vec::new()), |snapshot| self.revert(drive, snapshot)),
            72..77 => snapshot.map(|snapshot| Operation::DeleteSnapshot { snapshot: Id::of(snapshot.uuid()) }),
            77 | 78 => Some(Operation::DeleteDrive { drive: id }),
            79..81 if drive.bookmarks()?.len() < BOOKMARKS_MAX => Some(Operation::Bookmark { drive: id, name: self.name() }),
            81 => match drive.bookmarks()?.first() {
                Some(bookmark) => Some(Operation::DeleteBookmark { drive: id, name: bookmark.name()? }),
                None => None,
            },
            82 => Some(Operation::RenameDrive { drive: id, name: self.name() }),
            83 => snapshot.map(|snapshot| Operation::RenameSnapshot { snapshot: Id::of(snapshot.uuid()), name: self.name() }),
            84 => Some(Operation::DriveAttributes { drive: id, attributes: self.attributes() }),
            85 => snapshot.map(|snapshot| Operation::SnapshotAttributes {
                snapshot: Id::of(snapshot.uuid()),
                attributes: self.attributes(),
            }),
            86..97 => Some(Operation::Reclaim { budget: 1 + self.dice.below(40) }),
            97 if self.family == 0 => {
                let capacity = store.usage().capacity_bytes + (1 << 20);
                (capacity <= CAPACITY_MAX_BYTES).then_some(Operation::Grow { capacity })
            }
            98 => Some(Operation::Reopen),
            _ => None,
        };
        Ok(choice.into_iter().collect())
    }

    fn one_of<'t, T>(&mut self, things: &'t [T]) -> Option<&'t T> {
        (!things.is_empty()).then(|| &things[self.dice.below(things.len() as u64) as usize])
    }

    fn id(&self) -> Id {
        Id::new(self.family, self.child.number())
    }

    fn name(&self) -> String {
        format!("n{}", self.child.number())
    }

    /// Never twice the same ones.
    fn attributes(&mut self) -> Vec<u8> {
        let number = self.child.number().to_le_bytes();
        number.into_iter().cycle().take(8 + self.dice.below(2500) as usize).collect()
    }

    fn size(&mut self) -> u64 {
        let most = if self.dice.below(4) == 0 { WIDE_BLOCKS } else { SMALL_BLOCKS };
        let odd = if self.dice.below(2) == 0 { PART_MIN_BYTES + self.dice.below(BLOCK_BYTES - PART_MIN_BYTES) } else { 0 };
        (1 + self.dice.below(most)) * BLOCK_BYTES + odd
    }

    /// Some bytes of a drive: of each block that they touch enough.
    fn range(&mut self, drive: &Drive) -> Result<Range<u64>, Error> {
        let size = drive.size_bytes()?;
        let within = |at: u64| at % BLOCK_BYTES;
        let mut start = self.dice.below(size);
        if self.dice.below(2) == 0 {
            start -= within(start);
        }
        start -= within(start).saturating_sub(BLOCK_BYTES - PART_MIN_BYTES);
        start = start.min(size - PART_MIN_BYTES);
        let mut end = start + PART_MIN_BYTES + self.dice.below(4 * BLOCK_BYTES);
        if self.dice.below(2) == 0 {
            end = end.next_multiple_of(BLOCK_BYTES);
        }
        if within(end) < PART_MIN_BYTES {
            end -= within(end);
        }
        Ok(start..end.min(size))
    }

    fn create_drive(&mut self) -> Operation {
        Operation::CreateDrive { drive: self.id(), size: self.size(), name: self.name(), attributes: self.attributes() }
    }

    fn write(&mut self, drive: &Drive) -> Result<Operation, Error> {
        Ok(Operation::Write { drive: Id::of(drive.uuid()), range: self.range(drive)?, stamp: self.child.number() })
    }

    fn comb(&mut self, drive: &Drive) -> Result<Operation, Error> {
        let blocks = drive.size_bytes()? / BLOCK_BYTES;
        let (first, stride) = (self.dice.below(blocks), 1 + self.dice.below(3));
        let count = (1 + self.dice.below(150)).min((blocks - first).div_ceil(stride));
        Ok(Operation::Comb { drive: Id::of(drive.uuid()), first, stride, count, stamp: self.child.number() })
    }

    /// Zeroing parts of blocks can bring back what was there before they were written; a flush first leaves no doubt.
    fn write_zeroes(&mut self, drive: &Drive) -> Result<Vec<Operation>, Error> {
        let mut range = self.range(drive)?;
        let size = drive.size_bytes()?;
        for end in [range.start, range.end] {
            let block = end / BLOCK_BYTES * BLOCK_BYTES..(end / BLOCK_BYTES * BLOCK_BYTES + BLOCK_BYTES).min(size);
            let part = range.start.max(block.start)..range.end.min(block.end);
            if block.start < block.end && part.start < part.end && is_zero_without(drive, &block, &part)? {
                range = range.start.min(block.start)..range.end.max(block.end);
            }
        }
        Ok(vec![Operation::Flush, Operation::WriteZeroes { drive: Id::of(drive.uuid()), range }])
    }

    fn resize(&mut self, drive: &Drive) -> Result<Vec<Operation>, Error> {
        let (mut size, old) = (self.size(), drive.size_bytes()?);
        let block = size / BLOCK_BYTES * BLOCK_BYTES..(size / BLOCK_BYTES * BLOCK_BYTES + BLOCK_BYTES).min(old);
        if size < old && is_zero_without(drive, &block, &(size..block.end))? {
            size = block.start;
        }
        Ok(vec![Operation::Flush, Operation::Resize { drive: Id::of(drive.uuid()), size }])
    }

    fn freeze(&mut self, drives: &[&Drive]) -> Operation {
        let members = drives.iter().map(|drive| (Id::of(drive.uuid()), self.id())).collect();
        Operation::Freeze { members, name: self.name(), attributes: self.attributes() }
    }

    fn clone_drive(&mut self, snapshot: &Snapshot) -> Operation {
        Operation::Clone { snapshot: Id::of(snapshot.uuid()), drive: self.id(), name: self.name() }
    }

    /// Before it something is written that the snapshot does not hold, so that one sees whether the revert happened.
    fn revert(&mut self, drive: &Drive, snapshot: &Snapshot) -> Result<Vec<Operation>, Error> {
        let (id, snapshot) = (Id::of(drive.uuid()), Id::of(snapshot.uuid()));
        let mut operations = vec![
            Operation::Write { drive: id, range: 0..BLOCK_BYTES.min(drive.size_bytes()?), stamp: self.child.number() },
            Operation::Flush,
        ];
        if self.dice.below(2) == 0 {
            operations.push(self.write(drive)?);
        }
        operations.push(Operation::Revert { drive: id, snapshot });
        Ok(operations)
    }
}

/// Is nothing but zeroes left of a block that is not all zeroes, if a part of it becomes zeroes?
fn is_zero_without(drive: &Drive, block: &Range<u64>, part: &Range<u64>) -> Result<bool, Error> {
    let mut bytes = vec![0; (block.end - block.start) as usize];
    drive.read_at(&mut bytes, block.start)?;
    let was_zero = bytes.iter().all(|byte| *byte == 0);
    bytes[(part.start - block.start) as usize..(part.end - block.start) as usize].fill(0);
    Ok(!was_zero && bytes.iter().all(|byte| *byte == 0))
}
