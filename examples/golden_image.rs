//! How do many drives share one golden image, and what comes back when they go?

use floe::{Drive, DriveOptions, Snapshot, SnapshotOptions, Store};

const MIB: u64 = 1 << 20;
const BASE_BYTES: u64 = 64 * MIB;
const CLONES: u64 = 20;

fn main() -> floe::Result<()> {
    let dir = std::env::temp_dir().join(format!("floe-golden-image-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|error| floe::Error::io("make a directory for the store", error))?;
    let store = Store::options().capacity(4 << 30).create(dir.join("vms.floe"))?;

    // One image is written in full: here with bytes, in real life by an installer or `floe drive import`.
    let base = store.create_drive(DriveOptions::new(BASE_BYTES).name("base"))?;
    for offset in (0..BASE_BYTES).step_by(MIB as usize) {
        base.write_at(&vec![(offset / MIB) as u8 + 1; MIB as usize], offset)?;
    }
    let golden = base.snapshot(SnapshotOptions::named("golden"))?;
    tell(&store, "one base of 64 MiB, frozen as \"golden\"");

    // A clone is a record: twenty of them take no block of data.
    let clones: Vec<Drive> =
        (0..CLONES).map(|number| golden.clone_drive(DriveOptions::named(format!("vm-{number}")))).collect::<floe::Result<_>>()?;
    tell(&store, "20 clones of it");

    // Each writes a little of its own; the rest stays shared.
    for (number, clone) in (0..).zip(&clones) {
        clone.write_at(&[200 + number as u8; 300 << 10], number * 3 * MIB)?;
    }
    store.flush()?;
    tell(&store, "each clone wrote 300 KiB");
    for clone in clones.iter().take(3) {
        let shown = clone.info()?;
        let own = own_bytes(&golden, clone)?;
        let shared = shown.referenced_bytes - own;
        println!("  {}: {} KiB of its own, {} KiB shared with \"golden\"", shown.name, own >> 10, shared >> 10);
    }

    // Nobody needs the origin: what a clone still holds stays, what nobody holds any more comes back.
    base.delete()?;
    golden.delete()?;
    drop((base, golden)); // a handle of a snapshot keeps its blocks
    give_back(&store)?;
    tell(&store, "the base and \"golden\" are deleted");
    expect_own_bytes(&clones)?;
    println!("  every clone still reads its own bytes and the base's");

    // The clones may go in any order: here every third, until none is left.
    let mut left = clones;
    while !left.is_empty() {
        let next = left.len() * 2 / 3;
        left.swap_remove(next).delete()?;
        if left.len().is_multiple_of(5) {
            give_back(&store)?;
            tell(&store, &format!("{} clones are left", left.len()));
        }
    }

    assert_eq!(store.usage().data_bytes, 0, "everything is deleted");
    println!("check: {}", if store.check()?.is_clean() { "clean" } else { "damaged" });
    store.close()?;
    std::fs::remove_dir_all(&dir).map_err(|error| floe::Error::io("remove the directory again", error))
}

fn tell(store: &Store, what: &str) {
    println!("{:>6} KiB of data: {what}", store.usage().data_bytes >> 10);
}

/// Bytes at which the clone lies elsewhere than the snapshot it was made of.
fn own_bytes(golden: &Snapshot, clone: &Drive) -> floe::Result<u64> {
    golden.diff_drive(clone)?.map(|change| change.map(|change| change.range.end - change.range.start)).sum()
}

/// Deleted things give their space back in steps, when it suits whoever embeds the engine.
fn give_back(store: &Store) -> floe::Result<()> {
    while !store.reclaim(10_000)?.done {}
    store.flush()
}

fn expect_own_bytes(clones: &[Drive]) -> floe::Result<()> {
    for (number, clone) in (0..).zip(clones) {
        let mut byte = [0];
        clone.read_at(&mut byte, number * 3 * MIB)?;
        assert_eq!(byte, [200 + number as u8], "clone {number} reads what it wrote");
        clone.read_at(&mut byte, number * 3 * MIB + MIB)?;
        assert_eq!(u64::from(byte[0]), number * 3 + 2, "clone {number} reads what the base wrote");
    }
    Ok(())
}
