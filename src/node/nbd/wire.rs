//! How do bytes get to a client and back?
//!
//! One thread receives while others send, so everything takes `&self`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

/// A two-way stream of bytes.
pub trait Wire: Send + Sync {
    /// Waits for bytes; 0 says that no more will come. `WouldBlock` says that none came for a while.
    ///
    /// # Errors
    /// If the connection is broken.
    fn receive(&self, into: &mut [u8]) -> io::Result<usize>;
    /// Sends all bytes.
    ///
    /// # Errors
    /// If the connection is broken, or the client takes nothing for too long.
    fn send(&self, bytes: &[u8]) -> io::Result<()>;
    /// Lets nothing more come in, so that [`Wire::receive`] soon says 0.
    fn stop_receiving(&self);
    /// Ends the connection both ways.
    fn cut(&self);
}

impl Wire for UnixStream {
    fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        receive(self, into)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&mut &*self).write_all(bytes)
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

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&mut &*self).write_all(bytes)
    }

    fn stop_receiving(&self) {
        self.shutdown(Shutdown::Read).unwrap_or_default();
    }

    fn cut(&self) {
        self.shutdown(Shutdown::Both).unwrap_or_default();
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
        (&mut &self.output).write_all(bytes)
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

fn receive(mut from: impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
