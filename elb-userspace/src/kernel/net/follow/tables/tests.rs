//! Tests of `tables`.

use proptest::prelude::*;

use super::*;

/// An attribute, padded.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn number_of(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_ne_bytes())
}

/// struct rtnexthop and the attributes of one next hop.
fn next_hop(flags: u8, ifindex: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = attributes.concat();
    let length = u16::try_from(8 + attributes.len()).unwrap();
    [&length.to_ne_bytes()[..], &[flags, 0], &ifindex.to_ne_bytes(), &attributes].concat()
}

const TABLE: u8 = 254;

/// struct rtmsg and its attributes.
fn message(bits: u8, kind: u8, flags: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    let header = [2, bits, 0, 0, TABLE, 0, 0, kind];
    [&header[..], &flags.to_ne_bytes(), &attributes.concat()].concat()
}

fn read(bits: u8, kind: u8, flags: u32, attributes: &[Vec<u8>]) -> Option<(Cidr, u32, ListedWay)> {
    route(&message(bits, kind, flags, attributes), AF_INET, MAIN)
}

fn via(hops: &[(u32, Option<[u8; 4]>)], mtu: Option<u32>) -> ListedWay {
    let hop = |(ifindex, gateway): &(u32, Option<[u8; 4]>)| RouteHop {
        ifindex: *ifindex,
        gateway: gateway.map(IpAddr::from),
    };
    ListedWay::Via { hops: hops.iter().map(hop).collect(), mtu }
}

const DST: u16 = 1;
const OIF: u16 = 4;
const GATEWAY: u16 = 5;
const NETWORK: [u8; 4] = [10, 9, 0, 0];
const ROUTER: [u8; 4] = [10, 0, 0, 1];

#[test]
fn what_matters_of_a_route_is_read() {
    let destination = || attribute(DST, &NETWORK);
    let network: Cidr = "10.9.0.0/16".parse().unwrap();
    let mtu = attribute(8 | 0x8000, &[number_of(7, 9), number_of(2, 1400)].concat());
    let attributes =
        [destination(), number_of(6, 50), number_of(OIF, 3), attribute(GATEWAY, &ROUTER), mtu];
    let wanted = (network, 50, via(&[(3, Some(ROUTER))], Some(1400)));
    assert_eq!(read(16, 1, 0, &attributes), Some(wanted));
    assert_eq!(read(16, 1, 1, &attributes), None, "dead");
    assert_eq!(read(16, 1, 0x200, &attributes), None, "a cached one");
    assert_eq!(route(&message(16, 1, 0, &attributes), AF_INET6, MAIN), None);
    assert_eq!(route(&message(16, 1, 0, &attributes), AF_INET, LOCAL), None);
    let other_table = [destination(), number_of(OIF, 3), number_of(15, 1000)];
    assert_eq!(read(16, 1, 0, &other_table), None);

    let on_link = read(0, 1, 0, &[number_of(OIF, 3)]).unwrap();
    assert_eq!(on_link, ("0.0.0.0/0".parse().unwrap(), 0, via(&[(3, None)], None)));
    let of_v6 = attribute(18, &[&10u16.to_ne_bytes()[..], &[0xfe; 16]].concat());
    let ListedWay::Via { hops, .. } = read(0, 1, 0, &[number_of(OIF, 3), of_v6]).unwrap().2 else {
        panic!("it is by an interface");
    };
    assert_eq!(hops[0].gateway, Some(IpAddr::from([0xfe_u8; 16])));

    let kind = |kind| read(16, kind, 0, &[destination()]).map(|(_, _, way)| way);
    assert_eq!(kind(2), Some(ListedWay::Local));
    assert_eq!([6, 7, 8].map(kind), [const { Some(ListedWay::Nowhere) }; 3]);
    assert_eq!(kind(9), Some(ListedWay::Other), "throw: another table decides");
    assert_eq!(kind(1), Some(ListedWay::Other), "an object that is not shown");
    let tunnel = [number_of(OIF, 3), attribute(22, &[])];
    assert_eq!(read(0, 1, 0, &tunnel).unwrap().2, ListedWay::Other);
}

#[test]
fn of_several_next_hops_those_that_work_come_first() {
    let hop =
        |flags, ifindex, last| next_hop(flags, ifindex, &[attribute(GATEWAY, &[10, 0, 0, last])]);
    let several =
        |hops: &[Vec<u8>]| read(0, 1, 0, &[attribute(9, &hops.concat())]).map(|(_, _, way)| way);
    let gateway = |last| Some([10, 0, 0, last]);
    let all = [hop(1, 2, 1), hop(16, 2, 2), hop(0, 3, 3), next_hop(0, 4, &[])];
    let wanted = via(&[(3, gateway(3)), (4, None), (2, gateway(2))], None);
    assert_eq!(several(&all), Some(wanted));
    assert_eq!(several(&[hop(1, 2, 1), hop(17, 2, 2)]), None, "no packet goes by it");
    let tunnel = next_hop(0, 2, &[attribute(22, &[])]);
    assert_eq!(several(&[tunnel]), Some(via(&[], None)), "only the kernel can");
}

#[test]
fn only_rules_that_a_host_does_not_have_anyway_are_others() {
    let rule = |family: u8, table: u32, priority: u32, action: u8| {
        let header = [family, 0, 0, 0, 252, 0, 0, action, 0, 0, 0, 0];
        other_rule(&[&header[..], &number_of(6, priority), &number_of(15, table)].concat())
    };
    for (table, priority) in [(255, 0), (254, 32766), (253, 32767), (0xe1b0_565f, 90)] {
        assert_eq!(rule(2, table, priority, 1), None);
    }
    assert_eq!(rule(2, 1000, 100, 1).unwrap(), "IPv4 with priority 100");
    assert_eq!(rule(10, 254, 7, 7).unwrap(), "IPv6 with priority 7", "it prohibits");
    assert_eq!(rule(128, 1000, 100, 1), None, "of multicast");
}

proptest! {
    /// Whatever the bytes: no panic, no endless loop.
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..12) {
        let _ = (route(&bytes, AF_INET, MAIN), other_rule(&bytes));
        let cut = attribute(9, &bytes[..bytes.len().min(40)]);
        let _ = read(bytes.first().copied().unwrap_or(32), kind, 0, &[cut, bytes]);
    }
}
