//! Does the store say what the model says?

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::ops::Range;

use floe::{Change, ChangeKind, Changes, Drive, Error, ErrorKind, Snapshot, Store};

use crate::model::{BLOCK, BookmarkModel, DriveModel, Image, Model, Sizes};

/// A difference between the store and the model ends a run; the text says what it is.
pub type Outcome<T = ()> = Result<T, String>;

/// An image that is read as a whole every time.
const SMALL_BLOCKS: u64 = 64;
/// Of a larger one so many runs are read when the reading need not be thorough.
const RUNS_READ_LIGHTLY: usize = 12;
/// More changed blocks than any run can make.
const CHANGED_BLOCKS_MAX: u64 = 1 << 20;

/// How much of large images is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Light,
    Thorough,
}

/// The engine must not fail here.
pub fn done<T>(doing: impl Display, result: Result<T, Error>) -> Outcome<T> {
    result.map_err(|error| format!("{doing} failed: {:?}: {error}", error.kind()))
}

pub fn same<T: PartialEq + Debug>(what: impl Display, store: &T, model: &T) -> Outcome {
    if store == model { Ok(()) } else { Err(format!("{what}: the store says {store:?}, the model says {model:?}")) }
}

/// Everything that can be asked without changing anything.
pub fn judge(store: &Store, model: &Model, reading: Reading) -> Outcome {
    let drives: Vec<_> = store.drives().iter().map(Drive::uuid).collect();
    same("drives", &drives, &model.drives.iter().map(|drive| drive.uuid).collect())?;
    let snapshots: Vec<_> = store.snapshots().iter().map(Snapshot::uuid).collect();
    same("snapshots", &snapshots, &model.snapshots.iter().map(|snapshot| snapshot.uuid).collect())?;
    let sizes = model.sizes();
    judge_snapshots(store, model, &sizes, reading)?;
    for drive in &model.drives {
        judge_drive(store, model, &sizes, drive, reading).map_err(|difference| format!("drive {}: {difference}", drive.name))?;
    }
    let info = store.info();
    same("number of drives", &info.drives, &(model.drives.len() as u64))?;
    same("number of snapshots", &info.snapshots, &(model.snapshots.len() as u64))?;
    let bookmarks: usize = model.drives.iter().map(|drive| drive.bookmarks.len()).sum();
    same("number of bookmarks", &info.bookmarks, &(bookmarks as u64))?;
    judge_notes(store, model)?;
    let (data_bytes, reachable) = (store.usage().data_bytes, model.reachable());
    if data_bytes < reachable {
        return Err(format!("A7: {data_bytes} bytes in use, but {reachable} are reachable"));
    }
    Ok(())
}

fn judge_notes(store: &Store, model: &Model) -> Outcome {
    same("notes", &store.notes(), &model.notes.iter().map(|note| note.uuid).collect())?;
    same("number of notes", &store.info().notes, &(model.notes.len() as u64))?;
    for expected in &model.notes {
        let found = done("note", store.note(expected.uuid))?;
        same(format!("length of note {}", expected.uuid), &found.len(), &expected.bytes.len())?;
        if let Some(at) = found.iter().zip(&expected.bytes[..]).position(|(found, wanted)| found != wanted) {
            let difference = describe(&found[at..], &expected.bytes[at..]);
            return Err(format!("note {}: other bytes at {at}: {difference}", expected.uuid));
        }
    }
    Ok(())
}

fn judge_snapshots(store: &Store, model: &Model, sizes: &[Sizes], reading: Reading) -> Outcome {
    for (expected, sizes) in model.snapshots.iter().zip(sizes) {
        let snapshot = done("finding a snapshot", store.snapshot(expected.uuid))?;
        judge_snapshot(&snapshot, &expected.image, reading)
            .and_then(|()| judge_sizes(&snapshot, sizes))
            .and_then(|()| same("name", &done("name", snapshot.name())?, &expected.name))
            .and_then(|()| same("attributes", &done("attributes", snapshot.attributes())?, &expected.attributes))
            .and_then(|()| same("drive", &snapshot.drive_uuid(), &expected.drive))
            .map_err(|difference| format!("snapshot {}: {difference}", expected.name))?;
    }
    Ok(())
}

/// A1, A2, A4 and A5, each asked for alone and all together.
fn judge_sizes(snapshot: &Snapshot, expected: &Sizes) -> Outcome {
    let Sizes { exclusive, charged, allocated, referenced } = *expected;
    assert!(exclusive <= charged && charged <= allocated && allocated <= referenced, "the model contradicts A5");
    same("allocated_size (A1)", &done("allocated_size", snapshot.allocated_size())?, &allocated)?;
    same("charged_size (A5)", &done("charged_size", snapshot.charged_size())?, &charged)?;
    same("exclusive_size (A5)", &done("exclusive_size", snapshot.exclusive_size())?, &exclusive)?;
    same("referenced_size (A5)", &done("referenced_size", snapshot.referenced_size())?, &referenced)?;
    let info = done("info", snapshot.info())?;
    let all = Sizes {
        exclusive: info.exclusive_bytes,
        charged: info.charged_bytes,
        allocated: info.allocated_bytes,
        referenced: info.referenced_bytes,
    };
    same("sizes in info", &all, expected)
}

