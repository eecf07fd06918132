//! What becomes of a store in which one bit is wrong?
//!
//! Every bit of every block of a small store is flipped, one at a time, and everything is asked that can be asked. An answer is
//! right, or it is an error; and a bit that counts for anything does not go unnoticed.

#[path = "forgery/bench.rs"]
mod bench;
#[path = "refusal/stranger.rs"]
#[expect(dead_code, reason = "this test asks the reader only what is in use")]
mod stranger;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use floe::{
    Change, Device, Drive, DriveInfo, DriveOptions, Error, ErrorKind, Hash, Snapshot, SnapshotInfo, SnapshotOptions, Store,
    StoreInfo, StoreOptions, StoreUsage, Uuid,
};

use bench::{BLOCK, Bench, Picture};
use stranger::Use;

const BLOCK_BYTES: u64 = BLOCK as u64;
/// Bytes of one block that one thread takes at a time.
const BYTES_AT_A_TIME: usize = 256;
/// Flips in blocks that hold nothing at all.
const FLIPS_IN_ZEROES: u64 = 2000;
const SEED: u64 = 20_261_122;

// --- a small store, and all that can be asked of it --------------------------------------------------------------------

/// Two drives, two snapshots, a clone, a bookmark, attributes and a note in as few blocks as that takes; closed.
fn furnished() -> Picture {
    let bench = Arc::new(Bench::new(StoreOptions::CAPACITY_MIN));
    let store = Store::options().create_on(bench.clone()).unwrap();
    let write = |drive: &Drive, byte: u8, block: u64| drive.write_at(&[byte; BLOCK], block * BLOCK_BYTES).unwrap();
    let a = store.create_drive(DriveOptions::new(5 * BLOCK_BYTES + 12).name("a").attributes(b"of a")).unwrap();
    write(&a, b'A', 0);
    write(&a, b'B', 3);
    let b = store.create_drive(DriveOptions::new(1 << 40).name("b")).unwrap();
    b.write_at(&[b'C'; 100], (1 << 40) - 100).unwrap();
    let options = [(&a, SnapshotOptions::named("one").attributes(b"of one")), (&b, SnapshotOptions::named("two"))];
    let snapshots = store.snapshot_group(&options).unwrap();
    write(&a, b'D', 0);
    a.bookmark("mark").unwrap();
    write(&a, b'E', 0);
    let c = snapshots[0].clone_drive(DriveOptions::named("c")).unwrap();
    write(&c, b'F', 4);
    store.set_note(Uuid::from_u128(7), b"note").unwrap();
    drop((a, b, c, snapshots));
    store.close().unwrap();
    bench.picture()
}

#[derive(Debug, PartialEq)]
enum Answer {
    Store(Box<(StoreInfo, StoreUsage)>),
    Names(Vec<Uuid>),
    Drive(DriveInfo),
    Snapshot(SnapshotInfo),
    Bytes(Vec<u8>),
    Text(String),
    Number(u64),
    Changes(Vec<Change>),
    Ranges(Vec<std::ops::Range<u64>>),
    Hash(Hash),
    /// Whose drive or snapshot it is that was asked for.
    Whose(Uuid),
}

/// What is asked about, by name: the same questions whatever the answers are.
struct Known {
    drives: Vec<Uuid>,
    snapshots: Vec<Uuid>,
}

type Answers = Vec<Result<Answer, Error>>;

fn ask_everything(store: &Store, known: &Known) -> Answers {
    let drives = store.drives();
    let snapshots = store.snapshots();
    let mut answers = vec![
        Ok(Answer::Store(Box::new((store.info(), store.usage())))),
        Ok(Answer::Names(drives.iter().map(Drive::uuid).collect())),
        Ok(Answer::Names(snapshots.iter().map(Snapshot::uuid).collect())),
        Ok(Answer::Names(store.notes())),
        store.note(Uuid::from_u128(7)).map(Answer::Bytes),
    ];
    for uuid in &known.drives {
        match store.drive(*uuid) {
            Ok(drive) => ask_drive(&drive, &mut answers),
            Err(error) => answers.push(Err(error)),
        }
    }
    for uuid in &known.snapshots {
        match store.snapshot(*uuid) {
            Ok(snapshot) => ask_snapshot(&snapshot, &snapshots, &drives, &mut answers),
            Err(error) => answers.push(Err(error)),
        }
    }
    answers
}

