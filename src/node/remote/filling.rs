//! How is a drive used that has not got all of its image yet?
//!
//! A clone of a remote snapshot is there at once, and empty. Whoever touches a window first gets it from the location; a thread gets the
//! rest. When nothing is missing the drive is like any other.
//!
//! 1. Only blocks that the drive does not map are filled: what somebody wrote stays. So nothing needs to be remembered over a restart but
//!    that the drive is being filled, and until it is full nobody may make holes in it.
//! 2. A window is filled under its lock, and what overwrites a window that was not filled holds the lock too.
//! 3. Every window is compared with its digest before a byte of it is seen.

use super::fetch::{self, Content};
use super::remotes::Remotes;
use super::repository::Repository;
use super::repository::manifest::Image;
use super::repository::map;
use super::repository::page::Window;
use crate::fingerprint::WINDOW_BYTES;
use crate::node::attributes::Attributes;
use crate::node::failure::{Failure, FailureKind};
use crate::node::nbd::Behind;
use crate::node::service::objects::present;
use crate::{Drive, DriveOptions, Error, ErrorKind};
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::collections::{BTreeSet, HashMap};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use uuid::Uuid;

/// Locks of a drive; windows share them.
const LOCKS: usize = 256;
/// Windows that the thread that fills gets at once: 4 MiB, so that nobody waits long for a lock.
const TOGETHER: u64 = 16;
/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A drive that is to be made of a remote snapshot.
#[derive(Clone, Debug)]
pub struct NewDrive {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Its size: not less than the image's.
    pub size_bytes: u64,
    /// What is said about it.
    pub attributes: Attributes,
}

/// What is told of a drive that is full.
pub type Told = Box<dyn Fn(&Drive) -> Result<(), Failure> + Send + Sync>;

/// A drive that is being filled.
pub struct Filling {
    drive: Drive,
    remote: Uuid,
    source: Mutex<Option<(Arc<Repository>, Image)>>,
    locks: Vec<Mutex<()>>,
    /// Bits of 64 windows under each number: whether they were filled, or there is nothing to be filled. Images are long, and mostly nothing.
    filled: RwLock<HashMap<u64, u64>>,
    done: AtomicBool,
}

impl Remotes {
    /// Makes a drive of a remote snapshot. It can be used at once, and fills by itself once [`Remotes::fill`] runs.
    ///
    /// # Errors
    /// `NotFound`, `NotNow`, `InvalidArgument` for a size less than the image's, and those of location and engine.
    pub fn clone_drive(self: &Arc<Self>, remote: Uuid, new: NewDrive) -> Result<Drive, Failure> {
        let (repository, manifest) = self.manifest(remote)?;
        let image = manifest.image();
        if new.size_bytes < image.size_bytes {
            let message = format!("a clone of remote snapshot {remote} has {} bytes at least", image.size_bytes);
            return Err(Failure::new(FailureKind::InvalidArgument, message));
        }
        let mut attributes = new.attributes;
        attributes.set_filling(Some(remote));
        let options = DriveOptions::new(new.size_bytes).name(new.name).attributes(attributes.to_bytes()).uuid(new.uuid);
        let drive = self.store().create_drive(options)?;
        let filling = Filling::new(drive.clone(), remote);
        *filling.source.lock() = Some((repository, image));
        self.fillings.lock().insert(drive.uuid(), Arc::new(filling));
        Ok(drive)
    }

