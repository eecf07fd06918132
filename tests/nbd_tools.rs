//! Do the tools that others wrote find in our NBD server what they expect of one?
//!
//! The server runs in the test's own process, so that a test can take a snapshot, or delete a drive, while clients are connected.
//! The tools are Debian's: libnbd-bin, python3-libnbd, nbdkit, fio, qemu-utils, e2fsprogs, xfsprogs, util-linux.
#![cfg(all(feature = "node", feature = "sim"))]

#[path = "nbd/backup.rs"]
mod backup;
#[path = "nbd/block_device.rs"]
mod block_device;
#[path = "nbd/dice.rs"]
mod dice;
#[path = "nbd/file_system.rs"]
mod file_system;
#[path = "nbd/fio.rs"]
mod fio;
#[path = "nbd/harness.rs"]
mod harness;
#[path = "nbd/history.rs"]
mod history;
#[path = "nbd/libnbd.rs"]
mod libnbd;
#[path = "nbd/nbdcopy.rs"]
mod nbdcopy;
#[path = "nbd/nbdinfo.rs"]
mod nbdinfo;
#[path = "nbd/nbdkit.rs"]
mod nbdkit;
#[path = "nbd/qemu.rs"]
mod qemu;
