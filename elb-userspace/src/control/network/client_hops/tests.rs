//! Tests of `client_hops`.

use proptest::prelude::*;

use super::*;

/// A way that is unlike others.
fn hop(n: u16) -> ClientHop {
    ClientHop { ifindex: n.into(), ..of_kind(hop_kind::KNOWN) }
}

fn prefix(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn ones(hops: &ClientHops) -> u32 {
    hops.bits.values().map(|word| word.count_ones()).sum()
}

#[test]
fn a_prefix_sets_the_bits_of_its_clients_and_no_others() {
    let of = |text| ClientHops::new([hop(1); 2], [(prefix(text), hop(2))].into());
    let cases = [
        ("203.0.113.7/32", 1),
        ("10.0.0.0/16", 1),
        ("10.0.0.0/15", 2),
        ("10.8.0.0/13", 8),
        ("10.32.0.0/11", 32),
        ("10.64.0.0/10", 64),
        ("10.0.0.0/8", 256),
        ("128.0.0.0/1", 1 << 15),
        ("2001:db8::/32", 1),
        ("2001:db8:1::/48", 1),
        ("fd00::/8", 1 << 16),
    ];
    for (text, count) in cases {
        assert_eq!(ones(&of(text)), count, "{text}");
    }
    let tens = of("10.64.0.0/10");
    let is_found = |text: &str| tens.hop(text.parse().unwrap()) == hop(2);
    assert!(is_found("10.64.0.0") && is_found("10.127.255.255"));
    assert!(!is_found("10.63.255.255") && !is_found("10.128.0.0") && !is_found("::1"));
}

#[test]
fn by_interfaces_that_cannot_be_sent_by_the_kernel_decides() {
    let hops = ClientHops::new([hop(1), hop(2)], [(prefix("10.0.0.0/8"), hop(3))].into());
    assert!(hops.are_by(&[1, 2, 3].into()) && !hops.are_by(&[1, 2].into()));
    let some = hops.by(&[2].into());
    assert_eq!(some.defaults, [KERNEL, hop(2)]);
    assert_eq!(some.routes, [(prefix("10.0.0.0/8"), KERNEL)].into());
    assert_eq!(some.bits, hops.bits);
}

/// Few first bytes, so that prefixes are within others.
fn any_prefix() -> impl Strategy<Value = Cidr> {
    let v4 = ([0u8..4, 0..4, 0..4, 0..4], 1u8..=32)
        .prop_map(|(bytes, bits)| Cidr::of(IpAddr::from(bytes), bits).unwrap());
    let v6 = (prop::array::uniform8(0u16..3), 1u8..=128)
        .prop_map(|(words, bits)| Cidr::of(IpAddr::from(words), bits).unwrap());
    prop_oneof![v4, v6]
}

proptest! {
    /// The bits hide no route.
    #[test]
    fn bits_change_no_way(
        routes in prop::collection::btree_map(any_prefix(), (2u16..6).prop_map(hop), 0..20),
        clients in prop::collection::vec(any_prefix(), 1..20),
    ) {
        let hops = ClientHops::new([hop(0), hop(1)], routes.clone());
        for client in clients.iter().chain(routes.keys()).map(Cidr::address) {
            let longest = routes.iter().filter(|(prefix, _)| prefix.covers(Cidr::host(client)));
            let longest = longest.max_by_key(|(prefix, _)| prefix.bits()).map(|(_, hop)| *hop);
            let default = hops.defaults[usize::from(client.is_ipv6())];
            prop_assert_eq!(hops.hop(client), longest.unwrap_or(default), "{}", client);
        }
    }
}