fn ask_drive(drive: &Drive, answers: &mut Answers) {
    let size = drive.size_bytes();
    let len = *size.as_ref().unwrap_or(&0);
    answers.push(drive.name().map(Answer::Text));
    answers.push(size.map(Answer::Number));
    answers.push(drive.info().map(Answer::Drive));
    answers.push(drive.attributes().map(Answer::Bytes));
    answers.push(drive.snapshots().map(|all| Answer::Names(all.iter().map(Snapshot::uuid).collect())));
    answers.push(drive.mapped_ranges().collect::<Result<_, _>>().map(Answer::Ranges));
    ask_bytes(len, |buf, offset| drive.read_at(buf, offset), answers);
    match drive.bookmarks() {
        Ok(bookmarks) => {
            answers.push(Ok(Answer::Names(bookmarks.iter().map(floe::Bookmark::uuid).collect())));
            for bookmark in bookmarks {
                answers.push(bookmark.name().map(Answer::Text));
                answers.push(bookmark.size_bytes().map(Answer::Number));
                answers.push(bookmark.referenced_size().map(Answer::Number));
                answers.push(bookmark.allocated_size().map(Answer::Number));
                let changes = bookmark.changed_ranges().and_then(Iterator::collect);
                answers.push(changes.map(Answer::Changes));
            }
        }
        Err(error) => answers.push(Err(error)),
    }
}

fn ask_snapshot(snapshot: &Snapshot, others: &[Snapshot], drives: &[Drive], answers: &mut Answers) {
    answers.push(Ok(Answer::Whose(snapshot.drive_uuid())));
    answers.push(snapshot.name().map(Answer::Text));
    answers.push(snapshot.info().map(Answer::Snapshot));
    answers.push(snapshot.allocated_size().map(Answer::Number));
    answers.push(snapshot.charged_size().map(Answer::Number));
    answers.push(snapshot.exclusive_size().map(Answer::Number));
    answers.push(snapshot.referenced_size().map(Answer::Number));
    answers.push(snapshot.attributes().map(Answer::Bytes));
    answers.push(snapshot.fingerprint().map(Answer::Hash));
    for extent in snapshot.extents() {
        answers.push(extent.map(|extent| Answer::Bytes(extent.data.to_vec())));
    }
    ask_bytes(snapshot.size_bytes(), |buf, offset| snapshot.read_at(buf, offset), answers);
    for other in others {
        answers.push(snapshot.diff(other).and_then(Iterator::collect).map(Answer::Changes));
    }
    for drive in drives {
        answers.push(snapshot.diff_drive(drive).and_then(Iterator::collect).map(Answer::Changes));
    }
}

/// The whole of a small image, and the end of a large one, block by block: where one cannot be read, others can.
fn ask_bytes(len: u64, read: impl Fn(&mut [u8], u64) -> Result<(), Error>, answers: &mut Answers) {
    let mut offset = if len > 8 * BLOCK_BYTES { len - 2 * BLOCK_BYTES } else { 0 };
    while offset < len {
        let mut bytes = vec![0xEE; BLOCK_BYTES.min(len - offset) as usize];
        answers.push(read(&mut bytes, offset).map(|()| Answer::Bytes(bytes)));
        offset += BLOCK_BYTES;
    }
}

/// Does `scrub` find a block that is not what was written? There is no scrub yet, so nothing does.
fn scrub_finds_rot(_store: &Store) -> bool {
    false
}

// --- flipping -----------------------------------------------------------------------------------------------------------

