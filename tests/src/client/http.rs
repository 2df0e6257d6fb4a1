//! HTTP requests, each on a new connection.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    client::conn::http1,
    header::{CONNECTION, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use super::{
    background::{Background, Stop, block_on},
    failure::{Failure, FailureKind},
    http_report::{HttpReport, Outcome},
};
use crate::{netns::NetNs, wire::SERVER_HEADER};

/// How requests are made.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Where to.
    pub target: SocketAddr,
    /// How many at once.
    pub concurrency: usize,
    /// How long each of them rests between two requests.
    pub pause: Duration,
    /// How long a request may take, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// After what time no more requests are made, whatever else was asked for.
    pub limit: Duration,
}

impl Load {
    /// Eight at once, 2 ms of rest, 3 s for each: some thousand requests a second, for 5 min at most, which no lab takes,
    /// however slow the machine is.
    pub fn on(target: SocketAddr) -> Self {
        Self {
            target,
            concurrency: 8,
            pause: Duration::from_millis(2),
            timeout: Duration::from_secs(3),
            limit: Duration::from_secs(300),
        }
    }
}

/// Requests until it is stopped.
#[derive(Debug)]
pub struct HttpLoad {
    background: Background,
    outcomes: Outcomes,
}

type Outcomes = Arc<Mutex<Vec<Outcome>>>;

impl HttpLoad {
    /// Starts making requests from inside `netns`.
    pub fn start(netns: &NetNs, load: Load) -> Self {
        let outcomes = Outcomes::default();
        let shared = outcomes.clone();
        let work = move |stop| make(load, usize::MAX, stop, shared);
        Self { background: Background::start(netns, work), outcomes }
    }

    /// What has happened until now.
    pub fn so_far(&self) -> HttpReport {
        report(&self.outcomes)
    }

    /// Starts no more requests, waits for those under way, and returns what happened.
    pub fn stop(self) -> Result<HttpReport> {
        self.background.stop()?;
        Ok(report(&self.outcomes))
    }
}

/// Makes `total` requests from inside `netns`, fewer if they take too long; returns what happened.
pub fn http_requests(netns: &NetNs, load: Load, total: usize) -> Result<HttpReport> {
    let outcomes = Outcomes::default();
    let shared = outcomes.clone();
    netns.run(|| block_on(make(load, total, Stop::never(), shared)))??;
    Ok(report(&outcomes))
}

fn report(outcomes: &Outcomes) -> HttpReport {
    HttpReport::new(outcomes.lock().expect("no worker panics").clone())
}

async fn make(load: Load, total: usize, stop: Stop, outcomes: Outcomes) {
    let begun = Arc::new(AtomicUsize::new(0));
    let end = Instant::now() + load.limit;
    let mut workers = JoinSet::new();
    for _ in 0..load.concurrency {
        let (begun, mut stop, outcomes) = (begun.clone(), stop.clone(), outcomes.clone());
        workers.spawn(async move {
            let more = || Instant::now() < end && begun.fetch_add(1, Ordering::Relaxed) < total;
            while !stop.requested() && more() {
                let outcome = request_once(load).await;
                outcomes.lock().expect("no worker panics").push(outcome);
                stop.pause(load.pause).await;
            }
        });
    }
    workers.join_all().await;
}

async fn request_once(load: Load) -> Outcome {
    let started = Instant::now();
    let exchange = timeout(load.timeout, name_of_server(load.target));
    let late = |_| {
        let text = format!("no answer within {:?}", load.timeout);
        Err(Failure::new(FailureKind::TimedOut, text))
    };
    Outcome { result: exchange.await.unwrap_or_else(late), started, ended: Instant::now() }
}

async fn name_of_server(target: SocketAddr) -> Result<String, Failure> {
    let request = Request::get("/").body(Empty::<Bytes>::new());
    let (backend, body) = exchange(target, request).await?;
    let body = body.collect().await.map_err(|error| Failure::from_error(&error))?;
    if body.to_bytes() == backend.as_bytes() {
        Ok(backend)
    } else {
        Err(Failure::new(FailureKind::Mismatch, "the body is not the server's name"))
    }
}

/// One request on a new connection; returns who answered, and the body of the answer.
pub(super) async fn exchange<B>(
    target: SocketAddr,
    request: hyper::http::Result<Request<B>>,
) -> Result<(String, Incoming), Failure>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let mut request = request.map_err(|error| Failure::from_error(&error))?;
    let host = target.to_string().parse().expect("an address is a legal header");
    request.headers_mut().insert(HOST, host);
    let close = "close".parse().expect("a word is a legal header");
    request.headers_mut().insert(CONNECTION, close);

    let stream = TcpStream::connect(target).await.map_err(|error| Failure::from_error(&error))?;
    let response = send(stream, request).await.map_err(|error| Failure::from_error(&error))?;
    if response.status() != StatusCode::OK {
        let status = response.status();
        return Err(Failure::new(FailureKind::Status(status.as_u16()), status.to_string()));
    }
    let name = response.headers().get(SERVER_HEADER).and_then(|name| name.to_str().ok());
    let unnamed = || Failure::new(FailureKind::Mismatch, format!("no header {SERVER_HEADER}"));
    Ok((name.ok_or_else(unnamed)?.to_owned(), response.into_body()))
}

async fn send<B>(stream: TcpStream, request: Request<B>) -> hyper::Result<Response<Incoming>>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // What ends the connection also ends the request or the body, which report it.
    tokio::spawn(connection);
    sender.send_request(request).await
}
