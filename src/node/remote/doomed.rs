//! Which packs are about to be deleted?
//!
//! Objects `doomed/UUID`, each a list of packs that nothing needed when it was made. A list goes only after its packs went, or were spared.

use super::bucket::Bucket;
use crate::node::failure::{Failure, FailureKind};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use uuid::Uuid;

/// Where lists of doomed packs are.
pub const DIRECTORY: &str = "doomed";

#[derive(Serialize, Deserialize)]
struct Written {
    /// When it was made, in seconds since 1970; for people, it is the object's own time that counts.
    created: i64,
    packs: Vec<Uuid>,
}

/// A list of packs that are about to be deleted.
#[derive(Clone, Debug)]
pub struct Doomed {
    /// The object's name.
    pub name: String,
    /// When it was put.
    pub modified: i64,
    /// The packs.
    pub packs: Vec<Uuid>,
}

/// All lists.
///
/// # Errors
/// `Io`, `Denied`, `Corrupt`
pub fn list(bucket: &Bucket) -> Result<Vec<Doomed>, Failure> {
    let mut lists = Vec::new();
    for object in bucket.list(DIRECTORY)? {
        match bucket.get(&object.name) {
            Ok(bytes) => {
                let written: Written = serde_json::from_slice(&bytes).map_err(|error| {
                    let message = format!("location {}: {} is damaged: {error}", bucket.location(), object.name);
                    Failure::new(FailureKind::Corrupt, message)
                })?;
                lists.push(Doomed { name: object.name, modified: object.modified, packs: written.packs });
            }
            // Its packs are gone, or stay.
            Err(failure) if failure.kind() == FailureKind::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(lists)
}

/// The packs of all lists.
///
/// # Errors
/// As [`list`].
pub fn packs(bucket: &Bucket) -> Result<HashSet<Uuid>, Failure> {
    Ok(list(bucket)?.into_iter().flat_map(|list| list.packs).collect())
}

/// Dooms packs.
///
/// # Errors
/// `Io`, `Denied`
///
/// # Panics
/// Never: it is plain data.
pub fn put(bucket: &Bucket, now: i64, packs: Vec<Uuid>) -> Result<(), Failure> {
    let bytes = serde_json::to_vec_pretty(&Written { created: now, packs }).expect("it is plain data");
    bucket.put(&format!("{DIRECTORY}/{}", Uuid::new_v4()), bytes.into())
}
