//! Which blocks of an image's bytes hold nothing but zeroes, and how are they kept from taking space?

use crate::units::{BLOCK_BYTES, BLOCK_LEN};
use crate::{Drive, Result};
use std::iter;
use std::ops::Range;

/// Zeroes to compare with and to write out.
pub static ZEROES: [u8; 256 * BLOCK_LEN] = [0; 256 * BLOCK_LEN];

/// Writes bytes into a drive; blocks of zeroes take no space afterwards. How many bytes the drive was handed.
///
/// # Errors
/// Those of [`Drive::write_at`].
pub fn write(drive: &Drive, bytes: &[u8], offset: u64) -> Result<u64> {
    let into_block = usize::try_from(offset % BLOCK_BYTES).expect("less than a block");
    let (head, rest) = bytes.split_at(bytes.len().min((BLOCK_LEN - into_block) % BLOCK_LEN));
    if !head.is_empty() {
        drive.write_at(head, offset)?;
    }
    let (offset, mut handed) = (offset + head.len() as u64, head.len() as u64);
    for run in runs(rest) {
        let at = offset + run.range.start as u64;
        if run.zero {
            zero(drive, at..offset + run.range.end as u64)?;
        } else {
            handed += run.range.len() as u64;
            drive.write_at(&rest[run.range], at)?;
        }
    }
    Ok(handed)
}

/// Makes holes of what a drive has of a range.
///
/// # Errors
/// Those of [`Drive::write_zeroes`].
pub fn zero(drive: &Drive, range: Range<u64>) -> Result<()> {
    for mapped in drive.mapped_ranges().within(range) {
        drive.write_zeroes(mapped?)?;
    }
    Ok(())
}

/// Neighbouring blocks of one sort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where they lie in the bytes given.
    pub range: Range<usize>,
    /// Whether they are all zeroes; else each of them holds something.
    pub zero: bool,
}

/// Splits `bytes`, which begin at a block's beginning, into runs; the last block may be short.
pub fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> {
    let mut start = 0;
    iter::from_fn(move || {
        let mut blocks = bytes[start..].chunks(BLOCK_LEN).map(|block| (block.len(), *block == ZEROES[..block.len()]));
        let (mut len, zero) = blocks.next()?;
        len += blocks.take_while(|next| next.1 == zero).map(|next| next.0).sum::<usize>();
        let run = Run { range: start..start + len, zero };
        start += len;
        Some(run)
    })
}

#[cfg(test)]
mod tests {
    use super::{Run, runs};
    use crate::units::BLOCK_LEN;

    /// One letter per block: `0` is zeroes; `tail` bytes more follow, as the last letter says.
    fn check(picture: &str, tail: usize, expected: &[(&str, bool)]) {
        let mut bytes: Vec<u8> = picture.bytes().flat_map(|letter| [letter - b'0'; BLOCK_LEN]).collect();
        bytes.truncate(bytes.len() - if tail == 0 { 0 } else { BLOCK_LEN - tail });
        let mut at = 0;
        let expected = expected.iter().map(|(blocks, zero)| {
            let end = (at + blocks.len() * BLOCK_LEN).min(bytes.len());
            let run = Run { range: at..end, zero: *zero };
            at = end;
            run
        });
        let expected: Vec<_> = expected.collect();
        assert_eq!(runs(&bytes).collect::<Vec<_>>(), expected, "{picture} {tail}");
    }

    #[test]
    fn runs_are_as_long_as_they_can_be() {
        check("", 0, &[]);
        check("0", 0, &[("0", true)]);
        check("1", 0, &[("1", false)]);
        check("1200013", 0, &[("12", false), ("000", true), ("13", false)]);
        check("010", 0, &[("0", true), ("1", false), ("0", true)]);
    }

    #[test]
    fn a_short_last_block_counts_as_a_block() {
        check("10", 1, &[("1", false), ("0", true)]);
        check("01", 100, &[("0", true), ("1", false)]);
    }

    #[test]
    fn one_byte_makes_a_block_not_zero() {
        for place in [0, 1, BLOCK_LEN - 1] {
            let mut block = vec![0; BLOCK_LEN];
            block[place] = 1;
            assert!(runs(&block).all(|run| !run.zero));
        }
    }
}
