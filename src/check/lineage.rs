//! Which version of a line of descent does a birth belong to?
//!
//! The owner of what a version holds with birth `b` is the one of its line in whose interval `b` lies. Whoever shares a block
//! or page must agree on its owner: two versions with the same owner for it both descend from the owner, and nothing that
//! was written after their lines parted can have an owner in common. So agreement on owners is exactly the sharing rule,
//! and takes no reference counts.

/// The owner of the catalog's and the group tree's pages.
pub const STORE: u64 = 0;

/// One version on the way from the oldest forefather to a version.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The version's number.
    pub version: u64,
    /// The last epoch of its interval.
    pub end: u64,
}

/// A version's line of descent.
#[derive(Clone, Copy, Debug)]
pub struct Lineage<'a> {
    /// From the oldest forefather to the version itself; never empty.
    pub steps: &'a [Step],
    /// Epochs of its drive's bookmarks, rising.
    pub bookmarks: &'a [u64],
}

impl Lineage<'_> {
    /// The last birth that the version may hold.
    pub fn end(&self) -> u64 {
        self.steps.last().map_or(0, |step| step.end)
    }

    /// In whose interval `birth` lies.
    pub fn owner(&self, birth: u64) -> u64 {
        let index = self.steps.partition_point(|step| step.end < birth);
        self.steps.get(index).or(self.steps.last()).map_or(STORE, |step| step.version)
    }

    /// A freeze or bookmark that lies between the birth of a page and the later birth of what it leads to.
    ///
    /// Births need not rise from page to page otherwise: when a snapshot is deleted, its successor's interval reaches further back, and
    /// what is written next may be born earlier than what is there already.
    pub fn freeze_between(&self, page_birth: u64, birth: u64) -> Option<u64> {
        if birth <= page_birth {
            return None;
        }
        let above = &self.steps[..self.steps.len().saturating_sub(1)];
        let freeze = above.get(above.partition_point(|step| step.end < page_birth)).map(|step| step.end);
        let bookmark = self.bookmarks.get(self.bookmarks.partition_point(|epoch| *epoch < page_birth)).copied();
        [freeze, bookmark].into_iter().flatten().find(|epoch| *epoch < birth)
    }
}
