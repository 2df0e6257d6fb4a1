//! The start of an agent: it takes over what the last one left in the kernel and in the state directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::clock::now;
use super::core::{Core, Parts, room};
use super::following::Following;
use super::keeping::NO_INTERFACE;
use super::last_good::{self, Beginning};
use super::recover::compare as recorded;
use super::runner::Runner;
use super::signals::Signals;
use super::state::drained::{Drained, Missing};
use super::state::flow_log::FlowLogging;
use super::state::keeping::Keeping;
use super::state::sweep::Tracking;
use super::state::vip_probes::VipProbes;
use super::storing::ServedApi;
use super::traces::Traces;
use super::{Agent, QUERIES, containment, descriptors, owning, recover, saving};
use crate::agent::saved::{self, Folder, KnowsClients, Numbers, boot_id};
use crate::api::accept::Spare;
use crate::api::readers::Readers;
use crate::api::socket::ApiSocket;
use crate::control::assign::AssignedPool;
use crate::control::plan::Image;
use crate::control::reconcile::Renamed;
use crate::kernel::bpf::{
    Attachment, Capacity, Carry, FlowLogMaps, LoadedObject, Maps, Program, Sweeper, Tracer,
    coarse_seconds, detach, pinned, pinned_program,
};
use crate::kernel::host::follow;
use crate::kernel::host::found::HostState;
use crate::kernel::host::joining;
use crate::kernel::host::programs::{HeldLink, Plan, WantedPrograms, compare};
use crate::observe::metrics::Exporter;
use crate::source::file::{AgentSettings, Config};

/// Serves a configuration file until it is stopped. Traffic goes on afterwards.
///
/// # Errors
/// The configuration is of no use, another agent runs, or the kernel refused.
pub async fn run(file: &Path) -> Result<()> {
    serve(file).await.map_err(descriptors::explained)
}

async fn serve(file: &Path) -> Result<()> {
    // First of all: a signal that comes during the start waits for the loop, and does not kill the agent.
    let mut signals = Signals::listen()?;
    let spare = Spare::keep();
    let Beginning { config, right, problems, stored } = last_good::begin(file)?;
    let folder = Folder::of(&config.agent);
    let owned = owning::locks(&config.agent, &folder)?;
    let Begun { mut core, traces, log } =
        take_over(config, folder, file, problems, &mut signals).await?;
    core.host.owned = owned;
    if let Some(message) = saved::take_panic(&core.folder) {
        core.faults.panics.note_earlier(containment::MAIN_LOOP, message);
    }
    core.follow_flow_log();
    core.file.stored = stored;
    core.file.is_wrong = right.is_none();
    core.journal.webhooks.follow(&core.config.notify);
    let revision = core.file.stored.as_ref().map_or(0, |stored| stored.taken);
    core.file.generation = last_good::generation(&core.folder, right.as_deref(), revision);
    if let Some(text) = right {
        core.file.text = text;
        core.keep_configuration();
    }

    let (wanted, wanted_addresses) = watch::channel(core.addresses());
    // Next hops that worked until now stay until better ones are known, however slow ARP may be.
    let (known, network) = watch::channel(core.network_before());
    let follower = containment::following(wanted_addresses, known)?;
    let (host, looks) = watch::channel(Arc::default());
    let revision = core.host.keeping.revision.subscribe();
    let looker = containment::looking(core.probes.vip.way(), wanted.subscribe(), revision, host)?;
    let (questions, queries) = mpsc::channel(QUERIES);
    let group = core.config.agent.socket_group.clone();
    let socket = ApiSocket::bind_for(core.socket(), group.as_deref())?;
    let readers = group.as_deref().map(Readers::of);
    let exporter = Exporter::new(core.metering.subscribe());
    let listening = socket.listening();
    let api = ServedApi::start(&mut core, &questions)?;
    let (exported, local) = (exporter.clone(), api.local());
    let server = containment::answering(listening, spare, questions, exported, readers, local)?;
    let settings = core.metering.follow_settings(&core.config.metrics);
    let exporting = containment::exporting(settings, exporter)?;
    core.host.socket = Some(socket);
    let following = Following::new(network, wanted);
    let probes = Runner::new().context("cannot probe")?;
    let mut agent = Agent::new(core, following, looks, queries, traces, probes);
    // What it was doing may be half done in memory: the next agent begins from the maps and the files.
    let served = agent.serve(signals, follower, server, looker, exporting, api);
    let result = containment::caught(served).await.unwrap_or_else(|message| {
        saved::note_panic(&agent.core.folder, &message);
        Err(containment::main_loop_panicked(&message))
    });
    agent.core.host.socket.iter().for_each(ApiSocket::remove);
    drop(log);
    result
}