/// A bit of the store.
#[derive(Clone, Copy, Debug)]
struct Bit {
    block: u64,
    byte: usize,
    bit: u8,
}

/// What came of one wrong bit. A wrong answer is none of these: it ends the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noticed {
    /// The store was refused.
    Refused(ErrorKind),
    /// An answer was an error.
    Asked,
    /// All answers were right.
    NotYet,
}

/// A store to flip bits in.
struct Subject {
    bench: Arc<Bench>,
    picture: Picture,
    known: Known,
    expected: Vec<Answer>,
}

impl Subject {
    fn new(picture: &Picture) -> Self {
        let bench = Arc::new(Bench::new(StoreOptions::CAPACITY_MIN));
        bench.put(&Picture::new(), picture);
        let store = Store::options().open_on(bench.clone()).unwrap();
        let known = Known {
            drives: store.drives().iter().map(Drive::uuid).collect(),
            snapshots: store.snapshots().iter().map(Snapshot::uuid).collect(),
        };
        let expected = ask_everything(&store, &known).into_iter().map(Result::unwrap).collect();
        assert!(store.check().unwrap().is_clean() && !scrub_finds_rot(&store));
        Self { bench, picture: picture.clone(), known, expected }
    }

    /// Flips a bit, asks everything, lets `judge` look at the store if it could be opened, and flips the bit back.
    fn with_flipped(&self, bit: Bit, judge: impl Fn(Noticed, Option<&Store>)) {
        let told = ToldIfPanicking(bit);
        let old = self.picture.get(&bit.block).map_or(0, |bytes| bytes[bit.byte]);
        let at = bit.block * BLOCK_BYTES + bit.byte as u64;
        self.bench.write_at(&[old ^ 1 << bit.bit], at).unwrap();
        match Store::options().open_on(self.bench.clone()) {
            Ok(store) => {
                let answers = ask_everything(&store, &self.known);
                judge(self.compare(answers), Some(&store));
            }
            Err(error) => judge(Noticed::Refused(error.kind()), None),
        }
        self.bench.write_at(&[old], at).unwrap();
        drop(told);
    }

    fn compare(&self, answers: Answers) -> Noticed {
        let mut noticed = Noticed::NotYet;
        // Where a thing cannot be found, or its pieces not be walked, fewer questions are asked.
        let all = answers.len() == self.expected.len();
        for (index, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(answer) if all => assert_eq!(answer, self.expected[index], "a wrong answer to question {index}"),
                Ok(answer) => assert!(self.expected.contains(&answer), "a wrong answer: {answer:?}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                    noticed = Noticed::Asked;
                }
            }
        }
        assert!(all || noticed == Noticed::Asked, "fewer answers, and no error");
        noticed
    }
}

/// Says which bit it was if the test fails at it.
struct ToldIfPanicking(Bit);

impl Drop for ToldIfPanicking {
    fn drop(&mut self) {
        if thread::panicking() {
            let Bit { block, byte, bit } = self.0;
            eprintln!("with bit {bit} of byte {byte} of block {block} flipped");
        }
    }
}

/// Flips every bit of `blocks`, each thread in a store of its own.
fn flip_all(what: &str, picture: &Picture, blocks: &[u64], judge: impl Fn(Noticed, Option<&Store>) + Sync) {
    assert!(!blocks.is_empty(), "no block holds {what}");
    let start = Instant::now();
    let pieces: Vec<(u64, usize)> =
        blocks.iter().flat_map(|block| (0..BLOCK).step_by(BYTES_AT_A_TIME).map(move |byte| (*block, byte))).collect();
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(2, |count| count.get().min(4));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let subject = Subject::new(picture);
                while let Some((block, first)) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for byte in *first..first + BYTES_AT_A_TIME {
                        (0..8).for_each(|bit| subject.with_flipped(Bit { block: *block, byte, bit }, &judge));
                    }
                }
                assert!(subject.bench.picture() == *picture, "opening or closing wrote something");
            });
        }
    });
    println!("{what}: {} bits of {} blocks in {:.1?}", blocks.len() * BLOCK * 8, blocks.len(), start.elapsed());
}

