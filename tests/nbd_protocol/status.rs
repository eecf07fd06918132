//! What does a block status request tell?

use super::bench::{Bench, MIB};
use super::client::*;
use floe::SnapshotOptions;

const SIZE: u64 = 16 * MIB;
const CONTEXTS: [&str; 4] =
    ["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:since-monday", "qemu:dirty-bitmap:since-tuesday"];

/// Data written before Monday's snapshot, before Tuesday's, and after both: each a block at 1, 2 and 3 MiB; the one at 4 MiB is written
/// at first and discarded at last.
fn bench() -> Bench {
    let bench = Bench::new(SIZE);
    let db = bench.db();
    db.write_at(&[1; 4096], MIB).expect("a write");
    db.write_at(&[1; 4096], 4 * MIB).expect("a write");
    db.snapshot(SnapshotOptions::named("monday")).expect("a snapshot");
    db.write_at(&[2; 4096], 2 * MIB).expect("a write");
    db.snapshot(SnapshotOptions::named("tuesday")).expect("a snapshot");
    db.write_at(&[3; 4096], 3 * MIB).expect("a write");
    db.discard(4 * MIB..4 * MIB + 4096).expect("a discard");
    bench
}

/// A client with the contexts, which have the numbers 1, 2, 3 and so on.
fn client(bench: &Bench, mode: Mode, name: &str, queries: &[&str]) -> Client {
    let mut client = bench.client().greet(3).agree(mode);
    let ids: Vec<u32> = client.choose(name, queries).iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, (1..=queries.len() as u32).collect::<Vec<_>>());
    client.go(name)
}

/// Extents that begin at 0 and mean what is given, from each place on.
fn extents(from: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let ends = from.iter().skip(1).map(|(start, _)| *start).chain([SIZE]);
    from.iter().zip(ends).map(|((start, meaning), end)| (end - start, *meaning)).collect()
}

#[test]
fn each_context_tells_its_own_story() {
    const B: u64 = 4096;
    let bench = bench();
    let (one, two, three, four) = (MIB, 2 * MIB, 3 * MIB, 4 * MIB);
    let allocation = extents(&[(0, 3), (one, 0), (one + B, 3), (two, 0), (two + B, 3), (three, 0), (three + B, 3)]);
    let depth = extents(&[(0, 0), (one, 3), (one + B, 0), (two, 2), (two + B, 0), (three, 1), (three + B, 0)]);
    let since_monday = extents(&[(0, 0), (two, 1), (two + B, 0), (three, 1), (three + B, 0), (four, 1), (four + B, 0)]);
    let since_tuesday = extents(&[(0, 0), (three, 1), (three + B, 0), (four, 1), (four + B, 0)]);
    for mode in [Mode::Structured, Mode::Extended] {
        let mut client = client(&bench, mode, "db", &CONTEXTS);
        let mut reply = client.call(Request::new(BLOCK_STATUS, 0, SIZE), &[]);
        reply.status.sort_by_key(|(id, _)| *id);
        let expected = [&allocation, &depth, &since_monday, &since_tuesday];
        for ((id, found), expected) in reply.status.iter().zip(expected) {
            assert_eq!(found, expected, "{} in {mode:?}", CONTEXTS[*id as usize - 1]);
        }
        assert_eq!(reply.status.len(), 4);
    }
    // The snapshot of Tuesday: what was changed since Monday, and the discarded block is still there.
    let mut client = client(&bench, Mode::Extended, "db@tuesday", &CONTEXTS[..3]);
    let mut reply = client.call(Request::new(BLOCK_STATUS, 0, SIZE), &[]);
    reply.status.sort_by_key(|(id, _)| *id);
    assert_eq!(reply.status[0].1, extents(&[(0, 3), (one, 0), (one + B, 3), (two, 0), (two + B, 3), (four, 0), (four + B, 3)]));
    assert_eq!(reply.status[2].1, extents(&[(0, 0), (two, 1), (two + B, 0)]));
}

#[test]
fn a_part_is_told_as_the_whole_cut_off() {
    let bench = bench();
    for mode in [Mode::Structured, Mode::Extended] {
        let mut client = client(&bench, mode, "db", &CONTEXTS);
        let mut whole = client.call(Request::new(BLOCK_STATUS, 0, SIZE), &[]).status;
        whole.sort_by_key(|(id, _)| *id);
        let meaning = |context: usize, at: u64| {
            let mut end = 0;
            whole[context]
                .1
                .iter()
                .find(|(len, _)| {
                    end += len;
                    at < end
                })
                .expect("inside")
                .1
        };
        for (offset, length) in
            [(0, 1), (MIB, 4096), (MIB - 1, 2), (MIB + 1, 4094), (2 * MIB + 5, 2 * MIB), (SIZE - 1, 1), (1, SIZE - 1)]
        {
            for flags in [0, REQ_ONE] {
                let reply = client.call(Request::new(BLOCK_STATUS, offset, length).flags(flags), &[]);
                assert_eq!((reply.errno, reply.status.len()), (0, 4));
                for (id, extents) in &reply.status {
                    let mut at = offset;
                    for (len, found) in extents {
                        assert_eq!(*found, meaning(*id as usize - 1, at), "context {id} at {at} of {offset}+{length}");
                        assert_eq!(
                            *found,
                            meaning(*id as usize - 1, (at + len).min(SIZE) - 1),
                            "context {id} before {}",
                            at + len
                        );
                        at += len;
                    }
                    assert!(flags == REQ_ONE || at >= offset + length, "all of it is told");
                }
            }
        }
        for (offset, length, expected) in [(SIZE, 1, EINVAL), (SIZE - 1, 2, EINVAL), (u64::MAX, 1, EINVAL), (0, 0, EINVAL)] {
            assert_eq!(client.errno(Request::new(BLOCK_STATUS, offset, length)), expected, "{offset}+{length}");
        }
        for flags in [DF, NO_HOLE, FAST_ZERO, 1 << 15] {
            assert_eq!(client.errno(Request::new(BLOCK_STATUS, 0, 4096).flags(flags)), EINVAL);
        }
    }
}

