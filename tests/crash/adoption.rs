//! What must the model learn from a power cut?

use std::ops::Range;

use crate::model::{Held, Model, whole_blocks};

impl Model {
    /// May the block be overwritten where it lies: does nobody but the drive hold it?
    pub fn is_alone(&self, drive: usize, address: u64) -> bool {
        let held = self.drives[drive].image.blocks.get(&address);
        held.is_some_and(|held| !self.held_by_another(drive, address, held.identity))
    }

    /// A power cut left other bytes in a block that nobody but the drive holds.
    pub fn adopt(&mut self, drive: usize, address: u64, bytes: &[u8]) {
        assert!(self.is_alone(drive, address), "a block that others see cannot change");
        self.writes += 1;
        let identity = self.writes;
        let held = self.drives[drive].image.blocks.get_mut(&address).expect("it was just looked at");
        *held = Held { identity, born: held.born, bytes: bytes.into() };
    }

    /// The whole blocks of `range` become holes, up to `until`: what a discard has done that gets no further.
    pub fn discard_until(&mut self, drive: usize, range: &Range<u64>, until: u64) {
        let whole = whole_blocks(range, self.drives[drive].image.size);
        self.punch(drive, whole.start..until.clamp(whole.start, whole.end));
    }
}
