//! What does a request do to an image, and what is the answer?

use super::behind::Behind;
use super::exports::{Context, Exports};
use super::protocol::Mode;
use super::protocol::errno::Errno;
use super::protocol::handshake::Agreement;
use super::protocol::reply::{Answer, Output};
use super::protocol::request::{Bounds, Command, Refusal, Request, decode_status_payload, flag};
use crate::node::service::select::Image;
use crate::{Changes, Drive, Error, ErrorKind, Layers, Ranges, Result, Snapshot};
use std::ops::Range;

/// A client with structured replies gets holes of at least this length as holes.
const HOLE_BYTES_MIN: u64 = 64 << 10;

/// Extents in one answer, over all contexts. A client that wants to know more asks again behind them.
const EXTENTS_MAX: usize = 32 << 10;

/// Bytes that are read at a time to get them into the page cache.
const CACHED_AT_ONCE: u64 = 1 << 20;

/// Bytes that one request gets into the page cache at most: it is a hint, and others want to be served too.
const CACHED_BYTES_MAX: u64 = 256 << 20;

const HOLE: u32 = 1;
const READS_ZERO: u32 = 1 << 1;
const CHANGED: u32 = 1;

/// A connection's agreement with what this server offers.
pub type Session = Agreement<Exports>;

/// Does what a request asks for, and puts the answer into `output`; false if it failed.
pub fn perform(session: &Session, request: &Request, payload: &[u8], output: &mut Output) -> bool {
    let answer = Answer::to(session.mode, request);
    let start = output.len();
    let done = check(session, request).and_then(|()| act(session, request, payload, &answer, output));
    if let Err((errno, words)) = &done {
        output.cut(start, usize::MAX);
        answer.failed(output, *errno, words);
    }
    done.is_ok()
}

/// Why a request failed, for the client.
type Told = (Errno, String);

/// Would the request be refused before anything is done?
///
/// # Errors
/// What the client is told.
fn check(session: &Session, request: &Request) -> Result<(), Told> {
    let bounds = Bounds {
        size_bytes: session.description.size_bytes,
        read_only: session.description.read_only,
        contexts: session.contexts.len(),
    };
    request.check(session.mode, bounds).map_err(in_words)?;
    if request.command.changes() && !session.export.may_write() {
        return Err((Errno::Perm, "another client writes this drive".into()));
    }
    Ok(())
}

fn in_words(refusal: Refusal) -> Told {
    (refusal.0, refusal.1.to_owned())
}

fn told(request: &Request) -> impl Fn(Error) -> Told {
    move |error| {
        let errno = match error.kind() {
            // The drive became smaller since the client came.
            ErrorKind::InvalidArgument if request.command.changes() => Errno::NoSpace,
            kind => kind.into(),
        };
        (errno, error.to_string())
    }
}

fn act(session: &Session, request: &Request, payload: &[u8], answer: &Answer, output: &mut Output) -> Result<(), Told> {
    let range = request.offset..request.offset + if request.names_contexts() { 0 } else { request.length };
    if let Some(behind) = session.export.behind()
        && matches!(request.command, Command::Read | Command::Cache)
    {
        let cached = range.end.min(range.start.saturating_add(CACHED_BYTES_MAX));
        let wanted = if request.command == Command::Cache { range.start..cached } else { range.clone() };
        behind.before_read(wanted).map_err(told(request))?;
    }
    match request.command {
        Command::Read => return read(session, request, range, answer, output),
        Command::BlockStatus => return status(session, request, payload, answer, output),
        Command::Cache => cache(&session.export.image, range).map_err(told(request))?,
        Command::Write | Command::Trim | Command::WriteZeroes | Command::Flush => {
            change(session, request, payload, range)?;
        }
        Command::Disconnect | Command::Other(_) => {}
    }
    answer.done(output);
    Ok(())
}

