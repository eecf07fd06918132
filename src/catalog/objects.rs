//! What does the world call the things in a store?

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::format::record::{
    self, ATTRIBUTE_CHUNK, ATTRIBUTES_LEN_MAX, BookmarkRecord, DriveRecord, NAME_LEN_MAX, ObjectId, RECORD_VERSION, RecordKind,
    SnapshotRecord,
};
use crate::space::Purpose;
use crate::tree::records;
use crate::units::{Epoch, Generation};

use super::writer::CatalogWriter;
use super::{Catalog, PAGES_PER_CHANGE};

/// A drive.
pub struct Drive {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// The version that is written to.
    pub head: ObjectId,
    /// Length of its attributes.
    pub attributes_len: u32,
    /// Its bookmarks by epoch.
    pub bookmarks: BTreeMap<Epoch, ObjectId>,
    /// Epochs of bookmarks that were deleted, and of parents that were taken out of the history, and by which commit: until it is
    /// durable they count for the head's floor, for a crash may bring them back.
    pub fading: Vec<(Epoch, Generation)>,
}

/// A snapshot's names; the rest is in its version.
pub struct SnapshotName {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// The drive it was taken of, which may be gone.
    pub drive: ObjectId,
    /// That drive's identity.
    pub drive_uuid: Uuid,
    /// Length of its attributes.
    pub attributes_len: u32,
}

/// A point in time that holds no block.
pub struct Bookmark {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// The drive it marks.
    pub drive: ObjectId,
    /// The epoch it ended.
    pub epoch: Epoch,
    /// Blocks mapped at that moment.
    pub referenced_blocks: u64,
    /// Length of the image at that moment.
    pub size_bytes: u64,
}

/// The snapshots that were taken of one drive.
#[derive(Default)]
pub struct DriveSnapshots {
    /// By epoch, so the oldest first.
    pub by_epoch: BTreeMap<Epoch, ObjectId>,
    /// Does each descend from the one before, and the head, if it lives, from the last?
    pub is_line: bool,
}

impl Drive {
    /// The drive in a record; its bookmarks come by themselves.
    pub fn from_record(record: DriveRecord) -> Self {
        Self {
            uuid: Uuid::from_bytes(record.uuid),
            name: record.name,
            head: record.head,
            attributes_len: record.attributes_len,
            bookmarks: BTreeMap::new(),
            fading: Vec::new(),
        }
    }

    /// The record of this drive.
    pub fn record(&self) -> DriveRecord {
        DriveRecord {
            version: RECORD_VERSION,
            uuid: self.uuid.into_bytes(),
            name: self.name.clone(),
            head: self.head,
            attributes_len: self.attributes_len,
        }
    }
}

impl SnapshotName {
    /// The snapshot in a record.
    pub fn from_record(record: SnapshotRecord, drive: ObjectId) -> Self {
        Self {
            uuid: Uuid::from_bytes(record.uuid),
            name: record.name,
            drive,
            drive_uuid: Uuid::from_bytes(record.drive_uuid),
            attributes_len: record.attributes_len,
        }
    }

    /// The record of this snapshot.
    pub fn record(&self) -> SnapshotRecord {
        SnapshotRecord {
            version: RECORD_VERSION,
            uuid: self.uuid.into_bytes(),
            name: self.name.clone(),
            drive_uuid: self.drive_uuid.into_bytes(),
            attributes_len: self.attributes_len,
        }
    }
}

impl Bookmark {
    /// The bookmark in a record.
    pub fn from_record(record: BookmarkRecord) -> Self {
        Self {
            uuid: Uuid::from_bytes(record.uuid),
            name: record.name,
            drive: record.drive,
            epoch: Epoch(record.epoch),
            referenced_blocks: record.referenced_blocks,
            size_bytes: record.size_bytes,
        }
    }

