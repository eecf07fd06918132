//! What is known of one group while the store is open?

use crate::error::{Error, Result};
use crate::format::group::{Group, GroupRecord, Place, place_of};
use crate::format::space_changes::TurnedRun;
use crate::units::Generation;

use super::bitmap::Bitmap;

/// A group that was looked at.
pub struct GroupState {
    /// What it is and which slots are current: what the next commit will write.
    pub record: GroupRecord,
    /// What the group tree says of it.
    pub written: Option<GroupRecord>,
    /// How many places it has.
    pub places: u32,
    /// Its bitmap, once somebody asked for it.
    pub bitmap: Option<Bitmap>,
    /// The one in the current slot, if they may differ.
    pub bitmap_written: Option<Bitmap>,
    /// How they differ by the last superblock, as long as the bitmap was not loaded.
    pub listed: Vec<TurnedRun>,
    /// The generation for which the bitmap's slot was already turned.
    pub bitmap_turned: Generation,
    /// Places that are free but may not be handed out yet.
    pub held: Option<Bitmap>,
    /// How many places are held.
    pub held_count: u32,
    /// Places below this one have space under them.
    pub secured: u32,
    /// Places from this one on are free, and it is not known that they ever were written.
    pub untouched: u32,
    /// Bit `i`: checksum page `i` was asked for.
    pub checksums_asked: u32,
}

impl GroupState {
    /// A group as the group tree, or a claim, says that it is.
    pub fn new(record: GroupRecord, written: Option<GroupRecord>, places: u32) -> Self {
        Self {
            record,
            written,
            places,
            bitmap: None,
            bitmap_written: None,
            listed: Vec::new(),
            bitmap_turned: Generation(0),
            held: None,
            held_count: 0,
            secured: 0,
            untouched: 0,
            checksums_asked: 0,
        }
    }

    /// Places that may be handed out.
    pub fn free(&self) -> u32 {
        self.places.saturating_sub(u32::from(self.record.used) + self.held_count)
    }

    /// Places that may be handed out without asking the file system for space. Counts only what is known to be so.
    pub fn free_and_secured(&self) -> u32 {
        self.bitmap.as_ref().map_or(0, |bitmap| bitmap.count_free(self.held.as_ref(), Place(0), self.secured))
    }

    /// Does nothing need to be remembered beyond what the group tree and the slots say?
    pub fn is_clean(&self) -> bool {
        !self.is_turned() && self.held_count == 0 && self.written == Some(self.record)
    }

    /// May its bitmap differ from the one in the current slot?
    pub fn is_turned(&self) -> bool {
        self.bitmap_written.is_some() || !self.listed.is_empty()
    }

    /// How its bitmap differs from the one in the current slot.
    pub fn turned(&self, group: Group, out: &mut Vec<TurnedRun>) {
        match (&self.bitmap, &self.bitmap_written) {
            (Some(bitmap), Some(written)) => bitmap.differences(written, |start, count, in_use| {
                out.push(TurnedRun { start: group.block(start), blocks: count as u16, in_use });
            }),
            _ => out.extend(&self.listed),
        }
    }

    /// The last superblock says that the bitmap differs from the one in the slot.
    ///
    /// # Errors
    /// `Corrupt` if there are not so many places.
    pub fn list(&mut self, run: TurnedRun) -> Result<()> {
        let used = if run.in_use { self.record.used.checked_add(run.blocks) } else { self.record.used.checked_sub(run.blocks) };
        self.record.used = used.ok_or_else(|| impossible(run))?;
        self.listed.push(run);
        Ok(())
    }

    /// The bitmap, to be changed. It is loaded.
    pub fn bitmap_for_change(&mut self) -> &mut Bitmap {
        let bitmap = self.bitmap.as_mut().expect("whoever changes a bitmap has loaded it");
        self.bitmap_written.get_or_insert_with(|| bitmap.clone());
        bitmap
    }

    /// Marks `count` free places from `start` on as used. The bitmap is loaded.
    pub fn set_used(&mut self, start: Place, count: u32) {
        let changed = self.bitmap_for_change().set(start, count);
        assert_eq!(changed, count, "only free places are taken");
        self.record.used += count as u16;
    }

    /// Holds back `count` places from `start` on.
    pub fn hold(&mut self, start: Place, count: u32) {
        self.held_count += self.held.get_or_insert_with(Bitmap::new).set(start, count);
    }

    /// Hands `count` places from `start` on back to whoever asks next.
    pub fn let_go(&mut self, start: Place, count: u32) {
        if let Some(held) = &mut self.held {
            // It is kept when nothing is held any more: each write would make it anew.
            self.held_count -= held.clear(start, count);
        }
    }
}

/// A bitmap as the last superblock says that it is.
///
/// # Errors
/// `Corrupt` if it is so already.
pub fn turn(bitmap: &mut Bitmap, runs: &[TurnedRun]) -> Result<()> {
    for run in runs {
        let (start, count) = (place_of(run.start).ok_or_else(|| impossible(*run))?, u32::from(run.blocks));
        let turned = if run.in_use { bitmap.set(start, count) } else { bitmap.clear(start, count) };
        if turned != count {
            return Err(impossible(*run));
        }
    }
    Ok(())
}

fn impossible(run: TurnedRun) -> Error {
    let state = if run.in_use { "in use" } else { "free" };
    Error::corrupt(format!(
        "the superblock says that {} blocks from {} on are {state} now, but they were before",
        run.blocks, run.start
    ))
}

/// A run of blocks within one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceRun {
    /// The group.
    pub group: Group,
    /// The first place.
    pub start: Place,
    /// How many places.
    pub count: u32,
}
