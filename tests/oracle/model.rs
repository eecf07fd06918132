//! What should a store hold, if one keeps every image whole and counts with sets?
//!
//! The model knows nothing of births, junctions or histograms. Each block that is written gets a number of its own, its
//! *identity*; an image says which identity (and which bytes) lies at which address; every size is a set operation.
//!
//! Invariants:
//! 1. One identity has one content and one address, for ever.
//! 2. A frozen image is never changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use floe::Uuid;

/// Bytes in a block.
pub const BLOCK: u64 = 4096;
const BLOCK_LEN: usize = BLOCK as usize;

/// A block that an image holds.
#[derive(Clone, Debug)]
pub struct Held {
    /// Two images share a block if and only if this is equal.
    pub identity: u64,
    /// The moment of the write.
    pub born: u64,
    /// All 4096 of them; behind the end of the image they are zero.
    pub bytes: Arc<[u8]>,
}

/// What a drive, snapshot or bookmark holds.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub size: u64,
    pub blocks: BTreeMap<u64, Held>,
    /// When the map at an address last changed, along this image's own history.
    touched: BTreeMap<u64, u64>,
}

impl Image {
    /// Number of blocks, the last one perhaps cut off.
    pub fn block_count(&self) -> u64 {
        self.size.div_ceil(BLOCK)
    }

    /// The bytes of `range`, holes as zeroes.
    pub fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        for (&address, held) in self.blocks.range(range.start / BLOCK..range.end.div_ceil(BLOCK)) {
            let from = range.start.max(address * BLOCK);
            let to = range.end.min((address + 1) * BLOCK);
            bytes[(from - range.start) as usize..(to - range.start) as usize]
                .copy_from_slice(&held.bytes[(from - address * BLOCK) as usize..(to - address * BLOCK) as usize]);
        }
        bytes
    }

    pub fn holds(&self, address: u64, identity: u64) -> bool {
        self.blocks.get(&address).is_some_and(|held| held.identity == identity)
    }

    /// Bytes that are mapped: whole blocks.
    pub fn referenced(&self) -> u64 {
        self.blocks.len() as u64 * BLOCK
    }

    /// Bytes of the blocks that `self` holds and `other` does not.
    pub fn beyond(&self, other: &Image) -> u64 {
        self.blocks.iter().filter(|(address, held)| !other.holds(**address, held.identity)).count() as u64 * BLOCK
    }

    /// Mapped runs in bytes, the last one cut off at the end of the image.
    pub fn mapped_ranges(&self) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for &address in self.blocks.keys() {
            let end = ((address + 1) * BLOCK).min(self.size);
            match runs.last_mut() {
                Some(run) if run.end == address * BLOCK => run.end = end,
                _ => runs.push(address * BLOCK..end),
            }
        }
        runs
    }

    /// Addresses at which a reader of `self` finds another block (or hole) in `newer`; true where `newer` has data.
    pub fn changes_to(&self, newer: &Image) -> BTreeMap<u64, bool> {
        let mut changes = BTreeMap::new();
        for (&address, held) in &newer.blocks {
            if !self.holds(address, held.identity) {
                changes.insert(address, true);
            }
        }
        for &address in self.blocks.range(..newer.block_count()).map(|(address, _)| address) {
            if !newer.blocks.contains_key(&address) {
                changes.insert(address, false);
            }
        }
        changes
    }

    /// Addresses whose map changed after `moment`.
    pub fn touched_since(&self, moment: u64) -> BTreeSet<u64> {
        self.touched.iter().filter(|(_, touched)| **touched > moment).map(|(address, _)| *address).collect()
    }

    /// As docs/format.md defines it, level by level.
    pub fn fingerprint(&self) -> blake3::Hash {
        let mut below: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (address, held) in self.blocks.iter().filter(|(_, held)| held.bytes.iter().any(|byte| *byte != 0)) {
            let window = below.entry(address * BLOCK / (256 * 1024)).or_default();
            window.extend(address.to_le_bytes());
            window.extend(&held.bytes[..]);
        }
        for _level in 1..=6 {
            let mut above: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
            for (index, hashed) in below {
                let children = above.entry(index / 256).or_default();
                children.push((index % 256) as u8);
                children.extend(blake3::hash(&hashed).as_bytes());
            }
            below = above;
        }
        let root = below.get(&0).map_or([0; 32], |hashed| *blake3::hash(hashed).as_bytes());
        let mut whole = b"floe image v2".to_vec();
        whole.resize(20, 0);
        whole.extend(self.size.to_le_bytes());
        whole.extend(root);
        blake3::hash(&whole)
    }
}

