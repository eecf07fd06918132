//! How do the bytes of an image get into a buffer?
//!
//! First it is found out where they lie, under whatever lock that takes; then they are copied without it.

use crate::device::Device;
use crate::error::{Context, Result};
use crate::format::entry::Extent;
use crate::units::{BLOCK_BYTES, LogicalBlock};

/// Reads up to this length are copied out of the map; longer ones are read by `pread`, whose readahead pays for the call.
const MAPPED_READ_MAX: usize = 64 * 1024;

/// How many segments are found out at a time.
pub const SEGMENTS_MAX: usize = 16;

/// Where the blocks of an image lie.
pub trait Image {
    /// The first extent that ends behind `from`.
    ///
    /// # Errors
    /// `Corrupt` if the table cannot be read.
    fn next_extent(&self, from: LogicalBlock) -> Result<Option<Extent>>;
}

/// A piece of a buffer and the bytes that belong there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Length in bytes.
    pub len: usize,
    /// Where in the store they lie; `None` for a hole.
    pub source: Option<u64>,
}

/// Finds out where the `len` bytes at `offset` lie, as far as `segments` go. Returns how many segments were filled; they
/// cover at least one byte if `len` is not 0.
///
/// # Errors
/// `Corrupt` if the table cannot be read.
pub fn plan(image: &impl Image, offset: u64, len: usize, segments: &mut [Segment; SEGMENTS_MAX]) -> Result<usize> {
    let end = offset + len as u64;
    let mut at = offset;
    let mut count = 0;
    let mut push = |count: &mut usize, len: u64, source: Option<u64>| {
        segments[*count] = Segment { len: len as usize, source };
        *count += 1;
    };
    while at < end && count < SEGMENTS_MAX {
        let extent = image.next_extent(LogicalBlock::holding(at))?.filter(|extent| extent.logical.offset() < end);
        let Some(extent) = extent else {
            push(&mut count, end - at, None);
            break;
        };
        let start = extent.logical.offset();
        if start > at {
            push(&mut count, start - at, None);
            at = start;
            continue;
        }
        let until = end.min(extent.end().offset());
        push(&mut count, until - at, extent.physical.map(|block| block.offset() + (at - start)));
        at = until;
    }
    Ok(count)
}

/// Copies what `segments` name into `buf`; returns how many bytes that were.
///
/// # Errors
/// `Io` from the device.
pub fn copy(device: &dyn Device, segments: &[Segment], buf: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    for segment in segments {
        let part = &mut buf[done..done + segment.len];
        match segment.source {
            None => part.fill(0),
            Some(source) => {
                let read =
                    if part.len() <= MAPPED_READ_MAX { device.copy_mapped(part, source) } else { device.read_at(part, source) };
                read.context(|| format!("read {} bytes at block {} of the store", segment.len, source / BLOCK_BYTES))?;
            }
        }
        done += segment.len;
    }
    Ok(done)
}
