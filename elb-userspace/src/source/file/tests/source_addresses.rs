//! `[snat]`, and pools with `fullnat`.

use super::*;

/// The small file, whose pool `web` has `fullnat`, with this at its end.
fn said(more: &str) -> Vec<String> {
    let text = SMALL.replace("forwarding = \"ipip\"", "forwarding = \"fullnat\"");
    let (_, errors) = parse_lenient("elb.toml", &format!("{text}{more}"));
    let own =
        errors.iter().filter(|error| !error.what.contains("has errors, so it cannot be served"));
    own.map(ToString::to_string).collect()
}

const SNAT: &str = "[snat]\nv4 = \"10.0.0.64/28\"\n";

#[test]
fn a_pool_takes_source_addresses() {
    assert_eq!(said(SNAT), [""; 0]);
    assert_eq!(
        said(""),
        [
            "elb.toml:20:14: pool \"web\": forwarding fullnat takes source addresses for members to answer, and \
          there are none; add [snat] with v4 = \"PREFIX\", addresses that no other host has (/26 to /32), or \
          use forwarding = \"nat\""
        ]
    );
    let config = parse("elb.toml", &format!("{SMALL}{SNAT}")).unwrap();
    let sources = config.model.source_addresses().map(|sources| sources.to_string());
    assert_eq!(sources.as_deref(), Some("10.0.0.64/28"));
    assert_eq!(parse("elb.toml", SMALL).unwrap().model.source_addresses(), None);
}

#[test]
fn a_prefix_that_is_none_is_said() {
    let wrong = |more: &str| {
        let (_, errors) = parse_lenient("elb.toml", &format!("{SMALL}{more}"));
        errors.to_string()
    };
    for (more, says) in [
        ("[snat]\n", "[snat]: v4 and v6 are missing; set v4 to an IPv4 prefix of /26 to /32"),
        (
            "[snat]\nv4 = \"10.0.0.70/28\"\n",
            "[snat]: v4 \"10.0.0.70/28\" has bits of hosts set; use \"10.0.0.64/28\"",
        ),
        ("[snat]\nv4 = \"10.0.0.0/24\"\n", "is no such prefix; use an IPv4 prefix of /26 to /32"),
        ("[snat]\nv4 = \"10.0.0.64/28\"\nv5 = 1\n", "\"v5\" is not a key here"),
        ("[api]\nforwarding = \"fullnat\"\n", "forwarding fullnat of [api] takes source addresses"),
    ] {
        let text = wrong(more);
        assert!(text.contains(says), "{more}: {text}");
    }
}

#[test]
fn source_addresses_are_nothing_else() {
    assert_eq!(
        said("[snat]\nv4 = \"10.0.0.11/32\"\n"),
        [
            "elb.toml:25:11: pool \"web\", member \"b1\": address 10.0.0.11 is one of the source addresses, \
          [snat] v4 10.0.0.11/32; use another address, or another prefix in [snat]"
        ]
    );
    assert_eq!(
        said("[snat]\nv4 = \"192.0.2.0/26\"\n"),
        [
            "elb.toml:6:15: load balancer \"lb\": vip_address 192.0.2.10 is one of the source addresses, \
          [snat] v4 192.0.2.0/26; use another address, or another prefix in [snat]"
        ]
    );
}

#[test]
fn it_is_for_ipv4_and_single_ports() {
    let of = |from: &str, to: &str| {
        let text = SMALL.replace("forwarding = \"ipip\"", "forwarding = \"fullnat\"");
        assert!(text.contains(from), "{from}");
        let (_, errors) = parse_lenient("elb.toml", &(text.replacen(from, to, 1) + SNAT));
        errors.to_string()
    };
    let member = of("\"10.0.0.11\"", "\"2001:db8::11\"");
    assert!(
        member
            .contains("address 2001:db8::11 is of IPv6, and forwarding fullnat carries IPv4 only"),
        "{member}"
    );
    let vip = of("vip_address", "ipv6_vip_address = \"2001:db8::10\"\nvip_address");
    let says = "VIP 2001:db8::10 is of IPv6, and pool \"web\" has forwarding fullnat, which carries IPv4 only";
    assert!(vip.contains(says), "{vip}");
    let ports = of("protocol_port = 80", "port_ranges = [{ start_port = 1, end_port = 9 }]");
    assert!(ports.contains("a range of ports is asked of pool \"web\""), "{ports}");
    let other_port = of("protocol_port = 80", "protocol_port = 8080");
    assert_eq!(other_port, "", "ports are translated");
}

#[test]
fn without_source_addresses_those_of_before_serve_on() {
    let text = SMALL.replace("forwarding = \"ipip\"", "forwarding = \"fullnat\"");
    let good = parse("elb.toml", &format!("{text}{SNAT}")).unwrap().model;
    let (right, _) = parse_lenient("elb.toml", &text);
    let filled = fill(&right.unwrap().model, &good);
    assert_eq!(filled.model.source_addresses(), good.source_addresses());
    assert_eq!(filled.model.pools().len(), 2);
}
