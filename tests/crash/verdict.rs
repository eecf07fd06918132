//! Is what a power cut left what the promises allow?
//!
//! Names, sizes and maps, and every frozen byte, are those of one moment between the last one that was acknowledged as durable and
//! the operation in flight (D2, D4, D5, A1-A7). A block that one drive holds alone is overwritten where it lies: it holds what it held
//! at the last acknowledged moment or later, whole (D3), and only where blocks are torn it may be a mixture of that, line by line.

#[path = "adoption.rs"]
mod adoption;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use floe::sim::{Disk, SimDevice};
use floe::{Device, ErrorKind, Store, Uuid};

use crate::dice::Dice;
use crate::judge::{Outcome, Reading, changed_blocks, done, judge, mapped_ranges, same};
use crate::model::{BLOCK, Model};
use crate::operation::{Punch, State};
use crate::runner::{Past, Point, Settings};

const BLOCK_LEN: usize = BLOCK as usize;
/// Whatever tears a block tears it between two of these.
const LINE_LEN: usize = 64;
/// So much is told of what differs from each of the moments that a store could be at.
const DIFFERENCE_CHARS_MAX: usize = 400;

/// A store after a power cut, and what it turned out to hold.
pub struct Recovered {
    pub device: Arc<SimDevice>,
    pub store: Store,
    pub state: State,
    pub kinds: Kinds,
}

/// What kinds of moments a store was found at: a suite that never sees one of them tests less than it seems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Later than the last one that was acknowledged as durable.
    pub is_later: bool,
    /// In the middle of an operation.
    pub is_partly: bool,
    /// Blocks hold what later operations wrote.
    pub is_overwritten: bool,
    /// Blocks are torn.
    pub is_torn: bool,
    /// A frozen block rotted then, and that was noticed.
    pub is_rotten: bool,
}

/// The moments up to one, from the last acknowledged on, and those behind it.
#[derive(Clone, Copy)]
struct Around<'a> {
    earlier: &'a [Point],
    later: &'a [Point],
}

/// Opens the disk and says what it holds, or what is wrong with it.
pub fn recover(disk: Disk, settings: &Settings, past: Past<'_>) -> Outcome<Recovered> {
    let device = Arc::new(SimDevice::over(disk).expect("memory for a device"));
    let store = done("open", settings.options().open_on(device.clone()))?;
    let (state, kinds) = identify(&store, past)?;
    check(&store, &state.model)?;
    reads_raise_no_alarm(&store, &state.model)?;
    Ok(Recovered { device, store, state, kinds })
}

/// The moment that an open store is at.
pub fn identify(store: &Store, past: Past<'_>) -> Outcome<(State, Kinds)> {
    let found = Found::of(store)?;
    let mut differences = Vec::new();
    for (index, point) in past.points.iter().enumerate() {
        let later = &past.points[index + 1..];
        let is_new = index == 0 || !Arc::ptr_eq(&point.state, &past.points[index - 1].state);
        let between = later.first().and_then(|next| Some((next.punch.as_ref()?, &next.state.model)));
        let partly = between.and_then(|(punch, after)| partly_done(&point.state, punch, after, &found));
        let whole = is_new.then(|| (*point.state).clone());
        for (state, is_partly) in [(whole, false), (partly, true)] {
            let Some(state) = state else { continue };
            let kinds = Kinds { is_later: index > 0 || is_partly, is_partly, ..Kinds::default() };
            let around = Around { earlier: &past.points[..=index], later };
            match found.is(store, state, around, past.is_torn, kinds) {
                Ok(found) => return Ok(found),
                Err(difference) => {
                    let middle = if is_partly { ", in the middle of what follows" } else { "" };
                    let difference: String = difference.chars().take(DIFFERENCE_CHARS_MAX).collect();
                    differences.push(format!("after {:?}{middle}: {difference}", point.words));
                }
            }
        }
    }
    Err(format!("the store is at none of the moments that are allowed. It is not\n  {}", differences.join("\n  ")))
}

