//! Which export does a client want, and how shall replies look?
//!
//! Fixed newstyle negotiation: the client sends options, each is answered, and one of them (`GO`, `EXPORT_NAME`) begins the transmission.
//!
//! 1. An option that is not known, or cannot be had, is refused, and the negotiation goes on.
//! 2. Contexts hold for the export they were chosen for; another export, or TLS, forgets them.
//! 3. Where TLS is required, nothing is said of any export before it.

use super::{Mode, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, Violation, u16_at, u32_at, u64_at};
use std::collections::BTreeSet;

const MAGIC: u64 = 0x4e42_444d_4147_4943;
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;

const FLAG_FIXED_NEWSTYLE: u16 = 1;
const FLAG_NO_ZEROES: u16 = 1 << 1;

const OPTION_HEADER_BYTES: usize = 16;

/// The longest data of an option. Longer ones are refused, and what was sent of them is not kept.
pub const OPTION_BYTES_MAX: usize = 64 << 10;

/// The most bytes that the negotiation has to see at once.
pub const INPUT_BYTES_MAX: usize = OPTION_HEADER_BYTES + OPTION_BYTES_MAX;

/// Longer options end the connection: nobody means them.
const SKIPPED_BYTES_MAX: u32 = 32 << 20;

/// Answers that are put together before they are sent; a single one may be longer.
const ANSWER_BYTES: usize = 64 << 10;

/// Options that one connection may send. Clients need less than ten.
const OPTIONS_MAX: u32 = 1000;

/// Contexts that one connection may choose: a few more than there are kinds.
pub const CONTEXTS_MAX: usize = 32;

/// What is offered of block sizes: any byte, best whole blocks.
const BLOCK_SIZES: [u32; 3] = [1, 4096, PAYLOAD_BYTES_MAX];

mod option {
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
}

mod answer {
    pub const ACK: u32 = 1;
    pub const SERVER: u32 = 2;
    pub const INFO: u32 = 3;
    pub const META_CONTEXT: u32 = 4;
}

mod info {
    pub const EXPORT: u16 = 0;
    pub const NAME: u16 = 1;
    pub const DESCRIPTION: u16 = 2;
    pub const BLOCK_SIZE: u16 = 3;
}

mod transmission {
    pub const HAS_FLAGS: u16 = 1;
    pub const READ_ONLY: u16 = 1 << 1;
    pub const SEND_FLUSH: u16 = 1 << 2;
    pub const SEND_FUA: u16 = 1 << 3;
    pub const SEND_TRIM: u16 = 1 << 5;
    pub const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub const SEND_DF: u16 = 1 << 7;
    pub const CAN_MULTI_CONN: u16 = 1 << 8;
    pub const SEND_CACHE: u16 = 1 << 10;
    pub const SEND_FAST_ZERO: u16 = 1 << 11;
    pub const BLOCK_STATUS_PAYLOAD: u16 = 1 << 12;
}

/// Why an option is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RefusalKind {
    /// It is not known.
    Unsupported = (1 << 31) + 1,
    /// The server does not allow it.
    Policy = (1 << 31) + 2,
    /// It cannot be meant.
    Invalid = (1 << 31) + 3,
    /// First TLS.
    TlsRequired = (1 << 31) + 5,
    /// No such export.
    Unknown = (1 << 31) + 6,
    /// The server is going away.
    Shutdown = (1 << 31) + 7,
    /// It is too long.
    TooBig = (1 << 31) + 9,
    /// Extended headers were chosen.
    ExtendedRequired = (1 << 31) + 10,
}

/// A refusal and its reason in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For the client's program.
    pub kind: RefusalKind,
    /// For its user.
    pub words: String,
}

impl Refusal {
    /// A refusal of `kind`.
    pub fn new(kind: RefusalKind, words: impl Into<String>) -> Self {
        Self { kind, words: words.into() }
    }
}

/// What a client is told about an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The name it is best known by.
    pub name: String,
    /// What it is, in words.
    pub words: String,
    /// Length in bytes.
    pub size_bytes: u64,
    /// May nobody write?
    pub read_only: bool,
    /// May a client use several connections at once, and does a flush on one cover all?
    pub multi_conn: bool,
}

/// What a server offers.
pub trait Directory {
    /// Something that can be read, and perhaps written.
    type Export;
    /// Something that can be told of each range of an export.
    type Context;

