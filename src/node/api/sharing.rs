//! Who sees what of somebody else's, and may do what with it?
//!
//! Owners put tags on what they have, and say in ACLs which accounts may do what with everything that has a tag.
//!
//! 1. A tag that was deleted grants nothing, whatever still names it.
//! 2. Only owners grant; what was granted cannot be granted on.

use super::Api;
use super::fault::Fault;
use super::filter::Filtered;
use super::shelf::{Item, Own, Shelf};
use crate::node::accounts::Account;
use crate::node::records::{Record, word};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// What an owner may allow. Some are about servers alone; clients set them all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Permission {
    /// To use a drive.
    Attach,
    /// To make a drive of it.
    Clone,
    /// To delete it.
    Delete,
    /// To change its name, and what is written about it.
    Edit,
    /// To see it.
    List,
    /// About servers.
    OpenVnc,
    /// About servers.
    Start,
    /// About servers.
    Stop,
}

/// The names of all of them.
pub const PERMISSION_NAMES: [&str; 8] = ["ATTACH", "CLONE", "DELETE", "EDIT", "LIST", "OPEN_VNC", "START", "STOP"];

impl Permission {
    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(Value::from(name)).ok()
    }

    /// Its name.
    pub fn name(self) -> String {
        word(self)
    }
}

/// What an owner calls several things by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Whose it is.
    pub owner: Uuid,
    /// Its name.
    pub name: String,
    /// What its owner writes about it.
    #[serde(default)]
    pub meta: Map<String, Value>,
}

impl Record for Tag {
    const KIND: &'static str = "tag";
}

/// Who may do what with everything that has certain tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acl {
    /// Who grants.
    pub owner: Uuid,
    /// Its name.
    pub name: String,
    /// What its owner writes about it.
    #[serde(default)]
    pub meta: Map<String, Value>,
    /// To whom.
    pub grantees: Vec<Uuid>,
    /// What.
    pub permissions: Vec<Permission>,
    /// On what.
    pub tags: Vec<Uuid>,
}

impl Record for Acl {
    const KIND: &'static str = "acl";
}

/// What a caller sees.
pub struct View {
    caller: Uuid,
    /// The caller's tags.
    tags: HashSet<Uuid>,
    /// What the caller grants.
    given: Vec<Acl>,
    /// What was granted to the caller, by tags that are there.
    taken: Vec<Acl>,
}

impl View {
    /// What a caller sees now.
    pub fn of(api: &Api, caller: &Account) -> Self {
        let caller = caller.uuid;
        let mut taken = api.acls.some(|acl| acl.owner != caller && acl.grantees.contains(&caller));
        for (_, acl) in &mut taken {
            acl.tags.retain(|tag| api.tags.find(*tag).is_some());
        }
        let tags = api.tags.some(|tag| tag.owner == caller).into_iter().map(|(uuid, _)| uuid).collect();
        let given = api.acls.some(|acl| acl.owner == caller);
        let only = |acls: Vec<(Uuid, Acl)>| acls.into_iter().map(|(_, acl)| acl).collect();
        Self { caller, tags, given: only(given), taken: only(taken) }
    }

    /// Is it the caller's own?
    pub fn is_own<H: Item>(&self, own: &Own<H>) -> bool {
        own.owner == self.caller
    }

    /// What the caller may do with what is somebody else's; nothing of the caller's own.
    pub fn permissions<H: Item>(&self, own: &Own<H>) -> BTreeSet<Permission> {
        let granting =
            self.taken.iter().filter(|acl| acl.owner == own.owner && acl.tags.iter().any(|tag| own.tags.contains(tag)));
        granting.flat_map(|acl| acl.permissions.iter().copied()).collect()
    }

    /// To whom the caller grants what of the caller's own.
    pub fn grantees<H: Item>(&self, own: &Own<H>) -> BTreeMap<Uuid, BTreeSet<Permission>> {
        let mut all: BTreeMap<Uuid, BTreeSet<Permission>> = BTreeMap::new();
        let tags = self.tags(own);
        for acl in self.given.iter().filter(|acl| acl.tags.iter().any(|tag| tags.contains(tag))) {
            for grantee in &acl.grantees {
                all.entry(*grantee).or_default().extend(&acl.permissions);
            }
        }
        all
    }

    /// Its tags, as far as the caller sees them.
    pub fn tags<H: Item>(&self, own: &Own<H>) -> Vec<Uuid> {
        if self.is_own(own) { own.tags.iter().filter(|tag| self.tags.contains(tag)).copied().collect() } else { Vec::new() }
    }

    /// Everything on a shelf that the caller sees: the caller's own, then what others let him see.
    pub fn all<H: Item>(&self, shelf: &Shelf<H>) -> Vec<Arc<Own<H>>> {
        let mut all = shelf.of(self.caller);
        for owner in self.taken.iter().map(|acl| acl.owner).collect::<BTreeSet<_>>() {
            all.extend(shelf.of(owner).into_iter().filter(|own| self.permissions(own).contains(&Permission::List)));
        }
        all
    }

    /// The same order for some of it.
    pub fn sort<H: Item>(&self, shelf: &Shelf<H>, some: &mut [Arc<Own<H>>]) {
        some.sort_by_cached_key(|own| (!self.is_own(own), own.owner, shelf.order(own.handle.uuid())));
    }

    /// The one of that uuid, if the caller may do that with it.
    ///
    /// # Errors
    /// 404 for what the caller does not see, 403 for what the caller sees and may not do that with.
    pub fn find<H: Item>(&self, shelf: &Shelf<H>, uuid: Uuid, wanted: Permission) -> Result<Arc<Own<H>>, Fault> {
        let own = shelf.find(uuid).ok_or_else(|| Fault::no_object(uuid))?;
        if self.is_own(&own) {
            return Ok(own);
        }
        let permissions = self.permissions(&own);
        if permissions.contains(&wanted) {
            Ok(own)
        } else if permissions.contains(&Permission::List) {
            Err(Fault::forbidden(format!("Permission {} on {uuid} was not granted to you", wanted.name())))
        } else {
            Err(Fault::no_object(uuid))
        }
    }

    /// The one of that uuid, if it is the caller's own.
    ///
    /// # Errors
    /// 404 for what the caller does not see, 403 for what is somebody else's.
    pub fn find_own<H: Item>(&self, shelf: &Shelf<H>, uuid: Uuid) -> Result<Arc<Own<H>>, Fault> {
        let own = self.find(shelf, uuid, Permission::List)?;
        if self.is_own(&own) { Ok(own) } else { Err(Fault::forbidden(format!("{uuid} is not yours"))) }
    }

    /// A thing as filters see it.
    pub fn seen<'a, H: Item>(&self, own: &'a Own<H>) -> Seen<'a, H> {
        Seen { own, tags: self.tags(own) }
    }
}

/// A thing, and those of its tags that the caller sees.
pub struct Seen<'a, H> {
    own: &'a Own<H>,
    tags: Vec<Uuid>,
}

impl<H: Item> Filtered for Seen<'_, H> {
    fn uuid(&self) -> Uuid {
        self.own.handle.uuid()
    }

    fn name(&self) -> &str {
        &self.own.name
    }

    fn tags(&self) -> &[Uuid] {
        &self.tags
    }

    fn drive(&self) -> Option<Uuid> {
        self.own.handle.drive()
    }
}

#[cfg(test)]
mod tests {
    use super::{PERMISSION_NAMES, Permission};

    #[test]
    fn permissions_have_the_names_that_are_described() {
        for name in PERMISSION_NAMES {
            assert_eq!(Permission::named(name).map(Permission::name).as_deref(), Some(name));
        }
    }
}
