//! Why a probe failed: the eleven reason codes of the V3 API.

use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Why a probe failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No connection within the timeout.
    ConnectTimeout,
    /// The member refused the connection: nothing listens on the port.
    ConnectRefused,
    /// There is no way to the member, or no local resource for the connection.
    ConnectFailed,
    /// The connection was reset while it was established.
    ConnectInterrupt,
    /// TLS could not be negotiated. No check of this version speaks TLS.
    SslHandshakeError,
    /// The connection broke before the answer.
    RecvResponseFailed,
    /// No answer within the timeout.
    RecvResponseTimeout,
    /// The connection broke before the request was sent.
    SendRequestFailed,
    /// The request could not be sent within the timeout. Requests here are smaller than the empty
    /// buffer of a new connection, so that no check of this version meets it.
    SendRequestTimeout,
    /// The answer is not HTTP.
    ResponseFormatError,
    /// The answer's status code is not an expected one.
    ResponseMismatch {
        /// As in the configuration.
        expected: String,
        /// The code that came.
        seen: u16,
    },
}

impl Failure {
    /// The V3 API's `reason_code`.
    pub const fn code(&self) -> &'static str {
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
            Self::ResponseMismatch { .. } => "RESPONSE_MISMATCH",
        }
    }

    /// The V3 API's `expected_response` and `healthcheck_response`, which only a mismatch has.
    pub fn responses(&self) -> Option<(&str, u16)> {
        if let Self::ResponseMismatch { expected, seen } = self {
            Some((expected, *seen))
        } else {
            None
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code())?;
        match self.responses() {
            Some((expected, seen)) => write!(f, " (expected {expected}, got {seen})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl Serialize for Failure {
    /// As the V3 API's `reason`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let responses = self.responses();
        let mut reason = serializer.serialize_struct("reason", 3)?;
        reason.serialize_field("reason_code", self.code())?;
        reason.serialize_field("expected_response", &responses.map(|(expected, _)| expected))?;
        let seen = responses.map(|(_, seen)| seen.to_string());
        reason.serialize_field("healthcheck_response", &seen)?;
        reason.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_the_api_does() {
        let mismatch = Failure::ResponseMismatch { expected: "200,202-204".into(), seen: 302 };
        assert_eq!(
            serde_json::to_string(&mismatch).unwrap(),
            concat!(
                r#"{"reason_code":"RESPONSE_MISMATCH","expected_response":"200,202-204","#,
                r#""healthcheck_response":"302"}"#,
            ),
        );
        assert_eq!(
            serde_json::to_string(&Failure::ConnectRefused).unwrap(),
            concat!(
                r#"{"reason_code":"CONNECT_REFUSED","expected_response":null,"#,
                r#""healthcheck_response":null}"#,
            ),
        );
        assert_eq!(mismatch.to_string(), "RESPONSE_MISMATCH (expected 200,202-204, got 302)");
    }
}
