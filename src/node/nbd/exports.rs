//! What can a client have, and under which names?
//!
//! 1. Every drive and snapshot has its uuid for a name, and its own name, or `drive@snapshot`, where that means one thing only.
//! 2. Snapshots are read-only. A drive is, to a client that comes while another one has written; of two that came before anything was
//!    written, the first writer stays the only one. A drive that allows multimount is everybody's.
//!    What holds a moment for a remote snapshot is nobody's.
//! 3. Connections of one peer count as one client.

use super::behind::{Behind, Behinds};
use super::protocol::handshake::{Description, Directory, Refusal, RefusalKind};
use crate::node::attributes::Attributes;
use crate::node::failure::{Failure, FailureKind};
use crate::node::service::objects::{is_pin, present, take_pins};
use crate::node::service::select::Image;
use crate::{Drive, Snapshot, Store};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// The context of what is a hole.
const ALLOCATION: &str = "base:allocation";
/// The context of how many snapshots hold the data.
const DEPTH: &str = "qemu:allocation-depth";
/// The beginning of the contexts of what changed since a snapshot.
const SINCE: &str = "qemu:dirty-bitmap:since-";

/// Who is on the other side, as far as that can be told: connections of one peer may share a drive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A process of this machine, by its number.
    Process(u32),
    /// Whoever has the key of a certificate; by the certificate's hash.
    Certificate([u8; 32]),
    /// Nobody can tell: each connection is a peer of its own, by the connection's number.
    Connection(u64),
}

/// Who has a drive, and who writes it.
#[derive(Default)]
struct Use {
    /// Connections by peer.
    connections: HashMap<Peer, usize>,
    writer: Option<Peer>,
}

/// The drives that are in use.
#[derive(Default)]
pub struct Uses(Mutex<HashMap<Uuid, Use>>);

impl Uses {
    /// How many connections use the drive.
    pub fn connections(&self, drive: Uuid) -> usize {
        self.0.lock().get(&drive).map_or(0, |used| used.connections.values().sum())
    }

    /// May `peer` write, as things are?
    fn is_open_to(&self, drive: Uuid, peer: &Peer) -> bool {
        let uses = self.0.lock();
        let writer = uses.get(&drive).and_then(|used| used.writer.as_ref());
        writer.is_none_or(|writer| writer == peer)
    }

    /// Counts a connection of `peer`.
    fn enter(&self, drive: Uuid, peer: &Peer) {
        let mut uses = self.0.lock();
        *uses.entry(drive).or_default().connections.entry(peer.clone()).or_default() += 1;
    }

    /// Makes `peer` the writer, unless another one is.
    fn write(&self, drive: Uuid, peer: &Peer) -> bool {
        let mut uses = self.0.lock();
        let used = uses.entry(drive).or_default();
        used.writer.get_or_insert_with(|| peer.clone()) == peer
    }

    fn leave(&self, drive: Uuid, peer: &Peer) {
        let mut uses = self.0.lock();
        let Some(used) = uses.get_mut(&drive) else { return };
        if let Some(count) = used.connections.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                used.connections.remove(peer);
                if used.writer.as_ref() == Some(peer) {
                    used.writer = None;
                }
            }
        }
        if used.connections.is_empty() {
            uses.remove(&drive);
        }
    }
}

/// A connection's share of a drive; given back when it goes.
struct Share {
    uses: Arc<Uses>,
    drive: Uuid,
    peer: Peer,
    /// Is it known to be the writer's?
    writes: AtomicBool,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.uses.leave(self.drive, &self.peer);
    }
}

/// A drive or snapshot that a client chose.
pub struct Export {
    /// What it is.
    pub image: Image,
    /// What the client calls it.
    name: String,
    read_only: bool,
    multimount: bool,
    share: Option<Share>,
    behind: Option<Arc<dyn Behind>>,
}

impl Export {
    /// May the connection write now? The first write of a peer makes it the drive's writer.
    pub fn may_write(&self) -> bool {
        if self.read_only {
            return false;
        }
        let Some(share) = &self.share else { return false };
        if self.multimount || share.writes.load(Ordering::Relaxed) {
            return true;
        }
        let writes = share.uses.write(share.drive, &share.peer);
        share.writes.store(writes, Ordering::Relaxed);
        writes
    }

    /// Whoever still fills the drive.
    pub fn behind(&self) -> Option<&dyn Behind> {
        self.behind.as_deref().filter(|behind| !behind.is_done())
    }

    fn size_bytes(&self) -> Result<u64, Refusal> {
        match &self.image {
            Image::Drive(drive) => drive.size_bytes().map_err(refused_error),
            Image::Snapshot(snapshot) => Ok(snapshot.size_bytes()),
        }
    }
}

/// What can be told of each range of an image.
pub enum Context {
    /// Is it a hole?
    Allocation,
    /// How many snapshots hold it too?
    Depth,
    /// Has it changed since a snapshot?
    Since(Snapshot),
}

/// What one connection is offered.
pub struct Exports {
    store: Store,
    uses: Arc<Uses>,
    peer: Peer,
    /// The only export, under any name.
    only: Option<Image>,
    behinds: Option<Behinds>,
}

