//! How does the content of a drive or snapshot become an image?

use crate::node::failure::Failure;
use crate::node::service::blocks::{self, ZEROES};
use crate::node::service::select::Image;
use crate::units::BLOCK_LEN;
use crate::{Drive, Snapshot};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// How much is handed on at once, so that progress moves.
const CHUNK_LEN: usize = 256 * BLOCK_LEN;

/// What an export did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// How long the image is.
    pub image_bytes: u64,
    /// How much of it the drive or snapshot maps; the rest is zeroes.
    pub data_bytes: u64,
}

/// Something that takes an image from its first byte to its last.
pub trait ImageSink {
    /// Takes data; whatever lies between this and the data before is zeroes.
    ///
    /// # Errors
    /// Those of writing.
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Takes the end: the image has `image_bytes`, and what lies behind the last data is zeroes.
    ///
    /// # Errors
    /// Those of writing.
    fn end(&mut self, image_bytes: u64) -> io::Result<()>;
}

/// A new, empty file, in which zeroes become holes.
#[derive(Debug)]
pub struct SparseFile<'a>(pub &'a File);

/// Something that is written on and on, zeroes too: a pipe, a block device, the body of a reply.
#[derive(Debug)]
pub struct Stream<W> {
    to: W,
    position: u64,
}

/// Something whose image can be had.
pub trait Exportable {
    /// How long the image is.
    ///
    /// # Errors
    /// `NotFound` if the thing was deleted.
    fn size_bytes(&self) -> Result<u64, Failure>;

    /// Hands the image to `sink`; `progress` hears the offset that was reached.
    ///
    /// # Errors
    /// `Corrupt` and `Io` from reading; `NoSpace`, `BrokenPipe` and `Io` from writing.
    fn export(&self, sink: &mut dyn ImageSink, progress: &mut dyn FnMut(u64)) -> Result<Exported, Failure>;
}

impl Exportable for Image {
    fn size_bytes(&self) -> Result<u64, Failure> {
        match self {
            Self::Drive(drive) => Ok(drive.size_bytes()?),
            Self::Snapshot(snapshot) => Ok(snapshot.size_bytes()),
        }
    }

    fn export(&self, sink: &mut dyn ImageSink, progress: &mut dyn FnMut(u64)) -> Result<Exported, Failure> {
        let image_bytes = self.size_bytes()?;
        let mut data_bytes = 0;
        let mut take = |offset: u64, bytes: &[u8]| {
            // The last block may reach beyond the image's end.
            let len = usize::try_from(image_bytes.saturating_sub(offset)).map_or(bytes.len(), |rest| rest.min(bytes.len()));
            hand(sink, offset, &bytes[..len])?;
            data_bytes += len as u64;
            progress(offset + len as u64);
            Ok(())
        };
        match self {
            Self::Drive(drive) => from_drive(drive, &mut take)?,
            Self::Snapshot(snapshot) => from_snapshot(snapshot, &mut take)?,
        }
        end(sink, image_bytes)?;
        progress(image_bytes);
        Ok(Exported { image_bytes, data_bytes })
    }
}

/// Hands data to a sink.
///
/// # Errors
/// Those of the sink.
pub fn hand(sink: &mut dyn ImageSink, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
    sink.data(offset, bytes).map_err(writing)
}

/// Tells a sink the end.
///
/// # Errors
/// Those of the sink.
pub fn end(sink: &mut dyn ImageSink, image_bytes: u64) -> Result<(), Failure> {
    sink.end(image_bytes).map_err(writing)
}

fn writing(error: io::Error) -> Failure {
    Failure::io("writing the image", error)
}

type Take<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), Failure>;

fn from_drive(drive: &Drive, take: Take<'_>) -> Result<(), Failure> {
    let mut buffer = vec![0; CHUNK_LEN];
    for range in drive.mapped_ranges() {
        let range = range?;
        for offset in range.clone().step_by(CHUNK_LEN) {
            let len = usize::try_from(range.end - offset).map_or(CHUNK_LEN, |rest| rest.min(CHUNK_LEN));
            drive.read_at(&mut buffer[..len], offset)?;
            take(offset, &buffer[..len])?;
        }
    }
    Ok(())
}

/// Nothing is copied: the slices lie in the store's memory map and go straight to the sink.
fn from_snapshot(snapshot: &Snapshot, take: Take<'_>) -> Result<(), Failure> {
    for extent in snapshot.extents() {
        let extent = extent?;
        let mut offset = extent.offset;
        for chunk in extent.data.chunks(CHUNK_LEN) {
            take(offset, chunk)?;
            offset += chunk.len() as u64;
        }
    }
    Ok(())
}

impl ImageSink for SparseFile<'_> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        blocks::runs(bytes)
            .filter(|run| !run.zero)
            .try_for_each(|run| self.0.write_all_at(&bytes[run.range.clone()], offset + run.range.start as u64))
    }

    fn end(&mut self, image_bytes: u64) -> io::Result<()> {
        self.0.set_len(image_bytes)
    }
}

impl<W: Write> Stream<W> {
    /// A sink that writes to `to`.
    pub fn new(to: W) -> Self {
        Self { to, position: 0 }
    }

    fn zeroes_until(&mut self, offset: u64) -> io::Result<()> {
        while self.position < offset {
            let len = usize::try_from(offset - self.position).map_or(ZEROES.len(), |rest| rest.min(ZEROES.len()));
            self.to.write_all(&ZEROES[..len])?;
            self.position += len as u64;
        }
        Ok(())
    }
}

impl<W: Write> ImageSink for Stream<W> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.zeroes_until(offset)?;
        self.to.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn end(&mut self, image_bytes: u64) -> io::Result<()> {
        self.zeroes_until(image_bytes)?;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::{ImageSink, SparseFile, Stream};
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    fn pour(sink: &mut dyn ImageSink) {
        sink.data(8192, &[7; 4096]).expect("taken");
        sink.data(1 << 20, &[[0; 4096], [9; 4096]].concat()).expect("taken");
        sink.end((1 << 22) + 5).expect("ended");
    }

    fn expected() -> Vec<u8> {
        let mut image = vec![0; (1 << 22) + 5];
        image[8192..12288].fill(7);
        image[(1 << 20) + 4096..(1 << 20) + 8192].fill(9);
        image
    }

    #[test]
    fn a_stream_gets_every_zero() {
        let mut bytes = Vec::new();
        pour(&mut Stream::new(&mut bytes));
        assert!(bytes == expected());
    }

    #[test]
    fn a_file_gets_holes() {
        let mut file = tempfile::tempfile().expect("a file");
        pour(&mut SparseFile(&file));
        assert!(file.metadata().expect("asked").blocks() * 512 < 1 << 19);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("read");
        assert!(bytes == expected());
    }
}
