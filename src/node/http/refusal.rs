//! What is a client told whose request cannot even be read?

use super::limits::HttpLimits;
use crate::node::api::{ErrorType, Fault};
use crate::node::metrics::HttpMetrics;
use hyper::StatusCode;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// How the clients of one address are refused.
#[derive(Clone)]
pub struct Refusal {
    /// Whom it is said to.
    pub from: IpAddr,
    /// What he had to keep to.
    pub limits: HttpLimits,
    /// Where it is counted.
    pub metrics: Arc<HttpMetrics>,
}

impl Refusal {
    /// A whole response, after which the connection ends. It is counted and logged, as all are.
    pub fn words(&self, status: u16) -> Vec<u8> {
        let id = Uuid::new_v4();
        let message = match status {
            408 => format!("The head of a request may take {} seconds", self.limits.head.as_secs()),
            414 | 431 => format!("The head of a request has at most {} bytes, and 100 fields", self.limits.head_bytes),
            421 => "This address is for HTTP through TLS: https://".to_owned(),
            _ => "This is no request of HTTP/1.1".to_owned(),
        };
        tracing::info_span!("request", %id)
            .in_scope(|| tracing::info!(from = %self.from, status, "a request that cannot be read"));
        self.metrics.refused(status);
        let reason =
            StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default().to_uppercase();
        let body = Fault::new(status, ErrorType::Validation, message).to_json().to_string();
        let length = body.len();
        format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json; charset=utf-8\r\nx-request-id: {id}\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }
}
