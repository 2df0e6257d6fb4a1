//! What is copied from maps to those that take their place, and how each kind of map is.

use std::path::Path;

use elb_common::client::Client;
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6, Stage};
use elb_common::limits::HALF_OPEN_TIMEOUT;
use elb_common::listener::ListenerPool;
use elb_common::names;
use elb_common::ring::Slot;

use super::super::clock::coarse_seconds;
use super::raw::RawMap;
use super::source::{FlowKey, Layout, Source};
use super::target::{Tables, Target};
use super::{CarryError, v2};

/// Maps that are copied as they are. Counters are moved when nothing counts there any more.
pub(super) fn is_copied(name: &str) -> bool {
    ![
        names::SETTINGS,
        names::ERRORS_SENT,
        names::FLOW_TABLES,
        names::OPENINGS_V4,
        names::OPENINGS_V6,
        names::FLOWS_V4,
        names::FLOWS_V6,
        names::CLIENT_OPENINGS,
        names::CLIENTS,
        // Shared, or about other addresses.
        names::BINDINGS_V4,
    ]
    .contains(&name)
        && !COUNTERS.contains(&name)
}

/// Values that are added up. Each is of whole words.
const COUNTERS: [&str; 9] = [
    names::LISTENER_ANSWERS,
    names::BACKEND_ANSWERS,
    names::LISTENER_REPLIES,
    names::BACKEND_REPLIES,
    names::LISTENER_COUNTERS,
    names::LISTENER_EVENTS,
    names::BACKEND_COUNTERS,
    names::BACKEND_OPENED,
    names::REASON_COUNTERS,
];

/// Copies a small map, if the source has it.
pub(super) fn copy(
    source: &Source,
    name: &'static str,
    directory: &Path,
) -> Result<(), CarryError> {
    let at = |error| CarryError::Copy { map: name, error };
    if !source.path.join(name).exists() {
        return Ok(());
    }
    let to = RawMap::open(&directory.join(name)).map_err(at)?;
    let from = source.map(name)?;
    let is_array = to.kind == aya::maps::MapType::Array;
    let copied = from.each(|key, value| {
        let is_within = !is_array || bytemuck::pod_read_unaligned::<u32>(key) < to.entries;
        let value = match &source.layout {
            Layout::Same => value.to_owned(),
            Layout::V2(register) => register.value(name, key, value)?,
        };
        if is_within {
            to.put(key, &value, false)?;
        }
        Ok(())
    });
    copied.map_err(at)
}

/// Copies rings, or since when their slots are as they are.
pub(super) fn copy_chunks(
    source: &Source,
    name: &'static str,
    directory: &Path,
) -> Result<(), CarryError> {
    let at = |error| CarryError::Copy { map: name, error };
    let to = RawMap::open(&directory.join(name)).map_err(at)?;
    let now = coarse_seconds();
    // In ABI version 2 it was when an older flow was last seen. Of slots that move from now on, all older
    // flows have the time that they need.
    let anew = name == names::RINGS_SEEN && matches!(source.layout, Layout::V2(_));
    let since = |slot: u32| if Slot(slot).is_settled() { 0 } else { now };
    source.chunks(if anew { names::RINGS } else { name }, |index, chunk| {
        let chunk = if anew { chunk.map(since) } else { chunk };
        if index < to.entries {
            to.put(&index.to_ne_bytes(), bytemuck::bytes_of(&chunk), false)?;
        }
        Ok(())
    })
}

/// Takes over which backends serve the clients that came since then, unless packets noted here what is newer.
pub(super) fn copy_clients(
    source: &Source,
    directory: &Path,
    since: u32,
) -> Result<(), CarryError> {
    let seen =
        |client: &[u8]| bytemuck::try_pod_read_unaligned::<Client>(client).map(|one| one.seen);
    for name in [names::CLIENT_OPENINGS, names::CLIENTS] {
        if !source.path.join(name).exists() {
            continue;
        }
        let at = |error| CarryError::Copy { map: name, error };
        let (from, to) = (source.map(name)?, RawMap::open(&directory.join(name)).map_err(at)?);
        from.each(|key, client| {
            let now = seen(client).unwrap_or_default();
            if now < since || to.put(key, client, true)? {
                return Ok(());
            }
            let there = to.get(key)?.map_or(0, |there| seen(&there).unwrap_or_default());
            if there < now { to.put(key, client, false).map(drop) } else { Ok(()) }
        })
        .map_err(at)?;
    }
    Ok(())
}

pub(super) fn fill_listener_pools(
    register: &v2::Register,
    directory: &Path,
) -> Result<(), CarryError> {
    let at = |error| CarryError::Copy { map: names::LISTENER_POOLS, error };
    let to = RawMap::open(&directory.join(names::LISTENER_POOLS)).map_err(at)?;
    for (id, pool) in register.pools() {
        let pool: &ListenerPool = &pool;
        to.put(&u32::from(id).to_ne_bytes(), bytemuck::bytes_of(pool), false).map_err(at)?;
    }
    Ok(())
}

/// Takes over flows that were recorded, or closed, at `since` or later, and still count.
pub(super) fn copy_flows(
    source: &Source,
    target: &mut Target,
    since: u32,
) -> Result<(), CarryError> {
    let now = coarse_seconds();
    let live = now.saturating_sub(source.longest_idle()?);
    let opening = now.saturating_sub(HALF_OPEN_TIMEOUT);
    for (stage, v4, v6, oldest) in [
        (Stage::Opening, names::OPENINGS_V4, names::OPENINGS_V6, opening.min(live)),
        (Stage::Live, names::FLOWS_V4, names::FLOWS_V6, live),
    ] {
        copy_table::<FlowKeyV4>(source, v4, target, Target::v4, stage, since, oldest)?;
        copy_table::<FlowKeyV6>(source, v6, target, Target::v6, stage, since, oldest)?;
    }
    Ok(())
}

fn copy_table<K: FlowKey>(
    source: &Source,
    name: &str,
    target: &mut Target,
    tables: fn(&mut Target) -> &mut Tables<K>,
    stage: Stage,
    since: u32,
    oldest: u32,
) -> Result<(), CarryError> {
    let mut failed = None;
    source.flows::<K>(name, |key, flow: Flow| {
        let is_news = flow.since >= since || flow.is_closed() && flow.seen >= since;
        if is_news && flow.seen >= oldest && failed.is_none() {
            failed = target.take_over(tables, stage, key, flow).err();
        }
    })?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Adds counters to the new ones, and leaves none: if it is done again nothing counts twice.
pub(super) fn move_counters(source: &Source, directory: &Path) -> Result<(), CarryError> {
    // Maps that came later are not in older folders.
    for name in COUNTERS.into_iter().filter(|name| source.path.join(name).exists()) {
        let at = |error| CarryError::Copy { map: name, error };
        let (from, to) = (source.map(name)?, RawMap::open(&directory.join(name)).map_err(at)?);
        let moved = from.each(|key, counted| {
            if bytemuck::pod_read_unaligned::<u32>(key) >= to.entries {
                return Ok(());
            }
            if let Some(mut sum) = to.get(key)? {
                for (sum, more) in sum.chunks_exact_mut(8).zip(counted.chunks_exact(8)) {
                    let [a, b] = [&*sum, more].map(bytemuck::pod_read_unaligned::<u64>);
                    sum.copy_from_slice(&a.wrapping_add(b).to_ne_bytes());
                }
                // A packet that is counted right now may be missed.
                to.put(key, &sum, false)?;
            }
            from.put(key, &vec![0; counted.len()], false).map(drop)
        });
        moved.map_err(at)?;
    }
    Ok(())
}
