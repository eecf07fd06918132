//! What is answered before requests begin?

use super::bench::{Bench, MIB};
use super::client::*;
use floe::SnapshotOptions;
use floe::node::nbd::Limits;

const SIZE: u64 = 4 * MIB + 512;

/// One option and how it must end; the negotiation goes on afterwards.
fn check(bench: &Bench, number: u32, data: &[u8], expected: u32) {
    let mut client = bench.client().greet(3);
    let outcome = client.outcome(number, data);
    assert_eq!(outcome, expected, "option {number} with {:?}: {outcome:#x}, expected {expected:#x}", &data[..data.len().min(40)]);
    assert_eq!(client.outcome(INFO, &about("db", &[])), ACK, "the negotiation goes on after option {number}");
    let mut client = client.go("db");
    client.read(0, 512);
    client.disconnect();
}

#[test]
fn flags_of_the_client_that_are_not_known_end_the_connection() {
    let bench = Bench::new(SIZE);
    for flags in [0, 1, 2, 3] {
        let mut client = bench.client().greet(flags).go("db");
        client.read(0, 1);
    }
    for flags in [4, 7, 1 << 15, 1 << 16, (1 << 16) | 3, u32::MAX] {
        bench.client().greet(flags).expect_end();
    }
    bench.check_alive();
}

#[test]
fn export_name_is_followed_by_124_zeroes_unless_the_client_said_no() {
    let bench = Bench::new(SIZE);
    for (flags, zeroes) in [(0, 124), (1, 124), (2, 0), (3, 0)] {
        let mut client = bench.client().greet(flags);
        client.send(&option(EXPORT_NAME, b"db"));
        let answer = client.receive(10 + zeroes);
        assert_eq!(u64_of(&answer), SIZE);
        let transmission = u16_of(&answer[8..]);
        assert_eq!(transmission & (1 | READ_ONLY | SEND_DF), 1, "has flags, may be written, has no structured replies");
        assert!(answer[10..].iter().all(|byte| *byte == 0));
        assert_eq!(client.read(0, 512), [0; 512]);
        client.disconnect();
    }
}

#[test]
fn export_name_of_nothing_ends_the_connection() {
    let bench = Bench::new(SIZE);
    let long = vec![b'x'; 5000];
    for name in [&b"nothing"[..], b"db ", b"db\0", b"\xff\xfe", b"@", &long] {
        let mut client = bench.client().greet(3);
        client.send(&option(EXPORT_NAME, name));
        client.expect_end();
    }
    bench.check_alive();
}

#[test]
fn go_sends_no_zeroes() {
    let bench = Bench::new(SIZE);
    // A read at once: 124 zeroes would be no magic number of a reply.
    let mut client = bench.client().greet(0).go("db");
    assert_eq!(client.read(SIZE - 1, 1), [0]);
}

#[test]
fn abort_is_acknowledged_and_ends_the_connection() {
    let bench = Bench::new(SIZE);
    for data in [&b""[..], b"good bye"] {
        let mut client = bench.client().greet(3);
        assert_eq!(client.ask(ABORT, data), [(ACK, vec![])]);
        client.expect_end();
    }
    // Many clients do not wait for the answer.
    let mut client = bench.client().greet(3);
    client.send(&option(ABORT, b""));
    drop(client);
    bench.check_alive();
}

#[test]
fn an_option_that_is_not_known_is_refused_and_the_negotiation_goes_on() {
    let bench = Bench::new(SIZE);
    for number in [0, 4, 12, 13, 100, 1 << 16, u32::MAX] {
        check(&bench, number, b"", ERR_UNSUP);
        check(&bench, number, &[7; 1000], ERR_UNSUP);
    }
}

#[test]
fn options_without_data_are_refused_with_data() {
    let bench = Bench::new(SIZE);
    for number in [LIST, STARTTLS, STRUCTURED_REPLY, EXTENDED_HEADERS] {
        check(&bench, number, b"x", ERR_INVALID);
    }
    check(&bench, LIST, b"", ACK);
}

