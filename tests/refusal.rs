//! What happens when a store is opened that is foreign, newer, damaged, cut off, or in use?
//!
//! A clear error or the identical contents: never a panic, never other bytes.

#[path = "refusal/stranger.rs"]
mod stranger;

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use floe::{DriveOptions, Error, ErrorKind, Snapshot, SnapshotOptions, Store, StoreOptions, Uuid};
use tempfile::TempDir;

use stranger::{
    FEATURE_COMMIT_RECORD, FEATURE_NOTES, FEATURE_SPACE_CHANGES, FEATURES_OPTIONAL, FEATURES_REQUIRED, GENERATION, PAGE, Picture,
    Use, VERSION, u32_at, u64_at,
};

const BLOCK: u64 = 4096;
/// No other drive of [`furnished`] has this size.
const COMB_BYTES: u64 = 1000 * BLOCK + 12;

// --- a store worth damaging ------------------------------------------------------------------------------------------

struct Furnished {
    directory: TempDir,
    contents: Contents,
}

/// All images and notes by uuid.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    drives: BTreeMap<Uuid, Vec<u8>>,
    snapshots: BTreeMap<Uuid, Vec<u8>>,
    notes: BTreeMap<Uuid, Vec<u8>>,
}

impl Furnished {
    fn path(&self) -> PathBuf {
        self.directory.path().join("store.floe")
    }

    /// A copy with `picture` in it.
    fn copy_with(&self, picture: &Picture) -> PathBuf {
        let path = self.directory.path().join("copy.floe");
        picture.write_to(&path).unwrap();
        path
    }
}

/// Two groups: one for data, one for tree pages.
const CAPACITY_BYTES: u64 = 256 << 20;

fn create(path: &Path) -> Store {
    Store::options().capacity(CAPACITY_BYTES).create(path).unwrap()
}

fn open(path: &Path) -> Result<Store, Error> {
    Store::options().open(path)
}

/// Drives with tables of two levels, snapshots, clones, a junction, bookmarks, long attributes and notes; closed.
fn furnished() -> Furnished {
    let directory = TempDir::new().unwrap();
    let store = create(&directory.path().join("store.floe"));
    for (number, length) in [(1, 0), (2, 5000), (3, 1024)] {
        store.set_note(Uuid::from_u128(number), &vec![b'n' + number as u8; length]).unwrap();
    }
    let comb = store.create_drive(DriveOptions::new(COMB_BYTES).name("comb").attributes(vec![b'a'; 2500])).unwrap();
    for block in (0..800).step_by(2) {
        comb.write_at(&[block as u8 | 1; BLOCK as usize], block * BLOCK).unwrap();
    }
    comb.bookmark("mark").unwrap();
    let first = comb.snapshot(SnapshotOptions::named("first").attributes(vec![b's'; 700])).unwrap();
    comb.write_at(&[b'x'; 10_000], 20 * BLOCK + 5).unwrap();
    comb.snapshot(SnapshotOptions::named("second")).unwrap();
    comb.discard(40 * BLOCK..60 * BLOCK).unwrap();
    let clones: Vec<_> = (0..3).map(|_| first.clone_drive(DriveOptions::named("clone")).unwrap()).collect();
    for (index, clone) in clones.iter().enumerate() {
        clone.resize((500 + index as u64) * BLOCK).unwrap();
        clone.write_at(&[b'c'; 5000], index as u64 * 9 * BLOCK).unwrap();
    }
    clones[0].snapshot(SnapshotOptions::named("of a clone")).unwrap();
    first.delete().unwrap();
    drop(first);
    while !store.reclaim(1000).unwrap().done {}
    let contents = contents_of(&store).unwrap();
    store.close().unwrap();
    Furnished { directory, contents }
}

