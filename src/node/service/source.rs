//! Where does an imported image come from?

use crate::units::BLOCK_BYTES;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt};

/// A piece of an image; pieces come in order and without gaps, and all but the last begin and end with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes of the image are now at the beginning of the buffer.
    Data(Range<u64>),
    /// These bytes are zeroes that nobody had to read.
    Hole(Range<u64>),
    /// The image has this many bytes.
    End(u64),
}

/// An image that is read from its first byte to its last.
pub trait ImageSource {
    /// Its size, if that is known before its end.
    fn size_bytes(&self) -> Option<u64>;

    /// The next piece; `buffer` holds whole blocks.
    ///
    /// # Errors
    /// Those of reading.
    fn next_piece(&mut self, buffer: &mut [u8]) -> io::Result<Piece>;
}

/// A file or block device: its size is known, and its holes are not read.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    size_bytes: u64,
    position: u64,
    data_end: u64,
}

impl FileSource {
    /// The image in `file`, or nothing if it is a pipe or the like, which has no size.
    ///
    /// # Errors
    /// Those of asking the system about the file.
    pub fn new(mut file: File) -> io::Result<Result<Self, File>> {
        let metadata = file.metadata()?;
        if !metadata.is_file() && !metadata.file_type().is_block_device() {
            return Ok(Err(file));
        }
        // The length of a block device is where its end is, not what its metadata say.
        let position = file.stream_position()?;
        let size_bytes = file.seek(io::SeekFrom::End(0))?;
        file.seek(io::SeekFrom::Start(position))?;
        if position != 0 {
            // Somebody has read the beginning of this standard input: what is left is a stream.
            return Ok(Err(file));
        }
        Ok(Ok(Self { file, size_bytes, position: 0, data_end: 0 }))
    }

    /// Finds the next data, from `position` on, and sets `data_end`.
    fn find_data(&mut self) -> io::Result<u64> {
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(self.position)) {
            Ok(start) => (start / BLOCK_BYTES * BLOCK_BYTES).max(self.position),
            Err(Errno::NXIO) => self.size_bytes,
            // This file system does not know its holes: everything is data.
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => {
                self.data_end = self.size_bytes;
                return Ok(self.position);
            }
            Err(error) => return Err(error.into()),
        };
        if start >= self.size_bytes {
            return Ok(self.size_bytes);
        }
        let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start))?;
        self.data_end = end.max(start + 1).next_multiple_of(BLOCK_BYTES).min(self.size_bytes);
        Ok(start)
    }
}

impl ImageSource for FileSource {
    fn size_bytes(&self) -> Option<u64> {
        Some(self.size_bytes)
    }

    fn next_piece(&mut self, buffer: &mut [u8]) -> io::Result<Piece> {
        let from = self.position;
        if from >= self.size_bytes {
            return Ok(Piece::End(self.size_bytes));
        }
        if from >= self.data_end {
            let data = self.find_data()?;
            if data > from {
                self.position = data;
                return Ok(Piece::Hole(from..data));
            }
        }
        let len = (self.data_end - from).min(buffer.len() as u64);
        let to = &mut buffer[..usize::try_from(len).expect("no longer than a buffer")];
        self.file.read_exact_at(to, from).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "the image became shorter while it was read"),
            _ => error,
        })?;
        self.position += len;
        Ok(Piece::Data(from..self.position))
    }
}

/// Anything that can only be read on and on: a pipe, the body of a request.
#[derive(Debug)]
pub struct StreamSource<R> {
    stream: R,
    position: u64,
}

impl<R: Read> StreamSource<R> {
    /// The image that `stream` brings.
    pub fn new(stream: R) -> Self {
        Self { stream, position: 0 }
    }
}

impl<R: Read> ImageSource for StreamSource<R> {
    fn size_bytes(&self) -> Option<u64> {
        None
    }

    fn next_piece(&mut self, buffer: &mut [u8]) -> io::Result<Piece> {
        // A pipe gives what it has; only whole buffers keep the next piece at a block's beginning.
        let mut len = 0;
        while len < buffer.len() {
            match self.stream.read(&mut buffer[len..]) {
                Ok(0) => break,
                Ok(count) => len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let from = self.position;
        self.position += len as u64;
        Ok(if len == 0 { Piece::End(from) } else { Piece::Data(from..self.position) })
    }
}

#[cfg(test)]
mod tests {
    use super::{FileSource, ImageSource, Piece, StreamSource};
    use std::io::{self, Read};
    use std::os::unix::fs::FileExt;

    fn pieces(mut source: impl ImageSource) -> Vec<Piece> {
        let mut buffer = vec![0; 8192];
        let mut all = Vec::new();
        loop {
            let piece = source.next_piece(&mut buffer).expect("readable");
            all.push(piece.clone());
            if matches!(piece, Piece::End(_)) {
                return all;
            }
        }
    }

    #[test]
    fn holes_of_a_file_are_not_read() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(1 << 20).expect("sized");
        file.write_all_at(&[1; 5000], 65536).expect("written");
        let size = (1 << 20) + 10;
        file.set_len(size).expect("sized");
        let all = pieces(FileSource::new(file).expect("asked").expect("a regular file"));
        let data: u64 = all.iter().map(|piece| if let Piece::Data(range) = piece { range.end - range.start } else { 0 }).sum();
        assert!((8192..1 << 19).contains(&data), "{all:?}");
        assert_eq!(all.last(), Some(&Piece::End(size)));
        let mut at = 0;
        for piece in &all {
            if let Piece::Data(range) | Piece::Hole(range) = piece {
                assert_eq!(range.start, at);
                at = range.end;
            }
        }
        assert_eq!(at, size);
    }

    struct Dribble(usize);

    impl Read for Dribble {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.min(buffer.len()).min(1000);
            self.0 -= count;
            Ok(count)
        }
    }

    #[test]
    fn a_pipe_is_read_in_whole_buffers() {
        let all = pieces(StreamSource::new(Dribble(20_000)));
        assert_eq!(all, [Piece::Data(0..8192), Piece::Data(8192..16384), Piece::Data(16384..20_000), Piece::End(20_000)]);
    }
}
