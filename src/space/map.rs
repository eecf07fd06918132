//! How are blocks taken and given back?

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::canary::{self, Canary};
use crate::device::{Device, look_at_pages};
use crate::error::{Context, Error, Result};
use crate::format::group::{
    GROUP_PLACES, Group, GroupKind, GroupRecord, HEADER_BLOCKS_USED, Place, STORE_BLOCKS_MAX, are_places, place_of,
};
use crate::format::page::{self, Page, PageKind, Root};
use crate::format::space_changes::SpaceChanges;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering};
use crate::tree::entries;
use crate::tree::working_set::{PageHash, VerifiedPages, WorkingSet, mapped_page};
use crate::units::{BLOCK_BYTES, Generation, PhysicalBlock};

use super::bitmap::Bitmap;
use super::changes::Unwritten;
use super::fresh::Fresh;
use super::group_state::{GroupState, PlaceRun, turn};
use super::proven::Proven;
use super::window::{Window, no_space};

/// Tree pages that only commits, deletions and discards may take, so that a full store can always be emptied: 4 MiB.
pub const TREE_RESERVE_PAGES: u64 = 1024;

/// Tree pages that only commits may take.
const COMMIT_RESERVE_PAGES: u64 = 256;

/// What tree pages are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To hold more than before.
    Grow,
    /// To hold less than before.
    Shrink,
}

/// Blocks secured at a time: 4 MiB cost one call of some microseconds.
const SECURE_PLACES: u32 = 1024;

/// Tree pages that are written ahead at a time: 256 KiB.
const WRITTEN_AHEAD_PLACES: u32 = 64;

/// The space map and the checksum table of a store.
pub struct Space {
    pub(super) inner: Mutex<Inner>,
    pub(super) proven: Proven,
    /// A commit relies on data as it is, or the next one may. False only if none does; so most overwrites need not ask.
    pub(super) lists_data: AtomicBool,
    /// Pages on the heap, for whoever does not hold the lock.
    pub(super) changed_pages: AtomicUsize,
}

/// Where the store's space went, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceUsage {
    /// Blocks of data in use.
    pub data_blocks: u64,
    /// Tree pages in use.
    pub tree_pages: u64,
    /// Blocks that group headers take.
    pub header_blocks: u64,
    /// Blocks that data may still take.
    pub free_blocks: u64,
}

pub(super) struct Inner {
    pub device: Arc<dyn Device>,
    pub verified: Arc<VerifiedPages>,
    pub seed: u32,
    pub set: WorkingSet,
    pub root: Root,
    pub store_blocks: u64,
    pub groups: HashMap<u64, GroupState, PageHash>,
    /// Groups from this one on were never used.
    pub fresh: u64,
    pub data_window: Option<Window>,
    pub tree_window: Option<Window>,
    /// Where the next long run is looked for, if the data window has none.
    pub run_window: Option<Window>,
    /// Nothing that was looked at has a long run; until something is released, nobody looks again.
    pub no_runs: bool,
    /// Free tree pages that have space under them, at least.
    pub tree_ready: u32,
    /// Tree pages that writes were promised and may not have taken yet.
    promised: u64,
    /// A tree page that was promised could not be had.
    broke_promise: bool,
    pub quarantine: VecDeque<(Generation, Vec<PlaceRun>)>,
    pub data_blocks: u64,
    pub tree_pages: u64,
    /// Places of all tree groups.
    pub tree_places: u64,
    /// Tree pages that were freed but may not be handed out yet.
    pub tree_held: u64,
    /// The same of data blocks.
    pub data_held: u64,
    /// Checksum pages that differ from their current slot, by `group * 32 + page`.
    pub checksums: HashMap<u64, Box<Page>, PageHash>,
    /// Checksum pages that a commit is writing to their current slot.
    pub checksums_sealed: HashMap<u64, Arc<Page>, PageHash>,
    /// The checksums in them, and those that only the superblock has.
    pub unwritten: Unwritten,
    /// The next commit must write the pages of the space map: what changed cannot be listed.
    pub must_write: bool,
    /// Bytes that the list of changes may take in a superblock.
    pub changes_bytes_max: usize,
    pub fresh_data: Fresh,
}

