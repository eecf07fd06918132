//! What is each request answered with, in each of the three modes?

use super::bench::{Bench, MIB, pattern};
use super::client::*;
use floe::SnapshotOptions;

/// No multiple of a block: its last bytes are a block's first.
const SIZE: u64 = 64 * MIB + 100;

/// A drive with data from 1 MiB to 2 MiB and nothing else, and a snapshot of it.
fn bench() -> Bench {
    let bench = Bench::new(SIZE);
    bench.db().write_at(&pattern(1, MIB, MIB as usize), MIB).expect("a write");
    bench.db().snapshot(SnapshotOptions::named("monday")).expect("a snapshot");
    bench
}

const fn request(command: u16, flags: u16, offset: u64, length: u64) -> Request {
    Request { command, flags, cookie: 0, offset, length }
}

/// Lengths that fit 32 bits, and up to 64 where there are that many.
fn fits(request: &Request, mode: Mode) -> bool {
    mode == Mode::Extended || request.length <= u64::from(u32::MAX)
}

#[test]
fn each_request_ends_as_the_protocol_says() {
    use Mode::{Extended, Simple, Structured};
    const END: u64 = SIZE;
    const FAR: u64 = u64::MAX - 4;
    let all = &MODES[..];
    let chunked = &[Structured, Extended][..];
    let cases: [(&[Mode], Request, u32); 61] = [
        (all, request(READ, 0, 0, 1), 0),
        (all, request(READ, 0, END - 1, 1), 0),
        (all, request(READ, 0, END - 100, 100), 0),
        (all, request(READ, 0, 5, 200_000), 0),
        (all, request(READ, 0, 0, 0), 0),
        (all, request(READ, 0, END, 0), 0),
        (all, request(READ, 0, 0, 32 << 20), 0),
        (all, request(READ, 0, END - 1, 2), EINVAL),
        (all, request(READ, 0, END, 1), EINVAL),
        (all, request(READ, 0, FAR, 2), EINVAL),
        (all, request(READ, 0, FAR, 100), EINVAL),
        (all, request(READ, 0, 0, (32 << 20) + 1), EINVAL),
        (all, request(READ, 0, 0, u32::MAX as u64), EINVAL),
        (all, request(READ, FUA, 0, 4096), 0),
        (&[Simple], request(READ, DF, 0, 4096), EINVAL),
        (chunked, request(READ, DF, 0, 4096), 0),
        (chunked, request(READ, DF, 0, 0), 0),
        (chunked, request(READ, DF, 0, 32 << 20), 0),
        (all, request(READ, NO_HOLE, 0, 4096), EINVAL),
        (all, request(READ, REQ_ONE, 0, 4096), EINVAL),
        (all, request(READ, 1 << 15, 0, 4096), EINVAL),
        (&[Simple, Structured], request(READ, PAYLOAD_LEN, 0, 4096), EINVAL),
        (all, request(FLUSH, 0, 0, 0), 0),
        (all, request(FLUSH, FUA, 0, 0), 0),
        (all, request(FLUSH, 0, 0, 1), EINVAL),
        (all, request(FLUSH, 0, 4096, 0), EINVAL),
        (all, request(FLUSH, DF, 0, 0), EINVAL),
        (all, request(TRIM, 0, 0, 4096), 0),
        (all, request(TRIM, FUA, 1, 1), 0),
        (all, request(TRIM, 0, 0, 0), 0),
        (all, request(TRIM, 0, 0, END), 0),
        (all, request(TRIM, 0, 1, END), ENOSPC),
        (all, request(TRIM, 0, FAR, 100), ENOSPC),
        (all, request(TRIM, NO_HOLE, 0, 4096), EINVAL),
        (all, request(TRIM, FAST_ZERO, 0, 4096), EINVAL),
        (all, request(CACHE, 0, 0, END), 0),
        (all, request(CACHE, FUA, 0, 4096), 0),
        (all, request(CACHE, 0, MIB, 0), 0),
        (all, request(CACHE, 0, END, 1), EINVAL),
        (all, request(CACHE, 0, FAR, 100), EINVAL),
        (all, request(CACHE, DF, 0, 4096), EINVAL),
        (all, request(WRITE_ZEROES, 0, 0, END), 0),
        (all, request(WRITE_ZEROES, 0, 3, 5), 0),
        (all, request(WRITE_ZEROES, 0, 3, 0), 0),
        (all, request(WRITE_ZEROES, FUA | NO_HOLE, 3, 5000), 0),
        (all, request(WRITE_ZEROES, FAST_ZERO, 0, END), 0),
        (all, request(WRITE_ZEROES, FAST_ZERO | NO_HOLE, 0, END), ENOTSUP),
        (all, request(WRITE_ZEROES, 0, 1, END), ENOSPC),
        (all, request(WRITE_ZEROES, 0, FAR, 100), ENOSPC),
        (all, request(WRITE_ZEROES, REQ_ONE, 0, 1), EINVAL),
        (&[Extended], request(WRITE_ZEROES, 0, 0, 1 << 40), ENOSPC),
        (&[Extended], request(READ, 0, 0, u64::MAX), EINVAL),
        (&[Extended], request(TRIM, 0, 1, u64::MAX), ENOSPC),
        (all, request(BLOCK_STATUS, 0, 0, 4096), EINVAL),
        (all, request(BLOCK_STATUS, REQ_ONE, 0, 4096), EINVAL),
        (all, request(BLOCK_STATUS, 0, 0, 0), EINVAL),
        (all, request(8, 0, 0, 4096), EINVAL),
        (all, request(9, 0, 0, 0), EINVAL),
        (all, request(u16::MAX, FUA, 0, 4096), EINVAL),
        (all, request(1 << 8, 0, 0, 4096), EINVAL),
        (all, request(8, 0, FAR, 100), EINVAL),
    ];
    let bench = bench();
    for mode in MODES {
        let mut client = bench.client().begin(mode, "db");
        for (modes, request, expected) in cases {
            if modes.contains(&mode) && fits(&request, mode) {
                assert_eq!(client.errno(request), expected, "{request:?} in {mode:?}");
            }
        }
        // After all these the connection is as good as new.
        client.write(7, b"still here");
        assert_eq!(client.read(7, 10), b"still here");
        client.disconnect();
    }
}

