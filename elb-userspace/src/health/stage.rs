//! How far a probe came.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reason::ReasonCode;

/// What a probe waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The connection.
    Connect,
    /// The end of the TLS handshake.
    Handshake,
    /// The request to leave.
    Request,
    /// The answer.
    Response,
}

impl Stage {
    pub(super) const fn timed_out(self) -> ReasonCode {
        match self {
            Self::Connect => ReasonCode::ConnectTimeout,
            Self::Handshake => ReasonCode::SslHandshakeError,
            Self::Request => ReasonCode::SendRequestTimeout,
            Self::Response => ReasonCode::RecvResponseTimeout,
        }
    }

    pub(super) const fn broken(self) -> ReasonCode {
        match self {
            Self::Connect => ReasonCode::ConnectInterrupt,
            Self::Handshake => ReasonCode::SslHandshakeError,
            Self::Request => ReasonCode::SendRequestFailed,
            Self::Response => ReasonCode::RecvResponseFailed,
        }
    }

    pub(super) const fn waited_for(self) -> &'static str {
        match self {
            Self::Connect => "the connection was established",
            Self::Handshake => "the TLS handshake was done",
            Self::Request => "the request was sent",
            Self::Response => "the answer came",
        }
    }
}
