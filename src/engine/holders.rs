//! Who holds a block of data?

use std::fmt;

use uuid::Uuid;

use crate::catalog::Catalog;
use crate::error::{Error, Result, Rotten};

use super::Engine;

/// Holders that a message names.
const HOLDERS_NAMED: usize = 8;

/// A drive or snapshot that holds a block.
///
/// ```
/// # fn show(damage: &floe::RottenBlock) {
/// for holder in &damage.holders {
///     println!("{holder}"); // snapshot "monday" (6f9619ff-8b86-4d11-b42d-00c04fc964ff)
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Is it a snapshot? Else it is a drive.
    pub is_snapshot: bool,
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_snapshot { "snapshot" } else { "drive" };
        if self.name.is_empty() { write!(f, "{what} {}", self.uuid) } else { write!(f, "{what} {:?}", self.name) }
    }
}

impl Engine {
    /// All drives and snapshots that hold a block; costs a look into the table of each.
    ///
    /// # Errors
    /// `Corrupt` if a table cannot be read.
    pub fn holders(&self, rotten: Rotten) -> Result<Vec<Holder>> {
        self.look_at(&self.catalog.read(), |catalog| holders_in(catalog, rotten))
    }

    /// Adds to the error about a rotten block who else will meet it.
    pub fn name_holders(&self, error: Error) -> Error {
        let Some(rotten) = error.rotten_block() else { return error };
        let Ok(holders) = self.holders(rotten) else { return error };
        let mut names: Vec<String> = holders.iter().take(HOLDERS_NAMED).map(Holder::to_string).collect();
        if holders.len() > HOLDERS_NAMED {
            names.push(format!("{} more", holders.len() - HOLDERS_NAMED));
        }
        error.explained(format_args!("held by {}; overwriting or discarding the whole block mends a drive", names.join(", ")))
    }
}

fn holders_in(catalog: &Catalog, rotten: Rotten) -> Result<Vec<Holder>> {
    let mut holders = Vec::new();
    for (_, drive) in catalog.drives() {
        if catalog.birth_held(drive.head, rotten.logical, rotten.physical)?.is_some() {
            holders.push(Holder { is_snapshot: false, uuid: drive.uuid, name: drive.name.clone() });
        }
    }
    for (id, snapshot) in catalog.snapshots() {
        if catalog.birth_held(id, rotten.logical, rotten.physical)?.is_some() {
            holders.push(Holder { is_snapshot: true, uuid: snapshot.uuid, name: snapshot.name.clone() });
        }
    }
    Ok(holders)
}
