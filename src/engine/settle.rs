//! How do checksums that are no evidence become evidence again?
//!
//! After an unclean shutdown the blocks that a drive alone held may have checksums of older bytes. A scrub settles them all; what
//! is here is for a drive that was cut off so often, without one, that its record cannot hold another mark.

use std::ops::ControlFlow;

use crate::error::Result;
use crate::format::entry::Extent;
use crate::format::record::ObjectId;
use crate::units::{BLOCK_LEN, LogicalBlock, PhysicalBlock};

use super::Engine;
use super::live::WALK_STEP;

impl Engine {
    /// Takes the bytes of a head's oldest unsettled blocks for right. Nobody else works with the store yet. Costs a read of them.
    ///
    /// # Errors
    /// `Corrupt` if the table or a page of checksums cannot be read.
    pub fn settle_oldest(&self, head: ObjectId) -> Result<()> {
        let Some((first, last)) = self.catalog.read().oldest_unsettled(head) else { return Ok(()) };
        let mut at = LogicalBlock(0);
        loop {
            let mut found: Vec<Extent> = Vec::new();
            let mut seen = 0;
            let catalog = self.catalog.read();
            let Some(version) = catalog.any_version(head) else { return Ok(()) };
            catalog.walk(&version.table, at, &mut |extent| {
                (at, seen) = (extent.end(), seen + 1);
                if (first..=last).contains(&extent.birth) && extent.physical.is_some() {
                    found.push(extent);
                }
                Ok(if seen < WALK_STEP { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            drop(catalog);
            for extent in found {
                let Some(start) = extent.physical else { continue };
                for index in 0..u64::from(extent.blocks) {
                    self.adopt(start.plus(index))?;
                }
            }
            if seen < WALK_STEP {
                break;
            }
        }
        self.catalog.write().settle(head, (first, last));
        Ok(())
    }

    /// What a block holds is right from now on. The caller keeps its writers away. False for a block that cannot be read, which
    /// keeps its checksum.
    ///
    /// # Errors
    /// `Corrupt` if a page of checksums cannot be read.
    pub fn adopt(&self, block: PhysicalBlock) -> Result<bool> {
        let mut bytes = [0; BLOCK_LEN];
        if self.device.read_at(&mut bytes, block.offset()).is_err() {
            return Ok(false);
        }
        self.space.set_checksums(block, &[crc32fast::hash(&bytes)])?;
        self.catalog.write().set_changed();
        Ok(true)
    }
}