/// What an agent begins with.
struct Begun {
    core: Core,
    traces: Traces,
    /// Passes the program's log on, as long as it is kept.
    log: Option<JoinSet<()>>,
}

/// Loads and attaches the program, and takes over what the last agent left.
#[expect(clippy::too_many_lines, reason = "the steps of a start, whose order matters")]
async fn take_over(
    config: Config,
    folder: Folder,
    file: &Path,
    mut problems: Vec<String>,
    signals: &mut Signals,
) -> Result<Begun> {
    // The maps take descriptors, too.
    let most_probes = descriptors::most_probes();
    let wanted = Capacity::of(&config.agent, &config.model);
    let mut carry = Carry::plan(&config.agent.pin_dir, wanted)?;
    carry.kept.iter().for_each(|kept| tracing::error!("{kept}"));
    problems.append(&mut carry.kept);
    let capacity = carry.capacity;
    let mut object = LoadedObject::load_at(carry.directory.clone(), capacity)?;
    let mut maps = Maps::new(&mut object, capacity).context("cannot use the maps")?;
    let sweeper = Sweeper::new(&mut object, capacity).context("cannot sweep the flow tables")?;
    carry.first_pass(&mut maps)?;
    let observed = maps.image().context("cannot read the maps")?;
    let mut health = saved::SavedHealth::read(&folder.health());
    let written = folder.read_numbers();
    let drained = saved::Drained::read(&folder.drained());
    let unread = set_aside(&folder, written.is_some(), drained.is_some(), health.is_empty());
    unread.iter().for_each(|unread| tracing::error!("{unread}"));
    problems.extend(unread);
    let by_name = recover::drained(written.as_ref());
    let is_complete = written.as_ref().is_none_or(|one| one.knows_clients.0);
    let (numbers, renamed) = numbers(written, &config, &carry, &observed, &mut maps, &mut health);
    let on_disk = drained.clone().unwrap_or_default();
    let known = drained.unwrap_or_else(|| recover::drained_in_maps(by_name, &numbers, &observed));
    let drained = drained_now(&known, &config, &renamed);
    recover::published_since(&config.model, &observed, &numbers, &drained, &mut health);
    // Before packets meet these maps, the next agent must know what their numbers mean.
    let is_carried = numbers.carried_to.is_some();
    if is_carried || !is_complete {
        note_down(&folder, &numbers);
    }
    carry.share()?;
    let found = tokio::select! {
        found = follow::look() => found.context("cannot look at the host's interfaces")?,
        _ = signals.terminate.recv() => bail!("stopped before the kernel listed the host's interfaces"),
        _ = signals.interrupt.recv() => bail!("stopped before the kernel listed the host's interfaces"),
    };
    let Attached { attachments, failed } = attach(&mut object, &config, &found)?;
    carry.finish(&mut object);
    let numbers = Numbers { generation: maps.generation, carried_to: None, ..numbers };
    if is_carried {
        note_down(&folder, &numbers);
    }
    let log = pass_log_on(&mut object);
    let traces = Traces::new(Tracer::new(&mut object)?)?;
    if let Some(why) = &object.untraceable {
        tracing::warn!(why, "this kernel cannot trace packets; forwarding does without it");
    }

    let flow_log = FlowLogging::new(FlowLogMaps::new(&mut object)?);
    let mut keeping = Keeping::new(found, failed);
    let vip_probes = VipProbes::begin(&mut object, &config, &mut keeping.register).await;
    let pools = &numbers.assignments.pools;
    maps.clear_all_but(pools.values().flat_map(AssignedPool::regions).collect());
    let owners = pools.iter().map(|(pool, one)| (*pool, maps.owners(one.region())));
    let owners: BTreeMap<_, _> = owners.collect();
    let core = Core::new(Parts {
        config,
        file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
        text: String::new(),
        object,
        maps,
        flow_log,
        vip_probes,
        tracking: Arc::new(Tracking::new(sweeper)),
        attachments,
        keeping,
        observed,
        numbers,
        drained,
        written_drained: on_disk,
        health,
        folder,
        most_probes,
        owners,
        problems,
        now: now(),
    });
    Ok(Begun { core, traces, log })
}

