//! Where do many blocks lie side by side?
//!
//! An image of few long runs is read and overwritten fastest, so a long write goes past the gaps that are shorter than it, while there
//! is plenty of room. Short writes fill the gaps.

use std::ops::RangeInclusive;

use crate::error::{ErrorKind, Result};
use crate::format::group::{GROUP_PLACES, Group, GroupKind, Place};
use crate::units::PhysicalBlock;

use super::group_state::PlaceRun;
use super::map::{Inner, Space};
use super::window::Window;

/// There is plenty of room while one of so many places for data is free at once: not in use, and not waiting for a commit. What a write
/// takes without need is then no more than what others can do without until the next commit brings as much back; and a store that is
/// fuller than this has few long runs left.
const PLENTY_SHARE: u64 = 8;

/// A group with fewer free places than this is not looked through for long runs.
const WORTHWHILE: u32 = GROUP_PLACES / 8;

/// Groups that are looked through for one run: each costs up to 0.1 ms, which what is found has to make up for.
const GROUPS_TRIED_MAX: usize = 16;

impl Space {
    /// Takes blocks for data that lie side by side, as many as `wanted` says, if there is plenty of room and such a run is found soon.
    /// Else `None`: then it is better to use what was there, or what [`Space::take_data`] finds.
    ///
    /// # Errors
    /// `Corrupt` or `Io` from the device.
    pub fn take_run(&self, wanted: RangeInclusive<u32>) -> Result<Option<(PhysicalBlock, u32)>> {
        let run = self.inner.lock().take_run(&wanted)?;
        Ok(run.map(|run| (run.group.block(run.start), run.count)))
    }
}

impl Inner {
    fn take_run(&mut self, wanted: &RangeInclusive<u32>) -> Result<Option<PlaceRun>> {
        if !self.has_plenty() {
            return Ok(None);
        }
        let found = match self.next_run(wanted) {
            Ok(None) => self.find_run(wanted),
            found => found,
        };
        match found {
            // The file system has less than the store.
            Err(error) if error.kind() == ErrorKind::NoSpace => Ok(None),
            found => found,
        }
    }

    fn has_plenty(&self) -> bool {
        let places = self.total_places().saturating_sub(self.tree_places);
        places.saturating_sub(self.data_blocks + self.data_held) >= places / PLENTY_SHARE
    }

    /// The blocks that would be taken next in any case, if they are enough.
    fn next_run(&mut self, wanted: &RangeInclusive<u32>) -> Result<Option<PlaceRun>> {
        let (window, start, count) = self.next_free(GroupKind::Data, *wanted.end())?;
        if count < *wanted.start() {
            return Ok(None);
        }
        let run = self.take_secured(window.group, start, count, wanted)?;
        self.data_window = Some(Window { group: window.group, next: Place(run.start.0 + run.count) });
        Ok(Some(run))
    }

    /// Looks behind the last long run, and then in other groups.
    fn find_run(&mut self, wanted: &RangeInclusive<u32>) -> Result<Option<PlaceRun>> {
        if self.no_runs {
            return Ok(None);
        }
        let mut tried = Vec::new();
        for attempt in 0..GROUPS_TRIED_MAX {
            if let Some(window) = self.run_window {
                if let Some(run) = self.run_behind(window, wanted)? {
                    return Ok(Some(run));
                }
                if window.next == Place(0) {
                    tried.push(window.group);
                }
            }
            let Some(group) = self.group_for_runs(&tried, attempt + 2 < GROUPS_TRIED_MAX)? else { break };
            self.run_window = Some(Window { group, next: Place(0) });
        }
        self.no_runs = true;
        Ok(None)
    }

    fn run_behind(&mut self, window: Window, wanted: &RangeInclusive<u32>) -> Result<Option<PlaceRun>> {
        self.load(window.group)?;
        self.load_bitmap(window.group)?;
        let state = self.groups.get(&window.group.0).expect("it was just loaded");
        let bitmap = state.bitmap.as_ref().expect("it was just loaded");
        let mut at = window.next;
        while let Some((start, count)) = bitmap.free_run(state.held.as_ref(), at, state.places, *wanted.end()) {
            at = Place(start.0 + count);
            if count >= *wanted.start() {
                let run = self.take_secured(window.group, start, count, wanted)?;
                self.run_window = Some(Window { group: window.group, next: Place(run.start.0 + run.count) });
                return Ok(Some(run));
            }
        }
        Ok(None)
    }

    fn take_secured(&mut self, group: Group, start: Place, count: u32, wanted: &RangeInclusive<u32>) -> Result<PlaceRun> {
        self.secure(group, start.0 + wanted.start())?;
        let state = self.groups.get_mut(&group.0).expect("a group that is taken from is loaded");
        let count = count.min(state.secured - start.0);
        state.hold(start, count);
        Ok(PlaceRun { group, start, count })
    }

    /// A group that may have long runs, or one that nobody uses.
    fn group_for_runs(&mut self, tried: &[Group], prefers_used: bool) -> Result<Option<Group>> {
        let start = self.run_window.map(|window| window.group.0 + 1).or(self.data_window.map(|window| window.group.0));
        let used = self.find_group(start.unwrap_or(0), |group, record, free| {
            record.kind == GroupKind::Data && free >= WORTHWHILE && !tried.contains(&group)
        })?;
        if used.is_some() && prefers_used {
            return Ok(used);
        }
        // Trees must find groups too that nobody uses yet.
        let groups = Group::count(self.store_blocks);
        if groups - self.fresh <= groups / PLENTY_SHARE { Ok(used) } else { self.claim(GroupKind::Data) }
    }
}
