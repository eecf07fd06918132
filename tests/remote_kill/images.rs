//! What is on the drives?

use super::dice::{Dice, mix};

/// What a location keeps together.
pub const WINDOW: usize = 256 << 10;
const BLOCK: usize = 4096;
/// Contents that come again, so that what is about to be deleted is needed again.
const USUAL: u64 = 6;

/// Bytes that nothing can compress.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64 / 8).flat_map(|at| mix(seed << 32 ^ at).to_le_bytes()).collect()
}

pub fn full(seed: u64, windows: usize) -> Vec<u8> {
    noise(mix(seed) | 1, windows * WINDOW)
}

/// Changes a few windows: all of one, one block of it, or to zeroes.
pub fn change(image: &mut [u8], dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let window = dice.below((image.len() / WINDOW) as u64) as usize * WINDOW;
        let seed = match dice.below(2) {
            0 => dice.below(USUAL),
            _ => mix(dice.below(u64::MAX)),
        };
        match dice.below(4) {
            0 => image[window..][..WINDOW].fill(0),
            1 => image[window + dice.below(64) as usize * BLOCK..][..BLOCK].copy_from_slice(&noise(seed, BLOCK)),
            _ => image[window..][..WINDOW].copy_from_slice(&noise(seed, WINDOW)),
        }
    }
}

/// Bytes of blocks that are not zeroes.
pub fn data_bytes(image: &[u8]) -> u64 {
    image.chunks(BLOCK).filter(|block| block.iter().any(|byte| *byte != 0)).count() as u64 * BLOCK as u64
}