/// The bytes of a snapshot, by reading and by borrowing.
pub fn judge_snapshot(snapshot: &Snapshot, image: &Image, reading: Reading) -> Outcome {
    same("size", &snapshot.size_bytes(), &image.size)?;
    judge_bytes(image, reading, |buf, offset| snapshot.read_at(buf, offset))?;
    if image.block_count() <= SMALL_BLOCKS || reading == Reading::Thorough {
        judge_extents(snapshot, image)?;
    }
    Ok(())
}

fn judge_extents(snapshot: &Snapshot, image: &Image) -> Outcome {
    let mut expected = image.blocks.iter();
    for extent in snapshot.extents() {
        let extent = done("extents", extent)?;
        if extent.offset % BLOCK != 0 || extent.data.is_empty() {
            return Err(format!("extent of {} bytes at {}", extent.data.len(), extent.offset));
        }
        for (index, block) in extent.data.chunks(BLOCK as usize).enumerate() {
            let address = extent.offset / BLOCK + index as u64;
            let Some((&wanted, held)) = expected.next() else {
                return Err(format!("extents lend block {address}, which is a hole"));
            };
            same("block lent by extents", &address, &wanted)?;
            let inside = (image.size - address * BLOCK).min(BLOCK) as usize;
            if block.len() < inside || block[..inside] != held.bytes[..inside] {
                return Err(format!("extents lend other bytes at block {address}: {}", describe(block, &held.bytes)));
            }
        }
    }
    same("block missing in extents", &expected.next().map(|(address, _)| *address), &None)
}

fn judge_drive(store: &Store, model: &Model, sizes: &[Sizes], expected: &DriveModel, reading: Reading) -> Outcome {
    let drive = done("finding a drive", store.drive(expected.uuid))?;
    let image = &expected.image;
    same("name", &done("name", drive.name())?, &expected.name)?;
    same("attributes", &done("attributes", drive.attributes())?, &expected.attributes)?;
    same("size", &done("size", drive.size_bytes())?, &image.size)?;
    judge_bytes(image, reading, |buf, offset| drive.read_at(buf, offset)).map_err(|difference| format!("D1: {difference}"))?;
    if image.block_count() <= SMALL_BLOCKS || reading == Reading::Thorough {
        same("mapped ranges", &mapped_ranges(&drive)?, &image.mapped_ranges())?;
    }
    let own = || model.snapshots.iter().zip(sizes).filter(|(snapshot, _)| snapshot.drive == expected.uuid);
    let snapshots: Vec<_> = done("snapshots", drive.snapshots())?.iter().map(Snapshot::uuid).collect();
    same("its snapshots", &snapshots, &own().map(|(snapshot, _)| snapshot.uuid).collect())?;
    let info = done("info", drive.info())?;
    same("referenced bytes", &info.referenced_bytes, &image.referenced())?;
    same("number of snapshots", &info.snapshots, &(snapshots.len() as u64))?;
    same("number of bookmarks", &info.bookmarks, &(expected.bookmarks.len() as u64))?;
    let charged = own().map(|(_, sizes)| sizes.charged).sum();
    same("sum of charged sizes (A5)", &info.snapshots_charged_bytes, &charged)?;
    let allocated = own().map(|(_, sizes)| sizes.allocated).sum();
    same("sum of allocated sizes", &info.snapshots_allocated_bytes, &allocated)?;
    judge_bookmarks(store, model, &drive, expected)
}

fn judge_bookmarks(store: &Store, model: &Model, drive: &Drive, expected: &DriveModel) -> Outcome {
    let bookmarks = done("bookmarks", drive.bookmarks())?;
    let uuids: Vec<_> = bookmarks.iter().map(floe::Bookmark::uuid).collect();
    same("its bookmarks", &uuids, &expected.bookmarks.iter().map(|bookmark| bookmark.uuid).collect())?;
    for (bookmark, expected_mark) in bookmarks.iter().zip(&expected.bookmarks) {
        let then = &expected_mark.image;
        let now = &expected.image;
        let of = |what: &str| format!("{what} of bookmark {}", expected_mark.name);
        same(of("name"), &done("name", bookmark.name())?, &expected_mark.name)?;
        same(of("size"), &done("size", bookmark.size_bytes())?, &then.size)?;
        same(of("referenced size"), &done("referenced_size", bookmark.referenced_size())?, &then.referenced())?;
        same(of("allocated size"), &done("allocated_size", bookmark.allocated_size())?, &then.beyond(now))?;
        let reported = done("changed_ranges", bookmark.changed_ranges())?;
        judge_changes(&of("changed ranges"), reported, expected_mark, now)?;
        for snapshot in model.snapshots.iter().filter(|snapshot| snapshot.drive == expected.uuid) {
            let handle = done("finding a snapshot", store.snapshot(snapshot.uuid))?;
            let what = of(&format!("changes up to snapshot {}", snapshot.name));
            match handle.changes_since(bookmark) {
                Ok(reported) if model.moment_of(snapshot) >= expected_mark.moment => {
                    judge_changes(&what, reported, expected_mark, &snapshot.image)?;
                }
                Err(error) if model.moment_of(snapshot) < expected_mark.moment => {
                    same(&what, &error.kind(), &ErrorKind::InvalidArgument)?;
                }
                other => return Err(format!("{what}: {:?}", other.map(drop))),
            }
        }
    }
    Ok(())
}

