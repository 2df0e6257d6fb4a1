//! Why something that a load generator tried did not work.

use std::{error::Error, fmt, io, iter::successors, time::Instant};

/// The kinds that tests distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// No one listens there.
    Refused,
    /// The other side, or someone in its name, reset the connection.
    Reset,
    /// The other side ended the connection before it had answered.
    Closed,
    /// No answer in time.
    TimedOut,
    /// No way there.
    Unreachable,
    /// An answer of HTTP with another status than 200.
    Status(u16),
    /// Another server answered than the one that did before.
    OtherBackend,
    /// The answer is not what was asked for.
    Mismatch,
    /// The client's own port is not free.
    PortTaken,
    /// Anything else; the text says what.
    Other,
}

/// What went wrong, and when.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Of which kind.
    pub kind: FailureKind,
    /// In words.
    pub text: String,
    /// When it was noticed.
    pub at: Instant,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), at: Instant::now() }
    }

    /// From an error whose cause, however deep, may be one of input and output.
    pub(super) fn from_error(error: &(dyn Error + 'static)) -> Self {
        let of_cause = |error: &(dyn Error + 'static)| {
            let io_kind = error.downcast_ref::<io::Error>().map(|error| kind_of(error.kind()));
            let hyper = error.downcast_ref::<hyper::Error>();
            io_kind.or_else(|| hyper?.is_incomplete_message().then_some(FailureKind::Closed))
        };
        // The innermost cause that says something is the nearest to the wire.
        let kind = causes(error).filter_map(of_cause).last();
        let text: Vec<String> = causes(error).map(ToString::to_string).collect();
        Self::new(kind.unwrap_or(FailureKind::Other), text.join(": "))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |error| (*error).source())
}

fn kind_of(kind: io::ErrorKind) -> FailureKind {
    use io::ErrorKind as Io;
    // A list that grows with the standard library: what tests do not distinguish is `Other`.
    #[allow(clippy::wildcard_enum_match_arm, reason = "io::ErrorKind is non-exhaustive")]
    match kind {
        Io::ConnectionRefused => FailureKind::Refused,
        Io::ConnectionReset | Io::ConnectionAborted => FailureKind::Reset,
        Io::UnexpectedEof | Io::BrokenPipe | Io::NotConnected => FailureKind::Closed,
        Io::TimedOut => FailureKind::TimedOut,
        Io::AddrInUse | Io::AddrNotAvailable => FailureKind::PortTaken,
        Io::HostUnreachable | Io::NetworkUnreachable => FailureKind::Unreachable,
        _ => FailureKind::Other,
    }
}
