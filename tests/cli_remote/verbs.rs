//! Does every verb say the same of a store and of a node?

use super::both::Both;
use super::cli_support::{BLOCK, bytes, picture, text};
use std::fs;

/// Two blocks, a hole of 2 MiB, and a block, and less than one.
fn image() -> Vec<u8> {
    let mut image = bytes(&format!("AB{}C", ".".repeat(512)));
    image.extend([b'D'; 1024]);
    image
}

/// Drives and snapshots in all ways that are listed and shown.
fn look(both: &Both) {
    for list in [["drive", "list"], ["snapshot", "list"]] {
        both.same(&list, 0);
        both.same(&[&["--json"], &list[..]].concat(), 0);
        both.same(&[&["--quiet"], &list[..]].concat(), 0);
    }
}

#[test]
fn drives_are_made_shown_changed_and_deleted_alike() {
    let both = Both::new();
    look(&both);
    for args in [
        &["drive", "create", "web", "--size", "64M"][..],
        &["drive", "create", "db", "--size", "4097K"],
        &["drive", "show", "web"],
        &["--json", "drive", "show", "web"],
        &["--quiet", "drive", "show", "web"],
        &["drive", "resize", "web", "--size", "96M"],
        &["drive", "resize", "web", "--size", "96M"],
        &["drive", "multimount", "web", "on"],
        &["drive", "multimount", "web", "off"],
        &["drive", "rename", "db", "db \"é\" @ 1"],
        &["--json", "drive", "rename", "db \"é\" @ 1", "db"],
        // A second one of that name is noted.
        &["drive", "create", "db", "--size", "1M"],
        &["--json", "drive", "create", "other", "--size", "1M"],
        &["drive", "delete", "other"],
        &["--json", "drive", "delete", "web"],
    ] {
        both.same(args, 0);
        look(&both);
    }
    both.same(&["drive", "show", "db"], 4);
    both.same(&["--json", "drive", "show", "db"], 4);
    both.same(&["drive", "show", "nothing"], 3);
    both.same(&["drive", "show", "abc"], 3);
    both.same(&["--json", "drive", "delete", "web"], 3);
    both.same(&["drive", "rename", "nothing", "something"], 3);
    let uuid = text(&both.same(&["--quiet", "drive", "create", "one", "--size", "8M"], 0).stdout);
    for name in ["one", uuid.trim(), &uuid[..8]] {
        let shown =
            super::both::on_node(&both.beside, &both.url(), &["--quiet", "drive", "show", name]).output().expect("it runs");
        assert_eq!(text(&shown.stdout), uuid, "{name}");
    }
    both.both_fail(&["drive", "resize", "one", "--size", "4M"], 2);
    both.both_fail(&["drive", "create", "tiny", "--size", "1"], 2);
    both.both_fail(&["drive", "create", &"n".repeat(256), "--size", "1M"], 2);
    look(&both);
    both.node.finish();
}

