//! Who may have the content of a drive or snapshot, who may send it, and which part of it?
//!
//! What is allowed is decided here; the bytes themselves go by in pieces, as whoever sends or takes them can.
//!
//! 1. Who may make a drive of an image may have the image; who owns a drive may write it, unless somebody else has it mounted.
//! 2. A drive that is being made by an upload is `uploading` until it is whole. If the upload breaks off there is no drive, and if the node
//!    ends in the middle, its next start deletes the drive.
//! 3. A drive that is sent in parts is `uploading` from the first part that says `complete=no` to the one that says `complete=yes`, whatever
//!    happens between. Each part is durable when it is answered.

use super::body::Object;
use super::describe::{size_in, word_in};
use super::drives::{self, Wanted};
use super::fault::{ErrorType, Fault};
use super::quota::SIZE_GRANULE_BYTES;
use super::routes::Asked;
use super::sharing::Permission;
use super::shelf::OwnDrive;
use super::span::{self, Span};
use super::wire::{self, State};
use super::{Answer, Api};
use crate::Drive;
use crate::node::jobs::{Operation, Step};
use crate::node::service::blocks;
use crate::node::service::select::Image;
use serde_json::json;
use std::ops::Range;
use uuid::Uuid;

/// What kind of bytes an image is.
pub const IMAGE: &str = "application/octet-stream";

/// Whether a drive has its whole image after an upload.
const COMPLETE: &str = "complete";

/// What the head of a request says of content.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// `Range`
    pub range: Option<String>,
    /// `If-Range`
    pub if_range: Option<String>,
    /// `If-None-Match`
    pub if_none_match: Option<String>,
    /// `Content-Range`
    pub content_range: Option<String>,
    /// `Content-Type`
    pub content_type: Option<String>,
    /// `Content-Length`
    pub length: Option<u64>,
    /// Is JSON asked for by its name?
    pub wants_json: bool,
}

/// What comes of a call for content.
pub enum Content {
    /// Bytes go out.
    Out(Outgoing),
    /// The caller has them already; this is their tag.
    Unchanged(String),
    /// The caller asks for what lies behind the end of so many bytes.
    Behind(u64),
    /// Bytes may come in.
    In(Incoming),
}

/// An image on its way out.
pub struct Outgoing {
    /// Whose bytes.
    pub image: Image,
    /// Its uuid.
    pub uuid: Uuid,
    /// How long the image is.
    pub size_bytes: u64,
    /// Which part of it, if not all.
    pub part: Option<Range<u64>>,
    /// What tells the image from all others, for ever.
    pub tag: Option<String>,
}

/// An image, or a part of one, on its way in.
pub struct Incoming {
    drive: Drive,
    owner: Uuid,
    /// Where its first byte lies in the drive.
    pub offset: u64,
    /// How many bytes must come.
    pub length: u64,
    made: bool,
    complete: Option<bool>,
    wants_json: bool,
}

/// What is said when all has come.
pub enum Received {
    /// As all answers.
    Json(Answer),
    /// The uuid of a drive that was made, and where it is found.
    Text(Uuid, String),
}

/// `GET /snapshots/{uuid}/download/`
pub fn download_snapshot(asked: &Asked<'_>, head: &Head) -> Result<Content, Fault> {
    let own = asked.view.find(&asked.api.snapshots, asked.uuid()?, Permission::Clone)?;
    let (uuid, size_bytes) = (own.handle.uuid(), own.handle.size_bytes());
    Ok(outgoing(Image::Snapshot(own.handle.clone()), uuid, size_bytes, Some(format!("\"{uuid}-{size_bytes}\"")), head))
}

/// `GET /drives/{uuid}/download/`: what is written meanwhile is sent as it is found. A snapshot is of one instant.
pub fn download_drive(asked: &Asked<'_>, head: &Head) -> Result<Content, Fault> {
    let own = asked.view.find(&asked.api.drives, asked.uuid()?, Permission::Clone)?;
    drives::refuse_unfinished(&own, "download")?;
    Ok(outgoing(Image::Drive(own.handle.clone()), own.handle.uuid(), own.handle.size_bytes()?, None, head))
}

