//! Where does a server listen?

use crate::node::failure::{Failure, FailureKind};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A way in.
///
/// ```
/// use floe::node::nbd::Address;
///
/// assert_eq!("unix:/run/floe/nbd.sock".parse::<Address>()?.to_string(), "unix:/run/floe/nbd.sock");
/// assert_eq!("[::1]:10809".parse::<Address>()?.to_string(), "[::1]:10809");
/// assert!("nbd.sock".parse::<Address>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A port of an address of this machine.
    Tcp(SocketAddr),
}

impl Address {
    /// Can others than this machine come in there?
    #[must_use]
    pub fn is_open_to_others(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().is_loopback())
    }

    /// Where others can come in, nothing may be said without TLS.
    ///
    /// # Errors
    /// `InvalidArgument` for an address that others can reach, without a certificate.
    pub fn check_reach(&self, has_tls: bool) -> Result<(), Failure> {
        if self.is_open_to_others() && !has_tls {
            let message = format!("{self} can be reached from elsewhere, which needs TLS: give a certificate and its key");
            return Err(Failure::new(FailureKind::InvalidArgument, message));
        }
        Ok(())
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err("unix: needs a path".into());
            }
            return Ok(Self::Unix(path.into()));
        }
        text.parse().map(Self::Tcp).map_err(|_| format!("{text:?} is neither unix:PATH nor ADDRESS:PORT, as in 127.0.0.1:10809"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}
