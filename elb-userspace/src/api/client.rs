//! The command line's end.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::status::Status;

/// How long an agent may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The agent's state.
///
/// # Errors
/// No agent listens on the socket, or it does not answer.
pub async fn status(socket: &Path) -> Result<Status> {
    let answer = tokio::time::timeout(TIMEOUT, get(socket, "/status"));
    let body = answer.await.with_context(|| {
        format!("the agent at {} did not answer within {TIMEOUT:?}", socket.display())
    })??;
    serde_json::from_slice(&body).context("the agent's answer is not that of this version")
}

async fn get(socket: &Path, path: &str) -> Result<Bytes> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!(
            "no agent answers at {}; is it running (`systemctl status elb`), and is this its \
             socket (--socket, [agent] socket)?",
            socket.display()
        )
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header("Host", "elb").body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "the agent answered {status}");
        Ok(body)
    };
    tokio::select! {
        answer = exchange => answer,
        ended = connection => {
            ended?;
            anyhow::bail!("the agent closed the connection")
        }
    }
}
