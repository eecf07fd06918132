//! How does a client that trusts nobody talk to an NBD server?
//!
//! It makes its bytes by hand from the protocol's description, shares no code with the server, and checks every rule of every reply.
#![allow(dead_code)] // Each test binary uses its own part of this.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A hang of the server shall be a failure of the test. Nothing else depends on it.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const EXPORT_NAME: u32 = 1;
pub const ABORT: u32 = 2;
pub const LIST: u32 = 3;
pub const STARTTLS: u32 = 5;
pub const INFO: u32 = 6;
pub const GO: u32 = 7;
pub const STRUCTURED_REPLY: u32 = 8;
pub const LIST_META_CONTEXT: u32 = 9;
pub const SET_META_CONTEXT: u32 = 10;
pub const EXTENDED_HEADERS: u32 = 11;

pub const ACK: u32 = 1;
pub const REP_SERVER: u32 = 2;
pub const REP_INFO: u32 = 3;
pub const REP_META_CONTEXT: u32 = 4;
pub const ERR_UNSUP: u32 = (1 << 31) + 1;
pub const ERR_POLICY: u32 = (1 << 31) + 2;
pub const ERR_INVALID: u32 = (1 << 31) + 3;
pub const ERR_TLS_REQD: u32 = (1 << 31) + 5;
pub const ERR_UNKNOWN: u32 = (1 << 31) + 6;
pub const ERR_TOO_BIG: u32 = (1 << 31) + 9;
pub const ERR_EXT_HEADER_REQD: u32 = (1 << 31) + 10;

pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const DISC: u16 = 2;
pub const FLUSH: u16 = 3;
pub const TRIM: u16 = 4;
pub const CACHE: u16 = 5;
pub const WRITE_ZEROES: u16 = 6;
pub const BLOCK_STATUS: u16 = 7;

pub const FUA: u16 = 1;
pub const NO_HOLE: u16 = 2;
pub const DF: u16 = 4;
pub const REQ_ONE: u16 = 8;
pub const FAST_ZERO: u16 = 16;
pub const PAYLOAD_LEN: u16 = 32;

pub const EPERM: u32 = 1;
pub const EINVAL: u32 = 22;
pub const ENOSPC: u32 = 28;
pub const ENOTSUP: u32 = 95;
pub const ESHUTDOWN: u32 = 108;

pub const READ_ONLY: u16 = 1 << 1;
pub const SEND_DF: u16 = 1 << 7;
pub const CAN_MULTI_CONN: u16 = 1 << 8;

/// How requests and replies look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Simple,
    Structured,
    Extended,
}

pub const MODES: [Mode; 3] = [Mode::Simple, Mode::Structured, Mode::Extended];

/// A request, for which the payload goes separately.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub command: u16,
    pub flags: u16,
    pub cookie: u64,
    pub offset: u64,
    pub length: u64,
}

impl Request {
    pub fn new(command: u16, offset: u64, length: u64) -> Self {
        Self { command, flags: 0, cookie: 0, offset, length }
    }

    pub fn flags(self, flags: u16) -> Self {
        Self { flags, ..self }
    }

    pub fn cookie(self, cookie: u64) -> Self {
        Self { cookie, ..self }
    }

    pub fn bytes(&self, mode: Mode) -> Vec<u8> {
        let magic: u32 = if mode == Mode::Extended { 0x21e4_1c71 } else { 0x2560_9513 };
        let mut bytes = magic.to_be_bytes().to_vec();
        // A well-bred client says so if a payload follows.
        let flags = self.flags | if mode == Mode::Extended && self.command == WRITE { PAYLOAD_LEN } else { 0 };
        bytes.extend(flags.to_be_bytes());
        bytes.extend(self.command.to_be_bytes());
        bytes.extend(self.cookie.to_be_bytes());
        bytes.extend(self.offset.to_be_bytes());
        match mode {
            Mode::Extended => bytes.extend(self.length.to_be_bytes()),
            _ => bytes.extend(u32::try_from(self.length).expect("32 bits").to_be_bytes()),
        }
        bytes
    }
}

/// One reply to one request, put together from all its chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub cookie: u64,
    /// 0 if it went well.
    pub errno: u32,
    /// What was read.
    pub data: Vec<u8>,
    /// Data chunks and hole chunks that it took.
    pub pieces: (usize, usize),
    /// What each context says: lengths and meanings.
    pub status: Vec<(u32, Vec<(u64, u64)>)>,
}

/// A reply to an option.
pub type OptionReply = (u32, Vec<u8>);

struct Pending {
    request: Request,
    reply: Reply,
    /// Which bytes of a read came so far.
    covered: Vec<(u64, u64)>,
}

pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub struct Client<S: Stream = UnixStream> {
    pub stream: S,
    pub mode: Mode,
    pub size: u64,
    pub transmission_flags: u16,
    pending: HashMap<u64, Pending>,
    next_cookie: u64,
}

