//! How does a device behave that loses power, fails and rots?
//!
//! A [`SimDevice`] is a page cache over a simulated [`Disk`]. What is written is seen at once and is durable after a sync; a power
//! cut keeps, loses or tears each unsynced write as a [`Loss`] and a seed decide; a [`Fault`] makes an operation fail. Nothing
//! here is random but by a seed, so a run is told by a few numbers and can be had again.

mod disk;
mod faults;
#[cfg(test)]
mod tests;

pub use disk::{Disk, Event, Loss};
pub use faults::{Asked, Failures, Fault, Lasts};

use std::io;
use std::ops::Range;

use super::{Device, Lend, MemoryDevice};
use crate::sync::Mutex;
use disk::SECTOR_BYTES;
use faults::Faults;

/// A device that can lose power, fail and rot on demand.
///
/// ```
/// use floe::Device;
/// use floe::sim::{Loss, SimDevice};
///
/// let device = SimDevice::new(1 << 20)?;
/// device.write_at(b"safe", 0)?;
/// device.sync()?;
/// device.write_at(b"gone", 4096)?;
/// let after = device.power_cut(Loss::Everything, 1)?;
/// let mut bytes = [0; 4];
/// after.read_at(&mut bytes, 0)?;
/// assert_eq!(&bytes, b"safe");
/// after.read_at(&mut bytes, 4096)?;
/// assert_eq!(bytes, [0; 4]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct SimDevice {
    /// What reads see.
    cache: MemoryDevice,
    state: Mutex<State>,
}

struct State {
    disk: Disk,
    faults: Faults,
    /// What was done to the disk so far, if somebody wants to know.
    events: Option<Vec<Event>>,
    /// What happens before a sync, and before how many others.
    meanwhile: Option<(u64, Box<dyn FnOnce() + Send>)>,
}

impl SimDevice {
    /// A device of `len_bytes` durable zeroes.
    ///
    /// # Errors
    /// Whatever the system says: the page cache is memory of its own.
    pub fn new(len_bytes: u64) -> io::Result<Self> {
        Self::over(Disk::new(len_bytes))
    }

    /// A device whose disk is `disk`, with the same in its page cache: nothing if it comes from a power cut, and what a failed sync
    /// lost if it does not.
    ///
    /// # Errors
    /// As [`SimDevice::new`].
    pub fn over(disk: Disk) -> io::Result<Self> {
        let cache = MemoryDevice::new(disk.len_bytes())?;
        disk.visit(|bytes, offset| cache.write_at(bytes, offset))?;
        Ok(Self { cache, state: Mutex::new(State { disk, faults: Faults::default(), events: None, meanwhile: None }) })
    }

    /// What a power cut at this moment leaves, as a device of its own. This one goes on as if nothing had happened.
    ///
    /// # Errors
    /// As [`SimDevice::new`].
    pub fn power_cut(&self, loss: Loss, seed: u64) -> io::Result<Self> {
        let disk = self.state.lock().disk.clone();
        Self::over(disk.after_power_cut(loss, seed))
    }

    /// The disk as it is now, unsynced writes included.
    #[must_use]
    pub fn disk(&self) -> Disk {
        self.state.lock().disk.clone()
    }

    /// Remembers from now on what is done to the disk.
    pub fn record(&self) {
        self.state.lock().events = Some(Vec::new());
    }

    /// How many events were recorded so far.
    #[must_use]
    pub fn recorded(&self) -> usize {
        self.state.lock().events.as_ref().map_or(0, Vec::len)
    }

    /// What was recorded; the recording ends.
    #[must_use]
    pub fn take_events(&self) -> Vec<Event> {
        self.state.lock().events.take().unwrap_or_default()
    }

