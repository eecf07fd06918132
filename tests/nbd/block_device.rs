//! Is a drive as good as a disk for a real file system, with snapshots taken while it is in use?

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use floe::DriveOptions;
use rustix::fs::{FallocateFlags, fallocate};

use crate::dice::Dice;
use crate::file_system::{Disk, Kind, Mount, with_mounts};
use crate::harness::{Bench, KIB, MIB, same_bytes, snapshot, until};

/// The smallest that mkfs.xfs takes, and some.
const DISK_BYTES: u64 = 320 * MIB;
/// A file of the random cases grows no longer.
const FILE_BYTES_MAX: u64 = 2 * MIB;
const FILES: usize = 3;
const STEPS: u64 = 1000;

// --- random work, beside a model -------------------------------------------------------------------------------------

/// Files, and what must be in them.
struct Model {
    files: Vec<Vec<u8>>,
    dice: Dice,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self { files: vec![Vec::new(); FILES], dice: Dice::new(seed) }
    }

    fn open(directory: &Path, index: usize) -> File {
        let path = directory.join(format!("file{index}"));
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).expect("a file")
    }

    /// Does one thing to one of the files.
    fn step(&mut self, directory: &Path) {
        let index = self.dice.below(FILES as u64) as usize;
        let file = Self::open(directory, index);
        let model = &mut self.files[index];
        let offset = self.dice.below(FILE_BYTES_MAX);
        let length = 1 + self.dice.below(64 * KIB.min(FILE_BYTES_MAX - offset));
        let (start, end) = (offset as usize, (offset + length) as usize);
        match self.dice.below(10) {
            0..4 => {
                let bytes = self.dice.bytes(length);
                file.write_all_at(&bytes, offset).expect("a write");
                model.resize(model.len().max(end), 0);
                model[start..end].copy_from_slice(&bytes);
            }
            4 => {
                file.set_len(offset).expect("a truncation");
                model.resize(start, 0);
            }
            5 => {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(&file, flags, offset, length).expect("a hole");
                let behind = model.len();
                model[start.min(behind)..end.min(behind)].fill(0);
            }
            6 => file.sync_all().expect("a sync"),
            _ => {
                let mut bytes = vec![0; end - start];
                let expected = &model[start.min(model.len())..end.min(model.len())];
                let mut reader = &file;
                reader.seek(SeekFrom::Start(offset)).expect("a seek");
                let count = reader.read(&mut bytes).expect("a read");
                assert_eq!(count, expected.len(), "file{index} at {offset}");
                same_bytes(&bytes[..count], expected, &format!("file{index} at {offset}"));
            }
        }
    }

    fn compare(&self, directory: &Path) {
        for (index, model) in self.files.iter().enumerate() {
            let bytes = fs::read(directory.join(format!("file{index}"))).unwrap_or_default();
            same_bytes(&bytes, model, &format!("file{index}"));
        }
    }
}

/// Random writes, reads, truncations and holes, with remounts, trims and snapshots between; old states are looked at in clones.
fn random_work(bench: &Bench, kind: Kind, seed: u64) {
    let drive = bench.drive("db", DISK_BYTES);
    let mut disk = Disk::new(bench, "db");
    disk.format(kind);
    let mut model = Model::new(seed);
    let mut mount = Mount::new(bench, &disk, kind, "mnt");
    let mut kept = None;
    for step in 1..=STEPS {
        model.step(&mount.path);
        if step % (STEPS / 5) == 0 {
            mount.trim();
            model.compare(&mount.path);
            mount.unmount();
            disk.is_clean(kind);
            if step == STEPS / 5 * 2 {
                // Nothing is mounted, and a detached disk has written everything.
                disk.detach();
                kept = Some((snapshot(&drive, "kept"), model.files.clone()));
                fs::remove_dir(bench.path("db.fuse")).expect("it is empty");
                fs::remove_file(bench.path("db.pid")).unwrap_or_default();
                disk = Disk::new(bench, "db");
            }
            mount = Mount::new(bench, &disk, kind, "mnt");
            model.compare(&mount.path);
        }
    }
    let (kept, files) = kept.expect("there were enough steps");
    kept.clone_drive(DriveOptions::named("copy")).expect("a clone");
    let copy_disk = Disk::new(bench, "copy");
    let copy = Mount::new(bench, &copy_disk, kind, "copy");
    Model { files, dice: Dice::new(seed) }.compare(&copy.path);
    model.compare(&mount.path);
    copy.unmount();
    copy_disk.is_clean(kind);
    copy_disk.detach();
    mount.unmount();
    disk.is_clean(kind);
    disk.detach();
}