/// The bytes of an option.
pub fn option(number: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"IHAVEOPT".to_vec();
    bytes.extend(number.to_be_bytes());
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// The data of INFO and GO.
pub fn about(name: &str, wanted: &[u16]) -> Vec<u8> {
    let mut data = counted(name);
    data.extend((wanted.len() as u16).to_be_bytes());
    wanted.iter().for_each(|kind| data.extend(kind.to_be_bytes()));
    data
}

/// The data of LIST_META_CONTEXT and SET_META_CONTEXT.
pub fn contexts(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut data = counted(name);
    data.extend((queries.len() as u32).to_be_bytes());
    queries.iter().for_each(|query| data.extend(counted(query)));
    data
}

fn counted(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat()
}

pub fn u16_of(bytes: &[u8]) -> u16 {
    u16::from_be_bytes(bytes[..2].try_into().expect("two bytes"))
}

pub fn u32_of(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"))
}

pub fn u64_of(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"))
}

impl Client<UnixStream> {
    /// A connection; nothing is said on it yet.
    pub fn unix(path: &std::path::Path) -> Self {
        let stream = UnixStream::connect(path).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self::over(stream)
    }
}

impl Client<TcpStream> {
    pub fn tcp(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self::over(stream)
    }
}

impl<S: Stream> Client<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, mode: Mode::Simple, size: 0, transmission_flags: 0, pending: HashMap::new(), next_cookie: 1 }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes it");
    }

    pub fn receive(&mut self, len: usize) -> Vec<u8> {
        self.try_receive(len).expect("the server says something")
    }

    pub fn try_receive(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Everything until the server ends the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest,
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => rest,
            Err(error) => panic!("the server did not end the connection: {error}, after {} bytes", rest.len()),
        }
    }

    /// The server must end the connection without another word.
    pub fn expect_end(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "nothing more should come: {rest:?}");
    }

    // --- negotiation ---

    /// Hears the greeting and answers it.
    pub fn greet(mut self, flags: u32) -> Self {
        self.hear_greeting();
        self.send(&flags.to_be_bytes());
        self
    }

    pub fn hear_greeting(&mut self) {
        let mut expected = b"NBDMAGICIHAVEOPT".to_vec();
        expected.extend(3_u16.to_be_bytes());
        assert_eq!(self.receive(18), expected, "fixed newstyle, and no zeroes if you like");
    }

    pub fn option_reply(&mut self, number: u32) -> OptionReply {
        let head = self.receive(20);
        assert_eq!(u64_of(&head), 0x3_e889_0455_65a9, "the magic number of an option's reply");
        assert_eq!(u32_of(&head[8..]), number, "the reply is to that option");
        let data = self.receive(u32_of(&head[16..]) as usize);
        (u32_of(&head[12..]), data)
    }

    /// All replies to the option that was sent, up to the final one.
    pub fn option_replies(&mut self, number: u32) -> Vec<OptionReply> {
        let mut replies = Vec::new();
        loop {
            let reply = self.option_reply(number);
            let last = reply.0 == ACK || reply.0 >= 1 << 31;
            if reply.0 == ACK {
                assert!(reply.1.is_empty(), "ACK has no data");
            } else if last {
                assert!(std::str::from_utf8(&reply.1).is_ok_and(|text| !text.is_empty()), "an error says why");
            }
            replies.push(reply);
            if last {
                return replies;
            }
        }
    }

    /// Sends an option; all its replies.
    pub fn ask(&mut self, number: u32, data: &[u8]) -> Vec<OptionReply> {
        self.send(&option(number, data));
        self.option_replies(number)
    }

    /// The kind of the final reply.
    pub fn outcome(&mut self, number: u32, data: &[u8]) -> u32 {
        self.ask(number, data).last().expect("one reply at least").0
    }

    /// Names of all exports.
    pub fn list(&mut self) -> Vec<String> {
        let mut replies = self.ask(LIST, &[]);
        assert_eq!(replies.pop().expect("a final reply").0, ACK);
        let name = |(kind, data): OptionReply| {
            assert_eq!(kind, REP_SERVER);
            String::from_utf8(data[4..4 + u32_of(&data) as usize].to_vec()).expect("UTF-8")
        };
        replies.into_iter().map(name).collect()
    }

    /// Numbers and names of contexts, if the server did not refuse.
    pub fn ask_contexts(&mut self, number: u32, name: &str, queries: &[&str]) -> Result<Vec<(u32, String)>, u32> {
        let mut replies = self.ask(number, &contexts(name, queries));
        match replies.pop().expect("a final reply").0 {
            ACK => {}
            error => return Err(error),
        }
        let one = |(kind, data): OptionReply| {
            assert_eq!(kind, REP_META_CONTEXT);
            (u32_of(&data), String::from_utf8(data[4..].to_vec()).expect("UTF-8"))
        };
        Ok(replies.into_iter().map(one).collect())
    }

    pub fn choose(&mut self, name: &str, queries: &[&str]) -> Vec<(u32, String)> {
        self.ask_contexts(SET_META_CONTEXT, name, queries).expect("contexts")
    }

    /// Agrees on how replies look.
    pub fn agree(mut self, mode: Mode) -> Self {
        match mode {
            Mode::Simple => {}
            Mode::Structured => assert_eq!(self.outcome(STRUCTURED_REPLY, &[]), ACK),
            Mode::Extended => assert_eq!(self.outcome(EXTENDED_HEADERS, &[]), ACK),
        }
        self.mode = mode;
        self
    }

    /// Begins to talk about an export.
    pub fn go(mut self, name: &str) -> Self {
        let replies = self.ask(GO, &about(name, &[3]));
        let (last, all) = replies.split_last().expect("a final reply");
        assert_eq!(last.0, ACK, "{name}: {}", String::from_utf8_lossy(&last.1));
        let export = all.iter().find(|(kind, data)| *kind == REP_INFO && u16_of(data) == 0);
        let export = &export.expect("INFO_EXPORT is mandatory").1;
        assert_eq!(export.len(), 12);
        self.size = u64_of(&export[2..]);
        self.transmission_flags = u16_of(&export[10..]);
        self
    }

    /// All of that.
    pub fn begin(self, mode: Mode, name: &str) -> Self {
        self.greet(3).agree(mode).go(name)
    }

    // --- transmission ---

    /// Sends a request without waiting for the reply; its cookie.
    pub fn submit(&mut self, request: Request, payload: &[u8]) -> u64 {
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        let request = request.cookie(cookie);
        self.expect(request);
        let mut bytes = request.bytes(self.mode);
        bytes.extend(payload);
        self.send(&bytes);
        cookie
    }

    /// Notes that the request is going to be sent.
    pub fn expect(&mut self, request: Request) {
        let reply = Reply { cookie: request.cookie, ..Reply::default() };
        let old = self.pending.insert(request.cookie, Pending { request, reply, covered: Vec::new() });
        assert!(old.is_none(), "cookies are used once");
    }

    /// How many requests are not answered yet.
    pub fn unanswered(&self) -> usize {
        self.pending.len()
    }

    /// Hears the next reply that is complete. Panics if any rule is broken.
    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("the server answers")
    }

    /// The same, if the connection holds.
    pub fn try_reply(&mut self) -> io::Result<Reply> {
        loop {
            let magic = u32_of(&self.try_receive(4)?);
            let reply = match (self.mode, magic) {
                (Mode::Simple | Mode::Structured, 0x6744_6698) => Some(self.simple_reply()?),
                (Mode::Structured, 0x668e_33ef) => self.chunk(16)?,
                (Mode::Extended, 0x6e8a_278c) => self.chunk(28)?,
                _ => panic!("{magic:#x} is no magic number of a reply in {:?}", self.mode),
            };
            if let Some(reply) = reply {
                return Ok(reply);
            }
        }
    }

    fn simple_reply(&mut self) -> io::Result<Reply> {
        let head = self.try_receive(12)?;
        let cookie = u64_of(&head[4..]);
        let Pending { request, mut reply, covered } =
            self.pending.remove(&cookie).unwrap_or_else(|| panic!("cookie {cookie} is unknown"));
        assert!(covered.is_empty() && reply.status.is_empty(), "a simple reply after chunks");
        reply.errno = u32_of(&head);
        if self.mode != Mode::Simple {
            assert!(!matches!(request.command, READ | BLOCK_STATUS), "a simple reply to {request:?}");
        } else if request.command == READ && reply.errno == 0 {
            reply.data = self.try_receive(request.length as usize)?;
        }
        Ok(reply)
    }

    fn chunk(&mut self, head: usize) -> io::Result<Option<Reply>> {
        let head = self.try_receive(head)?;
        let (flags, kind, cookie) = (u16_of(&head), u16_of(&head[2..]), u64_of(&head[4..]));
        let len = if self.mode == Mode::Extended { u64_of(&head[20..]) } else { u64::from(u32_of(&head[12..])) };
        assert!(len <= (32 << 20) + 8, "a chunk of {len} bytes");
        let payload = self.try_receive(len as usize)?;
        let pending = self.pending.get_mut(&cookie).unwrap_or_else(|| panic!("cookie {cookie} is unknown"));
        let request = pending.request;
        if self.mode == Mode::Extended {
            assert_eq!(u64_of(&head[12..]), request.offset, "the offset is that of the request");
        }
        assert_eq!(flags & !1, 0, "flags of a chunk");
        let reads = request.command == READ;
        match kind {
            0 => assert!(len == 0 && flags == 1, "NONE is the last and has nothing"),
            1 => {
                assert!(reads && len >= 9, "data for {request:?}: {len} bytes");
                pending.cover(u64_of(&payload), &payload[8..]);
                pending.reply.pieces.0 += 1;
            }
            2 => {
                assert!(reads && len == 12, "a hole for {request:?}: {len} bytes");
                let hole = u32_of(&payload[8..]) as usize;
                assert!(hole > 0, "a hole without length");
                pending.cover(u64_of(&payload), &vec![0; hole]);
                pending.reply.pieces.1 += 1;
            }
            5 | 6 => {
                assert_eq!(request.command, BLOCK_STATUS);
                pending.note_status(kind, self.mode, &payload);
            }
            _ => {
                assert_eq!(kind, (1 << 15) + 1, "the kind of a chunk");
                let words = &payload[6..];
                assert_eq!(usize::from(u16_of(&payload[4..])), words.len());
                assert!(!words.is_empty() && std::str::from_utf8(words).is_ok(), "an error says why");
                pending.reply.errno = u32_of(&payload);
                assert_ne!(pending.reply.errno, 0);
            }
        }
        if flags & 1 == 0 {
            return Ok(None);
        }
        let Pending { request, reply, covered } = self.pending.remove(&cookie).expect("it was there");
        if reply.errno == 0 && request.command == READ {
            let sum: u64 = covered.iter().map(|(start, end)| end - start).sum();
            assert_eq!(sum, request.length, "all of {request:?} must come, and nothing twice");
            assert!(
                request.flags & DF == 0 || request.length == 0 || reply.pieces == (1, 0),
                "{request:?} in pieces: {:?}",
                reply.pieces
            );
        }
        Ok(Some(reply))
    }

    /// Sends a request and waits for its reply, which must be the next.
    pub fn call(&mut self, request: Request, payload: &[u8]) -> Reply {
        let cookie = self.submit(request, payload);
        let reply = self.reply();
        assert_eq!(reply.cookie, cookie);
        reply
    }

    /// The same; only how it ended.
    pub fn errno(&mut self, request: Request) -> u32 {
        self.call(request, &[]).errno
    }

    pub fn read(&mut self, offset: u64, length: u64) -> Vec<u8> {
        let reply = self.call(Request::new(READ, offset, length), &[]);
        assert_eq!(reply.errno, 0);
        reply.data
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        assert_eq!(self.call(Request::new(WRITE, offset, bytes.len() as u64), bytes).errno, 0);
    }

    /// Says goodbye; the server ends the connection.
    pub fn disconnect(&mut self) {
        self.send(&Request::new(DISC, 0, 0).bytes(self.mode));
        self.expect_end();
    }
}

