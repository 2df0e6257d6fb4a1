//! What was sent, worked out from how many packets each CPU sent.

use elb_tests_ebpf::kind::{FORWARDED, Kind};
use elb_tests_ebpf::traffic::{FLOWS, Traffic};

/// Packets sent, by kind and flow.
#[derive(Clone, Debug)]
pub struct Sent(Vec<u64>);

impl Default for Sent {
    fn default() -> Self {
        Self(vec![0; Kind::ALL.len() * FLOWS as usize])
    }
}

impl Sent {
    /// Adds the first packets of the traffic, as many as each CPU sent.
    pub fn add(&mut self, traffic: &Traffic, steps: &[u64]) {
        let each = |(cpu, steps): (u32, &u64)| (0..*steps).map(move |step| (cpu, step));
        for (cpu, step) in (0..).zip(steps).flat_map(each) {
            let (kind, flow) = traffic.plan(cpu, step).expect("the pattern consists of kinds");
            self.0[index(kind, flow)] += 1;
        }
    }

    /// Packets of a kind and flow.
    pub fn flow(&self, kind: Kind, flow: u32) -> u64 {
        self.0[index(kind, flow)]
    }

    /// Packets of a kind.
    pub fn kind(&self, kind: Kind) -> u64 {
        let start = index(kind, 0);
        self.0[start..start + FLOWS as usize].iter().sum()
    }

    /// All packets.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Every kind that is forwarded, with every flow.
pub fn forwarded_flows() -> impl Iterator<Item = (Kind, u32)> {
    let kinds = Kind::ALL[..FORWARDED as usize].iter();
    kinds.flat_map(|kind| (0..FLOWS).map(|flow| (*kind, flow)))
}

fn index(kind: Kind, flow: u32) -> usize {
    kind as usize * FLOWS as usize + flow as usize
}
