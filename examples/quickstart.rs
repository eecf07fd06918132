//! What does a program look like that keeps its drives in floe?

use floe::{DriveOptions, SnapshotOptions, Store};

fn main() -> floe::Result<()> {
    let dir = std::env::temp_dir().join(format!("floe-quickstart-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|error| floe::Error::io("make a directory for the store", error))?;
    let path = dir.join("vms.floe");

    // A store is one sparse file. A drive is a writable image in it; only what is written takes space.
    let store = Store::options().capacity(64 << 30).create(&path)?;
    let drive = store.create_drive(DriveOptions::new(10 << 30).name("db"))?;
    drive.write_at(&vec![1; 1 << 20], 0)?;
    drive.flush()?;

    // A snapshot costs one commit, whatever the drive holds, and no space until something changes.
    let before = drive.snapshot(SnapshotOptions::named("before"))?;
    println!("snapshot {:?}: allocated {} bytes", before.name()?, before.allocated_size()?);

    // Three blocks change: one wholly, two by a write across their border.
    drive.write_at(&[2; 4096], 8192)?;
    drive.write_at(&[3; 100], 20_430)?;
    println!("after three blocks changed: allocated {} bytes", before.allocated_size()?);
    for change in before.diff_drive(&drive)? {
        let change = change?;
        println!("  changed: {:?} ({:?})", change.range, change.kind);
    }

    // A clone shares everything with its origin and needs it for nothing.
    let copy = before.clone_drive(DriveOptions::named("db-test"))?;
    let mut bytes = [0; 4];
    copy.read_at(&mut bytes, 8192)?;
    println!("the clone reads {bytes:?} where the drive has changed");

    // Deleting gives back exactly what only the snapshot holds: with the clone gone, the three blocks.
    copy.delete()?;
    let exclusive = before.exclusive_size()?;
    before.delete()?;
    drop(before);
    while !store.reclaim(10_000)?.done {}
    println!("deleting the snapshot gave back {exclusive} bytes; the store holds {} bytes of data", store.usage().data_bytes);

    println!("check: {}", if store.check()?.is_clean() { "clean" } else { "damaged" });
    store.close()?;
    std::fs::remove_dir_all(&dir).map_err(|error| floe::Error::io("remove the directory again", error))
}