fn random_case(test: &str, kind: Kind) {
    with_mounts(test, kind, || {
        let seed = env::var("FLOE_SEED").map_or(20_261_122, |text| text.parse().expect("it is a number"));
        let bench = Bench::new();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| random_work(&bench, kind, seed))) {
            eprintln!("replay: FLOE_SEED={seed} cargo test --all-features --test nbd_tools {test}");
            resume_unwind(panic);
        }
        bench.finish();
    });
}

#[test]
fn ext4_keeps_its_files_under_random_work_with_remounts() {
    random_case("block_device::ext4_keeps_its_files_under_random_work_with_remounts", Kind::Ext4);
}

#[test]
fn xfs_keeps_its_files_under_random_work_with_remounts() {
    random_case("block_device::xfs_keeps_its_files_under_random_work_with_remounts", Kind::Xfs);
}

// --- trim ------------------------------------------------------------------------------------------------------------

/// A file that is made and deleted.
const LARGE_BYTES: u64 = 64 * MIB;
/// A file system leaves out free pieces that are too short for it, and writes its journal.
const SLACK_BYTES: u64 = 8 * MIB;

fn trim_case(test: &str, kind: Kind) {
    with_mounts(test, kind, || {
        let bench = Bench::new();
        let drive = bench.drive("db", DISK_BYTES);
        let disk = Disk::new(&bench, "db");
        disk.format(kind);
        let mount = Mount::new(&bench, &disk, kind, "mnt");
        let held = || bench.store.usage().data_bytes;
        let fill = |seed| {
            let mut file = File::create(mount.path.join("large")).expect("a file");
            file.write_all(&Dice::new(seed).bytes(LARGE_BYTES)).and_then(|()| file.sync_all()).expect("a write");
        };
        // A file system gives back a deleted file's space in its own time, and only then can it be trimmed.
        let remove = |is_trimmed: &dyn Fn() -> bool| {
            fs::remove_file(mount.path.join("large")).expect("it is there");
            until("the space is trimmed", || {
                mount.sync();
                mount.trim();
                is_trimmed()
            })
            .unwrap_or_else(|late| panic!("{late}: {} bytes are held", held()));
        };
        let empty = held();
        fill(1);
        assert!(held() >= empty + LARGE_BYTES, "{} bytes are held", held());
        remove(&|| held() < empty + SLACK_BYTES);

        // What a snapshot holds stays until the snapshot goes.
        fill(2);
        let kept = snapshot(&drive, "kept");
        remove(&|| kept.allocated_size().expect("a size") >= LARGE_BYTES - SLACK_BYTES);
        assert!(held() >= empty + LARGE_BYTES, "{} bytes are held", held());
        let exclusive = kept.exclusive_size().expect("a size");
        let before = held();
        kept.delete().expect("a snapshot can be deleted at any time");
        drop(kept);
        bench.store.reclaim(u64::MAX).expect("space is given back");
        assert_eq!(held(), before - exclusive);
        assert!(held() < empty + SLACK_BYTES, "{} bytes are held", held());
        mount.unmount();
        disk.is_clean(kind);
        disk.detach();
        bench.finish();
    });
}

#[test]
fn trim_of_ext4_frees_space_in_the_store() {
    trim_case("block_device::trim_of_ext4_frees_space_in_the_store", Kind::Ext4);
}

#[test]
fn trim_of_xfs_frees_space_in_the_store() {
    trim_case("block_device::trim_of_xfs_frees_space_in_the_store", Kind::Xfs);
}

// --- snapshots in use ------------------------------------------------------------------------------------------------

/// Files that are written one after the other; each is in the list once it was synced.
struct Writer<'a> {
    directory: &'a Path,
    synced: Mutex<u64>,
    stop: AtomicBool,
}

