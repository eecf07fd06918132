//! What goes wrong between a client and a store, and with which request?

use std::time::Duration;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The store never hears of it: the client gets this status. 503 says `SlowDown`.
    Answer(u16),
    /// The store does it, and the client gets this status all the same.
    DoneBut(u16),
    /// The connection ends without an answer; the store never hears of it.
    HangUp,
    /// The store does it, and the connection ends without an answer.
    DoneAndHangUp,
    /// The connection ends behind so many bytes of the answer's body.
    Cut(usize),
    /// This bit of the answer's body is another one. A body that has no such bit stays as it is.
    Flip(usize),
    /// The store hears of it so much later.
    Stall(Duration),
    /// The store hears of it twice; the client gets the second answer.
    Twice,
    /// The answer waits until a request that came later has its own; without one the connection ends.
    Overtaken,
}

/// What a plan knows of a request.
pub struct Request<'a> {
    /// From 0, in the order in which they came.
    pub number: usize,
    pub method: &'a str,
    /// With the query.
    pub path: &'a str,
    pub body: &'a [u8],
}

/// Is asked once for each request.
pub type Plan = Box<dyn FnMut(&Request<'_>) -> Option<Fault> + Send>;

/// A plan: the first request that fits has the fault, no other.
pub fn once(fault: Fault, fits: impl FnMut(&Request<'_>) -> bool + Send) -> impl FnMut(&Request<'_>) -> Option<Fault> + Send {
    nth(0, fault, fits)
}

/// A plan: of the requests that fit, the one with this number, from 0, has the fault.
pub fn nth(
    number: usize,
    fault: Fault,
    mut fits: impl FnMut(&Request<'_>) -> bool + Send,
) -> impl FnMut(&Request<'_>) -> Option<Fault> + Send {
    let mut seen = 0;
    move |request| {
        let is_one = fits(request);
        let is_it = is_one && seen == number;
        seen += usize::from(is_one);
        is_it.then_some(fault)
    }
}