fn outgoing(image: Image, uuid: Uuid, size_bytes: u64, tag: Option<String>, head: &Head) -> Content {
    if let (Some(tag), Some(known)) = (&tag, &head.if_none_match)
        && known.split(',').any(|known| known.trim() == "*" || known.trim().trim_start_matches("W/") == tag)
    {
        return Content::Unchanged(tag.clone());
    }
    // Whoever goes on with a part must have the beginning of the same image.
    let same = head.if_range.is_none() || head.if_range == tag;
    let part = match head.range.as_deref().filter(|_| same).map_or(Span::Whole, |range| span::asked(range, size_bytes)) {
        Span::Whole => None,
        Span::Part(part) => Some(part),
        Span::Behind => return Content::Behind(size_bytes),
    };
    Content::Out(Outgoing { image, uuid, size_bytes, part, tag })
}

/// `POST /drives/upload/`: makes a drive of what comes.
pub fn upload(asked: &Asked<'_>, head: &Head) -> Result<Content, Fault> {
    let (api, owner, uuid) = (asked.api, asked.caller.uuid, Uuid::new_v4());
    let length = length(head)?;
    let mut object = parameters(asked);
    object.entry("name").or_insert_with(|| uuid.to_string().into());
    object.entry("media").or_insert_with(|| "disk".into());
    let image_bytes = length.max(api.limits.drive_bytes_min).checked_next_multiple_of(SIZE_GRANULE_BYTES);
    let image_bytes = image_bytes.ok_or_else(|| Fault::invalid("size", "no drive is so large"))?;
    if size_in(api, &object)?.is_some_and(|size| size < image_bytes) {
        return Err(Fault::invalid("size", format!("the image has {length} bytes")));
    }
    object.entry("size").or_insert_with(|| image_bytes.into());
    let complete = complete(&object)?;
    let wanted = Wanted::of(asked, uuid, &object)?;
    let deciding = api.deciding(owner);
    let _deciding = deciding.lock();
    api.allow_bytes(asked.caller, &[(wanted.storage_type, wanted.size_bytes)].into())?;
    let mut attributes = wanted.attributes.clone();
    attributes.set_uploading(true);
    let step = Wanted { attributes, ..wanted }.into_step();
    asked.run(Operation::DriveCreate, vec![wire::uri("drives", uuid)], vec![step])?;
    let own = api.put(&api.drives, api.store.drive(uuid)?)?.ok_or_else(|| Fault::no_object(uuid))?;
    let drive = own.handle.clone();
    Ok(Content::In(Incoming { drive, owner, offset: 0, length, made: true, complete, wants_json: head.wants_json }))
}

/// `PUT /drives/{uuid}/upload/`: writes what comes into a drive.
pub fn upload_part(asked: &Asked<'_>, head: &Head) -> Result<Content, Fault> {
    let (api, owner, uuid) = (asked.api, asked.caller.uuid, asked.uuid()?);
    let length = length(head)?;
    let complete = complete(&parameters(asked))?;
    let deciding = api.deciding(owner);
    let _deciding = deciding.lock();
    let own = asked.view.find_own(&api.drives, uuid)?;
    drives::refuse_mounted(asked, uuid, "upload to")?;
    drives::refuse_filling(&own, "upload to")?;
    if own.attributes.uploading() {
        return Err(Fault::forbidden("Another upload is making this drive"));
    }
    let size_bytes = own.handle.size_bytes()?;
    let offset = match &head.content_range {
        None => 0,
        Some(range) => {
            let range = span::announced(range).ok_or_else(|| {
                Fault::new(400, ErrorType::Validation, "Content-Range is bytes FIRST-LAST/SIZE, or bytes FIRST-LAST/*")
            })?;
            if range.end - range.start != length {
                let message = format!("Content-Range has {} bytes, Content-Length {length}", range.end - range.start);
                return Err(Fault::new(400, ErrorType::Validation, message));
            }
            range.start
        }
    };
    if offset.checked_add(length).is_none_or(|end| end > size_bytes) {
        return Ok(Content::Behind(size_bytes));
    }
    if complete == Some(false) {
        mark(api, &own, |attributes| attributes.set_importing(true))?;
    }
    let drive = own.handle.clone();
    Ok(Content::In(Incoming { drive, owner, offset, length, made: false, complete, wants_json: true }))
}