fn contents_of(store: &Store) -> Result<Contents, Error> {
    let mut contents = Contents { drives: BTreeMap::new(), snapshots: BTreeMap::new(), notes: BTreeMap::new() };
    for drive in store.drives() {
        let mut bytes = vec![0; drive.size_bytes()? as usize];
        drive.read_at(&mut bytes, 0)?;
        contents.drives.insert(drive.uuid(), bytes);
    }
    for snapshot in store.snapshots() {
        let mut bytes = vec![0; snapshot.size_bytes() as usize];
        snapshot.read_at(&mut bytes, 0)?;
        contents.snapshots.insert(snapshot.uuid(), bytes);
    }
    for uuid in store.notes() {
        contents.notes.insert(uuid, store.note(uuid)?);
    }
    Ok(contents)
}

fn refused(path: &Path, kinds: &[ErrorKind]) -> Error {
    let error = open(path).map(|_| ()).expect_err("it was opened");
    assert!(kinds.contains(&error.kind()), "{error:?} is none of {kinds:?}");
    assert!(error.to_string().contains(&path.display().to_string()), "the message does not say which file: {error}");
    error
}

// --- foreign, newer, cut off -----------------------------------------------------------------------------------------

#[test]
fn file_that_is_no_store_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let text = "# Shopping list\n".repeat(500_000);
    let noise: Vec<u8> = (0..3_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let short = b"FLOESTOR".to_vec();
    for (name, bytes) in
        [("empty", Vec::new()), ("text", text.into_bytes()), ("noise", noise), ("short", short), ("zeroes", vec![0; 1 << 20])]
    {
        let path = directory.path().join(name);
        fs::write(&path, &bytes).unwrap();
        refused(&path, if name == "short" { &[ErrorKind::NotAStore, ErrorKind::Corrupt] } else { &[ErrorKind::NotAStore] });
        assert!(fs::read(&path).unwrap() == bytes, "{name} was changed");
    }
    refused(&directory.path().join("nothing"), &[ErrorKind::NotFound]);
    assert!(open(directory.path()).is_err(), "a directory was opened");
}

