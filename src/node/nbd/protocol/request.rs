//! What does a client ask for?

use super::handshake::CONTEXTS_MAX;
use super::{Mode, PAYLOAD_BYTES_MAX, Violation, u16_at, u32_at, u64_at};
use crate::node::nbd::protocol::errno::Errno;

const REQUEST_MAGIC: u32 = 0x2560_9513;
const EXTENDED_REQUEST_MAGIC: u32 = 0x21e4_1c71;
const REQUEST_BYTES: usize = 28;
const EXTENDED_REQUEST_BYTES: usize = 32;

/// Flags of a request.
pub mod flag {
    /// What was written is durable when the reply comes.
    pub const FUA: u16 = 1;
    /// Zeroes shall take space.
    pub const NO_HOLE: u16 = 1 << 1;
    /// The data shall come in one chunk.
    pub const DF: u16 = 1 << 2;
    /// One extent per context will do.
    pub const REQ_ONE: u16 = 1 << 3;
    /// Zeroes only if that is faster than writing them.
    pub const FAST_ZERO: u16 = 1 << 4;
    /// The length is that of a payload (extended headers).
    pub const PAYLOAD_LEN: u16 = 1 << 5;
}

/// What shall be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send data.
    Read,
    /// Take data.
    Write,
    /// End the connection.
    Disconnect,
    /// Make durable what was acknowledged.
    Flush,
    /// Forget data.
    Trim,
    /// Get data ready.
    Cache,
    /// Make zeroes.
    WriteZeroes,
    /// Say what is where.
    BlockStatus,
    /// Not known to this server.
    Other(u16),
}

impl From<u16> for Command {
    fn from(number: u16) -> Self {
        match number {
            0 => Self::Read,
            1 => Self::Write,
            2 => Self::Disconnect,
            3 => Self::Flush,
            4 => Self::Trim,
            5 => Self::Cache,
            6 => Self::WriteZeroes,
            7 => Self::BlockStatus,
            other => Self::Other(other),
        }
    }
}

impl Command {
    /// Does it change the export?
    #[must_use]
    pub fn changes(self) -> bool {
        matches!(self, Self::Write | Self::Trim | Self::WriteZeroes)
    }

    /// The flags that make sense with it. FUA does with all: where nothing is written there is nothing to make durable.
    fn flags(self, mode: Mode) -> u16 {
        let own = match self {
            Self::Read if mode >= Mode::Structured => flag::DF,
            Self::WriteZeroes => flag::NO_HOLE | flag::FAST_ZERO,
            Self::BlockStatus => flag::REQ_ONE,
            _ => 0,
        };
        let payload = match self {
            Self::Write | Self::BlockStatus if mode == Mode::Extended => flag::PAYLOAD_LEN,
            _ => 0,
        };
        flag::FUA | own | payload
    }
}

/// A request; its payload follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What shall be done.
    pub command: Command,
    /// How; see [`flag`].
    pub flags: u16,
    /// By what the client knows the reply.
    pub cookie: u64,
    /// Where in the export, in bytes.
    pub offset: u64,
    /// How many bytes of the export, or of the payload if the flag says so.
    pub length: u64,
}

/// What a request must fit.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Length of the export in bytes.
    pub size_bytes: u64,
    /// May nobody write?
    pub read_only: bool,
    /// How many contexts the client chose.
    pub contexts: usize,
}

