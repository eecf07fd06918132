//! Who may change a page of a tree in place, and where do new pages come from?

use crate::error::Result;
use crate::format::page::{Page, PageKind, PagePointer};
use crate::space::Space;
use crate::tree::working_set::WorkingSet;
use crate::tree::{Pages, PagesMut};
use crate::units::Epoch;

/// Changes the tables of one version.
pub struct TableWriter<'a> {
    /// Where the pages are.
    pub set: &'a mut WorkingSet,
    /// Where new pages come from.
    pub space: &'a Space,
    /// Pages born up to this epoch belong to others too, or are older than a bookmark.
    pub floor: Epoch,
}

/// Changes the catalog's own tree, whose pages nobody shares.
pub struct CatalogWriter<'a> {
    /// Where the pages are.
    pub set: &'a mut WorkingSet,
    /// Where new pages come from.
    pub space: &'a Space,
}

impl Pages for TableWriter<'_> {
    fn read(&self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<&Page> {
        self.set.read(pointer, level, leaf)
    }
}

impl PagesMut for TableWriter<'_> {
    fn writable(&self, pointer: PagePointer) -> bool {
        pointer.birth > self.floor && self.set.is_working(pointer.page)
    }

    fn add(&mut self, kind: PageKind, level: u8) -> Result<PagePointer> {
        let at = self.space.take_page()?;
        Ok(self.set.add(at, kind, level, self.floor.next()))
    }

    fn copy(&mut self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<PagePointer> {
        let at = self.space.take_page()?;
        self.set.copy(at, pointer, level, leaf, self.floor.next())
    }

    fn edit(&mut self, pointer: PagePointer) -> &mut Page {
        self.set.edit(pointer)
    }
}

impl Pages for CatalogWriter<'_> {
    fn read(&self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<&Page> {
        self.set.read(pointer, level, leaf)
    }
}

impl PagesMut for CatalogWriter<'_> {
    fn writable(&self, pointer: PagePointer) -> bool {
        self.set.is_working(pointer.page)
    }

    fn add(&mut self, kind: PageKind, level: u8) -> Result<PagePointer> {
        let at = self.space.take_page()?;
        Ok(self.set.add(at, kind, level, Epoch(0)))
    }

    fn copy(&mut self, pointer: PagePointer, level: u8, leaf: PageKind) -> Result<PagePointer> {
        let at = self.space.take_page()?;
        self.set.copy(at, pointer, level, leaf, Epoch(0))
    }

    fn edit(&mut self, pointer: PagePointer) -> &mut Page {
        self.set.edit(pointer)
    }
}
