//! Which drive, snapshot or bookmark does a word mean?
//!
//! A word is a uuid, the beginning of one (at least [`UUID_PREFIX_DIGITS_MIN`] digits), a name, or `drive@snapshot` with
//! any of these on both sides.
//!
//! 1. A whole uuid means the thing of that uuid, whatever others are named.
//! 2. Any other word means everything it fits; if that is more than one thing, the word is refused.

use crate::node::failure::{Candidate, Failure, FailureKind};
use crate::node::service::objects::{present, take_pins};
use crate::{Bookmark, Drive, Snapshot, Store};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Fewer digits are taken for a name only: they would soon fit several things.
pub const UUID_PREFIX_DIGITS_MIN: usize = 8;

/// Where the things of a store are, for people.
const STORE: &str = "in this store";

/// Something with an image.
#[derive(Clone)]
pub enum Image {
    /// A drive, whose image changes.
    Drive(Drive),
    /// A snapshot, whose image does not.
    Snapshot(Snapshot),
}

/// The drive that `word` means.
///
/// # Errors
/// `NotFound`, `Ambiguous`, and what reading names can raise.
pub fn drive(store: &Store, word: &str) -> Result<Drive, Failure> {
    one(word, "drive", STORE, drives(store)?)
}

/// The snapshot that `word` means.
///
/// # Errors
/// As for [`drive`].
pub fn snapshot(store: &Store, word: &str) -> Result<Snapshot, Failure> {
    one(word, "snapshot", STORE, snapshots(store)?)
}

/// The drive or snapshot that `word` means.
///
/// # Errors
/// As for [`drive`].
pub fn image(store: &Store, word: &str) -> Result<Image, Failure> {
    let drives = drives(store)?.into_iter().map(|named| named.map(Image::Drive));
    let snapshots = snapshots(store)?.into_iter().map(|named| named.map(Image::Snapshot));
    one(word, "drive or snapshot", STORE, drives.chain(snapshots).collect())
}

/// The bookmark that `word` means, and its drive.
///
/// # Errors
/// As for [`drive`].
pub fn bookmark(store: &Store, word: &str) -> Result<(Bookmark, Uuid), Failure> {
    let mut bookmarks = Vec::new();
    for owner in drives(store)? {
        for bookmark in present(owner.handle.bookmarks())?.unwrap_or_default() {
            let Some(name) = present(bookmark.name())? else { continue };
            let candidate = Candidate { kind: "bookmark", uuid: bookmark.uuid(), name, drive: Some(owner.candidate.uuid) };
            let drive_name = Some(owner.candidate.name.clone());
            bookmarks.push(Named { candidate, drive_name, handle: (bookmark, owner.candidate.uuid) });
        }
    }
    one(word, "bookmark", STORE, bookmarks)
}

/// The uuid of the drive that `word` means: one that lives, or one that was deleted and has left snapshots.
///
/// # Errors
/// As for [`drive`].
pub fn drive_or_deleted(store: &Store, word: &str) -> Result<Uuid, Failure> {
    let living = drives(store)?.into_iter().map(|named| named.map(|drive| drive.uuid())).collect();
    one(word, "drive", STORE, with_deleted(living, store.snapshots().iter().map(Snapshot::drive_uuid)))
}

/// The drives that live, and those that snapshots were taken of: these are named by their uuids alone.
pub fn with_deleted(mut drives: Vec<Named<Uuid>>, frozen: impl IntoIterator<Item = Uuid>) -> Vec<Named<Uuid>> {
    let mut seen: HashSet<Uuid> = drives.iter().map(|named| named.candidate.uuid).collect();
    drives.extend(frozen.into_iter().filter(|uuid| seen.insert(*uuid)).map(|uuid| Named::drive(uuid, String::new(), uuid)));
    drives
}

/// A handle, and what it can be called.
#[derive(Clone)]
pub struct Named<H> {
    candidate: Candidate,
    drive_name: Option<String>,
    handle: H,
}

impl<H> Named<H> {
    /// A drive.
    pub fn drive(uuid: Uuid, name: String, handle: H) -> Self {
        Self { candidate: Candidate { kind: "drive", uuid, name, drive: None }, drive_name: None, handle }
    }

    /// A snapshot of a drive, whose name is known if it lives.
    pub fn snapshot(uuid: Uuid, name: String, drive: Uuid, drive_name: Option<String>, handle: H) -> Self {
        Self { candidate: Candidate { kind: "snapshot", uuid, name, drive: Some(drive) }, drive_name, handle }
    }

    /// A remote snapshot of a drive, whose name is known if it lives.
    pub fn remote(uuid: Uuid, name: String, drive: Uuid, drive_name: Option<String>, handle: H) -> Self {
        Self { candidate: Candidate { kind: "remote snapshot", uuid, name, drive: Some(drive) }, drive_name, handle }
    }

    /// Its uuid and its name.
    pub fn into_name(self) -> (Uuid, String) {
        (self.candidate.uuid, self.candidate.name)
    }

    /// Called as before, by another handle.
    pub fn map<T>(self, change: impl FnOnce(H) -> T) -> Named<T> {
        Named { candidate: self.candidate, drive_name: self.drive_name, handle: change(self.handle) }
    }

    fn fits(&self, word: &str) -> bool {
        fits(word, self.candidate.uuid, Some(&self.candidate.name))
            || self.candidate.drive.is_some_and(|drive| {
                // Names may hold an `@` too, so every place where the word can be cut is tried.
                word.match_indices('@').any(|(at, _)| {
                    fits(&word[..at], drive, self.drive_name.as_deref())
                        && fits(&word[at + 1..], self.candidate.uuid, Some(&self.candidate.name))
                })
            })
    }
}

