//! UDP sockets that stay, each with a ping-pong of datagrams of its own.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::{net::UdpSocket, task::JoinSet, time::timeout_at};

use super::background::{Background, Stop};
use crate::{netns::NetNs, wait::wait_for, wire};

const ANSWER_LIMIT: Duration = Duration::from_secs(1);
const FIRST_LIMIT: Duration = Duration::from_secs(10);
const GREATEST_DATAGRAM: usize = 2048;

/// What became of the datagrams of one socket.
#[derive(Clone, Debug, Default)]
pub struct UdpFlow {
    /// The client's end.
    pub local: Option<SocketAddr>,
    /// How many datagrams it sent.
    pub sent: u64,
    /// How many were answered.
    pub answered: u64,
    /// Who answered first, and each other one that took over, with the times.
    pub backends: Vec<(Instant, String)>,
    /// The last error of the socket, such as a port that was unreachable.
    pub last_error: Option<String>,
}

impl UdpFlow {
    /// Who answered last.
    pub fn backend(&self) -> Option<&str> {
        self.backends.last().map(|(_, name)| name.as_str())
    }
}

/// What became of the datagrams of all sockets.
#[derive(Clone, Debug)]
pub struct UdpReport {
    /// Each socket.
    pub flows: Vec<UdpFlow>,
}

impl UdpReport {
    /// How many datagrams were sent.
    pub fn sent(&self) -> u64 {
        self.flows.iter().map(|flow| flow.sent).sum()
    }

    /// How many were not answered.
    pub fn lost(&self) -> u64 {
        self.flows.iter().map(|flow| flow.sent - flow.answered).sum()
    }

    /// The flows that more than one backend answered.
    pub fn moved(&self) -> Vec<&UdpFlow> {
        self.flows.iter().filter(|flow| flow.backends.len() > 1).collect()
    }

    /// The flows that `backend` answered last.
    pub fn on(&self, backend: &str) -> Vec<&UdpFlow> {
        self.flows.iter().filter(|flow| flow.backend() == Some(backend)).collect()
    }
}

/// Sockets that talk to an echo service, until they are stopped.
#[derive(Debug)]
pub struct UdpFlows {
    background: Background,
    flows: Arc<Mutex<Vec<UdpFlow>>>,
}

impl UdpFlows {
    /// Opens `count` sockets inside `netns`, with a datagram from each in every `interval`; when
    /// this returns, each has got its first answer.
    pub fn open(
        netns: &NetNs,
        target: SocketAddr,
        count: usize,
        interval: Duration,
    ) -> Result<Self> {
        let flows = Arc::new(Mutex::new(vec![UdpFlow::default(); count]));
        let shared = flows.clone();
        let work = move |stop| talk_all(target, count, interval, stop, shared);
        let opened = Self { background: Background::start(netns, work), flows };
        wait_for(&format!("{count} UDP flows to {target}"), FIRST_LIMIT, || {
            let report = opened.so_far();
            Ok(report.flows.iter().all(|flow| flow.answered > 0).then_some(()))
        })?;
        Ok(opened)
    }

    /// What has happened until now; a datagram whose answer is awaited counts as lost.
    pub fn so_far(&self) -> UdpReport {
        UdpReport { flows: self.flows.lock().expect("no worker panics").clone() }
    }

    /// Closes the sockets and returns what happened.
    pub fn stop(self) -> Result<UdpReport> {
        let Self { background, flows } = self;
        background.stop()?;
        let flows = flows.lock().expect("no worker panics").clone();
        Ok(UdpReport { flows })
    }
}

async fn talk_all(
    target: SocketAddr,
    count: usize,
    interval: Duration,
    stop: Stop,
    flows: Arc<Mutex<Vec<UdpFlow>>>,
) {
    let mut workers = JoinSet::new();
    for index in 0..count {
        let record = Record { flows: flows.clone(), index };
        let stop = stop.clone();
        workers.spawn(async move {
            if let Err(error) = talk(target, interval, stop, &record).await {
                record.update(|flow| flow.last_error = Some(error.to_string()));
            }
        });
    }
    workers.join_all().await;
}

/// The place of one socket in the report.
struct Record {
    flows: Arc<Mutex<Vec<UdpFlow>>>,
    index: usize,
}

impl Record {
    fn update(&self, change: impl FnOnce(&mut UdpFlow)) {
        change(&mut self.flows.lock().expect("no worker panics")[self.index]);
    }
}

async fn talk(
    target: SocketAddr,
    interval: Duration,
    mut stop: Stop,
    record: &Record,
) -> io::Result<()> {
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // A connected socket takes datagrams from the target alone, so a reply from another address,
    // as a backend's own one, counts as lost.
    socket.connect(target).await?;
    let local = socket.local_addr()?;
    record.update(|flow| flow.local = Some(local));

    for round in 0_u64.. {
        if stop.requested() {
            break;
        }
        record.update(|flow| flow.sent += 1);
        match ask(&socket, &format!("{local} {round}")).await {
            Ok(Some(backend)) => record.update(|flow| note(flow, backend)),
            Ok(None) => {}
            Err(error) => record.update(|flow| flow.last_error = Some(error.to_string())),
        }
        stop.pause(interval).await;
    }
    Ok(())
}

/// Sends a datagram and returns who answered it; `None` if no one did in time.
async fn ask(socket: &UdpSocket, line: &str) -> io::Result<Option<String>> {
    let deadline = tokio::time::Instant::now() + ANSWER_LIMIT;
    socket.send(line.as_bytes()).await?;
    let mut buffer = [0; GREATEST_DATAGRAM];
    while let Ok(received) = timeout_at(deadline, socket.recv(&mut buffer)).await {
        let answer = String::from_utf8_lossy(&buffer[..received?]);
        // Anything else is the late answer to an earlier datagram.
        if let Some((backend, echoed)) = wire::parse_echo(&answer)
            && echoed == line
        {
            return Ok(Some(backend.to_owned()));
        }
    }
    Ok(None)
}

fn note(flow: &mut UdpFlow, backend: String) {
    flow.answered += 1;
    if flow.backend() != Some(backend.as_str()) {
        flow.backends.push((Instant::now(), backend));
    }
}
