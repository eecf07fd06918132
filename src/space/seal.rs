//! What does a commit write of the space map?

use std::sync::Arc;

use crate::canary::{self, Canary};
use crate::error::Result;
use crate::format::group::{CHECKSUM_PAGES, Group};
use crate::format::page::{self, Page, PageKind, PagePointer};
use crate::format::space_changes::SpaceChanges;
use crate::format::superblock::{LISTS_LEN, room_for_changes};
use crate::sync::Ordering;
use crate::tree::working_set::SealedPage;
use crate::tree::{Pages, PagesMut, entries};
use crate::units::{Epoch, Generation, PhysicalBlock};

use super::map::{Inner, Space, SpaceState};

/// How a commit says what has changed in the space map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its superblock lists it, beside the pages and the data that must be there.
    Listed,
    /// Its superblock lists that and nothing else.
    ListedAlone,
    /// It writes the pages of the space map.
    PagesWritten,
}

/// Groups of which something is remembered without need.
const REMEMBERED_MAX: usize = 256;

impl Space {
    /// Ends the working generation: appends its pages to `out` and says what the superblock must say of the space. Little is listed there,
    /// if there is room for it beside what is in `out` already, and `how` allows it; else the pages of the space map are written.
    ///
    /// All other trees must have been changed before: this takes and frees the last pages of the commit.
    ///
    /// # Errors
    /// `NoSpace` if not even the reserve has a page left, `Corrupt` if the group tree cannot be read.
    pub fn seal(&self, out: &mut Vec<SealedPage>, how: How) -> Result<SpaceState> {
        let mut inner = self.inner.lock();
        let sealed = inner.seal(out, how);
        self.count_changed_pages(&inner);
        sealed
    }

    /// The data that the commit which was just sealed may list; `None` if it must be made durable before the superblock is written.
    pub fn seal_data(&self) -> Option<Vec<(PhysicalBlock, u32)>> {
        self.inner.lock().fresh_data.seal()
    }

    /// Commit `generation` is durable, and lists the data that it is the first to name, or does not.
    pub fn committed(&self, generation: Generation, lists_data: bool) {
        let mut inner = self.inner.lock();
        inner.fresh_data.committed(lists_data);
        self.lists_data.store(inner.fresh_data.lists_any(), Ordering::Release);
        inner.set.committed(generation);
        inner.checksums_sealed.clear();
        self.count_changed_pages(&inner);
        if inner.groups.len() > REMEMBERED_MAX {
            inner.tree_ready = 0;
            let windows = [inner.data_window, inner.run_window, inner.tree_window];
            inner
                .groups
                .retain(|group, state| !state.is_clean() || windows.iter().flatten().any(|window| window.group.0 == *group));
        }
    }

    /// Pages on the heap that the next commit will write.
    pub fn changed_pages(&self) -> usize {
        self.changed_pages.load(Ordering::Relaxed)
    }

    /// Whoever may have changed their number calls this before he lets go of the lock.
    pub(super) fn count_changed_pages(&self, inner: &Inner) {
        let pages = inner.set.changed_pages() + inner.checksums.len();
        if self.changed_pages() != pages {
            self.changed_pages.store(pages, Ordering::Relaxed);
        }
    }
}

impl Inner {
    fn seal(&mut self, out: &mut Vec<SealedPage>, how: How) -> Result<SpaceState> {
        let room = match how {
            How::PagesWritten => None,
            How::Listed => Some(self.fresh_data.next_runs().map_or(LISTS_LEN, |runs| room_for_changes(out.len(), runs))),
            How::ListedAlone => Some(LISTS_LEN),
        };
        let changes = room.and_then(|room| self.list_changes(room.min(self.changes_bytes_max)));
        let changes = match changes {
            Some(changes) => changes,
            None => self.write_map(out)?,
        };
        self.set.begin_next(out);
        Ok(SpaceState {
            store_blocks: self.store_blocks,
            groups: self.root,
            changes,
            data_blocks: self.data_blocks,
            tree_pages: self.tree_pages,
            tree_places: self.tree_places,
            seed: self.seed,
            working: self.set.working(),
        })
    }

    /// Writes the pages of the space map; returns what cannot be written, for the page that it belongs to is damaged.
    fn write_map(&mut self, out: &mut Vec<SealedPage>) -> Result<SpaceChanges> {
        self.place_listed();
        self.seal_checksums(out)?;
        self.settle_records()?;
        self.seal_bitmaps(out)?;
        self.root = self.set.seal(self.root);
        self.unwritten.are_written();
        self.must_write = false;
        Ok(self.list_changes(usize::MAX).expect("what could not be written had been listed"))
    }

