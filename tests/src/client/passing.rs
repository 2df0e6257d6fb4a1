//! TCP connections that come, talk for a while, and go; their ports are soon those of others.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::Result;
use fastrand::Rng;
use tokio::{net::TcpSocket, task::JoinSet};

use super::{
    background::{Background, Stop},
    failure::{Failure, FailureKind},
    held_report::{HeldReport, Record, Records},
    talk::Talk,
};
use crate::{environment::allow_descriptors, netns::NetNs};

/// How connections come and go.
#[derive(Clone, Debug)]
pub struct Passing {
    /// How they talk.
    pub talk: Talk,
    /// The time from one to the next.
    pub every: Duration,
    /// How long the one stays that stays longest; all shorter times are as likely.
    pub longest: Duration,
    /// Their local ports: one that is free for longest is the next to be used. While there is
    /// none, no connection comes.
    pub ports: Range<u16>,
    /// What their times follow from.
    pub seed: u64,
}

/// Connections that come and go, until they are stopped.
#[derive(Debug)]
pub struct PassingConnections {
    background: Background,
    records: Records,
}

impl PassingConnections {
    /// Lets them come from inside `netns`, from now on.
    pub fn start(netns: &NetNs, passing: Passing) -> Result<Self> {
        allow_descriptors(passing.ports.len())?;
        let records = Records::default();
        let shared = records.clone();
        let work = move |stop| let_pass(passing, stop, shared);
        Ok(Self { background: Background::start(netns, work), records })
    }

    /// What has happened until now.
    pub fn so_far(&self) -> HeldReport {
        self.records.report()
    }

    /// Lets no more come, closes those that are there, and returns what happened.
    pub fn stop(self) -> Result<HeldReport> {
        let Self { background, records } = self;
        background.stop()?;
        Ok(records.report())
    }
}

async fn let_pass(passing: Passing, mut stop: Stop, records: Records) {
    let mut random = Rng::with_seed(passing.seed);
    let mut free: VecDeque<u16> = passing.ports.clone().collect();
    let mut under_way = JoinSet::new();
    while !stop.requested() {
        while let Some(gone) = under_way.try_join_next() {
            free.push_back(gone.expect("no worker panics"));
        }
        if let Some(port) = free.pop_front() {
            let leave = Instant::now() + passing.longest.mul_f64(random.f64());
            let (talk, stop, record) = (passing.talk, stop.clone(), records.begin());
            under_way.spawn(async move {
                record.keep(pass(talk, port, leave, stop, &record).await);
                port
            });
        }
        stop.pause(passing.every).await;
    }
    under_way.join_all().await;
}

/// How long a port may take to be free again.
const FREE: Duration = Duration::from_secs(10);

async fn pass(
    talk: Talk,
    port: u16,
    leave: Instant,
    stop: Stop,
    record: &Record,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let stream = loop {
        let socket = bound(talk, port).map_err(|error| Failure::from_error(&error));
        let connected = match socket {
            Ok(socket) => talk.connect(socket, record).await,
            Err(failure) => Err(failure),
        };
        match connected {
            // A program that is being started holds this process's sockets until it executes, those
            // too that were closed meanwhile.
            Err(failure) if failure.kind == FailureKind::PortTaken && begun.elapsed() < FREE => {
                tokio::time::sleep(FREE / 500).await;
            }
            connected => break connected?,
        }
    };
    talk.converse(stream, Some(leave), stop, record).await
}

/// A socket with a port that is free again, without a pause, when the socket is closed.
fn bound(talk: Talk, port: u16) -> io::Result<TcpSocket> {
    let any: IpAddr = match talk.target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = talk.socket()?;
    socket.set_reuseaddr(true)?;
    socket.set_zero_linger()?;
    socket.bind(SocketAddr::new(any, port))?;
    Ok(socket)
}
