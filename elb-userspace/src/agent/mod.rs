//! The agent: wires what decides (`core`) to what is seen and done. Every task is its own, and it waits
//! for each.

mod core;
mod cutting;

mod announcing;
mod answering;
mod chore;
mod clients;
mod clock;
mod containment;
mod descriptors;
mod diagnose;
mod draining;
mod explain;
mod fallback;
#[doc(hidden)]
pub mod fault;
mod flow_log;
mod flows;
mod following;
mod happening;
mod holders;
mod in_force;
mod inherited;
mod instrument;
mod ipv6_off;
mod keeping;
mod last_good;
pub mod log_format;
pub mod logged;
pub mod logging;
mod metering;
mod notify;
mod notify_effects;
mod out_of_service;
mod own_address;
mod own_faults;
mod owning;
mod probing;
mod proving;
mod publishing;
mod queries;
mod ready;
mod recover;
mod reloading;
mod report;
mod reserve;
mod resizing;
mod rises;
mod runner;
pub mod saved;
mod saving;
mod settling;
mod signals;
mod sources;
mod start;
mod state;
mod storing;
mod stuck;
mod traces;
mod unserved;
pub mod usable;
mod vip_probes;
mod watchdog;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sd_notify::NotifyState;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::announcing::Announcing;
use self::chore::Chore;
use self::clock::{instant, now};
use self::containment::{End, LOOKER, Lasting, caught_now};
use self::core::Core;
use self::following::Following;
use self::notify::notify;
pub use self::owning::{lock_path, lock_pins};
use self::probing::Saved;
use self::reloading::Reloaded;
use self::runner::Runner;
use self::settling::LOOK;
use self::signals::Signals;
pub use self::signals::hold_signals;
pub use self::start::run;
use self::traces::Traces;
use self::watchdog::Watchdog;
use crate::api::Query;
use crate::api::report::PartRequest;
use crate::api::shape::reload::{ReloadReport, ReloadRequest};
use crate::control::census::Census;
use crate::kernel::bpf::MapError;
use crate::kernel::host::found::HostState;

/// How long after a failure the flow tables are swept again.
const SWEEP_AGAIN: Duration = Duration::from_secs(5);
/// How long after a failure metrics are measured again.
const METER_AGAIN: Duration = Duration::from_secs(1);
/// How long first rings may keep the service manager waiting: longer than any whose members answer.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Queries that wait to be heard; who asks for more waits, too.
const QUERIES: usize = 16;

struct Agent {
    core: Core,
    /// The kernel's routes and neighbours.
    following: Following,
    host: watch::Receiver<Arc<HostState>>,
    queries: mpsc::Receiver<Query>,
    probes: Runner,
    /// Bringing the maps in step after verdicts, and after routes and neighbours changed. It takes half
    /// of the time at most.
    publishing: Chore,
    /// Writing down what is known of the members' health, which another thread does.
    saving: Chore,
    saves: JoinSet<Saved>,
    announcing: Announcing,
    /// Looks for others that answer for the virtual addresses.
    holders: holders::Looks,
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
    /// Whether the service manager knows that the agent serves.
    is_ready: bool,
    /// When it is to know in any case.
    ready_by: Instant,
    watchdog: Watchdog,
    /// When a snapshot of what the agent knows is published for metrics.
    metering: Instant,
}

impl Agent {
    fn new(
        core: Core,
        following: Following,
        host: watch::Receiver<Arc<HostState>>,
        queries: mpsc::Receiver<Query>,
        traces: Traces,
        probes: Runner,
    ) -> Self {
        let announcing = Announcing::new(&core);
        Self {
            core,
            following,
            host,
            queries,
            probes,
            publishing: Chore::new(Instant::now()),
            saving: Chore::new(Instant::now()),
            saves: JoinSet::new(),
            announcing,
            holders: holders::Looks::new(Instant::now()),
            traces,
            look: None,
            readers: JoinSet::new(),
            diagnoses: JoinSet::new(),
            sweep: None,
            arrivals: Instant::now(),
            swept: Instant::now(),
            sweeps: JoinSet::new(),
            is_ready: false,
            ready_by: Instant::now() + READY_WITHIN,
            watchdog: Watchdog::new(Instant::now()),
            metering: Instant::now(),
        }
    }

