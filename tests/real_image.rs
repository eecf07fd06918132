//! Are the sizes right, and every byte, for a real file system's image?
//!
//! A real directory becomes an ext4 image, real changes make a second one of it; both go through the command. What a plain
//! comparison of the two files says is the judge.
#![cfg(feature = "node")]

mod cli_support;

use cli_support::{BLOCK, Bench, number, text};
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TOOLS: [&str; 3] = ["mkfs.ext4", "debugfs", "e2fsck"];

/// Files are copied until they make this much.
const FILES_BYTES: u64 = 48 << 20;

/// Larger ones would leave no room for many.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Runs one of e2fsprogs' tools, which often lie where ordinary users do not look.
fn tool(name: &str, args: &[&str]) -> std::io::Result<Output> {
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    Command::new("env").arg(format!("PATH={path}")).arg(name).args(args).env("LC_ALL", "C").output()
}

fn tools_missing() -> Option<&'static str> {
    // All three print their version, and none of them fails with 127, which is `env`'s word for "no such program".
    TOOLS.into_iter().find(|name| tool(name, &["-V"]).is_ok_and(|output| output.status.code() == Some(127)))
}

fn run_tool(name: &str, args: &[&str], accepted: &[i32]) -> String {
    let output = tool(name, args).expect("the tool starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let code = output.status.code();
    assert!(code.is_some_and(|code| accepted.contains(&code)), "{name} {args:?}: {code:?}: {said}");
    said
}

/// Copies regular files of `from` below `to` until `left` is used up.
fn copy_some(from: &Path, to: &Path, left: &mut u64) {
    let Ok(entries) = fs::read_dir(from) else { return };
    let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(kind) = entry.file_type() else { continue };
        let target = to.join(entry.file_name());
        if kind.is_dir() && *left > 0 {
            fs::create_dir_all(&target).expect("a directory");
            copy_some(&entry.path(), &target, left);
        } else if kind.is_file() && entry.metadata().is_ok_and(|data| data.len() <= FILE_BYTES_MAX.min(*left)) {
            // A file that may not be read is none of ours.
            *left -= fs::copy(entry.path(), &target).unwrap_or(0);
        }
    }
}

/// A directory of real files: this crate's sources, and what the system has of documents and programs' data.
fn real_directory(bench: &Bench) -> PathBuf {
    let directory = bench.path("files");
    let mut left = FILES_BYTES;
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for (name, from) in [
        ("src", sources.join("src")),
        ("doc", "/usr/share/doc".into()),
        ("share", "/usr/share".into()),
        ("lib", "/usr/lib".into()),
    ] {
        let to = directory.join(name);
        fs::create_dir_all(&to).expect("a directory");
        copy_some(&from, &to, &mut left);
    }
    directory
}

/// Paths of the files below `directory`, as the image names them.
fn files(directory: &Path, below: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable")) {
        let name = format!("{below}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().expect("known").is_dir() {
            files(&entry.path(), &name, found);
        } else if !name.contains(['"', ' ', '\\', '\u{fffd}']) {
            found.push(name);
        }
    }
}

/// Deletes every fifth file, replaces every seventh, adds a few, and gives back the space of the deleted ones.
fn change(bench: &Bench, directory: &Path, image: &str) {
    let mut names = Vec::new();
    files(directory, "", &mut names);
    names.sort();
    assert!(names.len() > 20, "too few files for a test: {}", names.len());
    let (mut script, replacement) = (String::new(), bench.path("replacement"));
    fs::write(&replacement, "what used to be here is gone\n".repeat(300)).expect("written");
    for (index, name) in names.iter().enumerate() {
        if index % 5 == 0 || index % 7 == 0 {
            writeln!(script, "rm \"{name}\"").expect("a String takes everything");
        }
        if index % 7 == 0 {
            writeln!(script, "write {} \"{name}\"", replacement.display()).expect("a String takes everything");
        }
    }
    for index in 0..20 {
        writeln!(script, "write {} new-{index}", replacement.display()).expect("a String takes everything");
    }
    let commands = bench.path("commands");
    fs::write(&commands, script).expect("written");
    run_tool("debugfs", &["-w", "-f", commands.to_str().expect("text"), image], &[0]);
    // 1 means that it repaired something: debugfs leaves counts to it.
    run_tool("e2fsck", &["-fp", image], &[0, 1]);
    // As `fstrim` would: the blocks of deleted files become holes. e2fsck does so only if it has nothing to repair.
    run_tool("e2fsck", &["-fp", "-E", "discard", image], &[0]);
}

