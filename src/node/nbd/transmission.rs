//! How are many requests of one client served at the same time?
//!
//! One thread reads requests. What is quick it serves at once, and sends the answers of all requests that came together together; what is
//! slow it leaves to workers, whose answers go out in the order in which they are done.
//!
//! 1. An answer is sent whole: answers never mix.
//! 2. Payloads and answers in memory are bounded; a client that takes no answers is not read from any further.
//! 3. Whatever was read from the client before the end is done and answered before the connection ends.

use super::connection::Ended;
use super::figures::Set;
use super::inbox::{Filled, INBOX_BYTES, Inbox, received};
use super::limits::Limits;
use super::pace::Pace;
use super::patience::{PATIENCE, Patience};
use super::perform::{Session, perform};
use super::protocol::PAYLOAD_BYTES_MAX;
use super::protocol::errno::Errno;
use super::protocol::reply::{Answer, Output};
use super::protocol::request::{Command, Request};
use super::wire::Wire;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

/// Answers of quick requests are sent when they come to this many bytes.
const SENT_TOGETHER: usize = 256 << 10;

/// Memory for answers, or for a long payload, that is kept for the next ones.
const KEPT_BYTES: usize = 2 << 20;

/// While a client is busy, memory of payloads is kept for the next ones: as much as one part in so many of what may be in flight.
const KEPT_PAYLOADS_SHARE: usize = 4;

/// The longest payload that is served from where it was received.
const PAYLOAD_IN_PLACE_MAX: u64 = INBOX_BYTES as u64 / 2;

/// Payloads that are longer than this do not go through the inbox if a worker gets them anyway.
const PAYLOAD_LONG_MIN: u64 = 16 << 10;

/// What a job takes beside its payload and data: also bounds how many can wait.
const JOB_BYTES: usize = 4096;

/// A request for a worker.
struct Job {
    request: Request,
    /// The payload, and perhaps more.
    payload: Vec<u8>,
    len: usize,
    cost: usize,
}

/// Memory of payloads that were served.
#[derive(Default)]
struct Kept {
    memory: Vec<Vec<u8>>,
    bytes: usize,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Workers that wait for a job.
    idle: usize,
    workers: usize,
    closed: bool,
}

/// What the threads of one connection share.
struct Shared<'a> {
    wire: &'a dyn Wire,
    session: &'a Session,
    limits: &'a Limits,
    counters: &'a Set,
    /// Held while an answer is sent.
    sending: Mutex<()>,
    broken: AtomicBool,
    /// Bytes that jobs have in memory; changed with the queue locked.
    in_flight: AtomicUsize,
    pace: Pace,
    queue: Mutex<Queue>,
    /// Memory of payloads that were served: asking the system for new pages each time costs more than filling them.
    payloads: Mutex<Kept>,
    job_came: Condvar,
    job_done: Condvar,
}

/// Serves requests until the client ends the connection.
///
/// # Errors
/// Why it had to be ended.
pub fn serve(wire: &dyn Wire, session: &Session, inbox: &mut Inbox, limits: &Limits, counters: &Set) -> Result<(), Ended> {
    let shared = Shared {
        wire,
        session,
        limits,
        counters,
        sending: Mutex::default(),
        broken: AtomicBool::new(false),
        in_flight: AtomicUsize::new(0),
        pace: Pace::default(),
        queue: Mutex::default(),
        payloads: Mutex::default(),
        job_came: Condvar::new(),
        job_done: Condvar::new(),
    };
    thread::scope(|scope| {
        let _closing = Closing(&shared);
        let mut reader = Reader {
            shared: &shared,
            scope,
            inbox,
            output: Output::default(),
            at_once: INBOX_BYTES,
            patience: Patience::default(),
        };
        let result = reader.run();
        // What was asked before the end, good or bad, is answered.
        result.and(reader.send())
    })
}

/// Sends the workers home, even if the reader panics: the scope waits for them.
struct Closing<'a>(&'a Shared<'a>);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.queue.lock().closed = true;
        self.0.job_came.notify_all();
    }
}

/// A job in hand. If serving it panics, the client would wait for the answer for ever: his connection ends.
struct InHand<'a> {
    shared: &'a Shared<'a>,
    cost: usize,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.broken.store(true, Ordering::Relaxed);
            self.shared.wire.cut();
        }
        let _queue = self.shared.queue.lock();
        self.shared.in_flight.fetch_sub(self.cost, Ordering::Relaxed);
        self.shared.job_done.notify_one();
    }
}

struct Reader<'scope, 'env, 'a> {
    shared: &'scope Shared<'a>,
    scope: &'scope Scope<'scope, 'env>,
    inbox: &'a mut Inbox,
    output: Output,
    /// Bytes that are received when no request is there yet: fewer while payloads are long, so that most of each comes in where it stays.
    at_once: usize,
    patience: Patience,
}

