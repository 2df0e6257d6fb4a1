//! Requests of the client, each on a new connection: at a bounded rate, or as many as it can.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use elb_tests::{
    client::{HttpLoad, HttpReport, Load},
    netns::NetNs,
    wait::STUCK,
};

/// How fast connections are opened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// At most a thousand a second.
    Steady,
    /// As fast as client, load balancer and backends together can on this machine.
    Full,
}

impl Pace {
    fn load(self, target: SocketAddr) -> Load {
        let (concurrency, pause) = match self {
            Self::Steady => (8, Duration::from_millis(8)),
            Self::Full => (16, Duration::ZERO),
        };
        // Answers may come late on a slow machine: only an answer that never comes is lost.
        Load { concurrency, pause, timeout: Duration::from_secs(30), limit: FOREVER, target }
    }
}

/// Longer than a demonstration may be held.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Requests under way.
pub(crate) struct Traffic(HttpLoad);

impl Traffic {
    pub(crate) fn start(client: &NetNs, service: SocketAddr, pace: Pace) -> Self {
        Self(HttpLoad::start(client, pace.load(service)))
    }

    /// Waits until `count` requests that began now or later were answered, or one was lost; however
    /// long that takes, as long as it goes on.
    pub(crate) fn answers(&self, count: usize) -> Result<()> {
        let now = Instant::now();
        let (mut ended, mut ended_at) = (0, now);
        loop {
            let report = self.0.so_far().since(now);
            if report.answered() >= count || report.answered() < report.total() {
                return Ok(());
            }
            if report.total() > ended {
                (ended, ended_at) = (report.total(), Instant::now());
            }
            ensure!(ended_at.elapsed() < STUCK, "no request has ended for {STUCK:?}");
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Starts no more requests, waits for those under way, and returns what became of all.
    pub(crate) fn stop(self) -> Result<HttpReport> {
        self.0.stop()
    }
}
