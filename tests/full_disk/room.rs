//! Where is little room, and who takes it?
//!
//! Each case that mounts something runs in a process of its own with mounts of its own, which are gone with it, however it ends.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the case that the child shall run.
const CASE: &str = "FLOE_FULL_DISK_CASE";

/// A small file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tmpfs,
    /// In an image behind a loop device.
    Ext4,
}

/// Both kinds.
pub const KINDS: [Kind; 2] = [Kind::Tmpfs, Kind::Ext4];

/// A small file system that is mounted.
pub struct Room {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

fn command(name: &str, args: &[&str]) -> Command {
    // The tools often lie where ordinary users do not look.
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let mut command = Command::new("env");
    command.arg(format!("PATH={path}")).arg(name).args(args).env("LC_ALL", "C");
    command
}

fn run(name: &str, args: &[&str]) {
    let output = command(name, args).output().expect("env starts");
    assert!(output.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What is missing to mount something, if anything is.
fn missing() -> Option<String> {
    let tries: [(&str, &[&str]); 2] = [("unshare", &["--mount", "--propagation", "private", "true"]), ("mkfs.ext4", &["-V"])];
    tries.into_iter().find_map(|(name, args)| {
        let output = command(name, args).output().expect("env starts");
        (!output.status.success()).then(|| format!("{name} fails: {}", String::from_utf8_lossy(&output.stderr).trim()))
    })
}

/// Runs `case` in a child that may mount what it likes; says loudly if that cannot be, and fails where it must be.
pub fn with_mounts(test: &str, case: impl FnOnce()) {
    if env::var_os(CASE).is_some_and(|name| name == test) {
        return case();
    }
    if let Some(missing) = missing() {
        assert!(env::var_os("CI").is_none(), "{test}: {missing}; it takes root, util-linux and e2fsprogs");
        eprintln!("SKIPPED: {test}: {missing}; it takes root, util-linux and e2fsprogs");
        return;
    }
    let program = env::current_exe().expect("a test program has a path");
    let program = program.to_str().expect("text");
    let args = ["--mount", "--propagation", "private", program, test, "--exact", "--nocapture"];
    let output = command("unshare", &args).env(CASE, test).output().expect("env starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{test}: {}: {said}", output.status);
}

impl Room {
    /// Mounts a file system of `mebibytes`. Only within [`with_mounts`].
    pub fn new(kind: Kind, mebibytes: u64) -> Self {
        assert!(env::var_os(CASE).is_some(), "mounts are made in a child");
        let directory = tempfile::tempdir().expect("a directory");
        let made = |name: &str| {
            let path = directory.path().join(name);
            fs::create_dir(&path).expect("a directory");
            path.to_str().expect("text").to_owned()
        };
        let (memory, path) = (made("memory"), made("room"));
        match kind {
            Kind::Tmpfs => run("mount", &["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs", &path]),
            Kind::Ext4 => {
                // The image lies in memory too, so that syncs cost little.
                run("mount", &["-t", "tmpfs", "-o", &format!("size={}m", mebibytes + 8), "tmpfs", &memory]);
                let image = format!("{memory}/image");
                run("mkfs.ext4", &["-q", "-F", "-m", "0", &image, &format!("{mebibytes}M")]);
                run("mount", &["-o", "loop", &image, &path]);
            }
        }
        Self { path: path.into(), _directory: directory }
    }

    /// Where the store lies.
    pub fn store(&self) -> PathBuf {
        self.path.join("store.floe")
    }

    /// Somebody else takes all room but about `left` bytes, or gives back so much of what he took.
    pub fn leave(&self, left: u64) {
        let path = self.path.join("somebody-else");
        let mut file = File::options().create(true).append(true).open(&path).expect("a file");
        let chunk = [7; 4096];
        while file.write_all(&chunk).is_ok() {}
        let len = file.metadata().expect("a length").len();
        file.set_len(len.saturating_sub(left)).expect("shorter");
        file.sync_all().expect("what was given back is free");
    }

    /// Somebody else gives back all that he took.
    pub fn leave_all(&self) {
        remove(&self.path.join("somebody-else"));
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }
    let directory = File::open(path.parent().expect("a directory")).expect("a directory");
    directory.sync_all().expect("what was given back is free");
}

impl Drop for Room {
    fn drop(&mut self) {
        // Lazily: whoever failed may still have the store open. What is left goes with the child.
        for name in ["room", "memory"] {
            let path = self.path.with_file_name(name);
            drop(command("umount", &["-l", path.to_str().expect("text")]).output());
        }
    }
}
