//! The same packets without a kernel: what the generator writes, the packet path decides on, and
//! the sink inspects. What fails here is a fault of the test or of the packet path, not of a
//! device or of the speed.

use elb_common::path::{Frame, Memory, process};
use elb_tests_ebpf::QUEUES;
use elb_tests_ebpf::frame::write;
use elb_tests_ebpf::inspect::{Arrival, Fault, inspect};
use elb_tests_ebpf::kind::Kind;
use elb_tests_ebpf::traffic::{FLOWS, MAX_LENGTH, ROUND, Traffic};

use crate::sent::Sent;
use crate::world::{ALL_KINDS, Encapsulation, World};

const FRONT: u32 = 1;
const BACK: u32 = 2;

/// One packet from the generator to the sink; `damage` may change the frame on its way.
fn pass(
    memory: &Memory,
    traffic: &Traffic,
    (kind, flow): (Kind, u32),
    damage: impl FnOnce(&mut [u8]),
) -> Result<Arrival, Fault> {
    let mut buffer = [0; 512];
    let mut frame =
        Frame::new(&mut buffer, &[0xee; MAX_LENGTH], FRONT).expect("a buffer for every frame");
    write(&mut frame, traffic, kind, flow).expect("room for every kind");
    let reason = process(&mut frame, memory).reason();
    assert_eq!(reason, kind.reason(), "{kind:?} flow {flow}");
    let mut bytes = frame.bytes().to_vec();
    damage(&mut bytes);
    let mut buffer = [0; 512];
    let frame = Frame::new(&mut buffer, &bytes, BACK).expect("a buffer for every frame");
    inspect(&frame, traffic, |id| memory.backends.get(&(id as u16)))
}

#[test]
fn each_kind_meets_its_fate() {
    for encapsulation in [Encapsulation::L2, Encapsulation::Ipip, Encapsulation::Gue] {
        let world = World::settled(encapsulation);
        let (memory, traffic) = (world.memory(BACK), world.traffic(&ALL_KINDS));
        for kind in Kind::ALL {
            for flow in (0..FLOWS).step_by(97) {
                let arrived = pass(&memory, &traffic, (*kind, flow), |_| {});
                if kind.is_forwarded() {
                    let backend = u32::from(world.owner(&traffic, *kind, flow));
                    assert_eq!(arrived, Ok(Arrival { backend, kind: *kind as u32, flow }));
                } else {
                    assert!(arrived.is_err(), "{kind:?} arrived: {arrived:?}");
                }
            }
        }
    }
}

#[test]
fn the_sink_sees_every_changed_bit() {
    for encapsulation in [Encapsulation::L2, Encapsulation::Ipip, Encapsulation::Gue] {
        let world = World::settled(encapsulation);
        let (memory, traffic) = (world.memory(BACK), world.traffic(&ALL_KINDS));
        for (kind, flow) in [(Kind::TcpV4, 1), (Kind::UdpV6, 7), (Kind::SynV6, 2), (Kind::UdpV4, 3)]
        {
            let mut length = 0;
            let intact = pass(&memory, &traffic, (kind, flow), |bytes| length = bytes.len());
            let owner = intact.expect("nothing was changed").backend;
            for bit in 0..length * 8 {
                let flip = |bytes: &mut [u8]| bytes[bit / 8] ^= 1 << (bit % 8);
                let damaged = pass(&memory, &traffic, (kind, flow), flip);
                // One bit may show the Ethernet address of a neighbour from that of another.
                let strayed = damaged.is_ok_and(|arrival| arrival.backend != owner);
                assert!(damaged.is_err() || strayed, "{kind:?} flow {flow} bit {bit}");
            }
        }
    }
}

#[test]
fn every_kind_meets_every_flow() {
    let traffic = World::settled(Encapsulation::L2).traffic(&ALL_KINDS);
    let mut sent = Sent::default();
    sent.add(&traffic, &[u64::from(ROUND); QUEUES as usize]);
    for (kind, weight) in ALL_KINDS {
        let weight = u64::from(weight);
        assert!((0..FLOWS).all(|flow| sent.flow(kind, flow) == weight), "{kind:?}");
    }
}
