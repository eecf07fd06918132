//! How does a test send an image, get one back, and break off in between?

use super::client::PATIENCE;
use super::node::{Node, Who, authorization};
use super::world::World;
use std::io::Write;
use std::net::TcpStream;
use ureq::http::{Request, Response};

pub const BLOCK: usize = 4096;
pub const IMAGE: &str = "application/octet-stream";

/// What came back: status, headers by name in lower case, bytes.
pub struct Got {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub bytes: Vec<u8>,
}

impl Got {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("text")
    }
}

/// An image of blocks: `.` for zeroes, else what the block is filled with; `tail` bytes of 't' follow.
pub fn image(picture: &str, tail: usize) -> Vec<u8> {
    let blocks = picture.bytes().flat_map(|letter| [if letter == b'.' { 0 } else { letter }; BLOCK]);
    blocks.chain(std::iter::repeat_n(b't', tail)).collect()
}

/// Sends bytes, with headers as `Name: value`, and takes what comes.
#[track_caller]
pub fn send(node: &Node, who: Who, line: &str, headers: &[&str], bytes: &[u8]) -> Got {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let mut request = Request::builder().method(method).uri(format!("http://{}/api/2.0{path}", node.address));
    let authorization = authorization(who);
    for header in headers.iter().chain([&authorization.as_str()]) {
        let (name, value) = header.split_once(": ").expect("a header");
        request = request.header(name, value);
    }
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
    let answer = if bytes.is_empty() && method != "POST" && method != "PUT" {
        ureq::Agent::new_with_config(config).run(request.body(()).expect("a request"))
    } else {
        ureq::Agent::new_with_config(config).run(request.body(bytes).expect("a request"))
    };
    got(answer.unwrap_or_else(|error| panic!("{line}: {error}")))
}

fn got(mut answer: Response<ureq::Body>) -> Got {
    let headers = answer.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.to_str().expect("text").to_owned())).collect();
    let bytes = answer.body_mut().with_config().limit(1 << 30).read_to_vec().expect("the whole body");
    Got { status: answer.status().as_u16(), headers, bytes }
}

/// Begins to send a request whose body has `length` bytes, and sends only `bytes` of it.
pub fn begin(node: &Node, who: Who, line: &str, headers: &[&str], length: usize, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&node.address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!(
        "{method} /api/2.0{path} HTTP/1.1\r\nHost: {}\r\n{}\r\n{more}Content-Length: {length}\r\n\r\n",
        node.address,
        authorization(who)
    );
    stream.write_all(&[head.as_bytes(), bytes].concat()).expect("sent");
    stream
}

impl World {
    /// Uploads an image as a new drive, which the test calls `name`.
    #[track_caller]
    pub fn upload(&mut self, name: &str, bytes: &[u8]) {
        let content = format!("Content-Type: {IMAGE}");
        let got = send(&self.node, self.who, &format!("POST /drives/upload/?name={name}"), &[&content], bytes);
        assert_eq!(got.status, 201, "{}", got.text());
        self.names.insert(name.to_owned(), got.text().to_owned());
    }

    /// The image of a drive or snapshot.
    #[track_caller]
    pub fn download(&self, collection: &str, name: &str) -> Vec<u8> {
        let got = send(&self.node, self.who, &format!("GET /{collection}/{}/download/", self.names[name]), &[], b"");
        assert_eq!(got.status, 200, "{}", got.text());
        got.bytes
    }
}
