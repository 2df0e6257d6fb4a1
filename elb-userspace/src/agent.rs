//! The agent: wires what decides (`core`) to what is seen and done. Every task is its own, and it waits
//! for each.

mod core;

mod arrivals;
mod bound;
mod chore;
mod clock;
mod descriptors;
mod diagnose;
mod draining;
mod events;
mod explain;
mod inherited;
mod keeping;
mod members;
mod own_address;
mod probing;
mod publishing;
mod queries;
mod recover;
mod reloading;
mod report;
mod resizing;
mod settling;
mod start;
mod sweep;
mod traces;
mod vip_probes;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::chore::Chore;
use self::clock::{instant, now};
use self::core::Core;
use self::probing::Probed;
use self::reloading::Reloaded;
use self::settling::LOOK;
pub use self::start::{lock_path, run};
use self::traces::Traces;
use crate::announce::Announcer;
use crate::api::Query;
use crate::api::reload::{ReloadReport, ReloadRequest};
use crate::census::Census;
use crate::host::found::Found;
use crate::kernel::MapError;
use crate::nexthop::{Network, Wanted, netlink};

/// How long after a failure the flow tables are swept again.
const SWEEP_AGAIN: Duration = Duration::from_secs(5);
/// How long next hops have to answer before the agent goes on without them.
const RESOLVE: Duration = Duration::from_secs(1);
/// When virtual addresses are announced after a start: once at once, and again for those who missed
/// it.
const ANNOUNCE: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)];

struct Agent {
    core: Core,
    network: watch::Receiver<Network>,
    wanted: watch::Sender<Wanted>,
    host: watch::Receiver<Arc<Found>>,
    queries: mpsc::Receiver<Query>,
    probes: JoinSet<Probed>,
    /// Bringing the maps in step after verdicts. It takes half of the time at most.
    publishing: Chore,
    /// Writing down what is known of the members' health, which another thread does.
    saving: Chore,
    saves: JoinSet<Duration>,
    announcer: Option<Announcer>,
    announcements: Vec<Instant>,
    traces: Traces,
    /// When to look after who traces still.
    look: Option<Instant>,
    /// Walks over the flow tables, which take long.
    readers: JoinSet<()>,
    /// Looks at members, which take long.
    diagnoses: JoinSet<()>,
    /// When to look whether it is time to sweep.
    sweep: Option<Instant>,
    /// When to look at the counts of new connections.
    arrivals: Instant,
    /// When the last sweep ended.
    swept: Instant,
    /// A sweep, and the revision that it is of.
    sweeps: JoinSet<(u64, Result<Census, MapError>)>,
}

impl Agent {
    fn new(
        core: Core,
        network: watch::Receiver<Network>,
        wanted: watch::Sender<Wanted>,
        host: watch::Receiver<Arc<Found>>,
        queries: mpsc::Receiver<Query>,
        traces: Traces,
    ) -> Self {
        Self {
            core,
            network,
            wanted,
            host,
            queries,
            probes: JoinSet::new(),
            publishing: Chore::new(Instant::now()),
            saving: Chore::new(Instant::now()),
            saves: JoinSet::new(),
            announcer: announcer(),
            announcements: Vec::new(),
            traces,
            look: None,
            readers: JoinSet::new(),
            diagnoses: JoinSet::new(),
            sweep: None,
            arrivals: Instant::now(),
            swept: Instant::now(),
            sweeps: JoinSet::new(),
        }
    }

