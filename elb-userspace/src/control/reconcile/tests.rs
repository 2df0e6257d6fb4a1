mod admission;
mod backup;
mod changes;
mod draining;
mod embedded_clients;
mod fallback;
mod first;
mod moving;
mod renaming;
mod scene;
mod slow_start;
mod source_addresses;
mod translating;
mod undone;

use std::collections::HashSet;

use elb_common::backend::backend_flags::{DRAINED, ESTABLISHED, NEW, REACHABLE};
use elb_common::backend::mode;
use elb_common::client_hop::{ClientHop, hop_kind};

use self::scene::Scene;
use super::*;
use crate::control::plan::ListenerKey;
use crate::source::file;
use crate::source::file::sample::{self, Sample};

/// A world in which everything is reachable by interface 2, and members are healthy unless named.
#[derive(Default)]
struct World {
    sick: HashSet<IpAddr>,
    unreachable: HashSet<IpAddr>,
    drained: HashSet<IpAddr>,
    /// Members without a verdict.
    undecided: HashSet<IpAddr>,
    /// Of those that are not reachable, those that may soon be.
    resolving: HashSet<IpAddr>,
    /// Ways back to clients.
    clients: Arc<ClientHops>,
    /// What is random.
    secret: u64,
    now: u32,
}

/// The id of the pool that most tests are about.
fn web() -> ResourceId {
    ResourceId::of_pool("web")
}

impl ReconcileInput for World {
    fn serves(&self, pool: &Pool, member: &Member) -> bool {
        let fails = self.sick.contains(&member.address) || self.undecided.contains(&member.address);
        pool.healthmonitor.is_none() || !fails
    }

    fn is_undecided(&self, pool: &Pool, member: &Member) -> bool {
        pool.healthmonitor.is_some() && self.undecided.contains(&member.address)
    }

    fn is_resolving(&self, address: IpAddr) -> bool {
        self.resolving.contains(&address)
    }

    fn is_drained(&self, _: &Pool, member: &Member) -> bool {
        self.drained.contains(&member.address)
    }

    fn next_hop(&self, address: IpAddr) -> Option<NextHop> {
        let mac = Mac::new([2, 0, 0, 0, 0, 9]);
        let source = Some(IpAddr::from([10, 0, 0, 1]));
        let hop = NextHop { ifindex: 2, mac, source_mac: mac, source, mtu: 1500, on_link: true };
        (!self.unreachable.contains(&address)).then_some(hop)
    }

    fn interfaces(&self) -> BTreeMap<u32, Mac> {
        BTreeMap::from([(2, Mac::new([2, 0, 0, 0, 0, 1]))])
    }

    fn client_hops(&self) -> Arc<ClientHops> {
        self.clients.clone()
    }

    fn secret(&self) -> u64 {
        self.secret
    }

    fn now(&self) -> u32 {
        self.now
    }
}

const ROOM: IdSpace = IdSpace { listeners: 16, pools: 16, backends: 16, slots: 100_000 };

fn reconciler() -> Reconciler {
    Reconciler::new(Assignments::default(), BTreeMap::new(), ROOM, EncapSource::default())
}

/// A model with one pool of members 10.0.0.N, and more lines for the pool.
fn model(members: &[u8], pool: &str) -> Model {
    file::parse("test", &text(members, pool)).unwrap().model
}

fn text(members: &[u8], pool: &str) -> String {
    let sample = sample::balancer("lb").listener("http", 80, "web").pool("web");
    let sample = sample.keys("ring_size = 4093").keys(pool).keys(MONITOR);
    let member = |sample: Sample, n: &u8| sample.member(&format!("10.0.0.{n}"), 80);
    members.iter().fold(sample, member).text()
}

const MONITOR: &str = "[pool.healthmonitor]\ntype = \"TCP\"";