impl Exports {
    /// All of a store, for a peer.
    pub fn new(store: Store, uses: Arc<Uses>, peer: Peer) -> Self {
        Self { store, uses, peer, only: None, behinds: None }
    }

    /// Some of the drives may not have got all of their images yet.
    pub fn filled_by(mut self, behinds: Option<Behinds>) -> Self {
        self.behinds = behinds;
        self
    }

    /// One image alone, whatever name is asked for.
    pub fn only(store: Store, uses: Arc<Uses>, peer: Peer, image: Image) -> Self {
        Self { only: Some(image), ..Self::new(store, uses, peer) }
    }

    /// More is known of who is on the other side.
    pub fn set_peer(&mut self, peer: Peer) {
        self.peer = peer;
    }

    fn image(&self, name: &str) -> Result<Image, Refusal> {
        if let Some(image) = &self.only {
            return Ok(image.clone());
        }
        if name.is_empty() {
            let mut drives = self.store.drives();
            return match drives.len() {
                1 => Ok(Image::Drive(drives.remove(0))),
                0 => Err(Refusal::new(RefusalKind::Unknown, "this store has no drive")),
                count => {
                    let words = format!("which of {count} drives? the name of the export is missing");
                    Err(Refusal::new(RefusalKind::Unknown, words))
                }
            };
        }
        if let Ok(uuid) = Uuid::try_parse(name) {
            let drive = present(self.store.drive(uuid)).map_err(refused_error)?.map(Image::Drive);
            let snapshot = || match present(self.store.snapshot(uuid))? {
                Some(snapshot) if !is_pin(&snapshot)? => Ok(Some(Image::Snapshot(snapshot))),
                _ => Ok(None),
            };
            let found = drive.map_or_else(snapshot, |drive| Ok(Some(drive))).map_err(refused_error)?;
            return found.ok_or_else(|| Refusal::new(RefusalKind::Unknown, format!("nothing has the uuid {uuid}")));
        }
        let mut found: Vec<Named> = self.all()?.into_iter().filter(|named| named.name == name).collect();
        match found.len() {
            1 => Ok(found.remove(0).image),
            0 => {
                Err(Refusal::new(RefusalKind::Unknown, format!("no drive, and no snapshot as drive@snapshot, is named {name:?}")))
            }
            _ => {
                let uuids: Vec<_> = found.iter().map(|named| named.uuid.to_string()).collect();
                Err(Refusal::new(RefusalKind::Unknown, format!("{name:?} could mean any of {}", uuids.join(", "))))
            }
        }
    }

    /// All drives and snapshots, in order of creation, drives first.
    fn all(&self) -> Result<Vec<Named>, Refusal> {
        let mut all = Vec::new();
        let mut drives = HashMap::new();
        for drive in self.store.drives() {
            if let Some(name) = present(drive.name()).map_err(refused_error)? {
                drives.insert(drive.uuid(), name.clone());
                all.push(Named { uuid: drive.uuid(), name, image: Image::Drive(drive) });
            }
        }
        let mut snapshots = self.store.snapshots();
        take_pins(&mut snapshots).map_err(refused_error)?;
        for snapshot in snapshots {
            if let Some(name) = present(snapshot.name()).map_err(refused_error)? {
                let drive = drives.get(&snapshot.drive_uuid()).filter(|drive| !drive.is_empty());
                let name = drive.filter(|_| !name.is_empty()).map_or(String::new(), |drive| format!("{drive}@{name}"));
                all.push(Named { uuid: snapshot.uuid(), name, image: Image::Snapshot(snapshot) });
            }
        }
        Ok(all)
    }

    /// The snapshots that a context can be about, and their names.
    fn bases(&self, export: &Export) -> Result<Vec<(Snapshot, String)>, Failure> {
        let (drive, before) = match &export.image {
            Image::Drive(drive) => (drive.uuid(), None),
            Image::Snapshot(snapshot) => (snapshot.drive_uuid(), Some(snapshot.uuid())),
        };
        let all = self.store.snapshots().into_iter().filter(|base| base.drive_uuid() == drive);
        let mut bases = Vec::new();
        for base in all.take_while(|base| Some(base.uuid()) != before) {
            if let Some(name) = present(base.name())?
                && !is_pin(&base)?
            {
                bases.push((base, name));
            }
        }
        Ok(bases)
    }
}

/// Something that can be had, and what it is called besides its uuid; empty if it has no name.
struct Named {
    uuid: Uuid,
    name: String,
    image: Image,
}

/// How often each name occurs: what occurs once can be meant by it.
fn counts<'a>(names: impl Iterator<Item = &'a str>) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// Does the name mean one thing only? What reads as a uuid means the thing of that uuid.
fn is_clear(name: &str, counts: &HashMap<&str, usize>) -> bool {
    !name.is_empty() && counts[name] == 1 && Uuid::try_parse(name).is_err()
}

impl Directory for Exports {
    type Export = Export;
    type Context = Context;