#[test]
fn nobody_writes_a_snapshot() {
    let bench = bench();
    for mode in MODES {
        let mut client = bench.client().begin(mode, "db@monday");
        for length in [0, 10, 4096, 300_000, (32 << 20) + 1] {
            let payload = vec![1; length];
            let expected = if length > 32 << 20 { EINVAL } else { EPERM };
            assert_eq!(client.call(Request::new(WRITE, 0, length as u64), &payload).errno, expected, "{length} bytes");
        }
        for command in [TRIM, WRITE_ZEROES] {
            assert_eq!(client.errno(Request::new(command, 0, 4096)), EPERM);
            assert_eq!(client.errno(Request::new(command, 0, 4096).flags(FUA)), EPERM);
        }
        assert_eq!(client.errno(Request::new(FLUSH, 0, 0)), 0);
        assert_eq!(client.errno(Request::new(CACHE, 0, SIZE)), 0);
        assert_eq!(client.read(MIB, MIB), pattern(1, MIB, MIB as usize));
    }
}

#[test]
fn writes_that_cannot_be_meant_are_skipped_with_their_payload() {
    let bench = Bench::new(SIZE);
    for mode in MODES {
        let mut client = bench.client().begin(mode, "db");
        let cases = [
            (0, 0, (32 << 20) + 1, EINVAL),
            (0, 0, 64 << 20, EINVAL),
            (0, SIZE - 1, 2, ENOSPC),
            (0, SIZE, 4096, ENOSPC),
            (0, u64::MAX - 4, 100, ENOSPC),
            (0, SIZE - 10, 300_000, ENOSPC),
            (DF, 0, 4096, EINVAL),
            (NO_HOLE, 0, 300_000, EINVAL),
            (1 << 15, 0, 4096, EINVAL),
            (0, SIZE, 0, 0),
            (0, 0, 0, 0),
        ];
        for (flags, offset, length, expected) in cases {
            // A payload of magic numbers: if it were taken for requests, it would be.
            let payload: Vec<u8> = Request::new(WRITE, 0, 1).bytes(mode).into_iter().cycle().take(length).collect();
            let found = client.call(request(WRITE, flags, offset, length as u64), &payload).errno;
            assert_eq!(found, expected, "write of {length} at {offset}, flags {flags} in {mode:?}");
        }
        assert_eq!(client.read(0, 8192), vec![0; 8192], "none of them wrote");
        client.write(SIZE - 3, b"end");
        assert_eq!(client.read(SIZE - 4, 4), b"\0end");
        bench.db().discard(0..SIZE).expect("a discard");
    }
}

