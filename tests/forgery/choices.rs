//! How are bytes that somebody else chose turned into decisions?
//!
//! Front to back, and when they run out everything is 0: so any bytes say something, and fewer bytes say less.

use super::bench::BLOCK;

/// Numbers at which things end, and their neighbours.
const ENDS: [u64; 14] =
    [0, 1, 255, 169, 32_511, 32_768, 33_280, u32::MAX as u64, 1 << 40, (1 << 48) - 1, 1 << 51, 1 << 63, u64::MAX - 1, u64::MAX];

/// What is left of the bytes.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    /// Is nothing left to choose from?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// One of `count` things, of which there is at least one.
    pub fn index(&mut self, count: usize) -> usize {
        assert!(count > 0, "there is nothing to choose from");
        if count <= 256 { usize::from(self.byte()) % count } else { self.little(2) as usize % count }
    }

    /// One of the things.
    pub fn one_of<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.index(things.len())]
    }

    /// A number of so many bytes.
    pub fn little(&mut self, width: usize) -> u64 {
        (0..width).fold(0, |number, index| number | u64::from(self.byte()) << (8 * index))
    }

    /// A place in a page.
    pub fn place(&mut self) -> usize {
        self.little(2) as usize % BLOCK
    }

    /// Any number: small, large, or one at which something ends.
    pub fn number(&mut self) -> u64 {
        match self.byte() % 8 {
            0..4 => self.little(1),
            4 => self.little(2),
            5 => self.little(6),
            6 => self.little(8),
            _ => self.one_of(&ENDS).wrapping_add(u64::from(self.byte() % 3)).wrapping_sub(1),
        }
    }
}