impl Writer<'_> {
    fn content(index: u64) -> Vec<u8> {
        Dice::new(index).bytes(1 + (index * 7919) % (100 * KIB))
    }

    fn work(&self) {
        for index in 0..2000 {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let mut file = File::create(self.directory.join(format!("file{index}"))).expect("a file");
            file.write_all(&Self::content(index)).expect("a write");
            file.sync_all().expect("a sync");
            *self.synced.lock().expect("nobody panics with it") = index + 1;
        }
    }

    fn synced(&self) -> u64 {
        *self.synced.lock().expect("nobody panics with it")
    }

    /// Until some more files are there.
    fn wait_for_more(&self, count: u64) {
        let before = self.synced();
        until("more files are written", || self.synced() >= before + count).expect("it writes");
    }

    fn compare(directory: &Path, count: u64) {
        for index in 0..count {
            let name = format!("file{index}");
            let bytes = fs::read(directory.join(&name)).unwrap_or_else(|error| panic!("{name} of {count}: {error}"));
            same_bytes(&bytes, &Self::content(index), &name);
        }
    }
}

/// Mounts a clone of what a snapshot caught in full flight; all files that were synced before must be there.
fn look_at_clone(bench: &Bench, kind: Kind, name: &str, files: u64) {
    let disk = Disk::new(bench, name);
    assert!(disk.wants_replay(kind), "{name}: the file system was in use");
    let mount = Mount::new(bench, &disk, kind, &format!("{name}.mnt"));
    Writer::compare(&mount.path, files);
    // It is a disk like any other, and takes writes.
    fs::write(mount.path.join("more"), "more").expect("a write");
    mount.unmount();
    assert!(!disk.wants_replay(kind));
    disk.is_clean(kind);
    disk.detach();
}

fn snapshot_case(test: &str, kind: Kind) {
    with_mounts(test, kind, || {
        let bench = Bench::new();
        let drive = bench.drive("db", DISK_BYTES);
        let disk = Disk::new(&bench, "db");
        disk.format(kind);
        let mount = Mount::new(&bench, &disk, kind, "mnt");
        let writer = Writer { directory: &mount.path, synced: Mutex::new(0), stop: AtomicBool::new(false) };
        let caught = thread::scope(|scope| {
            let work = scope.spawn(|| writer.work());
            let caught: Vec<_> = (0..3)
                .map(|index| {
                    writer.wait_for_more(5);
                    let files = writer.synced();
                    (snapshot(&drive, &format!("s{index}")), files)
                })
                .collect();
            writer.wait_for_more(5);
            // The first one is looked at while the drive is still written to.
            caught[0].0.clone_drive(DriveOptions::named("clone0")).expect("a clone");
            look_at_clone(&bench, kind, "clone0", caught[0].1);
            writer.wait_for_more(5);
            writer.stop.store(true, Ordering::Relaxed);
            work.join().expect("it writes");
            caught
        });
        // The drive's own mount has noticed nothing.
        let files = writer.synced();
        Writer::compare(&mount.path, files);
        mount.unmount();
        disk.is_clean(kind);
        disk.detach();
        // A snapshot of what is at rest can be looked at as it is.
        snapshot(&drive, "rest");
        let disk = Disk::new(&bench, "db@rest");
        let mount = Mount::read_only(&bench, &disk, kind, "rest");
        Writer::compare(&mount.path, files);
        File::create(mount.path.join("more")).expect_err("nobody writes to a snapshot");
        mount.unmount();
        disk.detach();
        for (index, (snapshot, files)) in caught.iter().enumerate().skip(1) {
            let name = format!("clone{index}");
            snapshot.clone_drive(DriveOptions::named(&name)).expect("a clone");
            look_at_clone(&bench, kind, &name, *files);
        }
        // Back to the first moment, with the drive itself.
        drive.revert_to(&caught[0].0).expect("a revert");
        drive.rename("reverted").expect("a name");
        look_at_clone(&bench, kind, "reverted", caught[0].1);
        bench.finish();
    });
}

#[test]
fn ext4_snapshots_in_use_hold_all_that_was_synced() {
    snapshot_case("block_device::ext4_snapshots_in_use_hold_all_that_was_synced", Kind::Ext4);
}

#[test]
fn xfs_snapshots_in_use_hold_all_that_was_synced() {
    snapshot_case("block_device::xfs_snapshots_in_use_hold_all_that_was_synced", Kind::Xfs);
}
