//! Does the engine's memory stay the same, however much a drive maps?
//!
//! This binary counts what it allocates, and so has one test only.

mod counting;

use std::sync::Arc;

use floe::{DriveOptions, MemoryDevice, SnapshotOptions, Store};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const BLOCK: u64 = 4096;
const DIRTY_BYTES_MAX: usize = 1 << 20;

/// Heap in use with an open store of `extents` extents and a snapshot of them, and the most that it took to write them.
fn heap_with(extents: u64) -> (usize, usize) {
    counting::forget_peak();
    let before = counting::live();
    let device = Arc::new(MemoryDevice::new(8 << 30).unwrap());
    let store = Store::options().dirty_bytes_max(DIRTY_BYTES_MAX).create_on(device).unwrap();
    let drive = store.create_drive(DriveOptions::new(16 << 40)).unwrap();
    for index in 0..extents {
        drive.write_at(&[1; BLOCK as usize], index * 2 * BLOCK).unwrap();
    }
    let snapshot = drive.snapshot(SnapshotOptions::default()).unwrap();
    assert_eq!(snapshot.referenced_size().unwrap(), extents * BLOCK);
    (counting::live() - before, counting::peak() - before)
}

#[test]
fn heap_does_not_grow_with_the_number_of_extents() {
    let (few, _) = heap_with(1000);
    let (many, peak) = heap_with(200_000);
    assert!(many < few + (512 << 10), "{few} bytes with 1,000 extents, {many} with 200,000");
    // What is changed, what a commit is writing, and the commit's own list of it.
    assert!(peak < few + 4 * DIRTY_BYTES_MAX, "{peak} bytes at the most while 200,000 extents were written");
    println!("heap: {few} bytes with 1,000 extents, {many} with 200,000, at most {peak} while they were written");
}
