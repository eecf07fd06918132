//! How does an image get to a location?
//!
//! Window by window, and only those that changed. Some threads read, hash and compress; one puts their results in order into packs and into
//! the map; some send packs. What is in flight is bounded, so memory is too.
//!
//! 1. Nothing that is put here means anything before the manifest is put, by whoever called.
//! 2. What was put before an interruption is found again by its name: going on is beginning again.

use super::repository::Repository;
use super::repository::chunk::ChunkId;
use super::repository::index::PackList;
use super::repository::manifest::{Added, Image, Manifest};
use super::repository::map::{self, Edit, Pages, Root};
use super::repository::pack::{self, ChunkKind, Packed, Packing};
use super::repository::page::{Page, Piece, WINDOW_BLOCKS, Window};
use super::session::Session;
use crate::fingerprint::{WINDOW_BYTES, WindowHasher};
use crate::node::failure::{Failure, FailureKind};
use crate::{BLOCK_BYTES, Bookmark, ChangeKind, Snapshot};
use blake3::Hash;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

/// Threads that send packs.
const SENDERS: usize = 3;
/// Windows in flight per thread that works on them.
const AHEAD: usize = 4;
/// A window in more chunks than this is put whole: reading it must not take too many.
const CHUNKS_PER_WINDOW_MAX: usize = 16;
/// Packs after which an index object is put, so that an interruption does not lose more.
const PACKS_PER_INDEX: usize = 8;

/// What is to be put.
pub struct Source<'a> {
    /// The image.
    pub snapshot: &'a Snapshot,
    /// A moment whose image the location has, and the remote snapshot of it.
    pub since: Option<(&'a Bookmark, &'a Manifest)>,
}

/// What is done of an upload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Bytes of the image that were looked at.
    pub done_bytes: u64,
    /// Bytes that were found to be looked at.
    pub total_bytes: u64,
    /// Bytes that were sent.
    pub sent_bytes: u64,
}

/// What was put.
#[derive(Debug)]
pub struct Uploaded {
    /// The image, as the location has it.
    pub image: Image,
    /// What the location did not have.
    pub added: Added,
    /// Keeps what was put from being collected. [`Session::end_with`] puts the manifest.
    pub session: Session,
}

/// Puts an image; its manifest is up to the caller.
///
/// # Errors
/// `Io` and `Denied` from the location or the store, `Corrupt`, `NotFound` if snapshot, bookmark or the older remote snapshot went.
pub fn upload(repository: &Repository, source: &Source<'_>, progress: &mut dyn FnMut(Progress)) -> Result<Uploaded, Failure> {
    let mut session = Session::begin(repository.bucket(), source.since.map(|(_, base)| base.uuid))?;
    let put = repository.refresh().and_then(|()| put(repository, source, &mut session, progress));
    match put {
        Ok((image, added)) => Ok(Uploaded { image, added, session }),
        Err(failure) => {
            // Without an end it is dead one day; what went wrong first is what counts.
            session.end().unwrap_or_else(|ending| tracing::debug!(%ending, "an upload that failed did not end"));
            Err(failure)
        }
    }
}

fn put(
    repository: &Repository,
    source: &Source<'_>,
    session: &mut Session,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Image, Added), Failure> {
    let changes = Changes::of(source)?;
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let seen = Mutex::new(HashSet::new());
    thread::scope(|scope| {
        let (jobs, taken) = mpsc::sync_channel::<(u64, Job)>(workers * AHEAD);
        let (done, results) = mpsc::sync_channel(workers * AHEAD);
        let taken = Arc::new(Mutex::new(taken));
        for _ in 0..workers {
            let (taken, done, seen) = (Arc::clone(&taken), done.clone(), &seen);
            scope.spawn(move || work(repository, source.snapshot, seen, &taken, &done));
        }
        let (full, packs) = mpsc::sync_channel::<Packed>(1);
        let (sent, arrived) = mpsc::channel();
        let packs = Arc::new(Mutex::new(packs));
        for _ in 0..SENDERS {
            let (packs, sent) = (Arc::clone(&packs), sent.clone());
            scope.spawn(move || send(repository, &packs, &sent));
        }
        drop((done, sent, taken, packs));
        let sending = Sending { repository, full: Some(full), arrived, lists: Vec::new(), sent_bytes: 0 };
        Assembly::new(repository, source, sending, session, progress)?.run(changes, jobs, &results, workers * AHEAD)
    })
}

/// A window, and which of its blocks changed.
#[derive(Clone, Copy)]
struct Job {
    window: u64,
    changed: u64,
}

/// The windows in which something changed, in order.
struct Changes {
    jobs: Vec<Job>,
    total_bytes: u64,
}

