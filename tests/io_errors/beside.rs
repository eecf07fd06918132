//! What if the device fails for one while others are in the middle of something?
//!
//! In the middle of a sync the other threads go on, and one of the next operations fails: theirs, or the sync itself. Everybody gets
//! an answer, one of them hears what happened, and after the first has heard it nothing is acknowledged to anybody (D6). What was
//! acknowledged before is there when the store is opened again.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use floe::sim::{Asked, Fault, Lasts, Loss, SimDevice};
use floe::{Drive, DriveOptions, Error, ErrorKind, SnapshotOptions, Store, StoreOptions};

use crate::dice::Dice;
use crate::judge::Outcome;
use crate::number;
use crate::strike::ADVICE;
use crate::watch::Watch;

const BLOCK: usize = 4096;
const BLOCKS: u64 = 40;
const WRITERS: u64 = 3;
/// Calls of each writer.
const CALLS: u64 = 60;
/// How long a sync waits for the others to run into the error.
const SYNC_MAX: Duration = Duration::from_millis(20);
const CASES: u64 = 60;

#[test]
fn error_beside_others_is_heard_and_nobody_waits_for_ever() {
    let seed = number("FLOE_SEED", 1);
    let watch = Watch::new();
    let heard: u64 = (seed..seed + number("FLOE_IO_RUNS", CASES))
        .map(|seed| {
            let line = format!(
                "FLOE_SEED={seed} FLOE_IO_RUNS=1 cargo test --all-features --test io_errors \
                 error_beside_others_is_heard_and_nobody_waits_for_ever"
            );
            let heard = watch.over(line.clone(), || run(seed));
            heard.unwrap_or_else(|difference| panic!("{difference}\n\nreplay, perhaps several times: {line}\n"))
        })
        .sum();
    println!("{heard} errors beside others were heard");
    assert!(heard > 0);
}

/// What one writer knows of each of its blocks: the last stamp that was acknowledged as durable, and all that came after.
type Written = BTreeMap<u64, Vec<u64>>;

/// What all have in common.
struct Common {
    device: Arc<SimDevice>,
    store: Store,
    /// Somebody was told that nothing is certain any more.
    is_known: AtomicBool,
    /// How many were told so as the first.
    first_hearers: AtomicU64,
    difference: Mutex<Option<String>>,
}

fn run(seed: u64) -> Outcome<u64> {
    let mut dice = Dice::new(seed);
    let device = Arc::new(SimDevice::new(StoreOptions::CAPACITY_MIN + 400 * BLOCK as u64).expect("memory for a device"));
    let store = Store::options().create_on(device.clone()).map_err(|error| error.to_string())?;
    let drives: Vec<Drive> = (0..WRITERS)
        .map(|number| store.create_drive(DriveOptions::new(BLOCKS * BLOCK as u64).name(format!("d{number}"))))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let fault = Fault {
        operation: dice.within(0..12),
        lasts: if dice.once_in(2) { Lasts::Once } else { Lasts::ForEver },
        error: if dice.once_in(2) { io::ErrorKind::Other } else { io::ErrorKind::StorageFull },
    };
    let failing = Arc::downgrade(&device);
    device.during_sync(dice.within(0..20), move || {
        let Some(device) = failing.upgrade() else { return };
        device.fail(Some(Fault { operation: device.operations() + fault.operation, ..fault }));
        let begun = Instant::now();
        while !device.has_failed() && begun.elapsed() < SYNC_MAX {
            thread::sleep(Duration::from_micros(100));
        }
    });
    let common = Common {
        device: Arc::clone(&device),
        store,
        is_known: AtomicBool::new(false),
        first_hearers: AtomicU64::new(0),
        difference: Mutex::new(None),
    };
    let written: Vec<Written> = thread::scope(|scope| {
        let reader_dice = Dice::new(dice.next());
        scope.spawn(|| common.read(&drives, reader_dice));
        let writers = drives.iter().map(|drive| {
            let dice = Dice::new(dice.next());
            scope.spawn(|| common.write(drive, dice))
        });
        let writers: Vec<_> = writers.collect();
        writers.into_iter().map(|writer| writer.join().expect("a panic is told by its thread")).collect()
    });
    device.forget_meanwhile();
    if let Some(difference) = common.difference.into_inner().expect("nobody panics here") {
        return Err(difference);
    }
    let failures = device.failures();
    let hearers = common.first_hearers.into_inner();
    let is_right = if fault.lasts == Lasts::Once { hearers == u64::from(failures.fatal.is_some()) } else { true };
    if !is_right || (hearers > 0) != failures.fatal.is_some() {
        return Err(format!("{hearers} were told of {failures:?}"));
    }
    device.fail(None);
    let closed = common.store.close().map_err(|error| error.kind());
    drop((drives, common.store, common.device));
    let expected = if hearers > 0 { Err(ErrorKind::Poisoned) } else { Ok(()) };
    if closed != expected || Arc::strong_count(&device) != 1 {
        return Err(format!("close says {closed:?}, {} handles of the device are left", Arc::strong_count(&device) - 1));
    }
    for loss in Loss::ALL {
        let after = device.power_cut(loss, seed).expect("memory for a device");
        let may_be_torn = loss.tears_blocks() || failures.fatal == Some(Asked::Write);
        judge(after, &written, may_be_torn).map_err(|difference| format!("{fault:?}, {loss:?}: {difference}"))?;
    }
    Ok(hearers)
}

