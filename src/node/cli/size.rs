//! How do people write and read a number of bytes?
//!
//! `10G` and `10GiB` are binary, as in qemu-img and lvm; `10GB` is decimal, as on the box of a disk.

const LETTERS: &str = "KMGTPE";

/// The bytes that `text` says: digits, perhaps with a fraction, and perhaps a unit in either case. A fraction of a byte is
/// dropped.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits_end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let unit_bytes =
        unit_bytes(unit.trim()).ok_or_else(|| format!("{unit:?} is no unit: use K, M, G, T, P, E, KiB, KB and so on"))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) {
        return Err("a size begins with a number, as in 10G or 1.5T".into());
    }
    let whole: u128 = whole.parse().map_err(|_| "the number is not one, or too large".to_owned())?;
    // Twelve digits of a fraction say more than enough, and keep the product within 128 bits.
    let fraction = &fraction[..fraction.len().min(12)];
    let fraction_bytes = match fraction {
        "" => 0,
        digits => {
            digits.parse::<u128>().map_err(|_| "the number has two points".to_owned())? * unit_bytes
                / 10_u128.pow(digits.len() as u32)
        }
    };
    let bytes = whole.checked_mul(unit_bytes).and_then(|bytes| bytes.checked_add(fraction_bytes));
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).ok_or_else(|| "more bytes than 64 bits can count".into())
}

fn unit_bytes(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_uppercase();
    let Some(letter) = unit.chars().next() else { return Some(1) };
    if unit == "B" {
        return Some(1);
    }
    let power = LETTERS.find(letter)? as u32 + 1;
    match &unit[letter.len_utf8()..] {
        "" | "IB" => Some(1024_u128.pow(power)),
        "B" => Some(1000_u128.pow(power)),
        _ => None,
    }
}

/// The size for people: `10 GiB` if it is exactly that, `1.5 GiB` if it is about that.
pub(super) fn rounded(bytes: u64) -> String {
    let Some((power, letter)) =
        LETTERS.char_indices().rev().map(|(index, letter)| (index + 1, letter)).find(|(power, _)| bytes >> (10 * power) > 0)
    else {
        return format!("{bytes} B");
    };
    let unit = 1_u64 << (10 * power);
    if bytes.is_multiple_of(unit) {
        return format!("{} {letter}iB", bytes / unit);
    }
    // Cut, not rounded: `1023.9 MiB` never reads as `1024.0 MiB`, and a full store never as an empty one.
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    format!("{}.{} {letter}iB", tenths / 10, tenths % 10)
}

/// The size for people who want to know it exactly.
pub(super) fn exact(bytes: u64) -> String {
    if bytes < 1024 { rounded(bytes) } else { format!("{} ({bytes} bytes)", rounded(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::{exact, parse, rounded};

    #[test]
    fn units_are_binary_unless_they_end_in_b_alone() {
        for (text, bytes) in [
            ("4096", 4096),
            ("4096B", 4096),
            ("1k", 1024),
            ("10G", 10 << 30),
            ("10GiB", 10 << 30),
            ("10 gib", 10 << 30),
            ("10GB", 10_000_000_000),
            ("1.5T", 3 << 39),
            ("0.3K", 307),
            ("8E", 1 << 63),
            ("15.999999999999999E", 18_446_744_073_708_398_694),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "G",
            ".5G",
            "5.G",
            "1..5G",
            "1.5.5G",
            "-1",
            "10X",
            "10Gi",
            "10GBB",
            "16E",
            "99999999999999999999999999999999999999999",
            "1é",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_for_people_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 30) - 1, "1023.9 MiB"),
            (10 << 30, "10 GiB"),
            (1 << 63, "8 EiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(rounded(bytes), text);
        }
        assert_eq!(exact(1536), "1.5 KiB (1536 bytes)");
    }
}
