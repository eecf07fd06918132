//! What does the guest boot from?
//!
//! An ext4 root with a busybox and a shell script for `init`, made without mounting anything, and the first file system that
//! loads the drive's modules and goes over to that root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `.ci/guest-tools` puts the kernel unless told otherwise: `guest` in cargo's target directory.
const DEFAULT_KERNEL: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/../guest/vmlinuz");

pub const IMAGE_BYTES: u64 = 96 << 20;

/// What a guest may call; each is a link to busybox.
const APPLETS: &str =
    "cat cmp dd dmesg echo find fstrim grep kill mkdir mount mv poweroff rm seq sh sha256sum sort stty sync true xargs";

const FIRST_INIT: &str = "#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev || exit
for module in /modules/*; do /bin/busybox insmod $module || exit; done
/bin/busybox mount -t ext4 /dev/vda /root || exit
exec /bin/busybox switch_root /root /sbin/init
";

/// Runs each line that it is sent, and says what came of it. Whoever sends the lines sees no echo of them.
const INIT: &str = "#!/bin/sh
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
stty -echo
echo 'guest: ready'
while read -r line; do
    eval \"$line\"
    echo \"guest: result $?\"
done
";

/// The kernel, and what `.ci/guest-tools` puts beside it.
pub struct Boot {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    /// The image of a drive.
    pub image: PathBuf,
}

/// The kernel's place if there is one.
pub fn kernel() -> Result<PathBuf, String> {
    let place = std::env::var_os("FLOE_GUEST_KERNEL").map_or_else(|| DEFAULT_KERNEL.into(), PathBuf::from);
    match place.with_file_name("busybox").exists() && place.exists() {
        true => Ok(place),
        false => Err(format!("no kernel with a busybox beside it at {} (FLOE_GUEST_KERNEL)", place.display())),
    }
}

impl Boot {
    /// Makes both file systems in `directory`. The guest will find `data` in its root.
    pub fn make(kernel: &Path, directory: &Path, data: impl FnOnce(&Path)) -> Self {
        let (initrd, image) = (directory.join("initrd"), directory.join("golden.raw"));
        fs::write(&initrd, first_file_system(kernel)).expect("written");

        let root = directory.join("root");
        for name in ["bin", "sbin", "dev", "proc", "data"] {
            fs::create_dir_all(root.join(name)).expect("a directory");
        }
        fs::copy(kernel.with_file_name("busybox"), root.join("bin/busybox")).expect("copied");
        for applet in APPLETS.split(' ') {
            symlink("busybox", root.join("bin").join(applet)).expect("a link");
        }
        let init = root.join("sbin/init");
        fs::write(&init, INIT).expect("written");
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).expect("executable");
        data(&root.join("data"));

        fs::File::create(&image).and_then(|file| file.set_len(IMAGE_BYTES)).expect("a file");
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let made = Command::new("mke2fs")
            .env("PATH", path)
            .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-d"])
            .args([&root, &image])
            .output()
            .expect("mke2fs starts");
        assert!(made.status.success(), "mke2fs: {}", String::from_utf8_lossy(&made.stderr));
        Self { kernel: kernel.to_owned(), initrd, image }
    }
}

/// A cpio archive, in the form that the kernel calls newc.
fn first_file_system(kernel: &Path) -> Vec<u8> {
    const DIRECTORY: u32 = 0o040_755;
    const PROGRAM: u32 = 0o100_755;
    let mut archive = Archive::default();
    for name in ["bin", "dev", "modules", "root"] {
        archive.add(name, DIRECTORY, &[]);
    }
    archive.add("init", PROGRAM, FIRST_INIT.as_bytes());
    archive.add("bin/busybox", PROGRAM, &fs::read(kernel.with_file_name("busybox")).expect("readable"));
    // Their names are in the order in which they are to be loaded.
    let mut modules: Vec<_> = fs::read_dir(kernel.with_file_name("modules"))
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("readable").path())
        .collect();
    modules.sort();
    for module in modules {
        let name = module.file_name().expect("a file").to_string_lossy();
        archive.add(&format!("modules/{name}"), PROGRAM, &fs::read(&module).expect("readable"));
    }
    archive.add("TRAILER!!!", 0, &[]);
    archive.bytes
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: usize,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let (inode, size, name_size) = (self.entries, content.len(), name.len() + 1);
        // Inode, mode, owner, group, links, time, size, four device numbers, length of the name, no checksum.
        let header =
            format!("070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:032x}{name_size:08x}{0:08x}", 0, 1);
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
