//! How does a request become a call, and an answer a response?

use crate::node::accounts::Denied;
use crate::node::api::{Answer, Api, Call, ErrorType, Fault};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// By what a client and the log know a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Whether the process runs; asked without credentials.
const HEALTH: &str = "/healthz";

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const EMPTY: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Seconds until whoever failed too often may try again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("30");

/// Answers a request, whatever it is.
///
/// # Errors
/// None: every failure is an answer.
pub async fn exchange(
    api: Arc<Api>,
    request: Request<Incoming>,
    from: IpAddr,
    body_bytes_max: usize,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let id = Uuid::new_v4();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answer = answer(api, request, from, body_bytes_max).await;
    tracing::info!(request = %id, %from, %method, path, status = answer.status, "a request");
    Ok(response(answer, &method, id))
}

async fn answer(api: Arc<Api>, request: Request<Incoming>, from: IpAddr, body_bytes_max: usize) -> Answer {
    if request.uri().path() == HEALTH {
        return Answer { status: 200, body: Some(serde_json::json!({"status": "ok"})), location: None, allow: None };
    }
    if !accepts_json(request.headers()) {
        return Fault::new(406, ErrorType::Validation, "Answers are application/json").into();
    }
    let Some((email, password)) = credentials(request.headers()) else {
        return Fault::new(401, ErrorType::Permission, "Authentication is required: HTTP Basic, email and password").into();
    };
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, body_bytes_max).collect().await {
        Ok(body) => body.to_bytes().to_vec(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Fault::new(413, ErrorType::Validation, format!("A body has at most {body_bytes_max} bytes")).into();
        }
        Err(error) => return Fault::new(400, ErrorType::Validation, format!("The body did not come whole: {error}")).into(),
    };
    let Ok(path) = percent_encoding::percent_decode_str(parts.uri.path()).decode_utf8().map(|path| path.into_owned()) else {
        return Fault::new(400, ErrorType::Validation, "The path is not text").into();
    };
    let query = parts.uri.query().unwrap_or_default();
    let parameters = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let call = Call { method: parts.method.as_str().to_owned(), path, parameters, body };
    let answered = tokio::task::spawn_blocking(move || match api.accounts().log_in(&email, &password, from) {
        Ok(caller) => api.answer(&caller, &call),
        Err(Denied::Wrong) => Fault::new(401, ErrorType::Permission, "No such account, or not its password").into(),
        Err(Denied::TooOften) => Fault::new(429, ErrorType::Permission, "Too many wrong passwords; try again later").into(),
    });
    answered.await.unwrap_or_else(|_| Fault::new(500, ErrorType::Backend, "This is a bug of floe; the log has more").into())
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

fn response(answer: Answer, method: &Method, id: Uuid) -> Response<Full<Bytes>> {
    let body = answer.body.as_ref().map(ToString::to_string).unwrap_or_default();
    let kind = if answer.body.is_some() { JSON } else { EMPTY };
    let body = if method == Method::HEAD { Bytes::new() } else { body.into() };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let status = response.status();
    // `201 CREATED`, as the documentation has it.
    let reason = status.canonical_reason().and_then(|reason| ReasonPhrase::try_from(reason.to_uppercase()).ok());
    if let Some(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.extend(HeaderValue::from_str(&id.to_string()).map(|id| (REQUEST_ID, id)));
    for (name, value) in [(LOCATION, answer.location), (ALLOW, answer.allow)] {
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
