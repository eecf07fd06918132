//! What does an NBD server answer to a client that says anything at all?
//!
//! Bytes choose what the client says: raw, or options and requests whose frames are right and whose contents are not. Every answer is
//! taken apart: it has the right shape, belongs to a request, and no request has two.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use floe::node::nbd::{Limits, Server, ServerOptions, Wire};
use floe::{DriveOptions, MemoryDevice, SnapshotOptions, Store};

const SIZE: u64 = 1 << 20;
const MAGIC_BYTES: usize = 18;
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;

const NAMES: [&str; 8] = ["a", "a@s", "a@t", "", "b", "nobody", "a@", "\u{fc}"];
const QUERIES: [&str; 10] = [
    "base:allocation",
    "qemu:allocation-depth",
    "qemu:dirty-bitmap:since-s",
    "qemu:dirty-bitmap:since-t",
    "base:",
    "qemu:",
    "qemu:dirty-bitmap:",
    "",
    "x:y",
    "qemu:dirty-bitmap:since-",
];

/// What the client says, a few bytes at a time, and what he hears.
struct Memory {
    said: Mutex<(Vec<u8>, usize)>,
    heard: Mutex<Vec<u8>>,
    at_a_time: usize,
}

impl Wire for Memory {
    fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut said = self.said.lock().unwrap();
        let (bytes, at) = &mut *said;
        let count = into.len().min(bytes.len() - *at).min(self.at_a_time);
        into[..count].copy_from_slice(&bytes[*at..*at + count]);
        *at += count;
        Ok(count)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.heard.lock().unwrap().extend(bytes);
        Ok(())
    }

    fn stop_receiving(&self) {}

    fn cut(&self) {}
}

/// Bytes that choose.
struct Chooser<'a>(&'a [u8]);

impl<'a> Chooser<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    fn word(&mut self, all: &[&'a str]) -> &'a [u8] {
        match self.byte() {
            255 => {
                let count = self.byte();
                self.bytes(count.into())
            }
            choice => all[usize::from(choice) % all.len()].as_bytes(),
        }
    }
}

/// A conversation: what is said, and which requests it holds, if its frames are right.
struct Script {
    said: Vec<u8>,
    extended: bool,
    structured: bool,
}

impl Script {
    fn option(&mut self, number: u32, data: &[u8]) {
        self.said.extend(b"IHAVEOPT");
        self.said.extend(number.to_be_bytes());
        self.said.extend((data.len() as u32).to_be_bytes());
        self.said.extend(data);
        match number {
            8 if data.is_empty() && !self.extended => self.structured = true,
            11 if data.is_empty() => (self.extended, self.structured) = (true, true),
            _ => {}
        }
    }

    fn some_option(&mut self, chooser: &mut Chooser<'_>) {
        // EXPORT_NAME and GO come last: what follows them is no option.
        let number = chooser.of(&[3, 4, 5, 6, 8, 9, 10, 11, 12, 99]);
        let data = match number {
            6 => named(chooser.word(&NAMES), &[0, 2, 0, 1, 0, 2]),
            9 | 10 => contexts(chooser),
            _ if chooser.byte() > 200 => {
                let count = chooser.byte();
                chooser.bytes(count.into()).to_vec()
            }
            _ => Vec::new(),
        };
        self.option(number, &data);
    }

