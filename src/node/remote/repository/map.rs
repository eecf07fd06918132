//! How is an image's map read, changed, and compared with another one?
//!
//! Pages come from whoever keeps chunks ([`Pages`]) and go to him; only those on the way to what is asked for are looked at.

use super::chunk::ChunkId;
use super::page::{Child, Page, Piece, WINDOW_BLOCKS, Window, level_for, span};
use crate::fingerprint::{self, FANOUT, LEVELS, WINDOW_BYTES, digest_of};
use crate::node::failure::{Failure, FailureKind};
use blake3::Hash;
use serde::{Deserialize, Serialize};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

/// Whoever keeps pages.
pub trait Pages {
    /// A page.
    ///
    /// # Errors
    /// `Corrupt`, `Io`
    fn page(&self, id: &ChunkId, level: u8) -> Result<Arc<Page>, Failure>;
}

/// A map: its topmost page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Root {
    /// The page.
    pub page: ChunkId,
    /// Its level.
    pub level: u8,
    /// The digest of what it is about.
    pub digest: Hash,
}

#[derive(Serialize, Deserialize)]
struct Written {
    page: String,
    level: u8,
    digest: String,
}

impl From<Root> for Written {
    fn from(root: Root) -> Self {
        Self { page: root.page.to_string(), level: root.level, digest: root.digest.to_string() }
    }
}

impl TryFrom<Written> for Root {
    type Error = Failure;

    fn try_from(written: Written) -> Result<Self, Failure> {
        let digest = Hash::from_hex(&written.digest)
            .map_err(|error| Failure::new(FailureKind::Corrupt, format!("{:?} is no digest: {error}", written.digest)))?;
        if !(1..=LEVELS as u8).contains(&written.level) {
            return Err(Failure::new(FailureKind::Corrupt, format!("no map has {} levels", written.level)));
        }
        Ok(Self { page: written.page.parse()?, level: written.level, digest })
    }
}

impl Root {
    fn as_child(self) -> Child {
        Child { page: self.page, digest: self.digest }
    }

    fn of(child: Child, level: u8) -> Self {
        Self { page: child.page, level, digest: child.digest }
    }
}

/// The fingerprint of an image of that size and map.
#[must_use]
pub fn fingerprint(size_bytes: u64, root: Option<&Root>) -> Hash {
    let top = root.and_then(|root| (u32::from(root.level)..LEVELS).try_fold(root.digest, |digest, _| digest_of([(0, digest)])));
    fingerprint::fingerprint(size_bytes, top)
}

/// Looks at windows, one after the other.
pub type Visit<'a> = &'a mut dyn FnMut(u64, &Window) -> Result<ControlFlow<()>, Failure>;

/// Looks at windows of two maps.
pub type Compare<'a> = &'a mut dyn FnMut(u64, Option<&Window>, Option<&Window>) -> Result<(), Failure>;

/// Walks over the windows in a range that are not nothing but zeroes.
///
/// # Errors
/// Those of `pages` and of `visit`.
pub fn walk(pages: &impl Pages, root: Option<&Root>, range: Range<u64>, visit: Visit<'_>) -> Result<(), Failure> {
    match root {
        Some(root) => walk_page(pages, &root.page, root.level, 0, &range, visit).map(drop),
        None => Ok(()),
    }
}

