//! How do images go to a node and come from it?
//!
//! In parts, each a request of its own that can be made again: a connection that breaks costs a part, and not the image.
//!
//! 1. A drive into which an image goes is unfinished until the last part has come (complete=no, complete=yes).
//! 2. Holes of an image, and long runs of zeroes, are not sent into a new drive.

use super::connection::{Connection, unclear};
use super::node::{Node, uuid_in};
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::blocks;
use crate::node::service::export::{self, Exportable, Exported, ImageSink};
use crate::node::service::import::{Imported, refuse_larger};
use crate::node::service::source::{ImageSource, Piece};
use crate::units::{BLOCK_LEN, DRIVE_BYTES_MIN};
use std::ops::Range;
use std::thread;
use std::time::Duration;
use uuid::Uuid;

/// What one request carries.
const PART_BYTES: u64 = 16 << 20;

/// How much is read of a source at once.
const BUFFER_LEN: usize = 256 * BLOCK_LEN;

/// How often a part is tried.
const ATTEMPTS: u32 = 3;

/// How long to wait before a part is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// The image of a drive or snapshot on a node.
pub struct RemoteImage<'a> {
    pub connection: &'a Connection,
    pub path: String,
    pub size_bytes: u64,
}

impl Exportable for RemoteImage<'_> {
    fn size_bytes(&self) -> Result<u64, Failure> {
        Ok(self.size_bytes)
    }

    fn export(&self, sink: &mut dyn ImageSink, progress: &mut dyn FnMut(u64)) -> Result<Exported, Failure> {
        let (mut at, mut data_bytes) = (0, 0);
        while at < self.size_bytes {
            let part = at..(at + PART_BYTES).min(self.size_bytes);
            let bytes = tried(|| self.connection.receive_part(&self.path, &part))?;
            for run in blocks::runs(&bytes).filter(|run| !run.zero) {
                export::hand(sink, at + run.range.start as u64, &bytes[run.range.clone()])?;
                data_bytes += run.range.len() as u64;
            }
            at = part.end;
            progress(at);
        }
        export::end(sink, self.size_bytes)?;
        Ok(Exported { image_bytes: self.size_bytes, data_bytes })
    }
}

/// What fails for lack of an answer is tried again.
fn tried<T>(mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(failure) if failure.kind() == FailureKind::Io => thread::sleep(PAUSE),
            other => return other,
        }
    }
    attempt()
}

/// A new drive with the image's content, of the image's size or of `size_bytes` if that is larger.
pub fn into_new(
    node: &Node,
    name: &str,
    size_bytes: Option<u64>,
    source: &mut dyn ImageSource,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, Failure> {
    let Some(wanted) = size_bytes.or(source.size_bytes()) else {
        let message =
            "how large is it? what comes from a pipe has no size that a node could be told: give --size, or import a file";
        return Err(Failure::new(FailureKind::InvalidArgument, message));
    };
    refuse_larger(source.size_bytes().unwrap_or(0), wanted)?;
    let size = wanted.max(DRIVE_BYTES_MIN).to_string();
    let made = node.0.begin_upload("/drives/upload/", &[("name", name), ("size", &size), ("complete", "no")])?;
    let drive = uuid_in(&made["objects"][0]["uuid"]).ok_or_else(unclear)?;
    let mut parts = Parts { node, drive, size_bytes: wanted, is_new: true, start: 0, bytes: Vec::new(), data_bytes: 0 };
    parts.all(source, progress).map_err(|failure| match node.0.delete(&format!("/drives/{drive}/"), None) {
        Ok(()) => failure.consequence("the unfinished drive was deleted again"),
        Err(second) => failure.consequence(format_args!("deleting the unfinished drive {drive} failed too: {second}")),
    })
}

/// Gives a drive the image's content; a longer image enlarges it.
pub fn over(node: &Node, drive: Uuid, source: &mut dyn ImageSource, progress: &mut dyn FnMut(u64)) -> Result<Imported, Failure> {
    let now = node.drive_of(drive)?.size_bytes;
    let image_bytes = source.size_bytes().ok_or_else(|| {
        let message = "what comes from a pipe has no size that the drive could be given: import a file";
        Failure::new(FailureKind::InvalidArgument, message)
    })?;
    let size_bytes =
        if image_bytes > now { node.change_drive(drive, &serde_json::json!({"size": image_bytes}))?.size_bytes } else { now };
    if size_bytes - image_bytes >= DRIVE_BYTES_MIN {
        let message = format!("the drive has {now} bytes, the image {image_bytes}: a node makes no drive smaller");
        return Err(Failure::new(FailureKind::InvalidArgument, message));
    }
    let mut parts = Parts { node, drive, size_bytes, is_new: false, start: 0, bytes: Vec::new(), data_bytes: 0 };
    let marked = tried(|| node.0.send_part(&parts.path(), &[("complete", "no")], 0, &[]));
    marked.and_then(|()| parts.all(source, progress)).map_err(|failure| {
        failure.consequence("the drive may hold a part of the new image, its snapshots are as before: import again")
    })
}

/// An image on its way to a drive, a part at a time.
struct Parts<'a> {
    node: &'a Node,
    drive: Uuid,
    /// The most that the image may have.
    size_bytes: u64,
    /// Is what was not sent zeroes already?
    is_new: bool,
    /// Where the bytes lie that are to be sent.
    start: u64,
    bytes: Vec<u8>,
    data_bytes: u64,
}

