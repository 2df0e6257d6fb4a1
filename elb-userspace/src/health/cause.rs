//! What was seen when a probe failed, fine enough to distinguish causes.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reason::ReasonCode;

/// What was seen when a probe failed. Addresses say who sent what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// A reset answered the request for a TCP connection: no process listens there, or a firewall says
    /// so.
    Refused {
        /// Whose reset it seems to be.
        by: IpAddr,
    },
    /// ICMP: no process listens on the port. TCP never says it so, but a firewall does.
    PortUnreachable {
        /// Who sent it.
        by: IpAddr,
    },
    /// ICMP: the host is not to be reached.
    HostUnreachable {
        /// Who sent it.
        by: IpAddr,
    },
    /// ICMP: the network is not to be reached.
    NetUnreachable {
        /// Who sent it.
        by: IpAddr,
    },
    /// ICMP: a filter or a route forbids it.
    AdminProhibited {
        /// Who sent it.
        by: IpAddr,
    },
    /// Any other ICMP error.
    OtherIcmp {
        /// Who sent it.
        by: IpAddr,
        /// Its type; of ICMPv6 if `by` is an IPv6 address.
        icmp_type: u8,
        /// Its code.
        code: u8,
    },
    /// This host asked who has the address, and no host answered.
    NoNeighbor,
    /// This host has no route to the address, or one that forbids it.
    NoRoute {
        /// The error of the kernel.
        error: String,
    },
    /// This host could not even begin: no such source address, no port, no descriptor, a filter.
    NoLocalResource {
        /// The error of the kernel.
        error: String,
    },
    /// No answer to an ICMP echo request.
    NoEchoReply,
    /// Nothing came in time.
    Timeout {
        /// What was waited for.
        stage: Stage,
    },
    /// The connection was reset.
    Reset {
        /// What was waited for.
        stage: Stage,
    },
    /// The connection was closed in order.
    Closed {
        /// What was waited for.
        stage: Stage,
    },
    /// The connection broke in another way.
    Broken {
        /// What was waited for.
        stage: Stage,
        /// The error of the kernel.
        error: String,
    },
    /// The answer to the opening of TLS is not TLS.
    NotTls,
    /// The server ended the TLS handshake with an alert.
    TlsAlert {
        /// Its name in RFC 8446 §6, or what it is called in the code.
        alert: String,
    },
    /// The TLS handshake failed at our side.
    TlsFailed {
        /// Why.
        error: String,
    },
    /// The answer is not the HTTP that was asked for.
    BadHttp {
        /// Why.
        error: String,
    },
    /// The server sent more than a probe takes.
    TooMuch {
        /// How much that is.
        what: String,
    },
    /// The status code is not an expected one.
    Status {
        /// As in the configuration.
        expected: String,
        /// The code that came.
        seen: u16,
    },
    /// The `grpc-status` is not an expected one.
    GrpcStatus {
        /// As in the configuration.
        expected: String,
        /// The code that came.
        seen: u32,
    },
    /// The answer has no `grpc-status`: what answers is not a gRPC server.
    NoGrpcStatus {
        /// The status code of HTTP.
        status: u16,
    },
    /// The service answered that it does not serve (grpc.health.v1).
    NotServing {
        /// `HealthCheckResponse.ServingStatus`
        seen: i32,
    },
}

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

impl Cause {
    /// Whether the probe could not be made for want of something of this host's: it says nothing of
    /// the member.
    pub const fn is_local(&self) -> bool {
        matches!(self, Self::NoRoute { .. } | Self::NoLocalResource { .. })
    }

    /// Whether nothing came back from the address itself.
    pub const fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Timeout { stage: Stage::Connect }
                | Self::NoEchoReply
                | Self::NoNeighbor
                | Self::HostUnreachable { .. }
                | Self::NetUnreachable { .. }
                | Self::AdminProhibited { .. }
                | Self::OtherIcmp { .. }
        )
    }

    /// What the V3 API calls it.
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Refused { .. } | Self::PortUnreachable { .. } => ReasonCode::ConnectRefused,
            Self::HostUnreachable { .. }
            | Self::NetUnreachable { .. }
            | Self::AdminProhibited { .. }
            | Self::OtherIcmp { .. }
            | Self::NoNeighbor
            | Self::NoRoute { .. }
            | Self::NoLocalResource { .. } => ReasonCode::ConnectFailed,
            Self::NoEchoReply => ReasonCode::ConnectTimeout,
            Self::Timeout { stage } => stage.timed_out(),
            Self::Reset { stage } | Self::Closed { stage } | Self::Broken { stage, .. } => {
                stage.broken()
            }
            Self::NotTls | Self::TlsAlert { .. } | Self::TlsFailed { .. } => {
                ReasonCode::SslHandshakeError
            }
            Self::BadHttp { .. } | Self::TooMuch { .. } | Self::NoGrpcStatus { .. } => {
                ReasonCode::ResponseFormatError
            }
            Self::Status { .. } | Self::GrpcStatus { .. } | Self::NotServing { .. } => {
                ReasonCode::ResponseMismatch
            }
        }
    }

    /// What was expected and what came, where that is what failed.
    pub fn responses(&self) -> Option<(String, String)> {
        match self {
            Self::Status { expected, seen } => Some((expected.clone(), seen.to_string())),
            Self::GrpcStatus { expected, seen } => Some((expected.clone(), seen.to_string())),
            Self::NotServing { seen } => Some(("SERVING".to_owned(), serving_status(*seen))),
            Self::Refused { .. }
            | Self::PortUnreachable { .. }
            | Self::HostUnreachable { .. }
            | Self::NetUnreachable { .. }
            | Self::AdminProhibited { .. }
            | Self::OtherIcmp { .. }
            | Self::NoNeighbor
            | Self::NoRoute { .. }
            | Self::NoLocalResource { .. }
            | Self::NoEchoReply
            | Self::Timeout { .. }
            | Self::Reset { .. }
            | Self::Closed { .. }
            | Self::Broken { .. }
            | Self::NotTls
            | Self::TlsAlert { .. }
            | Self::TlsFailed { .. }
            | Self::BadHttp { .. }
            | Self::TooMuch { .. }
            | Self::NoGrpcStatus { .. } => None,
        }
    }
}

