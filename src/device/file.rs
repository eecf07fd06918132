//! How is a regular file or a block device used as a device?

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Advice, FallocateFlags, SeekFrom, fadvise, fallocate, major, minor, seek};
use rustix::io::Errno;

use super::early::Early;
use super::map::Map;
use super::{Device, Lend};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::sync::Ordering;
use crate::sync::plain::AtomicU64;

/// A regular file or block device, locked for this handle alone.
///
/// Read through a shared map, written by `pwrite`, made durable by `fdatasync`.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// use std::sync::Arc;
///
/// // What `Store::options().create(path)` does:
/// let device = floe::FileDevice::create(&dir.path().join("vms.floe"), 1 << 30)?;
/// let store = floe::Store::options().create_on(Arc::new(device))?;
/// # Ok(())
/// # }
/// ```
pub struct FileDevice {
    file: File,
    map: Map,
    grows: bool,
    /// Writes since the length was last looked at, about.
    writes: AtomicU64,
    early: Early,
}

/// Bytes that are written at a time. The page cache keeps what one call writes in one piece, and ext4 walks through all of a piece
/// whenever a block of it is overwritten.
const WRITE_BYTES_MAX: usize = 16 * 1024;

/// Up to this length the map is read without a look whether all of it is in memory: few pages would be waited for.
const READ_UNASKED_MAX: usize = 64 * 1024;

/// Writes that may go by before the file's length is looked at again.
const WRITES_UNCHECKED_MAX: u64 = 32;

/// How a [`FileDevice`] is made.
///
/// ```
/// # fn main() -> floe::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("vms.floe");
/// use std::sync::Arc;
///
/// let device = floe::FileDevice::options().catch_bus_errors(false).create(&path, 1 << 30)?;
/// let store = floe::Store::options().create_on(Arc::new(device))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FileDeviceOptions {
    catches: bool,
}

impl FileDeviceOptions {
    /// As [`StoreOptions::catch_bus_errors`](crate::StoreOptions::catch_bus_errors). Default: true.
    #[must_use]
    pub fn catch_bus_errors(mut self, on: bool) -> Self {
        self.catches = on;
        self
    }

    /// Makes a sparse file of `len_bytes` at `path`, or takes the block device there as it is.
    ///
    /// # Errors
    /// `AlreadyExists` if a file with contents is there, `Locked` if it is in use, `NoSpace` or `Io` from the system.
    pub fn create(self, path: &Path, len_bytes: u64) -> Result<FileDevice> {
        let doing = || format!("create {}", path.display());
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).context(doing)?;
        lock(&file).context(doing)?;
        let metadata = file.metadata().context(doing)?;
        if metadata.file_type().is_block_device() {
            return FileDevice::over(file, false, self.catches).context(doing);
        }
        if !metadata.is_file() || metadata.len() > 0 {
            let message = "it exists already; choose another path or remove it first";
            return Err(Error::new(ErrorKind::AlreadyExists, message).context(doing()));
        }
        file.set_len(len_bytes).context(doing)?;
        FileDevice::over(file, true, self.catches).context(doing)
    }

    /// Opens what is at `path`.
    ///
    /// # Errors
    /// `NotFound`, `Locked` with the holder's process id, or `Io` from the system.
    pub fn open(self, path: &Path) -> Result<FileDevice> {
        let doing = || format!("open {}", path.display());
        let file = OpenOptions::new().read(true).write(true).open(path).context(doing)?;
        lock(&file).context(doing)?;
        let grows = file.metadata().context(doing)?.is_file();
        FileDevice::over(file, grows, self.catches).context(doing)
    }
}

impl FileDevice {
    /// How one shall be made.
    #[must_use]
    pub fn options() -> FileDeviceOptions {
        FileDeviceOptions { catches: true }
    }

    /// [`FileDeviceOptions::create`] with nothing chosen.
    ///
    /// # Errors
    /// As there.
    pub fn create(path: &Path, len_bytes: u64) -> Result<Self> {
        Self::options().create(path, len_bytes)
    }

    /// [`FileDeviceOptions::open`] with nothing chosen.
    ///
    /// # Errors
    /// As there.
    pub fn open(path: &Path) -> Result<Self> {
        Self::options().open(path)
    }

    /// A device over a file that is already ours.
    pub(super) fn over(file: File, grows: bool, catches: bool) -> Result<Self> {
        let len = length_of(&file).context(|| "find its length")?;
        let map = Map::new(&file, len, catches).context(|| "map it into memory")?;
        Ok(Self { file, map, grows, writes: AtomicU64::new(0), early: Early::default() })
    }