/// A point of the history tree, which never forgets: the root, or a snapshot, deleted or not.
#[derive(Clone)]
struct Point {
    parent: Option<usize>,
    moment: u64,
    alive: bool,
}

#[derive(Clone)]
pub struct DriveModel {
    pub uuid: Uuid,
    pub name: String,
    pub attributes: Vec<u8>,
    pub image: Image,
    pub bookmarks: Vec<BookmarkModel>,
    parent: usize,
    /// The newest freeze above the drive or bookmark of it, whether it still exists or not.
    frozen: u64,
}

#[derive(Clone)]
pub struct SnapshotModel {
    pub uuid: Uuid,
    pub name: String,
    pub attributes: Vec<u8>,
    pub drive: Uuid,
    pub image: Image,
    point: usize,
}

#[derive(Clone)]
pub struct BookmarkModel {
    pub uuid: Uuid,
    pub name: String,
    pub image: Image,
    pub moment: u64,
}

#[derive(Clone)]
pub struct NoteModel {
    pub uuid: Uuid,
    pub bytes: Arc<[u8]>,
}

/// A snapshot to be taken.
pub struct NewSnapshot {
    /// Index of its drive.
    pub drive: usize,
    pub uuid: Uuid,
    pub name: String,
    pub attributes: Vec<u8>,
    /// Of the bookmark that it leaves.
    pub bookmark: Option<(Uuid, String)>,
}

/// The sizes of a snapshot (A1, A5), in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub exclusive: u64,
    pub charged: u64,
    pub allocated: u64,
    pub referenced: u64,
}

/// Which bookmarks a revert may leave.
pub struct Survivors {
    /// Those before the nearest common point that still exists: they must stay.
    pub surely: BTreeSet<Uuid>,
    /// Those before the point where the histories really part: no other may stay.
    pub at_most: BTreeSet<Uuid>,
}

#[derive(Clone)]
pub struct Model {
    /// In order of creation.
    pub drives: Vec<DriveModel>,
    /// In order of creation, those of deleted drives included.
    pub snapshots: Vec<SnapshotModel>,
    /// In order of creation.
    pub notes: Vec<NoteModel>,
    points: Vec<Point>,
    moment: u64,
    pub writes: u64,
}

impl Model {
    pub fn new() -> Self {
        let root = Point { parent: None, moment: 0, alive: true };
        Self { drives: Vec::new(), snapshots: Vec::new(), notes: Vec::new(), points: vec![root], moment: 0, writes: 0 }
    }

    /// The number of the next write, for stamps.
    pub fn next_write(&self) -> u64 {
        self.writes + 1
    }

    pub fn drive_at(&self, uuid: Uuid) -> Option<&DriveModel> {
        self.drives.iter().find(|drive| drive.uuid == uuid)
    }

    // --- drives ------------------------------------------------------------------------------------------------

    pub fn create_drive(&mut self, uuid: Uuid, name: String, attributes: Vec<u8>, size: u64) {
        let image = Image { size, ..Image::default() };
        self.drives.push(DriveModel { uuid, name, attributes, image, bookmarks: Vec::new(), parent: 0, frozen: 0 });
    }

    pub fn clone_drive(&mut self, snapshot: usize, uuid: Uuid, name: String, attributes: Vec<u8>) {
        let frozen = self.next_moment();
        let SnapshotModel { image, point, .. } = &self.snapshots[snapshot];
        let (image, parent) = (image.clone(), *point);
        self.drives.push(DriveModel { uuid, name, attributes, image, bookmarks: Vec::new(), parent, frozen });
    }

