//! What must the bytes of a data block sum to?

use std::ops::Range;

use crate::device::look_at_pages;
use crate::error::{Error, Result};
use crate::format::codec::{put_u32, u32_at};
use crate::format::group::{CHECKSUM_PAGES, CHECKSUMS_PER_PAGE, Group, Place, place_of};
use crate::format::page::{self, HEADER_LEN, Page, PageKind};
use crate::units::{BLOCK_LEN, Epoch, PhysicalBlock};

use super::map::{Inner, Space, slot_page};

/// Checksums that are read at a time.
const READ_AT_ONCE: usize = 64;

/// Where a block's checksum stands.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    group: Group,
    page: u32,
    pub offset: usize,
}

impl Spot {
    pub fn of(block: PhysicalBlock) -> Result<Self> {
        let place = place_of(block).ok_or_else(|| Error::corrupt(format!("block {block}: no data can be there")))?;
        let offset = HEADER_LEN + (place.0 % CHECKSUMS_PER_PAGE) as usize * 4;
        Ok(Self { group: Group::of(block), page: place.0 / CHECKSUMS_PER_PAGE, offset })
    }

    pub fn key(self) -> u64 {
        page_key(self.group, self.page)
    }

    /// The blocks whose checksums stand in the page.
    fn blocks_of_page(self) -> Range<u64> {
        let first = self.group.block(Place(self.page * CHECKSUMS_PER_PAGE)).0;
        first..first + u64::from(CHECKSUMS_PER_PAGE)
    }

    /// How many checksums stand from here to the end of the page.
    fn left_in_page(self) -> u64 {
        ((BLOCK_LEN - self.offset) / 4) as u64
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
        self.proven.remove(first, checksums.len() as u64);
        let mut inner = self.inner.lock();
        for (index, checksum) in checksums.iter().enumerate() {
            let spot = Spot::of(first.plus(index as u64))?;
            let page = inner.checksums_for_change(spot)?;
            put_u32(page, spot.offset, *checksum);
        }
        inner.unwritten.note(first, checksums.len() as u64);
        self.count_changed_pages(&inner);
        Ok(())
    }

    /// Gets ready to note the checksums of consecutive blocks within one group: that cannot fail afterwards.
    ///
    /// # Errors
    /// `Corrupt` if the page that holds them cannot be read.
    pub fn ready_checksums(&self, first: PhysicalBlock, blocks: u64) -> Result<()> {
        let mut inner = self.inner.lock();
        let mut at = first;
        while at.0 < first.0 + blocks {
            let spot = Spot::of(at)?;
            inner.checksums_for_change(spot)?;
            at = at.plus(spot.left_in_page());
        }
        self.count_changed_pages(&inner);
        Ok(())
    }

    /// The checksums that were noted for consecutive blocks within one group; `None` where none ever was.
    ///
    /// # Errors
    /// `Corrupt` if the page that holds them cannot be read.
    pub fn checksums(&self, first: PhysicalBlock, out: &mut [Option<u32>]) -> Result<()> {
        let mut inner = self.inner.lock();
        let mut done = 0;
        while done < out.len() {
            let spot = Spot::of(first.plus(done as u64))?;
            let count = (spot.left_in_page() as usize).min(out.len() - done).min(READ_AT_ONCE);
            let read = |page: &Page| -> [u32; READ_AT_ONCE] {
                std::array::from_fn(|index| if index < count { u32_at(page, spot.offset + index * 4) } else { 0 })
            };
            let checksums = inner.read_checksums(spot, read)?;
            for (index, slot) in out[done..done + count].iter_mut().enumerate() {
                *slot = checksums.map(|checksums| checksums[index]);
            }
            let from = first.0 + done as u64;
            for (block, checksum) in inner.unwritten.listed.range(from..from + count as u64) {
                out[(block - first.0) as usize] = Some(*checksum);
            }
            done += count;
        }
        Ok(())
    }

    /// The checksum of a block will be wanted: it is fetched while the block itself is read.
    ///
    /// # Errors
    /// `Corrupt` if the group tree cannot be read.
    pub fn expect_checksum(&self, block: PhysicalBlock) -> Result<()> {
        self.inner.lock().expect_checksums(Spot::of(block)?)
    }

