//! Where does a message of HTTP/1.1 begin and end, and what stands in its head?

use std::io::{self, BufRead, Read, Write};

/// A request or an answer, as it came.
pub struct Message {
    /// Up to the empty line, which belongs to it.
    head: String,
    /// With the frames of its chunks, if it came in chunks.
    pub body: Vec<u8>,
}

impl Message {
    /// The next request; none if the client has ended.
    pub fn request(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(mut message) = Self::begin(from)? else { return Ok(None) };
        message.read_body(from, false)?;
        Ok(Some(message))
    }

    /// The answer to a request with that method.
    pub fn answer(from: &mut impl BufRead, method: &str) -> io::Result<Self> {
        let mut message = Self::begin(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if method != "HEAD" && !matches!(message.status(), 204 | 304) {
            message.read_body(from, true)?;
        }
        Ok(message)
    }

    /// An answer that no store gave, in the form that S3 gives to errors.
    pub fn error(status: u16) -> Self {
        let code = if status == 503 { "SlowDown" } else { "InternalError" };
        let body =
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>as planned</Message></Error>");
        let head = format!("HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n", body.len());
        Self { head, body: body.into_bytes() }
    }

    fn begin(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut head = String::new();
        loop {
            let before = head.len();
            let read = from.read_line(&mut head)?;
            if read == 0 && head.is_empty() {
                return Ok(None);
            }
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if &head[before..] == "\r\n" {
                return Ok(Some(Self { head, body: Vec::new() }));
            }
        }
    }

    fn read_body(&mut self, from: &mut impl BufRead, until_end: bool) -> io::Result<()> {
        if self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks(from);
        }
        match self.header("content-length").map(str::parse::<u64>) {
            Some(Ok(length)) => {
                let read = from.take(length).read_to_end(&mut self.body)?;
                if (read as u64) < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
            }
            Some(Err(_)) => Err(io::ErrorKind::InvalidData.into()),
            None if until_end => from.read_to_end(&mut self.body).map(drop),
            None => Ok(()),
        }
    }

    fn read_chunks(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        let mut inside = true;
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            self.body.extend(line.as_bytes());
            if !inside {
                // Behind the last chunk come trailers, and an empty line.
                if line.trim_end().is_empty() {
                    return Ok(());
                }
                continue;
            }
            let length = line.split([';', '\r']).next().unwrap_or_default();
            let length = u64::from_str_radix(length, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            inside = length > 0;
            // Each chunk but the last has a line's end behind it.
            let read = if inside { from.take(length + 2).read_to_end(&mut self.body)? as u64 } else { 0 };
            if inside && read < length + 2 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub fn write(&self, into: &mut impl Write) -> io::Result<()> {
        self.write_part(into, self.body.len())
    }

    /// All of the head, and that much of the body.
    pub fn write_part(&self, into: &mut impl Write, bytes: usize) -> io::Result<()> {
        into.write_all(self.head.as_bytes())?;
        into.write_all(&self.body[..bytes.min(self.body.len())])?;
        into.flush()
    }

    /// A word of the first line: those of a request are its method, its path and a version, those of an answer a version and its status.
    fn word(&self, number: usize) -> &str {
        self.head.split_ascii_whitespace().nth(number).unwrap_or_default()
    }

    pub fn method(&self) -> &str {
        self.word(0)
    }

    /// With the query.
    pub fn path(&self) -> &str {
        self.word(1)
    }

    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}