    fn some_request(&mut self, cookie: u64, chooser: &mut Chooser<'_>) {
        let kind = chooser.of(&[0_u16, 1, 3, 4, 5, 6, 7, 8, 0, 1, 7]);
        let mut flags = chooser.of(&[0_u16, 0, 1, 2, 4, 8, 16, 18, 32, 33, 0xffff]);
        if self.extended && kind == 1 {
            flags |= 32;
        }
        let offset = chooser.of(&[0, 1, 4095, 4096, 65_536, SIZE / 2, SIZE - 1, SIZE, u64::MAX, 1 << 40]);
        let length = chooser.of(&[0, 1, 100, 4096, 5000, 65_536, 200_000, SIZE, 1 << 31]);
        let has_payload = kind == 1 || (self.extended && flags & 32 != 0);
        let length = if has_payload { length.min(70_000) } else { length };
        let payload = if has_payload { vec![chooser.byte(); length as usize] } else { Vec::new() };
        let magic: u32 = if self.extended { 0x21e4_1c71 } else { 0x2560_9513 };
        self.said.extend(magic.to_be_bytes());
        self.said.extend(flags.to_be_bytes());
        self.said.extend(kind.to_be_bytes());
        self.said.extend(cookie.to_be_bytes());
        self.said.extend(offset.to_be_bytes());
        if self.extended {
            self.said.extend(length.to_be_bytes());
        } else {
            self.said.extend((length as u32).to_be_bytes());
        }
        self.said.extend(payload);
    }
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn named(name: &[u8], rest: &[u8]) -> Vec<u8> {
    [&counted(name)[..], rest].concat()
}

fn contexts(chooser: &mut Chooser<'_>) -> Vec<u8> {
    let mut data = counted(chooser.word(&NAMES));
    let count = u32::from(chooser.byte() % 40);
    data.extend(count.to_be_bytes());
    for _ in 0..count {
        data.extend(counted(chooser.word(&QUERIES)));
    }
    data
}

fn furnished() -> Store {
    let store = Store::options().create_on(Arc::new(MemoryDevice::new(256 << 20).unwrap())).unwrap();
    let drive = store.create_drive(DriveOptions::new(SIZE).name("a")).unwrap();
    drive.write_at(&[1; 100_000], 10_000).unwrap();
    drive.snapshot(SnapshotOptions::named("s")).unwrap();
    drive.write_at(&[2; 5000], 60_000).unwrap();
    drive.snapshot(SnapshotOptions::named("t")).unwrap();
    store.create_drive(DriveOptions::new(SIZE).name("b")).unwrap();
    store
}

/// Lets a client say what `bytes` choose, and takes the answers apart.
pub fn run(bytes: &[u8]) {
    let mut chooser = Chooser(bytes);
    let limits = Limits { workers: 1, ..Limits::default() };
    let server = Server::start(&furnished(), ServerOptions::default().limits(limits)).unwrap();
    let at_a_time = chooser.of(&[usize::MAX, 1, 7, 1000]);
    let raw = chooser.byte() > 200;
    let mut script = Script { said: Vec::new(), extended: false, structured: false };
    let mut requests = 0;
    if raw {
        script.said.extend(chooser.0);
    } else {
        script.said.extend([0, 0, 0, 3]);
        for _ in 0..chooser.byte() % 8 {
            script.some_option(&mut chooser);
        }
        if chooser.byte() > 20 {
            script.option(7, &named(b"a", &[0, 0]));
        } else {
            script.option(1, b"a");
        }
        requests = 1 + u64::from(chooser.byte() % 64);
        (1..=requests).for_each(|cookie| script.some_request(cookie, &mut chooser));
    }
    let (extended, structured) = (script.extended, script.structured);
    let wire = Arc::new(Memory { said: Mutex::new((script.said, 0)), heard: Mutex::default(), at_a_time });
    let ended = server.serve(wire.clone());
    server.stop();
    let heard = wire.heard.lock().unwrap();
    let Some(replies) = behind_handshake(&heard) else {
        assert!(raw || ended.is_err(), "the negotiation neither came to an end nor failed");
        return;
    };
    let answered = take_apart(replies, extended, structured);
    if !raw && ended.is_ok() {
        assert!((1..=requests).all(|cookie| answered.get(&cookie) == Some(&true)), "{requests} requests: {answered:?}");
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// What is heard behind the answer that ends the negotiation; nothing if it was not heard.
fn behind_handshake(heard: &[u8]) -> Option<&[u8]> {
    let mut rest = &heard[MAGIC_BYTES..];
    while rest.len() >= 20 && u64_at(rest, 0) == OPTION_REPLY_MAGIC {
        let (option, kind, len) = (u32_at(rest, 8), u32_at(rest, 12), u32_at(rest, 16) as usize);
        rest = &rest[20 + len..];
        if option == 7 && kind == 1 {
            return Some(rest);
        }
    }
    if rest.is_empty() {
        return None;
    }
    // EXPORT_NAME: a length and flags.
    assert!(rest.len() >= 10 && u64_at(rest, 0) == SIZE, "neither an option's answer nor an export's length");
    let zeroes = if rest.len() >= 134 && rest[10..134].iter().all(|byte| *byte == 0) { 124 } else { 0 };
    Some(&rest[10 + zeroes..])
}

/// For each request whether its answer is complete.
fn take_apart(mut rest: &[u8], extended: bool, structured: bool) -> HashMap<u64, bool> {
    let mut answered = HashMap::new();
    while !rest.is_empty() {
        let magic = u32_at(rest, 0);
        let (cookie, done, len) = match magic {
            0x6744_6698 => {
                assert!(!extended, "a simple reply after extended headers");
                // What a simple reply to a read brings has no length of its own: see below.
                (u64_at(rest, 8), true, 16)
            }
            0x668e_33ef => {
                assert!(structured && !extended, "a chunk that was not agreed on");
                (u64_at(rest, 8), rest[5] & 1 == 1, 20 + u32_at(rest, 16) as usize)
            }
            0x6e8a_278c => {
                assert!(extended, "an extended reply that was not agreed on");
                (u64_at(rest, 8), rest[5] & 1 == 1, 32 + u64_at(rest, 24) as usize)
            }
            _ => panic!("{magic:#x} is no reply"),
        };
        let before = answered.insert(cookie, done);
        assert_ne!(before, Some(true), "request {cookie} was answered twice");
        rest = &rest[len..];
        if !structured {
            // Data follows until the next reply; it is made of bytes that a magic number is not.
            while rest.len() >= 4 && u32_at(rest, 0) != 0x6744_6698 {
                rest = &rest[1..];
            }
            if rest.len() < 4 {
                rest = &[];
            }
        }
    }
    answered
}