/// What a store's superblock says of its space.
#[derive(Clone, Debug)]
pub struct SpaceState {
    /// Capacity in blocks.
    pub store_blocks: u64,
    /// The group tree.
    pub groups: Root,
    /// How the space map differs from what that tree and the pages that it names say.
    pub changes: SpaceChanges,
    /// Data blocks in use.
    pub data_blocks: u64,
    /// Tree pages in use.
    pub tree_pages: u64,
    /// Places of all groups of tree pages.
    pub tree_places: u64,
    /// What page checksums start from.
    pub seed: u32,
    /// The commit that comes next.
    pub working: Generation,
}

impl Space {
    /// The space of a store whose last commit left `state`. Changes that take more bytes than `changes_bytes_max` are written to their
    /// places by a commit, not listed.
    ///
    /// # Errors
    /// `Corrupt` if the group tree cannot be read.
    pub fn open(
        device: Arc<dyn Device>,
        verified: Arc<VerifiedPages>,
        state: SpaceState,
        changes_bytes_max: usize,
    ) -> Result<Self> {
        let set = WorkingSet::new(Arc::clone(&device), Arc::clone(&verified), state.seed, state.working);
        let last = look_at_pages(&*device, || entries::floor(&set, &state.groups, u64::MAX))?;
        let fresh = last.map_or(0, |(group, _)| group.saturating_add(1));
        if fresh > Group::count(state.store_blocks) {
            return Err(Error::corrupt("the group tree names a group behind the end of the store"));
        }
        let mut inner = Inner {
            device,
            verified,
            seed: state.seed,
            set,
            root: state.groups,
            store_blocks: state.store_blocks,
            groups: HashMap::default(),
            fresh,
            data_window: None,
            tree_window: None,
            run_window: None,
            no_runs: false,
            tree_ready: 0,
            promised: 0,
            broke_promise: false,
            quarantine: VecDeque::new(),
            data_blocks: state.data_blocks,
            tree_pages: state.tree_pages,
            tree_places: state.tree_places,
            tree_held: 0,
            data_held: 0,
            checksums: HashMap::default(),
            checksums_sealed: HashMap::default(),
            unwritten: Unwritten::listed(&state.changes),
            must_write: false,
            changes_bytes_max,
            fresh_data: Fresh::default(),
        };
        for run in state.changes.places.iter().filter(|_| !canary::makes(Canary::SpaceChangesForgotten)) {
            let group = Group::of(run.start);
            let state = inner.load(group)?;
            state.ok_or_else(|| Error::corrupt(format!("block {}: its group was never used", run.start)))?.list(*run)?;
        }
        if fresh == 0 {
            // Group 0 is whole in every store; the last one, which may be cut off, is left to data.
            inner.open_window(GroupKind::Tree, None)?;
        }
        Ok(Self {
            inner: Mutex::new(inner),
            proven: Proven::new(),
            lists_data: AtomicBool::new(false),
            changed_pages: AtomicUsize::new(0),
        })
    }

    /// Takes up to `most` blocks for data that lie side by side. Until they are used, or given back, nobody else gets them, but no
    /// commit says that they are in use: a crash meanwhile leaves nothing behind.
    ///
    /// # Errors
    /// `NoSpace`; the blocks freed but not yet committed may help. `Corrupt` or `Io` from the device.
    pub fn take_data(&self, most: u32) -> Result<(PhysicalBlock, u32)> {
        let run = self.inner.lock().take(GroupKind::Data, most)?;
        Ok((run.group.block(run.start), run.count))
    }

    /// A table holds blocks that were taken: the next commit says that they are in use.
    ///
    /// # Errors
    /// `Corrupt` if the bitmap cannot be read.
    pub fn use_data(&self, start: PhysicalBlock, count: u32) -> Result<()> {
        let mut inner = self.inner.lock();
        let (state, place) = inner.taken(start)?;
        state.let_go(place, count);
        state.set_used(place, count);
        inner.data_blocks += u64::from(count);
        inner.fresh_data.add(start, count);
        self.lists_data.store(inner.fresh_data.lists_any(), Ordering::Release);
        Ok(())
    }

    /// May blocks of data be overwritten where they lie? Not if the last commit, or the one that is being written, relies on them; then a
    /// commit must come first. The next one will not.
    pub fn may_change_data(&self, start: PhysicalBlock, blocks: u64) -> bool {
        !self.lists_data.load(Ordering::Acquire) || self.inner.lock().fresh_data.may_change(start, blocks)
    }

