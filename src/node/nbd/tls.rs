//! How does a client talk through TLS?

use super::connection::Ended;
use super::inbox::{Filled, received};
use super::wire::Wire;
use crate::node::certificates;
use crate::node::failure::Failure;
use parking_lot::Mutex;
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Bytes that are received, and encrypted, at a time.
const STEP_BYTES: usize = 256 << 10;

/// A server's certificate, and whom it lets in.
pub struct TlsConfig {
    config: Arc<ServerConfig>,
    /// Must every client use it?
    pub required: bool,
}

impl TlsConfig {
    /// Reads the files, as [`certificates::load`] does.
    ///
    /// # Errors
    /// Those of [`certificates::load`].
    pub fn load(certificate: &Path, key: &Path, clients: Option<&Path>, required: bool) -> Result<Self, Failure> {
        let config = certificates::load(certificate, key, clients)?;
        Ok(Self { config: Arc::new(config), required })
    }

    /// Meets a client.
    ///
    /// # Errors
    /// If he does not come to terms until the deadline.
    pub fn accept(&self, wire: Arc<dyn Wire>, deadline: Instant) -> Result<Met, Ended> {
        let connection = ServerConnection::new(Arc::clone(&self.config)).map_err(|error| Ended(format!("TLS: {error}")))?;
        let tls = TlsWire {
            wire,
            connection: Mutex::new(connection),
            sending: Mutex::default(),
            received: Mutex::new(Received { bytes: vec![0; STEP_BYTES], start: 0, end: 0 }),
        };
        tls.connection.lock().set_buffer_limit(None);
        while tls.connection.lock().is_handshaking() {
            let filled = tls.decrypt_some();
            // An alert says to the client why he is not let in.
            tls.send(&[])?;
            if filled? == Filled::End {
                return Err(Ended("the client left in the middle of the TLS handshake".into()));
            }
            if Instant::now() > deadline {
                return Err(Ended("the TLS handshake took too long".into()));
            }
        }
        tls.send(&[])?;
        let shown = tls.connection.lock().peer_certificates().and_then(<[_]>::first).map(|shown| *blake3::hash(shown).as_bytes());
        Ok(Met { wire: Arc::new(tls), certificate: shown })
    }
}

/// A client that talks through TLS from now on.
pub struct Met {
    /// The way to him.
    pub wire: Arc<dyn Wire>,
    /// The hash of the certificate that he showed.
    pub certificate: Option<[u8; 32]>,
}

/// What came from the client and is not decrypted yet.
struct Received {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// A wire through TLS. Locks are taken in the order `received`, `sending`, `connection`, and the last one is never held while waiting.
struct TlsWire {
    wire: Arc<dyn Wire>,
    connection: Mutex<ServerConnection>,
    sending: Mutex<()>,
    received: Mutex<Received>,
}

impl TlsWire {
    /// Gets more out of what was received, or receives more.
    fn decrypt_some(&self) -> io::Result<Filled> {
        let mut received_bytes = self.received.lock();
        let Received { bytes, start, end } = &mut *received_bytes;
        if start == end {
            let (filled, count) = received(self.wire.receive(bytes))?;
            if filled != Filled::More {
                return Ok(filled);
            }
            (*start, *end) = (0, count);
        }
        let answers = {
            let mut connection = self.connection.lock();
            *start += connection.read_tls(&mut &bytes[*start..*end])?;
            let processed = connection.process_new_packets();
            let wants_write = connection.wants_write();
            drop(connection);
            if let Err(error) = processed {
                // The alert tells the client; what matters here is the error.
                self.send(&[]).unwrap_or_default();
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("TLS: {error}")));
            }
            wants_write
        };
        if answers {
            self.send(&[])?;
        }
        Ok(Filled::More)
    }
}

impl Wire for TlsWire {
    fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.lock().reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Cut off without a farewell; the protocol above knows whether something was missing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                result => return result,
            }
            match self.decrypt_some()? {
                Filled::More => {}
                Filled::End => return Ok(0),
                Filled::Nothing => return Err(io::ErrorKind::WouldBlock.into()),
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let _sending = self.sending.lock();
        let mut chunks = bytes.chunks(STEP_BYTES);
        loop {
            let chunk = chunks.next();
            let mut encrypted = Vec::new();
            {
                let mut connection = self.connection.lock();
                connection.writer().write_all(chunk.unwrap_or_default())?;
                while connection.wants_write() {
                    connection.write_tls(&mut encrypted)?;
                }
            }
            self.wire.send(&encrypted)?;
            if chunk.is_none() {
                return Ok(());
            }
        }
    }

    fn stop_receiving(&self) {
        self.wire.stop_receiving();
    }

    fn finish(&self) {
        self.connection.lock().send_close_notify();
        // He may be gone already.
        self.send(&[]).unwrap_or_default();
        self.wire.finish();
    }

    fn cut(&self) {
        // Without a farewell: whoever is cut off may take nothing any more.
        self.wire.cut();
    }
}
