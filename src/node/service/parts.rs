//! How is an image read in parts, by somebody who takes his time?

use crate::Result;
use crate::node::service::select::Image;
use std::ops::Range;

/// The next part of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Data(Vec<u8>),
    /// So many zeroes, which nobody had to read.
    Zeroes(u64),
}

impl Image {
    /// The part at the beginning of a range: a hole, as long as it is, or at most `bytes_max` bytes, which begin with data.
    ///
    /// # Errors
    /// `InvalidArgument` if the image became shorter, `NotFound`, `Corrupt`, `Io`.
    pub fn part(&self, range: Range<u64>, bytes_max: usize) -> Result<Part> {
        let mapped = match self {
            Self::Drive(drive) => drive.mapped_ranges().within(range.clone()).next(),
            Self::Snapshot(snapshot) => snapshot.mapped_ranges().within(range.clone()).next(),
        };
        let data = mapped.transpose()?.map_or(range.end, |mapped| mapped.start);
        if data > range.start {
            return Ok(Part::Zeroes(data - range.start));
        }
        let mut bytes = vec![0; usize::try_from(range.end - range.start).map_or(bytes_max, |rest| rest.min(bytes_max))];
        match self {
            Self::Drive(drive) => drive.read_at(&mut bytes, range.start)?,
            Self::Snapshot(snapshot) => snapshot.read_at(&mut bytes, range.start)?,
        }
        Ok(Part::Data(bytes))
    }
}