fn address(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn owners(desired: &Desired) -> BTreeSet<u16> {
    desired.rings.iter().flat_map(|ring| ring.owners.iter().copied()).collect()
}

#[test]
fn ways_to_clients_are_by_interfaces_that_packets_can_be_sent_by() {
    let hop = |ifindex| ClientHop { ifindex, kind: hop_kind::KNOWN, ..ClientHop::default() };
    let routes = [2, 3].map(|n| (format!("10.{n}.0.0/16").parse().unwrap(), hop(n)));
    let here = Arc::new(ClientHops::new([hop(2); 2], routes[..1].iter().copied().collect()));
    let gone = Arc::new(ClientHops::new([hop(3), hop(2)], routes.into()));
    let picture = |clients: &Arc<ClientHops>| {
        let world = World { clients: clients.clone(), ..World::default() };
        reconciler().reconcile(&model(&[11], ""), &world).image.clients
    };
    assert!(Arc::ptr_eq(&picture(&here), &here), "they are not copied");
    let kinds = [[192, 0, 2, 1], [10, 2, 0, 1], [10, 3, 0, 1]]
        .map(|client| picture(&gone).hop(client.into()).kind);
    assert_eq!(kinds, [hop_kind::KERNEL, hop_kind::KNOWN, hop_kind::KERNEL]);
}

#[test]
fn the_whole_picture() {
    let desired = reconciler().reconcile(&model(&[11, 12], ""), &World::default());
    let image = &desired.image;
    assert_eq!(image.devices, BTreeSet::from([2]));
    let key = ListenerKey { address: IpAddr::from([192, 0, 2, 10]), port: 80, protocol: 6 };
    let listener = image.listeners[&key];
    assert_eq!((listener.ring_size, listener.flags), (4093, 0));
    let flags = image.vips[&key.address].flags;
    assert_eq!(flags, vip_flags::ECHO | vip_flags::ANNOUNCE);
    assert_eq!(image.backends.keys().copied().collect::<Vec<_>>(), [1, 2]);
    assert!(image.backends.values().all(|b| b.flags == REACHABLE | ESTABLISHED | NEW));
    assert!(image.backends.values().all(|b| b.weight == 1));
    assert_eq!(image.backends[&1].mode, mode::IPIP_V4);
    assert_eq!(owners(&desired), BTreeSet::from([1, 2]));
    assert_eq!(desired.rings[0].owners.len(), 4093);
}

#[test]
fn the_mode_is_the_pools_and_the_members_familys() {
    for (forwarding, modes) in
        [("ipip", [mode::IPIP_V4, mode::IPIP_V6]), ("gue", [mode::GUE_V4, mode::GUE_V6])]
    {
        let text = format!(
            r#"
            [agent]
            interfaces = ["eth0"]
            [[pool]]
            name = "web"
            protocol = "TCP"
            forwarding = "{forwarding}"
            [[pool.member]]
            address = "10.0.0.11"
            protocol_port = 80
            [[pool.member]]
            address = "fd00::11"
            protocol_port = 80
            "#
        );
        let model = file::parse("test", &text).unwrap().model;
        let backends = reconciler().reconcile(&model, &World::default()).image.backends;
        assert_eq!(modes, [backends[&1].mode, backends[&2].mode], "{forwarding}");
    }
}

#[test]
fn a_second_look_changes_nothing() {
    let mut reconciler = reconciler();
    let model = model(&[11, 12], "");
    let first = reconciler.reconcile(&model, &World::default());
    let second = reconciler.reconcile(&model, &World { now: 1000, ..World::default() });
    assert_eq!(second.image, first.image);
    assert!(second.rings.is_empty() && second.freed.is_empty() && second.moved.is_empty());
}

#[test]
fn a_restart_with_saved_numbers_changes_nothing() {
    let mut before = reconciler();
    let model = model(&[11, 12, 13], "");
    let first = before.reconcile(&model, &World::default());
    let owners = BTreeMap::from([(web(), first.rings[0].owners.clone())]);
    let encap = EncapSource::default();
    let mut after = Reconciler::new(before.assignments.clone(), owners, ROOM, encap);
    let second = after.reconcile(&model, &World { now: 1000, ..World::default() });
    assert_eq!(second.image, first.image);
    assert!(second.rings.is_empty() && second.moved.is_empty());
}

#[test]
fn a_sick_member_keeps_its_flows_or_loses_them_as_the_pool_says() {
    for (policy, flags, gone) in [
        ("flows_on_unhealthy = \"keep\"", REACHABLE | ESTABLISHED, BTreeSet::new()),
        ("flows_on_unhealthy = \"rehash\"", REACHABLE, BTreeSet::from([1])),
    ] {
        let mut reconciler = reconciler();
        let model = model(&[11, 12], policy);
        reconciler.reconcile(&model, &World::default());
        let sick = World { sick: HashSet::from([address(11)]), now: 50, ..World::default() };
        let desired = reconciler.reconcile(&model, &sick);
        assert_eq!(owners(&desired), BTreeSet::from([2]), "{policy}");
        assert_eq!(desired.image.backends[&1].flags, flags, "{policy}");
        assert_eq!(desired.rings[0].gone, gone, "{policy}");
        assert_eq!(desired.image.pools[&0].udp_hold_until, 80, "UDP is held after the change");
    }
}

#[test]
fn when_all_are_sick_none_or_all_serve() {
    let sick = World { sick: HashSet::from([address(11), address(12)]), ..World::default() };
    let closed = reconciler().reconcile(&model(&[11, 12], ""), &sick);
    assert!(closed.rings.is_empty(), "an empty ring stays empty");
    let open = "pool_health = { minimum_healthy_member_count = 1 }";
    let mut agent = reconciler();
    let open = model(&[11, 12], open);
    assert_eq!(owners(&agent.reconcile(&open, &sick)), BTreeSet::from([1, 2]));
    let one_recovered = World { sick: HashSet::from([address(11)]), ..World::default() };
    assert_eq!(owners(&agent.reconcile(&open, &one_recovered)), BTreeSet::from([2]));
    assert_eq!(owners(&agent.reconcile(&open, &sick)), BTreeSet::from([1, 2]));
}

#[test]
fn an_unreachable_member_gets_nothing_new() {
    let lost = World { unreachable: HashSet::from([address(11)]), ..World::default() };
    let desired = reconciler().reconcile(&model(&[11, 12], ""), &lost);
    assert_eq!(owners(&desired), BTreeSet::from([2]));
    assert_eq!(desired.image.backends[&1].flags, ESTABLISHED);
}

#[test]
fn a_removed_member_serves_its_flows_until_no_record_and_no_slot_names_it() {
    let mut scene = Scene::new(&model(&[11, 12], ""));
    let one = model(&[12], "");
    assert_eq!(owners(&scene.follow(&one)), BTreeSet::from([2]));
    assert_eq!(scene.image.backends[&1].flags, REACHABLE | ESTABLISHED);
    scene.sweep(&one);
    assert!(scene.image.backends.contains_key(&1), "slots name it");
    scene.world.now += 302;
    scene.records.flows.insert(1, 1);
    scene.sweep(&one);
    assert!(scene.image.backends.contains_key(&1), "a record names it");
    scene.records.flows.clear();
    scene.sweep(&one);
    assert_eq!(scene.image.backends.keys().copied().collect::<Vec<_>>(), [2]);
}

#[test]
fn what_is_removed_frees_its_place() {
    let mut reconciler = reconciler();
    reconciler.reconcile(&model(&[11], ""), &World::default());
    let nothing = file::parse("test", "[agent]\ninterfaces = [\"eth0\"]\n").unwrap().model;
    let desired = reconciler.reconcile(&nothing, &World::default());
    assert_eq!(desired.freed, [Region { base: 0, size: 4093 }]);
    assert!(desired.image.listeners.is_empty() && desired.image.backends.is_empty());
    assert!(reconciler.assignments.backend_ids().contains(1), "records may name it");
    assert!(reconciler.swept(&scene::Records::default(), 1_000, |_, _| false));
    assert_eq!(reconciler.assignments.backend_ids(), crate::control::assign::Ids::default());
    assert!(!reconciler.is_lasting());
}

#[test]
fn what_comes_takes_no_place_of_what_goes() {
    let mut reconciler = reconciler();
    let old = model(&[11], "");
    reconciler.reconcile(&old, &World::default());
    let other = other();
    let desired = reconciler.reconcile(&other, &World::default());
    assert_eq!(desired.freed, [Region { base: 0, size: 4093 }]);
    assert_eq!(desired.rings.iter().map(|ring| ring.base).collect::<Vec<_>>(), [4096]);
    let listener = desired.image.listeners.values().next().unwrap();
    assert_eq!((listener.ring_base, listener.id), (4096, 1));
    assert_eq!(reconciler.assignments.listeners.len(), 1);

    let desired = reconciler.reconcile(&old, &World::default());
    assert_eq!(desired.rings[0].base, 0, "what was freed before is free");
}

/// The maps name a member that goes until the end of the round: its number is not another's yet.
#[test]
fn a_member_that_comes_takes_no_number_of_one_that_goes() {
    let room = IdSpace { backends: 2, ..ROOM };
    let mut reconciler =
        Reconciler::new(Assignments::default(), BTreeMap::new(), room, EncapSource::default());
    reconciler.reconcile(&model(&[12], ""), &World::default());
    let desired = reconciler.reconcile(&other(), &World::default());
    assert!(desired.image.backends.is_empty() && desired.left_out.len() == 1);
    let desired = reconciler.reconcile(&other(), &World::default());
    assert_eq!(desired.left_out.len(), 1, "records may name it");
    assert!(
        reconciler.swept(&scene::Records::default(), 1_000, |_, _| false),
        "the next round has room"
    );
    let desired = reconciler.reconcile(&other(), &World::default());
    assert_eq!(desired.image.backends.keys().copied().collect::<Vec<_>>(), [1]);
}

/// A pool with another member, under another name.
fn other() -> Model {
    let sample = sample::balancer("lb").listener("renamed", 80, "renamed").pool("renamed");
    sample.keys("ring_size = 4093").member("10.0.0.99", 80).model()
}

#[test]
fn what_finds_no_room_is_left_out_and_reported() {
    let room = IdSpace { backends: 3, ..ROOM };
    let mut reconciler =
        Reconciler::new(Assignments::default(), BTreeMap::new(), room, EncapSource::default());
    let desired = reconciler.reconcile(&model(&[11, 12, 13], ""), &World::default());
    assert_eq!(owners(&desired), BTreeSet::from([1, 2]));
    let (object, full) = &desired.left_out[0];
    assert_eq!(object, "pool \"web\", member \"10.0.0.13:80\"");
    assert!(full.to_string().contains("max_backends = 3"));
}

/// Between the rings of both sizes there is no room for the new one: the old one goes on.
#[test]
fn a_ring_that_finds_no_room_stays_as_it_is() {
    let room = IdSpace { slots: 20_000, ..ROOM };
    let mut reconciler =
        Reconciler::new(Assignments::default(), BTreeMap::new(), room, EncapSource::default());
    let before = reconciler.reconcile(&model(&[11], ""), &World::default());
    let after = reconciler.reconcile(&large(), &World::default());
    assert_eq!(after.left_out.len(), 1);
    assert_eq!((after.image, after.rings, after.freed), (before.image, vec![], vec![]));
}

/// The pool of `model` with a larger ring.
fn large() -> Model {
    let sample = sample::balancer("lb").listener("http", 80, "web").pool("web");
    sample.keys("ring_size = 16381").member("10.0.0.11", 80).model()
}