    async fn serve(
        &mut self,
        follower: &mut JoinSet<Result<(), netlink::NetlinkError>>,
        server: &mut JoinSet<std::io::Result<()>>,
    ) -> Result<()> {
        let mut hangup = listen(SignalKind::hangup())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        tokio::select! {
            known = self.network_known() => known?,
            Some(ended) = follower.join_next() => ended.context("netlink")??,
        }
        self.network_changed();
        self.announce_anew();
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        loop {
            let probe_at = self.core.next_probe().map(instant);
            let announce_at = self.announcements.iter().min().copied();
            let save_at = self.saving.due().filter(|_| self.saves.is_empty());
            let publish_at = self.core.publish_in().map(|time| Instant::now() + time);
            tokio::select! {
                _ = hangup.recv() => drop(self.reload(ReloadRequest::default())),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                changed = self.network.changed() => {
                    changed.context("nobody follows the network any more")?;
                    self.network_changed();
                }
                changed = self.host.changed() => {
                    changed.context("nobody looks at the host any more")?;
                    self.keep();
                }
                Some(query) = self.queries.recv() => {
                    self.publish_if_asked();
                    self.answer(query);
                }
                Some(done) = self.probes.join_next() => {
                    self.probed(done.context("a probe panicked")?);
                    while let Some(done) = self.probes.try_join_next() {
                        self.probed(done.context("a probe panicked")?);
                    }
                }
                () = sleep_until(probe_at) => self.start_probes(),
                () = sleep_until(self.publishing.due()) => self.publish(),
                () = sleep_until(save_at) => self.save_health(),
                Some(took) = self.saves.join_next() => {
                    self.health_is_saved(took.context("saving panicked")?);
                }
                () = sleep_until(publish_at) => {
                    self.core.publish();
                    self.watch_flows();
                }
                () = sleep_until(self.sweep) => self.sweep_if_due(),
                () = sleep_until(Some(self.arrivals)) => {
                    self.core.note_arrivals(now());
                    self.arrivals = Instant::now() + arrivals::PERIOD;
                }
                Some(done) = self.sweeps.join_next() => {
                    let (revision, swept) = done.context("a sweep panicked")?;
                    self.end_sweep(revision, swept);
                }
                () = sleep_until(announce_at) => self.announce(),
                () = self.traces.ready() => self.traces.pass_on(),
                () = sleep_until(self.look) => self.look_after_traces(),
                Some(done) = self.readers.join_next() => done.context("a reader panicked")?,
                Some(done) = self.diagnoses.join_next() => done.context("a diagnosis panicked")?,
                Some(ended) = follower.join_next() => ended.context("netlink")??,
                Some(ended) = server.join_next() => ended.context("the API socket")??,
            }
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        self.traces.end(&mut self.core);
        self.core.save();
        self.save_health_at_last().await;
        tracing::info!("stopping; the program goes on forwarding, `elb detach` would stop it");
        Ok(())
    }

    /// Waits until the way to every member is known that an earlier agent may have served or that serves
    /// at once, not long for next hops that do not answer. To publish before would leave the former out.
    async fn network_known(&mut self) -> Result<()> {
        self.network.wait_for(|network| !network.links.is_empty()).await?;
        let wanted = self.core.serving_at_once();
        let resolved = |network: &Network| {
            wanted.iter().all(|address| network.missing_neighbor(*address).is_none())
        };
        match tokio::time::timeout(RESOLVE, self.network.wait_for(resolved)).await {
            Ok(known) => drop(known?),
            Err(_) => tracing::debug!("some next hops do not answer"),
        }
        Ok(())
    }

    fn network_changed(&mut self) {
        let network = self.network.borrow_and_update().clone();
        self.core.network_changed(network);
        self.watch_flows();
    }

    fn keep(&mut self) {
        let found = self.host.borrow_and_update().clone();
        if self.core.keep(found, now()) {
            self.announce_anew();
            self.watch_flows();
        }
    }

    fn announce_anew(&mut self) {
        self.announcements = ANNOUNCE.iter().map(|after| Instant::now() + *after).collect();
    }

    /// Sees to it that the flow tables are swept, if that is needed.
    fn watch_flows(&mut self) {
        if self.sweep.is_none() && self.sweeps.is_empty() {
            let time = self.core.sweep_in(self.swept.elapsed());
            self.sweep = time.map(|time| Instant::now() + time.min(LOOK));
        }
    }

    fn sweep_if_due(&mut self) {
        self.sweep = None;
        if self.core.sweep_in(self.swept.elapsed()) != Some(Duration::ZERO) {
            return self.watch_flows();
        }
        let (revision, tracking) = (self.core.revision, self.core.tracking.clone());
        self.sweeps.spawn_blocking(move || (revision, tracking.sweep()));
    }

    fn end_sweep(&mut self, revision: u64, swept: Result<Census, MapError>) {
        self.swept = Instant::now();
        match swept {
            Ok(census) => {
                self.core.swept(census, revision);
                self.watch_flows();
            }
            Err(error) => {
                tracing::warn!(%error, "cannot sweep the flow tables");
                self.sweep = Some(Instant::now() + SWEEP_AGAIN);
            }
        }
    }

    fn reload(&mut self, request: ReloadRequest) -> ReloadReport {
        let reloading = sd_notify::NotifyState::monotonic_usec_now()
            .map(|clock| sd_notify::notify(&[sd_notify::NotifyState::Reloading, clock]));
        if let Err(error) = reloading {
            tracing::debug!(%error, "cannot tell systemd");
        }
        let Reloaded { report, tracer } = self.core.reload(now(), self.traces.program(), request);
        if let Some(tracer) = tracer {
            self.traces.follow(tracer);
            // What a sweep of other maps found says nothing of these.
            (self.sweeps, self.sweep) = (JoinSet::new(), None);
        }
        if report.accepted {
            self.wanted.send_replace(self.core.addresses());
            self.announcements.push(Instant::now());
            self.saving.ask(Instant::now(), Duration::ZERO);
        }
        self.watch_flows();
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        report
    }

    fn announce(&mut self) {
        let due = Instant::now();
        self.announcements.retain(|at| *at > due);
        let Some(announcer) = &self.announcer else { return };
        for (ifindex, mac, vip) in self.core.announcements() {
            if let Err(error) = announcer.announce(ifindex, mac, vip) {
                tracing::debug!(ifindex, %vip, %error, "cannot announce");
            }
        }
    }
}

fn announcer() -> Option<Announcer> {
    let untold = "cannot announce virtual addresses; it takes CAP_NET_RAW";
    Announcer::new().inspect_err(|error| tracing::warn!(%error, "{untold}")).ok()
}

fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).context("cannot listen for signals")
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