impl Changes {
    fn of(source: &Source<'_>) -> Result<Self, Failure> {
        let mut changes = Self { jobs: Vec::new(), total_bytes: 0 };
        match &source.since {
            Some((bookmark, base)) => {
                for change in source.snapshot.changes_since(bookmark)? {
                    let change = change?;
                    changes.add(change.range.start, change.range.end, change.kind == ChangeKind::Data);
                }
                // What the older image had behind the newer one's end is in no list, and its last block may be cut off.
                if base.size_bytes > source.snapshot.size_bytes() {
                    changes.add_last(source.snapshot.size_bytes());
                }
            }
            None => {
                for range in source.snapshot.mapped_ranges() {
                    let range = range?;
                    changes.add(range.start, range.end, true);
                }
            }
        }
        Ok(changes)
    }

    fn add(&mut self, start: u64, end: u64, is_data: bool) {
        if is_data {
            self.total_bytes += end - start;
        }
        let (first, end) = (start / BLOCK_BYTES, end.div_ceil(BLOCK_BYTES));
        let mut block = first;
        while block < end {
            let window = block / WINDOW_BLOCKS;
            let until = end.min((window + 1) * WINDOW_BLOCKS);
            let changed = bits(block % WINDOW_BLOCKS, until - block);
            match self.jobs.last_mut() {
                Some(last) if last.window == window => last.changed |= changed,
                _ => self.jobs.push(Job { window, changed }),
            }
            block = until;
        }
    }

    fn add_last(&mut self, size_bytes: u64) {
        let window = (size_bytes - 1) / WINDOW_BYTES;
        if self.jobs.last().is_none_or(|last| last.window < window) {
            self.jobs.push(Job { window, changed: 0 });
        }
        if let Some(last) = self.jobs.last_mut() {
            let first_gone = size_bytes.div_ceil(BLOCK_BYTES) - window * WINDOW_BLOCKS;
            last.changed |= bits(first_gone - 1, WINDOW_BLOCKS - first_gone + 1);
        }
    }
}

/// So many bits, beginning at one.
fn bits(first: u64, count: u64) -> u64 {
    let mask = if count >= 64 { u64::MAX } else { (1 << count) - 1 };
    mask.checked_shl(first as u32).unwrap_or(0)
}

/// What became of a window.
struct Looked {
    job: Job,
    digest: Option<Hash>,
    /// Blocks that are not zeroes.
    nonzero: u64,
    /// A chunk of those of them that changed.
    chunk: Option<(ChunkId, usize, Option<Vec<u8>>)>,
}

/// Takes windows and looks at them, until there are no more.
fn work(
    repository: &Repository,
    snapshot: &Snapshot,
    seen: &Mutex<HashSet<ChunkId>>,
    taken: &Mutex<Receiver<(u64, Job)>>,
    done: &SyncSender<(u64, Result<Looked, Failure>)>,
) {
    let mut buffer = vec![0; WINDOW_BYTES as usize];
    loop {
        // Waiting in the lock is waiting for one's turn.
        let Ok((number, job)) = taken.lock().recv() else { return };
        let looked = look(repository, snapshot, seen, job, &mut buffer);
        if done.send((number, looked)).is_err() {
            return;
        }
    }
}

fn look(
    repository: &Repository,
    snapshot: &Snapshot,
    seen: &Mutex<HashSet<ChunkId>>,
    job: Job,
    buffer: &mut [u8],
) -> Result<Looked, Failure> {
    let start = job.window * WINDOW_BYTES;
    let len = (snapshot.size_bytes() - start).min(WINDOW_BYTES) as usize;
    buffer.fill(0);
    snapshot.read_at(&mut buffer[..len], start)?;
    let (mut hasher, mut nonzero, mut content) = (WindowHasher::new(), 0, Vec::new());
    for (index, block) in buffer.chunks_exact(BLOCK_BYTES as usize).enumerate() {
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        hasher.update(job.window * WINDOW_BLOCKS + index as u64, block);
        nonzero |= 1 << index;
        if job.changed >> index & 1 == 1 {
            content.extend_from_slice(block);
        }
    }
    let chunk = (!content.is_empty()).then(|| {
        let id = repository.codec().name(&content);
        let is_new = !repository.has(&id) && seen.lock().insert(id);
        (id, content.len(), is_new.then(|| repository.codec().store(&id, &content)))
    });
    Ok(Looked { job, digest: hasher.finish(), nonzero, chunk })
}

/// Takes packs and sends them, until there are no more.
fn send(repository: &Repository, packs: &Mutex<Receiver<Packed>>, sent: &mpsc::Sender<Result<PackList, Failure>>) {
    loop {
        let Ok(Packed { uuid, bytes, entries }) = packs.lock().recv() else { return };
        let done = repository.bucket().put(&pack::name(uuid), bytes.into());
        let failed = done.is_err();
        if sent.send(done.map(|()| PackList { pack: uuid, entries })).is_err() || failed {
            return;
        }
    }
}

