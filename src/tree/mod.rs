//! How does a copy-on-write B+tree find, add and remove what stands under a key?
//!
//! A tree is a [`Root`](crate::format::page::Root) and pages of 4 KiB. Every change returns a new root and lists the pages
//! that the new tree no longer holds; who else holds them, and whether they may be reused, is decided above.
//!
//! Invariants:
//! 1. Keys rise strictly within a page and from page to page.
//! 2. A branch's key for a child is at most the child's smallest key, and greater than every key of the child before.
//!    So a search for a page's own first key passes through the page, in every tree that holds it.
//! 3. No page but a root is empty, and an empty tree has no root.
//! 4. A page that is not `writable` is never changed: it is copied first.

pub mod consume;
mod edit;
pub mod entries;
pub(crate) mod layout;
#[cfg(test)]
pub(crate) mod memory;
pub mod records;
mod search;
#[cfg(test)]
mod tests;
pub mod working_set;

use crate::error::Result;
use crate::format::page::{Page, PageKind, PagePointer};

/// Where pages are read from.
pub trait Pages {
    /// The page behind `pointer`, which is of level `level` of a tree whose leaves are of kind `leaf`.
    ///
    /// Fails with `Corrupt` if the bytes are not the page that the pointer names.
    fn read(&self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<&Page>;
}

/// Where pages are changed: in memory, until the next commit writes them.
pub trait PagesMut: Pages {
    /// May the page be changed where it is? Only if this commit made it and nothing froze it since.
    fn writable(&self, pointer: PagePointer) -> bool;
    /// Makes a page without entries.
    fn add(&mut self, kind: PageKind, level: u8) -> Result<PagePointer>;
    /// Makes a page with the contents of another one (verified as `read` does).
    fn copy(&mut self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<PagePointer>;
    /// A writable page's bytes. Its header is kept right by whoever made it; count and payload are the caller's.
    fn edit(&mut self, pointer: PagePointer) -> &mut Page;
}

/// A page that a tree no longer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The page.
    pub pointer: PagePointer,
    /// Its level.
    pub level: u8,
    /// Its first key, by which other trees are searched for it.
    pub first_key: u64,
}
