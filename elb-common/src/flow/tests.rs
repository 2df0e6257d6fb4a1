//! Tests of `flow`.

use super::*;
use core::mem::{align_of, offset_of, size_of};

#[test]
fn keys_are_the_five_tuple_in_network_order() {
    let ports = Ports { source: Be16::new(0x0102), destination: Be16::new(0x0304) };
    let v4 = FlowKeyV4::new(
        bytemuck::cast([10u8, 0, 0, 1]),
        bytemuck::cast([192u8, 0, 2, 10]),
        ports,
        17,
    );
    assert_eq!(bytemuck::bytes_of(&v4), [10, 0, 0, 1, 192, 0, 2, 10, 1, 2, 3, 4, 17, 0, 0, 0]);
    assert_eq!(v4.protocol(), 17);
    let v6 = FlowKeyV6::new(bytemuck::cast([1u8; 16]), bytemuck::cast([2u8; 16]), ports, 6);
    assert_eq!(v6.protocol(), 6);
    assert_eq!(FlowKeyV4::connection(7, 8).protocol(), CONNECTION_ID);
    assert_eq!(bytemuck::bytes_of(&v6)[..16], [1; 16]);
    assert_eq!(bytemuck::bytes_of(&v6)[16..32], [2; 16]);
    assert_eq!(bytemuck::bytes_of(&v6)[32..], [1, 2, 3, 4, 6, 0, 0, 0]);
}

#[test]
fn an_algorithm_sees_its_part_of_a_key() {
    let ports = Ports { source: Be16::new(0x0102), destination: Be16::new(0x0304) };
    let v4 = FlowKeyV4::new(
        bytemuck::cast([10u8, 0, 0, 1]),
        bytemuck::cast([192u8, 0, 2, 10]),
        ports,
        17,
    );
    let bytes = |key: FlowKeyV4| bytemuck::cast::<_, [u8; 16]>(key);
    let part = |algorithm| bytes(v4.part(algorithm));
    for whole in [algorithm::FIVE_TUPLE, algorithm::ROUND_ROBIN, algorithm::LEAST_CONNECTIONS] {
        assert_eq!(part(whole), bytes(v4));
    }
    let three = [10, 0, 0, 1, 192, 0, 2, 10, 0, 0, 0, 0, 17, 0, 0, 0];
    assert_eq!(part(algorithm::THREE_TUPLE), three);
    assert_eq!(part(algorithm::TWO_TUPLE)[..8], [10, 0, 0, 1, 192, 0, 2, 10]);
    assert_eq!(part(algorithm::TWO_TUPLE)[8..], [0; 8]);
    assert_eq!(part(algorithm::SOURCE)[..4], [10, 0, 0, 1]);
    assert_eq!(part(algorithm::SOURCE)[4..], [0; 12]);
    let v6 = FlowKeyV6::new(bytemuck::cast([1u8; 16]), bytemuck::cast([2u8; 16]), ports, 6);
    let part = |algorithm| bytemuck::bytes_of(&v6.part(algorithm)).to_vec();
    assert_eq!(part(algorithm::THREE_TUPLE)[32..], [0, 0, 0, 0, 6, 0, 0, 0]);
    assert_eq!(part(algorithm::TWO_TUPLE)[..32], part(algorithm::FIVE_TUPLE)[..32]);
    assert_eq!(part(algorithm::SOURCE)[16..], [0; 24]);
}

#[test]
fn a_packet_finds_records_of_its_listener_and_pool_only() {
    let flow = Flow { backend: 1, pool: 2, listener: 3, seen: 50, ..Flow::default() };
    let visit = Visit { listener: 3, pool: 2, oldest: 50, now: 60, ..Visit::default() };
    assert!(visit.finds(&flow));
    assert!(!Visit { listener: 4, ..visit }.finds(&flow));
    assert!(!Visit { pool: 3, ..visit }.finds(&flow));
    assert!(Visit { pool: 3, any_pool: true, ..visit }.finds(&flow));
    let later = Visit { oldest: 51, ..visit };
    assert!(!later.finds(&flow) && later.meets(&flow));
    assert!(!Visit { listener: 4, ..visit }.meets(&flow));
}

#[test]
fn what_a_packet_makes_of_a_record() {
    let flags = flow_flags::COUNTED | flow_flags::STRAY;
    let flow = Flow { flags, seen: 50, ..Flow::default() };
    let after = |effect| Visit { effect, now: 60, ..Visit::default() }.after(flow);
    assert_eq!(after(visit::LOOKS), flow);
    assert_eq!(after(visit::REFRESHES), Flow { flags: flow_flags::COUNTED, seen: 60, ..flow });
    assert_eq!(after(visit::CLOSES), Flow { flags: flow_flags::CLOSED, seen: 60, ..flow });
    let cut = Flow { flags: flow_flags::CLOSED | flow_flags::CUT, seen: 60, ..flow };
    assert_eq!(after(visit::CUTS), cut);
    let refreshes = Visit { effect: visit::REFRESHES, now: 70, ..Visit::default() };
    assert_eq!(refreshes.after(cut), Flow { seen: 70, ..cut }, "no packet undoes it");
}

#[test]
fn layout() {
    assert_eq!((size_of::<FlowKeyV4>(), align_of::<FlowKeyV4>()), (16, 8));
    assert_eq!((size_of::<FlowKeyV6>(), align_of::<FlowKeyV6>()), (40, 8));
    assert_eq!((size_of::<Ports>(), align_of::<Ports>()), (4, 2));
    assert_eq!((size_of::<Flow>(), align_of::<Flow>()), (16, 4));
    assert_eq!(offset_of!(Flow, backend), 0);
    assert_eq!(offset_of!(Flow, pool), 2);
    assert_eq!(offset_of!(Flow, listener), 4);
    assert_eq!(offset_of!(Flow, flags), 6);
    assert_eq!(offset_of!(Flow, seen), 8);
    assert_eq!(offset_of!(Flow, since), 12);
}
