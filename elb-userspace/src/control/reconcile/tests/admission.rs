//! Who may open flows, how many are recorded, and listeners for ranges of ports.

use elb_common::listener::listener_flags::{BLACKLIST, DISABLED, LIMITED, TRACKED, WHITELIST};

use elb_common::listener::Listener as Record;

use super::*;
use crate::control::plan::RangeEntry;
use crate::model::port_range::PortPrefix;

/// A model with a listener of these lines, and more at its end.
fn model(load_balancer: &str, listener: &str, more: &str) -> Model {
    parse(&text(load_balancer, listener, more))
}

/// A model whose pool records every flow.
fn tracked(listener: &str) -> Model {
    let pool = "any_port_enable = true\nlb_algorithm = \"ROUND_ROBIN\"";
    parse(&text("", listener, "").replace("any_port_enable = true", pool))
}

fn parse(text: &str) -> Model {
    file::parse("test", text).unwrap_or_else(|errors| panic!("{errors}")).model
}

fn text(load_balancer: &str, listener: &str, more: &str) -> String {
    let keys = "name = \"one\"\nprotocol = \"TCP\"\ndefault_pool = \"web\"";
    let sample = sample::balancer("lb").keys(load_balancer);
    let sample = sample.keys("[[load_balancer.listener]]").keys(keys).keys(listener);
    let sample = sample.pool("web").keys("any_port_enable = true\nring_size = 4093");
    sample.keys("[[pool.member]]\naddress = \"10.0.0.11\"").keys(more).text()
}

fn group(name: &str, networks: &str) -> String {
    format!("[[ipgroup]]\nname = \"{name}\"\nip_list = [{networks}]\n")
}

fn listening(lines: &str) -> Record {
    let more = group("empty", "") + &group("office", "\"10.0.0.0/8\"");
    let model = model("", &format!("protocol_port = 80\n{lines}"), &more);
    let image = reconciler().reconcile(&model, &World::default()).image;
    *image.listeners.values().next().unwrap()
}