    /// All names and what they are, in words.
    ///
    /// # Errors
    /// If they cannot be told.
    fn list(&self) -> Result<Vec<(String, String)>, Refusal>;
    /// The export of that name.
    ///
    /// # Errors
    /// If there is none, or more than one.
    fn find(&self, name: &str) -> Result<Self::Export, Refusal>;
    /// What there is to say about an export.
    ///
    /// # Errors
    /// If it is gone.
    fn describe(&self, export: &Self::Export) -> Result<Description, Refusal>;
    /// Takes an export for a client, who may find it read-only from now on.
    ///
    /// # Errors
    /// If he cannot have it.
    fn enter(&self, export: &mut Self::Export) -> Result<(), Refusal>;
    /// The names of an export's contexts that begin with a prefix.
    ///
    /// # Errors
    /// If they cannot be told.
    fn contexts(&self, export: &Self::Export, prefix: &str) -> Result<Vec<String>, Refusal>;
    /// The context of that name, if the export has it.
    ///
    /// # Errors
    /// If it cannot be told.
    fn context(&self, export: &Self::Export, name: &str) -> Result<Option<Self::Context>, Refusal>;
}

/// May, or must, a client use TLS?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// There is none.
    Off,
    /// He may.
    Offered,
    /// He must.
    Required,
    /// He does.
    Active,
}

/// What the two sides agreed on.
pub struct Agreement<D: Directory> {
    /// What the client has.
    pub export: D::Export,
    /// How it was described to him.
    pub description: Description,
    /// How requests and replies look.
    pub mode: Mode,
    /// The contexts he chose, by number.
    pub contexts: Vec<(u32, D::Context)>,
}

/// What comes next.
pub enum Step<D: Directory> {
    /// More bytes are needed.
    More,
    /// The output is to be sent before anything else is looked at.
    Send,
    /// A TLS handshake, once the output is sent.
    StartTls,
    /// Requests, once the output is sent.
    Begin(Box<Agreement<D>>),
    /// The end, once the output is sent.
    End,
}

/// A client's chosen contexts and the export they are of.
struct Chosen<C> {
    name: String,
    contexts: Vec<(u32, C)>,
}

/// A negotiation.
pub struct Handshake<D: Directory> {
    tls: Tls,
    client_flags: Option<u16>,
    mode: Mode,
    chosen: Option<Chosen<D::Context>>,
    /// Bytes of a refused option that are still to come.
    skipped: u32,
    options: u32,
}

impl<D: Directory> Handshake<D> {
    /// A negotiation, and the greeting to begin it with.
    #[must_use]
    pub fn new(tls: Tls, output: &mut Vec<u8>) -> Self {
        output.extend(MAGIC.to_be_bytes());
        output.extend(OPTION_MAGIC.to_be_bytes());
        output.extend((FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES).to_be_bytes());
        Self { tls, client_flags: None, mode: Mode::Simple, chosen: None, skipped: 0, options: 0 }
    }

    /// TLS is in use from now on: what was said before is forgotten.
    pub fn tls_started(&mut self) {
        self.tls = Tls::Active;
        self.mode = Mode::Simple;
        self.chosen = None;
    }

