//! Is what was answered durable, where the protocol says that it must be?

use super::bench::{Bench, MIB, pattern};
use super::client::*;
use floe::Store;
use std::process::Command;

/// What the store holds at this moment if it is looked at from outside.
fn copied(bench: &Bench) -> Vec<u8> {
    let (from, to) = (bench.path().join("s.floe"), bench.path().join("copy.floe"));
    let copied = Command::new("cp").arg("--sparse=always").args([&from, &to]).status().expect("cp");
    assert!(copied.success());
    let store = Store::options().open(&to).expect("the copy opens");
    let drive = store.drives().remove(0);
    let mut bytes = vec![0; drive.size_bytes().expect("a size") as usize];
    drive.read_at(&mut bytes, 0).expect("a read");
    store.close().expect("the copy closes");
    bytes
}

#[test]
fn a_copy_of_the_store_holds_what_was_flushed() {
    let bench = Bench::new(8 * MIB);
    bench.db().flush().expect("a flush");
    for (round, mode) in MODES.into_iter().enumerate() {
        let mut client = bench.client().begin(mode, "db");
        // Two connections: a flush on one covers what was answered on the other.
        let mut other = bench.client().begin(mode, "db");
        let (small, large) = (pattern(round as u64, 77, 1000), pattern(round as u64, MIB, 3 << 20));
        client.write(77, &small);
        other.write(MIB, &large);
        assert_eq!(client.errno(Request::new(FLUSH, 0, 0)), 0);
        let found = copied(&bench);
        assert!(found[77..1077] == small && found[MIB as usize..4 << 20] == large, "flushed in {mode:?}");
        assert_eq!(client.call(Request::new(WRITE, 5 << 20, 1000).flags(FUA), &small).errno, 0);
        assert!(copied(&bench)[5 << 20..(5 << 20) + 1000] == small, "FUA in {mode:?}");
        assert_eq!(client.errno(Request::new(WRITE_ZEROES, 77, 500).flags(FUA)), 0);
        assert!(copied(&bench)[77..577].iter().all(|byte| *byte == 0), "zeroes with FUA in {mode:?}");
    }
}

#[cfg(feature = "sim")]
mod power {
    use super::super::bench::{Bench, MIB, pattern};
    use super::super::client::*;
    use floe::node::nbd::ServerOptions;
    use floe::sim::{Loss, SimDevice};
    use floe::{DriveOptions, Store};
    use std::sync::Arc;

    const SIZE: u64 = 8 * MIB;

    fn bench() -> (Bench, Arc<SimDevice>) {
        let device = Arc::new(SimDevice::new(256 * MIB).expect("a device"));
        let store = Store::options().create_on(device.clone()).expect("a store");
        store.create_drive(DriveOptions::new(SIZE).name("db")).expect("a drive").flush().expect("a flush");
        (Bench::serving(store, tempfile::tempdir().expect("a directory"), ServerOptions::default()), device)
    }

    /// What the drive holds if the power fails now.
    fn after_power_cut(device: &SimDevice, loss: Loss, seed: u64) -> Vec<u8> {
        let store = Store::options().open_on(Arc::new(device.power_cut(loss, seed).expect("a device"))).expect("it opens");
        let mut bytes = vec![0; SIZE as usize];
        store.drives().remove(0).read_at(&mut bytes, 0).expect("a read");
        bytes
    }

    fn check(device: &SimDevice, what: &str, holds: impl Fn(&[u8]) -> bool) {
        for loss in Loss::ALL {
            for seed in 0..2 {
                assert!(holds(&after_power_cut(device, loss, seed)), "{what}: {loss:?} with seed {seed}");
            }
        }
    }

    #[test]
    fn what_was_flushed_survives_a_power_cut() {
        for mode in MODES {
            let (bench, device) = bench();
            let mut clients = [(); 2].map(|()| bench.client().begin(mode, "db"));
            let pieces: Vec<(u64, Vec<u8>)> =
                [(0, 1), (5000, 5000), (MIB, 2 << 20)].map(|(offset, len)| (offset, pattern(1, offset, len))).to_vec();
            for (index, (offset, bytes)) in pieces.iter().enumerate() {
                clients[index % 2].write(*offset, bytes);
            }
            let there = |found: &[u8]| pieces.iter().all(|(at, bytes)| found[*at as usize..].starts_with(bytes));
            assert!(!there(&after_power_cut(&device, Loss::Everything, 0)), "this device loses what is not flushed");
            assert_eq!(clients[0].errno(Request::new(FLUSH, 0, 0)), 0);
            check(&device, "flushed", there);
            // Later writes that are not flushed do no harm to it.
            clients[1].write(6 << 20, &[1; 70_000]);
            check(&device, "flushed, and then written elsewhere", there);
        }
    }

    #[test]
    fn what_was_written_with_fua_survives_a_power_cut() {
        for mode in MODES {
            let (bench, device) = bench();
            let mut client = bench.client().begin(mode, "db");
            let fua = |command, offset, length| Request::new(command, offset, length).flags(FUA);
            // Requests of all sizes, since small ones are served elsewhere than large ones.
            for (offset, len) in [(3, 10), (MIB, 4096), (2 * MIB, 100_000), (3 * MIB, 2 << 20)] {
                let bytes = pattern(2, offset, len);
                assert_eq!(client.call(fua(WRITE, offset, len as u64), &bytes).errno, 0);
                check(&device, "written with FUA", |found| found[offset as usize..].starts_with(&bytes));
            }
            assert_eq!(client.errno(fua(WRITE_ZEROES, MIB, 1 << 20)), 0);
            check(&device, "zeroes with FUA", |found| found[1 << 20..2 << 20].iter().all(|byte| *byte == 0));
            assert_eq!(client.errno(fua(TRIM, 3 * MIB, 2 << 20)), 0);
            check(&device, "trimmed with FUA", |found| found[3 << 20..5 << 20].iter().all(|byte| *byte == 0));
            let request = fua(WRITE_ZEROES, 6 * MIB, 1 << 20);
            assert_eq!(client.errno(Request { flags: FUA | NO_HOLE, ..request }), 0);
        }
    }
}