#[test]
fn starttls_without_a_certificate_is_refused() {
    check(&Bench::new(SIZE), STARTTLS, b"", ERR_POLICY);
}

#[test]
fn a_long_option_is_refused_and_skipped() {
    let bench = Bench::new(SIZE);
    for number in [LIST, INFO, GO, SET_META_CONTEXT, 77] {
        for len in [(64 << 10) + 1, 300_000, 5 << 20] {
            check(&bench, number, &vec![b'I'; len], ERR_TOO_BIG);
        }
    }
    // The longest that is looked at is refused for what it says.
    check(&bench, GO, &vec![0; 64 << 10], ERR_INVALID);
    // Nobody means 4 GiB of an option, and EXPORT_NAME has no way to refuse.
    for (number, len) in [(LIST, u32::MAX), (EXPORT_NAME, (64 << 10) + 1)] {
        let mut client = bench.client().greet(3);
        let mut bytes = option(number, b"");
        bytes[12..].copy_from_slice(&len.to_be_bytes());
        client.send(&bytes);
        client.expect_end();
    }
    bench.check_alive();
}

#[test]
fn what_is_no_option_ends_the_connection_at_the_first_wrong_byte() {
    let bench = Bench::new(SIZE);
    for at in 0..8 {
        let mut client = bench.client().greet(3);
        let mut bytes = option(LIST, b"");
        bytes[at] ^= 0x20;
        client.send(&bytes[..=at]);
        client.expect_end();
    }
    bench.check_alive();
}

#[test]
fn everything_is_listed_by_uuid_and_by_name() {
    let bench = Bench::empty(Limits::default());
    let mut client = bench.client().greet(3);
    assert_eq!(client.list(), Vec::<String>::new(), "a store without drives");
    let db = bench.drive("db", SIZE);
    let snapshot = db.snapshot(SnapshotOptions::named("monday")).expect("a snapshot");
    let nameless = bench.drive("", SIZE);
    let twins = [bench.drive("twin", SIZE), bench.drive("twin", SIZE)];
    let mut expected: Vec<String> = ["db", "db@monday"].map(String::from).to_vec();
    expected.extend([db.uuid(), snapshot.uuid(), nameless.uuid(), twins[0].uuid(), twins[1].uuid()].map(|uuid| uuid.to_string()));
    let mut found = client.list();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "things made while the client is there are listed, names that mean two things are not");
}

#[test]
fn every_name_that_is_listed_can_be_had() {
    let bench = Bench::empty(Limits::default());
    // Names that get into each other's way: a snapshot named like a drive, a drive named like drive@snapshot, a name with an @, one
    // that is the beginning of a uuid, and one that is a uuid.
    let db = bench.drive("db", SIZE);
    let web = bench.drive("web", SIZE);
    db.snapshot(SnapshotOptions::named("web")).expect("a snapshot");
    db.snapshot(SnapshotOptions::named("night")).expect("a snapshot");
    web.snapshot(SnapshotOptions::named("night")).expect("a snapshot");
    web.snapshot(SnapshotOptions::named("b@c")).expect("a snapshot");
    bench.drive("web@b", SIZE).snapshot(SnapshotOptions::named("c")).expect("a snapshot");
    bench.drive("db@night", SIZE);
    bench.drive(&db.uuid().to_string()[..8], SIZE);
    bench.drive(&web.uuid().to_string(), SIZE);
    bench.drive("with space and \u{fc}ml\u{e4}ut", SIZE);
    let names = bench.client().greet(3).list();
    assert!(names.len() > 13, "{names:?}");
    let mut refused = Vec::new();
    for name in &names {
        let mut client = bench.client().greet(3);
        if client.outcome(INFO, &about(name, &[])) != ACK {
            refused.push(name);
        }
    }
    assert!(refused.is_empty(), "listed, but not to be had: {refused:?}");
}

