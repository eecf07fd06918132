//! Where do bytes live?
//!
//! A device is a flat run of bytes that is read through a map, written by calls and made durable by `sync`. The engine
//! asks for nothing else, so a file, a block device and a simulated disk are interchangeable.

mod early;
mod file;
mod guard;
mod map;
mod memory;
#[cfg(feature = "sim")]
pub mod sim;

pub use file::{FileDevice, FileDeviceOptions};
pub use memory::MemoryDevice;

use std::io;
use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};

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
pub struct Lend {
    is_page: bool,
}

impl Lend {
    /// The caller keeps writers away from what is lent: a page of metadata that the last commit reaches.
    pub(crate) const fn page() -> Self {
        Self { is_page: true }
    }

    /// The caller keeps writers away from what is lent: blocks that a pinned snapshot holds.
    pub(crate) const fn data() -> Self {
        Self { is_page: false }
    }

    const fn is_page(self) -> bool {
        self.is_page
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

    /// Nothing is in `range`, and small pieces of it will be written soon, one after the other: a device that makes what was never written
    /// durable more slowly than the rest writes something there. A hint: who has nothing to gain by it does nothing.
    fn will_write(&self, _range: Range<u64>) {}

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

    /// How often reading what was lent like this has failed since the device was opened: what was lent may then be zeroes in
    /// part. A device that is made of another one passes the question on; one whose memory cannot fail has nothing to say.
    fn faults(&self, _lend: Lend) -> u64 {
        0
    }

    /// The bytes of `range` will be read soon: whoever can begin to fetch them may do so, but nobody is to wait for that. A device that is
    /// made of another one passes it on; one whose bytes are in memory has nothing to do.
    fn will_read(&self, _range: Range<u64>) {}

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

/// How often pages are looked at before a look counts as failed: a page that could not be read meanwhile may have been one of
/// somebody else's.
const LOOKS_MAX: u32 = 3;

/// Looks at pages of metadata where they lie in the map. If a page could not be read meanwhile, what was found may be made of
/// zeroes; then it is looked at again, which names the page, for now every page is checked.
///
/// # Errors
/// What `look` says, and `Io`.
pub fn look_at_pages<T>(device: &dyn Device, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..LOOKS_MAX {
        if let Some(result) = look_once(device, &mut look) {
            return result;
        }
    }
    look_at_pages_once(device, look)
}

/// The same for what cannot be done again.
///
/// # Errors
/// As [`look_at_pages`].
pub fn look_at_pages_once<T>(device: &dyn Device, look: impl FnOnce() -> Result<T>) -> Result<T> {
    look_once(device, look).unwrap_or_else(|| {
        let message = "a page of the store's metadata could not be read: the file was cut off, or its medium fails";
        Err(Error::new(ErrorKind::Io, message))
    })
}

/// What `look` says, unless a page could not be read meanwhile.
fn look_once<T>(device: &dyn Device, look: impl FnOnce() -> Result<T>) -> Option<Result<T>> {
    let faults = device.faults(Lend::page());
    let result = look();
    if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt) {
        // What a file lost when it was cut off is a hole once something is written behind it, and holes read as zeroes.
        let end = device.len_bytes().saturating_sub(1);
        if let Err(error) = device.read_at(&mut [0], end) {
            return Some(Err(Error::io("read the store's last byte", error)));
        }
    }
    (device.faults(Lend::page()) == faults).then_some(result)
}
