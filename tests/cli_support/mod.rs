//! How do tests run the command, and how do they write down images?
//!
//! Images are pictures: one letter per 4 KiB block, `.` for zeroes, so `"AB.A"` has four blocks.
#![allow(dead_code)] // Each test binary uses its own part of this.

use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// Bytes per letter of a picture.
pub const BLOCK: usize = 4096;

/// A directory with an empty store in it.
pub struct Bench {
    pub dir: TempDir,
}

impl Bench {
    /// A store of 256 MiB.
    pub fn new() -> Self {
        Self::with_capacity("256M")
    }

    pub fn with_capacity(capacity: &str) -> Self {
        let bench = Self { dir: tempfile::tempdir().expect("a directory") };
        bench.ok(&["store", "create", "--capacity", capacity]);
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("vms.floe")
    }

    /// The command, in the directory, with the store in the environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
        command.args(args).current_dir(self.dir.path()).env("FLOE_STORE", self.store()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the command starts")
    }

    /// Runs a command that must end well; returns its stdout.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(code(&output), 0, "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// The same with `--json`.
    pub fn json(&self, args: &[&str]) -> Value {
        let stdout = self.ok(&[&["--json"], args].concat());
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {stdout}"))
    }

    /// Runs a command that must end with `expected`; returns its stderr.
    pub fn fails(&self, args: &[&str], expected: i32) -> String {
        let output = self.run(args);
        assert_eq!(code(&output), expected, "{args:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{args:?}");
        text(&output.stderr)
    }

    /// Writes the picture to a file, with holes for zeroes.
    pub fn image(&self, name: &str, picture: &str) -> String {
        let path = self.path(name);
        write_sparse(&path, &bytes(picture));
        path.to_str().expect("text").to_owned()
    }

    /// The picture of a drive or snapshot.
    pub fn picture(&self, word: &str) -> String {
        let output = self.run(&["drive", "export", word, "-"]);
        assert_eq!(code(&output), 0, "{word}: {}", text(&output.stderr));
        picture(&output.stdout)
    }

    /// A size of `drive show` or `snapshot show`, in blocks.
    pub fn blocks(&self, noun: &str, word: &str, field: &str) -> u64 {
        let size = number(&self.json(&[noun, "show", word]), field);
        assert_eq!(size % BLOCK as u64, 0, "{field}");
        size / BLOCK as u64
    }

    /// Data that the store holds, in blocks.
    pub fn data_blocks(&self) -> u64 {
        number(&self.json(&["store", "info"]), "data_size") / BLOCK as u64
    }

    pub fn check_clean(&self) {
        assert!(self.ok(&["store", "check"]).ends_with("clean\n"));
    }
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed: {}", output.status))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

pub fn number(object: &Value, field: &str) -> u64 {
    object[field].as_u64().unwrap_or_else(|| panic!("{field} of {object}"))
}

pub fn string<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_else(|| panic!("{field} of {object}"))
}

pub fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap_or_else(|| panic!("an object: {object}")).keys().map(String::as_str).collect()
}

pub fn bytes(picture: &str) -> Vec<u8> {
    picture.bytes().flat_map(|letter| [if letter == b'.' { 0 } else { letter }; BLOCK]).collect()
}

/// The picture of an image; `?` for a block that no picture has.
pub fn picture(image: &[u8]) -> String {
    let letter = |block: &[u8]| match block[0] {
        first if block.iter().any(|byte| *byte != first) => '?',
        0 => '.',
        first => char::from(first),
    };
    image.chunks(BLOCK).map(letter).collect()
}

/// Writes a file whose blocks of zeroes are holes.
pub fn write_sparse(path: &Path, image: &[u8]) {
    let file = File::create(path).expect("a file");
    file.set_len(image.len() as u64).expect("sized");
    for (index, block) in image.chunks(BLOCK).enumerate().filter(|(_, block)| block.iter().any(|byte| *byte != 0)) {
        file.write_all_at(block, (index * BLOCK) as u64).expect("written");
    }
}

/// Bytes of disk that a file takes.
pub fn disk_bytes(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(&fs::metadata(path).expect("a file")) * 512
}
