//! How does a remote snapshot become a drive?

use super::fetch;
use super::remotes::Remotes;
use crate::node::attributes::Attributes;
use crate::node::failure::Failure;
use crate::{Drive, DriveOptions};
use std::sync::Arc;
use uuid::Uuid;

/// A drive that is to be made.
#[derive(Clone, Debug)]
pub struct NewDrive {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Its size: at least the image's.
    pub size_bytes: u64,
    /// What is written about it.
    pub attributes: Attributes,
}

impl Remotes {
    /// Makes a drive of a remote snapshot.
    ///
    /// # Errors
    /// `NotFound`, `NotNow`, those of the location and of the engine; then there is no drive.
    pub fn clone_drive(self: &Arc<Self>, remote: Uuid, drive: NewDrive) -> Result<Drive, Failure> {
        let (repository, manifest) = self.manifest(remote)?;
        let options = DriveOptions::new(drive.size_bytes).name(drive.name).uuid(drive.uuid);
        let made = self.store().create_drive(options.attributes(drive.attributes.to_bytes()))?;
        match fetch::restore(&repository, &manifest.image(), &made, &mut |_| ()) {
            Ok(()) => Ok(made),
            Err(failure) => {
                made.delete()?;
                Err(failure)
            }
        }
    }
}