    /// Takes what the client sent and puts answers into `output`. Returns how many bytes were taken and what comes next; whatever was not taken
    /// belongs in front of what comes later. Needs to see up to [`INPUT_BYTES_MAX`] bytes at once.
    ///
    /// # Errors
    /// A violation ends the connection.
    pub fn advance(&mut self, directory: &D, input: &[u8], output: &mut Vec<u8>) -> Result<(usize, Step<D>), Violation> {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let (count, step) = self.advance_once(directory, rest, output)?;
            taken += count;
            match step {
                Step::More if count > 0 && output.len() > ANSWER_BYTES => return Ok((taken, Step::Send)),
                Step::More if count > 0 => {}
                Step::StartTls if taken < input.len() => {
                    // Somebody in between might have put it there, to be taken for what comes through TLS.
                    return Err(Violation("bytes without TLS after STARTTLS".into()));
                }
                step => return Ok((taken, step)),
            }
        }
    }

    fn advance_once(&mut self, directory: &D, input: &[u8], output: &mut Vec<u8>) -> Result<(usize, Step<D>), Violation> {
        if self.skipped > 0 {
            let count = input.len().min(self.skipped as usize);
            self.skipped -= count as u32;
            return Ok((count, Step::More));
        }
        let Some(client_flags) = self.client_flags else {
            if input.len() < 4 {
                return Ok((0, Step::More));
            }
            let flags = u32_at(input, 0);
            let known = FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES;
            let flags = u16::try_from(flags).ok().filter(|flags| flags & !known == 0);
            self.client_flags = Some(flags.ok_or_else(|| Violation("flags of a client that are not known".into()))?);
            return Ok((4, Step::More));
        };
        let known = input.len().min(8);
        if input[..known] != OPTION_MAGIC.to_be_bytes()[..known] {
            return Err(Violation("what came is no option: its magic number is wrong".into()));
        }
        if input.len() < OPTION_HEADER_BYTES {
            return Ok((0, Step::More));
        }
        debug_assert_eq!(u64_at(input, 0), OPTION_MAGIC);
        let (number, len) = (u32_at(input, 8), u32_at(input, 12));
        self.options += u32::from(len as usize > OPTION_BYTES_MAX);
        if len as usize > OPTION_BYTES_MAX {
            if self.options > OPTIONS_MAX || len > SKIPPED_BYTES_MAX || number == option::EXPORT_NAME {
                return Err(Violation(format!("option {} of {len} bytes", self.options)));
            }
            self.skipped = len;
            refuse(output, number, &Refusal::new(RefusalKind::TooBig, format!("more than {OPTION_BYTES_MAX} bytes")));
            return Ok((OPTION_HEADER_BYTES, Step::More));
        }
        let end = OPTION_HEADER_BYTES + len as usize;
        if input.len() < end {
            return Ok((0, Step::More));
        }
        self.options += 1;
        if self.options > OPTIONS_MAX {
            return Err(Violation(format!("more than {OPTIONS_MAX} options")));
        }
        let data = &input[OPTION_HEADER_BYTES..end];
        let step = if number == option::EXPORT_NAME {
            self.export_name(directory, data, client_flags, output)?
        } else {
            let mark = output.len();
            match self.answer(directory, number, data, output) {
                Ok(step) => step,
                Err(refusal) => {
                    output.truncate(mark);
                    refuse(output, number, &refusal);
                    Step::More
                }
            }
        };
        Ok((end, step))
    }

    /// The old way in: it has no way to say no.
    fn export_name(&mut self, directory: &D, data: &[u8], client_flags: u16, output: &mut Vec<u8>) -> Result<Step<D>, Violation> {
        if self.tls == Tls::Required {
            return Err(Violation("EXPORT_NAME without TLS, which is required".into()));
        }
        let begun = name_of(data).and_then(|name| self.begin(directory, name));
        let agreement = begun.map_err(|refusal| Violation(refusal.words))?;
        output.extend(agreement.description.size_bytes.to_be_bytes());
        let flags = flags_of(&agreement.description, agreement.mode, !agreement.contexts.is_empty());
        output.extend(flags.to_be_bytes());
        if client_flags & FLAG_NO_ZEROES == 0 {
            output.extend([0; 124]);
        }
        Ok(Step::Begin(Box::new(agreement)))
    }

    fn answer(&mut self, directory: &D, number: u32, data: &[u8], output: &mut Vec<u8>) -> Result<Step<D>, Refusal> {
        if self.tls == Tls::Required && !matches!(number, option::STARTTLS | option::ABORT) {
            return Err(Refusal::new(RefusalKind::TlsRequired, "this server talks through TLS only"));
        }
        let bare = [option::LIST, option::STARTTLS, option::STRUCTURED_REPLY, option::EXTENDED_HEADERS];
        if bare.contains(&number) && !data.is_empty() {
            return Err(Refusal::new(RefusalKind::Invalid, "this option has no data"));
        }
        match number {
            option::ABORT => {
                reply(output, number, answer::ACK, &[]);
                return Ok(Step::End);
            }
            option::LIST => {
                for (name, words) in directory.list()? {
                    let mut entry = Vec::with_capacity(4 + name.len() + words.len());
                    entry.extend((name.len() as u32).to_be_bytes());
                    entry.extend(name.as_bytes());
                    entry.extend(words.as_bytes());
                    reply(output, number, answer::SERVER, &entry);
                }
            }
            option::STARTTLS => {
                match self.tls {
                    Tls::Off => return Err(Refusal::new(RefusalKind::Policy, "this server has no certificate")),
                    Tls::Active => return Err(Refusal::new(RefusalKind::Invalid, "TLS is in use already")),
                    Tls::Offered | Tls::Required => {}
                }
                reply(output, number, answer::ACK, &[]);
                return Ok(Step::StartTls);
            }
            option::STRUCTURED_REPLY => {
                if self.mode == Mode::Extended {
                    return Err(Refusal::new(RefusalKind::ExtendedRequired, "extended headers are in use already"));
                }
                self.mode = Mode::Structured;
            }
            option::EXTENDED_HEADERS => self.mode = Mode::Extended,
            option::INFO | option::GO => return self.info(directory, number, data, output),
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.contexts(directory, number, data, output)?,
            _ => return Err(Refusal::new(RefusalKind::Unsupported, "this option is not known")),
        }
        reply(output, number, answer::ACK, &[]);
        Ok(Step::More)
    }

    fn info(&mut self, directory: &D, number: u32, data: &[u8], output: &mut Vec<u8>) -> Result<Step<D>, Refusal> {
        let (name, rest) = counted_name(data)?;
        let wanted = rest.get(2..).unwrap_or_default();
        if rest.len() < 2 || wanted.len() != 2 * usize::from(u16_at(rest, 0)) {
            return Err(Refusal::new(RefusalKind::Invalid, "the list of information does not fit its length"));
        }
        let agreement = if number == option::GO {
            self.begin(directory, name)?
        } else {
            let export = directory.find(name)?;
            let description = directory.describe(&export)?;
            Agreement { export, description, mode: self.mode, contexts: Vec::new() }
        };
        let has_contexts = !agreement.contexts.is_empty() || self.has_contexts_of(name);
        let description = &agreement.description;
        let mut about = |kind: u16, bytes: &[u8]| reply(output, number, answer::INFO, &[&kind.to_be_bytes(), bytes].concat());
        about(
            info::EXPORT,
            &[&description.size_bytes.to_be_bytes()[..], &flags_of(description, self.mode, has_contexts).to_be_bytes()].concat(),
        );
        let sizes: Vec<u8> = BLOCK_SIZES.iter().flat_map(|size| size.to_be_bytes()).collect();
        about(info::BLOCK_SIZE, &sizes);
        let mut told = [false; 2];
        for kind in wanted.chunks_exact(2).map(|kind| u16_at(kind, 0)) {
            match kind {
                info::NAME if !told[0] => {
                    told[0] = true;
                    about(kind, description.name.as_bytes());
                }
                info::DESCRIPTION if !told[1] => {
                    told[1] = true;
                    about(kind, description.words.as_bytes());
                }
                _ => {}
            }
        }
        reply(output, number, answer::ACK, &[]);
        Ok(if number == option::GO { Step::Begin(Box::new(agreement)) } else { Step::More })
    }

    fn has_contexts_of(&self, name: &str) -> bool {
        self.chosen.as_ref().is_some_and(|chosen| chosen.name == name && !chosen.contexts.is_empty())
    }

    fn begin(&mut self, directory: &D, name: &str) -> Result<Agreement<D>, Refusal> {
        let mut export = directory.find(name)?;
        directory.enter(&mut export)?;
        let description = directory.describe(&export)?;
        let chosen = self.chosen.take().filter(|chosen| chosen.name == name);
        let contexts = chosen.map(|chosen| chosen.contexts).unwrap_or_default();
        Ok(Agreement { export, description, mode: self.mode, contexts })
    }

    fn contexts(&mut self, directory: &D, number: u32, data: &[u8], output: &mut Vec<u8>) -> Result<(), Refusal> {
        let choosing = number == option::SET_META_CONTEXT;
        if choosing {
            self.chosen = None;
        }
        if self.mode == Mode::Simple {
            return Err(Refusal::new(RefusalKind::Invalid, "contexts need structured replies"));
        }
        let (name, rest) = counted_name(data)?;
        let queries = queries_of(rest)?;
        let export = directory.find(name)?;
        let mut told = |id: u32, name: &str| {
            reply(output, number, answer::META_CONTEXT, &[&id.to_be_bytes()[..], name.as_bytes()].concat());
        };
        if !choosing {
            let queries: BTreeSet<&str> = if queries.is_empty() { [""].into() } else { queries.into_iter().collect() };
            // Several queries may mean one context.
            let mut names = BTreeSet::new();
            for query in queries {
                if query.is_empty() || query.ends_with(':') {
                    names.extend(directory.contexts(&export, query)?);
                } else if directory.context(&export, query)?.is_some() {
                    names.insert(query.to_owned());
                }
            }
            // The numbers of a mere list mean nothing.
            names.iter().for_each(|name| told(0, name));
            return Ok(());
        }
        let mut contexts = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for query in queries {
            if names.contains(&query) {
                continue;
            }
            if let Some(context) = directory.context(&export, query)? {
                if contexts.len() == CONTEXTS_MAX {
                    return Err(Refusal::new(RefusalKind::TooBig, format!("more than {CONTEXTS_MAX} contexts")));
                }
                let id = 1 + contexts.len() as u32;
                told(id, query);
                names.push(query);
                contexts.push((id, context));
            }
        }
        self.chosen = Some(Chosen { name: name.to_owned(), contexts });
        Ok(())
    }
}

