//! What lab servers and load generators agree on: ports, names in answers, contents.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use crc32fast::Hasher;
use hyper::body::{Body, Bytes, Frame, SizeHint};

/// The port of HTTP.
pub const HTTP_PORT: u16 = 80;

/// The port of the echo services, TCP and UDP.
pub const ECHO_PORT: u16 = 7;

/// The header of every HTTP answer that names the server.
pub const SERVER_HEADER: &str = "x-lab-server";

/// What a lab server prints, on a line of its own, once it listens everywhere.
pub const READY: &str = "ready";

/// What a lab server can offer on a port, by the name it has on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// HTTP/1.1: `/` and `/health`, `/status/NNN`, `/host/NAME`, `/silence`, `/bytes/N`, and
    /// `POST /sum`.
    Http,
    /// The same over TLS, with a certificate made at the start that no authority signed.
    Https,
    /// gRPC without TLS: grpc.health.v1, which serves, and `/status/N` with that `grpc-status`.
    Grpc,
    /// The same, but grpc.health.v1 says that it does not serve.
    GrpcNotServing,
    /// Echo over TCP and UDP.
    Echo,
    /// Takes connections of TCP and datagrams, and says nothing.
    Silent,
}

impl Service {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Http, Self::Https, Self::Grpc, Self::GrpcNotServing, Self::Echo, Self::Silent];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Grpc => "grpc",
            Self::GrpcNotServing => "grpc-not-serving",
            Self::Echo => "echo",
            Self::Silent => "silent",
        }
    }
}

const PART: usize = 64 * 1024;

/// The answer of an echo service to `line`: who answers, a space, and the line.
pub fn echo(server: &str, line: &str) -> String {
    format!("{server} {line}")
}

/// Parts an answer of an echo service into who answered and what was echoed.
pub fn parse_echo(answer: &str) -> Option<(&str, &str)> {
    answer.trim_end().split_once(' ')
}

/// The part of the standard content, without end and without a short period, that starts at `offset`.
pub fn content(offset: u64, length: usize) -> Vec<u8> {
    // The low bytes of i * i * odd repeat late, and never at the length of a segment.
    let byte =
        |index: u64| (index.wrapping_mul(index).wrapping_mul(0x9e37_79b9) >> 11).to_le_bytes()[0];
    (offset..).take(length).map(byte).collect()
}

/// How much content there was, and its CRC-32.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    length: u64,
    hasher: Hasher,
}

impl Sum {
    /// The sum of the first `length` bytes of the standard content.
    pub fn of_content(length: u64) -> Self {
        let mut sum = Self::default();
        while sum.length < length {
            sum.add(&part_at(sum.length, length));
        }
        sum
    }

    /// Takes in what follows.
    pub fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hasher.update(bytes);
    }

    /// Length and checksum in words, equal for equal contents.
    pub fn text(&self) -> String {
        format!("{} bytes, crc {:08x}", self.length, self.hasher.clone().finalize())
    }
}

/// What of the first `length` bytes of the standard content follows `offset`, at most 64 KiB.
fn part_at(offset: u64, length: u64) -> Vec<u8> {
    let left = usize::try_from(length - offset).unwrap_or(PART);
    content(offset, left.min(PART))
}

/// The standard content as the body of a request or an answer.
#[derive(Clone, Debug)]
pub struct ContentBody {
    sent: u64,
    length: u64,
}

impl ContentBody {
    /// Its first `length` bytes.
    pub fn new(length: u64) -> Self {
        Self { sent: 0, length }
    }
}

impl Body for ContentBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = part_at(self.sent, self.length);
        self.sent += part.len() as u64;
        Poll::Ready((!part.is_empty()).then(|| Ok(Frame::data(part.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.length
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length - self.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_in_parts_is_the_sum_of_the_whole() {
        let mut whole = Sum::default();
        whole.add(&content(0, 150_000));
        assert_eq!(whole.text(), Sum::of_content(150_000).text());
    }

    #[test]
    fn segments_of_the_content_differ() {
        assert_ne!(content(0, 1448), content(1448, 1448));
    }

    #[test]
    fn an_echo_is_parsed_back() {
        assert_eq!(parse_echo(&echo("backend-1", "a b")), Some(("backend-1", "a b")));
    }
}
