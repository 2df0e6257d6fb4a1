//! Contents over HTTP, either way, with a checksum that the receiver computes.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request,
    body::{Bytes, Incoming},
};
use tokio::time::timeout;

use super::{background::block_on, failure::Failure, http::exchange};
use crate::{
    netns::NetNs,
    wire::{ContentBody, Sum},
};

const LIMIT: Duration = Duration::from_secs(30);

/// A transfer that arrived whole and unchanged.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// The backend at the other end.
    pub backend: String,
    /// How much it was.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// Fetches `bytes` of content into `netns`; an error if they are not what was to be sent.
pub fn download(netns: &NetNs, target: SocketAddr, bytes: u64) -> Result<Transfer> {
    transfer(netns, target, bytes, async || {
        let request = Request::get(format!("/bytes/{bytes}")).body(Empty::<Bytes>::new());
        let (backend, body) = exchange(target, request).await?;
        Ok((backend, sum(body).await?.text()))
    })
}

/// Sends `bytes` of content from `netns`; an error if the server did not get just these.
pub fn upload(netns: &NetNs, target: SocketAddr, bytes: u64) -> Result<Transfer> {
    transfer(netns, target, bytes, async || {
        let request = Request::post("/sum").body(ContentBody::new(bytes));
        let (backend, body) = exchange(target, request).await?;
        let body = body.collect().await.map_err(|error| Failure::from_error(&error))?;
        Ok((backend, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    })
}

fn transfer(
    netns: &NetNs,
    target: SocketAddr,
    bytes: u64,
    work: impl AsyncFnOnce() -> Result<(String, String), Failure> + Send,
) -> Result<Transfer> {
    let expected = Sum::of_content(bytes).text();
    let started = Instant::now();
    let (backend, received) = netns
        .run(|| block_on(async { timeout(LIMIT, work()).await }))??
        .with_context(|| format!("{bytes} bytes with {target}: not within {LIMIT:?}"))?
        .map_err(|failure| anyhow!("{bytes} bytes with {target}: {failure}"))?;
    ensure!(
        received == expected,
        "{bytes} bytes with {backend}: {received} arrived instead of {expected}"
    );
    Ok(Transfer { backend, bytes, took: started.elapsed() })
}

async fn sum(mut body: Incoming) -> Result<Sum, Failure> {
    let mut sum = Sum::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::from_error(&error))?;
        if let Ok(bytes) = frame.into_data() {
            sum.add(&bytes);
        }
    }
    Ok(sum)
}