    /// The record of this bookmark.
    pub fn record(&self) -> BookmarkRecord {
        BookmarkRecord {
            version: RECORD_VERSION,
            uuid: self.uuid.into_bytes(),
            name: self.name.clone(),
            drive: self.drive,
            epoch: self.epoch.0,
            referenced_blocks: self.referenced_blocks,
            size_bytes: self.size_bytes,
        }
    }
}

impl Catalog {
    /// All drives in order of creation.
    pub fn drives(&self) -> impl Iterator<Item = (ObjectId, &Drive)> {
        self.drives.iter().map(|(id, drive)| (*id, drive))
    }

    /// All snapshots in order of creation.
    pub fn snapshots(&self) -> impl Iterator<Item = (ObjectId, &SnapshotName)> {
        self.snapshots.iter().map(|(id, snapshot)| (*id, snapshot))
    }

    /// All bookmarks in order of creation.
    pub fn bookmarks(&self) -> impl Iterator<Item = (ObjectId, &Bookmark)> {
        self.bookmarks.iter().map(|(id, bookmark)| (*id, bookmark))
    }

    /// The drive with that number.
    pub fn drive(&self, id: ObjectId) -> Option<&Drive> {
        self.drives.get(&id)
    }

    /// The snapshot with that number.
    pub fn snapshot_name(&self, id: ObjectId) -> Option<&SnapshotName> {
        self.snapshots.get(&id)
    }

    /// The bookmark with that number.
    pub fn bookmark(&self, id: ObjectId) -> Option<&Bookmark> {
        self.bookmarks.get(&id)
    }

    /// The number behind an identity.
    pub fn by_uuid(&self, uuid: Uuid) -> Option<ObjectId> {
        self.by_uuid.get(&uuid).copied()
    }

    /// The snapshots taken of a drive, the oldest first.
    pub fn snapshots_of(&self, drive: ObjectId) -> Vec<ObjectId> {
        self.of_drive.get(&drive).map_or_else(Vec::new, |snapshots| snapshots.by_epoch.values().copied().collect())
    }

    /// Gives a drive another name.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that is too long, `NotFound`, `NoSpace`.
    pub fn rename_drive(&mut self, id: ObjectId, name: &str) -> Result<()> {
        check_name(name)?;
        self.require_pages(PAGES_PER_CHANGE, Purpose::Shrink)?;
        self.drives.get_mut(&id).ok_or_else(no_such_drive)?.name = name.to_owned();
        self.touch(RecordKind::Drive, id);
        Ok(())
    }

    /// Gives a drive another name and other attributes.
    ///
    /// # Errors
    /// As [`Catalog::rename_drive`] and [`Catalog::set_drive_attributes`].
    pub fn describe_drive(&mut self, id: ObjectId, name: &str, attributes: &[u8]) -> Result<()> {
        check_name(name)?;
        self.set_drive_attributes(id, attributes)?;
        self.drives.get_mut(&id).ok_or_else(no_such_drive)?.name = name.to_owned();
        Ok(())
    }

    /// Gives a snapshot another name and other attributes.
    ///
    /// # Errors
    /// As [`Catalog::describe_drive`].
    pub fn describe_snapshot(&mut self, id: ObjectId, name: &str, attributes: &[u8]) -> Result<()> {
        check_name(name)?;
        self.set_snapshot_attributes(id, attributes)?;
        self.snapshots.get_mut(&id).ok_or_else(no_such_snapshot)?.name = name.to_owned();
        Ok(())
    }

    /// Gives a snapshot another name.
    ///
    /// # Errors
    /// As [`Catalog::rename_drive`].
    pub fn rename_snapshot(&mut self, id: ObjectId, name: &str) -> Result<()> {
        check_name(name)?;
        self.require_pages(PAGES_PER_CHANGE, Purpose::Shrink)?;
        self.snapshots.get_mut(&id).ok_or_else(no_such_snapshot)?.name = name.to_owned();
        self.touch(RecordKind::Snapshot, id);
        Ok(())
    }

