//! Which operation of a simulated device fails?

use std::io;

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// One operation fails, the next succeeds.
    Once,
    /// Every operation from there on fails.
    ForEver,
}

/// An operation that fails, by its number.
///
/// ```
/// use floe::Device;
/// use floe::sim::{Fault, Lasts, SimDevice};
///
/// let device = SimDevice::new(1 << 20)?;
/// device.fail(Some(Fault { operation: device.operations() + 1, lasts: Lasts::Once, error: std::io::ErrorKind::StorageFull }));
/// assert!(device.write_at(b"one", 0).is_ok());
/// assert!(device.write_at(b"two", 0).is_err());
/// assert!(device.write_at(b"three", 0).is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Operations are counted from 0.
    pub operation: u64,
    /// Once or for ever.
    pub lasts: Lasts,
    /// What it says: `Other` for a medium error, `StorageFull` for a full disk.
    pub error: io::ErrorKind,
}

/// Counts operations and lets them fail.
#[derive(Default)]
pub(super) struct Faults {
    operations: u64,
    fault: Option<Fault>,
    struck: bool,
}

impl Faults {
    pub fn operations(&self) -> u64 {
        self.operations
    }

    pub fn set(&mut self, fault: Option<Fault>) {
        (self.fault, self.struck) = (fault, false);
    }

    pub fn struck(&self) -> bool {
        self.struck
    }

    /// One more operation: may it succeed?
    pub fn next(&mut self) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        let strikes = |fault: &Fault| match fault.lasts {
            Lasts::Once => number == fault.operation,
            Lasts::ForEver => number >= fault.operation,
        };
        match self.fault.filter(strikes) {
            None => Ok(()),
            Some(fault) => {
                self.struck = true;
                Err(io::Error::new(fault.error, format!("simulated failure of operation {number}")))
            }
        }
    }
}