impl Parts<'_> {
    fn path(&self) -> String {
        format!("/drives/{}/upload/", self.drive)
    }

    /// Sends everything, and says that this was all.
    fn all(&mut self, source: &mut dyn ImageSource, progress: &mut dyn FnMut(u64)) -> Result<Imported, Failure> {
        let mut buffer = vec![0; BUFFER_LEN];
        let image_bytes = loop {
            let piece = source.next_piece(&mut buffer).map_err(|error| Failure::io("reading the image", error))?;
            match piece {
                Piece::Data(range) => {
                    refuse_larger(range.end, self.size_bytes)?;
                    let bytes = &buffer[..usize::try_from(range.end - range.start).expect("no longer than a buffer")];
                    let data: u64 = blocks::runs(bytes).filter(|run| !run.zero).map(|run| run.range.len() as u64).sum();
                    self.data_bytes += data;
                    if data > 0 {
                        self.data(bytes, range.start)?
                    } else {
                        self.zeroes(range.clone())?
                    }
                    progress(range.end);
                }
                Piece::Hole(range) => {
                    refuse_larger(range.end, self.size_bytes)?;
                    self.zeroes(range.clone())?;
                    progress(range.end);
                }
                Piece::End(image_bytes) => break image_bytes,
            }
        };
        self.zeroes(image_bytes..self.size_bytes)?;
        self.send()?;
        tried(|| self.node.0.send_part(&self.path(), &[("complete", "yes")], 0, &[]))?;
        Ok(Imported { drive: self.node.drive_of(self.drive)?, image_bytes, data_bytes: self.data_bytes })
    }

    fn data(&mut self, bytes: &[u8], offset: u64) -> Result<(), Failure> {
        if self.bytes.is_empty() {
            self.start = offset;
        }
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() as u64 >= PART_BYTES { self.send() } else { Ok(()) }
    }

    fn zeroes(&mut self, range: Range<u64>) -> Result<(), Failure> {
        // A request costs more than a few zeroes.
        let is_short = !self.bytes.is_empty() && range.end - range.start <= BUFFER_LEN as u64;
        if self.is_new && !is_short {
            return self.send();
        }
        let mut at = range.start;
        while at < range.end {
            let len = usize::try_from(range.end - at).map_or(BUFFER_LEN, |rest| rest.min(BUFFER_LEN));
            self.data(&blocks::ZEROES[..len], at)?;
            at += len as u64;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Failure> {
        if !self.bytes.is_empty() {
            tried(|| self.node.0.send_part(&self.path(), &[], self.start, &self.bytes))?;
            self.bytes.clear();
        }
        Ok(())
    }
}