impl Stage {
    const fn timed_out(self) -> ReasonCode {
        match self {
            Self::Connect => ReasonCode::ConnectTimeout,
            Self::Handshake => ReasonCode::SslHandshakeError,
            Self::Request => ReasonCode::SendRequestTimeout,
            Self::Response => ReasonCode::RecvResponseTimeout,
        }
    }

    const fn broken(self) -> ReasonCode {
        match self {
            Self::Connect => ReasonCode::ConnectInterrupt,
            Self::Handshake => ReasonCode::SslHandshakeError,
            Self::Request => ReasonCode::SendRequestFailed,
            Self::Response => ReasonCode::RecvResponseFailed,
        }
    }

    const fn waited_for(self) -> &'static str {
        match self {
            Self::Connect => "the connection was established",
            Self::Handshake => "the TLS handshake was done",
            Self::Request => "the request was sent",
            Self::Response => "the answer came",
        }
    }
}

/// For people: a short text without an end.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { by } => write!(f, "connection refused by {by}"),
            Self::PortUnreachable { by } => write!(f, "port unreachable (ICMP from {by})"),
            Self::HostUnreachable { by } => write!(f, "host unreachable (ICMP from {by})"),
            Self::NetUnreachable { by } => write!(f, "network unreachable (ICMP from {by})"),
            Self::AdminProhibited { by } => {
                write!(f, "administratively prohibited (ICMP from {by})")
            }
            Self::OtherIcmp { by, icmp_type, code } => {
                write!(f, "ICMP error of type {icmp_type}, code {code}, from {by}")
            }
            Self::NoNeighbor => write!(f, "no host answers for the address (no ARP or ND reply)"),
            Self::NoRoute { error } => write!(f, "no route from here: {error}"),
            Self::NoLocalResource { error } => write!(f, "the probe could not begin: {error}"),
            Self::NoEchoReply => write!(f, "no ICMP echo reply"),
            Self::Timeout { stage: Stage::Connect } => write!(f, "no answer to the connection"),
            Self::Timeout { stage } => write!(f, "timed out before {}", stage.waited_for()),
            Self::Reset { stage } => write!(f, "reset before {}", stage.waited_for()),
            Self::Closed { stage } => write!(f, "closed before {}", stage.waited_for()),
            Self::Broken { stage, error } => write!(f, "{error} before {}", stage.waited_for()),
            Self::NotTls => write!(f, "the answer is not TLS"),
            Self::TlsAlert { alert } => write!(f, "TLS alert: {alert}"),
            Self::TlsFailed { error } => write!(f, "TLS: {error}"),
            Self::BadHttp { error } => write!(f, "the answer is not HTTP: {error}"),
            Self::TooMuch { what } => write!(f, "gave up on the answer after {what}"),
            Self::Status { expected, seen } => write!(f, "status {seen}, expected {expected}"),
            Self::GrpcStatus { expected, seen } => {
                write!(f, "grpc-status {seen}, expected {expected}")
            }
            Self::NoGrpcStatus { status } => {
                write!(f, "the answer has no grpc-status, but the HTTP status {status}")
            }
            Self::NotServing { seen } => {
                write!(f, "the health service says {}", serving_status(*seen))
            }
        }
    }
}

/// The names of grpc.health.v1.
fn serving_status(number: i32) -> String {
    match number {
        0 => "UNKNOWN".to_owned(),
        1 => "SERVING".to_owned(),
        2 => "NOT_SERVING".to_owned(),
        3 => "SERVICE_UNKNOWN".to_owned(),
        _ => number.to_string(),
    }
}
