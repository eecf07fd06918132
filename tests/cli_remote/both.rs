//! How does a test run a command on a store and on a node, and hold what they say against each other?

use super::cli_support::{Bench, code, text, write_sparse};
use super::node::{Node, OWNER};
use super::process::Guarded;
use std::process::{Command, Output, Stdio};

/// Variables that say where drives are, and who asks.
const VARIABLES: [&str; 6] = ["FLOE_STORE", "FLOE_URL", "FLOE_USER", "FLOE_PASSWORD", "FLOE_CREDENTIALS", "FLOE_CA"];

/// The command, with none of the variables, in a directory.
pub fn command(bench: &Bench, args: &[&str]) -> Command {
    let mut command = bench.command(args);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command
}

/// The command on a node, by the environment.
pub fn on_node(bench: &Bench, url: &str, args: &[&str]) -> Command {
    let mut command = command(bench, args);
    command.env("FLOE_URL", url).env("FLOE_USER", OWNER.0).env("FLOE_PASSWORD", OWNER.1);
    command
}

/// A store and a node, each with a directory of its own; both begin empty.
pub struct Both {
    pub store: Bench,
    pub node: Node,
    pub beside: Bench,
}

impl Both {
    pub fn new() -> Self {
        Self { store: Bench::new(), node: Node::new(), beside: Bench::new() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.node.address)
    }

    /// Writes an image into both directories.
    pub fn image(&self, name: &str, bytes: &[u8]) {
        for bench in [&self.store, &self.beside] {
            write_sparse(&bench.path(name), bytes);
        }
    }

    /// What both say: on the store, and on the node. `stdin` is a file of both directories.
    pub fn outputs(&self, args: &[&str], stdin: Option<&str>) -> [Output; 2] {
        let run = |mut command: Command, bench: &Bench| {
            // By a pipe, which has no size.
            let mut cat =
                stdin.map(|name| Guarded(Command::new("cat").arg(bench.path(name)).stdout(Stdio::piped()).spawn().expect("cat")));
            if let Some(Guarded(cat)) = &mut cat {
                command.stdin(cat.stdout.take().expect("a pipe"));
            }
            command.output().expect("the command starts")
        };
        let local = run(self.store.command(args), &self.store);
        [local, run(on_node(&self.beside, &self.url(), args), &self.beside)]
    }

    /// Both end with `expected`, and say the same, but for uuids, times, and what a store alone knows.
    #[track_caller]
    pub fn same(&self, args: &[&str], expected: i32) -> Output {
        self.same_with(args, None, expected)
    }

    #[track_caller]
    pub fn same_with(&self, args: &[&str], stdin: Option<&str>, expected: i32) -> Output {
        let [local, remote] = self.outputs(args, stdin);
        let said = |output: &Output| (plain(&text(&output.stdout)), plain(&text(&output.stderr)));
        assert_eq!(said(&local), said(&remote), "{args:?}: on the store, and on the node");
        assert_eq!((code(&local), code(&remote)), (expected, expected), "{args:?}: {}", text(&remote.stderr));
        remote
    }

    /// Both end with `expected`, each with words of its own.
    #[track_caller]
    pub fn both_fail(&self, args: &[&str], expected: i32) {
        for output in self.outputs(args, None) {
            assert_eq!((code(&output), text(&output.stdout).as_str()), (expected, ""), "{args:?}: {}", text(&output.stderr));
            assert!(text(&output.stderr).starts_with("floe: "), "{args:?}");
        }
    }
}

/// The text with names for what differs from run to run, in order of appearance.
fn plain(text: &str) -> String {
    let text = text.replace(" on this node", " in this store");
    let known_to_stores = [" given back\n", "\"freed_size\"", "\"reclaimed\""];
    let lines = text.split_inclusive('\n').filter(|line| !known_to_stores.iter().any(|words| line.contains(words)));
    let text: String = lines.collect();
    let (mut plain, mut uuids, mut rest) = (String::new(), Vec::new(), text.as_str());
    while !rest.is_empty() {
        if let Some(uuid) = rest.get(..36).filter(|word| uuid::Uuid::try_parse(word).is_ok()) {
            let at = uuids.iter().position(|known| *known == uuid).unwrap_or_else(|| {
                uuids.push(uuid);
                uuids.len() - 1
            });
            plain += &format!("UUID-{at}");
            rest = &rest[36..];
        } else if let Some(len) = time_len(rest) {
            plain += "TIME";
            rest = &rest[len..];
        } else {
            let letter = rest.chars().next().expect("not empty");
            plain.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    // A list's last field has a comma less where another one follows in a store alone.
    plain.replace(",\n}", "\n}").replace("],\n}", "]\n}")
}

/// How long the time is that a text begins with.
fn time_len(text: &str) -> Option<usize> {
    let fits = |pattern: &str| {
        text.len() >= pattern.len()
            && text
                .bytes()
                .zip(pattern.bytes())
                .all(|(byte, wanted)| if wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted })
    };
    ["0000-00-00 00:00:00.000000+00:00", "0000-00-00 00:00:00", "0000-00-00__00_00_00"]
        .into_iter()
        .find(|pattern| fits(pattern))
        .map(str::len)
}

#[test]
fn what_differs_from_run_to_run_is_named_in_order() {
    let [one, two] = ["2f3a54fe-7a4c-4f7e-9d3b-0d8f3f5c1e2a", "11111111-7a4c-4f7e-9d3b-0d8f3f5c1e2a"];
    let text = format!("a {one} {two} {one}__2026-11-22__03_31_24 2026-11-22 03:31:24.588311+00:00\n4 KiB given back\n");
    assert_eq!(plain(&text), "a UUID-0 UUID-1 UUID-0__TIME TIME\n");
}
