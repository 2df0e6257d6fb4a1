//! Requests to the API socket: whatever comes, the server answers others.

use std::path::Path;
use std::time::Duration;

use elb_userspace::api::Query;
use elb_userspace::api::accept::Spare;
use elb_userspace::api::server::Server;
use elb_userspace::api::shape::error::{Error, ErrorCode};
use elb_userspace::api::socket::ApiSocket;
use elb_userspace::observe::metrics::Exporter;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::campaign;

#[test]
fn api() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("api.sock");
    // On this thread, so that a panic of a task is noticed.
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bound = ApiSocket::bind(&socket).unwrap();
    runtime.block_on(async {
        let (queries, asked) = mpsc::channel(16);
        // No snapshot has come yet.
        let exporter = Exporter::new(watch::channel(None).1);
        tokio::spawn(Server::new(bound.listening(), Spare::keep(), queries, exporter).run());
        tokio::spawn(refuse_all(asked));
    });
    let mut runs = 0u32;
    campaign::run("api", Vec::new(), |input| {
        runtime.block_on(send(&socket, input));
        runs += 1;
        if runs.is_multiple_of(50) {
            let answer = runtime.block_on(send(&socket, b"GET /drops HTTP/1.1\r\nHost: e\r\n\r\n"));
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
        }
    });
}

/// What is answered until the server closes; it need not wait for more.
async fn send(socket: &Path, request: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    // A server that has seen enough may close.
    let _ = stream.write_all(request).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(50), stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the server answers or closes");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{answer:?}");
    answer
}

/// An agent that is busy, but knows of no drops.
async fn refuse_all(mut queries: mpsc::Receiver<Query>) {
    let busy = || Error::new(ErrorCode::Busy, "busy");
    while let Some(query) = queries.recv().await {
        match query {
            Query::Drops(answer) => drop(answer.send(Vec::new())),
            Query::Explain(_, answer) => drop(answer.send(Err(busy()))),
            Query::Diagnose(_, answer) => drop(answer.send(Err(busy()))),
            Query::Inspection(_, answer) => drop(answer.send(Err(busy()))),
            Query::Flows(_, answer) => drop(answer.send(Err(busy()))),
            Query::Trace(_, answer) => drop(answer.send(Err(busy()))),
            Query::Events(_, answer) => drop(answer.send(Err(busy()))),
            Query::Drain(_, answer) => drop(answer.send(Err(busy()))),
            Query::Cut(_, answer) => drop(answer.send(Err(busy()))),
            // These hear that the agent ends.
            Query::Status(..)
            | Query::Reload(..)
            | Query::Plan(..)
            | Query::PlanStored(..)
            | Query::InForce(_)
            | Query::Ready(_) => {}
        }
    }
}
