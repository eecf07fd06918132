//! What is known of one group while the store is open?

use crate::format::group::{Group, GroupRecord, Place};
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
    /// The bitmap differs from the one in the current slot.
    pub bitmap_changed: bool,
    /// The generation for which the bitmap's slot was already turned.
    pub bitmap_turned: Generation,
    /// Places that are free but may not be handed out yet.
    pub held: Option<Bitmap>,
    /// How many places are held.
    pub held_count: u32,
    /// Places below this one have space under them.
    pub secured: u32,
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
            bitmap_changed: false,
            bitmap_turned: Generation(0),
            held: None,
            held_count: 0,
            secured: 0,
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
        !self.bitmap_changed && self.held_count == 0 && self.written == Some(self.record)
    }

    /// Marks `count` free places from `start` on as used. The bitmap is loaded.
    pub fn set_used(&mut self, start: Place, count: u32) {
        let changed = self.bitmap.as_mut().map_or(0, |bitmap| bitmap.set(start, count));
        assert_eq!(changed, count, "only free places are taken");
        self.record.used += count as u16;
        self.bitmap_changed = true;
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
