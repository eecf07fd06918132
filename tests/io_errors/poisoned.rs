//! What does a store still do after a write or sync failed?
//!
//! Nothing is acknowledged any more, whatever the device says by now (D6). Reads go on and show what was written so far.

use std::ops::Range;

use floe::sim::Lasts;
use floe::{Bookmark, DriveOptions, Error, ErrorKind, SnapshotOptions, Store, Uuid};

use crate::injection::Injection;
use crate::judge::{Outcome, Reading, done, judge, same};
use crate::model::{BLOCK, Image, Model};
use crate::runner::Runner;

/// Asks a poisoned store for everything. The operation that failed was to lead from point `points - 1` on.
pub fn judge_poisoned(runner: &Runner, points: usize, injection: Injection) -> Outcome {
    let (store, device) = (runner.store(), &runner.device);
    if injection.lasts == Lasts::ForEver {
        refuses_every_change(store)?;
        for drive in store.drives() {
            match drive.read_at(&mut [0; 100], 0) {
                Err(error) if error.kind() != ErrorKind::Io => return Err(format!("a read says {:?}: {error}", error.kind())),
                _ => {}
            }
        }
    }
    if device.failures().after_fatal > 0 {
        return Err("D6: a poisoned store wrote or synced".to_owned());
    }
    // The device works again. The store does not know, and must not try.
    device.fail(None);
    let events = device.recorded();
    refuses_every_change(store)?;
    let models: Vec<&Model> = runner.points[points - 1..].iter().map(|point| &point.state.model).collect();
    shows_what_was_written(store, &models)?;
    let report = done("check", store.check())?;
    if !report.is_clean() {
        return Err(format!("check of the last commit found {:#?}", report.problems));
    }
    if injection.number().is_multiple_of(3) {
        is_refused("close", store.close())?;
        is_closed(store)?;
    }
    same("D6: events since the failure", &device.recorded(), &events)
}

fn refuses_every_change(store: &Store) -> Outcome {
    is_refused("flush", store.flush())?;
    is_refused("create_drive", store.create_drive(DriveOptions::new(BLOCK)))?;
    is_refused("reclaim", store.reclaim(10))?;
    is_refused("grow", store.grow(store.usage().capacity_bytes + BLOCK))?;
    is_refused("scrub", store.scrub())?;
    let (drives, snapshots) = (store.drives(), store.snapshots());
    let group: Vec<_> = drives.iter().map(|drive| (drive, SnapshotOptions::default())).collect();
    is_refused("set_note", store.set_note(Uuid::new_v4(), b"other"))?;
    for note in store.notes() {
        is_refused("set_note", store.set_note(note, b"other"))?;
        is_refused("delete_note", store.delete_note(note))?;
    }
    is_refused("snapshot_group", store.snapshot_group(&group))?;
    for drive in &drives {
        is_refused("write_at", drive.write_at(&[1; 5000], 0))?;
        is_refused("write_zeroes", drive.write_zeroes(0..1))?;
        is_refused("discard", drive.discard(0..BLOCK))?;
        is_refused("flush", drive.flush())?;
        is_refused("resize", drive.resize(BLOCK))?;
        is_refused("rename", drive.rename("other"))?;
        is_refused("set_attributes", drive.set_attributes(b"other"))?;
        is_refused("snapshot", drive.snapshot(SnapshotOptions::default()))?;
        is_refused("bookmark", drive.bookmark("other"))?;
        is_refused("delete", drive.delete())?;
        for bookmark in done("bookmarks", drive.bookmarks())? {
            is_refused("delete", Bookmark::delete(&bookmark))?;
        }
        if let Some(snapshot) = snapshots.first() {
            is_refused("revert_to", drive.revert_to(snapshot))?;
        }
    }
    for snapshot in &snapshots {
        is_refused("clone_drive", snapshot.clone_drive(DriveOptions::default()))?;
        is_refused("rename", snapshot.rename("other"))?;
        is_refused("set_attributes", snapshot.set_attributes(b"other"))?;
        is_refused("delete", snapshot.delete())?;
    }
    Ok(())
}

fn is_refused<T>(doing: &str, result: Result<T, Error>) -> Outcome {
    match result {
        Err(error) if error.kind() == ErrorKind::Poisoned => Ok(()),
        Err(error) => Err(format!("D6: {doing} of a poisoned store says {:?}: {error}", error.kind())),
        Ok(_) => Err(format!("D6: {doing} of a poisoned store succeeds")),
    }
}

/// Every handle of a closed store says so, and closing it once more is nothing.
pub fn is_closed(store: &Store) -> Outcome {
    done("close, once more", store.close())?;
    let kinds = [store.flush().map_err(|error| error.kind()), store.check().map(drop).map_err(|error| error.kind())];
    same("a closed store", &kinds, &[Err(ErrorKind::Closed), Err(ErrorKind::Closed)])
}

/// What the operation that failed wrote may be there whole, in part, or not at all. All else is as it was before.
fn shows_what_was_written(store: &Store, models: &[&Model]) -> Outcome {
    let exact = |model: &&&Model| judge(store, model, Reading::Thorough).is_ok();
    if models.iter().rev().find(exact).is_some() {
        return Ok(());
    }
    for drive in store.drives() {
        let size = done("size", drive.size_bytes())?;
        let images: Vec<&Image> =
            models.iter().filter_map(|model| model.drive_at(drive.uuid())).map(|drive| &drive.image).collect();
        if !images.iter().any(|image| image.size == size) {
            return Err(format!("drive {} has {size} bytes", done("name", drive.name())?));
        }
        let mut found = vec![0xA5; size as usize];
        done("read", drive.read_at(&mut found, 0))?;
        let expected: Vec<Vec<u8>> = images.iter().map(|image| bytes(image, 0..size)).collect();
        let is_wrong = |(at, byte): (usize, &u8)| expected.iter().all(|expected| expected[at] != *byte);
        if let Some(at) = found.iter().enumerate().position(is_wrong) {
            return Err(format!("D1: byte {at} of drive {} was never written so", done("name", drive.name())?));
        }
    }
    for snapshot in store.snapshots() {
        let known = models.iter().flat_map(|model| &model.snapshots).find(|known| known.uuid == snapshot.uuid());
        let known = known.ok_or("there is a snapshot that nobody took")?;
        same("fingerprint", &done("fingerprint", snapshot.fingerprint())?, &known.image.fingerprint())?;
    }
    let is_there = |name: &str, always: bool, found: bool| {
        if always && !found { Err(format!("{name} is missing")) } else { Ok(()) }
    };
    for drive in &models[0].drives {
        let always = models.iter().all(|model| model.drive_at(drive.uuid).is_some());
        is_there(&drive.name, always, store.drive(drive.uuid).is_ok())?;
    }
    for snapshot in &models[0].snapshots {
        let always = models.iter().all(|model| model.snapshots.iter().any(|other| other.uuid == snapshot.uuid));
        is_there(&snapshot.name, always, store.snapshot(snapshot.uuid).is_ok())?;
    }
    Ok(())
}

/// The bytes of an image, with zeroes behind its end.
fn bytes(image: &Image, range: Range<u64>) -> Vec<u8> {
    let mut bytes = image.bytes(range.start..range.end.min(image.size));
    bytes.resize((range.end - range.start) as usize, 0);
    bytes
}