/// What a plain comparison says, in blocks.
#[derive(Debug, Default, PartialEq)]
struct Compared {
    /// Differ, and were not zero in the first image: what a snapshot of the first holds.
    lost: u64,
    /// Differ.
    differing: u64,
    /// Not zero in the first image.
    first: u64,
    /// Not zero in the second image.
    second: u64,
    /// Differ, and are not zero in the second image.
    added: u64,
}

fn compare(first: &[u8], second: &[u8]) -> Compared {
    assert_eq!(first.len(), second.len());
    let mut compared = Compared::default();
    let zero = [0; BLOCK];
    for (old, new) in first.chunks(BLOCK).zip(second.chunks(BLOCK)) {
        compared.lost += u64::from(old != new && old != zero);
        compared.differing += u64::from(old != new);
        compared.first += u64::from(old != zero);
        compared.second += u64::from(new != zero);
        compared.added += u64::from(old != new && new != zero);
    }
    compared
}

#[test]
fn a_real_image_keeps_every_byte_and_its_snapshot_the_exact_size() {
    if let Some(missing) = tools_missing() {
        assert!(env::var_os("CI").is_none(), "{missing} is missing: install e2fsprogs");
        eprintln!("SKIPPED: a_real_image_keeps_every_byte_and_its_snapshot_the_exact_size: {missing} is missing (e2fsprogs)");
        return;
    }
    let bench = Bench::with_capacity("1G");
    let directory = real_directory(&bench);
    let [first, second] = ["first.raw", "second.raw"].map(|name| bench.path(name).to_str().expect("text").to_owned());
    run_tool("mkfs.ext4", &["-q", "-F", "-d", directory.to_str().expect("text"), &first, "128M"], &[0]);
    run_tool("e2fsck", &["-fn", &first], &[0]);
    fs::copy(&first, &second).expect("copied");
    change(&bench, &directory, &second);
    let [old, new] = [&first, &second].map(|path| fs::read(path).expect("read"));
    let compared = compare(&old, &new);
    assert!(compared.lost > 100 && compared.added > 100 && compared.differing > compared.added, "no real changes: {compared:?}");

    bench.ok(&["drive", "import", "vm", &first]);
    assert_eq!(bench.data_blocks(), compared.first);
    bench.ok(&["snapshot", "create", "vm", "--name", "before"]);
    assert_eq!(bench.blocks("snapshot", "before", "allocated_size"), 0);
    bench.ok(&["drive", "import", "vm", &second, "--overwrite"]);
    for field in ["allocated_size", "charged_size", "exclusive_size"] {
        assert_eq!(bench.blocks("snapshot", "before", field), compared.lost, "{field}: {compared:?}");
    }
    assert_eq!(bench.blocks("snapshot", "before", "referenced_size"), compared.first);
    assert_eq!(bench.blocks("drive", "vm", "referenced_size"), compared.second);
    assert_eq!(bench.data_blocks(), compared.first + compared.added);
    let changes = bench.json(&["snapshot", "diff", "before", "vm"]);
    let changed: u64 = changes.as_array().expect("an array").iter().map(|change| number(change, "length")).sum();
    assert_eq!(changed, compared.differing * BLOCK as u64);

    bench.ok(&["clone", "vm@before", "--name", "copy"]);
    assert_eq!(bench.data_blocks(), compared.first + compared.added);
    for (word, expected) in [("copy", &old), ("before", &old), ("vm", &new)] {
        let out = bench.path(&format!("{word}.out"));
        bench.ok(&["drive", "export", word, out.to_str().expect("text")]);
        assert!(fs::read(&out).expect("read") == *expected, "{word} is not byte-identical");
        let said = run_tool("e2fsck", &["-fn", out.to_str().expect("text")], &[0]);
        assert!(!said.contains("FIXED") && !said.contains("WARNING"), "{said}");
        let piped = bench.run(&["drive", "export", word, "-"]);
        assert!(piped.stdout == *expected, "{word} through a pipe: {}", text(&piped.stderr));
    }
    bench.check_clean();

    bench.ok(&["drive", "delete", "vm"]);
    bench.ok(&["snapshot", "delete", "before"]);
    assert_eq!(bench.data_blocks(), compared.first, "the clone alone holds what it was made of");
    bench.check_clean();
    bench.ok(&["drive", "delete", "copy"]);
    let info = bench.json(&["store", "info"]);
    assert_eq!((number(&info, "data_size"), number(&info, "reclaiming")), (0, 0));
    bench.check_clean();
}
