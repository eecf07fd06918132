//! How does a number lie in bytes?
//!
//! Little-endian, fixed width, at a named offset. 48-bit fields hold physical blocks and epochs: 2^60 bytes of store,
//! 2^48 freezes.

/// The first value that no longer fits into a 48-bit field.
pub const U48_END: u64 = 1 << 48;

/// Reads one byte.
pub fn u8_at(bytes: &[u8], at: usize) -> u8 {
    bytes[at]
}

/// Reads a little-endian `u16`.
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

/// Reads a little-endian `u32`.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

/// Reads a little-endian 48-bit number.
pub fn u48_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u16_at(bytes, at + 4)) << 32
}

/// Reads a little-endian `u64`.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// Writes a little-endian `u16`.
pub fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

/// Writes a little-endian `u32`.
pub fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Writes a little-endian 48-bit number.
pub fn put_u48(bytes: &mut [u8], at: usize, value: u64) {
    assert!(value < U48_END, "{value} does not fit into 48 bits");
    bytes[at..at + 6].copy_from_slice(&value.to_le_bytes()[..6]);
}

/// Writes a little-endian `u64`.
pub fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice is N bytes long")
}
