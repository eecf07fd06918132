//! How do bytes get to a client and back?
//!
//! One thread receives while others send, so everything takes `&self`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A two-way stream of bytes.
pub trait Wire: Send + Sync {
    /// Waits for bytes; 0 says that no more will come. `WouldBlock` says that none came for a while.
    ///
    /// # Errors
    /// If the connection is broken.
    fn receive(&self, into: &mut [u8]) -> io::Result<usize>;
    /// The same without waiting: `WouldBlock` if nothing is there, or if it cannot be told.
    ///
    /// # Errors
    /// As [`Wire::receive`].
    fn receive_at_once(&self, _into: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
    /// Sends all bytes.
    ///
    /// # Errors
    /// If the connection is broken, or the client takes nothing for too long.
    fn send(&self, bytes: &[u8]) -> io::Result<()>;
    /// Lets nothing more come in, so that [`Wire::receive`] soon says 0.
    fn stop_receiving(&self);
    /// Ends the connection both ways.
    fn cut(&self);
    /// Ends the connection as was agreed; some ways have a farewell.
    fn finish(&self) {
        self.cut();
    }
}

impl Wire for UnixStream {
    fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        receive(self, into)
    }

    fn receive_at_once(&self, into: &mut [u8]) -> io::Result<usize> {
        receive_at_once(self, into)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        send(self, bytes)
    }

    fn stop_receiving(&self) {
        // Fails if the client is gone, and then nothing more comes in either.
        self.shutdown(Shutdown::Read).unwrap_or_default();
    }

    fn cut(&self) {
        self.shutdown(Shutdown::Both).unwrap_or_default();
    }
}

impl Wire for TcpStream {
    fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        receive(self, into)
    }

    fn receive_at_once(&self, into: &mut [u8]) -> io::Result<usize> {
        receive_at_once(self, into)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        send(self, bytes)
    }

    fn stop_receiving(&self) {
        self.shutdown(Shutdown::Read).unwrap_or_default();
    }

    fn cut(&self) {
        self.shutdown(Shutdown::Both).unwrap_or_default();
    }
}

/// Bytes that are still taken from a client once nothing more shall come: what may have been on its way, and the rest of a long request.
const REST_BYTES_MAX: usize = 64 << 20;

/// A wire that soon says that nothing more comes when it is told so, even if the client goes on and on.
pub struct Stoppable {
    wire: Arc<dyn Wire>,
    stopped: AtomicBool,
    rest: AtomicUsize,
}

impl Stoppable {
    /// A wire that can be stopped.
    pub fn new(wire: Arc<dyn Wire>) -> Self {
        Self { wire, stopped: AtomicBool::new(false), rest: AtomicUsize::new(REST_BYTES_MAX) }
    }
}

impl Wire for Stoppable {
    fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        if !self.stopped.load(Ordering::Relaxed) {
            return self.wire.receive(into);
        }
        let rest = self.rest.load(Ordering::Relaxed).min(into.len());
        if rest == 0 {
            return Ok(0);
        }
        let count = self.wire.receive(&mut into[..rest])?;
        // One thread receives, so nobody counts in between.
        self.rest.fetch_sub(count, Ordering::Relaxed);
        Ok(count)
    }

    fn receive_at_once(&self, into: &mut [u8]) -> io::Result<usize> {
        // Who has been told to stop takes his time.
        if self.stopped.load(Ordering::Relaxed) { Err(io::ErrorKind::WouldBlock.into()) } else { self.wire.receive_at_once(into) }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.wire.send(bytes)
    }

    fn stop_receiving(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.wire.stop_receiving();
    }

    fn cut(&self) {
        self.wire.cut();
    }

    fn finish(&self) {
        self.wire.finish();
    }
}

/// Two files, for a client on standard input and output.
pub struct Files {
    /// What the client says.
    pub input: File,
    /// What it hears.
    pub output: File,
}

impl Wire for Files {
    fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        receive(&self.input, into)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        send(&self.output, bytes)
    }

    fn stop_receiving(&self) {
        // Only a socket can be told; of a pipe the client closes his end.
        rustix::net::shutdown(&self.input, rustix::net::Shutdown::Read).unwrap_or_default();
    }

    fn cut(&self) {
        rustix::net::shutdown(&self.input, rustix::net::Shutdown::Both).unwrap_or_default();
        rustix::net::shutdown(&self.output, rustix::net::Shutdown::Both).unwrap_or_default();
    }
}

fn send(mut to: impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)
}

fn receive(mut from: impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn receive_at_once(from: impl AsFd, into: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(from, into, rustix::net::RecvFlags::DONTWAIT)?.0)
}
