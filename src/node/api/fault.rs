//! How does a call fail, as a client sees it?
//!
//! Always a list of at least one error with three keys, whatever the status and the URL: clients break on anything else.

use crate::node::failure::{Failure, FailureKind};
use serde_json::{Value, json};

/// What kind of error it is, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// The call cannot be meant.
    Validation,
    /// There is no such object.
    NotExist,
    /// The caller may not do that, or not in this state.
    Permission,
    /// The store could not do it.
    Backend,
    /// What was read is not what was written.
    Database,
    /// Try again.
    Concurrency,
}

impl ErrorType {
    fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::NotExist => "notexist",
            Self::Permission => "permission",
            Self::Backend => "backend",
            Self::Database => "database",
            Self::Concurrency => "concurrency",
        }
    }
}

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// What kind it is.
    pub error_type: ErrorType,
    /// What is wrong, in words.
    pub message: String,
    /// The field that it is about.
    pub point: Option<String>,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The HTTP status.
    pub status: u16,
    /// At least one error.
    pub errors: Vec<Point>,
    /// What failed below the API, if that was it.
    pub kind: Option<FailureKind>,
}

impl Fault {
    /// A failure of one error.
    pub fn new(status: u16, error_type: ErrorType, message: impl Into<String>) -> Self {
        Self { status, errors: vec![Point { error_type, message: message.into(), point: None }], kind: None }
    }

    /// A field of the body, or a parameter, cannot be meant.
    pub fn invalid(point: &str, message: impl Into<String>) -> Self {
        let error = Point { error_type: ErrorType::Validation, message: message.into(), point: Some(point.to_owned()) };
        Self { status: 400, errors: vec![error], kind: None }
    }

    /// A field that must be there is not.
    pub fn missing(point: &str) -> Self {
        Self::invalid(point, "This field is required")
    }

    /// There is no such object, or none that the caller may know of.
    pub fn no_object(uuid: impl std::fmt::Display) -> Self {
        Self::new(404, ErrorType::NotExist, format!("Object with uuid {uuid} does not exist"))
    }

    /// The caller may not do that, or not now.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, ErrorType::Permission, message)
    }

    /// The body of the answer.
    pub fn to_json(&self) -> Value {
        let errors = self.errors.iter();
        errors
            .map(|error| {
                json!({"error_type": error.error_type.name(), "error_message": error.message, "error_point": error.point})
            })
            .collect()
    }
}

/// The one table of what a client sees of a failure below the API.
impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        let (status, error_type) = match failure.kind() {
            FailureKind::InvalidArgument | FailureKind::Ambiguous => (400, ErrorType::Validation),
            FailureKind::NotFound => (404, ErrorType::NotExist),
            FailureKind::AlreadyExists | FailureKind::Denied | FailureKind::NotNow => (403, ErrorType::Permission),
            FailureKind::NoSpace => (503, ErrorType::Backend),
            FailureKind::Locked | FailureKind::Closed | FailureKind::Poisoned => (503, ErrorType::Backend),
            FailureKind::Corrupt | FailureKind::NotAStore | FailureKind::UnsupportedFormat => (500, ErrorType::Database),
            FailureKind::Io | FailureKind::BrokenPipe => (500, ErrorType::Backend),
        };
        Self { kind: Some(failure.kind()), ..Self::new(status, error_type, failure.to_string()) }
    }
}

impl From<crate::Error> for Fault {
    fn from(error: crate::Error) -> Self {
        Failure::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::Fault;

    #[test]
    fn every_fault_is_a_list_of_three_keys() {
        let body = Fault::missing("drive").to_json();
        let expected = r#"[{"error_type":"validation","error_message":"This field is required","error_point":"drive"}]"#;
        assert_eq!(body.to_string(), expected);
        let body = Fault::no_object("u").to_json();
        assert_eq!(body[0]["error_point"], serde_json::Value::Null);
        assert_eq!(body[0]["error_message"], "Object with uuid u does not exist");
    }
}
