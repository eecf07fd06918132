//! In which pages do two versions' trees differ?
//!
//! Both trees are walked side by side in the order of their pages' own first keys, higher pages first. A page that both hold
//! has the same first key and level in both, so both walks meet at it, and it is skipped with all below it. The cost is the
//! pages that only one of the two holds.

use super::tree::Tree;
use super::walk::{Unsound, Walk};
use crate::format::entry::{self, ENTRIES_PER_PAGE};
use crate::format::page::{self, Page, PagePointer, Root};

/// Which of the two trees holds a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Only the tree that is compared with.
    Reference,
    /// Only the tree that is compared.
    Own,
}

/// What becomes of the difference.
pub trait Difference {
    /// `side` alone holds this page; if it is a leaf, these are its bytes.
    fn page(&mut self, walk: &mut Walk<'_>, side: Side, pointer: PagePointer, leaf: Option<&Page>);
    /// Everything that only one of the trees holds under keys below these has been shown.
    fn shown_below(&mut self, walk: &mut Walk<'_>, reference_key: u64, own_key: u64);
}

struct Front {
    pointer: PagePointer,
    level: u8,
    first_key: u64,
}

impl Front {
    fn order(&self) -> (u64, u8) {
        (self.first_key, u8::MAX - self.level)
    }
}

/// Shows `difference` every page that only one of the trees holds. Both must have been walked and found sound.
pub fn compare(
    walk: &mut Walk<'_>,
    tree: &Tree<'_>,
    reference: Root,
    own: Root,
    difference: &mut impl Difference,
) -> Result<(), Unsound> {
    let mut left = Vec::new();
    let mut right = Vec::new();
    for (stack, root) in [(&mut left, reference), (&mut right, own)] {
        if let Some(pointer) = root.pointer {
            stack.push(front(walk, pointer)?);
        }
    }
    loop {
        let side = match (left.last(), right.last()) {
            (None, None) => {
                difference.shown_below(walk, u64::MAX, u64::MAX);
                return Ok(());
            }
            (Some(theirs), Some(ours)) if theirs.pointer == ours.pointer => {
                left.pop();
                right.pop();
                continue;
            }
            (Some(theirs), Some(ours)) if theirs.order() <= ours.order() => Side::Reference,
            (Some(_), None) => Side::Reference,
            (_, Some(_)) => Side::Own,
        };
        let stack = if side == Side::Reference { &mut left } else { &mut right };
        if let Some(front) = stack.pop() {
            open(walk, tree, side, &front, stack, difference)?;
        }
        let first_key = |stack: &Vec<Front>| stack.last().map_or(u64::MAX, |front| front.first_key);
        difference.shown_below(walk, first_key(&left), first_key(&right));
    }
}

fn front(walk: &Walk<'_>, pointer: PagePointer) -> Result<Front, Unsound> {
    let facts = walk.facts(pointer).ok_or(Unsound)?;
    Ok(Front { pointer, level: facts.level, first_key: facts.summary.first_key })
}

fn open(
    walk: &mut Walk<'_>,
    tree: &Tree<'_>,
    side: Side,
    opened: &Front,
    stack: &mut Vec<Front>,
    difference: &mut impl Difference,
) -> Result<(), Unsound> {
    let place = format!("{} of {}, page {}, read again", tree.role, tree.holder, opened.pointer.page);
    let bytes = walk.load(tree, &place, opened.pointer, opened.level).ok_or(Unsound)?;
    difference.page(walk, side, opened.pointer, (opened.level == 0).then_some(&bytes));
    if opened.level > 0 {
        for index in (0..page::count(&bytes).min(ENTRIES_PER_PAGE)).rev() {
            stack.push(front(walk, entry::decode_pointer(&entry::value(&bytes, index)))?);
        }
    }
    Ok(())
}
