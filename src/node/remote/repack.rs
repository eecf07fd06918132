//! How are the needed chunks of mostly dead packs moved into new packs?
//!
//! As they are stored: they are only compared with their names. The old pack stays where it is; it is doomed by whoever called, once an
//! index names the new one.

use super::lease::Lease;
use super::mark::Mark;
use super::repository::Repository;
use super::repository::index::PackList;
use super::repository::pack::{self, ChunkKind, Entry, Packing, TRAILER};
use crate::node::failure::{Failure, FailureKind};
use uuid::Uuid;

/// What a pack says itself of what is in it.
///
/// # Errors
/// `Corrupt`, `NotFound`, `Io`, `Denied`
pub fn list_in(repository: &Repository, pack: Uuid, bytes: u64) -> Result<Vec<Entry>, Failure> {
    let (name, bucket) = (pack::name(pack), repository.bucket());
    let too_short = || Failure::new(FailureKind::Corrupt, format!("{name} is too short"));
    let trailer = bytes.checked_sub(TRAILER).ok_or_else(too_short)?;
    let (len, crc) = pack::list_len(&bucket.get_range(&name, trailer..bytes)?).map_err(|failure| failure.context(&name))?;
    let start = trailer.checked_sub(u64::from(len)).ok_or_else(too_short)?;
    let entries = pack::open_list(repository.codec(), pack, &bucket.get_range(&name, start..trailer)?, crc)?;
    let fits = entries.iter().all(|entry| u64::from(entry.offset) + u64::from(entry.stored) <= start);
    fits.then_some(entries).ok_or_else(too_short)
}

/// New packs, as they are filled.
pub struct Repack<'a> {
    repository: &'a Repository,
    data: Packing,
    pages: Packing,
    lists: Vec<PackList>,
    /// Bytes that were put.
    pub stored_bytes: u64,
}

impl<'a> Repack<'a> {
    /// None yet.
    #[must_use]
    pub fn new(repository: &'a Repository) -> Self {
        Self { repository, data: Packing::new(), pages: Packing::new(), lists: Vec::new(), stored_bytes: 0 }
    }

    /// Copies the chunks that have their home in a pack.
    ///
    /// # Errors
    /// `Corrupt` and `NotFound` if the pack is not what it should be: nothing of it was copied then. `Io`, `Denied`.
    pub fn add(&mut self, mark: &Mark, pack: Uuid) -> Result<(), Failure> {
        let name = pack::name(pack);
        let bytes = self.repository.bucket().get(&name)?;
        let mut moved = Vec::new();
        for entry in list_in(self.repository, pack, bytes.len() as u64)? {
            if mark.is_home(&entry, pack) {
                let stored = bytes.slice(entry.offset as usize..(entry.offset + entry.stored) as usize);
                self.repository.codec().read(&entry.id, &stored).map_err(|failure| failure.context(&name))?;
                moved.push((entry, stored));
            }
        }
        for (entry, stored) in moved {
            let packing = if entry.kind == ChunkKind::Page { &mut self.pages } else { &mut self.data };
            packing.push(entry.id, entry.kind, entry.plain as usize, &stored);
            if packing.is_full() {
                let full = std::mem::take(packing);
                self.put(full)?;
            }
        }
        Ok(())
    }

    /// Puts what is left, and the index of all.
    ///
    /// # Errors
    /// `Corrupt` if a new pack does not come back as it went; `Locked` if the lease is gone; `Io`, `Denied`.
    pub fn finish(mut self, lease: &mut Lease) -> Result<u64, Failure> {
        for packing in [std::mem::take(&mut self.data), std::mem::take(&mut self.pages)] {
            if !packing.is_empty() {
                self.put(packing)?;
            }
        }
        if !self.lists.is_empty() {
            lease.hold()?;
            self.repository.put_index(&self.lists)?;
        }
        Ok(self.stored_bytes)
    }

    fn put(&mut self, packing: Packing) -> Result<(), Failure> {
        let packed = packing.finish(self.repository.codec());
        let (name, bytes) = (pack::name(packed.uuid), bytes::Bytes::from(packed.bytes));
        self.repository.bucket().put(&name, bytes.clone())?;
        if self.repository.bucket().get(&name)? != bytes {
            return Err(Failure::new(FailureKind::Corrupt, format!("{name} did not come back as it was put")));
        }
        self.stored_bytes += bytes.len() as u64;
        self.lists.push(PackList { pack: packed.uuid, entries: packed.entries });
        Ok(())
    }
}