fn flags_of(description: &Description, mode: Mode, has_contexts: bool) -> u16 {
    use transmission::{
        BLOCK_STATUS_PAYLOAD, CAN_MULTI_CONN, HAS_FLAGS, READ_ONLY, SEND_CACHE, SEND_DF, SEND_FAST_ZERO, SEND_FLUSH, SEND_FUA,
        SEND_TRIM, SEND_WRITE_ZEROES,
    };
    let mut flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA | SEND_CACHE;
    flags |= if description.read_only { READ_ONLY } else { SEND_TRIM | SEND_WRITE_ZEROES | SEND_FAST_ZERO };
    if description.multi_conn {
        flags |= CAN_MULTI_CONN;
    }
    if mode >= Mode::Structured {
        flags |= SEND_DF;
    }
    if mode == Mode::Extended && has_contexts {
        flags |= BLOCK_STATUS_PAYLOAD;
    }
    flags
}

fn reply(output: &mut Vec<u8>, option: u32, kind: u32, data: &[u8]) {
    output.extend(OPTION_REPLY_MAGIC.to_be_bytes());
    output.extend(option.to_be_bytes());
    output.extend(kind.to_be_bytes());
    output.extend((data.len() as u32).to_be_bytes());
    output.extend(data);
}

fn refuse(output: &mut Vec<u8>, option: u32, refusal: &Refusal) {
    reply(output, option, refusal.kind as u32, refusal.words.as_bytes());
}

