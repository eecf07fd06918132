//! How does an image become the content of a drive?
//!
//! 1. Blocks of zeroes are never written: in a new drive they stay holes, in an old one they become holes.
//! 2. Blocks that are equal to what an old drive holds stay shared with its snapshots (A3 of the engine).
//! 3. From the first write to the last flush the drive's attributes say `importing`: whatever stops an import, even a
//!    power cut, nobody takes half an image for a whole one.
//! 4. An import into a new drive that fails deletes the drive again.

use crate::node::attributes::Attributes;
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::blocks;
use crate::node::service::objects::DriveView;
use crate::node::service::reclaim;
use crate::node::service::source::{ImageSource, Piece};
use crate::node::timestamp::Timestamp;
use crate::units::{BLOCK_LEN, DRIVE_BYTES_MAX, DRIVE_BYTES_MIN};
use crate::{Drive, DriveOptions, Store};

/// How much is read, and at most written, at once.
const BUFFER_LEN: usize = 256 * BLOCK_LEN;

/// A drive that grows with an image of unknown size gets at least this much, so that it grows seldom.
const GROWTH_BYTES_MIN: u64 = 1 << 30;

/// What an import did.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The drive afterwards.
    pub drive: DriveView,
    /// How long the image is.
    pub image_bytes: u64,
    /// How much of it was handed to the drive; the rest is zeroes.
    pub data_bytes: u64,
}

/// A new drive `name` with the image's content, of the image's size or of `size_bytes` if that is larger.
///
/// # Errors
/// `InvalidArgument` for an image larger than `size_bytes`, `NoSpace`, `Io`. The store then is as before; where even that
/// fails, the message says so.
pub fn into_new(
    store: &Store,
    name: &str,
    size_bytes: Option<u64>,
    source: &mut dyn ImageSource,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, Failure> {
    let image_bytes = source.size_bytes();
    if let (Some(size_bytes), Some(image_bytes)) = (size_bytes, image_bytes) {
        refuse_larger(image_bytes, size_bytes)?;
    }
    let mut attributes = Attributes::made_at(Timestamp::now());
    attributes.set_importing(true);
    let initial = size_bytes.or(image_bytes).unwrap_or(DRIVE_BYTES_MIN).max(DRIVE_BYTES_MIN);
    let drive = store.create_drive(DriveOptions::new(initial).name(name).attributes(attributes.to_bytes()))?;
    let mut pour = Pour { drive: &drive, size_bytes: initial, size_bytes_max: size_bytes, data_bytes: 0 };
    match pour.all(source, progress).and_then(|image_bytes| pour.finish(image_bytes)) {
        Ok(imported) => Ok(imported),
        Err(failure) => Err(undo(store, drive, failure)),
    }
}

/// Gives `drive` the image's content and size.
///
/// # Errors
/// `NoSpace`, `Io`. The drive then holds a part of the image and its attributes go on saying `importing`; its snapshots
/// are as before.
pub fn over(drive: &Drive, source: &mut dyn ImageSource, progress: &mut dyn FnMut(u64)) -> Result<Imported, Failure> {
    mark_importing(drive, true)?;
    pour_over(drive, source, progress).map_err(|failure| {
        failure.consequence(
            "the drive holds a part of the new image, its snapshots are as before: import again, or revert to a snapshot",
        )
    })
}

fn pour_over(drive: &Drive, source: &mut dyn ImageSource, progress: &mut dyn FnMut(u64)) -> Result<Imported, Failure> {
    let mut size_bytes = drive.size_bytes()?;
    // What a shorter image cuts off goes first: its space may be needed.
    if let Some(wanted) =
        source.size_bytes().map(|image_bytes| image_bytes.max(DRIVE_BYTES_MIN)).filter(|wanted| *wanted != size_bytes)
    {
        drive.resize(wanted)?;
        size_bytes = wanted;
    }
    let mut pour = Pour { drive, size_bytes, size_bytes_max: None, data_bytes: 0 };
    let image_bytes = pour.all(source, progress)?;
    pour.finish(image_bytes)
}

fn undo(store: &Store, drive: Drive, failure: Failure) -> Failure {
    let (uuid, deleted) = (drive.uuid(), drive.delete());
    drop(drive);
    match deleted.map_err(Failure::from).and_then(|()| reclaim::to_end(store, &mut |_| {})) {
        Ok(_) => failure.consequence("the unfinished drive was deleted again"),
        Err(second) => failure.consequence(format_args!("deleting the unfinished drive {uuid} failed too: {second}")),
    }
}

fn mark_importing(drive: &Drive, importing: bool) -> Result<(), Failure> {
    let bytes = drive.attributes()?;
    let mut attributes = Attributes::read(&bytes);
    attributes.set_importing(importing);
    // Whatever began before: it is an import now, which can be begun again.
    attributes.set_uploading(false);
    let changed = attributes.to_bytes();
    if changed != bytes {
        drive.set_attributes(&changed)?;
    }
    Ok(())
}

/// An image that does not fit is refused.
///
/// # Errors
/// `InvalidArgument`
pub fn refuse_larger(image_bytes: u64, size_bytes: u64) -> Result<(), Failure> {
    if image_bytes <= size_bytes {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::InvalidArgument,
        format!("the image is larger than the {size_bytes} bytes that the drive shall have"),
    ))
}

