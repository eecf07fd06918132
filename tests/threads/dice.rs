//! Where do numbers come from that look random and follow from a seed?

/// A number that looks random and follows from another.
pub fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// A source of numbers.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of the numbers below `sides`.
    pub fn below(&mut self, sides: u64) -> u64 {
        self.0 = mix(self.0);
        self.0 % sides
    }
}
