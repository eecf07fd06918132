//! How do drives, snapshots, clones and bookmarks come and go?
//!
//! None of it looks at a block or an extent: a freeze keeps a root, a clone copies one, a deletion marks one. What a
//! deletion leaves to do is done in steps, see `reclaim`.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::format::codec::U48_END;
use crate::format::record::{ATTRIBUTE_CHUNK, OBJECTS_END, ObjectId, RecordKind, VersionState};
use crate::space::Purpose;
use crate::units::{BLOCK_BYTES, DRIVE_BYTES_MAX, DRIVE_BYTES_MIN, Epoch};

use super::objects::{Bookmark, Drive, SnapshotName, no_such_drive, no_such_snapshot};
use super::version::{ROOT, Version};
use super::{Catalog, PAGES_PER_CHANGE};

/// What a new drive or snapshot is called.
#[derive(Clone, Debug)]
pub struct Naming {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Vec<u8>,
}

/// What a new bookmark is called.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
}

/// A snapshot to be taken.
#[derive(Clone, Debug)]
pub struct Freeze {
    /// Of which drive.
    pub drive: ObjectId,
    /// What the snapshot is called.
    pub new: Naming,
    /// A bookmark of the same moment.
    pub bookmark: Option<Mark>,
}

impl Catalog {
    /// Makes an empty drive.
    ///
    /// # Errors
    /// `InvalidArgument`, `AlreadyExists` for a taken uuid, `NoSpace`.
    pub fn create_drive(&mut self, new: &Naming, size_bytes: u64) -> Result<ObjectId> {
        check_size(size_bytes)?;
        let image = Version::new(VersionState::Head, ROOT, ROOT, size_bytes);
        self.start_drive(new, image)
    }

    /// Makes a drive of a snapshot's image. The two share everything that neither writes.
    ///
    /// # Errors
    /// As [`Catalog::create_drive`], and `NotFound`.
    pub fn clone_drive(&mut self, snapshot: ObjectId, new: &Naming) -> Result<ObjectId> {
        let image = self.snapshot(snapshot)?.with_image_of(VersionState::Head, snapshot, ROOT);
        self.start_drive(new, image)
    }

    fn start_drive(&mut self, new: &Naming, mut head: Version) -> Result<ObjectId> {
        self.check_new(new.uuid, &new.name, &new.attributes)?;
        self.require_numbers(2)?;
        self.require_attributes(new.attributes.len(), Purpose::Grow)?;
        let id = self.next_id();
        head.drive = id;
        let head = self.descend(head);
        self.write_attributes(id, 0, &new.attributes)?;
        let drive = Drive {
            uuid: new.uuid,
            name: new.name.clone(),
            head,
            attributes_len: new.attributes.len() as u32,
            bookmarks: BTreeMap::new(),
            fading: Vec::new(),
        };
        self.add_drive(id, drive)?;
        self.refresh_floor(head);
        self.touch(RecordKind::Drive, id);
        Ok(id)
    }

    /// Asks for numbers for so many objects, and for an epoch. Nobody uses them up, but a damaged store may say that somebody did.
    pub(super) fn require_numbers(&self, objects: u64) -> Result<()> {
        if self.next_id + objects > OBJECTS_END || self.epoch.next().0 >= U48_END {
            let message = "the store has no numbers left for drives, snapshots, bookmarks and notes";
            return Err(Error::no_space(message).before_any_change());
        }
        Ok(())
    }

    /// Puts a new version below its parent.
    fn descend(&mut self, version: Version) -> ObjectId {
        let id = self.next_id();
        let parent = version.parent;
        self.versions.insert(id, version);
        self.version_mut(parent).children.push(id);
        self.touch(RecordKind::Version, id);
        id
    }

