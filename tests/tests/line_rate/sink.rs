//! The sink: the XDP program where backends would be, and what it counted.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::Array;
use aya::programs::{Xdp, XdpMode};
use elb_common::path::Memory;
use elb_tests::{environment, netns::NetNs};
use elb_tests_ebpf::inspect::{Arrival, Fault};
use elb_tests_ebpf::kind::Kind;
use elb_tests_ebpf::traffic::Traffic;
use elb_tests_ebpf::{ARRIVALS, BACKENDS, FAULTS, SINK, TARGETS, TRAFFIC};

use elb_tests::record::{self, Record};

/// Packets of one flow, by id of the backend that they arrived for.
pub type Received = [u32; BACKENDS as usize];

pub struct Sink {
    object: Ebpf,
}

impl Sink {
    /// Stands at `device` for the backends of `memory`.
    pub fn attach(netns: &NetNs, device: &str, memory: &Memory) -> Result<Self> {
        let path = environment::bpf_dir()?.join("sink");
        let mut object = Ebpf::load_file(&path)
            .with_context(|| format!("cannot load the BPF object {}", path.display()))?;
        for (id, backend) in &memory.backends {
            record::array(&mut object, TARGETS)?.set(u32::from(*id), Record(*backend), 0)?;
        }
        let program: &mut Xdp =
            object.program_mut(SINK).context("no program in sink")?.try_into()?;
        program.load().context("the kernel refuses the sink")?;
        netns
            .run(|| program.attach(device, XdpMode::Driver))?
            .with_context(|| format!("cannot attach the sink to {device}"))?;
        Ok(Self { object })
    }

    /// Says what will be sent.
    pub fn expect(&mut self, traffic: &Traffic) -> Result<()> {
        record::array(&mut self.object, TRAFFIC)?.set(0, Record(*traffic), 0)?;
        Ok(())
    }

    /// Intact frames that arrived.
    pub fn intact(&self) -> Result<u64> {
        self.counted(0)
    }

    /// Frames that arrived with a fault.
    pub fn faulty(&self, fault: Fault) -> Result<u64> {
        self.counted(fault as u32)
    }

    fn counted(&self, index: u32) -> Result<u64> {
        Ok(record::per_cpu::<u64>(&self.object, FAULTS, index)?.iter().sum())
    }

    /// Who got the packets of a kind and flow, for each of `flows`.
    pub fn received(&self, flows: impl Iterator<Item = (Kind, u32)>) -> Result<Vec<Received>> {
        let map = self.object.map(ARRIVALS).context("no map of arrivals in sink")?;
        let map: Array<_, Record<Received>> = map.try_into()?;
        let read = |(kind, flow)| -> Result<Received> {
            let arrival = Arrival { backend: 0, kind: kind as u32, flow };
            Ok(map.get(&arrival.index(), 0)?.0)
        };
        flows.map(read).collect()
    }
}