    /// Is a commit being written, and relies it, or the last one, on these blocks of data? If none is, the next one will not.
    pub fn data_must_stay(&self, start: PhysicalBlock, blocks: u64) -> bool {
        self.lists_data.load(Ordering::Acquire) && self.inner.lock().fresh_data.must_stay(start, blocks)
    }

    /// The commit with which the store was opened counts only with these.
    pub fn last_commit_lists(&self, runs: impl Iterator<Item = (PhysicalBlock, u32)>) {
        let mut inner = self.inner.lock();
        inner.fresh_data = Fresh::listed(runs);
        self.lists_data.store(inner.fresh_data.lists_any(), Ordering::Release);
    }

    /// Blocks that were taken are not needed.
    ///
    /// # Errors
    /// `Corrupt` if the bitmap cannot be read.
    pub fn give_back_data(&self, start: PhysicalBlock, count: u32) -> Result<()> {
        let mut inner = self.inner.lock();
        let (state, place) = inner.taken(start)?;
        state.let_go(place, count);
        Ok(())
    }

    /// Takes a block for a tree page.
    ///
    /// # Errors
    /// As [`Space::take_data`].
    pub fn take_page(&self) -> Result<PhysicalBlock> {
        self.inner.lock().take_page()
    }

    /// Frees data blocks that no table holds any more.
    ///
    /// # Errors
    /// `Corrupt` if they were not taken.
    pub fn free_data(&self, start: PhysicalBlock, count: u32) -> Result<()> {
        let mut inner = self.inner.lock();
        inner.give_back(GroupKind::Data, start, count)?;
        inner.data_blocks = fewer(inner.data_blocks, count)?;
        inner.fresh_data.remove(start, count);
        Ok(())
    }

    /// Gives a tree page back.
    ///
    /// # Errors
    /// `Corrupt` if it was not taken.
    pub fn free_page(&self, page: PhysicalBlock) -> Result<()> {
        self.inner.lock().free_page(page)
    }

    /// Lets an operation that may take up to `pages` tree pages begin only while enough of them are left for what must
    /// always be possible: deleting, discarding and committing. The caller keeps others from beginning until he is done.
    ///
    /// # Errors
    /// `NoSpace`
    pub fn require_room(&self, pages: u64, purpose: Purpose) -> Result<()> {
        self.inner.lock().require_room(pages, purpose)
    }

    /// The same for an operation that lets others begin meanwhile: the pages are its own until it hands back the promise.
    ///
    /// # Errors
    /// `NoSpace`
    pub fn promise_room(&self, pages: u64, purpose: Purpose) -> Result<()> {
        let mut inner = self.inner.lock();
        inner.require_room(pages, purpose)?;
        inner.promised += pages;
        Ok(())
    }

    /// What was promised was taken, or is not needed.
    pub fn hand_back_room(&self, pages: u64) {
        self.inner.lock().promised -= pages;
    }

    /// Was there ever no tree page for a change that had been let begin? That change was left half done.
    pub fn broke_promise(&self) -> bool {
        self.inner.lock().broke_promise
    }

    /// Makes sure that there is space under what a commit takes: up to `pages` pages, and some for the space map itself. What the
    /// store does not have is not asked for: a commit takes less than this.
    ///
    /// # Errors
    /// `NoSpace`, `Io` from the device.
    pub fn ready_for_commit(&self, pages: u64) -> Result<()> {
        let mut inner = self.inner.lock();
        let wanted = (pages + COMMIT_RESERVE_PAGES).min(inner.free_tree_places());
        inner.ready_pages(u32::try_from(wanted).unwrap_or(u32::MAX))
    }

    /// Everything freed in `generation` and before may be handed out again.
    pub fn release(&self, generation: Generation) {
        let mut inner = self.inner.lock();
        while inner.quarantine.front().is_some_and(|(freed, _)| *freed <= generation) {
            let (_, runs) = inner.quarantine.pop_front().expect("the front was just seen");
            for run in runs {
                if let Some(state) = inner.groups.get_mut(&run.group.0) {
                    state.let_go(run.start, run.count);
                    match state.record.kind {
                        GroupKind::Data => {
                            inner.data_held -= u64::from(run.count);
                            inner.no_runs = false;
                        }
                        GroupKind::Tree => inner.tree_held -= u64::from(run.count),
                    }
                }
            }
        }
    }