    /// Freezes the images of some drives at one instant, and leaves their bookmarks: the caller keeps their writers away meanwhile.
    ///
    /// # Errors
    /// `InvalidArgument`, `AlreadyExists`, `NotFound` or `NoSpace` before anything is changed.
    pub fn snapshot_drives(&mut self, group: &[Freeze]) -> Result<Vec<ObjectId>> {
        let (mut drives, mut uuids) = (HashSet::new(), HashSet::new());
        for Freeze { drive, new, bookmark } in group {
            self.check_new(new.uuid, &new.name, &new.attributes)?;
            self.head_of(*drive)?;
            let mut is_new = drives.insert(*drive) && uuids.insert(new.uuid);
            if let Some(mark) = bookmark {
                self.check_new(mark.uuid, &mark.name, &[])?;
                is_new &= uuids.insert(mark.uuid);
            }
            if !is_new {
                return Err(Error::invalid("a drive or a uuid stands twice in one group of snapshots"));
            }
        }
        let objects = uuids.len() as u64;
        self.require_numbers(objects)?;
        let attributes: usize = group.iter().map(|freeze| freeze.new.attributes.len()).sum();
        let chunks = attributes.div_ceil(ATTRIBUTE_CHUNK);
        self.require_pages(PAGES_PER_CHANGE * objects + chunks as u64, Purpose::Grow)?;
        let epoch = self.epoch;
        let mut snapshots = Vec::with_capacity(group.len());
        for Freeze { drive, new, bookmark } in group {
            let (head, _) = self.head_of(*drive)?;
            self.write_histogram(head)?;
            let live = self.version(head)?;
            let parent = live.parent;
            let mut frozen = live.with_image_of(VersionState::Snapshot, parent, *drive);
            frozen.epoch = epoch;
            frozen.on_trunk = true;
            frozen.children = vec![head];
            let id = self.descend(frozen);
            self.version_mut(parent).children.retain(|child| *child != head);
            self.version_mut(head).parent = id;
            self.touch(RecordKind::Version, head);
            self.write_attributes(id, 0, &new.attributes)?;
            let name = SnapshotName {
                uuid: new.uuid,
                name: new.name.clone(),
                drive: *drive,
                drive_uuid: self.drives[drive].uuid,
                attributes_len: new.attributes.len() as u32,
            };
            self.add_snapshot(id, epoch, name)?;
            if let Some(mark) = bookmark {
                self.leave_bookmark(*drive, mark)?;
            }
            self.refresh_floor(head);
            self.touch(RecordKind::Snapshot, id);
            snapshots.push(id);
        }
        self.epoch = epoch.next();
        Ok(snapshots)
    }

    /// Marks this moment of a drive; the caller keeps its writers away meanwhile.
    ///
    /// # Errors
    /// `InvalidArgument`, `AlreadyExists`, `NotFound`, `NoSpace`.
    pub fn bookmark_drive(&mut self, drive: ObjectId, new: &Mark) -> Result<ObjectId> {
        self.check_new(new.uuid, &new.name, &[])?;
        self.require_numbers(1)?;
        self.require_room()?;
        let (head, _) = self.head_of(drive)?;
        let id = self.leave_bookmark(drive, new)?;
        self.epoch = self.epoch.next();
        self.refresh_floor(head);
        Ok(id)
    }

    /// Adds a bookmark of a moment that ends with this epoch.
    fn leave_bookmark(&mut self, drive: ObjectId, new: &Mark) -> Result<ObjectId> {
        let (_, version) = self.head_of(drive)?;
        let bookmark = Bookmark {
            uuid: new.uuid,
            name: new.name.clone(),
            drive,
            epoch: self.epoch,
            referenced_blocks: version.referenced_blocks,
            size_bytes: version.size_bytes,
        };
        let id = self.next_id();
        self.add_bookmark(id, bookmark)?;
        self.touch(RecordKind::Bookmark, id);
        Ok(id)
    }

    /// Forgets a bookmark.
    ///
    /// # Errors
    /// `NotFound`, `NoSpace`
    pub fn delete_bookmark(&mut self, id: ObjectId) -> Result<()> {
        self.require_pages(PAGES_PER_CHANGE, Purpose::Shrink)?;
        self.forget_bookmark(id)
    }

    fn forget_bookmark(&mut self, id: ObjectId) -> Result<()> {
        let bookmark = self.bookmarks.remove(&id).ok_or_else(|| Error::not_found("the bookmark does not exist any more"))?;
        self.by_uuid.remove(&bookmark.uuid);
        self.touch(RecordKind::Bookmark, id);
        if let Some(drive) = self.drives.get_mut(&bookmark.drive) {
            drive.bookmarks.remove(&bookmark.epoch);
        }
        self.fade(bookmark.drive, bookmark.epoch);
        Ok(())
    }

    /// Makes a snapshot's image the drive's. Bookmarks younger than the point where the two histories meet go; all of them do
    /// if what lies between that point and the snapshot was written by another drive.
    ///
    /// # Errors
    /// `NotFound`, `NoSpace`.
    pub fn revert_drive(&mut self, drive: ObjectId, snapshot: ObjectId) -> Result<()> {
        let (old, _) = self.head_of(drive)?;
        let head = self.snapshot(snapshot)?.with_image_of(VersionState::Head, snapshot, drive);
        self.require_numbers(1)?;
        self.require_room()?;
        let meeting = self.versions.meeting_point(old, snapshot);
        // What another drive discarded on the way to its snapshot left no trace for this drive's bookmarks.
        let is_own_line = meeting == snapshot || self.version(snapshot)?.drive == drive;
        let known = if is_own_line { self.version(meeting)?.epoch } else { Epoch(0) };
        // One of the very moment where the histories meet was left together with the snapshot there, and is older than both.
        let lost: Vec<ObjectId> = self.drives[&drive].bookmarks.range(known.next()..).map(|(_, id)| *id).collect();
        for bookmark in lost {
            self.forget_bookmark(bookmark)?;
        }
        let head = self.descend(head);
        self.drives.get_mut(&drive).ok_or_else(no_such_drive)?.head = head;
        self.touch(RecordKind::Drive, drive);
        self.condemn(old);
        self.refresh_floor(head);
        self.refresh_trunk(drive);
        self.refresh_line(drive);
        Ok(())
    }

