//! How does a case run in a process of its own?

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// Names the case that the child shall run.
const CASE: &str = "FLOE_ATTACK_CASE";

/// What the child says when it got as far as it should.
const AT_THE_END: &str = "the case got to its end";

/// How the child is expected to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, and well.
    Lives,
    /// Killed by SIGBUS, after it said [`at_the_end`].
    Sigbus,
}

/// In the child everything up to here went as it should.
pub fn at_the_end() {
    eprintln!("{AT_THE_END}");
}

/// The path of the test that says so.
macro_rules! here {
    () => {{
        fn inside() {}
        let path = std::any::type_name_of_val(&inside).trim_end_matches("::inside");
        path.split_once("::").map_or(path, |(_, test)| test)
    }};
}
pub(crate) use here;

/// Runs `case` in a child, which is this very test program told to run this test alone, and judges how it ended.
pub fn in_child(test: &str, ending: Ending, case: impl FnOnce()) {
    if env::var_os(CASE).is_some_and(|name| name == test) {
        case();
        if ending == Ending::Lives {
            at_the_end();
        }
        return;
    }
    let program = env::current_exe().expect("a test program has a path");
    let output = Command::new(program).args([test, "--exact", "--nocapture"]).env(CASE, test).output().expect("the child starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(AT_THE_END), "{test}: {}: {said}", output.status);
    match ending {
        Ending::Lives => assert!(output.status.success(), "{test}: {}: {said}", output.status),
        Ending::Sigbus => assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{test}: {}: {said}", output.status),
    }
}