#[test]
fn a_listener_says_who_may_open_flows() {
    for (access, flags, id) in [
        ("", 0, 0),
        (r#"ipgroup = { ipgroup = "office" }"#, WHITELIST, 1),
        (r#"ipgroup = { ipgroup = "office", type = "white" }"#, WHITELIST, 1),
        (r#"ipgroup = { ipgroup = "office", type = "black" }"#, BLACKLIST, 1),
        (r#"ipgroup = { ipgroup = "empty", type = "white" }"#, WHITELIST, 0),
        (r#"ipgroup = { ipgroup = "office", type = "black", enable_ipgroup = false }"#, 0, 0),
    ] {
        let record = listening(access);
        assert_eq!((record.flags, record.group), (flags, id), "{access}");
    }
}

#[test]
fn a_listener_says_how_many_flows_open() {
    let record = listening("cps = 100");
    assert_eq!((record.flags, record.cps, record.max_connections), (LIMITED, 100, 0));
    assert_eq!(listening("cps = 0").flags, 0);

    let text = "protocol_port = 80\nmax_connection = 7";
    let image = reconciler().reconcile(&tracked(text), &World::default()).image;
    let record = image.listeners.values().next().unwrap();
    assert_eq!((record.flags, record.cps, record.max_connections), (LIMITED | TRACKED, 0, 7));
}

#[test]
fn a_group_is_there_under_its_number() {
    let (a, b) = (group("a", "\"10.0.0.0/8\", \"2001:db8::/32\""), group("b", "\"10.0.0.0/8\""));
    let mut reconciler = reconciler();
    let mut groups = |more: &str| {
        let model = model("", "protocol_port = 80", more);
        let image = reconciler.reconcile(&model, &World::default()).image;
        let size = |(id, networks): (u16, BTreeSet<_>)| (id, networks.len());
        image.groups.into_iter().map(size).collect::<Vec<_>>()
    };
    assert_eq!(groups(&(a.clone() + &b)), [(0, 2), (1, 1)]);
    assert_eq!(groups(&(b.clone() + &a)), [(0, 2), (1, 1)], "the order does not matter");
    assert_eq!(groups(&b), [(1, 1)]);
    assert_eq!(groups(&a), [(0, 2)], "what went before is free");
    assert_eq!(groups(&b), [(1, 1)], "what comes takes no place of what goes");
}

fn prefixes(image: &Image) -> Vec<(u32, u16, u8)> {
    let entry = |entry: &RangeEntry| (entry.vip, entry.ports.port, entry.ports.bits);
    image.ranges.keys().map(entry).collect()
}

#[test]
fn ranges_are_prefixes_of_each_address() {
    let ranges = "port_ranges = [{ start_port = 1000, end_port = 1010 }]";
    let model = model("ipv6_vip_address = \"2001:db8::10\"", ranges, "");
    let mut reconciler = reconciler();
    let image = reconciler.reconcile(&model, &World::default()).image;
    let of = |vip| [(vip, 1000, 13), (vip, 1008, 15), (vip, 1010, 16)];
    assert_eq!(prefixes(&image), [of(0), of(1)].concat());
    assert!(image.listeners.is_empty());
    assert!(image.ranges.values().all(|listener| *listener == image.ranges[&entry(0, 1010, 16)]));
    let flags = vip_flags::ECHO | vip_flags::ANNOUNCE | vip_flags::RANGES_TCP;
    let vips: Vec<_> = image.vips.values().map(|vip| (vip.flags, vip.number)).collect();
    assert_eq!(vips, [(flags, 0), (flags, 1)]);
    let again = reconciler.reconcile(&model, &World::default());
    assert_eq!(again.image, image);
}

fn entry(vip: u32, port: u16, bits: u8) -> RangeEntry {
    RangeEntry { vip, protocol: 6, ports: PortPrefix { port, bits } }
}

#[test]
fn any_port_is_a_range_of_all() {
    let image =
        reconciler().reconcile(&model("", "protocol_port = 0", ""), &World::default()).image;
    assert_eq!(prefixes(&image), [(0, 0, 0)]);
    assert!(image.vips.values().all(|vip| vip.flags & vip_flags::RANGES_TCP != 0));
}

#[test]
fn one_port_needs_no_range() {
    let image =
        reconciler().reconcile(&model("", "protocol_port = 7", ""), &World::default()).image;
    assert!(image.ranges.is_empty() && image.listeners.len() == 1);
    assert_eq!(image.vips.values().next().unwrap().flags, vip_flags::ECHO | vip_flags::ANNOUNCE);
}

/// A disabled listener stays where packets find it, so that they are dropped and counted.
#[test]
fn what_is_disabled_forwards_nothing() {
    let off = "admin_state_up = false";
    for ports in ["protocol_port = 80", "protocol_port = 0"] {
        let listener_off = model("", &format!("{ports}\n{off}"), "");
        let lb_off = model(off, ports, "");
        for (model, announce) in [(listener_off, vip_flags::ANNOUNCE), (lb_off, 0)] {
            let image = reconciler().reconcile(&model, &World::default()).image;
            let mut records = image.listeners.values().chain(image.ranges.values());
            assert!(records.all(|listener| listener.flags == DISABLED), "{ports}");
            let flags = image.vips.values().next().unwrap().flags;
            assert_eq!(flags & !vip_flags::RANGES_TCP, announce, "{ports}");
        }
    }
}

#[test]
fn an_address_keeps_its_number() {
    let two = "ipv6_vip_address = \"2001:db8::10\"";
    let ports = "protocol_port = 0";
    let mut reconciler = reconciler();
    let mut numbers = |lb: &str| {
        let image = reconciler.reconcile(&model(lb, ports, ""), &World::default()).image;
        image.vips.values().map(|vip| vip.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(two), [0, 1]);
    assert_eq!(numbers(""), [0]);
    assert_eq!(numbers("ipv6_vip_address = \"2001:db8::11\""), [0, 1]);
    assert_eq!(numbers(two), [0, 2], "what comes takes no place of what goes");
}
