//! Who waits for a write in flight?
//!
//! A write looks up where its blocks lie, and then writes there. Whoever changes what lies where, or gives blocks back, has to wait for it: the
//! blocks might be somebody else's by then.

use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use floe::{Device, Drive, DriveOptions, Lend, MemoryDevice, Snapshot, SnapshotOptions, Store};

use crate::picture::{BLOCK, BLOCK_LEN, drain, expect_clean, stamp};

/// How long somebody who does not wait may take to show it. Who waits is never too slow for it.
const PATIENCE: Duration = Duration::from_millis(200);

/// A write of this to the device is held.
const HELD: u8 = 0xee;

/// Memory in which a write can be held.
struct Holding {
    memory: MemoryDevice,
    /// Tells that the write is there, and waits until it may go on.
    hold: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Device for Holding {
    fn len_bytes(&self) -> u64 {
        self.memory.len_bytes()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.memory.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        if buf.iter().all(|byte| *byte == HELD)
            && let Some((there, go_on)) = self.hold.lock().unwrap().take()
        {
            there.send(()).unwrap();
            go_on.recv().unwrap();
        }
        self.memory.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.memory.sync()
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        self.memory.allocate(range)
    }

    fn grow(&self, len_bytes: u64) -> io::Result<()> {
        self.memory.grow(len_bytes)
    }

    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        self.memory.mapped(range, lend)
    }
}

/// Plays `act` while a write that overwrites in place is held, and expects it to wait.
fn check(what: &str, act: impl Fn(&Drive, &Snapshot) + Send + Sync) {
    let device = Arc::new(Holding { memory: MemoryDevice::new(256 << 20).unwrap(), hold: Mutex::default() });
    let store = Store::options().create_on(device.clone()).unwrap();
    let drive = store.create_drive(DriveOptions::new(16 * BLOCK)).unwrap();
    drive.write_at(&stamp(1).repeat(8), 0).unwrap();
    let before = drive.snapshot(SnapshotOptions::named("before")).unwrap();
    drive.write_at(&stamp(2).repeat(8), 0).unwrap();
    drive.flush().unwrap();

    let (there, is_there) = channel();
    let (release, go_on) = channel();
    *device.hold.lock().unwrap() = Some((there, go_on));
    thread::scope(|scope| {
        let writer = scope.spawn(|| drive.write_at(&[HELD; BLOCK_LEN], 0));
        is_there.recv().unwrap();
        let (done, is_done) = channel();
        scope.spawn({
            let (act, drive, before) = (&act, &drive, &before);
            move || {
                act(drive, before);
                done.send(()).unwrap();
            }
        });
        let waited = is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        release.send(()).unwrap();
        writer.join().unwrap().expect("the write was first");
        is_done.recv().unwrap();
        assert!(waited, "{what} did not wait for a write in flight");
    });
    drop(before);
    drain(&store);
    expect_clean(&store);
}

#[test]
fn whoever_changes_what_lies_where_waits_for_writes_in_flight() {
    check("a snapshot", |drive, _| drop(drive.snapshot(SnapshotOptions::named("now")).unwrap()));
    check("a bookmark", |drive, _| drop(drive.bookmark("now").unwrap()));
    check("a revert", |drive, before| drive.revert_to(before).unwrap());
    check("a shrink", |drive, _| drive.resize(4 * BLOCK).unwrap());
    check("a deletion", |drive, _| drive.delete().unwrap());
    check("a discard of the same block", |drive, _| drive.discard(0..BLOCK).unwrap());
    check("zeroes over the same block", |drive, _| drive.write_zeroes(0..2 * BLOCK).unwrap());
    check("a write to the same block", |drive, _| drive.write_at(&[1], 17).unwrap());
}
