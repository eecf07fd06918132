//! Whose turn is it on a connection: the client's, who asks, or the server's, who answers?
//!
//! The [wire](super::wire) must know: limits of time differ, and what is written while nobody answers are hyper's own words.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use tokio::sync::watch;

/// The client is to ask.
const CLIENT: u8 = 0;
/// A request came, and its answer is being made.
const SERVER: u8 = 1;
/// The answer was made; it may not have been written yet.
const ANSWERED: u8 = 2;

/// The turn of one connection.
#[derive(Debug, Default)]
pub struct Turn(AtomicU8);

impl Turn {
    /// A request came.
    pub fn take(&self) {
        self.0.store(SERVER, Ordering::Release);
    }

    /// All that was to be written is written; true if that ends the server's turn.
    pub fn written(&self) -> bool {
        self.0.compare_exchange(ANSWERED, CLIENT, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Is the client to ask?
    pub fn is_clients(&self) -> bool {
        self.0.load(Ordering::Acquire) == CLIENT
    }
}

/// A request that is being answered; ends when its answer was made, or nobody waits for it any more.
#[derive(Debug)]
pub struct Answering {
    turn: Arc<Turn>,
    in_progress: Option<Arc<watch::Sender<usize>>>,
}

impl Answering {
    /// Takes the turn. `in_progress` counts what must be waited for in the end.
    pub fn begin(turn: &Arc<Turn>, in_progress: Option<&Arc<watch::Sender<usize>>>) -> Self {
        turn.take();
        let counted = in_progress.cloned();
        counted.iter().for_each(|counted| counted.send_modify(|count| *count += 1));
        Self { turn: Arc::clone(turn), in_progress: counted }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.turn.0.store(ANSWERED, Ordering::Release);
        self.in_progress.iter().for_each(|counted| counted.send_modify(|count| *count -= 1));
    }
}

/// The body of an answer, which lasts as long as the answer is being made.
#[derive(Debug)]
pub struct Answered<B> {
    body: B,
    _answering: Answering,
}

impl<B> Answered<B> {
    /// A body, and what ends with it.
    pub fn new(body: B, answering: Answering) -> Self {
        Self { body, _answering: answering }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
