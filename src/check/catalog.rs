//! Which drives, versions, snapshots, bookmarks and notes does the catalog name, and does each record make sense by itself?

use std::collections::{BTreeMap, HashMap};

use super::report::{Findings, ProblemKind};
use super::tree::{Role, Summary, Tree};
use super::walk::Walk;
use crate::format::page::{self, LEVEL_MAX, Page, Root};
use crate::format::record::{
    self, ATTRIBUTE_CHUNK, ATTRIBUTES_LEN_MAX, BookmarkRecord, DriveRecord, NAME_LEN_MAX, NoteRecord, ObjectId, RecordKind,
    RootRecord, SnapshotRecord, UNSETTLED_MAX, VersionRecord, VersionState,
};
use crate::format::superblock::{FEATURE_NOTES, Superblock};
use crate::units::{DRIVE_BYTES_MAX, DRIVE_BYTES_MIN};

/// The catalog's records under their objects' numbers.
#[derive(Default)]
pub struct Catalog {
    pub versions: BTreeMap<u64, VersionRecord>,
    pub drives: BTreeMap<u64, DriveRecord>,
    pub snapshots: BTreeMap<u64, SnapshotRecord>,
    pub bookmarks: BTreeMap<u64, BookmarkRecord>,
    pub notes: BTreeMap<u64, NoteRecord>,
    attributes: BTreeMap<u64, Attributes>,
}

/// What the chunks of an object's attributes add up to.
#[derive(Default)]
struct Attributes {
    bytes: u64,
    chunks: u64,
    /// A chunk is missing before the last one, or one before the last one is not full.
    gap: bool,
}

/// Reads the whole catalog. What cannot be decoded is reported and left out.
pub fn read(walk: &mut Walk<'_>) -> Catalog {
    let mut catalog = Catalog::default();
    let tree = Tree { role: Role::Catalog, holder: "the store", lineage: None };
    let superblock = walk.superblock;
    // A catalog that is damaged in places is judged by what can be read of it.
    let _unsound_is_reported = walk.tree(&tree, superblock.catalog, &mut |page, place, findings, _| {
        for index in 0..page::count(page) {
            catalog.add(page, index, place, superblock, findings);
        }
        Summary::default()
    });
    catalog.judge_numbers(&mut walk.findings);
    catalog.judge_notes(superblock, &mut walk.findings);
    catalog.judge_attributes(&mut walk.findings);
    catalog
}

impl Catalog {
    fn add(&mut self, page: &Page, index: usize, place: &str, superblock: &Superblock, findings: &mut Findings) {
        let (key, bytes) = (record::leaf_key(page, index), record::leaf_value(page, index));
        let place = format!("{place}, record {key:#x}");
        let Some((kind, ObjectId(object), chunk)) = record::parse_key(key) else {
            findings.lost(ProblemKind::BadRecord, place, "its key names no kind of record");
            return;
        };
        if object == 0 || object >= superblock.next_id {
            let detail = format_args!("object {object}, the next one is {}", superblock.next_id);
            findings.add(ProblemKind::BadRecord, &place, detail);
        }
        if chunk != 0 && kind != RecordKind::Attributes {
            findings.add(ProblemKind::BadRecord, &place, "only attributes come in chunks");
        }
        let verdict = match kind {
            RecordKind::Version => record::decode::<VersionRecord>(bytes).map(|record| {
                judge_version(&record, &place, superblock, findings);
                self.versions.insert(object, record);
            }),
            RecordKind::Drive => record::decode::<DriveRecord>(bytes).map(|record| {
                judge_name(&record.name, &place, findings);
                self.drives.insert(object, record);
            }),
            RecordKind::Snapshot => record::decode::<SnapshotRecord>(bytes).map(|record| {
                judge_name(&record.name, &place, findings);
                self.snapshots.insert(object, record);
            }),
            RecordKind::Bookmark => record::decode::<BookmarkRecord>(bytes).map(|record| {
                judge_name(&record.name, &place, findings);
                judge_size(record.size_bytes, &place, findings);
                judge_past_epoch(record.epoch, &place, superblock, findings);
                self.bookmarks.insert(object, record);
            }),
            RecordKind::Note => record::decode::<NoteRecord>(bytes).map(|record| {
                self.notes.insert(object, record);
            }),
            RecordKind::Attributes => {
                self.attributes.entry(object).or_default().add(chunk, bytes.len());
                Ok(())
            }
        };
        if let Err(detail) = verdict {
            findings.lost(ProblemKind::BadRecord, place, detail);
        }
    }

    /// No number is used twice, except that a snapshot's record stands under its version's.
    fn judge_numbers(&self, findings: &mut Findings) {
        for object in self.drives.keys() {
            if self.versions.contains_key(object) || self.bookmarks.contains_key(object) {
                findings.add(ProblemKind::BadRecord, format_args!("drive {object}"), "its number names something else too");
            }
        }
        for object in self.bookmarks.keys() {
            if self.versions.contains_key(object) {
                findings.add(ProblemKind::BadRecord, format_args!("bookmark {object}"), "its number names a version too");
            }
        }
        for object in self.notes.keys() {
            let others =
                [self.versions.contains_key(object), self.drives.contains_key(object), self.bookmarks.contains_key(object)];
            if others.contains(&true) {
                findings.add(ProblemKind::BadRecord, format_args!("note {object}"), "its number names something else too");
            }
        }
    }