    /// Writes `bytes` at `offset`. Returns the addresses where it is free to be a hole or a block of zeroes.
    pub fn write(&mut self, drive: usize, offset: u64, bytes: &[u8]) -> Vec<u64> {
        self.next_moment();
        let end = offset + bytes.len() as u64;
        let mut undecided = Vec::new();
        for address in offset / BLOCK..end.div_ceil(BLOCK) {
            let from = offset.max(address * BLOCK);
            let to = end.min((address + 1) * BLOCK);
            let part = &bytes[(from - offset) as usize..(to - offset) as usize];
            let mut merged = self.drives[drive].image.bytes(address * BLOCK..(address + 1) * BLOCK);
            merged[(from - address * BLOCK) as usize..(to - address * BLOCK) as usize].copy_from_slice(part);
            if self.put(drive, address, merged) {
                undecided.push(address);
            }
        }
        undecided
    }

    /// Whole blocks become holes, the rest is written with zeroes. Returns what [`Model::write`] returns.
    pub fn write_zeroes(&mut self, drive: usize, range: Range<u64>) -> Vec<u64> {
        let undecided = self.zero_edges(drive, &range);
        self.punch(drive, whole_blocks(&range, self.drives[drive].image.size));
        undecided
    }

    /// What zeroing a range does first: the blocks that it covers in part are written. Returns what [`Model::write`] returns.
    pub fn zero_edges(&mut self, drive: usize, range: &Range<u64>) -> Vec<u64> {
        let whole = whole_blocks(range, self.drives[drive].image.size);
        let edges = if whole.is_empty() {
            [range.clone(), range.end..range.end]
        } else {
            [range.start..whole.start * BLOCK, whole.end.saturating_mul(BLOCK).min(range.end)..range.end]
        };
        let mut undecided = Vec::new();
        for edge in edges {
            undecided.extend(self.write(drive, edge.start, &vec![0; (edge.end - edge.start) as usize]));
        }
        undecided
    }

    pub fn discard(&mut self, drive: usize, range: Range<u64>) {
        self.next_moment();
        self.punch(drive, whole_blocks(&range, self.drives[drive].image.size));
    }

    /// Cuts off or adds zeroes. Returns what [`Model::write`] returns.
    pub fn resize(&mut self, drive: usize, size: u64) -> Vec<u64> {
        self.next_moment();
        let old_count = self.drives[drive].image.block_count();
        let count = size.div_ceil(BLOCK);
        self.punch(drive, count..old_count.max(count));
        let mut undecided = Vec::new();
        let cut = (size % BLOCK) as usize;
        let last = self.drives[drive].image.blocks.get(&(count - 1)).map(|held| held.bytes.to_vec());
        if let Some(mut bytes) = last
            && size < self.drives[drive].image.size
            && cut != 0
        {
            // The tail must read as zeroes if the drive grows again, and growing changes no size (A4): it goes now.
            bytes[cut..].fill(0);
            let cleared = bytes.iter().all(|byte| *byte == 0);
            if self.drives[drive].image.blocks[&(count - 1)].bytes[..] != bytes[..] {
                self.set(drive, count - 1, bytes);
                undecided.extend(cleared.then_some(count - 1));
            }
        }
        self.drives[drive].image.size = size;
        undecided
    }

    /// The engine was asked: an undecided address is a hole.
    pub fn decide_hole(&mut self, drive: usize, address: u64) {
        self.drives[drive].image.blocks.remove(&address);
    }

    /// The drive's bookmarks that may and that must survive are asked for before, with [`Model::survivors`].
    pub fn revert(&mut self, drive: usize, snapshot: usize, keeps: &BTreeSet<Uuid>) {
        let frozen = self.next_moment();
        let image = self.snapshots[snapshot].image.clone();
        let parent = self.snapshots[snapshot].point;
        let drive = &mut self.drives[drive];
        drive.image = image;
        drive.parent = parent;
        drive.frozen = frozen;
        drive.bookmarks.retain(|bookmark| keeps.contains(&bookmark.uuid));
    }

    pub fn survivors(&self, drive: usize, snapshot: usize) -> Survivors {
        let drive = &self.drives[drive];
        let theirs: HashSet<usize> = self.ancestry(self.snapshots[snapshot].point).into_iter().collect();
        let common: Vec<&Point> = self
            .ancestry(drive.parent)
            .into_iter()
            .filter(|point| theirs.contains(point))
            .map(|point| &self.points[point])
            .collect();
        let met = common.first().map_or(0, |point| point.moment);
        let met_alive = common.iter().find(|point| point.alive).map_or(0, |point| point.moment);
        // What another drive discarded on its way from there to the snapshot was noted for its own bookmarks alone.
        let foreign = self.snapshots[snapshot].drive != drive.uuid && met != self.points[self.snapshots[snapshot].point].moment;
        let met_alive = if foreign { 0 } else { met_alive };
        let until =
            |moment| drive.bookmarks.iter().filter(|mark| mark.moment <= moment).map(|mark| mark.uuid).collect::<BTreeSet<_>>();
        Survivors { surely: until(met_alive), at_most: until(met) }
    }