impl Pending {
    fn cover(&mut self, offset: u64, bytes: &[u8]) {
        let (start, end) = (offset, offset + bytes.len() as u64);
        let request = self.request;
        assert!(request.offset <= start && end <= request.offset + request.length, "{start}..{end} for {request:?}");
        assert!(self.covered.iter().all(|(from, to)| end <= *from || *to <= start), "{start}..{end} comes twice");
        self.covered.push((start, end));
        self.reply.data.resize(request.length as usize, 0);
        let at = (start - request.offset) as usize;
        self.reply.data[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn note_status(&mut self, kind: u16, mode: Mode, payload: &[u8]) {
        let id = u32_of(payload);
        let extents: Vec<(u64, u64)> = if mode == Mode::Extended {
            assert_eq!(kind, 6, "extended headers have extended status");
            let extents = payload[8..].chunks(16).map(|extent| (u64_of(extent), u64_of(&extent[8..])));
            let extents: Vec<_> = extents.collect();
            assert_eq!(u32_of(&payload[4..]) as usize, extents.len());
            extents
        } else {
            assert_eq!(kind, 5);
            let pair = |extent: &[u8]| (u64::from(u32_of(extent)), u64::from(u32_of(&extent[4..])));
            payload[4..].chunks(8).map(pair).collect()
        };
        assert!(!extents.is_empty() && extents.iter().all(|(len, _)| *len > 0), "{extents:?}");
        assert!(extents.windows(2).all(|pair| pair[0].1 != pair[1].1), "neighbours that mean the same: {extents:?}");
        let before_last: u64 = extents[..extents.len() - 1].iter().map(|(len, _)| len).sum();
        if self.request.flags & PAYLOAD_LEN == 0 {
            assert!(before_last < self.request.length, "extents behind the request");
        }
        if self.request.flags & REQ_ONE != 0 {
            assert!(extents.len() == 1 && extents[0].0 <= self.request.length, "one extent was asked for: {extents:?}");
        }
        assert!(self.reply.status.iter().all(|(known, _)| *known != id), "a context comes twice");
        self.reply.status.push((id, extents));
    }
}
