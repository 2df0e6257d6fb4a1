//! A stream that ends by being dropped.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Passes everything on but the wish to end one direction. An HTTP client has it once it has got its
/// answer, just before it drops the connection: the packet that says so, which the other end must take
/// in and acknowledge, would cost a probe as much as its request does.
#[derive(Debug)]
pub(super) struct Unshut<S>(pub(super) S);

impl<S: AsyncRead + Unpin> AsyncRead for Unshut<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unshut<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::timeout;

    use super::*;

    /// What the other end reads, and whether it is told of an end within a moment.
    async fn read(other: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
        let mut buf = Vec::new();
        let ended = timeout(Duration::from_millis(50), other.read_to_end(&mut buf)).await;
        ended.ok().map(|_| buf)
    }

    #[tokio::test]
    async fn the_other_end_hears_of_the_end_when_it_is_dropped() {
        let (own, mut other) = duplex(16);
        let mut own = Unshut(own);
        own.write_all(b"to").await.unwrap();
        other.write_all(b"from").await.unwrap();
        own.shutdown().await.unwrap();
        let mut buf = [0; 4];
        own.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"from");
        assert_eq!(read(&mut other).await, None);
        drop(own);
        assert_eq!(read(&mut other).await.as_deref(), Some(&b""[..]));
    }
}
