//! Are the sizes that HTTP shows those of the bytes that NBD wrote?
//!
//! A letter is what a block of 4 KiB is filled with; `.` is a hole.

use std::os::unix::net::UnixStream;

use super::client::{Client, FLUSH, Request, TRIM, WRITE_ZEROES};
use super::world::World;

const BLOCK: u64 = 4096;
const ROOM: u64 = 1 << 20;

/// What a client or the owner does.
#[derive(Debug)]
enum Do {
    /// From that block on, over NBD.
    Write(u64, &'static str),
    Trim(u64, u64),
    Zero(u64, u64),
    /// Over HTTP.
    Snapshot(&'static str),
    Delete(&'static str),
    Clone(&'static str),
    Grow(u64),
}
use Do::{Clone, Delete, Grow, Snapshot, Trim, Write, Zero};

fn bytes(picture: &str) -> Vec<u8> {
    picture.bytes().flat_map(|letter| vec![if letter == b'.' { 0 } else { letter }; BLOCK as usize]).collect()
}

impl World {
    fn perform(&mut self, client: &mut Client<UnixStream>, what: &Do) {
        let ok = |client: &mut Client<UnixStream>, command, at: u64, count: u64| {
            assert_eq!(client.errno(Request::new(command, at * BLOCK, count * BLOCK)), 0, "{what:?}");
        };
        match what {
            Write(at, picture) => client.write(at * BLOCK, &bytes(picture)),
            Trim(at, count) => ok(client, TRIM, *at, *count),
            Zero(at, count) => ok(client, WRITE_ZEROES, *at, *count),
            Snapshot(name) => self.make_snapshot("d", name),
            Delete(name) => self.check(&[(&format!("DELETE /snapshots/{{{name}}}/"), "", 204, "")]),
            Clone(name) => self.check(&[(&format!("POST /snapshots/{{{name}}}/action/?do=clone"), "", 202, "")]),
            // A client learns a size when it comes, so this one goes and another comes.
            Grow(size) => {
                client.disconnect();
                self.wait_until("GET /drives/{d}/", r#"{"status": "unmounted"}"#);
                self.check(&[("PUT /drives/{d}/", &format!(r#"{{"size": {size}}}"#), 200, "")]);
                *client = self.node.nbd(&self.names["d"]);
            }
        }
    }

    /// Every snapshot has as many blocks as `expected` says (`s 2, t 0`), in the list and alone, and the drive the sum.
    fn check_sizes(&mut self, when: &Do, expected: &str) {
        let mut sum = 0;
        let mut names = Vec::new();
        for (name, blocks) in expected.split(", ").filter_map(|part| part.split_once(' ')) {
            let size: u64 = blocks.parse::<u64>().expect("a number") * BLOCK;
            let found = self.get(&format!("/snapshots/{{{name}}}/"));
            assert_eq!(found["allocated_size"], size, "{name} after {when:?}");
            let listed = self.get(&format!("/snapshots/?uuid={{{name}}}"));
            assert_eq!(listed["objects"][0], found, "{name} after {when:?}");
            sum += size;
            names.insert(0, found["uuid"].clone());
        }
        let drive = self.get("/drives/{d}/");
        assert_eq!(drive["runtime"]["snapshots_allocated_size"], sum, "after {when:?}");
        let listed: Vec<_> = drive["snapshots"].as_array().expect("a list").iter().map(|one| one["uuid"].clone()).collect();
        assert_eq!(listed, names, "newest first, after {when:?}");
    }
}

#[test]
fn sizes_follow_every_write_and_discard_exactly() {
    let mut world = World::with_drives(&["d"], ROOM);
    let mut client = world.node.nbd(&world.names["d"].clone());
    for (what, expected) in [
        (Write(0, "AAAA....AAAA"), ""),
        (Snapshot("s"), "s 0"),
        (Write(0, "B"), "s 1"),
        // Rewritten, it has still changed once.
        (Write(0, "C"), "s 1"),
        // The same once more is no change.
        (Write(1, "A"), "s 1"),
        // What was a hole is nothing that the snapshot keeps.
        (Write(4, "BB"), "s 1"),
        (Snapshot("t"), "s 1, t 0"),
        (Write(0, "DD"), "s 2, t 2"),
        (Trim(8, 2), "s 4, t 4"),
        (Zero(10, 1), "s 5, t 5"),
        (Trim(8, 3), "s 5, t 5"),
        (Trim(4, 1), "s 5, t 6"),
        (Snapshot("u"), "s 5, t 6, u 0"),
        (Grow(2 * ROOM), "s 5, t 6, u 0"),
        (Write(256, "EEEE"), "s 5, t 6, u 0"),
        (Clone("t"), "s 5, t 6, u 0"),
        (Delete("t"), "s 5, u 0"),
        (Write(2, "FF"), "s 7, u 2"),
        (Snapshot("v"), "s 7, u 2, v 0"),
        (Trim(0, 256), "s 8, u 6, v 6"),
        (Delete("s"), "u 6, v 6"),
    ] {
        world.perform(&mut client, &what);
        world.check_sizes(&what, expected);
    }
    assert_eq!(client.errno(Request::new(FLUSH, 0, 0)), 0);
    world.check_sizes(&Snapshot("nothing"), "u 6, v 6");
    client.disconnect();
    world.finish();
}

#[test]
fn a_part_of_a_block_counts_as_the_whole() {
    let mut world = World::with_drives(&["d"], ROOM);
    let mut client = world.node.nbd(&world.names["d"].clone());
    let what = Write(0, "AAAA");
    world.perform(&mut client, &what);
    world.make_snapshot("d", "s");
    client.write(BLOCK - 1, b"xy");
    world.check_sizes(&what, "s 2");
    client.disconnect();
    world.finish();
}

#[test]
fn a_snapshot_taken_under_a_writer_has_what_was_written() {
    let mut world = World::with_drives(&["d"], ROOM);
    let mut client = world.node.nbd(&world.names["d"].clone());
    client.write(0, &bytes("AAAA"));
    world.make_snapshot("d", "s");
    client.write(0, &bytes("BB"));
    world.make_snapshot("d", "t");
    client.write(0, &bytes("CCC"));
    world.check(&[
        ("POST /snapshots/{s}/action/?do=clone", "", 202, r#"{"uuid": "{of_s}"}"#),
        ("POST /snapshots/{t}/action/?do=clone", r#"{"size": 2097152}"#, 202, r#"{"uuid": "{of_t}"}"#),
        ("POST /drives/{d}/action/?do=clone", "", 202, r#"{"objects": [{"uuid": "{of_d}"}]}"#),
        ("GET /drives/{of_t}/", "", 200, r#"{"status": "unmounted", "size": 2097152}"#),
    ]);
    for (name, picture) in [("of_s", "AAAA...."), ("of_t", "BBAA...."), ("of_d", "CCCA....")] {
        let mut reader = world.node.nbd(&world.names[name]);
        assert!(reader.read(0, 8 * BLOCK) == bytes(picture), "{name} should be {picture}");
        let size = reader.size;
        assert!(reader.read(8 * BLOCK, size - 8 * BLOCK).iter().all(|byte| *byte == 0), "{name} is empty behind");
        reader.disconnect();
    }
    // What is written to a clone is none of the others' business.
    let mut writer = world.node.nbd(&world.names["of_s"].clone());
    writer.write(0, &bytes("ZZZZ"));
    writer.disconnect();
    assert!(client.read(0, 4 * BLOCK) == bytes("CCCA"));
    world.check_sizes(&Clone("s"), "s 3, t 3");
    client.disconnect();
    world.finish();
}

#[test]
fn nothing_is_left_when_all_is_deleted() {
    let mut world = World::with_drives(&["d", "e"], ROOM);
    for drive in ["d", "e"] {
        let mut client = world.node.nbd(&world.names[drive]);
        client.write(0, &bytes("AAAAAAAA"));
        client.disconnect();
        world.make_snapshot(drive, &format!("{drive}1"));
        world.check(&[(&format!("POST /snapshots/{{{drive}1}}/action/?do=clone"), r#"{"size": 8388608}"#, 202, "")]);
    }
    world.delete_all();
    assert_eq!(world.finish()["data_size"], 0, "all space came back");
}