#[test]
fn create_takes_an_empty_file_and_spares_any_other() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "precious").unwrap();
    let error = Store::options().create(&path).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::write(&path, "").unwrap();
    create(&path).close().unwrap();
    assert_eq!(Store::options().create(&path).map(|_| ()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    open(&path).unwrap();
}

#[test]
fn capacity_below_the_smallest_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("small.floe");
    let error = Store::options().capacity(StoreOptions::CAPACITY_MIN - BLOCK).create(&path).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn store_of_a_newer_format_is_refused_by_name() {
    let furnished = furnished();
    let whole = Picture::of(&furnished.path()).unwrap();
    let version = u32_at(&whole.superblock(), VERSION);
    let newer = |page: &mut [u8]| page[VERSION..VERSION + 4].copy_from_slice(&(version + 1).to_le_bytes());
    let mut both = whole.clone();
    both.patch_superblock(0, newer);
    both.patch_superblock(1, newer);
    let error = refused(&furnished.copy_with(&both), &[ErrorKind::UnsupportedFormat]);
    assert!(error.to_string().contains(&(version + 1).to_string()), "the message does not name the version: {error}");

    // A newer floe that committed once before it was killed: going back to the older commit would lose what it wrote.
    let generation = u64_at(&whole.superblock(), GENERATION) + 1;
    let mut one = whole;
    one.patch_superblock(generation % 2, |page| {
        newer(page);
        page[GENERATION..GENERATION + 8].copy_from_slice(&generation.to_le_bytes());
    });
    refused(&furnished.copy_with(&one), &[ErrorKind::UnsupportedFormat]);
}

#[test]
fn unknown_required_feature_is_refused_and_unknown_optional_one_is_not() {
    let furnished = furnished();
    let whole = Picture::of(&furnished.path()).unwrap();
    let with = |at: usize| {
        let mut picture = whole.clone();
        for slot in 0..2 {
            picture.patch_superblock(slot, |page| page[at + 7] = 0x40);
        }
        furnished.copy_with(&picture)
    };
    refused(&with(FEATURES_REQUIRED), &[ErrorKind::UnsupportedFormat]);
    let store = open(&with(FEATURES_OPTIONAL)).unwrap();
    assert!(contents_of(&store).unwrap() == furnished.contents);
}

#[test]
fn store_cut_off_is_refused() {
    let furnished = furnished();
    let whole = Picture::of(&furnished.path()).unwrap();
    let used = whole.used_pages().into_iter().map(|(page, _)| page).max().unwrap();
    for length in
        [1, 100, BLOCK, BLOCK + 1, 2 * BLOCK, 64 * BLOCK, used * BLOCK, whole.length / 2, whole.length - BLOCK, whole.length - 1]
    {
        let path = furnished.copy_with(&whole);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        refused(&path, &[ErrorKind::NotAStore, ErrorKind::Corrupt, ErrorKind::Io]);
    }
}

// --- damaged ---------------------------------------------------------------------------------------------------------

/// What came of opening and using a damaged store.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Refused(ErrorKind),
    /// Reading said so.
    Unreadable(ErrorKind),
    /// Everything could be read, but `check` found something.
    Problems(Vec<&'static str>),
    Nothing,
}

/// Opens, compares everything that can be read, checks, and then uses the store as if nothing had happened.
fn look_at(path: &Path, expected: &Contents) -> Found {
    let store = match open(path) {
        Ok(store) => store,
        Err(error) => return Found::Refused(error.kind()),
    };
    let drives: Vec<Uuid> = store.drives().iter().map(floe::Drive::uuid).collect();
    assert!(
        drives.iter().all(|uuid| expected.drives.contains_key(uuid)) && drives.len() == expected.drives.len(),
        "drives were lost"
    );
    let snapshots: Vec<Uuid> = store.snapshots().iter().map(Snapshot::uuid).collect();
    assert_eq!(snapshots.len(), expected.snapshots.len(), "snapshots were lost");
    assert_eq!(store.notes(), expected.notes.keys().copied().collect::<Vec<_>>(), "notes were lost");
    let mut unreadable = None;
    let mut compare = |result: Result<Vec<u8>, Error>, expected: &[u8]| match result {
        Ok(bytes) => assert!(bytes == expected, "other bytes were read"),
        Err(error) => unreadable = Some(error.kind()),
    };
    for drive in store.drives() {
        compare(read(expected.drives[&drive.uuid()].len(), |buf, at| drive.read_at(buf, at)), &expected.drives[&drive.uuid()]);
        compare(drive.attributes().map(|_| Vec::new()), &[]);
        compare(drive.info().map(|_| Vec::new()), &[]);
    }
    for snapshot in store.snapshots() {
        let bytes = &expected.snapshots[&snapshot.uuid()];
        compare(read(bytes.len(), |buf, at| snapshot.read_at(buf, at)), bytes);
        compare(snapshot.attributes().map(|_| Vec::new()), &[]);
        compare(snapshot.info().map(|_| Vec::new()), &[]);
    }
    for (uuid, bytes) in &expected.notes {
        compare(store.note(*uuid), bytes);
    }
    let found = match (unreadable, store.check()) {
        (Some(kind), _) => Found::Unreadable(kind),
        (None, Err(error)) => Found::Unreadable(error.kind()),
        (None, Ok(report)) if report.is_clean() => Found::Nothing,
        (None, Ok(report)) => Found::Problems(report.problems.iter().map(|problem| problem.kind.name()).collect()),
    };
    use_it(&store);
    found
}

fn read(length: usize, read_at: impl FnOnce(&mut [u8], u64) -> Result<(), Error>) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0xEE; length];
    read_at(&mut bytes, 0).map(|()| bytes)
}

