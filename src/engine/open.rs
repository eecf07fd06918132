//! How does a store come to life?

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Weak};

use uuid::Uuid;

use crate::catalog::{Catalog, CatalogState};
use crate::commit::{LastCommit, last_commit};
use crate::device::{Device, look_at_pages_once};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::format::group::{STORE_BLOCKS_MAX, STORE_BLOCKS_MIN};
use crate::format::page::Root;
use crate::format::space_changes::SpaceChanges;
use crate::format::superblock::{FEATURE_NOTES, Superblock};
use crate::space::{Space, SpaceState};
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, RwLock};
use crate::tree::working_set::VerifiedPages;
use crate::units::{BLOCK_BYTES, BLOCK_LEN, Epoch, Generation, PhysicalBlock};

use super::Engine;
use super::durable::Committer;
use super::overwrites::Overwrites;
use super::readers::Readers;

/// Extents that the background thread visits before it lets others at the catalog.
const BACKGROUND_STEP: u64 = 512;

/// What can be chosen when a store is opened.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Free deleted things in a thread of their own.
    pub background_reclaim: bool,
    /// Pages on the heap before a writer must commit.
    pub changed_pages_max: usize,
    /// Bytes that a superblock may list of what has changed in the space map.
    pub changes_bytes_max: usize,
}

impl Engine {
    /// Makes an empty store on `device` and opens it.
    ///
    /// # Errors
    /// `InvalidArgument` for a device that is too small or too large, `AlreadyExists` if there is a store, `NoSpace` or `Io`.
    pub fn create(device: Arc<dyn Device>, settings: &Settings) -> Result<Arc<Self>> {
        let store_blocks = device.len_bytes() / BLOCK_BYTES;
        if !(STORE_BLOCKS_MIN..=STORE_BLOCKS_MAX).contains(&store_blocks) {
            let (least, most) = (STORE_BLOCKS_MIN * BLOCK_BYTES, STORE_BLOCKS_MAX * BLOCK_BYTES);
            return Err(Error::invalid(format!("a store of {} bytes; it must have {least} to {most}", device.len_bytes())));
        }
        match last_commit(&*device) {
            Err(error) if error.kind() == ErrorKind::NotAStore => {}
            Err(error) if error.kind() == ErrorKind::Io => return Err(error),
            _ => return Err(Error::new(ErrorKind::AlreadyExists, "there is a store already")),
        }
        device.allocate(0..2 * BLOCK_LEN as u64).context(|| "secure space for the superblocks")?;
        let id = Uuid::new_v4();
        let superblock = Superblock {
            features_optional: 0,
            features_required: 0,
            store_id: id.into_bytes(),
            generation: Generation(0),
            epoch: Epoch(1),
            store_blocks,
            next_id: 1,
            seed: crc32fast::hash(id.as_bytes()),
            clean: true,
            data_blocks: 0,
            tree_pages: 0,
            tree_places: 0,
            scrub_next: PhysicalBlock(0),
            catalog: Root::EMPTY,
            groups: Root::EMPTY,
            space_changes: SpaceChanges::default(),
            commit_record: None,
        };
        let engine = Self::start(device, superblock, settings)?;
        // There is no older commit to go back to, so the first one goes to both slots.
        engine.commit_to_both_slots(false)?;
        Ok(engine)
    }

    /// Opens the store on `device`.
    ///
    /// # Errors
    /// `NotAStore`, `UnsupportedFormat`, `Corrupt`, `Io`.
    pub fn open(device: Arc<dyn Device>, settings: &Settings) -> Result<Arc<Self>> {
        let LastCommit { superblock, is_in_both_slots } = last_commit(&*device)?;
        let engine = Self::start(device, superblock, settings)?;
        if !is_in_both_slots {
            engine.make_last_commit_certain()?;
        }
        if !engine.was_clean {
            // What a scrub has seen may have been overwritten since, and its checksum lost.
            engine.scrub_next.store(0, Ordering::Release);
            let crowded = engine.catalog.write().unsettle_heads();
            crowded.into_iter().try_for_each(|head| engine.settle_oldest(head))?;
        }
        let trimming = engine.catalog.read().trimming_drives();
        for drive in trimming {
            match engine.trim(drive) {
                // Nothing behind the end can be seen; it goes before the drive is next resized.
                Err(error) if error.kind() == ErrorKind::NoSpace || error.rotten_block().is_some() => {}
                result => result?,
            }
        }
        Ok(engine)
    }

