//! Which operation of the device fails, how long, and with which words?

use std::fmt::{self, Display, Formatter};
use std::io::ErrorKind;
use std::str::FromStr;

use floe::sim::{Fault, Lasts};

/// An I/O error: the operation that comes after so many others fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    pub operation: u64,
    pub lasts: Lasts,
    pub error: ErrorKind,
}

impl Injection {
    /// Once and for ever, a medium error and a full disk, at one operation.
    pub fn all_at(operation: u64) -> impl Iterator<Item = Self> {
        [Lasts::Once, Lasts::ForEver].into_iter().flat_map(move |lasts| {
            [ErrorKind::Other, ErrorKind::StorageFull].into_iter().map(move |error| Self { operation, lasts, error })
        })
    }

    /// For a device that did `before` operations already.
    pub fn after(self, before: u64) -> Fault {
        Fault { operation: before + self.operation, lasts: self.lasts, error: self.error }
    }

    /// A number of its own for each, for choices that are to differ.
    pub fn number(self) -> u64 {
        self.operation * 4 + u64::from(self.lasts == Lasts::ForEver) * 2 + u64::from(self.error == ErrorKind::StorageFull)
    }
}

impl Display for Injection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}:{:?}", self.operation, self.lasts, self.error)
    }
}

impl FromStr for Injection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let operation = text.split(':').next().and_then(|number| number.parse().ok());
        let found = operation.and_then(|operation| Self::all_at(operation).find(|injection| injection.to_string() == text));
        found.ok_or_else(|| format!("{text} is no fault: operation:Once|ForEver:Other|StorageFull"))
    }
}