impl<'a> Reader<'_, '_, 'a> {
    fn run(&mut self) -> Result<(), Ended> {
        let shared = self.shared;
        loop {
            shared.check_broken()?;
            let Some((request, len)) = Request::decode(shared.session.mode, self.inbox.filled())? else {
                if !self.fill(false)? {
                    return Ok(());
                }
                continue;
            };
            self.inbox.take(len);
            if request.command == Command::Disconnect {
                return Ok(());
            }
            let payload = request.payload_bytes(shared.session.mode);
            if payload > u64::from(PAYLOAD_BYTES_MAX) {
                self.skip(payload)?;
                let answer = Answer::to(shared.session.mode, &request);
                answer.failed(&mut self.output, Errno::Invalid, "more than 32 MiB at once");
                shared.counters.served(request.command, request.length, Duration::ZERO, false);
            } else if payload > PAYLOAD_LONG_MIN && self.stays_elsewhere(&request, payload) {
                self.at_once = PAYLOAD_LONG_MIN as usize;
                self.with_long_payload(request, payload as usize)?;
            } else {
                self.at_once = INBOX_BYTES;
                self.with_short_payload(request, payload as usize)?;
            }
            if self.output.len() > SENT_TOGETHER {
                self.send()?;
            }
        }
    }

    /// Is the payload too long for the inbox, or will a worker get it anyway, and most of it is still to come?
    fn stays_elsewhere(&self, request: &Request, payload: u64) -> bool {
        let others = self.shared.in_flight.load(Ordering::Relaxed) > 0;
        let is_for_worker = || !self.shared.pace.is_for_reader(request, others);
        payload > PAYLOAD_IN_PLACE_MAX || self.inbox.filled().len() as u64 <= payload / 2 && is_for_worker()
    }

    /// The payload is served from the inbox, where it lies.
    fn with_short_payload(&mut self, request: Request, len: usize) -> Result<(), Ended> {
        while self.inbox.filled().len() < len {
            self.fill(true)?;
        }
        let shared = self.shared;
        let others = self.inbox.filled().len() > len || shared.in_flight.load(Ordering::Relaxed) > 0;
        if shared.pace.is_for_reader(&request, others) {
            let payload = &self.inbox.filled()[..len];
            shared.perform(&request, payload, &mut self.output);
        } else {
            let cost = cost_of(&request, len);
            self.reserve(cost)?;
            let mut payload = shared.memory_for(len);
            payload[..len].copy_from_slice(&self.inbox.filled()[..len]);
            self.hand_over(Job { request, payload, len, cost });
        }
        self.inbox.take(len);
        Ok(())
    }

    fn with_long_payload(&mut self, request: Request, len: usize) -> Result<(), Ended> {
        self.send()?;
        let cost = cost_of(&request, len);
        self.reserve(cost)?;
        let mut payload = self.shared.memory_for(len);
        let mut done = self.inbox.filled().len().min(len);
        payload[..done].copy_from_slice(&self.inbox.filled()[..done]);
        self.inbox.take(done);
        let mut last = Instant::now();
        while done < len {
            match received(self.shared.wire.receive(&mut payload[done..len]))? {
                (Filled::More, count) => {
                    done += count;
                    last = Instant::now();
                }
                (Filled::End, _) => return Err(left_in("a payload")),
                (Filled::Nothing, _) => self.check_stall(last)?,
            }
        }
        // Another thread gets it: this one is to receive the next request meanwhile.
        self.hand_over(Job { request, payload, len, cost });
        Ok(())
    }

    /// Takes a payload that is too long to be meant, for the sake of the requests behind it.
    fn skip(&mut self, mut rest: u64) -> Result<(), Ended> {
        if rest > u64::from(u32::MAX) {
            return Err(Ended(format!("a payload of {rest} bytes")));
        }
        while rest > 0 {
            if self.inbox.is_empty() {
                self.fill(true)?;
            }
            let count = rest.min(self.inbox.filled().len() as u64);
            self.inbox.take(count as usize);
            rest -= count;
        }
        Ok(())
    }

    /// Looks for more for a while without sleeping, if the last requests came soon enough for that to be worth it.
    fn fill_soon(&mut self) -> Result<Filled, Ended> {
        if !self.patience.is_worth_it() || self.shared.in_flight.load(Ordering::Relaxed) > 0 {
            return Ok(Filled::Nothing);
        }
        let begun = Instant::now();
        loop {
            let filled = self.inbox.fill_at_once(self.shared.wire, self.at_once)?;
            if filled != Filled::Nothing || begun.elapsed() > PATIENCE {
                self.patience.looked(filled != Filled::Nothing);
                return Ok(filled);
            }
            // The client may want this very processor.
            thread::yield_now();
        }
    }

    /// Sends what is ready and waits for more; false at the end, if it comes between requests. `amid` says that a part of a request was
    /// taken already.
    fn fill(&mut self, amid: bool) -> Result<bool, Ended> {
        self.send()?;
        let mut filled = self.fill_soon()?;
        let begun = Instant::now();
        loop {
            if filled == Filled::Nothing {
                filled = self.inbox.fill(self.shared.wire, self.at_once)?;
                // The rest of a request comes soon anyway, and says nothing of when the next one comes.
                if !amid {
                    self.patience.waited(begun.elapsed());
                }
            }
            let amid = amid || !self.inbox.is_empty();
            match std::mem::replace(&mut filled, Filled::Nothing) {
                Filled::More => return Ok(true),
                Filled::End if amid => return Err(left_in("a request")),
                Filled::End => return Ok(false),
                Filled::Nothing if amid => self.check_stall(begun)?,
                // Between requests a client may be silent as long as he likes, but keeps no memory meanwhile.
                Filled::Nothing => *self.shared.payloads.lock() = Kept::default(),
            }
        }
    }

