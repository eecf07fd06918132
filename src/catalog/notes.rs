//! What does the store keep for whoever embeds it, beside drives?
//!
//! A note's bytes lie where a drive's attributes do. Notes have uuids of their own: a drive may have the same.

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::format::record::{ATTRIBUTES_LEN_MAX, NoteRecord, ObjectId, RECORD_VERSION, RecordKind};
use crate::space::Purpose;

use super::Catalog;

/// Bytes that belong to the store as a whole.
pub struct Note {
    /// Its identity among the notes.
    pub uuid: Uuid,
    /// Length of its bytes.
    pub attributes_len: u32,
}

impl Note {
    /// The note in a record.
    pub fn from_record(record: &NoteRecord) -> Self {
        Self { uuid: Uuid::from_bytes(record.uuid), attributes_len: record.attributes_len }
    }

    /// The record of this note.
    pub fn record(&self) -> NoteRecord {
        NoteRecord { version: RECORD_VERSION, uuid: self.uuid.into_bytes(), attributes_len: self.attributes_len }
    }
}

impl Catalog {
    /// All notes in order of creation.
    pub fn notes(&self) -> impl Iterator<Item = &Note> {
        self.notes.values()
    }

    /// The bytes of a note.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt` if they cannot be read.
    pub fn note(&self, uuid: Uuid) -> Result<Vec<u8>> {
        let (id, note) = self.find_note(uuid).ok_or_else(no_such_note)?;
        self.read_attributes(id, note.attributes_len)
    }

    /// Makes a note, or replaces the bytes of the one that has this uuid.
    ///
    /// # Errors
    /// `InvalidArgument` if it is too long, `NoSpace`, before anything is changed.
    pub fn set_note(&mut self, uuid: Uuid, bytes: &[u8]) -> Result<()> {
        if bytes.len() > ATTRIBUTES_LEN_MAX {
            return Err(Error::invalid(format!("a note of {} bytes, {ATTRIBUTES_LEN_MAX} are allowed", bytes.len())));
        }
        let old = self.find_note(uuid).map(|(id, note)| (id, note.attributes_len));
        let old_len = old.map_or(0, |(_, len)| len);
        if old.is_none() {
            self.require_numbers(1)?;
        }
        self.require_attributes(old_len as usize + bytes.len(), Purpose::Grow)?;
        let id = old.map_or_else(|| self.next_id(), |(id, _)| id);
        self.write_attributes(id, old_len, bytes)?;
        self.note_by_uuid.insert(uuid, id);
        self.notes.insert(id, Note { uuid, attributes_len: bytes.len() as u32 });
        self.touch(RecordKind::Note, id);
        Ok(())
    }

    /// Deletes a note.
    ///
    /// # Errors
    /// `NotFound`, `NoSpace` if not even the reserve has room.
    pub fn delete_note(&mut self, uuid: Uuid) -> Result<()> {
        let (id, note) = self.find_note(uuid).ok_or_else(no_such_note)?;
        let len = note.attributes_len;
        self.require_attributes(len as usize, Purpose::Shrink)?;
        self.write_attributes(id, len, &[])?;
        self.note_by_uuid.remove(&uuid);
        self.notes.remove(&id);
        self.touch(RecordKind::Note, id);
        Ok(())
    }

    pub(super) fn add_note(&mut self, id: ObjectId, note: Note) -> Result<()> {
        if self.note_by_uuid.insert(note.uuid, id).is_some() {
            return Err(Error::corrupt(format!("two notes have the uuid {}", note.uuid)));
        }
        self.notes.insert(id, note);
        Ok(())
    }

    fn find_note(&self, uuid: Uuid) -> Option<(ObjectId, &Note)> {
        let id = self.note_by_uuid.get(&uuid)?;
        Some((*id, self.notes.get(id)?))
    }
}

fn no_such_note() -> Error {
    Error::not_found("there is no such note")
}
