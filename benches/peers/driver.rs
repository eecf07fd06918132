//! How fast are a plain file and a floe drive, if the very same loops drive both?
//!
//! For `benches/peers/run`, which starts it as `driver raw FILE MEBIBYTES` or `driver floe FILE MEBIBYTES` and writes commands to it, one a
//! line; each is answered by one line of numbers by name, `seconds=0.5 p50=1.2`. Times of calls are in microseconds.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, Write, stdin, stdout};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use floe::{Drive, DriveOptions, Snapshot, SnapshotOptions, Store};

const BLOCK: usize = 4096;
const CHUNK: usize = 1 << 20;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is driven.
enum Target {
    Raw(File),
    Floe { store: Store, drive: Drive },
}

impl Target {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Outcome<()> {
        match self {
            Self::Raw(file) => Ok(file.read_exact_at(buf, offset)?),
            Self::Floe { drive, .. } => Ok(drive.read_at(buf, offset)?),
        }
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Outcome<()> {
        match self {
            Self::Raw(file) => Ok(file.write_all_at(buf, offset)?),
            Self::Floe { drive, .. } => Ok(drive.write_at(buf, offset)?),
        }
    }

    fn sync(&self) -> Outcome<()> {
        match self {
            Self::Raw(file) => Ok(file.sync_data()?),
            Self::Floe { drive, .. } => Ok(drive.flush()?),
        }
    }

    fn floe(&mut self) -> Outcome<(&Store, &mut Drive)> {
        match self {
            Self::Raw(_) => Err("a plain file has no such thing".into()),
            Self::Floe { store, drive } => Ok((store, drive)),
        }
    }
}

/// Its image, and what was written to it.
struct Driver {
    target: Target,
    bytes: u64,
    /// No two writes write the same.
    written: u64,
    snapshots: Vec<Snapshot>,
}

impl Driver {
    fn open(kind: &str, path: &Path, mebibytes: u64) -> Outcome<Self> {
        let bytes = mebibytes << 20;
        let target = if kind == "floe" {
            // The image, all of it anew under the newest snapshot, and what fell behind it; sparse.
            let store = Store::options().capacity(4 * bytes + (1 << 30)).create(path)?;
            let drive = store.create_drive(DriveOptions::new(bytes))?;
            Target::Floe { store, drive }
        } else {
            Target::Raw(OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?)
        };
        Ok(Self { target, bytes, written: 0, snapshots: Vec::new() })
    }

