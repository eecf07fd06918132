//! In which units does the engine count?
//!
//! Every number that could be mistaken for another has a type of its own: a block of a drive is not a block of the
//! store, and an epoch is not a generation.

use std::fmt;

/// Bytes in one block of data and in one page of metadata.
pub const BLOCK_BYTES: u64 = 4096;

/// [`BLOCK_BYTES`] where a length in memory is meant.
pub const BLOCK_LEN: usize = BLOCK_BYTES as usize;

/// The largest drive: 2^63 bytes.
pub const DRIVE_BYTES_MAX: u64 = 1 << 63;

/// The smallest drive: one block.
pub const DRIVE_BYTES_MIN: u64 = BLOCK_BYTES;

macro_rules! counted {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counted! {
    /// Index of a 4 KiB block within a drive.
    LogicalBlock
}
counted! {
    /// Index of a 4 KiB block of data or page of metadata within the store. Block 0 is the first superblock, so 0 never names data.
    PhysicalBlock
}
counted! {
    /// Store-wide counter that rises by one with each freeze; the first epoch is 1.
    Epoch
}
counted! {
    /// Number of a commit; the first is 1.
    Generation
}

impl LogicalBlock {
    /// The block `count` blocks further.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }

    /// The block that holds byte `offset` of a drive.
    #[must_use]
    pub const fn holding(offset: u64) -> Self {
        Self(offset / BLOCK_BYTES)
    }

    /// The first block that starts at or after byte `offset` of a drive.
    #[must_use]
    pub const fn at_or_after(offset: u64) -> Self {
        Self(offset.div_ceil(BLOCK_BYTES))
    }

    /// Byte offset of this block within its drive. Fits: drives end at 2^63 bytes.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.0 * BLOCK_BYTES
    }
}

impl PhysicalBlock {
    /// The block `count` blocks further.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }

    /// Byte offset of this block within the store.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.0 * BLOCK_BYTES
    }
}

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Generation {
    /// The commit after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
