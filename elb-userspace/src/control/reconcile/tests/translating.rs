//! What members' endpoints stand for, where packets are translated, and for how long.

use elb_common::reply::reply_flags::{ENDED, SHARED};

use super::scene::Scene;
use super::*;

const IDLE: &str = "keepalive_timeout = 60";

/// Members 10.0.0.N of a pool that listeners lead to by these ports.
fn served(ports: &[u16], members: &[u8], more: &str) -> Model {
    let lead = |sample: Sample, port: &u16| {
        let key = if ports.len() > 1 { "" } else { IDLE };
        sample.listener(&format!("port-{port}"), *port, "web").keys(key)
    };
    let sample = ports.iter().fold(sample::balancer("lb"), lead).pool("web").keys(more);
    let member = |sample: Sample, n: &u8| sample.member(&format!("10.0.0.{n}"), 8080);
    let text = members.iter().fold(sample, member).text().replace("\"ipip\"", "\"nat\"");
    file::parse("test", &text).unwrap().model
}

/// By member: the port that clients know, and the flags that are not about its Ethernet address.
fn endpoints(scene: &Scene) -> Vec<(IpAddr, u16, u16)> {
    let replies = scene.image.replies.iter();
    replies
        .map(|(key, reply)| (key.address, reply.port.get(), reply.flags & (ENDED | SHARED)))
        .collect()
}

#[test]
fn an_endpoint_stands_for_the_listener_with_the_lowest_number() {
    let scene = Scene::new(&served(&[80], &[11, 12], ""));
    assert_eq!(endpoints(&scene), [(address(11), 80, 0), (address(12), 80, 0)]);
    let scene = Scene::new(&served(&[80, 81], &[11], ""));
    assert_eq!(endpoints(&scene), [(address(11), 80, SHARED)]);
}

#[test]
fn an_endpoint_goes_on_to_stand_for_the_listener_of_before() {
    let both = served(&[80, 81], &[11], "");
    let text = |pool: &str| {
        let sample = sample::balancer("lb").listener("port-80", 80, pool);
        let sample = sample.listener("port-81", 81, "web").pool("web").keys("ring_size = 4093");
        let sample = sample.member("10.0.0.11", 8080).pool("other").keys("ring_size = 4093");
        let sample = sample.member("10.0.0.12", 8080);
        let text = sample.text().replace("\"ipip\"", "\"nat\"");
        file::parse("test", &text).unwrap().model
    };
    let mut scene = Scene::new(&text("other"));
    let now = scene.world.now;
    assert_eq!(endpoints(&scene), [(address(11), 81, 0), (address(12), 80, 0)]);
    scene.follow(&text("web"));
    assert_eq!(endpoints(&scene)[0], (address(11), 81, SHARED), "the other has the lower number");
    let replies = scene.image.replies.clone();
    scene.restart();
    scene.reconciler.remember_replies(&replies, now);
    scene.follow(&text("web"));
    assert_eq!(endpoints(&scene)[0], (address(11), 81, SHARED), "an agent that starts knows it");
    assert_eq!(endpoints(&Scene::new(&both)), [(address(11), 80, SHARED)]);
}

#[test]
fn a_listener_that_goes_is_over_as_long_as_its_connections_may_be_idle() {
    let mut scene = Scene::new(&served(&[80], &[11], ""));
    let desired = scene.follow(&served(&[], &[11], ""));
    assert_eq!(endpoints(&scene), [(address(11), 80, ENDED)]);
    assert_eq!(desired.next_forgotten, Some(scene.world.now + 60));
    scene.world.now += 59;
    scene.follow(&served(&[], &[11], ""));
    assert_eq!(endpoints(&scene), [(address(11), 80, ENDED)]);
    scene.world.now += 1;
    let desired = scene.follow(&served(&[], &[11], ""));
    assert_eq!((endpoints(&scene), desired.next_forgotten), (vec![], None));
}

#[test]
fn a_listener_that_comes_back_serves_its_members_again() {
    let mut scene = Scene::new(&served(&[80], &[11], ""));
    scene.follow(&served(&[], &[11], ""));
    let desired = scene.follow(&served(&[80], &[11], ""));
    assert_eq!((endpoints(&scene), desired.next_forgotten), (vec![(address(11), 80, 0)], None));
}

#[test]
fn a_member_that_goes_is_over_when_its_drain_is() {
    const DRAIN: &str = "connection_drain = { enable = true, timeout = 30 }";
    let mut scene = Scene::new(&served(&[80], &[11, 12], DRAIN));
    let left = served(&[80], &[12], DRAIN);
    let desired = scene.follow(&left);
    assert_eq!(endpoints(&scene), [(address(11), 80, 0), (address(12), 80, 0)]);
    scene.world.now = desired.next_cut.unwrap();
    scene.follow(&left);
    assert_eq!(endpoints(&scene), [(address(11), 80, ENDED), (address(12), 80, 0)]);
    scene.follow(&served(&[80], &[11, 12], DRAIN));
    assert_eq!(endpoints(&scene), [(address(11), 80, 0), (address(12), 80, 0)], "it came back");
}

#[test]
fn an_agent_that_starts_resets_what_ended_before() {
    let mut scene = Scene::new(&served(&[80], &[11], ""));
    let before = scene.image.replies.clone();
    scene.restart();
    scene.reconciler.remember_replies(&before, scene.world.now);
    scene.follow(&served(&[], &[11], ""));
    assert_eq!(endpoints(&scene), [(address(11), 80, ENDED)]);
}
