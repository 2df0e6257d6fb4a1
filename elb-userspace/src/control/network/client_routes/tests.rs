//! Tests of `client_routes`.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::Link;
use super::*;

const CARRYING: [u32; 2] = [2, 3];

fn mac(n: u8) -> Mac {
    Mac::new([2, 0, 0, 0, 0, n])
}

fn prefix(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// eth0 (2) and eth1 (3, narrower) carry the program, eth9 (9) does not, VLAN 5 is on eth0. Gateways .1 and .2
/// on eth0, fe80::1 on eth1 and .9 on eth9 answer, .3 on eth0 does not, .4 was not asked.
fn known() -> Network {
    let mut known = Network::default();
    for (index, mtu) in [(2, 1500), (3, 1400), (5, 1500), (9, 1500)] {
        let link = Link { name: format!("if{index}"), mac: Some(mac(index)), mtu };
        known.links.insert(index.into(), link);
    }
    known.stack(5, Some(2), None);
    for (ifindex, gateway, n) in [
        (2, "10.0.0.1", 101),
        (2, "10.0.0.2", 102),
        (2, "10.0.0.3", 103),
        (3, "fe80::1", 111),
        (9, "10.9.0.9", 109),
    ] {
        known.neighbors.insert((ifindex, address(gateway)), mac(n));
    }
    known.silent.insert((2, address("10.0.0.3")));
    known
}

fn by(ifindex: u32, gateway: &str) -> RouteHop {
    RouteHop { ifindex, gateway: (!gateway.is_empty()).then(|| address(gateway)) }
}

fn via<const N: usize>(hops: [RouteHop; N]) -> ListedWay {
    ListedWay::Via { hops: hops.into(), mtu: None }
}

fn table(routes: impl IntoIterator<Item = (Cidr, u32, ListedWay)>) -> ClientTable {
    let mut listing = RouteListing::default();
    for (prefix, metric, way) in routes {
        listing.add(prefix, metric, way);
    }
    listing.finish()
}

fn hops(routes: &[(&str, u32, ListedWay)], neighbors: &[OnLink]) -> Arc<ClientHops> {
    let routes = routes.iter().map(|(text, metric, way)| (prefix(text), *metric, way.clone()));
    table(routes).ways(&known(), &CARRYING.into(), neighbors.iter().copied()).hops
}

/// Kind, interface, last byte of the next hop's Ethernet address, largest packet.
fn seen(hop: ClientHop) -> (u16, u32, u8, u16) {
    (hop.kind, hop.ifindex, hop.next_hop.bytes()[5], hop.largest)
}

const NONE: (u16, u32, u8, u16) = (hop_kind::NONE, 0, 0, 0);
const FROM_KERNEL: (u16, u32, u8, u16) = (hop_kind::KERNEL, 0, 0, 0);
const LOCAL: (u16, u32, u8, u16) = (hop_kind::LOCAL, 0, 0, 0);
const GATEWAY: (u16, u32, u8, u16) = (hop_kind::KNOWN, 2, 101, 1500);

#[test]
fn each_kind_of_route_is_a_way_of_its_own() {
    let narrow = ListedWay::Via { hops: vec![by(2, "10.0.0.1")], mtu: Some(1280) };
    let cases = [
        (via([by(2, "10.0.0.1")]), GATEWAY),
        (narrow, (hop_kind::KNOWN, 2, 101, 1280)),
        (via([by(3, "fe80::1")]), (hop_kind::KNOWN, 3, 111, 1400)),
        (via([by(2, "10.0.0.3")]), FROM_KERNEL),
        (via([by(2, "10.0.0.4")]), FROM_KERNEL),
        (via([by(9, "10.9.0.9")]), FROM_KERNEL),
        (via([by(2, "10.0.0.3"), by(2, "10.0.0.4"), by(2, "10.0.0.1")]), GATEWAY),
        (via([by(9, "10.9.0.9"), by(2, "10.0.0.1")]), GATEWAY),
        (via([by(5, "10.0.0.1")]), FROM_KERNEL),
        (via([by(2, "")]), FROM_KERNEL),
        (via([]), FROM_KERNEL),
        (ListedWay::Other, FROM_KERNEL),
        (ListedWay::Local, LOCAL),
        (ListedWay::Nowhere, NONE),
    ];
    for (way, wanted) in cases {
        let hops = hops(&[("0.0.0.0/0", 0, way.clone())], &[]);
        assert_eq!(seen(hops.hop(address("203.0.113.1"))), wanted, "{way:?}");
        assert_eq!(seen(hops.hop(address("2001:db8::1"))), NONE, "no route of IPv6");
        assert_eq!((hops.routes.len(), hops.bits.len()), (0, 0));
    }
}

#[test]
fn an_interface_on_top_of_one_with_the_program_is_left_to_the_kernel() {
    let way = via([by(5, "10.0.0.1")]);
    let table = table([(prefix("0.0.0.0/0"), 0, way)]);
    let mut known = known();
    known.neighbors.insert((5, address("10.0.0.1")), mac(101));
    let kind = |known: &Network, carrying: &[u32]| {
        let carrying = carrying.iter().copied().collect();
        assert_eq!(table.gateways(known, &carrying).len(), usize::from(carrying == [5].into()));
        table.ways(known, &carrying, []).hops.defaults[0].kind
    };
    assert_eq!(kind(&known, &[2, 5]), hop_kind::KERNEL);
    assert_eq!(kind(&known, &[2]), hop_kind::KERNEL);
    assert_eq!(kind(&known, &[5]), hop_kind::KNOWN);
    // A bridge that eth1 is a part of.
    known.stack(5, None, None);
    known.stack(3, None, Some(5));
    assert_eq!(kind(&known, &[3, 5]), hop_kind::KERNEL);
}

#[test]
fn of_several_routes_the_one_with_the_lowest_metric_counts() {
    let of = |metrics: [u32; 2]| {
        let routes = [
            ("0.0.0.0/0", metrics[0], via([by(2, "10.0.0.1")])),
            ("0.0.0.0/0", metrics[1], via([by(2, "10.0.0.2")])),
        ];
        hops(&routes, &[]).defaults[0].next_hop
    };
    assert_eq!([of([100, 50]), of([50, 100]), of([50, 50])], [mac(102), mac(101), mac(101)]);
    let siblings =
        [("::/0", 1024, via([by(2, "fe80::9")])), ("::/0", 1024, via([by(3, "fe80::1")]))];
    assert_eq!(hops(&siblings, &[]).defaults[1].next_hop, mac(111), "the first is not known");
}

#[test]
fn neighbours_are_clients_where_the_route_says_that_they_are_neighbours() {
    let on = |ifindex, text| ((ifindex, address(text)), mac(50));
    let routes = [
        ("0.0.0.0/0", 0, via([by(2, "10.0.0.1")])),
        ("10.0.0.0/24", 0, via([by(2, "")])),
        ("10.0.0.64/26", 0, via([by(2, "10.0.0.2")])),
        ("10.3.0.0/24", 0, via([by(3, "")])),
        ("10.3.0.7/32", 0, via([by(3, "")])),
        ("10.0.0.10/32", 0, ListedWay::Local),
        ("fd00::/64", 256, via([by(3, "")])),
    ];
    let neighbors = [
        on(2, "10.0.0.5"),
        on(2, "10.0.0.65"),
        on(2, "10.0.0.10"),
        on(3, "10.0.0.6"),
        on(3, "10.3.0.7"),
        on(2, "10.3.0.8"),
        on(2, "192.0.2.1"),
        on(9, "10.0.0.7"),
        on(3, "fd00::7"),
        on(2, "fd00::8"),
    ];
    let hops = hops(&routes, &neighbors);
    let hop = |text| seen(hops.hop(address(text)));
    assert_eq!(hop("10.0.0.5"), (hop_kind::KNOWN, 2, 50, 1500));
    assert_eq!(hop("10.0.0.65"), (hop_kind::KNOWN, 2, 102, 1500), "by a gateway, the route says");
    assert_eq!(hop("10.0.0.10"), LOCAL);
    assert_eq!([hop("10.0.0.6"), hop("10.0.0.7"), hop("10.0.0.9")], [FROM_KERNEL; 3]);
    assert_eq!(hop("10.3.0.7"), (hop_kind::KNOWN, 3, 50, 1400));
    assert_eq!(hop("10.3.0.8"), FROM_KERNEL);
    assert_eq!(hop("192.0.2.1"), GATEWAY);
    assert_eq!(hop("fd00::7"), (hop_kind::KNOWN, 3, 50, 1400));
    assert_eq!([hop("fd00::8"), hop("fd00::9")], [FROM_KERNEL; 2]);
    assert_eq!(hop("fd01::1"), NONE);
}

#[test]
fn what_is_no_clients_address_has_no_entry() {
    let away = || via([by(9, "")]);
    let none = ["127.0.0.0/8", "127.0.0.1/32", "224.0.0.0/4", "239.1.0.0/16"];
    let none_of_v6 = ["::1/128", "fe80::/64", "fe80::1/128", "ff00::/8", "ff02::/16"];
    for text in none.into_iter().chain(none_of_v6) {
        assert_eq!(hops(&[(text, 0, away())], &[]).routes.len(), 0, "{text}");
    }
    for text in ["126.0.0.0/7", "192.0.0.0/2", "128.0.0.0/1", "::/1", "fc00::/6", "fe00::/7"] {
        assert_eq!(hops(&[(text, 0, away())], &[]).routes.len(), 1, "{text}");
    }
}

#[test]
fn a_full_table_behind_one_gateway_is_next_to_nothing() {
    let all = (0..500_000_u32).map(|n| {
        let prefix = Cidr::of(IpAddr::from((0x0b00_0000 + (n << 8)).to_be_bytes()), 24).unwrap();
        (prefix, 20, via([by(2, "10.0.0.1")]))
    });
    let default = (prefix("0.0.0.0/0"), 0, via([by(2, "10.0.0.1")]));
    let other = (prefix("11.7.7.0/25"), 0, via([by(2, "10.0.0.2")]));
    let table = table(all.chain([default, other]));
    let ways = table.ways(&known(), &CARRYING.into(), []);
    assert_eq!((ways.hops.routes.len(), ways.left_out), (1, [0; 2]));
    assert_eq!(seen(ways.hops.hop(address("11.7.7.1"))).2, 102);
    assert_eq!(seen(ways.hops.hop(address("11.7.7.129"))), GATEWAY);
}

#[test]
fn neighbouring_prefixes_behind_one_gateway_are_one() {
    let all = (0..50_000_u32).map(|n| {
        let prefix = Cidr::of(IpAddr::from((0x0b00_0000 + (n << 8)).to_be_bytes()), 24).unwrap();
        let gateway = if n == 777 { "10.0.0.2" } else { "10.0.0.1" };
        (prefix, 20, via([by(2, gateway)]))
    });
    let ways = table(all).ways(&known(), &CARRYING.into(), []);
    let hop = |text| seen(ways.hops.hop(address(text)));
    assert_eq!(ways.hops.routes.len(), 21, "{:?}", ways.hops.routes);
    assert_eq!([hop("11.0.0.1"), hop("11.195.79.255")], [GATEWAY; 2]);
    assert_eq!([hop("11.195.80.0"), hop("10.255.255.255")], [NONE; 2]);
    assert_eq!(hop("11.3.9.1").2, 102);
}

/// Entries of /24 at these numbers, behind a gateway or for neighbours.
fn many(numbers: impl IntoIterator<Item = u32>, by_neighbor: bool) -> Vec<Entry> {
    let hop = ClientHop { ifindex: 2, ..of_kind(hop_kind::KNOWN) };
    let bits = if by_neighbor { 32 } else { 24 };
    let prefix = |n: u32| Cidr::of(IpAddr::from((n << 8).to_be_bytes()), bits).unwrap();
    numbers.into_iter().map(|n| (prefix(n), hop, by_neighbor)).collect()
}

#[test]
fn what_does_not_fit_is_left_to_the_kernel() {
    let gateway = ClientHop { ifindex: 3, ..of_kind(hop_kind::KNOWN) };
    let mut default = gateway;
    let mut entries = [many(0..5, false), many(5..10, true)].concat();
    assert_eq!(fit(&entries, &mut default, 10), entries);
    assert_eq!(fit(&entries, &mut default, 7), entries[..7], "the last neighbours");
    assert_eq!((fit(&entries, &mut default, 5).len(), default), (5, gateway));
    // A prefix with others in it is kept as a whole or not at all.
    entries.insert(5, (prefix("0.0.4.0/26"), gateway, false));
    let kept = fit(&entries, &mut default, 5);
    assert_eq!((kept, default), (entries[..4].to_vec(), KERNEL));
}

/// The ways that routes of the property tests have.
fn ways() -> Vec<ListedWay> {
    vec![
        ListedWay::Local,
        ListedWay::Nowhere,
        ListedWay::Other,
        via([by(2, "10.0.0.1")]),
        via([by(2, "10.0.0.1")]),
        via([by(2, "10.0.0.2")]),
        via([by(2, "10.0.0.3")]),
        via([by(2, "10.0.0.3"), by(2, "10.0.0.2")]),
        via([by(3, "fe80::1")]),
        via([by(9, "10.9.0.9")]),
        via([by(2, "")]),
        via([by(2, "")]),
        via([by(3, "")]),
        via([by(9, "")]),
        ListedWay::Via { hops: vec![by(2, "10.0.0.1")], mtu: Some(1400) },
    ]
}

/// Few bits that differ, so that prefixes are within others.
fn any_prefix() -> impl Strategy<Value = Cidr> {
    let v4 = ([10u8..12, 0..2, 0..2, 0..4], 0u8..=32);
    let v4 = v4.prop_map(|(bytes, bits)| (IpAddr::from(bytes), bits));
    let v6 = (prop::array::uniform8(0u16..2), 0u8..=128);
    let v6 = v6.prop_map(|(words, bits)| (IpAddr::from(words), bits));
    let any = prop_oneof![v4, v6];
    any.prop_map(|(address, bits)| Cidr::of(address, bits).unwrap())
        .prop_filter("of clients", |prefix| is_of_clients(*prefix))
}

/// What the kernel would do, one route after the other.
fn naive(
    routes: &[(Cidr, u32, ListedWay)],
    neighbors: &[OnLink],
    known: &Network,
    client: IpAddr,
) -> ClientHop {
    let host = Cidr::host(client);
    let around: Vec<_> = routes.iter().filter(|(prefix, ..)| prefix.covers(host)).collect();
    if around.iter().any(|(_, _, way)| *way == ListedWay::Local) {
        return of_kind(hop_kind::LOCAL);
    }
    let Some(bits) = around.iter().map(|(prefix, ..)| prefix.bits()).max() else {
        return of_kind(hop_kind::NONE);
    };
    let longest: Vec<_> = around.into_iter().filter(|(prefix, ..)| prefix.bits() == bits).collect();
    let metric = longest.iter().map(|(_, metric, _)| *metric).min().unwrap();
    let best: Vec<_> = longest.iter().filter(|one| one.1 == metric).map(|one| &one.2).collect();
    let gateways = |way: &ListedWay| match way {
        ListedWay::Via { hops, .. } => hops.iter().all(|hop| hop.gateway.is_some()),
        ListedWay::Local | ListedWay::Nowhere | ListedWay::Other => false,
    };
    let mut hops: Vec<RouteHop> = Vec::new();
    let mut largest = None;
    match best[0] {
        ListedWay::Local => unreachable!("they come first"),
        ListedWay::Nowhere => return of_kind(hop_kind::NONE),
        ListedWay::Other => return KERNEL,
        ListedWay::Via { mtu, .. } => largest = mtu.or(largest),
    }
    for (at, way) in best.iter().enumerate() {
        if let ListedWay::Via { hops: more, .. } = way
            && (at == 0 || gateways(best[0]) && gateways(way))
        {
            hops.extend(more);
        }
    }
    for hop in &hops {
        let Some(link) = known.links.get(&hop.ifindex) else { continue };
        let neighbor = (hop.ifindex, hop.gateway.unwrap_or(client));
        let next_hop = match hop.gateway {
            Some(_) if known.silent.contains(&neighbor) => None,
            Some(_) => known.neighbors.get(&neighbor).copied(),
            None => neighbors.iter().find(|(one, _)| *one == neighbor).map(|(_, mac)| *mac),
        };
        if let Some(mac) = next_hop.filter(|_| CARRYING.contains(&hop.ifindex)) {
            let fits = largest.into_iter().fold(link.mtu, u32::min);
            return known_hop(mac, link.mac.unwrap(), hop.ifindex, fits.try_into().unwrap());
        }
    }
    KERNEL
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// What the maps say of a client is what the kernel's table says, whatever is within what.
    #[test]
    fn each_client_is_behind_what_the_table_says(
        routes in prop::collection::vec((any_prefix(), 0u32..3, select(ways())), 0..24),
        neighbors in prop::collection::btree_map(
            (select(vec![2u32, 3, 9]), any_prefix().prop_map(|prefix| prefix.address())),
            (50u8..60).prop_map(mac),
            0..12,
        ),
        clients in prop::collection::vec(any_prefix().prop_map(|prefix| prefix.address()), 0..20),
    ) {
        let known = known();
        let neighbors: Vec<OnLink> = neighbors.into_iter().collect();
        let found = table(routes.clone()).ways(&known, &CARRYING.into(), neighbors.clone());
        let ends = routes.iter().map(|(prefix, ..)| prefix.address());
        let nearby = neighbors.iter().map(|((_, address), _)| *address);
        for client in clients.iter().copied().chain(ends).chain(nearby) {
            let wanted = naive(&routes, &neighbors, &known, client);
            prop_assert_eq!(found.hops.hop(client), wanted, "{}", client);
        }
        let redundant = found.hops.routes.iter().find(|(prefix, hop)| {
            let mut wider = (0..prefix.bits()).rev().filter_map(|bits| Cidr::of(prefix.address(), bits));
            let above = wider.find_map(|wider| found.hops.routes.get(&wider));
            above.unwrap_or(&found.hops.defaults[usize::from(prefix.address().is_ipv6())]) == *hop
        });
        prop_assert_eq!(redundant, None);
    }

    /// Whatever has no room, a client is behind what the table says or what the kernel finds.
    #[test]
    fn nothing_is_wrong_where_room_is_short(
        routes in prop::collection::vec((any_prefix(), select(ways())), 0..24),
        most in 0usize..16,
    ) {
        let v4 = routes.into_iter().filter(|(prefix, _)| prefix.address().is_ipv4());
        let table = table(v4.map(|(prefix, way)| (prefix, 0, way)));
        let (known, carrying) = (known(), CARRYING.into());
        let all = table.ways(&known, &carrying, []).hops;
        let found: Vec<Found> = table.ways.iter().map(|way| known.found(way, &carrying)).collect();
        let (mut defaults, entries) = table.entries(&found, &known, &[]);
        let entries = merged(&entries, defaults[0]);
        let kept = fit(&entries, &mut defaults[0], most);
        prop_assert!(kept.len() <= most);
        let kept = kept.into_iter().map(|(prefix, hop, _)| (prefix, hop)).collect();
        let some = ClientHops::new(defaults, kept);
        for client in table.routes.iter().map(|(prefix, _)| prefix.address()) {
            let hop = some.hop(client);
            prop_assert!(hop == all.hop(client) || hop == KERNEL, "{}: {:?}", client, hop);
        }
    }
}
