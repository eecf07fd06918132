//! How is a store kept in memory alone?

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::{MemfdFlags, memfd_create};

use super::{Device, FileDevice, Lend};

/// A device that lives in memory and is gone with its last handle: for tests and benchmarks.
///
/// Sparse: only what was written takes memory.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// use std::sync::Arc;
///
/// let device = Arc::new(floe::MemoryDevice::new(1 << 30).unwrap());
/// let store = floe::Store::options().create_on(device.clone())?;
/// store.close()?;
/// let store = floe::Store::options().open_on(device)?;
/// # Ok(())
/// # }
/// ```
pub struct MemoryDevice(FileDevice);

impl MemoryDevice {
    /// A device of `len_bytes` zeroes.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn new(len_bytes: u64) -> io::Result<Self> {
        let file = File::from(memfd_create("floe", MemfdFlags::CLOEXEC)?);
        file.set_len(len_bytes)?;
        // Nobody else has the file, so nobody cuts it off.
        FileDevice::over(file, true, false).map(Self).map_err(io::Error::other)
    }
}

impl Device for MemoryDevice {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn grow(&self, len_bytes: u64) -> io::Result<()> {
        self.0.grow(len_bytes)
    }

    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        self.0.mapped(range, lend)
    }

    fn copy_mapped(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.copy_mapped(buf, offset)
    }
}
