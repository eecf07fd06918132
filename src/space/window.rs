//! From which group are the next blocks taken?
//!
//! New blocks lie side by side: each kind of block is taken from one group, upwards, until the group has no more. Space that
//! was used before is preferred to space that never was, since the file system makes the latter durable more slowly.

use std::ops::{ControlFlow, Range};

use crate::error::{Error, ErrorKind, Result};
use crate::format::group::{CHECKSUM_PAGES, Group, GroupKind, GroupRecord, Place};
use crate::tree::entries;

use super::bitmap::Bitmap;
use super::group_state::GroupState;
use super::map::{Inner, TREE_RESERVE_PAGES, decode};

/// Where the next block is looked for.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// The group.
    pub group: Group,
    /// The first place that was not looked at.
    pub next: Place,
}

/// A group with fewer free places than this is taken only when there is no better one.
const fn worthwhile(kind: GroupKind) -> u32 {
    match kind {
        GroupKind::Data => 512,
        GroupKind::Tree => 64,
    }
}

/// Groups that are looked at for free tree pages that lie together.
const WINDOWS_TRIED_MAX: usize = 4;

/// Free places that the tree window keeps while the group tree itself is being changed.
const TREE_WINDOW_MIN: u32 = 16;

impl Inner {
    pub fn window(&self, kind: GroupKind) -> Option<Window> {
        match kind {
            GroupKind::Data => self.data_window,
            GroupKind::Tree => self.tree_window,
        }
    }

    pub fn set_window(&mut self, kind: GroupKind, window: Option<Window>) {
        match kind {
            GroupKind::Data => self.data_window = window,
            GroupKind::Tree => {
                if window.map(|window| window.group) != self.tree_window.map(|window| window.group) {
                    self.tree_ready = 0;
                }
                self.tree_window = window;
            }
        }
    }

    /// Makes sure that the next `wanted` tree pages can be taken without asking the file system for space.
    pub fn ready_pages(&mut self, wanted: u32) -> Result<()> {
        for _ in 0..WINDOWS_TRIED_MAX {
            if self.tree_ready >= wanted {
                return Ok(());
            }
            let Some(window) = self.tree_window else {
                self.open_window(GroupKind::Tree, None)?;
                continue;
            };
            self.load_bitmap(window.group)?;
            loop {
                let state = self.groups.get(&window.group.0).expect("a window's group is loaded");
                let bitmap = state.bitmap.as_ref().expect("it was just loaded");
                self.tree_ready = bitmap.count_free(state.held.as_ref(), window.next, state.secured);
                if self.tree_ready >= wanted || state.secured == state.places {
                    break;
                }
                let end = state.secured.max(window.next.0) + 1;
                self.secure(window.group, end)?;
            }
            if self.tree_ready < wanted {
                // Too little is left behind the window; what is left out here is found again when nothing better is.
                self.window_exhausted(GroupKind::Tree, window)?;
            }
        }
        // There are places enough, only scattered over many groups: a store as full as that has them secured already.
        Ok(())
    }

    /// The window reached the end of its group: start over there if that is worth it, else look elsewhere.
    pub fn window_exhausted(&mut self, kind: GroupKind, window: Window) -> Result<()> {
        let free = self.groups.get(&window.group.0).map_or(0, GroupState::free);
        if window.next.0 > 0 && free >= worthwhile(kind) {
            self.set_window(kind, Some(Window { group: window.group, next: Place(0) }));
            return Ok(());
        }
        self.open_window(kind, Some(window.group))
    }

    /// The next free place of the window's group has no space under it yet: goes back to places that were freed, if that is
    /// worth it or if the file system has no more; else secures more.
    pub fn secure_or_reuse(&mut self, kind: GroupKind, window: Window, place: Place) -> Result<()> {
        let state = self.groups.get(&window.group.0).expect("a window's group is loaded");
        if window.next.0 > 0 && state.free_and_secured() >= worthwhile(kind) {
            self.set_window(kind, Some(Window { group: window.group, next: Place(0) }));
            return Ok(());
        }
        let full = match self.secure(window.group, place.0 + 1) {
            Err(error) if error.kind() == ErrorKind::NoSpace => error,
            result => return result,
        };
        let with_space =
            |(group, state): (&u64, &GroupState)| (state.record.kind == kind && state.free_and_secured() > 0).then_some(*group);
        let group = self.groups.iter().filter_map(with_space).min().ok_or(full)?;
        self.set_window(kind, Some(Window { group: Group(group), next: Place(0) }));
        Ok(())
    }

    /// Makes sure that the pages of one change of the group tree can be taken without a look into the group tree.
    pub fn prepare_tree_window(&mut self) -> Result<()> {
        let after = match self.tree_window {
            Some(window) if self.groups.get(&window.group.0).is_some_and(|state| state.free() >= TREE_WINDOW_MIN) => {
                return Ok(());
            }
            Some(window) => Some(window.group),
            None => None,
        };
        match self.open_window(GroupKind::Tree, after) {
            // The last few places have to do.
            Err(_) if self.tree_window.is_some() => Ok(()),
            result => result,
        }
    }