/// No change between a bookmark's moment and a later image is missing, and none is told that did not happen.
fn judge_changes(what: &str, reported: Changes, mark: &BookmarkModel, newer: &Image) -> Outcome {
    let reported = changed_blocks(reported, newer)?;
    let touched = newer.touched_since(mark.moment);
    for address in mark.image.changes_to(newer).keys() {
        if !reported.contains_key(address) {
            return Err(format!("{what}: block {address} is missing"));
        }
    }
    for (address, data) in &reported {
        if !touched.contains(address) {
            return Err(format!("{what}: block {address} was not touched since"));
        }
        same(format!("{what}: kind of change"), data, &newer.blocks.contains_key(address))?;
    }
    Ok(())
}

pub fn mapped_ranges(drive: &Drive) -> Outcome<Vec<Range<u64>>> {
    let size = done("size", drive.size_bytes())?;
    let ranges: Outcome<Vec<_>> = drive.mapped_ranges().map(|range| done("mapped_ranges", range)).collect();
    Ok(ranges?.into_iter().map(|range| range.start..range.end.min(size)).collect())
}

/// Changed addresses with true where the newer image has data.
pub fn changed_blocks(changes: impl Iterator<Item = Result<Change, Error>>, newer: &Image) -> Outcome<BTreeMap<u64, bool>> {
    let mut blocks = BTreeMap::new();
    let mut end = 0;
    for change in changes {
        let Change { range, kind } = done("next change", change)?;
        let whole = range.start % BLOCK == 0 && (range.end % BLOCK == 0 || range.end == newer.size);
        if !whole || range.start < end || range.start >= range.end || range.end > newer.size {
            return Err(format!("change {range:?} follows {end} in an image of {} bytes", newer.size));
        }
        if (range.end - range.start) / BLOCK > CHANGED_BLOCKS_MAX {
            return Err(format!("change {range:?} is larger than all that was ever written"));
        }
        end = range.end;
        blocks.extend((range.start / BLOCK..range.end.div_ceil(BLOCK)).map(|address| (address, kind == ChangeKind::Data)));
    }
    Ok(blocks)
}

/// Reads the image, or of a large one the blocks that are mapped and their neighbours.
pub fn judge_bytes(image: &Image, reading: Reading, read: impl Fn(&mut [u8], u64) -> Result<(), Error>) -> Outcome {
    for range in ranges_to_read(image, reading) {
        judge_range(image, range, &read)?;
    }
    Ok(())
}

pub fn judge_range(image: &Image, range: Range<u64>, read: impl Fn(&mut [u8], u64) -> Result<(), Error>) -> Outcome {
    let wanted = image.bytes(range.clone());
    // Not zeroes, so that a hole left unread does not pass for one.
    let mut found = vec![0xA5; wanted.len()];
    done(format_args!("reading {range:?}"), read(&mut found, range.start))?;
    if found != wanted {
        let at = found.iter().zip(&wanted).position(|(found, wanted)| found != wanted).unwrap_or_default();
        let place = range.start + at as u64;
        return Err(format!("other bytes at {place} (block {}): {}", place / BLOCK, describe(&found[at..], &wanted[at..])));
    }
    Ok(())
}

fn ranges_to_read(image: &Image, reading: Reading) -> Vec<Range<u64>> {
    if image.block_count() <= SMALL_BLOCKS {
        return std::iter::once(0..image.size).collect();
    }
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for mapped in image.mapped_ranges() {
        let start = mapped.start.saturating_sub(BLOCK);
        let end = image.size.min(mapped.end.saturating_add(BLOCK));
        match ranges.last_mut() {
            Some(range) if range.end >= start => range.end = end,
            _ => ranges.push(start..end),
        }
    }
    if reading == Reading::Light {
        let step = ranges.len() / RUNS_READ_LIGHTLY + 1;
        ranges = ranges.into_iter().step_by(step).map(|range| range.start..range.end.min(range.start + 16 * BLOCK)).collect();
    }
    ranges
}

fn describe(found: &[u8], wanted: &[u8]) -> String {
    let some = |bytes: &[u8]| bytes[..bytes.len().min(12)].to_vec();
    format!("the store has {:?}, the model has {:?}", some(found), some(wanted))
}