    /// The oldest generation whose freed blocks are still held back.
    pub fn oldest_held(&self) -> Option<Generation> {
        self.inner.lock().quarantine.front().map(|(generation, _)| *generation)
    }

    /// The store has more blocks now.
    ///
    /// # Errors
    /// `Corrupt` if the group tree cannot be read.
    pub fn grow(&self, store_blocks: u64) -> Result<()> {
        let mut inner = self.inner.lock();
        inner.store_blocks = store_blocks;
        inner.no_runs = false;
        for (group, state) in &mut inner.groups {
            state.places = Group(*group).places(store_blocks);
        }
        inner.tree_places = inner.count_tree_places()?;
        Ok(())
    }

    /// Where the space went.
    pub fn usage(&self) -> SpaceUsage {
        let inner = self.inner.lock();
        let total: u64 = inner.total_places();
        let for_data = total.saturating_sub(inner.tree_places);
        let unused_tree = inner.tree_places.saturating_sub(inner.tree_pages);
        // What the reserve still lacks will be taken from groups that nobody uses yet.
        let lacking = if unused_tree < TREE_RESERVE_PAGES { u64::from(GROUP_PLACES).min(inner.unused_places()) } else { 0 };
        SpaceUsage {
            data_blocks: inner.data_blocks,
            tree_pages: inner.tree_pages,
            header_blocks: inner.fresh * HEADER_BLOCKS_USED,
            free_blocks: for_data.saturating_sub(inner.data_blocks + lacking),
        }
    }

    /// Capacity in blocks.
    pub fn store_blocks(&self) -> u64 {
        self.inner.lock().store_blocks
    }
}

impl Inner {
    fn require_room(&mut self, pages: u64, purpose: Purpose) -> Result<()> {
        let reserve = match purpose {
            Purpose::Grow => TREE_RESERVE_PAGES,
            Purpose::Shrink => COMMIT_RESERVE_PAGES,
        };
        let wanted = pages + self.promised + reserve;
        if self.free_tree_places() < wanted {
            return Err(no_space(GroupKind::Tree));
        }
        // The file system must not say in the middle of a change, or of a commit, that it is full.
        self.ready_pages(u32::try_from(wanted).unwrap_or(u32::MAX))
    }

    pub fn take_page(&mut self) -> Result<PhysicalBlock> {
        let run = self.take(GroupKind::Tree, 1).inspect_err(|_| self.broke_promise = true)?;
        self.tree_pages += 1;
        self.tree_ready = self.tree_ready.saturating_sub(1);
        Ok(run.group.block(run.start))
    }

    pub fn free_page(&mut self, page: PhysicalBlock) -> Result<()> {
        self.give_back(GroupKind::Tree, page, 1)?;
        self.tree_pages = fewer(self.tree_pages, 1)?;
        Ok(())
    }

    fn take(&mut self, kind: GroupKind, most: u32) -> Result<PlaceRun> {
        let (window, start, count) = self.next_free(kind, most)?;
        let state = self.groups.get_mut(&window.group.0).expect("a window's group is loaded");
        let count = count.min(state.secured - start.0);
        match kind {
            GroupKind::Data => state.hold(start, count),
            GroupKind::Tree => {
                state.set_used(start, count);
                // A commit of a few pages must not wait until the file system has noted that their space holds something.
                if start.0 + count > state.untouched {
                    let until = (start.0 + count).next_multiple_of(WRITTEN_AHEAD_PLACES).min(state.secured);
                    let ahead = window.group.block(start)..window.group.block(Place(until));
                    state.untouched = until;
                    self.device.will_write(ahead.start.offset()..ahead.end.offset());
                }
            }
        }
        let run = PlaceRun { group: window.group, start, count };
        self.set_window(kind, Some(Window { group: window.group, next: Place(start.0 + count) }));
        Ok(run)
    }