#[test]
fn the_default_export_is_the_only_drive() {
    let bench = Bench::empty(Limits::default());
    check_default(&bench, ERR_UNKNOWN);
    let db = bench.drive("", SIZE);
    db.snapshot(SnapshotOptions::named("monday")).expect("a snapshot");
    check_default(&bench, ACK);
    let mut client = bench.client().greet(3);
    client.send(&option(EXPORT_NAME, b""));
    assert_eq!(u64_of(&client.receive(10)), SIZE);
    bench.drive("second", SIZE);
    check_default(&bench, ERR_UNKNOWN);
    let mut client = bench.client().greet(3);
    client.send(&option(EXPORT_NAME, b""));
    client.expect_end();
    // Whoever has the drive keeps it.
    assert_eq!(bench.client().begin(Mode::Simple, &db.uuid().to_string()).size, SIZE);
}

fn check_default(bench: &Bench, expected: u32) {
    let mut client = bench.client().greet(3);
    assert_eq!(client.outcome(INFO, &about("", &[])), expected);
    assert_eq!(client.outcome(GO, &about("", &[])), expected);
}

#[test]
fn names_are_found_whole_and_by_uuid() {
    let bench = Bench::new(SIZE);
    let db = bench.db();
    let snapshot = db.snapshot(SnapshotOptions::named("monday")).expect("a snapshot");
    for name in ["db".to_owned(), db.uuid().to_string(), "db@monday".to_owned(), snapshot.uuid().to_string()] {
        let client = bench.client().begin(Mode::Simple, &name);
        assert_eq!(client.transmission_flags & READ_ONLY != 0, name != "db" && name != db.uuid().to_string(), "{name}");
    }
    for name in ["DB", "d", "db@", "@monday", "db@tuesday", "db@monday@monday", " db", "\n"] {
        check(&bench, INFO, &about(name, &[]), ERR_UNKNOWN);
        check(&bench, GO, &about(name, &[]), ERR_UNKNOWN);
    }
    for name in [&b"d\0b"[..], b"\xff"] {
        let mut data = (name.len() as u32).to_be_bytes().to_vec();
        data.extend(name);
        data.extend([0, 0]);
        check(&bench, INFO, &data, ERR_INVALID);
        check(&bench, GO, &data, ERR_INVALID);
    }
    let long = "x".repeat(4097);
    check(&bench, INFO, &about(&long, &[]), ERR_TOO_BIG);
    check(&bench, INFO, &about(&long[1..], &[]), ERR_UNKNOWN);
}

#[test]
fn information_is_given_as_asked_for() {
    let bench = Bench::new(SIZE);
    let cases: [(&[u16], &[u16]); 8] = [
        (&[], &[]),
        (&[0], &[]),
        (&[1], &[1]),
        (&[2, 1], &[1, 2]),
        (&[3, 2, 1, 0], &[1, 2]),
        // What is not known is ignored, and what is asked for twice is told once.
        (&[4, 77, u16::MAX], &[]),
        (&[1, 1, 3, 3, 0, 0, 2, 2, 1], &[1, 2]),
        (&[5; 2000], &[]),
    ];
    for (wanted, told) in cases {
        for number in [INFO, GO] {
            let mut client = bench.client().greet(3);
            let mut replies = client.ask(number, &about("db", wanted));
            assert_eq!(replies.pop().expect("a final reply").0, ACK);
            let mut kinds = Vec::new();
            for (kind, data) in &replies {
                assert_eq!(*kind, REP_INFO);
                let (kind, data) = (u16_of(data), &data[2..]);
                match kind {
                    0 => assert_eq!((data.len(), u64_of(data)), (10, SIZE)),
                    1 => assert_eq!(data, b"db"),
                    2 => assert!(std::str::from_utf8(data).expect("UTF-8").starts_with("drive")),
                    3 => assert_eq!(data, [0, 0, 0, 1, 0, 0, 16, 0, 2, 0, 0, 0], "from one byte to 32 MiB, best 4096"),
                    other => panic!("information {other}"),
                }
                kinds.push(kind);
            }
            kinds.sort_unstable();
            let must: Vec<u16> = [&[0][..], told].concat();
            kinds.retain(|kind| *kind != 3 || must.contains(&3));
            assert_eq!(kinds, must, "of {wanted:?}");
        }
    }
}

