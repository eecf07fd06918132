//! What goes over a connection, and how long may it take?
//!
//! Between a socket and hyper. hyper reads requests and writes answers; what it does not do is done here:
//!
//! 1. A client that neither asks nor listens is cut off: limits for silence, for the head of a request, and for taking an answer.
//! 2. What hyper says of a request that it cannot read has no body; [`Refusal`] says it as all errors are said.
//! 3. Whoever sent more than was read is listened to for a moment, or the system would throw away the answer that is on its way to him.

use super::limits::HttpLimits;
use super::refusal::Refusal;
use super::turn::Turn;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long somebody is listened to who was refused.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes that he may still send.
const LINGER_BYTES: usize = 64 << 20;

/// A connection, as hyper sees it.
pub struct Wire<S> {
    stream: S,
    terms: Terms,
    /// When whatever is being waited for takes too long.
    limit: Pin<Box<Sleep>>,
    /// Is a write being waited for, rather than a read?
    writing: bool,
    head_begun: bool,
    /// Words of our own, to be written before all others.
    words: Vec<u8>,
    /// Is nothing to be read any more?
    ended: bool,
    lingering: Option<usize>,
}

/// What holds for a connection.
#[derive(Clone)]
pub struct Terms {
    /// How much it may take.
    pub limits: HttpLimits,
    /// Whose turn it is.
    pub turn: Arc<Turn>,
    /// How a client is refused.
    pub refusal: Refusal,
    /// Is the server to end? Then no more requests are waited for.
    pub ending: Arc<AtomicBool>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A connection that begins.
    pub fn new(stream: S, terms: Terms) -> Self {
        let limit = Box::pin(sleep(terms.limits.head));
        Self { stream, terms, limit, writing: false, head_begun: false, words: Vec::new(), ended: false, lingering: None }
    }

    /// Says to a client that is not served why, and ends.
    ///
    /// # Errors
    /// If he does not take it.
    pub async fn refuse(mut self, status: u16) -> io::Result<()> {
        self.words = self.terms.refusal.words(status);
        std::future::poll_fn(|context| self.poll_end(context)).await
    }

    fn wait_at_most(&mut self, time: Duration) {
        self.limit.as_mut().reset(Instant::now() + time);
    }

    /// Nothing could be read. Has the client had his time?
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.terms.turn.is_clients() || self.writing {
            return Poll::Pending;
        }
        if !self.terms.ending.load(Ordering::Acquire) {
            ready!(self.limit.as_mut().poll(context));
            if self.head_begun {
                self.words = self.terms.refusal.words(408);
            }
        }
        self.ended = true;
        Poll::Ready(())
    }

    /// Writes what is to be said before all else.
    fn poll_words(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.words.is_empty() {
            let words = std::mem::take(&mut self.words);
            let written = self.poll_stream(context, |stream, context| stream.poll_write(context, &words));
            self.words = words;
            let count = ready!(written)?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.words.drain(..count);
        }
        Poll::Ready(Ok(()))
    }

    /// Something that writes, which must not wait for too long.
    fn poll_stream<T>(
        &mut self,
        context: &mut Context<'_>,
        work: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let done = work(Pin::new(&mut self.stream), context);
        if done.is_ready() {
            self.writing = false;
            return done;
        }
        if !self.writing {
            self.writing = true;
            self.wait_at_most(self.terms.limits.stall);
        }
        ready!(self.limit.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client took nothing for too long")))
    }

    /// Ends the connection, so that what was said arrives.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(self.poll_words(context))?;
            ready!(self.poll_stream(context, AsyncWrite::poll_shutdown))?;
            self.lingering = Some(0);
            self.wait_at_most(LINGER);
        }
        let mut nowhere = [0; 8192];
        while let Some(count) = self.lingering.as_mut().filter(|count| **count < LINGER_BYTES) {
            let mut buffer = ReadBuf::new(&mut nowhere);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => *count += buffer.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending => {
                    ready!(self.limit.as_mut().poll(context));
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Read for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.ended {
            let (read, count) = {
                let mut counted = Counted { stream: &mut this.stream, count: 0 };
                let read = Pin::new(&mut TokioIo::new(&mut counted)).poll_read(context, into);
                (read, counted.count)
            };
            if read.is_ready() {
                if count > 0 && !this.head_begun && this.terms.turn.is_clients() {
                    this.head_begun = true;
                    this.wait_at_most(this.terms.limits.head);
                }
                return read;
            }
            ready!(this.poll_silence(context));
        }
        // To hyper it is as if the client had gone.
        this.poll_words(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Write for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.terms.turn.is_clients()
            && let Some(status) = status_of(bytes)
        {
            this.words = this.terms.refusal.words(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(this.poll_words(context))?;
        this.poll_stream(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_words(context))?;
        ready!(this.poll_stream(context, AsyncWrite::poll_flush))?;
        if this.terms.turn.written() {
            this.head_begun = false;
            this.wait_at_most(this.terms.limits.idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(context)
    }
}

/// The status in the first line of a response.
fn status_of(bytes: &[u8]) -> Option<u16> {
    let line = bytes.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// Counts what is read.
struct Counted<'a, S> {
    stream: &'a mut S,
    count: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut *self.stream).poll_read(context, into);
        self.count += into.filled().len() - before;
        read
    }
}
