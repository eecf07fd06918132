//! Is everything as promised after a kill (D2, D3, D4, D5, A1-A7)?
//!
//! A child process works on a store in a real file and logs each call before and after it. This process kills it at a random
//! moment, rebuilds from the log what must be there, opens what is left and compares everything: lists, names, sizes of all
//! four kinds, every byte, `check`. Then the next child goes on with the same file, mostly as the kill left it.
//!
//! `FLOE_KILLS`: how many kills. `FLOE_SEED`: the seed of the first store. `FLOE_KILL_AT`: instead of a moment, how many lines of the log
//! each child may write before it is killed.

#[path = "kill/child.rs"]
mod child;
#[path = "kill/choice.rs"]
mod choice;
#[path = "threads/dice.rs"]
mod dice;
#[allow(dead_code, reason = "the oracle asks for more")]
#[path = "oracle/judge.rs"]
mod judge;
#[allow(dead_code, reason = "the oracle asks for more")]
#[path = "oracle/model.rs"]
mod model;
#[path = "kill/operation.rs"]
mod operation;
#[path = "kill/replay.rs"]
mod replay;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use floe::Store;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use tempfile::TempDir;

use child::Task;
use dice::{Dice, mix};
use judge::{Outcome, Reading, done, judge, same};
use operation::{Line, lines_of};
use replay::{Expected, Seen};

const SEED: u64 = 20_261_123;
const KILLS: u64 = 200;
const CAPACITY_BYTES: u64 = 200 << 20;
/// After so many kills a new store is begun.
const KILLS_PER_STORE: u64 = 20;
const KILL_AFTER_MICROSECONDS: u64 = 120_000;
/// A child that has not begun by then never will.
const PATIENCE: Duration = Duration::from_secs(60);
const TEST: &str = "store_is_as_promised_after_each_kill";
/// Set for the child: the directory with the store and the log.
const CHILD: &str = "FLOE_KILL_CHILD";
/// Set for the child: its task.
const TASK: &str = "FLOE_KILL_TASK";
/// SIGKILL
const KILLED: i32 = 9;

