//! A panic ends one task and not the agent: it is counted and shown, and the task begins again. One of the
//! loop's own code, whose state it may have left half changed, ends the agent in order; the next one says so.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::{fault, sleep_until, worker};
use crate::api::Query;
use crate::api::accept::Spare;
use crate::api::exporter::MetricsServer;
use crate::api::readers::Readers;
use crate::api::server::Server;
use crate::api::shape::status;
use crate::api::socket::BoundSocket;
use crate::api::v2;
use crate::api::v3::ApiServer;
use crate::api::v3::local::LocalApi;
use crate::control::network::{Network, WantedAddresses};
use crate::kernel::host::follow;
use crate::kernel::host::found::HostState;
use crate::kernel::net::follow::thread;
use crate::kernel::net::probe_route::keep::KeptRoute;
use crate::observe::metrics::Exporter;
use crate::source::file::MetricsSettings;

/// Tasks that panicked, since the agent started.
#[derive(Debug, Default)]
pub(super) struct Panics(BTreeMap<&'static str, status::Panics>);

impl Panics {
    /// A task panicked with this message.
    pub(super) fn note(&mut self, task: &'static str, message: String) {
        tracing::error!(task, message, "a task panicked and is started again; please report this");
        let known = self.0.entry(task).or_insert_with(|| status::Panics {
            task: task.to_owned(),
            count: 0,
            last: String::new(),
        });
        (known.count, known.last) = (known.count + 1, message);
    }

    /// A task of the agent before this one panicked, and ended it.
    pub(super) fn note_earlier(&mut self, task: &'static str, message: String) {
        tracing::error!(task, message, "the agent before this one panicked; please report this");
        self.0.insert(task, status::Panics { task: task.to_owned(), count: 1, last: message });
    }

    /// Takes in how a task ended: its result, or none if it panicked.
    pub(super) fn result_of<T>(
        &mut self,
        task: &'static str,
        end: Result<T, JoinError>,
    ) -> Option<T> {
        end.map_err(|error| self.note(task, panic_of(error))).ok()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<status::Panics> {
        self.0.values().cloned().collect()
    }

    /// What is to be said of them.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> + '_ {
        self.0.values().map(|status::Panics { task, count, last }| {
            let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
            format!("task {task} panicked {times} and was begun again: {last}; please report this")
        })
    }
}

/// What the agent's own code is called among its tasks.
pub(super) const MAIN_LOOP: &str = "main loop";

/// Why the agent ends, and what goes on meanwhile.
pub(super) fn main_loop_panicked(message: &str) -> anyhow::Error {
    anyhow!(
        "the agent's main loop panicked: {message}; the agent ends, to be started again by the service manager, \
         the program goes on forwarding, and members' health stays as it is until then; please report this"
    )
}

/// Runs work that may panic; then the error is what it said.
pub(super) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(message(panic.as_ref()))),
        }
    })
    .await
}

/// As [`caught`], of work that does not wait.
pub(super) fn caught_now<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| message(panic.as_ref()))
}

fn panic_of(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => message(panic.as_ref()),
        Err(cancelled) => cancelled.to_string(),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a message".to_owned())
}

/// How long after its end a task begins again.
const AGAIN: Duration = Duration::from_secs(1);

type Work = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A task that lasts as long as the agent: when it ends, however, it begins again.
pub(super) struct Lasting {
    name: &'static str,
    begin: Box<dyn Fn() -> Result<Work> + Send>,
    task: JoinSet<Result<()>>,
    again: Option<Instant>,
}