#[test]
fn payloads_that_do_not_belong_are_skipped() {
    let bench = bench();
    let mut client = bench.client().begin(Mode::Extended, "db");
    for command in [READ, TRIM, FLUSH, CACHE, WRITE_ZEROES, BLOCK_STATUS, 8, 999] {
        for length in [1, 5000, 300_000, (32 << 20) + 1] {
            let reply = client.call(request(command, PAYLOAD_LEN, 0, length as u64), &vec![0x21; length]);
            assert_eq!(reply.errno, EINVAL, "command {command} with {length} bytes of payload");
        }
    }
    assert_eq!(client.read(MIB, 4096), pattern(1, MIB, 4096), "nothing was changed");
}

#[test]
fn what_is_no_request_ends_the_connection_at_the_first_wrong_byte() {
    let bench = bench();
    for mode in MODES {
        let other = if mode == Mode::Extended { Mode::Simple } else { Mode::Extended };
        let mut bad = vec![vec![0], b"IHAVEOPT".to_vec(), Request::new(READ, 0, 1).bytes(other)];
        for at in 0..4 {
            let mut bytes = Request::new(READ, 0, 1).bytes(mode);
            bytes[at] ^= 1;
            bad.push(bytes[..=at].to_vec());
        }
        for bytes in bad {
            let mut client = bench.client().begin(mode, "db");
            client.write(0, b"fine so far");
            client.send(&bytes);
            client.expect_end();
        }
    }
    bench.check_alive();
}

#[test]
fn disconnect_has_no_reply_and_waits_for_what_was_asked() {
    let bench = bench();
    for mode in MODES {
        let mut client = bench.client().begin(mode, "db");
        let payload = pattern(2, 0, 1 << 20);
        for index in 0..20 {
            client.submit(Request::new(WRITE, index << 20, 1 << 20).flags(FUA), &payload);
            client.submit(Request::new(READ, MIB, 1), &[]);
        }
        // Whoever sends everything at once has to listen meanwhile, and disconnect comes last.
        let bytes = Request::new(DISC, 0, 0).bytes(mode);
        client.send(&bytes);
        for _ in 0..40 {
            assert_eq!(client.reply().errno, 0);
        }
        client.expect_end();
        let mut found = vec![0; 1 << 20];
        bench.db().read_at(&mut found, 19 << 20).expect("a read");
        assert_eq!(found, payload);
    }
}

// --- what comes back ---

#[test]
fn every_mode_reads_the_same_bytes() {
    let bench = Bench::new(SIZE);
    let db = bench.db();
    let mut model = vec![0; SIZE as usize];
    // Short data between long holes, long data, holes of just under and just over 64 KiB, and data in the last byte.
    for (salt, offset, len) in [
        (1, 10, 5),
        (2, 300_000, 100),
        (3, MIB, 3 << 20),
        (4, (4 << 20) + 65_535, 4096),
        (5, 40 << 20, 200_000),
        (6, SIZE - 1, 1),
    ] {
        let bytes = pattern(salt, offset, len);
        db.write_at(&bytes, offset).expect("a write");
        model[offset as usize..offset as usize + len].copy_from_slice(&bytes);
    }
    db.write_zeroes(41 << 20..42 << 20).expect("zeroes");
    let reads = [
        (0, 32 << 20),
        (SIZE - (32 << 20), 32 << 20),
        (0, 1),
        (SIZE - 1, 1),
        (4095, 2),
        (0, 65_535),
        (0, 65_536),
        (0, 65_537),
        (11, 300_000),
        ((4 << 20) - 1, 65_537),
        (4 << 20, 70_000),
        (MIB - 65_536, 131_072),
        (10 << 20, 20 << 20),
        (SIZE - 65_537, 65_537),
    ];
    for mode in MODES {
        for name in ["db", "db@monday"] {
            if name != "db" && db.snapshots().expect("snapshots").is_empty() {
                db.snapshot(SnapshotOptions::named("monday")).expect("a snapshot");
            }
            let mut client = bench.client().begin(mode, name);
            for (offset, length) in reads {
                for flags in [0, DF] {
                    if flags == DF && mode == Mode::Simple {
                        continue;
                    }
                    let reply = client.call(request(READ, flags, offset, length), &[]);
                    let expected = &model[offset as usize..(offset + length) as usize];
                    assert!(reply.errno == 0 && reply.data == expected, "{name}: {offset}+{length}, flags {flags} in {mode:?}");
                }
            }
        }
    }
}

