//! How is a virtual machine run, and spoken with?

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::image::Boot;

/// A guest that says nothing for so long hangs. An emulated processor on a busy machine takes its time, so this is no measure.
const SILENCE_MAX: Duration = Duration::from_secs(120);

const READY: &str = "guest: ready";
const RESULT: &str = "guest: result ";

/// A running virtual machine, killed when dropped.
pub struct Guest {
    name: &'static str,
    process: Child,
    stdin: ChildStdin,
    console: Receiver<String>,
    /// All that the guest ever said.
    transcript: Vec<String>,
}

impl Guest {
    /// Boots from the drive that `uri` names, and returns when its `init` waits for commands.
    pub fn boot(name: &'static str, boot: &Boot, uri: &str) -> Self {
        let mut process = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-m", "192", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .args(["-serial", "stdio"])
            .arg("-kernel")
            .arg(&boot.kernel)
            .arg("-initrd")
            .arg(&boot.initrd)
            // Only errors of the kernel come to the console, and a panic ends the machine.
            .args(["-append", "console=ttyS0 loglevel=4 panic=-1 random.trust_cpu=1"])
            .args(["-drive", &format!("file={uri},if=virtio,format=raw,discard=unmap")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("qemu-system-x86_64 starts");
        let stdin = process.stdin.take().expect("piped");
        let (said, console) = channel();
        let (stdout, stderr) = (process.stdout.take().expect("piped"), process.stderr.take().expect("piped"));
        // They end with the machine, when their pipes do.
        for mut lines in [lines(stdout), lines(stderr)] {
            let said = said.clone();
            thread::spawn(move || lines.all(|line| said.send(line).is_ok()));
        }
        let mut guest = Self { name, process, stdin, console, transcript: Vec::new() };
        guest.wait_for(|line| line == READY);
        guest
    }

    /// Runs a command and returns what it printed; it must succeed.
    pub fn run(&mut self, command: &str) -> Vec<String> {
        self.transcript.push(format!("> {command}"));
        writeln!(self.stdin, "{command}").unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name, self.told()));
        let mut printed = self.wait_for(|line| line.starts_with(RESULT));
        let result = printed.pop().expect("the line waited for");
        assert_eq!(result, format!("{RESULT}0"), "{}: {command}\n{}", self.name, self.told());
        printed
    }

    /// Waits for a line and returns all up to it.
    pub fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.console.recv_timeout(SILENCE_MAX) {
                Ok(line) => {
                    self.transcript.push(line.clone());
                    let found = wanted(&line);
                    lines.push(line);
                    if found {
                        return lines;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => panic!("{} ended\n{}", self.name, self.told()),
                Err(RecvTimeoutError::Timeout) => panic!("{} is silent\n{}", self.name, self.told()),
            }
        }
    }

    /// Shuts it down. It must never have complained of its drive.
    pub fn shut_down(mut self) {
        writeln!(self.stdin, "sync; mount -o remount,ro / && poweroff -f").expect("it listens");
        loop {
            match self.console.recv_timeout(SILENCE_MAX) {
                Ok(line) => {
                    let refused = line.starts_with(RESULT);
                    self.transcript.push(line);
                    assert!(!refused, "{} does not shut down\n{}", self.name, self.told());
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("{} does not shut down\n{}", self.name, self.told()),
            }
        }
        let status = self.process.wait().expect("it can be waited for");
        assert!(status.success(), "{}: {status}\n{}", self.name, self.told());
        let complaint = self.transcript.iter().find(|line| {
            let line = line.to_lowercase();
            ["i/o error", "ext4-fs error", "ext4-fs warning", "jbd2", "panic", "blocked for more"]
                .iter()
                .any(|word| line.contains(word))
        });
        assert!(complaint.is_none(), "{}: {complaint:?}\n{}", self.name, self.told());
    }

    fn told(&self) -> String {
        format!("--- {} said:\n{}", self.name, self.transcript.join("\n"))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail if it has ended already, which is all that is wanted.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn lines(from: impl std::io::Read + Send + 'static) -> Box<dyn Iterator<Item = String> + Send> {
    let lines = BufReader::new(from).split(b'\n').map_while(Result::ok);
    Box::new(lines.map(|line| String::from_utf8_lossy(&line).trim_end().to_owned()))
}
