//! Does a store say what a model says that keeps every image whole?
//!
//! Any operations, in any order, on a sound store. The model knows bytes alone; sizes are for the oracle's test to judge.

use std::sync::Arc;

use floe::{Drive, DriveOptions, Error, ErrorKind, SnapshotOptions, Store, Uuid};

use super::bench::{BLOCK, Bench};
use super::choices::Choices;
use super::furnish::Furnished;

const DRIVES_MAX: usize = 4;
const SNAPSHOTS_MAX: usize = 8;
const IMAGE_BLOCKS_MAX: usize = 16;
const OPERATIONS_MAX: usize = 60;
/// From this byte on it is something with a note, so that what was found before there were any keeps its meaning.
const NOTES_BYTES: u8 = 240;

/// All images and notes by uuid, in order of creation.
#[derive(Default)]
struct Model {
    drives: Vec<(Uuid, Vec<u8>)>,
    snapshots: Vec<(Uuid, Vec<u8>)>,
    notes: Vec<(Uuid, Vec<u8>)>,
    /// How many things were made so far.
    made: u128,
}

impl Model {
    fn next_uuid(&mut self) -> Uuid {
        self.made += 1;
        Uuid::from_u128(self.made)
    }
}

/// Does to a store and to the model what the bytes say, and compares.
pub fn run(empty: &Furnished, bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut model = Model::default();
    let mut store = open(&empty.bench);
    for _ in 0..OPERATIONS_MAX {
        if choices.is_empty() {
            break;
        }
        if choices.byte() % 16 == 0 {
            compare(&store, &model);
            drop(store);
            store = open(&empty.bench);
        }
        match operate(&store, &mut model, &mut choices) {
            Err(error) if error.kind() != ErrorKind::NoSpace => panic!("an operation failed: {error:?}"),
            _ => {}
        }
    }
    compare(&store, &model);
    store.drives().iter().for_each(|drive| drive.delete().expect("any drive can be deleted"));
    store.snapshots().iter().for_each(|snapshot| snapshot.delete().expect("any snapshot can be deleted"));
    store.notes().into_iter().for_each(|note| store.delete_note(note).expect("any note can be deleted"));
    while !store.reclaim(10).expect("there is room to free things").done {}
    assert_eq!(store.usage().data_bytes, 0, "everything was deleted (A6)");
    drop(store);
    empty.bench.put(&empty.picture, &Default::default());
}

fn open(bench: &Arc<Bench>) -> Store {
    Store::options().open_on(bench.clone()).expect("a sound store can be opened")
}

fn compare(store: &Store, model: &Model) {
    let expected = |images: &[(Uuid, Vec<u8>)]| images.iter().map(|(uuid, _)| *uuid).collect::<Vec<_>>();
    assert_eq!(store.drives().iter().map(Drive::uuid).collect::<Vec<_>>(), expected(&model.drives));
    assert_eq!(store.snapshots().iter().map(floe::Snapshot::uuid).collect::<Vec<_>>(), expected(&model.snapshots));
    for (drive, (uuid, bytes)) in store.drives().iter().zip(&model.drives) {
        assert_eq!(drive.size_bytes().expect("it exists"), bytes.len() as u64);
        let mut read = vec![0xEE; bytes.len()];
        drive.read_at(&mut read, 0).expect("a sound store can be read");
        assert!(read == *bytes, "drive {uuid} has other bytes (D1)");
        drive.info().expect("sizes can be asked");
    }
    for (snapshot, (uuid, bytes)) in store.snapshots().iter().zip(&model.snapshots) {
        let mut read = vec![0xEE; bytes.len()];
        snapshot.read_at(&mut read, 0).expect("a sound store can be read");
        assert!(read == *bytes, "snapshot {uuid} has other bytes (D4)");
        snapshot.info().expect("sizes can be asked");
    }
    assert_eq!(store.notes(), expected(&model.notes));
    for (uuid, bytes) in &model.notes {
        assert!(store.note(*uuid).expect("a sound store can be read") == *bytes, "note {uuid} has other bytes");
    }
    let report = store.check().expect("a sound store can be checked");
    assert!(report.is_clean(), "{report}");
}