    /// Bytes that repeat nowhere.
    fn content(&mut self, buf: &mut [u8]) {
        self.written += 1;
        for (number, word) in buf.chunks_exact_mut(8).enumerate() {
            let value = (self.written << 20 | number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            word.copy_from_slice(&value.to_le_bytes());
        }
    }

    /// All of the image in order, and durable.
    fn fill(&mut self) -> Outcome<f64> {
        let mut chunk = vec![0; CHUNK];
        let mut seconds = 0.0;
        for offset in (0..self.bytes).step_by(CHUNK) {
            self.content(&mut chunk);
            seconds += timed(|| self.target.write_at(&chunk, offset))?;
        }
        Ok(seconds + timed(|| self.target.sync())?)
    }

    fn scan(&self) -> Outcome<f64> {
        let mut chunk = vec![0; CHUNK];
        timed(|| (0..self.bytes).step_by(CHUNK).try_for_each(|offset| self.target.read_at(&mut chunk, offset)))
    }

    /// The `number`th of all blocks in an order without a pattern.
    fn block(&self, number: u64) -> u64 {
        let blocks = self.bytes / BLOCK as u64;
        let bits = blocks.trailing_zeros();
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % blocks;
        (mixed ^ mixed >> (bits / 2)).wrapping_mul(0xD1B5_4A32_D192_ED03) % blocks
    }

    /// Writes distinct blocks, a sync after each `every` and at the end.
    fn write(&mut self, count: u64, every: u64, seed: u64) -> Outcome<String> {
        let mut block = [0; BLOCK];
        let (mut calls, mut syncs) = (Vec::new(), Vec::new());
        for number in 0..count {
            self.content(&mut block);
            let offset = self.block(number + seed) * BLOCK as u64;
            calls.push(timed(|| self.target.write_at(&block, offset))?);
            if (number + 1).is_multiple_of(every) || number + 1 == count {
                syncs.push(timed(|| self.target.sync())?);
            }
        }
        let seconds: f64 = calls.iter().chain(&syncs).sum();
        Ok(format!(
            "rate={} p50={} p99={} sync={}",
            count as f64 / seconds,
            of(&mut calls, 50),
            of(&mut calls, 99),
            of(&mut syncs, 50)
        ))
    }

    /// Reads blocks that were all read before.
    fn read(&self, count: u64, seed: u64) -> Outcome<String> {
        let mut block = [0; BLOCK];
        let mut calls = Vec::new();
        for pass in 0..2 {
            calls.clear();
            for number in 0..count {
                // The second pass goes another way.
                let number = if pass == 0 { number } else { number * 7919 % count };
                let offset = self.block(number + seed) * BLOCK as u64;
                calls.push(timed(|| self.target.read_at(&mut block, offset))?);
            }
        }
        let seconds: f64 = calls.iter().sum();
        Ok(format!("rate={} p50={} p99={}", count as f64 / seconds, of(&mut calls, 50), of(&mut calls, 99)))
    }

    /// One block and a sync: the least that makes anything durable.
    fn page(&mut self, seed: u64) -> Outcome<String> {
        let mut block = [0; BLOCK];
        self.content(&mut block);
        let offset = self.block(seed) * BLOCK as u64;
        let seconds = timed(|| self.target.write_at(&block, offset).and_then(|()| self.target.sync()))?;
        Ok(format!("us={}", seconds * 1e6))
    }

    /// Another image in place of this one, written in order.
    fn renew(&mut self) -> Outcome<()> {
        let bytes = self.bytes;
        match &mut self.target {
            Target::Raw(file) => file.set_len(0)?,
            Target::Floe { store, drive } => {
                for snapshot in self.snapshots.drain(..) {
                    snapshot.delete()?;
                }
                drive.delete()?;
                *drive = store.create_drive(DriveOptions::new(bytes))?;
                reclaim(store)?;
            }
        }
        self.fill()?;
        Ok(())
    }

    fn snapshot(&mut self) -> Outcome<String> {
        let (_, drive) = self.target.floe()?;
        let start = Instant::now();
        let snapshot = drive.snapshot(SnapshotOptions::default())?;
        let answer = format!("us={}", microseconds(start));
        self.snapshots.push(snapshot);
        Ok(answer)
    }

    /// A clone of the newest snapshot, which is deleted again.
    fn clone_newest(&mut self) -> Outcome<String> {
        let newest = self.snapshots.last().ok_or("no snapshot")?;
        let start = Instant::now();
        let clone = newest.clone_drive(DriveOptions::default())?;
        let answer = format!("us={}", microseconds(start));
        clone.delete()?;
        reclaim(self.target.floe()?.0)?;
        Ok(answer)
    }

    fn delete_oldest(&mut self) -> Outcome<String> {
        if self.snapshots.is_empty() {
            return Err("no snapshot".into());
        }
        let oldest = self.snapshots.remove(0);
        let start = Instant::now();
        oldest.delete()?;
        let answer = format!("us={}", microseconds(start));
        drop(oldest);
        reclaim(self.target.floe()?.0)?;
        Ok(answer)
    }

    /// How big the oldest snapshot is: the mean of many questions.
    fn size(&self) -> Outcome<String> {
        const QUESTIONS: u32 = 1000;
        let oldest = self.snapshots.first().ok_or("no snapshot")?;
        let start = Instant::now();
        for _ in 0..QUESTIONS {
            std::hint::black_box(oldest.allocated_size()?);
        }
        Ok(format!("us={}", microseconds(start) / f64::from(QUESTIONS)))
    }

    fn used(&mut self) -> Outcome<String> {
        let usage = self.target.floe()?.0.usage();
        Ok(format!("bytes={}", usage.data_bytes + usage.metadata_bytes))
    }

    fn answer(&mut self, words: &[&str]) -> Outcome<String> {
        let number = |at: usize| -> Outcome<u64> { Ok(words.get(at).ok_or("a number is missing")?.parse()?) };
        match words[0] {
            "renew" => self.renew().map(|()| String::new()),
            "fill" => self.fill().map(|seconds| format!("mbps={}", self.bytes as f64 / 1e6 / seconds)),
            "scan" => self.scan().map(|seconds| format!("mbps={}", self.bytes as f64 / 1e6 / seconds)),
            "write" => self.write(number(1)?, number(2)?, number(3)?),
            "read" => self.read(number(1)?, number(2)?),
            "page" => self.page(number(1)?),
            "snapshot" => self.snapshot(),
            "clone" => self.clone_newest(),
            "delete" => self.delete_oldest(),
            "size" => self.size(),
            "used" => self.used(),
            other => Err(format!("what is {other}?").into()),
        }
    }
}

fn reclaim(store: &Store) -> Outcome<()> {
    while !store.reclaim(u64::MAX)?.done {}
    Ok(store.flush()?)
}

fn timed(work: impl FnOnce() -> Outcome<()>) -> Outcome<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn microseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

/// A percentile of seconds, in microseconds.
fn of(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() - 1) * percent / 100] * 1e6
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let [kind, path, mebibytes] = &arguments[..] else {
        return Err("driver raw|floe FILE MEBIBYTES; benches/peers/run starts it".into());
    };
    let mut driver = Driver::open(kind, Path::new(path), mebibytes.parse()?)?;
    if !driver.bytes.is_power_of_two() {
        return Err("as many mebibytes as a power of two".into());
    }
    for line in stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = driver.answer(&words)?;
        writeln!(stdout(), "{answer}")?;
    }
    Ok(())
}
