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

/// What a device is asked for, as far as it can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Bytes, by a read or out of the map.
    Read,
    /// To take bytes.
    Write,
    /// To make durable what was written.
    Sync,
    /// To secure space.
    Allocate,
    /// To become longer.
    Grow,
}

impl Asked {
    /// Is it uncertain what the disk holds after such an operation failed?
    #[must_use]
    pub fn is_fatal(self) -> bool {
        matches!(self, Self::Write | Self::Sync)
    }
}

/// What failed since a fault was set, and what was asked for afterwards.
///
/// ```
/// use floe::Device;
/// use floe::sim::{Asked, Fault, Lasts, SimDevice};
///
/// let device = SimDevice::new(1 << 20)?;
/// device.fail(Some(Fault { operation: 0, lasts: Lasts::Once, error: std::io::ErrorKind::Other }));
/// assert!(device.sync().is_err());
/// device.sync()?;
/// let failures = device.failures();
/// // Whoever syncs again after a failed sync is told a lie.
/// assert_eq!((failures.fatal, failures.after_fatal), (Some(Asked::Sync), 1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// The first operation that failed.
    pub first: Option<Asked>,
    /// The last one.
    pub last: Option<Asked>,
    /// The first write or sync that failed.
    pub fatal: Option<Asked>,
    /// How many writes and syncs were asked for after that one.
    pub after_fatal: u64,
}

/// Counts operations and lets them fail.
#[derive(Default)]
pub(super) struct Faults {
    operations: u64,
    fault: Option<Fault>,
    failures: Failures,
}

impl Faults {
    pub fn operations(&self) -> u64 {
        self.operations
    }

    pub fn set(&mut self, fault: Option<Fault>) {
        (self.fault, self.failures) = (fault, Failures::default());
    }

    pub fn failures(&self) -> Failures {
        self.failures
    }

    /// One more operation: may it succeed?
    pub fn next(&mut self, asked: Asked) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        self.failures.after_fatal += u64::from(self.failures.fatal.is_some() && asked.is_fatal());
        let strikes = |fault: &Fault| match fault.lasts {
            Lasts::Once => number == fault.operation,
            Lasts::ForEver => number >= fault.operation,
        };
        match self.fault.filter(strikes) {
            None => Ok(()),
            Some(fault) => {
                self.failures.first.get_or_insert(asked);
                self.failures.last = Some(asked);
                if asked.is_fatal() {
                    self.failures.fatal.get_or_insert(asked);
                }
                Err(io::Error::new(fault.error, format!("simulated failure of operation {number}")))
            }
        }
    }
}