/// Errors are expected; what must not happen is a panic.
fn use_it(store: &Store) {
    let attempts: Vec<Result<(), Error>> = store
        .drives()
        .iter()
        .flat_map(|drive| {
            [
                drive.write_at(&[9; 9000], 3 * BLOCK + 1),
                drive.snapshot(SnapshotOptions::named("late")).map(drop),
                drive.discard(0..100 * BLOCK),
                drive.resize(300 * BLOCK),
                drive.flush(),
            ]
        })
        .chain(
            store
                .snapshots()
                .iter()
                .flat_map(|snapshot| [snapshot.clone_drive(DriveOptions::named("c")).map(drop), snapshot.delete()]),
        )
        .collect();
    let change = |uuid| [store.set_note(uuid, &[9; 3000]), store.delete_note(uuid)];
    let changes: Vec<Result<(), Error>> = store.notes().into_iter().flat_map(change).collect();
    let endings = [store.reclaim(10_000).map(drop), store.check().map(drop), store.flush(), store.close()];
    for error in attempts.into_iter().chain(changes).chain(endings).filter_map(Result::err) {
        let expected = [ErrorKind::Corrupt, ErrorKind::Poisoned, ErrorKind::NotFound];
        assert!(expected.contains(&error.kind()), "using a damaged store: {error:?}");
    }
}

/// Damages each block in turn, and tells what came of each.
fn damage_each(
    furnished: &Furnished,
    whole: &Picture,
    blocks: &[(u64, Use)],
    damage: impl Fn(&mut [u8]),
) -> Vec<(u64, Use, Found)> {
    let mut outcomes = Vec::new();
    for &(block, what) in blocks {
        let mut picture = whole.clone();
        let mut bytes = picture.block(block);
        damage(&mut bytes);
        picture.blocks.insert(block, bytes);
        let path = furnished.copy_with(&picture);
        let found = catch_unwind(AssertUnwindSafe(|| look_at(&path, &furnished.contents)));
        outcomes.push((block, what, found.unwrap_or_else(|_| panic!("with block {block} ({what:?}) damaged"))));
    }
    outcomes
}

fn expect_told(outcomes: &[(u64, Use, Found)]) {
    for (block, what, found) in outcomes {
        match (what, found) {
            // The other slot says the same.
            (Use::Superblock, Found::Nothing | Found::Problems(_)) => {}
            (_, Found::Refused(ErrorKind::Corrupt) | Found::Unreadable(ErrorKind::Corrupt) | Found::Problems(_)) => {}
            _ => panic!("{what:?} page {block} was damaged, and what came of it was {found:?}"),
        }
    }
    for what in [Use::Superblock, Use::Catalog, Use::GroupTree, Use::ExtentTable, Use::Histogram, Use::Bitmap, Use::Checksums] {
        assert!(outcomes.iter().any(|(_, other, _)| *other == what), "no page was a {what:?}");
    }
}

#[test]
fn each_used_page_zeroed_is_noticed() {
    let furnished = furnished();
    let whole = Picture::of(&furnished.path()).unwrap();
    expect_told(&damage_each(&furnished, &whole, &whole.used_pages(), |page| page.fill(0)));
}

#[test]
fn one_bit_flipped_in_each_used_page_is_noticed() {
    let furnished = furnished();
    let whole = Picture::of(&furnished.path()).unwrap();
    for (byte, bit) in [(PAGE - 1, 0), (33, 7), (9, 1)] {
        expect_told(&damage_each(&furnished, &whole, &whole.used_pages(), |page| page[byte] ^= 1 << bit));
    }
}

#[test]
fn pages_that_no_commit_uses_may_hold_anything() {
    let furnished = furnished();
    let whole = Picture::of(&furnished.path()).unwrap();
    let used: Vec<u64> = whole.used_pages().into_iter().map(|(page, _)| page).collect();
    let mut picture = whole.clone();
    let mut left_over = 0;
    for (block, bytes) in &mut picture.blocks {
        if bytes.starts_with(b"FLPG") && !used.contains(block) {
            bytes.fill(0xEE);
            left_over += 1;
        }
    }
    assert!(left_over > 0, "nothing is left over of earlier commits");
    assert_eq!(look_at(&furnished.copy_with(&picture), &furnished.contents), Found::Nothing);
}

#[test]
fn store_without_either_superblock_is_refused() {
    let furnished = furnished();
    let mut picture = Picture::of(&furnished.path()).unwrap();
    let mut torn = picture.clone();
    picture.blocks.remove(&0);
    picture.blocks.remove(&1);
    refused(&furnished.copy_with(&picture), &[ErrorKind::NotAStore, ErrorKind::Corrupt]);
    for slot in 0..2 {
        let mut page = torn.block(slot);
        page[2000..].fill(0xEE);
        torn.blocks.insert(slot, page);
    }
    refused(&furnished.copy_with(&torn), &[ErrorKind::Corrupt]);
}