    /// Replaces a drive's attributes.
    ///
    /// # Errors
    /// `InvalidArgument` if they are too long, `NotFound`, `NoSpace`.
    pub fn set_drive_attributes(&mut self, id: ObjectId, bytes: &[u8]) -> Result<()> {
        let old = self.drives.get(&id).ok_or_else(no_such_drive)?.attributes_len;
        self.require_attributes(old as usize + bytes.len(), Purpose::Grow)?;
        self.write_attributes(id, old, bytes)?;
        self.drives.get_mut(&id).ok_or_else(no_such_drive)?.attributes_len = bytes.len() as u32;
        self.touch(RecordKind::Drive, id);
        Ok(())
    }

    /// Replaces a snapshot's attributes.
    ///
    /// # Errors
    /// As [`Catalog::set_drive_attributes`].
    pub fn set_snapshot_attributes(&mut self, id: ObjectId, bytes: &[u8]) -> Result<()> {
        let old = self.snapshots.get(&id).ok_or_else(no_such_snapshot)?.attributes_len;
        self.require_attributes(old as usize + bytes.len(), Purpose::Grow)?;
        self.write_attributes(id, old, bytes)?;
        self.snapshots.get_mut(&id).ok_or_else(no_such_snapshot)?.attributes_len = bytes.len() as u32;
        self.touch(RecordKind::Snapshot, id);
        Ok(())
    }

    /// The attributes of a drive or snapshot.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt` if they cannot be read.
    pub fn attributes(&self, id: ObjectId) -> Result<Vec<u8>> {
        let drive = self.drives.get(&id).map(|drive| drive.attributes_len);
        let len = drive.or_else(|| self.snapshots.get(&id).map(|snapshot| snapshot.attributes_len));
        let len = len.ok_or_else(|| Error::not_found("it does not exist any more"))?;
        self.read_attributes(id, len)
    }

    /// The bytes under an object's number, of which there must be `len`.
    pub(super) fn read_attributes(&self, id: ObjectId, len: u32) -> Result<Vec<u8>> {
        let len = len as usize;
        let mut bytes = Vec::with_capacity(len.min(ATTRIBUTES_LEN_MAX));
        for chunk in 0..len.div_ceil(ATTRIBUTE_CHUNK) {
            let key = record::key(RecordKind::Attributes, id, chunk as u16);
            let Some(part) = records::get(&self.set, &self.records, key)? else { break };
            bytes.extend_from_slice(part);
        }
        if bytes.len() != len {
            return Err(Error::corrupt(format!("{} bytes of attributes are there, {len} were written", bytes.len())));
        }
        Ok(bytes)
    }

    /// Asks for room for a change that writes or removes attributes of `len` bytes in all.
    pub(super) fn require_attributes(&self, len: usize, purpose: Purpose) -> Result<()> {
        if len > 2 * ATTRIBUTES_LEN_MAX {
            return Err(attributes_too_long());
        }
        let chunks = len.div_ceil(ATTRIBUTE_CHUNK) as u64;
        let pages = match purpose {
            Purpose::Grow => chunks,
            // A leaf is copied when the first of its chunks goes, unless it is the last one too, and dropped when it is empty.
            Purpose::Shrink => chunks.div_ceil(2),
        };
        self.require_pages(PAGES_PER_CHANGE + pages, purpose)
    }

    pub(super) fn write_attributes(&mut self, id: ObjectId, old_len: u32, bytes: &[u8]) -> Result<()> {
        if bytes.len() > ATTRIBUTES_LEN_MAX {
            return Err(attributes_too_long());
        }
        let chunks = bytes.len().div_ceil(ATTRIBUTE_CHUNK);
        let old_chunks = (old_len as usize).div_ceil(ATTRIBUTE_CHUNK);
        for (chunk, part) in bytes.chunks(ATTRIBUTE_CHUNK).enumerate() {
            self.put_record(record::key(RecordKind::Attributes, id, chunk as u16), Some(part))?;
        }
        for chunk in chunks..old_chunks {
            self.put_record(record::key(RecordKind::Attributes, id, chunk as u16), None)?;
        }
        self.changed |= chunks + old_chunks > 0;
        Ok(())
    }