    pub fn delete_drive(&mut self, drive: usize) {
        self.drives.remove(drive);
    }

    // --- snapshots and bookmarks -------------------------------------------------------------------------------

    /// One instant of all the drives.
    pub fn snapshot_group(&mut self, group: Vec<NewSnapshot>) {
        let moment = self.next_moment();
        for NewSnapshot { drive, uuid, name, attributes, bookmark } in group {
            if let Some((uuid, name)) = bookmark {
                self.leave_bookmark(drive, uuid, name);
            }
            let drive = &mut self.drives[drive];
            self.points.push(Point { parent: Some(drive.parent), moment, alive: true });
            let point = self.points.len() - 1;
            drive.parent = point;
            drive.frozen = moment;
            self.snapshots.push(SnapshotModel { uuid, name, attributes, drive: drive.uuid, image: drive.image.clone(), point });
        }
    }

    /// When a snapshot was taken.
    pub fn moment_of(&self, snapshot: &SnapshotModel) -> u64 {
        self.points[snapshot.point].moment
    }

    pub fn delete_snapshot(&mut self, snapshot: usize) -> SnapshotModel {
        let snapshot = self.snapshots.remove(snapshot);
        self.points[snapshot.point].alive = false;
        snapshot
    }

    pub fn bookmark(&mut self, drive: usize, uuid: Uuid, name: String) {
        self.next_moment();
        self.leave_bookmark(drive, uuid, name);
    }

    fn leave_bookmark(&mut self, drive: usize, uuid: Uuid, name: String) {
        let moment = self.moment;
        let drive = &mut self.drives[drive];
        drive.frozen = moment;
        drive.bookmarks.push(BookmarkModel { uuid, name, image: drive.image.clone(), moment });
    }

    pub fn delete_bookmark(&mut self, drive: usize, bookmark: usize) {
        self.drives[drive].bookmarks.remove(bookmark);
    }

    // --- notes -------------------------------------------------------------------------------------------------

    pub fn set_note(&mut self, uuid: Uuid, bytes: impl Into<Arc<[u8]>>) {
        let bytes = bytes.into();
        match self.notes.iter_mut().find(|note| note.uuid == uuid) {
            Some(note) => note.bytes = bytes,
            None => self.notes.push(NoteModel { uuid, bytes }),
        }
    }

    pub fn delete_note(&mut self, uuid: Uuid) {
        self.notes.retain(|note| note.uuid != uuid);
    }

    // --- sizes -------------------------------------------------------------------------------------------------

    /// Sizes of all snapshots, in order of creation.
    pub fn sizes(&self) -> Vec<Sizes> {
        let mut holders: HashMap<u64, u32> = HashMap::new();
        for image in self.images() {
            for held in image.blocks.values() {
                *holders.entry(held.identity).or_default() += 1;
            }
        }
        let mut younger: HashMap<Uuid, Younger<'_>> = HashMap::new();
        let mut sizes = Vec::with_capacity(self.snapshots.len());
        for snapshot in self.snapshots.iter().rev() {
            let younger = younger.entry(snapshot.drive).or_insert_with(|| Younger::than_all(self.drive_at(snapshot.drive)));
            let count = |wanted: &dyn Fn(u64, &Held) -> bool| {
                snapshot.image.blocks.iter().filter(|(address, held)| wanted(**address, held)).count() as u64 * BLOCK
            };
            let exclusive = count(&|_, held| holders[&held.identity] == 1);
            let charged = count(&|_, held| !younger.identities.contains(&held.identity));
            let allocated = younger.reference.map_or(snapshot.image.referenced(), |reference| snapshot.image.beyond(reference));
            younger.add(&snapshot.image);
            sizes.push(Sizes { exclusive, charged, allocated, referenced: snapshot.image.referenced() });
        }
        sizes.reverse();
        sizes
    }