    fn start(device: Arc<dyn Device>, superblock: Superblock, settings: &Settings) -> Result<Arc<Self>> {
        let working = superblock.generation.next();
        let verified = Arc::new(VerifiedPages::new());
        let space_state = SpaceState {
            store_blocks: superblock.store_blocks,
            groups: superblock.groups,
            changes: superblock.space_changes.clone(),
            data_blocks: superblock.data_blocks,
            tree_pages: superblock.tree_pages,
            tree_places: superblock.tree_places,
            seed: superblock.seed,
            working,
        };
        let space = Arc::new(Space::open(Arc::clone(&device), Arc::clone(&verified), space_state, settings.changes_bytes_max)?);
        let listed = superblock.commit_record.iter().flat_map(|record| &record.data);
        space.last_commit_lists(listed.map(|run| (run.start, u32::from(run.blocks))));
        let catalog_state = CatalogState {
            records: superblock.catalog,
            epoch: superblock.epoch,
            next_id: superblock.next_id,
            has_notes: superblock.features_required & FEATURE_NOTES != 0,
        };
        let open = || Catalog::open(Arc::clone(&device), verified, Arc::clone(&space), superblock.seed, working, catalog_state);
        let catalog = look_at_pages_once(&*device, open)?;
        let was_clean = superblock.clean;
        let (store_id, generation) = (superblock.store_id, AtomicU64::new(superblock.generation.0));
        let scrub_next = AtomicU64::new(superblock.scrub_next.0);
        let (wake, woken) = channel();
        let engine = Arc::new(Self {
            device,
            space,
            catalog: RwLock::new(catalog),
            committer: Mutex::new(Committer { durable: 0, superblock, waiting: None }),
            readers: Readers::default(),
            changes: AtomicU64::new(0),
            overwrites: Overwrites::default(),
            sync_first: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            marked_clean: AtomicBool::new(was_clean),
            closing: AtomicBool::new(false),
            life: RwLock::new(false),
            catalog_pages: AtomicUsize::new(0),
            changed_pages_max: settings.changed_pages_max,
            drive_locks: Mutex::new(HashMap::new()),
            reclaimer: settings.background_reclaim.then(|| Mutex::new(wake)),
            was_clean,
            store_id,
            generation,
            scrub_next,
            scrub_left_out: AtomicBool::new(false),
            scrubbing: Mutex::new(()),
        });
        if settings.background_reclaim {
            let weak = Arc::downgrade(&engine);
            let thread = std::thread::Builder::new().name("floe-reclaim".into());
            thread.spawn(move || reclaim_when_woken(&weak, &woken)).context(|| "start the thread that frees deleted things")?;
            engine.wake_reclaimer();
        }
        Ok(engine)
    }
}

/// Frees deleted things whenever somebody says that there are some, until the store is gone.
fn reclaim_when_woken(engine: &Weak<Engine>, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        // Many calls at once are one.
        while woken.try_recv().is_ok() {}
        loop {
            let Some(engine) = engine.upgrade() else { return };
            let Ok(_life) = engine.writable() else { return };
            // A step that fails poisons the store if it must; whoever works with the store learns it there. What it left
            // undone, for want of space say, the next call finds.
            let Ok(step) = engine.reclaim_step_unhurried(BACKGROUND_STEP) else { break };
            // What was freed may be used again after a commit, and what is deleted may be freed after one.
            let waits = !step.done && step.visited == 0;
            if (waits || (step.done && step.visited > 0)) && engine.flush().is_err() {
                break;
            }
            if step.done {
                break;
            }
        }
    }
}