    /// Goes on filling the drives that were being filled when the node ended.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn go_on_filling(&self) -> Result<(), Failure> {
        for drive in self.store().drives() {
            if let Some(remote) = Attributes::read(&drive.attributes()?).filling() {
                let filling = Filling::new(drive.clone(), remote);
                self.fillings.lock().insert(drive.uuid(), Arc::new(filling));
            }
        }
        Ok(())
    }

    /// The drive of that uuid, if it is being filled.
    #[must_use]
    pub fn filling(&self, drive: Uuid) -> Option<Arc<Filling>> {
        self.fillings.lock().get(&drive).cloned()
    }

    /// Is any drive being filled from that remote snapshot?
    #[must_use]
    pub fn is_filled_from(&self, remote: Uuid) -> bool {
        self.fillings.lock().values().any(|filling| filling.remote == remote)
    }

    /// Fills a drive to its end, and tells whoever wants to hear.
    ///
    /// # Errors
    /// Those of location and engine; then it can be called again. Nothing to do is no error.
    pub fn fill(&self, drive: Uuid) -> Result<(), Failure> {
        let Some(filling) = self.filling(drive) else { return Ok(()) };
        match filling.fill_all(self) {
            Ok(()) => {}
            // Somebody deleted it.
            Err(failure) if failure.kind() == FailureKind::NotFound && present(self.store().drive(drive))?.is_none() => {
                self.fillings.lock().remove(&drive);
                return Ok(());
            }
            Err(failure) => return Err(failure),
        }
        filling.drive.flush()?;
        match &*self.told.lock() {
            Some(told) => told(&filling.drive)?,
            None => filled(&filling.drive)?,
        }
        filling.done.store(true, Ordering::Release);
        self.fillings.lock().remove(&drive);
        Ok(())
    }

    /// Sets who says of a drive that it is full, instead of [`filled`].
    pub fn tell_when_filled(&self, told: Told) {
        *self.told.lock() = Some(told);
    }

    /// Fills whatever is being filled, until it is told to stop.
    pub(super) fn fill_for_ever(&self) {
        let mut pause = Duration::from_millis(200);
        while !self.is_stopped() {
            let drives: Vec<Uuid> = self.fillings.lock().keys().copied().collect();
            let mut failed = false;
            for drive in drives {
                if let Err(failure) = self.fill(drive)
                    && !self.is_stopped()
                {
                    tracing::warn!(%drive, %failure, "filling it goes on later");
                    failed = true;
                }
            }
            pause = if failed { (pause * 2).min(PAUSE_MAX) } else { Duration::from_millis(200) };
            thread::park_timeout(pause);
        }
    }
}

/// Says of a drive that it is full.
///
/// # Errors
/// Those of the engine.
pub fn filled(drive: &Drive) -> Result<(), Failure> {
    let mut attributes = Attributes::read(&drive.attributes()?);
    attributes.set_filling(None);
    Ok(drive.set_attributes(&attributes.to_bytes())?)
}

impl Filling {
    fn new(drive: Drive, remote: Uuid) -> Self {
        Self {
            drive,
            remote,
            source: Mutex::default(),
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
            filled: RwLock::default(),
            done: AtomicBool::new(false),
        }
    }

    /// The same as one who is asked before requests, with what he needs to answer.
    #[must_use]
    pub fn behind(self: Arc<Self>, remotes: Arc<Remotes>) -> Arc<dyn Behind> {
        Arc::new(Asked { filling: self, remotes })
    }

    fn source(&self, remotes: &Remotes) -> Result<(Arc<Repository>, Image), Failure> {
        let mut source = self.source.lock();
        if source.is_none() {
            let (repository, manifest) = remotes.manifest(self.remote)?;
            *source = Some((repository, manifest.image()));
        }
        Ok(source.clone().expect("it was just found"))
    }

    fn is_filled(&self, window: u64) -> bool {
        self.filled.read().get(&(window / 64)).is_some_and(|bits| bits >> (window % 64) & 1 == 1)
    }

    fn mark(&self, windows: Range<u64>) {
        let mut filled = self.filled.write();
        for window in windows {
            *filled.entry(window / 64).or_default() |= 1 << (window % 64);
        }
    }