#[test]
fn information_requests_of_the_wrong_length_are_refused() {
    let bench = Bench::new(SIZE);
    let good = about("db", &[3, 1]);
    for number in [INFO, GO] {
        for len in 0..good.len() {
            check(&bench, number, &good[..len], ERR_INVALID);
        }
        check(&bench, number, &[&good[..], &[0]].concat(), ERR_INVALID);
        check(&bench, number, &[&good[..], &[0, 3]].concat(), ERR_INVALID);
        // A name that is longer than all, and one whose length would overflow.
        for len in [100, u32::MAX - 3, u32::MAX] {
            let mut data = good.clone();
            data[..4].copy_from_slice(&len.to_be_bytes());
            check(&bench, number, &data, ERR_INVALID);
        }
    }
}

#[test]
fn go_says_what_info_said() {
    let bench = Bench::new(SIZE);
    let mut writer = bench.client().begin(Mode::Simple, "db");
    writer.write(0, b"mine");
    let db = bench.db();
    db.snapshot(SnapshotOptions::named("monday")).expect("a snapshot");
    for mode in MODES {
        for name in ["db", "db@monday", ""] {
            let mut client = bench.client().greet(3).agree(mode);
            let asked = about(name, &[1, 2, 3]);
            let (info, go) = (client.ask(INFO, &asked), client.ask(GO, &asked));
            assert_eq!(info, go, "{name} in {mode:?}");
        }
    }
}

#[test]
fn transmission_flags_fit_the_replies_agreed_on() {
    let bench = Bench::new(SIZE);
    bench.db().snapshot(SnapshotOptions::named("monday")).expect("a snapshot");
    const COMMON: u16 = 1 | (1 << 2) | (1 << 3) | (1 << 8) | (1 << 10);
    const WRITES: u16 = (1 << 5) | (1 << 6) | (1 << 11);
    for (mode, own) in [(Mode::Simple, 0), (Mode::Structured, SEND_DF), (Mode::Extended, SEND_DF)] {
        // Whether a status request may have a payload, only clients with contexts have to know.
        let of = |name| bench.client().begin(mode, name).transmission_flags & !(u16::from(mode == Mode::Extended) << 12);
        assert_eq!(of("db"), COMMON | WRITES | own, "{mode:?}");
        assert_eq!(of("db@monday"), COMMON | READ_ONLY | own, "{mode:?}");
    }
    let mut client = bench.client().greet(3).agree(Mode::Extended);
    client.choose("db", &["base:allocation"]);
    assert_ne!(client.go("db").transmission_flags & (1 << 12), 0, "BLOCK_STATUS_PAYLOAD");
}

#[test]
fn structured_replies_are_refused_after_extended_headers() {
    let bench = Bench::new(SIZE);
    let mut client = bench.client().greet(3).agree(Mode::Extended);
    assert_eq!(client.outcome(STRUCTURED_REPLY, &[]), ERR_EXT_HEADER_REQD);
    assert_eq!(client.outcome(EXTENDED_HEADERS, &[]), ACK);
    client.go("db").read(0, 4096);
    // The other way round extended headers win.
    let client = bench.client().greet(3).agree(Mode::Structured).agree(Mode::Extended);
    client.go("db").read(0, 4096);
}

// --- contexts ---

/// A drive with two snapshots that have names.
fn with_snapshots() -> Bench {
    let bench = Bench::new(SIZE);
    for name in ["monday", "tuesday"] {
        bench.db().write_at(name.as_bytes(), 0).expect("a write");
        bench.db().snapshot(SnapshotOptions::named(name)).expect("a snapshot");
    }
    bench
}

const ALL: [&str; 4] =
    ["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:since-monday", "qemu:dirty-bitmap:since-tuesday"];

