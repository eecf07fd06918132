//! Where in a map does an object's number stand?
//!
//! Numbers are given one after the other, and what is looked up together was often made together: drive by drive, snapshot by snapshot.
//! So neighbours get neighbouring places, and going through a history goes through memory in order.

use std::hash::{BuildHasherDefault, Hasher};

/// Puts numbers in a row; what is as far apart as powers of two is too in the upper bits, which count as well.
#[derive(Default)]
pub(super) struct NumberHasher(u64);

/// For maps whose keys are object numbers.
pub(super) type NumberHash = BuildHasherDefault<NumberHasher>;

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        let number = self.0;
        // A map takes the place from the lower bits, and tells those of one place apart by the upper seven.
        number << 57 ^ number ^ number >> 10 ^ number >> 20
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