    #[expect(clippy::too_many_lines, reason = "one loop that waits for every task")]
    async fn serve(
        &mut self,
        mut signals: Signals,
        mut follower: Lasting,
        mut server: Lasting,
        mut looker: Lasting,
        mut exporting: Lasting,
        mut api: storing::ServedApi,
    ) -> Result<()> {
        loop {
            tokio::select! {
                known = self.network_known() => break known?,
                end = follower.ended() => self.has_ended(end),
            }
        }
        self.core.publish();
        self.watch_flows();
        self.announce_anew();
        loop {
            self.say_ready();
            let probe_at = self.core.next_probe().map(instant);
            let announce_at = self.announcing.next();
            let save_at = self.saving.due().filter(|_| self.saves.is_empty());
            let publish_at = self.core.publish_in().map(|time| Instant::now() + time);
            tokio::select! {
                _ = signals.hangup.recv() => self.prepare_reload(ReloadRequest::default(), None),
                () = sleep_until(self.following.reload_at()) => self.reload_prepared(),
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                () = sleep_until(Some(self.ready_by).filter(|_| !self.is_ready)) => {}
                () = sleep_until(self.watchdog.due()) => self.test(follower.is_alive()),
                changed = self.following.changed() => {
                    changed.context("the task that follows the network has ended")?;
                    self.network_changed();
                }
                changed = self.host.changed() => {
                    changed.context("the task that looks at the host has ended")?;
                    self.keep();
                }
                Some(query) = self.queries.recv() => {
                    self.core.faults.idle_tasks.remove("API socket");
                    self.hear(query);
                    // Those that wait, too, before what takes longer: a store may have changes all the time.
                    for _ in 0..QUERIES {
                        let Ok(query) = self.queries.try_recv() else { break };
                        self.hear(query);
                    }
                }
                done = self.probes.done() => {
                    self.probed(done.context("the thread of probes ended")?);
                    while let Some(done) = self.probes.try_done() {
                        self.probed(done);
                    }
                }
                () = sleep_until(probe_at) => self.start_probes(),
                () = sleep_until(self.publishing.due()) => self.publish(),
                () = sleep_until(save_at) => self.save_health(),
                Some(done) = self.saves.join_next() => {
                    match self.core.faults.panics.result_of("saving", done) {
                        Some(saved) => self.is_saved(saved),
                        None => self.core.file.is_kept = false,
                    }
                }
                () = sleep_until(publish_at) => {
                    self.core.publish();
                    self.watch_flows();
                }
                () = sleep_until(self.sweep) => self.sweep_if_due(),
                () = sleep_until(Some(self.arrivals)) => {
                    self.core.note_arrivals(now());
                    self.arrivals = Instant::now() + state::arrivals::PERIOD;
                }
                () = sleep_until(Some(self.metering)) => self.meter(),
                Some(done) = self.sweeps.join_next() => {
                    match self.core.faults.panics.result_of("sweep", done) {
                        Some((revision, swept)) => self.end_sweep(revision, swept),
                        None => self.sweep = Some(Instant::now() + SWEEP_AGAIN),
                    }
                }
                () = sleep_until(announce_at) => self.announce(),
                found = self.holders.next() => {
                    if let Some((questions, found)) = found {
                        self.core.held(&questions, found);
                    }
                    let is_held = self.core.is_held();
                    self.holders.begin(Instant::now(), self.core.announced(), is_held);
                }
                () = self.traces.ready() => self.traces.pass_on(),
                () = sleep_until(self.look) => self.look_after_traces(),
                Some(done) = self.readers.join_next() => {
                    self.core.faults.panics.result_of("reading flow tables", done);
                }
                Some(done) = self.diagnoses.join_next() => {
                    self.core.faults.panics.result_of("diagnosis", done);
                }
                end = follower.ended() => self.has_ended(end),
                end = server.ended() => self.has_ended(end),
                end = looker.ended() => self.has_ended(end),
                end = exporting.ended() => self.has_ended(end),
                changed = api.changed() => match changed {
                    None => self.prepare_reload(ReloadRequest::default(), None),
                    Some(end) => self.has_ended(end),
                },
            }
        }
        api.stop().await;
        notify(&[NotifyState::Stopping]);
        self.traces.end(&mut self.core);
        self.core.end_flow_log();
        // Whatever became of the file meanwhile.
        self.core.serving.saved = None;
        self.core.save();
        self.core.keep_drained();
        self.save_health_at_last().await;
        notify::flush();
        tracing::info!("stopping; the program goes on forwarding, `elb detach` would stop it");
        Ok(())
    }