/// How a lasting task ended.
pub(super) enum End {
    /// It panicked with this message.
    Panic(&'static str, String),
    /// It failed.
    Failure(&'static str, String),
}

impl Lasting {
    fn start(
        name: &'static str,
        begin: impl Fn() -> Result<Work> + Send + 'static,
    ) -> Result<Self> {
        let mut task = JoinSet::new();
        task.spawn(begin()?);
        Ok(Self { name, begin: Box::new(begin), task, again: None })
    }

    /// Whether it runs.
    pub(super) fn is_alive(&self) -> bool {
        !self.task.is_empty()
    }

    /// Waits until it ends; one that has ended begins again first, after a rest.
    pub(super) async fn ended(&mut self) -> End {
        if self.task.is_empty() {
            sleep_until(self.again).await;
            match (self.begin)() {
                Ok(work) => drop(self.task.spawn(work)),
                Err(error) => {
                    self.again = Some(Instant::now() + AGAIN);
                    return End::Failure(self.name, format!("{error:#}"));
                }
            }
        }
        let end = self.task.join_next().await;
        self.again = Some(Instant::now() + AGAIN);
        match end {
            Some(Err(error)) => End::Panic(self.name, panic_of(error)),
            Some(Ok(Err(error))) => End::Failure(self.name, format!("{error:#}")),
            Some(Ok(Ok(()))) | None => End::Failure(self.name, "it ended by itself".to_owned()),
        }
    }
}

/// Name of the task that looks at the host.
pub(super) const LOOKER: &str = "looking at the host";

/// Follows the kernel's routes, neighbours and links.
pub(super) fn following(
    wanted: watch::Receiver<WantedAddresses>,
    known: watch::Sender<Network>,
) -> Result<Lasting> {
    Lasting::start("netlink", move || {
        let (wanted, known) = (wanted.clone(), known.clone());
        Ok(Box::pin(async move {
            fault::reach("netlink");
            Ok(thread::follow(wanted, known).await?)
        }))
    })
}

/// Looks at what the agent keeps in its host.
pub(super) fn looking(
    way: Option<KeptRoute>,
    wanted: watch::Receiver<WantedAddresses>,
    revision: watch::Receiver<u64>,
    found: watch::Sender<Arc<HostState>>,
) -> Result<Lasting> {
    Lasting::start(LOOKER, move || {
        let (way, wanted) = (way.clone(), wanted.clone());
        let (revision, found) = (revision.clone(), found.clone());
        Ok(Box::pin(async move {
            follow::follow(way, wanted, revision, found).await;
            Ok(())
        }))
    })
}

/// Answers the command line.
pub(super) fn answering(
    listening: BoundSocket,
    spare: Spare,
    queries: mpsc::Sender<Query>,
    exporter: Exporter,
    readers: Option<Readers>,
    api: LocalApi,
) -> Result<Lasting> {
    Lasting::start("API socket", move || {
        let (queries, exporter) = (queries.clone(), exporter.clone());
        let server = Server::new(listening.clone(), spare.clone(), queries, exporter);
        let server = server.with_readers(readers.clone()).with_api(api.clone());
        let served = worker::spawn("elb-api", move || server.run())?;
        Ok(Box::pin(async move { Ok(served.await.context("its thread panicked")??) }))
    })
}

/// Name of the task that serves metrics over TCP.
pub(super) const EXPORTER: &str = "metrics over TCP";

/// Serves metrics over TCP, where the settings want it.
pub(super) fn exporting(
    settings: watch::Receiver<MetricsSettings>,
    exporter: Exporter,
) -> Result<Lasting> {
    Lasting::start(EXPORTER, move || {
        let server = MetricsServer::new(settings.clone(), exporter.clone());
        let served = worker::spawn("elb-metrics", move || server.run())?;
        Ok(Box::pin(async move { served.await.context("its thread panicked")? }))
    })
}

/// Serves the API, until its end comes.
pub(super) fn serving_api(server: ApiServer, end: watch::Receiver<bool>) -> Result<Lasting> {
    Lasting::start("API", move || {
        let (server, end) = (server.clone(), end.clone());
        let faces = v2::router(server.clone());
        let served = worker::spawn("elb-v3", move || server.run(faces, end))?;
        Ok(Box::pin(async move { served.await.context("its thread panicked")? }))
    })
}

#[cfg(test)]
mod tests;