/// Which blocks the last commit uses for data and which for pages, told by a reader that knows docs/format.md alone.
fn used_blocks(picture: &Picture) -> (BTreeMap<u64, Use>, BTreeSet<u64>) {
    let blocks = picture.iter().map(|(block, bytes)| (*block, bytes.to_vec())).collect();
    let picture = stranger::Picture { length: StoreOptions::CAPACITY_MIN, blocks };
    (picture.used_pages().into_iter().collect(), picture.used_data())
}

/// Where a superblock says which commit wrote it.
const GENERATION: usize = 48;

// --- the rule -----------------------------------------------------------------------------------------------------------

#[test]
fn each_bit_of_a_page_in_use_is_noticed_and_no_answer_is_wrong() {
    let picture = furnished();
    let (pages, _) = used_blocks(&picture);
    let pages: Vec<u64> = pages.into_iter().filter(|(_, what)| *what != Use::Superblock).map(|(page, _)| page).collect();
    flip_all("pages", &picture, &pages, |noticed, store| match noticed {
        Noticed::Refused(kind) => assert_eq!(kind, ErrorKind::Corrupt),
        Noticed::Asked => {}
        Noticed::NotYet => {
            let report = store.expect("it was opened").check().unwrap();
            assert!(!report.is_clean(), "nobody noticed");
        }
    });
}

#[test]
fn each_bit_of_data_in_use_is_noticed_and_no_answer_is_wrong() {
    let picture = furnished();
    let (_, data) = used_blocks(&picture);
    flip_all("data", &picture, &data.into_iter().collect::<Vec<_>>(), |noticed, store| match noticed {
        Noticed::Refused(kind) => panic!("data is no reason to refuse a store ({kind:?})"),
        Noticed::Asked => {}
        Noticed::NotYet => assert!(scrub_finds_rot(store.expect("it was opened")), "nobody noticed"),
    });
}

/// After a clean close both slots say the same, so a damaged one costs nothing.
#[test]
fn each_bit_of_a_superblock_leaves_the_store_to_the_other_slot() {
    let picture = furnished();
    flip_all("superblocks", &picture, &[0, 1], |noticed, _| assert_eq!(noticed, Noticed::NotYet));
    // A store that is opened with one superblock writes that into its own slot once more: the other one stays away.
    let generation = picture[&0][GENERATION..GENERATION + 8].try_into().map(u64::from_le_bytes).expect("eight bytes");
    let slot = generation % 2;
    let mut alone = picture.clone();
    alone.remove(&(1 - slot));
    flip_all("a superblock alone", &alone, &[slot], |noticed, _| {
        let refused = [ErrorKind::Corrupt, ErrorKind::NotAStore].map(Noticed::Refused);
        assert!(refused.contains(&noticed), "a damaged superblock was used: {noticed:?}");
    });
}

#[test]
fn each_bit_that_nothing_uses_changes_nothing() {
    let picture = furnished();
    let (pages, data) = used_blocks(&picture);
    let left_over: Vec<u64> =
        picture.keys().copied().filter(|block| !pages.contains_key(block) && !data.contains(block)).collect();
    flip_all("blocks of earlier commits", &picture, &left_over, |noticed, _| assert_eq!(noticed, Noticed::NotYet));

    let subject = Subject::new(&picture);
    let mut random = SEED;
    for _ in 0..FLIPS_IN_ZEROES {
        // Knuth's linear congruential generator; its high bits are good enough to choose a block.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let block = (random >> 20) % (StoreOptions::CAPACITY_MIN / BLOCK_BYTES);
        if picture.contains_key(&block) {
            continue;
        }
        let bit = Bit { block, byte: (random >> 8) as usize % BLOCK, bit: (random >> 5) as u8 % 8 };
        subject.with_flipped(bit, |noticed, _| assert_eq!(noticed, Noticed::NotYet));
    }
}
