//! Do the space map and the counters say what was reached?

use std::collections::BTreeMap;
use std::ops::Range;

use super::report::ProblemKind;
use super::space::{Bits, GROUP_WORDS, WORD_BITS};
use super::walk::Walk;
use crate::format::codec;
use crate::format::group::{CHECKSUM_PAGES, CHECKSUMS_PER_PAGE, GROUP_PLACES, Group, GroupKind, GroupRecord, Place, place_of};
use crate::format::page::{self, HEADER_LEN, Page, PageKind};
use crate::units::{Epoch, PhysicalBlock};

/// Compares the groups' records, bitmaps and checksum pages, and the superblock's counters, with what was reached.
pub fn judge(walk: &mut Walk<'_>) {
    let groups = std::mem::take(&mut walk.space.groups);
    let mut reached = std::mem::take(&mut walk.space.reached);
    walk.findings.report.data_blocks = walk.space.data_blocks;
    walk.findings.report.groups = groups.len() as u64;
    // What is behind damage was not reached, and is nevertheless in use.
    let leaks_show = !walk.findings.incomplete;
    let mut counts = Some((0, 0));
    let mut tree_places = 0;
    for (index, record) in &groups {
        let reached = reached.remove(index).unwrap_or_else(|| Box::new([0; GROUP_WORDS]));
        let used = judge_group(walk, Group(*index), record, &reached, leaks_show);
        counts = counts.zip(used).map(|((data, tree), used)| match record.kind {
            GroupKind::Data => (data + used, tree),
            GroupKind::Tree => (data, tree + used),
        });
        if record.kind == GroupKind::Tree {
            tree_places += u64::from(Group(*index).places(walk.space.store_blocks));
        }
        walk.group_done(groups.len() as u64);
    }
    if !walk.space.groups_known {
        return;
    }
    let mut left: Vec<_> = reached.into_iter().collect();
    left.sort_unstable_by_key(|(index, _)| *index);
    for (index, bits) in left {
        runs(&bits, |from, to| {
            let detail = format_args!("places {from}..{to} are in use, but the group has no record");
            walk.findings.add(ProblemKind::NotAllocated, format_args!("group {index}"), detail);
        });
    }
    judge_changes(walk, &groups);
    let superblock = walk.superblock;
    let (data_blocks, tree_pages) = counts.unwrap_or((superblock.data_blocks, superblock.tree_pages));
    for (what, said, counted) in [
        ("data blocks", superblock.data_blocks, data_blocks),
        ("tree pages", superblock.tree_pages, tree_pages),
        ("places for tree pages", superblock.tree_places, tree_places),
    ] {
        if said != counted {
            let detail = format_args!("it says {said} {what}, the groups have {counted}");
            walk.findings.add(ProblemKind::WrongSize, "superblock", detail);
        }
    }
}

/// Returns how many places the bitmap has in use, if it can be read.
fn judge_group(walk: &mut Walk<'_>, group: Group, record: &GroupRecord, reached: &Bits, leaks_show: bool) -> Option<u64> {
    let name = format!("group {}", group.0);
    let changes = &walk.superblock.space_changes;
    let bitmap = slot_page(walk, &format!("bitmap of {name}"), group.bitmap_slot(record.bitmap_slot), PageKind::Bitmap);
    for index in (0..CHECKSUM_PAGES).filter(|index| record.checksum_present >> index & 1 == 1) {
        let slot = (record.checksum_slots >> index & 1) as u8;
        slot_page(walk, &format!("checksum page {index} of {name}"), group.checksum_slot(index, slot), PageKind::Checksums);
    }
    let bitmap = bitmap?;
    if page::stored_crc(&bitmap) != record.bitmap_crc {
        walk.findings.lost(ProblemKind::PageDamaged, format_args!("bitmap of {name}"), "it is a bitmap of another commit");
        return None;
    }
    let mut allocated = bits_of(&bitmap);
    let findings = &mut walk.findings;
    let used: u32 = allocated.iter().map(|word| word.count_ones()).sum();
    if used != u32::from(record.used) {
        let detail = format_args!("its record says {} places in use, its bitmap {used}", record.used);
        findings.add(ProblemKind::WrongSize, &name, detail);
    }
    for run in changes_in(&changes.places, group, |run| run.start) {
        let (from, to) = places_of(run.start, run.blocks.into());
        let state = if run.in_use { "in use" } else { "free" };
        let turned = within(&[u64::MAX; GROUP_WORDS], from..to);
        let before = combine(&turned, &allocated, |turned, allocated| turned & if run.in_use { allocated } else { !allocated });
        runs(&before, |from, to| {
            let detail = format_args!("the superblock says that places {from}..{to} are {state} now, but they were before");
            findings.add(ProblemKind::BadGroup, &name, detail);
        });
        allocated =
            combine(&allocated, &turned, |allocated, turned| if run.in_use { allocated | turned } else { allocated & !turned });
    }
    let used: u32 = allocated.iter().map(|word| word.count_ones()).sum();
    let places = group.places(walk.space.store_blocks);
    let behind = within(&allocated, places..GROUP_PLACES);
    runs(&behind, |from, to| {
        let detail = format_args!("places {from}..{to} are in use, but it has only {places}");
        findings.add(ProblemKind::BadGroup, &name, detail);
    });
    runs(&combine(reached, &allocated, |reached, allocated| reached & !allocated), |from, to| {
        let detail = format_args!("places {from}..{to} are in use, but free in its bitmap");
        findings.add(ProblemKind::NotAllocated, &name, detail);
    });
    if leaks_show {
        let lost = combine(&allocated, reached, |allocated, reached| allocated & !reached);
        runs(&combine(&lost, &behind, |lost, behind| lost & !behind), |from, to| {
            let detail = format_args!("nothing reaches places {from}..{to} (blocks from {})", group.block(Place(from)));
            findings.add(ProblemKind::Leak, &name, detail);
        });
    }
    if record.kind == GroupKind::Data {
        let mut unlisted = within(&allocated, 0..places);
        for run in changes_in(&changes.checksums, group, |run| run.start) {
            let (from, to) = places_of(run.start, run.checksums.len() as u32);
            unlisted = combine(&unlisted, &within(&unlisted, from..to), |unlisted, listed| unlisted & !listed);
        }
        runs(&unlisted, |from, to| {
            let pages = from / CHECKSUMS_PER_PAGE..=(to - 1) / CHECKSUMS_PER_PAGE;
            for index in pages.filter(|index| record.checksum_present >> index & 1 == 0) {
                let (from, to) = (from.max(index * CHECKSUMS_PER_PAGE), to.min((index + 1) * CHECKSUMS_PER_PAGE));
                let detail = format_args!("places {from}..{to} hold data, but their page of checksums was never written");
                findings.add(ProblemKind::BadGroup, &name, detail);
            }
        });
    }
    Some(u64::from(used))
}

