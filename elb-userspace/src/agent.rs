//! The agent: wires what decides (`core`) to what is seen and done. Every task is spawned here.

mod core;

mod bound;
mod chore;
mod descriptors;
mod diagnose;
mod draining;
mod events;
mod explain;
mod members;
mod probing;
mod recover;
mod report;
mod sweep;
mod traces;
mod vip_probes;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::chore::Chore;
use self::core::Core;
use self::draining::Draft;
use self::probing::Probed;
use self::sweep::{Swept, Tracking};
use self::traces::Traces;
use self::vip_probes::VipProbes;
use crate::announce::Announcer;
use crate::api::diagnose::{DiagnoseRequest, Diagnosis};
use crate::api::drain::DrainReport;
use crate::api::{self, Lines, Query, WAITING_LINES};
use crate::assign::AssignedPool;
use crate::config::{self, AttachMode, Config};
use crate::flows;
use crate::kernel::{Attachment, Capacity, MapError, Maps, Object, Tracer, pinned, unpin};
use crate::nexthop::{Network, Wanted, netlink};
use crate::saved::{self, Numbers};
use crate::time::Now;

/// How often moving slots are looked at, while there are some.
const SETTLE: Duration = Duration::from_secs(5);
/// How often the flow tables are swept, while connections are counted; more rarely if it takes more
/// than a twentieth of that.
const SWEEP: Duration = Duration::from_secs(5);
/// How long next hops have to answer before the agent goes on without them.
const RESOLVE: Duration = Duration::from_secs(1);
/// Diagnoses under way at once, each of which sends packets to a few members.
const DIAGNOSES: usize = 4;
/// When virtual addresses are announced after a start: once at once, and again for those who missed
/// it.
const ANNOUNCE: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)];

/// Serves a configuration file until it is told to stop. Traffic goes on afterwards.
///
/// # Errors
/// The configuration is of no use, another agent runs, or the kernel refused.
pub async fn run(file: &Path) -> Result<()> {
    let (config, errors) = config::load_lenient(file);
    let Some(config) = config else {
        bail!("{errors}\n{} cannot be served", file.display());
    };
    for error in errors.iter() {
        tracing::error!("{error}");
    }
    let lock = lock(&config.agent.socket)?;
    let capacity = Capacity::of(&config.agent);
    let mut object = Object::load(&config.agent.pin_dir, capacity)?;
    let maps = Maps::new(&mut object, capacity).context("cannot use the maps")?;
    let tracking = Tracking::new(&object.directory, capacity).context("cannot use the maps")?;
    let attachments = attach(&mut object, &config)?;
    let log = core::trace(&mut object);
    let traces = Traces::new(Tracer::new(&mut object)?)?;
    if let Some(why) = &object.untraceable {
        tracing::warn!(why, "this kernel cannot trace packets; forwarding does without it");
    }

    let vip_probes = VipProbes::begin(&mut object, &config).await;
    let observed = maps.image().context("cannot read the maps")?;
    let mut health = saved::read(&saved::health_path(&config.agent.socket)).unwrap_or_default();
    let numbers = saved::read(&saved::numbers_path(&config.agent.socket))
        .filter(|numbers: &Numbers| numbers.generation == maps.generation)
        .unwrap_or_else(|| recover::from_maps(&config.model, &observed, &maps, &mut health));
    recover::published_since(&config.model, &observed, &numbers, &mut health);
    let pools = &numbers.assignments.pools;
    maps.clear_all_but(pools.values().flat_map(AssignedPool::regions).collect());
    let owners = pools.iter().map(|(name, pool)| (name.clone(), maps.owners(pool.region())));
    let owners: BTreeMap<_, _> = owners.collect();
    let problems = errors.iter().map(ToString::to_string).collect();
    let core = Core::new(core::Parts {
        config,
        file: file.to_owned(),
        object,
        maps,
        vip_probes,
        tracking: Arc::new(tracking),
        attachments,
        observed,
        numbers,
        health,
        most_probes: descriptors::most_probes(),
        owners,
        problems,
        now: now(),
    });
    let (wanted, wanted_addresses) = watch::channel(core.addresses());
    let (known, network) = watch::channel(Network::default());
    let mut follower = JoinSet::new();
    follower.spawn(netlink::follow(wanted_addresses, known));
    let (questions, queries) = mpsc::channel(16);
    let server = api::server::Server::bind(core.socket(), questions)?;
    let mut server_task = JoinSet::new();
    server_task.spawn(server.run());
    let mut agent = Agent {
        core,
        network,
        wanted,
        queries,
        probes: JoinSet::new(),
        publishing: Chore::new(Instant::now()),
        saving: Chore::new(Instant::now()),
        saves: JoinSet::new(),
        announcer: Announcer::new()
            .inspect_err(|error| {
                tracing::warn!(%error, "cannot announce virtual addresses; it takes CAP_NET_RAW");
            })
            .ok(),
        announcements: Vec::new(),
        settle: None,
        traces,
        look: None,
        readers: JoinSet::new(),
        diagnoses: JoinSet::new(),
        sweep: None,
        sweeps: JoinSet::new(),
    };
    let result = agent.serve(&mut follower, &mut server_task).await;
    let _ = fs::remove_file(agent.core.socket());
    drop((lock, log));
    result
}