/// Which blocks do drives share with snapshots? A clone's block that was changed and then written as it was before is a block of its
/// own, and neither its bytes nor a size need tell: two moments that differ in that alone are told apart here.
fn judge_sharing(store: &Store, model: &Model) -> Outcome {
    for (older, newer) in model.snapshots.iter().flat_map(|older| model.drives.iter().map(move |newer| (older, newer))) {
        let snapshot = done("finding a snapshot", store.snapshot(older.uuid))?;
        let drive = done("finding a drive", store.drive(newer.uuid))?;
        let changed = changed_blocks(done("diff_drive", snapshot.diff_drive(&drive))?, &newer.image)?;
        same(format!("diff from {} to {}", older.name, newer.name), &changed, &older.image.changes_to(&newer.image))?;
    }
    Ok(())
}

/// A7, and the structure of everything.
pub fn check(store: &Store, model: &Model) -> Outcome {
    let report = done("check", store.check())?;
    if !report.is_clean() {
        return Err(format!("check found {} problems: {:#?}", report.problems_total, report.problems));
    }
    same("drives that check saw", &report.drives, &(model.drives.len() as u64))?;
    same("snapshots that check saw", &report.snapshots, &(model.snapshots.len() as u64))?;
    same("notes that check saw", &report.notes, &(model.notes.len() as u64))
}

/// Whatever a power cut did, no byte that the store owes may be taken for damage: every frozen image is read to its end.
fn reads_raise_no_alarm(store: &Store, model: &Model) -> Outcome {
    for expected in &model.snapshots {
        let snapshot = done("finding a snapshot", store.snapshot(expected.uuid))?;
        let fingerprint = done("fingerprint", snapshot.fingerprint())?;
        same(format!("fingerprint of {}", expected.name), &fingerprint, &expected.image.fingerprint())?;
    }
    Ok(())
}

/// The same of a scrub, which then leaves nothing unsettled, and changes no byte that is read.
pub fn scrub_raises_no_alarm(disk: Disk, settings: &Settings) -> Outcome {
    let device = Arc::new(SimDevice::over(disk).expect("memory for a device"));
    let store = done("open", settings.options().open_on(device))?;
    let before = Found::of(&store)?;
    let report = done("scrub", store.scrub())?;
    if !report.is_clean() || !report.finished {
        return Err(format!("a power cut is called rot: {report:?}"));
    }
    same("unsettled after a scrub", &store.info().unsettled, &false)?;
    let after = Found::of(&store)?;
    let bytes =
        |found: &Found| found.drives.iter().map(|(uuid, drive)| (*uuid, drive.blocks.clone())).collect::<BTreeMap<_, _>>();
    if bytes(&before) != bytes(&after) {
        return Err("a scrub changed what is read".to_owned());
    }
    Ok(())
}

/// A bit of a block that was frozen before the cut turns over: that is damage, whatever the cut left unsettled. True if there was such
/// a block. Before the cut the store has been clean: what an earlier one left unsettled stays so in the snapshots taken since.
pub fn rot_in_a_frozen_block_is_found(disk: Disk, settings: &Settings, dice: &mut Dice) -> Outcome<bool> {
    let mut frozen = Vec::new();
    {
        let device = Arc::new(SimDevice::over(disk.clone()).expect("memory for a device"));
        let store = done("open", settings.options().open_on(device))?;
        for snapshot in store.snapshots() {
            for extent in snapshot.extents() {
                let extent = done("extents", extent)?;
                let whole = extent.data.chunks_exact(BLOCK_LEN).zip((extent.offset..).step_by(BLOCK_LEN));
                frozen.extend(whole.map(|(bytes, offset)| (snapshot.uuid(), offset, bytes.to_vec())));
            }
        }
    }
    if frozen.is_empty() {
        return Ok(false);
    }
    let (uuid, offset, bytes) = frozen.swap_remove(dice.within(0..frozen.len() as u64) as usize);
    let device = Arc::new(SimDevice::over(disk).expect("memory for a device"));
    let (byte, bit) = (dice.within(0..BLOCK), dice.within(0..8) as u8);
    let mut found = vec![0; BLOCK_LEN];
    for place in (0..device.len_bytes()).step_by(BLOCK_LEN) {
        device.read_at(&mut found, place).expect("a block of the device");
        // Others may hold the same: whoever they belong to, nobody reads them.
        if found == bytes {
            device.rot(place + byte, bit).expect("a block of the device");
        }
    }
    let store = done("open", settings.options().open_on(device))?;
    let snapshot = done("finding a snapshot", store.snapshot(uuid))?;
    match snapshot.read_at(&mut [0], offset) {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(true),
        Err(error) => Err(format!("rot at {offset} of a snapshot is called something else: {error}")),
        Ok(()) => Err(format!("rot at {offset} of a snapshot that was frozen before the cut is accepted")),
    }
}