    fn check_stall(&self, since: Instant) -> Result<(), Ended> {
        if since.elapsed() > self.shared.limits.stall {
            return Err(Ended("the client left a request half sent for too long".into()));
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Ended> {
        let sent = self.shared.send(&self.output);
        self.output.cut(0, KEPT_BYTES);
        sent
    }

    /// Waits until a job of `cost` bytes may be in memory.
    fn reserve(&mut self, cost: usize) -> Result<(), Ended> {
        let shared = self.shared;
        let fits = || {
            let in_flight = shared.in_flight.load(Ordering::Relaxed);
            in_flight == 0 || in_flight + cost <= shared.limits.in_flight_bytes
        };
        if !fits() {
            // The client may wait for these before he sends more.
            self.send()?;
        }
        let mut queue = shared.queue.lock();
        while !fits() {
            shared.check_broken()?;
            shared.job_done.wait(&mut queue);
        }
        shared.in_flight.fetch_add(cost, Ordering::Relaxed);
        Ok(())
    }

    fn hand_over(&mut self, job: Job) {
        let shared = self.shared;
        let mut queue = shared.queue.lock();
        queue.jobs.push_back(job);
        if queue.idle >= queue.jobs.len() || queue.workers >= shared.limits.workers.max(1) {
            shared.job_came.notify_one();
            return;
        }
        queue.workers += 1;
        drop(queue);
        let spawned = thread::Builder::new().name("nbd-worker".into()).spawn_scoped(self.scope, move || shared.work());
        if spawned.is_err() {
            shared.queue.lock().workers -= 1;
            // Without a thread the work is done here.
            let job = shared.queue.lock().jobs.pop_back();
            if let Some(job) = job {
                let _in_hand = InHand { shared, cost: job.cost };
                shared.perform(&job.request, &job.payload[..job.len], &mut self.output);
            }
        }
    }
}

impl Kept {
    fn pop(&mut self) -> Vec<u8> {
        let memory = self.memory.pop().unwrap_or_default();
        self.bytes -= memory.len();
        memory
    }

    fn push(&mut self, memory: Vec<u8>, bytes_max: usize) {
        if self.bytes + memory.len() <= bytes_max {
            self.bytes += memory.len();
            self.memory.push(memory);
        }
    }
}

impl Shared<'_> {
    fn perform(&self, request: &Request, payload: &[u8], output: &mut Output) {
        let begun = Instant::now();
        let well = perform(self.session, request, payload, output);
        let time = begun.elapsed();
        self.pace.took(request, time);
        self.counters.served(request.command, request.length, time, well);
    }

    /// At least `len` bytes of memory.
    fn memory_for(&self, len: usize) -> Vec<u8> {
        if len == 0 {
            return Vec::new();
        }
        let mut memory = self.payloads.lock().pop();
        if memory.len() < len {
            memory.resize(len, 0);
        }
        memory
    }

    fn keep(&self, memory: Vec<u8>) {
        if (1..=KEPT_BYTES).contains(&memory.len()) {
            self.payloads.lock().push(memory, self.limits.in_flight_bytes / KEPT_PAYLOADS_SHARE);
        }
    }

    /// Is the client gone, or does he take no answers?
    fn check_broken(&self) -> Result<(), Ended> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(Ended("an answer could not be sent".into()));
        }
        Ok(())
    }

    fn send(&self, output: &Output) -> Result<(), Ended> {
        if output.is_empty() {
            return Ok(());
        }
        let _sending = self.sending.lock();
        self.check_broken()?;
        self.wire.send(output.filled()).map_err(|error| {
            // A part of the answer may be on its way: whatever followed would be taken for the rest of it.
            self.broken.store(true, Ordering::Relaxed);
            self.wire.cut();
            error.into()
        })
    }

    fn work(&self) {
        let mut output = Output::default();
        while let Some(job) = self.next_job() {
            let _in_hand = InHand { shared: self, cost: job.cost };
            if self.check_broken().is_err() {
                // Nobody waits for it.
                continue;
            }
            self.perform(&job.request, &job.payload[..job.len], &mut output);
            self.keep(job.payload);
            if self.send(&output).is_err() {
                // The thread that reads hears of it from the wire.
            }
            output.cut(0, KEPT_BYTES);
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue.idle += 1;
            self.job_came.wait(&mut queue);
            queue.idle -= 1;
        }
    }
}

/// Bytes that a request has in memory while it is served.
fn cost_of(request: &Request, payload: usize) -> usize {
    let answer = if request.command == Command::Read { request.length.min(u64::from(PAYLOAD_BYTES_MAX)) as usize } else { 0 };
    payload + answer + JOB_BYTES
}

fn left_in(what: &str) -> Ended {
    Ended(format!("the client left in the middle of {what}"))
}
