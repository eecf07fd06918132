//! What does the child do until it is killed?
//!
//! Each thread has drives and snapshots of its own and does one thing after the other with them; before each call it logs
//! what it is about to do, and after it that it is done.

use std::path::Path;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{process, thread};

use floe::{BLOCK_BYTES, Drive, DriveOptions, Error, SnapshotOptions, Store, StoreOptions};

use crate::dice::{Dice, mix};
use crate::operation::{Id, Line, Log, Operation, stamped};

/// So little that writers commit now and then.
const DIRTY_BYTES_MAX: usize = 1 << 18;
/// A child that nobody kills ends by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a child is told.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    pub seed: u64,
    /// Tells the children of one store apart, so that no stamp, name or identity comes twice.
    pub round: u64,
    pub threads: usize,
    pub background_reclaim: bool,
}

impl Task {
    fn options(self) -> StoreOptions {
        Store::options().background_reclaim(self.background_reclaim).dirty_bytes_max(DIRTY_BYTES_MAX)
    }
}

/// Works until somebody kills the process, or ends it when the engine says no.
pub fn work(store: &Path, log: &Path, task: Task) -> ! {
    let log = Log::append(log).expect("the log can be opened");
    log.write(&Line::Opens);
    let opened = task.options().open(store);
    let child = Child { path: store, log, task, store: RwLock::new(None), numbers: AtomicU64::new(task.round << 32) };
    match opened {
        Ok(opened) => *child.store.write().expect("nobody panics with it") = Some(opened),
        Err(error) => child.fail(&format!("open: {error}")),
    }
    thread::scope(|scope| {
        for family in 0..task.threads {
            let worker = Worker { child: &child, family, dice: Dice::new(mix(task.seed ^ task.round << 8) ^ family as u64) };
            scope.spawn(move || worker.work());
        }
    });
    unreachable!("nobody stops working");
}

pub struct Child<'a> {
    path: &'a Path,
    log: Log,
    task: Task,
    /// `None` only while it is reopened.
    store: RwLock<Option<Store>>,
    numbers: AtomicU64,
}

impl Child<'_> {
    fn fail(&self, text: &str) -> ! {
        self.log.write(&Line::Failed { text: text.to_owned() });
        process::exit(1);
    }

    /// A number that no child of this store had before.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::SeqCst)
    }
}

/// A thread, its number, and what it decides by.
pub struct Worker<'a> {
    pub child: &'a Child<'a>,
    pub family: usize,
    pub dice: Dice,
}

impl Worker<'_> {
    fn work(mut self) -> ! {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let operations = {
                let store = self.child.store.read().expect("nobody panics with it");
                self.choose(store.as_ref().expect("it is open"))
            };
            match operations {
                Ok(operations) => operations.into_iter().for_each(|operation| self.perform(operation)),
                Err(error) => self.child.fail(&format!("looking for something to do: {error}")),
            }
        }
        self.child.fail("nobody killed it");
    }

    fn perform(&self, operation: Operation) {
        let (child, family) = (self.child, self.family);
        let words = format!("{operation:?}");
        let result = if operation == Operation::Reopen {
            let mut store = child.store.write().expect("nobody panics with it");
            child.log.write(&Line::Begins { family, operation });
            let closed = store.take().expect("it is open").close();
            closed.and_then(|()| child.task.options().open(child.path)).map(|opened| *store = Some(opened))
        } else {
            let store = child.store.read().expect("nobody panics with it");
            child.log.write(&Line::Begins { family, operation: operation.clone() });
            perform(store.as_ref().expect("it is open"), operation)
        };
        match result {
            Ok(()) => child.log.write(&Line::Done { family }),
            Err(error) => child.fail(&format!("{words}: {error}")),
        }
    }
}

fn perform(store: &Store, operation: Operation) -> Result<(), Error> {
    let drive = |id: Id| store.drive(id.uuid());
    let snapshot = |id: Id| store.snapshot(id.uuid());
    match operation {
        Operation::CreateDrive { drive, size, name, attributes } => {
            store.create_drive(DriveOptions::new(size).uuid(drive.uuid()).name(name).attributes(attributes)).map(drop)
        }
        Operation::Write { drive: id, range, stamp } => drive(id)?.write_at(&stamped(stamp, range.clone()), range.start),
        Operation::Comb { drive: id, first, stride, count, stamp } => {
            let drive = drive(id)?;
            (0..count)
                .map(|index| (first + index * stride) * BLOCK_BYTES)
                .try_for_each(|offset| drive.write_at(&stamped(stamp, offset..offset + BLOCK_BYTES), offset))
        }
        Operation::WriteSame { drive: id, range } => {
            let drive = drive(id)?;
            let mut bytes = vec![0; (range.end - range.start) as usize];
            drive.read_at(&mut bytes, range.start)?;
            drive.write_at(&bytes, range.start)
        }
        Operation::WriteZeroes { drive: id, range } => drive(id)?.write_zeroes(range),
        Operation::Discard { drive: id, range } => drive(id)?.discard(range),
        Operation::Resize { drive: id, size } => drive(id)?.resize(size),
        Operation::Flush => store.flush(),
        Operation::Freeze { members, name, attributes } => {
            let options = |id: Id| SnapshotOptions::named(name.clone()).attributes(attributes.clone()).uuid(id.uuid());
            if let [(id, snapshot)] = members[..] {
                return drive(id)?.snapshot(options(snapshot)).map(drop);
            }
            let drives: Vec<Drive> = members.iter().map(|(id, _)| drive(*id)).collect::<Result<_, _>>()?;
            let group: Vec<_> = drives.iter().zip(&members).map(|(drive, (_, snapshot))| (drive, options(*snapshot))).collect();
            store.snapshot_group(&group).map(drop)
        }
        Operation::Clone { snapshot: id, drive, name } => {
            snapshot(id)?.clone_drive(DriveOptions::named(name).uuid(drive.uuid())).map(drop)
        }
        Operation::Revert { drive: id, snapshot: to } => drive(id)?.revert_to(&snapshot(to)?),
        Operation::DeleteDrive { drive: id } => drive(id)?.delete(),
        Operation::DeleteSnapshot { snapshot: id } => snapshot(id)?.delete(),
        Operation::Bookmark { drive: id, name } => drive(id)?.bookmark(&name).map(drop),
        Operation::DeleteBookmark { drive: id, name } => {
            let bookmarks = drive(id)?.bookmarks()?;
            bookmarks
                .iter()
                .find(|bookmark| bookmark.name().is_ok_and(|other| other == name))
                .map_or(Ok(()), |mark| mark.delete())
        }
        Operation::RenameDrive { drive: id, name } => drive(id)?.rename(&name),
        Operation::RenameSnapshot { snapshot: id, name } => snapshot(id)?.rename(&name),
        Operation::DriveAttributes { drive: id, attributes } => drive(id)?.set_attributes(&attributes),
        Operation::SnapshotAttributes { snapshot: id, attributes } => snapshot(id)?.set_attributes(&attributes),
        Operation::Reclaim { budget } => store.reclaim(budget).map(drop),
        Operation::Grow { capacity } => store.grow(capacity),
        Operation::Reopen => unreachable!("it is done where the store can be taken away"),
    }
}
