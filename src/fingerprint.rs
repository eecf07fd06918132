//! How does an image get a name that says what it holds?
//!
//! A tree of BLAKE3 digests over windows of the image, as `docs/format.md` defines it: who knows the digests of an image needs to
//! read only the windows that changed to know those of the next one, and windows can be digested by several at once. Holes, and
//! blocks written with zeroes, count for nothing, so equal images have equal fingerprints whatever their history.
//!
//! ```
//! use floe::fingerprint::{TreeHasher, WindowHasher, fingerprint};
//!
//! let mut window = WindowHasher::new();
//! window.update(3, &[7; 4096]);
//! let mut tree = TreeHasher::new();
//! tree.push(0, window.finish());
//! let of_data = fingerprint(1 << 20, tree.finish());
//! assert_ne!(of_data, fingerprint(1 << 20, None));
//! ```

use blake3::{Hash, Hasher};

use crate::units::{BLOCK_BYTES, BLOCK_LEN, DRIVE_BYTES_MAX};

/// Bytes of a window: the unit that digests are made of.
pub const WINDOW_BYTES: u64 = 256 * 1024;
/// Children of one digest of the tree.
pub const FANOUT: u64 = 256;
/// Levels of digests above the windows: enough for the largest drive.
pub const LEVELS: u32 = 6;

const WINDOWS_MAX: u64 = FANOUT.pow(LEVELS);
const WINDOW_BLOCKS: u64 = WINDOW_BYTES / BLOCK_BYTES;
const TITLE: [u8; 20] = *b"floe image v2\0\0\0\0\0\0\0";
/// What stands for the root of an image without data.
const NO_ROOT: [u8; 32] = [0; 32];
static ZEROES: [u8; BLOCK_LEN] = [0; BLOCK_LEN];

const _: () = assert!(DRIVE_BYTES_MAX.div_ceil(WINDOW_BYTES) <= WINDOWS_MAX && WINDOW_BYTES.is_multiple_of(BLOCK_BYTES));

/// Makes the digest of one window.
///
/// ```
/// use floe::fingerprint::WindowHasher;
///
/// let mut window = WindowHasher::new();
/// window.update(64, &[0; 4096]);
/// assert_eq!(window.finish(), None);
///
/// let (mut short, mut padded) = (WindowHasher::new(), WindowHasher::new());
/// short.update(64, b"the end");
/// padded.update(64, b"the end\0\0");
/// assert_eq!(short.finish(), padded.finish());
/// ```
#[derive(Clone, Debug, Default)]
pub struct WindowHasher {
    hasher: Hasher,
    /// The last block that counts.
    last: Option<u64>,
}

impl WindowHasher {
    /// A window in which there is nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a block: its logical number within the image and up to 4096 bytes, which are padded with zeroes. One of nothing
    /// but zeroes counts for nothing.
    ///
    /// # Panics
    /// For more than a block, and if the blocks do not rise or are not of one window.
    pub fn update(&mut self, block: u64, bytes: &[u8]) {
        let padding = BLOCK_LEN.checked_sub(bytes.len()).expect("a block has no more than 4096 bytes");
        if bytes == &ZEROES[..bytes.len()] {
            return;
        }
        let follows = self.last.is_none_or(|last| last < block && last / WINDOW_BLOCKS == block / WINDOW_BLOCKS);
        assert!(follows, "block {block} does not follow block {:?} in its window", self.last);
        self.last = Some(block);
        self.hasher.update(&block.to_le_bytes());
        self.hasher.update(bytes);
        self.hasher.update(&ZEROES[..padding]);
    }

    /// The window's digest; `None` if it holds nothing but zeroes.
    #[must_use]
    pub fn finish(self) -> Option<Hash> {
        self.last.map(|_| self.hasher.finalize())
    }
}

/// The digest above some digests: slots 0 to 255 in rising order. `None` if there is none.
///
/// ```
/// use floe::fingerprint::digest_of;
///
/// let below = floe::Hash::from([7; 32]);
/// assert_eq!(digest_of([]), None);
/// assert_ne!(digest_of([(0, below)]), digest_of([(1, below)]));
/// ```
///
/// # Panics
/// If the slots do not rise.
pub fn digest_of(children: impl IntoIterator<Item = (u8, Hash)>) -> Option<Hash> {
    let mut open = Open::default();
    children.into_iter().for_each(|(slot, digest)| open.add(slot, &digest));
    open.finish()
}

/// An image's fingerprint, made of its length and of the root of its tree, the digest at level [`LEVELS`].
///
/// ```
/// use floe::fingerprint::fingerprint;
///
/// assert_ne!(fingerprint(4096, None), fingerprint(8192, None));
/// ```
#[must_use]
pub fn fingerprint(size_bytes: u64, root: Option<Hash>) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(&TITLE);
    hasher.update(&size_bytes.to_le_bytes());
    hasher.update(root.map_or(NO_ROOT, Into::into).as_slice());
    hasher.finalize()
}

/// Makes the root of a tree of its windows' digests, which come in rising order. Its memory does not grow with the image.
///
/// ```
/// use floe::fingerprint::{TreeHasher, digest_of};
///
/// let window = floe::Hash::from([7; 32]);
/// let mut tree = TreeHasher::new();
/// tree.push(2, Some(window));
/// tree.push(3, None);
/// let mut above = digest_of([(2, window)]);
/// for _ in 1..floe::fingerprint::LEVELS {
///     above = digest_of(above.map(|digest| (0, digest)));
/// }
/// assert_eq!(tree.finish(), above);
/// ```
#[derive(Clone, Debug, Default)]
pub struct TreeHasher {
    /// On each level the digest that is not done yet, and its place within its level.
    open: [(u64, Open); LEVELS as usize],
    last: Option<u64>,
}

