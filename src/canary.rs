//! Which deliberate mistake does the engine make?
//!
//! None, unless the feature `canary` is on and a test asks for one. Each is a mistake that an engine like this could really
//! have; the tests of power cuts, errors and rot must find every one of them, else they prove nothing.

#[cfg(feature = "canary")]
use std::sync::atomic::{AtomicU8, Ordering};

macro_rules! canaries {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A mistake that the engine makes on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Canary {
            $($(#[$doc])* $name,)*
        }

        #[cfg(feature = "canary")]
        impl Canary {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

canaries! {
    /// The superblock is written before the pages that it names are durable.
    SuperblockBeforeSync,
    /// A superblock is believed though what its commit record lists is not there.
    RecordBelieved,
    /// A block that the last commit record lists is overwritten where it lies.
    ListedOverwritten,
    /// A snapshot is believed to hold what was overwritten where it lies and is not durable.
    OverwrittenNotListed,
    /// A freed tree page is handed out again before the commit that freed it is durable.
    PageReusedAtOnce,
    /// The same with a freed block of data.
    BlockReusedAtOnce,
    /// A commit writes its superblock over the last one.
    SuperblockOverwritten,
    /// A commit writes a bitmap into the slot that the last commit names.
    BitmapOverwritten,
    /// The same with a page of checksums.
    ChecksumsOverwritten,
    /// A block that a snapshot holds is overwritten where it lies.
    FrozenOverwritten,
    /// What the superblock lists of the space map does not count when the store is opened.
    SpaceChangesForgotten,
    /// A commit leaves out what changed in a birth histogram.
    HistogramForgotten,
    /// A commit leaves out how far a deletion has got.
    CursorForgotten,
    /// A shrink that is interrupted is not finished when the store is opened.
    TrimForgotten,
    /// A flush that needs no commit does not sync either.
    FlushWithoutSync,
    /// After an unclean shutdown checksums count as evidence that are none.
    UnsettledForgotten,
    /// The store still counts as clean when the first block is overwritten.
    InUseForgotten,
    /// A deleted bookmark or parent lets blocks be overwritten where they lie before it is durably gone.
    FloorForgotten,
    /// A failed sync is reported, and then everything goes on.
    PoisonForgotten,
    /// A block is overwritten where it lies, and its checksum stays.
    ChecksumForgotten,
}

#[cfg(feature = "canary")]
static SINGING: AtomicU8 = AtomicU8::new(u8::MAX);

/// From now on every store of this process makes this mistake, or none.
#[cfg(feature = "canary")]
pub fn make(mistake: Option<Canary>) {
    SINGING.store(mistake.map_or(u8::MAX, |canary| canary as u8), Ordering::SeqCst);
}

/// Is this mistake to be made?
#[cfg(feature = "canary")]
pub(crate) fn makes(mistake: Canary) -> bool {
    SINGING.load(Ordering::Relaxed) == mistake as u8
}

/// No mistake is made on purpose.
#[cfg(not(feature = "canary"))]
pub(crate) const fn makes(_mistake: Canary) -> bool {
    false
}
