//! How does a request get to a node, and what does its answer mean?
//!
//! Requests carry a password: they go to the node that was named, and nowhere that an answer points to. Each has an end in time.

use super::credentials::Credentials;
use super::trust;
use crate::node::api::{BASE, IMAGE};
use crate::node::failure::{Failure, FailureKind};
use crate::node::http::KIND;
use serde_json::Value;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use ureq::http::{Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, RequestBuilder};

/// How long it may take to reach a node.
const CONNECT: Duration = Duration::from_secs(10);

/// How long one request may take in all; parts of images are small enough for slow lines.
const REQUEST: Duration = Duration::from_secs(300);

/// Bytes of an answer in JSON.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Requests to one node.
pub struct Connection {
    agent: Agent,
    base: String,
    authorization: String,
}

impl Connection {
    /// To the node at a URL, `http://HOST:PORT` or `https://HOST:PORT`. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no such URL; those of reading certificates.
    pub fn new(url: &str, credentials: &Credentials, ca: Option<&Path>) -> Result<Self, Failure> {
        let base = base(url)?;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(REQUEST))
            .user_agent(concat!("floe/", env!("CARGO_PKG_VERSION")));
        if base.starts_with("https:") {
            let roots: RootCerts = trust::roots(ca)?.into();
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self { agent: Agent::new_with_config(config.build()), base, authorization: credentials.header() })
    }

    /// What a GET shows.
    ///
    /// # Errors
    /// What the node says, or that it says nothing.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        json(self.sent(self.prepared(self.agent.get(self.url(path)), query).call())?)
    }

    /// What comes of a POST.
    ///
    /// # Errors
    /// As for [`Connection::get`].
    pub fn post(&self, path: &str, query: &[(&str, &str)], body: &Value) -> Result<Value, Failure> {
        json(self.sent(self.prepared(self.agent.post(self.url(path)), query).send(body.to_string().as_bytes()))?)
    }

    /// What comes of a PUT.
    ///
    /// # Errors
    /// As for [`Connection::get`].
    pub fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        json(self.sent(self.prepared(self.agent.put(self.url(path)), &[]).send(body.to_string().as_bytes()))?)
    }

    /// Deletes, with a body if there is one.
    ///
    /// # Errors
    /// As for [`Connection::get`].
    pub fn delete(&self, path: &str, body: Option<&Value>) -> Result<(), Failure> {
        let request = self.prepared(self.agent.delete(self.url(path)), &[]);
        let sent = match body {
            Some(body) => request.force_send_body().send(body.to_string().as_bytes()),
            None => request.call(),
        };
        self.sent(sent).map(drop)
    }

    /// Makes an unfinished drive by an upload without a byte.
    ///
    /// # Errors
    /// As for [`Connection::get`].
    pub fn begin_upload(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let request = self.prepared(self.agent.post(self.url(path)), query).header("Content-Type", IMAGE);
        json(self.sent(request.header("Accept", "application/json").send(&[]))?)
    }

    /// Sends a part of an image; `first` is where it lies.
    ///
    /// # Errors
    /// As for [`Connection::get`].
    pub fn send_part(&self, path: &str, query: &[(&str, &str)], first: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut request = self.prepared(self.agent.put(self.url(path)), query).header("Content-Type", IMAGE);
        if !bytes.is_empty() {
            request = request.header("Content-Range", format!("bytes {first}-{}/*", first + bytes.len() as u64 - 1));
        }
        self.sent(request.send(bytes)).map(drop)
    }

    /// A part of an image.
    ///
    /// # Errors
    /// As for [`Connection::get`].
    pub fn receive_part(&self, path: &str, part: &Range<u64>) -> Result<Vec<u8>, Failure> {
        let request = self.prepared(self.agent.get(self.url(path)), &[]);
        let answer = self.sent(request.header("Range", format!("bytes={}-{}", part.start, part.end - 1)).call())?;
        let wanted = part.end - part.start;
        let bytes = answer.into_body().with_config().limit(wanted + 1).read_to_vec().map_err(|error| self.unheard(&error))?;
        if bytes.len() as u64 != wanted {
            return Err(Failure::new(FailureKind::Io, format!("{} bytes came where {wanted} were asked for", bytes.len())));
        }
        Ok(bytes)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn prepared<B>(&self, request: RequestBuilder<B>, query: &[(&str, &str)]) -> RequestBuilder<B> {
        request.header("Authorization", &self.authorization).query_pairs(query.iter().copied())
    }

    /// What a node answered, if it did what it was asked for.
    fn sent(&self, sent: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, Failure> {
        let mut answer = sent.map_err(|error| self.unheard(&error))?;
        let status = answer.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let named = answer.headers().get(KIND).and_then(|kind| kind.to_str().ok()).and_then(FailureKind::named);
        let kind = named.unwrap_or(match status {
            401 | 403 | 429 => FailureKind::Denied,
            404 => FailureKind::NotFound,
            400 | 402..500 => FailureKind::InvalidArgument,
            _ => FailureKind::Io,
        });
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().unwrap_or_default();
        match serde_json::from_slice(&body).ok().as_ref().and_then(said) {
            Some(message) => Err(Failure::new(kind, message)),
            None => Err(Failure::new(FailureKind::Io, format!("what answers at {} is no node: it says {status}", self.base))),
        }
    }

    fn unheard(&self, error: &ureq::Error) -> Failure {
        let message = match error {
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                format!("no node answers at {}: the connection was refused; does `floe serve` run there?", self.base)
            }
            error => format!("no answer from the node at {}: {error}", self.base),
        };
        Failure::new(FailureKind::Io, message)
    }
}