impl TreeHasher {
    /// A tree without windows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the window of that number. One without a digest counts for nothing, as if it were left out.
    ///
    /// # Panics
    /// If the numbers do not rise, or if no drive has such a window.
    pub fn push(&mut self, window: u64, digest: Option<Hash>) {
        assert!(self.last.is_none_or(|last| last < window) && window < WINDOWS_MAX, "window {window} after {:?}", self.last);
        self.last = Some(window);
        if let Some(digest) = digest {
            self.add(0, window, digest);
        }
    }

    /// The root; `None` if there is nothing but zeroes.
    #[must_use]
    pub fn finish(mut self) -> Option<Hash> {
        for level in 0..self.open.len() - 1 {
            let (index, open) = std::mem::take(&mut self.open[level]);
            if let Some(digest) = open.finish() {
                self.add(level + 1, index, digest);
            }
        }
        let [.., (_, root)] = self.open;
        root.finish()
    }

    /// Adds the digest at `index` of a level to the one above. What is complete then goes further up.
    fn add(&mut self, mut level: usize, mut index: u64, mut digest: Hash) {
        loop {
            let (at, open) = &mut self.open[level];
            let complete = if *at == index / FANOUT { None } else { std::mem::take(open).finish() };
            let was = std::mem::replace(at, index / FANOUT);
            open.add((index % FANOUT) as u8, &digest);
            match complete {
                Some(complete) => (level, index, digest) = (level + 1, was, complete),
                None => return,
            }
        }
    }
}

/// A digest of digests that is not done yet.
#[derive(Clone, Debug, Default)]
struct Open {
    hasher: Hasher,
    last: Option<u8>,
}

impl Open {
    fn add(&mut self, slot: u8, digest: &Hash) {
        assert!(self.last.is_none_or(|last| last < slot), "slot {slot} after {:?}", self.last);
        self.last = Some(slot);
        self.hasher.update(&[slot]);
        self.hasher.update(digest.as_bytes());
    }

    fn finish(self) -> Option<Hash> {
        self.last.map(|_| self.hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(blocks: &[(u64, &[u8])]) -> Option<Hash> {
        let mut hasher = WindowHasher::new();
        blocks.iter().for_each(|(block, bytes)| hasher.update(*block, bytes));
        hasher.finish()
    }

    fn root(windows: &[(u64, Option<Hash>)]) -> Option<Hash> {
        let mut tree = TreeHasher::new();
        windows.iter().for_each(|(index, digest)| tree.push(*index, *digest));
        tree.finish()
    }

    #[test]
    fn digests_are_those_of_the_fixed_vectors() {
        let one = window(&[(0, &[1; 4096])]);
        let two = window(&[(64, &[2; 4096]), (65, &[0; 4096]), (127, b"the end")]);
        let vectors = [
            (one, "69c6a6c1c9faf44faf40b6ef90ea95939d09220bc83cb3ff6db70a66e6f0b3ad"),
            (two, "91b74984aa68646afe1b8e98fc4847f76fbf9284ed137510bfb0dd15ff43debd"),
            (
                digest_of([(0, one.unwrap()), (255, two.unwrap())]),
                "9b7de8fec0bfa4177f8e6897c5544821d9fe12efb25d0bc759c970f06f9466a3",
            ),
            (root(&[(0, one)]), "47003be47dc014fd7ecd13796bd52c8e4211b837f4d763ebddc9aad88080e5fd"),
            (
                root(&[(0, one), (1, two), (2, None), (65_535, two), (65_536, one), ((1 << 45) - 1, two)]),
                "bfe724b38eb4a48bfdbd464976fa8a28fd6415e82b804c99abd2cfa548cc5e4a",
            ),
            (Some(fingerprint(4096, None)), "13e3eb20570db791aeea6d20f534ee5850b557bb7e77b5e6ba7f96ab1b72bd43"),
            (Some(fingerprint(4096, root(&[(0, one)]))), "c3fcb6a7b64a2d2f87e4daad93dcc55eb1e9ba327aecf417d362a64c580c5fc4"),
        ];
        for (found, expected) in vectors {
            assert_eq!(found.unwrap().to_string(), expected);
        }
    }

    #[test]
    fn tree_of_windows_is_the_digests_of_digests() {
        let digest = |number: u64| Hash::from([number as u8; 32]);
        let windows = [3, 255, 256, 70_000, 70_001, 1 << 24, 1 << 40, (1 << 45) - 1];
        let mut level: Vec<(u64, Hash)> = windows.map(|index| (index, digest(index % 251))).to_vec();
        let found = root(&windows.map(|index| (index, Some(digest(index % 251)))));
        for _ in 0..LEVELS {
            let above = level.chunk_by(|(left, _), (right, _)| left / FANOUT == right / FANOUT).map(|children| {
                let slots = children.iter().map(|(index, digest)| ((index % FANOUT) as u8, *digest));
                (children[0].0 / FANOUT, digest_of(slots).unwrap())
            });
            level = above.collect();
        }
        assert_eq!(found.map(|root| vec![(0, root)]), Some(level));
    }

    #[test]
    fn nothing_but_zeroes_is_the_same_as_nothing() {
        assert_eq!(window(&[(0, &[0; 4096]), (5, &[])]), None);
        assert_eq!(window(&[(0, &[0; 4096]), (1, &[1])]), window(&[(1, &[1])]));
        assert_eq!(root(&[(0, None), (300, None)]), None);
        assert_eq!(fingerprint(8192, root(&[(7, None)])), fingerprint(8192, None));
    }

    #[test]
    #[should_panic(expected = "does not follow")]
    fn blocks_of_two_windows_are_not_one_window() {
        window(&[(63, &[1]), (64, &[1])]);
    }
}
