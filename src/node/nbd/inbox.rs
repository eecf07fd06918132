//! What has a client sent that was not looked at yet?

use super::wire::Wire;
use std::io;

/// Bytes that are received at a time, at most; also the longest piece that can be looked at as a whole.
pub const INBOX_BYTES: usize = 1 << 20;

/// Received bytes, in order.
pub struct Inbox {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

/// What waiting for bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// There are more.
    More,
    /// There will never be more.
    End,
    /// None came for a while.
    Nothing,
}

impl Inbox {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { bytes: vec![0; INBOX_BYTES].into(), start: 0, end: 0 }
    }

    /// What is there.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Is nothing there?
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Forgets the first `count` bytes.
    pub fn take(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Waits for more, and takes at most about `most` bytes of it.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn fill(&mut self, wire: &dyn Wire, most: usize) -> io::Result<Filled> {
        self.fill_by(|room| wire.receive(room), most)
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn fill_at_once(&mut self, wire: &dyn Wire, most: usize) -> io::Result<Filled> {
        self.fill_by(|room| wire.receive_at_once(room), most)
    }

    fn fill_by(&mut self, receive: impl FnOnce(&mut [u8]) -> io::Result<usize>, most: usize) -> io::Result<Filled> {
        if self.start > 0 && self.end > INBOX_BYTES / 2 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let end = INBOX_BYTES.min(self.end + most);
        let room = &mut self.bytes[self.end..end];
        assert!(!room.is_empty(), "whoever waits for more than fits must take it in pieces");
        let filled = received(receive(room))?;
        if let (Filled::More, count) = filled {
            self.end += count;
        }
        Ok(filled.0)
    }
}

/// What a call of [`Wire::receive`] came to, and how many bytes it brought.
///
/// # Errors
/// If the connection is broken.
pub fn received(result: io::Result<usize>) -> io::Result<(Filled, usize)> {
    match result {
        Ok(0) => Ok((Filled::End, 0)),
        Ok(count) => Ok((Filled::More, count)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok((Filled::Nothing, 0)),
        Err(error) => Err(error),
    }
}
