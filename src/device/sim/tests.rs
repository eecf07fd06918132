//! Does the simulated disk do what is said of it?

use std::sync::Arc;

use super::{Disk, Event, Loss, SimDevice};
use crate::device::Device;

const LEN: u64 = 1 << 20;
const BLOCK: u64 = 4096;

fn disk(events: impl IntoIterator<Item = Event>) -> Disk {
    let mut disk = Disk::new(LEN);
    events.into_iter().for_each(|event| disk.apply(&event));
    disk
}

fn byte_at(disk: Disk, offset: u64) -> u8 {
    let mut byte = [0];
    SimDevice::over(disk).unwrap().read_at(&mut byte, offset).unwrap();
    byte[0]
}

fn sync_all() -> Event {
    Event::Sync { writes: usize::MAX }
}

/// A page cache writes whole blocks: the second write cannot arrive without what the first one left in the same block.
#[test]
fn block_that_is_kept_brings_along_what_was_written_to_it_before() {
    let disk = disk([Event::write(b"1", 0), Event::write(b"2", 1)]);
    let mut seen = Vec::new();
    for (loss, seed) in
        [Loss::AllButLast, Loss::Writes, Loss::Blocks].into_iter().flat_map(|loss| (0..50).map(move |seed| (loss, seed)))
    {
        let after = disk.clone().after_power_cut(loss, seed);
        let bytes = (byte_at(after.clone(), 0), byte_at(after, 1));
        assert!([(0, 0), (b'1', 0), (b'1', b'2')].contains(&bytes), "{loss:?} {seed}: {bytes:?}");
        seen.push(bytes);
    }
    assert!([(0, 0), (b'1', 0), (b'1', b'2')].iter().all(|bytes| seen.contains(bytes)));
}

#[test]
fn only_a_loss_that_tears_leaves_blocks_half_written() {
    let disk = disk([Event::write(&[1; BLOCK as usize], 0), sync_all(), Event::write(&[2; BLOCK as usize], 0)]);
    for loss in Loss::ALL {
        let is_torn = (0..50).any(|seed| {
            let after = disk.clone().after_power_cut(loss, seed);
            byte_at(after.clone(), 0) != byte_at(after, BLOCK - 1)
        });
        assert_eq!(is_torn, loss.tears_blocks(), "{loss:?}");
    }
}

#[test]
fn power_cut_may_take_back_a_growth_that_was_not_synced() {
    let grown = [Event::Grow { len_bytes: 2 * LEN }, Event::write(b"x", LEN)];
    let lost = disk(grown.clone()).after_power_cut(Loss::Everything, 0);
    assert_eq!(lost.len_bytes(), LEN);
    let kept = disk(grown.into_iter().chain([sync_all()])).after_power_cut(Loss::Everything, 0);
    assert_eq!((kept.len_bytes(), byte_at(kept, LEN)), (2 * LEN, b'x'));
}

/// What is written while a sync is being done may come too late for it.
#[test]
fn sync_covers_what_was_written_before_it_began() {
    let device = Arc::new(SimDevice::new(LEN).unwrap());
    device.write_at(b"before", 0).unwrap();
    let other = Arc::clone(&device);
    device.during_sync(0, move || other.write_at(b"during", BLOCK).unwrap());
    device.sync().unwrap();
    let after = device.disk().after_power_cut(Loss::Everything, 0);
    assert_eq!((byte_at(after.clone(), 0), byte_at(after, BLOCK)), (b'b', 0));
}

/// The system forgets after a failed sync what it could not write, and goes on showing it.
#[test]
fn write_that_a_failed_sync_lost_stays_lost() {
    let lost_by = |seed| {
        let disk = disk([Event::write(b"x", 0), Event::FailedSync { seed }, sync_all()]);
        byte_at(disk.after_power_cut(Loss::Nothing, 0), 0) == 0
    };
    assert!((0..50).any(lost_by) && !(0..50).all(lost_by));
}
