//! TCP connections that stay, each with a ping-pong of lines of its own.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use super::{
    background::{Background, Stop},
    failure::{Failure, FailureKind},
};
use crate::{netns::NetNs, wait::wait_for, wire};

/// How long connecting may take, and each answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
const ESTABLISH_LIMIT: Duration = Duration::from_secs(10);

/// What became of one connection.
#[derive(Clone, Debug, Default)]
pub struct HeldConnection {
    /// The client's end.
    pub local: Option<SocketAddr>,
    /// The backend that gave the first answer.
    pub backend: Option<String>,
    /// How many answers there were.
    pub round_trips: u64,
    /// The longest time that an answer took.
    pub slowest: Duration,
    /// Why it ended before it was asked to.
    pub failure: Option<Failure>,
}

/// What became of all of them.
#[derive(Clone, Debug)]
pub struct HeldReport {
    /// Each connection.
    pub connections: Vec<HeldConnection>,
}

impl HeldReport {
    /// Those that ended before they were asked to.
    pub fn broken(&self) -> Vec<&HeldConnection> {
        let broken = |connection: &&HeldConnection| connection.failure.is_some();
        self.connections.iter().filter(broken).collect()
    }

    /// Whether each connection got at least `more` answers since `before`, a report on the same ones.
    pub fn is_beyond(&self, before: &Self, more: u64) -> bool {
        let mut pairs = self.connections.iter().zip(&before.connections);
        pairs.all(|(now, before)| now.round_trips >= before.round_trips + more)
    }

    /// Those with `backend`.
    pub fn on(&self, backend: &str) -> Vec<&HeldConnection> {
        let on = |connection: &&HeldConnection| connection.backend.as_deref() == Some(backend);
        self.connections.iter().filter(on).collect()
    }
}

/// Connections to an echo service, until they are stopped.
#[derive(Debug)]
pub struct HeldConnections {
    background: Background,
    connections: Arc<Mutex<Vec<HeldConnection>>>,
}

impl HeldConnections {
    /// Opens `count` connections from inside `netns`, a line on each in every `interval`; when this
    /// returns, each has got its first answer.
    pub fn open(
        netns: &NetNs,
        target: SocketAddr,
        count: usize,
        interval: Duration,
    ) -> Result<Self> {
        let connections = Arc::new(Mutex::new(vec![HeldConnection::default(); count]));
        let shared = connections.clone();
        let work = move |stop| hold_all(target, count, interval, stop, shared);
        let held = Self { background: Background::start(netns, work), connections };
        let what = format!("{count} connections to {target}");
        wait_for(&what, ESTABLISH_LIMIT, || held.all_answered())?;
        Ok(held)
    }

    /// What has happened until now.
    pub fn so_far(&self) -> HeldReport {
        HeldReport { connections: self.connections.lock().expect("no worker panics").clone() }
    }

    /// Closes the connections and tells what happened.
    pub fn stop(self) -> Result<HeldReport> {
        let Self { background, connections } = self;
        background.stop()?;
        let connections = connections.lock().expect("no worker panics").clone();
        Ok(HeldReport { connections })
    }

    fn all_answered(&self) -> Result<Option<()>> {
        let report = self.so_far();
        if let Some(failure) = report.broken().first().and_then(|broken| broken.failure.as_ref()) {
            bail!("{failure}");
        }
        let mut all = report.connections.iter();
        Ok(all.all(|connection| connection.round_trips > 0).then_some(()))
    }
}

async fn hold_all(
    target: SocketAddr,
    count: usize,
    interval: Duration,
    stop: Stop,
    connections: Arc<Mutex<Vec<HeldConnection>>>,
) {
    let mut workers = JoinSet::new();
    for index in 0..count {
        let (stop, connections) = (stop.clone(), connections.clone());
        workers.spawn(async move {
            let record = Record { connections, index };
            if let Err(failure) = hold(target, interval, stop, &record).await {
                record.update(|connection| connection.failure = Some(failure));
            }
        });
    }
    workers.join_all().await;
}

/// The place of one connection in the report.
struct Record {
    connections: Arc<Mutex<Vec<HeldConnection>>>,
    index: usize,
}

impl Record {
    fn update<T>(&self, change: impl FnOnce(&mut HeldConnection) -> T) -> T {
        change(&mut self.connections.lock().expect("no worker panics")[self.index])
    }
}

async fn hold(
    target: SocketAddr,
    interval: Duration,
    mut stop: Stop,
    record: &Record,
) -> Result<(), Failure> {
    let mut stream = in_time(TcpStream::connect(target)).await?;
    let local = stream.local_addr().and_then(|local| stream.set_nodelay(true).map(|()| local));
    let local = local.map_err(|error| Failure::from_error(&error))?;
    record.update(|connection| connection.local = Some(local));

    let mut stream = BufStream::new(&mut stream);
    let mut round: u64 = 0;
    while !stop.requested() {
        let line = format!("{local} {round}");
        let asked = Instant::now();
        let answer = in_time(ask(&mut stream, &line)).await?;
        let backend = check(&answer, &line)?;
        record.update(|connection| note(connection, backend, asked.elapsed()))?;
        round += 1;
        stop.pause(interval).await;
    }
    Ok(())
}

async fn ask(stream: &mut BufStream<&mut TcpStream>, line: &str) -> std::io::Result<String> {
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    stream.flush().await?;
    let mut answer = String::new();
    match stream.read_line(&mut answer).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer),
    }
}

fn check<'a>(answer: &'a str, line: &str) -> Result<&'a str, Failure> {
    match wire::parse_echo(answer) {
        Some((backend, echoed)) if echoed == line => Ok(backend),
        _ => {
            let text = format!("asked {line:?}, got {answer:?}");
            Err(Failure::new(FailureKind::Mismatch, text))
        }
    }
}

fn note(connection: &mut HeldConnection, backend: &str, took: Duration) -> Result<(), Failure> {
    let first = connection.backend.get_or_insert_with(|| backend.to_owned());
    if first != backend {
        let text = format!("{backend} answers on a connection with {first}");
        return Err(Failure::new(FailureKind::OtherBackend, text));
    }
    connection.round_trips += 1;
    connection.slowest = connection.slowest.max(took);
    Ok(())
}

async fn in_time<T>(work: impl Future<Output = std::io::Result<T>>) -> Result<T, Failure> {
    match timeout(ANSWER_LIMIT, work).await {
        Ok(result) => result.map_err(|error| Failure::from_error(&error)),
        Err(_) => {
            let text = format!("no answer within {ANSWER_LIMIT:?}");
            Err(Failure::new(FailureKind::TimedOut, text))
        }
    }
}