/// What the drives of a store hold.
struct Found {
    drives: BTreeMap<Uuid, FoundDrive>,
    is_clean: bool,
    capacity: u64,
}

struct FoundDrive {
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Found {
    fn of(store: &Store) -> Outcome<Self> {
        let mut drives = BTreeMap::new();
        for drive in store.drives() {
            let mut blocks = BTreeMap::new();
            for range in mapped_ranges(&drive)? {
                let mut bytes = vec![0xA5; (range.end - range.start) as usize];
                done("reading a drive", drive.read_at(&mut bytes, range.start))?;
                bytes.resize(bytes.len().next_multiple_of(BLOCK_LEN), 0);
                let first = range.start / BLOCK;
                blocks.extend(bytes.chunks(BLOCK_LEN).enumerate().map(|(index, block)| (first + index as u64, block.to_vec())));
            }
            drives.insert(drive.uuid(), FoundDrive { blocks });
        }
        Ok(Self { drives, is_clean: store.info().was_clean, capacity: store.usage().capacity_bytes })
    }

    /// Is this the state, but for what was overwritten in place later? Returns it with the bytes that are there.
    fn is(
        &self,
        store: &Store,
        mut state: State,
        around: Around<'_>,
        may_be_torn: bool,
        mut kinds: Kinds,
    ) -> Outcome<(State, Kinds)> {
        same("capacity", &self.capacity, &state.capacity)?;
        let mut adopted = Vec::new();
        for (index, drive) in state.model.drives.iter().enumerate() {
            let Some(found) = self.drives.get(&drive.uuid) else { return Err(format!("drive {} is missing", drive.name)) };
            let (changed, is_torn) = found.changed(&state.model, index, around, may_be_torn)?;
            kinds.is_torn |= is_torn;
            adopted.extend(changed.into_iter().map(|(address, bytes)| (index, address, bytes)));
        }
        kinds.is_overwritten = !adopted.is_empty();
        if self.is_clean && kinds.is_overwritten {
            return Err("the store counts as clean, though blocks were overwritten since".to_owned());
        }
        for (index, address, bytes) in adopted {
            state.model.adopt(index, address, &bytes);
        }
        judge(store, &state.model, Reading::Thorough)?;
        judge_sharing(store, &state.model)?;
        Ok((state, kinds))
    }
}

impl FoundDrive {
    /// The blocks that hold what a later moment overwrote them with, and whether any of them is torn.
    fn changed(
        &self,
        model: &Model,
        index: usize,
        around: Around<'_>,
        may_be_torn: bool,
    ) -> Outcome<(BTreeMap<u64, Vec<u8>>, bool)> {
        let drive = &model.drives[index];
        let addresses = |blocks: Vec<&u64>| blocks.into_iter().copied().collect::<Vec<u64>>();
        let mapped = addresses(drive.image.blocks.keys().collect());
        same(format!("blocks of drive {}", drive.name), &addresses(self.blocks.keys().collect()), &mapped)?;
        let (mut changed, mut is_torn) = (BTreeMap::new(), false);
        for (&address, held) in &drive.image.blocks {
            let found = &self.blocks[&address];
            if found[..] == held.bytes[..] {
                continue;
            }
            let mut contents = contents_in_place(model, index, address, around.later);
            contents.extend(contents_not_durable(model, index, address, around.earlier));
            // Behind the image's end nothing is read, whatever the place holds.
            let end = drive.image.size.saturating_sub(address * BLOCK).min(BLOCK) as usize;
            let contents: Vec<Vec<u8>> =
                contents.iter().map(|content| [&content[..end], &vec![0; BLOCK_LEN - end]].concat()).collect();
            let is_one = contents.iter().any(|content| content[..] == found[..]);
            let is_allowed = is_one || (may_be_torn && is_mixture(found, &contents));
            if !is_allowed {
                return Err(format!(
                    "D3: block {address} of drive {} begins with {:?} and holds none of the {} contents that it may: {:?}",
                    drive.name,
                    &found[..12],
                    contents.len(),
                    contents.iter().map(|content| &content[..12]).collect::<Vec<_>>()
                ));
            }
            is_torn |= !is_one;
            changed.insert(address, found.clone());
        }
        Ok((changed, is_torn))
    }
}

/// What the place of a block may hold: its content, and what later moments overwrote it with. As soon as somebody else sees
/// the block, or the drive holds another one there, its place is left alone.
fn contents_in_place(model: &Model, index: usize, address: u64, later: &[Point]) -> Vec<Arc<[u8]>> {
    let uuid = model.drives[index].uuid;
    let held = &model.drives[index].image.blocks[&address];
    let mut contents = vec![Arc::clone(&held.bytes)];
    let (mut identity, mut before) = (held.identity, (model, index));
    for point in later {
        let model = &point.state.model;
        let Some(index) = model.drives.iter().position(|drive| drive.uuid == uuid) else { break };
        let Some(held) = model.drives[index].image.blocks.get(&address) else { break };
        if held.identity != identity {
            // A block that is not new was put back by a revert.
            let is_written = held.identity >= before.0.next_write();
            if !is_written || !before.0.is_alone(before.1, address) {
                break;
            }
            identity = held.identity;
            contents.push(Arc::clone(&held.bytes));
        }
        before = (model, index);
    }
    contents
}

/// What the place of a block may still hold: what it held since the last acknowledged moment, if it was overwritten where it lies and
/// nobody else has seen it since. A commit that nobody was told of may be durable sooner than that.
fn contents_not_durable(model: &Model, index: usize, address: u64, earlier: &[Point]) -> Vec<Arc<[u8]>> {
    let uuid = model.drives[index].uuid;
    let mut contents = Vec::new();
    if !model.is_alone(index, address) {
        return contents;
    }
    let mut identity = model.drives[index].image.blocks[&address].identity;
    for point in earlier.iter().rev() {
        let model = &point.state.model;
        let Some(index) = model.drives.iter().position(|drive| drive.uuid == uuid) else { break };
        let Some(held) = model.drives[index].image.blocks.get(&address) else { break };
        if !model.is_alone(index, address) {
            break;
        }
        if held.identity != identity {
            identity = held.identity;
            contents.push(Arc::clone(&held.bytes));
        }
    }
    contents
}

fn is_mixture(found: &[u8], contents: &[Vec<u8>]) -> bool {
    (0..BLOCK_LEN).step_by(LINE_LEN).all(|at| {
        let line = at..at + LINE_LEN;
        contents.iter().any(|content| content[line.clone()] == found[line.clone()])
    })
}

/// The state in the middle of a discard or of zeroing, as far as the store shows that it got; `None` if that is neither
/// more than nothing nor less than all.
fn partly_done(before: &State, punch: &Punch, after: &Model, found: &Found) -> Option<State> {
    let mut state = before.clone();
    let index = state.model.drives.iter().position(|drive| drive.uuid == punch.drive)?;
    let range: &Range<u64> = &punch.range;
    if punch.edges {
        let after = &after.drives[after.index_of(punch.drive)].image;
        for address in state.model.zero_edges(index, range) {
            if !after.blocks.contains_key(&address) {
                state.model.decide_hole(index, address);
            }
        }
    }
    let found = &found.drives.get(&punch.drive)?.blocks;
    let held = &state.model.drives[index].image.blocks;
    let inside = range.start.div_ceil(BLOCK)..range.end.div_ceil(BLOCK);
    let until = held.range(inside).map(|(address, _)| *address).find(|address| found.contains_key(address))?;
    state.model.discard_until(index, range, until);
    Some(state)
}
