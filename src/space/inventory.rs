//! Which blocks of data are in use, in the order in which they lie?

use std::ops::ControlFlow;

use crate::error::Result;
use crate::format::group::{Group, GroupKind, GroupRecord, Place, place_of};
use crate::tree::entries;
use crate::units::PhysicalBlock;

use super::group_state::turn;
use super::map::{Inner, Space, decode};

impl Space {
    /// The first run of at most `most` data blocks in use at or behind `from`.
    ///
    /// # Errors
    /// `Corrupt` if a bitmap cannot be read.
    pub fn next_data(&self, from: PhysicalBlock, most: u32) -> Result<Option<(PhysicalBlock, u32)>> {
        let inner = self.inner.lock();
        let (mut group, mut place) = (Group::of(from), place_of(from).unwrap_or(Place(0)));
        while group.0 < inner.fresh {
            if let Some((start, count)) = inner.taken_run(group, place, most)? {
                return Ok(Some((group.block(start), count)));
            }
            (group, place) = (Group(group.0 + 1), Place(0));
        }
        Ok(None)
    }

    /// How many data blocks are in use in the group of `from` and behind it.
    ///
    /// # Errors
    /// `Corrupt` if the group tree cannot be read.
    pub fn data_blocks_from(&self, from: PhysicalBlock) -> Result<u64> {
        let inner = self.inner.lock();
        let first = Group::of(from).0;
        let used = |record: &GroupRecord| if record.kind == GroupKind::Data { u64::from(record.used) } else { 0 };
        let loaded = inner.groups.iter().filter(|(group, _)| **group >= first);
        let mut blocks: u64 = loaded.map(|(_, state)| used(&state.record)).sum();
        entries::visit(&inner.set, &inner.root, first, &mut |group, value| {
            if group >= first && !inner.groups.contains_key(&group) {
                blocks += used(&decode(Group(group), value)?);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(blocks)
    }
}

impl Inner {
    /// Does not keep what it reads: a walk over all groups must not fill the memory.
    fn taken_run(&self, group: Group, from: Place, most: u32) -> Result<Option<(Place, u32)>> {
        let state = self.groups.get(&group.0);
        let record = match state {
            Some(state) => state.record,
            None => match entries::get(&self.set, &self.root, group.0)? {
                Some(value) => decode(group, &value)?,
                None => return Ok(None),
            },
        };
        if record.kind != GroupKind::Data {
            return Ok(None);
        }
        if let Some(bitmap) = state.and_then(|state| state.bitmap.as_ref()) {
            return Ok(bitmap.taken_run(from, most));
        }
        let mut bitmap = self.read_bitmap(group, &record)?;
        if let Some(state) = state {
            turn(&mut bitmap, &state.listed)?;
        }
        Ok(bitmap.taken_run(from, most))
    }
}