    /// Deletes a drive. Its snapshots stay.
    ///
    /// # Errors
    /// `NotFound`
    pub fn delete_drive(&mut self, id: ObjectId) -> Result<()> {
        let drive = self.drives.get(&id).ok_or_else(no_such_drive)?;
        self.require_attributes(drive.attributes_len as usize, Purpose::Shrink)?;
        // Each bookmark's record is taken out of its leaf at the commit.
        self.require_pages(PAGES_PER_CHANGE + drive.bookmarks.len() as u64, Purpose::Shrink)?;
        let bookmarks: Vec<ObjectId> = drive.bookmarks.values().copied().collect();
        for bookmark in bookmarks {
            self.forget_bookmark(bookmark)?;
        }
        let drive = self.drives.remove(&id).ok_or_else(no_such_drive)?;
        self.by_uuid.remove(&drive.uuid);
        self.write_attributes(id, drive.attributes_len, &[])?;
        self.touch(RecordKind::Drive, id);
        self.condemn(drive.head);
        self.refresh_line(id);
        Ok(())
    }

    /// Deletes a snapshot, whatever descends from it.
    ///
    /// # Errors
    /// `NotFound`
    pub fn delete_snapshot(&mut self, id: ObjectId) -> Result<()> {
        let attributes_len = self.snapshots.get(&id).ok_or_else(no_such_snapshot)?.attributes_len;
        self.require_attributes(attributes_len as usize, Purpose::Shrink)?;
        let snapshot = self.snapshots.remove(&id).ok_or_else(no_such_snapshot)?;
        self.by_uuid.remove(&snapshot.uuid);
        self.write_attributes(id, snapshot.attributes_len, &[])?;
        self.touch(RecordKind::Snapshot, id);
        let epoch = self.version(id)?.epoch;
        if let Some(of_drive) = self.of_drive.get_mut(&snapshot.drive) {
            of_drive.by_epoch.remove(&epoch);
            if of_drive.by_epoch.is_empty() {
                self.of_drive.remove(&snapshot.drive);
            } else if !of_drive.is_line {
                self.refresh_line(snapshot.drive);
            }
        }
        self.condemn(id);
        Ok(())
    }

    fn condemn(&mut self, id: ObjectId) {
        let (epoch, working) = (self.epoch, self.set.working());
        let version = self.version_mut(id);
        if version.state == VersionState::Head {
            version.epoch = epoch;
        }
        version.condemned_in = working;
        version.state = VersionState::Condemned;
        self.condemned.insert(id);
        self.touch(RecordKind::Version, id);
        // An empty image has nothing to work off.
        self.splice(id);
    }

    /// Sets how long a drive's image is. A shorter one is `trimming` until everything behind its end is removed.
    ///
    /// # Errors
    /// `InvalidArgument`, `NotFound`.
    pub fn set_size(&mut self, drive: ObjectId, size_bytes: u64) -> Result<()> {
        check_size(size_bytes)?;
        let (head, _) = self.head_of(drive)?;
        self.version_mut(head).resize(size_bytes);
        self.touch(RecordKind::Version, head);
        Ok(())
    }

    /// Nothing is left behind the end of a drive's image.
    ///
    /// # Errors
    /// `NotFound`
    pub fn trimmed(&mut self, drive: ObjectId) -> Result<()> {
        let (head, _) = self.head_of(drive)?;
        self.version_mut(head).trimming = false;
        self.touch(RecordKind::Version, head);
        Ok(())
    }
}

/// Is it a size that a drive can have?
///
/// # Errors
/// `InvalidArgument`
pub fn check_size(size_bytes: u64) -> Result<()> {
    if !(DRIVE_BYTES_MIN..=DRIVE_BYTES_MAX).contains(&size_bytes) {
        let message =
            format!("a drive of {size_bytes} bytes; it must have {DRIVE_BYTES_MIN} ({BLOCK_BYTES} bytes are one block) to 2^63");
        return Err(Error::invalid(message));
    }
    Ok(())
}
