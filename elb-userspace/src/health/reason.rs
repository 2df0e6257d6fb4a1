//! Why a probe failed: the V3 API's eleven reason codes, and more detail for people.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::Cause;

/// Why a probe failed. Written as the V3 API's `reason`, with `detail` (what was seen, for people)
/// and `cause` (the same for programs); only the cause is read back, since the rest follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Written")]
pub struct Failure {
    /// What was seen.
    pub cause: Cause,
}

impl Failure {
    /// A failure for this cause.
    pub const fn new(cause: Cause) -> Self {
        Self { cause }
    }

    /// The V3 API's `reason_code`.
    pub const fn code(&self) -> ReasonCode {
        self.cause.reason_code()
    }

    /// The V3 API's `expected_response` and `healthcheck_response`, which only a mismatch has.
    pub fn responses(&self) -> Option<(String, String)> {
        self.cause.responses()
    }

    /// What was seen, for people.
    pub fn detail(&self) -> String {
        self.cause.to_string()
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self::new(cause)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.code(), self.cause)
    }
}

impl std::error::Error for Failure {}

/// The V3 API's `reason_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReasonCode {
    /// No connection within the timeout, or no echo reply.
    ConnectTimeout,
    /// The member refused the connection: nothing listens on the port.
    ConnectRefused,
    /// There is no way to the member, or no local resource for the connection.
    ConnectFailed,
    /// The connection was reset while it was established.
    ConnectInterrupt,
    /// TLS could not be negotiated.
    SslHandshakeError,
    /// The connection broke before the answer.
    RecvResponseFailed,
    /// No answer within the timeout.
    RecvResponseTimeout,
    /// The connection broke before the request was sent.
    SendRequestFailed,
    /// The request could not be sent within the timeout.
    SendRequestTimeout,
    /// The answer is not HTTP, or not gRPC.
    ResponseFormatError,
    /// The answer's code is not an expected one.
    ResponseMismatch,
}

impl ReasonCode {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::ConnectTimeout,
        Self::ConnectRefused,
        Self::ConnectFailed,
        Self::ConnectInterrupt,
        Self::SslHandshakeError,
        Self::RecvResponseFailed,
        Self::RecvResponseTimeout,
        Self::SendRequestFailed,
        Self::SendRequestTimeout,
        Self::ResponseFormatError,
        Self::ResponseMismatch,
    ];

    /// As the V3 API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectTimeout => "CONNECT_TIMEOUT",
            Self::ConnectRefused => "CONNECT_REFUSED",
            Self::ConnectFailed => "CONNECT_FAILED",
            Self::ConnectInterrupt => "CONNECT_INTERRUPT",
            Self::SslHandshakeError => "SSL_HANDSHAKE_ERROR",
            Self::RecvResponseFailed => "RECV_RESPONSE_FAILED",
            Self::RecvResponseTimeout => "RECV_RESPONSE_TIMEOUT",
            Self::SendRequestFailed => "SEND_REQUEST_FAILED",
            Self::SendRequestTimeout => "SEND_REQUEST_TIMEOUT",
            Self::ResponseFormatError => "RESPONSE_FORMAT_ERROR",
            Self::ResponseMismatch => "RESPONSE_MISMATCH",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl JsonSchema for Failure {
    fn schema_name() -> Cow<'static, str> {
        "Failure".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::json_schema(generator)
    }
}

/// Why a probe failed.
#[derive(Serialize, JsonSchema)]
struct Written {
    reason_code: ReasonCode,
    expected_response: Option<String>,
    healthcheck_response: Option<String>,
    detail: String,
    cause: Cause,
}

impl From<Failure> for Written {
    fn from(failure: Failure) -> Self {
        let (expected_response, healthcheck_response) = failure.responses().unzip();
        Self {
            reason_code: failure.code(),
            expected_response,
            healthcheck_response,
            detail: failure.detail(),
            cause: failure.cause,
        }
    }
}

/// What is read of it.
#[derive(Deserialize)]
struct Saved {
    cause: Cause,
}

impl From<Saved> for Failure {
    fn from(saved: Saved) -> Self {
        Self::new(saved.cause)
    }
}

#[cfg(test)]
mod tests;
