//! The body of an answer, up to the bound of what is looked at: undone of its chunks, and searched for a text.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::rest::{End, Rest, ends};
use super::{PIECE, status_line};
use crate::health::search::Search;
use crate::health::{Cause, Stage, tls};

/// Bytes of a body that are looked at.
const MOST: usize = 64 << 10;
/// Bytes of a head, beyond which there is no body.
const HEAD: usize = 64 << 10;

/// A body that is being read.
pub(super) struct Body<'t> {
    /// What was read of the head, until it is complete.
    head: Vec<u8>,
    framing: Option<Framing>,
    search: Search<'t>,
    is_over: bool,
    is_found: bool,
}

#[derive(Debug)]
enum Framing {
    /// So many bytes are to come.
    Length(usize),
    Chunks(Chunk),
    Close,
}

/// Where in a chunk (RFC 9112 §7.1) the next byte is.
#[derive(Debug)]
enum Chunk {
    /// Its size, or behind that an extension.
    Size { size: Option<usize>, is_size: bool },
    /// Its data, of which so much is to come.
    Data(usize),
    /// The line end behind the data.
    End,
}

impl<'t> Body<'t> {
    pub(super) const fn new(wanted: &'t [u8]) -> Self {
        let search = Search::new(wanted, MOST);
        Self { head: Vec::new(), framing: None, search, is_over: false, is_found: false }
    }

    /// What was looked at, of a body without the text; `None`: the text is there.
    pub(super) fn lacking(&self) -> Option<&[u8]> {
        (!self.is_found).then(|| self.search.seen())
    }

    /// Takes in what follows the status line, next to what is thrown away of it, and reads on until the
    /// text is found or cannot come any more. True if the server has closed.
    pub(super) async fn read(
        &mut self,
        first: &[u8],
        rest: &mut Rest,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<bool, Cause> {
        self.take(first);
        let mut piece = Vec::with_capacity(PIECE);
        while !self.is_over {
            piece.clear();
            match stream.read_buf(&mut piece).await {
                Ok(0) => return Ok(true),
                Ok(_) => {
                    rest.take(&piece);
                    self.take(&piece);
                }
                // What came before it broke is judged.
                Err(_) if !self.search.seen().is_empty() => return Ok(true),
                Err(error) => return Err(tls::cause(&error, Stage::Response)),
            }
        }
        Ok(false)
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.framing.is_some() {
            return self.take_body(bytes);
        }
        self.head.extend_from_slice(bytes);
        if let Some(end) = status_line::head_end(&self.head, 0) {
            self.framing = Some(match ends(&self.head[..end]) {
                End::After(length) => Framing::Length(length),
                End::Chunks => Framing::Chunks(Chunk::Size { size: None, is_size: true }),
                End::Close => Framing::Close,
            });
            let body = self.head.split_off(end);
            self.take_body(&body);
        } else if self.head.len() > HEAD {
            self.is_over = true;
        }
    }

    fn take_body(&mut self, mut bytes: &[u8]) {
        let Self { framing, search, is_over, is_found, .. } = self;
        while !*is_over {
            let data = match framing {
                Some(Framing::Length(left)) => {
                    let data = bytes.split_off(..bytes.len().min(*left)).unwrap_or_default();
                    *left -= data.len();
                    *is_over = *left == 0;
                    data
                }
                Some(Framing::Chunks(chunk)) => match chunk.next(&mut bytes) {
                    Some(data) => data,
                    None => {
                        *is_over = true;
                        break;
                    }
                },
                Some(Framing::Close) => std::mem::take(&mut bytes),
                None => return,
            };
            *is_found = search.take(data);
            *is_over |= *is_found || search.is_full();
            if bytes.is_empty() {
                return;
            }
        }
    }
}

impl Chunk {
    /// The data of a chunk that these bytes begin with, if they begin with data; `None`: there is no more.
    fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
        if let Self::Data(left) = self {
            let data = bytes.split_off(..bytes.len().min(*left)).unwrap_or_default();
            *left -= data.len();
            if *left == 0 {
                *self = Self::End;
            }
            return Some(data);
        }
        while let Some(byte) = bytes.split_off_first() {
            match (&mut *self, byte) {
                (Self::End, b'\n') => *self = Self::Size { size: None, is_size: true },
                (Self::End, b'\r') => {}
                (Self::End | Self::Data(_), _) => return None,
                (Self::Size { size, .. }, b'\n') => {
                    *self = Self::Data(size.filter(|size| *size > 0)?);
                    break;
                }
                (Self::Size { size, is_size: true }, byte) if byte.is_ascii_hexdigit() => {
                    let digit = char::from(*byte).to_digit(16)? as usize;
                    *size = Some(size.unwrap_or(0).checked_mul(16)?.checked_add(digit)?);
                }
                (Self::Size { is_size, .. }, _) => *is_size = false,
            }
        }
        Some(&[])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is seen of an answer that comes in pieces of this length; nothing if the text is there.
    fn seen(answer: &[u8], wanted: &str, cut: usize) -> Option<String> {
        let mut body = Body::new(wanted.as_bytes());
        answer.chunks(cut).for_each(|piece| body.take(piece));
        body.lacking().map(|seen| String::from_utf8_lossy(seen).into_owned())
    }

    #[test]
    fn bodies_end_as_their_heads_say() {
        for (answer, wanted, expected) in [
            ("Content-Length: 2\r\n\r\nok", "ok", None),
            ("Content-Length: 2\r\n\r\nokay", "okay", Some("ok")),
            ("\r\nall until it closes", "closes", None),
            (
                "Transfer-Encoding: chunked\r\n\r\n2\r\nre\r\n3;x=y\r\nady\r\n0\r\n\r\n",
                "ready",
                None,
            ),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\nready", "ready", Some("no")),
            ("Transfer-Encoding: chunked\n\n2\nno\nz\nready", "ready", Some("no")),
            ("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nready", "ready", Some("")),
            ("Content-Length: 0\r\n\r\n", "ok", Some("")),
            ("X: ok", "ok", Some("")),
        ] {
            for cut in [1, 7, 1000] {
                let found = seen(answer.as_bytes(), wanted, cut);
                assert_eq!(found.as_deref(), expected, "{answer:?} by {cut}");
            }
        }
        let long = [&b"\r\n"[..], &[b'a'; MOST - 1], b"no"].concat();
        assert_eq!(seen(&long, "an", 999), None);
        assert_eq!(seen(&long, "no", 999).map(|seen| seen.len()), Some(MOST));
    }

    proptest! {
        /// However a body is divided into chunks, and those into packets.
        #[test]
        fn chunks_make_no_difference(
            chunks in prop::collection::vec("[ab]{1,20}", 0..12),
            wanted in "[ab]{1,6}",
            cut in 1_usize..40,
        ) {
            let mut answer = "Transfer-Encoding: chunked\r\n\r\n".to_owned();
            for chunk in &chunks {
                answer += &format!("{:X}\r\n{chunk}\r\n", chunk.len());
            }
            answer += "0\r\n\r\n";
            let whole = chunks.concat();
            let expected = (!whole.contains(&wanted)).then_some(whole);
            prop_assert_eq!(seen(answer.as_bytes(), &wanted, cut), expected);
        }

        #[test]
        fn nothing_panics(
            head in "(Transfer-Encoding: chunked|Content-Length: [0-9]{1,22}|)\r\n",
            body in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'f')], 0..200),
            cut in 1_usize..40,
        ) {
            let mut answer = head.into_bytes();
            answer.extend_from_slice(b"\r\n");
            answer.extend(body);
            seen(&answer, "f\n", cut);
        }
    }
}