    fn seal_checksums(&mut self, out: &mut Vec<SealedPage>) -> Result<()> {
        let generation = self.set.working();
        for (key, mut page) in std::mem::take(&mut self.checksums) {
            let group = Group(key / u64::from(CHECKSUM_PAGES));
            let index = (key % u64::from(CHECKSUM_PAGES)) as u32;
            let Some(state) = self.load(group)? else { continue };
            let bit = 1 << index;
            if state.record.checksum_present & bit == 0 {
                state.record.checksum_present |= bit;
            } else if !canary::makes(Canary::ChecksumsOverwritten) {
                state.record.checksum_slots ^= bit;
            }
            let slot = (state.record.checksum_slots >> index & 1) as u8;
            let at = group.checksum_slot(index, slot);
            page::readdress(&mut page, at, Epoch(0), generation);
            page::seal(&mut page, self.seed);
            let page: Arc<Page> = Arc::from(page);
            self.verified.remove(at);
            out.push((at, Arc::clone(&page)));
            self.checksums_sealed.insert(key, page);
        }
        Ok(())
    }

    /// Writes every changed group record into the group tree. That takes and frees pages, which changes records again,
    /// until the pages on the way to them are all new.
    fn settle_records(&mut self) -> Result<()> {
        loop {
            let working = self.set.working();
            let mut changed = Vec::new();
            for (group, state) in &mut self.groups {
                // What the superblock goes on listing is not in the group's record either.
                if !state.listed.is_empty() {
                    continue;
                }
                if state.bitmap_written.is_some() && state.bitmap_turned != working {
                    state.record.bitmap_slot ^= u8::from(!canary::makes(Canary::BitmapOverwritten));
                    state.bitmap_turned = working;
                }
                if state.written != Some(state.record) {
                    changed.push((*group, state.record));
                }
            }
            if changed.is_empty() {
                return Ok(());
            }
            changed.sort_unstable_by_key(|(group, _)| *group);
            for (group, record) in changed {
                self.prepare_tree_window()?;
                let mut dropped = Vec::new();
                let root = self.root;
                self.root = entries::insert(&mut GroupTreeWriter { inner: self }, &root, group, &record.encode(), &mut dropped)?;
                self.groups.get_mut(&group).expect("a changed group stays loaded").written = Some(record);
                for page in dropped {
                    self.set.forget(page.pointer.page);
                    self.free_page(page.pointer.page)?;
                }
            }
        }
    }

    /// Seals every changed bitmap and notes its checksum in the group tree. The pages on the way there are new already, so that takes
    /// no page any more, which would change a bitmap again.
    fn seal_bitmaps(&mut self, out: &mut Vec<SealedPage>) -> Result<()> {
        let generation = self.set.working();
        let mut changed = Vec::new();
        for (group, state) in &mut self.groups {
            if state.bitmap_written.is_none() {
                continue;
            }
            let at = Group(*group).bitmap_slot(state.record.bitmap_slot);
            let mut page = page::blank(PageKind::Bitmap, 0, at, Epoch(0), generation);
            state.bitmap.as_ref().expect("a changed bitmap is loaded").put(&mut page);
            state.record.bitmap_crc = page::seal(&mut page, self.seed);
            self.verified.remove(at);
            out.push((at, Arc::new(page)));
            state.bitmap_written = None;
            state.written = Some(state.record);
            changed.push((*group, state.record));
        }
        let taken = self.tree_pages;
        for (group, record) in changed {
            let (root, mut dropped) = (self.root, Vec::new());
            self.root = entries::insert(&mut GroupTreeWriter { inner: self }, &root, group, &record.encode(), &mut dropped)?;
            assert!(dropped.is_empty(), "a record that is replaced in a new page leaves no page behind");
        }
        assert_eq!(self.tree_pages, taken, "the bitmaps that were just sealed still hold");
        Ok(())
    }
}

/// The group tree's pages: taken from the very space that the tree describes.
struct GroupTreeWriter<'a> {
    inner: &'a mut Inner,
}

impl Pages for GroupTreeWriter<'_> {
    fn read(&self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<&Page> {
        self.inner.set.read(pointer, level, leaf)
    }
}

impl PagesMut for GroupTreeWriter<'_> {
    fn writable(&self, pointer: PagePointer) -> bool {
        self.inner.set.is_working(pointer.page)
    }

    fn add(&mut self, kind: PageKind, level: u8) -> Result<PagePointer> {
        let at = self.inner.take_page()?;
        Ok(self.inner.set.add(at, kind, level, Epoch(0)))
    }

    fn copy(&mut self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<PagePointer> {
        let at = self.inner.take_page()?;
        self.inner.set.copy(at, pointer, level, leaf, Epoch(0))
    }

    fn edit(&mut self, pointer: PagePointer) -> &mut Page {
        self.inner.set.edit(pointer)
    }
}
