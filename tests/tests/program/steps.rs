//! Packets one after the other in the kernel and at the oracle, which must agree on what becomes of each,
//! and on all that is recorded of their flows, and counted.

use std::collections::BTreeMap;
use std::net::IpAddr;

use elb_common::addr::Be16;
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6, Ports};

use crate::cases::{EVERYTHING, Then};
use crate::kernel::{Kernel, PROGRAMS, now};
use crate::logging;
use crate::oracle::{Expected, FlowId, Oracle};
use crate::world::*;

use Then::{Because, To};

/// Runs steps in order, with all programs, last with the one that reports nothing, and compares with the
/// oracle what became of each, and in the end all that is recorded and counted.
pub fn steps(steps: Vec<(&str, Vec<u8>, Then)>) -> (Kernel, Oracle) {
    let [plain, traced, logged] = PROGRAMS;
    let [.., last] = [traced, logged, plain].map(|program| {
        let world = world(now());
        let mut kernel = Kernel::with(program, &world.memory());
        kernel.trace(EVERYTHING);
        kernel.flow_log(logging::ALL);
        let mut oracle = Oracle::new(world);
        steps.iter().for_each(|one| step(&mut kernel, &mut oracle, one));
        check_records(&kernel, &oracle);
        for (_, flow) in [kernel.openings(), kernel.flows()].concat() {
            assert!(flow.seen.abs_diff(now()) < 5 && flow.since <= flow.seen, "{flow:?}");
        }
        (kernel, oracle)
    });
    last
}

/// What is recorded of flows, and counted of records, is what the oracle remembers.
#[track_caller]
pub fn check_records(kernel: &Kernel, oracle: &Oracle) {
    let Oracle { world, flows, .. } = oracle;
    for (stage, wanted, found) in
        [("openings", &flows.openings, kernel.openings()), ("flows", &flows.live, kernel.flows())]
    {
        let wanted: BTreeMap<Vec<u8>, _> = wanted
            .iter()
            .map(|(flow, known)| {
                (key_of(flow), (known.backend, known.listener, known.stray, known.closed))
            })
            .collect();
        let seen = |flow: Flow| {
            assert_eq!(flow.pool, world.listeners[usize::from(flow.listener)].pool, "{flow:?}");
            let Flow { backend, listener, .. } = flow;
            (backend, usize::from(listener), flow.is_stray(), flow.is_closed())
        };
        let found: BTreeMap<_, _> =
            found.into_iter().map(|(key, flow)| (key, seen(flow))).collect();
        assert_eq!(found, wanted, "{stage}");
    }
    for (index, spec) in world.listeners.iter().enumerate() {
        let state = kernel.listener_state(index as u16);
        let of = [false, true].map(|is_v6| flows.of(index, is_v6));
        let counted = [0, 1].map(|version| [state.records[version], state.strays[version]]);
        assert_eq!(counted, of, "records of {spec:?}");
        let refused = flows.refused.get(&index).copied().unwrap_or(0);
        assert_eq!(state.refused, refused, "refused records of {spec:?}");
        let noted = kernel.pool_state(spec.pool).refused;
        assert_eq!(noted.abs_diff(now()) < 5, refused > 0, "noted of {spec:?}: {noted}");
    }
    for (version, is_v6) in [(0, false), (1, true)] {
        let all = flows.live.keys().filter(|flow| flow.0.is_ipv6() == is_v6).count();
        assert_eq!(kernel.table(version).records, all as u64, "records of version {version}");
    }
}

/// Lets frames meet a world: what became of each. The kernel and the oracle agree on that, and in the end
/// on all that is recorded and counted.
#[track_caller]
pub fn follow(world: &World, frames: &[Vec<u8>]) -> (Kernel, Oracle, Vec<Then>) {
    let mut kernel = Kernel::new(&world.memory());
    let mut oracle = Oracle::new(world.clone());
    let one = |(number, frame): (usize, &Vec<u8>)| {
        let (expected, ran) = (oracle.expect(frame), kernel.run(frame));
        assert_eq!((ran.action, &ran.bytes), (expected.action, &expected.bytes), "frame {number}");
        then(&expected)
    };
    let thens = frames.iter().enumerate().map(one).collect();
    check_records(&kernel, &oracle);
    (kernel, oracle, thens)
}

fn then(expected: &Expected) -> Then {
    match (expected.reason, expected.backend) {
        (Some(reason), _) => Because(reason),
        (None, Some(id)) => To(id),
        (None, None) => unreachable!("the oracle decides"),
    }
}

pub fn step(kernel: &mut Kernel, oracle: &mut Oracle, (name, frame, then): &(&str, Vec<u8>, Then)) {
    let (expected, ran) = (oracle.expect(frame), kernel.run(frame));
    assert_eq!((ran.action, &ran.bytes), (expected.action, &expected.bytes), "{name}");
    assert_eq!(self::then(&expected), *then, "{name}");
}

/// The key of a flow in the tables.
fn key_of(&(source, destination, from, to, protocol): &FlowId) -> Vec<u8> {
    let ports = Ports { source: Be16::new(from), destination: Be16::new(to) };
    match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            bytemuck::bytes_of(&FlowKeyV4::new(be32(s), be32(d), ports, protocol)).to_vec()
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            bytemuck::bytes_of(&FlowKeyV6::new(be128(s), be128(d), ports, protocol)).to_vec()
        }
        _ => unreachable!("one packet, one version"),
    }
}
