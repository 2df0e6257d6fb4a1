//! Events on their way to webhooks: each URL has a queue of its own and one attempt an event, so that neither the
//! agent's loop nor another URL waits for one that hangs. What does not arrive is counted.

pub(in crate::agent) mod secure;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::api::shape::events::{AgentEvent, EventKind};
use crate::api::shape::status::WebhookStatus;
use crate::source::notify::{NotifiedEvent, Notify, WebhookUrl};

/// Events that wait for a URL.
const WAITING: usize = 256;
/// How long an attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Threads that look names up, which may take long.
const LOOKUPS: usize = 2;

/// All URLs.
#[derive(Debug, Default)]
pub(in crate::agent) struct Webhooks(Vec<Webhook>);

#[derive(Debug)]
struct Webhook {
    wanted: Notify,
    /// None: there is no thread to be had.
    queue: Option<mpsc::Sender<Bytes>>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: u64,
    failed: u64,
    lost: u64,
    last_failure: Option<String>,
}

impl Webhooks {
    /// Events go to these URLs from now on; those that stay keep their queues and counts.
    pub(in crate::agent) fn follow(&mut self, wanted: &[Notify]) {
        let mut before = std::mem::take(&mut self.0);
        self.0 = wanted
            .iter()
            .map(|wanted| {
                let is_same = |one: &Webhook| {
                    (&one.wanted.url, &one.wanted.ca_file) == (&wanted.url, &wanted.ca_file)
                };
                let known = before.iter().position(is_same);
                let known = known.map(|at| before.swap_remove(at));
                known.map_or_else(
                    || Webhook::new(wanted),
                    |known| Webhook { wanted: wanted.clone(), ..known },
                )
            })
            .collect();
    }

    /// Something happened. Never waits.
    pub(in crate::agent) fn happened(&self, event: &AgentEvent) {
        let kind = match event.kind() {
            EventKind::Unhealthy => NotifiedEvent::Unhealthy,
            EventKind::Recovered => NotifiedEvent::Recovered,
            EventKind::InService => NotifiedEvent::InService,
            EventKind::InReserve => NotifiedEvent::InReserve,
            EventKind::SlowStart => NotifiedEvent::SlowStart,
            EventKind::SlowStartOver => NotifiedEvent::SlowStartOver,
            EventKind::Fallback => NotifiedEvent::Fallback,
            EventKind::FallbackOver => NotifiedEvent::FallbackOver,
        };
        let wanting: Vec<_> =
            self.0.iter().filter(|one| one.wanted.events.contains(&kind)).collect();
        if wanting.is_empty() {
            return;
        }
        let body = Bytes::from(serde_json::to_vec(event).unwrap_or_default());
        wanting.into_iter().for_each(|webhook| webhook.offer(body.clone()));
    }

    /// Where events do not arrive, and why.
    pub(in crate::agent) fn problems(&self) -> Vec<String> {
        let failing =
            self.status().into_iter().filter_map(|one| Some((one.last_failure?, one.url)));
        failing.map(|(why, url)| format!("events do not arrive at {url}: {why}")).collect()
    }

    /// What arrived and what did not.
    pub(in crate::agent) fn status(&self) -> Vec<WebhookStatus> {
        self.0.iter().map(Webhook::status).collect()
    }
}

impl Webhook {
    fn new(wanted: &Notify) -> Self {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let (queue, waiting) = mpsc::channel(WAITING);
        let (place, noted) = (wanted.clone(), counts.clone());
        let started = thread::Builder::new().name("elb-webhook".to_owned()).spawn(move || {
            if let Err(error) = send_all(&place, waiting, &noted) {
                lock(&noted).last_failure = Some(format!("{error:#}"));
            }
        });
        let queue = started.map(|_| queue);
        if let Err(error) = &queue {
            lock(&counts).last_failure = Some(format!("no thread: {error}"));
        }
        Self { wanted: wanted.clone(), queue: queue.ok(), counts }
    }

    fn offer(&self, body: Bytes) {
        if self.queue.as_ref().is_none_or(|queue| queue.try_send(body).is_err()) {
            lock(&self.counts).lost += 1;
        }
    }

    fn status(&self) -> WebhookStatus {
        let counts = lock(&self.counts);
        WebhookStatus {
            url: self.wanted.url.to_string(),
            sent: counts.sent,
            failed: counts.failed,
            lost: counts.lost,
            last_failure: counts.last_failure.clone(),
        }
    }
}

fn lock(counts: &Mutex<Counts>) -> std::sync::MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends what comes, one after the other, until no more can come.
fn send_all(
    place: &Notify,
    mut waiting: mpsc::Receiver<Bytes>,
    counts: &Mutex<Counts>,
) -> Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(LOOKUPS).build()?;
    runtime.block_on(async {
        while let Some(body) = waiting.recv().await {
            let attempt = timeout(ATTEMPT, send(place, body)).await;
            let result = attempt.unwrap_or_else(|_| bail!("no answer within {ATTEMPT:?}"));
            note(&place.url, result, &mut lock(counts));
        }
        Ok(())
    })
}

fn note(url: &WebhookUrl, result: Result<()>, counts: &mut Counts) {
    match result {
        Ok(()) => {
            counts.sent += 1;
            if counts.last_failure.take().is_some() {
                tracing::info!(%url, "events arrive again");
            }
        }
        Err(error) => {
            counts.failed += 1;
            let why = format!("{error:#}");
            if counts.last_failure.as_ref() != Some(&why) {
                tracing::warn!(%url, why, "an event did not arrive");
            }
            counts.last_failure = Some(why);
        }
    }
}

/// One attempt.
async fn send(place: &Notify, body: Bytes) -> Result<()> {
    let (host, port) = place.url.authority();
    let stream = TcpStream::connect((host.as_str(), port)).await.context("cannot connect")?;
    if !place.url.is_https() {
        return post(stream, &place.url, body).await;
    }
    let stream = secure::connect(stream, &host, place.ca_file.as_deref()).await?;
    post(stream, &place.url, body).await
}

async fn post<S>(stream: S, url: &WebhookUrl, body: Bytes) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(url.path())
        .header(HOST, url.host_header())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("elb/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(body))?;
    // What the answer says beyond its status is not read.
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.context("no answer");
    connection.abort();
    match answer?.status() {
        status if status.is_success() => Ok(()),
        status => bail!("the answer was {status}"),
    }
}

#[cfg(test)]
mod tests;
