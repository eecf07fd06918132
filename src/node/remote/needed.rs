//! Which pages and chunks is an image made of?
//!
//! Pages are got many at a time, and none twice by one walker, so that what images share costs once.

use super::repository::Repository;
use super::repository::chunk::ChunkId;
use super::repository::map::{Pages, Root};
use super::repository::page::{Page, Window, span};
use crate::node::failure::{Failure, FailureKind};
use blake3::Hash;
use std::collections::{BTreeMap, HashSet};

/// Pages that are got together.
const TOGETHER: usize = 64;

/// Who walks, and what he does with what he finds.
pub trait Visitor {
    /// A page that a map leads to. Does what lies below it matter?
    fn page(&mut self, id: &ChunkId) -> bool;

    /// A page of windows, the first of which has that number.
    ///
    /// # Errors
    /// Whatever ends the walk.
    fn leaf(&mut self, id: &ChunkId, start: u64, windows: &BTreeMap<u8, Window>) -> Result<(), Failure>;

    /// A page that is not to be had, or not the one that it should be.
    ///
    /// # Errors
    /// Whatever ends the walk.
    fn lost(&mut self, id: &ChunkId, why: Failure) -> Result<(), Failure>;
}

/// A page to look at: its name, the digest of what it is about, and its first window.
type Asked = (ChunkId, Hash, u64);

/// Walks over a map.
///
/// # Errors
/// `Io`, `Denied`, and those of the visitor.
pub fn walk(repository: &Repository, root: Option<&Root>, visitor: &mut impl Visitor) -> Result<(), Failure> {
    let Some(root) = root else { return Ok(()) };
    if !visitor.page(&root.page) {
        return Ok(());
    }
    descend(repository, &[(root.page, root.digest, 0)], root.level, visitor)
}

fn descend(repository: &Repository, asked: &[Asked], level: u8, visitor: &mut impl Visitor) -> Result<(), Failure> {
    for together in asked.chunks(TOGETHER) {
        let mut below = Vec::new();
        for ((id, digest, start), page) in together.iter().zip(pages(repository, together, level)?) {
            let page = page.and_then(|page| {
                let wrong = || Failure::new(FailureKind::Corrupt, format!("page {id} is not about what leads to it"));
                (page.digest().as_ref() == Some(digest)).then_some(page).ok_or_else(wrong)
            });
            match page {
                Ok(Page::Leaf(windows)) => visitor.leaf(id, *start, &windows)?,
                Ok(Page::Inner(_, children)) => {
                    let step = span(level - 1);
                    let children =
                        children.iter().map(|(slot, child)| (child.page, child.digest, start + u64::from(*slot) * step));
                    below.extend(children.filter(|(id, ..)| visitor.page(id)));
                }
                Err(failure) => visitor.lost(id, failure)?,
            }
        }
        if !below.is_empty() {
            descend(repository, &below, level - 1, visitor)?;
        }
    }
    Ok(())
}

/// Pages, or what is wrong with each.
fn pages(repository: &Repository, asked: &[Asked], level: u8) -> Result<Vec<Result<Page, Failure>>, Failure> {
    let ids: Vec<ChunkId> = asked.iter().map(|(id, ..)| *id).collect();
    let read = |id: &ChunkId, bytes: &[u8]| {
        let none = || Failure::new(FailureKind::Corrupt, format!("chunk {id} is no page of a map of level {level}"));
        Page::read(bytes, level).ok_or_else(none)
    };
    match repository.chunks(&ids) {
        Ok(chunks) => Ok(ids.iter().map(|id| read(id, &chunks[id])).collect()),
        // One of them is not to be had: which one?
        Err(failure) if is_lost(&failure) => {
            let alone = |id: &ChunkId| match repository.page(id, level) {
                Err(failure) if !is_lost(&failure) => Err(failure),
                other => Ok(other.map(|page| page.as_ref().clone())),
            };
            ids.iter().map(alone).collect()
        }
        Err(failure) => Err(failure),
    }
}

/// Whether trying again later does not help.
#[must_use]
pub fn is_lost(failure: &Failure) -> bool {
    matches!(failure.kind(), FailureKind::Corrupt | FailureKind::NotFound)
}

/// Pages and chunks that images need; what some share is looked at once.
#[derive(Default)]
pub struct Needed {
    /// Pages of maps. Apart from chunks of data: an image may hold the bytes of a page.
    pages: HashSet<ChunkId>,
    /// All of them.
    pub chunks: HashSet<ChunkId>,
}

impl Needed {
    /// Adds those of an image.
    ///
    /// # Errors
    /// `Corrupt` and `NotFound` if a page is not to be had; `Io`, `Denied`.
    pub fn add(&mut self, repository: &Repository, root: Option<&Root>) -> Result<(), Failure> {
        walk(repository, root, self)
    }
}

impl Visitor for Needed {
    fn page(&mut self, id: &ChunkId) -> bool {
        self.chunks.insert(*id);
        self.pages.insert(*id)
    }

    fn leaf(&mut self, _: &ChunkId, _: u64, windows: &BTreeMap<u8, Window>) -> Result<(), Failure> {
        self.chunks.extend(windows.values().flat_map(|window| &window.pieces).map(|piece| piece.chunk));
        Ok(())
    }

    fn lost(&mut self, _: &ChunkId, why: Failure) -> Result<(), Failure> {
        Err(why)
    }
}