/// Keeps files that were not read aside, if they are of no use; what is to be said of them.
fn set_aside(folder: &Folder, numbers: bool, drained: bool, no_health: bool) -> Vec<String> {
    [
        (!numbers).then(|| saved::keep_aside::<Numbers>(&folder.numbers())),
        (!drained).then(|| saved::keep_aside::<saved::Drained>(&folder.drained())),
        no_health.then(|| saved::keep_aside::<saved::SavedHealth>(&folder.health())),
    ]
    .into_iter()
    .flatten()
    .flatten()
    .collect()
}

/// The members that are drained, in the model as it is now.
fn drained_now(written: &saved::Drained, config: &Config, renamed: &[Renamed]) -> Drained {
    let had = |pool, _| written.known_pools.contains(&Renamed::before(renamed, pool));
    let drained: Drained = written.drained.iter().copied().collect();
    drained.followed(&config.model, renamed, had, Missing::Kept)
}

/// What the numbers in the maps mean: what the last agent wrote down, if it is of these maps or of those
/// that they are carried over from, and the maps do not say otherwise; else what the maps show. And
/// the pools that got another id meanwhile, whose members' health is known by that one then.
fn numbers(
    written: Option<Numbers>,
    config: &Config,
    carry: &Carry,
    observed: &Image,
    maps: &mut Maps,
    health: &mut saved::SavedHealth,
) -> (Numbers, Vec<Renamed>) {
    let is_of_these = |numbers: &Numbers| {
        let generations = [Some(numbers.generation), numbers.carried_to];
        let mut generations = generations.into_iter().flatten();
        generations.any(|one| one == maps.generation || carry.comes_from(one))
    };
    let found = recover::from_maps(&config.model, observed, maps);
    let fit = |numbers: &Numbers| {
        let fit = numbers.assignments.fit(room(carry.capacity));
        if !fit {
            tracing::warn!(
                "the saved numbers do not fit maps of these sizes; those in the maps are used"
            );
        }
        fit
    };
    let Some(mut numbers) = written.filter(is_of_these).filter(fit) else {
        recover::judge(&found, found.pools.keys(), maps, health);
        forget_clients(maps, carry);
        let (generation, boot) = (maps.generation, boot_id().to_owned());
        let numbers = Numbers { generation, boot, assignments: found, ..Numbers::default() };
        return (numbers, Vec::new());
    };
    if numbers.knows_clients != KnowsClients::default() {
        tracing::info!("an agent was here that knows of no clients: those of before are forgotten");
        // Where that cannot be done, the next start tries again.
        numbers.knows_clients = KnowsClients(forget_clients(maps, carry));
    }
    let renamed = numbers.assignments.follow_names(&config.model);
    for one in &renamed {
        tracing::info!(from = %one.from, to = %one.to, "the pool got another id");
        one.apply(&mut health.pools);
    }
    let pool = |id| observed.listener_pools.get(&id).map(|one| one.pool);
    numbers.assignments.complete(pool, coarse_seconds());
    let named = |region| maps.named(region);
    let others =
        recorded::prefer_maps(&mut numbers.assignments, &found, &config.model, observed, named);
    recover::judge(&found, others.iter(), maps, health);
    let is_other = numbers.generation != maps.generation;
    numbers.carried_to = is_other.then_some(maps.generation);
    boot_id().clone_into(&mut numbers.boot);
    (numbers, renamed)
}

/// Forgets which backends serve clients: it is not known what the numbers of those were. Whether all are forgotten.
fn forget_clients(maps: &mut Maps, carry: &Carry) -> bool {
    maps.forget_clients();
    carry.forget_clients()
}

fn note_down(folder: &Folder, numbers: &Numbers) {
    if let Err(why) = saving::write(&folder.numbers(), numbers, "the numbers in the maps") {
        tracing::error!("{why}");
    }
}

