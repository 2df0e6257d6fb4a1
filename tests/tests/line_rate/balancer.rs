//! The program under test: loaded, its maps filled, attached natively.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::xdp::DevMapHash;
use aya::programs::{Xdp, XdpMode};
use elb_common::counter::Counter;
use elb_common::names;
use elb_common::path::Memory;
use elb_common::reason::Reason;
use elb_tests::{datapath, netns::NetNs};

use crate::world::FLOW_RECORDS;

pub struct Balancer {
    object: Ebpf,
}

impl Balancer {
    /// Attaches the program, with the maps of `memory`, to `devices`.
    pub fn attach(netns: &NetNs, devices: &[&str], memory: &Memory) -> Result<Self> {
        let mut object = datapath::load(memory, FLOW_RECORDS)?;
        fill_devices(&mut object, netns, &memory.devices)?;
        let program: &mut Xdp =
            object.program_mut(names::PROGRAM).context("no program in elb-xdp")?.try_into()?;
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
        datapath::counter(&self.object, names::LISTENER_COUNTERS, u32::from(id))
    }

    /// What was forwarded to a backend.
    pub fn backend(&self, id: u16) -> Result<Counter> {
        datapath::counter(&self.object, names::BACKEND_COUNTERS, u32::from(id))
    }

    /// What was not forwarded for a reason.
    pub fn reason(&self, reason: Reason) -> Result<Counter> {
        datapath::counter(&self.object, names::REASON_COUNTERS, reason as u32)
    }
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
