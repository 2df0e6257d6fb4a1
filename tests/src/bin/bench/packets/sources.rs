//! Programs with source addresses, whose ports flows have before they are measured.

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::maps::Array;
use elb_common::binding::{Bucket, Owner, stage};
use elb_common::names;
use elb_common::snat::WAYS;
use elb_tests::datapath;
use elb_tests::record::{Record, array};
use elb_tests_ebpf::bench::PORT_BITS;
use nix::time::{ClockId, clock_gettime};

use super::load::Scale;
use crate::world;

/// A program whose flows open by themselves, and get half of all ports.
pub fn opened(scale: Scale, flows: u32) -> Result<Ebpf> {
    load(scale, (2 * flows / PORTS).next_power_of_two())
}

/// A program whose flows have the ports that a template's numbers stand for.
pub fn answered(scale: Scale, flows: u32) -> Result<Ebpf> {
    let mut object = load(scale, (flows >> PORT_BITS).max(1))?;
    let now = u32::try_from(clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)?.tv_sec())?;
    let mut buckets = array::<Bucket>(&mut object, names::BINDINGS_V4)?;
    let mut bucket = Bucket::default();
    for flow in 0..flows.next_multiple_of(WAYS) {
        let (number, binding) = world::bound(flow, now);
        bucket[(number % WAYS) as usize] = binding;
        if number % WAYS == WAYS - 1 {
            buckets.set(number / WAYS, Record(bucket), 0)?;
        }
    }
    Ok(object)
}

/// Checks that so many flows have a port, and are open.
pub fn check(object: &Ebpf, flows: u32) -> Result<()> {
    let map = object.map(names::BINDINGS_V4).context("no BINDINGS_V4")?;
    let buckets: Array<_, Record<Bucket>> = map.try_into()?;
    let mut open = 0;
    for index in 0..buckets.len() {
        let Record(bucket) = buckets.get(&index, 0)?;
        let is_open = |owner: Owner, stage| owner != Owner::default() && stage == stage::OPEN;
        open += bucket.iter().filter(|one| is_open(one.owner, one.course.stage())).count();
    }
    ensure!(open == flows as usize, "{open} flows are open, not {flows}");
    Ok(())
}

/// Ports of an address, about.
const PORTS: u32 = 1 << 16;

fn load(scale: Scale, addresses: u32) -> Result<Ebpf> {
    let places = scale.few_records;
    let memory = world::with_sources(world::memory(world::LOOPBACK, places), addresses);
    datapath::load(&memory, places)
}
