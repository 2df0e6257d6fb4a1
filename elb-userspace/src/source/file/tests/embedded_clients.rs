//! Pools with `nat46`, and the prefix that they take.

use super::*;

const PREFIX: &str = "[snat]\nv6 = \"2001:db8:1:64::/64\"\n";

/// The small file, whose pool `web` has `nat46` and a member with IPv6.
fn small() -> String {
    let text = SMALL.replace("forwarding = \"ipip\"", "forwarding = \"nat46\"");
    text.replace("\"10.0.0.11\"", "\"2001:db8:9::11\"")
}

/// What is said of a file.
fn said(text: &str) -> Vec<String> {
    let (_, errors) = parse_lenient("elb.toml", text);
    let own =
        errors.iter().filter(|error| !error.what.contains("has errors, so it cannot be served"));
    own.map(ToString::to_string).collect()
}

#[test]
fn a_pool_takes_a_prefix_and_no_source_addresses() {
    assert_eq!(said(&(small() + PREFIX)), [""; 0]);
    let config = parse("elb.toml", &(small() + PREFIX)).unwrap();
    let prefix = config.model.client_prefix().map(|prefix| prefix.to_string());
    assert_eq!(prefix.as_deref(), Some("2001:db8:1:64::/64"));
    assert_eq!(config.model.source_addresses(), None);
    let needed = [
        "elb.toml:20:14: pool \"web\": forwarding nat46 takes a prefix for the addresses that members answer, and \
         there is none; add [snat] with v6 = \"PREFIX\", a /64 that no host has addresses in and that members' routes \
         lead to this host",
    ];
    assert_eq!(said(&small()), needed);
    assert_eq!(said(&(small() + "[snat]\nv4 = \"10.0.0.64/28\"\n")), needed);
    let both = said(&(small() + PREFIX + "v4 = \"10.0.0.64/28\"\n"));
    assert_eq!(both, [""; 0]);
}

#[test]
fn pools_with_fullnat_are_not_served_by_it() {
    let text = SMALL.replace("forwarding = \"ipip\"", "forwarding = \"fullnat\"") + PREFIX;
    let [one] = &said(&text)[..] else { panic!("{:?}", said(&text)) };
    assert!(one.contains("forwarding fullnat takes source addresses"), "{one}");
}

#[test]
fn a_prefix_that_is_none_is_said() {
    for (more, says) in [
        ("v6 = \"2001:db8::1/64\"", "has bits of hosts set; use \"2001:db8::/64\""),
        ("v6 = \"2001:db8::/48\"", "is no such prefix; use an IPv6 prefix of /64"),
        ("v6 = \"fe80::/64\"", "v6 fe80:: is a link-local address; use a prefix that is routed to"),
        ("v6 = \"10.0.0.64/28\"", "does not begin with an IPv6 address"),
    ] {
        let text = said(&format!("{SMALL}[snat]\n{more}\n")).join("\n");
        assert!(text.contains("[snat]: v6 ") && text.contains(says), "{more}: {text}");
    }
}

#[test]
fn nothing_else_is_in_the_prefix() {
    let of = |prefix: &str, more: &str| {
        said(&format!("{}[snat]\nv6 = \"{prefix}\"\n{more}", small())).join("\n")
    };
    assert_eq!(
        of("2001:db8:9::/64", ""),
        "elb.toml:25:11: pool \"web\", member \"b1\": address 2001:db8:9::11 is in the prefix of clients, [snat] v6 \
         2001:db8:9::/64; use another address, or another prefix in [snat]"
    );
    let vip = "[[load_balancer]]\nname = \"other\"\nipv6_vip_address = \"2001:db8:1:64::10\"\n";
    let vip = of("2001:db8:1:64::/64", vip);
    let says = "ipv6_vip_address 2001:db8:1:64::10 is in the prefix of clients, [snat] v6 2001:db8:1:64::/64";
    assert!(vip.contains(says), "{vip}");
    let source = "interfaces = [\"eth0\"]\nprobe_source_ipv6 = \"2001:db8:1:64::1\"";
    let text = (small() + PREFIX).replace("interfaces = [\"eth0\"]", source);
    let text = said(&text).join("\n");
    let says =
        "probe_source_ipv6 2001:db8:1:64::1 of [agent] is in the prefix of clients, [snat] v6";
    assert!(text.contains(says), "{text}");
}

#[test]
fn its_members_have_ipv6_and_its_virtual_addresses_ipv4() {
    let of = |from: &str, to: &str| {
        let text = small() + PREFIX;
        assert!(text.contains(from), "{from}");
        said(&text.replacen(from, to, 1)).join("\n")
    };
    assert_eq!(
        of("\"2001:db8:9::11\"", "\"10.0.0.11\""),
        "elb.toml:25:11: pool \"web\", member \"b1\": address 10.0.0.11 is of IPv4, and forwarding nat46 translates to \
         IPv6; use the member's IPv6 address, or forwarding = \"nat\""
    );
    let vip = of("vip_address", "ipv6_vip_address = \"2001:db8::10\"\nvip_address");
    let says = "VIP 2001:db8::10 is of IPv6, and pool \"web\" has forwarding nat46, which translates IPv4 to IPv6; give \
                the address to a load balancer of its own, whose pool has the same members and forwarding = \"nat\"";
    assert!(vip.contains(says), "{vip}");
    let ports = of("protocol_port = 80", "port_ranges = [{ start_port = 1, end_port = 9 }]");
    assert!(ports.contains("a range of ports is asked of pool \"web\""), "{ports}");
    assert_eq!(of("protocol_port = 80", "protocol_port = 8080"), "", "ports are translated");
}

/// Members serve an address of each version, at the same port.
#[test]
fn the_same_members_may_serve_an_address_of_ipv6() {
    let more = "[[load_balancer]]\nname = \"lb-6\"\nipv6_vip_address = \"2001:db8::10\"\n\
                [[load_balancer.listener]]\nname = \"http-6\"\nprotocol = \"TCP\"\nprotocol_port = 80\n\
                default_pool = \"web-6\"\n[[pool]]\nname = \"web-6\"\nprotocol = \"TCP\"\n\
                forwarding = \"nat\"\n[[pool.member]]\naddress = \"2001:db8:9::11\"\nprotocol_port = 80\n";
    assert_eq!(said(&(small() + more + PREFIX)), [""; 0]);
}

#[test]
fn with_nat_one_is_led_to_it() {
    let text = small().replace("\"nat46\"", "\"nat\"") + PREFIX;
    let [one] = &said(&text)[..] else { panic!("{:?}", said(&text)) };
    let says = "which forwarding nat cannot bridge; use forwarding = \"nat46\" in a pool with the members' IPv6 \
                addresses, or";
    assert!(one.contains(says), "{one}");
}

#[test]
fn it_is_not_for_all_pools_of_the_api() {
    let agent = "[agent]\ninterfaces = [\"eth0\"]\n[api]\nforwarding = \"nat46\"\n";
    let [one] = &said(&format!("{agent}{PREFIX}"))[..] else { panic!() };
    assert!(one.contains("forwarding nat46 cannot be that of all pools of [api]"), "{one}");
}

#[test]
fn without_a_prefix_that_of_before_serves_on() {
    let good = parse("elb.toml", &(small() + PREFIX)).unwrap().model;
    let (right, _) = parse_lenient("elb.toml", &small());
    let filled = fill(&right.unwrap().model, &good);
    assert_eq!(filled.model.client_prefix(), good.client_prefix());
    assert_eq!(filled.model.pools().len(), 2);
}
