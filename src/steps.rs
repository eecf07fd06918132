//! How is a table walked without keeping others out of it?
//!
//! In steps: each takes the catalog's lock, finds some ranges, and lets go of it again.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use crate::engine::WALK_STEP;
use crate::error::Result;
use crate::units::{BLOCK_BYTES, LogicalBlock};

/// What one step finds.
pub(crate) struct Found<'a, K> {
    pieces: &'a mut VecDeque<(Range<LogicalBlock>, K)>,
    from: LogicalBlock,
    end: LogicalBlock,
    at: &'a mut LogicalBlock,
    count: usize,
}

impl<K: PartialEq> Found<'_, K> {
    /// Takes a range of one kind; everything before its end is found then.
    pub fn push(&mut self, range: Range<LogicalBlock>, kind: K) -> ControlFlow<()> {
        if range.start >= self.end {
            return ControlFlow::Break(());
        }
        // An extent that the last step saw in part may have grown to the left.
        let start = range.start.max(self.from);
        match self.pieces.back_mut() {
            Some((last, like)) if last.end == start && *like == kind => last.end = range.end,
            _ => self.pieces.push_back((start..range.end, kind)),
        }
        self.pass(range.end)
    }

    /// Notes that there is nothing before `end`.
    pub fn pass(&mut self, end: LogicalBlock) -> ControlFlow<()> {
        *self.at = end;
        self.count += 1;
        if self.count < WALK_STEP && end < self.end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// A walk in steps.
pub(crate) struct Steps<K> {
    pieces: VecDeque<(Range<LogicalBlock>, K)>,
    at: LogicalBlock,
    /// What is asked for, in bytes.
    asked: Range<u64>,
    size: u64,
    done: bool,
}

impl<K> Default for Steps<K> {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), at: LogicalBlock(0), asked: 0..u64::MAX, size: 0, done: false }
    }
}

impl<K: PartialEq> Steps<K> {
    /// Looks at `range`, in bytes, alone.
    pub fn limit(&mut self, range: Range<u64>) {
        self.at = LogicalBlock::holding(range.start);
        self.done = range.is_empty();
        self.asked = range;
    }

    /// The next range in bytes and its kind. `step` finds ranges from a block on and returns the image's length. The last range
    /// found is kept back until it is known that it does not go on.
    pub fn next(
        &mut self,
        mut step: impl FnMut(LogicalBlock, &mut Found<'_, K>) -> Result<u64>,
    ) -> Option<Result<(Range<u64>, K)>> {
        let end = LogicalBlock(self.asked.end.div_ceil(BLOCK_BYTES));
        loop {
            while self.pieces.len() < 2 && !self.done {
                let mut found = Found { pieces: &mut self.pieces, from: self.at, end, at: &mut self.at, count: 0 };
                match step(found.from, &mut found) {
                    Ok(size) => {
                        self.done = found.count < WALK_STEP || *found.at >= end;
                        self.size = size;
                    }
                    Err(error) => {
                        self.done = true;
                        self.pieces.clear();
                        return Some(Err(error));
                    }
                }
            }
            let (blocks, kind) = self.pieces.pop_front()?;
            // Behind the end of the image there is nothing to tell.
            let until = blocks.end.0.saturating_mul(BLOCK_BYTES).min(self.size).min(self.asked.end);
            let range = blocks.start.offset().max(self.asked.start)..until;
            if !range.is_empty() {
                return Some(Ok((range, kind)));
            }
        }
    }
}