/// Those of the superblock's changes that are about one group.
fn changes_in<T>(changes: &[T], group: Group, start: impl Fn(&T) -> PhysicalBlock) -> &[T] {
    let from = changes.partition_point(|change| Group::of(start(change)) < group);
    let to = changes.partition_point(|change| Group::of(start(change)) <= group);
    &changes[from..to]
}

/// Consecutive places of one group, as a superblock lists them.
fn places_of(start: PhysicalBlock, blocks: u32) -> (u32, u32) {
    let Place(first) = place_of(start).expect("a superblock lists places alone");
    (first, first + blocks)
}

/// Changes of groups that have no record, and checksums where no data can be.
fn judge_changes(walk: &mut Walk<'_>, groups: &BTreeMap<u64, GroupRecord>) {
    let changes = &walk.superblock.space_changes;
    let places = changes.places.iter().map(|run| (run.start, None));
    let checksums = changes.checksums.iter().map(|run| (run.start, Some(GroupKind::Data)));
    for (start, kind) in places.chain(checksums) {
        let group = Group::of(start);
        let is_wrong = match groups.get(&group.0) {
            Some(record) => kind.is_some_and(|kind| kind != record.kind),
            None => true,
        };
        if is_wrong {
            let detail = format_args!("the superblock lists a change at block {start}, where none can be");
            walk.findings.add(ProblemKind::BadGroup, format_args!("group {}", group.0), detail);
        }
    }
}

/// A page of a group's header, if it is what it must be.
fn slot_page(walk: &mut Walk<'_>, place: &str, block: PhysicalBlock, kind: PageKind) -> Option<Box<Page>> {
    let bytes = walk.read(place, block)?;
    let verdict = page::verify(&bytes, walk.superblock.seed, block, &[kind]).and_then(|()| {
        match (page::level(&bytes), page::count(&bytes), page::birth(&bytes)) {
            (0, 0, Epoch(0)) => Ok(()),
            _ => Err("level, count or birth is not 0".to_string()),
        }
    });
    if let Err(detail) = verdict {
        walk.findings.add(ProblemKind::PageDamaged, place, detail);
        return None;
    }
    walk.judge_generation(place, &bytes);
    Some(bytes)
}

fn bits_of(bitmap: &Page) -> Bits {
    std::array::from_fn(|word| codec::u64_at(bitmap, HEADER_LEN + 8 * word))
}

fn combine(left: &Bits, right: &Bits, with: impl Fn(u64, u64) -> u64) -> Bits {
    std::array::from_fn(|word| with(left[word], right[word]))
}

fn is_set(bits: &Bits, place: u32) -> bool {
    bits[(place / WORD_BITS) as usize] >> (place % WORD_BITS) & 1 == 1
}

/// The bits that are set in a range of places.
fn within(bits: &Bits, range: Range<u32>) -> Bits {
    std::array::from_fn(|word| {
        let start = word as u32 * WORD_BITS;
        let (from, to) = (range.start.max(start), range.end.min(start + WORD_BITS));
        if from >= to { 0 } else { bits[word] & u64::MAX >> (WORD_BITS - (to - from)) << (from - start) }
    })
}

/// Calls `tell` with the bounds of each run of set bits.
fn runs(bits: &Bits, mut tell: impl FnMut(u32, u32)) {
    let mut start = None;
    for word in 0..GROUP_WORDS as u32 {
        let value = bits[word as usize];
        // Most words are all or nothing.
        if (value == 0 && start.is_none()) || (value == u64::MAX && start.is_some()) {
            continue;
        }
        for place in word * WORD_BITS..(word + 1) * WORD_BITS {
            match (is_set(bits, place), start) {
                (true, None) => start = Some(place),
                (false, Some(from)) => {
                    tell(from, place);
                    start = None;
                }
                _ => {}
            }
        }
    }
    if let Some(from) = start {
        tell(from, GROUP_PLACES);
    }
}