/// Why a request is refused, as a number and in words.
pub type Refusal = (Errno, &'static str);

impl Request {
    /// The first request in `input` and how many bytes it takes, its payload not counted. `None`: more bytes are needed.
    ///
    /// # Errors
    /// A violation if these bytes are no request.
    pub fn decode(mode: Mode, input: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let (magic, len) = match mode {
            Mode::Extended => (EXTENDED_REQUEST_MAGIC, EXTENDED_REQUEST_BYTES),
            _ => (REQUEST_MAGIC, REQUEST_BYTES),
        };
        let known = input.len().min(4);
        if input[..known] != magic.to_be_bytes()[..known] {
            return Err(Violation("what came is no request: its magic number is wrong".into()));
        }
        if input.len() < len {
            return Ok(None);
        }
        let length = if mode == Mode::Extended { u64_at(input, 24) } else { u64::from(u32_at(input, 24)) };
        let request = Self {
            flags: u16_at(input, 4),
            command: u16_at(input, 6).into(),
            cookie: u64_at(input, 8),
            offset: u64_at(input, 16),
            length,
        };
        Ok(Some((request, len)))
    }

    /// Is the flag set?
    #[must_use]
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// How many bytes follow it, whether it makes sense or not.
    #[must_use]
    pub fn payload_bytes(&self, mode: Mode) -> u64 {
        let with_payload = self.command == Command::Write || (mode == Mode::Extended && self.has(flag::PAYLOAD_LEN));
        if with_payload { self.length } else { 0 }
    }

    /// Does its payload say which contexts are meant, and its length nothing about the export?
    #[must_use]
    pub fn names_contexts(&self) -> bool {
        self.command == Command::BlockStatus && self.has(flag::PAYLOAD_LEN)
    }

    /// Does it make sense for an export?
    ///
    /// # Errors
    /// What the client is told instead.
    pub fn check(&self, mode: Mode, bounds: Bounds) -> Result<(), Refusal> {
        if let Command::Other(_) = self.command {
            return Err((Errno::Invalid, "this command is not known"));
        }
        if self.flags & !self.command.flags(mode) != 0 {
            return Err((Errno::Invalid, "this command does not have one of these flags"));
        }
        if self.command.changes() && bounds.read_only {
            return Err((Errno::Perm, "the export is read-only"));
        }
        match self.command {
            Command::Flush if self.offset != 0 || self.length != 0 => {
                return Err((Errno::Invalid, "a flush has no offset and no length"));
            }
            Command::Read | Command::Write if self.length > u64::from(PAYLOAD_BYTES_MAX) => {
                return Err((Errno::Invalid, "more than 32 MiB at once"));
            }
            Command::BlockStatus if mode == Mode::Simple || bounds.contexts == 0 => {
                return Err((Errno::Invalid, "no context was chosen"));
            }
            Command::BlockStatus if self.length == 0 => return Err((Errno::Invalid, "the status of nothing")),
            _ => {}
        }
        if !self.names_contexts() {
            self.check_range(self.length, bounds.size_bytes)?;
        }
        Ok(())
    }

    /// Do `length` bytes from its offset on lie within the export?
    ///
    /// # Errors
    /// What the client is told instead.
    pub fn check_range(&self, length: u64, size_bytes: u64) -> Result<(), Refusal> {
        if self.offset.checked_add(length).is_some_and(|end| end <= size_bytes) {
            return Ok(());
        }
        let errno = if self.command.changes() { Errno::NoSpace } else { Errno::Invalid };
        Err((errno, "behind the end of the export"))
    }
}

/// Which part of an export, and which contexts of it, the payload of a block status request names.
///
/// # Errors
/// What the client is told instead.
pub fn decode_status_payload(payload: &[u8]) -> Result<(u64, Vec<u32>), Refusal> {
    if payload.len() < 8 || payload.len() > 8 + 4 * CONTEXTS_MAX || !payload.len().is_multiple_of(4) {
        return Err((Errno::Invalid, "the payload is no length and list of contexts"));
    }
    let ids: Vec<u32> = payload[8..].chunks_exact(4).map(|id| u32_at(id, 0)).collect();
    if ids.iter().enumerate().any(|(index, id)| ids[..index].contains(id)) {
        return Err((Errno::Invalid, "a context is named twice"));
    }
    Ok((u64_at(payload, 0), ids))
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Command, Request, decode_status_payload, flag};
    use crate::node::nbd::protocol::Mode;
    use crate::node::nbd::protocol::errno::Errno;

    const BOUNDS: Bounds = Bounds { size_bytes: 1 << 40, read_only: false, contexts: 1 };

    fn request(command: Command, flags: u16, offset: u64, length: u64) -> Request {
        Request { command, flags, cookie: 7, offset, length }
    }

    fn check(request: Request, mode: Mode, expected: Result<(), Errno>) {
        let found = request.check(mode, BOUNDS).map_err(|refusal| refusal.0);
        assert_eq!(found, expected, "{request:?} in {mode:?}");
    }

    #[test]
    fn requests_are_read_in_both_widths() {
        let mut bytes = vec![0x25, 0x60, 0x95, 0x13, 0, 1, 0, 6];
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0]);
        let expected = request(Command::WriteZeroes, flag::FUA, 1 << 32, 1 << 16);
        assert_eq!(Request::decode(Mode::Simple, &bytes), Ok(Some((expected, 28))));
        for len in 0..bytes.len() {
            assert_eq!(Request::decode(Mode::Structured, &bytes[..len]), Ok(None));
        }
        assert!(Request::decode(Mode::Extended, &bytes).is_err());
        bytes.splice(0..4, [0x21, 0xe4, 0x1c, 0x71]);
        bytes.splice(24..28, [0, 0, 1, 0, 0, 0, 0, 0]);
        let expected = request(Command::WriteZeroes, flag::FUA, 1 << 32, 1 << 40);
        assert_eq!(Request::decode(Mode::Extended, &bytes), Ok(Some((expected, 32))));
        assert!(Request::decode(Mode::Extended, &[0x21, 0xe4, 0]).is_err(), "the first wrong byte is enough");
    }

    #[test]
    fn requests_that_make_no_sense_are_refused() {
        use Command::{BlockStatus, Cache, Disconnect, Flush, Other, Read, Trim, Write, WriteZeroes};
        const END: u64 = BOUNDS.size_bytes;
        check(request(Read, flag::FUA, END - 1, 1), Mode::Simple, Ok(()));
        check(request(Read, 0, END, 1), Mode::Simple, Err(Errno::Invalid));
        check(request(Read, 0, u64::MAX, 2), Mode::Simple, Err(Errno::Invalid));
        check(request(Read, flag::DF, 0, 1), Mode::Simple, Err(Errno::Invalid));
        check(request(Read, flag::DF, 0, 1), Mode::Structured, Ok(()));
        check(request(Read, 0, 0, (32 << 20) + 1), Mode::Extended, Err(Errno::Invalid));
        check(request(Write, 0, END, 1), Mode::Simple, Err(Errno::NoSpace));
        check(request(Write, flag::PAYLOAD_LEN, 0, 1), Mode::Structured, Err(Errno::Invalid));
        check(request(Write, flag::PAYLOAD_LEN, 0, 1), Mode::Extended, Ok(()));
        check(request(Trim, 0, 0, END), Mode::Extended, Ok(()));
        check(request(Trim, flag::NO_HOLE, 0, 1), Mode::Simple, Err(Errno::Invalid));
        check(request(WriteZeroes, flag::NO_HOLE | flag::FAST_ZERO, 0, END), Mode::Extended, Ok(()));
        check(request(Flush, flag::FUA, 0, 0), Mode::Simple, Ok(()));
        check(request(Flush, 0, 0, 1), Mode::Simple, Err(Errno::Invalid));
        check(request(Cache, 0, 0, END), Mode::Simple, Ok(()));
        check(request(BlockStatus, flag::REQ_ONE, 0, 1), Mode::Structured, Ok(()));
        check(request(BlockStatus, 0, 0, 0), Mode::Structured, Err(Errno::Invalid));
        check(request(BlockStatus, 0, 0, 1), Mode::Simple, Err(Errno::Invalid));
        check(request(Disconnect, 0, 0, 0), Mode::Simple, Ok(()));
        check(request(Other(8), 0, 0, 0), Mode::Simple, Err(Errno::Invalid));
        check(request(Read, 1 << 15, 0, 1), Mode::Extended, Err(Errno::Invalid));
    }

    #[test]
    fn nobody_writes_a_read_only_export() {
        let bounds = Bounds { read_only: true, ..BOUNDS };
        for command in [Command::Write, Command::Trim, Command::WriteZeroes] {
            assert_eq!(request(command, 0, 0, 1).check(Mode::Simple, bounds).map_err(|refusal| refusal.0), Err(Errno::Perm));
        }
        for command in [Command::Read, Command::Cache] {
            assert_eq!(request(command, 0, 0, 1).check(Mode::Simple, bounds), Ok(()));
        }
    }

    #[test]
    fn contexts_of_a_status_request_are_read() {
        assert_eq!(decode_status_payload(&[0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 3]), Ok((4096, vec![3])));
        assert!(decode_status_payload(&[0; 7]).is_err());
        assert!(decode_status_payload(&[0; 10]).is_err());
    }
}
