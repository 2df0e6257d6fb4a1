//! Connections over TCP, by TLS or without it: bounded in number, bytes and time.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::guests::{Guest, Guests};
use super::patient::Patient;

/// How long a handshake, and the head of a request, may take.
const REQUEST: Duration = Duration::from_secs(10);
/// How long a piece of an answer may wait for who reads it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection may last.
const WHOLE: Duration = Duration::from_secs(600);
/// How long to wait where no connection can be taken.
const AGAIN: Duration = Duration::from_millis(200);
/// Bytes of the head of a request.
const MAX_HEAD: usize = 16 << 10;
/// How long requests under way may take once no more are taken.
const LAST: Duration = Duration::from_secs(2);

/// Where a connection comes from.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// Its place, where those are shared out.
    guest: Option<Arc<Guest>>,
}

impl Peer {
    /// One that takes no place of others.
    #[cfg(test)]
    pub(super) const fn of(address: IpAddr) -> Self {
        Self { address, guest: None }
    }

    /// It showed credentials that are right.
    pub(super) fn prove(&self) {
        if let Some(guest) = &self.guest {
            guest.prove(Instant::now());
        }
    }
}

/// Where connections come in.
pub(super) struct TcpEntrance {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
    /// Connections at once; others wait.
    pub(super) connections: usize,
    /// How those are shared out among clients that are known and others.
    pub(super) guests: Option<Guests>,
    /// What they are for.
    pub(super) what: &'static str,
}

impl TcpEntrance {
    /// Serves connections until the end comes; then those that are idle are closed, and requests under way are
    /// answered.
    pub(super) async fn serve(self, router: Router, end: impl Future<Output = ()>) -> Result<()> {
        let Self { listener, tls, connections, guests, what } = self;
        let places = Arc::new(Semaphore::new(connections));
        let (ending, ended) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tokio::pin!(end);
        loop {
            while tasks.try_join_next().is_some() {}
            let taken = async {
                let place = places.clone().acquire_owned().await?;
                anyhow::Ok((place, listener.accept().await))
            };
            let (place, accepted) = tokio::select! {
                taken = taken => taken?,
                () = &mut end => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "cannot take a connection for {what}");
                    sleep(AGAIN).await;
                    continue;
                }
            };
            let address = peer.ip();
            let guest = match &guests {
                None => None,
                Some(guests) => match guests.arrive(address, Instant::now()) {
                    Some(guest) => Some(Arc::new(guest)),
                    None => continue,
                },
            };
            let peer = Peer { address, guest };
            let router = router.clone().layer(Extension(peer.clone()));
            let answer = answer(stream, tls.clone(), router, ended.clone());
            tasks.spawn(async move {
                attend(&peer, what, answer).await;
                drop(place);
            });
        }
        drop(listener);
        ending.send_replace(true);
        let rest = async { while tasks.join_next().await.is_some() {} };
        // Who is not done by then is cut off.
        let _ = timeout(LAST, rest).await;
        Ok(())
    }
}

/// One connection: it waits for its place, and has it until it is over, or for others when it shows no credentials.
async fn attend(peer: &Peer, what: &str, answer: impl Future<Output = io::Result<()>>) {
    let overstays = async {
        match &peer.guest {
            Some(guest) => guest.overstays().await,
            None => std::future::pending().await,
        }
    };
    if let Some(guest) = &peer.guest {
        guest.be_seated().await;
    }
    let address = peer.address;
    tokio::select! {
        served = timeout(WHOLE, answer) => {
            if let Ok(Err(error)) = served {
                tracing::debug!(%error, "a connection for {what} broke off");
            }
        }
        () = overstays => tracing::debug!(%address, "others wait for {what}"),
    }
}

async fn answer(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    ended: watch::Receiver<bool>,
) -> io::Result<()> {
    match tls {
        Some(tls) => {
            let stream = timeout(REQUEST, tls.accept(stream)).await??;
            requests(stream, router, ended).await
        }
        None => requests(stream, router, ended).await,
    }
}

async fn requests<S>(stream: S, router: Router, mut ended: watch::Receiver<bool>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .max_buf_size(MAX_HEAD)
        .serve_connection(
            TokioIo::new(Patient::new(stream, PATIENCE)),
            TowerToHyperService::new(router),
        );
    let mut served = std::pin::pin!(served);
    tokio::select! {
        served = &mut served => return served.map_err(io::Error::other),
        _ = ended.wait_for(|ended| *ended) => served.as_mut().graceful_shutdown(),
    }
    served.await.map_err(io::Error::other)
}
