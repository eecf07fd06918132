//! What do accounts have, and who may do what with it?

use floe::Uuid;
use floe::node::accounts::AccountLimits;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

pub const BLOCK: u64 = 4096;
pub const STORAGE_TYPES: [&str; 3] = ["dssd", "nvme", "zadara"];
/// In the order in which they are shown.
pub const PERMISSIONS: [&str; 8] = ["ATTACH", "CLONE", "DELETE", "EDIT", "LIST", "OPEN_VNC", "START", "STOP"];

/// Which write each block comes from; none for a hole.
pub type Image = BTreeMap<u64, u64>;

/// What drives and snapshots have in common.
#[derive(Clone, Debug)]
pub struct Thing {
    pub uuid: Uuid,
    pub owner: Uuid,
    pub name: String,
    pub meta: Map<String, Value>,
    pub tags: Vec<Uuid>,
}

#[derive(Clone, Debug)]
pub struct Drive {
    pub thing: Thing,
    pub size: u64,
    pub media: String,
    pub storage_type: String,
    pub allow_multimount: bool,
    pub image: Image,
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub thing: Thing,
    pub drive: Uuid,
    pub size: u64,
    pub timestamp: String,
    pub image: Image,
}

#[derive(Clone, Debug)]
pub struct Tag {
    pub uuid: Uuid,
    pub owner: Uuid,
    pub name: String,
    pub meta: Map<String, Value>,
}

#[derive(Clone, Debug)]
pub struct Acl {
    pub uuid: Uuid,
    pub owner: Uuid,
    pub name: String,
    pub meta: Map<String, Value>,
    pub grantees: Vec<Uuid>,
    pub permissions: BTreeSet<&'static str>,
    pub tags: Vec<Uuid>,
}

/// An account, and what it may have.
#[derive(Clone, Debug)]
pub struct Person {
    pub uuid: Uuid,
    pub email: String,
    pub limits: AccountLimits,
    /// Whether clones are counted, or called as what they are made of.
    pub counts_clones: bool,
}

/// Everything, each in order of creation.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub people: Vec<Person>,
    pub drives: Vec<Drive>,
    pub snapshots: Vec<Snapshot>,
    pub tags: Vec<Tag>,
    pub acls: Vec<Acl>,
    pub mounted: BTreeSet<Uuid>,
    pub writes: u64,
}

/// What a call is answered that is about a thing.
pub const OK: u16 = 200;
pub const FORBIDDEN: u16 = 403;
pub const NOT_FOUND: u16 = 404;

impl Model {
    pub fn drive(&self, uuid: Uuid) -> Option<&Drive> {
        self.drives.iter().find(|drive| drive.thing.uuid == uuid)
    }

    pub fn snapshot(&self, uuid: Uuid) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.thing.uuid == uuid)
    }

    pub fn person(&self, uuid: Uuid) -> &Person {
        self.people.iter().find(|person| person.uuid == uuid).expect("everybody is known")
    }

    pub fn things(&self) -> impl Iterator<Item = &Thing> {
        self.drives.iter().map(|drive| &drive.thing).chain(self.snapshots.iter().map(|snapshot| &snapshot.thing))
    }

    pub fn things_mut(&mut self) -> impl Iterator<Item = &mut Thing> {
        self.drives.iter_mut().map(|drive| &mut drive.thing).chain(self.snapshots.iter_mut().map(|snapshot| &mut snapshot.thing))
    }

    pub fn snapshots_of(&self, drive: Uuid) -> impl DoubleEndedIterator<Item = &Snapshot> {
        self.snapshots.iter().filter(move |snapshot| snapshot.drive == drive)
    }

    /// What was changed on the drive since: blocks of the snapshot that the drive has no more.
    pub fn allocated(&self, snapshot: &Snapshot) -> u64 {
        let now = &self.drive(snapshot.drive).expect("snapshots go with their drive").image;
        snapshot.image.iter().filter(|(block, write)| now.get(block) != Some(write)).count() as u64 * BLOCK
    }

    pub fn allocated_of_drive(&self, drive: Uuid) -> u64 {
        self.snapshots_of(drive).map(|snapshot| self.allocated(snapshot)).sum()
    }

    /// Bytes that an account uses of a class.
    pub fn using(&self, owner: Uuid, class: &str) -> u64 {
        let own = self.drives.iter().filter(|drive| drive.thing.owner == owner && drive.storage_type == class);
        own.map(|drive| drive.size + self.allocated_of_drive(drive.thing.uuid)).sum()
    }

    /// May an account have so much more of a class?
    pub fn allows_bytes(&self, owner: Uuid, class: &str, more: u64) -> bool {
        let max = self.person(owner).limits.bytes.get(class);
        max.is_none_or(|max| self.using(owner, class) + more <= *max)
    }

    // --- who may do what ---------------------------------------------------------------------------------------

    /// Whom its owner lets do what with a thing.
    pub fn granted(&self, thing: &Thing) -> BTreeMap<Uuid, BTreeSet<&'static str>> {
        let mut granted: BTreeMap<Uuid, BTreeSet<&'static str>> = BTreeMap::new();
        let fitting = |acl: &&Acl| acl.owner == thing.owner && acl.tags.iter().any(|tag| thing.tags.contains(tag));
        for acl in self.acls.iter().filter(fitting) {
            for grantee in &acl.grantees {
                granted.entry(*grantee).or_default().extend(&acl.permissions);
            }
        }
        granted
    }

    /// What an account may do with what is somebody else's.
    pub fn permissions(&self, who: Uuid, thing: &Thing) -> BTreeSet<&'static str> {
        if thing.owner == who { BTreeSet::new() } else { self.granted(thing).remove(&who).unwrap_or_default() }
    }

    pub fn sees(&self, who: Uuid, thing: &Thing) -> bool {
        thing.owner == who || self.permissions(who, thing).contains("LIST")
    }

    /// How a call is answered that needs a permission.
    pub fn may(&self, who: Uuid, thing: Option<&Thing>, permission: &str) -> u16 {
        match thing {
            Some(thing) if thing.owner == who || self.permissions(who, thing).contains(permission) => OK,
            Some(thing) if self.sees(who, thing) => FORBIDDEN,
            _ => NOT_FOUND,
        }
    }

    /// How a call is answered that owners alone may make.
    pub fn may_own(&self, who: Uuid, thing: Option<&Thing>) -> u16 {
        match thing {
            Some(thing) if thing.owner == who => OK,
            Some(thing) if self.sees(who, thing) => FORBIDDEN,
            _ => NOT_FOUND,
        }
    }

    // --- what goes together ------------------------------------------------------------------------------------

    pub fn delete_drive(&mut self, uuid: Uuid) {
        self.drives.retain(|drive| drive.thing.uuid != uuid);
        self.snapshots.retain(|snapshot| snapshot.drive != uuid);
    }

    pub fn delete_tag(&mut self, uuid: Uuid) {
        self.tags.retain(|tag| tag.uuid != uuid);
        self.things_mut().for_each(|thing| thing.tags.retain(|tag| *tag != uuid));
        self.acls.iter_mut().for_each(|acl| acl.tags.retain(|tag| *tag != uuid));
    }

    /// Exactly those of an owner's things have the tag from now on.
    pub fn put_tag(&mut self, owner: Uuid, tag: Uuid, on: &[Uuid]) {
        for thing in self.things_mut().filter(|thing| thing.owner == owner) {
            let (has, shall) = (thing.tags.contains(&tag), on.contains(&thing.uuid));
            if shall && !has {
                thing.tags.push(tag);
            } else if has && !shall {
                thing.tags.retain(|other| *other != tag);
            }
        }
    }
}