    /// Bytes of all blocks that any drive or snapshot holds (A7).
    pub fn reachable(&self) -> u64 {
        let identities: HashSet<u64> = self.images().flat_map(|image| image.blocks.values()).map(|held| held.identity).collect();
        identities.len() as u64 * BLOCK
    }

    // --- blocks ------------------------------------------------------------------------------------------------

    pub fn held_by_another(&self, drive: usize, address: u64, identity: u64) -> bool {
        let drives = self.drives.iter().enumerate().filter(|(index, _)| *index != drive).map(|(_, drive)| &drive.image);
        let snapshots = self.snapshots.iter().map(|snapshot| &snapshot.image);
        let bookmarks = self.drives[drive].bookmarks.iter().map(|bookmark| &bookmark.image);
        drives.chain(snapshots).chain(bookmarks).any(|image| image.holds(address, identity))
    }

    pub fn punch(&mut self, drive: usize, addresses: Range<u64>) {
        let image = &mut self.drives[drive].image;
        let held: Vec<u64> = image.blocks.range(addresses).map(|(address, _)| *address).collect();
        for address in held {
            image.blocks.remove(&address);
            image.touched.insert(address, self.moment);
        }
    }

    // --- private -----------------------------------------------------------------------------------------------

    fn images(&self) -> impl Iterator<Item = &Image> {
        let drives = self.drives.iter().map(|drive| &drive.image);
        drives.chain(self.snapshots.iter().map(|snapshot| &snapshot.image))
    }

    fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// A point and everything above it, nearest first.
    fn ancestry(&self, point: usize) -> Vec<usize> {
        std::iter::successors(Some(point), |point| self.points[*point].parent).collect()
    }

    /// The block at `address` becomes `bytes`; true if a hole would do as well.
    fn put(&mut self, drive: usize, address: u64, bytes: Vec<u8>) -> bool {
        assert_eq!(bytes.len(), BLOCK_LEN);
        let zero = bytes.iter().all(|byte| *byte == 0);
        let Some(old) = self.drives[drive].image.blocks.get(&address) else {
            if !zero {
                self.set(drive, address, bytes);
            }
            return false;
        };
        // A3. On an unshared block nobody could tell.
        if old.bytes[..] == bytes[..] {
            return false;
        }
        if !zero {
            self.set(drive, address, bytes);
            return false;
        }
        if self.held_by_another(drive, address, old.identity) {
            self.punch(drive, address..address + 1);
            return false;
        }
        // Written since the last freeze: overwritten in place. Older, though nobody holds it any more: the engine may
        // still see a junction or think of a deleted bookmark, and move it.
        let undecided = old.born <= self.drives[drive].frozen;
        self.set(drive, address, bytes);
        undecided
    }

    fn set(&mut self, drive: usize, address: u64, bytes: Vec<u8>) {
        self.writes += 1;
        let image = &mut self.drives[drive].image;
        image.blocks.insert(address, Held { identity: self.writes, born: self.moment, bytes: bytes.into() });
        image.touched.insert(address, self.moment);
    }
}

/// What is younger than a snapshot, while going from the youngest to the oldest of a drive.
struct Younger<'a> {
    identities: HashSet<u64>,
    /// What `allocated` compares with: the live image, or the next younger snapshot of a deleted drive.
    reference: Option<&'a Image>,
    alive: bool,
}

impl<'a> Younger<'a> {
    fn than_all(drive: Option<&'a DriveModel>) -> Self {
        let mut younger = Self { identities: HashSet::new(), reference: None, alive: false };
        if let Some(drive) = drive {
            younger.add(&drive.image);
            younger.alive = true;
        }
        younger
    }

    fn add(&mut self, image: &'a Image) {
        self.identities.extend(image.blocks.values().map(|held| held.identity));
        if !self.alive {
            self.reference = Some(image);
        }
    }
}

/// The blocks that lie whole in `range`; the last block of the image counts as whole if its bytes do.
pub fn whole_blocks(range: &Range<u64>, size: u64) -> Range<u64> {
    let start = range.start.div_ceil(BLOCK);
    let end = if range.end == size { size.div_ceil(BLOCK) } else { range.end / BLOCK };
    start..end.max(start)
}