#[test]
fn store_is_as_promised_after_each_kill() {
    if let Ok(directory) = env::var(CHILD) {
        child::work(
            &store_in(directory.as_ref()),
            &log_in(directory.as_ref()),
            task_from(&env::var(TASK).expect("a child's task")),
        );
    }
    let positions: Vec<usize> = env::var("FLOE_KILL_AT").map_or(Vec::new(), |list| {
        list.split(',').map(|position| position.parse().expect("FLOE_KILL_AT is a list of numbers")).collect()
    });
    let (mut seed, mut left) = (number("FLOE_SEED", SEED), number("FLOE_KILLS", KILLS));
    let begun = Instant::now();
    let (mut kills, mut lines, mut seen) = (0, 0, Seen::default());
    while left > 0 {
        let mut victim = Victim::new(seed);
        let wanted = left.min(KILLS_PER_STORE);
        if let Err(difference) = victim.live(wanted, &positions) {
            victim.report(&difference);
        }
        kills += wanted;
        lines += victim.positions.iter().sum::<usize>();
        seen += victim.expected.seen;
        seed += 1;
        left -= wanted;
    }
    println!("{kills} kills, {lines} lines of logs, {seen:?}, {:.1} s", begun.elapsed().as_secs_f64());
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

fn store_in(directory: &Path) -> PathBuf {
    directory.join("store.floe")
}

fn log_in(directory: &Path) -> PathBuf {
    directory.join("log")
}

fn words_of(task: Task) -> String {
    format!("{} {} {} {}", task.seed, task.round, task.threads, task.background_reclaim)
}

fn task_from(words: &str) -> Task {
    let words: Vec<&str> = words.split(' ').collect();
    let [seed, round, threads, background_reclaim] = words[..] else { panic!("no task: {words:?}") };
    let number = |word: &str| word.parse().expect("a task is made of numbers");
    Task {
        seed: number(seed),
        round: number(round),
        threads: number(threads) as usize,
        background_reclaim: background_reclaim == "true",
    }
}

/// A store whose users are killed one after the other.
struct Victim {
    directory: TempDir,
    task: Task,
    expected: Expected,
    dice: Dice,
    /// How many lines each log had when its writer was killed.
    positions: Vec<usize>,
    lines: Vec<Line>,
}

impl Victim {
    fn new(seed: u64) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let store = Store::options().capacity(CAPACITY_BYTES).create(store_in(directory.path())).expect("a store is created");
        store.close().expect("a new store is closed");
        let task = Task { seed, round: 0, threads: 1 + seed as usize % 2, background_reclaim: seed.is_multiple_of(3) };
        let expected = Expected::new(CAPACITY_BYTES);
        Self { directory, task, expected, dice: Dice::new(mix(seed)), positions: Vec::new(), lines: Vec::new() }
    }

    fn path(&self) -> PathBuf {
        store_in(self.directory.path())
    }

    fn live(&mut self, kills: u64, positions: &[usize]) -> Outcome {
        for round in 0..kills {
            self.task.round = round + 1;
            self.kill(positions.get(round as usize).copied())?;
            if self.dice.below(4) == 0 {
                self.verify(&self.path())?;
            } else {
                // The next child finds the store as the kill left it.
                let copy = self.directory.path().join("copy.floe");
                copy_sparse(&self.path(), &copy).expect("a copy of the store");
                self.verify(&copy)?;
            }
        }
        self.delete_everything()
    }

    /// Lets a child work for a while, or until its log has so many lines, and kills it.
    fn kill(&mut self, position: Option<usize>) -> Outcome {
        let log = log_in(self.directory.path());
        fs::write(&log, []).expect("an empty log");
        let mut child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", TEST, "--nocapture"])
            .env(CHILD, self.directory.path())
            .env(TASK, words_of(self.task))
            .stdout(Stdio::null())
            .spawn()
            .expect("a child");
        await_lines(&mut child, &log, position.unwrap_or(1));
        if position.is_none() {
            thread::sleep(Duration::from_micros(self.dice.below(KILL_AFTER_MICROSECONDS)));
        }
        child.kill().expect("a child can be killed");
        let status = child.wait().expect("a child that is killed ends");
        self.lines = lines_of(&fs::read(&log).expect("the log can be read"));
        self.positions.push(self.lines.len());
        match self.lines.last() {
            Some(Line::Failed { text }) => Err(format!("the child failed: {text}")),
            _ if status.signal() != Some(KILLED) => Err(format!("the child ended by itself: {status}")),
            _ => Ok(()),
        }
    }

    fn verify(&mut self, path: &Path) -> Outcome {
        let store = done("open", Store::options().open(path))?;
        expect_clean(&store)?;
        self.expected.replay(&self.lines, self.task.threads, &store)?;
        judge(&store, &self.expected.model, Reading::Thorough)?;
        same("capacity", &store.usage().capacity_bytes, &self.expected.capacity)?;
        drain(&store)?;
        same("A7: bytes in use and bytes reachable", &store.usage().data_bytes, &self.expected.model.reachable())?;
        judge(&store, &self.expected.model, Reading::Light)?;
        expect_clean(&store)?;
        done("close", store.close())
    }

    fn delete_everything(&mut self) -> Outcome {
        let store = done("open", Store::options().open(self.path()))?;
        let (mut drives, mut snapshots) = (store.drives(), store.snapshots());
        while !drives.is_empty() || !snapshots.is_empty() {
            let chosen = self.dice.below((drives.len() + snapshots.len()) as u64) as usize;
            if chosen < drives.len() {
                done("delete a drive", drives.swap_remove(chosen).delete())?;
            } else {
                done("delete a snapshot", snapshots.swap_remove(chosen - drives.len()).delete())?;
            }
        }
        drain(&store)?;
        same("A7: bytes in use after everything was deleted", &store.usage().data_bytes, &0)?;
        expect_clean(&store)?;
        done("close", store.close())
    }

    fn report(self, difference: &str) -> ! {
        const TOLD: usize = 12;
        let from = self.lines.len().saturating_sub(TOLD);
        for (position, line) in self.lines.iter().enumerate().skip(from) {
            eprintln!("{position:6}  {line:?}");
        }
        let positions: Vec<String> = self.positions.iter().map(ToString::to_string).collect();
        let (kill, position) = (self.positions.len(), self.lines.len());
        eprintln!("{:?}; store and log are kept in {}", self.task, self.directory.keep().display());
        panic!(
            "kill {kill}, at line {position} of its log: {difference}\n\nreplay (a kill may come a little later): \
             FLOE_SEED={} FLOE_KILLS={kill} FLOE_KILL_AT={} cargo test --test kill\n",
            self.task.seed,
            positions.join(",")
        );
    }
}

/// Waits until the log has `wanted` lines, or its writer has ended.
fn await_lines(child: &mut Child, log: &Path, wanted: usize) {
    let begun = Instant::now();
    while lines_of(&fs::read(log).expect("the log can be read")).len() < wanted {
        if child.try_wait().expect("a child can be asked").is_some() || begun.elapsed() > PATIENCE {
            return;
        }
        thread::sleep(Duration::from_micros(100));
    }
}

fn expect_clean(store: &Store) -> Outcome {
    let report = done("check", store.check())?;
    if report.is_clean() { Ok(()) } else { Err(format!("check found {}: {:#?}", report.problems_total, report.problems)) }
}

fn drain(store: &Store) -> Outcome {
    while !done("reclaim", store.reclaim(1000))?.done {
        done("flush", store.flush())?;
    }
    Ok(())
}

/// Copies what is written of a file, holes left out.
fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (File::open(from)?, File::create(to)?);
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut at = 0;
    while at < length {
        let data = match seek(&from, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        at = seek(&from, SeekFrom::Hole(data))?;
        let mut bytes = vec![0; (at - data) as usize];
        from.read_exact_at(&mut bytes, data)?;
        to.write_all_at(&bytes, data)?;
    }
    Ok(())
}