fn change(session: &Session, request: &Request, payload: &[u8], range: Range<u64>) -> Result<(), Told> {
    // What a snapshot holds is durable.
    let Image::Drive(drive) = &session.export.image else { return Ok(()) };
    let behind = session.export.behind();
    let done = match request.command {
        // What would be a hole would be filled again after a restart.
        Command::WriteZeroes if behind.is_some() && request.has(flag::FAST_ZERO) => {
            return Err((Errno::NotSupported, "zeroes that take space are written like data".into()));
        }
        Command::Write | Command::WriteZeroes | Command::Trim if behind.is_some() => {
            change_unfilled(behind, drive, request, payload, range)
        }
        Command::Write => drive.write_at(payload, request.offset),
        Command::Trim => drive.discard(range),
        Command::WriteZeroes if request.has(flag::NO_HOLE) => {
            if request.has(flag::FAST_ZERO) {
                return Err((Errno::NotSupported, "zeroes that take space are written like data".into()));
            }
            drive.allocate_zeroes(range)
        }
        Command::WriteZeroes => drive.write_zeroes(range),
        // A store can be flushed without the drive; the client shall know that it is gone.
        _ => still_has(&session.export.image, &(0..0)),
    };
    let flushes = request.command == Command::Flush || request.has(flag::FUA);
    done.and_then(|()| if flushes { drive.flush() } else { Ok(()) }).map_err(told(request))
}

/// Changes a drive that has not got all of its image yet.
fn change_unfilled(
    behind: Option<&dyn Behind>,
    drive: &Drive,
    request: &Request,
    payload: &[u8],
    range: Range<u64>,
) -> Result<()> {
    let mut change = || match request.command {
        Command::Write => drive.write_at(payload, request.offset),
        // A hint, which cannot be taken: a hole would be filled again after a restart.
        Command::Trim => drive.read_at(&mut [], range.end),
        _ => drive.allocate_zeroes(range.clone()),
    };
    match behind.filter(|_| request.command != Command::Trim) {
        Some(behind) => behind.changing(range.clone(), &mut change),
        None => change(),
    }
}

fn read_at(image: &Image, buf: &mut [u8], offset: u64) -> Result<()> {
    match image {
        Image::Drive(drive) => drive.read_at(buf, offset),
        Image::Snapshot(snapshot) => snapshot.read_at(buf, offset),
    }
}

fn read(session: &Session, request: &Request, range: Range<u64>, answer: &Answer, output: &mut Output) -> Result<(), Told> {
    let image = &session.export.image;
    if range.is_empty() {
        answer.empty(output);
        return Ok(());
    }
    let put = |output: &mut Output, part: Range<u64>, last: bool| {
        let promised = answer.data(output, part.start, (part.end - part.start) as usize, last);
        read_at(image, promised.place(output), part.start).map_err(told(request))
    };
    if session.mode == Mode::Simple || request.has(flag::DF) || request.length < HOLE_BYTES_MIN {
        return put(output, range, true);
    }
    // Data and short holes go together, up to the next long hole.
    let mut data = range.start..range.start;
    for piece in mapped(image, range.clone()).chain([Ok(range.end..range.end)]) {
        let piece = piece.map_err(told(request))?;
        if piece.start - data.end >= HOLE_BYTES_MIN {
            if !data.is_empty() {
                put(output, data.clone(), false)?;
            }
            answer.hole(output, data.end, (piece.start - data.end) as u32, piece.start == range.end);
            data = piece;
        } else {
            data.end = piece.end;
        }
    }
    // A hole at the end was the last piece.
    if !(data.is_empty() && data.start == range.end) {
        put(output, data, true)?;
    }
    still_has(image, &range).map_err(told(request))
}

/// A drive may have become smaller since the client came; behind its end there is nothing, not a hole. Asked after the table was walked, so
/// that what was found is true of a drive that was large enough.
fn still_has(image: &Image, range: &Range<u64>) -> Result<()> {
    match image {
        // Reads no byte, and says whether it could.
        Image::Drive(drive) => drive.read_at(&mut [], range.end),
        Image::Snapshot(_) => Ok(()),
    }
}

fn mapped(image: &Image, range: Range<u64>) -> Ranges<'_> {
    match image {
        Image::Drive(drive) => drive.mapped_ranges(),
        Image::Snapshot(snapshot) => snapshot.mapped_ranges(),
    }
    .within(range)
}

fn layers(image: &Image, range: Range<u64>) -> Layers<'_> {
    match image {
        Image::Drive(drive) => drive.layers(),
        Image::Snapshot(snapshot) => snapshot.layers(),
    }
    .within(range)
}