    /// The checksum that was noted for a block.
    ///
    /// # Errors
    /// As [`Space::checksums`].
    pub fn checksum(&self, block: PhysicalBlock) -> Result<Option<u32>> {
        let spot = Spot::of(block)?;
        let mut inner = self.inner.lock();
        let in_page = inner.read_checksums(spot, |page| u32_at(page, spot.offset))?;
        Ok(inner.unwritten.listed.get(&block.0).copied().or(in_page))
    }

    /// Were all of these blocks compared with their checksums since the store was opened, and not written since?
    pub fn is_proven(&self, first: PhysicalBlock, blocks: u64) -> bool {
        self.proven.contains(first, blocks)
    }

    /// These blocks were compared with their checksums.
    pub fn note_proven(&self, first: PhysicalBlock, blocks: u64) {
        self.proven.insert(first, blocks);
    }
}

impl Inner {
    pub fn checksums_for_change(&mut self, spot: Spot) -> Result<&mut Page> {
        let key = spot.key();
        if !self.checksums.contains_key(&key) {
            let mut page = match self.checksums_sealed.get(&key) {
                Some(page) => **page,
                None => match self.written_checksums(spot, |page| *page)? {
                    Some(page) => page,
                    None => page::blank(PageKind::Checksums, 0, PhysicalBlock(0), Epoch(0), self.set.working()),
                },
            };
            let blocks = spot.blocks_of_page();
            let listed: Vec<u64> = self.unwritten.listed.range(blocks.clone()).map(|(block, _)| *block).collect();
            for block in listed {
                let checksum = self.unwritten.listed.remove(&block).expect("it was just seen");
                put_u32(&mut page, HEADER_LEN + (block - blocks.start) as usize * 4, checksum);
            }
            self.checksums.insert(key, Box::new(page));
        }
        Ok(self.checksums.get_mut(&key).expect("it was just put there"))
    }

    /// Begins to fetch the page, unless that was done before.
    fn expect_checksums(&mut self, spot: Spot) -> Result<()> {
        let Some(state) = self.load(spot.group)? else { return Ok(()) };
        let before = state.checksums_asked;
        let slot = (state.record.checksum_slots >> spot.page & 1) as u8;
        state.checksums_asked |= 1 << spot.page;
        match before.count_ones() {
            _ if before >> spot.page & 1 == 1 => {}
            0 => {
                let page = spot.group.checksum_slot(spot.page, slot);
                self.device.will_read(page.offset()..page.plus(1).offset());
            }
            // One block says nothing of what comes next. Whoever wants a second page may want them all, and a disk reads them at once in
            // the time of a few.
            1 => self.device.will_read(spot.group.checksum_bytes()),
            _ => {}
        }
        Ok(())
    }

    /// Reads the newest page, wherever it is; `None` if there never was one.
    fn read_checksums<T>(&mut self, spot: Spot, read: impl Fn(&Page) -> T) -> Result<Option<T>> {
        let key = spot.key();
        if let Some(page) = self.checksums.get(&key) {
            return Ok(Some(read(page)));
        }
        if let Some(page) = self.checksums_sealed.get(&key) {
            return Ok(Some(read(page)));
        }
        self.written_checksums(spot, read)
    }

    /// Reads the page in its current slot; `None` if it was never written.
    fn written_checksums<T>(&mut self, spot: Spot, read: impl Fn(&Page) -> T) -> Result<Option<T>> {
        self.expect_checksums(spot)?;
        let Some(state) = self.load(spot.group)? else { return Ok(None) };
        let record = state.record;
        if record.checksum_present >> spot.page & 1 == 0 {
            return Ok(None);
        }
        let slot = (record.checksum_slots >> spot.page & 1) as u8;
        let at = spot.group.checksum_slot(spot.page, slot);
        let look = || slot_page(&*self.device, &self.verified, self.seed, at, PageKind::Checksums).map(&read);
        look_at_pages(&*self.device, look).map(Some)
    }
}
