//! A connection that gives up on a server which sends without end: after so many bytes, so many pieces
//! of them, or so many frames of HTTP/2. What one member sends then costs no more than this.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Cause;

/// What a probe takes from a server at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub bytes: usize,
    /// Pieces that the bytes come in: each costs the work of waking up.
    pub reads: usize,
    /// Frames of HTTP/2; `None`: it is another protocol.
    pub frames: Option<usize>,
}

/// Which part of a [`Budget`] was used up.
#[derive(Clone, Debug)]
pub(super) struct Spent {
    budget: Budget,
    what: Arc<AtomicU8>,
}

const NOTHING: u8 = 0;
const BYTES: u8 = 1;
const READS: u8 = 2;
const FRAMES: u8 = 3;

/// The connection.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    stream: S,
    left: Budget,
    frame: Frame,
    spent: Spent,
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, budget: Budget) -> Self {
        let spent = Spent { budget, what: Arc::new(AtomicU8::new(NOTHING)) };
        Self { stream, left: budget, frame: Frame::default(), spent }
    }

    /// Says later, even where the connection is gone, whether the budget was used up.
    pub(super) fn spent(&self) -> Spent {
        self.spent.clone()
    }

    /// The connection itself.
    pub(super) const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Takes what was read off the budget.
    fn pay(&mut self, read: &[u8]) -> Result<(), u8> {
        let take = |left: &mut usize, amount: usize, what| {
            *left = left.checked_sub(amount).ok_or(what)?;
            Ok(())
        };
        take(&mut self.left.bytes, read.len(), BYTES)?;
        take(&mut self.left.reads, 1, READS)?;
        match &mut self.left.frames {
            Some(frames) => take(frames, self.frame.pass(read), FRAMES),
            None => Ok(()),
        }
    }
}

impl Spent {
    /// What was used up, as a cause; `None`: nothing.
    pub(super) fn cause(&self) -> Option<Cause> {
        let what = match self.what.load(Ordering::Relaxed) {
            BYTES => format!("{} bytes", self.budget.bytes),
            READS => format!("{} pieces of data", self.budget.reads),
            FRAMES => format!("{} frames of HTTP/2", self.budget.frames.unwrap_or(0)),
            _ => return None,
        };
        Some(Cause::TooMuch { what })
    }
}

/// Where in a frame of HTTP/2 what is read next lies (RFC 9113 §4.1).
#[derive(Debug, Default)]
struct Frame {
    header: usize,
    length: usize,
    /// Bytes of the payload that are to come.
    rest: usize,
}

const FRAME_HEADER: usize = 9;

impl Frame {
    /// Goes on over these bytes; how many frames began in them.
    fn pass(&mut self, mut bytes: &[u8]) -> usize {
        let mut frames = 0;
        while let [first, after @ ..] = bytes {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len());
                self.rest -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            if self.header < 3 {
                self.length = self.length << 8 | usize::from(*first);
            }
            self.header += 1;
            bytes = after;
            if self.header == FRAME_HEADER {
                frames += 1;
                *self = Self { rest: self.length, ..Self::default() };
            }
        }
        frames
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let this = &mut *self;
        Poll::Ready(this.pay(&buf.filled()[before..]).map_err(|what| {
            this.spent.what.store(what, Ordering::Relaxed);
            io::Error::other("the server sends without end")
        }))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Not by itself: who closes first keeps the port for a minute, and that is to be the server.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    const BUDGET: Budget = Budget { bytes: 100, reads: 10, frames: Some(3) };

    async fn read(budget: Budget, pieces: &[&[u8]]) -> (io::Result<usize>, Option<String>) {
        let mut mock = in_pieces(pieces);
        let mut stream = Bounded::new(&mut mock, budget);
        let (mut buffer, mut all) = ([0; 128], 0);
        let read = loop {
            match stream.read(&mut buffer).await {
                Ok(0) => break Ok(all),
                Ok(read) => all += read,
                Err(error) => break Err(error),
            }
        };
        (read, stream.spent().cause().map(|cause| cause.to_string()))
    }

    /// What is read piece by piece.
    fn in_pieces(pieces: &[&[u8]]) -> Pieces {
        Pieces(pieces.iter().rev().map(|piece| piece.to_vec()).collect())
    }

    struct Pieces(Vec<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            buf.put_slice(&self.0.pop().unwrap_or_default());
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn every_part_of_the_budget_ends() {
        let plain = Budget { frames: None, ..BUDGET };
        assert_eq!(read(plain, &[&[0; 50], &[0; 50]]).await.0.unwrap(), 100);
        let said = |what: &str| Some(format!("gave up on the answer after {what}"));
        assert_eq!(read(plain, &[&[0; 50], &[0; 51]]).await.1, said("100 bytes"));
        assert_eq!(read(plain, &[&[0][..]; 11]).await.1, said("10 pieces of data"));
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(read(BUDGET, &[&ping[..]; 3]).await.0.unwrap(), 51);
        assert_eq!(read(BUDGET, &[&ping[..]; 4]).await.1, said("3 frames of HTTP/2"));
    }

    proptest! {
        #[test]
        fn frames_are_counted_however_they_are_cut(
            lengths in prop::collection::vec(0_usize..300, 0..20),
            cuts in prop::collection::vec(1_usize..64, 1..20),
        ) {
            let frame = |length: &usize| {
                let [_, _, high, low] = u32::try_from(*length).unwrap().to_be_bytes();
                [&[0, high, low, 9, 9, 9, 9, 9, 9][..], &vec![7; *length]].concat()
            };
            let bytes: Vec<u8> = lengths.iter().flat_map(frame).collect();
            let (mut frame, mut frames, mut rest) = (Frame::default(), 0, &bytes[..]);
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at(rest.len().min(*cut));
                frames += frame.pass(piece);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(frames, lengths.len());
        }
    }
}
