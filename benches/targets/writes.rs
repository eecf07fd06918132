//! What do writes cost that are synced at their end, or not at all?

use std::fs::File;
use std::os::unix::fs::FileExt;

use floe::{Drive, DriveOptions};

use crate::ground::{BLOCKS, Ground, Refreeze};
use crate::load::{Fill, in_order, plain_writes, timed, writes};
use crate::race::{Contestant, Row, Table, Target, Turn};
use crate::setup::{BLOCK, Fresh, GIB, MIB, directory, file_store, freeze, is_in_memory, write_all_by};

const WRITES: u32 = 20_000;
const MEBIBYTES: u32 = 256;
const FRESH: &str = "targets-fresh.floe";

/// 1 MiB at a time.
pub fn rows_in_order(table: &mut Table, ground: &Ground) {
    let Ground { files: [file, _], store, drive, .. } = ground;
    let name = "1 MiB sequential write, unshared, synced at the end";
    table.row(Row::new(name, Target::SpeedMin(1.0), [plain_in_order(file), drive_in_order(drive)]).operations(MEBIBYTES));
    let mut frozen = Refreeze::new(store, drive);
    let name = "1 MiB sequential write, just after a snapshot, synced at the end";
    table.row(
        Row::new(name, Target::SpeedMin(1.0), [plain_in_order(file), drive_in_order(drive).before(|| frozen.again())])
            .operations(MEBIBYTES),
    );
}

/// 4 KiB at random.
pub fn rows(table: &mut Table, ground: &Ground) {
    let Ground { files: [file, _], store, drive, deep, .. } = ground;
    let plain = || plain_writes(file, WRITES, 41);
    let name = "4 KiB overwrite, unshared, synced at the end";
    table.row(Row::new(name, Target::SpeedMin(0.9), [plain(), writes(drive, WRITES, 41)]).operations(WRITES));
    let least = if is_in_memory() { 0.6 } else { 1.0 };
    let mut frozen = Refreeze::new(store, drive);
    let name = "4 KiB first overwrite after a snapshot, synced at the end";
    let shallow = writes(drive, WRITES, 42).before(|| frozen.again());
    table.row(Row::new(name, Target::SpeedMin(least), [plain(), shallow]).operations(WRITES));
    // Its blocks shall be its own, as the other's are: then both give back as much as they take.
    write_all_by(BLOCK, deep, BLOCKS);
    let mut deep_frozen = Refreeze::new(store, deep);
    let name = "4 KiB first overwrite after a snapshot: under 1,000 snapshots beside one";
    let shallow = writes(drive, WRITES, 43).before(|| frozen.again());
    let below = writes(deep, WRITES, 43).named("drive under 1,000 snapshots").before(|| deep_frozen.again());
    table.row(Row::new(name, Target::SpeedMin(0.98), [shallow, below]).operations(WRITES));

    let name = "4 KiB write after a snapshot, not flushed: 99 of 100 are within";
    let first = one_write("drive", |buf, at| drive.write_at(buf, at).expect("a write")).before(|| frozen.again());
    let plain = one_write("plain file", |buf, at| file.write_all_at(buf, at).expect("a write"));
    let plain = plain.before(|| file.sync_data().expect("a sync"));
    table.row(Row::new(name, Target::TimeMax(1.5), [plain, first]).turns(10_000).stands(Turn::NinetyNinthOfHundred));
    file.sync_data().expect("a sync");
}

/// A store that is new and keeps every snapshot: whatever is written goes where nothing was.
pub fn rows_in_fresh_space(table: &mut Table, ground: &Ground) {
    let name = "4 KiB first overwrite after a snapshot, in space never written, synced at the end";
    if !table.wants(name) {
        return;
    }
    let store = file_store(FRESH, 16 * GIB);
    let drive = store.create_drive(DriveOptions::new(GIB)).expect("a drive");
    write_all_by(BLOCK, &drive, BLOCKS);
    let first = writes(&drive, WRITES, 44).before(|| drop(freeze(&drive)));
    table.row(Row::new(name, Target::None, [plain_writes(&ground.files[0], WRITES, 44), first]).operations(WRITES));
    store.close().expect("a clean end");
    std::fs::remove_file(directory().join(FRESH)).expect("a file to remove");
}

fn plain_in_order(file: &File) -> Contestant<'_> {
    let mut chunk = Fresh::new(MIB);
    Contestant::new("plain file", move || {
        timed(|| {
            in_order(MEBIBYTES).for_each(|at| file.write_all_at(chunk.next(), at).expect("a write"));
            file.sync_data().expect("a sync");
        })
    })
}

fn drive_in_order(drive: &Drive) -> Contestant<'_> {
    let mut chunk = Fresh::new(MIB);
    Contestant::new("drive", move || {
        timed(|| {
            in_order(MEBIBYTES).for_each(|at| drive.write_at(chunk.next(), at).expect("a write"));
            drive.flush().expect("a flush");
        })
    })
}

fn one_write<'a>(name: &'static str, write_at: impl Fn(&[u8], u64) + 'a) -> Contestant<'a> {
    let Fill { mut places, mut bytes } = Fill::new(45);
    Contestant::new(name, move || {
        let (bytes, place) = (bytes.next(), places.next());
        timed(|| write_at(bytes, place))
    })
}