/// Attaches the program to the interfaces that are there; which, and why others do not carry it. None
/// may be missing that carried it already: then nothing changes, and that is the error. So it is where
/// no interface can carry it, and waiting for one would not help.
fn attach(object: &mut LoadedObject, config: &Config, found: &HostState) -> Result<Attached> {
    let AgentSettings { interfaces, attach_mode: mode, .. } = &config.agent;
    let directory = object.directory.clone();
    let link = |index| HeldLink { index, program: pinned_program(&directory, index) };
    let held: Vec<_> = pinned(&directory).into_iter().map(link).collect();
    let plan = compare(WantedPrograms { interfaces, mode: *mode }, &held, found);
    for index in plan.release.iter().filter(|index| is_dead(&held, **index, found)) {
        detach(&directory, *index)?;
    }
    let mut attached = Attached::default();
    // What may fail comes first: interfaces that carry none.
    let mut refused = None;
    for (name, index) in &plan.attach {
        let attachment = Attachment::new(object, Program::Plain, (name, *index), *mode);
        let pinned = attachment.and_then(|one| one.pin(&directory).map(|_| one));
        match pinned {
            Ok(one) => attached.attachments.push(one),
            Err(error) => {
                attached.failed.push((name.clone(), error.to_string()));
                refused.get_or_insert(error);
            }
        }
    }
    if let Err(error) = adopt(object, &mut attached, &held, &plan, found, config) {
        attached.attachments.iter().filter(|one| !one.replaced).for_each(|fresh| {
            let _ = detach(&directory, fresh.index);
        });
        return Err(error);
    }
    if let Some(error) = refused.filter(|_| attached.attachments.is_empty()) {
        return Err(error.into());
    }
    for one in &attached.attachments {
        let (interface, mode, replaced) = (&one.interface, one.mode.as_str(), one.replaced);
        tracing::info!(interface, mode, replaced, "the program is attached");
    }
    if let Some(problem) = joining::problem(config.agent.attach_mode, &config.agent.interfaces) {
        tracing::warn!("{problem}");
    }
    for index in pinned(&directory) {
        if attached.attachments.iter().all(|one| one.index != index) {
            tracing::info!(index, "the interface is not wanted any more, detaching");
            detach(&directory, index)?;
        }
    }
    let missing = plan.missing.into_iter().map(|name| (name, NO_INTERFACE.to_owned()));
    attached.failed.extend(missing);
    Ok(attached)
}

/// What carries the program, and why other interfaces do not.
#[derive(Default)]
struct Attached {
    attachments: Vec<Attachment>,
    failed: Vec<(String, String)>,
}

/// Takes over the links that are to go on.
fn adopt(
    object: &mut LoadedObject,
    attached: &mut Attached,
    held: &[HeldLink],
    plan: &Plan,
    found: &HostState,
    config: &Config,
) -> Result<()> {
    let mut missing = plan.missing.iter();
    for link in held.iter().filter(|link| !plan.release.contains(&link.index)) {
        let is_renamed = plan.renamed.iter().any(|(index, _)| *index == link.index);
        let mut wanted = config.agent.interfaces.iter();
        let here = wanted.find(|name| found.index_of(name) == Some(link.index));
        let name = if is_renamed { missing.next() } else { here };
        let name = name.map_or("", String::as_str);
        let mode = found.mode(link.index).unwrap_or(config.agent.attach_mode);
        attached.attachments.extend(Attachment::adopt(object, (name, link.index), mode)?);
    }
    Ok(())
}

/// Whether a link holds nothing that is in this network namespace.
fn is_dead(held: &[HeldLink], index: u32, found: &HostState) -> bool {
    let link = held.iter().find(|link| link.index == index);
    link.is_none_or(|link| link.program.is_none() || found.program(index) != link.program)
}

/// Passes the program's log on, if it was built with one.
fn pass_log_on(object: &mut LoadedObject) -> Option<JoinSet<()>> {
    object.logger().map(|mut logger| {
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok(mut ready) = logger.readable_mut().await {
                ready.get_inner_mut().flush();
                ready.clear_ready();
            }
        });
        task
    })
}
