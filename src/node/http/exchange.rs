//! How does a request become a call, and an answer a response?

use super::content::{self, ImageBody};
use super::probes::{MetricsAt, Probe};
use super::served::Served;
use super::turn::{Answered, Answering, Turn};
use crate::node::accounts::{Account, Denied};
use crate::node::api::{Answer, Api, Call, ErrorType, Fault, Open, template};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use tracing::{Instrument, Span};
use uuid::Uuid;

/// By what a client and the log know a request. One that a client sends means nothing.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What failed below the API: more than the status says, for the command.
pub const KIND: HeaderName = HeaderName::from_static("x-floe-kind");

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Seconds until whoever failed too often may try again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("30");

/// The body of a response: whole, or read when the client can take it.
pub type Reply = Either<Full<Bytes>, ImageBody>;

/// A connection, as requests know it.
pub struct Asking {
    /// What answers.
    pub served: Arc<Served>,
    /// Whose turn it is.
    pub turn: Arc<Turn>,
    /// Where it comes from.
    pub from: IpAddr,
    /// Is it for probes alone?
    pub probes_only: bool,
}

/// Answers a request, whatever it is.
///
/// # Errors
/// None: every failure is an answer.
pub async fn exchange(asking: Arc<Asking>, request: Request<Incoming>) -> Result<Response<Answered<Reply>>, Infallible> {
    let (id, begun) = (Uuid::new_v4(), Instant::now());
    let served = &asking.served;
    let probe = Probe::of(request.uri().path()).filter(|probe| {
        let elsewhere = !asking.probes_only && served.metrics_at != MetricsAt::Http;
        !(*probe == Probe::Metrics && elsewhere)
    });
    let answering = Answering::begin(&asking.turn, probe.is_none().then_some(&served.in_progress));
    let span = tracing::info_span!("request", %id);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (mut response, caller) = match probe {
        Some(probe) => (probed(Arc::clone(served), probe, &method).await, None),
        None => match open(&asking, &method, &path) {
            Some(open) => (open, None),
            None => answer(&asking, request).instrument(span.clone()).await,
        },
    };
    let headers = response.headers_mut();
    headers.extend(HeaderValue::from_str(&id.to_string()).map(|id| (REQUEST_ID, id)));
    if served.is_stopping() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let (status, time) = (response.status().as_u16(), begun.elapsed());
    let route = probe.map(Probe::path).or_else(|| template(&path)).unwrap_or("unknown");
    served.metrics.http.answered(method.as_str(), route, status, time);
    let account = caller.map(tracing::field::display);
    let milliseconds = time.as_millis();
    if probe.is_none() {
        span.in_scope(|| tracing::info!(from = %asking.from, account, %method, path, status, milliseconds, "a request"));
    } else {
        // They come every few seconds.
        span.in_scope(|| tracing::debug!(from = %asking.from, %method, path, status, milliseconds, "a probe"));
    }
    Ok(response.map(|body| Answered::new(body, answering)))
}

/// The answer, and who asked, if that is known.
async fn answer(asking: &Asking, request: Request<Incoming>) -> (Response<Reply>, Option<Uuid>) {
    let (parts, body) = request.into_parts();
    let method = parts.method.clone();
    let refused = |fault: Fault| response(fault.into(), &method);
    let caller = match let_in(asking, &parts).await {
        Ok(caller) => caller,
        Err(fault) => return (refused(fault), None),
    };
    let uuid = caller.uuid;
    (call(&asking.served, caller, parts, body).await.unwrap_or_else(refused), Some(uuid))
}

/// Who asks? Nothing of the body is read, nor kept in memory, for somebody who is nobody.
async fn let_in(asking: &Asking, parts: &Parts) -> Result<Account, Fault> {
    let served = &asking.served;
    if asking.probes_only {
        return Err(Fault::new(404, ErrorType::NotExist, "Only /healthz, /readyz and /metrics are here"));
    }
    if served.is_stopping() {
        return Err(Fault::new(503, ErrorType::Backend, "The node is stopping"));
    }
    if !accepts_json(&parts.headers) && !Api::streams(parts.method.as_str(), parts.uri.path()) {
        return Err(Fault::new(406, ErrorType::Validation, "Answers are application/json"));
    }
    let Some((email, password)) = credentials(&parts.headers) else {
        return Err(Fault::new(401, ErrorType::Permission, "Authentication is required: HTTP Basic, email and password"));
    };
    let metrics = &served.metrics.http;
    if let Some(account) = served.api.accounts().remembered(&email, &password) {
        metrics.login("remembered");
        return Ok(account);
    }
    let (api, from) = (Arc::clone(&served.api), asking.from);
    let looked = served.gate.look(from, move || api.accounts().log_in(&email, &password, from)).await;
    match looked.ok_or_else(bug)? {
        Ok(account) => {
            metrics.login("right");
            Ok(account)
        }
        Err(Denied::Wrong) => {
            metrics.login("wrong");
            Err(Fault::new(401, ErrorType::Permission, "No such account, or not its password"))
        }
        Err(Denied::TooOften) => {
            metrics.login("too_often");
            Err(Fault::new(429, ErrorType::Permission, "Too many wrong passwords; try again later"))
        }
    }
}