    /// Notifies the service manager that the agent serves, once no pool's first ring waits for its members, or
    /// not for long.
    fn say_ready(&mut self) {
        let waits = self.core.serving.first_rings_wait && Instant::now() < self.ready_by;
        if !self.is_ready && !waits {
            self.is_ready = true;
            notify(&[NotifyState::Ready]);
        }
    }

    /// A lasting task ended, and begins again.
    fn has_ended(&mut self, end: End) {
        match end {
            End::Panic(task, message) => self.core.faults.panics.note(task, message),
            End::Failure(task, why) => {
                let said = self.core.faults.idle_tasks.insert(task, why.clone());
                if said.as_ref() != Some(&why) {
                    tracing::error!(task, why, "a task ended and is started again, until it works");
                }
            }
        }
    }

    fn test(&mut self, follows: bool) {
        if let Some(why) = self.watchdog.notify(&self.core, follows, Instant::now()) {
            tracing::error!(why, "the agent does not work; the service manager is not notified");
        }
    }

    fn meter(&mut self) {
        let measured = caught_now(|| {
            fault::reach("metrics");
            self.core.describe_flows();
            self.core.meter(self.traces.count())
        });
        let rest = measured.unwrap_or_else(|message| {
            self.core.faults.panics.note("metrics", message);
            METER_AGAIN
        });
        self.metering = Instant::now() + rest;
    }

    fn keep(&mut self) {
        self.core.faults.idle_tasks.remove(LOOKER);
        self.core.look_at_owned();
        let found = self.host.borrow_and_update().clone();
        if self.core.keep(found, now()) {
            // Ways to clients are by the interfaces that carry the program now.
            self.following.want(self.core.addresses());
            self.announce_anew();
            self.watch_flows();
        }
        self.keep_announced();
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
        let (revision, tracking) = (self.core.serving.revision, self.core.serving.tracking.clone());
        self.sweeps.spawn_blocking(move || {
            fault::reach("sweep");
            (revision, tracking.sweep())
        });
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

    /// Answers a query, or begins to.
    fn hear(&mut self, query: Query) {
        if !is_continued(&query) {
            self.publish_early();
        }
        if let Err(message) = caught_now(|| self.answer(query)) {
            self.core.faults.panics.note("answer", message);
        }
    }

    /// Reloads; a client may wait for what it does.
    fn reload(&mut self, request: ReloadRequest, is_awaited: bool) -> ReloadReport {
        if let Ok(clock) = NotifyState::monotonic_usec_now() {
            notify(&[NotifyState::Reloading, clock]);
        }
        let Reloaded { report, tracer } =
            self.core.reload(now(), self.traces.program(&self.core), request, is_awaited);
        if let Some(tracer) = tracer {
            self.traces.follow(tracer);
            // What a sweep of other maps found says nothing of these.
            (self.sweeps, self.sweep) = (JoinSet::new(), None);
        }
        if report.accepted {
            self.following.want(self.core.addresses());
            self.announce_anew();
            self.saving.ask(Instant::now(), Duration::ZERO);
            self.metering = Instant::now();
        }
        self.watch_flows();
        // A caller that waits for a reload waits for the first rings, too.
        (self.is_ready, self.ready_by) = (false, Instant::now() + READY_WITHIN);
        self.say_ready();
        report
    }
}

/// Whether a query is about the rest of an answer, of which there may be much.
fn is_continued(query: &Query) -> bool {
    matches!(query, Query::Status(PartRequest::Next(_), _))
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
