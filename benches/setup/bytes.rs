//! Which bytes are written?
//!
//! Never twice the same: a write that says what is there already changes nothing (A3), and would measure nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use super::BLOCK;
use super::nowhere::FILLING;

/// A buffer whose every block differs from all that were written before.
pub struct Fresh {
    bytes: Vec<u8>,
    serial: u64,
}

/// Where a block has its number: its first and last byte stay what they are.
const NUMBER: std::ops::Range<usize> = 8..16;

/// How many numbers a buffer has before those of the next buffer.
const NUMBERS: u64 = 1 << 40;

impl Fresh {
    pub fn new(length: u64) -> Self {
        Self::full_of(7, length)
    }

    /// Bytes that a device drops, if it is one that does.
    pub fn filling(length: u64) -> Self {
        Self::full_of(FILLING, length)
    }

    fn full_of(value: u8, length: u64) -> Self {
        static BUFFERS: AtomicU64 = AtomicU64::new(1);
        Self { bytes: vec![value; length as usize], serial: BUFFERS.fetch_add(1, Ordering::Relaxed) * NUMBERS }
    }

    pub fn next(&mut self) -> &[u8] {
        self.serial += 1;
        for block in self.bytes.chunks_mut(BLOCK as usize) {
            block[NUMBER].copy_from_slice(&self.serial.to_le_bytes());
        }
        &self.bytes
    }
}
