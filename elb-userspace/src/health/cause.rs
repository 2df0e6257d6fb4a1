//! What was seen when a probe failed, fine enough to distinguish causes.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reason::ReasonCode;
use super::stage::Stage;

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
    /// This host cannot run the command that is the check.
    NoCommand {
        /// Why, and what to do.
        error: String,
    },
    /// The command that is the check ended with another exit status than 0.
    CommandExit {
        /// The exit status.
        status: i32,
        /// The first line of its output, as people may read it.
        said: String,
    },
    /// A signal ended the command that is the check.
    CommandSignal {
        /// The number of the signal.
        signal: i32,
        /// The first line of its output, as people may read it.
        said: String,
    },
    /// The command that is the check did not end in time, and was killed.
    CommandTimeout {
        /// The first line of its output, as people may read it.
        said: String,
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
    /// What came over TCP does not have the expected text in it.
    Answer {
        /// The beginning of the text, as people may read it.
        expected: String,
        /// The beginning of what came.
        seen: String,
    },
    /// The status code is not an expected one.
    Status {
        /// As in the configuration.
        expected: String,
        /// The code that came.
        seen: u16,
    },
    /// The status code is an expected one, but the body does not have the expected text in it.
    Body {
        /// The code that came.
        status: u16,
        /// The beginning of the text, as people may read it.
        expected: String,
        /// The beginning of the body.
        seen: String,
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

impl Cause {
    /// Whether the probe could not be made because this host lacks something: it says nothing of
    /// the member.
    pub const fn is_local(&self) -> bool {
        matches!(self, Self::NoRoute { .. } | Self::NoLocalResource { .. } | Self::NoCommand { .. })
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
            | Self::NoLocalResource { .. }
            | Self::NoCommand { .. } => ReasonCode::ConnectFailed,
            Self::CommandTimeout { .. } => ReasonCode::RecvResponseTimeout,
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
            Self::Answer { .. }
            | Self::Body { .. }
            | Self::Status { .. }
            | Self::GrpcStatus { .. }
            | Self::CommandExit { .. }
            | Self::CommandSignal { .. }
            | Self::NotServing { .. } => ReasonCode::ResponseMismatch,
        }
    }

    /// What was expected and what came, where that is what failed.
    pub fn responses(&self) -> Option<(String, String)> {
        match self {
            Self::Answer { expected, seen } | Self::Body { expected, seen, .. } => {
                Some((expected.clone(), seen.clone()))
            }
            Self::Status { expected, seen } => Some((expected.clone(), seen.to_string())),
            Self::GrpcStatus { expected, seen } => Some((expected.clone(), seen.to_string())),
            Self::NotServing { seen } => Some(("SERVING".to_owned(), serving_status(*seen))),
            Self::CommandExit { status, .. } => {
                Some(("exit status 0".to_owned(), format!("exit status {status}")))
            }
            Self::CommandSignal { signal, .. } => {
                Some(("exit status 0".to_owned(), format!("signal {signal}")))
            }
            Self::Refused { .. }
            | Self::PortUnreachable { .. }
            | Self::HostUnreachable { .. }
            | Self::NetUnreachable { .. }
            | Self::AdminProhibited { .. }
            | Self::OtherIcmp { .. }
            | Self::NoNeighbor
            | Self::NoRoute { .. }
            | Self::NoLocalResource { .. }
            | Self::NoCommand { .. }
            | Self::CommandTimeout { .. }
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
            Self::NoCommand { error } => write!(f, "{error}"),
            Self::CommandExit { status, said } => {
                write!(f, "the command ended with exit status {status}")?;
                quoted(f, said)
            }
            Self::CommandSignal { signal, said } => {
                write!(f, "signal {signal} ended the command")?;
                quoted(f, said)
            }
            Self::CommandTimeout { said } => {
                write!(f, "the command did not end in time and was killed")?;
                quoted(f, said)
            }
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
            Self::Answer { expected, seen } => {
                write!(f, "the answer has no \"{expected}\": it begins with \"{seen}\"")
            }
            Self::Status { expected, seen } => write!(f, "status {seen}, expected {expected}"),
            Self::Body { status, expected, seen } => {
                write!(f, "status {status}, but the body has no \"{expected}\": ")?;
                match &**seen {
                    "" => write!(f, "it is empty"),
                    seen => write!(f, "it begins with \"{seen}\""),
                }
            }
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

/// What a command printed, if anything.
fn quoted(f: &mut fmt::Formatter<'_>, said: &str) -> fmt::Result {
    if said.is_empty() { Ok(()) } else { write!(f, ": \"{said}\"") }
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
