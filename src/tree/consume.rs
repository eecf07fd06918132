//! How is a tree taken down, a bounded step at a time?
//!
//! From the left. What is left over after each step is a tree like any other, only that its pages on the left edge may be
//! nearly empty, so a step can be committed and the next one can follow after a crash.
//!
//! Invariants:
//! 1. Each page that nobody else holds is freed once, when its last entry goes or when a copy takes its place.
//! 2. Nothing beneath a page that someone else holds is read.

use std::ops::Range;

use super::layout::{Fixed, Layout};
use super::search::{self, child, dropped, lost_entries, read, top};
use super::{Dropped, PagesMut};
use crate::error::Result;
use crate::format::entry::{self, encode_pointer};
use crate::format::page::{self, Page, PagePointer, Root};

/// Decides and learns what becomes of a tree's pages and entries while it is consumed.
pub trait Consumer<P> {
    /// How many of a branch's entries in `places` lead, one after the other from the first on, to pages that someone else is
    /// known to hold? The others are asked about with [`is_shared`](Self::is_shared).
    fn shared_run(&mut self, pages: &P, branch: &Page, level: u8, places: Range<usize>) -> Result<usize>;
    /// Does someone else hold the page (and so everything beneath it)?
    fn is_shared(&mut self, pages: &P, page: &Dropped) -> Result<bool>;
    /// The tree no longer holds the page, and nobody else does.
    fn free_page(&mut self, pages: &P, page: &Dropped) -> Result<()>;
    /// The entries of a leaf are gone from the tree. Returns what it cost, at least 1: how many were looked at closely.
    fn entries(&mut self, pages: &P, leaf: &Page) -> Result<u64>;
}

/// Removes pages from the left end of a tree of fixed entries until `budget` is used up: a page that is left to others costs 1,
/// a run of them that needed no closer look as much, and a leaf what the consumer says. Returns the tree that remains, which is
/// [`Root::EMPTY`] if any budget does.
pub fn consume<P: PagesMut>(pages: &mut P, root: &Root, budget: &mut u64, consumer: &mut impl Consumer<P>) -> Result<Root> {
    let Some((pointer, level)) = top(root)? else { return Ok(Root::EMPTY) };
    Ok(match consume_page(pages, pointer, level, budget, consumer)? {
        Some(pointer) => Root { pointer: Some(pointer), level },
        None => Root::EMPTY,
    })
}

/// Returns the page in whose place the rest stands, if there is a rest.
fn consume_page<P: PagesMut>(
    pages: &mut P,
    pointer: PagePointer,
    level: u8,
    budget: &mut u64,
    consumer: &mut impl Consumer<P>,
) -> Result<Option<PagePointer>> {
    if *budget == 0 {
        return Ok(Some(pointer));
    }
    let old = dropped::<Fixed>(pages, pointer, level)?;
    if consumer.is_shared(pages, &old)? {
        *budget -= 1;
        return Ok(None);
    }
    if level == 0 {
        let cost = consumer.entries(pages, read::<Fixed>(pages, pointer, level)?)?;
        *budget = budget.saturating_sub(cost);
        consumer.free_page(pages, &old)?;
        return Ok(None);
    }
    let count = search::count::<Fixed>(read::<Fixed>(pages, pointer, level)?, level);
    let mut gone = 0;
    let mut first_child = None;
    while gone < count && *budget > 0 {
        let page = read::<Fixed>(pages, pointer, level)?;
        let shared = consumer.shared_run(pages, page, level, gone..count)?;
        if shared > 0 {
            gone += shared;
            *budget -= 1;
            continue;
        }
        let before = child(page, gone);
        if let Some(rest) = consume_page(pages, before, level - 1, budget, consumer)? {
            first_child = (rest != before).then_some(rest);
            break;
        }
        gone += 1;
    }
    if gone == count {
        consumer.free_page(pages, &old)?;
        return Ok(None);
    }
    if gone == 0 && first_child.is_none() {
        return Ok(Some(pointer));
    }
    let rest = if pages.writable(pointer) { pointer } else { pages.copy(pointer, level, Fixed::LEAF)? };
    if rest != pointer {
        consumer.free_page(pages, &old)?;
    }
    // What was read before may have been something else than what was copied now.
    if gone >= page::count(read::<Fixed>(pages, rest, level)?) {
        return Err(lost_entries(pointer));
    }
    let page = pages.edit(rest);
    take_front(page, gone);
    if let Some(first_child) = first_child {
        entry::put(page, 0, entry::key(page, 0), &encode_pointer(first_child));
    }
    Ok(Some(rest))
}

/// Removes the first `gone` entries.
fn take_front(page: &mut Page, gone: usize) {
    let count = page::count(page);
    let at = |index| page::HEADER_LEN + index * entry::ENTRY_LEN;
    page.copy_within(at(gone)..at(count), at(0));
    page[at(count - gone)..at(count)].fill(0);
    page::set_count(page, count - gone);
}