/// An image on its way into a drive.
struct Pour<'a> {
    drive: &'a Drive,
    size_bytes: u64,
    /// The size that the user wants, if so; the drive grows otherwise.
    size_bytes_max: Option<u64>,
    data_bytes: u64,
}

impl Pour<'_> {
    /// Pours everything in and returns how many bytes the image has.
    fn all(&mut self, source: &mut dyn ImageSource, progress: &mut dyn FnMut(u64)) -> Result<u64, Failure> {
        let mut buffer = vec![0; BUFFER_LEN];
        loop {
            let piece = source.next_piece(&mut buffer).map_err(|error| Failure::io("reading the image", error))?;
            match piece {
                Piece::Data(range) => {
                    self.make_room(range.end)?;
                    let len = usize::try_from(range.end - range.start).expect("no longer than a buffer");
                    self.data_bytes += blocks::write(self.drive, &buffer[..len], range.start)?;
                    progress(range.end);
                }
                Piece::Hole(range) => {
                    blocks::zero(self.drive, range.clone())?;
                    progress(range.end);
                }
                Piece::End(image_bytes) => return Ok(image_bytes),
            }
        }
    }

    fn make_room(&mut self, end: u64) -> Result<(), Failure> {
        if let Some(size_bytes_max) = self.size_bytes_max {
            return refuse_larger(end, size_bytes_max);
        }
        if end > self.size_bytes {
            // Doubling keeps the number of resizes, each of them a commit, small; `finish` cuts off what is too much.
            let wanted = self.size_bytes.saturating_mul(2).max(GROWTH_BYTES_MIN).max(end).min(DRIVE_BYTES_MAX);
            self.drive.resize(wanted)?;
            self.size_bytes = wanted;
        }
        Ok(())
    }

    /// Gives the drive its size, makes everything durable, and only then takes the mark away.
    fn finish(&mut self, image_bytes: u64) -> Result<Imported, Failure> {
        let wanted = self.size_bytes_max.unwrap_or(image_bytes).max(DRIVE_BYTES_MIN);
        if wanted > image_bytes {
            blocks::zero(self.drive, image_bytes..wanted)?;
        }
        if wanted != self.size_bytes {
            self.drive.resize(wanted)?;
        }
        self.drive.flush()?;
        mark_importing(self.drive, false)?;
        self.drive.flush()?;
        Ok(Imported { drive: DriveView::of(self.drive)?, image_bytes, data_bytes: self.data_bytes })
    }
}
