//! What must the bytes of a data block sum to?

use crate::error::{Error, Result};
use crate::format::codec::{put_u32, u32_at};
use crate::format::group::{CHECKSUM_PAGES, CHECKSUMS_PER_PAGE, Group, place_of};
use crate::format::page::{self, HEADER_LEN, Page, PageKind};
use crate::units::{Epoch, PhysicalBlock};

use super::map::{Inner, Space, slot_page};

/// Where a block's checksum stands.
#[derive(Clone, Copy)]
struct Spot {
    group: Group,
    page: u32,
    offset: usize,
}

impl Spot {
    fn of(block: PhysicalBlock) -> Result<Self> {
        let place = place_of(block).ok_or_else(|| Error::corrupt(format!("block {block}: no data can be there")))?;
        let offset = HEADER_LEN + (place.0 % CHECKSUMS_PER_PAGE) as usize * 4;
        Ok(Self { group: Group::of(block), page: place.0 / CHECKSUMS_PER_PAGE, offset })
    }

    fn key(self) -> u64 {
        page_key(self.group, self.page)
    }
}

/// The key of page `page` of a group's checksum table.
pub(super) const fn page_key(group: Group, page: u32) -> u64 {
    group.0 * CHECKSUM_PAGES as u64 + page as u64
}

impl Space {
    /// Notes the checksums of consecutive blocks within one group.
    ///
    /// # Errors
    /// `Corrupt` if the page that holds them cannot be read.
    pub fn set_checksums(&self, first: PhysicalBlock, checksums: &[u32]) -> Result<()> {
        let mut inner = self.inner.lock();
        for (index, checksum) in checksums.iter().enumerate() {
            let spot = Spot::of(first.plus(index as u64))?;
            let page = inner.checksums_for_change(spot)?;
            put_u32(page, spot.offset, *checksum);
        }
        Ok(())
    }

    /// The checksum that was noted for a block.
    ///
    /// # Errors
    /// `Corrupt` if the page that holds it cannot be read.
    pub fn checksum(&self, block: PhysicalBlock) -> Result<Option<u32>> {
        let mut inner = self.inner.lock();
        let spot = Spot::of(block)?;
        let key = spot.key();
        let on_heap =
            inner.checksums.get(&key).map(|page| &**page).or_else(|| inner.checksums_sealed.get(&key).map(|page| &**page));
        if let Some(page) = on_heap {
            return Ok(Some(u32_at(page, spot.offset)));
        }
        Ok(inner.written_checksums(spot)?.map(|page| u32_at(page, spot.offset)))
    }
}

impl Inner {
    fn checksums_for_change(&mut self, spot: Spot) -> Result<&mut Page> {
        let key = spot.key();
        if !self.checksums.contains_key(&key) {
            let page = match self.checksums_sealed.get(&key) {
                Some(page) => **page,
                None => match self.written_checksums(spot)? {
                    Some(page) => *page,
                    None => page::blank(PageKind::Checksums, 0, PhysicalBlock(0), Epoch(0), self.set.working()),
                },
            };
            self.checksums.insert(key, Box::new(page));
        }
        Ok(self.checksums.get_mut(&key).expect("it was just put there"))
    }

    /// The page in its current slot; `None` if it was never written.
    fn written_checksums(&mut self, spot: Spot) -> Result<Option<&Page>> {
        let Some(state) = self.load(spot.group)? else { return Ok(None) };
        let record = state.record;
        if record.checksum_present >> spot.page & 1 == 0 {
            return Ok(None);
        }
        let slot = (record.checksum_slots >> spot.page & 1) as u8;
        let at = spot.group.checksum_slot(spot.page, slot);
        slot_page(&*self.device, &self.verified, self.seed, at, PageKind::Checksums).map(Some)
    }
}