#[test]
fn contexts_are_listed_by_wildcards() {
    let bench = with_snapshots();
    let tuesday = [ALL[0], ALL[1], ALL[2]];
    let cases: [(&str, &[&str], &[&str]); 16] = [
        ("db", &[], &ALL),
        ("db", &["base:"], &ALL[..1]),
        ("db", &["qemu:"], &ALL[1..]),
        ("db", &["qemu:dirty-bitmap:"], &ALL[2..]),
        ("db", &["base:", "qemu:dirty-bitmap:"], &[ALL[0], ALL[2], ALL[3]]),
        ("db", &["base:allocation"], &ALL[..1]),
        ("db", &["qemu:dirty-bitmap:since-tuesday"], &ALL[3..]),
        ("db", &["base:allocation", "base:nothing", "qemu:dirty-bitmap:since-never", "x-me:whatever"], &ALL[..1]),
        ("db", &["x-me:", "x-me:y", "qemu:nothing:", "base"], &[]),
        ("db@tuesday", &[], &tuesday),
        ("db@tuesday", &["qemu:dirty-bitmap:"], &[ALL[2]]),
        ("db@tuesday", &["qemu:dirty-bitmap:since-tuesday"], &[]),
        ("db@monday", &[], &ALL[..2]),
        ("", &["base:"], &ALL[..1]),
        // What is asked for twice is told once.
        ("db", &["base:", "base:allocation", "base:"], &ALL[..1]),
        ("db", &["qemu:dirty-bitmap:", "qemu:"], &ALL[1..]),
    ];
    for (name, queries, expected) in cases {
        let mut client = bench.client().greet(3).agree(Mode::Structured);
        let told = client.ask_contexts(LIST_META_CONTEXT, name, queries).expect("a list");
        let mut names: Vec<&str> = told.iter().map(|(_, name)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{name} {queries:?}");
    }
}

#[test]
fn contexts_are_chosen_by_whole_names_alone() {
    let bench = with_snapshots();
    let cases: [(&[&str], &[&str]); 8] = [
        (&[], &[]),
        (&["base:"], &[]),
        (&["qemu:", "qemu:dirty-bitmap:", "qemu:dirty-bitmap:since-"], &[]),
        (&["base:allocation"], &ALL[..1]),
        (&["qemu:allocation-depth", "base:allocation"], &[ALL[1], ALL[0]]),
        (&["base:allocation", "base:allocation", "x:y"], &ALL[..1]),
        (&["qemu:dirty-bitmap:since-monday", "qemu:dirty-bitmap:since-friday"], &ALL[2..3]),
        (&ALL, &ALL),
    ];
    for (queries, expected) in cases {
        for mode in [Mode::Structured, Mode::Extended] {
            let mut client = bench.client().greet(3).agree(mode);
            let chosen = client.choose("db", queries);
            let mut names: Vec<&str> = chosen.iter().map(|(_, name)| name.as_str()).collect();
            let mut expected = expected.to_vec();
            names.sort_unstable();
            expected.sort_unstable();
            assert_eq!(names, expected, "{queries:?}");
            let mut ids: Vec<u32> = chosen.iter().map(|(id, _)| *id).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), chosen.len(), "numbers are unique");
            let mut client = client.go("db");
            let reply = client.call(Request::new(BLOCK_STATUS, 0, SIZE), &[]);
            let mut answered: Vec<u32> = reply.status.iter().map(|(id, _)| *id).collect();
            answered.sort_unstable();
            assert_eq!((reply.errno, answered), (if ids.is_empty() { EINVAL } else { 0 }, ids), "{queries:?}");
        }
    }
}

/// Chooses, does something else, and begins: how many contexts are there then?
fn chosen_after(bench: &Bench, name: &str, meanwhile: impl FnOnce(&mut Client)) -> usize {
    let mut client = bench.client().greet(3).agree(Mode::Structured);
    assert_eq!(client.choose("db", &ALL[..2]).len(), 2);
    meanwhile(&mut client);
    let reply = client.go(name).call(Request::new(BLOCK_STATUS, 0, 4096), &[]);
    assert_eq!(reply.errno == 0, !reply.status.is_empty());
    reply.status.len()
}