    /// The next free places, at most `most`, of which at least the first has space under it.
    pub fn next_free(&mut self, kind: GroupKind, most: u32) -> Result<(Window, Place, u32)> {
        loop {
            let Some(window) = self.window(kind) else {
                self.open_window(kind, None)?;
                continue;
            };
            self.load_bitmap(window.group)?;
            let state = self.groups.get_mut(&window.group.0).expect("a window's group is loaded");
            let bitmap = state.bitmap.as_ref().expect("it was just loaded");
            let Some((start, count)) = bitmap.free_run(state.held.as_ref(), window.next, state.places, most) else {
                self.window_exhausted(kind, window)?;
                continue;
            };
            if start.0 >= state.secured {
                self.secure_or_reuse(kind, window, start)?;
                continue;
            }
            return Ok((window, start, count));
        }
    }

    /// Makes sure that the file system has space under the places below `end`.
    pub fn secure(&mut self, group: Group, end: u32) -> Result<()> {
        let state = self.groups.get_mut(&group.0).expect("a group that is taken from is loaded");
        if end <= state.secured {
            return Ok(());
        }
        let until = end.next_multiple_of(SECURE_PLACES).min(state.places);
        let from = state.secured;
        let doing = || format!("secure space in group {}", group.0);
        if from == 0 {
            let header = group.start().offset();
            self.device.allocate(header..header + HEADER_BLOCKS_USED * BLOCK_BYTES).context(doing)?;
        }
        let first = group.block(Place(from)).offset();
        let secure = |until: u32| self.device.allocate(first..first + u64::from(until - from) * BLOCK_BYTES).map(|()| until);
        // A file system that is nearly full may still have what is needed now.
        state.secured = secure(until).or_else(|_| secure(end)).context(doing)?;
        Ok(())
    }

    fn give_back(&mut self, kind: GroupKind, start: PhysicalBlock, count: u32) -> Result<()> {
        let group = Group::of(start);
        let wrong = |what: &str| Error::corrupt(format!("blocks {start} + {count} are freed, but {what}"));
        let place = place_of(start).ok_or_else(|| wrong("they lie in a group's header"))?;
        if !are_places(start, count) {
            return Err(wrong("they cross the end of a group"));
        }
        self.load(group)?.ok_or_else(|| wrong("their group was never used"))?;
        self.load_bitmap(group)?;
        let state = self.groups.get_mut(&group.0).expect("it was just loaded");
        if state.record.kind != kind {
            return Err(wrong("their group holds something else"));
        }
        if state.bitmap_for_change().clear(place, count) != count {
            return Err(wrong("not all of them are in use"));
        }
        state.record.used -= count as u16;
        let reused_at_once = match kind {
            GroupKind::Data => canary::makes(Canary::BlockReusedAtOnce),
            GroupKind::Tree => canary::makes(Canary::PageReusedAtOnce),
        };
        if reused_at_once {
            return Ok(());
        }
        state.hold(place, count);
        match kind {
            GroupKind::Data => self.data_held += u64::from(count),
            GroupKind::Tree => self.tree_held += u64::from(count),
        }
        let working = self.set.working();
        let run = PlaceRun { group, start: place, count };
        match self.quarantine.back_mut() {
            Some((generation, runs)) if *generation == working => runs.push(run),
            _ => self.quarantine.push_back((working, vec![run])),
        }
        Ok(())
    }

    /// The group of a block that was taken, its bitmap loaded, and the block's place.
    fn taken(&mut self, block: PhysicalBlock) -> Result<(&mut GroupState, Place)> {
        let place = place_of(block).ok_or_else(|| Error::corrupt(format!("block {block}: no data can be there")))?;
        let group = Group::of(block);
        self.load(group)?.ok_or_else(|| Error::corrupt(format!("block {block}: its group was never used")))?;
        self.load_bitmap(group)?;
        Ok((self.groups.get_mut(&group.0).expect("it was just loaded"), place))
    }

    /// Loads what is known of a group; `None` if it was never used.
    pub fn load(&mut self, group: Group) -> Result<Option<&mut GroupState>> {
        if !self.groups.contains_key(&group.0) {
            let value = look_at_pages(&*self.device, || entries::get(&self.set, &self.root, group.0))?;
            let Some(value) = value else { return Ok(None) };
            let record = decode(group, &value)?;
            self.groups.insert(group.0, GroupState::new(record, Some(record), group.places(self.store_blocks)));
        }
        Ok(self.groups.get_mut(&group.0))
    }