    /// Writes or removes one record of the catalog's tree.
    pub(super) fn put_record(&mut self, key: u64, bytes: Option<&[u8]>) -> Result<()> {
        let mut dropped = Vec::new();
        let mut writer = CatalogWriter { set: &mut self.set, space: &self.space };
        self.records = match bytes {
            Some(bytes) => records::put(&mut writer, &self.records, key, bytes, &mut dropped)?,
            None => records::remove(&mut writer, &self.records, key, &mut dropped)?.0,
        };
        for page in dropped {
            self.set.forget(page.pointer.page);
            self.space.free_page(page.pointer.page)?;
        }
        Ok(())
    }

    pub(super) fn add_drive(&mut self, id: ObjectId, drive: Drive) -> Result<()> {
        self.name_uuid(drive.uuid, id)?;
        self.drives.insert(id, drive);
        Ok(())
    }

    /// Adds a snapshot that was taken in that epoch.
    pub(super) fn add_snapshot(&mut self, id: ObjectId, epoch: Epoch, snapshot: SnapshotName) -> Result<()> {
        self.name_uuid(snapshot.uuid, id)?;
        self.of_drive
            .entry(snapshot.drive)
            .or_insert_with(|| DriveSnapshots { is_line: true, ..DriveSnapshots::default() })
            .by_epoch
            .insert(epoch, id)
            .map_or(Ok(()), |_| Err(Error::corrupt(format!("two snapshots of one drive were taken in epoch {epoch}"))))?;
        self.snapshots.insert(id, snapshot);
        Ok(())
    }

    pub(super) fn add_bookmark(&mut self, id: ObjectId, bookmark: Bookmark) -> Result<()> {
        let drive = self.drives.get_mut(&bookmark.drive);
        let drive = drive.ok_or_else(|| Error::corrupt(format!("bookmark {}: its drive does not exist", id.0)))?;
        if drive.bookmarks.insert(bookmark.epoch, id).is_some() {
            return Err(Error::corrupt(format!("bookmark {}: another one marks the same moment", id.0)));
        }
        self.name_uuid(bookmark.uuid, id)?;
        self.bookmarks.insert(id, bookmark);
        Ok(())
    }

    fn name_uuid(&mut self, uuid: Uuid, id: ObjectId) -> Result<()> {
        if self.by_uuid.insert(uuid, id).is_some_and(|other| other != id) {
            return Err(Error::corrupt(format!("two things have the uuid {uuid}")));
        }
        Ok(())
    }

    pub(super) fn check_new(&self, uuid: Uuid, name: &str, attributes: &[u8]) -> Result<()> {
        check_name(name)?;
        if attributes.len() > ATTRIBUTES_LEN_MAX {
            return Err(attributes_too_long());
        }
        if self.by_uuid.contains_key(&uuid) {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("the uuid {uuid} is taken")));
        }
        Ok(())
    }
}

pub(super) fn check_name(name: &str) -> Result<()> {
    if name.len() > NAME_LEN_MAX {
        return Err(Error::invalid(format!("a name of {} bytes, {NAME_LEN_MAX} are allowed", name.len())));
    }
    Ok(())
}

fn attributes_too_long() -> Error {
    Error::invalid(format!("attributes of more than {ATTRIBUTES_LEN_MAX} bytes"))
}

pub(super) fn no_such_drive() -> Error {
    Error::not_found("the drive does not exist any more")
}

pub(super) fn no_such_snapshot() -> Error {
    Error::not_found("the snapshot does not exist any more")
}
