//! What is done to the pages of a store before it is opened?

use super::bench::BLOCK;
use super::choices::Choices;
use super::seal::{Mutant, number_at, slots};

/// More than a reader could follow.
const MUTATIONS_MAX: usize = 12;
const HEADER: usize = 32;
const ENTRY: usize = 24;
const ENTRIES: usize = 169;
const SLOT: usize = 12;
const KIND: usize = 8;
const COUNT: usize = 10;

/// Where each field of a superblock stands, and how many bytes it has.
const SUPERBLOCK_FIELDS: [(usize, usize); 23] = [
    (0, 8),
    (12, 4),
    (16, 8),
    (24, 8),
    (32, 8),
    (48, 8),
    (56, 8),
    (64, 8),
    (72, 8),
    (80, 4),
    (84, 4),
    (88, 8),
    (96, 8),
    (104, 6),
    (110, 6),
    (116, 4),
    (120, 1),
    (121, 2),
    (124, 6),
    (130, 6),
    (140, 1),
    (144, 8),
    (152, 8),
];

/// The same of an entry, whatever it is.
const ENTRY_FIELDS: [(usize, usize); 8] = [(0, 8), (8, 6), (14, 6), (20, 4), (8, 8), (16, 8), (8, 1), (10, 2)];

/// The same of a page's header.
const HEADER_FIELDS: [(usize, usize); 5] = [(8, 1), (9, 1), (10, 2), (18, 6), (24, 8)];

const WIDTHS: [usize; 5] = [1, 2, 4, 6, 8];

/// Does what `choices` say to some of the blocks `pages`.
pub fn mutate(mutant: &mut Mutant<'_>, pages: &[u64], choices: &mut Choices<'_>) {
    for _ in 0..usize::from(choices.byte()) % (MUTATIONS_MAX + 1) {
        mutate_once(mutant, pages, choices);
    }
}

fn mutate_once(mutant: &mut Mutant<'_>, pages: &[u64], choices: &mut Choices<'_>) {
    let kind = choices.byte() % 16;
    let number = choices.one_of(pages);
    let other = choices.one_of(pages);
    let other_bytes = mutant.block(other);
    match kind {
        0 => {
            let at = choices.place();
            let len = (usize::from(choices.byte() % 16) + 1).min(BLOCK - at);
            let page = mutant.change(number);
            page[at..at + len].fill_with(|| choices.byte());
        }
        1 => {
            let at = choices.place();
            mutant.change(number)[at] ^= 1 << (choices.byte() % 8);
        }
        2 => {
            let (at, width) = (choices.place(), choices.one_of(&WIDTHS));
            set(mutant.change(number), at, width, choices.number());
        }
        3 => {
            let (at, width) = (choices.place(), choices.one_of(&WIDTHS));
            add(mutant.change(number), at, width, choices.byte());
        }
        // Superblocks: both alike, or one of them.
        4 => {
            let ((at, width), value) = (choices.one_of(&SUPERBLOCK_FIELDS), choices.number());
            for slot in [0..1, 1..2, 0..2, 0..2][choices.index(4)].clone() {
                set(mutant.change(slot), at, width, value);
            }
        }
        5 => {
            let (at, width) = choices.one_of(&HEADER_FIELDS);
            set(mutant.change(number), at, width, choices.number());
        }
        6 | 7 => {
            let at = entry_at(mutant, number, choices);
            let (field, width) = choices.one_of(&ENTRY_FIELDS);
            let page = mutant.change(number);
            if kind == 6 { set(page, at + field, width, choices.number()) } else { add(page, at + field, width, choices.byte()) }
        }
        // An entry, or its value, takes the place of another one.
        8 => {
            let (from, to) = (entry_at(mutant, other, choices), entry_at(mutant, number, choices));
            let skip = [0, 8][choices.index(2)];
            mutant.change(number)[to + skip..to + ENTRY].copy_from_slice(&other_bytes[from + skip..from + ENTRY]);
        }
        9 => {
            let at = entry_at(mutant, number, choices);
            let page = mutant.change(number);
            page.copy_within(at + ENTRY..HEADER + ENTRY * ENTRIES, at);
            let count = number_at(page, COUNT, 2).saturating_sub(1);
            set(page, COUNT, 2, count);
        }
        10 | 11 => {
            let Some((start, len)) = record_at(mutant, number, choices) else { return };
            let at = start + choices.index(len);
            let width = choices.one_of(&WIDTHS).min(start + len - at);
            let page = mutant.change(number);
            if kind == 10 { set(page, at, width, choices.number()) } else { add(page, at, width, choices.byte()) }
        }
        // A record's key.
        12 => {
            let slot = HEADER + SLOT * (usize::from(choices.byte()) % 16);
            let field = choices.one_of(&[(0, 2), (2, 5), (7, 1), (8, 2), (10, 2)]);
            set(mutant.change(number), slot + field.0, field.1, choices.number());
        }
        // Places in use and free change roles.
        13 => {
            let bits = [choices.little(2), choices.little(2)].map(|bit| bit as usize % ((BLOCK - HEADER) * 8));
            if matches!(mutant.block(number)[KIND], 4) {
                let page = mutant.change(number);
                bits.iter().for_each(|bit| page[HEADER + bit / 8] ^= 1 << (bit % 8));
            }
        }
        14 => *mutant.change(number) = other_bytes,
        _ => {
            let (from, to) = (choices.place(), choices.place());
            let len = (choices.little(2) as usize).min(BLOCK - from.max(to));
            mutant.change(number)[to..to + len].copy_from_slice(&other_bytes[from..from + len]);
        }
    }
}

/// Where one of a page's entries begins, mostly one that is in use.
fn entry_at(mutant: &Mutant<'_>, number: u64, choices: &mut Choices<'_>) -> usize {
    let used = number_at(&mutant.block(number), COUNT, 2) as usize;
    HEADER + ENTRY * (usize::from(choices.byte()) % (used + 1).min(ENTRIES))
}

fn record_at(mutant: &Mutant<'_>, number: u64, choices: &mut Choices<'_>) -> Option<(usize, usize)> {
    let slots: Vec<_> = slots(&mutant.block(number)).into_iter().filter(|(_, _, len)| *len > 0).collect();
    let index = choices.byte();
    (!slots.is_empty()).then(|| slots[usize::from(index) % slots.len()]).map(|(_, start, len)| (start, len))
}

fn set(page: &mut [u8; BLOCK], at: usize, width: usize, value: u64) {
    let width = width.min(BLOCK - at);
    page[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

fn add(page: &mut [u8; BLOCK], at: usize, width: usize, delta: u8) {
    let width = width.min(BLOCK - at);
    let sum = number_at(page, at, width).wrapping_add_signed(i64::from(delta as i8));
    set(page, at, width, sum);
}