#[test]
fn images_go_in_and_out_alike() {
    let both = Both::new();
    both.image("monday.raw", &image());
    let mut tuesday = image();
    tuesday[5000] = b'x';
    tuesday[..4096].fill(0);
    both.image("tuesday.raw", &tuesday);
    both.image("longer.raw", &bytes(&format!("ABC{}D", ".".repeat(700))));
    both.image("empty.raw", b"");
    both.same(&["drive", "import", "web", "monday.raw"], 0);
    both.same(&["drive", "import", "web", "monday.raw"], 5);
    both.same(&["drive", "import", "new", "missing.raw"], 3);
    both.same(&["drive", "import", "nothing", "monday.raw", "--overwrite"], 3);
    both.same(&["drive", "import", "small", "monday.raw", "--size", "1M"], 2);
    both.same(&["drive", "import", "large", "monday.raw", "--size", "4M"], 0);
    both.same(&["--json", "drive", "import", "empty", "empty.raw"], 0);
    both.same_with(&["drive", "import", "piped", "-", "--size", "4M"], Some("monday.raw"), 0);
    // It was told too late that it does not fit, and nothing is left of it.
    both.same_with(&["drive", "import", "burst", "-", "--size", "1M"], Some("monday.raw"), 2);
    both.same(&["snapshot", "create", "web", "--name", "monday"], 0);
    both.same(&["drive", "import", "web", "tuesday.raw", "--overwrite"], 0);
    look(&both);
    both.same(&["drive", "import", "web", "longer.raw", "--overwrite"], 0);
    look(&both);

    for word in ["web", "web@monday", "large", "piped"] {
        both.same(&["drive", "export", word, "out.raw"], 0);
        both.same(&["drive", "export", word, "out.raw"], 5);
        both.same(&["--json", "drive", "export", word, "out.raw", "--force"], 0);
        let local = fs::read(both.store.path("out.raw")).expect("a file");
        assert!(local == fs::read(both.beside.path("out.raw")).expect("a file"), "{word}");
        let streamed = both.same(&["drive", "export", word, "-"], 0);
        assert!(streamed.stdout == local, "{word}");
        for bench in [&both.store, &both.beside] {
            fs::remove_file(bench.path("out.raw")).expect("removed");
        }
    }
    let came =
        super::both::on_node(&both.beside, &both.url(), &["drive", "export", "web@monday", "-"]).output().expect("it runs");
    assert!(came.stdout == image(), "{}", picture(&came.stdout));
    // Four blocks each: the snapshot, its drive, whose three images came over each other, and two other drives.
    assert_eq!(both.node.finish()["data_size"], 16 * BLOCK);
}

#[test]
fn snapshots_and_clones_are_made_shown_changed_and_deleted_alike() {
    let both = Both::new();
    both.image("monday.raw", &bytes("ABCD"));
    both.image("tuesday.raw", &bytes("AXXD"));
    both.image("friday.raw", &bytes("A..E"));
    both.same(&["drive", "import", "web", "monday.raw"], 0);
    both.same(&["drive", "import", "db", "monday.raw"], 0);
    for args in [
        &["snapshot", "create", "web", "--name", "monday"][..],
        &["--json", "snapshot", "create", "db", "--name", "monday"],
        &["drive", "import", "web", "tuesday.raw", "--overwrite"],
        &["snapshot", "group", "web", "db", "--name", "night"],
        &["drive", "import", "web", "friday.raw", "--overwrite"],
        &["snapshot", "create", "web"],
        &["--json", "snapshot", "group", "web", "--name", "late"],
        &["snapshot", "show", "web@monday"],
        &["--json", "snapshot", "show", "web@monday"],
        &["snapshot", "list", "db"],
        &["clone", "web@monday", "--name", "web-test"],
        &["--json", "clone", "web@night", "--name", "web-test"],
        &["snapshot", "rename", "db@monday", "first"],
        &["--json", "snapshot", "rename", "first", "second"],
        &["drive", "show", "web"],
        &["snapshot", "delete", "second"],
        &["--json", "snapshot", "delete", "web@late", "web@night", "web@late"],
        &["drive", "delete", "web", "--snapshots"],
        &["--json", "drive", "delete", "db", "--snapshots", "--no-reclaim"],
    ] {
        both.same(args, 0);
        look(&both);
    }
    both.same(&["snapshot", "show", "nothing"], 3);
    both.same(&["snapshot", "create", "nothing"], 3);
    both.same(&["snapshot", "list", "nothing"], 3);
    both.same(&["clone", "nothing", "--name", "x"], 3);
    both.same(&["clone", "web-test", "--name", "x"], 3);
    both.same(&["drive", "import", "one", "monday.raw"], 0);
    both.same(&["snapshot", "create", "one", "--name", "a"], 0);
    both.same(&["snapshot", "create", "one", "--name", "a"], 0);
    both.same(&["snapshot", "show", "one@a"], 4);
    // A word that means nothing deletes nothing.
    both.same(&["snapshot", "create", "one", "--name", "b"], 0);
    both.same(&["snapshot", "delete", "b", "nothing"], 3);
    both.both_fail(&["snapshot", "group", "one", "one", "--name", "twice"], 2);
    look(&both);
    both.node.finish();
}
