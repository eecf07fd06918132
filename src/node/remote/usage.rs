//! How much does each remote snapshot hold at its location, and how much is there in all?

use super::mark::{Mark, time_here};
use super::needed::Needed;
use super::repository::Repository;
use super::repository::chunk::ChunkId;
use crate::node::failure::Failure;
use std::collections::HashMap;
use uuid::Uuid;

/// What a remote snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotUsage {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// How much of its image is not zeroes.
    pub referenced_bytes: u64,
    /// All chunks that it needs, as they are stored.
    pub stored_bytes: u64,
    /// Those that no other one needs: what deleting it alone would free.
    pub unique_stored_bytes: u64,
}

/// What a location holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Each remote snapshot, oldest first.
    pub snapshots: Vec<SnapshotUsage>,
    /// Packs.
    pub packs: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Those of chunks that are needed.
    pub live_bytes: u64,
    /// Those of chunks that are not, doomed or not yet.
    pub garbage_bytes: u64,
}

/// Who needs a chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    One(usize),
    Several,
}

/// Counts.
///
/// # Errors
/// `Corrupt` and `NotFound` if something is not to be had without which nobody knows what is needed; `Io`, `Denied`.
pub fn usage(repository: &Repository) -> Result<Usage, Failure> {
    let mark = Mark::of(repository, time_here())?;
    let mut usage = Usage { packs: mark.packs.len() as u64, ..Usage::default() };
    for pack in mark.packs.values() {
        usage.stored_bytes += pack.bytes;
        usage.live_bytes += pack.live_bytes;
        // What no index names is nobody's.
        usage.garbage_bytes += if pack.chunk_bytes == 0 { pack.bytes } else { pack.chunk_bytes - pack.live_bytes };
    }
    let (manifests, damaged) = repository.manifests()?;
    if let Some(failure) = damaged.into_iter().next() {
        return Err(failure);
    }
    let mut needs: HashMap<ChunkId, Needs> = HashMap::new();
    let stored = |id: &ChunkId| repository.index().read().find(id).map_or(0, |(_, place)| u64::from(place.stored));
    for (number, manifest) in manifests.iter().enumerate() {
        let mut needed = Needed::default();
        needed.add(repository, manifest.map.as_ref())?;
        usage.snapshots.push(SnapshotUsage {
            uuid: manifest.uuid,
            name: manifest.description.name.clone(),
            referenced_bytes: manifest.referenced_bytes,
            stored_bytes: needed.chunks.iter().map(stored).sum(),
            unique_stored_bytes: 0,
        });
        for id in needed.chunks {
            needs.entry(id).and_modify(|needs| *needs = Needs::Several).or_insert(Needs::One(number));
        }
    }
    for (id, needs) in &needs {
        if let Needs::One(number) = needs {
            usage.snapshots[*number].unique_stored_bytes += stored(id);
        }
    }
    Ok(usage)
}