/// One agent for one socket: the lock goes with the process.
fn lock(socket: &Path) -> Result<File> {
    let folder = socket.parent().context("[agent] socket has no folder")?;
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make {} for the socket", folder.display()))?;
    let path = lock_path(socket);
    let file = File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => bail!(
            "another agent serves {}: stop it first (`systemctl stop elb`), or use another [agent] \
             socket and pin_dir",
            socket.display()
        ),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// The file whose lock tells that an agent runs.
pub fn lock_path(socket: &Path) -> PathBuf {
    socket.with_extension("lock")
}

/// Attaches the program to all interfaces, or to none; interfaces that are not wanted any more lose
/// it.
fn attach(object: &mut Object, config: &Config) -> Result<Vec<Attachment>> {
    let mode = config.agent.attach_mode;
    let mut attachments: Vec<Attachment> = Vec::new();
    for interface in &config.agent.interfaces {
        match Attachment::new(object, interface, mode) {
            Ok(attachment) => {
                let replaced = attachment.replaced;
                let mode = mode_name(mode);
                tracing::info!(interface, mode, replaced, "the program is attached");
                attachments.push(attachment);
            }
            Err(error) => {
                for fresh in attachments.iter().filter(|attachment| !attachment.replaced) {
                    let _ = unpin(&object.directory, fresh.index);
                }
                return Err(error.into());
            }
        }
    }
    for index in pinned(&object.directory) {
        if attachments.iter().all(|attachment| attachment.index != index) {
            tracing::info!(index, "the interface is not wanted any more, detaching");
            unpin(&object.directory, index)?;
        }
    }
    Ok(attachments)
}

fn mode_name(mode: AttachMode) -> &'static str {
    match mode {
        AttachMode::Native => "native",
        AttachMode::Generic => "generic",
    }
}

type DiagnosisAnswer = oneshot::Sender<Result<Diagnosis, String>>;
type DrainAnswer = oneshot::Sender<Result<DrainReport, String>>;

struct Agent {
    core: Core,
    network: watch::Receiver<Network>,
    wanted: watch::Sender<Wanted>,
    queries: mpsc::Receiver<Query>,
    probes: JoinSet<Probed>,
    /// Bringing the maps in step after verdicts. It takes half of the time at most.
    publishing: Chore,
    /// Writing down what is known of the members' health, which another thread does.
    saving: Chore,
    saves: JoinSet<Duration>,
    announcer: Option<Announcer>,
    announcements: Vec<Instant>,
    settle: Option<Instant>,
    traces: Traces,
    /// When to look after who traces still.
    look: Option<Instant>,
    /// Walks over the flow tables, which take long.
    readers: JoinSet<()>,
    /// Looks at members, which take long.
    diagnoses: JoinSet<()>,
    sweep: Option<Instant>,
    /// A sweep, and the revision that it is of.
    sweeps: JoinSet<(u64, Result<Swept, MapError>)>,
}

