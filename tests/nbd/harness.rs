//! How does a case get a server, and how does it run a tool against it?

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use floe::node::nbd::{Server, ServerOptions};
use floe::{Device, Drive, DriveOptions, Snapshot, SnapshotOptions, Store};
use tempfile::TempDir;

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const BLOCK: u64 = floe::BLOCK_BYTES;

/// Attributes of a drive that several clients may write to at the same time.
pub const MULTIMOUNT: &[u8] = br#"{"allow_multimount":true}"#;

/// A tool that takes longer hangs: it is killed, and the test fails. None needs a tenth of that.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often somebody who waits looks again.
const PAUSE: Duration = Duration::from_millis(2);

/// A store, a server in front of it, and a directory for whatever a case needs.
pub struct Bench {
    pub store: Store,
    server: Option<Server>,
    directory: TempDir,
}

impl Bench {
    /// A server for a new store in a file, of 2 GiB at most.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::options().capacity(2 << 30).create(directory.path().join("store.floe")).expect("a new store");
        Self::serve(store, directory)
    }

    /// A server for a new store on a device.
    pub fn on(device: Arc<dyn Device>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self::serve(Store::options().create_on(device).expect("a new store"), directory)
    }

    fn serve(store: Store, directory: TempDir) -> Self {
        let address = format!("unix:{}/nbd.sock", directory.path().display());
        let options = ServerOptions::default().listen(address.parse().expect("an address"));
        let server = Server::start(&store, options).expect("the server starts");
        assert_eq!(server.addresses()[0].to_string(), address, "it listens where it was told");
        Self { store, server: Some(server), directory }
    }

    pub fn drive(&self, name: &str, size_bytes: u64) -> Drive {
        self.store.create_drive(DriveOptions::new(size_bytes).name(name)).expect("a new drive")
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> String {
        text(self.directory.path().join(name))
    }

    pub fn socket(&self) -> String {
        self.path("nbd.sock")
    }

    pub fn uri(&self, export: &str) -> String {
        format!("nbd+unix:///{}?socket={}", export.replace('@', "%40"), self.socket())
    }

    /// Makes a file in the directory and returns its path.
    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a file");
        path
    }

    /// Ends the server, and looks whether the store is as it must be.
    pub fn finish(mut self) {
        self.server.take().expect("it runs").stop();
        let report = self.store.check().expect("a check");
        assert!(report.is_clean(), "{report:?}");
        self.store.close().expect("the store closes");
    }
}

pub fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().expect("text")
}

pub fn snapshot(drive: &Drive, name: &str) -> Snapshot {
    drive.snapshot(SnapshotOptions::named(name)).expect("a snapshot")
}

/// All bytes of a drive.
pub fn drive_bytes(drive: &Drive) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(drive.size_bytes().expect("it is there")).expect("small")];
    drive.read_at(&mut bytes, 0).expect("a read");
    bytes
}

/// All bytes of a snapshot.
pub fn snapshot_bytes(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(snapshot.size_bytes()).expect("small")];
    snapshot.read_at(&mut bytes, 0).expect("a read");
    bytes
}

/// Equal, or where not: the bytes themselves are too many to be shown.
#[track_caller]
pub fn same_bytes(left: &[u8], right: &[u8], what: &str) {
    assert_eq!(left.len(), right.len(), "{what}: the lengths");
    let other = left.iter().zip(right).position(|(left, right)| left != right);
    if let Some(at) = other {
        panic!("{what}: byte {at} is {} and not {}", left[at], right[at]);
    }
}

/// Are the tools there? If not, says so loudly, and fails where they must be.
pub fn has_tools(test: &str, tools: &[&str]) -> bool {
    let is_there = |name: &&str| match *name {
        "python3-libnbd" => command("python3", &["-c", "import nbd"]).output().is_ok_and(|output| output.status.success()),
        name => env::split_paths(&search_path()).any(|directory| directory.join(name).is_file()),
    };
    let missing: Vec<_> = tools.iter().filter(|name| !is_there(name)).collect();
    if !missing.is_empty() {
        assert!(env::var_os("CI").is_none(), "{test} needs {missing:?}");
        eprintln!("SKIPPED: {test} needs {missing:?}");
    }
    missing.is_empty()
}