    /// Finds a group to take blocks from, looking behind group `after` first.
    pub fn open_window(&mut self, kind: GroupKind, after: Option<Group>) -> Result<()> {
        let start = after.map_or(0, |group| group.0 + 1);
        let group = match self.search(kind, worthwhile(kind), start)? {
            Some(group) => group,
            None => match self.claim_fresh(kind) {
                Some(group) => group,
                None => match self.claim_empty(kind)? {
                    Some(group) => group,
                    None => self.search(kind, 1, start)?.ok_or_else(|| match kind {
                        GroupKind::Data => {
                            Error::no_space("no space left in the store; delete or discard something, or grow the store")
                        }
                        GroupKind::Tree => {
                            Error::no_space("no space left in the store for metadata; delete something or grow the store")
                        }
                    })?,
                },
            },
        };
        self.load(group)?;
        self.set_window(kind, Some(Window { group, next: Place(0) }));
        Ok(())
    }

    /// The first group from `start` on, then from 0 on, whose record and number of free places fit.
    fn find_group(&self, start: u64, fits: impl Fn(Group, &GroupRecord, u32) -> bool) -> Result<Option<Group>> {
        let loaded = |range: Range<u64>| {
            let fitting = self
                .groups
                .iter()
                .filter(|(group, state)| range.contains(group) && fits(Group(**group), &state.record, state.free()));
            fitting.map(|(group, _)| *group).min()
        };
        let written = |range: Range<u64>| -> Result<Option<u64>> {
            let mut found = None;
            entries::visit(&self.set, &self.root, range.start, &mut |group, value| {
                if group >= range.end {
                    return Ok(ControlFlow::Break(()));
                }
                // What is loaded is newer than what is written.
                if group < range.start || self.groups.contains_key(&group) {
                    return Ok(ControlFlow::Continue(()));
                }
                let record = decode(Group(group), value)?;
                let free = Group(group).places(self.store_blocks).saturating_sub(u32::from(record.used));
                if fits(Group(group), &record, free) {
                    found = Some(group);
                    return Ok(ControlFlow::Break(()));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(found)
        };
        for range in [start..u64::MAX, 0..start] {
            let found = [loaded(range.clone()), written(range)?].into_iter().flatten().min();
            if found.is_some() {
                return Ok(found.map(Group));
            }
        }
        Ok(None)
    }

    fn search(&self, kind: GroupKind, wanted: u32, start: u64) -> Result<Option<Group>> {
        self.find_group(start, |_, record, free| record.kind == kind && free >= wanted)
    }

    /// Takes the first group that was never used.
    fn claim_fresh(&mut self, kind: GroupKind) -> Option<Group> {
        let group = Group(self.fresh);
        let last = Group::count(self.store_blocks).checked_sub(1)?;
        if group.0 > last {
            return None;
        }
        let tree_free = self.tree_places.saturating_sub(self.tree_pages + self.tree_held);
        if kind == GroupKind::Data && group.0 == last && tree_free < TREE_RESERVE_PAGES {
            return None;
        }
        let places = group.places(self.store_blocks);
        // The first commit turns the slot, so the bitmap begins in slot 0.
        let record = GroupRecord { kind, bitmap_slot: 1, used: 0, checksum_slots: 0, checksum_present: 0, bitmap_crc: 0 };
        let mut state = GroupState::new(record, None, places);
        state.bitmap = Some(Bitmap::new());
        state.bitmap_changed = true;
        self.groups.insert(group.0, state);
        self.fresh += 1;
        if kind == GroupKind::Tree {
            self.tree_places += u64::from(places);
        }
        Some(group)
    }

    /// Takes a group of the other kind in which nothing is left.
    fn claim_empty(&mut self, kind: GroupKind) -> Result<Option<Group>> {
        let other = match kind {
            GroupKind::Data => GroupKind::Tree,
            GroupKind::Tree => GroupKind::Data,
        };
        let windows = [self.data_window, self.tree_window];
        let found = self.find_group(0, |group, record, free| {
            let in_use = windows.iter().flatten().any(|window| window.group == group);
            record.kind == other && free == group.places(self.store_blocks) && !in_use
        })?;
        let Some(group) = found else { return Ok(None) };
        let places = u64::from(group.places(self.store_blocks));
        match kind {
            GroupKind::Tree => self.tree_places += places,
            GroupKind::Data => {
                let tree_free = self.tree_places.saturating_sub(self.tree_pages + self.tree_held);
                if tree_free < places + TREE_RESERVE_PAGES {
                    return Ok(None);
                }
                self.tree_places -= places;
            }
        }
        if let Some(state) = self.load(group)? {
            state.record = GroupRecord { kind, checksum_slots: 0, checksum_present: 0, ..state.record };
        }
        self.checksums.retain(|key, _| key / u64::from(CHECKSUM_PAGES) != group.0);
        Ok(Some(group))
    }
}
