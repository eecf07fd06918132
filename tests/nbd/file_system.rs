//! How does a file system get onto a drive: nbdfuse shows the export as a file, and a loop device makes a disk of it?
//!
//! Each case runs in a process of its own with mounts and processes of its own, which are gone with it, however it ends.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Bench, PATIENCE, Running, command, run, run_within, until};

/// Names the case that the child shall run.
const CASE: &str = "FLOE_NBD_CASE";

/// Tools that every case needs.
const TOOLS: [&str; 6] = ["nbdfuse", "losetup", "mount", "umount", "fstrim", "unshare"];

/// What a file system of that kind is made with, and looked at with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Ext4,
    Xfs,
}

impl Kind {
    pub fn tools(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["mkfs.ext4", "e2fsck", "dumpe2fs"],
            Self::Xfs => &["mkfs.xfs", "xfs_repair", "xfs_logprint"],
        }
    }
}

/// What is missing, if anything is.
fn missing(tools: &[&str]) -> Option<String> {
    // Whoever may not mount may not do this either.
    let said = command("unshare", &["--mount", "--propagation", "private", "true"]).output().expect("env starts");
    if !said.status.success() {
        return Some("root".to_owned());
    }
    if !Path::new("/dev/fuse").exists() || !Path::new("/dev/loop-control").exists() {
        return Some("FUSE and loop devices".to_owned());
    }
    let is_there =
        |name: &str| command("sh", &["-c", "command -v $0", name]).output().is_ok_and(|output| output.status.success());
    tools.iter().find(|name| !is_there(name)).map(|name| (*name).to_owned())
}

/// Runs `case` in a child that may mount what it likes; says loudly if that cannot be, and fails where it must be.
pub fn with_mounts(test: &str, kind: Kind, case: impl FnOnce()) {
    if env::var_os(CASE).is_some_and(|name| name == test) {
        return case();
    }
    let tools = [&TOOLS, kind.tools()].concat();
    if let Some(missing) = missing(&tools) {
        assert!(env::var_os("CI").is_none(), "{test} needs {missing}");
        eprintln!("SKIPPED: {test} needs {missing}");
        return;
    }
    let program = env::current_exe().expect("a test program has a path");
    let apart = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let (case, program) = (format!("{CASE}={test}"), program.to_str().expect("text"));
    let args = [&apart[..], &["env", &case, program, test, "--exact", "--nocapture"]].concat();
    let said = run_within(PATIENCE * 2, "unshare", &args).ok();
    assert!(said.contains("1 passed"), "{test}: {said}");
}

/// An export as a block device.
pub struct Disk {
    /// The loop device.
    pub device: String,
    directory: PathBuf,
    fuse: Option<Running>,
}

impl Disk {
    /// Only within [`with_mounts`].
    pub fn new(bench: &Bench, export: &str) -> Self {
        assert!(env::var_os(CASE).is_some(), "mounts are made in a child");
        let directory = PathBuf::from(bench.path(&format!("{export}.fuse")));
        fs::create_dir(&directory).expect("a directory");
        let (file, pid) = (directory.join("disk"), bench.path(&format!("{export}.pid")));
        let fuse = Running::start("nbdfuse", &["--pidfile", &pid, file.to_str().expect("text"), &bench.uri(export)]);
        until("nbdfuse has mounted", || Path::new(&pid).exists()).expect("it mounts");
        let mut args = vec!["--find", "--show", file.to_str().expect("text")];
        if export.contains('@') {
            args.push("--read-only");
        }
        let device = run("losetup", &args).ok().trim().to_owned();
        Self { device, directory, fuse: Some(fuse) }
    }

    pub fn format(&self, kind: Kind) {
        match kind {
            Kind::Ext4 => run("mkfs.ext4", &["-q", "-F", &self.device]).ok(),
            Kind::Xfs => run("mkfs.xfs", &["-q", "-f", &self.device]).ok(),
        };
    }

    /// The file system, which is not mounted now, is as its own tool wants it.
    pub fn is_clean(&self, kind: Kind) {
        match kind {
            Kind::Ext4 => run("e2fsck", &["-f", "-n", &self.device]).ok(),
            Kind::Xfs => run("xfs_repair", &["-n", &self.device]).ok(),
        };
    }

    /// Was it cut off while it was in use, so that its journal has something to tell?
    pub fn wants_replay(&self, kind: Kind) -> bool {
        match kind {
            Kind::Ext4 => run("dumpe2fs", &["-h", &self.device]).ok().contains("needs_recovery"),
            Kind::Xfs => run("xfs_logprint", &["-t", &self.device]).ok().contains("<DIRTY>"),
        }
    }

    /// Takes the disk away in good order: all that was written is in the drive now.
    pub fn detach(mut self) {
        run("losetup", &["--detach", &self.device]).ok();
        self.device.clear();
        let mounted = self.directory.to_str().expect("text");
        // The kernel lets go of a loop device's file in its own time.
        until("nbdfuse can be unmounted", || run("umount", &[mounted]).is_ok()).expect("it can");
        self.fuse.take().expect("it runs").end();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Without its process the file says EIO, so nobody waits for it for ever.
        if self.fuse.take().is_some() {
            if !self.device.is_empty() {
                run("losetup", &["--detach", &self.device]);
            }
            run("umount", &["--lazy", self.directory.to_str().expect("text")]);
        }
    }
}

/// A file system that is mounted.
pub struct Mount {
    pub path: PathBuf,
}

impl Mount {
    pub fn new(bench: &Bench, disk: &Disk, kind: Kind, name: &str) -> Self {
        Self::with(bench, disk, kind, name, "rw")
    }

    /// Of a disk that takes no writes.
    pub fn read_only(bench: &Bench, disk: &Disk, kind: Kind, name: &str) -> Self {
        Self::with(bench, disk, kind, name, "ro,norecovery")
    }

    fn with(bench: &Bench, disk: &Disk, kind: Kind, name: &str, options: &str) -> Self {
        let path = PathBuf::from(bench.path(name));
        fs::create_dir_all(&path).expect("a directory");
        // XFS takes no second file system with the identity of a mounted one, as a clone has.
        let options = if kind == Kind::Xfs { format!("{options},nouuid") } else { options.to_owned() };
        run("mount", &["-o", &options, &disk.device, path.to_str().expect("text")]).ok();
        Self { path }
    }

    pub fn sync(&self) {
        run("sync", &["--file-system", self.path.to_str().expect("text")]).ok();
    }

    pub fn trim(&self) {
        run("fstrim", &[self.path.to_str().expect("text")]).ok();
    }

    pub fn unmount(mut self) {
        run("umount", &[self.path.to_str().expect("text")]).ok();
        self.path.clear();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            run("umount", &["--lazy", self.path.to_str().expect("text")]);
        }
    }
}
