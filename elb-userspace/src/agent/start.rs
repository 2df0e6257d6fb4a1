//! The start of an agent: it takes over what the last one left in the kernel and in the state directory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::clock::now;
use super::core::{Core, Parts};
use super::keeping::{Keeping, NO_INTERFACE};
use super::sweep::Tracking;
use super::traces::Traces;
use super::vip_probes::VipProbes;
use super::{Agent, descriptors, own_address, recover};
use crate::api;
use crate::assign::AssignedPool;
use crate::config::{self, AgentSettings, AttachMode, Config};
use crate::host::follow;
use crate::host::found::Found;
use crate::host::programs::{Held, Plan, Wanted, compare};
use crate::kernel::{
    Attachment, Capacity, Carry, Maps, Object, Program, Sweeper, Tracer, coarse_seconds, pinned,
    pinned_program, unpin,
};
use crate::nexthop::{Network, netlink};
use crate::publish::Image;
use crate::saved::{self, Numbers};

/// Serves a configuration file until it is told to stop. Traffic goes on afterwards.
///
/// # Errors
/// The configuration is of no use, another agent runs, or the kernel refused.
pub async fn run(file: &Path) -> Result<()> {
    let (config, errors) = config::load_lenient(file);
    let Some(config) = config else {
        bail!("{errors}\n{} cannot be served", file.display());
    };
    let before: Option<Numbers> = saved::read(&saved::numbers_path(&config.agent.socket));
    let before = before.map(|numbers| numbers.assignments).unwrap_or_default();
    let (Some(config), errors) = own_address::read_for_this_host(file, &before) else {
        bail!("{errors}\n{} cannot be served", file.display());
    };
    errors.log();
    let lock = lock(&config.agent.socket)?;
    let problems = errors.iter().map(ToString::to_string).collect();
    let Begun { core, traces, log } = take_over(config, file, problems).await?;

    let (wanted, wanted_addresses) = watch::channel(core.addresses());
    let (known, network) = watch::channel(Network::default());
    let mut follower = JoinSet::new();
    follower.spawn(netlink::follow(wanted_addresses, known));
    let (host, looks) = watch::channel(Arc::default());
    let mut looker = JoinSet::new();
    looker.spawn(follow::follow(core.keeping.revision.subscribe(), host));
    let (questions, queries) = mpsc::channel(16);
    let server = api::server::Server::bind(core.socket(), questions)?;
    let mut server_task = JoinSet::new();
    server_task.spawn(server.run());
    let mut agent = Agent::new(core, network, wanted, looks, queries, traces);
    let result = agent.serve(&mut follower, &mut server_task).await;
    let _ = fs::remove_file(agent.core.socket());
    drop((lock, log, looker));
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
async fn take_over(config: Config, file: &Path, mut problems: Vec<String>) -> Result<Begun> {
    let mut carry = Carry::plan(&config.agent.pin_dir, Capacity::of(&config.agent))?;
    carry.kept.iter().for_each(|kept| tracing::error!("{kept}"));
    problems.append(&mut carry.kept);
    let capacity = carry.capacity;
    let mut object = Object::load_at(carry.directory.clone(), capacity)?;
    let mut maps = Maps::new(&mut object, capacity).context("cannot use the maps")?;
    let sweeper = Sweeper::new(&mut object, capacity).context("cannot sweep the flow tables")?;
    carry.first_pass(&mut maps)?;
    let observed = maps.image().context("cannot read the maps")?;
    let mut health = saved::read(&saved::health_path(&config.agent.socket)).unwrap_or_default();
    let numbers = numbers(&config, &carry, &observed, &maps, &mut health);
    recover::published_since(&config.model, &observed, &numbers, &mut health);
    // Before packets meet these maps, the next agent must know what their numbers mean.
    let is_carried = numbers.carried_to.is_some();
    if is_carried {
        write(&config, &numbers);
    }
    carry.share()?;
    let found = follow::look().await.context("cannot look at the host's interfaces")?;
    let Attached { attachments, failed } = attach(&mut object, &config, &found)?;
    carry.finish(&mut object);
    let numbers = Numbers { generation: maps.generation, carried_to: None, ..numbers };
    if is_carried {
        write(&config, &numbers);
    }
    let log = pass_log_on(&mut object);
    let traces = Traces::new(Tracer::new(&mut object)?)?;
    if let Some(why) = &object.untraceable {
        tracing::warn!(why, "this kernel cannot trace packets; forwarding does without it");
    }

    let vip_probes = VipProbes::begin(&mut object, &config).await;
    let pools = &numbers.assignments.pools;
    maps.clear_all_but(pools.values().flat_map(AssignedPool::regions).collect());
    let owners = pools.iter().map(|(name, pool)| (name.clone(), maps.owners(pool.region())));
    let owners: BTreeMap<_, _> = owners.collect();
    let core = Core::new(Parts {
        config,
        file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
        object,
        maps,
        vip_probes,
        tracking: Arc::new(Tracking::new(sweeper)),
        attachments,
        keeping: Keeping::new(found, failed),
        observed,
        numbers,
        health,
        most_probes: descriptors::most_probes(),
        owners,
        problems,
        now: now(),
    });
    Ok(Begun { core, traces, log })
}

/// What the numbers in the maps mean: what the last agent wrote down, if it is of these maps or of those
/// that they are carried over from; else as far as the maps themselves tell.
fn numbers(
    config: &Config,
    carry: &Carry,
    observed: &Image,
    maps: &Maps,
    health: &mut saved::Health,
) -> Numbers {
    let is_of_these = |numbers: &Numbers| {
        let generations = [Some(numbers.generation), numbers.carried_to];
        let mut generations = generations.into_iter().flatten();
        generations.any(|one| one == maps.generation || carry.comes_from(one))
    };
    let saved = saved::read(&saved::numbers_path(&config.agent.socket)).filter(is_of_these);
    let Some(mut numbers) = saved else {
        return recover::from_maps(&config.model, observed, maps, health);
    };
    let pool = |id| observed.listener_pools.get(&id).map(|one| one.pool);
    numbers.assignments.complete(pool, coarse_seconds());
    let is_other = numbers.generation != maps.generation;
    numbers.carried_to = is_other.then_some(maps.generation);
    numbers
}

fn write(config: &Config, numbers: &Numbers) {
    let path = saved::numbers_path(&config.agent.socket);
    if let Err(error) = saved::write(&path, numbers) {
        tracing::error!(file = %path.display(), %error, "cannot save the state");
    }
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

/// Attaches the program to the interfaces that are there; which, and why others do not carry it. None
/// may be missing that carried it already: then nothing changes, and that is the error. So it is where
/// no interface can carry it, and waiting for one would not help.
fn attach(object: &mut Object, config: &Config, found: &Found) -> Result<Attached> {
    let AgentSettings { interfaces, attach_mode: mode, .. } = &config.agent;
    let directory = object.directory.clone();
    let link = |index| Held { index, program: pinned_program(&directory, index) };
    let held: Vec<_> = pinned(&directory).into_iter().map(link).collect();
    let plan = compare(Wanted { interfaces, mode: *mode }, &held, found);
    for index in plan.release.iter().filter(|index| is_dead(&held, **index, found)) {
        unpin(&directory, *index)?;
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
            let _ = unpin(&directory, fresh.index);
        });
        return Err(error);
    }
    if let Some(error) = refused.filter(|_| attached.attachments.is_empty()) {
        return Err(error.into());
    }
    for one in &attached.attachments {
        let (interface, mode, replaced) = (&one.interface, mode_name(one.mode), one.replaced);
        tracing::info!(interface, mode, replaced, "the program is attached");
    }
    for index in pinned(&directory) {
        if attached.attachments.iter().all(|one| one.index != index) {
            tracing::info!(index, "the interface is not wanted any more, detaching");
            unpin(&directory, index)?;
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
    object: &mut Object,
    attached: &mut Attached,
    held: &[Held],
    plan: &Plan,
    found: &Found,
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
fn is_dead(held: &[Held], index: u32, found: &Found) -> bool {
    let link = held.iter().find(|link| link.index == index);
    link.is_none_or(|link| link.program.is_none() || found.program(index) != link.program)
}

pub(super) fn mode_name(mode: AttachMode) -> &'static str {
    match mode {
        AttachMode::Native => "native",
        AttachMode::Generic => "generic",
    }
}

/// Passes the program's log on, if it was built with one.
fn pass_log_on(object: &mut Object) -> Option<JoinSet<()>> {
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
