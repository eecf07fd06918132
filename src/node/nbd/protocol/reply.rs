//! What does a client get for an answer?

use super::Mode;
use super::errno::Errno;
use super::request::Request;
use std::ops::Range;

const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;
const EXTENDED_REPLY_MAGIC: u32 = 0x6e8a_278c;

const FLAG_DONE: u16 = 1;

const CHUNK_NONE: u16 = 0;
const CHUNK_DATA: u16 = 1;
const CHUNK_HOLE: u16 = 2;
const CHUNK_STATUS: u16 = 5;
const CHUNK_STATUS_EXTENDED: u16 = 6;
const CHUNK_ERROR: u16 = (1 << 15) + 1;

/// Words that go with an error are cut off here.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Bytes for a client, in memory that is used again and again and so zeroed only once.
#[derive(Default)]
pub struct Output {
    bytes: Vec<u8>,
    used: usize,
}

impl Output {
    /// What was put in.
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// How many bytes were put in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used
    }

    /// Was nothing put in?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Forgets what was put in behind `len`, and memory beyond `keep` bytes.
    pub fn cut(&mut self, len: usize, keep: usize) {
        self.used = self.used.min(len);
        if self.bytes.len() > keep.max(self.used) {
            self.bytes.truncate(keep.max(self.used));
            self.bytes.shrink_to_fit();
        }
    }

    /// Room for `len` bytes, to be filled by the caller.
    pub fn room(&mut self, len: usize) -> &mut [u8] {
        let range = self.take(len);
        &mut self.bytes[range]
    }

    /// Puts bytes in.
    pub fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    fn take(&mut self, len: usize) -> Range<usize> {
        let start = self.used;
        self.used += len;
        if self.used > self.bytes.len() {
            self.bytes.resize(self.used, 0);
        }
        start..self.used
    }
}

/// Answers one request.
#[derive(Clone, Copy)]
pub struct Answer {
    mode: Mode,
    cookie: u64,
    offset: u64,
}

/// Where data was promised and is still to be filled in.
pub struct Promised {
    start: usize,
    data: Range<usize>,
}

impl Answer {
    /// The answer to a request.
    #[must_use]
    pub fn to(mode: Mode, request: &Request) -> Self {
        Self { mode, cookie: request.cookie, offset: request.offset }
    }

    /// It is done.
    pub fn done(&self, output: &mut Output) {
        match self.mode {
            Mode::Simple | Mode::Structured => self.simple(output, 0),
            Mode::Extended => self.chunk(output, FLAG_DONE, CHUNK_NONE, 0),
        }
    }

    /// It is a read, and there is nothing to send.
    pub fn empty(&self, output: &mut Output) {
        match self.mode {
            Mode::Simple => self.simple(output, 0),
            Mode::Structured | Mode::Extended => self.chunk(output, FLAG_DONE, CHUNK_NONE, 0),
        }
    }

    /// It failed. Clients of structured replies get the words too.
    pub fn failed(&self, output: &mut Output, errno: Errno, words: &str) {
        if self.mode == Mode::Simple {
            return self.simple(output, errno as u32);
        }
        let mut len = words.len().min(MESSAGE_BYTES_MAX);
        while !words.is_char_boundary(len) {
            len -= 1;
        }
        self.chunk(output, FLAG_DONE, CHUNK_ERROR, 6 + len as u64);
        output.put(&(errno as u32).to_be_bytes());
        output.put(&(len as u16).to_be_bytes());
        output.put(&words.as_bytes()[..len]);
    }

    /// Promises `len` bytes of the export from `offset` on; `last` says that nothing else comes.
    pub fn data(&self, output: &mut Output, offset: u64, len: usize, last: bool) -> Promised {
        let start = output.len();
        if self.mode == Mode::Simple {
            self.simple(output, 0);
        } else {
            self.chunk(output, u16::from(last), CHUNK_DATA, 8 + len as u64);
            output.put(&offset.to_be_bytes());
        }
        Promised { start, data: output.take(len) }
    }

    /// Says that `len` bytes from `offset` on are zeroes.
    pub fn hole(&self, output: &mut Output, offset: u64, len: u32, last: bool) {
        self.chunk(output, u16::from(last), CHUNK_HOLE, 12);
        output.put(&offset.to_be_bytes());
        output.put(&len.to_be_bytes());
    }

    /// Says what is where in a context: lengths in bytes, and what each means.
    pub fn status(&self, output: &mut Output, context: u32, extents: &[(u64, u32)], last: bool) {
        if self.mode == Mode::Extended {
            self.chunk(output, u16::from(last), CHUNK_STATUS_EXTENDED, 8 + 16 * extents.len() as u64);
            output.put(&context.to_be_bytes());
            output.put(&(extents.len() as u32).to_be_bytes());
            for (len, meaning) in extents {
                output.put(&len.to_be_bytes());
                output.put(&u64::from(*meaning).to_be_bytes());
            }
        } else {
            self.chunk(output, u16::from(last), CHUNK_STATUS, 4 + 8 * extents.len() as u64);
            output.put(&context.to_be_bytes());
            for (len, meaning) in extents {
                // A request of 32 bits asks for no more, and the extents are cut off at its end.
                output.put(&u32::try_from(*len).unwrap_or(u32::MAX).to_be_bytes());
                output.put(&meaning.to_be_bytes());
            }
        }
    }

    fn simple(&self, output: &mut Output, errno: u32) {
        output.put(&SIMPLE_REPLY_MAGIC.to_be_bytes());
        output.put(&errno.to_be_bytes());
        output.put(&self.cookie.to_be_bytes());
    }

    fn chunk(&self, output: &mut Output, flags: u16, kind: u16, len: u64) {
        let magic = if self.mode == Mode::Extended { EXTENDED_REPLY_MAGIC } else { STRUCTURED_REPLY_MAGIC };
        output.put(&magic.to_be_bytes());
        output.put(&flags.to_be_bytes());
        output.put(&kind.to_be_bytes());
        output.put(&self.cookie.to_be_bytes());
        if self.mode == Mode::Extended {
            output.put(&self.offset.to_be_bytes());
            output.put(&len.to_be_bytes());
        } else {
            output.put(&(len as u32).to_be_bytes());
        }
    }
}

impl Promised {
    /// The place to fill.
    pub fn place<'a>(&self, output: &'a mut Output) -> &'a mut [u8] {
        &mut output.bytes[self.data.clone()]
    }

    /// Takes the promise back: the data cannot be had.
    pub fn withdraw(self, output: &mut Output) {
        output.used = self.start;
    }
}