    /// No two notes have one uuid, and the superblock says that there are any.
    fn judge_notes(&self, superblock: &Superblock, findings: &mut Findings) {
        let mut uuids = HashMap::new();
        for (object, record) in &self.notes {
            if let Some(other) = uuids.insert(record.uuid, *object) {
                let detail = format_args!("note {other} has the same uuid");
                findings.add(ProblemKind::BadRecord, format_args!("note {object}"), detail);
            }
        }
        if !self.notes.is_empty() && superblock.features_required & FEATURE_NOTES == 0 {
            let detail = format_args!("there are {} notes, but it does not say so", self.notes.len());
            findings.add(ProblemKind::BadRecord, "superblock", detail);
        }
    }

    fn judge_attributes(&self, findings: &mut Findings) {
        let none = Attributes::default();
        let drives = self.drives.iter().map(|(id, record)| ("drive", *id, record.attributes_len));
        let snapshots = self.snapshots.iter().map(|(id, record)| ("snapshot", *id, record.attributes_len));
        let notes = self.notes.iter().map(|(id, record)| ("note", *id, record.attributes_len));
        for (what, object, len) in drives.chain(snapshots).chain(notes) {
            if len as usize > ATTRIBUTES_LEN_MAX {
                let detail = format_args!("{len} bytes, {ATTRIBUTES_LEN_MAX} are allowed");
                findings.add(ProblemKind::BadAttributes, format_args!("attributes of {what} {object}"), detail);
            }
            let held = self.attributes.get(&object).unwrap_or(&none);
            if held.gap || held.bytes != u64::from(len) || held.chunks != u64::from(len).div_ceil(ATTRIBUTE_CHUNK as u64) {
                let detail = format_args!("{len} bytes, but there are {} in {} chunks", held.bytes, held.chunks);
                findings.add(ProblemKind::BadAttributes, format_args!("attributes of {what} {object}"), detail);
            }
        }
        for object in self.attributes.keys() {
            let owners = [self.drives.contains_key(object), self.snapshots.contains_key(object), self.notes.contains_key(object)];
            if !owners.contains(&true) {
                findings.add(ProblemKind::BadAttributes, format_args!("attributes of object {object}"), "nothing has them");
            }
        }
    }
}

impl Attributes {
    /// Adds the next chunk: chunks come in rising order, as their keys do.
    fn add(&mut self, chunk: u16, len: usize) {
        self.gap |= u64::from(chunk) != self.chunks || self.bytes != self.chunks * ATTRIBUTE_CHUNK as u64;
        self.chunks += 1;
        self.bytes += len as u64;
    }
}

fn judge_version(record: &VersionRecord, place: &str, superblock: &Superblock, findings: &mut Findings) {
    judge_size(record.size_bytes, place, findings);
    match record.state {
        VersionState::Head if record.epoch != 0 => {
            findings.add(ProblemKind::BadRecord, place, format_args!("a head, and frozen in epoch {}", record.epoch));
        }
        VersionState::Head => {}
        VersionState::Snapshot => judge_past_epoch(record.epoch, place, superblock, findings),
        // A deleted head was never frozen: it ends with no epoch, or with the one it was deleted in.
        VersionState::Condemned if record.epoch == superblock.epoch.0 || record.epoch == 0 => {}
        VersionState::Condemned => judge_past_epoch(record.epoch, place, superblock, findings),
    }
    for (what, root) in [("table", record.table), ("histogram", record.histogram)] {
        let decoded = Root::from(root);
        if decoded.level > LEVEL_MAX || RootRecord::from(decoded) != root {
            findings.add(ProblemKind::BadRecord, place, format_args!("the root of its {what} is impossible"));
        }
    }
    let possible = |(first, last): &(u64, u64)| *first > 0 && first <= last && *last <= superblock.epoch.0;
    if record.unsettled.len() > UNSETTLED_MAX || !record.unsettled.iter().all(possible) {
        findings.add(ProblemKind::BadRecord, place, "its unsettled births are impossible");
    }
}

fn judge_past_epoch(epoch: u64, place: &str, superblock: &Superblock, findings: &mut Findings) {
    if epoch == 0 || epoch >= superblock.epoch.0 {
        let detail = format_args!("frozen in epoch {epoch}, the next freeze takes {}", superblock.epoch);
        findings.add(ProblemKind::BadRecord, place, detail);
    }
}

fn judge_size(size_bytes: u64, place: &str, findings: &mut Findings) {
    if !(DRIVE_BYTES_MIN..=DRIVE_BYTES_MAX).contains(&size_bytes) {
        findings.add(ProblemKind::BadRecord, place, format_args!("an image of {size_bytes} bytes"));
    }
}

fn judge_name(name: &str, place: &str, findings: &mut Findings) {
    if name.len() > NAME_LEN_MAX {
        findings.add(ProblemKind::BadRecord, place, format_args!("a name of {} bytes", name.len()));
    }
}