#[test]
fn one_superblock_is_enough() {
    let furnished = furnished();
    let whole = Picture::of(&furnished.path()).unwrap();
    for slot in 0..2 {
        let mut picture = whole.clone();
        picture.blocks.remove(&slot);
        let store = open(&furnished.copy_with(&picture)).unwrap();
        assert!(contents_of(&store).unwrap() == furnished.contents, "without slot {slot}");
    }
}

// --- docs/format.md is enough ----------------------------------------------------------------------------------------

#[test]
fn stranger_reads_a_drive_by_the_format_page_alone() {
    let furnished = furnished();
    let whole = Picture::of(&furnished.path()).unwrap();
    let expected = furnished.contents.drives.values().find(|bytes| bytes.len() as u64 == COMB_BYTES).unwrap();
    assert!(whole.drive_of(COMB_BYTES) == *expected);
}

#[test]
fn stranger_reads_notes_by_the_format_page_alone() {
    let furnished = furnished();
    let notes = Picture::of(&furnished.path()).unwrap().notes();
    let uuids = notes.into_iter().map(|(uuid, bytes)| (Uuid::from_bytes(uuid), bytes));
    assert!(uuids.collect::<BTreeMap<_, _>>() == furnished.contents.notes);
}

/// A floe that knows nothing of notes would lose them, so it must not take a store that has any.
#[test]
fn store_requires_that_a_reader_knows_notes_as_long_as_it_has_any() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("store.floe");
    let store = create(&path);
    let requires = |slots: [u64; 2], expected: u64, when: &str| {
        let picture = Picture::of(&path).unwrap();
        for slot in slots {
            let required = u64_at(&picture.block(slot), FEATURES_REQUIRED) & !(FEATURE_COMMIT_RECORD | FEATURE_SPACE_CHANGES);
            assert_eq!(required, expected, "slot {slot} {when}");
        }
    };
    let newest = |store: &Store| [store.info().generation % 2; 2];
    requires([0, 1], 0, "of a new store");
    let [first, second] = [1, 2].map(Uuid::from_u128);
    store.set_note(first, b"").unwrap();
    requires(newest(&store), FEATURE_NOTES, "with a note");
    store.set_note(second, b"two").unwrap();
    store.close().unwrap();
    requires([0, 1], FEATURE_NOTES, "of a closed store with notes");
    let store = open(&path).unwrap();
    store.create_drive(DriveOptions::new(BLOCK)).unwrap();
    requires(newest(&store), FEATURE_NOTES, "after another change");
    store.delete_note(first).unwrap();
    requires(newest(&store), FEATURE_NOTES, "with one note left");
    store.delete_note(second).unwrap();
    requires(newest(&store), 0, "when the last note is gone");
    store.close().unwrap();
    requires([0, 1], 0, "of a closed store without notes");
    assert_eq!(open(&path).unwrap().info().notes, 0);
}

#[test]
fn notes_in_a_store_that_says_it_has_none_are_refused() {
    let furnished = furnished();
    let mut picture = Picture::of(&furnished.path()).unwrap();
    for slot in 0..2 {
        picture.patch_superblock(slot, |page| page[FEATURES_REQUIRED] = 0);
    }
    refused(&furnished.copy_with(&picture), &[ErrorKind::Corrupt]);
}

// --- reopening and locking -------------------------------------------------------------------------------------------