fn name_of(bytes: &[u8]) -> Result<&str, Refusal> {
    if bytes.len() > NAME_BYTES_MAX {
        return Err(Refusal::new(RefusalKind::TooBig, format!("a name of more than {NAME_BYTES_MAX} bytes")));
    }
    match std::str::from_utf8(bytes) {
        Ok(name) if !name.contains('\0') => Ok(name),
        _ => Err(Refusal::new(RefusalKind::Invalid, "a name that is not text")),
    }
}

/// A text with its length before it, and what follows.
fn counted_name(bytes: &[u8]) -> Result<(&str, &[u8]), Refusal> {
    let whole = bytes.len().checked_sub(4).filter(|rest| u32_at(bytes, 0) as usize <= *rest);
    if whole.is_none() {
        return Err(Refusal::new(RefusalKind::Invalid, "a name that is longer than what holds it"));
    }
    let (name, rest) = bytes[4..].split_at(u32_at(bytes, 0) as usize);
    Ok((name_of(name)?, rest))
}

fn queries_of(mut bytes: &[u8]) -> Result<Vec<&str>, Refusal> {
    let wrong = || Refusal::new(RefusalKind::Invalid, "the list of contexts does not fit its length");
    let count = if bytes.len() < 4 { return Err(wrong()) } else { u32_at(bytes, 0) };
    bytes = &bytes[4..];
    let mut queries = Vec::new();
    for _ in 0..count {
        let (query, rest) = counted_name(bytes)?;
        queries.push(query);
        bytes = rest;
    }
    if bytes.is_empty() { Ok(queries) } else { Err(wrong()) }
}
