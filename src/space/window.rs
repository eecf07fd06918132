//! From which group are the next blocks taken?
//!
//! New blocks lie side by side: each kind of block is taken from one group, upwards, until the group has no more. Space that
//! was used before is preferred to space that never was, since the file system makes the latter durable more slowly. Pages of trees
//! are replaced one here and one there, and each place apart makes a sync longer: they get up to twice the space they take.

use std::ops::{ControlFlow, Range};

use crate::device::look_at_pages;
use crate::error::{Error, ErrorKind, Result};
use crate::format::group::{CHECKSUM_PAGES, Group, GroupKind, GroupRecord, Place};
use crate::tree::entries;
use crate::units::PhysicalBlock;

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

/// Groups that are looked into, when the file system is full, for freed places that nobody has looked at since the store was opened.
const GROUPS_TRIED_MAX: usize = 64;

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
            GroupKind::Tree => self.tree_window = window,
        }
    }

    /// Makes sure that `wanted` tree pages can be taken without asking the file system for space, wherever they lie.
    pub fn ready_pages(&mut self, wanted: u32) -> Result<()> {
        if self.tree_ready >= wanted {
            return Ok(());
        }
        self.tree_ready = self.count_ready();
        let (mut tried, mut full) = (Vec::new(), None);
        while self.tree_ready < wanted {
            // The window's group comes first, so that new pages go on lying side by side.
            let start = self.tree_window.map_or(0, |window| window.group.0);
            let may_have_more =
                |group: Group, record: &GroupRecord, free| record.kind == GroupKind::Tree && free > 0 && !tried.contains(&group);
            let group = match self.find_group(start, may_have_more)? {
                Some(group) => group,
                None => match self.claim(GroupKind::Tree)? {
                    Some(group) => group,
                    None => return Err(full.unwrap_or_else(|| no_space(GroupKind::Tree))),
                },
            };
            tried.push(group);
            match self.secure_until_ready(group, wanted) {
                Err(error) if error.kind() == ErrorKind::NoSpace => full = Some(error),
                result => result?,
            }
        }
        Ok(())
    }

    /// Secures places of a group until enough are ready in all, or none of it is left.
    fn secure_until_ready(&mut self, group: Group, wanted: u32) -> Result<()> {
        self.load(group)?;
        self.load_bitmap(group)?;
        loop {
            self.tree_ready = self.count_ready();
            let state = self.groups.get(&group.0).expect("it was just loaded");
            if self.tree_ready >= wanted || state.secured >= state.places {
                return Ok(());
            }
            let end = state.secured + 1;
            self.secure(group, end)?;
        }
    }

    /// Tree pages that can be taken without asking the file system, as far as is known.
    fn count_ready(&self) -> u32 {
        let trees = self.groups.values().filter(|state| state.record.kind == GroupKind::Tree);
        trees.map(GroupState::free_and_secured).sum()
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
        let enough = match kind {
            GroupKind::Data => worthwhile(kind),
            GroupKind::Tree => worthwhile(kind).max(state.secured / 2),
        };
        if window.next.0 > 0 && state.free_and_secured() >= enough {
            self.set_window(kind, Some(Window { group: window.group, next: Place(0) }));
            return Ok(());
        }
        let full = match self.secure(window.group, place.0 + 1) {
            Err(error) if error.kind() == ErrorKind::NoSpace => error,
            result => return result,
        };
        let group = self.group_with_space(kind)?.ok_or(full)?;
        self.set_window(kind, Some(Window { group, next: Place(0) }));
        Ok(())
    }

    /// A group in which freed places have space under them: one that was looked at, else one of the next few.
    fn group_with_space(&mut self, kind: GroupKind) -> Result<Option<Group>> {
        let with_space =
            |(group, state): (&u64, &GroupState)| (state.record.kind == kind && state.free_and_secured() > 0).then_some(*group);
        if let Some(group) = self.groups.iter().filter_map(with_space).min() {
            return Ok(Some(Group(group)));
        }
        for _ in 0..GROUPS_TRIED_MAX {
            let is_unknown = |group: Group| self.groups.get(&group.0).is_none_or(|state| state.bitmap.is_none());
            let found = self.find_group(0, |group, record, free| record.kind == kind && free > 0 && is_unknown(group))?;
            let Some(group) = found else { return Ok(None) };
            self.load(group)?;
            self.load_bitmap(group)?;
            let state = self.groups.get(&group.0).expect("it was just loaded");
            let free = state.bitmap.as_ref().and_then(|bitmap| bitmap.free_run(state.held.as_ref(), Place(0), state.places, 1));
            let Some((place, _)) = free else { continue };
            // What was in use once has space under it, which costs nothing to secure again.
            match self.secure(group, place.0 + 1) {
                Err(error) if error.kind() == ErrorKind::NoSpace => {}
                result => return result.map(|()| Some(group)),
            }
        }
        Ok(None)
    }

    /// Makes sure that the pages of one change of the group tree can be taken without a look into the group tree.
    pub fn prepare_tree_window(&mut self) -> Result<()> {
        let ready = |state: &GroupState, from: Place| {
            let free = |bitmap: &Bitmap| bitmap.count_free(state.held.as_ref(), from, state.secured);
            state.record.kind == GroupKind::Tree && state.bitmap.as_ref().map_or(0, free) >= TREE_WINDOW_MIN
        };
        if let Some(window) = self.tree_window
            && self.groups.get(&window.group.0).is_some_and(|state| ready(state, window.next))
        {
            return Ok(());
        }
        let group = self.groups.iter().filter(|(_, state)| ready(state, Place(0))).map(|(group, _)| *group).min();
        if let Some(group) = group {
            self.set_window(GroupKind::Tree, Some(Window { group: Group(group), next: Place(0) }));
            return Ok(());
        }
        match self.open_window(GroupKind::Tree, self.tree_window.map(|window| window.group)) {
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
            None => match self.claim(kind) {
                Ok(Some(group)) => group,
                Ok(None) => self.search(kind, 1, start)?.ok_or_else(|| no_space(kind))?,
                Err(full) if full.kind() == ErrorKind::NoSpace => self.search(kind, 1, start)?.ok_or(full)?,
                Err(error) => return Err(error),
            },
        };
        let lost = || Error::corrupt(format!("group {}: the group tree holds it where it is not looked for", group.0));
        self.load(group)?.ok_or_else(lost)?;
        self.set_window(kind, Some(Window { group, next: Place(0) }));
        Ok(())
    }

    /// Takes a group that nobody uses: one that never was used, or one of the other kind in which nothing is left.
    pub fn claim(&mut self, kind: GroupKind) -> Result<Option<Group>> {
        match self.claim_fresh(kind) {
            Ok(None) => self.claim_empty(kind),
            Err(full) if full.kind() == ErrorKind::NoSpace => self.claim_empty(kind)?.ok_or(full).map(Some),
            result => result,
        }
    }

    /// The first group from `start` on, then from 0 on, whose record and number of free places fit.
    pub fn find_group(&self, start: u64, fits: impl Fn(Group, &GroupRecord, u32) -> bool) -> Result<Option<Group>> {
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
            let written = look_at_pages(&*self.device, || written(range.clone()))?;
            let found = [loaded(range), written].into_iter().flatten().min();
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
    fn claim_fresh(&mut self, kind: GroupKind) -> Result<Option<Group>> {
        let group = Group(self.fresh);
        let Some(last) = Group::count(self.store_blocks).checked_sub(1).filter(|last| group.0 <= *last) else { return Ok(None) };
        let tree_free = self.tree_places.saturating_sub(self.tree_pages + self.tree_held);
        if kind == GroupKind::Data && group.0 == last && tree_free < TREE_RESERVE_PAGES {
            return Ok(None);
        }
        let places = group.places(self.store_blocks);
        // The first commit turns the slot, so the bitmap begins in slot 0.
        let record = GroupRecord { kind, bitmap_slot: 1, used: 0, checksum_slots: 0, checksum_present: 0, bitmap_crc: 0 };
        let mut state = GroupState::new(record, None, places);
        state.bitmap = Some(Bitmap::new());
        state.bitmap_written = Some(Bitmap::new());
        self.groups.insert(group.0, state);
        // The next commit writes its header, so a group without space for that is none.
        if let Err(error) = self.secure(group, 1) {
            self.groups.remove(&group.0);
            return Err(error);
        }
        self.fresh += 1;
        self.must_write = true;
        if kind == GroupKind::Tree {
            self.tree_places += u64::from(places);
        }
        Ok(Some(group))
    }

    /// Takes a group of the other kind in which nothing is left.
    fn claim_empty(&mut self, kind: GroupKind) -> Result<Option<Group>> {
        let other = match kind {
            GroupKind::Data => GroupKind::Tree,
            GroupKind::Tree => GroupKind::Data,
        };
        let windows = [self.data_window, self.run_window, self.tree_window];
        let found = self.find_group(0, |group, record, free| {
            let in_use = windows.iter().flatten().any(|window| window.group == group);
            record.kind == other && free == group.places(self.store_blocks) && !in_use
        })?;
        let Some(group) = found else { return Ok(None) };
        self.load(group)?;
        self.load_bitmap(group)?;
        let places = u64::from(group.places(self.store_blocks));
        match kind {
            GroupKind::Tree => self.tree_places += places,
            GroupKind::Data => {
                let tree_free = self.tree_places.saturating_sub(self.tree_pages + self.tree_held);
                if tree_free < places + TREE_RESERVE_PAGES {
                    return Ok(None);
                }
                self.tree_places -= places;
                self.tree_ready = 0;
            }
        }
        if let Some(state) = self.load(group)? {
            state.record = GroupRecord { kind, checksum_slots: 0, checksum_present: 0, ..state.record };
        }
        self.must_write = true;
        self.checksums.retain(|key, _| key / u64::from(CHECKSUM_PAGES) != group.0);
        self.unwritten.listed.retain(|block, _| Group::of(PhysicalBlock(*block)) != group);
        Ok(Some(group))
    }
}

/// Nothing of that kind can be had.
pub(super) fn no_space(kind: GroupKind) -> Error {
    Error::no_space(match kind {
        GroupKind::Data => "no space left in the store; delete or discard something, or grow the store",
        GroupKind::Tree => "no space left in the store for metadata; delete something or grow the store",
    })
}