async fn call(served: &Arc<Served>, caller: Account, parts: Parts, body: Incoming) -> Result<Response<Reply>, Fault> {
    let limits = &served.limits;
    let Ok(path) = percent_encoding::percent_decode_str(parts.uri.path()).decode_utf8().map(|path| path.into_owned()) else {
        return Err(Fault::new(400, ErrorType::Validation, "The path is not text"));
    };
    let parameters = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let mut call = Call { method: parts.method.as_str().to_owned(), path, parameters, body: Vec::new() };
    if Api::streams(&call.method, &call.path) {
        return Ok(content::exchange(served, caller, call, &parts.headers, body).await);
    }
    let too_long = || Fault::new(413, ErrorType::Validation, format!("A body has at most {} bytes", limits.body_bytes));
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return Err(too_long());
    }
    call.body = match tokio::time::timeout(limits.body, Limited::new(body, limits.body_bytes).collect()).await {
        Ok(Ok(body)) => body.to_bytes().to_vec(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_long()),
        Ok(Err(error)) => {
            return Err(Fault::new(400, ErrorType::Validation, format!("The body did not come whole: {error}")));
        }
        Err(_) => {
            let message = format!("The body of a request may take {} seconds", limits.body.as_secs());
            return Err(Fault::new(408, ErrorType::Validation, message));
        }
    };
    let place = Arc::clone(&served.threads).acquire_owned().await;
    let api = Arc::clone(&served.api);
    let answer = in_thread(move || {
        let answer = api.answer(&caller, &call);
        drop(place);
        answer
    });
    Ok(response(answer.await?, &parts.method))
}

/// Does what may block.
pub async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work)).await.map_err(|error| {
        tracing::error!(%error, "a bug: answering a request panicked");
        bug()
    })
}

/// What a client hears of a bug.
pub fn bug() -> Fault {
    Fault::new(500, ErrorType::Backend, "This is a bug of floe; the log has more")
}

/// What anybody may read, if that is asked for.
fn open(asking: &Asking, method: &Method, path: &str) -> Option<Response<Reply>> {
    if asking.probes_only || (method != Method::GET && method != Method::HEAD) {
        return None;
    }
    Some(match Api::open(path)? {
        Open::Json(text) => with_body(200, JSON, text.into(), method),
        Open::Html(text) => with_body(200, HTML, text.into(), method),
    })
}

async fn probed(served: Arc<Served>, probe: Probe, method: &Method) -> Response<Reply> {
    if method != Method::GET && method != Method::HEAD {
        let fault = Fault::new(405, ErrorType::Validation, format!("{method} is not allowed here"));
        return response(Answer { allow: Some("GET,HEAD".into()), ..fault.into() }, method);
    }
    // Whether the process answers must not depend on anything else.
    let answered = match probe {
        Probe::Health => Ok(probe.answer(&served)),
        _ => in_thread(move || probe.answer(&served)).await,
    };
    match answered {
        Ok((status, kind, body)) => with_body(status, kind, body, method),
        Err(fault) => response(fault.into(), method),
    }
}

/// Email and password; the first colon parts them.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (email, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((email.to_owned(), password.to_owned()))
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let mut asked = headers.get_all(ACCEPT).iter().peekable();
    if asked.peek().is_none() {
        return true;
    }
    asked.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        ["*/*", "application/*", "application/json"].iter().any(|json| range.eq_ignore_ascii_case(json))
    })
}

/// A response that is whole.
pub fn with_body(status: u16, kind: HeaderValue, body: Bytes, method: &Method) -> Response<Reply> {
    let body = if method == Method::HEAD { Bytes::new() } else { body };
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // `201 CREATED`, as the documentation has it.
    let reason = response.status().canonical_reason().and_then(|reason| ReasonPhrase::try_from(reason.to_uppercase()).ok());
    if let Some(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// An answer as a response.
pub fn response(answer: Answer, method: &Method) -> Response<Reply> {
    let body = answer.body.as_ref().map(ToString::to_string).unwrap_or_default();
    // Clients know that nothing is text/html.
    let kind = if answer.body.is_some() { JSON } else { HTML };
    let mut response = with_body(answer.status, kind, body.into(), method);
    let status = response.status();
    let headers = response.headers_mut();
    for (name, value) in [(LOCATION, answer.location), (ALLOW, answer.allow), (KIND, answer.kind.map(str::to_owned))] {
        headers.extend(value.and_then(|value| HeaderValue::from_str(&value).ok()).map(|value| (name, value)));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"floe\", charset=\"UTF-8\""));
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    response
}