impl Common {
    /// Does a call, and judges what it says. The result tells whether it was done, and whether to go on.
    fn call<T>(&self, words: &str, call: impl FnOnce() -> Result<T, Error>) -> Result<bool, ()> {
        let was_known = self.is_known.load(Ordering::SeqCst);
        let Err(error) = call().map(drop) else {
            if was_known {
                self.differ(format!("D6: {words} was acknowledged after somebody was told that nothing is any more"));
                return Err(());
            }
            return Ok(true);
        };
        let advises = error.to_string().contains(ADVICE);
        match error.kind() {
            ErrorKind::Poisoned => Err(()),
            _ if was_known => {
                self.differ(format!("D6: {words} of a poisoned store says {:?}: {error}", error.kind()));
                Err(())
            }
            ErrorKind::Io if advises => {
                self.first_hearers.fetch_add(1, Ordering::SeqCst);
                self.is_known.store(true, Ordering::SeqCst);
                Err(())
            }
            ErrorKind::Io | ErrorKind::NoSpace if self.device.has_failed() && !advises => Ok(false),
            kind => {
                self.differ(format!("{words} says {kind:?}: {error}"));
                Err(())
            }
        }
    }

    fn differ(&self, difference: String) {
        self.difference.lock().expect("nobody panics here").get_or_insert(difference);
    }

    /// Writes stamps that rise; what is flushed in between is noted.
    fn write(&self, drive: &Drive, mut dice: Dice) -> Written {
        let mut written = Written::new();
        for stamp in 1..=CALLS {
            let goes_on = match dice.within(0..10) {
                0..7 => {
                    let first = dice.within(0..BLOCKS - 3);
                    let count = dice.within(1..4);
                    (first..first + count).for_each(|block| written.entry(block).or_insert(vec![0]).push(stamp));
                    let bytes = stamp.to_le_bytes().repeat(count as usize * BLOCK / 8);
                    let done = self.call("write", || drive.write_at(&bytes, first * BLOCK as u64));
                    if done == Ok(false) {
                        // Nothing was changed.
                        (first..first + count).for_each(|block| forget(&mut written, block));
                    }
                    done
                }
                7 => self.call("flush", || drive.flush()).inspect(|done| settle(&mut written, *done)),
                8 => {
                    let name = SnapshotOptions::named(format!("at {stamp}"));
                    self.call("snapshot", || drive.snapshot(name)).inspect(|done| settle(&mut written, *done))
                }
                _ => self.call("reclaim", || self.store.reclaim(20)),
            };
            if goes_on.is_err() {
                break;
            }
        }
        written
    }

