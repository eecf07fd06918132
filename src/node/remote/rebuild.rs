//! How is a lost index made again?
//!
//! Of what the packs say of themselves: the one repair that needs nobody's decision.

use super::collect::PACKS_PER_INDEX;
use super::lease::Lease;
use super::mark::packs_there;
use super::needed::is_lost;
use super::repack::list_in;
use super::repository::Repository;
use super::repository::index::{self, PackList};
use crate::node::failure::Failure;
use std::collections::HashSet;
use uuid::Uuid;

/// What was made again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Packs that an index names again.
    pub packs: u64,
    /// Packs that cannot say what is in them.
    pub damaged: Vec<Uuid>,
    /// Index objects that could not be read, or name a pack that is not there, and are gone now.
    pub removed: u64,
}

/// Makes the index again of what packs say of themselves. What lies in packs that are not there is named no more, so that the next upload
/// puts it again. It takes the lease of those who collect; `holder` and `alone` are as theirs.
///
/// # Errors
/// `Locked` if a node collects; `Io`, `Denied`.
pub fn rebuild_index(repository: &Repository, holder: &str, alone: bool) -> Result<Rebuilt, Failure> {
    let mut lease = Lease::take(repository.bucket(), holder, alone)?;
    let rebuilt = rebuild(repository, &mut lease);
    lease.release()?;
    rebuilt
}

fn rebuild(repository: &Repository, lease: &mut Lease) -> Result<Rebuilt, Failure> {
    let (bucket, mut rebuilt) = (repository.bucket(), Rebuilt::default());
    // Listed before the packs: what is put later names packs that are put later.
    let objects = bucket.list(index::DIRECTORY)?;
    let packs = packs_there(repository)?;
    let (mut named, mut wrong) = (HashSet::new(), Vec::new());
    for object in objects {
        match bucket.get(&object.name).and_then(|bytes| index::read(repository.codec(), &object.name, &bytes)) {
            Ok(lists) if lists.iter().all(|list| packs.contains_key(&list.pack)) => {
                named.extend(lists.into_iter().map(|list| list.pack))
            }
            Err(failure) if !is_lost(&failure) => return Err(failure),
            _ => wrong.push(object.name),
        }
    }
    let mut lists = Vec::new();
    for (pack, found) in packs.iter().filter(|(pack, _)| !named.contains(*pack)) {
        match list_in(repository, *pack, found.bytes) {
            Ok(entries) => lists.push(PackList { pack: *pack, entries }),
            Err(failure) if is_lost(&failure) => rebuilt.damaged.push(*pack),
            Err(failure) => return Err(failure),
        }
        if lists.len() == PACKS_PER_INDEX {
            rebuilt.packs += put(repository, lease, &mut lists)?;
        }
    }
    rebuilt.packs += put(repository, lease, &mut lists)?;
    lease.hold()?;
    for name in &wrong {
        bucket.delete(name)?;
        rebuilt.removed += 1;
    }
    repository.refresh()?;
    Ok(rebuilt)
}

fn put(repository: &Repository, lease: &mut Lease, lists: &mut Vec<PackList>) -> Result<u64, Failure> {
    if lists.is_empty() {
        return Ok(0);
    }
    lease.hold()?;
    repository.put_index(lists)?;
    Ok(std::mem::take(lists).len() as u64)
}