#[test]
fn contexts_hold_until_others_are_chosen() {
    let bench = with_snapshots();
    assert_eq!(chosen_after(&bench, "db", |_| ()), 2);
    assert_eq!(chosen_after(&bench, "db@monday", |_| ()), 0, "chosen for another export");
    assert_eq!(chosen_after(&bench, "db", |client| assert_eq!(client.choose("db", &ALL[1..2]).len(), 1)), 1);
    assert_eq!(chosen_after(&bench, "db", |client| assert_eq!(client.choose("db", &[]).len(), 0)), 0, "none is a choice too");
    assert_eq!(chosen_after(&bench, "db", |client| assert_eq!(client.choose("db@monday", &ALL[..1]).len(), 1)), 0);
    assert_eq!(chosen_after(&bench, "db@monday", |client| assert_eq!(client.choose("db@monday", &ALL[..1]).len(), 1)), 1);
    let fails = |client: &mut Client| assert_eq!(client.ask_contexts(SET_META_CONTEXT, "nothing", &ALL[..1]), Err(ERR_UNKNOWN));
    assert_eq!(chosen_after(&bench, "db", fails), 0, "a choice that fails replaces too");
    let torn = |client: &mut Client| assert_eq!(client.outcome(SET_META_CONTEXT, b"x"), ERR_INVALID);
    assert_eq!(chosen_after(&bench, "db", torn), 0, "even one that cannot be read");
    let others = |client: &mut Client| {
        client.list();
        assert_eq!(client.ask_contexts(LIST_META_CONTEXT, "db", &["base:"]).expect("a list").len(), 1);
        assert_eq!(client.outcome(INFO, &about("db@monday", &[])), ACK);
        assert_eq!(client.outcome(GO, &about("nothing", &[])), ERR_UNKNOWN);
        assert_eq!(client.outcome(99, &[]), ERR_UNSUP);
    };
    assert_eq!(chosen_after(&bench, "db", others), 2, "other options change nothing");
}

#[test]
fn contexts_need_structured_replies_and_an_export() {
    let bench = Bench::new(SIZE);
    for number in [LIST_META_CONTEXT, SET_META_CONTEXT] {
        let mut client = bench.client().greet(3);
        assert_eq!(client.ask_contexts(number, "db", &["base:allocation"]), Err(ERR_INVALID));
        let mut client = client.agree(Mode::Structured);
        assert_eq!(client.ask_contexts(number, "nothing", &["base:allocation"]), Err(ERR_UNKNOWN));
        let good = contexts("db", &["base:allocation", "qemu:allocation-depth"]);
        for len in 0..good.len() {
            assert_eq!(client.outcome(number, &good[..len]), ERR_INVALID, "{len} bytes");
        }
        assert_eq!(client.outcome(number, &[&good[..], &[0]].concat()), ERR_INVALID);
        let mut many = good.clone();
        many[6..10].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(client.outcome(number, &many), ERR_INVALID, "4294967295 queries are announced");
        assert_eq!(client.outcome(number, &good), ACK);
    }
}

#[test]
fn too_many_contexts_are_refused() {
    let bench = Bench::new(SIZE);
    let names: Vec<String> = (0..40).map(|number| format!("night-{number:02}")).collect();
    for name in &names {
        bench.db().snapshot(SnapshotOptions::named(name)).expect("a snapshot");
    }
    let queries: Vec<String> = names.iter().map(|name| format!("qemu:dirty-bitmap:since-{name}")).collect();
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    let mut client = bench.client().greet(3).agree(Mode::Structured);
    assert_eq!(client.ask_contexts(LIST_META_CONTEXT, "db", &[]).expect("a list").len(), 42);
    assert_eq!(client.ask_contexts(SET_META_CONTEXT, "db", &queries), Err(ERR_TOO_BIG));
    assert_eq!(client.choose("db", &queries[..32]).len(), 32);
    assert_eq!(client.go("db").call(Request::new(BLOCK_STATUS, 0, SIZE), &[]).status.len(), 32);
}
