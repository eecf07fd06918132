//! What does the engine make of a store whose pages somebody wrote?
//!
//! It may refuse the store, or any operation on it. It must not panic, hang, take memory without bound or ask the device for
//! what is not there, and a store of which `check` says that everything is as it must be must be one.

use std::ops::Range;
use std::sync::Arc;

use floe::{Changes, Device, Drive, DriveOptions, Error, ErrorKind, Snapshot, SnapshotOptions, Store, Uuid};

use super::bench::BLOCK;
use super::choices::Choices;
use super::furnish::Furnished;
use super::mutation::mutate;
use super::seal::Mutant;

const BLOCK_BYTES: u64 = BLOCK as u64;
/// Things of one kind that are looked at.
const LOOKED_AT_MAX: usize = 6;
/// Pieces of an image that are looked at.
const PIECES_MAX: usize = 200;
/// Images of at most this many bytes are read as a whole.
const READ_MAX: u64 = 1 << 20;
const ACTIONS_MAX: usize = 12;
/// What means a store of notes, or something done to one: chosen so that what was found before there were any keeps its meaning.
const NOTES_MODES: Range<u8> = 99..118;
const NOTES_BYTES: u8 = 240;

/// Damages a store as the bytes say, and uses it. The first byte says which store, and whether its checksums are made right again.
pub fn run(stores: &[Furnished], bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mode = choices.byte();
    let (of_notes, others) = stores.split_last().expect("there are stores");
    let is_of_notes = NOTES_MODES.contains(&(mode >> 1)) || others.is_empty();
    let furnished = if is_of_notes { of_notes } else { &others[usize::from(mode >> 1) % others.len()] };
    let mut mutant = Mutant::of(&furnished.picture);
    mutate(&mut mutant, &furnished.pages, &mut choices);
    if mode & 1 == 1 {
        mutant.seal();
    }
    furnished.bench.put(&furnished.picture, &mutant.changes);
    use_store(&furnished.bench.clone(), &mut choices);
    furnished.bench.put(&furnished.picture, &Default::default());
}

/// Opens the store on `device`, asks everything, does what `choices` say, opens it again and asks again.
pub fn use_store(device: &Arc<impl Device + 'static>, choices: &mut Choices<'_>) {
    let open = || allowed(Store::options().open_on(device.clone()));
    let Some(store) = open() else { return };
    let sound = look_at(&store);
    let refused = act(&store, choices);
    // `check` does not look at data: that a block is not what was written there is for a scrub to say, or for whoever reads it first.
    let is_rot = |error: &Error| error.to_string().contains("is not what was written there");
    if sound && let Some(error) = refused.iter().find(|error| error.kind() == ErrorKind::Corrupt && !is_rot(error)) {
        panic!("check found nothing, and then: {error}");
    }
    allowed(store.close());
    let store = open();
    let still = store.as_ref().is_some_and(look_at);
    if sound && !still {
        panic!("it was sound before it was used: {:#?}", store.map(|store| store.check().map(|report| report.problems)));
    }
}

/// A damaged store may be refused, but the device did nothing wrong.
fn allowed<T>(result: Result<T, Error>) -> Option<T> {
    if let Err(error) = &result {
        assert_ne!(error.kind(), ErrorKind::Io, "the device has no errors: {error:?}");
    }
    result.ok()
}

/// Asks everything that can be asked. Is everything as it must be?
fn look_at(store: &Store) -> bool {
    let _usage = (store.usage(), store.info());
    let snapshots = store.snapshots();
    let drives = store.drives();
    let mut sound = true;
    for uuid in store.notes().into_iter().take(LOOKED_AT_MAX) {
        sound &= allowed(store.note(uuid)).is_some();
    }
    for drive in drives.iter().take(LOOKED_AT_MAX) {
        sound &= look_at_drive(drive);
    }
    for (index, snapshot) in snapshots.iter().enumerate().take(LOOKED_AT_MAX) {
        sound &= look_at_snapshot(snapshot);
        let next = &snapshots[(index + 1) % snapshots.len()];
        sound &= allowed(snapshot.diff(next)).is_some_and(walk_changes);
        sound &= drives.first().is_none_or(|drive| allowed(snapshot.diff_drive(drive)).is_some_and(walk_changes));
    }
    match allowed(store.check()) {
        Some(report) if report.is_clean() => {
            // Whether the data is right is for a scrub to say.
            let rotten = !sound && allowed(store.scrub()).is_none_or(|report| !report.is_clean());
            assert!(sound || rotten, "check and scrub found nothing, but something could not be read");
            true
        }
        _ => false,
    }
}

fn look_at_drive(drive: &Drive) -> bool {
    let mut sound = allowed(drive.name()).is_some() & allowed(drive.info()).is_some() & allowed(drive.attributes()).is_some();
    for bookmark in allowed(drive.bookmarks()).unwrap_or_default().iter().take(LOOKED_AT_MAX) {
        sound &= allowed(bookmark.allocated_size()).is_some();
        sound &= allowed(bookmark.changed_ranges()).is_some_and(walk_changes);
    }
    for range in drive.mapped_ranges().take(PIECES_MAX) {
        sound &= allowed(range).is_some();
    }
    let size = allowed(drive.size_bytes()).unwrap_or_default();
    sound & look_at_image(size, |buf, offset| allowed(drive.read_at(buf, offset)).is_some())
}