/// What the errors of an answer say.
fn said(errors: &Value) -> Option<String> {
    let errors = errors.as_array()?.iter().map(|error| {
        let message = error["error_message"].as_str()?;
        Some(error["error_point"].as_str().map_or_else(|| message.to_owned(), |point| format!("{point}: {message}")))
    });
    let errors = errors.collect::<Option<Vec<_>>>()?;
    (!errors.is_empty()).then(|| errors.join("; "))
}

fn json(answer: Response<Body>) -> Result<Value, Failure> {
    let body = answer.into_body().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
    body.ok().and_then(|body| serde_json::from_slice(&body).ok()).ok_or_else(unclear)
}

/// The node says what this floe does not understand.
pub fn unclear() -> Failure {
    Failure::new(FailureKind::Io, "the node's answer cannot be understood; is it a floe of this version?")
}

/// The URL of a node's API.
fn base(url: &str) -> Result<String, Failure> {
    let wrong = |why: &str| Failure::new(FailureKind::InvalidArgument, format!("{url:?} is no node's URL: {why}"));
    let uri: Uri = url.parse().map_err(|_| wrong("it should be as http://127.0.0.1:8080"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong("it should be as http://127.0.0.1:8080"));
    };
    if !["http", "https"].contains(&scheme) {
        return Err(wrong("it begins with http: or https:"));
    }
    if authority.as_str().contains('@') {
        return Err(wrong("email and password belong in the environment, or in a file"));
    }
    if uri.query().is_some() {
        return Err(wrong("it has no query"));
    }
    let path = uri.path().trim_end_matches('/');
    let path = path.strip_suffix(BASE).unwrap_or(path);
    Ok(format!("{scheme}://{authority}{path}{BASE}"))
}

#[cfg(test)]
mod tests {
    use super::base;

    #[test]
    fn urls_of_nodes_are_told_from_others() {
        for (url, expected) in [
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080/api/2.0")),
            ("http://127.0.0.1:8080/", Some("http://127.0.0.1:8080/api/2.0")),
            ("https://node.example/api/2.0/", Some("https://node.example/api/2.0")),
            ("https://node.example/floe/", Some("https://node.example/floe/api/2.0")),
            ("http://[::1]:8080", Some("http://[::1]:8080/api/2.0")),
            ("127.0.0.1:8080", None),
            ("/api/2.0/", None),
            ("ftp://127.0.0.1", None),
            ("http://a:b@127.0.0.1", None),
            ("http://127.0.0.1/?x=1", None),
            ("", None),
        ] {
            assert_eq!(base(url).ok().as_deref(), expected, "{url}");
        }
    }
}