    /// Locks windows; whoever locks several does it in one order.
    fn lock(&self, windows: Range<u64>) -> Vec<MutexGuard<'_, ()>> {
        let numbers: BTreeSet<usize> = windows.take(LOCKS).map(|window| (window % LOCKS as u64) as usize).collect();
        numbers.into_iter().map(|number| self.locks[number].lock()).collect()
    }

    /// Gets windows that were not got.
    fn fill(&self, remotes: &Remotes, windows: Range<u64>) -> Result<(), Failure> {
        let mut at = windows.start;
        while at < windows.end {
            let end = windows.end.min(at + TOGETHER);
            if !(at..end).all(|window| self.is_filled(window)) {
                let _locked = self.lock(at..end);
                self.fill_locked(remotes, at..end)?;
            }
            at = end;
        }
        Ok(())
    }

    fn fill_locked(&self, remotes: &Remotes, windows: Range<u64>) -> Result<(), Failure> {
        let (repository, image) = self.source(remotes)?;
        let mut wanted: Vec<(u64, Window)> = Vec::new();
        map::walk(&*repository, image.map.as_ref(), windows.clone(), &mut |number, window| {
            if !self.is_filled(number) {
                wanted.push((number, window.clone()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for content in fetch::windows(&repository, &wanted)? {
            self.put(&content)?;
        }
        self.mark(windows);
        Ok(())
    }

    /// Writes what the drive does not map.
    fn put(&self, content: &Content) -> Result<(), Failure> {
        let start = content.window * WINDOW_BYTES;
        let size = self.drive.size_bytes()?;
        let mapped = self.drive.mapped_ranges().within(start..size.min(start + WINDOW_BYTES));
        let mapped: Vec<Range<u64>> = mapped.collect::<crate::Result<_>>()?;
        for (offset, bytes) in &content.runs {
            let run = *offset..size.min(offset + bytes.len() as u64);
            for free in without(run, &mapped) {
                let from = (free.start - offset) as usize;
                let to = (free.end - offset) as usize;
                self.drive.write_at(&bytes[from..to], free.start)?;
            }
        }
        Ok(())
    }

    /// Gets all that was not got.
    fn fill_all(&self, remotes: &Remotes) -> Result<(), Failure> {
        let end = self.drive.size_bytes()?.div_ceil(WINDOW_BYTES);
        let (repository, image) = self.source(remotes)?;
        let mut next = 0;
        while next < end {
            if remotes.is_stopped() {
                return Err(Failure::new(FailureKind::Io, "filling was stopped; it goes on at the next start"));
            }
            // Goes past what is nothing but zeroes.
            let mut from = end;
            map::walk(&*repository, image.map.as_ref(), next..end, &mut |number, _| {
                if self.is_filled(number) {
                    return Ok(ControlFlow::Continue(()));
                }
                from = number;
                Ok(ControlFlow::Break(()))
            })?;
            next = end.min(from + TOGETHER);
            if from < end {
                self.fill(remotes, from..next)?;
            }
        }
        Ok(())
    }

    /// The windows that a range touches, and those of them that it covers.
    fn windows(range: &Range<u64>) -> (Range<u64>, Range<u64>) {
        let touched = range.start / WINDOW_BYTES..range.end.div_ceil(WINDOW_BYTES);
        let covered = range.start.div_ceil(WINDOW_BYTES)..range.end / WINDOW_BYTES;
        (touched, covered.start..covered.end.max(covered.start))
    }
}

/// A range without some that lie in order.
fn without(range: Range<u64>, others: &[Range<u64>]) -> Vec<Range<u64>> {
    let (mut rest, mut at) = (Vec::new(), range.start);
    for other in others.iter().filter(|other| other.end > range.start && other.start < range.end) {
        if other.start > at {
            rest.push(at..other.start);
        }
        at = at.max(other.end);
    }
    if at < range.end {
        rest.push(at..range.end);
    }
    rest
}

/// A drive that is being filled, and from where.
struct Asked {
    filling: Arc<Filling>,
    remotes: Arc<Remotes>,
}

impl Asked {
    fn fill(&self, windows: Range<u64>) -> crate::Result<()> {
        self.filling.fill(&self.remotes, windows).map_err(|failure| {
            let kind = if failure.kind() == FailureKind::NoSpace { ErrorKind::NoSpace } else { ErrorKind::Io };
            Error::new(kind, format!("drive {} has not got all of its image yet: {failure}", self.filling.drive.uuid()))
        })
    }
}

impl Behind for Asked {
    fn before_read(&self, range: Range<u64>) -> crate::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        self.fill(Filling::windows(&range).0)
    }

    fn changing(&self, range: Range<u64>, change: &mut dyn FnMut() -> crate::Result<()>) -> crate::Result<()> {
        let (touched, covered) = Filling::windows(&range);
        if range.is_empty() || covered.is_empty() {
            self.fill(touched)?;
            return change();
        }
        self.fill(touched.start..covered.start)?;
        self.fill(covered.end..touched.end)?;
        let _locked = self.filling.lock(covered.clone());
        change()?;
        self.filling.mark(covered);
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.filling.done.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn what_is_mapped_is_left_out() {
        let check = |range, others: &[_], expected: &[(u64, u64)]| {
            let rest: Vec<_> = without(range, others).iter().map(|rest| (rest.start, rest.end)).collect();
            assert_eq!(rest, expected);
        };
        check(0..10, &[], &[(0, 10)]);
        check(0..10, &[2..4, 6..12], &[(0, 2), (4, 6)]);
        check(5..10, &[0..6, 9..10], &[(6, 9)]);
        check(5..10, &[0..7, 7..20], &[]);
    }
}