/// Packs on their way.
struct Sending<'a> {
    repository: &'a Repository,
    full: Option<SyncSender<Packed>>,
    arrived: Receiver<Result<PackList, Failure>>,
    /// Packs that are in no index yet.
    lists: Vec<PackList>,
    sent_bytes: u64,
}

impl Sending<'_> {
    fn send(&mut self, packing: Packing) -> Result<(), Failure> {
        let packed = packing.finish(self.repository.codec());
        self.sent_bytes += packed.bytes.len() as u64;
        let handed = self.full.as_ref().is_some_and(|full| full.send(packed).is_ok());
        while let Ok(arrived) = self.arrived.try_recv() {
            self.lists.push(arrived?);
        }
        if !handed {
            return Err(Failure::new(FailureKind::Io, "packs cannot be sent any more"));
        }
        if self.lists.len() >= PACKS_PER_INDEX {
            self.repository.put_index(&std::mem::take(&mut self.lists))?;
        }
        Ok(())
    }

    /// Waits until all has arrived, and puts the rest of the index.
    fn finish(&mut self) -> Result<(), Failure> {
        self.full = None;
        while let Ok(arrived) = self.arrived.recv() {
            self.lists.push(arrived?);
        }
        if !self.lists.is_empty() {
            self.repository.put_index(&std::mem::take(&mut self.lists))?;
        }
        Ok(())
    }
}

/// The pages of a map that is being made: those of the location, and new ones.
struct NewPages<'a> {
    repository: &'a Repository,
    new: Mutex<HashMap<ChunkId, Arc<Page>>>,
}

impl Pages for NewPages<'_> {
    fn page(&self, id: &ChunkId, level: u8) -> Result<Arc<Page>, Failure> {
        if let Some(page) = self.new.lock().get(id) {
            return Ok(Arc::clone(page));
        }
        self.repository.page(id, level)
    }
}

/// Puts results in order together.
struct Assembly<'a> {
    repository: &'a Repository,
    snapshot: &'a Snapshot,
    base: Option<Image>,
    pages: NewPages<'a>,
    sending: Sending<'a>,
    data: Packing,
    page_pack: Packing,
    added: Added,
    /// Blocks that are not zeroes: how many more than in the older image.
    more_blocks: i64,
    session: &'a mut Session,
    progress: &'a mut dyn FnMut(Progress),
}

impl<'a> Assembly<'a> {
    fn new(
        repository: &'a Repository,
        source: &'a Source<'_>,
        sending: Sending<'a>,
        session: &'a mut Session,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Result<Self, Failure> {
        Ok(Self {
            repository,
            snapshot: source.snapshot,
            base: source.since.map(|(_, base)| base.image()),
            pages: NewPages { repository, new: Mutex::default() },
            sending,
            data: Packing::new(),
            page_pack: Packing::new(),
            added: Added::default(),
            more_blocks: 0,
            session,
            progress,
        })
    }

    fn run(
        mut self,
        changes: Changes,
        jobs: SyncSender<(u64, Job)>,
        results: &Receiver<(u64, Result<Looked, Failure>)>,
        ahead: usize,
    ) -> Result<(Image, Added), Failure> {
        let size_bytes = self.snapshot.size_bytes();
        let base = self.base.and_then(|image| image.map);
        let pages = std::mem::replace(&mut self.pages, NewPages { repository: self.repository, new: Mutex::default() });
        let mut edit = Edit::new(&pages, base.as_ref(), size_bytes, &mut |page| self.keep(&pages, page))?;
        let total = changes.jobs.len() as u64;
        let mut jobs = Some(jobs);
        let (mut asked, mut next) = (0, 0);
        let mut waiting = BTreeMap::new();
        let mut todo = changes.jobs.into_iter();
        let mut progress = Progress { total_bytes: changes.total_bytes, ..Progress::default() };
        while next < total {
            while asked < total && asked - next < ahead as u64 {
                let job = todo.next().expect("as many as were counted");
                let handed = jobs.as_ref().is_some_and(|jobs| jobs.send((asked, job)).is_ok());
                assert!(handed, "workers wait for windows");
                asked += 1;
            }
            if asked == total {
                jobs = None;
            }
            let (number, looked) = results.recv().expect("workers answer");
            waiting.insert(number, looked?);
            while let Some(looked) = waiting.remove(&next) {
                progress.done_bytes += u64::from((looked.job.changed & looked.nonzero).count_ones()) * BLOCK_BYTES;
                self.take(&pages, &mut edit, looked)?;
                next += 1;
            }
            if self.repository.bucket().is_stopped() {
                return Err(Failure::new(FailureKind::Io, "the upload was stopped; it goes on at the next start"));
            }
            self.session.beat_if_due()?;
            progress.sent_bytes = self.sending.sent_bytes;
            (self.progress)(progress);
        }
        drop(jobs);
        let root = edit.finish(&mut |page| self.keep(&pages, page))?;
        for packing in [std::mem::take(&mut self.data), std::mem::take(&mut self.page_pack)] {
            if !packing.is_empty() {
                self.sending.send(packing)?;
            }
        }
        self.sending.finish()?;
        progress.done_bytes = progress.total_bytes;
        progress.sent_bytes = self.sending.sent_bytes;
        (self.progress)(progress);
        let image = Image { size_bytes, referenced_bytes: self.referenced(root.as_ref())?, map: root };
        Ok((image, self.added))
    }

