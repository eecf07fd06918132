//! Where do two tables map a block differently?
//!
//! Both are read from left to right side by side. A subtree that both hold is skipped without being read, so comparing two
//! tables costs as much as they differ, whatever their size.
//!
//! What makes the skipping safe and certain:
//! 1. The same page means the same extents; what was pending before it on either side has been dealt with when it comes up.
//! 2. A page that does not change keeps the key that its parent has for it, so a page that both hold comes up under the same
//!    key on both sides. The side with the smaller key therefore goes first, and at equal keys the higher page: neither can
//!    be what the other side is waiting for. (A root has no such key and counts as starting at 0; that costs one page.)

use std::cmp::{Ordering, Reverse};
use std::ops::ControlFlow;

use super::extent;
use super::lookup::at_or_before;
use crate::error::{Error, Result};
use crate::format::entry::Extent;
use crate::format::page::{PagePointer, Root};
use crate::tree::Pages;
use crate::tree::entries::{Part, differing_parts, parts};
use crate::units::LogicalBlock;

/// A run of blocks that two tables map differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// First block within the drives.
    pub logical: LogicalBlock,
    /// Length in blocks.
    pub blocks: u32,
    /// What the left table maps the run to, or nothing if it has a hole or a tombstone there.
    pub left: Option<Extent>,
    /// The same of the right table.
    pub right: Option<Extent>,
}

/// Calls `found` with each longest run at or behind `from` whose blocks the two tables map to different places, and each of
/// them to one extent or to none, in order. A tombstone is a hole; births do not matter.
pub fn diff<P: Pages>(
    pages: &P,
    left: &Root,
    right: &Root,
    from: LogicalBlock,
    mut found: impl FnMut(Change) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let mut left = Side::new(pages, left, from)?;
    let mut right = Side::new(pages, right, from)?;
    // The newest change waits here for the next one, which may continue it.
    let mut last: Option<Change> = None;
    while !(left.pending.is_empty() && right.pending.is_empty()) {
        if left.stands_at_page_of(&right) {
            left.pending.pop();
            right.pending.pop();
            continue;
        }
        let (left_piece, right_piece) = match left.turn().cmp(&right.turn()) {
            Ordering::Equal if left.height() > 0 => {
                Side::expand_both(&mut left, &mut right)?;
                continue;
            }
            Ordering::Less => (left.advance(right.key())?, None),
            Ordering::Greater => (None, right.advance(left.key())?),
            Ordering::Equal => {
                let end = left.end().min(right.end());
                (left.advance(end)?, right.advance(end)?)
            }
        };
        let Some(change) = Change::between(left_piece, right_piece) else { continue };
        last = Some(match last {
            Some(last) if last.continues_with(&change) => last.joined(&change),
            Some(last) if found(last)?.is_break() => return Ok(()),
            _ => change,
        });
    }
    if let Some(last) = last {
        let _done = found(last)?;
    }
    Ok(())
}

impl Change {
    /// What differs between two pieces of the same blocks, if anything does.
    fn between(left: Option<Extent>, right: Option<Extent>) -> Option<Self> {
        let data = |extent: Option<Extent>| extent.filter(|extent| extent.physical.is_some());
        let (left, right) = (data(left), data(right));
        let some = left.or(right)?;
        let place = |extent: Option<Extent>| extent.and_then(|extent| extent.physical);
        let change = Self { logical: some.logical, blocks: some.blocks, left, right };
        (place(left) != place(right)).then_some(change)
    }

    fn continues_with(&self, next: &Self) -> bool {
        let side = |first: &Option<Extent>, second: &Option<Extent>| match (first, second) {
            (Some(first), Some(second)) => first.continues_with(second),
            (None, None) => true,
            _ => false,
        };
        side(&self.left, &next.left) && side(&self.right, &next.right)
    }

    fn joined(&self, next: &Self) -> Self {
        let blocks = self.blocks + next.blocks;
        let side = |extent: Option<Extent>| extent.map(|extent| Extent { blocks, ..extent });
        Self { logical: self.logical, blocks, left: side(self.left), right: side(self.right) }
    }
}