    /// Has somebody cut the file off? What is written behind its end makes a hole of what was cut off, and holes read as
    /// zeroes: so neither is a sync to succeed, nor are many writes to go on.
    fn check_length(&self) -> io::Result<()> {
        if !self.grows {
            return Ok(());
        }
        let (len, whole) = (length_of(&self.file)?, self.len_bytes());
        if len >= whole {
            return Ok(());
        }
        self.map.distrust();
        let message = format!("the file was cut off to {len} bytes, it had {whole}");
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, message))
    }

    /// Is there a hole in a range that was written once? Only a file that was cut off, and then written behind its end, has one.
    fn check_no_hole(&self, range: Range<u64>) -> io::Result<()> {
        let hole = match seek(&self.file, SeekFrom::Hole(range.start)) {
            Ok(hole) => hole,
            Err(Errno::NXIO) => range.start,
            // A file system that does not know its holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if hole < range.end {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the file was cut off, nothing is at {hole} any more"),
            ));
        }
        Ok(())
    }
}

/// Where a seek to the end leads. Not what `fstat` says: a block device's length is not in its metadata, and since Linux 6.13 the write after
/// an `fstat` must give the file a new time stamp, and its sync make that durable.
fn length_of(file: &File) -> io::Result<u64> {
    Ok(seek(file, SeekFrom::End(0))?)
}

impl Device for FileDevice {
    fn len_bytes(&self) -> u64 {
        self.map.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset + buf.len() as u64;
        if self.grows && self.map.faults(Lend::data()) > 0 && end <= self.len_bytes() {
            self.check_no_hole(offset..end)?;
        }
        self.file.read_exact_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let writes = self.writes.load(Ordering::Relaxed) + 1;
        if writes >= WRITES_UNCHECKED_MAX {
            self.check_length()?;
        }
        self.writes.store(writes % WRITES_UNCHECKED_MAX, Ordering::Relaxed);
        for (index, part) in buf.chunks(WRITE_BYTES_MAX).enumerate() {
            self.file.write_all_at(part, offset + (index * WRITE_BYTES_MAX) as u64)?;
        }
        self.early.wrote(&self.file, offset..offset + buf.len() as u64);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.early.forget();
        self.file.sync_data()?;
        self.check_length()
    }

    fn will_write(&self, range: Range<u64>) {
        if self.grows && self.check_length().is_ok() {
            let zeroes = vec![0; (range.end - range.start) as usize];
            // Whoever writes there hears what fails.
            self.file.write_all_at(&zeroes, range.start).unwrap_or_default();
        }
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        if !self.grows {
            return Ok(());
        }
        self.check_length()?;
        loop {
            match fallocate(&self.file, FallocateFlags::empty(), range.start, range.end - range.start) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                // A file system without it says at the write that it is full; nothing is ever written through the map.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn grow(&self, len_bytes: u64) -> io::Result<()> {
        if len_bytes <= self.len_bytes() {
            return Ok(());
        }
        if !self.grows {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a block device has the length it has"));
        }
        self.file.set_len(len_bytes)?;
        self.map.extend(&self.file, len_bytes)
    }

    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        self.map.slice(range, lend)
    }

    fn faults(&self, lend: Lend) -> u64 {
        self.map.faults(lend)
    }

    fn will_read(&self, range: Range<u64>) {
        // Advice that is not taken changes nothing.
        fadvise(&self.file, range.start, NonZero::new(range.end - range.start), Advice::WillNeed).unwrap_or_default();
    }

    fn unlock(&self) {
        // If it fails, the lock goes with the file's last handle.
        self.file.unlock().unwrap_or_default();
    }

    fn copy_mapped(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        // The map fetches what is not in memory page by page, a call reads ahead.
        if buf.len() > READ_UNASKED_MAX && !self.map.is_in_memory(offset..offset + buf.len() as u64) {
            return self.read_at(buf, offset);
        }
        // Once a part of the map could not be read, the file itself says what is there, or that it cannot.
        if self.map.copy(buf, offset) { Ok(()) } else { self.read_at(buf, offset) }
    }
}

fn lock(file: &File) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let holder = holder(file).map_or(String::from("another process"), |pid| format!("process {pid}"));
            Err(Error::new(ErrorKind::Locked, format!("{holder} has it open; a store has one user at a time")))
        }
        Err(TryLockError::Error(error)) => Err(Error::io("lock it", error)),
    }
}

/// The process that holds the lock, if the kernel tells: a line of `/proc/locks` is
/// `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`, with device and inode in the third-last field.
fn holder(file: &File) -> Option<u32> {
    let metadata = file.metadata().ok()?;
    let place = format!("{:02x}:{:02x}:{}", major(metadata.dev()), minor(metadata.dev()), metadata.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, at, ..] = fields[..] else { return None };
        (at == place).then(|| pid.parse().ok()).flatten()
    })
}
