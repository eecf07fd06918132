//! Can a clone be used before it has all?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use floe::node::attributes::Attributes;
use floe::node::nbd::Behind;
use floe::node::remote::filling::NewDrive;
use floe::{Drive, DriveOptions, Uuid};

use crate::dice::Dice;
use crate::stage::{BLOCK, bytes_of, create, remotes, store};

const SIZE: usize = 24 << 20;
const WRITERS: usize = 3;

/// Writes and reads a part of a drive as a server does for its clients, and compares.
fn client(seed: u64, drive: &Drive, behind: &dyn Behind, start: usize, model: &mut [u8], ended: &AtomicBool) {
    let mut dice = Dice::new(seed);
    while !ended.load(Ordering::Relaxed) {
        let from = dice.within(0..model.len() as u64) as usize;
        let most = if dice.once_in(5) { 1 << 20 } else { 9000 };
        let len = dice.within(1..most) as usize;
        let to = model.len().min(from + len);
        let range = (start + from) as u64..(start + to) as u64;
        match dice.within(0..3) {
            0 => {
                let bytes: Vec<u8> = (from..to).map(|_| dice.next() as u8).collect();
                behind.changing(range.clone(), &mut || drive.write_at(&bytes, range.start)).expect("a write");
                model[from..to].copy_from_slice(&bytes);
            }
            1 => {
                behind.changing(range.clone(), &mut || drive.allocate_zeroes(range.clone())).expect("zeroes");
                model[from..to].fill(0);
            }
            _ => {
                behind.before_read(range.clone()).expect("it is got");
                let mut found = vec![0xA5; to - from];
                drive.read_at(&mut found, range.start).expect("a read");
                assert!(found == model[from..to], "{range:?}");
            }
        }
    }
}

#[test]
fn clone_that_is_filled_while_clients_write_loses_none_of_both() {
    for seed in 0..4 {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(1 << 30);
        let remotes = remotes(&store, directory.path());
        let mut dice = Dice::new(seed);
        let source = store.create_drive(DriveOptions::new(SIZE as u64).name("s")).expect("a drive");
        let bytes: Vec<u8> = (0..SIZE / 8).flat_map(|_| dice.next().to_le_bytes()).collect();
        source.write_at(&bytes, 0).expect("a write");
        source.discard(5 << 20..7 << 20).expect("a hole");
        let mut model = bytes_of(&source);
        let remote = create(&remotes, &source);
        let new = NewDrive { uuid: Uuid::new_v4(), name: "c".into(), size_bytes: SIZE as u64, attributes: Attributes::read(b"") };
        let drive = remotes.clone_drive(remote, new).expect("a clone");
        assert!(Attributes::read(&drive.attributes().expect("attributes")).filling().is_some());
        assert!(remotes.delete(remote).is_err(), "it is needed still");
        let filling = remotes.filling(drive.uuid()).expect("it is being filled");
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            for (number, part) in model.chunks_mut(SIZE / WRITERS).enumerate() {
                let behind = Arc::clone(&filling).behind(Arc::clone(&remotes));
                let (drive, ended) = (&drive, &ended);
                scope.spawn(move || client(seed * 10 + number as u64, drive, &*behind, number * (SIZE / WRITERS), part, ended));
            }
            remotes.fill(drive.uuid()).expect("it fills");
            ended.store(true, Ordering::Relaxed);
        });
        assert!(bytes_of(&drive) == model, "seed {seed}");
        assert!(Attributes::read(&drive.attributes().expect("attributes")).filling().is_none());
        assert!(remotes.filling(drive.uuid()).is_none());
        remotes.delete(remote).expect("nobody needs it");
        drive.discard(0..SIZE as u64).expect("holes can be made now");
        assert!(drive.size_bytes().expect("a size") / BLOCK > 0);
    }
}

#[test]
fn what_clients_wrote_stays_when_a_node_goes_on_filling() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(1 << 30);
    let first = remotes(&store, directory.path());
    let source = store.create_drive(DriveOptions::new(SIZE as u64).name("s")).expect("a drive");
    source.write_at(&vec![1; SIZE], 0).expect("a write");
    let remote = create(&first, &source);
    let new = NewDrive {
        uuid: Uuid::new_v4(),
        name: "c".into(),
        size_bytes: SIZE as u64 + (1 << 20),
        attributes: Attributes::read(b""),
    };
    let drive = first.clone_drive(remote, new).expect("a clone");
    let behind = first.filling(drive.uuid()).expect("it is being filled").behind(Arc::clone(&first));
    behind.changing(1000..3_000_000, &mut || drive.write_at(&vec![2; 2_999_000], 1000)).expect("a write");
    behind.changing(4 << 20..6 << 20, &mut || drive.allocate_zeroes(4 << 20..6 << 20)).expect("zeroes");
    let mut model = vec![1; SIZE];
    model[1000..3_000_000].fill(2);
    model[4 << 20..6 << 20].fill(0);
    model.resize(SIZE + (1 << 20), 0);
    drop((behind, first));
    let second = remotes(&store, directory.path());
    second.fill(drive.uuid()).expect("it fills");
    assert!(bytes_of(&drive) == model);
}
