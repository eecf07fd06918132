//! How does a store fit into memory that holds more data than memory does?

use std::io;
use std::ops::Range;

use floe::{Device, Lend, MemoryDevice};

/// Memory that keeps metadata and drops blocks that are full of [`FILLING`]: what remains is as large as a table, not as an image. Whoever
/// reads such a block finds that its checksum is wrong.
pub struct DropsFilling(pub MemoryDevice);

pub const FILLING: u8 = 0xF7;

impl Device for DropsFilling {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        if buf.first() == Some(&FILLING) && buf.last() == Some(&FILLING) { Ok(()) } else { self.0.write_at(buf, offset) }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn grow(&self, len_bytes: u64) -> io::Result<()> {
        self.0.grow(len_bytes)
    }

    fn mapped(&self, range: Range<u64>, lend: Lend) -> &[u8] {
        self.0.mapped(range, lend)
    }
}