fn walk_page(
    pages: &impl Pages,
    id: &ChunkId,
    level: u8,
    start: u64,
    range: &Range<u64>,
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, Failure> {
    let page = pages.page(id, level)?;
    let step = span(level - 1);
    let is_asked_for = |slot: u8| {
        let at = start + u64::from(slot) * step;
        (at < range.end && at + step > range.start).then_some(at)
    };
    match &*page {
        Page::Leaf(windows) => {
            for (slot, window) in windows {
                if let Some(at) = is_asked_for(*slot)
                    && visit(at, window)?.is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Page::Inner(_, children) => {
            for (slot, child) in children {
                if let Some(at) = is_asked_for(*slot)
                    && walk_page(pages, &child.page, level - 1, at, range, visit)?.is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// One window of a map.
///
/// # Errors
/// Those of `pages`.
pub fn window(pages: &impl Pages, root: Option<&Root>, window: u64) -> Result<Option<Window>, Failure> {
    let mut found = None;
    walk(pages, root, window..window + 1, &mut |_, window| {
        found = Some(window.clone());
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// Walks over the windows of which two maps do not say the same; pages that both have are not looked at.
///
/// # Errors
/// Those of `pages`.
pub fn diff(pages: &impl Pages, left: Option<&Root>, right: Option<&Root>, visit: Compare<'_>) -> Result<(), Failure> {
    let level = left.map_or(1, |root| root.level).max(right.map_or(1, |root| root.level));
    diff_at(pages, left.copied(), right.copied(), level, 0, visit)
}

fn diff_at(
    pages: &impl Pages,
    left: Option<Root>,
    right: Option<Root>,
    level: u8,
    start: u64,
    visit: Compare<'_>,
) -> Result<(), Failure> {
    if left.map(|root| (root.page, root.level)) == right.map(|root| (root.page, root.level)) {
        return Ok(());
    }
    if level == 1 {
        let windows = |root: Option<Root>| root.map(|root| pages.page(&root.page, 1)).transpose();
        let (left, right) = (windows(left)?, windows(right)?);
        let find = |page: &Option<Arc<Page>>, slot| match page.as_deref() {
            Some(Page::Leaf(windows)) => windows.get(&slot).cloned(),
            _ => None,
        };
        for slot in 0..FANOUT {
            let (left, right) = (find(&left, slot as u8), find(&right, slot as u8));
            if left != right {
                visit(start + slot, left.as_ref(), right.as_ref())?;
            }
        }
        return Ok(());
    }
    let (left, right) = (children(pages, left, level)?, children(pages, right, level)?);
    for slot in 0..FANOUT {
        let child = |page: &Page| match page {
            Page::Inner(_, children) => children.get(&(slot as u8)).map(|child| Root::of(*child, level - 1)),
            Page::Leaf(_) => None,
        };
        let (left, right) = (child(&left.0).or(left.1.filter(|_| slot == 0)), child(&right.0).or(right.1.filter(|_| slot == 0)));
        diff_at(pages, left, right, level - 1, start + slot * span(level - 1), visit)?;
    }
    Ok(())
}

/// The children of a page of a level; a smaller map is the first child, or the first child's first child.
fn children(pages: &impl Pages, root: Option<Root>, level: u8) -> Result<(Arc<Page>, Option<Root>), Failure> {
    match root {
        Some(root) if root.level == level => Ok((pages.page(&root.page, level)?, None)),
        other => Ok((Arc::new(Page::empty(level)), other)),
    }
}

/// Whoever takes new pages.
pub type Keep<'a> = &'a mut dyn FnMut(&Page) -> Result<ChunkId, Failure>;

/// A map that is being changed, from the first window to the last one.
pub struct Edit<'a, P> {
    pages: &'a P,
    top: u8,
    /// The pages on the way to the window that was changed last, the topmost first, and the first window of each.
    open: Vec<(Page, u64, bool)>,
    base: Option<Root>,
}

impl<'a, P: Pages> Edit<'a, P> {
    /// Begins to change a map, which is of an image that is now so long; what lies behind its end goes.
    ///
    /// # Errors
    /// Those of `pages` and `keep`.
    pub fn new(pages: &'a P, base: Option<&Root>, size_bytes: u64, keep: Keep<'_>) -> Result<Self, Failure> {
        let top = level_for(size_bytes);
        let mut base = base.copied();
        while let Some(root) = base.filter(|root| root.level < top) {
            let page = Page::Inner(root.level + 1, [(0, root.as_child())].into());
            base = keep_page(&page, keep)?.map(|child| Root::of(child, root.level + 1));
        }
        while let Some(root) = base.filter(|root| root.level > top) {
            base = match &*pages.page(&root.page, root.level)? {
                Page::Inner(_, children) => children.get(&0).map(|child| Root::of(*child, root.level - 1)),
                Page::Leaf(_) => None,
            };
        }
        let end = size_bytes.div_ceil(WINDOW_BYTES);
        if let Some(root) = base {
            base = cut(pages, root, 0, end, keep)?;
        }
        Ok(Self { pages, top, open: Vec::new(), base })
    }

    /// What the map says of a window that is not before the one that was changed last.
    ///
    /// # Errors
    /// Those of `pages` and `keep`.
    pub fn window(&mut self, window: u64, keep: Keep<'_>) -> Result<Option<Window>, Failure> {
        self.go_to(window, keep)?;
        match &self.open.last().expect("a leaf is open").0 {
            Page::Leaf(windows) => Ok(windows.get(&((window % FANOUT) as u8)).cloned()),
            Page::Inner(..) => unreachable!("the last one is a leaf"),
        }
    }

    /// Says something else of that window.
    ///
    /// # Errors
    /// Those of `pages` and `keep`.
    pub fn set(&mut self, window: u64, to: Option<Window>, keep: Keep<'_>) -> Result<(), Failure> {
        self.go_to(window, keep)?;
        let (page, _, is_changed) = self.open.last_mut().expect("a leaf is open");
        if let Page::Leaf(windows) = page {
            match to {
                Some(to) => drop(windows.insert((window % FANOUT) as u8, to)),
                None => drop(windows.remove(&((window % FANOUT) as u8))),
            }
        }
        *is_changed = true;
        Ok(())
    }

    /// The map as it is now; nothing if the image is nothing but zeroes.
    ///
    /// # Errors
    /// Those of `keep`.
    pub fn finish(mut self, keep: Keep<'_>) -> Result<Option<Root>, Failure> {
        while !self.open.is_empty() {
            self.close_last(keep)?;
        }
        Ok(self.base)
    }

    fn go_to(&mut self, window: u64, keep: Keep<'_>) -> Result<(), Failure> {
        while let Some((page, start, _)) = self.open.last() {
            if (*start..*start + span(page.level())).contains(&window) {
                break;
            }
            self.close_last(keep)?;
        }
        if self.open.is_empty() {
            let page = match self.base {
                Some(root) => self.pages.page(&root.page, root.level)?.as_ref().clone(),
                None => Page::empty(self.top),
            };
            self.open.push((page, 0, false));
        }
        while let Some((Page::Inner(level, children), start, _)) = self.open.last() {
            let step = span(level - 1);
            let slot = (window - start) / step;
            let page = match children.get(&(slot as u8)) {
                Some(child) => self.pages.page(&child.page, level - 1)?.as_ref().clone(),
                None => Page::empty(level - 1),
            };
            let next = (page, start + slot * step, false);
            self.open.push(next);
        }
        Ok(())
    }

    fn close_last(&mut self, keep: Keep<'_>) -> Result<(), Failure> {
        let Some((page, start, is_changed)) = self.open.pop() else { return Ok(()) };
        if !is_changed {
            return Ok(());
        }
        let kept = keep_page(&page, keep)?;
        match self.open.last_mut() {
            Some((Page::Inner(level, children), parent, is_changed)) => {
                let slot = ((start - *parent) / span(*level - 1)) as u8;
                match kept {
                    Some(child) => drop(children.insert(slot, child)),
                    None => drop(children.remove(&slot)),
                }
                *is_changed = true;
            }
            _ => self.base = kept.map(|child| Root::of(child, page.level())),
        }
        Ok(())
    }
}

fn keep_page(page: &Page, keep: Keep<'_>) -> Result<Option<Child>, Failure> {
    page.digest().map(|digest| Ok(Child { page: keep(page)?, digest })).transpose()
}

/// The map without what lies from a window on.
fn cut(pages: &impl Pages, root: Root, start: u64, end: u64, keep: Keep<'_>) -> Result<Option<Root>, Failure> {
    if start + span(root.level) <= end {
        return Ok(Some(root));
    }
    let page = pages.page(&root.page, root.level)?;
    let step = span(root.level - 1);
    let shorter = match &*page {
        Page::Leaf(windows) => Page::Leaf(
            windows
                .iter()
                .filter(|(slot, _)| start + u64::from(**slot) < end)
                .map(|(slot, window)| (*slot, window.clone()))
                .collect(),
        ),
        Page::Inner(level, children) => {
            let mut kept = std::collections::BTreeMap::new();
            for (slot, child) in children {
                let at = start + u64::from(*slot) * step;
                if at < end
                    && let Some(child) = cut(pages, Root::of(*child, level - 1), at, end, keep)?
                {
                    kept.insert(*slot, child.as_child());
                }
            }
            Page::Inner(*level, kept)
        }
    };
    if shorter == *page {
        return Ok(Some(root));
    }
    Ok(keep_page(&shorter, keep)?.map(|child| Root::of(child, root.level)))
}

/// Where each block of a window is: the chunk, and the block's place in it.
#[must_use]
pub fn places(window: Option<&Window>) -> [Option<(ChunkId, u8)>; WINDOW_BLOCKS as usize] {
    let mut places = [None; WINDOW_BLOCKS as usize];
    for piece in window.into_iter().flat_map(|window| &window.pieces) {
        for index in 0..piece.blocks {
            places[usize::from(piece.first + index)] = Some((piece.chunk, piece.at + index));
        }
    }
    places
}

/// Blocks of a window that a map has in the same place as another one has not.
#[must_use]
pub fn blocks_not_in(window: Option<&Window>, other: Option<&Window>) -> u64 {
    let (here, there) = (places(window), places(other));
    here.iter().zip(&there).filter(|(here, there)| here.is_some() && here != there).count() as u64
}

/// Pieces that lie side by side in window and chunk, as one.
#[must_use]
pub fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match joined.last_mut() {
            Some(last)
                if last.chunk == piece.chunk && last.first + last.blocks == piece.first && last.at + last.blocks == piece.at =>
            {
                last.blocks += piece.blocks;
            }
            _ => joined.push(piece),
        }
    }
    joined
}
