//! Where do blocks of the store stand in the images?

use std::collections::{BTreeSet, HashSet};
use std::hash::BuildHasherDefault;

use crate::error::Result;
use crate::format::entry::Extent;
use crate::format::page::Root;
use crate::format::record::ObjectId;
use crate::tree::entries::{Part, parts};
use crate::tree::working_set::BlockHasher;
use crate::units::{Epoch, LogicalBlock, PhysicalBlock};

use super::Catalog;

impl Catalog {
    /// The drives whose images map that block of the image to that block of the store.
    ///
    /// # Errors
    /// `Corrupt` if a page cannot be read.
    pub fn drives_holding(&self, logical: LogicalBlock, physical: PhysicalBlock) -> Result<Vec<ObjectId>> {
        let mut holding = Vec::new();
        for (id, drive) in &self.drives {
            if self.birth_held(drive.head, logical, physical)?.is_some() {
                holding.push(*id);
            }
        }
        Ok(holding)
    }

    /// Is the checksum of a block evidence for all who hold it?
    ///
    /// # Errors
    /// `Corrupt` if a page cannot be read.
    pub fn is_evidence(&self, logical: LogicalBlock, physical: PhysicalBlock) -> Result<bool> {
        for id in self.drives.values().map(|drive| drive.head).chain(self.snapshots.keys().copied()) {
            if let Some(birth) = self.birth_held(id, logical, physical)?
                && !self.version(id)?.is_settled(birth)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The birth of a block, if the version maps that block of its image to that block of the store.
    ///
    /// # Errors
    /// `Corrupt` if a page cannot be read.
    pub fn birth_held(&self, id: ObjectId, logical: LogicalBlock, physical: PhysicalBlock) -> Result<Option<Epoch>> {
        let Some(version) = self.versions.find(id) else { return Ok(None) };
        let extent = self.next_extent(&version.table, logical)?.filter(|extent| extent.logical <= logical);
        let held = extent.filter(|extent| extent.part(logical, logical.plus(1)).physical == Some(physical));
        Ok(held.map(|extent| extent.birth))
    }

    /// The addresses at which drives and snapshots hold any of `blocks`; each block has one, whoever holds it. Reads each
    /// page of all tables once.
    ///
    /// # Errors
    /// `Corrupt` if a page cannot be read.
    pub fn addresses_of(&self, blocks: &BTreeSet<PhysicalBlock>) -> Result<Vec<(LogicalBlock, PhysicalBlock)>> {
        let mut seen: HashSet<u64, BuildHasherDefault<BlockHasher>> = HashSet::default();
        let mut found = BTreeSet::new();
        let alive: Vec<ObjectId> = self.drives.values().map(|drive| drive.head).chain(self.snapshots.keys().copied()).collect();
        for id in alive {
            let Root { pointer: Some(pointer), level } = self.version(id)?.table else { continue };
            let mut work = vec![(pointer, level)];
            while let Some((pointer, level)) = work.pop() {
                if !seen.insert(pointer.page.0) {
                    continue;
                }
                for part in parts(&self.set, pointer, level, 0)? {
                    match part {
                        Part::Child { pointer, level, .. } => work.push((pointer, level)),
                        Part::Entry { key, value } => {
                            let Extent { logical, physical: Some(start), blocks: count, .. } = Extent::decode(key, &value) else {
                                continue;
                            };
                            let held = blocks.range(start..start.plus(u64::from(count)));
                            found.extend(held.map(|block| (logical.plus(block.0 - start.0), *block)));
                        }
                    }
                }
            }
        }
        Ok(found.into_iter().collect())
    }
}
