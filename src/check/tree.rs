//! What distinguishes one tree from another?

use std::fmt;

use super::lineage::{Lineage, STORE};
use crate::format::entry::Extent;
use crate::format::page::PageKind;
use crate::units::PhysicalBlock;

/// What a tree is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The tree of group records.
    Groups,
    /// The tree of records.
    Catalog,
    /// An extent table.
    Table,
    /// A birth histogram.
    Histogram,
}

impl Role {
    pub fn leaf(self) -> PageKind {
        match self {
            Self::Catalog => PageKind::RecordLeaf,
            Self::Groups | Self::Table | Self::Histogram => PageKind::EntryLeaf,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Groups => "group tree",
            Self::Catalog => "catalog",
            Self::Table => "table",
            Self::Histogram => "histogram",
        })
    }
}

/// A tree: what it is for and who holds it.
#[derive(Clone, Copy)]
pub struct Tree<'a> {
    pub role: Role,
    /// The holder's name, for people.
    pub holder: &'a str,
    /// The holder's line; `None` for the store's own trees, whose births are all 0.
    pub lineage: Option<Lineage<'a>>,
}

impl Tree<'_> {
    pub fn owner(&self, birth: u64) -> u64 {
        self.lineage.map_or(STORE, |lineage| lineage.owner(birth))
    }

    pub fn place(&self, block: PhysicalBlock) -> String {
        format!("{} of {}, page {block}", self.role, self.holder)
    }

    pub fn judge_page_birth(&self, birth: u64) -> Result<(), String> {
        match self.lineage {
            None if birth != 0 => Err(format!("born in epoch {birth}, must be 0")),
            Some(lineage) if birth == 0 || birth > lineage.end() => {
                Err(format!("born in epoch {birth}, must be in 1..={}", lineage.end()))
            }
            _ => Ok(()),
        }
    }

    pub fn freeze_between(&self, page_birth: u64, birth: u64) -> Option<u64> {
        self.lineage.and_then(|lineage| lineage.freeze_between(page_birth, birth))
    }

    /// Judges the birth of what a leaf holds.
    pub fn judge_birth(&self, page_birth: u64, birth: u64) -> Result<(), String> {
        self.judge_page_birth(birth)?;
        match self.freeze_between(page_birth, birth) {
            Some(epoch) => Err(format!("born in epoch {birth}, in a page of epoch {page_birth} that epoch {epoch} froze")),
            None => Ok(()),
        }
    }
}

/// What the pages above need to know of a page and all below it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// The first key in the page itself.
    pub first_key: u64,
    /// The largest key below it.
    pub last_key: u64,
    /// Where the last extent that maps data ends.
    pub data_end: u64,
    /// The first extent below it.
    pub first: Option<Extent>,
    /// The last extent below it.
    pub last: Option<Extent>,
}
