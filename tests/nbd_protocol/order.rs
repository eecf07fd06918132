//! Are many requests at a time each answered once, with the right bytes?

use super::bench::{Bench, Dice, MIB, pattern, seed};
use super::client::*;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Sender};
use std::thread;

/// A client that sends in one thread and listens in another, so that neither waits for the other.
struct Busy {
    client: Client,
    sender: Sender<Vec<u8>>,
}

impl Busy {
    fn new(client: Client) -> Self {
        let (sender, queue) = mpsc::channel::<Vec<u8>>();
        let mut stream: UnixStream = client.stream.try_clone().expect("a socket");
        thread::spawn(move || queue.iter().all(|bytes| stream.write_all(&bytes).is_ok()));
        Self { client, sender }
    }

    fn submit(&mut self, request: Request, payload: &[u8]) {
        self.client.expect(request);
        self.sender.send([&request.bytes(self.client.mode)[..], payload].concat()).expect("the sender is there");
    }
}

#[test]
fn hundreds_of_requests_at_once_are_each_answered_once() {
    const COUNT: u64 = 400;
    const AREA: u64 = 128 << 10;
    let bench = Bench::new(2 * COUNT * AREA);
    let db = bench.db();
    for index in 0..COUNT {
        db.write_at(&pattern(index, index * AREA, 70_000), index * AREA).expect("a write");
    }
    for (round, mode) in MODES.into_iter().enumerate() {
        let mut busy = Busy::new(bench.client().begin(mode, "db"));
        let mut expected = Vec::new();
        for index in 0..COUNT {
            // Cookies are the client's own affair: any 64 bits.
            let cookie = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let len = [1, 512, 4096, 65_536, 131_072][index as usize % 5];
            let place = (COUNT + index) * AREA;
            let (request, payload) = match index % 7 {
                0 => (Request::new(FLUSH, 0, 0), vec![]),
                1 => (Request::new(WRITE_ZEROES, place, len), vec![]),
                2 => (Request::new(BLOCK_STATUS, 0, 4096), vec![]),
                3 => (Request::new(WRITE, place, len), pattern(round as u64, place, len as usize)),
                4 => (Request::new(WRITE, place, len).flags(FUA), pattern(round as u64, place, len as usize)),
                _ => (Request::new(READ, index * AREA, len), vec![]),
            };
            busy.submit(request.cookie(cookie), &payload);
            expected.push((cookie, request, payload));
        }
        while busy.client.unanswered() > 0 {
            let reply = busy.client.reply();
            let (_, request, _) = expected.iter().find(|(cookie, ..)| *cookie == reply.cookie).expect("a cookie of ours");
            assert_eq!(reply.errno, if request.command == BLOCK_STATUS { EINVAL } else { 0 }, "{request:?}");
            if request.command == READ {
                let index = request.offset / AREA;
                let mut expected = pattern(index, request.offset, 70_000.min(request.length as usize));
                expected.resize(request.length as usize, 0);
                assert!(reply.data == expected, "{request:?}");
            }
        }
        for (_, request, payload) in expected.iter().filter(|(_, request, _)| request.command == WRITE) {
            assert!(busy.client.read(request.offset, request.length) == *payload, "{request:?} in {mode:?}");
        }
        busy.client.disconnect();
    }
}

/// What is being done to a slot of the drive.
struct Doing {
    client: usize,
    request: Request,
    slots: std::ops::Range<usize>,
    /// What is there when it is done.
    after: Vec<u8>,
}

#[test]
fn out_of_order_requests_agree_with_a_model() {
    const SLOT: u64 = 32 << 10;
    const SLOTS: usize = 256;
    const STEPS: usize = 3000;
    let mut dice = Dice(seed(20_261_122));
    let bench = Bench::new(SLOT * SLOTS as u64);
    // Connections of one process are one client; what one was answered all of them see.
    let mut clients = MODES.map(|mode| Busy::new(bench.client().begin(mode, "db")));
    let mut model = vec![0; bench.db().size_bytes().expect("a size") as usize];
    let mut doing: Vec<Doing> = Vec::new();
    let mut cookie = 0;
    for step in 0..STEPS + 64 {
        let start = dice.below(SLOTS as u64) as usize;
        let end = (start + 1 + dice.below(6) as usize).min(SLOTS);
        let busy = doing.iter().any(|one| one.slots.start < end && start < one.slots.end);
        if step < STEPS && !busy && doing.len() < 48 {
            let room = (end - start) as u64 * SLOT;
            let at = if dice.below(2) == 0 { 0 } else { dice.below(room) };
            let length = if dice.below(2) == 0 { room - at } else { 1 + dice.below((room - at).min(9000)) };
            let offset = start as u64 * SLOT + at;
            let range = offset as usize..(offset + length) as usize;
            let client = dice.below(clients.len() as u64) as usize;
            cookie += 1;
            let mode = clients[client].client.mode;
            let (command, flags, payload, after) = match dice.below(10) {
                0..4 => (READ, if mode == Mode::Simple || dice.below(2) == 0 { 0 } else { DF }, vec![], model[range].to_vec()),
                4..8 => {
                    let bytes = pattern(dice.next(), offset, length as usize);
                    (WRITE, if dice.below(20) == 0 { FUA } else { 0 }, bytes.clone(), bytes)
                }
                8 => (WRITE_ZEROES, [0, NO_HOLE, FAST_ZERO, FUA][dice.below(4) as usize], vec![], vec![0; length as usize]),
                _ => (CACHE, 0, vec![], model[range].to_vec()),
            };
            let request = Request::new(command, offset, length).flags(flags).cookie(cookie);
            clients[client].submit(request, &payload);
            doing.push(Doing { client, request, slots: start..end, after });
        } else if !doing.is_empty() {
            // Whoever is asked must have something to say.
            let client = doing[dice.below(doing.len() as u64) as usize].client;
            let reply = clients[client].client.reply();
            let index = doing.iter().position(|one| one.request.cookie == reply.cookie).expect("it was being done");
            let one = doing.swap_remove(index);
            assert_eq!((reply.errno, one.client), (0, client), "{:?}", one.request);
            if one.request.command == READ {
                assert!(reply.data == one.after, "step {step}: {:?} read something else", one.request);
            }
            let at = one.request.offset as usize;
            model[at..at + one.after.len()].copy_from_slice(&one.after);
        }
    }
    assert!(doing.is_empty());
    let mut found = vec![0; model.len()];
    bench.db().read_at(&mut found, 0).expect("a read");
    assert!(found == model, "at the end");
    assert!(bench.store.check().expect("a check").problems.is_empty());
}

#[test]
fn payloads_of_32_mib_go_both_ways_at_once() {
    const LEN: u64 = 32 << 20;
    let bench = Bench::new(4 * LEN);
    let expected = pattern(1, 0, LEN as usize);
    bench.db().write_at(&expected, 0).expect("a write");
    for mode in MODES {
        let mut busy = Busy::new(bench.client().begin(mode, "db"));
        let written = pattern(2, LEN, LEN as usize);
        for cookie in [1, 3, 5] {
            busy.submit(Request::new(READ, 0, LEN).cookie(cookie), &[]);
            busy.submit(Request::new(WRITE, LEN, LEN).cookie(cookie + 1), &written);
        }
        for _ in 0..6 {
            let reply = busy.client.reply();
            assert_eq!(reply.errno, 0);
            assert!(reply.data.is_empty() || reply.data == expected);
        }
        assert!(busy.client.read(LEN, LEN) == written);
    }
    assert!(bench.db().info().expect("a drive").referenced_bytes == 64 * MIB);
}