fn look_at_snapshot(snapshot: &Snapshot) -> bool {
    let mut sound = allowed(snapshot.info()).is_some() & allowed(snapshot.attributes()).is_some();
    let mut bytes = 0;
    for extent in snapshot.extents().take(PIECES_MAX) {
        let Some(extent) = allowed(extent) else { return false };
        bytes += extent.data.len() as u64;
        let _ends = (extent.data.first(), extent.data.last());
    }
    if bytes <= READ_MAX {
        sound &= allowed(snapshot.fingerprint()).is_some();
    }
    sound & look_at_image(snapshot.size_bytes(), |buf, offset| allowed(snapshot.read_at(buf, offset)).is_some())
}

/// Reads the beginning and the end of an image, each in a short and in a long piece.
fn look_at_image(size: u64, mut read: impl FnMut(&mut [u8], u64) -> bool) -> bool {
    let mut buf = vec![0; 17 * BLOCK];
    let mut sound = true;
    for len in [100, buf.len()] {
        let len = len.min(usize::try_from(size).unwrap_or(usize::MAX));
        sound &= read(&mut buf[..len], 0) & read(&mut buf[..len], size - len as u64);
    }
    sound
}

fn walk_changes(changes: Changes) -> bool {
    let mut sound = true;
    for change in changes.take(PIECES_MAX) {
        sound &= allowed(change).is_some();
    }
    sound
}

/// Uses the store as the choices say, and returns what was refused.
fn act(store: &Store, choices: &mut Choices<'_>) -> Vec<Error> {
    let mut refused = Vec::new();
    for _ in 0..ACTIONS_MAX {
        if choices.is_empty() {
            break;
        }
        if let Err(error) = act_once(store, choices) {
            assert_ne!(error.kind(), ErrorKind::Io, "the device has no errors: {error:?}");
            refused.push(error);
        }
    }
    refused
}

fn act_once(store: &Store, choices: &mut Choices<'_>) -> Result<(), Error> {
    let kind = match choices.byte() {
        byte @ NOTES_BYTES.. => 24 + byte % 2,
        byte => byte % 24,
    };
    let (drives, snapshots) = (store.drives(), store.snapshots());
    let drive = drives.get(usize::from(choices.byte()) % drives.len().max(1));
    let snapshot = snapshots.get(usize::from(choices.byte()) % snapshots.len().max(1));
    match (kind, drive, snapshot) {
        (24, ..) => {
            let uuid = Uuid::from_u128(u128::from(choices.byte() % 6));
            store.set_note(uuid, &vec![b'z'; choices.little(2) as usize % 5000])
        }
        (25, ..) => store.notes().first().map_or(Ok(()), |uuid| store.delete_note(*uuid)),
        (0, ..) => store.flush(),
        (1, ..) => store.reclaim(u64::from(choices.byte())).map(drop),
        (2, ..) => store.reclaim(10_000).map(drop),
        (3, ..) => store.create_drive(DriveOptions::new(choices.number()).name("new").attributes(vec![b'n'; 1030])).map(drop),
        (4..8, Some(drive), _) => {
            let (offset, len) = span(choices, drive.size_bytes()?);
            drive.write_at(&vec![choices.byte(); len as usize], offset)
        }
        (8, Some(drive), _) => {
            let (offset, len) = span(choices, drive.size_bytes()?);
            drive.discard(offset..offset + len * 7)
        }
        (9, Some(drive), _) => {
            let (offset, len) = span(choices, drive.size_bytes()?);
            drive.write_zeroes(offset..offset + len)
        }
        (10, Some(drive), _) => drive.resize(choices.number()),
        (11, Some(drive), _) => drive.resize(drive.size_bytes()? / 2),
        (12, Some(drive), _) => drive.snapshot(SnapshotOptions::named("new").attributes(b"new")).map(drop),
        (13, Some(drive), _) => drive.bookmark("new").map(drop),
        (14, Some(drive), _) => drive.bookmarks()?.first().map_or(Ok(()), |bookmark| bookmark.delete()),
        (15, Some(drive), _) => drive.set_attributes(&vec![b'x'; choices.little(2) as usize % 5000]),
        (16, Some(drive), _) => drive.rename(&"name".repeat(usize::from(choices.byte() % 32))),
        (17, Some(drive), Some(snapshot)) => drive.revert_to(snapshot),
        (18, Some(drive), _) => drive.delete(),
        (19, Some(drive), _) => drive.discard(0..drive.size_bytes()?),
        (20, _, Some(snapshot)) => snapshot.clone_drive(DriveOptions::named("clone")).map(drop),
        (21, _, Some(snapshot)) => snapshot.delete(),
        (22, _, Some(snapshot)) => snapshot.set_attributes(&vec![b'y'; choices.little(2) as usize % 5000]),
        (23, _, Some(snapshot)) => snapshot.rename("renamed"),
        _ => Ok(()),
    }
}

/// Where in an image something is done: near its beginning or its end.
fn span(choices: &mut Choices<'_>, size: u64) -> (u64, u64) {
    let len = [1, 100, BLOCK_BYTES, 3 * BLOCK_BYTES + 1][choices.index(4)].min(size);
    let offset = choices.little(2) * [1, 16, 512, BLOCK_BYTES][choices.index(4)] % (size - len + 1);
    (if choices.byte().is_multiple_of(4) { size - len - offset } else { offset }, len)
}