    pub fn load_bitmap(&mut self, group: Group) -> Result<()> {
        let state = &self.groups[&group.0];
        if state.bitmap.is_some() {
            return Ok(());
        }
        let (record, listed) = (state.record, &state.listed);
        let written = look_at_pages(&*self.device, || self.read_bitmap(group, &record))?;
        let mut bitmap = written.clone();
        turn(&mut bitmap, listed)?;
        if bitmap.count() != u32::from(record.used) {
            let (told, count) = (record.used, bitmap.count());
            return Err(Error::corrupt(format!("group {}: {count} places are taken, its record says {told}", group.0)));
        }
        let state = self.groups.get_mut(&group.0).expect("the group is loaded");
        state.untouched = bitmap.end();
        state.bitmap = Some(bitmap);
        if !std::mem::take(&mut state.listed).is_empty() {
            state.bitmap_written = Some(written);
        }
        Ok(())
    }

    /// The bitmap in a group's current slot.
    pub fn read_bitmap(&self, group: Group, record: &GroupRecord) -> Result<Bitmap> {
        let at = group.bitmap_slot(record.bitmap_slot);
        bitmap_page(&*self.device, &self.verified, self.seed, at, record).map(Bitmap::from_page)
    }

    /// Places of all groups, used or not.
    pub fn total_places(&self) -> u64 {
        let groups = Group::count(self.store_blocks);
        groups.checked_sub(1).map_or(0, |last| last * u64::from(GROUP_PLACES) + u64::from(Group(last).places(self.store_blocks)))
    }

    /// Places of the next groups that nobody uses yet; two of them are always enough to know.
    fn unused_places(&self) -> u64 {
        (self.fresh..Group::count(self.store_blocks)).take(2).map(|group| u64::from(Group(group).places(self.store_blocks))).sum()
    }

    /// Pages that trees can still take, those of a group that nobody uses yet included.
    fn free_tree_places(&self) -> u64 {
        self.tree_places.saturating_sub(self.tree_pages + self.tree_held) + self.unused_places()
    }

    fn count_tree_places(&self) -> Result<u64> {
        let mut places = look_at_pages(&*self.device, || {
            let mut places = 0;
            entries::visit(&self.set, &self.root, 0, &mut |group, value| {
                if decode(Group(group), value)?.kind == GroupKind::Tree {
                    places += u64::from(Group(group).places(self.store_blocks));
                }
                Ok(std::ops::ControlFlow::Continue(()))
            })?;
            Ok(places)
        })?;
        for (group, state) in &self.groups {
            if state.written.is_none() && state.record.kind == GroupKind::Tree {
                places += u64::from(Group(*group).places(self.store_blocks));
            }
        }
        Ok(places)
    }
}

/// What a counter of the superblock says when so many are in use no longer.
fn fewer(counter: u64, count: u32) -> Result<u64> {
    let left = counter.checked_sub(u64::from(count));
    left.ok_or_else(|| Error::corrupt(format!("{count} blocks are freed, but the superblock counts only {counter}")))
}

/// The record of `group`, or `Corrupt`.
pub(super) fn decode(group: Group, value: &[u8; 16]) -> Result<GroupRecord> {
    if group.0 >= Group::count(STORE_BLOCKS_MAX) {
        return Err(Error::corrupt(format!("group {}: no store has that many", group.0)));
    }
    GroupRecord::decode(value).map_err(|what| Error::corrupt(format!("group {}: {what}", group.0)))
}

/// The bitmap in slot block `at`, which must be the one that the group's record means.
fn bitmap_page<'a>(
    device: &'a dyn Device,
    verified: &VerifiedPages,
    seed: u32,
    at: PhysicalBlock,
    record: &GroupRecord,
) -> Result<&'a Page> {
    let page = slot_page(device, verified, seed, at, PageKind::Bitmap)?;
    if page::stored_crc(page) != record.bitmap_crc {
        return Err(Error::corrupt(format!("page {at}: it is a bitmap of another commit")));
    }
    Ok(page)
}

/// The bitmap or checksum page in slot block `at`, checked at its first use.
pub(super) fn slot_page<'a>(
    device: &'a dyn Device,
    verified: &VerifiedPages,
    seed: u32,
    at: PhysicalBlock,
    kind: PageKind,
) -> Result<&'a Page> {
    mapped_page(device, verified, at, |page| page::verify(page, seed, at, &[kind]))
}