#[test]
fn store_is_the_same_after_each_reopening() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("store.floe");
    let mut store = create(&path);
    let mut generations = Vec::new();
    for turn in 0..12_u64 {
        let drive = store.create_drive(DriveOptions::new((turn + 1) * 3 * BLOCK).name(format!("{turn}"))).unwrap();
        drive.write_at(&vec![turn as u8 + 1; 2 * BLOCK as usize], turn * BLOCK).unwrap();
        for older in store.drives() {
            older.write_at(&[turn as u8; 100], turn * 100).unwrap();
            older.snapshot(SnapshotOptions::named(format!("{turn}"))).unwrap();
        }
        if turn % 3 == 2 {
            store.snapshots()[turn as usize].delete().unwrap();
            store.drives()[0].delete().unwrap();
        }
        let before = contents_of(&store).unwrap();
        let sizes: Vec<_> = store.snapshots().iter().map(|snapshot| snapshot.info().unwrap()).collect();
        store.close().unwrap();
        store = open(&path).unwrap();
        assert!(store.info().was_clean, "turn {turn}");
        assert!(contents_of(&store).unwrap() == before, "turn {turn}");
        assert_eq!(store.snapshots().iter().map(|snapshot| snapshot.info().unwrap()).collect::<Vec<_>>(), sizes, "turn {turn}");
        let report = store.check().unwrap();
        assert!(report.is_clean(), "turn {turn}: {:#?}", report.problems);
        generations.push(store.info().generation);
    }
    assert!(generations.is_sorted(), "{generations:?}");
}

#[test]
fn dropping_the_last_handle_closes_the_store() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("store.floe");
    let store = create(&path);
    let drive = store.create_drive(DriveOptions::new(BLOCK)).unwrap();
    drop(store);
    drive.write_at(b"still here", 0).unwrap();
    refused(&path, &[ErrorKind::Locked]);
    drop(drive);
    let store = open(&path).unwrap();
    assert!(store.info().was_clean);
    let mut bytes = [0; 10];
    store.drives()[0].read_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"still here");
}

#[test]
fn second_opener_in_this_process_is_told_who_holds_the_store() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("store.floe");
    let store = create(&path);
    let error = refused(&path, &[ErrorKind::Locked]);
    assert!(error.to_string().contains(&std::process::id().to_string()), "the holder's pid is missing: {error}");
    assert_eq!(Store::options().create(&path).map(|_| ()).unwrap_err().kind(), ErrorKind::Locked);
    store.close().unwrap();
    open(&path).expect("a closed store is free");
}

const ROLE: &str = "FLOE_TEST_ROLE";
const STORE: &str = "FLOE_TEST_STORE";

/// Not a test of its own: what the tests below run in another process.
#[test]
fn in_another_process() {
    let Ok(role) = env::var(ROLE) else { return };
    let path = PathBuf::from(env::var(STORE).unwrap());
    match (role.as_str(), open(&path)) {
        ("hold", Ok(_store)) => {
            println!("\nholding");
            std::io::stdin().lines().for_each(drop);
        }
        (_, Ok(_)) => println!("\nopened"),
        (_, Err(error)) => println!("\nrefused {:?} {error}", error.kind()),
    }
}

fn run_in_another_process(role: &str, path: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "in_another_process", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(STORE, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn first_line_with(child: &mut Child, words: &[&str]) -> String {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    lines.map(Result::unwrap).find(|line| words.iter().any(|word| line.starts_with(word))).expect("an answer")
}

#[test]
fn second_opener_in_another_process_is_told_who_holds_the_store() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("store.floe");
    let store = create(&path);
    let mut child = run_in_another_process("try", &path);
    let answer = first_line_with(&mut child, &["opened", "refused"]);
    child.wait().unwrap();
    assert!(answer.starts_with("refused Locked"), "{answer}");
    assert!(answer.contains(&std::process::id().to_string()), "the holder's pid is missing: {answer}");
    drop(store);
}

#[test]
fn lock_goes_with_the_process_that_held_it() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("store.floe");
    create(&path).close().unwrap();
    let mut child = run_in_another_process("hold", &path);
    assert_eq!(first_line_with(&mut child, &["holding", "refused"]), "holding");
    let error = refused(&path, &[ErrorKind::Locked]);
    assert!(error.to_string().contains(&child.id().to_string()), "the holder's pid is missing: {error}");
    child.kill().unwrap();
    child.wait().unwrap();
    open(&path).expect("the holder is gone");
}