    fn list(&self) -> Result<Vec<(String, String)>, Refusal> {
        if let Some(image) = &self.only {
            return Ok(vec![(String::new(), words_of(image, false)?)]);
        }
        let all = self.all()?;
        let counts = counts(all.iter().map(|named| named.name.as_str()));
        let mut list = Vec::new();
        for Named { uuid, name, image } in &all {
            let words = words_of(image, false)?;
            list.push((uuid.to_string(), words.clone()));
            if is_clear(name, &counts) {
                list.push((name.clone(), format!("{words}, {uuid}")));
            }
        }
        Ok(list)
    }

    fn find(&self, name: &str) -> Result<Export, Refusal> {
        let image = self.image(name)?;
        let (read_only, multimount) = match &image {
            Image::Drive(drive) => {
                let multimount = allows_multimount(drive)?;
                (!multimount && !self.uses.is_open_to(drive.uuid(), &self.peer), multimount)
            }
            Image::Snapshot(_) => (true, true),
        };
        let behind = match &image {
            Image::Drive(drive) => self.behinds.as_ref().and_then(|behinds| behinds(drive.uuid())),
            Image::Snapshot(_) => None,
        };
        Ok(Export { image, name: name.to_owned(), read_only, multimount, share: None, behind })
    }

    fn describe(&self, export: &Export) -> Result<Description, Refusal> {
        let uuid = match &export.image {
            Image::Drive(drive) => drive.uuid(),
            Image::Snapshot(snapshot) => snapshot.uuid(),
        };
        Ok(Description {
            name: if export.name.is_empty() { uuid.to_string() } else { export.name.clone() },
            words: words_of(&export.image, export.read_only)?,
            size_bytes: export.size_bytes()?,
            read_only: export.read_only,
            // Of a peer that cannot be recognised, a second connection would be a second writer.
            multi_conn: export.read_only || export.multimount || !matches!(self.peer, Peer::Connection(_)),
        })
    }

    fn enter(&self, export: &mut Export) -> Result<(), Refusal> {
        if let Image::Drive(drive) = &export.image {
            self.uses.enter(drive.uuid(), &self.peer);
            export.share =
                Some(Share { uses: Arc::clone(&self.uses), drive: drive.uuid(), peer: self.peer.clone(), writes: false.into() });
            // He may have been told otherwise before he came in.
            export.read_only = !export.multimount && !self.uses.is_open_to(drive.uuid(), &self.peer);
        }
        Ok(())
    }

    fn contexts(&self, export: &Export, prefix: &str) -> Result<Vec<String>, Refusal> {
        let mut names = vec![ALLOCATION.to_owned(), DEPTH.to_owned()];
        let bases = self.bases(export).map_err(refused)?;
        let counts = counts(bases.iter().map(|(_, name)| name.as_str()));
        for (base, name) in &bases {
            names.push(if is_clear(name, &counts) { format!("{SINCE}{name}") } else { format!("{SINCE}{}", base.uuid()) });
        }
        names.retain(|name| name.starts_with(prefix));
        Ok(names)
    }

    fn context(&self, export: &Export, name: &str) -> Result<Option<Context>, Refusal> {
        match name {
            ALLOCATION => return Ok(Some(Context::Allocation)),
            DEPTH => return Ok(Some(Context::Depth)),
            _ => {}
        }
        let Some(since) = name.strip_prefix(SINCE).filter(|since| !since.is_empty()) else { return Ok(None) };
        let mut bases = self.bases(export).map_err(refused)?;
        match Uuid::try_parse(since) {
            Ok(uuid) => bases.retain(|(base, _)| base.uuid() == uuid),
            Err(_) => bases.retain(|(_, name)| name == since),
        }
        // A name that two snapshots have says nothing.
        Ok(if bases.len() == 1 { bases.pop().map(|(base, _)| Context::Since(base)) } else { None })
    }
}

fn allows_multimount(drive: &Drive) -> Result<bool, Refusal> {
    Ok(Attributes::read(&drive.attributes().map_err(refused_error)?).allows_multimount())
}

fn words_of(image: &Image, read_only: bool) -> Result<String, Refusal> {
    Ok(match image {
        Image::Drive(drive) => {
            let info = drive.info().map_err(refused_error)?;
            let state = if read_only { "drive, written by somebody else" } else { "drive" };
            format!("{state}, {} bytes of data, {} snapshots", info.referenced_bytes, info.snapshots)
        }
        Image::Snapshot(snapshot) => match present(snapshot.allocated_size()).map_err(refused_error)? {
            Some(changed) => format!("snapshot, {changed} bytes changed since"),
            None => "snapshot, deleted".into(),
        },
    })
}

fn refused_error(error: crate::Error) -> Refusal {
    refused(error.into())
}

fn refused(failure: Failure) -> Refusal {
    let kind = match failure.kind() {
        FailureKind::NotFound | FailureKind::Ambiguous => RefusalKind::Unknown,
        FailureKind::InvalidArgument => RefusalKind::Invalid,
        FailureKind::Closed => RefusalKind::Shutdown,
        _ => RefusalKind::Policy,
    };
    Refusal::new(kind, failure.to_string())
}