    /// How many operations that can fail were asked for so far: reads, copies, writes, syncs, allocations, growths.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.lock().faults.operations()
    }

    /// Makes operations fail; `None` makes all succeed again.
    pub fn fail(&self, fault: Option<Fault>) {
        self.state.lock().faults.set(fault);
    }

    /// Did the fault strike yet?
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failures().first.is_some()
    }

    /// What failed since the fault was set.
    #[must_use]
    pub fn failures(&self) -> Failures {
        self.state.lock().faults.failures()
    }

    /// Calls `act` in the middle of the sync that comes after `skipped` others: what was written before is not durable yet, and
    /// what `act` writes will not be when the sync returns. So somebody else's operation comes between those of a commit, always at
    /// the same place.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use floe::Device;
    /// use floe::sim::SimDevice;
    ///
    /// let device = Arc::new(SimDevice::new(1 << 20)?);
    /// let other = Arc::clone(&device);
    /// device.during_sync(0, move || other.write_at(b"in between", 0).unwrap());
    /// device.record();
    /// device.sync()?;
    /// assert_eq!(device.recorded(), 2);
    /// assert!(device.disk().has_unsynced());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn during_sync(&self, skipped: u64, act: impl FnOnce() + Send + 'static) {
        self.state.lock().meanwhile = Some((skipped, Box::new(act)));
    }

    /// Whatever [`SimDevice::during_sync`] still waits for does not happen; true if there was something.
    pub fn forget_meanwhile(&self) -> bool {
        self.state.lock().meanwhile.take().is_some()
    }

    /// Turns one bit over, on the disk and in the page cache.
    ///
    /// # Errors
    /// As [`SimDevice::new`].
    pub fn rot(&self, offset: u64, bit: u8) -> io::Result<()> {
        let mut byte = [0];
        self.cache.read_at(&mut byte, offset)?;
        byte[0] ^= 1 << (bit % 8);
        self.cache.write_at(&byte, offset)?;
        self.state.lock().disk.rot(offset, bit % 8);
        Ok(())
    }

    /// Lets the block of 4 KiB at `offset` fall back to what it was before it was last written, as if the disk had lost that
    /// write though it acknowledged it. False if it was never written.
    ///
    /// # Errors
    /// As [`SimDevice::new`].
    pub fn lose_last_write(&self, offset: u64) -> io::Result<bool> {
        let Some((bytes, start)) = self.state.lock().disk.fall_back(offset) else { return Ok(false) };
        self.cache.write_at(&bytes[..], start)?;
        Ok(true)
    }
}

impl State {
    /// Another sync begins: is it the one in which something happens?
    fn meanwhile(&mut self) -> Option<Box<dyn FnOnce() + Send>> {
        let (skipped, act) = self.meanwhile.take()?;
        if skipped == 0 {
            return Some(act);
        }
        self.meanwhile = Some((skipped - 1, act));
        None
    }

    fn note(&mut self, event: Event) {
        self.disk.apply(&event);
        if let Some(events) = &mut self.events {
            events.push(event);
        }
    }
}

/// How many bytes of a write that fails reach the disk nevertheless: none, whole sectors of the first half, or all. The number
/// of the operation decides.
fn arrived(number: u64, len: u64, offset: u64) -> usize {
    let end = match number % 3 {
        0 => offset,
        1 => (offset + len / 2) / SECTOR_BYTES * SECTOR_BYTES,
        _ => offset + len,
    };
    end.saturating_sub(offset) as usize
}

impl Device for SimDevice {
    fn len_bytes(&self) -> u64 {
        self.cache.len_bytes()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.state.lock().faults.next(Asked::Read)?;
        self.cache.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let number = state.faults.operations();
        let allowed = state.faults.next(Asked::Write);
        let written = if allowed.is_ok() { buf } else { &buf[..arrived(number, buf.len() as u64, offset)] };
        self.cache.write_at(written, offset)?;
        state.note(Event::write(written, offset));
        allowed
    }

    fn sync(&self) -> io::Result<()> {
        let (writes, meanwhile) = {
            let mut state = self.state.lock();
            (state.disk.unsynced_writes(), state.meanwhile())
        };
        if let Some(act) = meanwhile {
            act();
        }
        let mut state = self.state.lock();
        match state.faults.next(Asked::Sync) {
            Ok(()) => {
                state.note(Event::Sync { writes });
                Ok(())
            }
            Err(error) => {
                let seed = state.faults.operations();
                state.note(Event::FailedSync { seed });
                Err(error)
            }
        }
    }

    fn allocate(&self, _range: Range<u64>) -> io::Result<()> {
        self.state.lock().faults.next(Asked::Allocate)
    }

    fn grow(&self, len_bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.faults.next(Asked::Grow)?;
        self.cache.grow(len_bytes)?;
        state.note(Event::Grow { len_bytes });
        Ok(())
    }

    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        self.cache.mapped(range, lend)
    }

    fn copy_mapped(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.state.lock().faults.next(Asked::Read)?;
        self.cache.copy_mapped(buf, offset)
    }
}
