//! Can a record that was read be worked with?
//!
//! A checksum says that a record is what somebody wrote, not that a floe wrote it. Numbers with which others reckon later are
//! judged here, once, when the store is opened.

use crate::format::record::{
    ATTRIBUTES_LEN_MAX, BookmarkRecord, DriveRecord, NAME_LEN_MAX, NoteRecord, ObjectId, RecordKind, SnapshotRecord,
    VersionRecord, VersionState, parse_key,
};
use crate::units::{DRIVE_BYTES_MAX, DRIVE_BYTES_MIN, Epoch};

/// What no record of a store may reach.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// The number that the next object gets.
    pub next_id: u64,
    /// The epoch that the next freeze takes.
    pub epoch: Epoch,
    /// The store's capacity.
    pub store_blocks: u64,
    /// The superblock says that there are notes.
    pub has_notes: bool,
}

/// Or which check it fails.
type Verdict<T = ()> = Result<T, &'static str>;

impl Limits {
    /// What a key names.
    pub fn key(&self, key: u64) -> Verdict<(RecordKind, ObjectId)> {
        let (kind, id, chunk) = parse_key(key).ok_or("unknown kind")?;
        if chunk != 0 && kind != RecordKind::Attributes {
            return Err("only attributes come in chunks");
        }
        if id.0 == 0 || id.0 >= self.next_id {
            return Err("no object has got that number yet");
        }
        Ok((kind, id))
    }

    pub fn version(&self, record: &VersionRecord) -> Verdict {
        let epoch = Epoch(record.epoch);
        match record.state {
            VersionState::Head if record.epoch != 0 => return Err("it can be written to, and was frozen"),
            VersionState::Head => {}
            VersionState::Snapshot => self.past(epoch)?,
            // Of a deleted head the epoch in which it was deleted.
            VersionState::Condemned if epoch == self.epoch => {}
            VersionState::Condemned => self.past(epoch)?,
        }
        if !record.unsettled.iter().all(|(first, last)| first <= last && *last <= self.epoch.0) {
            return Err("births that are still to come have checksums");
        }
        self.image(record.size_bytes, record.referenced_blocks)
    }

    pub fn drive(&self, record: &DriveRecord) -> Verdict {
        names(&record.name, record.attributes_len)
    }

    pub fn snapshot(&self, record: &SnapshotRecord) -> Verdict {
        names(&record.name, record.attributes_len)
    }

    pub fn bookmark(&self, record: &BookmarkRecord) -> Verdict {
        names(&record.name, 0)?;
        self.past(Epoch(record.epoch))?;
        self.image(record.size_bytes, record.referenced_blocks)
    }

    pub fn note(&self, record: &NoteRecord) -> Verdict {
        if !self.has_notes {
            return Err("a note in a store that says it has none");
        }
        names("", record.attributes_len)
    }

    fn image(&self, size_bytes: u64, referenced_blocks: u64) -> Verdict {
        if !(DRIVE_BYTES_MIN..=DRIVE_BYTES_MAX).contains(&size_bytes) {
            return Err("no image has that size");
        }
        if referenced_blocks > self.store_blocks {
            return Err("it maps more blocks than the store has");
        }
        Ok(())
    }

    fn past(&self, epoch: Epoch) -> Verdict {
        if epoch.0 == 0 || epoch >= self.epoch { Err("its epoch is still to come") } else { Ok(()) }
    }
}

fn names(name: &str, attributes_len: u32) -> Verdict {
    if name.len() > NAME_LEN_MAX {
        return Err("its name is too long");
    }
    if attributes_len as usize > ATTRIBUTES_LEN_MAX {
        return Err("its attributes are too long");
    }
    Ok(())
}
