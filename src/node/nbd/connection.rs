//! How does one client get from the first byte to the last?

use super::exports::{Exports, Peer};
use super::figures::Figures;
use super::inbox::{Filled, INBOX_BYTES, Inbox};
use super::limits::Limits;
use super::perform::Session;
use super::protocol::Violation;
use super::protocol::handshake::{Handshake, Step, Tls};
use super::tls::TlsConfig;
use super::transmission;
use super::wire::Wire;
use std::sync::Arc;
use std::time::Instant;
use std::{fmt, io};

/// Why a connection ended before the client ended it.
#[derive(Debug)]
pub struct Ended(pub String);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Violation> for Ended {
    fn from(violation: Violation) -> Self {
        Self(violation.0)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self("the client took nothing for too long".into()),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self("the client left without a word".into()),
            _ => Self(error.to_string()),
        }
    }
}

/// How clients are met.
pub struct Terms {
    /// What one may take.
    pub limits: Limits,
    /// The certificate, if there is one.
    pub tls: Option<TlsConfig>,
    /// Where what they do is counted.
    pub figures: Arc<Figures>,
}

/// A client that was let in.
pub struct Connection {
    /// The way to him.
    pub wire: Arc<dyn Wire>,
    /// What he is offered.
    pub exports: Exports,
    /// Does he come from where nothing may be said without TLS?
    pub needs_tls: bool,
}

impl Connection {
    /// Serves the client to the end. `began` hears which export he chose.
    ///
    /// # Errors
    /// Why the connection had to be ended.
    pub fn serve(mut self, terms: &Terms, began: &dyn Fn(&Session)) -> Result<(), Ended> {
        let mut inbox = Inbox::new();
        let result = match self.negotiate(terms, &mut inbox) {
            Ok(Some(session)) => {
                began(&session);
                transmission::serve(&*self.wire, &session, &mut inbox, &terms.limits, terms.figures.set())
            }
            Ok(None) => Ok(()),
            Err(ended) => Err(ended),
        };
        if result.is_ok() {
            self.wire.finish()
        } else {
            self.wire.cut()
        }
        result
    }

    fn negotiate(&mut self, terms: &Terms, inbox: &mut Inbox) -> Result<Option<Session>, Ended> {
        let begun = Instant::now();
        let tls = match &terms.tls {
            None if self.needs_tls => return Err(Ended("there is no certificate for a client from elsewhere".into())),
            None => Tls::Off,
            Some(config) if config.required || self.needs_tls => Tls::Required,
            Some(_) => Tls::Offered,
        };
        let mut output = Vec::new();
        let mut handshake = Handshake::new(tls, &mut output);
        self.wire.send(&output)?;
        output.clear();
        loop {
            let (taken, step) = handshake.advance(&self.exports, inbox.filled(), &mut output)?;
            inbox.take(taken);
            let sent = self.wire.send(&output);
            output.clear();
            if matches!(step, Step::End) {
                // Who says that he leaves need not wait for the answer.
                return Ok(None);
            }
            sent?;
            if begun.elapsed() > terms.limits.handshake {
                return Err(Ended(format!("the negotiation took longer than {:?}", terms.limits.handshake)));
            }
            match step {
                Step::More | Step::End => {}
                Step::Send => continue,
                Step::Begin(session) => return Ok(Some(*session)),
                Step::StartTls => {
                    let Some(config) = &terms.tls else { return Err(Ended("TLS without a certificate".into())) };
                    let met = config.accept(Arc::clone(&self.wire), begun + terms.limits.handshake)?;
                    self.wire = met.wire;
                    if let Some(hash) = met.certificate {
                        self.exports.set_peer(Peer::Certificate(hash));
                    }
                    handshake.tls_started();
                    continue;
                }
            }
            let filled = inbox.fill(&*self.wire, INBOX_BYTES)?;
            if filled == Filled::End {
                return if inbox.is_empty() { Ok(None) } else { Err(Ended("the client left in the middle of an option".into())) };
            }
        }
    }
}