fn fits(word: &str, uuid: Uuid, name: Option<&str>) -> bool {
    if let Ok(whole) = Uuid::try_parse(word) {
        return whole == uuid || name == Some(word);
    }
    (name == Some(word) && !word.is_empty()) || (digits(word) >= UUID_PREFIX_DIGITS_MIN && begins(uuid, word))
}

/// How many digits the word has, if it could be the beginning of a uuid; else none.
fn digits(word: &str) -> usize {
    if word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        word.bytes().filter(|byte| *byte != b'-').count()
    } else {
        0
    }
}

fn begins(uuid: Uuid, word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    uuid.hyphenated().to_string().starts_with(&word) || uuid.simple().to_string().starts_with(&word)
}

/// The one of all that `word` means; `what` it is and `place` are for people.
///
/// # Errors
/// `NotFound`, `Ambiguous`
pub fn one<H>(word: &str, what: &str, place: &str, all: Vec<Named<H>>) -> Result<H, Failure> {
    let whole = Uuid::try_parse(word).ok();
    let is_whole = |named: &Named<H>| Some(named.candidate.uuid) == whole;
    let exact = all.iter().any(is_whole);
    let too_short =
        (1..UUID_PREFIX_DIGITS_MIN).contains(&digits(word)) && all.iter().any(|named| begins(named.candidate.uuid, word));
    let mut found: Vec<_> = all.into_iter().filter(|named| if exact { is_whole(named) } else { named.fits(word) }).collect();
    match found.len() {
        1 => Ok(found.remove(0).handle),
        0 if too_short => {
            let hint = format!("no {what} is named {word:?}, and a uuid needs at least {UUID_PREFIX_DIGITS_MIN} of its digits");
            Err(Failure::new(FailureKind::NotFound, hint))
        }
        0 => Err(Failure::new(FailureKind::NotFound, format!("no {what} {word:?} {place}"))),
        _ => Err(Failure::ambiguous(word, found.into_iter().map(|named| named.candidate).collect())),
    }
}

fn drives(store: &Store) -> Result<Vec<Named<Drive>>, Failure> {
    let mut all = Vec::new();
    for drive in store.drives() {
        let Some(name) = present(drive.name())? else { continue };
        all.push(Named::drive(drive.uuid(), name, drive));
    }
    Ok(all)
}

fn snapshots(store: &Store) -> Result<Vec<Named<Snapshot>>, Failure> {
    let names: HashMap<Uuid, String> =
        drives(store)?.into_iter().map(|named| (named.candidate.uuid, named.candidate.name)).collect();
    let (mut all, mut shown) = (Vec::new(), store.snapshots());
    take_pins(&mut shown)?;
    for snapshot in shown {
        let Some(name) = present(snapshot.name())? else { continue };
        let drive = snapshot.drive_uuid();
        all.push(Named::snapshot(snapshot.uuid(), name, drive, names.get(&drive).cloned(), snapshot));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::{Candidate, Named, STORE, one};
    use crate::node::failure::FailureKind;
    use uuid::Uuid;

    const ALL: [(&str, &str, &str, &str); 6] = [
        ("drive", "aaaaaaaa-0000-4000-8000-000000000001", "db", ""),
        ("drive", "aaaaaaaa-0000-4000-8000-000000000002", "web", ""),
        ("snapshot", "bbbbbbbb-0000-4000-8000-000000000003", "night", "db"),
        ("snapshot", "cccccccc-0000-4000-8000-000000000004", "night", "web"),
        ("drive", "dddddddd-0000-4000-8000-000000000005", "bbbbbbbb-0000-4000-8000-000000000003", ""),
        ("drive", "eeeeeeee-0000-4000-8000-000000000006", "dddddddd", ""),
    ];

    fn check(word: &str, expected: Result<usize, FailureKind>) {
        let drive_uuid = |name: &str| ALL.iter().find(|row| row.2 == name).map(|row| row.1.parse::<Uuid>().expect("a uuid"));
        let all = ALL.iter().enumerate().map(|(index, (kind, uuid, name, drive))| Named {
            candidate: Candidate { kind, uuid: uuid.parse().expect("a uuid"), name: (*name).into(), drive: drive_uuid(drive) },
            drive_name: Some((*drive).into()),
            handle: index,
        });
        assert_eq!(one(word, "thing", STORE, all.collect()).map_err(|failure| failure.kind()), expected, "{word}");
    }

    #[test]
    fn a_word_means_one_thing_or_is_refused() {
        check("db", Ok(0));
        check("aaaaaaaa-0000-4000-8000-000000000002", Ok(1));
        check("AAAAAAAA00004000800000000000000" /* one digit short */, Err(FailureKind::Ambiguous));
        check("aaaaaaaa", Err(FailureKind::Ambiguous));
        check("cccccccc", Ok(3));
        check("CCCCCCCC-00", Ok(3));
        check("ccccccc", Err(FailureKind::NotFound));
        check("night", Err(FailureKind::Ambiguous));
        check("db@night", Ok(2));
        check("web@cccccccc", Ok(3));
        check("aaaaaaaa@night", Err(FailureKind::Ambiguous));
        check("aaaaaaaa-0000-4000-8000-000000000002@night", Ok(3));
        check("web@bbbbbbbb", Err(FailureKind::NotFound));
        check("", Err(FailureKind::NotFound));
        check("@", Err(FailureKind::NotFound));
    }

    #[test]
    fn a_whole_uuid_wins_over_a_name_and_a_prefix_does_not() {
        check("bbbbbbbb-0000-4000-8000-000000000003", Ok(2));
        check("dddddddd", Err(FailureKind::Ambiguous));
    }
}