    /// Reads go on, whatever happens to others.
    fn read(&self, drives: &[Drive], mut dice: Dice) {
        for _ in 0..CALLS {
            let Some(drive) = dice.pick(drives) else { return };
            let mut bytes = vec![0; BLOCK];
            let block = dice.within(0..BLOCKS);
            match drive.read_at(&mut bytes, block * BLOCK as u64) {
                Err(error) if error.kind() == ErrorKind::Io && self.device.has_failed() => {}
                Err(error) => return self.differ(format!("a read of block {block} says {:?}: {error}", error.kind())),
                Ok(()) => {}
            }
        }
    }
}

fn forget(written: &mut Written, block: u64) {
    written.entry(block).and_modify(|stamps| stamps.truncate(stamps.len() - 1));
}

/// After a flush only the newest stamp of each block counts.
fn settle(written: &mut Written, is_done: bool) {
    if is_done {
        written.values_mut().for_each(|stamps| drop(stamps.drain(..stamps.len() - 1)));
    }
}

/// Each block holds the stamp that was flushed last, or a later one, whole unless it may be torn; each snapshot what was there then.
fn judge(device: SimDevice, written: &[Written], may_be_torn: bool) -> Outcome {
    let store = Store::options().open_on(Arc::new(device)).map_err(|error| format!("open: {error}"))?;
    let report = store.check().map_err(|error| format!("check: {error}"))?;
    if !report.is_clean() {
        return Err(format!("check found {:#?}", report.problems));
    }
    for (drive, written) in store.drives().iter().zip(written) {
        for (block, stamps) in written {
            let mut bytes = vec![0; BLOCK];
            drive.read_at(&mut bytes, block * BLOCK as u64).map_err(|error| format!("read: {error}"))?;
            let sectors: Vec<u64> =
                bytes.chunks(512).map(|sector| u64::from_le_bytes(sector[..8].try_into().expect("8 bytes"))).collect();
            let is_whole = sectors.iter().all(|stamp| *stamp == sectors[0]);
            if !sectors.iter().all(|stamp| stamps.contains(stamp)) || !(is_whole || may_be_torn) {
                return Err(format!("block {block} of {drive:?} holds {sectors:?}, and one of {stamps:?} was written"));
            }
        }
    }
    for snapshot in store.snapshots() {
        snapshot.fingerprint().map_err(|error| format!("fingerprint: {error}"))?;
    }
    Ok(())
}

/// The thread that reclaims in the background ends with the store, whatever fails under it.
#[test]
fn background_thread_ends_when_the_device_fails() {
    let watch = Watch::new();
    for operation in 0..80 {
        for lasts in [Lasts::Once, Lasts::ForEver] {
            let case = format!("operation {operation} of background_thread_ends_when_the_device_fails, {lasts:?}");
            watch.over(case, || {
                let device = Arc::new(SimDevice::new(StoreOptions::CAPACITY_MIN).unwrap());
                let store = Store::options().background_reclaim(true).create_on(device.clone()).unwrap();
                let operation = device.operations() + operation;
                device.fail(Some(Fault { operation, lasts, error: io::ErrorKind::Other }));
                work_and_delete(&store).map_or_else(|error| assert_ne!(error.kind(), ErrorKind::Corrupt, "{error}"), drop);
                drop(store);
                while Arc::strong_count(&device) > 1 {
                    thread::sleep(Duration::from_micros(100));
                }
                device.fail(None);
                let store = Store::options().open_on(Arc::new(device.power_cut(Loss::Writes, operation).unwrap())).unwrap();
                assert!(store.check().unwrap().is_clean());
            });
        }
    }
}

fn work_and_delete(store: &Store) -> Result<(), Error> {
    let drive = store.create_drive(DriveOptions::new(1 << 20))?;
    for round in 1..8_u8 {
        drive.write_at(&[round; 3 * BLOCK], u64::from(round) * 1000)?;
        let snapshot = drive.snapshot(SnapshotOptions::default())?;
        drive.write_at(&[round; BLOCK], 0)?;
        snapshot.delete()?;
    }
    drive.delete()
}