/// The system's own tools come first: python3-libnbd belongs to the system's Python, whatever other the user prefers.
fn search_path() -> String {
    format!("/usr/sbin:/usr/bin:/sbin:/bin:{}", env::var("PATH").unwrap_or_default())
}

/// What is still to be run; the system's tools come first.
pub fn command(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.arg(format!("PATH={}", search_path())).arg(name).args(args);
    command.env("LC_ALL", "C").env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command
}

/// What a tool printed, and how it ended.
pub struct Said {
    line: String,
    status: ExitStatus,
    pub out: String,
    err: String,
}

impl Said {
    /// It must have ended well. Returns what it printed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.status.success(), "{}: {}\n{}{}", self.line, self.status, self.out, self.err);
        self.out
    }

    /// Did it end well?
    pub fn is_ok(&self) -> bool {
        self.status.success()
    }

    /// It must have failed by itself. Returns everything it printed.
    #[track_caller]
    pub fn refused(self) -> String {
        let failed = self.status.code().is_some_and(|code| code != 0);
        assert!(failed, "{} must fail: {}\n{}{}", self.line, self.status, self.out, self.err);
        self.out + &self.err
    }
}

/// Runs a tool to its end.
pub fn run(name: &str, args: &[&str]) -> Said {
    run_within(PATIENCE, name, args)
}

/// The same for what takes longer, or shall outlast tools that it runs itself.
pub fn run_within(patience: Duration, name: &str, args: &[&str]) -> Said {
    let line = format!("{name} {}", args.join(" "));
    let mut outputs = [(); 2].map(|()| tempfile::tempfile().expect("a file"));
    let [out, err] = [0, 1].map(|index: usize| Stdio::from(outputs[index].try_clone().expect("a file")));
    let mut child = command(name, args).stdout(out).stderr(err).spawn().expect("env starts");
    let status = wait(&mut child, patience, &line);
    let [out, err] = [0, 1].map(|index: usize| read_from_start(&mut outputs[index]));
    Said { line, status, out, err }
}

fn read_from_start(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("a file");
    file.read_to_end(&mut bytes).expect("a file");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for the end of a process; one that hangs is killed.
fn wait(child: &mut Child, patience: Duration, line: &str) -> ExitStatus {
    let mut status = None;
    until_within(patience, &format!("{line} ends"), || {
        status = child.try_wait().expect("a child");
        status.is_some()
    })
    .unwrap_or_else(|late| {
        child.kill().expect("a child");
        panic!("{late}");
    });
    status.expect("it ended")
}

/// Waits until something is so; an error says that it took too long.
pub fn until(what: &str, is_so: impl FnMut() -> bool) -> Result<(), String> {
    until_within(PATIENCE, what, is_so)
}

fn until_within(patience: Duration, what: &str, mut is_so: impl FnMut() -> bool) -> Result<(), String> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > patience {
            return Err(format!("waited too long until {what}"));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// A tool that runs while the test does something else; killed when it is dropped.
pub struct Running {
    line: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    pub fn start(name: &str, args: &[&str]) -> Self {
        let line = format!("{name} {}", args.join(" "));
        let mut child = command(name, args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("env starts");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        // A tool that nobody listens to any more has nowhere to go with its words.
        thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { line, child, input, lines }
    }

    /// Waits for the next line, which must be `expected`.
    #[track_caller]
    pub fn hear(&self, expected: &str) {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => assert_eq!(line, expected, "{}", self.line),
            Err(_) => panic!("{}: ended or hangs before it said {expected:?}", self.line),
        }
    }

    /// Lets it go on.
    pub fn go_on(&mut self) {
        self.input.as_mut().expect("it is piped").write_all(b"\n").expect("it listens");
    }

    /// It must end well, by itself.
    #[track_caller]
    pub fn end(mut self) {
        drop(self.input.take());
        let status = wait(&mut self.child, PATIENCE, &self.line);
        assert!(status.success(), "{}: {status}: {:?}", self.line, self.lines.try_iter().collect::<Vec<_>>());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().and_then(|()| self.child.wait()).map_or_else(|error| eprintln!("{}: {error}", self.line), drop);
        }
    }
}
