//! What does a process leave in a directory that was killed while it put an object there?
//!
//! The client of object stores writes a file `NAME#1`, or the next number that is free, and renames it. No list shows such files, and nobody
//! could delete one by its name.

use super::repository::{MARK, index, keys, manifest};
use super::session::DEAD_SECONDS;
use super::{doomed, lease, mark, session};
use crate::node::failure::Failure;
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Where objects are put; what else is in the directory is somebody else's.
const DIRECTORIES: [&str; 8] = [
    keys::DIRECTORY,
    manifest::DIRECTORY,
    index::DIRECTORY,
    mark::PACKS,
    session::DIRECTORY,
    doomed::DIRECTORY,
    lease::DIRECTORY,
    lease::PROBES,
];

/// Removes those that nobody writes any more.
///
/// # Errors
/// `Io`, `Denied`
pub fn remove(directory: &Path, now: i64) -> Result<(), Failure> {
    let all = || {
        DIRECTORIES.into_iter().try_for_each(|name| remove_below(&directory.join(name), now))?;
        remove_in(directory, now, &|name| name == MARK).map(drop)
    };
    all().map_err(|error: io::Error| Failure::io(format!("tidy {} up", directory.display()), error))
}

fn remove_below(directory: &Path, now: i64) -> io::Result<()> {
    remove_in(directory, now, &|_| true)?.iter().try_for_each(|below| remove_below(below, now))
}

/// Removes those in a directory whose names are meant; the directories in it.
fn remove_in(directory: &Path, now: i64, is_meant: &dyn Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut below = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(below),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            below.push(entry.path());
        } else if is_half(&entry.file_name(), is_meant) {
            match is_old(&entry, now).and_then(|old| if old { fs::remove_file(entry.path()) } else { Ok(()) }) {
                // Whoever wrote it has renamed it.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                done => done?,
            }
        }
    }
    Ok(below)
}

fn is_half(name: &OsStr, is_meant: &dyn Fn(&str) -> bool) -> bool {
    let parts = name.to_str().and_then(|name| name.rsplit_once('#'));
    parts.is_some_and(|(name, number)| is_meant(name) && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_old(entry: &DirEntry, now: i64) -> io::Result<bool> {
    let modified = entry.metadata()?.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    Ok(modified + DEAD_SECONDS < now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn only_old_halves_of_objects_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let now = 1_800_000_000;
        let make = |name: &str, age: i64| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            let time = UNIX_EPOCH + std::time::Duration::from_secs((now - age) as u64);
            File::create(&path).expect("a file").set_modified(time).expect("a time");
            path
        };
        let old = DEAD_SECONDS + 1;
        let gone = ["packs/ab/abc#1", "lease/00#12", "probe/x/time#1", "floe-repository#1"].map(|name| make(name, old));
        let kept = ["packs/ab/abc", "packs/ab/abc#", "packs/ab/abc#1x", "floe-repository", "notes#1", "mine/packs#1"];
        let kept = kept.map(|name| make(name, old)).into_iter().chain([make("packs/ab/new#1", DEAD_SECONDS)]);
        remove(directory.path(), now).expect("removed");
        gone.iter().for_each(|path| assert!(!path.exists(), "{} stays", path.display()));
        kept.for_each(|path| assert!(path.exists(), "{} is gone", path.display()));
    }
}
