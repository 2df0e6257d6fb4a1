//! Members with IPv6 that serve virtual IPv4 addresses, and answer addresses that hold clients'.

use elb_common::addr::{Be16, Be32, Be128};
use elb_common::backend::translation_flags::SHARED as SHARED_MEMBER;
use elb_common::embedded::Prefix;
use elb_common::listener::ListenerEndpoint;
use elb_common::reply::reply_flags::{ENDED, ON_LINK, PROBES, SHARED};

use super::scene::Scene;
use super::*;

const SNAT: &str = "[snat]\nv4 = \"10.0.0.16/30\"\nv6 = \"2001:db8:1:64::/64\"";
const IDLE: u32 = 60;

/// A pool: its name, forwarding, and one member, or none.
type Served = [&'static str; 3];

const WEB: Served = ["web", "nat46", "2001:db8:9::11"];
const FULL: Served = ["full", "fullnat", "10.0.0.11"];
const PLAIN: Served = ["plain", "nat", "10.0.0.11"];
/// The member of [`WEB`], for a virtual IPv6 address.
const V6: Served = ["v6", "nat", "2001:db8:9::11"];

/// Listeners of 192.0.2.10 by port, each with its pool; then, if there is a port, one of 2001:db8::10.
fn served(listeners: &[(u16, &str)], v6: Option<u16>, pools: &[Served], snat: &str) -> Model {
    let lead = |sample: Sample, (port, pool): &(u16, &str)| {
        let sample = sample.listener(&format!("port-{port}"), *port, pool);
        sample.keys(&format!("keepalive_timeout = {IDLE}"))
    };
    let mut sample = listeners.iter().fold(sample::balancer("lb"), lead);
    if let Some(port) = v6 {
        sample = sample.keys("[[load_balancer]]\nname = \"lb-6\"");
        sample = sample.keys("ipv6_vip_address = \"2001:db8::10\"").listener("v6", port, "v6");
    }
    let pool = |sample: Sample, [name, forwarding, member]: &Served| {
        let sample = sample.keys(&format!("[[pool]]\nname = \"{name}\"\nprotocol = \"TCP\""));
        let sample = sample.keys(&format!("forwarding = \"{forwarding}\"\nring_size = 4093"));
        let sample = sample.keys("connection_drain = { enable = true, timeout = 30 }");
        if member.is_empty() { sample } else { sample.member(member, 8080) }
    };
    pools.iter().fold(sample, pool).keys(snat).model()
}

fn one() -> Model {
    served(&[(80, "web")], None, &[WEB], SNAT)
}

/// The model without its listener.
fn none() -> Model {
    served(&[], None, &[WEB], SNAT)
}

fn vip() -> Be32 {
    bytemuck::cast([192u8, 0, 2, 10])
}

fn prefix() -> Prefix {
    bytemuck::cast([0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0x64u8])
}

fn endpoint(port: u16) -> ListenerEndpoint {
    ListenerEndpoint::v4(vip(), Be16::new(port), Some(prefix()))
}

/// Ports that endpoints stand for, and the flags of their records that are not about Ethernet addresses.
fn replies(scene: &Scene) -> Vec<(u16, u16)> {
    let replies = scene.image.replies.values();
    replies.map(|one| (one.port.get(), one.flags & (PROBES | SHARED | ENDED))).collect()
}

#[test]
fn a_pool_has_what_packets_need() {
    let scene = Scene::new(&one());
    let image = &scene.image;
    let backend = image.backends.values().next().unwrap();
    let translation = backend.translation();
    assert_eq!((backend.mode, translation.port.get()), (mode::NAT46, 8080));
    assert_eq!((translation.flags & SHARED_MEMBER, translation.segment), (0, [0; 2]));
    let member: IpAddr = WEB[2].parse().unwrap();
    assert_eq!(IpAddr::from(bytemuck::cast::<_, [u8; 16]>(backend.address)), member);
    assert_eq!((backend.largest, backend.outer_sum), (1480, 0));
    assert_eq!(scene.listener().flags & listener_flags::BINDS, 0);
    assert_eq!(image.endpoints, BTreeMap::from([(scene.listener().id, endpoint(80))]));
    let (key, reply) = image.replies.first_key_value().unwrap();
    assert_eq!((key.address, key.port, key.protocol), (member, 8080, 6));
    let expected = Reply {
        vip: Be128::from_raw([vip().raw(), 0, 0, 0]),
        port: Be16::new(80),
        flags: PROBES | ON_LINK,
        ..*reply
    };
    assert_eq!((*reply, reply.listener, reply.ifindex), (expected, scene.listener().id, 2));
    assert!(image.vips.keys().all(|address| address.is_ipv4()), "no host asks for the prefix");
}

#[test]
fn nothing_of_the_source_addresses_is_needed() {
    let scene =
        Scene::new(&served(&[(80, "web")], None, &[WEB], "[snat]\nv6 = \"2001:db8:1:64::/64\""));
    assert_eq!((scene.image.snat.addresses, scene.image.endpoints.len()), (0, 1));
    let scene =
        Scene::new(&served(&[(80, "full")], None, &[FULL], "[snat]\nv4 = \"10.0.0.16/30\""));
    let endpoint = scene.image.endpoints[&scene.listener().id];
    assert_eq!((endpoint.vip_v4(), endpoint.prefix()), (vip(), [0; 2]));
}

/// The main use: the same members, at the same port, serve an address of each version.
#[test]
fn an_endpoint_is_that_of_the_virtual_address_whose_answers_are_translated() {
    for (v4, v6) in [(80, 81), (81, 80), (80, 80)] {
        let scene = Scene::new(&served(&[(v4, "web")], Some(v6), &[WEB, V6], SNAT));
        assert_eq!(replies(&scene), [(v6, 0)], "{v4} {v6}");
        let endpoints: Vec<_> = scene.image.endpoints.values().copied().collect();
        assert_eq!(endpoints, [endpoint(v4)]);
        let modes: BTreeSet<u8> = scene.image.backends.values().map(|one| one.mode).collect();
        assert_eq!(modes, [mode::NAT, mode::NAT46].into());
        let shared = scene.image.backends.values();
        assert!(shared.map(|one| one.translation().flags).all(|flags| flags & SHARED_MEMBER == 0));
    }
    let mut scene = Scene::new(&served(&[(80, "web")], Some(81), &[WEB, V6], SNAT));
    scene.follow(&served(&[(80, "web")], None, &[WEB, V6], SNAT));
    assert_eq!(replies(&scene), [(80, PROBES)], "what went does not keep others from being served");
}

/// Either pool may have had the member, whose connections there are cut.
#[test]
fn what_is_over_does_not_stand_for_what_is_not() {
    let both = served(&[(80, "web")], Some(81), &[WEB, V6], SNAT);
    let [name, forwarding, _] = V6;
    let of_web = served(&[(80, "web")], Some(81), &[WEB, [name, forwarding, ""]], SNAT);
    let [name, forwarding, _] = WEB;
    let of_v6 = served(&[(80, "web")], Some(81), &[[name, forwarding, ""], V6], SNAT);
    for (left, then) in [(of_web, (80, PROBES)), (of_v6, (81, 0))] {
        let mut scene = Scene::new(&both);
        assert_eq!(replies(&scene), [(81, 0)]);
        let desired = scene.follow(&left);
        assert_eq!(replies(&scene), [(81, 0)], "it has its connections until they are cut");
        scene.world.now = desired.next_cut.unwrap();
        scene.follow(&left);
        assert_eq!(replies(&scene), [then]);
    }
}

#[test]
fn a_member_that_goes_is_over_when_its_drain_is() {
    let mut scene = Scene::new(&one());
    let [name, forwarding, _] = WEB;
    let empty = served(&[(80, "web")], None, &[[name, forwarding, ""]], SNAT);
    let desired = scene.follow(&empty);
    assert_eq!(replies(&scene), [(80, PROBES)]);
    scene.world.now = desired.next_cut.unwrap();
    scene.follow(&empty);
    assert_eq!(replies(&scene), [(80, PROBES | ENDED)]);
}

/// Its members learn that their connections are over, by the address of its clients that they answer.
#[test]
fn a_listener_that_goes_is_over_as_long_as_its_connections_may_be_idle() {
    let mut scene = Scene::new(&one());
    let id = scene.listener().id;
    scene.follow(&none());
    let lasts = |scene: &Scene| {
        let is_known = scene.image.endpoints.get(&id) == Some(&endpoint(80));
        (replies(scene), is_known, scene.reconciler.is_lasting())
    };
    assert_eq!(lasts(&scene), (vec![(80, PROBES | ENDED)], true, true));
    scene.world.now += IDLE - 1;
    scene.sweep(&none());
    scene.follow(&none());
    assert_eq!(lasts(&scene), (vec![(80, PROBES | ENDED)], true, true));
    scene.world.now += 1;
    scene.sweep(&none());
    scene.follow(&none());
    assert_eq!(lasts(&scene), (vec![], false, false));
}

/// Answers to its clients would get the other's address.
#[test]
fn the_number_of_a_listener_is_no_others_while_members_may_answer_its_clients() {
    let of_port = |port| served(&[(port, "web")], None, &[WEB], SNAT);
    let mut scene = Scene::new(&of_port(80));
    let first = scene.listener().id;
    scene.follow(&of_port(81));
    scene.sweep(&of_port(81));
    scene.restart();
    scene.follow(&of_port(82));
    assert_ne!(scene.listener().id, first, "an agent that starts knows it");
    scene.sweep(&of_port(82));
    assert!(scene.reconciler.is_lasting());
    scene.world.now += IDLE;
    scene.sweep(&of_port(82));
    assert!(!scene.reconciler.is_lasting());
    scene.follow(&of_port(83));
    assert_eq!(scene.listener().id, first);
}

#[test]
fn others_leave_no_number_behind() {
    let plain = [WEB, PLAIN];
    let mut scene = Scene::new(&served(&[(80, "plain")], None, &plain, SNAT));
    assert!(scene.image.endpoints.is_empty());
    scene.follow(&served(&[], None, &plain, SNAT));
    scene.sweep(&served(&[], None, &plain, SNAT));
    assert!(!scene.reconciler.is_lasting());
}

/// Of which flows members see which address, the member of each decides.
#[test]
fn a_listener_that_moves_has_what_the_flows_of_either_pool_need() {
    let pools = [WEB, FULL];
    let served = |pool| served(&[(80, pool)], None, &pools, SNAT);
    let mut scene = Scene::new(&served("web"));
    let has = |scene: &Scene| {
        let binds = scene.listener().flags & listener_flags::BINDS != 0;
        (binds, scene.image.endpoints[&scene.listener().id])
    };
    assert_eq!(has(&scene), (false, endpoint(80)));
    scene.follow(&served("full"));
    assert_eq!(has(&scene), (true, endpoint(80)));
    scene.world.now += 2 * scene.pool().idle_timeout.max(IDLE);
    scene.sweep(&served("full"));
    scene.follow(&served("full"));
    let alone = ListenerEndpoint::v4(vip(), Be16::new(80), None);
    assert_eq!(has(&scene), (true, alone));
    scene.follow(&served("web"));
    assert_eq!(has(&scene), (true, endpoint(80)));
}

#[test]
fn another_prefix_is_that_of_all() {
    let mut scene = Scene::new(&one());
    scene.follow(&none());
    let other = SNAT.replace("1:64", "2:64");
    scene.follow(&served(&[(81, "web")], None, &[WEB], &other));
    let prefixes: Vec<Prefix> =
        scene.image.endpoints.values().map(ListenerEndpoint::prefix).collect();
    let second: Prefix = bytemuck::cast([0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0x64u8]);
    assert_eq!(prefixes, [second; 2]);
}
