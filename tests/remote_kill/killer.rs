//! How is a command killed, at any of its steps?

use super::cli_support::{Bench, text};
use super::dice::Dice;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const KILLED: i32 = 9;

/// Kills commands, and remembers how long each kind takes.
#[derive(Default)]
pub struct Killer {
    usual: BTreeMap<&'static str, Duration>,
    done: BTreeMap<&'static str, (u64, u64)>,
}

/// A command that is gone when the test is.
struct Guarded(Option<Child>);

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended already.
            child.kill().unwrap_or_default();
            child.wait().map(drop).unwrap_or_default();
        }
    }
}

impl Killer {
    /// Runs a command to its end, to see how long it takes.
    pub fn learn(&mut self, bench: &Bench, kind: &'static str, args: &[&str]) -> String {
        let begun = Instant::now();
        let stdout = bench.ok(args);
        self.took(kind, begun.elapsed());
        stdout
    }

    fn took(&mut self, kind: &'static str, time: Duration) {
        // What is done in time is the faster part of all: longer ones count more.
        self.usual.entry(kind).and_modify(|usual| *usual = time.max((*usual * 7 + time) / 8)).or_insert(time);
    }

    /// Runs a command and kills it at some moment. What it said if it was done before; it must have gone well then.
    pub fn run(&mut self, bench: &Bench, dice: &mut Dice, kind: &'static str, args: &[&str]) -> Option<String> {
        let usual = self.usual.get(kind).copied().unwrap_or(Duration::from_millis(50));
        let moment = Duration::from_micros(dice.below(usual.as_micros() as u64 * 5 / 4 + 1));
        let begun = Instant::now();
        let spawned = bench.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = Guarded(Some(spawned.expect("the command starts")));
        let running = child.0.as_mut().expect("it is there");
        while begun.elapsed() < moment && running.try_wait().expect("a child").is_none() {
            thread::sleep(Duration::from_micros(300).min(moment.saturating_sub(begun.elapsed())));
        }
        let time = begun.elapsed();
        // It may have ended already.
        running.kill().unwrap_or_default();
        let output: Output = child.0.take().expect("it is there").wait_with_output().expect("a child");
        let counted = self.done.entry(kind).or_default();
        if output.status.signal() == Some(KILLED) {
            counted.0 += 1;
            if time > usual {
                // It takes longer than that, so that its last steps are still to be seen.
                self.usual.insert(kind, time * 5 / 4);
            }
            return None;
        }
        assert!(output.status.success(), "{args:?}: {}: {}", output.status, text(&output.stderr));
        counted.1 += 1;
        self.took(kind, time);
        Some(text(&output.stdout))
    }

    /// How often each kind was killed, and how often it was done before.
    pub fn summary(&self) -> String {
        let kind = |(kind, (killed, done)): (&&str, &(u64, u64))| {
            let usual = self.usual.get(kind).map_or(0, Duration::as_millis);
            format!("{kind}: {killed} kills, {done} done, usually {usual} ms")
        };
        self.done.iter().map(kind).collect::<Vec<_>>().join("; ")
    }
}