    /// Puts a window into map and pack.
    fn take(&mut self, pages: &NewPages<'_>, edit: &mut Edit<'_, NewPages<'_>>, mut looked: Looked) -> Result<(), Failure> {
        let window = looked.job.window;
        let before = edit.window(window, &mut |page| self.keep(pages, page))?;
        let mut pieces = pieces_of(before.as_ref(), &looked);
        let chunks: HashSet<ChunkId> = pieces.iter().map(|piece| piece.chunk).collect();
        if chunks.len() > CHUNKS_PER_WINDOW_MAX {
            let mut buffer = vec![0; WINDOW_BYTES as usize];
            let job = Job { window, changed: u64::MAX };
            looked = look(self.repository, self.snapshot, &Mutex::default(), job, &mut buffer)?;
            pieces = pieces_of(None, &looked);
        }
        if let Some((id, plain, Some(stored))) = looked.chunk.take() {
            self.put(id, ChunkKind::Data, plain, &stored)?;
        }
        let blocks = |window: &Window| window.pieces.iter().map(|piece| i64::from(piece.blocks)).sum::<i64>();
        let after = looked.digest.map(|digest| Window { digest, pieces });
        self.more_blocks += after.as_ref().map_or(0, blocks) - before.as_ref().map_or(0, blocks);
        if after != before {
            edit.set(window, after, &mut |page| self.keep(pages, page))?;
        }
        Ok(())
    }

    fn keep(&mut self, pages: &NewPages<'_>, page: &Page) -> Result<ChunkId, Failure> {
        let bytes = page.to_bytes();
        let id = self.repository.codec().name(&bytes);
        let is_new = pages.new.lock().insert(id, Arc::new(page.clone())).is_none();
        if is_new && !self.repository.has(&id) {
            let stored = self.repository.codec().store(&id, &bytes);
            self.put(id, ChunkKind::Page, bytes.len(), &stored)?;
        }
        Ok(id)
    }

    fn put(&mut self, id: ChunkId, kind: ChunkKind, plain: usize, stored: &[u8]) -> Result<(), Failure> {
        self.added.chunks += 1;
        self.added.bytes += plain as u64;
        self.added.stored_bytes += stored.len() as u64;
        let packing = match kind {
            ChunkKind::Data => &mut self.data,
            ChunkKind::Page => &mut self.page_pack,
        };
        packing.push(id, kind, plain, stored);
        if packing.is_full() {
            let packing = std::mem::take(packing);
            self.sending.send(packing)?;
        }
        Ok(())
    }

    /// How much of the image is not zeroes.
    fn referenced(&self, root: Option<&Root>) -> Result<u64, Failure> {
        match self.base {
            Some(base) if base.size_bytes <= self.snapshot.size_bytes() => {
                Ok(base.referenced_bytes.saturating_add_signed(self.more_blocks * BLOCK_BYTES as i64))
            }
            // What was cut off was not counted.
            _ => {
                let mut blocks = 0;
                map::walk(self.repository, root, 0..u64::MAX, &mut |_, window| {
                    blocks += window.pieces.iter().map(|piece| u64::from(piece.blocks)).sum::<u64>();
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok(blocks * BLOCK_BYTES)
            }
        }
    }
}

/// Where the blocks of a window are: those that changed in its chunk, the others where they were.
fn pieces_of(before: Option<&Window>, looked: &Looked) -> Vec<Piece> {
    let mut places = map::places(before);
    let mut at = 0;
    for (block, place) in places.iter_mut().enumerate() {
        if looked.nonzero >> block & 1 == 0 {
            *place = None;
        } else if looked.job.changed >> block & 1 == 1
            && let Some((id, ..)) = &looked.chunk
        {
            *place = Some((*id, at));
            at += 1;
        }
    }
    let pieces = places
        .iter()
        .enumerate()
        .filter_map(|(block, place)| place.map(|(chunk, at)| Piece { first: block as u8, blocks: 1, chunk, at }));
    map::joined(pieces.collect())
}