/// What of a table is still to be compared.
struct Side<'p, P> {
    pages: &'p P,
    /// What begins behind everything before `from` that matters: `from` itself, or the extent that reaches into it.
    first: u64,
    from: LogicalBlock,
    /// Unread pages and extents, the leftmost on top.
    pending: Vec<Pending>,
}

#[derive(Clone, Copy)]
enum Pending {
    Page { key: u64, pointer: PagePointer, level: u8 },
    Extent(Extent),
}

impl<'p, P: Pages> Side<'p, P> {
    fn new(pages: &'p P, root: &Root, from: LogicalBlock) -> Result<Self> {
        let first = at_or_before(pages, root, from)?.map_or(from, |extent| extent.logical).0;
        let top = root.pointer.map(|pointer| Pending::Page { key: 0, pointer, level: root.level });
        Ok(Self { pages, first, from, pending: top.into_iter().collect() })
    }

    /// Nothing of this side is left before this key.
    fn key(&self) -> u64 {
        match self.pending.last() {
            Some(Pending::Page { key, .. }) => *key,
            Some(Pending::Extent(extent)) => extent.logical.0,
            None => u64::MAX,
        }
    }

    /// Where the extent on top ends.
    fn end(&self) -> u64 {
        match self.pending.last() {
            Some(Pending::Extent(extent)) => extent.end().0,
            _ => u64::MAX,
        }
    }

    /// The side with the lesser turn goes first.
    fn turn(&self) -> (u64, Reverse<u8>) {
        (self.key(), Reverse(self.height()))
    }

    fn height(&self) -> u8 {
        match self.pending.last() {
            Some(Pending::Page { level, .. }) => level + 1,
            _ => 0,
        }
    }

    fn stands_at_page_of(&self, other: &Self) -> bool {
        match (self.pending.last(), other.pending.last()) {
            (
                Some(Pending::Page { pointer, level, .. }),
                Some(Pending::Page { pointer: other_pointer, level: other_level, .. }),
            ) => pointer.page == other_pointer.page && level == other_level,
            _ => false,
        }
    }

    /// Puts what stands in the page on top in its place, or takes the extent on top as far as it reaches before `end`.
    fn advance(&mut self, end: u64) -> Result<Option<Extent>> {
        match self.pending.pop() {
            None => Ok(None),
            Some(Pending::Extent(extent)) => {
                let end = extent.end().0.min(end);
                if end < extent.end().0 {
                    self.pending.push(Pending::Extent(extent.part(LogicalBlock(end), extent.end())));
                }
                Ok(Some(extent.part(extent.logical, LogicalBlock(end))))
            }
            Some(Pending::Page { key, pointer, level }) => {
                self.put_back(key, pointer, parts(self.pages, pointer, level, self.first)?)?;
                Ok(None)
            }
        }
    }

    /// Puts what stands in the pages on top of two sides in their place, but for what stands in both.
    fn expand_both(left: &mut Self, right: &mut Self) -> Result<()> {
        if let (Some(Pending::Page { key: left_key, pointer: left_page, level }), Some(Pending::Page { key, pointer, .. })) =
            (left.pending.pop(), right.pending.pop())
        {
            let [left_parts, right_parts] = differing_parts(left.pages, [left_page, pointer], level, [left.first, right.first])?;
            left.put_back(left_key, left_page, left_parts.into_iter())?;
            right.put_back(key, pointer, right_parts.into_iter())?;
        }
        Ok(())
    }

    /// Puts what stands in a page in its place.
    fn put_back(&mut self, least: u64, page: PagePointer, parts: impl DoubleEndedIterator<Item = Part>) -> Result<()> {
        let mut next = self.key();
        for part in parts.rev() {
            let (Part::Child { key, .. } | Part::Entry { key, .. }) = part;
            // In a damaged tree several pointers could lead to one page, and the walk would last for ever; but no page
            // is read twice as long as keys rise.
            if key < least || key >= next {
                return Err(Error::corrupt(format!("page {}: its keys do not rise", page.page)));
            }
            next = key;
            match part {
                Part::Child { key, pointer, level } => self.pending.push(Pending::Page { key, pointer, level }),
                Part::Entry { key, value } => {
                    let extent = extent(key, &value)?;
                    if extent.end() > self.from {
                        self.pending.push(Pending::Extent(extent.part(self.from, extent.end())));
                    }
                }
            }
        }
        Ok(())
    }
}