fn changes(base: &Snapshot, image: &Image, range: Range<u64>) -> Result<Changes> {
    let all = match image {
        Image::Drive(drive) => base.diff_drive(drive),
        Image::Snapshot(snapshot) => base.diff(snapshot),
    };
    Ok(all?.within(range))
}

/// Reads a range into nowhere, so that it is in the page cache.
fn cache(image: &Image, range: Range<u64>) -> Result<()> {
    let mut nowhere = vec![0; CACHED_AT_ONCE.min(range.end - range.start) as usize];
    let mut rest = CACHED_BYTES_MAX;
    for piece in mapped(image, range.clone()) {
        let piece = piece?;
        for at in piece.clone().step_by(CACHED_AT_ONCE as usize) {
            let len = CACHED_AT_ONCE.min(piece.end - at);
            read_at(image, &mut nowhere[..len as usize], at)?;
            rest = rest.saturating_sub(len);
            if rest == 0 {
                return Ok(());
            }
        }
    }
    still_has(image, &range)
}

fn status(session: &Session, request: &Request, payload: &[u8], answer: &Answer, output: &mut Output) -> Result<(), Told> {
    let (length, wanted) = if request.names_contexts() {
        let (length, ids) = decode_status_payload(payload).map_err(in_words)?;
        request.check_range(length, session.description.size_bytes).map_err(in_words)?;
        if length == 0 || ids.is_empty() || ids.iter().any(|id| !session.contexts.iter().any(|(known, _)| known == id)) {
            return Err((Errno::Invalid, "the status of nothing, or of contexts that were not chosen".into()));
        }
        (length, Some(ids))
    } else {
        (request.length, None)
    };
    let range = request.offset..request.offset + length;
    let chosen = session.contexts.iter().filter(|(id, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(id)));
    let chosen: Vec<_> = chosen.collect();
    let most = if request.has(flag::REQ_ONE) { 1 } else { EXTENTS_MAX / chosen.len() };
    for (index, (id, context)) in chosen.iter().enumerate() {
        let extents = match (session.export.behind(), context) {
            // What is a hole, and what is still to come, is not known yet.
            (Some(_), Context::Allocation) => vec![(length, 0)],
            _ => extents(&session.export.image, context, &range, most).map_err(told(request))?,
        };
        answer.status(output, *id, &extents, index + 1 == chosen.len());
    }
    still_has(&session.export.image, &range).map_err(told(request))
}

/// Lengths and meanings, side by side from the beginning of `range` on: at least one, at most `most`.
fn extents(image: &Image, context: &Context, range: &Range<u64>, most: usize) -> Result<Vec<(u64, u32)>> {
    let asked = range.clone();
    match context {
        Context::Allocation => {
            let data = mapped(image, asked).map(|range| Ok((range?, 0)));
            fill_gaps(data, range, HOLE | READS_ZERO, most)
        }
        Context::Depth => {
            let data = layers(image, asked).map(|layer| layer.map(|layer| (layer.range, layer.depth)));
            fill_gaps(data, range, 0, most)
        }
        Context::Since(base) => {
            let changed = changes(base, image, asked)?.map(|change| Ok((change?.range, CHANGED)));
            fill_gaps(changed, range, 0, most)
        }
    }
}

/// Turns pieces in order, with gaps, into extents without: neighbours that mean the same are one.
fn fill_gaps(
    pieces: impl Iterator<Item = Result<(Range<u64>, u32)>>,
    range: &Range<u64>,
    gap: u32,
    most: usize,
) -> Result<Vec<(u64, u32)>> {
    let mut extents: Vec<(u64, u32)> = Vec::new();
    let mut at = range.start;
    for piece in pieces.chain([Ok((range.end..range.end, gap))]) {
        let (piece, meaning) = piece?;
        for (len, meaning) in [(piece.start - at, gap), (piece.end - piece.start, meaning)] {
            match extents.last_mut() {
                _ if len == 0 => {}
                Some((last, like)) if *like == meaning => *last += len,
                _ => extents.push((len, meaning)),
            }
        }
        at = piece.end;
        if extents.len() > most {
            extents.truncate(most);
            break;
        }
    }
    Ok(extents)
}
