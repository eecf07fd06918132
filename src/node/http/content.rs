//! How do images go out and come in, however slow the other side is?
//!
//! 1. A thread is taken for one piece at a time: a client that waits costs its connection, and no thread.
//! 2. Of an image at most a few pieces are in memory.
//! 3. An upload is followed to its end, whether its client waits or not: nothing half done stays behind.

use super::exchange::{Reply, bug, in_thread, response, with_body};
use super::served::Served;
use crate::node::accounts::Account;
use crate::node::api::{Api, Call, Content, ErrorType, Fault, Head, IMAGE, Incoming, Outgoing, Received};
use crate::node::service::blocks::ZEROES;
use crate::node::service::parts::Part;
use crate::node::service::select::Image;
use crate::units::BLOCK_BYTES;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming as Sent, SizeHint};
use hyper::header::{
    ACCEPT, ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE,
};
use hyper::{Method, Response, StatusCode};
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The most that is read, or written, at once.
const PIECE_BYTES: usize = 256 << 10;

/// Pieces that are read and written at a time, of all images.
static PLACES: Semaphore = Semaphore::const_new(16);

/// What an image fails with on its way.
pub type Broken = Box<dyn Error + Send + Sync>;

/// Answers a call for content. Its body was not read yet.
pub async fn exchange(served: &Served, caller: Account, call: Call, headers: &HeaderMap, body: Sent) -> Response<Reply> {
    let api = Arc::clone(&served.api);
    let method = call.method.parse().unwrap_or(Method::GET);
    let (head, api_too, caller_too, call_too) = (head(headers), Arc::clone(&api), caller.clone(), call.clone());
    let content = in_place(move || api_too.content(&caller_too, &call_too, &head)).await;
    match content {
        Ok(Content::Out(outgoing)) => send(outgoing, &method),
        Ok(Content::Unchanged(tag)) => {
            let mut response = Response::new(Either::Left(Full::default()));
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            set(response.headers_mut(), ETAG, &tag);
            response
        }
        Ok(Content::Behind(size_bytes)) => {
            let fault = Fault::new(416, ErrorType::Validation, format!("The image has {size_bytes} bytes"));
            let mut response = response(fault.into(), &method);
            set(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{size_bytes}"));
            response
        }
        Ok(Content::In(incoming)) => {
            // A task of its own: what was begun is ended by it, also if the connection goes.
            let taking = tokio::spawn(take(api, caller, call, Arc::new(incoming), body, served.limits.stall));
            match taking.await.unwrap_or_else(|_| Err(bug())) {
                Ok(Received::Json(answer)) => response(answer, &method),
                Ok(Received::Text(uuid, uri)) => {
                    let mut response = with_body(201, TEXT, uuid.to_string().into(), &method);
                    set(response.headers_mut(), LOCATION, &uri);
                    response
                }
                Err(fault) => response(fault.into(), &method),
            }
        }
        Err(fault) => response(fault.into(), &method),
    }
}

fn head(headers: &HeaderMap) -> Head {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    Head {
        range: text(RANGE),
        if_range: text(IF_RANGE),
        if_none_match: text(IF_NONE_MATCH),
        content_range: text(CONTENT_RANGE),
        content_type: text(CONTENT_TYPE),
        length: text(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        wants_json: accepted
            .flat_map(|value| value.split(','))
            .any(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")),
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // What is set is made of uuids and numbers: it always is a value.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Does what may block, when there is a place for it.
async fn in_place<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    let place = PLACES.acquire().await;
    let done = in_thread(move || {
        // Held by the work: it may outlive whoever waits for it.
        let _place = place;
        work()
    });
    done.await?
}

// --- out -------------------------------------------------------------------------------------------------------------

fn send(outgoing: Outgoing, method: &Method) -> Response<Reply> {
    let Outgoing { image, uuid, size_bytes, part, tag } = outgoing;
    let partial = part.is_some();
    let part = part.unwrap_or(0..size_bytes);
    let (at, end) = (part.start, part.end);
    let mut response = Response::new(if method == Method::HEAD {
        Either::Left(Full::default())
    } else {
        Either::Right(ImageBody { image, at, end, zeroes: 0, reading: None })
    });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(IMAGE));
    headers.insert(CONTENT_LENGTH, (end - at).into());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set(headers, CONTENT_DISPOSITION, &format!("attachment; filename=\"{uuid}\""));
    if let Some(tag) = &tag {
        set(headers, ETAG, tag);
    }
    if partial {
        set(headers, CONTENT_RANGE, &format!("bytes {at}-{}/{size_bytes}", end - 1));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

type Reading = Pin<Box<dyn Future<Output = Result<Part, Fault>> + Send>>;

/// An image, or a part of it, that is read when the client can take more.
pub struct ImageBody {
    image: Image,
    at: u64,
    end: u64,
    /// Zeroes that come next.
    zeroes: u64,
    reading: Option<Reading>,
}

impl Body for ImageBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        if this.at == this.end {
            return Poll::Ready(None);
        }
        let mut bytes = Bytes::new();
        if this.zeroes == 0 {
            let reading = this.reading.get_or_insert_with(|| {
                let (image, range) = (this.image.clone(), this.at..this.end);
                Box::pin(in_place(move || Ok(image.part(range, PIECE_BYTES)?)))
            });
            let read = ready!(reading.as_mut().poll(context));
            this.reading = None;
            match read {
                Ok(Part::Zeroes(count)) => this.zeroes = count,
                Ok(Part::Data(data)) => bytes = data.into(),
                Err(fault) => {
                    let why = fault.errors.first().map(|error| error.message.clone()).unwrap_or_default();
                    tracing::warn!(at = this.at, why, "an image could not be sent to its end");
                    return Poll::Ready(Some(Err(why.into())));
                }
            }
        }
        if this.zeroes > 0 {
            let count = usize::try_from(this.zeroes).map_or(PIECE_BYTES, |count| count.min(PIECE_BYTES));
            bytes = Bytes::from_static(&ZEROES[..count]);
            this.zeroes -= count as u64;
        }
        this.at += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at)
    }
}

// --- in --------------------------------------------------------------------------------------------------------------

async fn take(
    api: Arc<Api>,
    caller: Account,
    call: Call,
    incoming: Arc<Incoming>,
    body: Sent,
    stall: Duration,
) -> Result<Received, Fault> {
    let came = pour(&incoming, body, stall).await;
    in_place(move || {
        let taken = came.and_then(|()| api.finish(&caller, &call, &incoming));
        if taken.is_err() {
            incoming.give_up(&api);
        }
        taken
    })
    .await
}

/// Writes what comes, a piece at a time, while the next one comes.
async fn pour(incoming: &Arc<Incoming>, mut body: Sent, stall: Duration) -> Result<(), Fault> {
    let mut writing: Option<JoinHandle<Result<(), Fault>>> = None;
    let (mut piece, mut done) = (Vec::with_capacity(PIECE_BYTES), 0);
    loop {
        let mut bytes = match tokio::time::timeout(stall, body.frame()).await {
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Ok(Some(Err(error))) => return Err(broke_off(writing, format!("The image did not come whole: {error}")).await),
            Ok(None) => break,
            Err(_) => return Err(broke_off(writing, format!("Nothing came for {} seconds", stall.as_secs())).await),
        };
        while !bytes.is_empty() {
            // Pieces end where blocks do: no block is written twice.
            let into_block = usize::try_from((incoming.offset + done) % BLOCK_BYTES).expect("less than a block");
            let room = PIECE_BYTES - into_block - piece.len();
            piece.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if piece.len() == PIECE_BYTES - into_block {
                let whole = std::mem::replace(&mut piece, Vec::with_capacity(PIECE_BYTES));
                done = write(incoming, &mut writing, whole, done).await?;
            }
        }
    }
    done = write(incoming, &mut writing, piece, done).await?;
    settled(&mut writing).await?;
    if done == incoming.length {
        return Ok(());
    }
    Err(Fault::new(400, ErrorType::Validation, format!("The image did not come whole: {done} of {} bytes", incoming.length)))
}

/// Begins to write a piece when the one before it is written; how much has come with it.
async fn write(
    incoming: &Arc<Incoming>,
    writing: &mut Option<JoinHandle<Result<(), Fault>>>,
    piece: Vec<u8>,
    done: u64,
) -> Result<u64, Fault> {
    settled(writing).await?;
    let (incoming, with_it) = (Arc::clone(incoming), done + piece.len() as u64);
    *writing = Some(tokio::spawn(in_place(move || incoming.write(&piece, done))));
    Ok(with_it)
}

async fn settled(writing: &mut Option<JoinHandle<Result<(), Fault>>>) -> Result<(), Fault> {
    match writing.take() {
        Some(writing) => writing.await.unwrap_or_else(|_| Err(bug())),
        None => Ok(()),
    }
}

/// Nothing is written any more when this returns.
async fn broke_off(mut writing: Option<JoinHandle<Result<(), Fault>>>, why: String) -> Fault {
    let settled = settled(&mut writing).await;
    settled.err().unwrap_or_else(|| Fault::new(400, ErrorType::Validation, why))
}
