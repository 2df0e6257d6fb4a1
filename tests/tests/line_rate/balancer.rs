//! The program under test: loaded, its maps filled, attached natively.

use anyhow::{Context as _, Result};
use aya::maps::xdp::DevMapHash;
use aya::programs::{Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use elb_common::counter::Counter;
use elb_common::names;
use elb_common::path::Memory;
use elb_common::reason::Reason;
use elb_common::ring::{CHUNK, Chunk};
use elb_tests::{environment, netns::NetNs};

use crate::record::{self, Record};

/// Flows that each flow table holds: more than there are.
const FLOW_RECORDS: u32 = 1 << 18;

pub struct Balancer {
    object: Ebpf,
}

impl Balancer {
    /// Attaches the program, with the maps of `memory`, to `devices`.
    pub fn attach(netns: &NetNs, devices: &[&str], memory: &Memory) -> Result<Self> {
        let path = environment::bpf_dir()?.join("elb-xdp");
        let chunks = (memory.slots.len() as u32).div_ceil(CHUNK);
        let mut object = EbpfLoader::new()
            .map_max_entries(names::RINGS, chunks)
            .map_max_entries(names::RINGS_SEEN, chunks)
            .map_max_entries(names::FLOWS_V4, FLOW_RECORDS)
            .map_max_entries(names::FLOWS_V6, FLOW_RECORDS)
            .load_file(&path)
            .with_context(|| format!("cannot load the BPF object {}", path.display()))?;
        fill(&mut object, memory)?;
        fill_devices(&mut object, netns, &memory.devices)?;
        let program: &mut Xdp =
            object.program_mut(names::PROGRAM).context("no program in elb-xdp")?.try_into()?;
        program.load().context("the kernel refuses the program")?;
        netns.run(|| -> Result<()> {
            for device in devices {
                program
                    .attach(device, XdpMode::Driver)
                    .with_context(|| format!("cannot attach the program to {device}"))?;
            }
            Ok(())
        })??;
        Ok(Self { object })
    }

    /// What a listener forwarded.
    pub fn listener(&self, id: u16) -> Result<Counter> {
        self.counter(names::LISTENER_COUNTERS, u32::from(id))
    }

    /// What was forwarded to a backend.
    pub fn backend(&self, id: u16) -> Result<Counter> {
        self.counter(names::BACKEND_COUNTERS, u32::from(id))
    }

    /// What was not forwarded for a reason.
    pub fn reason(&self, reason: Reason) -> Result<Counter> {
        self.counter(names::REASON_COUNTERS, reason as u32)
    }

    fn counter(&self, name: &str, index: u32) -> Result<Counter> {
        Ok(record::per_cpu::<Counter>(&self.object, name, index)?.into_iter().sum())
    }
}

fn fill(object: &mut Ebpf, memory: &Memory) -> Result<()> {
    for (key, value) in &memory.listeners_v4 {
        record::hash(object, names::LISTENERS_V4)?.insert(Record(*key), Record(*value), 0)?;
    }
    for (key, value) in &memory.listeners_v6 {
        record::hash(object, names::LISTENERS_V6)?.insert(Record(*key), Record(*value), 0)?;
    }
    for (key, value) in &memory.vips_v4 {
        record::hash(object, names::VIPS_V4)?.insert(Record(key.raw()), Record(*value), 0)?;
    }
    for (key, value) in &memory.vips_v6 {
        record::hash(object, names::VIPS_V6)?.insert(Record(key.raw()), Record(*value), 0)?;
    }
    for (index, slots) in (0..).zip(memory.slots.chunks(CHUNK as usize)) {
        let chunk: Chunk = std::array::from_fn(|i| slots.get(i).map_or(0, |slot| slot.0));
        record::array(object, names::RINGS)?.set(index, Record(chunk), 0)?;
    }
    for (id, pool) in &memory.pools {
        record::array(object, names::POOLS)?.set(u32::from(*id), Record(*pool), 0)?;
    }
    for (id, backend) in &memory.backends {
        record::array(object, names::BACKENDS)?.set(u32::from(*id), Record(*backend), 0)?;
    }
    Ok(())
}

/// The kernel looks devices up in the namespace of the thread that names them.
fn fill_devices(object: &mut Ebpf, netns: &NetNs, devices: &[u32]) -> Result<()> {
    let map = object.map_mut(names::DEVMAP).context("no device map in elb-xdp")?;
    netns.run(|| -> Result<()> {
        let mut map: DevMapHash<_> = map.try_into()?;
        for device in devices {
            map.insert(*device, *device, None, 0)?;
        }
        Ok(())
    })?
}
