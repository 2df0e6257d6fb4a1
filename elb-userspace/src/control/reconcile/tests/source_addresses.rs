//! Members that answer source addresses.

use elb_common::addr::Be16;
use elb_common::backend::translation_flags::SHARED as SHARED_MEMBER;
use elb_common::reply::reply_flags::{ENDED, PROBES, SHARED};
use elb_common::snat::Snat;

use super::scene::Scene;
use super::*;

const SNAT: &str = "[snat]\nv4 = \"10.0.0.16/30\"";

/// Listeners by port, each with its pool, then pools with forwarding and one member at 10.0.0.11.
fn served(listeners: &[(u16, &str)], pools: &[(&str, &str)], more: &str) -> Model {
    let lead = |sample: Sample, (port, pool): &(u16, &str)| {
        sample.listener(&format!("port-{port}"), *port, pool)
    };
    let sample = listeners.iter().fold(sample::balancer("lb"), lead);
    let pool = |sample: Sample, (name, forwarding): &(&str, &str)| {
        let keys = format!("[[pool]]\nname = \"{name}\"\nprotocol = \"TCP\"");
        let sample = sample.keys(&keys).keys(&format!("forwarding = \"{forwarding}\""));
        sample.keys("ring_size = 4093").member("10.0.0.11", 8080)
    };
    pools.iter().fold(sample, pool).keys(more).model()
}

fn one(more: &str) -> Model {
    served(&[(80, "web")], &[("web", "fullnat")], more)
}

#[test]
fn a_pool_has_what_packets_need() {
    let scene = Scene::new(&one(SNAT));
    let image = &scene.image;
    let backend = image.backends.values().next().unwrap();
    let translation = backend.translation();
    assert_eq!((backend.mode, translation.port.get()), (mode::FULLNAT, 8080));
    assert_eq!((translation.flags & SHARED_MEMBER, translation.segment), (0, [0; 2]));
    assert_ne!(scene.listener().flags & listener_flags::BINDS, 0);
    let endpoint = image.endpoints[&scene.listener().id];
    let vip: [u8; 16] = bytemuck::cast(endpoint.vip);
    assert_eq!((&vip[..4], endpoint.port), (&[192, 0, 2, 10][..], Be16::new(80)));
    let reply = image.replies.values().next().unwrap();
    assert_eq!(reply.flags & (PROBES | SHARED | ENDED), PROBES);
}

#[test]
fn others_have_nothing_of_it() {
    {
        let forwarding = "nat";
        let scene = Scene::new(&served(&[(80, "web")], &[("web", forwarding)], SNAT));
        assert_eq!(scene.listener().flags & listener_flags::BINDS, 0);
        assert!(scene.image.endpoints.is_empty());
        assert!(scene.image.replies.values().all(|reply| reply.flags & PROBES == 0));
    }
}

#[test]
fn source_addresses_are_answered_for_and_are_no_virtual_ones() {
    let scene = Scene::new(&one(SNAT));
    let of = |vip: &&Vip| vip.flags & vip_flags::SOURCE != 0;
    let sources: Vec<_> = scene.image.vips.iter().filter(|(_, vip)| of(vip)).collect();
    let flags = vip_flags::ANNOUNCE | vip_flags::ECHO | vip_flags::SOURCE;
    let expected = [16, 17, 18, 19].map(|n| (address(n), Vip { flags, number: 0 }));
    assert_eq!(sources, expected.each_ref().map(|(address, vip)| (address, vip)));
    let mut virtual_only = Scene::new(&served(&[(80, "web")], &[("web", "nat")], "")).image;
    virtual_only.mark_addresses();
    assert_eq!(scene.image.vip_bits, virtual_only.vip_bits);
}

#[test]
fn the_secret_lasts_as_long_as_the_addresses() {
    let mut scene = Scene::empty();
    scene.world.secret = 7;
    scene.follow(&one(SNAT));
    let first = scene.image.snat;
    let network = bytemuck::cast([10u8, 0, 0, 16]);
    assert_eq!(first, Snat { network, addresses: 4, secret: 7 });
    scene.world.secret = 8;
    scene.follow(&one(SNAT));
    assert_eq!(scene.image.snat, first);
    scene.restart();
    scene.reconciler.remember_source_addresses(first);
    scene.follow(&one(SNAT));
    assert_eq!(scene.image.snat, first, "an agent that starts goes on with it");
    scene.follow(&one("[snat]\nv4 = \"10.0.0.16/31\""));
    assert_eq!((scene.image.snat.addresses, scene.image.snat.secret), (2, 8));
    scene.follow(&served(&[(80, "web")], &[("web", "nat")], ""));
    assert_eq!(scene.image.snat, Snat::default());
}

#[test]
fn an_endpoint_is_that_of_the_pool_whose_answers_are_translated() {
    let pools = [("full", "fullnat"), ("plain", "nat")];
    for listeners in [[(80, "full"), (81, "plain")], [(80, "plain"), (81, "full")]] {
        let scene = Scene::new(&served(&listeners, &pools, SNAT));
        let port = listeners.iter().find(|(_, pool)| *pool == "plain").unwrap().0;
        let replies = scene.image.replies.values();
        let found: Vec<_> =
            replies.map(|one| (one.port.get(), one.flags & (PROBES | SHARED))).collect();
        assert_eq!(found, [(port, 0)], "{listeners:?}");
    }
    let both = served(&[(80, "full"), (81, "full")], &[("full", "fullnat")], SNAT);
    let scene = Scene::new(&both);
    let found: Vec<_> =
        scene.image.replies.values().map(|one| one.flags & (PROBES | SHARED)).collect();
    assert_eq!((found, scene.image.endpoints.len()), (vec![PROBES], 2));
}

#[test]
fn what_went_is_not_over_at_its_endpoint() {
    let mut scene = Scene::new(&one(SNAT));
    scene.follow(&served(&[], &[("web", "fullnat")], SNAT));
    assert!(scene.image.replies.is_empty(), "its member may answer others by itself");
}

/// Flows that it has stay where they are: only a listener that binds finds the ports of those of the one pool.
#[test]
fn a_listener_binds_while_either_of_its_pools_may_have_flows() {
    let pools = [("web", "fullnat"), ("plain", "nat")];
    let served = |pool| served(&[(80, pool)], &pools, SNAT);
    let binds = |scene: &Scene| {
        let binds = scene.listener().flags & listener_flags::BINDS != 0;
        assert_eq!(binds, scene.image.endpoints.len() == 1);
        binds
    };
    let mut scene = Scene::new(&served("web"));
    scene.follow(&served("plain"));
    assert!(binds(&scene));
    scene.world.now += 2 * scene.pool().idle_timeout;
    scene.sweep(&served("plain"));
    scene.follow(&served("plain"));
    assert!(!binds(&scene));
    scene.follow(&served("web"));
    assert!(binds(&scene));
}

/// Answers on its connections would get the other's address.
#[test]
fn the_number_of_a_listener_is_no_others_while_bindings_name_it() {
    let served = |port| served(&[(port, "web")], &[("web", "fullnat")], SNAT);
    let mut scene = Scene::new(&served(80));
    let first = scene.listener().id;
    scene.records.bound.insert(first);
    scene.follow(&served(81));
    scene.sweep(&served(81));
    scene.follow(&served(82));
    assert_ne!(scene.listener().id, first);
    scene.records.bound.clear();
    scene.sweep(&served(82));
    scene.follow(&served(83));
    assert_eq!(scene.listener().id, first);
}
