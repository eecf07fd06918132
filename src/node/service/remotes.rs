//! How do a command and a schedule make, show and clone remote snapshots?

use super::keeper::Keeper;
use super::local::Local;
use super::objects::present;
use super::select::{self, Named};
use crate::node::attributes::Attributes;
use crate::node::failure::{Failure, FailureKind};
use crate::node::remote::fetch;
use crate::node::remote::known::{Known, State};
use crate::node::remote::remotes::{Remotes, Wanted};
use crate::node::remote::repository::manifest::Description;
use crate::node::remote::upload::Progress;
use crate::node::timestamp::Timestamp;
use crate::{Drive, DriveOptions};
use serde_json::{Value, json};
use uuid::Uuid;

/// A remote snapshot, to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteView {
    /// Its identity.
    pub uuid: Uuid,
    /// What this node knows of it.
    pub known: Known,
    /// What of it its drive does not hold any more, if that is known.
    pub allocated_bytes: Option<u64>,
}

impl RemoteView {
    /// As programs read it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Self { uuid, known, allocated_bytes } = self;
        json!({
            "uuid": uuid.to_string(),
            "name": known.description.name,
            "drive": known.drive.to_string(),
            "location": known.location,
            "status": known.state.name(),
            "timestamp": known.timestamp.to_string(),
            "size": known.size_bytes,
            "allocated_size": allocated_bytes,
            "referenced_size": known.referenced_bytes,
            "policy": known.policy,
            "error": known.error,
        })
    }
}

/// One of them.
///
/// # Errors
/// `NotFound`, and those of the engine.
pub fn view(remotes: &Remotes, uuid: Uuid) -> Result<RemoteView, Failure> {
    let known = remotes.find(uuid);
    let known = known.ok_or_else(|| Failure::new(FailureKind::NotFound, format!("there is no remote snapshot {uuid}")))?;
    Ok(RemoteView { uuid, known, allocated_bytes: remotes.allocated_size(uuid)? })
}

/// All, or those of one drive, oldest first.
///
/// # Errors
/// Those of the engine.
pub fn list(remotes: &Remotes, drive: Option<Uuid>) -> Result<Vec<RemoteView>, Failure> {
    let mut views = Vec::new();
    for (uuid, known) in remotes.some(|known| drive.is_none_or(|drive| known.drive == drive)) {
        views.push(RemoteView { uuid, known, allocated_bytes: remotes.allocated_size(uuid)? });
    }
    views.sort_by_key(|view| (view.known.timestamp, view.uuid));
    Ok(views)
}

/// The one that a word means: a uuid, the beginning of one, or a name.
///
/// # Errors
/// `NotFound`, `Ambiguous`
pub fn find(remotes: &Remotes, word: &str) -> Result<Uuid, Failure> {
    let names = Local(remotes.store()).drive_names()?;
    let named = |(uuid, known): (Uuid, Known)| {
        Named::remote(uuid, known.description.name, known.drive, names.get(&known.drive).cloned(), uuid)
    };
    select::one(word, "remote snapshot", "is known here", remotes.some(|_| true).into_iter().map(named).collect())
}

/// What is said of a drive in what outlives it.
///
/// # Errors
/// Those of the engine.
pub fn drive_meta(drive: &Drive) -> Result<Value, Failure> {
    let attributes = Attributes::read(&drive.attributes()?);
    Ok(json!({
        "affinities": attributes.affinities(),
        "allow_multimount": attributes.allows_multimount(),
        "media": attributes.media(),
        "meta": attributes.meta(),
        "name": drive.name()?,
        "size": drive.size_bytes()?,
        "storage_type": attributes.storage_type(),
        "uuid": drive.uuid().to_string(),
    }))
}

/// Makes a remote snapshot of a drive, and waits until its location has it.
///
/// # Errors
/// `NotNow`, and those of location and engine. What began is gone on with by the next command that asks for it, or by a node.
pub fn create(
    remotes: &Remotes,
    drive: &Drive,
    location: Option<&str>,
    name: Option<&str>,
    progress: &mut dyn FnMut(Progress),
) -> Result<RemoteView, Failure> {
    if Attributes::read(&drive.attributes()?).is_unfinished() {
        let message = format!("drive {} has not got all of its image yet", drive.uuid());
        return Err(Failure::new(FailureKind::NotNow, message));
    }
    let description = Description { name: name.unwrap_or_default().to_owned(), ..Description::default() };
    let wanted = Wanted {
        uuid: Uuid::new_v4(),
        location: location.map(str::to_owned),
        owner: None,
        description,
        drive_meta: drive_meta(drive)?,
        policy: None,
    };
    let uuid = wanted.uuid;
    remotes.begin(drive, wanted)?;
    let done = remotes.transfer(uuid, progress);
    done.map_err(|failure| failure.consequence("its moment is pinned: `floe remote resume` goes on"))?;
    view(remotes, uuid)
}

/// Does what was begun before and did not end.
///
/// # Errors
/// Those of location and engine.
pub fn go_on(remotes: &Remotes, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Uuid>, Failure> {
    let mut done = Vec::new();
    for (uuid, _) in remotes.some(|known| known.state == State::Transferring) {
        remotes.transfer(uuid, progress)?;
        done.push(uuid);
    }
    remotes.forget_all_there()?;
    Ok(done)
}

/// Deletes one, here and at its location.
///
/// # Errors
/// `NotNow`, and those of location and engine; then it is gone here, and its location is told the next time.
pub fn delete(remotes: &Remotes, uuid: Uuid) -> Result<RemoteView, Failure> {
    let view = view(remotes, uuid)?;
    remotes.delete(uuid)?;
    remotes.forget_there(uuid)?;
    Ok(view)
}

/// Makes a drive of one, with all of its image.
///
/// # Errors
/// `NotNow`, and those of location and engine; what came of it until then is deleted.
pub fn clone(remotes: &Remotes, uuid: Uuid, name: &str, progress: &mut dyn FnMut(u64, u64)) -> Result<Drive, Failure> {
    let (repository, manifest) = remotes.manifest(uuid)?;
    let mut attributes = Attributes::made_at(Timestamp::now());
    if let Some(media) = manifest.drive_meta["media"].as_str() {
        attributes.set_media(media);
    }
    attributes.set_uploading(true);
    let options = DriveOptions::new(manifest.size_bytes).name(name).attributes(attributes.to_bytes());
    let drive = remotes.store().create_drive(options)?;
    let restored = fetch::restore(&repository, &manifest.image(), &drive, &mut |done| progress(done, manifest.referenced_bytes));
    if let Err(failure) = restored {
        present(drive.delete())?;
        return Err(failure);
    }
    attributes.set_uploading(false);
    drive.flush()?;
    drive.set_attributes(&attributes.to_bytes())?;
    Ok(drive)
}