impl Agent {
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
        self.announcements = ANNOUNCE.iter().map(|after| Instant::now() + *after).collect();
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        loop {
            let probe_at = self.core.next_probe().map(instant);
            let announce_at = self.announcements.iter().min().copied();
            let save_at = self.saving.due().filter(|_| self.saves.is_empty());
            let cut_at = self.core.cut_in().map(|time| Instant::now() + time);
            tokio::select! {
                _ = hangup.recv() => self.reload(),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                changed = self.network.changed() => {
                    changed.context("nobody follows the network any more")?;
                    self.network_changed();
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
                () = sleep_until(self.settle) => {
                    self.core.settle();
                    self.settle = None;
                    self.watch_settling();
                }
                () = sleep_until(cut_at) => {
                    self.core.cut();
                    self.watch_settling();
                }
                () = sleep_until(self.sweep) => self.begin_sweep(),
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

    /// Waits until the way to every member is known, not long for next hops that do not answer. To
    /// publish before would leave members out that an earlier agent served, or hand all flows to
    /// the one whose next hop answers first.
    async fn network_known(&mut self) -> Result<()> {
        self.network.wait_for(|network| !network.links.is_empty()).await?;
        let wanted = self.wanted.borrow().clone();
        let resolved = |network: &Network| {
            wanted.members.iter().all(|address| network.missing_neighbor(*address).is_none())
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
        self.watch_settling();
    }

    fn watch_settling(&mut self) {
        if self.core.is_moving() && self.settle.is_none() {
            self.settle = Some(Instant::now() + SETTLE);
        }
        if self.core.needs_sweep() && self.sweep.is_none() && self.sweeps.is_empty() {
            self.sweep = Some(Instant::now() + SWEEP);
        }
    }

    fn begin_sweep(&mut self) {
        self.sweep = None;
        let Some((register, drifts, revision)) = self.core.begin_sweep() else { return };
        let tracking = self.core.tracking.clone();
        self.sweeps.spawn_blocking(move || (revision, tracking.sweep(&register, drifts)));
    }

    fn end_sweep(&mut self, revision: u64, swept: Result<Swept, MapError>) {
        match swept {
            Ok(swept) => {
                let rest = SWEEP.max(20 * swept.took);
                self.core.swept(swept, revision);
                self.sweep = self.core.needs_sweep().then(|| Instant::now() + rest);
            }
            Err(error) => self.core.sweep_failed(&error),
        }
        self.watch_settling();
    }

    fn reload(&mut self) {
        let reloading = sd_notify::NotifyState::monotonic_usec_now()
            .map(|clock| sd_notify::notify(&[sd_notify::NotifyState::Reloading, clock]));
        if let Err(error) = reloading {
            tracing::debug!(%error, "cannot tell systemd");
        }
        if self.core.reload(now()) {
            self.wanted.send_replace(self.core.addresses());
            self.announcements.push(Instant::now());
            self.saving.ask(Instant::now(), Duration::ZERO);
        }
        self.watch_settling();
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
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

    fn answer(&mut self, query: Query) {
        // Whoever asked may have gone meanwhile.
        match query {
            Query::Status(request, answer) => drop(answer.send(self.core.status(&request))),
            Query::Events(request, answer) => drop(answer.send(self.core.events.begin(request))),
            Query::Drops(answer) => drop(answer.send(self.core.drops())),
            Query::Explain(question, answer) => drop(answer.send(self.core.explain(&question))),
            Query::Flows(request, answer) => drop(answer.send(self.flows(&request))),
            Query::Diagnose(request, answer) => self.diagnose(request, answer),
            Query::Inspection(target, answer) => drop(answer.send(self.core.inspection(&target))),
            Query::Drain(request, answer) => {
                let draft = self.core.drain(&request);
                self.watch_settling();
                self.answer_drain(draft, answer);
            }
            Query::Trace(request, answer) => {
                drop(answer.send(self.traces.begin(&mut self.core, &request)));
                self.look_after_traces();
            }
        }
    }

    fn diagnose(&mut self, request: DiagnoseRequest, answer: DiagnosisAnswer) {
        let case = if self.diagnoses.len() < DIAGNOSES {
            self.core.diagnose(request)
        } else {
            Err(format!("{DIAGNOSES} diagnoses are under way; ask again in a moment"))
        };
        let case = match case {
            Ok(case) => case,
            Err(refusal) => return drop(answer.send(Err(refusal))),
        };
        self.diagnoses.spawn(async move {
            drop(answer.send(Ok(case.conclude().await)));
        });
    }

    fn answer_drain(&mut self, draft: Result<Draft, String>, answer: DrainAnswer) {
        let draft = match draft {
            Ok(draft) => draft,
            Err(refusal) => return drop(answer.send(Err(refusal))),
        };
        let tracking = self.core.tracking.clone();
        self.readers.spawn_blocking(move || {
            let census = tracking.count(&draft.register);
            let report = census.map(|census| draft.complete(&census));
            drop(answer.send(report.map_err(|error| error.to_string())));
        });
    }

    fn flows(&mut self, request: &flows::Request) -> Lines<flows::Line> {
        let listing = self.core.flows(request)?;
        let (lines, listening) = mpsc::channel(WAITING_LINES);
        self.readers.spawn_blocking(move || listing.send(&lines));
        Ok(listening)
    }

    fn look_after_traces(&mut self) {
        if self.traces.is_any() {
            self.traces.look(&mut self.core);
        }
        self.look = self.traces.is_any().then(|| Instant::now() + traces::LOOK);
    }
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

/// The clocks. The monotonic one counts from the first call.
fn now() -> Now {
    let time = crate::time::Time::from_nanos(
        u64::try_from(origin().elapsed().as_nanos()).unwrap_or(u64::MAX),
    );
    Now { time, wall: std::time::SystemTime::now() }
}

fn instant(time: crate::time::Time) -> Instant {
    origin() + Duration::from_nanos(time.as_nanos())
}

fn origin() -> Instant {
    static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}
