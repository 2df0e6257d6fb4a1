//! What follows the status line: read, if it is not much, and thrown away. How it is divided is only a
//! hint here, since nothing in it decides: a header may be wrong.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout_at};

use super::{PIECE, status_line};
use crate::model::monitor::HttpMethod;

/// Bytes that are read behind the status line.
pub(super) const MOST: usize = 1 << 20;
/// How long it may take.
const LONGEST: Duration = Duration::from_secs(1);
/// How long a server that has said everything has to close.
const TO_CLOSE: Duration = Duration::from_millis(250);
/// Bytes of the head that are looked at for hints.
const HEAD: usize = 64 << 10;

/// The rest of an answer.
pub(super) struct Rest {
    /// What was read of it, until the head is complete.
    head: Vec<u8>,
    has_body: bool,
    /// Bytes of the body that were read.
    body: usize,
    /// Where the body ends, once the head says so.
    end: Option<End>,
    last: [u8; 5],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// After so many bytes.
    After(usize),
    /// After the last chunk.
    Chunks,
    /// When the server closes.
    Close,
}

impl Rest {
    /// The rest of an answer with this code, of which these bytes are there.
    pub(super) fn of(code: u16, method: HttpMethod, bytes: &[u8]) -> Self {
        let has_body = method != HttpMethod::Head && !matches!(code, 101 | 204 | 304);
        let mut rest = Self { head: Vec::new(), has_body, body: 0, end: None, last: [0; 5] };
        rest.take(bytes);
        rest
    }

    /// Reads it, within bounds of bytes and time. True if the server has closed.
    pub(super) async fn read(
        mut self,
        stream: &mut (impl AsyncRead + Unpin),
        deadline: Instant,
    ) -> bool {
        let mut until = deadline.min(Instant::now() + LONGEST);
        let (mut left, mut buffer) = (MOST, Vec::with_capacity(PIECE));
        let mut was_complete = false;
        while left > 0 {
            if self.is_complete() && !was_complete {
                was_complete = true;
                until = until.min(Instant::now() + TO_CLOSE);
            }
            buffer.clear();
            match timeout_at(until, stream.read_buf(&mut buffer)).await {
                Ok(Ok(0)) => return true,
                Ok(Ok(read)) => {
                    left = left.saturating_sub(read);
                    self.take(&buffer);
                }
                Ok(Err(_)) | Err(_) => return false,
            }
        }
        false
    }

    /// Takes in what was read of it.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if self.end.is_some() {
            return self.take_body(bytes);
        }
        self.head.extend_from_slice(bytes);
        if let Some(end) = status_line::head_end(&self.head, 0) {
            self.end = Some(if self.has_body { ends(&self.head[..end]) } else { End::After(0) });
            let body = self.head.split_off(end);
            self.take_body(&body);
        } else if self.head.len() > HEAD {
            self.end = Some(End::Close);
        }
    }

    fn take_body(&mut self, bytes: &[u8]) {
        self.body = self.body.saturating_add(bytes.len());
        let last = [&self.last[..], &bytes[bytes.len().saturating_sub(5)..]].concat();
        self.last.copy_from_slice(&last[last.len() - 5..]);
    }

    fn is_complete(&self) -> bool {
        match self.end {
            Some(End::After(length)) => self.body >= length,
            Some(End::Chunks) => &self.last == b"0\r\n\r\n",
            Some(End::Close) | None => false,
        }
    }
}

/// How a body ends, by what its head says.
pub(super) fn ends(head: &[u8]) -> End {
    let mut end = End::Close;
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return End::Chunks;
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            end = length.map_or(End::Close, End::After);
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn complete(code: u16, method: HttpMethod, rest: &str) -> bool {
        Rest::of(code, method, rest.as_bytes()).is_complete()
    }

    #[test]
    fn hints_say_when_a_body_is_complete() {
        let get = HttpMethod::Get;
        assert!(complete(200, get, "Content-Length: 2\r\n\r\nok"));
        assert!(complete(200, get, "content-length : 2\n\nok"));
        assert!(!complete(200, get, "Content-Length: 3\r\n\r\nok"));
        assert!(!complete(200, get, "Content-Length: x\r\n\r\nok"));
        assert!(!complete(200, get, "\r\nok"));
        assert!(complete(200, get, "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
        assert!(!complete(200, get, "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"));
        assert!(complete(204, get, "\r\n"));
        assert!(complete(200, HttpMethod::Head, "Content-Length: 9\r\n\r\n"));
        assert!(!complete(200, get, "Content-Length: 0"));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            body in "(0|\r\n|x){0,40}", chunked in any::<bool>(), cut in 1_usize..20,
        ) {
            let head = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 20" };
            let text = format!("{head}\r\n\r\n{body}");
            let mut rest = Rest::of(200, HttpMethod::Get, b"");
            text.as_bytes().chunks(cut).for_each(|piece| rest.take(piece));
            let at_once = complete(200, HttpMethod::Get, &text);
            prop_assert_eq!(rest.is_complete(), at_once);
        }
    }
}
