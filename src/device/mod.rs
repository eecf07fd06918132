//! Where do bytes live?
//!
//! A device is a flat run of bytes that is read through a map, written by calls and made durable by `sync`. The engine
//! asks for nothing else, so a file, a block device and a simulated disk are interchangeable.

mod file;
mod map;
mod memory;
#[cfg(feature = "sim")]
pub mod sim;

pub use file::FileDevice;
pub use memory::MemoryDevice;

use std::io;
use std::ops::Range;

/// A promise that nobody writes the bytes that are lent while the slice lives. Only the engine can make it; a device that is
/// made of another one passes it on.
///
/// ```
/// /// A device that passes everything on to another one does so with this too.
/// fn mapped(inner: &dyn floe::Device, range: std::ops::Range<u64>, lend: floe::Lend) -> &[u8] {
///     inner.mapped(range, lend)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Lend(());

impl Lend {
    /// The caller keeps writers away from what is lent: it is a page that the last commit reaches, or a block that a pinned
    /// snapshot holds.
    pub(crate) const fn promise() -> Self {
        Self(())
    }
}

/// What the engine needs of the place where a store lives.
///
/// Offsets and lengths are in bytes. All methods may be called from several threads at once.
///
/// ```
/// use floe::Device;
///
/// let device = floe::MemoryDevice::new(1 << 20)?;
/// device.write_at(b"hello", 4096)?;
/// let mut bytes = [0; 5];
/// device.read_at(&mut bytes, 4096)?;
/// assert_eq!(&bytes, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Device: Send + Sync {
    /// Length in bytes; everything before it may be read.
    fn len_bytes(&self) -> u64;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Whatever the system says; reading past the end is `UnexpectedEof`.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `buf` at `offset`. What is written is visible to reads and through the map at once, and durable
    /// after the next `sync`.
    ///
    /// # Errors
    /// Whatever the system says; it is then unknown how much was written.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when everything written before the call survives a power cut.
    ///
    /// # Errors
    /// Whatever the system says; it is then unknown what is durable, and trying again would prove nothing.
    fn sync(&self) -> io::Result<()>;

    /// Secures space for `range`, so that writing there cannot fail for lack of it.
    ///
    /// # Errors
    /// `StorageFull` if there is none.
    fn allocate(&self, range: Range<u64>) -> io::Result<()>;

    /// Lengthens the device to `len_bytes`.
    ///
    /// # Errors
    /// Whatever the system says; a block device cannot be lengthened from here.
    fn grow(&self, len_bytes: u64) -> io::Result<()>;

    /// The bytes of `range` as they lie in memory. Only the engine can ask, see [`Lend`].
    ///
    /// # Panics
    /// If `range` reaches past the end.
    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8];

    /// Lets others open what is behind this device; the engine touches it no more, except that slices lent before may still
    /// be read.
    fn unlock(&self) {}

    /// Copies bytes out of the map. Unlike [`Device::mapped`] it may meet a write of the same bytes, and then yields
    /// some of the old and some of the new.
    ///
    /// # Errors
    /// As [`Device::read_at`].
    fn copy_mapped(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_at(buf, offset)
    }
}