#[test]
fn a_payload_picks_contexts() {
    let bench = bench();
    let mut client = client(&bench, Mode::Extended, "db", &CONTEXTS);
    let mut ask = |length: u64, ids: &[u32], flags: u16| {
        let mut payload = length.to_be_bytes().to_vec();
        ids.iter().for_each(|id| payload.extend(id.to_be_bytes()));
        let request = Request::new(BLOCK_STATUS, MIB, payload.len() as u64).flags(PAYLOAD_LEN | flags);
        let reply = client.call(request, &payload);
        let mut found: Vec<u32> = reply.status.iter().map(|(id, _)| *id).collect();
        found.sort_unstable();
        (reply.errno, found)
    };
    assert_eq!(ask(SIZE - MIB, &[2], 0), (0, vec![2]));
    assert_eq!(ask(4096, &[4, 1], 0), (0, vec![1, 4]));
    assert_eq!(ask(1, &[1, 2, 3, 4], REQ_ONE), (0, vec![1, 2, 3, 4]));
    assert_eq!(ask(4096, &[5], 0), (EINVAL, vec![]), "not chosen");
    assert_eq!(ask(4096, &[1, 0], 0), (EINVAL, vec![]), "not chosen");
    assert_eq!(ask(4096, &[1, 1], 0), (EINVAL, vec![]), "the same twice");
    assert_eq!(ask(0, &[1], 0), (EINVAL, vec![]), "the status of nothing");
    assert_eq!(ask(SIZE, &[1], 0), (EINVAL, vec![]), "behind the end");
    assert_eq!(ask(u64::MAX, &[1], 0), (EINVAL, vec![]), "behind the end");
    assert_eq!(ask(4096, &[7; 100_000], 0), (EINVAL, vec![]), "a long list");
    for length in [0, 1, 7, 9, 10, 11, 13] {
        let request = Request::new(BLOCK_STATUS, 0, length).flags(PAYLOAD_LEN);
        assert_eq!(client.call(request, &vec![0; length as usize]).errno, EINVAL, "a payload of {length} bytes");
    }
    client.read(0, 1);
}

#[test]
fn many_extents_are_told_in_several_answers() {
    const COUNT: u64 = 20_000;
    let bench = Bench::new(COUNT * 8192);
    let db = bench.db();
    for index in 0..COUNT {
        db.write_at(&[1; 512], index * 8192).expect("a write");
    }
    for mode in [Mode::Structured, Mode::Extended] {
        let mut client = client(&bench, mode, "db", &CONTEXTS[..2]);
        let (mut at, mut rounds) = (0, 0);
        while at < db.size_bytes().expect("a size") {
            let reply = client.call(Request::new(BLOCK_STATUS, at, COUNT * 8192 - at), &[]);
            for (len, meaning) in &reply.status[0].1 {
                assert_eq!((*len, *meaning), (4096, if at % 8192 == 0 { 0 } else { 3 }), "at {at}");
                at += len;
            }
            rounds += 1;
            assert!(rounds < 20, "each answer gets on");
        }
        assert!(rounds > 1, "this many extents do not fit one answer");
    }
}

#[test]
fn a_snapshot_that_is_deleted_takes_at_most_its_context_along() {
    let bench = bench();
    let mut client = client(&bench, Mode::Structured, "db", &CONTEXTS[..3]);
    let before = client.call(Request::new(BLOCK_STATUS, 0, SIZE), &[]).status;
    let monday = bench.store.snapshots().into_iter().find(|one| one.name().is_ok_and(|name| name == "monday"));
    monday.expect("monday").delete().expect("a delete");
    bench.store.reclaim(u64::MAX).expect("a reclaim");
    let reply = client.call(Request::new(BLOCK_STATUS, 0, SIZE), &[]);
    if reply.errno == 0 {
        assert_eq!(reply.status[2], before[2], "what changed since then is still known");
    }
    assert_ne!(reply.errno, ESHUTDOWN, "it is not the drive that is gone");
    client.write(0, b"goes on");
}