fn length(head: &Head) -> Result<u64, Fault> {
    let kind = head.content_type.as_deref().map(|kind| kind.split(';').next().unwrap_or_default().trim());
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case(IMAGE)) {
        return Err(Fault::new(415, ErrorType::Validation, format!("An image is {IMAGE}")));
    }
    head.length.ok_or_else(|| Fault::new(411, ErrorType::Validation, "Content-Length is required"))
}

/// What the query says, as a body would.
fn parameters(asked: &Asked<'_>) -> Object {
    asked.call.parameters.iter().rev().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
}

fn complete(object: &Object) -> Result<Option<bool>, Fault> {
    Ok(word_in(object, COMPLETE, &["yes", "no"])?.map(|word| word == "yes"))
}

/// Changes what is written about a drive; whoever calls it keeps others from doing so.
fn mark(api: &Api, own: &OwnDrive, change: impl FnOnce(&mut crate::node::attributes::Attributes)) -> Result<(), Fault> {
    let mut attributes = own.attributes.clone();
    change(&mut attributes);
    if attributes != own.attributes {
        own.handle.set_attributes(&attributes.to_bytes())?;
        api.put(&api.drives, own.handle.clone())?;
    }
    Ok(())
}

impl Incoming {
    /// Writes the next bytes; `done` have come before.
    ///
    /// # Errors
    /// As the drive's: 404 if it was deleted, 503 if there is no space.
    pub fn write(&self, bytes: &[u8], done: u64) -> Result<(), Fault> {
        blocks::write(&self.drive, bytes, self.offset + done)?;
        Ok(())
    }

    /// All has come: makes it durable, and says so.
    ///
    /// # Errors
    /// As for [`Incoming::write`].
    pub(super) fn finish(&self, asked: &Asked<'_>) -> Result<Received, Fault> {
        let (api, uuid) = (asked.api, self.drive.uuid());
        self.drive.flush()?;
        let gone = || Fault::no_object(uuid);
        {
            let deciding = api.deciding(self.owner);
            let _deciding = deciding.lock();
            let own = api.drives.find(uuid).ok_or_else(gone)?;
            mark(api, &own, |attributes| {
                if self.made {
                    attributes.set_uploading(false);
                }
                if let Some(complete) = self.complete {
                    attributes.set_importing(!complete);
                }
            })?;
        }
        let uri = wire::uri("drives", uuid);
        if self.made && !self.wants_json {
            return Ok(Received::Text(uuid, uri));
        }
        let own = api.drives.find(uuid).ok_or_else(gone)?;
        let definition = asked.drive(&own, State::Now)?.ok_or_else(gone)?;
        Ok(Received::Json(if self.made {
            Answer { location: Some(uri), ..Answer::json(201, json!({"objects": [definition]})) }
        } else {
            Answer::json(200, definition.into())
        }))
    }

    /// It broke off: what was made by it goes.
    pub fn give_up(&self, api: &Api) {
        let uuid = self.drive.uuid();
        if !self.made {
            return;
        }
        api.drives.remove(uuid);
        if let Err(failure) = api.jobs.step(&Step::DeleteDrive { drive: uuid }) {
            tracing::error!(drive = %uuid, %failure, "what came of an upload that broke off is deleted at the next start");
        }
    }
}