#[test]
fn long_holes_come_as_holes() {
    let bench = Bench::new(SIZE);
    bench.db().write_at(&[7; 4096], MIB).expect("a write");
    for mode in [Mode::Structured, Mode::Extended] {
        let mut client = bench.client().begin(mode, "db");
        let mut pieces = |flags, offset, length| client.call(request(READ, flags, offset, length), &[]).pieces;
        assert_eq!(pieces(0, 0, MIB), (0, 1));
        assert_eq!(pieces(0, 8 << 20, 32 << 20), (0, 1));
        assert_eq!(pieces(0, 0, 3 << 20), (1, 2), "hole, data, hole");
        assert_eq!(pieces(0, MIB, 4096), (1, 0));
        assert_eq!(pieces(0, MIB, MIB), (1, 1));
        assert_eq!(pieces(DF, 0, 3 << 20), (1, 0), "not in pieces if so wished");
    }
}

#[test]
fn zeroes_leave_a_hole_unless_space_is_wanted() {
    let bench = Bench::new(SIZE);
    let drive = bench.db();
    let referenced = || drive.info().expect("a drive").referenced_bytes;
    for mode in MODES {
        let mut client = bench.client().begin(mode, "db");
        for (command, flags, left) in
            [(TRIM, 0, 0), (WRITE_ZEROES, 0, 0), (WRITE_ZEROES, FAST_ZERO, 0), (WRITE_ZEROES, NO_HOLE, 3 * 4096)]
        {
            client.write(8192, &[9; 3 * 4096]);
            assert_eq!(client.errno(request(command, flags, 8192, 3 * 4096)), 0);
            assert_eq!(referenced(), left, "command {command}, flags {flags}");
            assert_eq!(client.read(8192, 3 * 4096), [0; 3 * 4096]);
            // Parts of blocks leave the rest alone.
            client.write(8192, &[9; 3 * 4096]);
            assert_eq!(client.errno(request(command, flags, 8192 + 100, 2 * 4096)), 0);
            if command == WRITE_ZEROES {
                let expected = [vec![9; 100], vec![0; 2 * 4096], vec![9; 4096 - 100]].concat();
                assert_eq!(client.read(8192, 3 * 4096), expected);
            }
            drive.discard(0..SIZE).expect("a discard");
        }
    }
}

