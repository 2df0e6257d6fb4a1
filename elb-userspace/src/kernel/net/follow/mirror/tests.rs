use elb_common::addr::Mac;
use proptest::prelude::*;

use super::*;
use crate::control::network::Link;

const LINK: u32 = 2;

fn address(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn known(n: u8) -> Entry {
    Entry { mac: Some(Mac::new([2, 0, 0, 0, 0, n])), state: State::Known }
}

/// The same, while the kernel asks whether it is so.
fn unconfirmed(n: u8) -> Entry {
    Entry { state: State::Unconfirmed, ..known(n) }
}

const SILENT: Entry = Entry { mac: None, state: State::Silent };

fn link(mtu: u32) -> Interface {
    let link = Link { name: "eth0".into(), mac: Some(Mac::new([2, 0, 0, 0, 0, 2])), mtu };
    Interface { link, sits_on: None, part_of: None }
}

fn via(gateway: Option<u8>) -> Route {
    let gateway = gateway.map(address);
    Route::Via { ifindex: LINK, gateway, source: Some(address(2)), mtu: None }
}

/// What a kernel has.
#[derive(Clone, Default)]
struct Kernel {
    links: HashMap<u32, Interface>,
    table: HashMap<Neighbor, Entry>,
    routes: HashMap<IpAddr, Route>,
}

impl Kernel {
    fn answer(&self, mirror: &mut Mirror) {
        loop {
            let asked = mirror.questions(3);
            if asked.is_empty() {
                break mirror.settle();
            }
            for address in asked {
                mirror.routed(address, self.routes.get(&address).copied().unwrap_or(Route::None));
            }
        }
    }

    fn list(&self, mirror: &mut Mirror) {
        mirror.take_over(self.links.clone(), self.table.clone());
    }
}

fn wanted(members: impl IntoIterator<Item = u8>) -> WantedAddresses {
    WantedAddresses {
        members: members.into_iter().map(address).collect(),
        ..WantedAddresses::default()
    }
}

/// A kernel with a link, members 11 to 13 on it, and a mirror of it.
fn scene() -> (Kernel, Mirror) {
    let mut kernel = Kernel::default();
    kernel.links.insert(LINK, link(1500));
    for n in 11..14 {
        kernel.routes.insert(address(n), via(None));
        kernel.table.insert((LINK, address(n)), known(n));
    }
    let mut mirror = Mirror::default();
    mirror.want(&wanted(11..14));
    kernel.list(&mut mirror);
    kernel.answer(&mut mirror);
    (kernel, mirror)
}

#[test]
fn strangers_are_no_news() {
    let (_, mut mirror) = scene();
    assert!(mirror.news().is_some() && mirror.used().is_some());
    for n in 50..200 {
        mirror.learn(Notice::Neighbor((LINK, address(n)), known(n)));
        mirror.learn(Notice::NoNeighbor((LINK, address(n))));
        mirror.learn(Notice::Prefix(IpAddr::from([10, 200, 0, n]), 32));
    }
    assert_eq!((mirror.news(), mirror.used()), (None, None));
    assert!(!mirror.is_stale(), "no member is concerned");
}

#[test]
fn a_change_concerns_the_members_of_its_prefix() {
    let (_, mut mirror) = scene();
    mirror.questions(99);
    mirror.learn(Notice::Prefix(address(12), 32));
    assert_eq!(mirror.questions(99), [address(12)]);
    mirror.learn(Notice::Prefix(address(12), 31));
    assert_eq!(mirror.questions(99), [address(13), address(12)], "in a circle");
    mirror.learn(Notice::Prefix(IpAddr::from([0; 4]), 0));
    assert_eq!(mirror.questions(99).len(), 3);
    mirror.learn(Notice::Prefix(IpAddr::from([0u8; 16]), 0));
    assert!(!mirror.is_stale(), "IPv6 is another family");
}

#[test]
fn a_link_that_goes_down_or_up_concerns_all() {
    let (_, mut mirror) = scene();
    mirror.questions(99);
    mirror.news();
    mirror.learn(Notice::Link(LINK, link(1500)));
    assert_eq!((mirror.questions(99).len(), mirror.news()), (3, None));
}

#[test]
fn what_changes_all_the_time_keeps_no_other_waiting() {
    let (_, mut mirror) = scene();
    mirror.questions(99);
    let mut asked = BTreeSet::new();
    for _ in 0..3 {
        mirror.doubt_all();
        asked.extend(mirror.questions(1));
    }
    assert_eq!(asked.len(), 3);
}

#[test]
fn other_gateways_are_looked_for_where_one_is_silent() {
    let (mut kernel, mut mirror) = scene();
    kernel.routes.insert(address(11), via(Some(1)));
    mirror.learn(Notice::Prefix(address(11), 32));
    mirror.learn(Notice::Neighbor((LINK, address(1)), known(1)));
    kernel.answer(&mut mirror);
    assert!(mirror.looks_for_others(99).is_empty());
    mirror.learn(Notice::Neighbor((LINK, address(1)), SILENT));
    assert_eq!(mirror.looks_for_others(99), [address(11)]);
    mirror.offered(address(11), vec![(LINK, address(1)), (LINK, address(3))]);
    mirror.settle();
    assert!(mirror.used().unwrap().contains_key(&(LINK, address(3))), "it is asked for");
    mirror.learn(Notice::Neighbor((LINK, address(3)), known(3)));
    let hop = mirror.news().unwrap().next_hop(address(11)).unwrap();
    assert_eq!(hop.mac, known(3).mac.unwrap());
}

/// The kernel asks it again, or a diagnosis has it asked; or it sends an ARP request, and has another card by now.
#[test]
fn one_that_is_silent_is_so_until_it_answers() {
    let (_, mut mirror) = scene();
    let member = (LINK, address(11));
    let mut learn = |entry| {
        mirror.learn(Notice::Neighbor(member, entry));
        let known = mirror.news();
        let known = known.unwrap_or_else(|| mirror.known.clone());
        (known.doubt(address(11)).is_some(), known.next_hop(address(11)).unwrap().mac)
    };
    let [old, new] = [11, 51].map(|n| known(n).mac.unwrap());
    assert_eq!(learn(unconfirmed(11)), (false, old), "it was not silent");
    assert_eq!(learn(SILENT), (true, old));
    assert_eq!(learn(unconfirmed(11)), (true, old));
    assert_eq!(learn(SILENT), (true, old));
    assert_eq!(learn(unconfirmed(51)), (true, new), "packets go to where it spoke from");
    assert_eq!(learn(known(51)), (false, new));
    assert_eq!(learn(unconfirmed(51)), (false, new));
}

/// Hosts whose entries age: nothing follows from that.
#[test]
fn whether_a_client_confirms_its_address_is_no_news() {
    let (_, mut mirror) = scene();
    mirror.want(&WantedAddresses { clients: Some([LINK].into()), ..wanted(11..14) });
    mirror.lists_tables();
    mirror.take_tables(tables());
    mirror.learn(Notice::Neighbor((LINK, address(50)), known(50)));
    assert_eq!(kinds(&mut mirror, 50), [KERNEL, KNOWN]);
    mirror.learn(Notice::Neighbor((LINK, address(50)), unconfirmed(50)));
    assert!(!mirror.has_doubted_clients());
    assert_eq!(kinds(&mut mirror, 50), [KERNEL, KNOWN]);
}

#[test]
fn paths_that_are_as_wide_as_the_link_are_forgotten() {
    let mut before = Network::default();
    before.path_mtus.extend([(address(11), 1500), (address(12), 1400)]);
    let mut mirror = Mirror::of(before);
    mirror.want(&wanted(11..14));
    let (kernel, _) = scene();
    kernel.list(&mut mirror);
    kernel.answer(&mut mirror);
    assert_eq!(mirror.narrow_paths(), &HashMap::from([(address(12), 1400)]));
}

/// Something that happens to a kernel.
#[derive(Clone, Copy, Debug)]
enum Event {
    Moves(u8, u8),
    Speaks(u8, u8),
    Silent(u8),
    Forgotten(u8),
    Routed(u8, Option<u8>),
    Unrouted(u8),
    Mtu(u16),
    LinkGone,
    Wanted(u8),
}

fn event() -> impl Strategy<Value = Event> {
    let member = || 11u8..16;
    prop_oneof![
        (member(), any::<u8>()).prop_map(|(n, mac)| Event::Moves(n, mac)),
        (member(), any::<u8>()).prop_map(|(n, mac)| Event::Speaks(n, mac)),
        member().prop_map(Event::Silent),
        member().prop_map(Event::Forgotten),
        (member(), prop::option::of(member())).prop_map(|(n, by)| Event::Routed(n, by)),
        member().prop_map(Event::Unrouted),
        (1400u16..1500).prop_map(Event::Mtu),
        Just(Event::LinkGone),
        member().prop_map(Event::Wanted),
    ]
}

/// Lets it happen; what the kernel says of it.
fn happen(kernel: &mut Kernel, event: Event) -> Option<Notice> {
    let neighbor = |n| (LINK, address(n));
    Some(match event {
        Event::Moves(n, mac) => {
            kernel.table.insert(neighbor(n), known(mac));
            Notice::Neighbor(neighbor(n), known(mac))
        }
        Event::Speaks(n, mac) => {
            kernel.table.insert(neighbor(n), unconfirmed(mac));
            Notice::Neighbor(neighbor(n), unconfirmed(mac))
        }
        Event::Silent(n) => {
            kernel.table.insert(neighbor(n), SILENT);
            Notice::Neighbor(neighbor(n), SILENT)
        }
        Event::Forgotten(n) => {
            kernel.table.remove(&neighbor(n));
            Notice::NoNeighbor(neighbor(n))
        }
        Event::Routed(n, by) => {
            kernel.routes.insert(address(n), via(by));
            Notice::Prefix(address(n), 32)
        }
        Event::Unrouted(n) => {
            kernel.routes.remove(&address(n));
            Notice::Prefix(address(n), 30)
        }
        Event::Mtu(mtu) => {
            kernel.links.insert(LINK, link(mtu.into()));
            Notice::Link(LINK, link(mtu.into()))
        }
        Event::LinkGone => {
            kernel.links.remove(&LINK);
            kernel.table.clear();
            Notice::NoLink(LINK)
        }
        Event::Wanted(_) => return None,
    })
}

proptest! {
    /// Whatever happens, and whatever of it is said or lost: after a second look, a member whose next hop
    /// the kernel knows is reached as by a mirror that has just begun; one that the kernel does not reach
    /// is not reached; and of the others, the last next hop stays.
    #[test]
    fn a_second_look_makes_up_for_what_was_lost(
        events in prop::collection::vec((event(), any::<bool>()), 1..60),
    ) {
        let (mut kernel, mut mirror) = scene();
        let (mut last, mut all_said) = (14, true);
        for (event, is_said) in events {
            if let Event::Wanted(n) = event {
                last = n;
                mirror.want(&wanted(11..last));
            }
            let notice = happen(&mut kernel, event);
            all_said &= is_said || notice.is_none();
            if let Some(notice) = notice.filter(|_| is_said) {
                mirror.learn(notice);
                kernel.answer(&mut mirror);
                mirror.news();
            }
        }
        if !all_said {
            prop_assert!(mirror.learn(Notice::Lost));
            kernel.list(&mut mirror);
        }
        kernel.answer(&mut mirror);
        let mut fresh = Mirror::default();
        fresh.want(&wanted(11..last));
        kernel.list(&mut fresh);
        kernel.answer(&mut fresh);
        for member in (11..last).map(address) {
            let (now, new) = (mirror.known.next_hop(member), fresh.known.next_hop(member));
            match new {
                Ok(_) => prop_assert_eq!(now, new),
                Err(crate::control::network::Unreachable::NoNeighbor { .. }) => {}
                Err(_) => prop_assert_eq!(now, new),
            }
        }
    }
}

/// Clients by the link: a default route by gateway 1, and those on 10.0.0.0/24 are neighbours.
fn tables() -> super::super::tables::Tables {
    use crate::control::network::client_routes::{ListedWay, RouteHop, RouteListing};
    let mut listing = RouteListing::default();
    for (prefix, gateway) in [("0.0.0.0/0", Some(address(1))), ("10.0.0.0/24", None)] {
        let hops = vec![RouteHop { ifindex: LINK, gateway }];
        listing.add(prefix.parse().unwrap(), 0, ListedWay::Via { hops, mtu: None });
    }
    super::super::tables::Tables { routes: listing.finish(), other_rules: Vec::new() }
}

/// Kinds of the ways to clients outside and at 10.0.0.n.
fn kinds(mirror: &mut Mirror, n: u8) -> [u16; 2] {
    mirror.settle();
    mirror.find_clients();
    let hops = &mirror.known.clients.as_ref().unwrap().hops;
    [IpAddr::from([192, 0, 2, 1]), address(n)].map(|client| hops.hop(client).kind)
}

const KNOWN: u16 = elb_common::client_hop::hop_kind::KNOWN;
const KERNEL: u16 = elb_common::client_hop::hop_kind::KERNEL;

#[test]
fn ways_to_clients_are_followed_only_while_they_are_wanted() {
    let (kernel, mut mirror) = scene();
    mirror.used();
    assert!(!mirror.has_stale_tables() && !mirror.has_doubted_clients());
    let clients = Some([LINK].into());
    mirror.want(&WantedAddresses { clients, ..wanted(11..14) });
    assert!(mirror.has_stale_tables() && !mirror.has_doubted_clients());
    mirror.lists_tables();
    mirror.take_tables(tables());
    mirror.settle();
    assert!(!mirror.has_stale_tables() && mirror.has_doubted_clients());
    let used = mirror.used().unwrap();
    assert!(used.contains_key(&(LINK, address(1))), "the gateway is kept");
    assert_eq!(used.len(), 4, "clients are not");
    assert_eq!(kinds(&mut mirror, 11), [KERNEL, KNOWN]);

    mirror.learn(Notice::Neighbor((LINK, address(1)), known(1)));
    assert!(mirror.has_doubted_clients());
    assert_eq!(kinds(&mut mirror, 50), [KNOWN, KERNEL]);
    mirror.learn(Notice::Neighbor((LINK, address(50)), known(50)));
    assert_eq!(kinds(&mut mirror, 50), [KNOWN, KNOWN]);
    mirror.news();
    mirror.learn(Notice::Neighbor((LINK, address(50)), known(50)));
    assert!(!mirror.has_doubted_clients() && mirror.news().is_none());
    mirror.learn(Notice::Neighbor((LINK, address(50)), SILENT));
    assert_eq!(kinds(&mut mirror, 50), [KNOWN, KERNEL]);
    mirror.learn(Notice::Neighbor((LINK, address(1)), SILENT));
    assert_eq!(kinds(&mut mirror, 50), [KERNEL, KERNEL], "the kernel may find another");
    mirror.learn(Notice::Neighbor((LINK, address(1)), known(1)));
    assert_eq!(kinds(&mut mirror, 50), [KNOWN, KERNEL]);

    for notice in [Notice::Routes, Notice::Prefix(address(0), 8), Notice::Link(LINK, link(1500))] {
        mirror.lists_tables();
        mirror.learn(notice);
        assert!(mirror.has_stale_tables());
    }
    mirror.lists_tables();
    kernel.list(&mut mirror);
    assert!(mirror.has_stale_tables(), "all is listed again");
    mirror.learn(Notice::Neighbor((7, address(51)), known(51)));
    mirror.want(&wanted(11..14));
    assert!(!mirror.has_stale_tables() && mirror.news().unwrap().clients.is_none());
    assert_eq!(mirror.used().unwrap().len(), 3);
}
