//! Who asks a node, and how does it know?

use crate::node::failure::{Failure, FailureKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where an email is looked for, if no file has it.
const USER: &str = "FLOE_USER";
/// Where its password is.
const PASSWORD: &str = "FLOE_PASSWORD";

/// More than any credentials have.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// An email and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    email: String,
    password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials of {:?}", self.email)
    }
}

impl Credentials {
    /// Those in a file, or else those of the environment.
    ///
    /// # Errors
    /// `InvalidArgument` if there are none, or the file is not its owner's alone; `NotFound`, `Io`.
    pub fn find(file: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = file {
            return Self::read(path);
        }
        match (std::env::var(USER), std::env::var(PASSWORD)) {
            (Ok(email), Ok(password)) => Ok(Self { email, password }),
            _ => {
                let message = format!("as whom? set {USER} and {PASSWORD} in the environment, or give --credentials FILE");
                Err(Failure::new(FailureKind::InvalidArgument, message))
            }
        }
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::io(path.display(), error);
        let wrong = |what: &str| Failure::new(FailureKind::InvalidArgument, format!("{}: {what}", path.display()));
        let file = File::open(path).map_err(failed)?;
        // Of the file that is open: another one may have taken its name meanwhile.
        if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(wrong("others can read or write these credentials; chmod 600 makes them yours alone"));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        Self::parse(&text).ok_or_else(|| wrong("credentials are two lines, email and password, or one: EMAIL:PASSWORD"))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (first, second) = (lines.next()?, lines.next().filter(|line| !line.is_empty()));
        let (email, password) = second.map(|second| (first, second)).or_else(|| first.split_once(':'))?;
        (!email.is_empty()).then(|| Self { email: email.to_owned(), password: password.to_owned() })
    }

    /// As a request says them.
    #[must_use]
    pub fn header(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.email, self.password)))
    }
}

#[cfg(test)]
mod tests {
    use super::Credentials;

    #[test]
    fn credentials_are_two_lines_or_one() {
        for (text, expected) in [
            ("a@b\nsecret\n", Some(("a@b", "secret"))),
            ("a@b\nsecret", Some(("a@b", "secret"))),
            ("a@b\r\nse:cret \r\n", Some(("a@b", "se:cret "))),
            ("a@b:se:cret\n", Some(("a@b", "se:cret"))),
            ("a@b:secret\n\n", Some(("a@b", "secret"))),
            ("a@b\n", None),
            (":secret\n", None),
            ("", None),
        ] {
            let found = Credentials::parse(text);
            assert_eq!(found.as_ref().map(|found| (found.email.as_str(), found.password.as_str())), expected, "{text:?}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = format!("{:?}", Credentials::parse("a@b:secret").expect("credentials"));
        assert!(shown.contains("a@b") && !shown.contains("secret"));
    }
}