#[test]
fn lengths_past_4_gib_work_on_a_drive_of_many_tib() {
    const TIB: u64 = 1 << 40;
    let bench = Bench::new(MIB);
    let vast = bench.drive("vast", 1 << 62);
    for offset in [0, 5 << 30, 3 * TIB, 1 << 50, (1 << 62) - 4096] {
        vast.write_at(&pattern(3, offset, 4096), offset).expect("a write");
    }
    let mut client = bench.client().greet(3).agree(Mode::Extended);
    client.choose("vast", &["base:allocation"]);
    let mut client = client.go("vast");
    assert_eq!(client.size, 1 << 62);
    assert_eq!(client.read((1 << 62) - 8192, 8192), [vec![0; 4096], pattern(3, (1 << 62) - 4096, 4096)].concat());
    let mut map = |offset, length| client.call(Request::new(BLOCK_STATUS, offset, length), &[]).status[0].1.clone();
    let (hole, data) = (|len| (len, 3), (4096, 0));
    let all = [
        data,
        hole((5 << 30) - 4096),
        data,
        hole(3 * TIB - (5 << 30) - 4096),
        data,
        hole((1 << 50) - 3 * TIB - 4096),
        data,
        hole((1 << 62) - (1 << 50) - 8192),
        data,
    ];
    assert_eq!(map(0, 1 << 62), all);
    assert_eq!(map(4096, 4 * TIB), [hole((5 << 30) - 4096), data, all[3], data, hole(TIB)]);
    assert_eq!(client.errno(Request::new(WRITE_ZEROES, 4096, 6 * TIB).flags(FAST_ZERO)), 0);
    assert_eq!(client.read(3 * TIB, 4096), [0; 4096]);
    assert_eq!(client.read(0, 4096), pattern(3, 0, 4096));
    assert_eq!(client.errno(Request::new(TRIM, 0, (1 << 62) - 4096)), 0);
    assert_eq!(vast.info().expect("a drive").referenced_bytes, 4096);
    assert_eq!(client.errno(Request::new(CACHE, 0, 1 << 62)), 0);
    assert_eq!(client.errno(Request::new(TRIM, 1, 1 << 62)), ENOSPC);
    client.write(4096, b"goes on");
}

#[test]
fn zeroes_with_more_space_than_there_is_take_none() {
    let bench = Bench::new(1 << 40);
    let mut client = bench.client().begin(Mode::Extended, "db");
    let free = bench.store.usage().free_bytes;
    assert_eq!(client.errno(Request::new(WRITE_ZEROES, 0, 1 << 40).flags(NO_HOLE)), ENOSPC);
    assert_eq!(client.errno(Request::new(FLUSH, 0, 0)), 0);
    let left = bench.store.usage().free_bytes;
    assert!(left >= free / 2, "of {free} bytes {left} are left for other drives");
    client.write(4096, b"goes on");
}

#[test]
fn a_drive_that_shrinks_or_goes_away_is_an_error_and_no_accident() {
    let bench = Bench::new(4 * MIB);
    for mode in MODES {
        let mut client = bench.client().begin(mode, "db");
        let drive = bench.db();
        drive.resize(MIB).expect("a resize");
        for length in [4096, MIB] {
            assert_eq!(client.errno(Request::new(READ, 2 * MIB, length)), EINVAL, "a read behind the new end in {mode:?}");
            let payload = vec![1; length as usize];
            assert_eq!(client.call(Request::new(WRITE, 2 * MIB, length), &payload).errno, ENOSPC);
            assert_eq!(client.errno(Request::new(WRITE_ZEROES, 2 * MIB, length)), ENOSPC);
        }
        client.write(MIB - 4, b"last");
        drive.resize(4 * MIB).expect("a resize");
        assert_eq!(client.read(MIB - 4, 8), b"last\0\0\0\0");
    }
    let mut clients = MODES.map(|mode| bench.client().begin(mode, "db"));
    bench.db().delete().expect("a delete");
    for client in &mut clients {
        for length in [1, 100_000] {
            assert_eq!(client.errno(Request::new(READ, 0, length)), ESHUTDOWN, "{:?}", client.mode);
        }
        assert_eq!(client.errno(Request::new(WRITE_ZEROES, 0, 4096)), ESHUTDOWN);
        assert_eq!(client.errno(Request::new(FLUSH, 0, 0)), ESHUTDOWN);
        client.disconnect();
    }
}

#[test]
fn a_full_store_says_so_and_goes_on() {
    let bench = Bench::new(2 << 30);
    let mut client = bench.client().begin(Mode::Structured, "db");
    let piece = pattern(5, 0, 16 << 20);
    let mut offset = 0;
    let errno = loop {
        match client.call(Request::new(WRITE, offset, piece.len() as u64), &piece).errno {
            0 => offset += piece.len() as u64,
            errno => break errno,
        }
    };
    assert_eq!(errno, ENOSPC);
    assert_eq!(client.read(0, 4096), piece[..4096]);
    assert_eq!(client.errno(Request::new(TRIM, 0, offset)), 0);
    assert_eq!(client.errno(Request::new(FLUSH, 0, 0)), 0);
    client.write(0, &piece);
}