fn operate(store: &Store, model: &mut Model, choices: &mut Choices<'_>) -> Result<(), Error> {
    let kind = match choices.byte() {
        byte @ NOTES_BYTES.. => return note(store, model, choices, byte),
        byte => byte % 20,
    };
    let (at, of) = (usize::from(choices.byte()), usize::from(choices.byte()));
    let (drives, snapshots) = (store.drives(), store.snapshots());
    let (at, of) = (at % drives.len().max(1), of % snapshots.len().max(1));
    match (kind, drives.get(at), snapshots.get(of)) {
        (0, ..) | (_, None, _) if drives.len() < DRIVES_MAX => {
            let bytes = vec![0; image_bytes(choices)];
            let uuid = model.next_uuid();
            store.create_drive(DriveOptions::new(bytes.len() as u64).uuid(uuid))?;
            model.drives.push((uuid, bytes));
        }
        (1, ..) => store.flush()?,
        (2, ..) => drop(store.reclaim(u64::from(choices.byte()))?),
        (3..9, Some(drive), _) => {
            let image = &mut model.drives[at].1;
            let (from, to) = span(choices, image.len());
            let new = vec![choices.byte() % 3; to - from];
            drive.write_at(&new, from as u64)?;
            image[from..to].copy_from_slice(&new);
        }
        (9, Some(drive), _) => {
            let image = &mut model.drives[at].1;
            let (from, to) = span(choices, image.len());
            drive.write_zeroes(from as u64..to as u64)?;
            image[from..to].fill(0);
        }
        (10, Some(drive), _) => {
            let image = &mut model.drives[at].1;
            let (from, to) = span(choices, image.len());
            drive.discard(from as u64..to as u64)?;
            // Whole blocks go, and the last one is whole however short it is.
            let end = if to == image.len() { to } else { to / BLOCK * BLOCK };
            if from.next_multiple_of(BLOCK) < end {
                image[from.next_multiple_of(BLOCK)..end].fill(0);
            }
        }
        (11, Some(drive), _) => {
            let bytes = image_bytes(choices);
            drive.resize(bytes as u64)?;
            model.drives[at].1.resize(bytes, 0);
        }
        (12 | 13, Some(drive), _) if snapshots.len() < SNAPSHOTS_MAX => {
            let uuid = model.next_uuid();
            drive.snapshot(SnapshotOptions::default().uuid(uuid))?;
            model.snapshots.push((uuid, model.drives[at].1.clone()));
        }
        (14, _, Some(snapshot)) if drives.len() < DRIVES_MAX => {
            let uuid = model.next_uuid();
            snapshot.clone_drive(DriveOptions::default().uuid(uuid))?;
            model.drives.push((uuid, model.snapshots[of].1.clone()));
        }
        (15, Some(drive), Some(snapshot)) => {
            drive.revert_to(snapshot)?;
            model.drives[at].1.clone_from(&model.snapshots[of].1);
        }
        (16, Some(drive), _) => {
            drive.delete()?;
            model.drives.remove(at);
        }
        (17, _, Some(snapshot)) => {
            snapshot.delete()?;
            model.snapshots.remove(of);
        }
        (18, Some(drive), _) => drop(drive.bookmark("mark")?),
        (19, Some(drive), _) => drive.bookmarks()?.first().map_or(Ok(()), |bookmark| bookmark.delete())?,
        _ => {}
    }
    Ok(())
}

fn note(store: &Store, model: &mut Model, choices: &mut Choices<'_>, byte: u8) -> Result<(), Error> {
    let at = choices.index(model.notes.len() + 1);
    let known = model.notes.get(at).map(|(uuid, _)| *uuid);
    match (byte % 4, known) {
        (0, Some(uuid)) => {
            store.delete_note(uuid)?;
            model.notes.remove(at);
        }
        _ => {
            let uuid = known.unwrap_or_else(|| model.next_uuid());
            let bytes = vec![choices.byte(); choices.index(6) * 1024 + choices.index(3)];
            store.set_note(uuid, &bytes)?;
            match known {
                Some(_) => model.notes[at].1 = bytes,
                None => model.notes.push((uuid, bytes)),
            }
        }
    }
    Ok(())
}

fn image_bytes(choices: &mut Choices<'_>) -> usize {
    let more = [0, 1, 512, 4000][choices.index(4)];
    (choices.index(IMAGE_BLOCKS_MAX) + 1) * BLOCK + more
}

/// A range of an image, often at the bounds of blocks.
fn span(choices: &mut Choices<'_>, len: usize) -> (usize, usize) {
    let unit = [1, 512, BLOCK, BLOCK][choices.index(4)];
    let from = choices.little(2) as usize * unit % len;
    let bytes = (choices.index(5) * BLOCK).max(1) + usize::from(choices.byte() % 4) * (BLOCK / 4);
    (from, (from + bytes).min(len))
}
